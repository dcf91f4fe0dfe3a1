//! Parks so many coroutines in the wait for one flag, with one worker: `may-memory COUNT`. The stacks have
//! may's own size, 32 KiB.

use std::sync::Arc;
use std::time::Duration;

use may::coroutine::sleep;
use may::go;
use may::sync::SyncFlag;
use peers_common::{Parking, numbers};

fn main() {
    let [count] = numbers();
    // May makes 1,000 of them at its start by itself, which would be there before memory is looked at.
    may::config().set_pool_capacity(1);
    peers_may::run(1, move || {
        let flag = Arc::new(SyncFlag::new());
        let parking = Parking::begin(count as usize);
        for _ in 0..count as usize {
            let flag = Arc::clone(&flag);
            go!(move || {
                parking.park();
                flag.wait();
            });
        }
        while !parking.is_full() {
            // One that yields again and again keeps what it has spawned waiting for ever.
            sleep(Duration::from_millis(1));
        }
        parking.end()
    });
}
