//! So many coroutines that do nothing but yield, with one worker: `may-yield LIVE SECONDS`, prints the
//! nanoseconds of one yield.

use may::coroutine::yield_now;
use may::go;
use peers_common::{Laps, numbers};

fn main() {
    let [live, seconds] = numbers();
    let laps = Laps::new(live as usize, seconds);
    peers_may::run(1, move || {
        for _ in 0..live as usize {
            go!(move || {
                laps.begin(1);
                loop {
                    laps.lap();
                    yield_now();
                }
            });
        }
        may::coroutine::park();
    });
}
