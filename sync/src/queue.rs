//! A queue between green threads.
//!
//! The lines of putters and getters, and who serves whom, are in `exchange.rs`; the orders are in
//! `store.rs`. What is added here is the count of finished items.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use evy_runtime::{Reason, WaitList, yield_now};

use crate::exchange::Exchange;
use crate::store::{Heap, Order, Ordered};

const ROOM: Reason = Reason::new(&"room in a Queue");
const ITEM: Reason = Reason::new(&"an item of a Queue");
const DONE: Reason = Reason::new(&"the last task_done of a Queue");

/// Items that some green threads put and others get: first in first out, last in first out, or the
/// least one first.
///
/// Green threads that wait are served in the order in which they came, and directly: nobody comes
/// between. If a getter is killed after it was handed an item and before it goes on, the item goes to
/// the next getter, or back to where it stood; if a putter is killed or times out while it waits, its
/// item goes with it.
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::Queue;
///
/// let queue = Rc::new(Queue::bounded(2));
/// evy_runtime::spawn_n({
///     let queue = Rc::clone(&queue);
///     move || {
///         (0..5).for_each(|n| queue.put(n * 10).unwrap());
///         queue.close();
///     }
/// });
/// assert_eq!(queue.iter().collect::<Vec<_>>(), [0, 10, 20, 30, 40]);
/// ```
///
/// # Rendezvous
///
/// A queue of capacity 0 holds nothing: a [`put`](Self::put) returns when the item was got, and lets
/// the getter run first.
///
/// # Green threads of one OS thread
///
/// A queue belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let queue = evy_sync::Queue::unbounded();
/// std::thread::spawn(move || queue.put(1));
/// ```
#[doc(alias("LifoQueue", "PriorityQueue", "LightQueue"))]
pub struct Queue<T> {
    pub(crate) exchange: Exchange<T, Ordered<T>>,
    /// How often `task_done` was called.
    done: Cell<u64>,
    joining: WaitList,
}

impl<T> Queue<T> {
    /// A queue that always has room.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded();
    /// assert_eq!(queue.try_put(1), Ok(()));
    /// assert_eq!(queue.capacity(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    /// A queue for up to `capacity` items; with 0 a put waits for a get.
    ///
    /// ```
    /// use evy_sync::{PutError, Queue};
    ///
    /// let queue = Queue::bounded(1);
    /// assert_eq!(queue.try_put(1), Ok(()));
    /// assert_eq!(queue.try_put(2), Err(PutError::Full(2)));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn bounded(capacity: usize) -> Self {
        Self {
            exchange: Exchange::new(Ordered::new(), capacity),
            done: Cell::new(0),
            joining: WaitList::new(),
        }
    }

    /// The same queue, but that the item which came last is got first.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded().lifo();
    /// (1..=3).for_each(|n| queue.put(n).unwrap());
    /// assert_eq!(queue.try_iter().collect::<Vec<_>>(), [3, 2, 1]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use = "it is the queue"]
    pub fn lifo(mut self) -> Self {
        self.exchange.store.reorder(Order::Lifo);
        self
    }

    /// The same queue, but that the least item is got first, and of equal ones the one which came
    /// first. [`Reverse`](std::cmp::Reverse) makes it the greatest.
    ///
    /// Items are compared in calls that take one out. If a comparison panics, that call does, and no
    /// item is lost. A comparison may park; who uses the queue meanwhile does not see the items that
    /// are being compared, so it may get a later one, or wait.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded().by_priority();
    /// for job in [(2, "wash"), (1, "wake"), (2, "dress")] {
    ///     queue.put(job).unwrap();
    /// }
    /// let jobs: Vec<_> = queue.try_iter().map(|(_, job)| job).collect();
    /// assert_eq!(jobs, ["wake", "dress", "wash"]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use = "it is the queue"]
    pub fn by_priority(mut self) -> Self
    where
        T: Ord,
    {
        self.exchange.store.reorder(Order::Priority(Heap::new(T::cmp)));
        self
    }

    /// Puts `item` into the queue, and waits until there is room.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::Queue;
    ///
    /// let queue = Rc::new(Queue::bounded(0));
    /// let putter = evy_runtime::spawn({
    ///     let queue = Rc::clone(&queue);
    ///     move || queue.put("hello")
    /// });
    /// evy_runtime::yield_now();
    /// assert!(!putter.is_finished());
    /// assert_eq!(queue.get(), Ok("hello"));
    /// assert_eq!(putter.wait().unwrap(), Ok(()));
    /// ```
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`], with the item, if the queue is closed, or is while it waits.
    ///
    /// # Yields
    ///
    /// While there is no room; always where the capacity is 0.
    #[inline(always)]
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, None)
    }

    /// [`put`](Self::put) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{PutError, Queue};
    ///
    /// let queue = Queue::bounded(0);
    /// let put = queue.put_timeout("hello", Duration::from_millis(1));
    /// assert_eq!(put, Err(PutError::Full("hello")));
    /// assert!(queue.try_get().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`PutError`], with the item: `Full` when the time was over before there was room.
    ///
    /// # Yields
    ///
    /// As [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_until(item, Some(timeout))
    }

    #[inline(always)]
    fn put_until(&self, item: T, timeout: Option<Duration>) -> Result<(), PutError<T>> {
        match self.exchange.try_put(item) {
            Ok(()) if self.exchange.capacity() == 0 => yield_now(),
            Err(PutError::Full(item)) => return self.exchange.offer(item, ROOM, timeout),
            done => return done,
        }
        Ok(())
    }

    /// Puts `item` into the queue if there is room, or if somebody waits for one.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::{PutError, Queue};
    ///
    /// let queue = Rc::new(Queue::bounded(0));
    /// assert_eq!(queue.try_put(1), Err(PutError::Full(1)));
    /// let getter = evy_runtime::spawn({
    ///     let queue = Rc::clone(&queue);
    ///     move || queue.get()
    /// });
    /// evy_runtime::yield_now();
    /// assert_eq!(queue.try_put(2), Ok(()));
    /// assert_eq!(getter.wait().unwrap(), Ok(2));
    /// ```
    ///
    /// # Errors
    ///
    /// [`PutError`], with the item.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "put_nowait")]
    #[inline(always)]
    pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        self.exchange.try_put(item)
    }

    /// Takes the next item, and waits until there is one.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded();
    /// queue.put("hello").unwrap();
    /// assert_eq!(queue.get(), Ok("hello"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] if the queue is closed and empty, or is while it waits.
    ///
    /// # Yields
    ///
    /// While there is no item.
    #[inline(always)]
    pub fn get(&self) -> Result<T, GetError> {
        self.exchange.get(ITEM, None)
    }

    /// [`get`](Self::get) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{GetError, Queue};
    ///
    /// let queue = Queue::<u32>::unbounded();
    /// assert_eq!(queue.get_timeout(Duration::from_millis(1)), Err(GetError::Empty));
    /// ```
    ///
    /// # Errors
    ///
    /// [`GetError`]: `Empty` when the time was over before there was an item.
    ///
    /// # Yields
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.exchange.get(ITEM, Some(timeout))
    }

    /// Takes the next item if there is one, or if somebody waits with one.
    ///
    /// ```
    /// use evy_sync::{GetError, Queue};
    ///
    /// let queue = Queue::unbounded();
    /// assert_eq!(queue.try_get(), Err(GetError::Empty));
    /// queue.put(1).unwrap();
    /// assert_eq!(queue.try_get(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// [`GetError`].
    ///
    /// # Yields
    ///
    /// Never by itself.
    #[doc(alias = "get_nowait")]
    #[inline(always)]
    pub fn try_get(&self) -> Result<T, GetError> {
        self.exchange.try_get()
    }

    /// How many items lie in the queue. Those that putters wait with do not.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded();
    /// queue.put(1).unwrap();
    /// assert_eq!(queue.len(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.exchange.len()
    }

    /// Whether no item lies in the queue. One of capacity 0 is empty *and* full.
    ///
    /// ```
    /// let queue = evy_sync::Queue::<u32>::bounded(0);
    /// assert!(queue.is_empty() && queue.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room: as many items as the capacity, or more after a
    /// [`resize`](Self::resize) or the return of one whose getter was killed.
    ///
    /// ```
    /// let queue = evy_sync::Queue::bounded(1);
    /// assert!(!queue.is_full());
    /// queue.put(1).unwrap();
    /// assert!(queue.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_full(&self) -> bool {
        self.exchange.is_full()
    }

    /// For how many items there is room; `None` is without bound.
    ///
    /// ```
    /// assert_eq!(evy_sync::Queue::<u32>::bounded(3).capacity(), Some(3));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "maxsize")]
    pub fn capacity(&self) -> Option<usize> {
        Some(self.exchange.capacity()).filter(|capacity| *capacity < usize::MAX)
    }

    /// How many green threads wait in [`get`](Self::get).
    ///
    /// One that waits in a [`select!`](crate::select!) and was served elsewhere counts until it goes
    /// on.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::Queue;
    ///
    /// let queue = Rc::new(Queue::unbounded());
    /// let getter = evy_runtime::spawn({
    ///     let queue = Rc::clone(&queue);
    ///     move || queue.get()
    /// });
    /// evy_runtime::yield_now();
    /// assert_eq!(queue.getting(), 1);
    /// queue.put(1).unwrap();
    /// assert_eq!(queue.getting(), 0);
    /// # getter.wait().unwrap().unwrap();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn getting(&self) -> usize {
        self.exchange.getting()
    }

    /// How many green threads wait in [`put`](Self::put), counted as by [`getting`](Self::getting).
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::Queue;
    ///
    /// let queue = Rc::new(Queue::bounded(0));
    /// let putter = evy_runtime::spawn({
    ///     let queue = Rc::clone(&queue);
    ///     move || queue.put(1)
    /// });
    /// evy_runtime::yield_now();
    /// assert_eq!(queue.putting(), 1);
    /// assert_eq!(queue.get(), Ok(1));
    /// assert_eq!(queue.putting(), 0);
    /// # putter.wait().unwrap().unwrap();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn putting(&self) -> usize {
        self.exchange.putting()
    }

    /// Changes for how many items there is room; `None` is without bound.
    ///
    /// New room goes to those that wait with an item, first come first. If more items lie in the queue
    /// than there is room for, they stay.
    ///
    /// ```
    /// use evy_sync::{PutError, Queue};
    ///
    /// let queue = Queue::bounded(0);
    /// queue.resize(1);
    /// queue.put(1).unwrap();
    /// assert_eq!(queue.try_put(2), Err(PutError::Full(2)));
    /// queue.resize(None);
    /// assert_eq!(queue.try_put(2), Ok(()));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn resize(&self, capacity: impl Into<Option<usize>>) {
        self.exchange.resize(capacity.into().unwrap_or(usize::MAX));
    }

    /// Says that one of the items that were put is dealt with; [`join`](Self::join) waits for all.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded();
    /// queue.put(1).unwrap();
    /// queue.get().unwrap();
    /// queue.task_done();
    /// queue.join();
    /// ```
    ///
    /// # Panics
    ///
    /// When it is called more often than items were put.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn task_done(&self) {
        let done = self.done.get() + 1;
        assert!(
            done <= self.exchange.accepted(),
            "task_done called more often than items were put"
        );
        self.done.set(done);
        if self.is_done() {
            self.joining.wake_all();
        }
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put.
    ///
    /// Every caller returns once that was so for a moment. An item counts from when there is room for
    /// it.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::Queue;
    ///
    /// let queue = Rc::new(Queue::unbounded());
    /// queue.join(); // returns at once
    /// (0..3).for_each(|n| queue.put(n).unwrap());
    /// evy_runtime::spawn_n({
    ///     let queue = Rc::clone(&queue);
    ///     move || queue.iter().for_each(|_| queue.task_done())
    /// });
    /// queue.join();
    /// assert!(queue.is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Until all is done; not if it is.
    pub fn join(&self) {
        if !self.is_done() {
            self.joining.wait(DONE, None, || ()).expect("there is no deadline");
        }
    }

    fn is_done(&self) -> bool {
        self.done.get() == self.exchange.accepted()
    }

    /// Ends the queue: nothing is put into it any more, and who gets from it is told so once it is
    /// empty. Those that wait to put get their items back.
    ///
    /// ```
    /// use evy_sync::{GetError, PutError, Queue};
    ///
    /// let queue = Queue::unbounded();
    /// queue.put(1).unwrap();
    /// queue.close();
    /// assert_eq!(queue.put(2), Err(PutError::Closed(2)));
    /// assert_eq!(queue.get(), Ok(1));
    /// assert_eq!(queue.get(), Err(GetError::Closed));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "shutdown")]
    pub fn close(&self) {
        self.exchange.close();
    }

    /// Whether [`close`](Self::close) was called.
    ///
    /// ```
    /// let queue = evy_sync::Queue::<u32>::unbounded();
    /// assert!(!queue.is_closed());
    /// queue.close();
    /// assert!(queue.is_closed());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_closed(&self) -> bool {
        self.exchange.is_closed()
    }

    /// The items, each as [`get`](Self::get) gives it, until the queue is closed and empty. `&queue`
    /// iterates so, too.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded();
    /// queue.put("hello").unwrap();
    /// queue.close();
    /// for item in &queue {
    ///     assert_eq!(item, "hello");
    /// }
    /// ```
    ///
    /// # Yields
    ///
    /// Each `next` as [`get`](Self::get).
    pub fn iter(&self) -> QueueIter<'_, T> {
        QueueIter { queue: self }
    }

    /// The items that can be got without waiting.
    ///
    /// ```
    /// let queue = evy_sync::Queue::unbounded();
    /// queue.put("hello").unwrap();
    /// assert_eq!(queue.try_iter().collect::<Vec<_>>(), ["hello"]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never by itself.
    pub fn try_iter(&self) -> QueueTryIter<'_, T> {
        QueueTryIter { queue: self }
    }
}

impl<T> Default for Queue<T> {
    /// One without bound, first in first out.
    fn default() -> Self {
        Self::unbounded()
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("order", &self.exchange.store.order_name())
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("getting", &self.getting())
            .field("putting", &self.putting())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<'a, T> IntoIterator for &'a Queue<T> {
    type Item = T;
    type IntoIter = QueueIter<'a, T>;

    fn into_iter(self) -> QueueIter<'a, T> {
        self.iter()
    }
}

/// The items of a [`Queue`] until it is closed; [`Queue::iter`] gives it.
///
/// ```
/// let queue = evy_sync::Queue::unbounded();
/// queue.put(1).unwrap();
/// assert_eq!(queue.iter().next(), Some(1));
/// ```
pub struct QueueIter<'a, T> {
    queue: &'a Queue<T>,
}

impl<T> Iterator for QueueIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.queue.get().ok()
    }
}

impl<T> FusedIterator for QueueIter<'_, T> {}

impl<T> fmt::Debug for QueueIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueueIter").field(self.queue).finish()
    }
}

/// The items of a [`Queue`] that are there; [`Queue::try_iter`] gives it.
///
/// ```
/// let queue = evy_sync::Queue::<u32>::unbounded();
/// assert_eq!(queue.try_iter().next(), None);
/// ```
pub struct QueueTryIter<'a, T> {
    queue: &'a Queue<T>,
}

impl<T> Iterator for QueueTryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.queue.try_get().ok()
    }
}

impl<T> fmt::Debug for QueueTryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueueTryIter").field(self.queue).finish()
    }
}

/// Why an item was not put into a [`Queue`]; it gives the item back.
///
/// ```
/// use evy_sync::{PutError, Queue};
///
/// let error = Queue::bounded(0).try_put("hello").unwrap_err();
/// assert_eq!(error, PutError::Full("hello"));
/// assert_eq!(error.to_string(), "the queue is full");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutError<T> {
    /// There was no room, in time.
    Full(T),
    /// The queue is closed.
    Closed(T),
}

impl<T> PutError<T> {
    /// The item that was not put.
    ///
    /// ```
    /// let queue = evy_sync::Queue::bounded(0);
    /// assert_eq!(queue.try_put("hello").unwrap_err().into_inner(), "hello");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::Closed(_) => "the queue is closed",
        })
    }
}

impl<T> Error for PutError<T> {}

/// Why no item came out of a [`Queue`].
///
/// ```
/// use evy_sync::{GetError, Queue};
///
/// let error = Queue::<u32>::unbounded().try_get().unwrap_err();
/// assert_eq!(error, GetError::Empty);
/// assert_eq!(error.to_string(), "the queue is empty");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetError {
    /// There was no item, in time.
    Empty,
    /// The queue is closed, and all items are out.
    Closed,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the queue is empty",
            Self::Closed => "the queue is empty and closed",
        })
    }
}

impl Error for GetError {}
