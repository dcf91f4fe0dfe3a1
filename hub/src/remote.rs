//! Messages to a hub from other OS threads, and the handshake that wakes a sleeping hub.
//!
//! ```text
//!   sender                                hub
//!   1. queue the message                  a. sleeping = true
//!   2. pending = true                     b. if pending: sleeping = false, do not wait
//!   3. if sleeping was true: wake it      c. wait on the OS
//!                                         d. sleeping = false; take the messages
//! ```
//!
//! The stores in 2 and a and the loads in 3 and b are sequentially consistent: of a sender and a
//! hub that cross, at least one sees the other's store. The bad interleaving is "hub reads pending =
//! false, sender reads sleeping = false", and it would need both loads to come before both stores.
//! An awake hub costs the sender no system call, a sleeping one a single call however many senders.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::SourceKey;
use crate::driver::Driver;

/// What another OS thread can tell a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The owner of this word is due. The hub hands the word back as it came.
    Wake(u64),
    /// This descriptor was deleted from the driver: free its slot.
    Forget(SourceKey),
}

/// The side of a hub that other OS threads may use.
///
/// It outlives its hub; what is sent to a hub that has ended goes nowhere.
///
/// ```
/// let mut hub = evy_hub::Hub::new()?;
/// let remote = std::sync::Arc::clone(hub.remote());
/// std::thread::spawn(move || remote.wake(7)).join().unwrap();
/// let mut due = Vec::new();
/// hub.turn(false, &mut |item| due.push(item))?;
/// assert_eq!(due, [evy_hub::Due::Remote(7)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Remote {
    pub(crate) driver: Driver,
    queue: Mutex<Vec<Message>>,
    pending: AtomicBool,
    sleeping: AtomicBool,
    ended: AtomicBool,
}

impl Remote {
    pub(crate) fn new(driver: Driver) -> Self {
        Self {
            driver,
            queue: Mutex::new(Vec::new()),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Makes the hub hand back `word` as due, waking it if it sleeps.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// hub.remote().wake(7);
    /// let mut due = Vec::new();
    /// hub.turn(false, &mut |item| due.push(item))?;
    /// assert_eq!(due, [evy_hub::Due::Remote(7)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wake(&self, word: u64) {
        self.send(Message::Wake(word));
    }

    /// Deregisters `fd` and lets the hub free its slot: the way for a socket that is dropped on
    /// another OS thread than its hub's. The caller closes it afterwards.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    ///
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let key = hub.register(socket.as_fd())?;
    /// hub.remote().forget(key, socket.as_fd());
    /// hub.turn(false, &mut |_| ())?;
    /// assert_eq!(hub.sources(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn forget(&self, key: SourceKey, fd: BorrowedFd<'_>) {
        self.driver.delete(fd.as_raw_fd());
        self.send(Message::Forget(key));
    }

    /// Whether nothing reaches the hub any more: it has ended, or is one of the process that this one was
    /// forked from.
    ///
    /// ```
    /// let remote = std::sync::Arc::clone(evy_hub::Hub::new()?.remote());
    /// assert!(remote.has_ended());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn has_ended(&self) -> bool {
        self.ended.load(SeqCst) || self.driver.is_of_parent()
    }

    fn send(&self, message: Message) {
        // The parent's queue may have been locked by another OS thread at the fork.
        if self.has_ended() {
            return;
        }
        self.queue().push(message);
        self.pending.store(true, SeqCst);
        if self.sleeping.swap(false, SeqCst) {
            self.driver.wake();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Message>> {
        // Nothing that can panic runs under the lock, so a poisoned queue is as good as any.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether messages wait. A cheap look for the hub's own loop.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.pending.load(SeqCst)
    }

    /// Steps a and b of the handshake: whether the hub may wait now.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.sleeping.store(true, SeqCst);
        if self.pending.load(SeqCst) {
            self.sleeping.store(false, SeqCst);
            return false;
        }
        true
    }

    /// The first half of step d.
    pub(crate) fn wake_up(&self) {
        self.sleeping.store(false, SeqCst);
    }

    /// Takes every message out, in the order in which they came.
    pub(crate) fn take(&self) -> Vec<Message> {
        self.pending.store(false, SeqCst);
        std::mem::take(&mut self.queue())
    }

    /// Takes out which descriptors are to be forgotten, and leaves the rest for the next turn.
    pub(crate) fn take_forgotten(&self) -> Vec<SourceKey> {
        let mut forgotten = Vec::new();
        self.queue().retain(|message| match message {
            Message::Wake(_) => true,
            Message::Forget(key) => {
                forgotten.push(*key);
                false
            }
        });
        forgotten
    }

    /// Ends the hub for the others: what is sent from now on goes nowhere. A hub that is dropped does
    /// it by itself.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// hub.remote().end();
    /// hub.remote().wake(7);
    /// hub.turn(false, &mut |due| panic!("{due:?} goes nowhere"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn end(&self) {
        if !self.has_ended() {
            self.ended.store(true, SeqCst);
            self.queue().clear();
        }
    }
}
