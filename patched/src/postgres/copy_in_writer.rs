//! Where the data of a `COPY … FROM STDIN` is written to.

use std::fmt;
use std::future::{poll_fn, ready};
use std::io::{self, Write};
use std::mem;

use bytes::Bytes;
use futures_util::Sink;
use tokio_postgres::{Client, CopyInSink, Error, ToStatement};

use super::lazy_pin::LazyPin;
use super::link::{Copying, Link};

/// Bytes beyond which what was written is sent.
const BATCH: usize = 16 * 1024;

/// Takes the data of a `COPY … FROM STDIN`: what `copy_in` returns.
///
/// [`finish`](Self::finish) ends the copy. One that is dropped without it fails at the server, and copies
/// nothing. A write that is cut short, by a timeout, has taken nothing, and can be made again.
#[must_use = "nothing is copied without `finish`"]
pub struct CopyInWriter<'a> {
    // What it sends when it is dropped comes before what `copying` asks behind it.
    sink: LazyPin<CopyInSink<Bytes>>,
    buffer: Vec<u8>,
    copying: Copying<'a>,
}

impl<'a> CopyInWriter<'a> {
    pub(super) fn begin<T>(link: &'a Link, client: &'a Client, query: &T) -> Result<Self, Error>
    where
        T: ?Sized + ToStatement,
    {
        let copying = Copying::new(link, client);
        let sink = link.begin(client.copy_in(query))?;
        Ok(Self { sink: LazyPin::new(sink), buffer: Vec::new(), copying })
    }

    /// What it is made of, if nothing was sent.
    pub(super) fn into_parts(self) -> (Option<CopyInSink<Bytes>>, Copying<'a>) {
        let is_unused = self.buffer.is_empty();
        (self.sink.into_unpinned().filter(|_| is_unused), self.copying)
    }

    /// Ends the copy, and returns how many rows it has.
    ///
    /// # Errors
    ///
    /// The server's, if it does not like the data. See [`Client::copy_in`](super::Client::copy_in) for when
    /// the connection is lost with it.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.send()?;
        self.copying.finish(self.sink.pinned().finish())
    }

    /// In steps, none of which loses a byte when it is cut short.
    fn send(&mut self) -> Result<(), Error> {
        let Self { sink, buffer, copying } = self;
        let link = copying.link();
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
