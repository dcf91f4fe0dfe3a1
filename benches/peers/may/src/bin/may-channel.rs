//! Round trips of pairs of coroutines over two channels each, with one worker: `may-channel PAIRS SECONDS`,
//! prints the nanoseconds of one. may's channels have no bound.

use may::go;
use may::sync::mpsc::channel;
use peers_common::{Laps, numbers};

fn main() {
    let [pairs, seconds] = numbers();
    let laps = Laps::new(pairs as usize, seconds);
    peers_may::run(1, move || {
        for _ in 0..pairs as usize {
            let (there, from_here) = channel::<u64>();
            let (back, answers) = channel();
            go!(move || {
                for message in from_here.iter() {
                    back.send(message).expect("the other end waits");
                }
            });
            go!(move || {
                laps.begin(1);
                for lap in 0.. {
                    there.send(lap).expect("the other end waits");
                    assert_eq!(answers.recv(), Ok(lap));
                    laps.lap();
                }
            });
        }
        may::coroutine::park();
    });
}
