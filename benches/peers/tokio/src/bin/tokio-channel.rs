//! Round trips of two tasks over two channels on one OS thread: `tokio-channel CAPACITY LAPS`, prints
//! nanoseconds. tokio's channels hold at least one message.

use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::mpsc::channel;

fn main() {
    let mut arguments =
        std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let capacity: usize = arguments.next().expect("the capacity");
    let laps: usize = arguments.next().expect("the laps");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let nanos = local.block_on(&runtime, async move {
        let (there, mut from_here) = channel::<usize>(capacity.max(1));
        let (back, mut answers) = channel(capacity.max(1));
        tokio::task::spawn_local(async move {
            while let Some(message) = from_here.recv().await {
                back.send(message).await.expect("the other end waits");
            }
        });
        let pinger = tokio::task::spawn_local(async move {
            let mut nanos = 0;
            for laps in [laps / 10, laps] {
                let start = Instant::now();
                for lap in 0..laps {
                    there.send(lap).await.expect("the other end waits");
                    assert_eq!(answers.recv().await, Some(lap));
                }
                nanos = start.elapsed().as_nanos();
            }
            nanos
        });
        pinger.await.expect("it does not panic")
    });
    println!("{nanos}");
}
