//! The one door for all I/O of this crate: try, park on `WouldBlock`, try again.
//!
//! [`GreenIo`] is a [`GreenFd`] with what every socket has besides: timeouts, and whether calls may
//! park at all. The system calls themselves are in [`sys`].

pub(crate) mod sys;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use evy_runtime::io::{Attempt, Company, Direction, GreenFd};

/// A descriptor with its timeouts.
pub(crate) struct GreenIo {
    fd: GreenFd,
    /// Nanoseconds; 0 is none.
    timeouts: [AtomicU64; 2],
    /// Calls return `WouldBlock` where they would park (`set_nonblocking`).
    never_parks: AtomicBool,
}

impl GreenIo {
    /// Wraps a descriptor that is non-blocking already.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd: GreenFd::new(fd),
            timeouts: [AtomicU64::new(0), AtomicU64::new(0)],
            never_parks: AtomicBool::new(false),
        }
    }

    /// Wraps any descriptor, making it non-blocking.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self::new(fd))
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd.into_fd()
    }

    /// The same socket under another descriptor, with the timeouts as they are now.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let clone = Self::new(self.as_fd().try_clone_to_owned()?);
        for (of_clone, of_self) in clone.timeouts.iter().zip(&self.timeouts) {
            of_clone.store(of_self.load(Relaxed), Relaxed);
        }
        clone.never_parks.store(self.never_parks(), Relaxed);
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

    pub(crate) fn close(&self) {
        self.fd.close(|fd| {
            // A socket that is not connected has nobody to tell.
            let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
        });
    }

    /// The descriptor, for futures.
    #[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
    pub(crate) fn green_fd(&self) -> &GreenFd {
        &self.fd
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

    /// Makes a read from a TCP stream, after which `drained` tells that nothing was left.
    #[inline]
    pub(crate) fn read_stream<T>(
        &self,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        if self.never_parks() {
            return self.try_call(&mut call);
        }
        self.fd.call_draining(self.attempt(Direction::Read), call, drained)
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
