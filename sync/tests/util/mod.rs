//! What the tests of this crate share, beside what they share with those of the runtime.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

#[path = "../../../runtime/tests/util/mod.rs"]
mod runtime;

use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{GreenThread, spawn, yield_now};

#[allow(unused_imports, reason = "each test program uses its own part of this")]
pub use runtime::*;

/// A time that no test waits for, and after which one that hangs fails.
pub const LONG: Duration = Duration::from_secs(30);

/// A short time, to be over.
pub const SOON: Duration = Duration::from_millis(2);

/// Runs all others until nothing changes any more: in these tests nobody goes on for so long.
pub fn settle() {
    (0..50).for_each(|_| yield_now());
}

/// Starts a green thread that uses `shared`, and lets it run until it parks or ends.
pub fn start<S: 'static, T: 'static>(
    shared: &Rc<S>,
    f: impl FnOnce(&S) -> T + 'static,
) -> GreenThread<T> {
    let shared = Rc::clone(shared);
    let thread = spawn(move || f(&shared));
    yield_now();
    thread
}

/// Holds the OS thread up for so long, so that several deadlines are over in one turn of the hub.
pub fn hog(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Whether another green thread ran while `f` did.
pub fn yields<T>(f: impl FnOnce() -> T) -> bool {
    let witness = spawn(|| ());
    f();
    let ran = witness.is_finished();
    witness.wait().expect("it does nothing");
    ran
}
