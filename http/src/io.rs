//! A connection as hyper sees it: a stream that notes what passes, and begins with what was read ahead.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use crate::pulse::Pulse;
use crate::stream::{AsyncStream, Shared, with_each};

#[derive(Debug)]
pub(crate) struct Io {
    stream: AsyncStream,
    /// Was read before hyper was there.
    ahead: Bytes,
    /// Heads are looked at as they come.
    looks: bool,
    /// The system has been told how much it may hold.
    is_bounded: bool,
    pulse: Rc<Pulse>,
}

/// The most that is read at once where a head may come.
const HEAD: usize = 8 * 1024;

/// A write that is longer is not taken at once by a peer that is slow.
const MUCH: usize = 64 * 1024;

impl Io {
    pub(crate) fn new(stream: Shared, pulse: Rc<Pulse>) -> Self {
        let stream = AsyncStream::new(stream);
        pulse.is_shaking.set(stream.is_shaking());
        Self { stream, ahead: Bytes::new(), looks: true, is_bounded: false, pulse }
    }

    /// Gives `bytes` back, to be read again.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        debug_assert!(self.ahead.is_empty(), "only once");
        self.ahead = bytes;
    }

    /// No head of HTTP/1.1 comes any more.
    pub(crate) fn look_no_more(&mut self) {
        self.looks = false;
        self.pulse.look.take();
    }

    fn poll_read_head(
        &mut self,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // What hyper lends us can be written to, and not read. This is on the stack, for it need not be
        // filled with zeros, nor found: a buffer of the OS thread's costs 90 instructions a request more.
        let mut space = [const { MaybeUninit::uninit() }; HEAD];
        let length = HEAD.min(buffer.remaining());
        let mut read = ReadBuf::uninit(&mut space[..length]);
        let result = with_each!(&mut self.stream, stream => {
            Pin::new(stream).poll_read(context, read.unfilled())
        });
        let mut look = self.pulse.look.borrow_mut();
        if read.filled().is_empty() {
            look.shrink();
        } else {
            buffer.put_slice(read.filled());
            look.read(read.filled());
        }
        result
    }

    /// Has the system forget what it has not sent when this is dropped; the peer sees a reset.
    pub(crate) fn reset_when_closed(&self) {
        self.stream.reset_when_closed();
    }

    /// The stream, and what was read ahead of it.
    pub(crate) fn into_parts(self) -> (Shared, Bytes) {
        (self.stream.into_shared(), self.ahead)
    }

    #[inline]
    fn note_read(&mut self, had_room: bool) {
        let (before, now) = (self.pulse.bytes_read.get(), self.stream.bytes_read());
        if now > before {
            self.pulse.bytes_read.set(now);
        } else if had_room {
            self.pulse.saw_end.set(true);
        }
    }

    #[inline]
    fn note_write(&mut self, is_pending: bool) {
        self.pulse.bytes_written.set(self.stream.bytes_written());
        self.pulse.is_write_pending.set(is_pending);
        if is_pending {
            self.bound_unsent();
        }
    }

    /// The system is about to be given much.
    #[cold]
    fn bound_unsent(&mut self) {
        if !mem::replace(&mut self.is_bounded, true) {
            self.stream.bound_unsent();
        }
    }
}

impl Read for Io {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        let had_room = buffer.remaining() > 0;
        let result = if self.looks && !self.pulse.is_in_a_request() {
            self.poll_read_head(context, buffer)
        } else {
            with_each!(&mut self.stream, stream => Pin::new(stream).poll_read(context, buffer))
        };
        // The handshake ends with a read that gives nothing yet.
        if self.pulse.is_shaking.get() {
            self.pulse.is_shaking.set(self.stream.is_shaking());
        }
        ready!(result)?;
        self.note_read(had_room);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.len() > MUCH {
            self.bound_unsent();
        }
        let result =
            with_each!(&mut self.stream, stream => Pin::new(stream).poll_write(context, bytes));
        self.note_write(result.is_pending());
        result
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if buffers.iter().any(|buffer| buffer.len() > MUCH) {
            self.bound_unsent();
        }
        let result = with_each!(&mut self.stream, stream => {
            Pin::new(stream).poll_write_vectored(context, buffers)
        });
        self.note_write(result.is_pending());
        result
    }

    /// hyper asks once for a connection, before its first answer is known. Without it, hyper copies all that is
    /// to be sent into one buffer and keeps that: 610 instructions of 11,100 less for a hello, 300 of 12,700 more
    /// for 8 KiB, and 1,063,000 instead of 15,500 for 1 MiB.
    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = with_each!(&mut self.stream, stream => Pin::new(stream).poll_flush(context));
        self.pulse.is_write_pending.set(result.is_pending());
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_each!(&mut self.stream, stream => Pin::new(stream).poll_shutdown(context))
    }
}
