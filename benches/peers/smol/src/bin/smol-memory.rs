//! Parks so many tasks in the wait for one message, by a `LocalExecutor`: `smol-memory COUNT`. A task has no
//! stack: what is counted is what it holds across its one wait.

use peers_common::{Parking, numbers};
use smol::channel::bounded;
use smol::future::yield_now;

fn main() {
    let [count] = numbers();
    peers_smol::run(|executor| async move {
        let (_sender, messages) = bounded::<()>(1);
        let parking = Parking::begin(count as usize);
        for _ in 0..count as usize {
            let messages = messages.clone();
            let wait = async move {
                parking.park();
                messages.recv().await.ok()
            };
            executor.spawn(wait).detach();
        }
        while !parking.is_full() {
            yield_now().await;
        }
        parking.end()
    })
}
