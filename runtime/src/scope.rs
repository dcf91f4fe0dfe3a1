//! Green threads that may borrow from the frame that spawns them, because it waits for their end.
//!
//! ```text
//!   scope(f) ─┬─ f runs, and spawns ──► child, child, …      each counts as running until what it
//!             ├─ f has ended, whichever way                  captured, and its result if nobody holds
//!             ├─ join: parks until none is running ◄──────── the handle, are dropped
//!             └─ goes on: f's result, its unwind, or a child's panic
//! ```
//!
//! What makes the borrows sound is that the join cannot be left: `f`'s unwind is caught first, kills and
//! timeouts wait behind a mask, and a deadlock, which would unwind out of it, kills the children and joins
//! on. Where even that does not end them the process aborts.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;

use evy_hub::Generation;

use crate::green_thread::text_of;
use crate::kill::{Killed, Masked, kill, resume_unwind};
use crate::on_exit::drop_quietly;
use crate::park::Reason;
use crate::scheduler::scheduler;
use crate::spawn::{Builder, refuse};
use crate::time::{Frame, interruptible};
use crate::wait_list::WaitList;
use crate::{Died, GreenThread, GreenThreadId, deadlock};

const CHILDREN: Reason = Reason::new(&"the children of its scope");

/// Runs `f`, which can spawn green threads that borrow from its surroundings, and waits for all of them
/// before it returns, as `std::thread::scope` does.
///
/// It waits also when `f` panics, and when the caller is killed or timed out meanwhile: the kill goes on
/// when the children have ended. To end them early, [`kill_all`](Scope::kill_all) them, or use a
/// [`nursery`].
///
/// ```
/// let names = ["anna", "bert"];
/// let mut total = 0;
/// evy_runtime::scope(|s| {
///     let lengths: Vec<_> = names.iter().map(|name| s.spawn(|| name.len())).collect();
///     s.spawn(|| total += 1);
///     for length in lengths {
///         assert_eq!(length.wait().unwrap(), 4);
///     }
/// });
/// assert_eq!(total, 1);
/// ```
///
/// What the children borrow must outlive the scope, not just its closure:
///
/// ```compile_fail,E0373
/// evy_runtime::scope(|s| {
///     let inside = 1;
///     s.spawn(|| println!("{inside}"));
/// });
/// ```
///
/// They cannot take out what they borrow:
///
/// ```compile_fail,E0521
/// let mut out: Option<&String> = None;
/// evy_runtime::scope(|s| {
///     let text = String::new();
///     s.spawn(|| out = Some(&text));
/// });
/// ```
///
/// # Panics
///
/// With the panic of a child whose handle nobody waited for, when all have ended; with the panic of `f`
/// first.
///
/// # Yields
///
/// Until all children have ended; not if there is none.
#[track_caller]
pub fn scope<'env, R>(f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R) -> R {
    let scope = Scope::new(OnPanic::Wait);
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.children.join();
    scope.children.conclude(result)
}

/// A [`scope`] whose green threads stand and fall together: when one panics, the others are killed, `f`
/// is ended at its next park, and the panic goes on in the caller when all have ended. When `f` panics, or
/// the caller is killed or timed out, the children are killed, too.
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind};
/// use std::time::Duration;
///
/// let failed = catch_unwind(AssertUnwindSafe(|| {
///     evy_runtime::nursery(|n| {
///         n.spawn(|| evy_runtime::sleep(Duration::MAX)); // would never end
///         n.spawn(|| -> () { panic!("one failed") });
///         evy_runtime::sleep(Duration::MAX); // nor would this
///     })
/// }));
/// assert_eq!(failed.unwrap_err().downcast_ref(), Some(&"one failed"));
/// ```
///
/// # Panics
///
/// With the first panic of a child, whether or not anybody waited for it, and with that of `f`.
///
/// # Yields
///
/// As [`scope`].
#[track_caller]
pub fn nursery<'env, R>(f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R) -> R {
    let scope = Scope::new(OnPanic::KillAll);
    let result = catch_unwind(AssertUnwindSafe(|| {
        interruptible(scheduler(), |frame| {
            scope.children.body.set(Some(NonNull::from(frame)));
            let _body = ClearOnDrop(&scope.children.body);
            f(&scope)
        })
    }));
    if result.is_err() {
        scope.children.kill();
    }
    scope.children.join();
    match result {
        Err(payload) => scope.children.conclude(Err(payload)),
        Ok(Ok(value)) => scope.children.conclude(Ok(value)),
        Ok(Err(_interrupted)) => scope.children.resume_panic(),
    }
}

/// A scope that green threads are spawned in; [`scope`] and [`nursery`] make one.
///
/// ```
/// let mut numbers = [1, 2, 3];
/// evy_runtime::scope(|s| {
///     for number in &mut numbers {
///         s.spawn(move || *number *= 10);
///     }
/// });
/// assert_eq!(numbers, [10, 20, 30]);
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    children: Children,
    /// Both lifetimes are invariant, as in `std::thread::Scope`: a child must not be able to shorten
    /// `'scope` to what it borrows.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope, 'env> Scope<'scope, 'env> {
    fn new(on_panic: OnPanic) -> Self {
        let children = Children {
            on_panic,
            born: Cell::new(Generation::current()),
            running: Cell::new(0),
            spawned: Cell::new(0),
            living: RefCell::default(),
            panic: Cell::new(None),
            joiner: WaitList::new(),
            body: Cell::new(None),
        };
        Self { children, scope: PhantomData, env: PhantomData }
    }

    /// Starts a green thread that runs `f`, which may borrow whatever outlives the scope, and spawn
    /// further ones in the scope.
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// let length = evy_runtime::scope(|s| s.spawn(|| text.len()).wait().unwrap());
    /// assert_eq!(length, 8);
    /// ```
    ///
    /// # Panics
    ///
    /// When there is no memory for a stack, or no mapping for its guard; [`Builder::spawn_scoped`]
    /// returns that as an error.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn spawn<T: 'scope>(
        &'scope self,
        f: impl FnOnce() -> T + 'scope,
    ) -> ScopedGreenThread<'scope, T> {
        match Builder::new().spawn_scoped(self, f) {
            Ok(thread) => thread,
            Err(error) => refuse(&error),
        }
    }

    /// Kills the green threads of the scope that live, but for the caller; in the order of their spawns.
    /// What is spawned afterwards is not touched.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// evy_runtime::scope(|s| {
    ///     let sleeper = s.spawn(|| evy_runtime::sleep(Duration::MAX));
    ///     s.kill_all();
    ///     assert!(matches!(sleeper.wait(), Err(evy_runtime::Died::Killed)));
    /// });
    /// ```
    ///
    /// # Yields
    ///
    /// Until each has ended or is suspended again; while the caller unwinds it only schedules the kills.
    pub fn kill_all(&self) {
        self.children.kill();
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.children.running.get();
        f.debug_struct("Scope").field("running", &running).finish_non_exhaustive()
    }
}

impl Builder {
    /// Starts the green thread in a scope, as [`Scope::spawn`] does.
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// evy_runtime::scope(|s| {
    ///     let reader = evy_runtime::Builder::new().name("reader").spawn_scoped(s, || text.len())?;
    ///     assert_eq!(reader.wait().unwrap(), 8);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn spawn_scoped<'scope, T: 'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: impl FnOnce() -> T + 'scope,
    ) -> io::Result<ScopedGreenThread<'scope, T>> {
        let children = &scope.children;
        let result = Rc::new(Packet { result: Cell::new(None), children });
        let child = Child { f, result: Rc::clone(&result), membership: Membership::new(children) };
        let number = child.membership.number;
        let body: Box<dyn FnOnce() + 'scope> = Box::new(move || child.run());
        // SAFETY: only the lifetime changes. What the closure borrows lives until `scope` or `nursery`
        // return or unwind. Both join first, that is wait until `running` is 0, and the membership that
        // counts this one is the last thing of the closure to be dropped, run or not. A green thread
        // that is leaked with its OS thread never runs again.
        let body: Box<dyn FnOnce() + 'static> = unsafe { std::mem::transmute(body) };
        let thread = self.or_location(Location::caller()).spawn(body)?;
        // It has not run yet.
        children.living.borrow_mut().insert(number, thread.id());
        Ok(ScopedGreenThread { thread, result })
    }
}

/// The handle of a green thread in a [`Scope`]. Dropped, it leaves the green thread to the scope.
///
/// ```
/// evy_runtime::scope(|s| {
///     let answer = s.spawn(|| 6 * 7);
///     assert_eq!(answer.wait().unwrap(), 42);
/// });
/// ```
pub struct ScopedGreenThread<'scope, T> {
    thread: GreenThread<()>,
    result: Rc<Packet<'scope, T>>,
}

impl<T> ScopedGreenThread<'_, T> {
    /// Waits until the green thread has ended and returns its result.
    ///
    /// ```
    /// let answer = evy_runtime::scope(|s| s.spawn(|| 42).wait().unwrap());
    /// assert_eq!(answer, 42);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Died`] when it panicked or was killed. In a [`nursery`] its panic goes to the nursery, too, and
    /// the payload given here is its text.
    ///
    /// # Panics
    ///
    /// When it is called by that green thread itself.
    ///
    /// # Yields
    ///
    /// Until the green thread has ended; not if it has.
    pub fn wait(self) -> Result<T, Died> {
        self.thread.wait_until_finished();
        self.result.result.take().unwrap_or(Err(Died::Killed))
    }

    /// Kills the green thread, as [`GreenThread::kill`] does.
    ///
    /// ```
    /// evy_runtime::scope(|s| {
    ///     let sleeper = s.spawn(|| evy_runtime::sleep(std::time::Duration::MAX));
    ///     sleeper.kill();
    ///     assert!(sleeper.is_finished());
    /// });
    /// ```
    ///
    /// # Yields
    ///
    /// As [`GreenThread::kill`].
    pub fn kill(&self) {
        self.thread.kill();
    }

    /// Whether the green thread has ended.
    ///
    /// ```
    /// evy_runtime::scope(|s| assert!(!s.spawn(|| ()).is_finished()));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// The id of the green thread.
    ///
    /// ```
    /// evy_runtime::scope(|s| {
    ///     let thread = s.spawn(evy_runtime::current);
    ///     let id = thread.id();
    ///     assert_eq!(thread.wait().unwrap(), id);
    /// });
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn id(&self) -> GreenThreadId {
        self.thread.id()
    }
}

impl<T> fmt::Debug for ScopedGreenThread<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedGreenThread")
            .field("id", &self.id())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// What a scope does when a child panics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnPanic {
    /// Nothing until all have ended.
    Wait,
    KillAll,
}

type Payload = Box<dyn Any + Send>;

/// The green threads of one scope. They refer to it, and it is joined before it goes.
struct Children {
    on_panic: OnPanic,
    /// The process that the counts below are about: in a forked child those of the parent never run.
    born: Cell<Generation>,
    /// Those that have not ended, what they captured included.
    running: Cell<usize>,
    /// How many there have been.
    spawned: Cell<u64>,
    /// Those that can be killed, in the order of their spawns.
    living: RefCell<BTreeMap<u64, GreenThreadId>>,
    /// What the scope will panic with.
    panic: Cell<Option<Payload>>,
    /// Where the scope waits for `running` to be 0.
    joiner: WaitList,
    /// The closure of a nursery, while it runs.
    body: Cell<Option<NonNull<Frame>>>,
}

impl Children {
    /// Waits for the end of all, whatever comes.
    fn join(&self) {
        let _masked = Masked::new(scheduler().current());
        let mut deadlock = None;
        while self.count() > 0 {
            let waited = catch_unwind(AssertUnwindSafe(|| {
                self.joiner.wait(CHILDREN, None, || ()).expect("there is no deadline");
            }));
            let Err(report) = waited else { continue };
            // Nothing can wake the OS thread's own stack, which waits here. The children may not be
            // left behind: they are killed, and the report goes on when they have ended.
            if deadlock.replace(report).is_some() {
                deadlock::tell(format_args!(
                    "evy: a deadlock in a scope whose green threads have caught their kill and live on"
                ));
                std::process::abort();
            }
            self.kill();
        }
        if let Some(report) = deadlock {
            self.keep_panic(report);
        }
    }

    /// How many run in this process. Those of a process that this one was forked from are lost: they
    /// never run here, and their frames are never touched again.
    fn count(&self) -> usize {
        if self.born.get().is_over() {
            self.born.set(Generation::current());
            self.running.set(0);
            self.living.take();
        }
        self.running.get()
    }

    /// Keeps the first panic; drops a later one.
    fn keep_panic(&self, payload: Payload) {
        match self.panic.take() {
            None => self.panic.set(Some(payload)),
            first => {
                self.panic.set(first);
                drop_quietly(payload);
            }
        }
    }

    fn kill(&self) {
        let caller = crate::current();
        let ids: Vec<_> = self.living.borrow().values().copied().collect();
        for id in ids.into_iter().filter(|id| *id != caller) {
            kill(id);
        }
    }

    /// A child of a nursery has died. If it panicked, the panic is the nursery's now, which ends the
    /// others and its own closure; who waits for the child is told the text of it.
    fn take_panic(&self, died: Died) -> Died {
        let Died::Panicked(payload) = died else { return died };
        let text = text_of(&*payload).unwrap_or("a payload that the nursery has").to_owned();
        self.keep_panic(payload);
        let scheduler = scheduler();
        if let Some(body) = self.body.get() {
            // SAFETY: `nursery` clears the field before the frame goes.
            unsafe { body.as_ref() }.interrupt(scheduler);
        }
        // Another one that fails while it is killed must not keep this one from killing the rest.
        let _masked = Masked::new(scheduler.current());
        self.kill();
        Died::Panicked(Box::new(text))
    }

    /// The end of a scope: what its closure ended with, or a child's panic.
    fn conclude<R>(&self, result: Result<R, Payload>) -> R {
        match (result, self.panic.take()) {
            (Ok(value), None) => value,
            (Ok(value), Some(panic)) => {
                drop_quietly(value);
                resume_unwind(panic)
            }
            (Err(payload), panic) => {
                drop_quietly(panic);
                resume_unwind(payload)
            }
        }
    }

    /// The end of a nursery whose closure was cut off.
    fn resume_panic(&self) -> ! {
        resume_unwind(self.panic.take().expect("only a child's panic interrupts the closure"))
    }
}

struct ClearOnDrop<'a>(&'a Cell<Option<NonNull<Frame>>>);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// The result of one child, shared with its handle.
struct Packet<'scope, T> {
    result: Cell<Option<Result<T, Died>>>,
    children: &'scope Children,
}

impl<T> Drop for Packet<'_, T> {
    fn drop(&mut self) {
        // Nobody has seen this panic.
        if let Some(Err(Died::Panicked(payload))) = self.result.take() {
            self.children.keep_panic(payload);
        }
    }
}

/// One child's place among those that run.
struct Membership<'scope> {
    children: &'scope Children,
    number: u64,
    /// One that was counted before a fork is not counted after it.
    born: Generation,
}

impl<'scope> Membership<'scope> {
    fn new(children: &'scope Children) -> Self {
        let number = children.spawned.get();
        children.spawned.set(number + 1);
        children.running.set(children.count() + 1);
        Self { children, number, born: children.born.get() }
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let Self { children, number, born } = *self;
        if born.is_over() {
            return;
        }
        children.living.borrow_mut().remove(&number);
        let running = children.running.get() - 1;
        children.running.set(running);
        if running == 0 {
            children.joiner.wake_all();
        }
    }
}

/// What a child captures. The membership is dropped last, also where it never runs.
struct Child<'scope, F, T> {
    f: F,
    result: Rc<Packet<'scope, T>>,
    membership: Membership<'scope>,
}

impl<F: FnOnce() -> T, T> Child<'_, F, T> {
    fn run(self) {
        let Self { f, result, membership } = self;
        let _membership = membership;
        let outcome = catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
            if payload.is::<Killed>() { Died::Killed } else { Died::Panicked(payload) }
        });
        match outcome {
            Err(died) if result.children.on_panic == OnPanic::KillAll => {
                result.result.set(Some(Err(result.children.take_panic(died))));
            }
            outcome => result.result.set(Some(outcome)),
        }
        // The result goes first where nobody holds the handle: it may borrow, too.
        drop_quietly(result);
    }
}
