//! Where putters and getters meet: what [`Queue`](crate::Queue) and the channels are made of.
//!
//! ```text
//!            nobody waits              getters wait         putters wait
//!   store    up to its capacity        empty                full
//!   put      into the store            to the first         at the end of the line
//!   get      out of the store          end of the line      out of the store, and the first
//!                                                           putter's item goes in; with capacity
//!                                                           0 that item itself
//! ```
//!
//! An item that was handed to a getter which is killed before it goes on passes to the next getter, or
//! goes back to where it stood, even if the store is full then. A putter that is killed or times out
//! takes its item back: while it waits the item is in its own frame. Who closes the exchange sends the
//! putters away with their items, and the getters once there is nothing left.

use std::cell::Cell;
use std::time::Duration;

use evy_runtime::{HandOver, Reason, Selection, TimedOut, Untaken};

use crate::queue::{GetError, PutError};
use crate::store::{Entry, Fifo, Store};

pub(crate) struct Exchange<T, S> {
    pub(crate) store: S,
    /// How many items are in the store, or are taken out to be compared.
    len: Cell<usize>,
    /// `None` tells a getter that nothing comes any more.
    getters: HandOver<Option<Entry<T>>>,
    putters: HandOver<T>,
    /// `usize::MAX` is without bound.
    capacity: Cell<usize>,
    /// How many items were ever stored or handed over: the number of the next one.
    accepted: Cell<u64>,
    closed: Cell<bool>,
}

impl<T, S: Store<T>> Exchange<T, S> {
    pub(crate) const fn new(store: S, capacity: usize) -> Self {
        Self {
            store,
            len: Cell::new(0),
            getters: HandOver::new(),
            putters: HandOver::new(),
            capacity: Cell::new(capacity),
            accepted: Cell::new(0),
            closed: Cell::new(false),
        }
    }

    /// Hands `item` to the first getter, or stores it.
    #[inline(always)]
    pub(crate) fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        if self.is_closed() {
            return Err(PutError::Closed(item));
        }
        let entry = Entry { number: self.accepted.get(), item };
        if let Err(entry) = self.getters.hand(Some(entry)) {
            let entry = entry.expect("it comes back as it was given");
            if self.is_full() {
                return Err(PutError::Full(entry.item));
            }
            self.keep(entry);
        }
        self.count_one();
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn put(
        &self,
        item: T,
        reason: Reason,
        timeout: Option<Duration>,
    ) -> Result<(), PutError<T>> {
        match self.try_put(item) {
            Err(PutError::Full(item)) => self.offer(item, reason, timeout),
            done => done,
        }
    }

    /// Waits until somebody takes `item`.
    #[inline(always)]
    pub(crate) fn offer(
        &self,
        item: T,
        reason: Reason,
        timeout: Option<Duration>,
    ) -> Result<(), PutError<T>> {
        self.putters.offer(item, reason, timeout).map_err(|untaken| match untaken {
            Untaken::TimedOut(item) => PutError::Full(item),
            Untaken::Refused(item) => PutError::Closed(item),
        })
    }

    /// Offers `item` in one of the lines of `selection`.
    pub(crate) fn offer_in(
        &self,
        selection: &Selection,
        item: T,
        inside: impl FnOnce(),
    ) -> Result<(), T> {
        self.putters.offer_in(selection, item, inside)
    }

    /// Takes a stored item, or that of the first putter.
    #[inline(always)]
    pub(crate) fn try_get(&self) -> Result<T, GetError> {
        if self.len() > 0
            && let Some(entry) = self.pop()
        {
            self.admit();
            return Ok(entry.item);
        }
        match self.take_from_putter() {
            Some(entry) => Ok(entry.item),
            None if self.is_closed() => Err(GetError::Closed),
            None => Err(GetError::Empty),
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, reason: Reason, timeout: Option<Duration>) -> Result<T, GetError> {
        match self.try_get() {
            Err(GetError::Empty) => {}
            done => return done,
        }
        match self.getters.receive(reason, timeout, |entry| self.pass_on(entry)) {
            Ok(Some(entry)) => Ok(entry.item),
            // Closed. But a getter that was handed the last item may have been killed since, and have put
            // it back.
            Ok(None) => self.try_get(),
            Err(TimedOut) => Err(GetError::Empty),
        }
    }

    /// Waits for an item in one of the lines of `selection`.
    pub(crate) fn get_in(
        &self,
        selection: &Selection,
        inside: impl FnOnce(),
    ) -> Option<Result<T, GetError>> {
        let handed = self.getters.receive_in(selection, |entry| self.pass_on(entry), inside)?;
        // As above, where it is closed.
        Some(handed.map_or_else(|| self.try_get(), |entry| Ok(entry.item)))
    }

    /// Refuses what is put from now on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        while self.putters.refuse() {}
        self.end_getters();
    }

    #[inline(always)]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn resize(&self, capacity: usize) {
        self.capacity.set(capacity);
        self.admit();
    }

    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.get()
    }

    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity.get()
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    pub(crate) fn getting(&self) -> usize {
        self.getters.len()
    }

    pub(crate) fn putting(&self) -> usize {
        self.putters.len()
    }

    /// How many items were ever stored or handed over.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    #[inline(always)]
    fn count_one(&self) {
        self.accepted.set(self.accepted.get() + 1);
    }

    #[inline(always)]
    fn take_from_putter(&self) -> Option<Entry<T>> {
        let item = self.putters.take()?;
        let number = self.accepted.get();
        self.count_one();
        Some(Entry { number, item })
    }

    /// Stores what putters wait with, as far as there is room.
    #[inline(always)]
    fn admit(&self) {
        while !self.putters.is_empty() && !self.is_full() {
            let Some(entry) = self.take_from_putter() else { return };
            self.keep(entry);
        }
    }

    #[inline(always)]
    fn keep(&self, entry: Entry<T>) {
        self.store.push(entry);
        self.len.set(self.len() + 1);
    }

    #[inline(always)]
    fn pop(&self) -> Option<Entry<T>> {
        if self.store.compares() {
            return self.pop_and_serve_getters();
        }
        let entry = self.store.pop()?;
        self.len.set(self.len() - 1);
        Some(entry)
    }

    /// While items are compared they are not in the store, and getters may have found it empty.
    #[inline(never)]
    fn pop_and_serve_getters(&self) -> Option<Entry<T>> {
        let _afterwards = ServesGetters(self);
        let entry = self.store.pop()?;
        self.len.set(self.len() - 1);
        Some(entry)
    }

    /// A getter was handed `entry` and does not go on.
    #[cold]
    fn pass_on(&self, entry: Option<Entry<T>>) {
        if let Some(entry) = entry {
            self.len.set(self.len() + 1);
            self.hand_or_put_back(entry);
        }
    }

    /// Hands a stored entry to a getter; whether there was one.
    fn hand_or_put_back(&self, entry: Entry<T>) -> bool {
        match self.getters.hand(Some(entry)) {
            Ok(()) => {
                self.len.set(self.len() - 1);
                true
            }
            Err(entry) => {
                self.store.put_back(entry.expect("it comes back as it was given"));
                false
            }
        }
    }

    #[cold]
    fn serve_getters(&self) {
        while let Some(entry) = self.store.pop_any() {
            if !self.hand_or_put_back(entry) {
                return;
            }
        }
        if self.is_closed() {
            self.end_getters();
        }
    }

    fn end_getters(&self) {
        while self.len() == 0 && self.getters.hand(None).is_ok() {}
    }
}

impl<T> Exchange<T, Fifo<T>> {
    /// Drops what is stored.
    pub(crate) fn clear(&self) {
        self.len.set(0);
        drop(self.store.take());
    }
}

/// Hands the store's items to the getters that wait when it is dropped.
struct ServesGetters<'a, T, S: Store<T>>(&'a Exchange<T, S>);

impl<T, S: Store<T>> Drop for ServesGetters<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.0.getters.is_empty() {
            self.0.serve_getters();
        }
    }
}
