//! Descriptors that park: the one door from sockets to the hub.
//!
//! A call is tried first; only `WouldBlock` parks. [`GreenFd`] is a descriptor of ours, registered
//! once with the hub of the OS thread where somebody first had to wait for it (its *owner*); there
//! the hub's readiness bits tell which calls need not be tried. On any other OS thread, and for
//! descriptors that others own ([`wait_readable`]), a one-shot registration lasts as long as the wait.
//!
//! ```text
//!   on the owner hub                                   elsewhere
//!   bit clear? ── wait ──┐                             call ── WouldBlock ── wait, one-shot ── again
//!   clear the bit        │ event sets the bit
//!   call ── Ok: set the bit, unless the call drained it
//!        └─ WouldBlock: wait ◄┘
//! ```
//!
//! The bit is cleared before the call, never after: an event that comes during the call stays.
//!
//! [`Interest`] does the same for futures: what would park is pending.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::panicking;
use std::time::{Duration, Instant};

pub use evy_hub::{Company, Direction};
use evy_hub::{Owner, Readiness, Remote, SourceKey};

use crate::bell::Bell;
use crate::bells;
use crate::control::{Thread, Wake};
use crate::deadlock;
pub use crate::interest::Interest;
use crate::park::{Reason, park_until};
#[doc(hidden)]
pub use crate::pump::Step;
use crate::scheduler::{Scheduler, Unwinding, current_scheduler, scheduler, try_scheduler};
use crate::select::Selection;

/// A non-blocking descriptor whose calls park the green thread where they would block.
///
/// It is `Send` and `Sync`; dropped, it is deregistered and then closed, on whichever OS thread.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use evy_runtime::io::{Attempt, Direction, GreenFd};
///
/// let (mut ours, theirs) = UnixStream::pair()?;
/// theirs.set_nonblocking(true)?;
/// let green = GreenFd::new(theirs.try_clone()?.into());
/// let reader = evy_runtime::spawn(move || {
///     let mut buffer = [0; 8];
///     green.call(Attempt::new(Direction::Read), |_| (&theirs).read(&mut buffer))
/// });
/// evy_runtime::yield_now();
/// ours.write_all(b"hello")?;
/// assert_eq!(reader.wait().unwrap()?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct GreenFd {
    /// `None` only while it is being dropped.
    fd: Option<OwnedFd>,
    /// Set at the first wait, for good.
    registration: OnceLock<Registration>,
    closed: AtomicBool,
}

/// A descriptor's place in its owner hub.
#[derive(Debug)]
struct Registration {
    hub: Arc<Remote>,
    key: SourceKey,
}

/// How a call on a [`GreenFd`] is made.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::io::{Attempt, Company, Direction};
///
/// let timeout = Some(Duration::from_secs(5));
/// let attempt = Attempt { timeout, ..Attempt::new(Direction::Read) };
/// assert_eq!(attempt.company, Company::Alone);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What has to be ready for it.
    pub direction: Direction,
    /// Whether others may wait for the same at the same time.
    pub company: Company,
    /// How long it may wait altogether; `None` is for ever.
    pub timeout: Option<Duration>,
}

impl Attempt {
    /// One that waits alone and for ever.
    ///
    /// ```
    /// use evy_runtime::io::{Attempt, Direction};
    ///
    /// assert_eq!(Attempt::new(Direction::Write).timeout, None);
    /// ```
    pub const fn new(direction: Direction) -> Self {
        Self { direction, company: Company::Alone, timeout: None }
    }
}

/// What is known of a descriptor before a call.
pub(crate) enum Known {
    /// This is the owner hub.
    Here(SourceKey),
    /// Nobody had to wait for it yet.
    Unregistered,
    /// Another hub owns it.
    Elsewhere,
}

impl GreenFd {
    /// Wraps a descriptor, which the caller has made non-blocking.
    ///
    /// ```
    /// let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// socket.set_nonblocking(true)?;
    /// let green = evy_runtime::io::GreenFd::new(socket.into());
    /// assert!(!green.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd: Some(fd), registration: OnceLock::new(), closed: AtomicBool::new(false) }
    }

    /// Takes the descriptor out, deregistered and still non-blocking.
    ///
    /// ```
    /// use std::os::fd::{AsRawFd, OwnedFd};
    /// use evy_runtime::io::GreenFd;
    ///
    /// let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # socket.set_nonblocking(true)?;
    /// let number = socket.as_raw_fd();
    /// let fd: OwnedFd = GreenFd::new(socket.into()).into_fd();
    /// assert_eq!(fd.as_raw_fd(), number);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_fd(mut self) -> OwnedFd {
        self.take_fd().expect("it is there until the drop")
    }

    /// [`into_fd`](Self::into_fd) for the destructor of what the descriptor is a part of. Only the drop
    /// may come after it; a second time gives `None`.
    ///
    /// ```
    /// # use evy_runtime::io::GreenFd;
    /// struct Log(GreenFd);
    ///
    /// impl Drop for Log {
    ///     fn drop(&mut self) {
    ///         let fd = self.0.take_fd().expect("nobody has taken it");
    ///         evy_runtime::spawn_n(move || drop(fd)); // it is closed later
    ///     }
    /// }
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # socket.set_nonblocking(true)?;
    /// # drop(Log(GreenFd::new(socket.into())));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_fd(&mut self) -> Option<OwnedFd> {
        let fd = self.fd.take()?;
        if let Some(registration) = self.registration.get() {
            registration.end(&fd);
        }
        Some(fd)
    }

    /// Whether [`close`](Self::close) was called.
    ///
    /// ```
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # socket.set_nonblocking(true)?;
    /// # let green = evy_runtime::io::GreenFd::new(socket.into());
    /// green.close(|_| ());
    /// assert!(green.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Makes this and every later call fail, also those that are parked. `shut_down` is called once,
    /// to tell the peer and the hubs of other OS threads; the descriptor stays open until the drop.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::net::Shutdown;
    /// use evy_runtime::io::{Attempt, Direction};
    ///
    /// # let (socket, mut peer) = std::os::unix::net::UnixStream::pair()?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.set_nonblocking(true)?;
    /// # let green = evy_runtime::io::GreenFd::new(socket.try_clone()?.into());
    /// green.close(|_| drop(socket.shutdown(Shutdown::Both)));
    /// let error = green.call(Attempt::new(Direction::Read), |_| Ok(())).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotConnected);
    /// assert_eq!(peer.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self, shut_down: impl FnOnce(BorrowedFd<'_>)) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        shut_down(self.as_fd());
        let Some(scheduler) = current_scheduler() else { return };
        if let Known::Here(key) = self.known_to(scheduler) {
            // Who is woken finds it closed; in a line, who leaves wakes the next.
            let both = Readiness::READABLE | Readiness::WRITABLE;
            scheduler.hub.borrow_mut().set_readiness(key, both);
            for direction in Direction::BOTH {
                wake_first(scheduler, key, direction);
            }
        }
    }

    /// Makes `call` until it gives something else than `WouldBlock`, parking in between.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    /// use evy_runtime::io::{Attempt, Direction};
    ///
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # socket.set_nonblocking(true)?;
    /// # let green = evy_runtime::io::GreenFd::new(socket.try_clone()?.into());
    /// let timeout = Some(Duration::from_millis(1));
    /// let attempt = Attempt { timeout, ..Attempt::new(Direction::Read) };
    /// let error = green.call(attempt, |_| (&socket).read(&mut [0; 8])).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `call` gives; `TimedOut` when the time is over; `NotConnected` after
    /// [`close`](Self::close); `ResourceBusy` when another green thread waits for the same direction
    /// and the attempt is not for company; `WouldBlock` where it would have to park while the green
    /// thread unwinds.
    ///
    /// # Yields
    ///
    /// While it would block, and every 128th call that did not; earlier where [`count_bytes`] adds to them.
    #[inline]
    pub fn call<T>(
        &self,
        attempt: Attempt,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call_draining(attempt, call, |_| false)
    }

    /// [`call`](Self::call), where `drained` tells from a result that the next call would block: a
    /// short read from a TCP stream, and nothing else. The hub does not believe it where the peer's
    /// end, an error or urgent data was reported.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use evy_runtime::io::{Attempt, Direction};
    ///
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let mut peer = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (socket, _) = listener.accept()?;
    /// # socket.set_nonblocking(true)?;
    /// # let green = evy_runtime::io::GreenFd::new(socket.try_clone()?.into());
    /// peer.write_all(b"hello")?;
    /// let mut buffer = [0; 8];
    /// let read = |_: std::os::fd::BorrowedFd<'_>| (&socket).read(&mut buffer);
    /// let count = green.call_draining(Attempt::new(Direction::Read), read, |count| *count < 8)?;
    /// assert_eq!(count, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Yields
    ///
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_draining<T>(
        &self,
        attempt: Attempt,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        let scheduler = try_scheduler()?;
        scheduler.count_operation();
        let mut turn = Turn::new(attempt);
        loop {
            if self.is_closed() {
                return Err(closed());
            }
            let known = self.known_to(scheduler);
            if let Known::Here(key) = known {
                if !turn.may_call(scheduler, key) {
                    self.wait_here(scheduler, key, &mut turn)?;
                    continue;
                }
                let bit = attempt.direction.bit();
                scheduler.hub.borrow_mut().clear_readiness(key, bit);
                let result = call(self.as_fd());
                match settle(scheduler, key, bit, result, &drained) {
                    Some(result) => return result,
                    None => continue,
                }
            }
            match call(self.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match known {
                    Known::Unregistered => self.register(scheduler, attempt.direction)?,
                    _ => self.wait_elsewhere(scheduler, &mut turn)?,
                },
                result => return result,
            }
        }
    }

    pub(crate) fn reason(&self, direction: Direction) -> Reason {
        match direction {
            Direction::Read => Reason::read(self.as_fd()),
            Direction::Write => Reason::write(self.as_fd()),
        }
    }

    #[inline]
    pub(crate) fn known_to(&self, scheduler: &Scheduler) -> Known {
        match self.registration.get() {
            None => Known::Unregistered,
            Some(registration) => {
                let is_here = Arc::ptr_eq(&registration.hub, scheduler.remote());
                if is_here { Known::Here(registration.key) } else { Known::Elsewhere }
            }
        }
    }

    /// Registers with this OS thread's hub, for good. The direction that just would have blocked
    /// starts as not ready: the registration itself makes the OS report what is.
    #[cold]
    pub(crate) fn register(&self, scheduler: &Scheduler, blocked: Direction) -> io::Result<()> {
        let mut hub = scheduler.hub.borrow_mut();
        let key = hub.register(self.as_fd())?;
        hub.set_readiness(key, Readiness::READABLE | Readiness::WRITABLE);
        hub.clear_readiness(key, blocked.bit());
        let registration = Registration { hub: Arc::clone(hub.remote()), key };
        if self.registration.set(registration).is_err() {
            // Another OS thread was faster: its hub is the owner.
            hub.deregister(key);
        }
        Ok(())
    }

    /// Waits on the owner hub.
    pub(crate) fn wait_here<'a>(
        &self,
        scheduler: &'a Scheduler,
        key: SourceKey,
        turn: &mut Turn<'a>,
    ) -> io::Result<()> {
        let thread = scheduler.current();
        let Attempt { direction, company, .. } = turn.attempt;
        if panicking() && scheduler.unwinding(thread) == Unwinding::Yes {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let deadline = turn.deadline(scheduler);
        let place = match turn.place.take() {
            Some(place) => place,
            None => stand_in_line(scheduler, thread, key, turn.attempt)?,
        };
        if park_until(scheduler, thread, self.reason(direction), deadline) == Wake::Deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if company == Company::Queue {
            turn.place = Some(place);
        }
        Ok(())
    }

    /// Waits with a one-shot registration in this OS thread's hub.
    #[cold]
    fn wait_elsewhere(&self, scheduler: &Scheduler, turn: &mut Turn<'_>) -> io::Result<()> {
        let deadline = turn.deadline(scheduler);
        wait_one_shot(scheduler, self.as_fd(), turn.attempt.direction, deadline)
    }
}

/// One call's way through a [`GreenFd`].
pub(crate) struct Turn<'a> {
    attempt: Attempt,
    /// Read from the clock at the first wait; `Some(None)` is never.
    deadline: Option<Option<u64>>,
    /// In a queue: it stands first in line, and stays there until the call is over.
    place: Option<Place<'a>>,
}

impl Turn<'_> {
    pub(crate) fn new(attempt: Attempt) -> Self {
        Self { attempt, deadline: None, place: None }
    }

    fn deadline(&mut self, scheduler: &Scheduler) -> Option<u64> {
        let timeout = self.attempt.timeout;
        *self
            .deadline
            .get_or_insert_with(|| timeout.and_then(|timeout| scheduler.clock().after(timeout)))
    }

    /// Whether the call is worth a try: the OS has reported something, and nobody came earlier.
    #[inline]
    fn may_call(&self, scheduler: &Scheduler, key: SourceKey) -> bool {
        let hub = scheduler.hub.borrow();
        let Attempt { direction, company, .. } = self.attempt;
        hub.readiness(key).intersects(direction.bit())
            && (company == Company::Alone
                || self.place.is_some()
                || hub.first_waiter(key, direction).is_none())
    }
}

/// Enters the line, if nobody stands in the way of it.
#[inline]
pub(crate) fn stand_in_line<'a>(
    scheduler: &'a Scheduler,
    thread: Thread,
    key: SourceKey,
    attempt: Attempt,
) -> io::Result<Place<'a>> {
    let Attempt { direction, company, .. } = attempt;
    loop {
        let waiting = scheduler.hub.borrow_mut().wait(key, direction, thread.owner(), company);
        let Err(busy) = waiting else { return Ok(Place { scheduler, key, direction, thread }) };
        if !scheduler.bells.give_way(scheduler, busy.holder, thread) {
            let second = deadlock::describe(thread);
            return Err(already_waiting(scheduler, busy.holder, &second, direction));
        }
    }
}

/// Somebody has left the line: what is ready may have been meant for him, so the next is told.
#[inline]
pub(crate) fn invite_next(scheduler: &Scheduler, key: SourceKey, direction: Direction) {
    let hub = scheduler.hub.borrow();
    if hub.first_waiter(key, direction).is_some() && hub.readiness(key).intersects(direction.bit())
    {
        drop(hub);
        wake_first(scheduler, key, direction);
    }
}

fn wake_first(scheduler: &Scheduler, key: SourceKey, direction: Direction) {
    let first = scheduler.hub.borrow().first_waiter(key, direction);
    if let Some(owner) = first {
        scheduler.wake_owner(owner);
        scheduler.bells.tidy(scheduler);
    }
}

/// Tells who stands second in the line, which may be one that only waits until the descriptor is ready.
#[inline]
pub(crate) fn wake_second(scheduler: &Scheduler, key: SourceKey, direction: Direction) {
    let second = scheduler.hub.borrow().second_waiter(key, direction);
    if let Some(owner) = second {
        scheduler.wake_owner(owner);
        scheduler.bells.tidy(scheduler);
    }
}

/// Puts the bit back as the result of the call tells; `None`: it would have blocked, or has to be
/// made again.
#[inline]
pub(crate) fn settle<T>(
    scheduler: &Scheduler,
    key: SourceKey,
    bit: Readiness,
    result: io::Result<T>,
    drained: impl Fn(&T) -> bool,
) -> Option<io::Result<T>> {
    let mut hub = scheduler.hub.borrow_mut();
    match result {
        Ok(value) => {
            let unsure = Readiness::URGENT | Readiness::HANGUP;
            if !drained(&value) || hub.readiness(key).intersects(unsure) {
                hub.set_readiness(key, bit);
            }
            Some(Ok(value))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            // What lay behind the urgent mark has been read.
            hub.clear_readiness(key, Readiness::URGENT);
            None
        }
        Err(error) => {
            hub.set_readiness(key, bit);
            (error.kind() != io::ErrorKind::Interrupted).then_some(Err(error))
        }
    }
}

/// A place in the line for a descriptor, left however the wait or the call ends: by its success, an
/// error, a close or an unwind.
pub(crate) struct Place<'a> {
    scheduler: &'a Scheduler,
    key: SourceKey,
    direction: Direction,
    thread: Thread,
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        let Self { scheduler, key, direction, thread } = *self;
        scheduler.hub.borrow_mut().unwait(key, direction, thread.owner());
        invite_next(scheduler, key, direction);
    }
}

impl Registration {
    fn end(&self, fd: &OwnedFd) {
        match current_scheduler() {
            Some(scheduler) if Arc::ptr_eq(&self.hub, scheduler.remote()) => {
                scheduler.hub.borrow_mut().deregister(self.key);
            }
            _ => self.hub.forget(self.key, fd.as_fd()),
        }
    }
}

impl Drop for GreenFd {
    fn drop(&mut self) {
        // Deregistered before it is closed: the number is reused at once.
        if let Some(fd) = self.take_fd() {
            drop(fd);
            CLOSED.ring();
        }
    }
}

/// Rung when a [`GreenFd`] was closed.
static CLOSED: Bell = Bell::new();

/// Rings whenever a [`GreenFd`] of this process was closed, on whichever OS thread: for who has run out
/// of descriptors. Those that others open and close ring no bell.
///
/// ```
/// use evy_runtime::Reason;
/// use evy_runtime::io::{GreenFd, closed_descriptors};
///
/// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
/// # socket.set_nonblocking(true)?;
/// let green = GreenFd::new(socket.into());
/// let listening = closed_descriptors().listen();
/// drop(green);
/// listening.wait(Reason::new(&"a free descriptor"), None).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Yields
///
/// Never.
pub fn closed_descriptors() -> &'static Bell {
    &CLOSED
}

/// Has the green threads of this OS thread that wait for `direction` of a descriptor make their calls
/// again, and the next call be made even where the hub knows that it would block: for who has changed
/// what the calls give, unseen by the OS. Any number may be given: one that nobody waits for, or that is
/// another's by now, costs its owner one call.
///
/// ```
/// use std::cell::Cell;
/// use std::io::ErrorKind;
/// use std::os::fd::AsRawFd;
/// use std::rc::Rc;
/// use evy_runtime::io::{Attempt, Direction, GreenFd, look_again};
///
/// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
/// # socket.set_nonblocking(true)?;
/// let number = socket.as_raw_fd();
/// let green = GreenFd::new(socket.into());
/// let is_over = Rc::new(Cell::new(false));
/// let reader = evy_runtime::spawn({
///     let is_over = Rc::clone(&is_over);
///     move || {
///         green.call(Attempt::new(Direction::Read), |_| {
///             if is_over.get() { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) }
///         })
///     }
/// });
/// evy_runtime::yield_now();
/// is_over.set(true);
/// look_again(number, Direction::Read);
/// assert_eq!(reader.wait().unwrap()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Yields
///
/// Never.
pub fn look_again(fd: RawFd, direction: Direction) {
    let Some(scheduler) = current_scheduler() else { return };
    let mut hub = scheduler.hub.borrow_mut();
    let Some(key) = hub.find(fd) else { return };
    hub.set_readiness(key, direction.bit());
    drop(hub);
    // Who leaves the line wakes the next.
    wake_first(scheduler, key, direction);
}

impl AsFd for GreenFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("it is there until the drop").as_fd()
    }
}

impl fmt::Debug for GreenFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenFd")
            .field("fd", &self.as_fd().as_raw_fd())
            .field("closed", &self.is_closed())
            .finish()
    }
}

pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this socket was closed by a green thread")
}

/// `second` is who comes to where `holder` waits.
#[cold]
pub(crate) fn already_waiting(
    scheduler: &Scheduler,
    holder: Owner,
    second: &str,
    direction: Direction,
) -> io::Error {
    let first = if bells::is_bell(holder) {
        scheduler.bells.describe(scheduler, holder)
    } else {
        // SAFETY: whoever waits leaves the line before it goes on.
        deadlock::describe(unsafe { Thread::from_owner(holder.0) })
    };
    let what = match direction {
        Direction::Read => "read from",
        Direction::Write => "write to",
    };
    let text = format!("two green threads {what} one socket at the same time: {first}; {second}");
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// Waits until a descriptor that somebody else owns is readable, or until `deadline`.
///
/// For descriptors of other libraries, blocking or not. Any number of green threads may wait for one.
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// evy_runtime::spawn_n(move || theirs.write_all(b"x"));
/// evy_runtime::wait_readable(&ours, None)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `TimedOut` at the deadline; `PermissionDenied` for a descriptor that cannot be waited for (but a
/// regular file is always ready, as for poll(2)); `WouldBlock` while the green thread unwinds.
///
/// # Yields
///
/// Until the descriptor is ready; not if it is.
#[doc(alias = "trampoline")]
pub fn wait_readable(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<()> {
    wait_foreign(fd.as_fd(), Direction::Read, deadline)
}

/// Waits until a descriptor that somebody else owns is writable, or until `deadline`.
///
/// ```
/// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
/// evy_runtime::wait_writable(&ours, None)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As [`wait_readable`].
///
/// # Yields
///
/// As [`wait_readable`].
#[doc(alias = "trampoline")]
pub fn wait_writable(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<()> {
    wait_foreign(fd.as_fd(), Direction::Write, deadline)
}

fn wait_foreign(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let scheduler = try_scheduler()?;
    scheduler.count_operation();
    if poll_once(fd, direction)? {
        return Ok(());
    }
    let deadline = deadline.map(|deadline| scheduler.clock().at(deadline));
    wait_one_shot(scheduler, fd, direction, deadline)
}

/// One look by poll(2), without waiting.
fn poll_once(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    loop {
        // SAFETY: one entry, ours during the call.
        match unsafe { libc::poll(&raw mut entry, 1, 0) } {
            0 => return Ok(false),
            1 => return Ok(true),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

fn wait_one_shot(
    scheduler: &Scheduler,
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<u64>,
) -> io::Result<()> {
    let thread = scheduler.current();
    let _waiting = OneShot::new(scheduler, thread, fd, direction)?;
    let reason = match direction {
        Direction::Read => Reason::read(fd),
        Direction::Write => Reason::write(fd),
    };
    match park_until(scheduler, thread, reason, deadline) {
        Wake::Deadline => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// A green thread's place among those that wait for a descriptor of others, left however the wait ends.
pub(crate) struct OneShot<'a> {
    scheduler: &'a Scheduler,
    key: SourceKey,
    direction: Direction,
    owner: Owner,
}

impl<'a> OneShot<'a> {
    pub(crate) fn new(
        scheduler: &'a Scheduler,
        thread: Thread,
        fd: BorrowedFd<'_>,
        direction: Direction,
    ) -> io::Result<Self> {
        if scheduler.unwinding(thread) == Unwinding::Yes {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let owner = thread.owner();
        let key = scheduler.hub.borrow_mut().wait_foreign(fd, direction, owner)?;
        Ok(Self { scheduler, key, direction, owner })
    }
}

impl Drop for OneShot<'_> {
    fn drop(&mut self) {
        let Self { scheduler, key, direction, owner } = *self;
        scheduler.hub.borrow_mut().unwait_foreign(key, direction, owner);
        // It may have waited in the line of a green socket.
        invite_next(scheduler, key, direction);
    }
}

/// Whether a descriptor is ready now, by one look that does not wait.
///
/// ```
/// use evy_runtime::io::{Direction, is_ready};
///
/// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
/// assert!(is_ready(&ours, Direction::Write)?);
/// assert!(!is_ready(&ours, Direction::Read)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of poll(2); none for an open descriptor.
///
/// # Yields
///
/// Never.
pub fn is_ready(fd: impl AsFd, direction: Direction) -> io::Result<bool> {
    poll_once(fd.as_fd(), direction)
}

/// Waits for a descriptor while `inside` runs, as one of the things that `selection` waits for:
/// [`Selection::park`] in it returns when the descriptor becomes ready. Look with [`is_ready`] before
/// and after: the wait itself decides nothing.
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
/// use evy_runtime::io::{Direction, is_ready, ready_in};
/// use evy_runtime::{Reason, Selection};
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// evy_runtime::spawn_n(move || theirs.write_all(b"x"));
/// let selection = Selection::new();
/// ready_in(&selection, &ours, Direction::Read, || {
///     selection.park(Reason::new(&"one of several things"), None).unwrap();
/// })?;
/// assert!(is_ready(&ours, Direction::Read)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As [`wait_readable`], but for `TimedOut`; `inside` has not run then.
///
/// # Panics
///
/// When another green thread calls it than the one that made the selection.
///
/// # Yields
///
/// Not by itself.
pub fn ready_in(
    selection: &Selection,
    fd: impl AsFd,
    direction: Direction,
    inside: impl FnOnce(),
) -> io::Result<()> {
    let _waiting = OneShot::new(scheduler(), selection.thread(), fd.as_fd(), direction)?;
    inside();
    Ok(())
}

/// Counts as one I/O call that did not park: for calls that are made past a [`GreenFd`], so that a
/// loop of them yields.
///
/// ```
/// for _ in 0..1000 {
///     evy_runtime::io::count();
/// }
/// ```
///
/// # Yields
///
/// Every 128th time; never on an OS thread without a hub, which has nobody to yield to.
#[inline]
pub fn count() {
    if let Some(scheduler) = current_scheduler() {
        scheduler.count_operation();
    }
}

/// Counts what an I/O call has moved, beside the call itself: every 16 KiB as one more, so that a loop of
/// large ones yields after as much work as one of small ones.
///
/// ```
/// for _ in 0..1000 {
///     evy_runtime::io::count();
///     evy_runtime::io::count_bytes(64 << 10);
/// }
/// ```
///
/// # Yields
///
/// Never: the next call does.
#[inline]
pub fn count_bytes(count: usize) {
    if count >= CALL
        && let Some(scheduler) = current_scheduler()
    {
        scheduler.count_more(count / CALL);
    }
}

/// Bytes that count as a call: over loopback they take some 400 ns longer to send and to receive than 64 do.
const CALL: usize = 16 << 10;
