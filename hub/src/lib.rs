//! The event loop under evy: one turn of it, and the keys and deadlines it knows.
//!
//! A [`Hub`] is given descriptors, deadlines, and opaque [`Owner`]s that wait for them, and hands
//! back the owners that are due. It knows nothing of green threads, never calls what it is given,
//! and can be driven by a test without a stack and without sleeping. One OS thread owns a hub; other
//! threads reach it through its [`Remote`].
//!
//! ```text
//!   Hub ─┬─ Sources   who waits for which descriptor, what the OS said of it
//!        ├─ Timers    who waits for which deadline
//!        ├─ Remote    what other threads have sent
//!        ├─ Clock     the one place that reads the clock
//!        └─ Driver    the one place that polls: epoll, or polling's Poller
//! ```
#![doc(test(attr(deny(warnings))))]

mod clock;
mod driver;
mod fork;
mod mailbox;
mod readiness;
mod remote;
mod sources;
mod spin;
mod timers;

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub use clock::Clock;
pub use driver::BATCH;
use driver::{Buffer, Driver, Mode};
pub use fork::{Generation, InChild};
pub use readiness::{Direction, Readiness};
use remote::Message;
pub use remote::Remote;
use sources::Sources;
pub use sources::{Busy, Company, SourceKey};
use spin::Spin;
pub use spin::may_spin;
pub use timers::TimerKey;
use timers::Timers;

/// Messages whose space is kept for the next ones.
const MESSAGES_KEPT: usize = 1024;

/// Whoever waits: a word that means something to the hub's user and nothing to the hub.
///
/// ```
/// let owner = evy_hub::Owner(std::num::NonZeroUsize::new(7).unwrap());
/// assert_eq!(owner.0.get(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub NonZeroUsize);

/// What a turn of the hub hands back.
///
/// ```
/// use evy_hub::{Due, Hub};
///
/// let mut hub = Hub::new()?;
/// hub.remote().wake(7);
/// let mut due = Vec::new();
/// hub.turn(false, &mut |item| due.push(item))?;
/// assert_eq!(due, [Due::Remote(7)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The descriptor that this owner waited for is ready.
    Ready(Owner),
    /// The deadline of this owner has passed.
    Deadline(Owner),
    /// Another thread sent this word by [`Remote::wake`].
    Remote(u64),
}

/// One OS thread's event loop.
///
/// ```
/// use std::num::NonZeroUsize;
/// use evy_hub::{Due, Hub, Owner};
///
/// let mut hub = Hub::new()?;
/// let owner = Owner(NonZeroUsize::new(7).unwrap());
/// hub.add_deadline(hub.clock().read() + 1_000_000, owner);
/// let mut due = Vec::new();
/// while due.is_empty() {
///     hub.turn(true, &mut |item| due.push(item))?;
/// }
/// assert_eq!(due, [Due::Deadline(owner)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Hub {
    clock: Clock,
    /// The clock's reading of the current turn.
    now: u64,
    sources: Sources,
    timers: Timers,
    remote: Arc<Remote>,
    events: Buffer,
    /// Empty between turns; its space goes back and forth between here and the mailbox.
    messages: Vec<Message>,
    spin: Spin,
    /// How often the OS was polled.
    polls: u64,
}

impl Hub {
    /// Makes a hub with the platform's driver, or with polling under `EVY_DRIVER=polling`.
    ///
    /// ```
    /// let hub = evy_hub::Hub::new()?;
    /// assert_eq!((hub.sources(), hub.deadlines()), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `epoll_create` or `kqueue`: no descriptor left, no memory.
    ///
    /// # Forks
    ///
    /// A hub belongs to the process that made it. In a child that was forked since, its turns and
    /// registrations are errors, and to end a registration or to drop the hub changes nothing for the
    /// parent.
    pub fn new() -> io::Result<Self> {
        Ok(Self::with_driver(Driver::new()?))
    }

    fn with_driver(driver: Driver) -> Self {
        let clock = Clock::new();
        let now = clock.read();
        Self {
            clock,
            now,
            sources: Sources::new(),
            timers: Timers::new(now),
            events: driver.buffer(),
            messages: Vec::new(),
            remote: Arc::new(Remote::new(driver)),
            spin: Spin::new(),
            polls: 0,
        }
    }

    /// The hub's clock.
    ///
    /// ```
    /// # let hub = evy_hub::Hub::new()?;
    /// let clock = hub.clock();
    /// assert!(clock.read() <= clock.read());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The clock's reading at the current turn: cheap, and up to a turn old.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// hub.turn(false, &mut |_| ())?;
    /// assert!(hub.now() <= hub.clock().read());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The side of this hub that other threads may use.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// hub.remote().wake(7);
    /// let mut words = Vec::new();
    /// hub.turn(false, &mut |due| words.push(due))?;
    /// assert_eq!(words, [evy_hub::Due::Remote(7)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// How many owners wait for a descriptor.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::{Company, Direction};
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.wait(key, Direction::Read, owner, Company::Alone).unwrap();
    /// assert_eq!(hub.waiting(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn waiting(&self) -> usize {
        self.sources.waiters()
    }

    /// How many descriptors are registered.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    ///
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// hub.register(socket.as_fd())?;
    /// assert_eq!(hub.sources(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// How many deadlines are pending.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// let key = hub.add_deadline(u64::MAX - 1, owner);
    /// assert_eq!(hub.deadlines(), 1);
    /// hub.cancel_deadline(key);
    /// assert_eq!(hub.deadlines(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deadlines(&self) -> usize {
        self.timers.len()
    }

    /// How many events came for a registration that was gone, and were dropped.
    ///
    /// ```
    /// let hub = evy_hub::Hub::new()?;
    /// assert_eq!(hub.stale_events(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stale_events(&self) -> u64 {
        self.sources.stale_events
    }

    /// How often the OS was polled.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// hub.turn(false, &mut |_| ())?;
    /// assert_eq!(hub.polls(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn polls(&self) -> u64 {
        self.polls
    }

    /// Makes `owner` due when the clock reads `deadline`; never earlier.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// let passed = hub.clock().read();
    /// hub.add_deadline(passed, owner);
    /// let mut due = Vec::new();
    /// hub.turn(false, &mut |item| due.push(item))?;
    /// assert_eq!(due, [evy_hub::Due::Deadline(owner)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn add_deadline(&mut self, deadline: u64, owner: Owner) -> TimerKey {
        self.timers.insert(deadline, owner)
    }

    /// Takes a deadline back. `false` if it has passed and been handed back already.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// let key = hub.add_deadline(hub.clock().read(), owner);
    /// assert!(hub.cancel_deadline(key));
    /// assert!(!hub.cancel_deadline(key));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn cancel_deadline(&mut self, key: TimerKey) -> bool {
        self.timers.cancel(key)
    }

    /// Registers `fd` for good: edge-triggered, both directions. The caller keeps it open until
    /// [`deregister`](Self::deregister).
    ///
    /// It starts with no readiness known: the registration itself makes the OS report what is ready.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use evy_hub::Readiness;
    ///
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let key = hub.register(socket.as_fd())?;
    /// hub.turn(false, &mut |_| ())?;
    /// assert!(hub.readiness(key).intersects(Readiness::WRITABLE));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl` or `kevent`: `AlreadyExists` when this number is registered,
    /// `PermissionDenied` for a regular file, out of memory.
    pub fn register(&mut self, fd: BorrowedFd<'_>) -> io::Result<SourceKey> {
        let both = Readiness::READABLE | Readiness::WRITABLE;
        let fd = fd.as_raw_fd();
        self.free_forgotten();
        let Some(key) = self.sources.find(fd).filter(|key| self.is_foreign(*key)) else {
            return self.add(fd, both, Mode::Edge);
        };
        // Somebody waits for it by `wait_foreign`: the registration becomes the socket's.
        self.remote.driver.modify(fd, key, both, Mode::Edge)?;
        self.sources.get_mut(key).expect("it was just found").mode = Mode::Edge;
        Ok(key)
    }

    fn add(&mut self, fd: RawFd, interest: Readiness, mode: Mode) -> io::Result<SourceKey> {
        let key = self.sources.insert(fd, mode);
        if let Err(error) = self.remote.driver.add(fd, key, interest, mode) {
            self.sources.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Ends a registration; the descriptor stays open.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.deregister(key);
    /// assert_eq!(hub.sources(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deregister(&mut self, key: SourceKey) {
        if let Some(source) = self.sources.remove(key) {
            self.remote.driver.delete(source.fd);
        }
    }

    /// The registration of the descriptor with this number, if it has one here: by
    /// [`register`](Self::register), or by [`wait_foreign`](Self::wait_foreign) while somebody waits.
    ///
    /// ```
    /// # use std::os::fd::{AsFd, AsRawFd};
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// assert_eq!(hub.find(socket.as_raw_fd()), None);
    /// let key = hub.register(socket.as_fd())?;
    /// assert_eq!(hub.find(socket.as_raw_fd()), Some(key));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn find(&self, fd: RawFd) -> Option<SourceKey> {
        self.sources.find(fd)
    }

    /// What is known to be ready, and not used up. Nothing for a registration that has ended.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::Readiness;
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let key = hub.register(socket.as_fd())?;
    /// assert_eq!(hub.readiness(key), Readiness::NONE);
    /// hub.set_readiness(key, Readiness::READABLE);
    /// assert_eq!(hub.readiness(key), Readiness::READABLE);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn readiness(&self, key: SourceKey) -> Readiness {
        self.sources.get(key).map_or(Readiness::NONE, |source| source.readiness)
    }

    /// Takes `used` off what is known to be ready: before the call that uses it up, so that an event
    /// that comes during the call is not lost.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::Readiness;
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.set_readiness(key, Readiness::READABLE | Readiness::WRITABLE);
    /// hub.clear_readiness(key, Readiness::READABLE);
    /// assert_eq!(hub.readiness(key), Readiness::WRITABLE);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn clear_readiness(&mut self, key: SourceKey, used: Readiness) {
        if let Some(source) = self.sources.get_mut(key) {
            source.readiness.clear(used);
        }
    }

    /// Puts back what a call did not use up.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::Readiness;
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.set_readiness(key, Readiness::READABLE);
    /// assert_eq!(hub.readiness(key), Readiness::READABLE);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn set_readiness(&mut self, key: SourceKey, unused: Readiness) {
        if let Some(source) = self.sources.get_mut(key) {
            source.readiness.set(unused);
        }
    }

    /// Makes `owner` due whenever `direction` of a registered descriptor becomes ready and it stands
    /// first in line, until it leaves by [`unwait`](Self::unwait).
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// use evy_hub::{Company, Direction, Due};
    ///
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.wait(key, Direction::Write, owner, Company::Alone).unwrap();
    /// let mut due = Vec::new();
    /// hub.turn(false, &mut |item| due.push(item))?;
    /// assert_eq!(due, [Due::Ready(owner)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Busy`] when somebody waits already and `company` is [`Company::Alone`].
    #[inline]
    pub fn wait(
        &mut self,
        key: SourceKey,
        direction: Direction,
        owner: Owner,
        company: Company,
    ) -> Result<(), Busy> {
        self.sources.wait(key, direction, owner, company)
    }

    /// Ends a wait, whether or not an event came.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::{Company, Direction};
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.wait(key, Direction::Read, owner, Company::Alone).unwrap();
    /// hub.unwait(key, Direction::Read, owner);
    /// assert_eq!(hub.waiting(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn unwait(&mut self, key: SourceKey, direction: Direction, owner: Owner) {
        self.sources.unwait(key, direction, owner);
    }

    /// Who stands first in line for a direction.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::{Company, Direction};
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// hub.wait(key, Direction::Read, owner, Company::Alone).unwrap();
    /// assert_eq!(hub.first_waiter(key, Direction::Read), Some(owner));
    /// assert_eq!(hub.first_waiter(key, Direction::Write), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn first_waiter(&self, key: SourceKey, direction: Direction) -> Option<Owner> {
        self.sources.first(key, direction)
    }

    /// Who stands second in line for a direction.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use std::num::NonZeroUsize;
    /// # use evy_hub::{Company, Direction, Owner};
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # let key = hub.register(socket.as_fd())?;
    /// let [first, second] = [4, 8].map(|n| Owner(NonZeroUsize::new(n).unwrap()));
    /// hub.wait(key, Direction::Read, first, Company::Queue).unwrap();
    /// assert_eq!(hub.second_waiter(key, Direction::Read), None);
    /// hub.wait(key, Direction::Read, second, Company::Queue).unwrap();
    /// assert_eq!(hub.second_waiter(key, Direction::Read), Some(second));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn second_waiter(&self, key: SourceKey, direction: Direction) -> Option<Owner> {
        self.sources.second(key, direction)
    }

    /// Makes `owner` due when `direction` of a descriptor that somebody else owns is ready: one
    /// one-shot registration a descriptor, for as long as somebody waits. One that a green socket
    /// registered is used as it is. The caller keeps the descriptor open until
    /// [`unwait_foreign`](Self::unwait_foreign), which every wait ends with.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use evy_hub::{Direction, Due};
    ///
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let key = hub.wait_foreign(socket.as_fd(), Direction::Write, owner)?;
    /// let mut due = Vec::new();
    /// hub.turn(false, &mut |item| due.push(item))?;
    /// assert_eq!(due, [Due::Ready(owner)]);
    /// hub.unwait_foreign(key, Direction::Write, owner);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register), but for `AlreadyExists`.
    pub fn wait_foreign(
        &mut self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        owner: Owner,
    ) -> io::Result<SourceKey> {
        // A socket that was dropped on another OS thread may have had this number.
        self.free_forgotten();
        let fd = fd.as_raw_fd();
        let (key, is_new) = match self.sources.find(fd) {
            Some(key) => (key, false),
            None => (self.add(fd, direction.bit(), Mode::Oneshot)?, true),
        };
        let accepted = self.sources.wait(key, direction, owner, Company::Queue);
        debug_assert!(accepted.is_ok(), "a queue takes everybody");
        if !is_new && let Err(error) = self.rearm(key) {
            self.sources.unwait(key, direction, owner);
            return Err(error);
        }
        Ok(key)
    }

    /// Ends a wait of [`wait_foreign`](Self::wait_foreign), whether or not an event came, and the
    /// registration with its last waiter.
    ///
    /// ```
    /// # use std::os::fd::AsFd;
    /// # use evy_hub::Direction;
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let key = hub.wait_foreign(socket.as_fd(), Direction::Write, owner)?;
    /// hub.unwait_foreign(key, Direction::Write, owner);
    /// assert_eq!((hub.sources(), hub.waiting()), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unwait_foreign(&mut self, key: SourceKey, direction: Direction, owner: Owner) {
        self.sources.unwait(key, direction, owner);
        if !self.is_foreign(key) {
            return;
        }
        // The event that ended this wait has disarmed the registration: arm it for those who stay.
        // An error leaves them waiting for their deadline; the OS gives none for a descriptor that
        // is open and registered.
        match self.sources.interest(key) {
            Readiness::NONE => self.deregister(key),
            _ => drop(self.rearm(key)),
        }
    }

    fn free_forgotten(&mut self) {
        if self.remote.mailbox.has_messages() {
            for message in self.remote.take_forgotten() {
                self.hand_over_message(message, &mut |_| ());
            }
        }
    }

    fn is_foreign(&self, key: SourceKey) -> bool {
        self.sources.get(key).is_some_and(|source| source.mode == Mode::Oneshot)
    }

    fn rearm(&mut self, key: SourceKey) -> io::Result<()> {
        let interest = self.sources.interest(key);
        match self.sources.get(key) {
            Some(source) if source.mode == Mode::Oneshot && interest != Readiness::NONE => {
                self.remote.driver.modify(source.fd, key, interest, Mode::Oneshot)
            }
            _ => Ok(()),
        }
    }

    /// One turn: polls the OS, reads the clock, and hands every owner that is due to `due`. With
    /// `block`, and when nothing is due yet, it waits for the first thing to become due. It may
    /// return without handing anything back.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// hub.add_deadline(hub.clock().read(), owner);
    /// let mut due = Vec::new();
    /// hub.turn(false, &mut |item| due.push(item))?;
    /// assert_eq!(due, [evy_hub::Due::Deadline(owner)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the OS's wait; none that a program can bring about.
    pub fn turn(&mut self, block: bool, due: &mut impl FnMut(Due)) -> io::Result<()> {
        if !block || self.remote.mailbox.has_messages() {
            return self.turn_at_most(BATCH, due);
        }
        self.poll_patiently()?;
        self.hand_over(due);
        Ok(())
    }

    /// One turn that does not wait, and that leaves more than `most` events (and 1 is the least) with the OS
    /// for the next one; deadlines and messages all come. For users of the hub who have enough to do already.
    /// With polling as the driver, which kqueue has too, a turn takes up to [`BATCH`] always.
    ///
    /// An event that is taken waits for its turn as it would in the OS, but in the OS nothing has yet been
    /// touched on its account. Where all events are taken at once, thousands of other sockets are touched
    /// between the poll that brings an event and the read that follows, which then finds nothing in the
    /// caches.
    ///
    /// ```
    /// # let mut hub = evy_hub::Hub::new()?;
    /// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
    /// hub.add_deadline(hub.clock().read(), owner);
    /// let mut due = Vec::new();
    /// hub.turn_at_most(1, &mut |item| due.push(item))?;
    /// assert_eq!(due, [evy_hub::Due::Deadline(owner)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`turn`](Self::turn).
    pub fn turn_at_most(&mut self, most: usize, due: &mut impl FnMut(Due)) -> io::Result<()> {
        self.poll(most, Some(Duration::ZERO))?;
        self.hand_over(due);
        Ok(())
    }

    /// Reads the clock, and hands over what is due.
    fn hand_over(&mut self, due: &mut impl FnMut(Due)) {
        self.now = self.clock.read();
        self.hand_over_messages(due);
        self.hand_over_events(due);
        self.timers.advance(self.now, &mut |owner| due(Due::Deadline(owner)));
    }

    fn poll(&mut self, most: usize, timeout: Option<Duration>) -> io::Result<()> {
        self.polls += 1;
        self.remote.driver.wait(&mut self.events, most, timeout)
    }

    /// Spins for a moment where that pays, then sleeps until something is due.
    fn poll_patiently(&mut self) -> io::Result<()> {
        let deadline = self.timers.next_deadline();
        let mut now = self.clock.read();
        if let Some(spin_end) = self.spin.until(now) {
            let end = deadline.map_or(spin_end, |deadline| deadline.min(spin_end));
            loop {
                self.poll(BATCH, Some(Duration::ZERO))?;
                if !self.events.is_empty() || self.remote.mailbox.has_messages() {
                    self.spin.paid();
                    return Ok(());
                }
                now = self.clock.read();
                if now >= end {
                    break;
                }
            }
            if end == spin_end {
                self.spin.failed();
            }
        }
        let timeout = deadline.map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)));
        if timeout.is_some_and(|timeout| timeout.is_zero()) || !self.remote.mailbox.fall_asleep() {
            return self.poll(BATCH, Some(Duration::ZERO));
        }
        let result = self.poll(BATCH, timeout);
        self.remote.mailbox.wake_up();
        self.spin.slept(self.clock.read() - now);
        result
    }

    fn hand_over_messages(&mut self, due: &mut impl FnMut(Due)) {
        if !self.remote.mailbox.has_messages() {
            return;
        }
        let mut messages = std::mem::take(&mut self.messages);
        self.remote.mailbox.take(&mut messages);
        for message in messages.drain(..) {
            self.hand_over_message(message, due);
        }
        messages.shrink_to(MESSAGES_KEPT);
        self.messages = messages;
    }

    fn hand_over_message(&mut self, message: Message, due: &mut impl FnMut(Due)) {
        match message {
            Message::Wake(word) => due(Due::Remote(word)),
            Message::Forget(key) => _ = self.sources.remove(key),
        }
    }

    fn hand_over_events(&mut self, due: &mut impl FnMut(Due)) {
        let Self { sources, events, .. } = self;
        events.for_each(|key, readiness| {
            sources.report(key, readiness, &mut |owner| due(Due::Ready(owner)));
        });
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.remote.end();
    }
}

#[cfg(test)]
mod tests;
