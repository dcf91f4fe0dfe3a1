//! Round trips of pairs of green threads over two channels each: `evy-channel CAPACITY PAIRS SECONDS`, prints
//! the nanoseconds of one.

use std::time::Duration;

use evy::sync::bounded;
use peers_common::{Laps, numbers};

fn main() {
    let [capacity, pairs, seconds] = numbers();
    let laps = Laps::new(pairs as usize, seconds);
    for _ in 0..pairs as usize {
        let (there, from_here) = bounded::<u64>(capacity as usize);
        let (back, answers) = bounded(capacity as usize);
        evy::spawn_n(move || {
            for message in from_here {
                back.send(message).expect("the other end waits");
            }
        });
        evy::spawn_n(move || {
            laps.begin(1);
            for lap in 0.. {
                there.send(lap).expect("the other end waits");
                assert_eq!(answers.recv(), Ok(lap));
                laps.lap();
            }
        });
    }
    evy::sleep(Duration::MAX);
}
