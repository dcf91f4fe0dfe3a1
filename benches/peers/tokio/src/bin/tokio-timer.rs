//! Sets and cancels a timer while so many others are set: `tokio-timer WORKERS LIVE OLDEST SECONDS`, prints
//! the nanoseconds for both. WORKERS is 0 for the current_thread runtime.
//!
//! A `Sleep` is set when it is first polled and cancelled when it is dropped: that is what a `timeout` does
//! whose future has to wait. With OLDEST 0 the same one is set and cancelled, on the task's own stack;
//! otherwise the oldest one is cancelled and a new one set.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use peers_common::{Laps, numbers};
use peers_tokio::{Drivers, run};
use tokio::time::{Sleep, sleep};

const TIMEOUT: Duration = Duration::from_secs(600);

fn main() {
    let [workers, live, oldest, seconds] = numbers();
    let laps = Laps::new(1, seconds);
    laps.begin(1);
    run(workers, Drivers::Time, async move {
        let mut timers: VecDeque<Pin<Box<Sleep>>> = (0..live as usize).map(|_| set()).collect();
        if oldest == 0.0 {
            loop {
                start(pin!(sleep(TIMEOUT)).as_mut());
                laps.lap();
            }
        }
        loop {
            drop(timers.pop_front());
            timers.push_back(set());
            laps.lap();
        }
    });
}

fn set() -> Pin<Box<Sleep>> {
    let mut timer = Box::pin(sleep(TIMEOUT));
    start(timer.as_mut());
    timer
}

fn start(timer: Pin<&mut Sleep>) {
    assert!(timer.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}
