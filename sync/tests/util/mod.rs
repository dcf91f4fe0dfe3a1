//! What the tests of this crate share, beside what they share with those of the runtime.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

#[path = "../../../runtime/tests/util/mod.rs"]
mod runtime;

use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{GreenThread, sleep, spawn, yield_now};

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

/// How long those wait whose time [`let_patience_end`] ends: longer than the OS may suspend a test that
/// has begun.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// Comes back when the time of those who wait for [`PATIENCE`] is over: the hub has queued them in the
/// same turn as the caller, behind it, so they have not gone on.
pub fn let_patience_end() {
    let hog = spawn(|| {
        let start = Instant::now();
        while start.elapsed() < 2 * PATIENCE {
            std::hint::spin_loop();
        }
    });
    sleep(Duration::from_nanos(1));
    assert!(hog.is_finished());
}

/// Whether another green thread ran while `f` did.
pub fn yields<T>(f: impl FnOnce() -> T) -> bool {
    let witness = spawn(|| ());
    f();
    let ran = witness.is_finished();
    witness.wait().expect("it does nothing");
    ran
}
