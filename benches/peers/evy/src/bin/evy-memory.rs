//! Parks so many green threads in the wait for one event: `evy-memory COUNT`.

use std::rc::Rc;

use evy::sync::Event;
use peers_common::{Parking, numbers};

fn main() {
    let [count] = numbers();
    let event = Rc::new(Event::<()>::new());
    // So that the hub stands.
    evy::yield_now();
    let parking = Parking::begin(count as usize);
    for _ in 0..count as usize {
        let event = Rc::clone(&event);
        evy::spawn_n(move || {
            parking.park();
            event.wait();
        });
    }
    while !parking.is_full() {
        evy::yield_now();
    }
    parking.end()
}
