//! A channel between green threads: two kinds of handles on one exchange.
//!
//! The last sender to go closes the exchange: receivers get what is left, and then the end. The last
//! receiver to go closes it, too, and drops what is left. The lines of those who wait are in
//! `exchange.rs`.

use std::cell::Cell;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::Reason;

use crate::channel_error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use crate::exchange::Exchange;
use crate::queue::{GetError, PutError};
use crate::store::Fifo;

const ROOM: Reason = Reason::new(&"room in a channel");
const ITEM: Reason = Reason::new(&"an item of a channel");

/// A channel that always has room.
///
/// ```
/// let (sender, receiver) = evy_sync::channel();
/// evy_runtime::spawn_n(move || {
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
    bounded(usize::MAX)
}

/// A channel that always has room: [`channel`] under crossbeam's name.
///
/// ```
/// let (sender, receiver) = evy_sync::unbounded();
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
/// let (sender, receiver) = evy_sync::bounded(1);
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
    let channel = Rc::new(Channel {
        exchange: Exchange::new(Fifo::new(), capacity),
        senders: Cell::new(1),
        receivers: Cell::new(1),
    });
    (Sender { channel: Rc::clone(&channel) }, Receiver { channel })
}

struct Channel<T> {
    exchange: Exchange<T, Fifo<T>>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
}

impl<T> Channel<T> {
    fn len(&self) -> usize {
        self.exchange.len()
    }

    fn capacity(&self) -> Option<usize> {
        Some(self.exchange.capacity()).filter(|capacity| *capacity < usize::MAX)
    }

    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("senders", &self.senders.get())
            .field("receivers", &self.receivers.get())
            .finish()
    }
}

/// The end of a channel that items go in at. A clone is another one; when all are gone, the receivers
/// get what is left, and then an error.
///
/// Green threads that wait are served in the order in which they came, and directly: nobody comes
/// between. An item that was handed to a receiver which is killed before it goes on goes to the next,
/// or back to where it stood; a sender that is killed or times out while it waits takes its item with
/// it.
///
/// ```
/// use evy_sync::{Receiver, Sender};
///
/// let (sender, receiver): (Sender<u32>, Receiver<u32>) = evy_sync::channel();
/// for sender in [sender.clone(), sender] {
///     evy_runtime::spawn_n(move || sender.send(1));
/// }
/// assert_eq!(receiver.iter().sum::<u32>(), 2);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let (sender, receiver) = evy_sync::channel();
/// std::thread::spawn(move || sender.send(1));
/// # drop(receiver);
/// ```
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends `item`, and waits until there is room for it; in a channel of capacity 0, until a receiver
    /// takes it.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::bounded(0);
    /// evy_runtime::spawn_n(move || sender.send("hello"));
    /// assert_eq!(receiver.recv(), Ok("hello"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], with the item, if all receivers are gone, or go while it waits.
    ///
    /// # Yields
    ///
    /// While there is no room.
    #[inline(always)]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        let put = self.channel.exchange.put(item, ROOM, None);
        put.map_err(|error| SendError(error.into_inner()))
    }

    /// Sends `item` if there is room for it, or if a receiver waits for one.
    ///
    /// ```
    /// use evy_sync::TrySendError;
    ///
    /// let (sender, receiver) = evy_sync::bounded(0);
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
    #[inline(always)]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.channel.exchange.try_put(item).map_err(|error| match error {
            PutError::Full(item) => TrySendError::Full(item),
            PutError::Closed(item) => TrySendError::Disconnected(item),
        })
    }

    /// [`send`](Self::send) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::SendTimeoutError;
    ///
    /// let (sender, _receiver) = evy_sync::bounded(0);
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
        self.channel.exchange.put(item, ROOM, Some(timeout)).map_err(|error| match error {
            PutError::Full(item) => SendTimeoutError::Timeout(item),
            PutError::Closed(item) => SendTimeoutError::Disconnected(item),
        })
    }

    /// How many items are in the channel.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::channel();
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
    /// let (sender, _receiver) = evy_sync::bounded::<u32>(0);
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
    /// let (sender, _receiver) = evy_sync::bounded(1);
    /// sender.send(1).unwrap();
    /// assert!(sender.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_full(&self) -> bool {
        self.channel.exchange.is_full()
    }

    /// For how many items there is room; `None` is without bound.
    ///
    /// ```
    /// assert_eq!(evy_sync::bounded::<u32>(2).0.capacity(), Some(2));
    /// assert_eq!(evy_sync::unbounded::<u32>().0.capacity(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity()
    }

    /// Whether the other one belongs to the same channel.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::unbounded::<u32>();
    /// assert!(sender.same_channel(&sender.clone()));
    /// assert!(!sender.same_channel(&evy_sync::unbounded().0));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    pub(crate) fn exchange(&self) -> &Exchange<T, Fifo<T>> {
        &self.channel.exchange
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.senders.set(self.channel.senders.get() + 1);
        Self { channel: Rc::clone(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let senders = self.channel.senders.get() - 1;
        self.channel.senders.set(senders);
        if senders == 0 {
            self.channel.exchange.close();
        }
    }
}

// No panic leaves a channel half-changed.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

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
/// let (sender, receiver) = evy_sync::channel();
/// sender.send(1).unwrap();
/// drop(sender);
/// for item in receiver {
///     assert_eq!(item, 1);
/// }
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let (sender, receiver) = evy_sync::channel::<u32>();
/// std::thread::spawn(move || receiver.recv());
/// # drop(sender);
/// ```
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Receiver<T> {
    /// Waits for an item.
    ///
    /// ```
    /// use evy_sync::RecvError;
    ///
    /// let (sender, receiver) = evy_sync::channel();
    /// evy_runtime::spawn_n(move || sender.send("hello"));
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
    /// While there is no item.
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.channel.exchange.get(ITEM, None).map_err(|_| RecvError)
    }

    /// Takes an item if there is one, or if a sender waits with one.
    ///
    /// ```
    /// use evy_sync::TryRecvError;
    ///
    /// let (sender, receiver) = evy_sync::channel();
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
    #[inline(always)]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.exchange.try_get().map_err(|error| match error {
            GetError::Empty => TryRecvError::Empty,
            GetError::Closed => TryRecvError::Disconnected,
        })
    }

    /// [`recv`](Self::recv) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::RecvTimeoutError;
    ///
    /// let (_sender, receiver) = evy_sync::channel::<u32>();
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
        self.channel.exchange.get(ITEM, Some(timeout)).map_err(|error| match error {
            GetError::Empty => RecvTimeoutError::Timeout,
            GetError::Closed => RecvTimeoutError::Disconnected,
        })
    }

    /// The items, each as [`recv`](Self::recv) gives it, until all senders are gone. `&receiver`
    /// iterates so, too.
    ///
    /// ```
    /// let (sender, receiver) = evy_sync::channel();
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
    /// let (sender, receiver) = evy_sync::channel();
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
    /// let (sender, receiver) = evy_sync::channel();
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
    /// let (_sender, receiver) = evy_sync::channel::<u32>();
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
    /// let (sender, receiver) = evy_sync::bounded(1);
    /// sender.send(1).unwrap();
    /// assert!(receiver.is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_full(&self) -> bool {
        self.channel.exchange.is_full()
    }

    /// For how many items there is room; `None` is without bound.
    ///
    /// ```
    /// assert_eq!(evy_sync::bounded::<u32>(2).1.capacity(), Some(2));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity()
    }

    /// Whether the other one belongs to the same channel.
    ///
    /// ```
    /// let (_sender, receiver) = evy_sync::unbounded::<u32>();
    /// assert!(receiver.same_channel(&receiver.clone()));
    /// assert!(!receiver.same_channel(&evy_sync::unbounded().1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    pub(crate) fn exchange(&self) -> &Exchange<T, Fifo<T>> {
        &self.channel.exchange
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.channel.receivers.set(self.channel.receivers.get() + 1);
        Self { channel: Rc::clone(&self.channel) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let receivers = self.channel.receivers.get() - 1;
        self.channel.receivers.set(receivers);
        if receivers == 0 {
            self.channel.exchange.close();
            self.channel.exchange.clear();
        }
    }
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

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
/// let (sender, receiver) = evy_sync::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.iter().next(), Some(1));
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

/// The items of a channel that are there; [`Receiver::try_iter`] gives it.
///
/// ```
/// let (_sender, receiver) = evy_sync::channel::<u32>();
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
/// let (sender, receiver) = evy_sync::channel();
/// sender.send(1).unwrap();
/// assert_eq!(receiver.into_iter().next(), Some(1));
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}
