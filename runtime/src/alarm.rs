//! A time that a future waits for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::Bell;
use crate::scheduler::{Scheduler, scheduler};

/// A future that is ready at a time: the [`sleep`](crate::sleep) of futures.
///
/// The others that [`block_on`](crate::block_on) polls beside it go on meanwhile. It is never early. It is
/// `Send`: it rings where it is polled. Once it has rung it stays ready, until it is
/// [`reset`](Self::reset).
///
/// ```
/// use std::time::{Duration, Instant};
/// use evy_runtime::{Alarm, block_on};
///
/// let start = Instant::now();
/// block_on(Alarm::after(Duration::from_millis(2)));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
#[must_use = "an alarm does nothing until it is polled"]
pub struct Alarm {
    /// `None` is never.
    deadline: Option<Instant>,
    state: State,
    /// Made at the first wait.
    bell: Option<Bell>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has polled it since it was set.
    Set,
    /// Its bell stands, or has stood, among the deadlines of its hub.
    Waiting,
    Rung,
}

impl Alarm {
    /// One for the time `deadline`. One that has passed is ready at the first poll or, where the hub has not
    /// looked at the clock since, in its next turn.
    ///
    /// ```
    /// use std::time::Instant;
    /// use evy_runtime::{Alarm, block_on};
    ///
    /// block_on(Alarm::at(Instant::now()));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn at(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), state: State::Set, bell: None }
    }

    /// One for `duration` from now. Zero is ready at once, [`Duration::MAX`] is for ever.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_runtime::{Alarm, block_on};
    ///
    /// block_on(Alarm::after(Duration::ZERO));
    /// ```
    ///
    /// # Panics
    ///
    /// When the OS gives no descriptors for a hub, whose clock it reads.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn after(duration: Duration) -> Self {
        let deadline = scheduler().clock().instant().checked_add(duration);
        let state = if duration.is_zero() { State::Rung } else { State::Set };
        Self { deadline, state, bell: None }
    }

    /// Sets it for another time, whether it has rung or not. Who waits for it polls it again.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use evy_runtime::{Alarm, block_on};
    ///
    /// let mut alarm = Alarm::after(Duration::MAX);
    /// alarm.reset(Instant::now());
    /// block_on(&mut alarm);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn reset(&mut self, deadline: Instant) {
        if self.state == State::Waiting {
            self.put_back();
        }
        self.deadline = Some(deadline);
        self.state = State::Set;
    }

    /// The time for which it is set; `None` is never.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use evy_runtime::Alarm;
    ///
    /// let now = Instant::now();
    /// assert_eq!(Alarm::at(now).deadline(), Some(now));
    /// assert_eq!(Alarm::after(Duration::MAX).deadline(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes the bell out of the deadlines. One of another hub is dropped, which comes to the same.
    fn put_back(&mut self) {
        match (&self.bell, crate::scheduler::current_scheduler()) {
            (Some(bell), Some(scheduler)) if bell.is_here(scheduler) => bell.leave(scheduler),
            _ => self.bell = None,
        }
    }

    /// Waits in this hub, unless the time has come.
    fn poll_set(&mut self, scheduler: &Scheduler, context: &Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let deadline = scheduler.clock().at(deadline);
        // The reading of this turn costs nothing. To read the clock would be a third of the whole.
        if scheduler.now() >= deadline {
            self.state = State::Rung;
            return Poll::Ready(());
        }
        let bell = Bell::of(&mut self.bell, scheduler);
        let waker = bell.waker(scheduler, context);
        bell.stand_by(scheduler, deadline, waker);
        self.state = State::Waiting;
        Poll::Pending
    }

    fn poll_waiting(&mut self, scheduler: &Scheduler, context: &Context<'_>) -> Poll<()> {
        let bell = self.bell.as_ref().expect("it waits by one");
        if !bell.is_here(scheduler) {
            self.bell = None;
            return self.poll_set(scheduler, context);
        }
        // To get it may run code of users, and that may park.
        let waker = bell.waker(scheduler, context);
        if bell.is_standing(scheduler) {
            bell.leave_waker(scheduler, waker);
            return Poll::Pending;
        }
        self.state = State::Rung;
        Poll::Ready(())
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let scheduler = scheduler();
        match self.state {
            State::Set => self.poll_set(scheduler, context),
            State::Waiting => self.poll_waiting(scheduler, context),
            State::Rung => Poll::Ready(()),
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Alarm");
        debug.field("deadline", &self.deadline).field("state", &self.state).finish_non_exhaustive()
    }
}
