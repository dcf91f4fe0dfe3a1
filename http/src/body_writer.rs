//! Where a handler writes an answer that is sent while it comes to be.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::rc::Rc;

use bytes::Bytes;

use crate::pipe::Pipe;

/// The most that is held back before it is sent.
const PIECE: usize = 16 * 1024;

/// Where the body of an answer is written: given to the closure of [`Body::writer`](crate::Body::writer).
///
/// It collects up to 16 KiB before it sends them; [`flush`](Write::flush) sends what is there. A write
/// parks while the client has not taken what was sent before, beyond what the system and hyper hold for
/// it.
///
/// ```
/// use std::io::Write;
/// use evy_http::Body;
///
/// let body = Body::writer(|client| writeln!(client, "one line"));
/// # drop(body);
/// ```
pub struct BodyWriter {
    pipe: Rc<Pipe>,
    collected: Vec<u8>,
}

impl BodyWriter {
    pub(crate) fn new(pipe: Rc<Pipe>) -> Self {
        Self { pipe, collected: Vec::new() }
    }

    /// Sends `bytes` without copying them.
    ///
    /// ```
    /// use evy_http::Body;
    ///
    /// let page = bytes::Bytes::from_static(b"<p>a page that many get");
    /// let body = Body::writer(move |client| client.send(page));
    /// # drop(body);
    /// ```
    ///
    /// # Errors
    ///
    /// `BrokenPipe` when the client has gone away.
    ///
    /// # Yields
    ///
    /// While the client has not taken what was sent before.
    pub fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.flush()?;
        self.pipe.put(bytes)
    }

    /// Whether the client has gone away, as far as is known: writes give an error then.
    ///
    /// ```
    /// use evy_http::Body;
    ///
    /// let body = Body::writer(|client| {
    ///     while !client.is_gone() {
    ///         evy_runtime::sleep(std::time::Duration::from_secs(1));
    ///     }
    ///     Ok(())
    /// });
    /// # drop(body);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_gone(&self) -> bool {
        self.pipe.is_gone()
    }

    pub(crate) fn copy_from(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                // What a slow reader gives is passed on as it comes.
                Ok(count) => self.send(Bytes::copy_from_slice(&buffer[..count]))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends the rest, and waits until it was taken.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.pipe.wait_for_room()
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.collected.len() + bytes.len() > PIECE {
            self.flush()?;
        }
        let count = bytes.len().min(PIECE);
        if self.pipe.is_gone() {
            self.pipe.wait_for_room()?;
        }
        self.collected.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.put(mem::take(&mut self.collected).into())
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter")
            .field("collected", &self.collected.len())
            .finish_non_exhaustive()
    }
}
