//! Waiting for several descriptors at once, whoever owns them.
//!
//! One look by poll(2) decides; in between, a place in the line of each descriptor
//! ([`OneShot`](crate::io::OneShot)) tells when another look may pay. So it costs two calls of the
//! system a descriptor and wait: it is for a handful of them, not for a server's thousands, which have
//! a green thread each.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Instant;

use crate::control::Wake;
use crate::io::{Direction, OneShot};
use crate::park::{Reason, park_until};
use crate::scheduler::{Scheduler, Unwinding, try_scheduler};

/// Waits until one of several descriptors is ready, or until `deadline`; returns the places in
/// `entries` of those that are, in their order.
///
/// As with poll(2), nothing is ready where the deadline came first, and a descriptor with an error or a
/// hang-up, or of a regular file, is ready in both directions. The same descriptor may stand there
/// several times. With no descriptors it sleeps until the deadline.
///
/// ```
/// use std::io::Write;
/// use std::os::fd::AsFd;
/// use std::os::unix::net::UnixStream;
/// use std::time::{Duration, Instant};
/// use evy_runtime::io::Direction;
/// use evy_runtime::poll_many;
///
/// let ((one, _silent), (other, mut peer)) = (UnixStream::pair()?, UnixStream::pair()?);
/// let both = [(one.as_fd(), Direction::Read), (other.as_fd(), Direction::Read)];
/// let soon = Instant::now() + Duration::from_millis(1);
/// assert!(poll_many(&both, Some(soon))?.is_empty());
/// evy_runtime::spawn_n(move || peer.write_all(b"x"));
/// assert_eq!(poll_many(&both, None)?, [1]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of poll(2): `InvalidInput` for more entries than the process may have descriptors. When the
/// hub can take no more descriptors. `WouldBlock` where it would have to wait while the green thread
/// unwinds.
///
/// # Yields
///
/// Until one is ready; not if one is.
#[doc(alias = "select")]
pub fn poll_many(
    entries: &[(BorrowedFd<'_>, Direction)],
    deadline: Option<Instant>,
) -> io::Result<Vec<usize>> {
    let scheduler = try_scheduler()?;
    scheduler.count_operation();
    let deadline = deadline.map(|deadline| scheduler.clock().at(deadline));
    let mut is_over = deadline.is_some_and(|deadline| deadline <= scheduler.clock().read());
    let mut polled: Vec<_> = entries.iter().map(polled).collect();
    loop {
        let ready = look(&mut polled)?;
        if is_over || !ready.is_empty() {
            return Ok(ready);
        }
        // One last look after the deadline: what became ready in the same moment counts.
        is_over = wait(scheduler, entries, deadline)? == Wake::Deadline;
    }
}

fn polled((fd, direction): &(BorrowedFd<'_>, Direction)) -> libc::pollfd {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
}

/// The places of those that are ready now.
fn look(polled: &mut [libc::pollfd]) -> io::Result<Vec<usize>> {
    if polled.is_empty() {
        return Ok(Vec::new());
    }
    loop {
        // SAFETY: so many entries are in the slice, which is ours during the call.
        let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 0) };
        if count >= 0 {
            let places = polled.iter().enumerate().filter(|(_, entry)| entry.revents != 0);
            return Ok(places.map(|(place, _)| place).collect());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Parks until the hub has heard of one of them.
fn wait(
    scheduler: &Scheduler,
    entries: &[(BorrowedFd<'_>, Direction)],
    deadline: Option<u64>,
) -> io::Result<Wake> {
    const ONE_OF_SEVERAL: Reason = Reason::new(&"one of several descriptors");
    let thread = scheduler.current();
    if scheduler.unwinding(thread) == Unwinding::Yes {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let places =
        entries.iter().map(|(fd, direction)| OneShot::new(scheduler, thread, *fd, *direction));
    let _places = places.collect::<io::Result<Vec<_>>>()?;
    let reason = match entries {
        [] => Reason::SLEEP,
        [(fd, Direction::Read)] => Reason::read(*fd),
        [(fd, Direction::Write)] => Reason::write(*fd),
        _ => ONE_OF_SEVERAL,
    };
    Ok(park_until(scheduler, thread, reason, deadline))
}
