//! Messages to one who may be asleep, and the handshake that wakes it.
//!
//! This is the pure part of [`Remote`](crate::Remote): it knows neither what a message says nor how a
//! hub sleeps. `make loom` tries its interleavings.
//!
//! ```text
//!   sender                                hub
//!   1. lock: queue the message, and if    a. sleeping = true
//!      it is the first, pending = true    b. fence
//!   2. if it is the first: fence          c. if pending: sleeping = false, do not wait
//!   3. if sleeping: set it to false, and  d. wait on the OS
//!      who was first to do so wakes it    e. sleeping = false
//!                                         f. lock: pending = false, take all messages
//! ```
//!
//! The bad interleaving is "hub reads pending = false in c, sender reads sleeping = false in 3". The two
//! fences have an order: whoever is second sees what the other one stored before its fence. `sleeping` is
//! only ever written by swaps, so that a late one of a sender cannot undo the hub's next.
//!
//! Whoever is not the first needs no fence: from 1 to f the first one's `pending` stands, so either the
//! hub does not wait or the first one wakes it. An awake hub costs a sender no system call, a sleeping
//! one a single call however many senders.

#[cfg(all(test, evy_loom))]
use loom::sync::atomic::{AtomicBool, fence};
#[cfg(all(test, evy_loom))]
use loom::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
#[cfg(not(all(test, evy_loom)))]
use std::sync::atomic::{AtomicBool, fence};
#[cfg(not(all(test, evy_loom)))]
use std::sync::{Mutex, MutexGuard};

/// A queue of messages for one hub.
#[derive(Debug)]
pub(crate) struct Mailbox<M> {
    messages: Mutex<Vec<M>>,
    /// Messages are there. Written under the lock.
    pending: AtomicBool,
    /// The hub waits on the OS, or is about to, and nobody has begun to wake it.
    sleeping: AtomicBool,
    /// Nobody will take messages any more. Written under the lock.
    ended: AtomicBool,
}

impl<M> Mailbox<M> {
    pub(crate) fn new() -> Self {
        Self {
            messages: Mutex::new(Vec::new()),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Queues `message`, or drops it where nobody takes messages any more. `true`: wake the hub.
    #[must_use = "the hub may be asleep"]
    pub(crate) fn send(&self, message: M) -> bool {
        let is_first = {
            let mut messages = self.messages();
            if self.ended.load(Relaxed) {
                drop(messages);
                // Not under the lock: its destructor is not ours.
                drop(message);
                return false;
            }
            messages.push(message);
            let is_first = messages.len() == 1;
            if is_first {
                self.pending.store(true, Relaxed);
            }
            is_first
        };
        if is_first {
            fence(SeqCst);
        }
        // The others look too, for the first one may have been held up on its way here.
        self.sleeping.load(Relaxed) && self.sleeping.swap(false, AcqRel)
    }

    /// Whether there are messages. A cheap look for the hub's own loop; it may be a little old.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.pending.load(Relaxed)
    }

    /// Steps a to c: whether the hub may wait now.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.sleeping.swap(true, AcqRel);
        fence(SeqCst);
        if self.pending.load(Relaxed) {
            self.sleeping.swap(false, AcqRel);
            return false;
        }
        true
    }

    /// Step e.
    pub(crate) fn wake_up(&self) {
        self.sleeping.swap(false, AcqRel);
    }

    /// Step f: moves every message into `into`, which is empty, in the order in which they came. The
    /// space of `into` takes the next ones.
    pub(crate) fn take(&self, into: &mut Vec<M>) {
        let mut messages = self.messages();
        self.pending.store(false, Relaxed);
        std::mem::swap(&mut *messages, into);
    }

    /// Takes out those that `is_wanted` wants, and leaves the rest for the next turn.
    pub(crate) fn take_if(&self, is_wanted: impl FnMut(&mut M) -> bool) -> Vec<M> {
        self.messages().extract_if(.., is_wanted).collect()
    }

    /// From now on nobody takes messages. Returns those that are there.
    pub(crate) fn end(&self) -> Vec<M> {
        let mut messages = self.messages();
        self.ended.store(true, Relaxed);
        self.pending.store(false, Relaxed);
        std::mem::take(&mut *messages)
    }

    /// Whether what is sent goes nowhere.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    fn messages(&self) -> MutexGuard<'_, Vec<M>> {
        // Nothing that can panic runs under the lock, so a poisoned queue is as good as any.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, evy_loom))]
mod tests;
