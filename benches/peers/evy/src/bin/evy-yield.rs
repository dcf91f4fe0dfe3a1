//! So many green threads that do nothing but yield: `evy-yield LIVE SECONDS`, prints the nanoseconds of one
//! yield.

use std::time::Duration;

use peers_common::{Laps, numbers};

fn main() {
    let [live, seconds] = numbers();
    let laps = Laps::new(live as usize, seconds);
    for _ in 0..live as usize {
        evy::spawn_n(move || {
            laps.begin(1);
            loop {
                laps.lap();
                evy::yield_now();
            }
        });
    }
    evy::sleep(Duration::MAX);
}
