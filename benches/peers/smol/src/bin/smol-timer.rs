//! Sets and cancels a timer while so many others are set: `smol-timer LIVE OLDEST SECONDS`, prints the
//! nanoseconds for both.
//!
//! A `Timer` is set when it is first polled and cancelled when it is dropped. With OLDEST 0 the same one is
//! set and cancelled; otherwise the oldest one is cancelled and a new one set.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use peers_common::{Laps, numbers};
use smol::Timer;

const TIMEOUT: Duration = Duration::from_secs(600);

fn main() {
    let [live, oldest, seconds] = numbers();
    let laps = Laps::new(1, seconds);
    laps.begin(1);
    peers_smol::run(|_executor| async move {
        let mut timers: VecDeque<Timer> = (0..live as usize).map(|_| set()).collect();
        if oldest == 0.0 {
            loop {
                drop(set());
                laps.lap();
            }
        }
        loop {
            drop(timers.pop_front());
            timers.push_back(set());
            laps.lap();
        }
    })
}

/// A timer that runs.
fn set() -> Timer {
    let mut timer = Timer::after(TIMEOUT);
    let poll = Pin::new(&mut timer).poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending());
    timer
}
