//! The OS threads that do what would block: one bounded pool for the whole process.
//!
//! [`unblock`](crate::unblock) puts jobs in; this module says how many threads there are, and ends them.
//!
//! ```text
//!   unblock(f) ──► a thread is idle ─────────► it gets the job
//!                  fewer than size() threads ─► one more is started with it
//!                  else: the queue ───────────► whoever is done first takes the first one
//!
//!   a thread without a job waits 10 s for one and ends; one too many ends after its job
//! ```
//!
//! So there is a queue only while every thread has a job. The idle thread that was busy last is taken
//! first: it is the warmest, and those that are not needed come to their ten seconds.
//!
//! No code of users runs under the pool's lock: jobs are run, refused and dropped outside of it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread as OsThread};
use std::time::{Duration, Instant};
use std::{fmt, hint, io, mem, ptr};

use evy_hub::Generation;

use evy_hub::may_spin;

use crate::deadlock::tell;
use crate::fork;
use crate::park::Reason;
use crate::unpark::{Parker, Unparker};

/// OS threads at most, unless `EVY_THREADPOOL_SIZE` says otherwise; as in Evy.
const THREADS: usize = 20;

/// How long an OS thread waits for another job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// How long it looks out for one before it sleeps, where that may pay. The wake of a core that has gone to
/// sleep costs more than that: a job there and back takes 1.5 µs where its thread looks out, 19 where not.
const SPIN: Duration = Duration::from_micros(20);

/// A wait shorter than this says that looking out may pay next time.
const SHORT: Duration = Duration::from_micros(100);

const VARIABLE: &str = "EVY_THREADPOOL_SIZE";

const END: Reason = Reason::new(&"the end of the jobs on other OS threads");

thread_local! {
    /// This OS thread belongs to the pool.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// OS threads at most; [`UNSET`] until somebody asks.
static SIZE: AtomicUsize = AtomicUsize::new(UNSET);

const UNSET: usize = usize::MAX;

/// How many OS threads do jobs at most, for the whole process: 20, or what the environment variable
/// `EVY_THREADPOOL_SIZE` or [`set_size`] says. 0 stands for jobs that run where they are submitted.
///
/// ```
/// use evy_runtime::threadpool;
///
/// threadpool::set_size(4);
/// assert_eq!(threadpool::size(), 4);
/// ```
///
/// # Yields
///
/// Never.
#[inline]
pub fn size() -> usize {
    match SIZE.load(Ordering::Relaxed) {
        UNSET => size_from_environment(),
        size => size,
    }
}

#[cold]
fn size_from_environment() -> usize {
    let text = std::env::var_os(VARIABLE);
    let number = text.as_ref().map(|text| text.to_str().and_then(|text| text.trim().parse().ok()));
    let size = number.map_or(THREADS, |number| number.unwrap_or(THREADS)).min(UNSET - 1);
    if SIZE.compare_exchange(UNSET, size, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        match number {
            Some(Some(0)) => tell(format_args!(
                "evy: {VARIABLE} is 0: jobs of `unblock` run where they are submitted, and block \
                 every green thread there"
            )),
            Some(None) => tell(format_args!(
                "evy: {VARIABLE} is {:?}, which is no number of OS threads: there will be {THREADS}",
                text.unwrap_or_default()
            )),
            _ => {}
        }
    }
    SIZE.load(Ordering::Relaxed)
}

/// Sets how many OS threads do jobs at most.
///
/// Where that is more than before, threads are started for the jobs that wait. Where it is less, idle
/// threads end now, and busy ones, as many as are too many, after their job. With 0 jobs run where they
/// are submitted, and block that OS thread; those that wait already are still done elsewhere.
///
/// ```
/// use evy_runtime::{threadpool, unblock};
///
/// threadpool::set_size(0);
/// let here = std::thread::current().id();
/// assert_eq!(unblock(|| std::thread::current().id()), here);
/// ```
///
/// # Yields
///
/// Never.
#[doc(alias = "set_num_threads")]
pub fn set_size(size: usize) {
    SIZE.store(size.min(UNSET - 1), Ordering::Relaxed);
    if let Some(pool) = Pool::existing() {
        pool.adjust();
    }
}

/// What the pool is doing: how many threads and jobs there are.
///
/// ```
/// use evy_runtime::{threadpool, unblock};
///
/// let during = unblock(threadpool::stats);
/// assert_eq!((during.threads, during.running, during.queued), (1, 1, 0));
/// let after = threadpool::stats();
/// assert_eq!((after.threads, after.running, after.idle), (1, 0, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// OS threads of the pool.
    pub threads: usize,
    /// Those of them that wait for a job.
    pub idle: usize,
    /// Jobs that are being done.
    pub running: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
}

/// What the pool is doing at this moment.
///
/// ```
/// assert_eq!(evy_runtime::threadpool::stats().queued, 0);
/// ```
///
/// # Yields
///
/// Never.
pub fn stats() -> Stats {
    Pool::existing().map_or_else(Stats::default, |pool| pool.state().stats())
}

/// Waits until no job waits or runs, and all threads of the pool have ended.
///
/// Jobs that are submitted meanwhile are done, too, and waited for. Where that takes longer than `grace`,
/// the jobs that have not begun are dropped, here, and their callers' [`unblock`](crate::unblock)
/// panics; those that run are left to themselves, and their threads end after them. Either way the next
/// job starts the pool again.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::{spawn, threadpool, unblock, yield_now};
///
/// let job = spawn(|| unblock(|| "done"));
/// yield_now();
/// threadpool::shutdown(Duration::from_secs(5)).unwrap();
/// assert_eq!(threadpool::stats().threads, 0);
/// assert_eq!(job.wait().unwrap(), "done");
/// ```
///
/// # Errors
///
/// [`Unfinished`] when the grace was over first.
///
/// # Panics
///
/// When a job calls it: it would wait for its own end.
///
/// # Yields
///
/// Until all have ended; not if there is none. On an OS thread without a hub it blocks the OS thread.
#[doc(alias = "killall")]
pub fn shutdown(grace: Duration) -> Result<(), Unfinished> {
    assert!(!is_worker(), "a job cannot wait for the end of all jobs");
    let Some(pool) = Pool::existing() else { return Ok(()) };
    let deadline = Instant::now().checked_add(grace);
    let parker = Parker::new();
    let _closing = Closing::new(pool, parker.unparker());
    while !pool.state().is_over() {
        if parker.park(END, deadline).is_err() {
            return pool.give_up();
        }
    }
    Ok(())
}

/// The grace of a [`shutdown`] was over before all jobs were done.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use evy_runtime::{spawn, threadpool, unblock, yield_now};
///
/// let (done, wait_for_it) = mpsc::channel::<()>();
/// let stuck = spawn(|| unblock(move || wait_for_it.recv()));
/// yield_now();
/// let unfinished = threadpool::shutdown(Duration::from_millis(1)).unwrap_err();
/// assert_eq!((unfinished.running(), unfinished.dropped()), (1, 0));
/// assert_eq!(std::io::Error::from(unfinished).kind(), std::io::ErrorKind::TimedOut);
/// # drop(done);
/// # assert!(stuck.wait().unwrap().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    running: usize,
    dropped: usize,
}

impl Unfinished {
    /// How many jobs were running, and were left to themselves.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_runtime::{spawn, threadpool, unblock, yield_now};
    /// # let (done, wait_for_it) = std::sync::mpsc::channel::<()>();
    /// # let stuck = spawn(|| unblock(move || wait_for_it.recv()));
    /// # yield_now();
    /// let unfinished = threadpool::shutdown(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(unfinished.running(), 1);
    /// # drop(done);
    /// # assert!(stuck.wait().unwrap().is_err());
    /// ```
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many jobs had not begun, and were dropped.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_runtime::{spawn, threadpool, unblock, yield_now};
    /// # let (done, wait_for_it) = std::sync::mpsc::channel::<()>();
    /// # threadpool::set_size(1);
    /// # let stuck = spawn(|| unblock(move || wait_for_it.recv()));
    /// # yield_now();
    /// let behind_another_one = spawn(|| unblock(|| ()));
    /// # yield_now();
    /// let unfinished = threadpool::shutdown(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(unfinished.dropped(), 1);
    /// assert!(behind_another_one.wait().is_err());
    /// # drop(done);
    /// # assert!(stuck.wait().unwrap().is_err());
    /// ```
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, dropped } = self;
        write!(f, "jobs on other OS threads that still run: {running}; dropped: {dropped}")
    }
}

impl Error for Unfinished {}

impl From<Unfinished> for io::Error {
    fn from(unfinished: Unfinished) -> Self {
        Self::new(io::ErrorKind::TimedOut, unfinished)
    }
}

/// Whether this OS thread belongs to the pool.
#[inline]
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get()
}

/// What the threads do. All of this but `tell` may run code of users, and lets none of its panics out.
pub(crate) trait Job: Send + Sync {
    /// Does it, and keeps the result. Nothing happens where it was taken back.
    fn run(&self);
    /// Wakes the caller, for whom there is a result.
    fn tell(&self);
    /// It will not be done: drops it, and wakes the caller.
    fn refuse(&self);
    /// The caller does not wait any more: drops it, or its result. Whether it had not begun.
    fn leave(&self) -> bool;
}

/// The pool of this process.
pub(crate) struct Pool {
    state: Mutex<State>,
}

/// The pool; null before the first job, and in a forked child, whose copy has no threads. It is never
/// freed.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// In a child that was just forked: the threads are the parent's. Neither allocates nor locks.
pub(crate) fn leave_parent() {
    POOL.store(ptr::null_mut(), Ordering::Release);
}

struct State {
    /// Jobs that no thread has taken; none while there is an idle thread.
    jobs: VecDeque<Arc<dyn Job>>,
    /// Threads that wait for a job; the last one was busy last.
    idle: Vec<Arc<Seat>>,
    /// Threads that do jobs or wait for one.
    threads: usize,
    /// Threads that will do no more job, and have not ended yet.
    ending: usize,
    /// Who waits for the end of everything, by number.
    closing: Vec<(u64, Unparker)>,
    next_closing: u64,
    /// A shutdown that runs out of time begins a new term. Threads of an old one end after their job,
    /// and are not counted here any more.
    term: u64,
}

/// Where a thread of the pool waits for a job.
struct Seat {
    thread: OsThread,
    order: Mutex<Option<Order>>,
    /// Whether there is an order: a look at it costs no lock.
    has_order: AtomicBool,
    /// Its last wait was a short one.
    was_short: AtomicBool,
}

/// What a thread of the pool is to do next.
enum Order {
    Run(Arc<dyn Job>),
    End,
}

impl Pool {
    /// The pool, if there ever was a job.
    fn existing() -> Option<&'static Self> {
        // SAFETY: the pointer is null or one that `Box::leak` gave.
        unsafe { POOL.load(Ordering::Acquire).as_ref() }
    }

    /// The pool, made if need be.
    pub(crate) fn get() -> &'static Self {
        Self::existing().unwrap_or_else(Self::make)
    }

    #[cold]
    fn make() -> &'static Self {
        let state = State {
            jobs: VecDeque::new(),
            idle: Vec::new(),
            threads: 0,
            ending: 0,
            closing: Vec::new(),
            next_closing: 0,
            term: 0,
        };
        let pool = Box::into_raw(Box::new(Self { state: Mutex::new(state) }));
        let others =
            POOL.compare_exchange(ptr::null_mut(), pool, Ordering::AcqRel, Ordering::Acquire);
        if others.is_err() {
            // SAFETY: another OS thread was faster, so nobody has seen this one.
            drop(unsafe { Box::from_raw(pool) });
        }
        Self::existing().expect("it was just made")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Has a thread do `job`, as soon as one has time.
    ///
    /// # Errors
    ///
    /// When there is no thread and the OS gives none.
    pub(crate) fn submit(&'static self, job: Arc<dyn Job>) -> io::Result<()> {
        let mut state = self.state();
        if let Some(seat) = state.idle.pop() {
            drop(state);
            seat.give(Order::Run(job));
            return Ok(());
        }
        state.jobs.push_back(job);
        let started = self.start_threads(&mut state);
        if started.is_err() && state.threads > 0 {
            // The others will get to it.
            return Ok(());
        }
        if started.is_err() {
            state.jobs.pop_back();
        }
        started
    }

    /// Starts threads for what is queued, as many as there may be; one in any case, for the size may have
    /// become 0 since a job was on its way here.
    fn start_threads(&'static self, state: &mut State) -> io::Result<()> {
        while state.threads < size().max(1)
            && let Some(job) = state.jobs.pop_front()
        {
            let (term, first) = (state.term, Arc::clone(&job));
            let thread = thread::Builder::new().name("evy-unblock".into());
            if let Err(error) = thread.spawn(move || self.work(term, first)) {
                state.jobs.push_front(job);
                return Err(error);
            }
            state.threads += 1;
        }
        Ok(())
    }

    /// Takes a job that will not be done out of the queue, if it is there.
    pub(crate) fn withdraw(&self, job: &Arc<dyn Job>) {
        let mut state = self.state();
        // Whoever gives up has mostly waited longest, so this finds it near the front.
        let place = state.jobs.iter().position(|queued| Arc::ptr_eq(queued, job));
        let job = place.and_then(|place| state.jobs.remove(place));
        drop(state);
        drop(job);
    }

    /// Does what a new size asks for.
    fn adjust(&'static self) {
        let mut state = self.state();
        // Without another thread the ones that are there get to it.
        let _ = self.start_threads(&mut state);
        let surplus = state.surplus().min(state.idle.len());
        let seats: Vec<_> = state.idle.drain(..surplus).collect();
        state.retire(seats.len());
        drop(state);
        seats.iter().for_each(|seat| seat.give(Order::End));
    }

    /// What a thread of the pool does.
    fn work(&self, term: u64, first: Arc<dyn Job>) {
        IS_WORKER.set(true);
        let generation = Generation::current();
        let seat = Arc::new(Seat::new());
        let mut order = Order::Run(first);
        while let Order::Run(job) = order {
            job.run();
            fork::end_with_job(generation);
            // Before the caller is told: the next job that it submits finds this thread idle.
            let next = self.next(term, &seat);
            job.tell();
            drop(job);
            order = next.unwrap_or_else(|| self.wait(term, &seat));
        }
        let mut state = self.state();
        if state.term == term {
            state.ending -= 1;
            let told = state.who_waits_for_the_end();
            drop(state);
            told.iter().for_each(Unparker::unpark);
        }
    }

    /// What the thread in that seat does after a job; `None`: it is idle now.
    fn next(&self, term: u64, seat: &Arc<Seat>) -> Option<Order> {
        let mut state = self.state();
        if state.term != term {
            return Some(Order::End);
        }
        if state.surplus() > 0 {
            state.retire(1);
            return Some(Order::End);
        }
        if let Some(job) = state.jobs.pop_front() {
            return Some(Order::Run(job));
        }
        if !state.closing.is_empty() {
            state.retire(1);
            return Some(Order::End);
        }
        state.idle.push(Arc::clone(seat));
        None
    }

    /// Waits in the seat for an order.
    fn wait(&self, term: u64, seat: &Arc<Seat>) -> Order {
        loop {
            if let Some(order) = seat.wait(IDLE) {
                return order;
            }
            let mut state = self.state();
            let place = state.idle.iter().position(|idle| Arc::ptr_eq(idle, seat));
            if state.term == term
                && let Some(place) = place
            {
                state.idle.remove(place);
                state.retire(1);
                return Order::End;
            }
            // Somebody has taken the seat out, and its order is on the way.
        }
    }

    /// The grace of a shutdown is over: begins a new term.
    fn give_up(&self) -> Result<(), Unfinished> {
        let mut state = self.state();
        let jobs = mem::take(&mut state.jobs);
        let seats = mem::take(&mut state.idle);
        let unfinished = Unfinished { running: state.threads - seats.len(), dropped: jobs.len() };
        state.term += 1;
        state.threads = 0;
        state.ending = 0;
        let told = state.who_waits_for_the_end();
        drop(state);
        seats.iter().for_each(|seat| seat.give(Order::End));
        jobs.iter().for_each(|job| job.refuse());
        told.iter().for_each(Unparker::unpark);
        // The last one may have ended just now.
        if unfinished == (Unfinished { running: 0, dropped: 0 }) { Ok(()) } else { Err(unfinished) }
    }
}

impl State {
    fn stats(&self) -> Stats {
        let (threads, idle) = (self.threads, self.idle.len());
        Stats { threads, idle, running: threads - idle, queued: self.jobs.len() }
    }

    /// How many threads there are too many. What is queued needs one in any case.
    fn surplus(&self) -> usize {
        let needed = size().max(usize::from(!self.jobs.is_empty()));
        self.threads.saturating_sub(needed)
    }

    /// So many threads do no more jobs.
    fn retire(&mut self, count: usize) {
        self.threads -= count;
        self.ending += count;
    }

    /// Whether there is neither a job nor a thread.
    fn is_over(&self) -> bool {
        self.jobs.is_empty() && self.threads + self.ending == 0
    }

    /// Whom to tell that everything has ended, if it has.
    fn who_waits_for_the_end(&self) -> Vec<Unparker> {
        let waiting = if self.is_over() { &self.closing[..] } else { &[] };
        waiting.iter().map(|(_, unparker)| unparker.clone()).collect()
    }
}

/// A shutdown that waits; while there is one, threads do not wait for jobs.
struct Closing {
    pool: &'static Pool,
    number: u64,
}

impl Closing {
    fn new(pool: &'static Pool, waiter: Unparker) -> Self {
        let mut state = pool.state();
        let number = state.next_closing;
        state.next_closing += 1;
        state.closing.push((number, waiter));
        let seats = mem::take(&mut state.idle);
        state.retire(seats.len());
        drop(state);
        seats.iter().for_each(|seat| seat.give(Order::End));
        Self { pool, number }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let place = state.closing.iter().position(|(number, _)| *number == self.number);
        let entry = place.map(|place| state.closing.remove(place));
        drop(state);
        drop(entry);
    }
}

impl Seat {
    fn new() -> Self {
        Self {
            thread: thread::current(),
            order: Mutex::new(None),
            has_order: AtomicBool::new(false),
            was_short: AtomicBool::new(false),
        }
    }

    /// Tells the thread what to do. Whoever takes a seat out of the idle ones does it, once.
    fn give(&self, order: Order) {
        *lock(&self.order) = Some(order);
        self.has_order.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Waits for an order, for `timeout` at most.
    #[expect(clippy::disallowed_methods, reason = "no green thread runs here: this is the pool's")]
    fn wait(&self, timeout: Duration) -> Option<Order> {
        let start = Instant::now();
        let looks_out = may_spin() && self.was_short.load(Ordering::Relaxed);
        while looks_out && !self.has_order.load(Ordering::Acquire) && start.elapsed() < SPIN {
            hint::spin_loop();
        }
        while !self.has_order.load(Ordering::Acquire) {
            let left = timeout.checked_sub(start.elapsed())?;
            thread::park_timeout(left);
        }
        self.was_short.store(start.elapsed() < SHORT, Ordering::Relaxed);
        self.has_order.store(false, Ordering::Relaxed);
        lock(&self.order).take()
    }
}

/// No code of users runs under these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
