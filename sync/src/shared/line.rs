//! A line of green threads and OS threads that wait for values to change hands, first in first out.
//!
//! It is the cousin of the runtime's [`HandOver`](evy_runtime::HandOver) for what several OS threads
//! share. It lies under the lock of whoever has it. The value that changes hands lies in a slot that the
//! line and the one who waits share:
//!
//! ```text
//!   takers:  wait with an empty slot     serve(value) fills the first one's slot
//!   givers:  wait with a full slot       take() empties the first one's slot
//! ```
//!
//! Whoever deals with one who waits takes it out of the line under the lock, and wakes it when the lock
//! is free again: between the wake and the resume nobody else can come by what it was handed.
//!
//! An OS thread may end while green threads are parked on it, which are leaked then. They are still in
//! line, and are passed over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use evy_runtime::{Parker, Reason, TimedOut, Unparker};

/// The ones who wait.
pub(super) struct Line<T> {
    /// In the order of their numbers.
    places: VecDeque<Place<T>>,
    next: u64,
}

/// One of them, for the others.
struct Place<T> {
    number: u64,
    slot: Arc<Mutex<Option<T>>>,
    unparker: Unparker,
}

/// One of them, for itself.
pub(super) struct Waiter<T> {
    number: u64,
    slot: Arc<Mutex<Option<T>>>,
    parker: Parker,
}

impl<T> Line<T> {
    pub(super) const fn new() -> Self {
        Self { places: VecDeque::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts the caller at the end, with the value that it gives, or without one.
    pub(super) fn join(&mut self, value: Option<T>) -> Waiter<T> {
        let number = self.next;
        self.next += 1;
        let (slot, parker) = (Arc::new(Mutex::new(value)), Parker::new());
        let unparker = parker.unparker();
        self.places.push_back(Place { number, slot: Arc::clone(&slot), unparker });
        Waiter { number, slot, parker }
    }

    /// Hands `value` to the first taker, who is to be woken when the lock is free.
    ///
    /// # Errors
    ///
    /// Gives it back if nobody waits.
    #[inline]
    pub(super) fn serve(&mut self, value: T) -> Result<Unparker, T> {
        if self.is_empty() { Err(value) } else { self.serve_somebody(value) }
    }

    fn serve_somebody(&mut self, value: T) -> Result<Unparker, T> {
        while let Some(place) = self.places.pop_front() {
            if !place.unparker.has_ended() {
                *lock(&place.slot) = Some(value);
                return Ok(place.unparker);
            }
        }
        Err(value)
    }

    /// Takes the value of the first giver, who is to be woken when the lock is free.
    pub(super) fn take(&mut self) -> Option<(T, Unparker)> {
        let place = self.places.pop_front()?;
        let value = lock(&place.slot).take();
        Some((value.expect("a giver in line has not given"), place.unparker))
    }

    /// Takes `waiter` out, if nobody has dealt with it.
    pub(super) fn leave(&mut self, waiter: &Waiter<T>) {
        if let Ok(at) = self.places.binary_search_by_key(&waiter.number, |place| place.number) {
            self.places.remove(at);
        }
    }

    /// Sends everybody away as they are; they are to be woken when the lock is free.
    pub(super) fn dismiss(&mut self) -> impl Iterator<Item = Unparker> + use<T> {
        std::mem::take(&mut self.places).into_iter().map(|place| place.unparker)
    }
}

impl<T> Waiter<T> {
    /// Waits until somebody has dealt with it.
    pub(super) fn park(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), TimedOut> {
        self.parker.park(reason, deadline)
    }

    /// What is in its slot: what a taker was handed, or what was not taken from a giver.
    pub(super) fn value(&self) -> Option<T> {
        lock(&self.slot).take()
    }
}

/// No code of users runs under these locks, so a poisoned one is as good as any.
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a wait that begins now and lasts `timeout` ends; `None` is never.
pub(super) fn deadline(timeout: std::time::Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}
