//! Round trips of two green threads over two channels: `evy-channel CAPACITY LAPS`, prints nanoseconds.

use std::time::Instant;

use evy::sync::bounded;

fn main() {
    let mut arguments =
        std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let capacity = arguments.next().expect("the capacity");
    let laps = arguments.next().expect("the laps");
    let (there, from_here) = bounded::<usize>(capacity);
    let (back, answers) = bounded(capacity);
    evy::spawn_n(move || {
        for message in from_here {
            back.send(message).expect("the other end waits");
        }
    });
    let pinger = evy::spawn(move || {
        let ping = |laps| {
            for lap in 0..laps {
                there.send(lap).expect("the other end waits");
                assert_eq!(answers.recv(), Ok(lap));
            }
        };
        ping(laps / 10);
        let start = Instant::now();
        ping(laps);
        start.elapsed().as_nanos()
    });
    println!("{}", pinger.wait().expect("it does not panic"));
}
