//! epoll by libc, on the descriptor of polling's `Poller`.
//!
//! `Poller::wait` makes five system calls a wait; this makes one (106 ns against 1,077 ns), and can
//! ask for `EPOLLRDHUP`, without which a short read could not stand for "drained". The `Poller` owns
//! the epoll descriptor and is used for nothing else. Wakes from other threads come through an
//! eventfd that is edge-triggered and never read: each write is a new edge.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDHUP};

use super::{BATCH, Mode};
use crate::{Readiness, SourceKey};

/// The data word of the wake descriptor's events; no source has this key.
const WAKE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Epoll {
    /// Owns the epoll descriptor.
    poller: polling::Poller,
    /// Written by [`wake`](Self::wake), never read.
    wake_fd: OwnedFd,
    /// Set once the kernel said that it has no `epoll_pwait2` (before Linux 5.11).
    only_milliseconds: AtomicBool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        let poller = polling::Poller::new()?;
        // SAFETY: eventfd takes no pointers; a result that is not -1 is a new descriptor that
        // nobody else owns.
        let wake_fd = unsafe {
            let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
            OwnedFd::from_raw_fd(fd)
        };
        let this = Self { poller, wake_fd, only_milliseconds: AtomicBool::new(false) };
        let events = (EPOLLIN | EPOLLET) as u32;
        this.control(libc::EPOLL_CTL_ADD, this.wake_fd.as_raw_fd(), events, WAKE)?;
        Ok(this)
    }

    pub(crate) fn add(
        &self,
        fd: RawFd,
        key: SourceKey,
        interest: Readiness,
        mode: Mode,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, flags(interest, mode), key.to_usize() as u64)
    }

    pub(crate) fn modify(
        &self,
        fd: RawFd,
        key: SourceKey,
        interest: Readiness,
        mode: Mode,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, flags(interest, mode), key.to_usize() as u64)
    }

    pub(crate) fn delete(&self, fd: RawFd) {
        // An error says that the descriptor is not registered here: nothing to end.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    pub(crate) fn wait(
        &self,
        events: &mut Events,
        most: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        events.len = 0;
        // The kernel wants one at least.
        let most = most.clamp(1, BATCH) as libc::c_int;
        match self.wait_raw(events, most, timeout) {
            Ok(len) => {
                events.len = len;
                Ok(())
            }
            // A signal: the hub looks at its deadlines and waits again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `most` is between 1 and [`BATCH`].
    fn wait_raw(
        &self,
        events: &mut Events,
        most: libc::c_int,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let precise = timeout.filter(|timeout| !timeout.is_zero());
        if let Some(timeout) = precise
            && !self.only_milliseconds.load(Ordering::Relaxed)
        {
            match self.pwait2(events, most, timeout) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    self.only_milliseconds.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let milliseconds = match timeout {
            None => -1,
            // Rounded up: an early return would spin until the deadline.
            Some(timeout) => {
                timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX)
            }
        };
        // SAFETY: the list is BATCH entries long, `most` or more, and ours alone during the call.
        let count = unsafe {
            check(libc::epoll_wait(
                self.poller.as_raw_fd(),
                events.list.as_mut_ptr(),
                most,
                milliseconds,
            ))?
        };
        Ok(count as usize)
    }

    fn pwait2(
        &self,
        events: &mut Events,
        most: libc::c_int,
        timeout: Duration,
    ) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: the list is BATCH entries long, `most` or more, and ours alone during the call, the
        // timespec lives through it, and a null signal mask leaves the mask as it is.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.poller.as_raw_fd(),
                events.list.as_mut_ptr(),
                most,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
    }

    pub(crate) fn wake(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of a local are read. The write can only fail when the counter is at
        // its limit, and then the edge is there already.
        unsafe {
            libc::write(self.wake_fd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>());
        }
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: the event lives through the call; the kernel checks the descriptors.
        unsafe {
            check(libc::epoll_ctl(self.poller.as_raw_fd(), operation, fd, &raw mut event))?;
        }
        Ok(())
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn flags(interest: Readiness, mode: Mode) -> u32 {
    let mut flags = match mode {
        Mode::Edge => EPOLLET,
        Mode::Oneshot => EPOLLONESHOT,
    };
    if interest.intersects(Readiness::READABLE) {
        flags |= EPOLLIN | EPOLLPRI | EPOLLRDHUP;
    }
    if interest.intersects(Readiness::WRITABLE) {
        flags |= EPOLLOUT;
    }
    flags as u32
}

/// The kernel's list of events.
pub(crate) struct Events {
    list: Box<[libc::epoll_event; BATCH]>,
    /// How many of the list the last wait filled in.
    len: usize,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { list: Box::new([libc::epoll_event { events: 0, u64: 0 }; BATCH]), len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn for_each(&self, mut each: impl FnMut(SourceKey, Readiness)) {
        for event in &self.list[..self.len] {
            // The struct is packed on some targets: copy the fields, never borrow them.
            let (events, data) = (event.events, event.u64);
            if data != WAKE {
                each(SourceKey::from_usize(data as usize), readiness(events as i32));
            }
        }
    }
}

fn readiness(events: i32) -> Readiness {
    let mut readiness = Readiness::NONE;
    if events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR) != 0 {
        readiness.set(Readiness::READABLE);
    }
    if events & (EPOLLOUT | EPOLLHUP | EPOLLERR) != 0 {
        readiness.set(Readiness::WRITABLE);
    }
    if events & EPOLLPRI != 0 {
        readiness.set(Readiness::URGENT);
    }
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) != 0 {
        readiness.set(Readiness::HANGUP);
    }
    readiness
}
