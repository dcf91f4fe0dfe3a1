//! Whether to linger a little before a wait.
//!
//! A wait costs more than many an item takes to come, and then moves a single one. So a green thread or an
//! OS thread lingers first, where that has paid: three times in vain turn it off for all that wait for the
//! same thing, and a short wait turns it on again.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evy_runtime::linger;

/// Looks before a wait: some 5 µs.
const LOOKS: u32 = 100;

/// The time in which a batch gathers, in looks: some 2 µs.
const GATHER: u32 = 40;

/// Times in vain after which it is turned off.
const LIMIT: u32 = 3;

/// A wait shorter than this says that to linger would have paid.
const SHORT_WAIT: Duration = Duration::from_micros(20);

#[derive(Debug)]
pub(super) struct Patience {
    /// Times in a row in which nothing came.
    failures: AtomicU32,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { failures: AtomicU32::new(0) }
    }

    /// Lingers until `is_over`, if that has paid, and returns whether it was.
    pub(super) fn linger(&self, is_over: impl Fn() -> bool) -> bool {
        if self.failures.load(Relaxed) >= LIMIT {
            return false;
        }
        let paid = linger(LOOKS, is_over);
        // Several may count at once, and one of them for nothing: it is a guess in any case.
        let failures = if paid { 0 } else { self.failures.load(Relaxed) + 1 };
        self.failures.store(failures, Relaxed);
        paid
    }

    /// Waits, and notes how long that took.
    pub(super) fn wait<R>(&self, wait: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = wait();
        if start.elapsed() < SHORT_WAIT {
            self.failures.store(0, Relaxed);
        }
        result
    }
}

/// Lets a moment pass in which more may come, so that fewer moves move more.
pub(super) fn gather() {
    linger(GATHER, || false);
}
