//! Work that would block the OS thread, done on another one.
//!
//! A job and its caller share one [`Task`], which says how far the job is. Each step is made by one of
//! the two, and who makes it takes out what has to be dropped:
//!
//! ```text
//!   Queued(f) ── a thread of the pool takes f ──► Begun ── f has returned ──► Answered ──► the caller
//!     │                                             │
//!     │ the caller leaves: f is dropped             │ the caller leaves
//!     │ the pool is shut down: Refused              └──► Left: the result is dropped over there
//! ```

use std::any::Any;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evy_hub::Generation;

use crate::fork;
use crate::kill::resume_unwind;
use crate::on_exit::drop_quietly;
use crate::park::Reason;
use crate::scheduler::{Unwinding, scheduler};
use crate::threadpool::{self, Job, Pool};
use crate::unpark::{Parker, Unparker};

const JOB: Reason = Reason::new(&"a job on another OS thread");

/// Runs `f` on another OS thread and returns its result; the other green threads run meanwhile.
///
/// For what blocks and cannot be made green: name lookups, files, libraries of others. A bounded number of
/// OS threads does such work for the whole process ([`threadpool`](crate::threadpool)); more jobs queue,
/// and are done in the order in which they came.
///
/// ```
/// let sum = evy_runtime::unblock(|| (1..=1000).sum::<u64>());
/// assert_eq!(sum, 500_500);
/// ```
///
/// Where the green thread is killed, or a `timeout` around it is over, a job that has not begun is dropped
/// there and then; one that has begun is left to itself, and its result is dropped:
///
/// ```
/// use std::sync::mpsc::channel;
/// use evy_runtime::{spawn, unblock, yield_now};
///
/// let ((begin, begun), (end, ended)) = (channel(), channel());
/// let caller = spawn(move || {
///     unblock(move || {
///         begin.send(()).unwrap();
///         end.send("done all the same").unwrap();
///     })
/// });
/// yield_now();
/// begun.recv().unwrap();
/// caller.kill();
/// assert_eq!(ended.recv(), Ok("done all the same"));
/// ```
///
/// # Panics
///
/// With the panic of `f`; when the OS gives no thread at all; and when the pool is
/// [shut down](crate::threadpool::shutdown) before the job begins.
///
/// # Yields
///
/// Until `f` has returned. Within another job, while the green thread unwinds, and where the pool's size
/// is 0, `f` runs here and blocks the OS thread.
#[doc(alias = "tpool")]
#[track_caller]
pub fn unblock<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    // Were a job within a job queued, jobs that wait for jobs could hold all OS threads of the pool for
    // ever.
    if threadpool::is_worker() || threadpool::size() == 0 {
        return f();
    }
    let scheduler = scheduler();
    if scheduler.unwinding(scheduler.current()) == Unwinding::Yes {
        return f();
    }
    let parker = Parker::green(scheduler);
    let task = Arc::new(Task { stage: Mutex::new(Stage::Queued(f)), caller: parker.unparker() });
    let call = Call { pool: Pool::get(), job: Arc::clone(&task) as Arc<dyn Job> };
    if let Err(error) = call.pool.submit(Arc::clone(&call.job)) {
        drop(call);
        panic!("cannot start an OS thread for a blocking job: {error}");
    }
    // Told after the thread has become idle: not a moment earlier is the answer looked for.
    parker.park(JOB, None).expect("there is no deadline");
    match task.take_answer().expect("who is told has an answer") {
        Answer::Result(Ok(value)) => value,
        Answer::Result(Err(payload)) => resume_unwind(payload),
        Answer::Refused => panic!("the pool of OS threads was shut down before this job had begun"),
    }
}

/// Has another OS thread do `f`, and does not wait for it: for work that many wait for, and that goes on
/// when they have left. It queues as the others do, and a panic of it ends it alone.
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
/// Never. With a pool of size 0 `f` runs here.
pub fn unblock_n(f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if threadpool::size() == 0 {
        drop_quietly(catch_unwind(AssertUnwindSafe(f)));
        return Ok(());
    }
    Pool::get().submit(Arc::new(Errand { work: Mutex::new(Some(f)) }))
}

/// Whether this OS thread is one of those that do such work, where a job may block.
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
    threadpool::is_worker()
}

/// A job for which nobody waits.
struct Errand<F> {
    work: Mutex<Option<F>>,
}

impl<F> Errand<F> {
    fn take(&self) -> Option<F> {
        lock(&self.work).take()
    }
}

impl<F: FnOnce() + Send> Job for Errand<F> {
    fn run(&self) {
        let Some(f) = self.take() else { return };
        let generation = Generation::current();
        drop_quietly(catch_unwind(AssertUnwindSafe(f)));
        fork::end_with_job(generation);
    }

    fn tell(&self) {}

    fn refuse(&self) {
        drop_quietly(self.take());
    }

    fn leave(&self) -> bool {
        false
    }
}

/// A job, from both sides.
struct Task<F, T> {
    stage: Mutex<Stage<F, T>>,
    caller: Unparker,
}

/// How far a job is.
enum Stage<F, T> {
    Queued(F),
    Begun,
    Answered(Answer<T>),
    /// The caller has the answer.
    Over,
    /// The caller does not wait any more.
    Left,
}

enum Answer<T> {
    Result(Result<T, Box<dyn Any + Send>>),
    /// It will not be done.
    Refused,
}

impl<F, T> Task<F, T> {
    /// Goes on to the stage `next` if the present one is as `from` says. Gives back the other of the two:
    /// what it holds is the user's, and dropped outside of the lock.
    fn go_on(
        &self,
        from: impl FnOnce(&Stage<F, T>) -> bool,
        next: Stage<F, T>,
    ) -> Result<Stage<F, T>, Stage<F, T>> {
        let mut stage = lock(&self.stage);
        if from(&stage) { Ok(mem::replace(&mut *stage, next)) } else { Err(next) }
    }

    /// Takes the closure out, if nobody has.
    fn take_work(&self, next: Stage<F, T>) -> Option<F> {
        match self.go_on(|stage| matches!(stage, Stage::Queued(_)), next) {
            Ok(Stage::Queued(f)) => Some(f),
            _ => None,
        }
    }

    fn take_answer(&self) -> Option<Answer<T>> {
        match self.go_on(|stage| matches!(stage, Stage::Answered(_)), Stage::Over) {
            Ok(Stage::Answered(answer)) => Some(answer),
            _ => None,
        }
    }
}

impl<F, T> Job for Task<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self) {
        let Some(f) = self.take_work(Stage::Begun) else { return };
        let generation = Generation::current();
        let answer = Answer::Result(catch_unwind(AssertUnwindSafe(f)));
        // In a child that it has forked, the caller may have held the lock just then.
        fork::end_with_job(generation);
        let waiting = |stage: &Stage<F, T>| matches!(stage, Stage::Begun);
        if let Err(unwanted) = self.go_on(waiting, Stage::Answered(answer)) {
            drop_quietly(unwanted);
        }
    }

    fn tell(&self) {
        self.caller.unpark();
    }

    fn refuse(&self) {
        if let Some(f) = self.take_work(Stage::Answered(Answer::Refused)) {
            drop_quietly(f);
            self.tell();
        }
    }

    fn leave(&self) -> bool {
        let before = self.go_on(|stage| !matches!(stage, Stage::Over), Stage::Left);
        let had_not_begun = matches!(before, Ok(Stage::Queued(_)));
        // The unwind of a kill may be under way, and must not meet another one.
        drop_quietly(before);
        had_not_begun
    }
}

/// The call of [`unblock`] that waits for a job: takes it back if the wait ends before the job.
struct Call {
    pool: &'static Pool,
    job: Arc<dyn Job>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.job.leave() {
            self.pool.withdraw(&self.job);
        }
    }
}

/// No code of users runs under these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
