//! Several hubs in one process, each on an OS thread of its own: for more than one core.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, available_parallelism};

use crate::kill::{Masked, kill_all, resume_unwind};
use crate::park::Reason;
use crate::remote::Remote;
use crate::scheduler::current_scheduler;
use crate::unpark::{Parker, Unparker};

const CORES: Reason = Reason::new(&"the other cores");

/// Runs `f` on `count` OS threads at once, each with a hub of its own, waits for all of them, and returns
/// their results in order. A `count` of 0 stands for as many as the system has cores for the process.
///
/// `f` runs on each OS thread's own stack, when every hub is there. When it returns or panics, the green
/// threads that it left behind are killed, so that what they hold is closed: a listener of a core that has
/// panicked takes no further connections. The others go on.
///
/// ```
/// let squares = evy_runtime::cores::run(3, |core| {
///     let here = evy_runtime::spawn(move || core.index() * core.index());
///     here.wait().unwrap()
/// });
/// assert_eq!(squares, [0, 1, 4]);
/// ```
///
/// # Panics
///
/// With the first core's panic that there was, in the order of the cores, when all have ended; and when
/// the OS gives no threads, or no descriptors for their hubs.
///
/// # Yields
///
/// Until the last one has ended. A kill or timeout of the caller waits for that, too: tell the cores to
/// end by other means.
pub fn run<R: Send>(count: usize, f: impl Fn(Core) -> R + Sync) -> Vec<R> {
    let count =
        if count == 0 { available_parallelism().map_or(1, NonZeroUsize::get) } else { count };
    let parker = Parker::new();
    let meeting = Meeting::new(count, parker.unparker());
    let mut results = Vec::with_capacity(count);
    thread::scope(|scope| {
        let mut cores = Vec::with_capacity(count);
        for index in 0..count {
            let (meeting, f) = (&meeting, &f);
            let core = thread::Builder::new()
                .name(format!("evy-core-{index}"))
                .spawn_scoped(scope, move || run_core(index, meeting, f));
            cores.push(core.unwrap_or_else(|error| {
                meeting.call_off();
                panic!("cannot start an OS thread for core {index}: {error}")
            }));
        }
        // What `f` borrows is in use until then, and so are the OS threads that join would wait for.
        let _masked = current_scheduler().map(|scheduler| Masked::new(scheduler.current()));
        while !meeting.is_over() {
            parker.park(CORES, None).expect("there is no deadline");
        }
        results.extend(cores.into_iter().map(thread::ScopedJoinHandle::join));
    });
    let results = results.into_iter().map(|result| result.unwrap_or_else(|p| resume_unwind(p)));
    // One that has not run `f` means that another one has panicked.
    results.flatten().collect()
}

/// What one core does; `None` if not all have come.
fn run_core<R>(index: usize, meeting: &Meeting, f: impl Fn(Core) -> R) -> Option<R> {
    let _leaving = Leaving(meeting);
    let remotes = meeting.meet(index, Remote::current())?;
    let result = catch_unwind(AssertUnwindSafe(|| f(Core { index, remotes })));
    // Destructors may start others, which are killed too; but not for ever.
    for _ in 0..8 {
        kill_all();
    }
    Some(result.unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
}

/// One of the hubs that [`run`] has started, for the closure that runs there.
///
/// ```
/// let counts = evy_runtime::cores::run(2, |core| core.count());
/// assert_eq!(counts, [2, 2]);
/// ```
#[derive(Clone)]
pub struct Core {
    index: usize,
    remotes: Arc<[Remote]>,
}

impl Core {
    /// Its place among the cores, from 0.
    ///
    /// ```
    /// assert_eq!(evy_runtime::cores::run(2, |core| core.index()), [0, 1]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many cores there are.
    ///
    /// ```
    /// assert_eq!(evy_runtime::cores::run(1, |core| core.count()), [1]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn count(&self) -> usize {
        self.remotes.len()
    }

    /// The hubs of all cores, in order, its own included. One whose closure has returned takes nothing
    /// any more.
    ///
    /// ```
    /// let names = evy_runtime::cores::run(1, |core| {
    ///     let first = &core.remotes()[0];
    ///     first.spawn(|| std::thread::current().name().map(str::to_owned)).wait().unwrap()
    /// });
    /// assert_eq!(names, [Some("evy-core-0".to_owned())]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn remotes(&self) -> &[Remote] {
        &self.remotes
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("index", &self.index).field("count", &self.count()).finish()
    }
}

/// Where the cores wait for each other at the beginning, and the caller for their end.
struct Meeting {
    state: Mutex<State>,
    changed: Condvar,
    caller: Unparker,
}

struct State {
    /// Those that have come.
    remotes: Vec<Option<Remote>>,
    /// All of them, once all have come.
    all: Option<Arc<[Remote]>>,
    /// One of them will not come.
    called_off: bool,
    /// Those that have not ended.
    running: usize,
}

impl Meeting {
    fn new(count: usize, caller: Unparker) -> Self {
        let state =
            State { remotes: vec![None; count], all: None, called_off: false, running: count };
        Self { state: Mutex::new(state), changed: Condvar::new(), caller }
    }

    /// Waits until all cores have come. It blocks the OS thread, on which nothing else runs yet.
    fn meet(&self, index: usize, remote: Remote) -> Option<Arc<[Remote]>> {
        let mut state = self.lock();
        state.remotes[index] = Some(remote);
        if state.remotes.iter().all(Option::is_some) {
            state.all = Some(state.remotes.iter_mut().filter_map(Option::take).collect());
            self.changed.notify_all();
        }
        let wait = |state: &mut State| state.all.is_none() && !state.called_off;
        let state = self.changed.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        state.all.clone()
    }

    /// Sends home those that have come, unless all have.
    fn call_off(&self) {
        self.lock().called_off = true;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.lock().running == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of users runs under the lock, so a poisoned one is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A core ends, whichever way.
struct Leaving<'a>(&'a Meeting);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.call_off();
        self.0.lock().running -= 1;
        self.0.caller.unpark();
    }
}
