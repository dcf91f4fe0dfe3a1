//! TLS streams for futures.
//!
//! A [`TlsStream`] is told for each call what its ciphertext passes over. Here that is the socket as a
//! future sees it ([`Polled`]): where it would park it leaves the waker and says `WouldBlock`, which the
//! session takes as "later" and keeps what it has.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use super::{Interests, Socket, sealed};
use crate::TcpStream;
use crate::tls::{Carrier, TlsStream, Transport};

/// The most that one read gives: what one record can have.
const LONGEST: usize = 16 * 1024;

/// A socket for the length of one poll.
struct Polled<'a, 'b, S> {
    socket: &'a S,
    poll: RefCell<(&'a mut Interests, &'a mut Context<'b>)>,
}

impl<S: Socket> Polled<'_, '_, S> {
    fn with<T>(
        &self,
        call: impl FnOnce(&S, &mut Interests, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let (interests, context) = &mut *self.poll.borrow_mut();
        match call(self.socket, interests, context) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: Socket> Carrier for Polled<'_, '_, S> {
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffers = [IoSliceMut::new(buffer)];
        self.with(|socket, interests, context| {
            socket.poll_read_vectored(interests, context, &mut buffers)
        })
    }

    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|socket, interests, context| socket.poll_write(interests, context, bytes))
    }

    fn flush_shared(&self) -> io::Result<()> {
        self.with(|socket, interests, context| socket.poll_flush(interests, context))
    }

    fn as_tcp(&self) -> Option<&TcpStream> {
        None
    }
}

/// What would block is pending: the waker was left with the socket.
fn pending_if_later<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl<S: Socket + Transport> sealed::Sealed for TlsStream<S> {}

/// The handshake is done by the first polls; its deadline is for calls that park, and does not count here.
impl<S: Socket + Transport> Socket for TlsStream<S> {
    fn poll_read(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        let usable = buffer.len().min(LONGEST);
        let buffer = &mut buffer[..usable];
        buffer.fill(MaybeUninit::new(0));
        // SAFETY: all of it was just initialised.
        let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [u8]) };
        let polled = Polled { socket: self.get_ref(), poll: RefCell::new((interests, context)) };
        pending_if_later(self.session().poll_read(&polled, buffer))
    }

    fn poll_read_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(buffer) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else {
            return Poll::Ready(Ok(0));
        };
        let polled = Polled { socket: self.get_ref(), poll: RefCell::new((interests, context)) };
        pending_if_later(self.session().poll_read(&polled, buffer))
    }

    fn poll_write(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Polled { socket: self.get_ref(), poll: RefCell::new((interests, context)) };
        pending_if_later(self.session().poll_write(&polled, bytes))
    }

    /// As many as a record has room for: they are copied in any case.
    fn poll_write_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut full = buffers.iter().filter(|buffer| !buffer.is_empty());
        match (full.next(), full.next()) {
            (None, _) => self.poll_write(interests, context, &[]),
            (Some(only), None) => self.poll_write(interests, context, only),
            (Some(_), Some(_)) => {
                let mut bytes = Vec::with_capacity(LONGEST);
                for buffer in buffers {
                    let room = LONGEST - bytes.len();
                    bytes.extend_from_slice(&buffer[..buffer.len().min(room)]);
                }
                self.poll_write(interests, context, &bytes)
            }
        }
    }

    fn poll_flush(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Polled { socket: self.get_ref(), poll: RefCell::new((interests, context)) };
        pending_if_later(self.session().flush(&polled))
    }

    fn poll_shutdown(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let polled =
            Polled { socket: self.get_ref(), poll: RefCell::new((&mut *interests, &mut *context)) };
        ready!(pending_if_later(self.session().shutdown(&polled)))?;
        self.get_ref().poll_shutdown(interests, context)
    }
}
