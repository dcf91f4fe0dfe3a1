//! Spawns so many tasks and waits for them all, again and again: `tokio-spawn WORKERS LIVE SECONDS`, prints
//! the nanoseconds for one. WORKERS is 0 for the current_thread runtime.

use peers_common::{Laps, numbers};
use peers_tokio::{Drivers, run};

fn main() {
    let [workers, live, seconds] = numbers();
    let live = live as usize;
    let laps = Laps::new(live, seconds);
    laps.begin(live);
    run(workers, Drivers::None, async move {
        let mut tasks = Vec::with_capacity(live);
        loop {
            tasks.extend((0..live).map(|number| tokio::spawn(async move { number })));
            for (number, task) in tasks.drain(..).enumerate() {
                assert_eq!(task.await.expect("it does not panic"), number);
            }
            laps.laps(live as u64);
        }
    });
}
