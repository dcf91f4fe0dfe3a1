//! A bounded number of green threads.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;

use evy_runtime::{Builder, GreenThread, GreenThreadId, Reason, WaitList, current, kill};

use crate::imap::{Imap, ImapUnordered};
use crate::members::Members;

/// Green threads at once, where nothing else is said; as in Evy.
const DEFAULT_SIZE: usize = 1000;

const SLOT: Reason = Reason::new(&"a free slot in a pool");
const IDLE: Reason = Reason::new(&"all tasks of a pool to end");

/// A pool of green threads: at most so many tasks run in it at once.
///
/// A clone is another handle to the same pool. A dropped pool leaves its tasks running.
///
/// ```
/// use evy_pool::GreenPool;
///
/// let pool = GreenPool::new(2);
/// let tasks: Vec<_> = (0..5).map(|n| pool.spawn(move || n * n)).collect();
/// let squares: Vec<_> = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4, 9, 16]);
/// ```
#[derive(Clone)]
pub struct GreenPool {
    shared: Rc<Shared>,
}

/// What the handles of one pool share, and its tasks.
pub(crate) struct Shared {
    size: Cell<usize>,
    /// Slots that are taken: by tasks, and by spawners that were just handed one.
    taken: Cell<usize>,
    /// Green threads that wait for a slot.
    spawners: WaitList,
    /// Green threads in `waitall`.
    idlers: WaitList,
    members: RefCell<Members>,
}

impl GreenPool {
    /// A pool in which at most `size` tasks run at once. With 0 every spawn waits until
    /// [`resize`](Self::resize).
    pub fn new(size: usize) -> Self {
        Self {
            shared: Rc::new(Shared {
                size: Cell::new(size),
                taken: Cell::new(0),
                spawners: WaitList::new(),
                idlers: WaitList::new(),
                members: RefCell::default(),
            }),
        }
    }

    /// Starts `f` on a green thread of the pool, waiting for a free slot if need be.
    ///
    /// A task that spawns into its own full pool does not wait, which would be a deadlock: the new one
    /// runs over the limit.
    ///
    /// # Panics
    ///
    /// When there is no memory for a stack; [`try_spawn`](Self::try_spawn) returns that as an error.
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
        match self.try_spawn(f) {
            Ok(thread) => thread,
            Err(error) => panic!("cannot spawn a green thread: {error}"),
        }
    }

    /// Starts `f` as [`spawn`](Self::spawn) does, for nobody to wait for.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn spawn_n<R>(&self, f: impl FnOnce() -> R + 'static) {
        drop(self.spawn(move || drop(f())));
    }

    /// Starts `f` as [`spawn`](Self::spawn) does.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when there is no memory for a stack or no mapping for its guard; the slot is free
    /// again.
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn try_spawn<T: 'static>(
        &self,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<GreenThread<T>> {
        let slot = self.shared.take_slot();
        slot.spawn(f)
    }

    /// Starts `f` as [`spawn_n`](Self::spawn_n) does.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`](Self::try_spawn).
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn try_spawn_n<R>(&self, f: impl FnOnce() -> R + 'static) -> io::Result<()> {
        self.try_spawn(move || drop(f())).map(drop)
    }
}

impl GreenPool {
    /// Calls `f` with each item on green threads of the pool, and iterates over the results in the
    /// order of the items.
    ///
    /// The items are taken as the results are: at most the pool's size and one more ahead, so the
    /// source may be endless. A task's panic goes on at its place in the iteration, one that was killed
    /// panics with [`Died::Killed`](evy_runtime::Died::Killed), and the iteration can go on after
    /// either. A source that panics ends the iteration with that panic. Dropping the iterator kills
    /// what is still at work. A task of the full pool may call it; its items then run over the limit.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(10);
    /// let lengths: Vec<_> = pool.imap(str::len, ["a", "bb", "ccc"]).collect();
    /// assert_eq!(lengths, [1, 2, 3]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never; the iteration does, until the next result is there.
    #[doc(alias = "starmap")]
    #[track_caller]
    pub fn imap<I, T>(&self, f: impl Fn(I::Item) -> T + 'static, items: I) -> Imap<T>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        T: 'static,
    {
        Imap::start(&self.shared, f, items.into_iter())
    }

    /// [`imap`](Self::imap), but the results come as they are done.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(10);
    /// let sum: u64 = pool.imap_unordered(|n| n * n, 1..=3).sum();
    /// assert_eq!(sum, 14);
    /// ```
    ///
    /// # Yields
    ///
    /// Never; the iteration does, until the next result is there.
    #[track_caller]
    pub fn imap_unordered<I, T>(
        &self,
        f: impl Fn(I::Item) -> T + 'static,
        items: I,
    ) -> ImapUnordered<T>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        T: 'static,
    {
        ImapUnordered::start(&self.shared, f, items.into_iter())
    }

    /// Waits until no task runs and nobody waits to spawn one, also for tasks that are added
    /// meanwhile.
    ///
    /// # Panics
    ///
    /// When a task of this pool calls it: it would wait for itself.
    ///
    /// # Yields
    ///
    /// Until then; not if it is so already.
    pub fn waitall(&self) {
        let shared = &self.shared;
        assert!(!shared.is_member(), "a task of a pool cannot wait for all tasks of that pool");
        while !shared.is_idle() {
            // Whoever waits looks for itself: nothing to pass on.
            let woken = shared.idlers.wait(IDLE, None, || ());
            debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
        }
    }

    /// Changes the size. New slots go to those who wait for one, in their order; with fewer, tasks that
    /// run go on, and no new one starts until there is room.
    pub fn resize(&self, size: usize) {
        self.shared.size.set(size);
        self.shared.hand_out_slots();
    }

    /// How many tasks have started to run or are about to.
    pub fn running(&self) -> usize {
        self.shared.taken.get()
    }

    /// How many slots are free; below 0 after a [`resize`](Self::resize) to less than what runs, and
    /// where tasks of the full pool have spawned into it.
    pub fn free(&self) -> isize {
        self.shared.size.get() as isize - self.shared.taken.get() as isize
    }

    /// How many green threads wait for a slot.
    pub fn waiting(&self) -> usize {
        self.shared.spawners.len()
    }

    /// Kills all tasks but the caller, if that is one.
    ///
    /// # Yields
    ///
    /// Until each has ended or is suspended again.
    pub fn kill_all(&self) {
        let members = self.shared.members.borrow().ids();
        let caller = current();
        for id in members.into_iter().filter(|id| *id != caller) {
            kill(id);
        }
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }
}

impl Default for GreenPool {
    /// A pool of 1,000.
    fn default() -> Self {
        Self::new(DEFAULT_SIZE)
    }
}

impl fmt::Debug for GreenPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenPool")
            .field("size", &self.shared.size.get())
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl Shared {
    pub(crate) fn size(&self) -> usize {
        self.size.get()
    }

    /// Whether the current green thread is a task of this pool.
    pub(crate) fn is_member(&self) -> bool {
        self.members.borrow().contains(current())
    }

    fn is_idle(&self) -> bool {
        self.taken.get() == 0 && self.spawners.is_empty()
    }

    /// Takes a slot, waiting for one unless the caller is a task of the full pool.
    pub(crate) fn take_slot(self: &Rc<Self>) -> Slot {
        let has_room = self.taken.get() < self.size.get() && self.spawners.is_empty();
        if has_room || self.is_member() {
            return self.take_slot_now();
        }
        let queued = Queued(self);
        // Who hands a slot over has counted it as taken.
        let woken = self.spawners.wait(SLOT, None, || self.give_slot_back());
        debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
        std::mem::forget(queued);
        Slot { pool: Rc::clone(self), member: None }
    }

    /// Takes a slot, over the limit if need be.
    pub(crate) fn take_slot_now(self: &Rc<Self>) -> Slot {
        self.taken.set(self.taken.get() + 1);
        Slot { pool: Rc::clone(self), member: None }
    }

    fn give_slot_back(&self) {
        self.taken.set(self.taken.get() - 1);
        self.hand_out_slots();
    }

    /// Gives free slots to those who wait for one, and wakes who waits for all to end.
    fn hand_out_slots(&self) {
        while self.taken.get() < self.size.get() && self.spawners.wake_one() {
            self.taken.set(self.taken.get() + 1);
        }
        if self.is_idle() {
            self.idlers.wake_all();
        }
    }
}

/// Looks whether the pool is idle now when a spawner leaves the line by unwinding.
struct Queued<'a>(&'a Rc<Shared>);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.hand_out_slots();
    }
}

/// One taken slot of a pool. It goes into the task's closure, and is given back with it: after the
/// task has run, also by a panic or a kill, or when the closure is dropped unrun.
pub(crate) struct Slot {
    pool: Rc<Shared>,
    /// Where the task stands among the pool's members.
    member: Option<usize>,
}

impl Slot {
    /// Starts `f` in this slot.
    #[track_caller]
    pub(crate) fn spawn<T: 'static>(
        mut self,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<GreenThread<T>> {
        let pool = Rc::clone(&self.pool);
        let place = pool.members.borrow_mut().reserve();
        self.member = Some(place);
        let thread = Builder::new().spawn(move || {
            let _slot = self;
            f()
        })?;
        pool.members.borrow_mut().fill(place, thread.id());
        Ok(thread)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(place) = self.member {
            self.pool.members.borrow_mut().leave(place);
        }
        self.pool.give_slot_back();
    }
}

/// The id of the task in a slot, for who has to kill it.
pub(crate) type Task = GreenThreadId;
