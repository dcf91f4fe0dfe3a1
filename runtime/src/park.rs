//! The one way to wait: park the current green thread until somebody wakes it.
//!
//! Everything that blocks comes down to [`park`]: waits for descriptors, deadlines, joins, and the
//! [`WaitList`](crate::WaitList) that everything above this crate is built on. A park records what it
//! waits for; the deadlock report, dumps and consoles read that record.
//!
//! A park is also where orders arrive: a kill or a due timeout is thrown here, unless the green
//! thread is in the middle of unwinding or has orders masked.

use std::fmt;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread::panicking;

use evy_hub::TimerKey;

use crate::control::{Orders, State, Thread, Wake};
use crate::scheduler::{Scheduler, Unwinding};

/// What a parked green thread waits for: a few words, and a number that goes with them.
///
/// ```
/// use evy_runtime::Reason;
///
/// const QUEUE: Reason = Reason::new(&"an item in a queue");
/// assert_eq!(QUEUE.to_string(), "an item in a queue");
/// ```
#[derive(Clone, Copy)]
pub struct Reason {
    /// A thin pointer: the record is written at every park.
    what: &'static &'static str,
    number: Option<NonZeroU64>,
}

impl Reason {
    pub(crate) const START: Self = Self::new(&"its first run");
    pub(crate) const DELAY: Self = Self::new(&"the time of its start");
    pub(crate) const SLEEP: Self = Self::new(&"the end of a sleep");

    /// A reason in a few words that go after "waits for".
    ///
    /// ```
    /// const LOCK: evy_runtime::Reason = evy_runtime::Reason::new(&"a lock");
    /// assert_eq!(LOCK.to_string(), "a lock");
    /// ```
    pub const fn new(what: &'static &'static str) -> Self {
        Self { what, number: None }
    }

    pub(crate) fn join(id: NonZeroU64) -> Self {
        Self { what: &"the end of green thread #", number: Some(id) }
    }

    /// Waiting until a descriptor is readable.
    ///
    /// ```
    /// use std::os::fd::{AsFd, AsRawFd};
    ///
    /// let input = std::io::stdin();
    /// let reason = evy_runtime::Reason::read(input.as_fd());
    /// assert_eq!(reason.to_string(), format!("data on descriptor {}", input.as_raw_fd()));
    /// ```
    pub fn read(fd: BorrowedFd<'_>) -> Self {
        Self { what: &"data on descriptor ", number: offset(fd) }
    }

    /// Waiting until a descriptor is writable.
    ///
    /// ```
    /// use std::os::fd::{AsFd, AsRawFd};
    ///
    /// let output = std::io::stdout();
    /// let reason = evy_runtime::Reason::write(output.as_fd());
    /// assert_eq!(reason.to_string(), format!("room to write on descriptor {}", output.as_raw_fd()));
    /// ```
    pub fn write(fd: BorrowedFd<'_>) -> Self {
        Self { what: &"room to write on descriptor ", number: offset(fd) }
    }
}

/// Descriptors begin at 0, which is taken for "no number".
fn offset(fd: BorrowedFd<'_>) -> Option<NonZeroU64> {
    NonZeroU64::new(fd.as_raw_fd() as u64 | 1 << 32)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match self.number {
            None => Ok(()),
            Some(number) if self.what.ends_with("descriptor ") => {
                write!(f, "{}", number.get() & 0xffff_ffff)
            }
            Some(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Parks the current green thread until it is woken; `Run` or `Deadline` says why.
///
/// # Panics
///
/// Unwinds with a kill or a due timeout, and where nothing can ever wake the OS thread's own stack.
#[inline(always)]
pub(crate) fn park(scheduler: &Scheduler, thread: Thread, reason: Reason) -> Wake {
    if thread.orders() != Orders::NONE || panicking() {
        return park_slowly(scheduler, thread, reason);
    }
    let wake = park_unchecked(scheduler, thread, reason);
    if wake >= Wake::Timeout {
        scheduler.throw(thread);
    }
    wake
}

#[inline(always)]
fn park_unchecked(scheduler: &Scheduler, thread: Thread, reason: Reason) -> Wake {
    thread.reason.set(reason);
    thread.since.set(scheduler.now());
    thread.state.set(State::Parked);
    scheduler.suspend(thread)
}

/// A park of a green thread that has orders or switch hooks, or may be unwinding.
#[cold]
fn park_slowly(scheduler: &Scheduler, thread: Thread, reason: Reason) -> Wake {
    let unwinding = scheduler.unwinding(thread);
    if unwinding == Unwinding::No {
        scheduler.throw_pending(thread);
    }
    let wake = scheduler.in_hooks(thread, || {
        if unwinding == Unwinding::No {
            park_unchecked(scheduler, thread, reason)
        } else {
            scheduler.while_unwinding(thread, || park_unchecked(scheduler, thread, reason))
        }
    });
    if wake >= Wake::Timeout {
        scheduler.throw(thread);
    }
    wake
}

/// Parks until woken or until the clock reads `deadline`, whichever comes first.
#[inline(always)]
pub(crate) fn park_until(
    scheduler: &Scheduler,
    thread: Thread,
    reason: Reason,
    deadline: Option<u64>,
) -> Wake {
    let Some(deadline) = deadline else { return park(scheduler, thread, reason) };
    let key = scheduler.hub.borrow_mut().add_deadline(deadline, thread.owner());
    let _armed = Armed { scheduler, key };
    park(scheduler, thread, reason)
}

/// A deadline in the hub, taken back however the wait ends.
pub(crate) struct Armed<'a> {
    pub(crate) scheduler: &'a Scheduler,
    pub(crate) key: TimerKey,
}

impl Drop for Armed<'_> {
    #[inline]
    fn drop(&mut self) {
        self.scheduler.hub.borrow_mut().cancel_deadline(self.key);
    }
}
