//! Ending a green thread from outside.
//!
//! A kill is an unwind that begins where the green thread is parked: its destructors run, and nothing
//! else of it does. The order of things:
//!
//! ```text
//!   killer              target, parked or queued               target, not started
//!   1. order KILL       3. resumes with Wake::Kill             3. first run, with Wake::Kill
//!   2. queue: target,      resume_unwind(Killed)                  drops the closure
//!      killer, …           destructors; the entry catches it
//!      suspend          4. finish: result, hooks, joiner       4. the same
//!   5. goes on when the target has ended or suspends again
//! ```
//!
//! It is never thrown into a green thread that was unwinding when it parked (a second unwind aborts
//! the process); the order waits for a later park. Code that catches the unwind and goes on gets it
//! again at the next [`RETRIES`] parks; then it is dropped and reported.

use std::any::Any;
use std::fmt;

use crate::control::{Orders, State, Thread, Wake};
use crate::scheduler::{Scheduler, Unwinding, current_scheduler};
use crate::{GreenThreadId, deadlock};

/// How often a kill is thrown again at one that swallows it.
const RETRIES: u8 = 8;

/// The payload of the unwind that a kill is.
///
/// Code that catches panics around a call that parks can tell a kill by it, and should let it go on:
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
/// use std::time::Duration;
///
/// let worker = evy_runtime::spawn(|| {
///     let result = catch_unwind(AssertUnwindSafe(|| evy_runtime::sleep(Duration::from_secs(60))));
///     match result {
///         Err(payload) if payload.is::<evy_runtime::Killed>() => resume_unwind(payload),
///         Err(_) => println!("the job panicked"),
///         Ok(()) => println!("the job is done"),
///     }
/// });
/// evy_runtime::yield_now();
/// worker.kill();
/// assert!(matches!(worker.wait(), Err(evy_runtime::Died::Killed)));
/// ```
pub struct Killed(#[expect(dead_code, reason = "it is there for its drop")] Throw);

impl fmt::Debug for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Killed")
    }
}

/// Kills the green thread with this id, as [`GreenThread::kill`](crate::GreenThread::kill) does.
/// `false` when it has ended, is one of another OS thread, or is an OS thread's own stack.
///
/// ```
/// let id = evy_runtime::spawn(|| unreachable!("it is killed before its first run")).id();
/// assert!(evy_runtime::kill(id));
/// assert!(!evy_runtime::kill(id));
/// ```
///
/// # Yields
///
/// Until the target has ended or is suspended again. From a destructor during unwinding it only
/// schedules the kill.
pub fn kill(id: GreenThreadId) -> bool {
    let Some(scheduler) = current_scheduler() else { return false };
    let Some(target) = id.find(scheduler) else { return false };
    scheduler.kill(target);
    true
}

/// Kills every green thread of this OS thread but the caller: the clean way to end before the OS
/// thread does, for at its end those that still live are leaked.
///
/// ```
/// use std::time::Duration;
///
/// let sleepers: Vec<_> =
///     (0..10).map(|_| evy_runtime::spawn(|| evy_runtime::sleep(Duration::MAX))).collect();
/// evy_runtime::yield_now();
/// evy_runtime::kill_all();
/// assert!(sleepers.iter().all(|sleeper| sleeper.is_finished()));
/// ```
///
/// # Yields
///
/// As [`kill`] does, for each.
pub fn kill_all() {
    let Some(scheduler) = current_scheduler() else { return };
    let ids: Vec<_> = scheduler.blocks.live().into_iter().map(GreenThreadId::of).collect();
    let caller = crate::current();
    for id in ids.into_iter().filter(|id| *id != caller) {
        kill(id);
    }
}

impl Scheduler {
    /// Kills `target`, a live green thread of this scheduler and not the OS thread's own stack.
    pub(crate) fn kill(&self, target: Thread) {
        target.order(Orders::KILL);
        target.kills_thrown.set(0);
        let killer = self.current();
        if target == killer {
            if self.may_throw(killer) {
                self.throw_pending(killer);
            }
            return;
        }
        self.unwind_may_have_ended();
        if !target.takes_orders() {
            return;
        }
        if matches!(target.state.get(), State::Running | State::Finished) {
            return;
        }
        // Behind the killer's hooks: one may wake the target, or panic.
        self.run_at_once(target, || {
            if target.state.get() == State::Queued {
                self.ready.remove(target);
            } else {
                self.cancel_delay(target);
            }
            target.wake.set(Wake::Kill);
        });
    }

    /// Runs `target` at once, before everybody who is ready, until it ends or suspends; then the caller goes
    /// on. `prepare` makes it one that is in no queue. While the caller unwinds it does not wait for that.
    #[inline]
    pub(crate) fn run_at_once(&self, target: Thread, prepare: impl FnOnce()) {
        let caller = self.current();
        let enqueue = |caller: Option<Thread>| {
            prepare();
            target.state.set(State::Queued);
            if let Some(caller) = caller {
                caller.state.set(State::Queued);
                caller.wake.set(Wake::Run);
                self.ready.push_front(caller);
            }
            self.ready.push_front(target);
        };
        let unwinding = self.unwinding(caller);
        if unwinding == Unwinding::Yes {
            return enqueue(None);
        }
        let wake = self.in_hooks(caller, || {
            enqueue(Some(caller));
            match unwinding {
                Unwinding::Unsure => self.while_unwinding(caller, || self.suspend(caller)),
                _ => self.suspend(caller),
            }
        });
        if wake >= Wake::Timeout {
            self.throw(caller);
        }
    }

    /// Takes the start of a `spawn_after` back.
    fn cancel_delay(&self, target: Thread) {
        if let Some(key) = target.look_at_extras(|extras| extras.delay.take()).flatten() {
            self.hub.borrow_mut().cancel_deadline(key);
        }
    }

    /// Whether orders may be thrown into `thread`, which runs.
    pub(crate) fn may_throw(&self, thread: Thread) -> bool {
        thread.masks.get() == 0 && self.unwinding(thread) == Unwinding::No
    }

    /// `thread` was resumed with an order: carries it out.
    #[cold]
    pub(crate) fn throw(&self, thread: Thread) {
        self.throw_pending(thread);
        unreachable!("who is resumed with an order still has it");
    }

    /// Throws what was ordered, if anything still is. The caller knows that `thread`, which runs, is
    /// not unwinding.
    pub(crate) fn throw_pending(&self, thread: Thread) {
        // Nothing is passing through: whatever it was has been caught.
        thread.withdraw(Orders::UNWINDS);
        self.unwind_may_have_ended();
        if thread.masks.get() == 0 && self.will_throw_kill(thread) {
            thread.kills_thrown.set(thread.kills_thrown.get() + 1);
            std::panic::resume_unwind(Box::new(Killed(self.begin_throw(thread))));
        }
        if thread.orders().contains(Orders::TIMEOUT) {
            self.throw_timeout(thread);
        }
    }

    /// Whether a kill is ordered; one that was caught too often is given up here.
    pub(crate) fn will_throw_kill(&self, thread: Thread) -> bool {
        if !thread.orders().contains(Orders::KILL) {
            return false;
        }
        let thrown = thread.kills_thrown.get();
        if thrown > RETRIES {
            thread.withdraw(Orders::KILL);
            let who = deadlock::describe(thread);
            deadlock::tell(format_args!(
                "evy: {who} has caught its kill {thrown} times and lives on"
            ));
            return false;
        }
        true
    }

    /// Notes that an unwind of ours begins in `thread`, which runs.
    pub(crate) fn begin_throw(&self, thread: Thread) -> Throw {
        let number = self.new_id().get() as u32;
        thread.thrown.set(number);
        thread.order(Orders::THROWN);
        Throw(number)
    }
}

/// Goes on with a panic that was caught elsewhere: [`std::panic::resume_unwind`], noted as the current
/// green thread's own.
///
/// std's does not run the panic hook, by which evy knows who panics while another green thread is
/// suspended in the middle of unwinding. A payload that was caught on this green thread needs no note.
///
/// ```
/// let died = evy_runtime::spawn(|| -> () { evy_runtime::resume_unwind(Box::new("elsewhere")) }).wait();
/// assert_eq!(died.unwrap_err().to_string(), "green thread panicked: elsewhere");
/// ```
///
/// # Panics
///
/// Always, with `payload`.
///
/// # Yields
///
/// Never.
pub fn resume_unwind(payload: Box<dyn Any + Send>) -> ! {
    if let Some(scheduler) = current_scheduler() {
        scheduler.current().order(Orders::PANICKED);
    }
    std::panic::resume_unwind(payload)
}

/// Keeps kills, and timeouts that began before it, away from a green thread until it is dropped.
pub(crate) struct Masked(Thread);

impl Masked {
    pub(crate) fn new(thread: Thread) -> Self {
        thread.masks.set(thread.masks.get() + 1);
        Self(thread)
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        self.0.masks.set(self.0.masks.get() - 1);
    }
}

/// One unwind of ours, by its number; part of its payload.
///
/// Who catches the unwind and keeps nothing of it drops the payload. Without that sign, one that
/// goes on while another is suspended in the middle of unwinding would count as unwinding until its
/// next park, and its yields, which then do nothing, are none.
pub(crate) struct Throw(u32);

impl Drop for Throw {
    fn drop(&mut self) {
        let Some(scheduler) = current_scheduler() else { return };
        let thread = scheduler.current();
        // A newer one may be passing through, or this may be another green thread.
        if thread.thrown.get() == self.0 {
            thread.withdraw(Orders::THROWN);
            scheduler.unwind_may_have_ended();
        }
    }
}
