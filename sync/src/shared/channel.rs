//! A channel between OS threads: two kinds of handles on one queue.
//!
//! The queue has two halves, each with a lock of its own, so that senders and receivers seldom meet:
//!
//! ```text
//!   receivers ◄─ head: items   ◄──── all at once, when ────  tail: items  ◄─ senders
//!                                    the head is empty       room, who waits
//! ```
//!
//! A receiver that finds an item in the head, and a sender that finds room in the tail, need their own
//! lock alone. Everything else takes both, the head first, and sees the channel as a whole:
//!
//! * Receivers wait only while both halves are empty, so a sender that sees one in the tail's line hands
//!   its item to it, past nobody.
//! * Senders wait only while there is no room, and `senders_wait` in the head says so: a receiver that
//!   takes an item then moves the first sender's item behind the others.
//! * `room` is what was left when a sender last looked at `taken`, the number of items that have left the
//!   head. Receivers make more of it, so a sender that finds none looks again.
//!
//! Between two cores the queue is as fast as its batches are large: to take the tail away from a sender
//! at work costs as much as twenty items. So a receiver that had a small batch lets the next one gather
//! (150 → 25 ns an item), and says when it wants the lock: a sender in a loop would always be faster.
//!
//! No code of users runs under the locks: what is dropped is dropped behind them.

use std::collections::VecDeque;
use std::fmt;
use std::hint::spin_loop;
use std::iter::FusedIterator;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use evy_runtime::{Reason, Unparker, io};

use super::line::{Line, Waiter, deadline, lock};
use super::patience::{Patience, gather};
use crate::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};

const ROOM: Reason = Reason::new(&"room in a shared channel");
const ITEM: Reason = Reason::new(&"an item of a shared channel");

/// The space of so many items is kept when a receiver waits for more.
const KEPT: usize = 1024;

/// The batch from which on moving it costs next to nothing an item.
const LARGE_BATCH: usize = 256;

/// A channel that always has room.
///
/// ```
/// let (sender, receiver) = evy_sync::shared::channel();
/// std::thread::spawn(move || {
///     for n in 0..3 {
///         sender.send(n).unwrap();
///     }
/// });
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
/// ```
///
/// # Yields
///
/// Never.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    new(None)
}

/// A channel that always has room: [`channel`] under crossbeam's name.
///
/// ```
/// let (sender, receiver) = evy_sync::shared::unbounded();
/// sender.send("hello").unwrap();
/// assert_eq!(receiver.recv(), Ok("hello"));
/// ```
///
/// # Yields
///
/// Never.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel()
}

/// A channel for up to `capacity` items; with 0 each is handed from a sender to a receiver.
///
/// ```
/// use evy_sync::TrySendError;
///
/// let (sender, receiver) = evy_sync::shared::bounded(1);
/// assert_eq!(sender.try_send(1), Ok(()));
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
///
/// # Yields
///
/// Never.
#[doc(alias = "sync_channel")]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    new(Some(capacity))
}

fn new<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(capacity));
    (Sender { channel: Arc::clone(&channel) }, Receiver { channel })
}

/// What all ends of a channel share.
struct Channel<T> {
    /// `None`: no bound.
    capacity: Option<usize>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    senders_patience: Patience,
    receivers_patience: Patience,
    head: Apart<Mutex<Head<T>>>,
    /// How many items have left the head. Written under its lock.
    taken: Apart<AtomicUsize>,
    /// There are items in the tail. Written under its lock.
    filled: Apart<AtomicBool>,
    /// A receiver wants the lock of the tail. Written under the lock of the head.
    wanted: Apart<AtomicBool>,
    tail: Apart<Mutex<Tail<T>>>,
}

/// The half that receivers take from.
struct Head<T> {
    items: VecDeque<T>,
    /// How many came in the last batch.
    batch: usize,
    /// The tail's line of senders is not empty. Written with both locks held.
    senders_wait: bool,
}

/// The half that senders put into.
struct Tail<T> {
    items: VecDeque<T>,
    /// How many items have been put in here.
    sent: usize,
    /// For how many items there is room, at least.
    room: usize,
    /// How much room was found by the last look that found any.
    found: usize,
    receivers: Line<T>,
    senders: Line<T>,
    /// All senders are gone.
    no_sender: bool,
    /// All receivers are gone.
    no_receiver: bool,
}

/// On cache lines of its own; processors fetch these in pairs.
#[repr(align(128))]
struct Apart<T>(T);

/// Why nothing was put.
enum Refusal {
    Full,
    NoReceiver,
}

/// Why nothing was taken.
enum Lack {
    Empty,
    NoSender,
}

impl<T> Channel<T> {
    fn new(capacity: Option<usize>) -> Self {
        let head = Head { items: VecDeque::new(), batch: 0, senders_wait: false };
        let tail = Tail {
            items: VecDeque::new(),
            sent: 0,
            room: capacity.unwrap_or(usize::MAX),
            found: 0,
            receivers: Line::new(),
            senders: Line::new(),
            no_sender: false,
            no_receiver: false,
        };
        Self {
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            senders_patience: Patience::new(),
            receivers_patience: Patience::new(),
            head: Apart(Mutex::new(head)),
            taken: Apart(AtomicUsize::new(0)),
            filled: Apart(AtomicBool::new(false)),
            wanted: Apart(AtomicBool::new(false)),
            tail: Apart(Mutex::new(tail)),
        }
    }

    fn both(&self) -> (MutexGuard<'_, Head<T>>, MutexGuard<'_, Tail<T>>) {
        let head = lock(&self.head.0);
        let tail = self.tail_behind(&head);
        (head, tail)
    }

    /// The tail for whoever has the head.
    fn tail_behind(&self, _head: &MutexGuard<'_, Head<T>>) -> MutexGuard<'_, Tail<T>> {
        self.wanted.0.store(true, Ordering::Relaxed);
        let tail = lock(&self.tail.0);
        self.wanted.0.store(false, Ordering::Relaxed);
        tail
    }

    /// The tail for senders.
    #[inline]
    fn tail(&self) -> MutexGuard<'_, Tail<T>> {
        if self.wanted.0.load(Ordering::Relaxed) {
            self.step_back();
        }
        lock(&self.tail.0)
    }

    /// Lets a receiver have the tail; for a microsecond at most, for it may have lost its core.
    #[cold]
    fn step_back(&self) {
        const LOOKS: u32 = 20;
        let mut looks = 0;
        while looks < LOOKS && self.wanted.0.load(Ordering::Relaxed) {
            spin_loop();
            looks += 1;
        }
    }

    fn len(&self) -> usize {
        let (head, tail) = self.both();
        head.items.len() + tail.items.len()
    }

    fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.len() >= capacity)
    }

    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, tail) = self.both();
        let len = head.items.len() + tail.items.len();
        let waiting = tail.senders.len() + tail.receivers.len();
        drop((head, tail));
        f.debug_struct(name)
            .field("capacity", &self.capacity)
            .field("len", &len)
            .field("waiting", &waiting)
            .field("senders", &self.senders.load(Ordering::Relaxed))
            .field("receivers", &self.receivers.load(Ordering::Relaxed))
            .finish()
    }
}

/// What senders do.
impl<T> Channel<T> {
    #[inline]
    fn put(&self, item: T, timeout: Option<Duration>) -> Result<(), (T, Refusal)> {
        io::count();
        match self.try_put(item) {
            Err((item, Refusal::Full)) => self.put_patiently(item, timeout),
            done => done,
        }
    }

    /// Puts `item` without waiting.
    #[inline]
    fn try_put(&self, item: T) -> Result<(), (T, Refusal)> {
        let mut tail = self.tail();
        let put = self.put_into(&mut tail, item);
        drop(tail);
        put.map(wake)
    }

    /// Hands `item` to the first receiver that waits, who is to be woken, or puts it behind the others.
    #[inline]
    fn put_into(&self, tail: &mut Tail<T>, item: T) -> Result<Option<Unparker>, (T, Refusal)> {
        if tail.no_receiver {
            return Err((item, Refusal::NoReceiver));
        }
        let item = match tail.receivers.serve(item) {
            Ok(served) => return Ok(Some(served)),
            Err(item) => item,
        };
        if tail.room == 0 && !self.look_for_room(tail) {
            return Err((item, Refusal::Full));
        }
        tail.room -= 1;
        self.push(tail, item);
        Ok(None)
    }

    #[inline]
    fn push(&self, tail: &mut Tail<T>, item: T) {
        if tail.items.is_empty() {
            self.filled.0.store(true, Ordering::Relaxed);
        }
        tail.sent = tail.sent.wrapping_add(1);
        tail.items.push_back(item);
    }

    /// How many items there are, at most: receivers may have taken some since.
    #[inline]
    fn count(&self, tail: &Tail<T>) -> usize {
        tail.sent.wrapping_sub(self.taken.0.load(Ordering::Relaxed))
    }

    /// Counts the room anew, and returns whether there is any.
    fn look_for_room(&self, tail: &mut Tail<T>) -> bool {
        tail.room = match self.capacity {
            None => usize::MAX,
            Some(capacity) => capacity.saturating_sub(self.count(tail)),
        };
        let is_some = tail.room > 0;
        if is_some {
            tail.found = tail.room;
        }
        is_some
    }

    #[cold]
    fn put_patiently(&self, item: T, timeout: Option<Duration>) -> Result<(), (T, Refusal)> {
        let deadline = timeout.and_then(deadline);
        if self.capacity == Some(0) {
            // Only a receiver that comes takes it, and out of the line.
            return self.wait_to_put(item, deadline);
        }
        if self.tail().found > 1 {
            gather();
        }
        let taken = self.taken.0.load(Ordering::Relaxed);
        if !self.senders_patience.linger(|| self.taken.0.load(Ordering::Relaxed) != taken) {
            return self.wait_to_put(item, deadline);
        }
        match self.try_put(item) {
            Err((item, Refusal::Full)) => self.wait_to_put(item, deadline),
            done => done,
        }
    }

    fn wait_to_put(&self, item: T, deadline: Option<Instant>) -> Result<(), (T, Refusal)> {
        let (mut head, mut tail) = self.both();
        let item = match self.put_into(&mut tail, item) {
            Err((item, Refusal::Full)) => item,
            done => {
                drop((head, tail));
                return done.map(wake);
            }
        };
        head.senders_wait = true;
        let waiter = tail.senders.join(Some(item));
        drop((head, tail));
        let giving = Giving { channel: self, waiter, is_over: false };
        let ended = self.senders_patience.wait(|| giving.waiter.park(ROOM, deadline));
        let Some(item) = giving.end() else { return Ok(()) };
        Err((item, if ended.is_err() { Refusal::Full } else { Refusal::NoReceiver }))
    }

    /// The last sender is gone.
    fn close_the_tail(&self) {
        let mut tail = self.tail();
        tail.no_sender = true;
        let receivers = tail.receivers.dismiss();
        drop(tail);
        receivers.for_each(Unparker::unpark_once);
    }
}

/// What receivers do.
impl<T> Channel<T> {
    #[inline]
    fn take(&self, timeout: Option<Duration>) -> Result<T, Lack> {
        io::count();
        let mut head = lock(&self.head.0);
        if let Some(item) = self.pop_alone(&mut head) {
            return Ok(item);
        }
        // While senders wait there are items.
        let batch = if head.senders_wait { 0 } else { head.batch };
        drop(head);
        self.take_patiently(batch, timeout)
    }

    /// Takes an item without waiting.
    fn try_take(&self) -> Result<T, Lack> {
        let mut head = lock(&self.head.0);
        if let Some(item) = self.pop_alone(&mut head) {
            return Ok(item);
        }
        let mut tail = self.tail_behind(&head);
        let taken = self.take_from(&mut head, &mut tail);
        drop((head, tail));
        taken.map(wake_for)
    }

    /// Takes the first item of the head, unless a sender waits to have its own put in its place.
    #[inline]
    fn pop_alone(&self, head: &mut Head<T>) -> Option<T> {
        if head.senders_wait { None } else { self.pop(head) }
    }

    #[inline]
    fn pop(&self, head: &mut Head<T>) -> Option<T> {
        let item = head.items.pop_front()?;
        self.count_taken(head, 1);
        Some(item)
    }

    /// Adds to the number of items that have left the head; nobody else does while it is locked.
    #[inline]
    fn count_taken(&self, _head: &Head<T>, more: isize) {
        let taken = self.taken.0.load(Ordering::Relaxed);
        self.taken.0.store(taken.wrapping_add_signed(more), Ordering::Relaxed);
    }

    /// Takes the first item, and puts that of the first sender in its place, who is to be woken.
    fn take_from(
        &self,
        head: &mut Head<T>,
        tail: &mut Tail<T>,
    ) -> Result<(T, Option<Unparker>), Lack> {
        if head.items.is_empty() && !tail.items.is_empty() {
            self.move_batch(head, tail);
        }
        let first = self.pop(head);
        // An item that was given back may have been one too many.
        let has_place = first.is_none() || self.count(tail) < self.capacity.unwrap_or(usize::MAX);
        let given = if head.senders_wait && has_place { tail.senders.take() } else { None };
        head.senders_wait = !tail.senders.is_empty();
        match (first, given) {
            (Some(first), Some((given, sender))) => {
                self.push(tail, given);
                Ok((first, Some(sender)))
            }
            (Some(first), None) => Ok((first, None)),
            (None, Some((given, sender))) => Ok((given, Some(sender))),
            (None, None) if tail.no_sender => Err(Lack::NoSender),
            (None, None) => Err(Lack::Empty),
        }
    }

    /// Moves all items into the head, which has none.
    fn move_batch(&self, head: &mut Head<T>, tail: &mut Tail<T>) {
        mem::swap(&mut head.items, &mut tail.items);
        head.batch = head.items.len();
        self.filled.0.store(false, Ordering::Relaxed);
    }

    /// `batch`: of so many items the head was before it ran empty.
    #[cold]
    fn take_patiently(&self, batch: usize, timeout: Option<Duration>) -> Result<T, Lack> {
        let deadline = timeout.and_then(deadline);
        if self.capacity == Some(0) {
            return self.wait_to_take(deadline);
        }
        // Of one item at a time no more will come until somebody has this one.
        let is_stream = batch > 1;
        if is_stream && batch < self.capacity.map_or(LARGE_BATCH, |most| LARGE_BATCH.min(most / 2))
        {
            gather();
        }
        match self.try_take() {
            Err(Lack::Empty) => {}
            done => return done,
        }
        if is_stream {
            gather();
        }
        if !self.receivers_patience.linger(|| self.filled.0.load(Ordering::Relaxed)) {
            return self.wait_to_take(deadline);
        }
        match self.try_take() {
            Err(Lack::Empty) => self.wait_to_take(deadline),
            done => done,
        }
    }

    fn wait_to_take(&self, deadline: Option<Instant>) -> Result<T, Lack> {
        loop {
            let (mut head, mut tail) = self.both();
            match self.take_from(&mut head, &mut tail) {
                Err(Lack::Empty) => {}
                done => {
                    drop((head, tail));
                    return done.map(wake_for);
                }
            }
            head.items.shrink_to(KEPT);
            tail.items.shrink_to(KEPT);
            let waiter = tail.receivers.join(None);
            drop((head, tail));
            let taking = Taking { channel: self, waiter, is_over: false };
            let ended = self.receivers_patience.wait(|| taking.waiter.park(ITEM, deadline));
            match taking.end() {
                Some(item) => return Ok(item),
                None if ended.is_err() => return Err(Lack::Empty),
                // All senders are gone. But a receiver may have given an item back meanwhile.
                None => {}
            }
        }
    }

    /// Takes an item back from a receiver that was handed it and is not going to take it.
    #[cold]
    fn give_back(&self, item: T) {
        let (mut head, mut tail) = self.both();
        let served = match tail.receivers.serve(item) {
            Ok(served) => Some(served),
            Err(item) => {
                head.items.push_front(item);
                self.count_taken(&head, -1);
                tail.room = tail.room.saturating_sub(1);
                None
            }
        };
        drop((head, tail));
        wake(served);
    }

    /// The last receiver is gone.
    fn close_the_head(&self) {
        let (mut head, mut tail) = self.both();
        tail.no_receiver = true;
        head.senders_wait = false;
        let items = (mem::take(&mut head.items), mem::take(&mut tail.items));
        let senders = tail.senders.dismiss();
        drop((head, tail));
        senders.for_each(Unparker::unpark_once);
        drop(items);
    }
}

/// Wakes who was served.
#[inline]
fn wake(served: Option<Unparker>) {
    if let Some(served) = served {
        served.unpark_once();
    }
}

/// Wakes who gave an item, and returns the item that was taken.
#[inline]
fn wake_for<T>((item, served): (T, Option<Unparker>)) -> T {
    wake(served);
    item
}

/// A receiver in line, which owes somebody the item that it was handed.
struct Taking<'a, T> {
    channel: &'a Channel<T>,
    waiter: Waiter<T>,
    is_over: bool,
}

impl<T> Taking<'_, T> {
    fn end(mut self) -> Option<T> {
        self.is_over = true;
        // Who was handed something is not in line any more.
        self.waiter.value().or_else(|| self.leave())
    }

    fn leave(&self) -> Option<T> {
        self.channel.tail().receivers.leave(&self.waiter);
        // It may have been handed something meanwhile.
        self.waiter.value()
    }
}

impl<T> Drop for Taking<'_, T> {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(item) = self.leave()
        {
            self.channel.give_back(item);
        }
    }
}

/// A sender in line, with its item.
struct Giving<'a, T> {
    channel: &'a Channel<T>,
    waiter: Waiter<T>,
    is_over: bool,
}

impl<T> Giving<'_, T> {
    /// The item, if nobody has taken it.
    fn end(mut self) -> Option<T> {
        self.is_over = true;
        self.leave()
    }

    fn leave(&self) -> Option<T> {
        let (mut head, mut tail) = self.channel.both();
        tail.senders.leave(&self.waiter);
        head.senders_wait = !tail.senders.is_empty();
        drop((head, tail));
        self.waiter.value()
    }
}

impl<T> Drop for Giving<'_, T> {
    fn drop(&mut self) {
        if !self.is_over {
            drop(self.leave());
        }
    }
}

/// The end of a channel that items go in at. A clone is another one; when all are gone, the receivers
/// get what is left, and then an error.
///
/// Who waits is served in the order in which it came, and directly: nobody comes between. An item that was
/// handed to a receiver which is killed before it goes on goes to the next, or back to where it stood; a
/// sender that is killed or times out while it waits takes its item with it.
///
/// ```
/// use evy_sync::shared::{Receiver, Sender};
///
/// let (sender, receiver): (Sender<u32>, Receiver<u32>) = evy_sync::shared::channel();
/// for sender in [sender.clone(), sender] {
///     std::thread::spawn(move || sender.send(1));
/// }
/// assert_eq!(receiver.iter().sum::<u32>(), 2);
/// ```
///
/// What it carries is `Send`, for it may go to another OS thread:
///
/// ```compile_fail,E0277
/// let (sender, receiver) = evy_sync::shared::channel();
/// std::thread::spawn(move || sender.send(std::rc::Rc::new(1)));
/// # drop(receiver);
/// ```
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends `item`, and waits until there is room for it; in a channel of capacity 0, until a receiver
    /// takes it.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::shared::bounded(0);
    /// std::thread::spawn(move || sender.send("hello"));
    /// assert_eq!(receiver.recv(), Ok("hello"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], with the item, if all receivers are gone, or go while it waits.
    ///
    /// # Yields
    ///
    /// While there is no room, and now and then where there always is. An OS thread without a hub blocks
    /// instead.
    #[inline]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.channel.put(item, None).map_err(|(item, _)| SendError(item))
    }

    /// Sends `item` if there is room for it, or if a receiver waits for one.
    ///
    /// ```
    /// use evy_sync::TrySendError;
    ///
    /// let (sender, receiver) = evy_sync::shared::bounded(0);
    /// assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(1), Err(TrySendError::Disconnected(1)));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrySendError`], with the item.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.channel.try_put(item).map_err(|(item, refusal)| match refusal {
            Refusal::Full => TrySendError::Full(item),
            Refusal::NoReceiver => TrySendError::Disconnected(item),
        })
    }

    /// [`send`](Self::send) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::SendTimeoutError;
    ///
    /// let (sender, _receiver) = evy_sync::shared::bounded(0);
    /// let sent = sender.send_timeout("hello", Duration::from_millis(1));
    /// assert_eq!(sent, Err(SendTimeoutError::Timeout("hello")));
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError`], with the item.
    ///
    /// # Yields
    ///
    /// As [`send`](Self::send).
    pub fn send_timeout(&self, item: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.channel.put(item, Some(timeout)).map_err(|(item, refusal)| match refusal {
            Refusal::Full => SendTimeoutError::Timeout(item),
            Refusal::NoReceiver => SendTimeoutError::Disconnected(item),
        })
    }

    /// How many items are in the channel.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::shared::channel();
    /// sender.send(1).unwrap();
    /// assert_eq!(sender.len(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Whether no item is in the channel. One of capacity 0 is empty *and* full.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::shared::bounded::<u32>(0);
    /// assert!(sender.is_empty() && sender.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::shared::bounded(1);
    /// sender.send(1).unwrap();
    /// assert!(sender.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_full(&self) -> bool {
        self.channel.is_full()
    }

    /// For how many items there is room; `None` is without bound.
    ///
    /// ```
    /// assert_eq!(evy_sync::shared::bounded::<u32>(2).0.capacity(), Some(2));
    /// assert_eq!(evy_sync::shared::unbounded::<u32>().0.capacity(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity
    }

    /// Whether the other one belongs to the same channel.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::shared::unbounded::<u32>();
    /// assert!(sender.same_channel(&sender.clone()));
    /// assert!(!sender.same_channel(&evy_sync::shared::unbounded().0));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.senders.fetch_add(1, Ordering::Relaxed);
        Self { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.channel.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.channel.close_the_tail();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.describe("Sender", f)
    }
}

/// The end of a channel that items come out at. A clone is another one: each item comes out at one of
/// them. When all are gone, what is left is dropped, and senders get an error.
///
/// [`Sender`] says who is served when, and what becomes of an item whose receiver is killed.
///
/// ```
/// let (sender, receiver) = evy_sync::shared::channel();
/// sender.send(1).unwrap();
/// drop(sender);
/// for item in receiver {
///     assert_eq!(item, 1);
/// }
/// ```
///
/// What it carries is `Send`, for it may come from another OS thread:
///
/// ```compile_fail,E0277
/// let (sender, receiver) = evy_sync::shared::channel::<std::rc::Rc<u32>>();
/// std::thread::spawn(move || receiver.recv());
/// # drop(sender);
/// ```
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Receiver<T> {
    /// Waits for an item.
    ///
    /// ```
    /// use evy_sync::RecvError;
    ///
    /// let (sender, receiver) = evy_sync::shared::channel();
    /// std::thread::spawn(move || sender.send("hello"));
    /// assert_eq!(receiver.recv(), Ok("hello"));
    /// assert_eq!(receiver.recv(), Err(RecvError));
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvError`] if the channel is empty and all senders are gone, or go while it waits.
    ///
    /// # Yields
    ///
    /// While there is no item, and now and then where there always is one. An OS thread without a hub
    /// blocks instead.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.channel.take(None).map_err(|_| RecvError)
    }

    /// Takes an item if there is one, or if a sender waits with one.
    ///
    /// ```
    /// use evy_sync::TryRecvError;
    ///
    /// let (sender, receiver) = evy_sync::shared::channel();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    ///
    /// # Yields
    ///
    /// Never.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.try_take().map_err(|lack| match lack {
            Lack::Empty => TryRecvError::Empty,
            Lack::NoSender => TryRecvError::Disconnected,
        })
    }

    /// [`recv`](Self::recv) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::RecvTimeoutError;
    ///
    /// let (_sender, receiver) = evy_sync::shared::channel::<u32>();
    /// let received = receiver.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(received, Err(RecvTimeoutError::Timeout));
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`].
    ///
    /// # Yields
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.channel.take(Some(timeout)).map_err(|lack| match lack {
            Lack::Empty => RecvTimeoutError::Timeout,
            Lack::NoSender => RecvTimeoutError::Disconnected,
        })
    }

    /// The items, each as [`recv`](Self::recv) gives it, until all senders are gone. `&receiver`
    /// iterates so, too.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::shared::channel();
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
    /// ```
    ///
    /// # Yields
    ///
    /// Each `next` as [`recv`](Self::recv).
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The items that come out without waiting.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::shared::channel();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// How many items are in the channel.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::shared::channel();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Whether no item is in the channel. One of capacity 0 is empty *and* full.
    ///
    /// ```
    /// let (_sender, receiver) = evy_sync::shared::channel::<u32>();
    /// assert!(receiver.is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another item.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::shared::bounded(1);
    /// sender.send(1).unwrap();
    /// assert!(receiver.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_full(&self) -> bool {
        self.channel.is_full()
    }

    /// For how many items there is room; `None` is without bound.
    ///
    /// ```
    /// assert_eq!(evy_sync::shared::bounded::<u32>(2).1.capacity(), Some(2));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity
    }

    /// Whether the other one belongs to the same channel.
    ///
    /// ```
    /// let (_sender, receiver) = evy_sync::shared::unbounded::<u32>();
    /// assert!(receiver.same_channel(&receiver.clone()));
    /// assert!(!receiver.same_channel(&evy_sync::shared::unbounded().1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.channel.receivers.fetch_add(1, Ordering::Relaxed);
        Self { channel: Arc::clone(&self.channel) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.channel.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.channel.close_the_head();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.describe("Receiver", f)
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

/// The items of a channel until all senders are gone; [`Receiver::iter`] gives it.
///
/// ```
/// let (sender, receiver) = evy_sync::shared::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.iter().next(), Some(1));
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

/// The items of a channel that are there; [`Receiver::try_iter`] gives it.
///
/// ```
/// let (_sender, receiver) = evy_sync::shared::channel::<u32>();
/// assert_eq!(receiver.try_iter().next(), None);
/// ```
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// The items of a channel until all senders are gone; a loop over a [`Receiver`] makes it.
///
/// ```
/// let (sender, receiver) = evy_sync::shared::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.into_iter().next(), Some(1));
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}
