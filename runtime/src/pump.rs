//! Steps that the loop makes in a green thread's place, whenever a descriptor is ready.
//!
//! A copy between sockets spends its life in three lines: read, write, wait. To switch to its green thread for
//! them would bring its frames back into the caches, a dozen lines of which the three need few.
//! [`GreenFd::pump`] leaves these three lines to the loop as a [deputy](crate::deputy). What the steps need
//! lies in one place, [`Pump`]; whoever makes a step a closure that owns what it needs keeps that so.
//!
//! It is for evy's own crates: what users write may park.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use evy_hub::{Direction, SourceKey};

use crate::deputy::{Deputy, Next, Work, may_have_deputy};
use crate::io::{Attempt, GreenFd, Known, Turn, closed, settle, stand_in_line, wake_second};
use crate::kill::resume_unwind;
use crate::scheduler::{Scheduler, try_scheduler};

/// What a step of a [`GreenFd::pump`] has come to.
///
/// ```
/// use evy_runtime::io::Step;
///
/// fn after_read(count: usize, wanted: usize) -> Step<&'static str> {
///     match count {
///         0 => Step::Done("that was all"),
///         count if count < wanted => Step::Drained,
///         _ => Step::More,
///     }
/// }
/// assert_eq!(after_read(5, 8), Step::Drained);
/// ```
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// There may be more to do at once, after others had their turn.
    More,
    /// The next step would block: see [`GreenFd::call_draining`] for when that may be said.
    Drained,
    /// It is over, with this value.
    Done(T),
}

impl<T> Step<T> {
    fn is_drained(&self) -> bool {
        matches!(self, Self::Drained)
    }
}

/// All that the steps need. With a deputy's head and a closure of four words it fills a cache line, up to
/// what only the last step writes.
#[repr(C)]
struct Pump<'a, F, T> {
    fd: &'a GreenFd,
    key: SourceKey,
    direction: Direction,
    step: F,
    /// How it ended.
    outcome: Option<io::Result<T>>,
    /// What a step of the loop's has panicked with.
    panicked: Option<Box<dyn Any + Send>>,
}

impl GreenFd {
    /// Calls `step` whenever `direction` is ready, until it is [`Done`](Step::Done): what a loop around
    /// [`call`](Self::call) does, mostly without a switch. The loop that runs the green threads makes most of
    /// these calls itself, on the OS thread's own stack and one at a turn.
    ///
    /// `step` must not park: where the loop makes the call, that ends the process. It is the green thread's
    /// otherwise: a panic in it goes on there, and [`current`](crate::current) is that one.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use evy_runtime::io::{Direction, GreenFd, Step};
    ///
    /// let (mut ours, theirs) = UnixStream::pair()?;
    /// theirs.set_nonblocking(true)?;
    /// let green = GreenFd::new(theirs.try_clone()?.into());
    /// let reader = evy_runtime::spawn(move || {
    ///     let (mut buffer, mut total) = ([0; 8], 0);
    ///     green.pump(Direction::Read, |_| {
    ///         let count = (&theirs).read(&mut buffer)?;
    ///         total += count;
    ///         Ok(if count == 0 { Step::Done(total) } else { Step::More })
    ///     })
    /// });
    /// for _ in 0..3 {
    ///     ours.write_all(b"hello")?;
    ///     evy_runtime::yield_now();
    /// }
    /// drop(ours);
    /// assert_eq!(reader.wait().unwrap()?, 15);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); `WouldBlock` of a step is none.
    ///
    /// # Yields
    ///
    /// As [`call`](Self::call), and, where the loop makes the steps, after each that leaves more to do.
    #[doc(hidden)]
    #[inline]
    pub fn pump<T>(
        &self,
        direction: Direction,
        mut step: impl FnMut(BorrowedFd<'_>) -> io::Result<Step<T>>,
    ) -> io::Result<T> {
        let scheduler = try_scheduler()?;
        let attempt = Attempt::new(direction);
        let key = loop {
            if let Known::Here(key) = self.known_to(scheduler) {
                break key;
            }
            if let Step::Done(value) = self.call_draining(attempt, &mut step, Step::is_drained)? {
                return Ok(value);
            }
        };
        let pump = Pump { fd: self, key, direction, step, outcome: None, panicked: None };
        Deputy::new(pump).run(scheduler)
    }
}

impl<F, T> Deputy<Pump<'_, F, T>>
where
    F: FnMut(BorrowedFd<'_>) -> io::Result<Step<T>>,
{
    /// Makes a step, and leaves the later ones to the loop; does that again for as long as it has to go on
    /// itself without an outcome.
    #[inline]
    fn run(mut self, scheduler: &Scheduler) -> io::Result<T> {
        let Pump { fd, key, direction, .. } = self.work;
        let attempt = Attempt::new(direction);
        loop {
            scheduler.count_operation();
            let next = self.work.step(scheduler);
            if let Some(result) = self.work.outcome.take() {
                return result;
            }
            let thread = scheduler.current();
            if may_have_deputy(thread) {
                let place = stand_in_line(scheduler, thread, key, attempt)?;
                self.park_behind(scheduler, thread, fd.reason(direction), next);
                drop(place);
                if let Some(payload) = self.work.panicked.take() {
                    resume_unwind(payload);
                }
                if let Some(result) = self.work.outcome.take() {
                    return result;
                }
            } else if next == Next::Wait {
                fd.wait_here(scheduler, key, &mut Turn::new(attempt))?;
            }
        }
    }
}

impl<F, T> Work for Pump<'_, F, T>
where
    F: FnMut(BorrowedFd<'_>) -> io::Result<Step<T>>,
{
    fn act(&mut self, scheduler: &Scheduler) -> Next {
        // It keeps its place in the line, so whoever stands behind it is told by it.
        wake_second(scheduler, self.key, self.direction);
        catch_unwind(AssertUnwindSafe(|| self.step(scheduler))).unwrap_or_else(|payload| {
            self.panicked = Some(payload);
            Next::Resume
        })
    }
}

impl<F, T> Pump<'_, F, T>
where
    F: FnMut(BorrowedFd<'_>) -> io::Result<Step<T>>,
{
    /// Makes a step if the direction is ready, and says what comes next.
    #[inline]
    fn step(&mut self, scheduler: &Scheduler) -> Next {
        let (key, bit) = (self.key, self.direction.bit());
        if self.fd.is_closed() {
            self.outcome = Some(Err(closed()));
            return Next::Resume;
        }
        let is_ready = || scheduler.hub.borrow().readiness(key).intersects(bit);
        if !is_ready() {
            return Next::Wait;
        }
        scheduler.hub.borrow_mut().clear_readiness(key, bit);
        let result = (self.step)(self.fd.as_fd());
        match settle(scheduler, key, bit, result, Step::is_drained) {
            Some(Ok(Step::Done(value))) => self.outcome = Some(Ok(value)),
            Some(Err(error)) => self.outcome = Some(Err(error)),
            _ if is_ready() => return Next::Again,
            _ => return Next::Wait,
        }
        Next::Resume
    }
}
