//! Waiting for a wake from anywhere: another hub, a plain OS thread, a waker.
//!
//! A [`Parker`] is the waiting side: it parks the green thread that made it or, on an OS thread that has
//! no hub, the OS thread. Its [`Unparker`]s are `Send`. Between them is a [`Token`]: `unpark` makes it
//! available, `park` waits for it and consumes it, and which of the two comes first does not matter.
//!
//! ```text
//!   unpark                                park
//!   1. give the token                     a. enter the number into the table
//!   2. was there none? tell the hub:      b. token? take it and go on
//!      "number"                           c. suspend; the hub looks the number up in the table
//!                                         d. woken: b again; then leave the table
//! ```
//!
//! The number is in the table only during its own park, so that a late message wakes nobody out of
//! another wait. The message itself cannot get lost: see the handshake of the hub's mailbox.
//!
//! The last unparker that goes tells the hub too, for then the wait may be a deadlock. On the hub's own OS
//! thread nobody needs to be told: the hub looks again before it sleeps.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, Thread as OsThread};
use std::time::Instant;

use evy_hub::Remote;

use crate::control::{Thread, Wake};
use crate::park::{Reason, park_until};
use crate::scheduler::{Scheduler, current_scheduler, scheduler};
use crate::spin;
use crate::token::Token;
use crate::wait_list::TimedOut;

/// Waits for a token that its [`Unparker`]s make available, from whichever OS thread.
///
/// It belongs to the green thread that made it. On an OS thread without a hub it belongs to the OS
/// thread and blocks that; no hub is made for it.
///
/// ```
/// use evy_runtime::{Parker, Reason};
///
/// const OTHER: Reason = Reason::new(&"the other OS thread");
/// let parker = Parker::new();
/// let unparker = parker.unparker();
/// std::thread::spawn(move || unparker.unpark());
/// assert_eq!(parker.park(OTHER, None), Ok(()));
/// ```
///
/// It is not `Send`; its unparkers are:
///
/// ```compile_fail,E0277
/// let parker = evy_runtime::Parker::new();
/// std::thread::spawn(move || parker.unparker());
/// ```
pub struct Parker {
    ticket: Arc<Ticket>,
    /// `None`: it parks the OS thread.
    thread: Option<Thread>,
}

/// Makes the token of a [`Parker`] available.
///
/// ```
/// use evy_runtime::{Parker, Reason};
///
/// let parker = Parker::new();
/// parker.unparker().unpark();
/// assert_eq!(parker.park(Reason::new(&"a token that is there"), None), Ok(()));
/// ```
pub struct Unparker {
    ticket: Arc<Ticket>,
}

/// What both sides share.
struct Ticket {
    token: Token,
    sleeper: Sleeper,
}

/// Who is to be told.
enum Sleeper {
    /// The hub, which finds the green thread in the table by this number.
    Hub(Arc<Remote>, u64),
    Os(OsThread),
}

impl Parker {
    /// One for the current green thread, or for the OS thread if that has no hub.
    ///
    /// ```
    /// assert_eq!(format!("{:?}", evy_runtime::Parker::new()), "Parker { token: false, .. }");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[expect(clippy::new_without_default, reason = "it belongs to who makes it: no default thing")]
    pub fn new() -> Self {
        match current_scheduler() {
            Some(scheduler) => Self::green(scheduler),
            None => Self { ticket: Ticket::new(Sleeper::Os(thread::current())), thread: None },
        }
    }

    /// One for the current green thread.
    pub(crate) fn green(scheduler: &Scheduler) -> Self {
        let sleeper = Sleeper::Hub(Arc::clone(scheduler.remote()), scheduler.new_id().get());
        Self { ticket: Ticket::new(sleeper), thread: Some(scheduler.current()) }
    }

    /// Another handle that unparks it.
    ///
    /// ```
    /// let unparker = evy_runtime::Parker::new().unparker();
    /// unparker.unpark(); // nobody waits any more: nothing happens
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn unparker(&self) -> Unparker {
        self.ticket.token.add_unparker();
        Unparker { ticket: Arc::clone(&self.ticket) }
    }

    /// Whether an [`Unparker`] of it is left somewhere.
    ///
    /// ```
    /// let parker = evy_runtime::Parker::new();
    /// assert!(!parker.has_unparkers());
    /// let unparker = parker.unparker();
    /// assert!(parker.has_unparkers());
    /// # drop(unparker);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn has_unparkers(&self) -> bool {
        self.ticket.token.has_unparkers()
    }

    /// Takes the token if it is there.
    ///
    /// ```
    /// let parker = evy_runtime::Parker::new();
    /// parker.unparker().unpark();
    /// assert!(parker.try_take());
    /// assert!(!parker.try_take());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_take(&self) -> bool {
        self.ticket.token.take()
    }

    /// Waits for the token and consumes it. `reason` is for reports.
    ///
    /// ```
    /// use std::time::Instant;
    /// use evy_runtime::{Parker, Reason, TimedOut};
    ///
    /// const NOBODY: Reason = Reason::new(&"nobody in particular");
    /// assert_eq!(Parker::new().park(NOBODY, Some(Instant::now())), Err(TimedOut));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when the time is `deadline` and there is no token; it wins where both have come.
    ///
    /// # Panics
    ///
    /// When another green thread calls it than the one that made it, and when it was made on an OS thread
    /// without a hub that has one now; in both cases only if it has to wait.
    ///
    /// # Yields
    ///
    /// Until the token is there; also while the green thread unwinds. Without a hub it blocks the OS
    /// thread instead.
    pub fn park(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), TimedOut> {
        if self.try_take() {
            return Ok(());
        }
        match (&self.ticket.sleeper, self.thread) {
            (Sleeper::Hub(_, number), Some(thread)) => {
                let scheduler = scheduler();
                assert!(scheduler.current() == thread, "a parker belongs to its green thread");
                self.park_green(scheduler, *number, reason, deadline)
            }
            _ => {
                // It would keep the green threads from running, and perhaps the one that unparks it.
                let is_alone = current_scheduler().is_none();
                assert!(is_alone, "a parker that is older than its OS thread's hub cannot park");
                self.park_os_thread(deadline)
            }
        }
    }

    fn park_green(
        &self,
        scheduler: &Scheduler,
        number: u64,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<(), TimedOut> {
        let thread = scheduler.current();
        let deadline = deadline.map(|deadline| scheduler.clock().at(deadline));
        let entry = Entry { thread, ticket: Arc::clone(&self.ticket) };
        scheduler.tickets.borrow_mut().insert(number, entry);
        let _leaving = Leaving { scheduler, number };
        while !self.try_take() {
            if park_until(scheduler, thread, reason, deadline) == Wake::Deadline {
                return if self.try_take() { Ok(()) } else { Err(TimedOut) };
            }
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "there are no green threads on this OS thread")]
    fn park_os_thread(&self, deadline: Option<Instant>) -> Result<(), TimedOut> {
        if spin::before_a_park(deadline, || self.try_take()) {
            return Ok(());
        }
        let _parked = spin::Parked::new();
        while !self.try_take() {
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => return Err(TimedOut),
                Some(left) => thread::park_timeout(left),
            }
        }
        Ok(())
    }
}

impl Unparker {
    /// Makes the token available, and wakes the parker if it waits. Does nothing where the token is
    /// there already, or the parker is gone.
    ///
    /// ```
    /// let parker = evy_runtime::Parker::new();
    /// let unparker = parker.unparker();
    /// unparker.unpark();
    /// unparker.unpark();
    /// assert!(parker.try_take());
    /// assert!(!parker.try_take());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn unpark(&self) {
        if self.ticket.token.give() {
            self.ticket.tell();
        }
    }

    /// [`unpark`](Self::unpark), and drops it: one message for both, where there would be two.
    ///
    /// ```
    /// let parker = evy_runtime::Parker::new();
    /// parker.unparker().unpark_once();
    /// assert!(!parker.has_unparkers());
    /// assert!(parker.try_take());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn unpark_once(self) {
        if self.ticket.token.give_and_leave() {
            self.ticket.tell();
        }
        // What its drop would do is done, but for its share of the ticket.
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is there until the end of the function and is not dropped, so the ticket that is
        // read here is dropped once.
        drop(unsafe { ptr::read(&raw const this.ticket) });
    }

    /// Whether the hub of the parker has ended with its OS thread: nobody will take the token. It never has
    /// where the parker is that of an OS thread without a hub.
    ///
    /// ```
    /// use evy_runtime::{Parker, Reason, spawn_n, yield_now};
    ///
    /// let (give, take) = std::sync::mpsc::channel();
    /// let other = std::thread::spawn(move || {
    ///     spawn_n(move || {
    ///         let parker = Parker::new();
    ///         give.send(parker.unparker()).unwrap();
    ///         parker.park(Reason::new(&"what does not come"), None).unwrap();
    ///     });
    ///     yield_now();
    /// });
    /// let unparker = take.recv().unwrap();
    /// other.join().unwrap();
    /// assert!(unparker.has_ended());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn has_ended(&self) -> bool {
        matches!(&self.ticket.sleeper, Sleeper::Hub(hub, _) if hub.has_ended())
    }
}

impl Clone for Unparker {
    fn clone(&self) -> Self {
        self.ticket.token.add_unparker();
        Self { ticket: Arc::clone(&self.ticket) }
    }
}

impl Drop for Unparker {
    fn drop(&mut self) {
        if self.ticket.token.leave() {
            self.ticket.tell_of_the_end();
        }
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.ticket.token.is_there();
        f.debug_struct("Parker").field("token", &token).finish_non_exhaustive()
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.ticket.token.is_there();
        f.debug_struct("Unparker").field("token", &token).finish_non_exhaustive()
    }
}

impl Ticket {
    fn new(sleeper: Sleeper) -> Arc<Self> {
        Arc::new(Self { token: Token::new(), sleeper })
    }

    /// The token is there.
    fn tell(&self) {
        match &self.sleeper {
            Sleeper::Os(thread) => thread.unpark(),
            Sleeper::Hub(hub, number) => match this_hub(hub) {
                Some(scheduler) => wake_by_number(scheduler, *number),
                None => hub.wake(*number),
            },
        }
    }

    /// The token cannot come any more. An OS thread without a hub does not look for deadlocks.
    #[cold]
    fn tell_of_the_end(&self) {
        if let Sleeper::Hub(hub, number) = &self.sleeper
            && this_hub(hub).is_none()
        {
            hub.wake(*number);
        }
    }
}

/// The scheduler of this OS thread, if that hub is its own.
pub(crate) fn this_hub(hub: &Arc<Remote>) -> Option<&'static Scheduler> {
    current_scheduler().filter(|scheduler| Arc::ptr_eq(hub, scheduler.remote()))
}

/// Parked green threads by the numbers of their tickets.
pub(crate) type Tickets = HashMap<u64, Entry, BuildHasherDefault<Spread>>;

/// A hash of numbers that were counted up here, which nobody can choose.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        // By 2^64 over the golden ratio: neighbours differ in the upper bits too, which the table looks at.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A parked green thread in the table.
pub(crate) struct Entry {
    thread: Thread,
    ticket: Arc<Ticket>,
}

impl Entry {
    /// Whether there is an unparker, somewhere, that may wake it, or one has.
    pub(crate) fn can_be_woken(&self) -> bool {
        self.ticket.token.can_come()
    }
}

/// Wakes the green thread that parks under this number, if there is one.
pub(crate) fn wake_by_number(scheduler: &Scheduler, number: u64) {
    if let Some(entry) = scheduler.tickets.borrow().get(&number) {
        scheduler.wake(entry.thread, Wake::Run);
    }
}

/// Takes the number out of the table however the park ends.
struct Leaving<'a> {
    scheduler: &'a Scheduler,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        // Dropped outside of the borrow.
        let entry = self.scheduler.tickets.borrow_mut().remove(&self.number);
        drop(entry);
    }
}
