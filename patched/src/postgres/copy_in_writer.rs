//! Where the data of a `COPY … FROM STDIN` is written to.

use std::fmt;
use std::future::{poll_fn, ready};
use std::io::{self, Write};
use std::mem;

use bytes::Bytes;
use futures_util::Sink;
use tokio_postgres::{CopyInSink, Error};

use super::lazy_pin::LazyPin;
use super::link::Link;

/// Bytes beyond which what was written is sent.
const BATCH: usize = 16 * 1024;

/// Takes the data of a `COPY … FROM STDIN`: what `copy_in` returns.
///
/// [`finish`](Self::finish) ends the copy. One that is dropped without it fails at the server, and copies
/// nothing. A write that is cut short, by a timeout, has taken nothing, and can be made again.
#[must_use = "nothing is copied without `finish`"]
pub struct CopyInWriter<'a> {
    link: &'a Link,
    sink: LazyPin<CopyInSink<Bytes>>,
    buffer: Vec<u8>,
}

impl<'a> CopyInWriter<'a> {
    pub(super) fn new(link: &'a Link, sink: CopyInSink<Bytes>) -> Self {
        Self { link, sink: LazyPin::new(sink), buffer: Vec::new() }
    }

    /// What it is made of, if nothing was sent.
    pub(super) fn into_parts(self) -> (&'a Link, Option<CopyInSink<Bytes>>) {
        let is_unused = self.buffer.is_empty();
        (self.link, self.sink.into_unpinned().filter(|_| is_unused))
    }

    /// Ends the copy, and returns how many rows it has.
    ///
    /// # Errors
    ///
    /// The server's, if it does not like the data.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.send()?;
        self.link.call(self.sink.pinned().finish())
    }

    /// In steps, none of which loses a byte when it is cut short.
    fn send(&mut self) -> Result<(), Error> {
        let Self { link, sink, buffer } = self;
        let mut sink = sink.pinned();
        if !buffer.is_empty() {
            link.begin(poll_fn(|context| sink.as_mut().poll_ready(context)))?;
            let bytes = Bytes::from(mem::take(buffer));
            link.begin(ready(sink.as_mut().start_send(bytes)))?;
        }
        link.begin(poll_fn(|context| sink.as_mut().poll_flush(context)))
    }
}

impl Write for CopyInWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() > BATCH {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send().map_err(io::Error::other)
    }
}

impl fmt::Debug for CopyInWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyInWriter").field("unsent", &self.buffer.len()).finish_non_exhaustive()
    }
}
