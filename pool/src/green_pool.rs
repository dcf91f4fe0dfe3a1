//! A bounded number of green threads.
//!
//! The bound is a count of slots. A slot is taken before a task is spawned and travels in the task's
//! closure, so that it comes back however the task ends, also before its first run. Who finds the pool
//! full waits in line; a slot that comes back goes straight to the first in line (nobody barges), and
//! one that was handed to a spawner which is killed before it goes on passes to the next.
//!
//! ```text
//!   running <  size    a spawner takes a slot; the line is empty
//!   running >= size    spawners line up; members go over the limit
//!   running >  size    after `resize` down, or with members over the limit: what comes back vanishes
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;
use std::rc::Rc;
use std::{fmt, io};

use evy_runtime::{Builder, GreenThread, GreenThreadId, Reason, WaitList, current, kill};

const SLOT: Reason = Reason::new(&"a free slot of a GreenPool");
const IDLE: Reason = Reason::new(&"the last task of a GreenPool");

/// The size of a pool made by `default`.
const DEFAULT_SIZE: usize = 1000;

/// Green threads of which at most `size` run at once.
///
/// A clone is another handle to the same pool. Dropping the last one leaves the tasks running.
///
/// ```
/// use evy_pool::GreenPool;
///
/// let pool = GreenPool::new(100);
/// let tasks: Vec<_> = (0..3).map(|n| pool.spawn(move || n * 10)).collect();
/// assert_eq!(pool.running(), 3);
/// pool.waitall();
/// let results: Vec<_> = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
/// assert_eq!(results, [0, 10, 20]);
/// ```
///
/// # Tasks that use their own pool
///
/// A member, that is a task of the pool, never waits for a slot of it: if the pool is full, what it
/// spawns runs over the limit, and [`free`](Self::free) is negative meanwhile. So tasks can spawn
/// further tasks to any depth, and wait for them. A green thread that a member spawned in another way
/// is no member; if it waits for a slot and the member waits for it, that is a deadlock.
///
/// A pool belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let pool = evy_pool::GreenPool::new(1);
/// std::thread::spawn(move || pool.running());
/// ```
#[derive(Clone)]
pub struct GreenPool {
    slots: Rc<Slots>,
}

impl GreenPool {
    /// Makes a pool that runs up to `size` tasks at once. With size 0 every spawn waits for a
    /// [`resize`](Self::resize).
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(2);
    /// assert_eq!((pool.running(), pool.free()), (0, 2));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(size: usize) -> Self {
        Self { slots: Rc::new(Slots::new(size)) }
    }

    /// Starts a task as soon as there is a slot, and returns its handle.
    ///
    /// Who waits for a slot gets it in the order of the calls. Called by a member of the full pool, it
    /// does not wait: the task runs over the limit. A caller that is killed or timed out while it
    /// waits starts nothing, and loses no slot. The task's slot is free again when `f` has ended,
    /// whichever way, or when the task was killed before its first run.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(1);
    /// let task = pool.spawn(|| 6 * 7);
    /// assert_eq!(task.wait().unwrap(), 42);
    /// ```
    ///
    /// # Panics
    ///
    /// When there is no memory for a stack, or no mapping for its guard; [`try_spawn`](Self::try_spawn)
    /// returns that as an error.
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
        match self.try_spawn(f) {
            Ok(task) => task,
            Err(error) => refuse(&error),
        }
    }

    /// Starts a task whose result nobody wants, as [`spawn`](Self::spawn) does.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(1);
    /// pool.spawn_n(|| println!("hello"));
    /// pool.waitall();
    /// ```
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
        if let Err(error) = self.try_spawn_n(f) {
            refuse(&error);
        }
    }

    /// [`spawn`](Self::spawn) that reports what keeps it from starting the task. It waits for a slot
    /// just so.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(1);
    /// let task = pool.try_spawn(|| 6 * 7)?;
    /// assert_eq!(task.wait().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when there is no memory for a stack or no mapping left for its guard, and what
    /// making the hub gives if this is the OS thread's first call. The slot is free again, and `f` is
    /// dropped.
    ///
    /// # Yields
    ///
    /// While the pool is full.
    #[track_caller]
    pub fn try_spawn<T: 'static>(
        &self,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<GreenThread<T>> {
        let location = Location::caller();
        self.acquire(|| self.is_member()).start(location, f)
    }

    /// [`spawn_n`](Self::spawn_n) that reports what keeps it from starting the task. It waits for a
    /// slot just so.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(1);
    /// pool.try_spawn_n(|| println!("hello"))?;
    /// pool.waitall();
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
        // The result is dropped by the task, while it has its slot.
        self.try_spawn(move || drop(f())).map(drop)
    }

    /// Waits until no task runs and nobody waits for a slot. Tasks that tasks spawn count.
    ///
    /// Every caller returns once that was so for a moment.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let pool = evy_pool::GreenPool::new(2);
    /// let sum = Rc::new(Cell::new(0));
    /// for n in 1..=10 {
    ///     let sum = Rc::clone(&sum);
    ///     pool.spawn_n(move || sum.set(sum.get() + n));
    /// }
    /// pool.waitall();
    /// assert_eq!(sum.get(), 55);
    /// ```
    ///
    /// # Panics
    ///
    /// When a member of the pool calls it, which could never return.
    ///
    /// # Yields
    ///
    /// Until the pool is idle; not if it is.
    #[track_caller]
    pub fn waitall(&self) {
        assert!(!self.is_member(), "a task of a GreenPool cannot wait for the end of all of them");
        if !self.slots.is_idle() {
            self.slots.idle.wait(IDLE, None, || ()).expect("there is no deadline");
        }
    }

    /// Changes how many tasks run at once.
    ///
    /// New slots go to those that wait, first come first. If more than `size` tasks run, they go on,
    /// and no new one starts before fewer do.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(2);
    /// pool.spawn_n(|| ());
    /// pool.spawn_n(|| ());
    /// pool.resize(1);
    /// assert_eq!((pool.running(), pool.free()), (2, -1));
    /// pool.waitall();
    /// assert_eq!((pool.running(), pool.free()), (0, 1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn resize(&self, size: usize) {
        let slots = &self.slots;
        slots.size.set(size);
        while slots.running.get() < size && slots.spawners.wake_one() {
            slots.take();
        }
    }

    /// The number of tasks that run, those that have not begun yet included.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(2);
    /// pool.spawn_n(|| ());
    /// assert_eq!(pool.running(), 1);
    /// pool.waitall();
    /// assert_eq!(pool.running(), 0);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn running(&self) -> usize {
        self.slots.running.get()
    }

    /// The number of slots that are left: negative while more tasks run than the pool has slots, after
    /// a [`resize`](Self::resize) or with tasks of members over the limit.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(2);
    /// pool.spawn_n(|| ());
    /// assert_eq!(pool.free(), 1);
    /// pool.resize(0);
    /// assert_eq!(pool.free(), -1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn free(&self) -> isize {
        let count = |n| isize::try_from(n).unwrap_or(isize::MAX);
        count(self.slots.size.get()) - count(self.slots.running.get())
    }

    /// The number of green threads that wait for a slot.
    ///
    /// ```
    /// let pool = evy_pool::GreenPool::new(0);
    /// let other = pool.clone();
    /// evy_runtime::spawn_n(move || other.spawn_n(|| ()));
    /// evy_runtime::yield_now();
    /// assert_eq!(pool.waiting(), 1);
    /// pool.resize(1);
    /// assert_eq!(pool.waiting(), 0);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn waiting(&self) -> usize {
        self.slots.spawners.len()
    }

    /// Kills all tasks but the caller, in the order in which they were spawned.
    ///
    /// Those that wait for a slot stay, and spawn their tasks into the slots that become free.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = evy_pool::GreenPool::new(10);
    /// let task = pool.spawn(|| evy_runtime::sleep(Duration::MAX));
    /// pool.kill_all();
    /// assert_eq!(pool.running(), 0);
    /// assert!(matches!(task.wait(), Err(evy_runtime::Died::Killed)));
    /// ```
    ///
    /// # Yields
    ///
    /// Until each has ended or is suspended again; while the caller unwinds it only schedules the
    /// kills.
    #[doc(alias = "kill")]
    pub fn kill_all(&self) {
        let caller = current();
        for id in self.slots.members_by_age().into_iter().filter(|id| *id != caller) {
            kill(id);
        }
    }

    /// Whether the caller is a task of this pool.
    pub(crate) fn is_member(&self) -> bool {
        self.slots.members.borrow().contains_key(&current())
    }

    pub(crate) fn size(&self) -> usize {
        self.slots.size.get()
    }

    /// Takes a slot: one that is free, one over the limit if `may_exceed`, or one that it waits for.
    #[inline]
    pub(crate) fn acquire(&self, may_exceed: impl FnOnce() -> bool) -> Slot {
        let slots = &self.slots;
        if slots.running.get() < slots.size.get() || may_exceed() {
            slots.take();
        } else {
            slots.wait_for_one();
        }
        Slot { slots: Rc::clone(slots), spawner: current() }
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
            .field("size", &self.size())
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish()
    }
}

#[cold]
#[track_caller]
pub(crate) fn refuse(error: &io::Error) -> ! {
    panic!("cannot spawn a green thread: {error}");
}

/// What the handles and the tasks of one pool share.
struct Slots {
    size: Cell<usize>,
    /// Slots that are taken. One that was handed to a spawner which has not gone on yet is.
    running: Cell<usize>,
    /// Who waits for a slot. While anybody does, `running >= size`.
    spawners: WaitList,
    /// Who waits for the pool to be idle. While anybody does, it is not.
    idle: WaitList,
    /// The tasks, with the number of each spawn.
    members: RefCell<HashMap<GreenThreadId, u64, BuildHasherDefault<IdHasher>>>,
    /// How many tasks there have been.
    spawned: Cell<u64>,
}

impl Slots {
    fn new(size: usize) -> Self {
        Self {
            size: Cell::new(size),
            running: Cell::new(0),
            spawners: WaitList::new(),
            idle: WaitList::new(),
            members: RefCell::default(),
            spawned: Cell::new(0),
        }
    }

    #[inline(always)]
    fn take(&self) {
        self.running.set(self.running.get() + 1);
    }

    /// Waits until a slot is handed over.
    #[inline(always)]
    fn wait_for_one(&self) {
        // A spawner that leaves the line with nothing may have been all that `waitall` waited for.
        let _leaving = OnDrop(|| self.wake_if_idle());
        self.spawners.wait(SLOT, None, || self.give_back()).expect("there is no deadline");
    }

    /// Gives a slot to the first in line, or back to the pool.
    #[inline(always)]
    fn give_back(&self) {
        let running = self.running.get();
        if running <= self.size.get() && self.spawners.wake_one() {
            return;
        }
        self.running.set(running - 1);
        self.wake_if_idle();
    }

    fn is_idle(&self) -> bool {
        self.running.get() == 0 && self.spawners.is_empty()
    }

    #[inline(always)]
    fn wake_if_idle(&self) {
        if self.is_idle() {
            self.idle.wake_all();
        }
    }

    /// Makes room for one more member, so that to add it needs no memory.
    #[inline(always)]
    fn make_room(&self) -> io::Result<()> {
        self.members.borrow_mut().try_reserve(1).map_err(|error| {
            let text = format!("no memory for another task of a pool: {error}");
            io::Error::new(io::ErrorKind::OutOfMemory, text)
        })
    }

    #[inline(always)]
    fn add_member(&self, id: GreenThreadId) {
        let number = self.spawned.get();
        self.spawned.set(number + 1);
        self.members.borrow_mut().insert(id, number);
    }

    fn members_by_age(&self) -> Vec<GreenThreadId> {
        let members = self.members.borrow();
        let mut members: Vec<_> = members.iter().map(|(id, number)| (*number, *id)).collect();
        members.sort_unstable_by_key(|(number, _)| *number);
        members.into_iter().map(|(_, id)| id).collect()
    }
}

/// The right to run one task. Given back when it is dropped: by the task, or by a spawn that fails.
pub(crate) struct Slot {
    slots: Rc<Slots>,
    /// Who took it.
    spawner: GreenThreadId,
}

impl Slot {
    /// Starts `f` as the task that this slot is for.
    #[inline]
    pub(crate) fn start<T: 'static>(
        self,
        location: &'static Location<'static>,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<GreenThread<T>> {
        let slots = Rc::clone(&self.slots);
        slots.make_room()?;
        let task = Task { f, slot: self };
        let thread = Builder::new().location(location).spawn(move || task.run())?;
        // It has not run yet.
        slots.add_member(thread.id());
        Ok(thread)
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        // Where the spawn failed, this is not the task, and may be another member.
        let current = current();
        if current != self.spawner {
            self.slots.members.borrow_mut().remove(&current);
        }
        self.slots.give_back();
    }
}

/// What a task captures. Where it never runs, its function is dropped before its slot is free.
struct Task<F> {
    f: F,
    slot: Slot,
}

impl<F> Task<F> {
    #[inline(always)]
    fn run<T>(self) -> T
    where
        F: FnOnce() -> T,
    {
        let Self { f, slot: _slot } = self;
        f()
    }
}

/// Calls a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    #[inline(always)]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Hashes the id of a green thread, whose number is unique: an odd factor spreads it.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline(always)]
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// What comes with the number tells nothing more.
    #[inline(always)]
    fn write(&mut self, _: &[u8]) {}

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use evy_runtime::{Died, yield_now};

    use super::GreenPool;

    /// A server's pool has as many tasks as it has clients, one after the other, for years.
    #[test]
    fn a_task_that_has_ended_is_no_member_whichever_way_it_ended() {
        let pool = GreenPool::new(4);
        let tasks = [
            pool.spawn(|| ()),
            pool.spawn(|| panic!("on purpose")),
            pool.spawn(|| evy_runtime::sleep(std::time::Duration::MAX)),
        ];
        yield_now();
        let unstarted = pool.spawn(|| ());
        assert_eq!(pool.slots.members.borrow().len(), 2);
        unstarted.kill();
        tasks[2].kill();
        assert!(pool.slots.members.borrow().is_empty());
        assert!(matches!(unstarted.wait(), Err(Died::Killed)));
    }
}
