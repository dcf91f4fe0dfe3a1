//! Parks so many tasks in the wait for one event: `tokio-memory WORKERS COUNT`. WORKERS is 0 for the
//! current_thread runtime. A task has no stack: what is counted is what it holds across its one wait.

use std::sync::Arc;

use peers_common::{Parking, numbers};
use peers_tokio::{Drivers, run};
use tokio::sync::Notify;
use tokio::task::yield_now;

fn main() {
    let [workers, count] = numbers();
    run(workers, Drivers::None, async move {
        let event = Arc::new(Notify::new());
        let parking = Parking::begin(count as usize);
        for _ in 0..count as usize {
            let event = Arc::clone(&event);
            tokio::spawn(async move {
                parking.park();
                event.notified().await;
            });
        }
        while !parking.is_full() {
            yield_now().await;
        }
        parking.end()
    });
}
