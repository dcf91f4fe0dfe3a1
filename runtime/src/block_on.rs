//! Running a future on a green thread: poll it, park until its waker is called, poll it again.
//!
//! Each call has a *signal*, which its wakers share. A wake on the hub's own OS thread, which is the rule,
//! is two stores and a push to the ready queue; one from elsewhere leaves a token and sends the hub a
//! message.
//!
//! ```text
//!   waker, on this OS thread         waker, elsewhere              block_on
//!   1. woken = true                  1. token = true               a. poll
//!   2. parked? make it runnable      2. was it false? tell the     b. woken or token? yield; a
//!                                       hub: "signal n"            c. parked = this green thread
//!                                    3. the hub, in a turn:        d. suspend; woken or token? a
//!                                       parked? make it runnable      else d again
//! ```
//!
//! Between b and d no other green thread runs and the hub takes no turn, so nothing of the first two
//! columns but their step 1 can come in between, and its message is behind d. A message that is late finds
//! nobody parked, or somebody who looks for his own token and parks again.
//!
//! Signals are used again, so that a call allocates nothing once the hub is warm. Futures in the background
//! (`tasks.rs`) have theirs from here, too: the loop may call any of these wakers.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use evy_hub::Remote;

use crate::control::{Thread, Wake};
use crate::park::{Reason, park};
use crate::scheduler::{Scheduler, current_scheduler, scheduler};

const WAKER: Reason = Reason::new(&"the waker of a future");

/// Runs `future` to its end and returns its output. Only this green thread waits for it.
///
/// The future is polled here, at first and whenever its waker was called; the waker may be called from
/// anywhere. Calls may be nested: a poll is an ordinary piece of code, which may park, spawn, and call
/// `block_on`. A kill or a [`timeout`](crate::timeout) of the green thread drops the future.
///
/// Futures of runtime-agnostic crates work. What wants the runtime that it was written for (tokio's
/// sockets, timers and `spawn`) does not: see [`io::Interest`](crate::io::Interest) and
/// [`Alarm`](crate::Alarm) for what this one has instead.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::{Alarm, block_on, spawn};
///
/// let sum = spawn(|| {
///     block_on(async {
///         Alarm::after(Duration::from_millis(1)).await;
///         1 + 2
///     })
/// });
/// assert_eq!(block_on(async { 3 }) + sum.wait().unwrap(), 6);
/// ```
///
/// # Panics
///
/// With a panic of the future; when the OS gives no descriptors for a hub; and, on the OS thread's own
/// stack, where nothing can ever call the waker: that is a deadlock.
///
/// # Yields
///
/// While the future is pending: it parks until the waker is called, and yields once where that was called
/// during the poll already. Also while the green thread unwinds.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let scheduler = scheduler();
    let signal = Lent::new(scheduler);
    let waker = signal.waker();
    let mut context = Context::from_waker(&waker);
    // Last, so that it is dropped first: its destructors may use the waker.
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        signal.wait();
    }
}

/// Whether `waker` is one of [`block_on`]'s: to call or drop it runs no code of users.
#[inline]
pub(crate) fn is_ours(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &raw const VTABLE)
}

/// Marks a message to the hub that names a signal.
const SIGNAL: u64 = 1 << 63;

/// What the wakers of one call share. It is reached from any OS thread.
struct Signal {
    hub: Arc<Remote>,
    /// Its place in the hub's table.
    index: u32,
    /// It was called from elsewhere, and `block_on` has not seen that yet.
    token: AtomicBool,
}

/// What is known of a signal on its hub's OS thread.
pub(crate) struct Entry {
    signal: Arc<Signal>,
    /// It was called here, and `block_on` has not seen that yet.
    woken: Cell<bool>,
    waiter: Cell<Waiter>,
}

/// Who waits for a signal.
#[derive(Clone, Copy)]
pub(crate) enum Waiter {
    Nobody,
    /// A call, during its own park of the green thread and no other.
    Call(Thread),
    /// A future in the background, for as long as it lives.
    Task(u32),
}

/// How many hold the signal of a call that is parked, beside its wakers: the entry, and the waker that
/// the future is polled with.
const HELD_BY_A_CALL: usize = 2;

/// Signals beyond which the memory is given back when no call is left.
const MANY: usize = 1024;

/// All signals of one scheduler.
#[derive(Default)]
pub(crate) struct Signals {
    entries: RefCell<Vec<Rc<Entry>>>,
    /// Those that no call uses.
    spare: RefCell<Vec<Rc<Entry>>>,
}

impl Signals {
    /// A signal that nobody else has.
    fn lend<'a>(&self, scheduler: &'a Scheduler) -> Lent<'a> {
        let spare = self.spare.borrow_mut().pop();
        let entry = match spare {
            Some(entry) if entry.is_unshared() => entry,
            Some(entry) => self.replace(scheduler, entry.signal.index),
            None => self.add(scheduler),
        };
        entry.woken.set(false);
        entry.signal.token.store(false, Ordering::Relaxed);
        Lent { scheduler, entry }
    }

    #[cold]
    fn add(&self, scheduler: &Scheduler) -> Rc<Entry> {
        let mut entries = self.entries.borrow_mut();
        let index = u32::try_from(entries.len()).expect("fewer calls than that at once");
        let entry = Rc::new(Entry::new(scheduler, index));
        entries.push(Rc::clone(&entry));
        entry
    }

    /// A call has ended.
    fn give_back(&self, entry: &Rc<Entry>) {
        let mut spare = self.spare.borrow_mut();
        let mut entries = self.entries.borrow_mut();
        spare.push(Rc::clone(entry));
        if spare.len() > MANY && spare.len() == entries.len() {
            // A burst is over. Who still has a waker of one of them wakes nobody.
            *spare = Vec::new();
            *entries = Vec::new();
        }
    }

    /// A new signal in the place of one whose call has ended, but of which somebody keeps a waker.
    #[cold]
    fn replace(&self, scheduler: &Scheduler, index: u32) -> Rc<Entry> {
        let entry = Rc::new(Entry::new(scheduler, index));
        self.entries.borrow_mut()[index as usize] = Rc::clone(&entry);
        entry
    }

    /// Another OS thread has sent this message: handles it if it is for a signal.
    pub(crate) fn take_message(&self, scheduler: &Scheduler, word: u64) -> bool {
        if word & SIGNAL == 0 {
            return false;
        }
        // It may be late, and for an earlier one in this place: who is woken looks for the token.
        let entries = self.entries.borrow();
        let entry = entries.get((word & !SIGNAL) as usize);
        if let Some(entry) = entry {
            entry.wake_waiter(scheduler);
        }
        true
    }

    /// Whether a call is parked whose waker somebody has, or has called.
    pub(crate) fn can_come(&self) -> bool {
        self.entries.borrow().iter().any(|entry| entry.can_be_woken())
    }
}

impl Entry {
    fn new(scheduler: &Scheduler, index: u32) -> Self {
        let hub = Arc::clone(scheduler.remote());
        let signal = Arc::new(Signal { hub, index, token: AtomicBool::new(false) });
        Self { signal, woken: Cell::new(false), waiter: Cell::new(Waiter::Nobody) }
    }

    /// The signal was given: lets who waits for it see to that.
    #[inline]
    fn wake_waiter(&self, scheduler: &Scheduler) {
        match self.waiter.get() {
            Waiter::Call(thread) => scheduler.wake(thread, Wake::Run),
            Waiter::Task(index) => scheduler.tasks.make_ready(scheduler, index),
            Waiter::Nobody => {}
        }
    }

    /// Whether the last waker is gone, and everything that was done by one is behind us.
    fn is_unshared(&self) -> bool {
        let unshared = Arc::strong_count(&self.signal) == 1;
        fence(Ordering::Acquire);
        unshared
    }

    /// Takes note of a wake; whether there was one.
    #[inline(always)]
    fn take_wake(&self) -> bool {
        // What a waker elsewhere did before it is seen by the poll that follows: hence the swap, which
        // reads the newest token, where a store would do for the flag alone.
        let token = &self.signal.token;
        self.woken.replace(false)
            | (token.load(Ordering::Relaxed) && token.swap(false, Ordering::AcqRel))
    }

    fn can_be_woken(&self) -> bool {
        if matches!(self.waiter.get(), Waiter::Nobody) {
            return false;
        }
        if Arc::strong_count(&self.signal) > HELD_BY_A_CALL {
            return true;
        }
        // The last waker may have been called and dropped just now: who sees that it is gone sees, behind
        // this fence, the token that it left. The message is on its way.
        fence(Ordering::Acquire);
        self.signal.token.load(Ordering::Relaxed)
    }
}

/// A signal for the length of one call, or the life of one future in the background.
pub(crate) struct Lent<'a> {
    scheduler: &'a Scheduler,
    entry: Rc<Entry>,
}

impl<'a> Lent<'a> {
    pub(crate) fn new(scheduler: &'a Scheduler) -> Self {
        scheduler.signals.lend(scheduler)
    }

    pub(crate) fn waker(&self) -> Waker {
        self.entry.signal.waker()
    }

    /// Has every wake make the task `index` ready, until this is dropped.
    pub(crate) fn stand_for(&self, index: u32) {
        self.entry.waiter.set(Waiter::Task(index));
    }

    /// What was done before each wake until now is seen by what follows.
    #[inline(always)]
    pub(crate) fn see_wakes(&self) {
        self.entry.take_wake();
    }

    /// Parks until the signal has been given since the last time; yields if that is so already.
    #[inline(always)]
    fn wait(&self) {
        let Self { scheduler, entry } = self;
        if entry.take_wake() {
            scheduler.yield_current();
            // While it unwinds that does nothing, but the futures are to go on.
            scheduler.renew_operations();
            return;
        }
        let thread = scheduler.current();
        entry.waiter.set(Waiter::Call(thread));
        let _parked = Parked(entry);
        while !entry.take_wake() {
            park(scheduler, thread, WAKER);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.entry.waiter.set(Waiter::Nobody);
        self.scheduler.signals.give_back(&self.entry);
    }
}

/// The call is parked, until this is dropped: however the park ends.
struct Parked<'a>(&'a Entry);

impl Drop for Parked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.waiter.set(Waiter::Nobody);
    }
}

impl Signal {
    /// Another waker of it.
    fn waker(self: &Arc<Self>) -> Waker {
        let data = Arc::into_raw(Arc::clone(self)).cast();
        // SAFETY: the functions of the table want what `Arc::into_raw` gave for a `Signal`, keep count by
        // that `Arc`, and may be called from every OS thread, for a `Signal` is `Send` and `Sync`.
        unsafe { Waker::new(data, &VTABLE) }
    }

    /// The scheduler, if this is its OS thread.
    #[inline]
    fn here(&self) -> Option<&'static Scheduler> {
        current_scheduler().filter(|scheduler| Arc::ptr_eq(&self.hub, scheduler.remote()))
    }

    fn message(&self) -> u64 {
        SIGNAL | u64::from(self.index)
    }

    fn wake_here(&self, scheduler: &Scheduler) {
        let entries = scheduler.signals.entries.borrow();
        // If it is another one's, the call has ended.
        if let Some(entry) = entries.get(self.index as usize)
            && ptr::eq(&*entry.signal, self)
        {
            entry.woken.set(true);
            entry.wake_waiter(scheduler);
        }
    }

    fn wake(&self) {
        if let Some(scheduler) = self.here() {
            self.wake_here(scheduler);
        } else if !self.token.swap(true, Ordering::AcqRel) {
            self.hub.wake(self.message());
        }
    }

    /// Drops a waker on another OS thread, called or not. If it was the last one, the hub has to look
    /// whether anything can still wake the call; so the message comes behind the drop.
    #[cold]
    fn drop_elsewhere(self: Arc<Self>, is_news: bool) {
        let (hub, message) = (Arc::clone(&self.hub), self.message());
        let left = Arc::downgrade(&self);
        drop(self);
        if is_news || left.strong_count() == HELD_BY_A_CALL {
            hub.wake(message);
        }
    }
}

/// How wakers are told from those of others; a static, so that it has one address.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the caller has a waker, so `data` is that of an `Arc` that lives.
    unsafe { Arc::increment_strong_count(data.cast::<Signal>()) };
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the caller gives up a waker, and with it one count of the `Arc`.
    let signal = unsafe { Arc::from_raw(data.cast::<Signal>()) };
    match signal.here() {
        Some(scheduler) => signal.wake_here(scheduler),
        None => {
            let is_news = !signal.token.swap(true, Ordering::AcqRel);
            signal.drop_elsewhere(is_news);
        }
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller has a waker, so `data` is that of an `Arc` that lives, and keeps its count.
    let signal = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Signal>()) });
    signal.wake();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the caller gives up a waker, and with it one count of the `Arc`.
    let signal = unsafe { Arc::from_raw(data.cast::<Signal>()) };
    // Here, the loop looks before it rests.
    if signal.here().is_none() {
        signal.drop_elsewhere(false);
    }
}
