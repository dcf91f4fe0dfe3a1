//! Spawns so many tasks and waits for them all, again and again: `monoio-spawn LIVE SECONDS`, prints the
//! nanoseconds for one.

use peers_common::{Laps, numbers};

fn main() {
    let [live, seconds] = numbers();
    let live = live as usize;
    let laps = Laps::new(live, seconds);
    laps.begin(live);
    peers_monoio::run(async move {
        let mut tasks = Vec::with_capacity(live);
        loop {
            tasks.extend((0..live).map(|number| monoio::spawn(async move { number })));
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await, number);
            }
            laps.laps(live as u64);
        }
    });
}
