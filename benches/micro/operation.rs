//! What is timed: an operation of a few nanoseconds, done many times in a row.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Does an operation that many times and returns how long that took.
pub(crate) type Operation<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// Times `n` runs of `f`, whose result counts as used.
#[inline(always)]
pub(crate) fn time<R>(n: u64, mut f: impl FnMut() -> R) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        black_box(f());
    }
    start.elapsed()
}
