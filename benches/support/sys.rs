//! The system calls that std does not offer, each behind a safe function. No policy in here.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What a stream is registered for, once and for good: both directions, the peer's half-close, edges.
pub(crate) const STREAM_EDGES: i32 =
    libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// What a listener is registered for: level-triggered, so that nothing waits behind a full batch.
pub(crate) const LISTENER_LEVEL: i32 = libc::EPOLLIN;

/// The marks with which a read may give something: data, the end of it, or an error.
pub(crate) const READ_MARKS: u32 = libc::EPOLLIN as u32 | LAST_READ_MARKS;

/// The marks after which a short read may not be the last one.
pub(crate) const LAST_READ_MARKS: u32 =
    (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI) as u32;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Registers `fd`; its events will carry `key`. Closing the descriptor deregisters it.
    pub(crate) fn add(&self, fd: impl AsFd, interest: i32, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: key };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: `event` outlives the call, and both descriptors are held open by their owners.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever), and returns how many
    /// of `events` were filled. A signal ends the wait with none.
    pub(crate) fn wait(
        &self,
        events: &mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let millis = timeout.map_or(-1, whole_millis);
        let (epoll, room) = (self.0.as_raw_fd(), events.len() as i32);
        // SAFETY: the kernel writes at most `room` entries, which is the length of `events`.
        match check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, millis) }) {
            Ok(filled) => Ok(filled as usize),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(e) => Err(e),
        }
    }
}

/// Room for `len` events.
pub(crate) fn event_buffer(len: usize) -> Vec<libc::epoll_event> {
    vec![libc::epoll_event { events: 0, u64: 0 }; len]
}

/// Accepts a connection that is non-blocking from the start.
pub(crate) fn accept_nonblocking(listener: &TcpListener) -> io::Result<TcpStream> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: null pointers say that the peer's address is not wanted.
    let fd = check(unsafe { libc::accept4(listener.as_raw_fd(), address, length, flags) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sets how many connections may wait to be accepted.
pub(crate) fn lengthen_queue(listener: &TcpListener, length: i32) -> io::Result<()> {
    // SAFETY: takes no pointer. To listen again only sets the length.
    check(unsafe { libc::listen(listener.as_raw_fd(), length) })?;
    Ok(())
}

/// Makes the last close of `stream` a reset, so that thousands of closed connections leave no port in
/// TIME_WAIT for the next round.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of::<libc::linger>() as libc::socklen_t;
    let (fd, value) = (stream.as_raw_fd(), (&raw const linger).cast());
    // SAFETY: `value` points to a `linger` of `length` bytes that outlives the call.
    check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, value, length) })?;
    Ok(())
}

/// Raises the limit of open descriptors to what the system allows without asking.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills `limit`, which outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel only reads `limit`.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

/// Has the kernel kill this process as soon as the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: this option takes a number and no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    Ok(())
}

/// Has the kernel end this process after `lifetime`, whatever it hangs in.
pub(crate) fn die_after(lifetime: Duration) {
    // SAFETY: takes a number; nobody else in this process uses the alarm.
    unsafe { libc::alarm(lifetime.as_secs() as u32 + 1) };
}

/// Has this process run only where others leave processor time.
pub(crate) fn give_way() -> io::Result<()> {
    // SAFETY: takes a number and no pointer. That -1 may be a value as well as an error is no matter: it
    // is not what a process gets that asks for the lowest priority.
    check(unsafe { libc::nice(19) })?;
    Ok(())
}

/// Asks the process `pid` to end.
pub(crate) fn terminate(pid: u32) -> io::Result<()> {
    // SAFETY: takes no pointer. The caller names a process that it has started.
    check(unsafe { libc::kill(pid as i32, libc::SIGTERM) })?;
    Ok(())
}

/// Blocks this OS thread: a bench process has no green threads that could want it.
pub(crate) fn pause(length: Duration) {
    // SAFETY: no descriptors, so no pointer is read.
    unsafe { libc::poll(std::ptr::null_mut(), 0, whole_millis(length)) };
}

/// `length` in milliseconds, rounded up.
fn whole_millis(length: Duration) -> i32 {
    i32::try_from(length.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
