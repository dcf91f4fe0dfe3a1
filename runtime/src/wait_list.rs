//! A line of parked green threads, first in first out, with direct hand-off of the turn.
//!
//! This is [`HandOver`] with nothing to hand over but the turn itself: what the turn stands for (a lock,
//! a slot, an event) is counted by whoever has the line.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::hand_over::HandOver;
use crate::park::Reason;
use crate::select::Selection;

/// A line of green threads that wait for the same thing.
///
/// ```
/// use std::rc::Rc;
/// use evy_runtime::{Reason, WaitList, spawn};
///
/// const TURN: Reason = Reason::new(&"its turn");
/// let line = Rc::new(WaitList::new());
/// let waiter = spawn({
///     let line = Rc::clone(&line);
///     move || line.wait(TURN, None, || ()).is_ok()
/// });
/// evy_runtime::yield_now();
/// assert_eq!(line.len(), 1);
/// assert!(line.wake_one());
/// assert!(waiter.wait().unwrap());
/// ```
#[derive(Default)]
pub struct WaitList {
    line: HandOver<()>,
}

/// A wait ended by its deadline.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::{Reason, TimedOut, WaitList};
///
/// const TURN: Reason = Reason::new(&"its turn");
/// let waited = WaitList::new().wait(TURN, Some(Duration::from_millis(1)), || ());
/// assert_eq!(waited, Err(TimedOut));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl Error for TimedOut {}

impl WaitList {
    /// An empty line.
    ///
    /// ```
    /// assert!(evy_runtime::WaitList::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self { line: HandOver::new() }
    }

    /// How many wait.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{Reason, WaitList, spawn, yield_now};
    /// # const TURN: Reason = Reason::new(&"its turn");
    /// # let line = Rc::new(WaitList::new());
    /// let waiter = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.wait(TURN, None, || ())
    /// });
    /// yield_now();
    /// assert_eq!(line.len(), 1);
    /// # line.wake_one();
    /// # waiter.wait().unwrap().unwrap();
    /// ```
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{Reason, WaitList, spawn, yield_now};
    /// # const TURN: Reason = Reason::new(&"its turn");
    /// # let line = Rc::new(WaitList::new());
    /// let waiter = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.wait(TURN, None, || ())
    /// });
    /// yield_now();
    /// assert!(!line.is_empty());
    /// line.wake_one();
    /// assert!(line.is_empty());
    /// # waiter.wait().unwrap().unwrap();
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Waits at the end of the line until woken by [`wake_one`](Self::wake_one) or
    /// [`wake_all`](Self::wake_all), or until `timeout` is over. `reason` is for reports.
    ///
    /// If the green thread is woken *and* killed (or hit by a `timeout` around it) before it goes
    /// on, `pass_on` is called, which hands to the next one what this one was handed.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{Reason, WaitList, spawn, yield_now};
    /// # const TURN: Reason = Reason::new(&"its turn");
    /// # let line = Rc::new(WaitList::new());
    /// let [first, second] = [(); 2].map(|()| {
    ///     let line = Rc::clone(&line);
    ///     spawn(move || line.wait(TURN, None, || _ = line.wake_one()))
    /// });
    /// yield_now();
    /// line.wake_one();
    /// // Killed before it goes on: the second gets what the first was handed.
    /// first.kill();
    /// assert_eq!(second.wait().unwrap(), Ok(()));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when the deadline came first; being woken wins over a deadline in the same turn.
    ///
    /// # Yields
    ///
    /// Always; also while the green thread unwinds.
    #[inline(always)]
    pub fn wait(
        &self,
        reason: Reason,
        timeout: Option<Duration>,
        pass_on: impl FnOnce(),
    ) -> Result<(), TimedOut> {
        self.line.receive(reason, timeout, |()| pass_on())
    }

    /// Wakes the first one; `false` if nobody waits.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{Reason, WaitList, spawn, yield_now};
    /// # const TURN: Reason = Reason::new(&"its turn");
    /// # let line = Rc::new(WaitList::new());
    /// let waiter = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.wait(TURN, None, || ())
    /// });
    /// yield_now();
    /// assert!(line.wake_one());
    /// assert!(!line.wake_one());
    /// assert_eq!(waiter.wait().unwrap(), Ok(()));
    /// ```
    #[inline(always)]
    pub fn wake_one(&self) -> bool {
        self.line.hand(()).is_ok()
    }

    /// Wakes all, first come first.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{Reason, WaitList, spawn, yield_now};
    /// # const TURN: Reason = Reason::new(&"its turn");
    /// # let line = Rc::new(WaitList::new());
    /// let waiters = [(); 3].map(|()| {
    ///     let line = Rc::clone(&line);
    ///     spawn(move || line.wait(TURN, None, || ()))
    /// });
    /// yield_now();
    /// line.wake_all();
    /// assert!(waiters.into_iter().all(|waiter| waiter.wait().unwrap().is_ok()));
    /// ```
    pub fn wake_all(&self) {
        while self.wake_one() {}
    }

    /// Stands in line while `inside` runs, as one of the lines of `selection`, and returns whether this
    /// line was the one that decided. `pass_on` is as in [`wait`](Self::wait), for an `inside` that
    /// unwinds. [`HandOver::receive_in`] has an example of two lines.
    ///
    /// ```
    /// use evy_runtime::{Selection, WaitList};
    ///
    /// let line = WaitList::new();
    /// assert!(line.wait_in(&Selection::new(), || (), || _ = line.wake_one()));
    /// ```
    ///
    /// # Panics
    ///
    /// When another green thread calls it than the one that made the selection.
    ///
    /// # Yields
    ///
    /// Not by itself.
    pub fn wait_in(
        &self,
        selection: &Selection,
        pass_on: impl FnOnce(),
        inside: impl FnOnce(),
    ) -> bool {
        self.line.receive_in(selection, |()| pass_on(), inside).is_some()
    }
}

impl fmt::Debug for WaitList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("len", &self.len()).finish_non_exhaustive()
    }
}
