//! TLS streams for futures.
//!
//! A [`TlsStream`] is told for each call what its ciphertext passes over. Here that is the socket as a
//! future sees it ([`Polled`]): where it would park it leaves the waker and says `WouldBlock`, which the
//! session takes as "later" and keeps what it has.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use evy_runtime::io::Direction;

use super::{Interests, Socket, sealed};
use crate::TcpStream;
use crate::tls::{Carrier, Session, TlsStream, Transport};

/// The most that one read gives: what one record can have.
const LONGEST: usize = 16 * 1024;

/// A socket for the length of one poll.
struct Polled<'a, 'b, S> {
    socket: &'a S,
    poll: RefCell<(&'a mut Interests, &'a mut Context<'b>)>,
    /// A waker was left with the socket.
    is_pending: Cell<bool>,
}

impl<'a, 'b, S: Socket> Polled<'a, 'b, S> {
    fn new(socket: &'a S, interests: &'a mut Interests, context: &'a mut Context<'b>) -> Self {
        Self { socket, poll: RefCell::new((interests, context)), is_pending: Cell::new(false) }
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&S, &mut Interests, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let (interests, context) = &mut *self.poll.borrow_mut();
        match call(self.socket, interests, context) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                self.is_pending.set(true);
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// What the session says, where what would block is pending. While the green thread unwinds it is not:
    /// then nobody was left a waker.
    fn outcome<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_pending.get() => {
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

/// Wakes both halves of a stream that are with different tasks. A handshake reads and writes, whichever half
/// drives it: so what either waits for concerns both.
struct Both(Waker, Arc<Waker>);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
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

impl<S: Socket + Transport> TlsStream<S> {
    /// Makes a call of one half, by `call`, over the socket as a future sees it.
    fn poll_half<T>(
        &self,
        half: Direction,
        interests: &mut Interests,
        context: &mut Context<'_>,
        call: impl FnOnce(&Session, &Polled<'_, '_, S>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let (other, is_established) = self.session().note_poll(half, context.waker());
        let both = other
            .as_ref()
            .filter(|_| !is_established)
            .map(|other| Waker::from(Arc::new(Both(context.waker().clone(), Arc::clone(other)))));
        let mut context = Context::from_waker(both.as_ref().unwrap_or_else(|| context.waker()));
        let polled = Polled::new(self.get_ref(), interests, &mut context);
        let outcome = polled.outcome(call(self.session(), &polled));
        // To tell the peer of a failure, one half may have taken the place where the other one waited.
        if let (Poll::Ready(Err(_)), Some(other)) = (&outcome, &other) {
            other.wake_by_ref();
        }
        outcome
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
        self.poll_half(Direction::Read, interests, context, |session, polled| {
            session.read(polled, buffer)
        })
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
        self.poll_half(Direction::Read, interests, context, |session, polled| {
            session.read(polled, buffer)
        })
    }

    fn poll_write(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_half(Direction::Write, interests, context, |session, polled| {
            session.write(polled, bytes)
        })
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
        self.poll_half(Direction::Write, interests, context, |session, polled| {
            session.flush(polled)
        })
    }

    fn poll_shutdown(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_half(Direction::Write, interests, context, |session, polled| {
            session.shutdown(polled)
        }))?;
        self.get_ref().poll_shutdown(interests, context)
    }
}
