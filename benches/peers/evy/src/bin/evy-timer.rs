//! Sets and cancels a timer while so many others are set: `evy-timer LIVE OLDEST SECONDS`, prints the
//! nanoseconds for both.
//!
//! With OLDEST 0 it is an `evy::timeout` around work that is done at once. Otherwise the oldest timer is
//! cancelled and a new one set, as on a server whose connections all have the same timeout. The others are
//! alarms, which no green thread waits for.

use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use evy::Alarm;
use peers_common::{Laps, numbers};

const TIMEOUT: Duration = Duration::from_secs(600);

fn main() {
    let [live, oldest, seconds] = numbers();
    let laps = Laps::new(1, seconds);
    laps.begin(1);
    let mut alarms: VecDeque<Alarm> = (0..live as usize).map(|_| set()).collect();
    if oldest == 0.0 {
        loop {
            let _ = black_box(evy::timeout(TIMEOUT, || black_box(7)));
            laps.lap();
        }
    }
    loop {
        drop(alarms.pop_front());
        alarms.push_back(set());
        laps.lap();
    }
}

/// An alarm that runs.
fn set() -> Alarm {
    let mut alarm = Alarm::after(TIMEOUT);
    let poll = Pin::new(&mut alarm).poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending());
    alarm
}
