//! The one door for all I/O of this crate: try, park on `WouldBlock`, try again.
//!
//! [`GreenIo`] is a [`GreenFd`] with what every socket has besides: timeouts, whether calls may park at
//! all, and, for a stream that a server has accepted, what the two have in common. The system calls
//! themselves are in [`sys`].

pub(crate) mod sys;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
use std::task::{Context, Poll};

#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
use evy_runtime::io::Interest;
use evy_runtime::io::{Attempt, Company, Direction, GreenFd, Step, count_bytes};

use crate::server::connection::Handle;

/// A descriptor with its timeouts.
pub(crate) struct GreenIo {
    fd: GreenFd,
    /// Nanoseconds; 0 is none.
    timeouts: [AtomicU64; 2],
    /// Calls return `WouldBlock` where they would park (`set_nonblocking`).
    never_parks: AtomicBool,
    /// Another process has the socket, too: a close leaves it as it is.
    shared: AtomicBool,
    /// Nobody else can have it: it was made here, and its descriptor has not been given to anybody.
    private: AtomicBool,
    /// Where a server has accepted it.
    served: Option<Handle>,
}

impl GreenIo {
    /// Wraps a descriptor that is non-blocking already.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd: GreenFd::new(fd),
            timeouts: [AtomicU64::new(0), AtomicU64::new(0)],
            never_parks: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            private: AtomicBool::new(false),
            served: None,
        }
    }

    /// Wraps a socket that was just made, non-blocking already.
    pub(crate) fn private(fd: OwnedFd) -> Self {
        let io = Self::new(fd);
        io.private.store(true, Relaxed);
        io
    }

    /// Wraps what a server has accepted, non-blocking already.
    pub(crate) fn served(fd: OwnedFd, handle: Handle) -> Self {
        let mut io = Self::new(fd);
        io.served = Some(handle);
        io
    }

    /// Wraps any descriptor, making it non-blocking.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self::new(fd))
    }

    pub(crate) fn into_fd(mut self) -> OwnedFd {
        // Whoever gets the descriptor does not answer to the server any more.
        self.served = None;
        self.fd.take_fd().expect("it is there until the drop")
    }

    /// The same socket under another descriptor, with the timeouts as they are now.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let fd = self.lend_fd().try_clone_to_owned()?;
        let mut clone = Self::new(fd);
        clone.served = self.served.as_ref().map(|handle| handle.for_clone(clone.as_fd()));
        for (of_clone, of_self) in clone.timeouts.iter().zip(&self.timeouts) {
            of_clone.store(of_self.load(Relaxed), Relaxed);
        }
        clone.never_parks.store(self.never_parks(), Relaxed);
        clone.shared.store(self.shared.load(Relaxed), Relaxed);
        Ok(clone)
    }

    pub(crate) fn set_timeout(
        &self,
        direction: Direction,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            let text = "cannot set a 0 duration timeout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let nanoseconds =
            timeout.map_or(0, |timeout| timeout.as_nanos().try_into().unwrap_or(u64::MAX));
        self.timeouts[direction as usize].store(nanoseconds, Relaxed);
        Ok(())
    }

    pub(crate) fn timeout(&self, direction: Direction) -> Option<Duration> {
        match self.timeouts[direction as usize].load(Relaxed) {
            0 => None,
            nanoseconds => Some(Duration::from_nanos(nanoseconds)),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.never_parks.store(nonblocking, Relaxed);
    }

    /// Notes that another process has the socket, too.
    pub(crate) fn share(&self) {
        self.shared.store(true, Relaxed);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Relaxed)
    }

    /// The descriptor for whoever may duplicate it, or leave it to another process.
    pub(crate) fn lend_fd(&self) -> BorrowedFd<'_> {
        self.private.store(false, Relaxed);
        self.as_fd()
    }

    /// Whether what is done to the socket is done to nobody else.
    pub(crate) fn is_private(&self) -> bool {
        self.private.load(Relaxed)
    }

    pub(crate) fn close(&self) {
        let shared = self.is_shared();
        self.fd.close(|fd| {
            if !shared {
                // A socket that is not connected has nobody to tell.
                let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
            }
        });
    }

    /// Whether calls return `WouldBlock` where they would park.
    pub(crate) fn never_parks(&self) -> bool {
        self.never_parks.load(Relaxed)
    }

    fn attempt(&self, direction: Direction) -> Attempt {
        Attempt { timeout: self.timeout(direction), ..Attempt::new(direction) }
    }

    /// Makes a call that has nothing to do with a stream's data.
    #[inline]
    pub(crate) fn call<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.never_parks() {
            return self.try_call(&mut call);
        }
        self.fd.call(self.attempt(direction), call)
    }

    /// Whether a server that has accepted this socket, and stops, leaves it to whoever has it to end the
    /// connection.
    pub(crate) fn finish_itself(&self, itself: bool) {
        if let Some(handle) = &self.served {
            handle.finish_itself(itself);
        }
    }

    /// Makes a call for which any number of green threads may wait, first come first served.
    pub(crate) fn call_in_turn<T>(
        &self,
        direction: Direction,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call_in_turn_within(self.timeout(direction), direction, call)
    }

    /// The same with a time of its own.
    pub(crate) fn call_in_turn_within<T>(
        &self,
        timeout: Option<Duration>,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.never_parks() {
            return self.try_call(&mut call);
        }
        self.fd.call(Attempt { direction, company: Company::Queue, timeout }, call)
    }

    /// Makes a read of up to `wanted` bytes from a TCP stream, after which a short one tells that
    /// nothing was left.
    #[inline]
    pub(crate) fn read_stream(
        &self,
        wanted: usize,
        mut recv: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let recv = |fd: BorrowedFd<'_>| self.after_read(recv(fd));
        if self.never_parks() {
            return self.try_call(recv);
        }
        self.fd.call_draining(self.attempt(Direction::Read), recv, |count| {
            *count < wanted && self.short_is_drained()
        })
    }

    /// Makes a read from a stream of which a short one tells nothing.
    pub(crate) fn read(
        &self,
        mut recv: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.call(Direction::Read, |fd| self.after_read(recv(fd)))
    }

    /// Makes `step`, which reads, whenever there is something to read, until it is done. It must not park, and
    /// finds out whether it was the last for now: somebody has set a timeout meanwhile.
    #[inline]
    pub(crate) fn pump<T>(
        &self,
        mut step: impl FnMut(BorrowedFd<'_>, bool) -> io::Result<Step<T>>,
    ) -> io::Result<T> {
        while self.reads_one_by_one() {
            let alone = |fd: BorrowedFd<'_>| step(fd, false);
            let step = if self.never_parks() {
                self.try_call(alone)?
            } else {
                let is_drained = |step: &_| matches!(step, Step::Drained);
                self.fd.call_draining(self.attempt(Direction::Read), alone, is_drained)?
            };
            if let Step::Done(value) = step {
                return Ok(value);
            }
        }
        self.fd.pump(Direction::Read, move |fd| step(fd, self.reads_one_by_one()))
    }

    /// Whether each read has a time of its own, or none at all.
    #[inline]
    fn reads_one_by_one(&self) -> bool {
        self.never_parks() || self.timeout(Direction::Read).is_some()
    }

    /// What a read from the stream gives, with a note of it for whom it may concern.
    #[inline]
    pub(crate) fn after_read(&self, result: io::Result<usize>) -> io::Result<usize> {
        let count = Handle::after_read(self.served.as_ref(), result)?;
        count_bytes(count);
        Ok(count)
    }

    /// The same of a write.
    #[inline]
    fn after_write(&self, result: io::Result<usize>) -> io::Result<usize> {
        let count = Handle::after_write(self.served.as_ref(), result)?;
        count_bytes(count);
        Ok(count)
    }

    /// Whether a read that gave less than was asked for, and something, tells that nothing was left.
    #[inline]
    pub(crate) fn short_is_drained(&self) -> bool {
        !Handle::hides_the_end(self.served.as_ref())
    }

    /// Makes a write to a stream.
    #[inline]
    pub(crate) fn write(
        &self,
        mut send: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.call(Direction::Write, |fd| self.after_write(send(fd)))
    }

    /// [`read_stream`](Self::read_stream) for a future.
    #[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
    #[inline]
    pub(crate) fn poll_read_stream(
        &self,
        interest: &mut Interest,
        context: &mut Context<'_>,
        wanted: usize,
        mut recv: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let recv = |fd: BorrowedFd<'_>| self.after_read(recv(fd));
        interest.poll_call_draining(context, &self.fd, Direction::Read, recv, |count| {
            *count < wanted && self.short_is_drained()
        })
    }

    /// [`read`](Self::read) for a future.
    #[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
    pub(crate) fn poll_read(
        &self,
        interest: &mut Interest,
        context: &mut Context<'_>,
        mut recv: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let recv = |fd: BorrowedFd<'_>| self.after_read(recv(fd));
        interest.poll_call(context, &self.fd, Direction::Read, recv)
    }

    /// [`write`](Self::write) for a future; of nothing at all if `is_empty`, which needs no room.
    #[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
    #[inline]
    pub(crate) fn poll_write(
        &self,
        interest: &mut Interest,
        context: &mut Context<'_>,
        is_empty: bool,
        mut send: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if is_empty {
            return Poll::Ready(self.try_call(send));
        }
        let send = |fd: BorrowedFd<'_>| self.after_write(send(fd));
        interest.poll_call(context, &self.fd, Direction::Write, send)
    }

    /// Makes a read from a stream once; it never parks.
    pub(crate) fn try_read(
        &self,
        recv: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.try_call(|fd| self.after_read(recv(fd)))
    }

    /// Makes a write to a stream once; it never parks.
    #[inline]
    pub(crate) fn try_write(
        &self,
        send: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.try_call(|fd| self.after_write(send(fd)))
    }

    /// Makes a call once; it never parks.
    pub(crate) fn try_call<T>(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.fd.is_closed() {
            return Err(closed());
        }
        call(self.as_fd())
    }
}

/// What is said of a socket after its `close`.
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this socket was closed by a green thread")
}

impl Drop for GreenIo {
    fn drop(&mut self) {
        // The server forgets the number before the descriptor is closed, or takes the descriptor.
        if let Some(handle) = self.served.take() {
            handle.leave(&mut self.fd);
        }
    }
}

impl AsFd for GreenIo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for GreenIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fd, f)
    }
}
