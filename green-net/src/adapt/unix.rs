//! Unix streams for futures.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::{Interests, Socket, sealed, unless_reset};
use crate::UnixStream;
use crate::green_io::sys;

impl sealed::Sealed for UnixStream {}

impl UnixStream {
    /// A short read does not mean that it is drained, as it does with TCP.
    fn poll_stream_read(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        is_empty: bool,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if is_empty {
            return Poll::Ready(Ok(0));
        }
        self.io().poll_read(&mut interests.read, context, call)
    }
}

impl Socket for UnixStream {
    fn poll_read(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = buffer.is_empty();
        self.poll_stream_read(interests, context, is_empty, |fd| sys::recv_uninit(fd, buffer))
    }

    fn poll_read_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let usable = buffers.len().min(sys::MOST_BUFFERS);
        let buffers = &mut buffers[..usable];
        let is_empty = buffers.iter().all(|buffer| buffer.is_empty());
        self.poll_stream_read(interests, context, is_empty, |fd| sys::recv_vectored(fd, buffers))
    }

    fn poll_write(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io()
            .poll_write(&mut interests.write, context, bytes.is_empty(), |fd| sys::send(fd, bytes))
    }

    fn poll_write_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = buffers.iter().all(|buffer| buffer.is_empty());
        let call = |fd: BorrowedFd<'_>| sys::send_vectored(fd, buffers);
        self.io().poll_write(&mut interests.write, context, is_empty, call)
    }

    fn poll_shutdown(
        &self,
        _interests: &mut Interests,
        _context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(unless_reset(self.shutdown(Shutdown::Write)))
    }
}
