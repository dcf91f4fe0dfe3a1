//! What the programs of the peers in Rust have in common: their arguments, how laps are timed, how the
//! memory of parked green threads is asked for, and the work of a handler that computes.

#![forbid(unsafe_code)]

mod laps;
mod parking;

use std::hint::black_box;

pub use laps::Laps;
pub use parking::Parking;

/// Bytes that a connection reads at once, with every peer whose programs have a buffer for each.
pub const BUFFER: usize = 16 * 1024;

/// The program's arguments, which are numbers.
///
/// # Panics
///
/// When there are not so many, or others.
#[must_use]
pub fn numbers<const N: usize>() -> [f64; N] {
    let numbers: Vec<f64> =
        std::env::args().skip(1).map(|argument| argument.parse().expect("a number")).collect();
    let count = numbers.len();
    numbers.try_into().unwrap_or_else(|_| panic!("{N} arguments are needed, not {count}"))
}

/// What a handler computes before it answers: about half a millisecond, beside which the echo itself costs
/// next to nothing. Each step needs the one before, so that every compiler takes as long.
pub fn compute() {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..300_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}
