//! A body in chunks: RFC 9112, section 7.1.

use std::ops::Range;

use crate::failure::Failure;

/// The longest line of a size, with what may follow it, and the longest trailer.
const LONGEST_LINE: usize = 16 << 10;

/// Where in the body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    Size,
    /// Behind them: extensions, which mean nothing to us.
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    /// The line break behind the data: its second byte.
    DataEndLf,
    /// At the start of a line behind the last chunk.
    Trailer,
    InTrailer,
    LastLf,
    Over,
}

/// How far a body in chunks has come.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: At,
    /// Bytes of the chunk that are to come.
    left: u64,
    /// Bytes of the line.
    line: usize,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { at: At::Size, left: 0, line: 0 }
    }

    pub(crate) fn are_over(&self) -> bool {
        self.at == At::Over
    }

    /// Takes what came up to the end of a piece of data, of the whole body, or of what is there. How much
    /// that is, and where in it the data are.
    pub(crate) fn take(&mut self, came: &[u8]) -> Result<(usize, Range<usize>), Failure> {
        for (at, byte) in came.iter().enumerate() {
            if self.at == At::Data {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let end = came.len().min(at.saturating_add(left));
                self.left -= (end - at) as u64;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                return Ok((end, at..end));
            }
            self.step(*byte)?;
            if self.are_over() {
                return Ok((at + 1, 0..0));
            }
        }
        Ok((came.len(), 0..0))
    }

    /// A byte that is no data.
    fn step(&mut self, byte: u8) -> Result<(), Failure> {
        self.line += 1;
        if self.line > LONGEST_LINE {
            return Err(malformed("a line between its chunks has no end"));
        }
        self.at = match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).expect("it is one");
                let size =
                    self.left.checked_mul(16).ok_or_else(|| malformed("a chunk is too large"));
                self.left = size? + u64::from(digit);
                At::Size
            }
            (At::Size, _) if self.line == 1 => return Err(malformed("a chunk has no size")),
            (At::Size | At::Extension, b'\r') => At::SizeEnd,
            (At::Size, b';' | b' ' | b'\t') => At::Extension,
            (At::Extension, _) if byte != b'\n' => At::Extension,
            (At::SizeEnd, b'\n') => self.end_of_size(),
            (At::DataEnd, b'\r') => At::DataEndLf,
            (At::DataEndLf, b'\n') => {
                self.line = 0;
                At::Size
            }
            (At::Trailer, b'\r') => At::LastLf,
            (At::LastLf, b'\n') => At::Over,
            (At::Trailer | At::InTrailer, b'\n') => At::Trailer,
            (At::Trailer | At::InTrailer, _) => At::InTrailer,
            _ => return Err(malformed("its chunks are not where they should be")),
        };
        Ok(())
    }

    fn end_of_size(&mut self) -> At {
        self.line = 0;
        if self.left == 0 { At::Trailer } else { At::Data }
    }
}

fn malformed(text: &str) -> Failure {
    Failure::Malformed(format!("of an answer's body, {text}"))
}
