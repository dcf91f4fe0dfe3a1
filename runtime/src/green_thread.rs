//! The handle of a green thread, and what became of it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::control::{Block, INLINE_RESULT, Outcome, Thread, Wake};
use crate::kill::Masked;
use crate::on_exit::drop_quietly;
use crate::park::{Reason, park};
use crate::scheduler::{Scheduler, current_scheduler, scheduler};
use crate::spawn::id_of;

/// Names a green thread: unique within the process, never used again. The own stacks of all OS
/// threads share one id.
///
/// ```
/// let other = evy_runtime::spawn(evy_runtime::current);
/// let id = other.id();
/// assert_ne!(id, evy_runtime::current());
/// assert_eq!(other.wait().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GreenThreadId {
    /// `None` for the OS thread's own stack.
    number: Option<NonZeroU64>,
    /// Where its block is; for an OS thread's own stack, nothing.
    index: u32,
}

impl GreenThreadId {
    const OWN_STACK: Self = Self { number: None, index: 0 };

    pub(crate) fn of(thread: Thread) -> Self {
        let index = thread.block().map_or(0, |block| block.index);
        Self { number: id_of(thread), index }
    }

    pub(crate) fn find(self, scheduler: &Scheduler) -> Option<Thread> {
        scheduler.blocks.find(self.number?, self.index)
    }
}

impl fmt::Display for GreenThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "#{number}"),
            None => f.write_str("the OS thread's own stack"),
        }
    }
}

impl fmt::Debug for GreenThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GreenThreadId({self})")
    }
}

/// The id of the green thread that runs.
///
/// ```
/// assert_eq!(evy_runtime::current(), evy_runtime::current());
/// ```
///
/// # Yields
///
/// Never.
#[doc(alias = "getcurrent")]
pub fn current() -> GreenThreadId {
    // Where there is no hub, also not any more, the OS thread's own stack runs.
    current_scheduler()
        .map_or(GreenThreadId::OWN_STACK, |scheduler| GreenThreadId::of(scheduler.current()))
}

/// Why a green thread has no result.
///
/// ```
/// use evy_runtime::{Died, spawn};
///
/// let unlucky = spawn(|| panic!("out of luck")).wait();
/// assert_eq!(unlucky.unwrap_err().to_string(), "green thread panicked: out of luck");
/// let killed = spawn(|| ());
/// killed.kill();
/// assert!(matches!(killed.wait(), Err(Died::Killed)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Died {
    /// It panicked; this is what it panicked with.
    Panicked(Box<dyn Any + Send>),
    /// It was killed.
    Killed,
    /// It ran, or was to run, on the hub of another OS thread, which has ended before it
    /// ([`Remote`](crate::Remote)); or this process was forked since, and it runs in the parent.
    HubEnded,
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = match self {
            Self::Panicked(payload) => payload,
            Self::Killed => return f.write_str("green thread was killed"),
            Self::HubEnded => {
                return f
                    .write_str("the OS thread of the green thread has ended, or is the parent's");
            }
        };
        match text_of(&**payload) {
            Some(text) => write!(f, "green thread panicked: {text}"),
            None => f.write_str("green thread panicked"),
        }
    }
}

impl Error for Died {}

/// The message of a panic, where its payload is one.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// The handle of a green thread that gives a `T`. Dropped, it detaches the green thread.
///
/// It belongs to the OS thread that the green thread runs on:
///
/// ```compile_fail,E0277
/// let thread = evy_runtime::spawn(|| 1);
/// std::thread::spawn(move || thread.wait());
/// ```
///
/// And so does what the green thread captures, which therefore need not be `Send`:
///
/// ```
/// let shared = std::rc::Rc::new(1);
/// let other = std::rc::Rc::clone(&shared);
/// assert_eq!(evy_runtime::spawn(move || *other + 1).wait().unwrap(), 2);
/// ```
///
/// It cannot borrow from the frame that spawns it:
///
/// ```compile_fail,E0597
/// let local = 1;
/// evy_runtime::spawn(|| &local);
/// ```
#[must_use = "a dropped handle detaches the green thread; use spawn_n if nobody waits for it"]
pub struct GreenThread<T: 'static> {
    block: NonNull<Block>,
    name: Option<Rc<str>>,
    result: PhantomData<(T, *mut ())>,
}

impl<T: 'static> GreenThread<T> {
    #[inline(always)]
    pub(crate) fn new(block: NonNull<Block>, name: Option<Rc<str>>) -> Self {
        Self { block, name, result: PhantomData }
    }

    #[inline(always)]
    fn block(&self) -> &Block {
        // SAFETY: a block is not recycled while its handle lives, and a scheduler with blocks in use
        // is never dropped.
        unsafe { self.block.as_ref() }
    }

    /// Waits until the green thread has ended and returns its result.
    ///
    /// ```
    /// let thread = evy_runtime::spawn(|| 6 * 7);
    /// assert_eq!(thread.wait().unwrap(), 42);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Died`] when it panicked or was killed.
    ///
    /// # Panics
    ///
    /// When it is called by that green thread itself.
    ///
    /// # Yields
    ///
    /// Until the green thread has ended; not if it has.
    #[inline(always)]
    pub fn wait(self) -> Result<T, Died> {
        let block = self.block();
        if block.outcome.get() == Outcome::Pending {
            self.park_until_ended();
        }
        // A block that is still pending stays its green thread's: the drop of the handle detaches it.
        match block.outcome.get() {
            Outcome::Returned => {
                block.outcome.set(Outcome::Taken);
                Ok(Storage::<T>::new(block).take())
            }
            Outcome::Died => {
                block.outcome.set(Outcome::Taken);
                Err(Storage::<Died>::new(block).take())
            }
            Outcome::Pending | Outcome::Taken => {
                unreachable!("it has ended, and nobody else waits")
            }
        }
    }

    /// Waits until the green thread has ended, and leaves its result where it is.
    ///
    /// A `timeout` or kill that ends this wait loses nothing, where one that ends [`wait`](Self::wait)
    /// drops the handle, and the result with it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_runtime::{sleep, spawn, timeout};
    ///
    /// let slow = spawn(|| {
    ///     sleep(Duration::from_millis(20));
    ///     "done"
    /// });
    /// assert!(timeout(Duration::from_millis(1), || slow.wait_until_finished()).is_err());
    /// assert_eq!(slow.wait().unwrap(), "done");
    /// ```
    ///
    /// # Panics
    ///
    /// When it is called by that green thread itself, or while another one waits for its end.
    ///
    /// # Yields
    ///
    /// Until the green thread has ended; not if it has.
    #[inline(always)]
    pub fn wait_until_finished(&self) {
        if self.block().outcome.get() == Outcome::Pending {
            let joiner = self.block().joiner.get();
            assert!(joiner.is_null(), "two wait for the end of one green thread");
            self.park_until_ended();
        }
    }

    #[inline(always)]
    fn park_until_ended(&self) {
        let scheduler = scheduler();
        let thread = scheduler.current();
        let block = self.block();
        // In a forked child the call above has found out that it is lost.
        let Some(awaited) = block.thread.get() else { return };
        assert!(awaited != thread, "a green thread cannot wait for its own end");
        let joining = Joining { block };
        block.joiner.set(thread.0.as_ptr().cast());
        let id = NonZeroU64::new(block.id.get()).expect("a block in use has an id");
        park(scheduler, thread, Reason::join(id));
        drop(joining);
    }

    /// Kills the green thread: it unwinds from where it is parked, and its destructors run, before
    /// this returns. One that has not started never runs; its closure is dropped. One that has ended
    /// stays as it is. Killing oneself unwinds at once.
    ///
    /// A green thread can catch the unwind ([`Killed`](crate::Killed)) and go on; it is then thrown
    /// again at its next 8 parks.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let sleeper = evy_runtime::spawn(|| evy_runtime::sleep(Duration::from_secs(60)));
    /// evy_runtime::yield_now();
    /// sleeper.kill();
    /// assert!(sleeper.is_finished());
    /// ```
    ///
    /// # Yields
    ///
    /// Until the target has ended or is suspended again; while the caller unwinds it only schedules
    /// the kill.
    pub fn kill(&self) {
        // At the end of its OS thread a green thread is leaked: there is nobody to kill it any more.
        if let (Some(thread), Some(scheduler)) = (self.block().thread.get(), current_scheduler()) {
            scheduler.kill(thread);
        }
    }

    /// Kills the green thread if it has not started; `true` if so.
    ///
    /// ```
    /// let thread = evy_runtime::spawn(|| ());
    /// assert!(thread.cancel());
    /// assert!(!thread.cancel());
    /// ```
    ///
    /// # Yields
    ///
    /// As [`kill`](Self::kill), if it has not started.
    pub fn cancel(&self) -> bool {
        let unstarted = self.block().thread.get().filter(|thread| !thread.has_started());
        if let Some(thread) = unstarted {
            scheduler().kill(thread);
        }
        unstarted.is_some()
    }

    /// Whether the green thread has ended: [`wait`](Self::wait) would not park.
    ///
    /// ```
    /// let thread = evy_runtime::spawn(|| ());
    /// assert!(!thread.is_finished());
    /// evy_runtime::yield_now();
    /// assert!(thread.is_finished());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_finished(&self) -> bool {
        self.block().outcome.get() != Outcome::Pending
    }

    /// The id of the green thread.
    ///
    /// ```
    /// let thread = evy_runtime::spawn(evy_runtime::current);
    /// let id = thread.id();
    /// assert_eq!(thread.wait().unwrap(), id);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn id(&self) -> GreenThreadId {
        let block = self.block();
        GreenThreadId { number: NonZeroU64::new(block.id.get()), index: block.index }
    }

    /// The name that its [`Builder`](crate::Builder) gave it.
    ///
    /// ```
    /// use evy_runtime::{Builder, spawn};
    ///
    /// assert_eq!(Builder::new().name("fetch").spawn(|| ())?.name(), Some("fetch"));
    /// assert_eq!(spawn(|| ()).name(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Calls `f` with the outcome when the green thread ends: on that green thread, before
    /// [`wait`](Self::wait) returns, in the order in which hooks were given; at once, and here, if it
    /// has ended already. A hook that panics does not stop the others.
    ///
    /// ```
    /// let thread = evy_runtime::spawn(|| 1);
    /// thread.on_exit(|outcome| println!("ended: {outcome:?}"));
    /// assert_eq!(thread.wait().unwrap(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never by itself.
    #[doc(alias = "link")]
    pub fn on_exit(&self, f: impl FnOnce(Result<(), &Died>) + 'static) {
        let block = self.block();
        if let Some(thread) = block.thread.get() {
            return thread.with_extras(|extras| extras.hooks.add(f));
        }
        match block.outcome.get() {
            Outcome::Died => f(Err(Storage::<Died>::new(block).get())),
            _ => f(Ok(())),
        }
    }
}

impl<T: 'static> Drop for GreenThread<T> {
    #[inline]
    fn drop(&mut self) {
        let block = self.block();
        match block.outcome.get() {
            Outcome::Pending => return block.detached.set(true),
            Outcome::Taken => {}
            Outcome::Returned => {
                block.outcome.set(Outcome::Taken);
                if std::mem::needs_drop::<T>() || !fits::<T>() {
                    drop_masked(Storage::<T>::new(block).take());
                }
            }
            Outcome::Died => {
                block.outcome.set(Outcome::Taken);
                drop_masked(Storage::<Died>::new(block).take());
            }
        }
        // After the end of its OS thread the scheduler is leaked, and the block with it.
        if let Some(scheduler) = current_scheduler() {
            scheduler.blocks.give_back(self.block);
        }
    }
}

/// Drops a result that nobody wanted, with orders masked: its destructor may park, and an unwind of
/// ours that is thrown there must not be contained like a panic of the destructor's own.
#[cold]
fn drop_masked<T>(result: T) {
    let _masked = current_scheduler().map(|scheduler| Masked::new(scheduler.current()));
    drop_quietly(result);
}

impl<T: 'static> fmt::Debug for GreenThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenThread")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

/// Waits for all of them and returns their results in the same order.
///
/// ```
/// let squares = evy_runtime::join_all((1..4).map(|n| evy_runtime::spawn(move || n * n)));
/// let squares: Vec<_> = squares.into_iter().map(Result::unwrap).collect();
/// assert_eq!(squares, [1, 4, 9]);
/// ```
///
/// # Yields
///
/// Until the last one has ended.
#[doc(alias = "waitall")]
#[doc(alias = "joinall")]
pub fn join_all<T: 'static>(
    threads: impl IntoIterator<Item = GreenThread<T>>,
) -> Vec<Result<T, Died>> {
    // All are spawned before the first is waited for, also where the iterator spawns them.
    let threads: Vec<_> = threads.into_iter().collect();
    threads.into_iter().map(GreenThread::wait).collect()
}

/// Whoever waits for the end of a block's green thread.
pub(crate) struct Joiner(Thread);

impl Joiner {
    #[inline(always)]
    pub(crate) fn of(block: &Block) -> Option<Self> {
        Some(Self(Thread(NonNull::new(block.joiner.get().cast_mut().cast())?)))
    }

    #[inline(always)]
    pub(crate) fn wake(self, scheduler: &Scheduler) {
        scheduler.wake(self.0, Wake::Run);
    }
}

/// Takes the joiner out of the block when its wait ends, also by unwinding.
struct Joining<'a> {
    block: &'a Block,
}

impl Drop for Joining<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.block.joiner.set(std::ptr::null());
    }
}

/// Whether a result of this type lies in the block itself.
const fn fits<T>() -> bool {
    size_of::<T>() <= INLINE_RESULT && align_of::<T>() <= 8
}

/// A block's storage, seen as that of a `T`. Who makes one knows what it holds.
pub(crate) struct Storage<'a, T> {
    block: &'a Block,
    holds: PhantomData<T>,
}

impl<'a, T: 'a> Storage<'a, T> {
    #[inline(always)]
    pub(crate) fn new(block: &'a Block) -> Self {
        Self { block, holds: PhantomData }
    }

    #[inline(always)]
    fn place<U>(&self) -> *mut U {
        self.block.storage.get().cast()
    }

    #[inline(always)]
    pub(crate) fn put(&self, value: T) {
        debug_assert_eq!(self.block.outcome.get(), Outcome::Pending);
        // SAFETY: the storage is empty, and large and aligned enough for what fits or for a box;
        // the block is one OS thread's.
        unsafe {
            if fits::<T>() {
                self.place::<T>().write(value);
            } else {
                self.place::<Box<T>>().write(Box::new(value));
            }
        }
    }

    /// Moves the value out. The caller has just changed the outcome from what says that it is there.
    #[inline(always)]
    fn take(&self) -> T {
        // SAFETY: `put` wrote a value of this type (`finish` and the handle agree on the outcome),
        // and the outcome lets nobody take it twice.
        unsafe {
            if fits::<T>() { self.place::<T>().read() } else { *self.place::<Box<T>>().read() }
        }
    }

    /// Lends the value, whose outcome says that it is there.
    fn get(&self) -> &'a T {
        // SAFETY: as in `take`; the handle that lends it is borrowed as long.
        unsafe { if fits::<T>() { &*self.place::<T>() } else { &*self.place::<Box<T>>() } }
    }
}
