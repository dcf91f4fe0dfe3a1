//! Where items lie that nobody waits for: in the order in which they came, or by priority.
//!
//! Each item has a number, by which one that was handed to a getter in vain goes back to where it
//! stood: the order is always as if it had never been away.
//!
//! Comparisons are code of users: they may panic, park, or use the very queue. So they are made in
//! [`Store::pop`] alone, never while a cell is borrowed, and with the entries taken out of the store:
//!
//! ```text
//!   push, put_back ──► arrivals ──┐            taken out while they are compared
//!                                 ├──► sorting ───► the least one
//!                        heap  ◄──┤ sorted
//!                    arrivals  ◄──┘ unwinding: sorted anew next time
//! ```

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::mem;

/// An item and when it was accepted.
pub(crate) struct Entry<T> {
    pub(crate) number: u64,
    pub(crate) item: T,
}

/// What an [`Exchange`](crate::exchange::Exchange) keeps its items in.
pub(crate) trait Store<T> {
    /// Whether [`pop`](Self::pop) runs code of users. While it does, the entries are not in the store.
    fn compares(&self) -> bool;

    /// Adds the entry with the highest number so far.
    fn push(&self, entry: Entry<T>);

    /// Adds an entry that was there before.
    fn put_back(&self, entry: Entry<T>);

    /// Takes the one whose turn it is.
    fn pop(&self) -> Option<Entry<T>>;

    /// Takes any one, and runs no code of users.
    fn pop_any(&self) -> Option<Entry<T>>;
}

/// First in, first out.
pub(crate) struct Fifo<T> {
    /// By number.
    line: RefCell<VecDeque<Entry<T>>>,
}

impl<T> Fifo<T> {
    pub(crate) const fn new() -> Self {
        Self { line: RefCell::new(VecDeque::new()) }
    }

    /// Takes all out.
    pub(crate) fn take(&self) -> VecDeque<Entry<T>> {
        self.line.take()
    }
}

impl<T> Store<T> for Fifo<T> {
    #[inline(always)]
    fn compares(&self) -> bool {
        false
    }

    #[inline(always)]
    fn push(&self, entry: Entry<T>) {
        self.line.borrow_mut().push_back(entry);
    }

    #[cold]
    fn put_back(&self, entry: Entry<T>) {
        insert(&mut self.line.borrow_mut(), entry);
    }

    #[inline(always)]
    fn pop(&self) -> Option<Entry<T>> {
        self.line.borrow_mut().pop_front()
    }

    fn pop_any(&self) -> Option<Entry<T>> {
        self.pop()
    }
}

fn insert<T>(line: &mut VecDeque<Entry<T>>, entry: Entry<T>) {
    let at = line.partition_point(|earlier| earlier.number < entry.number);
    line.insert(at, entry);
}

/// In the order that a [`Queue`](crate::Queue) was given.
pub(crate) struct Ordered<T> {
    /// By number. By priority, these are the ones that are not in the heap yet.
    line: RefCell<VecDeque<Entry<T>>>,
    order: Order<T>,
}

pub(crate) enum Order<T> {
    Fifo,
    Lifo,
    Priority(Heap<T>),
}

/// The least entry first; of equal ones that with the lowest number.
pub(crate) struct Heap<T> {
    compare: fn(&T, &T) -> Ordering,
    entries: Cell<Vec<Entry<T>>>,
}

impl<T> Ordered<T> {
    pub(crate) const fn new() -> Self {
        Self { line: RefCell::new(VecDeque::new()), order: Order::Fifo }
    }

    /// Puts what is there into another order.
    pub(crate) fn reorder(&mut self, order: Order<T>) {
        if let Order::Priority(heap) = &mut self.order {
            let line = self.line.get_mut();
            line.extend(mem::take(heap.entries.get_mut()));
            line.make_contiguous().sort_unstable_by_key(|entry| entry.number);
        }
        self.order = order;
    }

    pub(crate) fn order_name(&self) -> &'static str {
        match self.order {
            Order::Fifo => "fifo",
            Order::Lifo => "lifo",
            Order::Priority(_) => "priority",
        }
    }

    fn first_arrival(&self) -> Option<Entry<T>> {
        self.line.borrow_mut().pop_front()
    }
}

impl<T> Store<T> for Ordered<T> {
    #[inline(always)]
    fn compares(&self) -> bool {
        matches!(self.order, Order::Priority(_))
    }

    #[inline(always)]
    fn push(&self, entry: Entry<T>) {
        self.line.borrow_mut().push_back(entry);
    }

    #[cold]
    fn put_back(&self, entry: Entry<T>) {
        insert(&mut self.line.borrow_mut(), entry);
    }

    #[inline(always)]
    fn pop(&self) -> Option<Entry<T>> {
        match &self.order {
            Order::Fifo => self.line.borrow_mut().pop_front(),
            Order::Lifo => self.line.borrow_mut().pop_back(),
            Order::Priority(heap) => Sorting::of(self, heap).pop(),
        }
    }

    fn pop_any(&self) -> Option<Entry<T>> {
        let arrival = self.first_arrival();
        match &self.order {
            // Without its last one a heap is still one.
            Order::Priority(heap) => arrival.or_else(|| heap.pop_last()),
            _ => arrival,
        }
    }
}

impl<T> Heap<T> {
    pub(crate) fn new(compare: fn(&T, &T) -> Ordering) -> Self {
        Self { compare, entries: Cell::default() }
    }

    fn pop_last(&self) -> Option<Entry<T>> {
        let mut entries = self.entries.take();
        let last = entries.pop();
        self.entries.set(entries);
        last
    }
}

/// A heap that is taken out of its store while its entries are compared.
struct Sorting<'a, T> {
    store: &'a Ordered<T>,
    heap: &'a Heap<T>,
    entries: Vec<Entry<T>>,
    /// Whether `entries` is a heap now, with no comparison left to do.
    is_sorted: bool,
}

impl<'a, T> Sorting<'a, T> {
    fn of(store: &'a Ordered<T>, heap: &'a Heap<T>) -> Self {
        Self { store, heap, entries: heap.entries.take(), is_sorted: true }
    }

    fn pop(mut self) -> Option<Entry<T>> {
        // While it is compared more may come.
        while let Some(entry) = self.store.first_arrival() {
            self.push(entry);
        }
        let last = self.entries.len().checked_sub(1)?;
        self.is_sorted = false;
        self.entries.swap(0, last);
        self.sift_down(last);
        self.is_sorted = true;
        self.entries.pop()
    }

    fn push(&mut self, entry: Entry<T>) {
        self.is_sorted = false;
        self.entries.push(entry);
        let mut at = self.entries.len() - 1;
        while at > 0 && self.is_before(at, (at - 1) / 2) {
            self.entries.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        self.is_sorted = true;
    }

    /// Moves the first entry to its place among the first `end`.
    fn sift_down(&mut self, end: usize) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= end {
                return;
            }
            let child = if right < end && self.is_before(right, left) { right } else { left };
            if !self.is_before(child, at) {
                return;
            }
            self.entries.swap(at, child);
            at = child;
        }
    }

    fn is_before(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.entries[one], &self.entries[other]);
        (self.heap.compare)(&one.item, &other.item).then(one.number.cmp(&other.number)).is_lt()
    }
}

impl<T> Drop for Sorting<'_, T> {
    fn drop(&mut self) {
        let Self { store, heap, .. } = *self;
        let entries = mem::take(&mut self.entries);
        // Another green thread may have brought a heap of its own back meanwhile.
        let others = heap.entries.take();
        if self.is_sorted && others.is_empty() {
            heap.entries.set(entries);
        } else {
            heap.entries.set(others);
            store.line.borrow_mut().extend(entries);
        }
    }
}
