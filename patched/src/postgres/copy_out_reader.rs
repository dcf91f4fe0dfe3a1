//! Where the data of a `COPY … TO STDOUT` is read from.

use std::fmt;
use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use tokio_postgres::CopyOutStream;

use super::lazy_pin::LazyPin;
use super::link::Link;

/// Gives the data of a `COPY … TO STDOUT`: what `copy_out` returns.
///
/// One that is dropped half read leaves the rest, which the connection throws away as it comes.
pub struct CopyOutReader<'a> {
    link: &'a Link,
    stream: LazyPin<CopyOutStream>,
    chunk: Bytes,
    is_over: bool,
}

impl<'a> CopyOutReader<'a> {
    pub(super) fn new(link: &'a Link, stream: CopyOutStream) -> Self {
        Self { link, stream: LazyPin::new(stream), chunk: Bytes::new(), is_over: false }
    }

    /// What it is made of, if nothing was read.
    pub(super) fn into_parts(self) -> (&'a Link, Option<CopyOutStream>) {
        let is_unused = self.chunk.is_empty();
        (self.link, self.stream.into_unpinned().filter(|_| is_unused))
    }
}

impl Read for CopyOutReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for CopyOutReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while !self.chunk.has_remaining() && !self.is_over {
            match self.link.more(self.stream.pinned()) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => {
                    self.is_over = true;
                    return Err(io::Error::other(error));
                }
                None => self.is_over = true,
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
    }
}

impl fmt::Debug for CopyOutReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOutReader").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
