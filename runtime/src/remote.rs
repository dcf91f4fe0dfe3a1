//! Running something on the hub of another OS thread.
//!
//! A closure that is sent goes into the hub's inbox; there it gets a green thread of its own, as
//! everything of users does. Its result lies in a packet that both sides share.
//!
//! ```text
//!   sender                 packet                     hub
//!   spawn(f) ────────────── empty ──────────────────► inbox ─► errand ─► green thread: f()
//!   wait(): parked ◄─ unpark ─ result or Died ◄─────────────────────────────┘
//! ```
//!
//! A hub that ends marks its inbox as ended and wakes everybody who waits for something from it, for what
//! still runs there is leaked and never ends.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evy_hub::{Generation, Remote as HubRemote};

use crate::Died;
use crate::errands::ERRAND;
use crate::kill::Killed;
use crate::on_exit::drop_quietly;
use crate::park::Reason;
use crate::scheduler::scheduler;
use crate::spawn::Builder;
use crate::unpark::{Parker, Unparker, this_hub};

const RESULT: Reason = Reason::new(&"the result of a green thread on another OS thread");

/// The hub of an OS thread, for use from others.
///
/// The closures are started by one green thread of the hub, which also calls the wakers of futures: a waker,
/// or a destructor of a closure that could not be started, that parks holds up the others.
///
/// While one is held somewhere, its hub can still be given work, and a wait of that OS thread's own stack
/// is no deadlock.
///
/// ```
/// use evy_runtime::{Remote, unblock};
///
/// let here = Remote::current();
/// // From another OS thread back to this one: the closure is `Send`, what it makes need not be.
/// let answer = unblock(move || here.spawn(|| *std::rc::Rc::new(42)).wait());
/// assert_eq!(answer.unwrap(), 42);
/// ```
pub struct Remote {
    inbox: Arc<Inbox>,
}

impl Remote {
    /// The hub of this OS thread, made if need be.
    ///
    /// ```
    /// let remote = evy_runtime::Remote::current();
    /// let answer = remote.spawn(|| 6 * 7);
    /// assert_eq!(answer.wait().unwrap(), 42);
    /// ```
    ///
    /// # Panics
    ///
    /// When the OS gives no descriptors for a hub.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn current() -> Self {
        let scheduler = scheduler();
        Self::of(scheduler.errands.inbox(scheduler))
    }

    fn of(inbox: &Arc<Inbox>) -> Self {
        inbox.remotes.fetch_add(1, Ordering::Relaxed);
        Self { inbox: Arc::clone(inbox) }
    }

    /// Starts a green thread there that runs `f`, behind all that are ready. A dropped handle detaches it.
    ///
    /// What is sent by one OS thread starts in the order in which it was sent.
    ///
    /// ```
    /// let remote = evy_runtime::Remote::current();
    /// let thread = remote.spawn(|| "done");
    /// assert_eq!(thread.wait().unwrap(), "done");
    /// ```
    ///
    /// # Yields
    ///
    /// Never. `f` is dropped here, at once, where the hub has ended.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> RemoteThread<T> {
        let packet = Arc::new(Packet::new(Arc::clone(&self.inbox.life)));
        let delivery = Delivery { packet: Arc::clone(&packet), done: false };
        let task = Task { f, delivery };
        let location = Location::caller();
        self.inbox.put(Box::new(move || task.start(location)));
        RemoteThread { packet }
    }

    /// Whether its OS thread, and so the hub, has ended, or is one of the process that this one was forked
    /// from.
    ///
    /// ```
    /// let remote = std::thread::spawn(evy_runtime::Remote::current).join().unwrap();
    /// assert!(remote.has_ended());
    /// assert!(matches!(remote.spawn(|| ()).wait(), Err(evy_runtime::Died::HubEnded)));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn has_ended(&self) -> bool {
        self.inbox.life.has_ended()
    }
}

impl Clone for Remote {
    fn clone(&self) -> Self {
        Self::of(&self.inbox)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // A release, so that a hub that sees the last one gone sees what it has sent. It is told, for
        // now its wait may be a deadlock; here it will look by itself.
        if self.inbox.remotes.fetch_sub(1, Ordering::AcqRel) == 1
            && this_hub(&self.inbox.hub).is_none()
        {
            self.inbox.hub.wake(ERRAND);
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

/// The handle of a green thread on the hub of another OS thread, or of this one.
///
/// ```
/// let thread = evy_runtime::Remote::current().spawn(|| -> u32 { panic!("out of luck") });
/// let died = thread.wait().unwrap_err();
/// assert_eq!(died.to_string(), "green thread panicked: out of luck");
/// ```
#[must_use = "a dropped handle detaches the green thread"]
pub struct RemoteThread<T> {
    packet: Arc<Packet<T>>,
}

impl<T> RemoteThread<T> {
    /// Waits until the green thread has ended and returns its result.
    ///
    /// ```
    /// assert_eq!(evy_runtime::Remote::current().spawn(|| 42).wait().unwrap(), 42);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Died`] when it panicked, was killed, or could not be started, and when its OS thread has ended
    /// before it.
    ///
    /// # Yields
    ///
    /// Until the green thread has ended. On an OS thread without a hub it blocks the OS thread.
    pub fn wait(self) -> Result<T, Died> {
        if self.packet.life.is_of_parent() {
            return self.packet.take_in_child();
        }
        let parker = Parker::new();
        let _listening = Listening::new(&self.packet.life, parker.unparker());
        loop {
            // In this order: a hub that has ended delivers nothing more.
            let ended = self.packet.life.has_ended();
            match self.packet.take_or_notify(parker.unparker()) {
                Some(result) => return result,
                None if ended => return Err(Died::HubEnded),
                None => parker.park(RESULT, None).expect("there is no deadline"),
            }
        }
    }

    /// Whether the green thread has ended: [`wait`](Self::wait) would not park.
    ///
    /// ```
    /// let thread = evy_runtime::Remote::current().spawn(|| ());
    /// assert!(!thread.is_finished());
    /// # thread.wait().unwrap();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_finished(&self) -> bool {
        self.packet.life.has_ended() || self.packet.is_full()
    }
}

impl<T> fmt::Debug for RemoteThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteThread").field("is_finished", &self.is_finished()).finish()
    }
}

/// A closure on its way to the hub, and where its result goes.
struct Task<F, T> {
    f: F,
    delivery: Delivery<T>,
}

impl<F: FnOnce() -> T + 'static, T: Send + 'static> Task<F, T> {
    /// Gives it a green thread; runs on that for errands. Where there is no memory for a stack, the
    /// delivery is dropped and says so.
    fn start(self, location: &'static Location<'static>) {
        let Self { f, delivery } = self;
        let packet = Arc::clone(&delivery.packet);
        let started = Builder::new().location(location).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(f));
            delivery.deliver(result.map_err(|payload| {
                if payload.is::<Killed>() { Died::Killed } else { Died::Panicked(payload) }
            }));
        });
        packet.started.store(started.is_ok(), Ordering::Relaxed);
    }
}

/// What becomes of a closure that was sent, on its way back.
struct Packet<T> {
    slot: Mutex<Slot<T>>,
    /// It has a green thread, so only a kill keeps it from its first run.
    started: AtomicBool,
    life: Arc<Life>,
}

struct Slot<T> {
    result: Option<Result<T, Died>>,
    /// Who waits for it.
    waiter: Option<Unparker>,
}

impl<T> Packet<T> {
    fn new(life: Arc<Life>) -> Self {
        let slot = Mutex::new(Slot { result: None, waiter: None });
        Self { slot, started: AtomicBool::new(false), life }
    }

    fn is_full(&self) -> bool {
        lock(&self.slot).result.is_some()
    }

    fn put(&self, result: Result<T, Died>) {
        if self.life.is_of_parent() {
            return drop_quietly(result);
        }
        let mut slot = lock(&self.slot);
        slot.result = Some(result);
        if let Some(waiter) = &slot.waiter {
            waiter.unpark();
        }
    }

    /// Takes the result in a process that was forked since: another OS thread may hold the lock, for ever.
    fn take_in_child(&self) -> Result<T, Died> {
        let result = self.slot.try_lock().ok().and_then(|mut slot| slot.result.take());
        result.unwrap_or(Err(Died::HubEnded))
    }

    /// Takes the result; where there is none yet, `waiter` will be told.
    fn take_or_notify(&self, waiter: Unparker) -> Option<Result<T, Died>> {
        let mut slot = lock(&self.slot);
        let result = slot.result.take();
        slot.waiter = result.is_none().then_some(waiter);
        result
    }
}

/// The duty to put something into the packet, done at the latest when it is dropped.
struct Delivery<T> {
    packet: Arc<Packet<T>>,
    done: bool,
}

impl<T> Delivery<T> {
    fn deliver(mut self, result: Result<T, Died>) {
        self.done = true;
        self.packet.put(result);
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.packet.put(Err(if self.packet.life.has_ended() {
            Died::HubEnded
        } else if self.packet.started.load(Ordering::Relaxed) {
            Died::Killed
        } else {
            Died::Panicked(Box::new("no memory for another green thread"))
        }));
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// What other OS threads have sent to a hub and has not begun.
pub(crate) struct Inbox {
    hub: Arc<HubRemote>,
    jobs: Mutex<VecDeque<Job>>,
    /// How many [`Remote`]s there are.
    remotes: AtomicUsize,
    life: Arc<Life>,
}

impl Inbox {
    pub(crate) fn new(hub: Arc<HubRemote>) -> Self {
        let life = Arc::new(Life::new());
        Self { hub, jobs: Mutex::default(), remotes: AtomicUsize::new(0), life }
    }

    fn put(&self, job: Job) {
        if self.life.is_of_parent() {
            return drop(job);
        }
        let mut jobs = lock(&self.jobs);
        if self.life.has_ended() {
            drop(jobs);
            // What it captured is the user's.
            return drop(job);
        }
        jobs.push_back(job);
        // Behind others it needs no word: the hub has been told of them, or is at work on them.
        if jobs.len() == 1 {
            drop(jobs);
            match this_hub(&self.hub) {
                Some(scheduler) => scheduler.run_errands(),
                None => self.hub.wake(ERRAND),
            }
        }
    }

    pub(crate) fn take(&self) -> Option<Job> {
        lock(&self.jobs).pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.jobs).is_empty()
    }

    /// Whether there is a job, or somebody is left who could send one.
    pub(crate) fn can_come(&self) -> bool {
        // In this order: the last one may send something and go in between.
        self.remotes.load(Ordering::Acquire) > 0 || !self.is_empty()
    }

    /// The hub ends: drops what has not begun, and wakes who waits for a result.
    pub(crate) fn end(&self) {
        let jobs = {
            let mut jobs = lock(&self.jobs);
            self.life.ended.store(true, Ordering::SeqCst);
            std::mem::take(&mut *jobs)
        };
        for job in jobs {
            drop_quietly(job);
        }
        for waiter in lock(&self.life.waiters).values() {
            waiter.unpark();
        }
    }
}

/// Whether a hub is still there, and who wants to know when it is not.
struct Life {
    made_in: Generation,
    ended: AtomicBool,
    waiters: Mutex<HashMap<u64, Unparker>>,
    next: AtomicU64,
}

impl Life {
    fn new() -> Self {
        Self {
            made_in: Generation::current(),
            ended: AtomicBool::new(false),
            waiters: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst) || self.is_of_parent()
    }

    /// Whether this process was forked since. No lock of the parent may be waited for then.
    fn is_of_parent(&self) -> bool {
        self.made_in.is_over()
    }
}

/// A waiter's entry there, taken out however the wait ends.
struct Listening<'a> {
    life: &'a Life,
    number: u64,
}

impl<'a> Listening<'a> {
    fn new(life: &'a Life, waiter: Unparker) -> Self {
        let number = life.next.fetch_add(1, Ordering::Relaxed);
        lock(&life.waiters).insert(number, waiter);
        Self { life, number }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let waiter = lock(&self.life.waiters).remove(&self.number);
        drop(waiter);
    }
}

/// No code of users runs under these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
