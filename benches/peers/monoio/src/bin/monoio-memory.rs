//! Parks so many tasks: `monoio-memory COUNT`. monoio has nothing that tasks wait for each other by, so each
//! waits for what never comes. A task has no stack: what is counted is what it holds across its one wait.

use std::future::pending;
use std::time::Duration;

use monoio::time::sleep;
use peers_common::{Parking, numbers};

fn main() {
    let [count] = numbers();
    peers_monoio::run(async move {
        let parking = Parking::begin(count as usize);
        for _ in 0..count as usize {
            monoio::spawn(async move {
                parking.park();
                pending::<()>().await;
            });
        }
        while !parking.is_full() {
            // Nor does it have a yield: a task that wakes itself runs again before all others.
            sleep(Duration::from_millis(1)).await;
        }
        parking.end()
    });
}
