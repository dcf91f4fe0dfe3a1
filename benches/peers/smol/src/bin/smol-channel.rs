//! Round trips of pairs of tasks over two channels each, by a `LocalExecutor`:
//! `smol-channel CAPACITY PAIRS SECONDS`, prints the nanoseconds of one. smol's channels hold at least one
//! message.

use std::future::pending;

use peers_common::{Laps, numbers};
use smol::channel::bounded;

fn main() {
    let [capacity, pairs, seconds] = numbers();
    let capacity = capacity as usize;
    let laps = Laps::new(pairs as usize, seconds);
    peers_smol::run(|executor| async move {
        for _ in 0..pairs as usize {
            let (there, from_here) = bounded::<u64>(capacity);
            let (back, answers) = bounded(capacity);
            let echo = async move {
                while let Ok(message) = from_here.recv().await {
                    back.send(message).await.expect("the other end waits");
                }
            };
            let ping = async move {
                laps.begin(1);
                for lap in 0.. {
                    there.send(lap).await.expect("the other end waits");
                    assert_eq!(answers.recv().await, Ok(lap));
                    laps.lap();
                }
            };
            executor.spawn(echo).detach();
            executor.spawn(ping).detach();
        }
        pending().await
    })
}
