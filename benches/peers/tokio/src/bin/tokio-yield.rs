//! So many tasks that do nothing but yield: `tokio-yield WORKERS LIVE SECONDS`, prints the nanoseconds of one
//! yield. WORKERS is 0 for the current_thread runtime.

use std::future::pending;

use peers_common::{Laps, numbers};
use peers_tokio::{Drivers, run};
use tokio::task::yield_now;

fn main() {
    let [workers, live, seconds] = numbers();
    let laps = Laps::new(live as usize, seconds);
    run(workers, Drivers::None, async move {
        for _ in 0..live as usize {
            tokio::spawn(async move {
                laps.begin(1);
                loop {
                    laps.lap();
                    yield_now().await;
                }
            });
        }
        pending().await
    });
}
