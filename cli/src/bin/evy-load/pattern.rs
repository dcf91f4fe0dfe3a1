//! What is sent: a stretch of noise, over and over.
//!
//! ```text
//!   noise     | 0 … period-1 | 0 … period-1 |     twice, so that every stretch of up to a period
//!                  ^ start                          is one slice
//!   requests       |r0|r1|r2| …                   one after the other from a start of their own
//! ```
//!
//! A request's content thus needs no work and no memory of its own. Requests of one connection differ,
//! since the period is a prime and no divisor of the size; connections begin at different places. A
//! byte that is lost, doubled or changed does not fit the noise.

use std::ops::Range;

/// Two primes: no size that matters is a multiple of both.
const PERIODS: [usize; 2] = [65_521, 65_519];
/// Up to this size, a short one: all of it then stays in the processor's nearest cache.
const SMALL: usize = 1024;
const SMALL_PERIOD: usize = 4_093;
/// How far apart in the noise neighbouring connections begin.
const STRIDE: usize = 7_919;

/// The noise.
pub(crate) struct Pattern {
    period: usize,
    noise: Box<[u8]>,
}

impl Pattern {
    pub(crate) fn new(size: usize) -> Self {
        let period = match size {
            ..=SMALL => SMALL_PERIOD,
            _ if size.is_multiple_of(PERIODS[0]) => PERIODS[1],
            _ => PERIODS[0],
        };
        let once = noise(period);
        Self { period, noise: [&once[..], &once[..]].concat().into() }
    }

    /// Where a connection's first request begins.
    pub(crate) fn start(&self, connection: usize) -> Position {
        Position(connection.wrapping_mul(STRIDE) % self.period)
    }

    /// Up to `bytes` bytes from a position, in one piece, which moves past them.
    pub(crate) fn take(&self, position: &mut Position, bytes: usize) -> &[u8] {
        let range: Range<usize> = position.0..position.0 + bytes.min(self.period);
        position.0 = if range.end < self.period { range.end } else { range.end - self.period };
        &self.noise[range]
    }

    /// Moves a position past so many bytes.
    pub(crate) fn skip(&self, position: &mut Position, bytes: usize) {
        position.0 = (position.0 + bytes % self.period) % self.period;
    }

    /// Compares what came with what is at a position, which moves past it. The index of the first
    /// byte that is different, and what it should have been.
    pub(crate) fn compare(&self, position: &mut Position, came: &[u8]) -> Result<(), (usize, u8)> {
        let mut done = 0;
        while done < came.len() {
            let expected = self.take(position, came.len() - done);
            let part = &came[done..done + expected.len()];
            if part != expected {
                let at = part.iter().zip(expected).position(|(came, sent)| came != sent);
                let at = at.expect("the slices differ");
                return Err((done + at, expected[at]));
            }
            done += expected.len();
        }
        Ok(())
    }
}

/// A place in the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position(usize);

/// The bytes of a xorshift generator with a fixed seed: every run sends the same.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_connection_differ_and_so_do_those_of_connections() {
        for size in [16, SMALL, 4096, PERIODS[0], 10 * PERIODS[0]] {
            let pattern = Pattern::new(size);
            let (mut one, mut other) = (pattern.start(0), pattern.start(1));
            let first = pattern.take(&mut one, size.min(16)).to_vec();
            pattern.skip(&mut one, size - first.len());
            assert_ne!(first, pattern.take(&mut one, size.min(16)), "size {size}");
            assert_ne!(first, pattern.take(&mut other, size.min(16)), "size {size}");
        }
    }

    #[test]
    fn what_was_taken_in_pieces_compares_equal_in_others() {
        let pattern = Pattern::new(1);
        let (mut sent, mut checked) = (pattern.start(3), pattern.start(3));
        let mut stream = Vec::new();
        while stream.len() < 300_000 {
            stream.extend_from_slice(pattern.take(&mut sent, 100_000));
        }
        for piece in stream.chunks(70_001) {
            assert_eq!(pattern.compare(&mut checked, piece), Ok(()));
        }
        assert_eq!(sent, checked);
    }

    #[test]
    fn a_byte_that_is_changed_or_lost_is_found() {
        let pattern = Pattern::new(1000);
        let mut position = pattern.start(0);
        let mut came = pattern.take(&mut position, 1000).to_vec();
        let right = came[700];
        came[700] ^= 1;
        assert_eq!(pattern.compare(&mut pattern.start(0), &came), Err((700, right)));
        came.remove(700);
        assert!(pattern.compare(&mut pattern.start(0), &came).is_err());
    }
}
