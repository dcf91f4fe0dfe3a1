//! A look at heads as they were sent, for what hyper does not say: a length beside a coding.
//!
//! Of `Content-Length` and `Transfer-Encoding` in one head hyper goes by the second and forgets the first,
//! which RFC 9112, 6.3 allows. Somebody on the way may have gone by the first, so we refuse such a request, unless
//! its head came along with the rest of a body, or while somebody still has the body before it: then the
//! connection ends after its answer, as hyper sees to.
//!
//! ```text
//!   bytes    … │ head, body │ head, body │ part of a head        what was read since nothing was left over
//!   bodies         3            0                                one for each request that was seen in it
//! ```
//!
//! All that happens to a usual request is that its head is copied. It is searched where there is a coding.

use std::mem;

use crate::limits::LONGEST_HEAD;

/// The most that is kept for a connection between its requests.
const KEPT: usize = 1024;

/// A head has more bytes than that.
const SHORTEST_HEAD: usize = 14;

/// What was read while no request was under way, and the requests that were in it.
#[derive(Debug, Default)]
pub(crate) struct Look {
    bytes: Vec<u8>,
    bodies: Vec<Length>,
}

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunked,
}

impl Look {
    /// `bytes` have come while no request was under way: all that had come before has been taken, up to a
    /// part of a head maybe.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if !self.bytes.is_empty() {
            self.forget_requests();
        }
        if self.bytes.len() > LONGEST_HEAD {
            // hyper has refused it, or it is no head: a body that nobody reads any more.
            self.bytes = Vec::new();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// A request has begun; returns whether its head has a length beside its coding.
    #[inline]
    pub(crate) fn has_length_and_coding(&mut self, length: Length) -> bool {
        // More than can lie in what was read: those behind came along with bodies, and were not seen.
        if self.bodies.len() * SHORTEST_HEAD > self.bytes.len() {
            self.bytes.clear();
            self.bodies.clear();
        }
        let has_both =
            length == Length::Chunked && self.rest().and_then(head).is_some_and(has_length);
        self.bodies.push(length);
        has_both
    }

    /// Whether a part of a head is behind the requests that were seen: it came along with the last of them.
    pub(crate) fn has_part_of_a_head(&self) -> bool {
        !self.ends_with_a_head() && self.rest().is_some_and(|rest| !rest.is_empty())
    }

    /// So nothing is behind it. It is how nearly all that is read ends.
    fn ends_with_a_head(&self) -> bool {
        self.bytes.ends_with(b"\n\r\n") || self.bytes.ends_with(b"\n\n")
    }

    /// Nothing has come: gives back the memory of a long head.
    #[inline]
    pub(crate) fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.forget_requests();
        }
    }

    /// What is behind the requests that were seen; `None` where that is not known.
    fn rest(&self) -> Option<&[u8]> {
        self.bodies.iter().try_fold(&self.bytes[..], |bytes, length| {
            let rest = &bytes[head(bytes)?.len()..];
            match *length {
                // The rest of the body was read later.
                Length::Known(length) => {
                    Some(&rest[usize::try_from(length).map_or(rest.len(), |n| n.min(rest.len()))..])
                }
                Length::Chunked => None,
            }
        })
    }

    fn forget_requests(&mut self) {
        let left = if self.ends_with_a_head() { 0 } else { self.rest().map_or(0, <[u8]>::len) };
        if left > 0 {
            self.bytes.drain(..self.bytes.len() - left);
        } else if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        self.bodies.clear();
        if self.bodies.capacity() > KEPT {
            mem::take(&mut self.bodies);
        }
    }
}

/// The head that `bytes` begin with, with its empty line, and those in front.
fn head(bytes: &[u8]) -> Option<&[u8]> {
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte))?;
    let mut lines = begin;
    loop {
        let line = lines + bytes[lines..].iter().position(|byte| *byte == b'\n')? + 1;
        match bytes[line..] {
            [b'\n', ..] => return Some(&bytes[..line + 1]),
            [b'\r', b'\n', ..] => return Some(&bytes[..line + 2]),
            _ => lines = line,
        }
    }
}

fn has_length(head: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    head.split(|byte| *byte == b'\n').any(|line| {
        line.len() > NAME.len()
            && line[NAME.len()] == b':'
            && line[..NAME.len()].eq_ignore_ascii_case(NAME)
    })
}

#[cfg(test)]
mod tests;
