//! Results in the order of the spawns.
//!
//! A pile is a queue of handles. Whoever iterates waits for the handle at its front; a result stays
//! where it is until somebody takes it, so a wait that is cut off loses none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;

use evy_runtime::{GreenThread, Reason, WaitList};

use crate::GreenPool;
use crate::imap::outcome;

const SPAWN: Reason = Reason::new(&"a spawn into its GreenPile");
const TURN: Reason = Reason::new(&"its turn to take from a GreenPile");

/// Tasks whose results come out, by iterating, in the order in which they were spawned.
///
/// Iteration ends when everything that was spawned has come out; a spawn that still waits for a slot
/// is waited for. Afterwards the pile can be used again. Who spawns and iterates in two green threads
/// must see to it that the iteration does not come too early. Dropping a pile detaches its tasks.
///
/// ```
/// use evy_pool::GreenPile;
///
/// let pile = GreenPile::new(10);
/// for url in ["a", "b", "c"] {
///     pile.spawn(move || format!("title of {url}"));
/// }
/// let titles: Vec<_> = pile.collect();
/// assert_eq!(titles, ["title of a", "title of b", "title of c"]);
/// ```
///
/// A shared reference iterates as well, so the pile can be kept:
///
/// ```
/// use evy_pool::GreenPile;
///
/// let pile = GreenPile::new(10);
/// for round in 0..3 {
///     (0..4).for_each(|n| pile.spawn(move || round * n));
///     assert_eq!((&pile).sum::<u32>(), round * 6);
/// }
/// ```
///
/// # Panics
///
/// `next` panics where a task did, with the same payload, and with
/// [`Died::Killed`](evy_runtime::Died::Killed) as payload where one was killed. The iteration can go
/// on afterwards with the next task.
///
/// # Yields
///
/// `next` until the next task has ended; not if it has.
pub struct GreenPile<T: 'static> {
    pool: GreenPool,
    /// Tasks in the order of their spawns, but for the first.
    tasks: RefCell<VecDeque<GreenThread<T>>>,
    /// The first task, once somebody waits for it. Who has the turn may keep it borrowed.
    first: RefCell<Option<GreenThread<T>>>,
    /// Calls of `spawn` that have not added their task yet.
    spawning: Cell<usize>,
    /// Where the one who has the turn waits for a spawn.
    spawns: WaitList,
    turn: Turn,
}

impl<T: 'static> GreenPile<T> {
    /// Makes a pile with a pool of its own, which runs up to `size` tasks at once.
    ///
    /// ```
    /// let pile = evy_pool::GreenPile::new(2);
    /// (1..=3).for_each(|n| pile.spawn(move || n));
    /// assert!(pile.eq([1, 2, 3]));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(size: usize) -> Self {
        Self::with_pool(&GreenPool::new(size))
    }

    /// Makes a pile whose tasks take slots of `pool`, along with whatever else runs there.
    ///
    /// ```
    /// use evy_pool::{GreenPile, GreenPool};
    ///
    /// let pool = GreenPool::new(2);
    /// let (evens, odds) = (GreenPile::with_pool(&pool), GreenPile::with_pool(&pool));
    /// for n in 0..3 {
    ///     evens.spawn(move || n * 2);
    ///     odds.spawn(move || n * 2 + 1);
    /// }
    /// assert!(odds.eq([1, 3, 5]));
    /// assert!(evens.eq([0, 2, 4]));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn with_pool(pool: &GreenPool) -> Self {
        Self {
            pool: pool.clone(),
            tasks: RefCell::default(),
            first: RefCell::default(),
            spawning: Cell::new(0),
            spawns: WaitList::new(),
            turn: Turn::default(),
        }
    }

    /// Starts a task as soon as the pool has a slot, as [`GreenPool::spawn`] does; its result comes out
    /// in its place.
    ///
    /// A call that is killed or timed out while it waits for a slot adds nothing.
    ///
    /// ```
    /// let pile = evy_pool::GreenPile::new(1);
    /// pile.spawn(|| "first");
    /// pile.spawn(|| "second");
    /// assert!(pile.eq(["first", "second"]));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`GreenPool::spawn`].
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn spawn(&self, f: impl FnOnce() -> T + 'static) {
        let _spawning = Spawning::new(&self.spawning, &self.spawns);
        let task = self.pool.spawn(f);
        self.tasks.borrow_mut().push_back(task);
    }

    fn next_result(&self) -> Option<T> {
        let _turn = self.turn.take();
        while self.first.borrow().is_none() {
            let first = self.tasks.borrow_mut().pop_front();
            if first.is_none() {
                if self.spawning.get() == 0 {
                    return None;
                }
                self.spawns.wait(SPAWN, None, || ()).expect("there is no deadline");
            }
            *self.first.borrow_mut() = first;
        }
        self.first.borrow().as_ref()?.wait_until_finished();
        let first = self.first.take()?;
        Some(outcome(first))
    }
}

impl<T: 'static> Iterator for GreenPile<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_result()
    }
}

impl<T: 'static> Iterator for &GreenPile<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_result()
    }
}

impl<T: 'static> fmt::Debug for GreenPile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = usize::from(self.first.borrow().is_some());
        f.debug_struct("GreenPile")
            .field("pool", &self.pool)
            .field("tasks", &(self.tasks.borrow().len() + first))
            .finish()
    }
}

/// A call of `spawn` that is under way.
struct Spawning<'a> {
    count: &'a Cell<usize>,
    spawns: &'a WaitList,
}

impl<'a> Spawning<'a> {
    fn new(count: &'a Cell<usize>, spawns: &'a WaitList) -> Self {
        count.set(count.get() + 1);
        Self { count, spawns }
    }
}

impl Drop for Spawning<'_> {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        // It has added its task, or was the last that the iteration waited for.
        self.spawns.wake_one();
    }
}

/// One takes at a time; the others stand in line.
#[derive(Default)]
struct Turn {
    taken: Cell<bool>,
    line: WaitList,
}

impl Turn {
    /// Waits for the turn, which ends when the value is dropped.
    fn take(&self) -> Taken<'_> {
        if self.taken.replace(true) {
            self.line.wait(TURN, None, || self.pass_on()).expect("there is no deadline");
        }
        Taken { turn: self }
    }

    fn pass_on(&self) {
        if !self.line.wake_one() {
            self.taken.set(false);
        }
    }
}

struct Taken<'a> {
    turn: &'a Turn,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.turn.pass_on();
    }
}
