//! The answers of an echo server: the very bytes of the requests.

use std::rc::Rc;

use crate::failure::Failure;
use crate::found::Found;
use crate::pattern::{Pattern, Position};

/// What is to come back.
pub(crate) struct Echoes {
    pattern: Rc<Pattern>,
    /// Where in the pattern the next byte is.
    to_come: Position,
    /// Bytes of each answer.
    size: usize,
    /// Bytes that have come of the answer to the first request in flight.
    partial: usize,
}

impl Echoes {
    pub(crate) fn new(pattern: Rc<Pattern>, start: Position, size: usize) -> Self {
        Self { pattern, to_come: start, size, partial: 0 }
    }

    /// Compares what has come, of which answers to so many requests may be.
    pub(crate) fn check(&mut self, came: &[u8], in_flight: usize) -> Found {
        let expected = came.len().min(in_flight * self.size - self.partial);
        if let Err(failure) = self.compare(&came[..expected]) {
            return Found { failure: Some(failure), ..Found::default() };
        }
        let answers = (self.partial + expected) / self.size;
        self.partial = (self.partial + expected) % self.size;
        let failure = (came.len() > expected).then_some(Failure::Surplus);
        Found { answers, taken: expected, failure }
    }

    fn compare(&mut self, came: &[u8]) -> Result<(), Failure> {
        self.pattern.compare(&mut self.to_come, came).map_err(|(at, expected)| {
            let of_answer = (self.partial + at) % self.size;
            Failure::Corrupt { at: of_answer, came: came[at], expected }
        })
    }

    /// The same of an answer that is marked off by other means: a piece of it.
    pub(crate) fn check_piece(&mut self, came: &[u8]) -> Result<(), Failure> {
        let bytes = self.partial + came.len();
        if bytes > self.size {
            return Err(Failure::Length { came: bytes, expected: self.size });
        }
        self.compare(came)?;
        self.partial = bytes;
        Ok(())
    }

    /// The end of it.
    pub(crate) fn check_end(&mut self) -> Result<(), Failure> {
        let came = std::mem::take(&mut self.partial);
        if came < self.size { Err(Failure::Length { came, expected: self.size }) } else { Ok(()) }
    }

    /// The next answer is another one.
    pub(crate) fn skip(&mut self) {
        self.pattern.skip(&mut self.to_come, self.size);
    }
}
