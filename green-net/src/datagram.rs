//! What UDP sockets and Unix datagram sockets have in common.
//!
//! A datagram is a whole, so any number of green threads may receive from one socket, and send: each
//! direction is a line, first come first served. And the end of such a socket has to be looked for: a
//! call that waits is told of a shutdown by the system, one that does not is only told `WouldBlock`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evy_runtime::io::Direction;

use crate::green_io::{GreenIo, sys};

/// A datagram socket.
pub(crate) struct DatagramIo {
    io: GreenIo,
    /// It was shut down for reading by this handle or a clone, all of which have this.
    has_ended: Arc<AtomicBool>,
}

impl DatagramIo {
    /// Wraps a descriptor that is non-blocking already.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { io: GreenIo::new(fd), has_ended: Arc::default() }
    }

    /// Wraps any descriptor, making it non-blocking.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { io: GreenIo::adopt(fd)?, has_ended: Arc::default() })
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.io.into_fd()
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { io: self.io.try_clone()?, has_ended: Arc::clone(&self.has_ended) })
    }

    pub(crate) fn io(&self) -> &GreenIo {
        &self.io
    }

    /// To be called before the socket is shut down for reading: who is woken by that looks here.
    pub(crate) fn end_reading(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.end_reading();
        self.io.close();
    }

    /// Receives by `call`, first come first served; after a shutdown, and what came before it, it is
    /// `end`.
    pub(crate) fn receive<T>(
        &self,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        end: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut found_nothing = false;
        self.io.call_in_turn(Direction::Read, |fd| match call(fd) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Woken, and nothing there: others may have shut it down, by another descriptor.
                let has_ended = self.has_ended() || found_nothing && sys::is_shut_for_reading(fd);
                found_nothing = true;
                if has_ended { end() } else { Err(error) }
            }
            result => result,
        })
    }

    /// Receives by `call` what is there; it never parks.
    pub(crate) fn try_receive<T>(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
        end: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.io.try_call(call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.has_ended() => end(),
            result => result,
        }
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Sends by `call`, first come first served.
    pub(crate) fn send<T>(
        &self,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.io.call_in_turn(Direction::Write, call)
    }

    /// The same with a time of its own.
    pub(crate) fn send_within<T>(
        &self,
        timeout: Option<Duration>,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.io.call_in_turn_within(timeout, Direction::Write, call)
    }
}

impl AsFd for DatagramIo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}
