//! Waiting for several things at once.
//!
//! A green thread stands in several lines by calls inside one another, each with its place in a frame of
//! its own, and parks in the innermost. Whoever serves it first claims the [`Selection`]; the other lines
//! then pass it over. Descriptors ([`io::ready_in`](crate::io::ready_in)) and deadlines only wake it:
//! they claim nothing, so a value that is handed over before it goes on counts.

use std::cell::Cell;
use std::fmt;
use std::time::Instant;

use crate::control::{Thread, Wake};
use crate::park::{Reason, park_until};
use crate::scheduler::scheduler;
use crate::wait_list::TimedOut;

/// What the lines that a green thread stands in at once have in common: one of them decides.
///
/// [`HandOver::receive_in`](crate::HandOver::receive_in) has an example. It serves for one wait.
///
/// ```
/// use std::time::{Duration, Instant};
/// use evy_runtime::{Reason, Selection, TimedOut};
///
/// const NOTHING: Reason = Reason::new(&"nothing at all");
/// let selection = Selection::new();
/// let soon = Instant::now() + Duration::from_millis(1);
/// assert_eq!(selection.park(NOTHING, Some(soon)), Err(TimedOut));
/// assert!(!selection.is_decided());
/// ```
pub struct Selection {
    thread: Thread,
    decided: Cell<bool>,
    /// Its green thread is in [`park`](Self::park), not in some other wait in between: only out of that
    /// one may a line wake it.
    parked: Cell<bool>,
}

impl Selection {
    /// One for the current green thread.
    ///
    /// ```
    /// assert!(!evy_runtime::Selection::new().is_decided());
    /// ```
    ///
    /// # Panics
    ///
    /// When the OS gives no descriptors for a hub.
    ///
    /// # Yields
    ///
    /// Never.
    #[expect(clippy::new_without_default, reason = "it belongs to who makes it: no default thing")]
    pub fn new() -> Self {
        Self { thread: scheduler().current(), decided: Cell::new(false), parked: Cell::new(false) }
    }

    /// Whether one of the lines has served it.
    ///
    /// ```
    /// use evy_runtime::{HandOver, Selection};
    ///
    /// let (line, selection) = (HandOver::new(), Selection::new());
    /// line.receive_in(&selection, |_| (), || line.hand("apple").unwrap());
    /// assert!(selection.is_decided());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_decided(&self) -> bool {
        self.decided.get()
    }

    /// Parks until one of the lines has served the green thread, a descriptor that it waits for is
    /// ready, or the time is `deadline`. It may return early, with nothing decided: look again.
    ///
    /// ```
    /// use evy_runtime::{HandOver, Reason, Selection};
    ///
    /// const ITEM: Reason = Reason::new(&"an item");
    /// let (line, selection) = (HandOver::new(), Selection::new());
    /// let item = line.receive_in(&selection, |_| (), || {
    ///     line.hand("apple").unwrap();
    ///     selection.park(ITEM, None).unwrap(); // returns at once
    /// });
    /// assert_eq!(item, Some("apple"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when the deadline came first, and nothing is decided.
    ///
    /// # Panics
    ///
    /// When another green thread calls it than the one that made it.
    ///
    /// # Yields
    ///
    /// Unless it is decided already; also while the green thread unwinds.
    #[inline]
    pub fn park(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let (scheduler, thread) = (scheduler(), self.thread());
        if self.is_decided() {
            return Ok(());
        }
        let deadline = deadline.map(|deadline| scheduler.clock().at(deadline));
        self.parked.set(true);
        let _parked = Parked(&self.parked);
        match park_until(scheduler, thread, reason, deadline) {
            Wake::Deadline if !self.is_decided() => Err(TimedOut),
            _ => Ok(()),
        }
    }

    /// The green thread that made it, which is the one that calls. Another one may have ended, and its
    /// stack be somebody else's: nobody may be told to wake it.
    #[inline(always)]
    pub(crate) fn thread(&self) -> Thread {
        assert!(scheduler().current() == self.thread, "a selection belongs to its green thread");
        self.thread
    }

    /// Whether a line that has served it is to wake its green thread.
    #[inline(always)]
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.get()
    }

    /// Claims it for one line; `false` if another one was faster.
    #[inline(always)]
    pub(crate) fn decide(&self) -> bool {
        !self.decided.replace(true)
    }
}

/// The park of a selection, which also ends by unwinding.
struct Parked<'a>(&'a Cell<bool>);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection").field("decided", &self.is_decided()).finish_non_exhaustive()
    }
}
