//! Spawns so many coroutines and waits for them all, again and again, with one worker:
//! `may-spawn LIVE SECONDS`, prints the nanoseconds for one.

use may::go;
use peers_common::{Laps, numbers};

fn main() {
    let [live, seconds] = numbers();
    let live = live as usize;
    let laps = Laps::new(live, seconds);
    laps.begin(live);
    peers_may::run(1, move || {
        let mut coroutines = Vec::with_capacity(live);
        loop {
            coroutines.extend((0..live).map(|number| go!(move || number)));
            for (number, coroutine) in coroutines.drain(..).enumerate() {
                assert_eq!(coroutine.join().expect("it does not panic"), number);
            }
            laps.laps(live as u64);
        }
    });
}
