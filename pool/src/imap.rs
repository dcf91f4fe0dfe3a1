//! A function mapped over an iterator by the tasks of a pool.
//!
//! ```text
//!                      feeder: a green thread                       who iterates
//!   source ──next()──► item ──slot──► task, task, task … ──────────► handle ──► next()
//!      ▲                              in the order in which            │
//!      └──── room: at most size + 1 items on the way ◄─────────────────┘
//! ```
//!
//! Nothing is allocated for an item: its task has a recycled stack, and a handle in a ring. What
//! `next` returns next is at the ring's front: the feeder puts handles there as it spawns, or, without
//! order, the tasks do as they end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::{Location, panic_any};
use std::rc::Rc;

use evy_runtime::{Builder, Died, GreenThread, Reason, WaitList, current, resume_unwind};

use crate::GreenPool;

const ROOM: Reason = Reason::new(&"room for another item of an imap");
const ITEM: Reason = Reason::new(&"the next item of an imap");

impl GreenPool {
    /// Maps `f` over `items`, each in a task of this pool, and gives the results in the order of the
    /// items.
    ///
    /// The tasks take slots of the pool like any other. A green thread of its own feeds them from now
    /// on: it has taken at most size + 1 items more than were given out, however long nobody asks for
    /// the next one, so neither `items` nor the results need fit in memory. Called by a member of the
    /// full pool, the tasks run over the limit. Dropping the map stops it: feeder and tasks are killed.
    /// A map that somebody else made and a member of the full pool consumes gets no slots: a deadlock if
    /// all members do that.
    ///
    /// ```
    /// use evy_pool::GreenPool;
    ///
    /// let pool = GreenPool::new(100);
    /// let fetch = |url: &str| format!("body of {url}");
    /// for body in pool.imap(fetch, ["a", "b", "c"]) {
    ///     println!("{body}");
    /// }
    /// let squares = pool.imap(|n: u64| n * n, 1..); // endless
    /// assert_eq!(squares.take(4).collect::<Vec<_>>(), [1, 4, 9, 16]);
    /// ```
    ///
    /// Items that are tuples, as [`Iterator::zip`] makes them, stand for several arguments:
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(2);
    /// let powers = pool.imap(|(base, exponent)| u32::pow(base, exponent), [2, 3].into_iter().zip([5, 2]));
    /// assert!(powers.eq([32, 9]));
    /// ```
    ///
    /// # Panics
    ///
    /// When there is no memory for the feeder's stack; when there is none for a task's, the map ends
    /// with that panic. For the panics of tasks and of `items` see [`Imap`].
    ///
    /// # Yields
    ///
    /// Never; [`Imap`]'s `next` does.
    #[track_caller]
    #[doc(alias = "starmap")]
    #[doc(alias = "itermap")]
    #[doc(alias = "map")]
    pub fn imap<I, T>(&self, f: impl Fn(I::Item) -> T + 'static, items: I) -> Imap<T>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        T: 'static,
    {
        Imap::new(self, Order::OfItems, f, items.into_iter())
    }

    /// [`imap`](Self::imap), but that gives each result as soon as it is there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = evy_pool::GreenPool::new(2);
    /// let nap = |ms| {
    ///     evy_runtime::sleep(Duration::from_millis(ms));
    ///     ms
    /// };
    /// assert!(pool.imap_unordered(nap, [40, 1]).eq([1, 40]));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`imap`](Self::imap).
    ///
    /// # Yields
    ///
    /// Never; [`Imap`]'s `next` does.
    #[track_caller]
    #[doc(alias = "iwait")]
    pub fn imap_unordered<I, T>(&self, f: impl Fn(I::Item) -> T + 'static, items: I) -> Imap<T>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        T: 'static,
    {
        Imap::new(self, Order::OfEnds, f, items.into_iter())
    }
}

/// The results of [`GreenPool::imap`] and [`GreenPool::imap_unordered`].
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind};
///
/// let pool = evy_pool::GreenPool::new(2);
/// let mut map = pool.imap(|n| if n == 1 { panic!("no {n}") } else { n }, 0..3);
/// assert_eq!(map.next(), Some(0));
/// assert!(catch_unwind(AssertUnwindSafe(|| map.next())).is_err());
/// assert_eq!(map.next(), Some(2));
/// assert_eq!(map.next(), None);
/// ```
///
/// # Panics
///
/// `next` panics where a task did, with the same payload, and with [`Died::Killed`] as payload where
/// one was killed; the iteration can go on afterwards with the next task. Where the source panics, the
/// map ends with that panic, after the results of what the source gave before.
///
/// # Yields
///
/// `next` until the next result is there; not if it is. A `next` that is cut off by a timeout loses
/// nothing. Dropping the map yields as [`GreenThread::kill`] does, if anything of it still runs.
#[must_use = "dropping a map kills its tasks"]
pub struct Imap<T: 'static> {
    shared: Rc<Shared<T>>,
    /// The task whose result is next, once it is known.
    next: Option<Part<T>>,
    /// `None` once the map has ended.
    feeder: Option<Part<()>>,
}

/// What decides which result is next.
#[derive(Clone, Copy, Debug)]
enum Order {
    OfItems,
    OfEnds,
}

/// What feeder, tasks and iterator share.
struct Shared<T: 'static> {
    /// Tasks in the order in which they are given out.
    ring: RefCell<VecDeque<Part<T>>>,
    /// Without order: tasks that have not ended, by number.
    running: RefCell<Running<T>>,
    /// Items taken from the source that were not given out.
    ahead: Cell<usize>,
    /// The feeder adds no more.
    fed: Cell<bool>,
    /// The iterator is gone.
    dropped: Cell<bool>,
    /// Where the feeder waits for `ahead` to fall.
    room: WaitList,
    /// Where the iterator waits for the ring to fill.
    arrivals: WaitList,
}

/// A green thread that dies with the map.
struct Part<T: 'static>(Option<GreenThread<T>>);

impl<T> Part<T> {
    #[inline(always)]
    fn new(thread: GreenThread<T>) -> Self {
        Self(Some(thread))
    }

    #[inline(always)]
    fn wait_until_finished(&self) {
        if let Some(thread) = &self.0 {
            thread.wait_until_finished();
        }
    }

    #[inline(always)]
    fn release(mut self) -> GreenThread<T> {
        self.0.take().expect("only this takes it")
    }
}

impl<T> Drop for Part<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && thread.id() != current()
        {
            thread.kill();
        }
    }
}

/// The result of a task that has ended; panics if it has none.
#[inline(always)]
pub(crate) fn outcome<T>(task: GreenThread<T>) -> T {
    match task.wait() {
        Ok(value) => value,
        Err(died) => die(died),
    }
}

#[cold]
fn die(died: Died) -> ! {
    match died {
        // It was printed where it happened.
        Died::Panicked(payload) => resume_unwind(payload),
        died => panic_any(died),
    }
}

impl<T: 'static> Imap<T> {
    #[track_caller]
    fn new<S>(pool: &GreenPool, order: Order, f: impl Fn(S::Item) -> T + 'static, source: S) -> Self
    where
        S: Iterator<Item: 'static> + 'static,
    {
        let shared = Rc::new(Shared::new());
        let location = Location::caller();
        let feeder = Feeder {
            pool: pool.clone(),
            shared: Rc::clone(&shared),
            order,
            may_exceed: pool.is_member(),
            location,
            f: Rc::new(f),
        };
        match Builder::new().location(location).spawn(move || feeder.feed(source)) {
            Ok(feeder) => Self { shared, next: None, feeder: Some(Part::new(feeder)) },
            Err(error) => crate::green_pool::refuse(&error),
        }
    }

    /// Waits for the ring to give the task whose result is next; `None` at the end.
    #[inline(always)]
    fn find_next(&mut self) -> Option<&Part<T>> {
        while self.next.is_none() {
            self.next = self.shared.ring.borrow_mut().pop_front();
            if self.next.is_none() {
                if self.shared.is_over() {
                    self.end();
                    return None;
                }
                self.shared.arrivals.wait(ITEM, None, || ()).expect("there is no deadline");
            }
        }
        self.next.as_ref()
    }

    /// Ends the map, with the feeder's panic if there was one.
    #[cold]
    fn end(&mut self) {
        if let Some(feeder) = &self.feeder {
            feeder.wait_until_finished();
        }
        if let Some(feeder) = self.feeder.take() {
            outcome(feeder.release());
        }
    }
}

impl<T: 'static> Iterator for Imap<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.find_next()?.wait_until_finished();
        let task = self.next.take()?.release();
        self.shared.make_room();
        Some(outcome(task))
    }
}

impl<T: 'static> FusedIterator for Imap<T> {}

impl<T: 'static> Drop for Imap<T> {
    fn drop(&mut self) {
        self.shared.dropped.set(true);
        // One after the other, and all of them, also if this green thread is killed meanwhile.
        let _tasks = Tasks { shared: &self.shared };
        self.feeder = None;
    }
}

/// Kills the tasks of a map when it is dropped.
struct Tasks<'a, T: 'static> {
    shared: &'a Shared<T>,
}

impl<T> Drop for Tasks<'_, T> {
    fn drop(&mut self) {
        let running = self.shared.running.take();
        let ring = self.shared.ring.take();
        drop((ring, running));
    }
}

impl<T: 'static> fmt::Debug for Imap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("ahead", &self.shared.ahead.get()).finish_non_exhaustive()
    }
}

impl<T: 'static> Shared<T> {
    fn new() -> Self {
        Self {
            ring: RefCell::default(),
            running: RefCell::default(),
            ahead: Cell::new(0),
            fed: Cell::new(false),
            dropped: Cell::new(false),
            room: WaitList::new(),
            arrivals: WaitList::new(),
        }
    }

    /// Whether an empty ring stays empty.
    fn is_over(&self) -> bool {
        self.fed.get() && self.running.borrow().is_empty()
    }

    /// Adds a task to those that are given out.
    #[inline(always)]
    fn arrive(&self, task: Part<T>) {
        self.ring.borrow_mut().push_back(task);
        self.arrivals.wake_one();
    }

    /// One item was given out.
    #[inline(always)]
    fn make_room(&self) {
        self.ahead.set(self.ahead.get() - 1);
        self.room.wake_one();
    }

    /// A task without order has ended, or was not started.
    #[inline(always)]
    fn leave(&self, number: usize) {
        let task = self.running.borrow_mut().remove(number);
        if let Some(task) = task {
            self.arrive(task);
        }
    }
}

/// Takes items from the source, and spawns their tasks.
struct Feeder<F, T: 'static> {
    pool: GreenPool,
    shared: Rc<Shared<T>>,
    order: Order,
    /// The map was made by a member of the pool.
    may_exceed: bool,
    /// Who made the map.
    location: &'static Location<'static>,
    f: Rc<F>,
}

impl<F, T: 'static> Feeder<F, T> {
    fn feed<I>(self, mut source: impl Iterator<Item = I>)
    where
        I: 'static,
        F: Fn(I) -> T + 'static,
    {
        let _feeding = Feeding { shared: &self.shared };
        loop {
            self.wait_for_room();
            let Some(item) = source.next() else { return };
            self.shared.ahead.set(self.shared.ahead.get() + 1);
            let slot = self.pool.acquire(|| self.may_exceed);
            // A source that swallows the kill brings us here.
            if self.shared.dropped.get() {
                return;
            }
            let f = Rc::clone(&self.f);
            match self.order {
                Order::OfItems => {
                    let task = slot.start(self.location, move || f(item));
                    self.shared.arrive(started(task));
                }
                Order::OfEnds => {
                    let number = self.shared.running.borrow_mut().reserve();
                    let leaving = Leaving { shared: Rc::clone(&self.shared), number };
                    let task = slot.start(self.location, move || leaving.after(|| f(item)));
                    self.shared.running.borrow_mut().set(number, started(task));
                }
            }
        }
    }

    #[inline(always)]
    fn wait_for_room(&self) {
        while self.shared.ahead.get() > self.pool.size() {
            self.shared.room.wait(ROOM, None, || ()).expect("there is no deadline");
        }
    }
}

fn started<T>(task: std::io::Result<GreenThread<T>>) -> Part<T> {
    match task {
        Ok(task) => Part::new(task),
        Err(error) => crate::green_pool::refuse(&error),
    }
}

/// Tells the iterator when the feeder ends, whichever way.
struct Feeding<'a, T: 'static> {
    shared: &'a Shared<T>,
}

impl<T> Drop for Feeding<'_, T> {
    fn drop(&mut self) {
        self.shared.fed.set(true);
        self.shared.arrivals.wake_one();
    }
}

/// Tells the iterator when a task without order ends, also before its first run.
struct Leaving<T: 'static> {
    shared: Rc<Shared<T>>,
    number: usize,
}

impl<T> Leaving<T> {
    #[inline(always)]
    fn after(self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

impl<T> Drop for Leaving<T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}

/// The tasks of a map without order, by a number that is used again.
struct Running<T: 'static> {
    /// `None` also where a number is reserved for a task that is being started.
    tasks: Vec<Option<Part<T>>>,
    vacant: Vec<usize>,
}

impl<T> Default for Running<T> {
    fn default() -> Self {
        Self { tasks: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Running<T> {
    fn is_empty(&self) -> bool {
        self.tasks.len() == self.vacant.len()
    }

    #[inline(always)]
    fn reserve(&mut self) -> usize {
        self.vacant.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        })
    }

    #[inline(always)]
    fn set(&mut self, number: usize, task: Part<T>) {
        self.tasks[number] = Some(task);
    }

    /// Takes a task out; `None` if it was not started, or the map has been dropped.
    #[inline(always)]
    fn remove(&mut self, number: usize) -> Option<Part<T>> {
        let task = self.tasks.get_mut(number)?.take();
        self.vacant.push(number);
        task
    }
}
