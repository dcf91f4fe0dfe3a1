//! Parks so many tasks: `monoio-memory COUNT`. monoio has nothing that tasks wait for each other by, so each
//! waits for what never comes. A task has no stack: what is counted is what it holds across its one wait.

use std::future::pending;

use peers_common::{Parking, numbers};
use peers_monoio::yield_now;

fn main() {
    let [count] = numbers();
    peers_monoio::run(async {
        let parking = Parking::begin();
        for _ in 0..count as usize {
            monoio::spawn(async move {
                parking.park();
                pending::<()>().await;
            });
        }
        while !parking.is_full(count as usize) {
            yield_now().await;
        }
        parking.end()
    });
}
