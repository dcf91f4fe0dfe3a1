//! The side of a hub that other OS threads have: what they can tell it, and how it is woken for that.
//!
//! ```text
//!   other OS thread                                    hub's OS thread
//!   wake, forget ─► Mailbox ── take ─────────────────► Hub: due, or a slot that is free
//!                      │ "it sleeps"                     ▲
//!                      └────► Driver: eventfd ─ ends ─► its wait
//! ```
//!
//! That no message is slept through is the [`Mailbox`]'s business.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::SourceKey;
use crate::driver::Driver;
use crate::mailbox::Mailbox;

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
    pub(crate) mailbox: Mailbox<Message>,
}

impl Remote {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver, mailbox: Mailbox::new() }
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
        self.mailbox.has_ended() || self.driver.is_of_parent()
    }

    fn send(&self, message: Message) {
        // The parent's queue may have been locked by another OS thread at the fork.
        if !self.driver.is_of_parent() && self.mailbox.send(message) {
            self.driver.wake();
        }
    }

    /// Takes out which descriptors are to be forgotten, and leaves the rest for the next turn.
    pub(crate) fn take_forgotten(&self) -> Vec<Message> {
        self.mailbox.take_if(|message| matches!(message, Message::Forget(_)))
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
        if !self.driver.is_of_parent() {
            self.mailbox.end();
        }
    }
}
