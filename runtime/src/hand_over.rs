//! A line of parked green threads in which values change hands, first in first out.
//!
//! Locks, queues, channels and pools are built on this and on nothing else ([`WaitList`](crate::WaitList)
//! is the line in which nothing but the turn is handed over). There are two ways to stand in line, and a
//! line is used in one of them:
//!
//! ```text
//!   takers:  receive() parks with an empty slot     hand(value) fills the first one's slot
//!   givers:  offer(value) parks with a full slot    take() empties the first one's slot
//! ```
//!
//! Who deals with a waiter takes it out of the line and wakes it: between the wake and the resume nobody
//! else can come by what it was handed, so nobody barges.
//!
//! The bad interleaving is "handed over, then killed before it resumes": the value would be lost. So
//! whoever waits for one says what becomes of it then: it passes it on. A giver needs no such word: what
//! was taken from it was delivered.
//!
//! A green thread can stand in several lines at once ([`Selection`]). The first one to deal with it
//! decides; the others pass it over.

use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use crate::control::{State, Thread, Wake};
use crate::park::{Reason, park_until};
use crate::scheduler::{current_scheduler, scheduler};
use crate::select::Selection;
use crate::wait_list::TimedOut;

/// A line of green threads that wait to be handed a `T`, or to hand one over.
///
/// ```
/// use std::rc::Rc;
/// use evy_runtime::{HandOver, Reason, spawn, yield_now};
///
/// const ITEM: Reason = Reason::new(&"an item");
/// let line = Rc::new(HandOver::new());
/// let taker = spawn({
///     let line = Rc::clone(&line);
///     move || line.receive(ITEM, None, |_| ())
/// });
/// yield_now();
/// assert_eq!(line.hand("apple"), Ok(()));
/// assert_eq!(line.hand("pear"), Err("pear"));
/// assert_eq!(taker.wait().unwrap(), Ok("apple"));
/// ```
pub struct HandOver<T> {
    first: Cell<Option<NonNull<Node<T>>>>,
    last: Cell<Option<NonNull<Node<T>>>>,
    len: Cell<usize>,
}

/// One waiter, in the frame of its wait.
///
/// Other green threads follow pointers to it. It stays where it is until the wait returns or unwinds,
/// and both take it out of the line first; a suspended stack is never freed, and the line is borrowed
/// meanwhile.
struct Node<T> {
    thread: Thread,
    next: Cell<Option<NonNull<Self>>>,
    previous: Cell<Option<NonNull<Self>>>,
    /// A taker's is full once it was handed something, a giver's is empty once that was taken.
    slot: Cell<Option<T>>,
    stand: Cell<Stand>,
    /// In the frame around this one: the other lines it stands in depend on the same.
    selection: Option<NonNull<Selection>>,
}

/// How a waiter stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    InLine,
    /// Out of the line: somebody dealt with it.
    Served,
    /// Out of the line, with nothing: another line had decided before.
    PassedOver,
}

/// What became of an [`offer`](HandOver::offer) that nobody took; it gives the value back.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::{HandOver, Reason, Untaken};
///
/// const TAKER: Reason = Reason::new(&"somebody who takes it");
/// let offered = HandOver::new().offer("apple", TAKER, Some(Duration::from_millis(1)));
/// assert_eq!(offered, Err(Untaken::TimedOut("apple")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken<T> {
    /// The time was over.
    TimedOut(T),
    /// [`refuse`](HandOver::refuse) sent it back.
    Refused(T),
}

impl<T> Default for HandOver<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> HandOver<T> {
    /// An empty line.
    ///
    /// ```
    /// assert!(evy_runtime::HandOver::<u32>::new().is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self { first: Cell::new(None), last: Cell::new(None), len: Cell::new(0) }
    }

    /// How many stand in line. One that waits in several lines and was served in another may still be
    /// among them, until it goes on.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{HandOver, Reason, spawn, yield_now};
    /// # const ITEM: Reason = Reason::new(&"an item");
    /// # let line = Rc::new(HandOver::new());
    /// let taker = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.receive(ITEM, None, |_| ())
    /// });
    /// yield_now();
    /// assert_eq!(line.len(), 1);
    /// # line.hand(1).unwrap();
    /// # taker.wait().unwrap().unwrap();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether nobody stands in line.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{HandOver, Reason, spawn, yield_now};
    /// # const ITEM: Reason = Reason::new(&"an item");
    /// # let line = Rc::new(HandOver::new());
    /// let taker = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.receive(ITEM, None, |_| ())
    /// });
    /// yield_now();
    /// assert!(!line.is_empty());
    /// line.hand(1).unwrap();
    /// assert!(line.is_empty());
    /// # taker.wait().unwrap().unwrap();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// Waits at the end of the line to be handed a value, or until `timeout` is over. `reason` is for
    /// reports.
    ///
    /// If the green thread is handed one *and* killed (or hit by a `timeout` around it) before it goes
    /// on, `pass_on` gets the value.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use evy_runtime::{HandOver, Reason, spawn, yield_now};
    /// # const ITEM: Reason = Reason::new(&"an item");
    /// # let line = Rc::new(HandOver::new());
    /// let [first, second] = [(); 2].map(|()| {
    ///     let line = Rc::clone(&line);
    ///     spawn(move || line.receive(ITEM, None, |item| line.hand(item).unwrap()))
    /// });
    /// yield_now();
    /// line.hand("apple").unwrap();
    /// // Killed before it goes on: the second gets what the first was handed.
    /// first.kill();
    /// assert_eq!(second.wait().unwrap(), Ok("apple"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when the deadline came first; being handed a value wins over a deadline in the same
    /// turn.
    ///
    /// # Yields
    ///
    /// Always; also while the green thread unwinds.
    #[inline(always)]
    pub fn receive(
        &self,
        reason: Reason,
        timeout: Option<Duration>,
        pass_on: impl FnOnce(T),
    ) -> Result<T, TimedOut> {
        let scheduler = scheduler();
        let thread = scheduler.current();
        let deadline = timeout.and_then(|timeout| scheduler.clock().after(timeout));
        let node = Node::new(thread, None, None);
        let waiting = Receiving::new(self, &node, pass_on);
        park_until(scheduler, thread, reason, deadline);
        waiting.end().ok_or(TimedOut)
    }

    /// Hands `value` to the first in line.
    ///
    /// ```
    /// assert_eq!(evy_runtime::HandOver::new().hand("apple"), Err("apple"));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives `value` back when nobody waits.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn hand(&self, value: T) -> Result<(), T> {
        let Some(node) = self.serve() else { return Err(value) };
        node.slot.set(Some(value));
        node.wake();
        Ok(())
    }

    /// Waits at the end of the line until somebody takes `value`, or until `timeout` is over.
    ///
    /// A green thread that is killed while it waits takes its value with it, unless somebody has taken
    /// it already.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_runtime::{HandOver, Reason, spawn, yield_now};
    ///
    /// const TAKER: Reason = Reason::new(&"somebody who takes it");
    /// let line = Rc::new(HandOver::new());
    /// let giver = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.offer("apple", TAKER, None)
    /// });
    /// yield_now();
    /// assert_eq!(line.take(), Some("apple"));
    /// assert_eq!(giver.wait().unwrap(), Ok(()));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Untaken`], with the value, when the deadline came first or the offer was refused.
    ///
    /// # Yields
    ///
    /// Always; also while the green thread unwinds.
    #[inline(always)]
    pub fn offer(
        &self,
        value: T,
        reason: Reason,
        timeout: Option<Duration>,
    ) -> Result<(), Untaken<T>> {
        let scheduler = scheduler();
        let thread = scheduler.current();
        let deadline = timeout.and_then(|timeout| scheduler.clock().after(timeout));
        let node = Node::new(thread, None, Some(value));
        let standing = Standing::new(self, &node);
        park_until(scheduler, thread, reason, deadline);
        standing.leave();
        match (node.stand.get(), node.slot.take()) {
            (_, None) => Ok(()),
            (Stand::Served, Some(value)) => Err(Untaken::Refused(value)),
            (_, Some(value)) => Err(Untaken::TimedOut(value)),
        }
    }

    /// Takes the value of the first in line.
    ///
    /// ```
    /// assert_eq!(evy_runtime::HandOver::<u32>::new().take(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn take(&self) -> Option<T> {
        let node = self.serve()?;
        let value = node.slot.take();
        debug_assert!(value.is_some(), "a line is one of takers or one of givers");
        node.wake();
        value
    }

    /// Sends the first giver in line away with its value; `false` if nobody waits.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_runtime::{HandOver, Reason, Untaken, spawn, yield_now};
    ///
    /// const TAKER: Reason = Reason::new(&"somebody who takes it");
    /// let line = Rc::new(HandOver::new());
    /// let giver = spawn({
    ///     let line = Rc::clone(&line);
    ///     move || line.offer("apple", TAKER, None)
    /// });
    /// yield_now();
    /// assert!(line.refuse());
    /// assert_eq!(giver.wait().unwrap(), Err(Untaken::Refused("apple")));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn refuse(&self) -> bool {
        self.serve().inspect(|node| node.wake()).is_some()
    }

    /// Stands in line for a value while `inside` runs, as one of the lines of `selection`, and returns
    /// the value if this line was the one that decided. `pass_on` is as in
    /// [`receive`](Self::receive), for an `inside` that unwinds.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_runtime::{HandOver, Reason, Selection, spawn, yield_now};
    ///
    /// const EITHER: Reason = Reason::new(&"an apple or a pear");
    /// let (apples, pears) = (Rc::new(HandOver::new()), Rc::new(HandOver::new()));
    /// let taker = spawn({
    ///     let (apples, pears) = (Rc::clone(&apples), Rc::clone(&pears));
    ///     move || {
    ///         let selection = Selection::new();
    ///         let mut pear = None;
    ///         let apple = apples.receive_in(&selection, |_| (), || {
    ///             pear = pears.receive_in(&selection, |_| (), || {
    ///                 selection.park(EITHER, None).unwrap();
    ///             });
    ///         });
    ///         (apple, pear)
    ///     }
    /// });
    /// yield_now();
    /// assert_eq!(pears.hand("pear"), Ok(()));
    /// assert_eq!(apples.hand("apple"), Err("apple"));
    /// assert_eq!(taker.wait().unwrap(), (None, Some("pear")));
    /// ```
    ///
    /// # Panics
    ///
    /// When another green thread calls it than the one that made the selection.
    ///
    /// # Yields
    ///
    /// Not by itself.
    pub fn receive_in(
        &self,
        selection: &Selection,
        pass_on: impl FnOnce(T),
        inside: impl FnOnce(),
    ) -> Option<T> {
        let node = Node::new(selection.thread(), Some(selection), None);
        let waiting = Receiving::new(self, &node, pass_on);
        inside();
        waiting.end()
    }

    /// Offers `value` while `inside` runs, in one of the lines of `selection`, as
    /// [`receive_in`](Self::receive_in) waits for one.
    ///
    /// ```
    /// use evy_runtime::{HandOver, Selection};
    ///
    /// let line = HandOver::new();
    /// assert_eq!(line.offer_in(&Selection::new(), "apple", || ()), Err("apple"));
    /// let mut taken = None;
    /// assert_eq!(line.offer_in(&Selection::new(), "apple", || taken = line.take()), Ok(()));
    /// assert_eq!(taken, Some("apple"));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives `value` back when nobody took it here, or it was refused.
    ///
    /// # Panics
    ///
    /// When another green thread calls it than the one that made the selection.
    ///
    /// # Yields
    ///
    /// Not by itself.
    pub fn offer_in(
        &self,
        selection: &Selection,
        value: T,
        inside: impl FnOnce(),
    ) -> Result<(), T> {
        let node = Node::new(selection.thread(), Some(selection), Some(value));
        let standing = Standing::new(self, &node);
        inside();
        standing.leave();
        node.slot.take().map_or(Ok(()), Err)
    }

    /// Takes the first one out of the line that no other line has served, and claims it.
    #[inline(always)]
    fn serve(&self) -> Option<&Node<T>> {
        loop {
            // SAFETY: a node in the line is alive (see `Node`), and stays so until its green thread
            // goes on, which it cannot before this one parks.
            let node = unsafe { self.first.get()?.as_ref() };
            self.unlink(node);
            if node.thread.state.get() == State::Finished {
                // One of the process that this one was forked from, which never runs here.
                node.stand.set(Stand::PassedOver);
                continue;
            }
            // SAFETY: the selection lies in a frame around that of the node.
            match node.selection.map(|selection| unsafe { selection.as_ref() }) {
                Some(selection) if !selection.decide() => node.stand.set(Stand::PassedOver),
                _ => {
                    node.stand.set(Stand::Served);
                    return Some(node);
                }
            }
        }
    }

    #[inline(always)]
    fn push(&self, node: &Node<T>) {
        let last = self.last.replace(Some(NonNull::from(node)));
        node.previous.set(last);
        match last {
            None => self.first.set(Some(NonNull::from(node))),
            // SAFETY: a node in the line is alive (see `Node`).
            Some(last) => unsafe { last.as_ref() }.next.set(Some(NonNull::from(node))),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline(always)]
    fn unlink(&self, node: &Node<T>) {
        let (previous, next) = (node.previous.take(), node.next.take());
        match previous {
            None => self.first.set(next),
            // SAFETY: a node in the line is alive, and so are its neighbours (see `Node`).
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

impl<T> fmt::Debug for HandOver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOver").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Node<T> {
    #[inline(always)]
    fn new(thread: Thread, selection: Option<&Selection>, value: Option<T>) -> Self {
        Self {
            thread,
            next: Cell::new(None),
            previous: Cell::new(None),
            slot: Cell::new(value),
            stand: Cell::new(Stand::InLine),
            selection: selection.map(NonNull::from),
        }
    }

    /// Wakes who was served. One that its deadline has queued already is not woken again, and finds itself
    /// served; one that stands in several lines and waits for something else in between finds it later.
    /// At the end of an OS thread those who wait are leaked, and never run again.
    #[inline(always)]
    fn wake(&self) {
        // SAFETY: the selection lies in a frame around that of the node.
        let selection = self.selection.map(|selection| unsafe { selection.as_ref() });
        if let Some(scheduler) = current_scheduler()
            && selection.is_none_or(Selection::is_parked)
        {
            scheduler.wake(self.thread, Wake::Run);
        }
    }
}

/// A place in a line, left however the wait ends.
struct Standing<'a, T> {
    line: &'a HandOver<T>,
    node: &'a Node<T>,
}

impl<'a, T> Standing<'a, T> {
    #[inline(always)]
    fn new(line: &'a HandOver<T>, node: &'a Node<T>) -> Self {
        line.push(node);
        Self { line, node }
    }

    #[inline(always)]
    fn leave(&self) {
        if self.node.stand.get() == Stand::InLine {
            self.line.unlink(self.node);
            self.node.stand.set(Stand::PassedOver);
        }
    }
}

impl<T> Drop for Standing<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.leave();
    }
}

/// A taker's wait, which owes somebody the value if it cannot take it itself.
struct Receiving<'a, T, P: FnOnce(T)> {
    standing: Standing<'a, T>,
    /// `None` once the wait has returned.
    pass_on: Option<P>,
}

impl<'a, T, P: FnOnce(T)> Receiving<'a, T, P> {
    #[inline(always)]
    fn new(line: &'a HandOver<T>, node: &'a Node<T>, pass_on: P) -> Self {
        Self { standing: Standing::new(line, node), pass_on: Some(pass_on) }
    }

    #[inline(always)]
    fn end(mut self) -> Option<T> {
        self.pass_on = None;
        self.standing.leave();
        self.standing.node.slot.take()
    }
}

impl<T, P: FnOnce(T)> Drop for Receiving<'_, T, P> {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(pass_on) = self.pass_on.take() else { return };
        self.standing.leave();
        if let Some(value) = self.standing.node.slot.take() {
            pass_on(value);
        }
    }
}
