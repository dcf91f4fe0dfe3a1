//! The loop that runs green threads, and the one scheduler of each OS thread.
//!
//! ```text
//!                 park, yield_now                       resume
//!   green thread ────────────────► loop: ready queue ────────────► next green thread
//!                                   │ empty                ▲
//!                                   ▼                      │ due
//!                                  hub: timers, poll, sleep┘
//! ```
//!
//! The OS thread's own stack is a green thread too. The loop is what it runs while it is parked: the
//! loop returns when it pops that stack's own [`Head`] from the ready queue. So `main` needs no
//! wrapper, and the hub is made at the first call that needs it.
//!
//! No code of users runs inside the loop, and nothing unwinds through it: [`AbortOnUnwind`] sees to
//! that. A thread that runs is in state `Running`, one in the ready queue is `Queued`, and only a
//! `Parked` one can be woken: a second wake finds it `Queued` and does nothing.

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::panicking;

use corosensei::CoroutineResult;
use evy_hub::{BATCH, Clock, Due, Hub, Owner, Remote};

use crate::bells::{self, Bells};
use crate::block_on::Signals;
use crate::control::{Blocks, Head, Orders, State, Thread, Wake};
use crate::deputy::acts_for;
use crate::errands::{ERRAND, Errands};
use crate::pace::Pace;
use crate::ready_queue::{ReadyQueue, stack_top};
use crate::room::room;
use crate::stack::Stacks;
use crate::switch_hook::SwitchHooks;
use crate::tasks::Tasks;
use crate::unpark::{Entry, Tickets, wake_by_number};
use crate::{deadlock, fork, local, overflow, panic_hook, time};

/// Nanoseconds after which the OS is polled although there is work.
const POLL_EVERY: u64 = 50_000;

/// I/O calls that a green thread may do without parking before it has to yield.
const OPERATIONS: u32 = 128;

/// The green threads of one OS thread.
pub(crate) struct Scheduler {
    pub(crate) ready: ReadyQueue,
    /// Who runs. Meaningless while the loop does.
    current: Cell<Thread>,
    /// When to look at the clock.
    pace: Pace,
    /// The front of the ready queue after the last turn of the hub.
    front_at_turn: Cell<u32>,
    /// Polls of futures in the background since then.
    polls_since_turn: Cell<u32>,
    /// I/O calls of the current green thread since it was switched to.
    operations: Cell<u32>,
    /// The clock's reading at the current turn.
    now: Cell<u64>,
    clock: Clock,
    pub(crate) hub: RefCell<Hub>,
    stacks: RefCell<Stacks>,
    pub(crate) blocks: Blocks,
    next_id: Cell<u64>,
    last_id: Cell<u64>,
    /// Green threads that are suspended and are, or may be, in the middle of unwinding. Only while
    /// there are any can `panicking()` be true because of another one than the current one.
    unwinding: Cell<u32>,
    /// Who waits for an unparker, by the number that its message will carry.
    pub(crate) tickets: RefCell<Tickets>,
    pub(crate) errands: Errands,
    pub(crate) hooks: SwitchHooks,
    /// It is one of the process that this one was forked from.
    left: Cell<bool>,
    /// The loop runs a deputy.
    acting: Cell<bool>,
    /// The wakers of futures that this OS thread's green threads run.
    pub(crate) signals: Signals,
    /// Futures in the background.
    pub(crate) tasks: Tasks,
    /// What futures wait for.
    pub(crate) bells: Bells,
    /// The side of the hub that other OS threads have.
    remote: Arc<Remote>,
    /// The OS thread's own stack, as a green thread. Never moved: the scheduler is boxed.
    main: Box<Head>,
}

/// Why the loop returned to the OS thread's own stack.
enum Returned {
    Woken(Wake),
    /// Nothing can ever wake it.
    Deadlock,
}

/// Whether the current green thread is in the middle of unwinding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwinding {
    No,
    Yes,
    /// `panicking()` is true because of somebody else, and this one did panic, but may have caught
    /// it since.
    Unsure,
}

/// Aborts the process if it is dropped by unwinding: nothing may unwind through the loop.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("evy: a panic inside the scheduler; this is a bug of evy");
        std::process::abort();
    }
}

thread_local! {
    /// The scheduler of this OS thread; null before the first use and after the thread's end.
    static CURRENT: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    /// The one that this OS thread had when the process was forked, in the child. It is never freed.
    static PARENT: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    /// Ends the scheduler with its OS thread.
    static END: End = const { End };
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        let scheduler = CURRENT.replace(ptr::null());
        if scheduler.is_null() {
            return;
        }
        // SAFETY: the pointer was made by `Box::into_raw` in `start`, and nobody on this OS thread
        // uses the scheduler now: its own stack is here, and no green thread runs.
        let scheduler = unsafe { Box::from_raw(scheduler.cast_mut()) };
        // With no scheduler any more, so that they cannot run green threads now.
        local::drop_all(scheduler.main());
        scheduler.errands.end();
        if scheduler.blocks.in_use() > 0 {
            // Green threads still live, or handles to ended ones. To unwind them here would let
            // them use thread-locals that are gone (FAULTS S3); they are leaked, stacks and all.
            Box::leak(scheduler).hub.borrow().remote().end();
        } else {
            scheduler.bells.end();
        }
    }
}

/// The scheduler of this OS thread, made if need be.
///
/// # Panics
///
/// When the OS gives no descriptors for a hub, or the OS thread is in its last thread-local
/// destructors.
#[inline(always)]
pub(crate) fn scheduler() -> &'static Scheduler {
    match current_scheduler() {
        Some(scheduler) => scheduler,
        None => start().unwrap_or_else(|error| panic!("evy cannot start its hub: {error}")),
    }
}

/// The scheduler of this OS thread, if it has one.
#[inline(always)]
pub(crate) fn current_scheduler() -> Option<&'static Scheduler> {
    // SAFETY: the pointer is null or that of a scheduler which lives until its OS thread's
    // destructors, after which no code on this OS thread gets it any more.
    unsafe { CURRENT.get().as_ref() }
}

/// Makes the scheduler of this OS thread.
#[cold]
pub(crate) fn start() -> io::Result<&'static Scheduler> {
    if END.try_with(|_| ()).is_err() {
        return Err(io::Error::other("the hub of this OS thread has ended with the thread"));
    }
    fork::IN_CHILD.install()?;
    let scheduler = Box::new(Scheduler::new(Hub::new()?));
    if let Some(parent) = scheduler_of_parent() {
        scheduler.unwinding.set(parent.unwinding.get());
        fork::inherit(&scheduler, parent);
    }
    panic_hook::install();
    overflow::install();
    CURRENT.set(Box::into_raw(scheduler));
    let scheduler = current_scheduler().expect("it was just set");
    #[cfg(feature = "tracing")]
    scheduler.add_switch_hook(crate::tracing::keep_spans);
    Ok(scheduler)
}

/// In a child that was just forked: there is no scheduler any more. Neither allocates nor locks.
pub(crate) fn leave_parent() {
    if let Some(scheduler) = current_scheduler() {
        scheduler.left.set(true);
        // Whatever still returns to its loop finds nobody to run there.
        scheduler.ready.clear();
        scheduler.tasks.forget_ready();
        PARENT.set(CURRENT.replace(ptr::null()));
    }
}

/// The scheduler of this OS thread that was left behind by the last fork.
pub(crate) fn scheduler_of_parent() -> Option<&'static Scheduler> {
    // SAFETY: the pointer is null or was `CURRENT` at a fork, and from then on nobody frees it.
    unsafe { PARENT.get().as_ref() }
}

/// The scheduler of this OS thread, made if need be, for calls that can report its failure.
pub(crate) fn try_scheduler() -> io::Result<&'static Scheduler> {
    current_scheduler().map_or_else(start, Ok)
}

impl Scheduler {
    fn new(hub: Hub) -> Self {
        let main = Box::new(Head::new(Location::caller(), 0));
        Self {
            ready: ReadyQueue::new(),
            current: Cell::new(Thread(NonNull::from(&*main))),
            pace: Pace::new(hub.now()),
            front_at_turn: Cell::new(0),
            polls_since_turn: Cell::new(0),
            operations: Cell::new(0),
            now: Cell::new(hub.now()),
            clock: hub.clock(),
            remote: Arc::clone(hub.remote()),
            hub: RefCell::new(hub),
            stacks: RefCell::new(Stacks::new()),
            blocks: Blocks::default(),
            next_id: Cell::new(0),
            last_id: Cell::new(0),
            unwinding: Cell::new(0),
            tickets: RefCell::default(),
            errands: Errands::new(),
            hooks: SwitchHooks::default(),
            left: Cell::new(false),
            acting: Cell::new(false),
            signals: Signals::default(),
            tasks: Tasks::default(),
            bells: Bells::new(),
            main,
        }
    }

    /// The green thread that runs.
    #[inline(always)]
    pub(crate) fn current(&self) -> Thread {
        self.current.get()
    }

    /// The OS thread's own stack.
    #[inline(always)]
    pub(crate) fn main(&self) -> Thread {
        Thread(NonNull::from(&*self.main))
    }

    #[inline(always)]
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The clock's reading at the current turn.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The side of the hub that other OS threads have.
    #[inline(always)]
    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    pub(crate) fn stacks(&self) -> &RefCell<Stacks> {
        &self.stacks
    }

    /// An id that no other green thread of this process has, has had, or will have.
    #[inline]
    pub(crate) fn new_id(&self) -> NonZeroU64 {
        let id = self.next_id.get();
        if id == self.last_id.get() {
            return self.refill_ids();
        }
        self.next_id.set(id + 1);
        NonZeroU64::new(id).expect("ids start at 1")
    }

    #[cold]
    fn refill_ids(&self) -> NonZeroU64 {
        const RANGE: u64 = 1 << 12;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let first = NEXT.fetch_add(RANGE, Ordering::Relaxed);
        self.next_id.set(first + 1);
        self.last_id.set(first + RANGE);
        NonZeroU64::new(first).expect("ids start at 1")
    }

    /// Makes a parked green thread runnable; one that is not parked stays as it is.
    #[inline(always)]
    pub(crate) fn wake(&self, thread: Thread, wake: Wake) {
        if thread.state.get() == State::Parked {
            thread.wake.set(wake);
            thread.state.set(State::Queued);
            self.ready.push_back(thread);
        }
    }

    /// Puts the current green thread, whose `state` says where it went, to sleep until it is
    /// resumed, and says why it was.
    ///
    /// Inlined into every park: one real frame between a park and the switch costs two mispredicted
    /// returns (9 → 36 ns).
    #[inline(always)]
    pub(crate) fn suspend(&self, thread: Thread) -> Wake {
        self.suspend_at(thread, stack_top())
    }

    /// [`suspend`](Self::suspend), with what is to be fetched before the green thread runs again.
    #[inline(always)]
    pub(crate) fn suspend_at(&self, thread: Thread, top: usize) -> Wake {
        thread.top.set(top);
        let yielder = thread.yielder.get();
        if yielder.is_null() {
            return self.run_until_main_is_woken();
        }
        // SAFETY: the yielder lies on this very stack, in the frame of the coroutine's entry, and
        // was stored by it (`spawn::entry`).
        unsafe { (*yielder).suspend(()) }
    }

    #[inline(never)]
    fn run_until_main_is_woken(&self) -> Wake {
        self.abort_if_acting();
        match self.run() {
            Returned::Woken(wake) => wake,
            Returned::Deadlock => {
                let report = deadlock::report(self);
                self.main.state.set(State::Running);
                panic!("{report}");
            }
        }
    }

    /// The loop: runs the ready queue, and the hub when that is empty.
    fn run(&self) -> Returned {
        let guard = AbortOnUnwind;
        let main = self.main();
        let returned = loop {
            let Some(thread) = self.ready.pop() else {
                if !self.rest() {
                    break Returned::Deadlock;
                }
                continue;
            };
            self.pace.count_switch();
            if self.pace.is_time_to_look() {
                self.look_at_the_clock();
            }
            thread.state.set(State::Running);
            self.operations.set(0);
            self.current.set(thread);
            if acts_for(self, thread) {
                continue;
            }
            if thread == main {
                break Returned::Woken(thread.wake.get());
            }
            // SAFETY: the head of a queued green thread holds its coroutine, which is suspended: it
            // runs nowhere, so nothing else refers to it until the switch back.
            let coroutine = unsafe { (*thread.coroutine.get()).assume_init_mut() };
            match coroutine.resume(thread.wake.get()) {
                CoroutineResult::Yield(()) => {}
                CoroutineResult::Return(()) => self.retire(thread),
            }
        };
        self.current.set(main);
        std::mem::forget(guard);
        returned
    }

    /// Runs `act`, a part of the loop, in the name of `thread`, which is suspended: what it panics with or
    /// orders is that one's own. What tries to park in there finds no way to switch by, and ends the process.
    #[inline(always)]
    pub(crate) fn in_the_name_of<R>(&self, thread: Thread, act: impl FnOnce() -> R) -> R {
        self.current.set(thread);
        self.acting.set(true);
        let yielder = thread.yielder.replace(ptr::null());
        self.pace.count_operation();
        let result = act();
        thread.yielder.set(yielder);
        self.acting.set(false);
        if self.left.get() {
            fork::end_child(format_args!("a step of `GreenFd::pump` has forked"));
        }
        result
    }

    /// Ends the process where a deputy tries to park: its green thread is suspended already.
    fn abort_if_acting(&self) {
        if self.acting.get() {
            eprintln!("evy: a step of `GreenFd::pump` has tried to park");
            std::process::abort();
        }
    }

    /// Takes the stack of a finished green thread back.
    #[inline]
    fn retire(&self, thread: Thread) {
        let class = thread.class;
        // SAFETY: the head holds a coroutine that has just returned, which is moved out for good:
        // `spawn::finish` has taken the thread out of its block, so nobody finds the head any more.
        let span = unsafe { (*thread.coroutine.get()).assume_init_read() }.into_stack();
        self.stacks.borrow_mut().give_back(class, thread.0, span);
    }

    /// Polls, if it was long ago. The rest of the ready queue waits that long.
    #[cold]
    fn look_at_the_clock(&self) {
        let now = self.clock.read();
        self.pace.adapt(now);
        if now >= self.now.get() + POLL_EVERY {
            self.turn(Some(self.room(now)));
        }
    }

    /// For how many events there is room now. The runs are those of green threads since the last turn and
    /// the polls of futures in the background; a kill, which moves the queue's front back, counts for none.
    fn room(&self, now: u64) -> usize {
        let runs = self.ready.front().wrapping_sub(self.front_at_turn.get()).cast_signed().max(0);
        let polls = self.polls_since_turn.get();
        let ready = self.ready.len() + self.tasks.ready();
        room(ready, runs as usize + polls as usize, now.saturating_sub(self.now.get()))
    }

    /// Nothing is ready: tidies up and sleeps until something is due. `false` when nothing can be.
    fn rest(&self) -> bool {
        if self.left.get() {
            let text =
                "somebody has waited in the hub of the process that this one was forked from";
            fork::end_child(format_args!("{text}"));
        }
        let trimmed = self.stacks.borrow_mut().trim(|| self.clock.read());
        if trimmed && self.nothing_can_wake_main() {
            return false;
        }
        self.turn((!trimmed).then_some(BATCH));
        true
    }

    /// One turn of the hub, which waits, or takes that many events at most; queues whoever is due.
    fn turn(&self, most: Option<usize>) {
        let mut hub = self.hub.borrow_mut();
        let mut deliver = |due| self.deliver_due(due);
        let result = match most {
            None => hub.turn(true, &mut deliver),
            Some(most) => hub.turn_at_most(most, &mut deliver),
        };
        self.front_at_turn.set(self.ready.front());
        self.polls_since_turn.set(0);
        self.now.set(hub.now());
        self.pace.begin(hub.now());
        drop(hub);
        self.bells.tidy(self);
        if let Err(error) = result {
            // The OS refuses to wait: no call can make progress any more.
            panic!("the hub cannot wait for events: {error}");
        }
    }

    fn deliver_due(&self, due: Due) {
        match due {
            Due::Ready(owner) => self.wake_owner(owner),
            Due::Deadline(Owner(owner)) if time::is_frame(owner) => time::frame_is_due(self, owner),
            Due::Deadline(owner) if bells::is_bell(owner) => self.bells.ring(self, owner),
            Due::Deadline(Owner(owner)) => {
                // SAFETY: owners are made from green threads that wait, and whoever waits takes its
                // owner out of the hub before it goes on.
                self.wake(unsafe { Thread::from_owner(owner) }, Wake::Deadline);
            }
            Due::Remote(ERRAND) => self.run_errands(),
            Due::Remote(word) if self.signals.take_message(self, word) => {}
            Due::Remote(word) if self.bells.take_message(word) => {}
            Due::Remote(number) => wake_by_number(self, number),
        }
    }

    /// The descriptor that `owner` waits for is ready. Where that is a bell, [`Bells::tidy`] follows.
    #[inline(always)]
    pub(crate) fn wake_owner(&self, owner: Owner) {
        if bells::is_bell(owner) {
            return self.bells.ring(self, owner);
        }
        // SAFETY: owners are made from green threads that wait, and whoever waits takes its owner out of
        // the hub before it goes on.
        self.wake(unsafe { Thread::from_owner(owner.0) }, Wake::Run);
    }

    /// Whether the OS thread's own stack is parked for ever: nothing runs, nobody waits for a descriptor
    /// or a deadline, and no other OS thread has what can wake somebody here.
    fn nothing_can_wake_main(&self) -> bool {
        let hub = self.hub.borrow();
        self.ready.is_empty()
            && hub.waiting() == 0
            && hub.deadlines() == 0
            && !self.errands.can_come()
            && !self.signals.can_come()
            && !self.tickets.borrow().values().any(Entry::can_be_woken)
    }

    /// Goes to the back of the ready queue.
    #[inline(always)]
    pub(crate) fn yield_current(&self) {
        let thread = self.current();
        if thread.orders() != Orders::NONE || panicking() {
            return self.yield_slowly(thread);
        }
        self.requeue(thread);
    }

    #[inline(always)]
    fn requeue(&self, thread: Thread) {
        if self.requeue_unchecked(thread) >= Wake::Timeout {
            self.throw(thread);
        }
    }

    #[inline(always)]
    fn requeue_unchecked(&self, thread: Thread) -> Wake {
        thread.state.set(State::Queued);
        thread.wake.set(Wake::Run);
        self.ready.push_back(thread);
        self.suspend(thread)
    }

    #[cold]
    fn yield_slowly(&self, thread: Thread) {
        let unwinding = self.unwinding(thread);
        match unwinding {
            // Other green threads would see `panicking()`.
            Unwinding::Yes => return,
            Unwinding::Unsure => {}
            Unwinding::No => self.throw_pending(thread),
        }
        let wake = self.in_hooks(thread, || match unwinding {
            Unwinding::No => self.requeue_unchecked(thread),
            _ => self.while_unwinding(thread, || self.requeue_unchecked(thread)),
        });
        if wake >= Wake::Timeout {
            self.throw(thread);
        }
    }

    /// Counts an I/O call, and yields where the current green thread has done its share. Call it
    /// before the I/O: what it read must not get lost if a kill comes.
    #[inline(always)]
    pub(crate) fn count_operation(&self) {
        self.pace.count_operation();
        let operations = self.operations.get() + 1;
        self.operations.set(operations);
        if operations > OPERATIONS {
            self.operations.set(0);
            self.yield_after_many();
        }
    }

    #[cold]
    fn yield_after_many(&self) {
        // A deputy gives way after each step.
        if !self.acting.get() {
            self.yield_current();
        }
    }

    /// Counts as many I/O calls more, for a large one.
    #[inline(always)]
    pub(crate) fn count_more(&self, calls: usize) {
        // More than that makes no difference.
        let calls = calls.min(OPERATIONS as usize) as u32;
        self.operations.set(self.operations.get().saturating_add(calls));
        self.pace.count_operations(calls);
    }

    /// Whether a green thread that has done a piece of work should let others run: somebody is ready, or it
    /// is time to look at the clock.
    #[inline(always)]
    pub(crate) fn somebody_waits_for_a_turn(&self) -> bool {
        self.ready.has_entries() || self.is_time_to_look()
    }

    /// Counts a poll of a future in the background, as if it were a green thread that the loop has resumed.
    #[inline(always)]
    pub(crate) fn count_turn(&self) {
        self.polls_since_turn.set(self.polls_since_turn.get() + 1);
        self.pace.count_switch();
    }

    /// Whether the loop would look at the clock now.
    #[inline(always)]
    pub(crate) fn is_time_to_look(&self) -> bool {
        self.pace.is_time_to_look()
    }

    /// Counts an I/O call that a future is about to make, and whether it may: not where the current green
    /// thread has done its share since it was switched to. It is the future's to see to it that it yields.
    #[inline(always)]
    pub(crate) fn may_operate(&self) -> bool {
        let operations = self.operations.get();
        if operations >= OPERATIONS {
            return false;
        }
        self.operations.set(operations + 1);
        self.pace.count_operation();
        true
    }

    /// Lets the current green thread do as many I/O calls again.
    #[inline(always)]
    pub(crate) fn renew_operations(&self) {
        self.operations.set(0);
    }

    /// Whether `thread`, which runs, is in the middle of unwinding.
    #[inline(always)]
    pub(crate) fn unwinding(&self, thread: Thread) -> Unwinding {
        if !panicking() { Unwinding::No } else { self.unwinding_slow(thread) }
    }

    #[cold]
    fn unwinding_slow(&self, thread: Thread) -> Unwinding {
        if self.unwinding.get() == 0 || thread.orders().contains(Orders::THROWN) {
            Unwinding::Yes
        } else if thread.orders().contains(Orders::PANICKED) {
            Unwinding::Unsure
        } else {
            Unwinding::No
        }
    }

    /// An unwind may have ended. If it was the last one, whoever is still counted does not unwind:
    /// that was not sure when they parked. They get what was ordered meanwhile, for their wait may
    /// be one for ever.
    #[inline(always)]
    pub(crate) fn unwind_may_have_ended(&self) {
        if self.unwinding.get() > 0 && !panicking() {
            self.all_clear();
        }
    }

    #[cold]
    fn all_clear(&self) {
        self.unwinding.set(0);
        let mut threads = self.blocks.live();
        threads.push(self.main());
        for thread in threads.into_iter().filter(|thread| thread.shielded.replace(false)) {
            // A wake with an order is a promise that it is thrown: a wait that went on without would
            // take what it waits for as given.
            if thread.takes_orders() && self.will_throw_kill(thread) {
                self.wake(thread, Wake::Kill);
            } else if thread.has_open_timeout() {
                self.wake(thread, Wake::Timeout);
            }
        }
    }

    /// Runs `park`, which suspends `thread`, as that of one that unwinds: nothing is thrown into it,
    /// and it is counted. So is one of which that is not sure: were it left out, the count could
    /// reach 0 while it is suspended in the middle of a real unwind, and then everybody else would
    /// take `panicking()` for their own.
    pub(crate) fn while_unwinding<R>(&self, thread: Thread, park: impl FnOnce() -> R) -> R {
        struct Counted<'a>(&'a Scheduler, Thread);

        // The deadlock report unwinds out of the park.
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                // If it is not shielded any more, `all_clear` has counted it out.
                if self.1.shielded.replace(false) {
                    self.0.unwinding.set(self.0.unwinding.get() - 1);
                }
            }
        }

        self.unwinding.set(self.unwinding.get() + 1);
        thread.shielded.set(true);
        let _counted = Counted(self, thread);
        park()
    }
}
