//! A line of parked green threads, first in first out, with direct hand-off.
//!
//! Locks, queues, channels and pools are built on this and on nothing else. Who wakes a waiter hands
//! it what it waits for: between the wake and the resume nobody else can take it, so nobody barges.
//!
//! The bad interleaving is "handed over, then killed before it resumes": the item would be lost. So
//! each wait says what to do with what it was handed if it cannot take it: pass it on.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use crate::control::{Thread, Wake};
use crate::park::{Reason, park_until};
use crate::scheduler::{current_scheduler, scheduler};

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
    first: Cell<Option<NonNull<Node>>>,
    last: Cell<Option<NonNull<Node>>>,
    len: Cell<usize>,
}

/// One waiter, in the frame of its `wait`.
///
/// Other green threads follow pointers to it. It stays where it is until `wait` returns or unwinds,
/// and both take it out of the list first; a suspended stack is never freed, and the list is borrowed
/// meanwhile.
struct Node {
    thread: Thread,
    next: Cell<Option<NonNull<Self>>>,
    previous: Cell<Option<NonNull<Self>>>,
    /// It was handed what it waits for, and is out of the list.
    handed: Cell<bool>,
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
        Self { first: Cell::new(None), last: Cell::new(None), len: Cell::new(0) }
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
        self.len.get()
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
        self.first.get().is_none()
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
        let scheduler = scheduler();
        let thread = scheduler.current();
        let deadline = timeout.and_then(|timeout| scheduler.clock().after(timeout));
        let node = Node {
            thread,
            next: Cell::new(None),
            previous: Cell::new(None),
            handed: Cell::new(false),
        };
        self.push(&node);
        let waiting = Waiting { list: self, node: &node, pass_on: Some(pass_on) };
        park_until(scheduler, thread, reason, deadline);
        waiting.end()
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
        let Some(first) = self.first.get() else { return false };
        // SAFETY: a node in the list is alive (see `Node`).
        let node = unsafe { first.as_ref() };
        self.unlink(node);
        node.handed.set(true);
        // One that its deadline has queued already is not woken again, and finds itself handed.
        // At the end of an OS thread those who wait are leaked, and never run again.
        if let Some(scheduler) = current_scheduler() {
            scheduler.wake(node.thread, Wake::Run);
        }
        true
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

    #[inline(always)]
    fn push(&self, node: &Node) {
        let last = self.last.replace(Some(NonNull::from(node)));
        node.previous.set(last);
        match last {
            None => self.first.set(Some(NonNull::from(node))),
            // SAFETY: a node in the list is alive (see `Node`).
            Some(last) => unsafe { last.as_ref() }.next.set(Some(NonNull::from(node))),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline(always)]
    fn unlink(&self, node: &Node) {
        let (previous, next) = (node.previous.take(), node.next.take());
        match previous {
            None => self.first.set(next),
            // SAFETY: a node in the list is alive, and so are its neighbours (see `Node`).
            Some(previous) => unsafe { previous.as_ref() }.next.set(next),
        }
        match next {
            None => self.last.set(previous),
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.previous.set(previous),
        }
        self.len.set(self.len.get() - 1);
    }
}

impl fmt::Debug for WaitList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The end of a wait, whichever way it comes.
struct Waiting<'a, P: FnOnce()> {
    list: &'a WaitList,
    node: &'a Node,
    /// `None` once the wait has returned.
    pass_on: Option<P>,
}

impl<P: FnOnce()> Waiting<'_, P> {
    #[inline(always)]
    fn end(mut self) -> Result<(), TimedOut> {
        self.pass_on = None;
        if self.node.handed.get() {
            Ok(())
        } else {
            self.list.unlink(self.node);
            self.node.handed.set(true);
            Err(TimedOut)
        }
    }
}

impl<P: FnOnce()> Drop for Waiting<'_, P> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.node.handed.get() {
            self.list.unlink(self.node);
        } else if let Some(pass_on) = self.pass_on.take() {
            pass_on();
        }
    }
}
