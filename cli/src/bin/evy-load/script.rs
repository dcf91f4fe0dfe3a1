//! The requests of one connection as bytes: what is to be written.
//!
//! ```text
//!   echo    |   size   |   size   | …            noise and nothing else
//!   HTTP    | head |   size   | head |   size   | …      the same head each time
//! ```

use std::io::{self, Write};
use std::mem;
use std::rc::Rc;

use crate::connection::Connection;
use crate::pattern::{Pattern, Position};

/// Requests, one after the other and for ever.
pub(crate) struct Script {
    /// What each of them begins with; nothing for an echo.
    head: Rc<[u8]>,
    /// Bytes of each that follow.
    size: usize,
    pattern: Rc<Pattern>,
    /// Where in the pattern these are.
    at: Position,
    /// Bytes that were given of the current request.
    given: usize,
    /// Where pieces that are small become one.
    together: Vec<u8>,
}

impl Script {
    pub(crate) fn new(head: Rc<[u8]>, size: usize, pattern: Rc<Pattern>, at: Position) -> Self {
        Self { head, size, pattern, at, given: 0, together: Vec::new() }
    }

    /// The next bytes, up to so many, as long as they are in one piece.
    pub(crate) fn next(&mut self, most: usize) -> &[u8] {
        if self.head.is_empty() {
            return self.pattern.take(&mut self.at, most);
        }
        let start = self.given;
        let piece = if start < self.head.len() {
            let end = self.head.len().min(start.saturating_add(most));
            &self.head[start..end]
        } else {
            let left = self.head.len() + self.size - start;
            self.pattern.take(&mut self.at, most.min(left))
        };
        self.given += piece.len();
        if self.given == self.head.len() + self.size {
            self.given = 0;
        }
        piece
    }

    /// Writes the next bytes, so few that copying them costs less than another system call.
    pub(crate) fn write(&mut self, mut connection: &Connection, bytes: usize) -> io::Result<()> {
        let mut together = mem::take(&mut self.together);
        let piece = self.next(bytes);
        if piece.len() == bytes {
            return connection.write_all(piece);
        }
        together.clear();
        together.extend_from_slice(piece);
        while together.len() < bytes {
            let piece = self.next(bytes - together.len());
            together.extend_from_slice(piece);
        }
        self.together = together;
        connection.write_all(&self.together)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(script: &mut Script, bytes: usize, most: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while taken.len() < bytes {
            taken.extend_from_slice(script.next(most.min(bytes - taken.len())));
        }
        taken
    }

    #[test]
    fn requests_are_the_same_in_whatever_pieces() {
        let pattern = Rc::new(Pattern::new(10));
        for (head, size) in [("", 10), ("head", 0), ("head", 10), ("head", 100_000)] {
            let script =
                || Script::new(head.as_bytes().into(), size, Rc::clone(&pattern), pattern.start(3));
            let whole = taken(&mut script(), 300_000, usize::MAX);
            for most in [1, 7, 5_000] {
                assert!(taken(&mut script(), 300_000, most) == whole, "{head} {size} {most}");
            }
            let requests = whole.chunks(head.len() + size).filter(|part| part.len() > head.len());
            assert!(requests.clone().all(|request| request.starts_with(head.as_bytes())));
            let bodies: Vec<u8> =
                requests.flat_map(|request| &request[head.len()..]).copied().collect();
            assert_eq!(pattern.compare(&mut pattern.start(3), &bodies), Ok(()));
        }
    }
}
