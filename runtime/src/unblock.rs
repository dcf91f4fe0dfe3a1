//! Work that would block the OS thread, done on another one: a bounded pool for the whole process.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::kill::resume_unwind;
use crate::on_exit::drop_quietly;
use crate::park::Reason;
use crate::scheduler::scheduler;
use crate::unpark::Parker;

/// OS threads at most, unless `EVY_THREADPOOL_SIZE` says otherwise; as in Evy.
const THREADS: usize = 20;

/// How long an OS thread waits for another job before it ends.
const IDLE: Duration = Duration::from_secs(10);

const JOB: Reason = Reason::new(&"a job on another OS thread");

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// This OS thread belongs to the pool.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

static POOL: Pool = Pool {
    state: Mutex::new(State { jobs: VecDeque::new(), threads: 0, idle: 0 }),
    work: Condvar::new(),
};

struct Pool {
    state: Mutex<State>,
    /// A job was queued.
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

/// Runs `f` on another OS thread and returns its result; the other green threads run meanwhile.
///
/// For what blocks and cannot be made green: name lookups, files, libraries of others. At most 20 OS
/// threads do such work for the whole process (`EVY_THREADPOOL_SIZE` says otherwise); more jobs queue.
///
/// ```
/// let sum = evy_runtime::unblock(|| (1..=1000).sum::<u64>());
/// assert_eq!(sum, 500_500);
/// ```
///
/// # Panics
///
/// With the panic of `f`, and when the OS gives no thread at all.
///
/// # Yields
///
/// Until `f` has returned. A green thread that is killed or timed out meanwhile leaves the job to end
/// by itself. While the green thread unwinds, and within another such job, `f` runs here.
#[doc(alias = "tpool")]
pub fn unblock<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    if IS_WORKER.get() {
        // Were it queued, jobs that wait for jobs could hold all OS threads of the pool for ever.
        return f();
    }
    let scheduler = scheduler();
    let caller = scheduler.current();
    if scheduler.unwinding(caller) == crate::scheduler::Unwinding::Yes {
        return f();
    }
    let answer = Arc::new(Mutex::new(None));
    let parker = Parker::green(scheduler);
    let job = {
        let (answer, unparker) = (Arc::clone(&answer), parker.unparker());
        Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(f));
            *lock(&answer) = Some(result);
            unparker.unpark();
        })
    };
    if let Err(error) = POOL.submit(job) {
        panic!("cannot start an OS thread for a blocking job: {error}");
    }
    loop {
        let taken: Option<Result<T, Box<dyn Any + Send>>> = lock(&answer).take();
        match taken {
            Some(Ok(value)) => return value,
            Some(Err(payload)) => resume_unwind(payload),
            None => parker.park(JOB, None).expect("there is no deadline"),
        }
    }
}

/// Starts `f` on one of the OS threads of [`unblock`] and does not wait for it: for work that many wait
/// for, and that goes on when they have left. It queues as the others do, and a panic of it ends it alone.
///
/// ```
/// let (sender, receiver) = std::sync::mpsc::channel();
/// evy_runtime::unblock_n(move || sender.send(42).unwrap())?;
/// assert_eq!(evy_runtime::unblock(move || receiver.recv()), Ok(42));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// When the OS gives no thread at all; `f` is dropped.
///
/// # Yields
///
/// Never.
pub fn unblock_n(f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.submit(Box::new(f))
}

/// Whether this OS thread is one of those of [`unblock`], where a job may block.
///
/// ```
/// assert!(!evy_runtime::is_unblocked());
/// assert!(evy_runtime::unblock(evy_runtime::is_unblocked));
/// ```
///
/// # Yields
///
/// Never.
pub fn is_unblocked() -> bool {
    IS_WORKER.get()
}

/// How many OS threads do the work of [`unblock`] at most: 20, or what `EVY_THREADPOOL_SIZE` says.
///
/// ```
/// assert!(evy_runtime::unblock_threads() > 0);
/// ```
///
/// # Yields
///
/// Never.
pub fn unblock_threads() -> usize {
    let size = std::env::var("EVY_THREADPOOL_SIZE").ok().and_then(|size| size.parse().ok());
    size.filter(|size| *size > 0).unwrap_or(THREADS)
}

impl Pool {
    fn submit(&'static self, job: Job) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.work.notify_one();
        } else if state.threads < unblock_threads() {
            let spawned = thread::Builder::new().name("evy-unblock".into()).spawn(|| self.work());
            match spawned {
                Ok(_) => state.threads += 1,
                // The others will get to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => {
                    let job = state.jobs.pop_back();
                    drop(state);
                    // What it captured is the user's, and may call `unblock` when it is dropped.
                    drop(job);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn work(&self) {
        IS_WORKER.set(true);
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Panics of the work are caught inside, and go to the caller. But where the caller
                // has left, what the work gave is dropped here, and that may panic too.
                drop_quietly(catch_unwind(AssertUnwindSafe(job)));
                state = lock(&self.state);
                continue;
            }
            state.idle += 1;
            let (back, timeout) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// No code of users runs under these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
