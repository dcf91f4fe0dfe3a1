//! Round trips of pairs of tasks over two channels each: `tokio-channel WORKERS CAPACITY PAIRS SECONDS`,
//! prints the nanoseconds of one. WORKERS is 0 for the current_thread runtime. tokio's channels hold at
//! least one message.

use std::future::pending;

use peers_common::{Laps, numbers};
use peers_tokio::{Drivers, run};
use tokio::sync::mpsc::channel;

fn main() {
    let [workers, capacity, pairs, seconds] = numbers();
    let capacity = capacity as usize;
    let laps = Laps::new(pairs as usize, seconds);
    run(workers, Drivers::None, async move {
        for _ in 0..pairs as usize {
            let (there, mut from_here) = channel::<u64>(capacity);
            let (back, mut answers) = channel(capacity);
            tokio::spawn(async move {
                while let Some(message) = from_here.recv().await {
                    back.send(message).await.expect("the other end waits");
                }
            });
            tokio::spawn(async move {
                laps.begin(1);
                for lap in 0.. {
                    there.send(lap).await.expect("the other end waits");
                    assert_eq!(answers.recv().await, Some(lap));
                    laps.lap();
                }
            });
        }
        pending().await
    });
}
