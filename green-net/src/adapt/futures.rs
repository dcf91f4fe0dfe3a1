//! `AsyncRead` and `AsyncWrite` of the futures crates.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Async, Socket};

impl<S: Socket + Unpin> AsyncRead for Async<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let buffer = &raw mut *buffer as *mut [MaybeUninit<u8>];
        // SAFETY: the types have one layout, and `Socket::poll_read` writes bytes that are initialised,
        // and nothing else; the trait is sealed.
        let buffer = unsafe { &mut *buffer };
        Self::poll_read(self.get_mut(), context, buffer)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read_vectored(self.get_mut(), context, buffers)
    }
}

impl<S: Socket + Unpin> AsyncWrite for Async<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), context, buffers)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), context)
    }

    /// Ends the writing half; the descriptor closes at the drop.
    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), context)
    }
}
