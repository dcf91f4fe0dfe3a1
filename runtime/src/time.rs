//! Sleeping, and bounds on how long a piece of work may take.

use std::cell::Cell;
use std::error::Error;
use std::num::{NonZeroU64, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::thread::panicking;
use std::time::Duration;
use std::{fmt, io};

use evy_hub::Owner;

use crate::control::{Orders, State, Thread, Wake};
use crate::kill::Throw;
use crate::park::{Armed, Reason, park_until};
use crate::scheduler::{Scheduler, Unwinding, scheduler};

/// How long a sleep during unwinding may block the OS thread.
const SLEEP_WHILE_UNWINDING: Duration = Duration::from_millis(10);

/// Puts the current green thread to sleep for at least `duration`; the others run meanwhile.
///
/// Zero yields once, [`Duration::MAX`] is for ever. While the green thread unwinds it blocks the OS
/// thread instead, for at most 10 ms.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let sleepers: Vec<_> =
///     (0..100).map(|_| evy_runtime::spawn(|| evy_runtime::sleep(Duration::from_millis(5)))).collect();
/// evy_runtime::join_all(sleepers);
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
///
/// # Yields
///
/// Always.
pub fn sleep(duration: Duration) {
    let scheduler = scheduler();
    let thread = scheduler.current();
    if panicking() && scheduler.unwinding(thread) == Unwinding::Yes {
        #[expect(clippy::disallowed_methods, reason = "no green thread may run now (FAULTS 2.2)")]
        std::thread::sleep(duration.min(SLEEP_WHILE_UNWINDING));
    } else if duration.is_zero() {
        scheduler.yield_current();
    } else {
        let deadline = scheduler.clock().after(duration);
        park_until(scheduler, thread, Reason::SLEEP, deadline);
    }
}

/// Lets every other green thread that is ready run once.
///
/// Does nothing while the green thread unwinds.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// let ran = Rc::new(Cell::new(false));
/// evy_runtime::spawn_n({
///     let ran = Rc::clone(&ran);
///     move || ran.set(true)
/// });
/// assert!(!ran.get());
/// evy_runtime::yield_now();
/// assert!(ran.get());
/// ```
///
/// # Yields
///
/// Always.
#[doc(alias = "cede")]
#[inline(always)]
pub fn yield_now() {
    scheduler().yield_current();
}

/// The time that [`timeout`] gave was over before the work was done.
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use evy_runtime::{Elapsed, sleep, timeout};
///
/// let late: Result<(), Elapsed> = timeout(Duration::from_millis(1), || sleep(Duration::MAX));
/// let error = io::Error::from(late.unwrap_err());
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time for this was over before it was done")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// One `timeout` that a green thread is in, or one nursery's closure, in the frame of that call.
///
/// The hub and the head point to it; both are told before the call returns or unwinds.
#[repr(align(8))]
pub(crate) struct Frame {
    thread: Thread,
    outer: Option<NonNull<Self>>,
    /// Tells this call from any other, also from a later one in the same place.
    id: NonZeroU64,
    due: Cell<bool>,
    /// The masks of its green thread when it began: what is masked later masks it too, while one
    /// that begins under a mask (in a hook, say) works there.
    masks: u16,
}

/// Marks the word of a frame where the hub's owners are green threads or frames.
const TAG: usize = 1;

impl Frame {
    fn owner(&self) -> Owner {
        Owner(NonZeroUsize::new((&raw const *self).expose_provenance() | TAG).expect("tagged"))
    }
}

pub(crate) fn is_frame(owner: NonZeroUsize) -> bool {
    owner.get() & TAG != 0
}

/// The deadline of a frame has come: throws it, or marks it for the next park.
pub(crate) fn frame_is_due(scheduler: &Scheduler, owner: NonZeroUsize) {
    // SAFETY: the owner was made by `Frame::owner`, and `timeout` takes it out of the hub before its
    // frame goes.
    let frame = unsafe { &*std::ptr::with_exposed_provenance::<Frame>(owner.get() & !TAG) };
    frame.interrupt(scheduler);
}

impl Frame {
    /// Throws at its green thread's park, or marks it for the next one.
    pub(crate) fn interrupt(&self, scheduler: &Scheduler) {
        self.mark();
        if self.is_open() && !self.thread.shielded.get() && self.thread.state.get() == State::Parked
        {
            scheduler.wake(self.thread, Wake::Timeout);
        }
    }

    fn mark(&self) {
        self.due.set(true);
        self.thread.order(Orders::TIMEOUT);
    }

    /// Whether no mask lies between this frame and where its green thread is.
    fn is_open(&self) -> bool {
        self.masks == self.thread.masks.get()
    }
}

/// The payload of the unwind that ends the work of a [`timeout`].
struct TimeoutUnwind(NonZeroU64, #[expect(dead_code, reason = "it is there for its drop")] Throw);

/// Runs `f`, and unwinds out of it at the first park after `duration`.
///
/// The unwind runs `f`'s destructors, prints nothing and is caught by this call alone, so timeouts
/// nest: of several that are due, the outermost ends its work. Code that never parks cannot be
/// interrupted; if it ends late, its result counts. Zero is due at the first park,
/// [`Duration::MAX`] never. A std `Mutex` that is held across a park is poisoned by the unwind.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(evy_runtime::timeout(Duration::from_secs(1), || 7), Ok(7));
/// let late = evy_runtime::timeout(Duration::from_millis(1), || evy_runtime::sleep(Duration::MAX));
/// assert!(late.is_err());
/// ```
///
/// # Errors
///
/// [`Elapsed`] when it was this timeout that ended `f`. One that `f` catches and keeps is not thrown
/// again, and `f`'s own result counts.
///
/// # Yields
///
/// Not by itself.
#[doc(alias = "with_timeout")]
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let scheduler = scheduler();
    let Some(deadline) = scheduler.clock().after(duration) else { return Ok(f()) };
    interruptible(scheduler, |frame| {
        if duration.is_zero() {
            // Due already, and once only: a deadline would come again after a catch in `f`.
            frame.mark();
            return f();
        }
        let key = scheduler.hub.borrow_mut().add_deadline(deadline, frame.owner());
        let _armed = Armed { scheduler, key };
        f()
    })
}

/// Runs `f` in a frame of its own, through which it can be ended at its next park: by a deadline, or by
/// [`Frame::interrupt`].
pub(crate) fn interruptible<T>(
    scheduler: &Scheduler,
    f: impl FnOnce(&Frame) -> T,
) -> Result<T, Elapsed> {
    let thread = scheduler.current();
    let frame = Frame {
        thread,
        outer: thread.timeouts.get(),
        id: scheduler.new_id(),
        due: Cell::new(false),
        masks: thread.masks.get(),
    };
    // Within a destructor that runs in the middle of an unwind, that unwind goes on afterwards.
    let outside = if panicking() { thread.orders().only(Orders::UNWINDS) } else { Orders::NONE };
    thread.timeouts.set(Some(NonNull::from(&frame)));
    let result = catch_unwind(AssertUnwindSafe(|| f(&frame)));
    thread.timeouts.set(frame.outer);
    frame.due.set(false);
    thread.refresh_timeout_order();
    scheduler.unwind_may_have_ended();
    match result {
        Ok(value) => {
            thread.withdraw(Orders::UNWINDS);
            thread.order(outside);
            Ok(value)
        }
        Err(payload)
            if payload.downcast_ref().is_some_and(|TimeoutUnwind(id, _)| *id == frame.id) =>
        {
            thread.withdraw(Orders::UNWINDS);
            thread.order(outside);
            Err(Elapsed(()))
        }
        Err(payload) => resume_unwind(payload),
    }
}

impl Thread {
    /// The frames that this green thread is in, innermost first.
    fn frames(&self) -> impl Iterator<Item = &Frame> {
        // SAFETY: a frame is in the list exactly while its `timeout` call is, and the calls of one
        // green thread end innermost first.
        let frame = |frame: NonNull<Frame>| unsafe { frame.as_ref() };
        std::iter::successors(self.timeouts.get().map(frame), move |inner| inner.outer.map(frame))
    }

    /// Whether a timeout is due that may be thrown where the green thread is.
    pub(crate) fn has_open_timeout(&self) -> bool {
        self.frames().any(|frame| frame.due.get() && frame.is_open())
    }

    /// Sets the order if and only if a frame is due.
    fn refresh_timeout_order(&self) {
        if self.orders().contains(Orders::TIMEOUT) && !self.frames().any(|frame| frame.due.get()) {
            self.withdraw(Orders::TIMEOUT);
        }
    }
}

impl Scheduler {
    /// Throws the outermost timeout that is due and not masked.
    pub(crate) fn throw_timeout(&self, thread: Thread) {
        let outermost = thread.frames().filter(|frame| frame.due.get() && frame.is_open()).last();
        let Some(frame) = outermost else { return thread.refresh_timeout_order() };
        frame.due.set(false);
        thread.refresh_timeout_order();
        resume_unwind(Box::new(TimeoutUnwind(frame.id, self.begin_throw(thread))));
    }
}
