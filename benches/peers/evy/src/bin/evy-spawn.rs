//! Spawns so many green threads and waits for them all, again and again: `evy-spawn LIVE SECONDS`, prints
//! the nanoseconds for one.

use peers_common::{Laps, numbers};

fn main() {
    let [live, seconds] = numbers();
    let live = live as usize;
    let laps = Laps::new(live, seconds);
    laps.begin(live);
    let mut threads = Vec::with_capacity(live);
    loop {
        threads.extend((0..live).map(|number| evy::spawn(move || number)));
        for (number, thread) in threads.drain(..).enumerate() {
            assert_eq!(thread.wait().expect("it does not panic"), number);
        }
        laps.laps(live as u64);
    }
}
