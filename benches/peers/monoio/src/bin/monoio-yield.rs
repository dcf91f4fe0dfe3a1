//! So many tasks that do nothing but yield: `monoio-yield LIVE SECONDS`, prints the nanoseconds of one yield.
//! monoio has none of its own; this one wakes itself.

use std::future::pending;

use peers_common::{Laps, numbers};
use peers_monoio::yield_now;

fn main() {
    let [live, seconds] = numbers();
    let laps = Laps::new(live as usize, seconds);
    peers_monoio::run(async {
        for _ in 0..live as usize {
            monoio::spawn(async move {
                loop {
                    laps.lap();
                    yield_now().await;
                }
            });
        }
        pending().await
    });
}
