//! So many tasks that do nothing but yield, by a `LocalExecutor`: `smol-yield LIVE SECONDS`, prints the
//! nanoseconds of one yield.

use std::future::pending;

use peers_common::{Laps, numbers};
use smol::future::yield_now;

fn main() {
    let [live, seconds] = numbers();
    let laps = Laps::new(live as usize, seconds);
    peers_smol::run(|executor| async move {
        for _ in 0..live as usize {
            let yields = async move {
                laps.begin(1);
                loop {
                    laps.lap();
                    yield_now().await;
                }
            };
            executor.spawn(yields).detach();
        }
        pending().await
    })
}
