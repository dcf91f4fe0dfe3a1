//! What a server and the streams of one of its connections have in common.
//!
//! A stream that a server has accepted, and each clone of it, carries a [`Handle`]. Through it the server
//! learns what happens on the connection, and can end it: whichever green thread has the stream by then,
//! and on whichever hub. A stream pays for that with one byte stored at each read and write.
//!
//! ```text
//!   Connection ◄── Handle ── GreenIo      each stream that the handler has, or has given away
//!        ▲  ▲───── Handled                the handler's green thread
//!        │  ▲───── Lingering              the last descriptor, after the handler, while the server stops
//!        └──────── Client                 the server's list of clients
//! ```
//!
//! It is over when the first three have gone. A stream that was turned into one of std's has gone, too:
//! nobody can follow it there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use evy_runtime::Remote;
use evy_runtime::io::{Direction, GreenFd, look_again};
use rustix::net::{AddressFamily, Shutdown};

use super::ledger::Ledger;
use super::lingering::{Lingering, Lingers};

/// One connection of a server.
pub(super) struct Connection {
    /// Unique in its server; later ones have higher numbers.
    number: u64,
    /// What passed last: [`READ`] or [`WRITTEN`], 0 for nothing yet; [`FRESH`], which a new one is; and
    /// [`IDLE`].
    traffic: AtomicU8,
    /// An [`Order`].
    order: AtomicU8,
    /// A reader has been told of an end that the server has made.
    was_ended: AtomicBool,
    /// Its protocol knows when it is done: a server that stops leaves that to whoever has the stream.
    finishes_itself: AtomicBool,
    /// The OS thread of the server's hub.
    home: ThreadId,
    parts: Mutex<Parts>,
    ledger: Arc<Ledger>,
}

const READ: u8 = 1;
const WRITTEN: u8 = 2;
/// Nothing has passed for as long as it takes: a read that would wait gives the end of the stream. What
/// passes takes this off again.
const IDLE: u8 = 4;
/// Each is taken off by one who looks whether something has passed since he last did.
const FRESH: u8 = FOR_TIMES | FOR_STOP;
/// That of the one that looks at the times of connections.
pub(super) const FOR_TIMES: u8 = 8;
/// That of the one that stops the server.
pub(super) const FOR_STOP: u8 = 16;

const UNIX: AddressFamily = AddressFamily::UNIX;

/// What the server has ordered for a connection; a later order is a stricter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    None,
    /// A read that would wait gives the end of the stream, if the peer has had an answer to what it has
    /// sent so far.
    EndWhenAnswered,
    /// Too quiet, or too old: every call fails.
    TimedOut,
    /// The time to stop is over: every call fails.
    Stopped,
}

impl Order {
    fn of(number: u8) -> Self {
        let all = [Self::None, Self::EndWhenAnswered, Self::TimedOut, Self::Stopped];
        all[usize::from(number)]
    }
}

/// Who keeps a connection going.
struct Parts {
    /// Its handler runs, or will.
    handled: bool,
    /// Its last descriptor is read to the end.
    lingers: bool,
    /// The descriptors of its streams, all of them open: each is taken out before it is closed.
    first: Option<RawFd>,
    /// Further ones, for there is rarely more than one.
    more: Vec<RawFd>,
    /// Hubs where a reader may wait, beside the server's own.
    hubs: Vec<(ThreadId, Remote)>,
}

impl Connection {
    /// One whose handler will run, with its first handle and what stands for the handler.
    pub(super) fn open(number: u64, ledger: &Arc<Ledger>, fd: RawFd) -> (Handled, Handle) {
        ledger.entered();
        let parts = Parts {
            handled: true,
            lingers: false,
            first: Some(fd),
            more: Vec::new(),
            hubs: Vec::new(),
        };
        let connection = Arc::new(Self {
            number,
            traffic: AtomicU8::new(FRESH),
            order: AtomicU8::new(Order::None as u8),
            was_ended: AtomicBool::new(false),
            finishes_itself: AtomicBool::new(false),
            home: thread::current().id(),
            parts: Mutex::new(parts),
            ledger: Arc::clone(ledger),
        });
        (Handled { connection: Arc::clone(&connection) }, Handle { connection, fd: Some(fd) })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn ordered(&self) -> Order {
        Order::of(self.order.load(SeqCst))
    }

    /// Whether an error of the handler comes of what the server has done to the connection.
    pub(super) fn explains(&self, error: &io::Error) -> bool {
        let cut_off = self.was_ended.load(Relaxed) && error.kind() == io::ErrorKind::UnexpectedEof;
        cut_off || self.ordered() >= Order::TimedOut
    }

    pub(super) fn finishes_itself(&self) -> bool {
        self.finishes_itself.load(Relaxed)
    }

    /// Whether something has passed since the last call for the same purpose.
    pub(super) fn take_fresh(&self, purpose: u8) -> bool {
        self.traffic.load(Relaxed) & purpose != 0
            && self.traffic.fetch_and(!purpose, Relaxed) & purpose != 0
    }

    pub(super) fn has_been_silent(&self) -> bool {
        self.traffic.load(Relaxed) & (READ | WRITTEN) == 0
    }

    /// Whether the last thing that passed was something from us.
    pub(super) fn is_answered(&self) -> bool {
        self.traffic.load(Relaxed) & WRITTEN != 0
    }

    /// Whether the handler runs, or somebody else has a stream of it.
    pub(super) fn is_in_use(&self) -> bool {
        let parts = self.parts();
        parts.handled || parts.first.is_some()
    }

    /// Whether what the peer has sent is here, and not on its way.
    pub(super) fn has_no_way_to_go(&self) -> bool {
        let parts = self.parts();
        let Some(fd) = parts.first else { return false };
        // SAFETY: it is open while it is in the list, and taken out under the lock that is held.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        matches!(rustix::net::getsockname(fd), Ok(address) if address.address_family() == UNIX)
    }

    /// Whether nobody is left, or a reader has been told of an end that the server has made.
    pub(super) fn has_ended(&self) -> bool {
        self.was_ended.load(Relaxed) || !self.is_in_use()
    }

    /// Ends the connection, if nothing has passed since the last look of the one that stops the server: a
    /// read that waits gives the end of the stream, and a later one does if nothing passes until then.
    pub(super) fn end_if_idle(&self) {
        let idle = |traffic| (traffic & FOR_STOP == 0).then_some(traffic | IDLE);
        if self.traffic.fetch_update(SeqCst, Relaxed, idle).is_ok() {
            self.wake_readers();
        }
    }

    /// Gives an order, and sees to it that whoever waits on the connection learns of it.
    pub(super) fn order(&self, order: Order) {
        if self.order.fetch_max(order as u8, SeqCst) >= order as u8 {
            return;
        }
        match order {
            Order::TimedOut | Order::Stopped => self.shut_down(),
            Order::None | Order::EndWhenAnswered => self.wake_readers(),
        }
    }

    /// Has whoever waits in a read look again. Who comes later reads first what is ordered.
    fn wake_readers(&self) {
        let (fds, hubs) = {
            let parts = self.parts();
            let fds: Vec<RawFd> = parts.fds().collect();
            let hubs: Vec<Remote> = parts.hubs.iter().map(|(_, hub)| hub.clone()).collect();
            (fds, hubs)
        };
        for hub in hubs {
            let fds = fds.clone();
            let told = hub.spawn(move || look_again_at(&fds));
            drop(told);
        }
        look_again_at(&fds);
    }

    /// Ends the connection in the system, which wakes everybody on every hub.
    fn shut_down(&self) {
        let parts = self.parts();
        if let Some(fd) = parts.first {
            // SAFETY: it is open while it is in the list, and taken out under the lock that is held.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            // One that the peer has reset has woken everybody already.
            let _ = rustix::net::shutdown(fd, Shutdown::Both);
        }
    }

    /// A read gave nothing: says what the reader is to be told.
    #[cold]
    fn after_nothing(&self, result: io::Result<usize>) -> io::Result<usize> {
        let would_wait = is_would_block(&result);
        if would_wait {
            // In this order: who orders the end later finds the hub in the list.
            self.note_hub();
        }
        match self.ordered() {
            ended @ (Order::TimedOut | Order::Stopped) => Err(ended_by(ended)),
            order if would_wait && self.is_to_end(order) => self.end(),
            Order::None | Order::EndWhenAnswered => result,
        }
    }

    /// Whether a read that would wait is told of the end.
    fn is_to_end(&self, order: Order) -> bool {
        // Once told, always told, whatever was written after it.
        self.was_ended.load(Relaxed)
            || self.traffic.load(SeqCst) & IDLE != 0
            || order == Order::EndWhenAnswered && self.is_answered()
    }

    fn end(&self) -> io::Result<usize> {
        self.was_ended.store(true, Relaxed);
        Ok(0)
    }

    #[cold]
    fn after_failure(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock {
            // The wait registers both directions here: a later read may wait without another call.
            self.note_hub();
        }
        match self.ordered() {
            ended @ (Order::TimedOut | Order::Stopped) => ended_by(ended),
            _ => error,
        }
    }

    /// Somebody is about to wait on this hub.
    fn note_hub(&self) {
        let here = thread::current().id();
        if here == self.home {
            return;
        }
        let mut parts = self.parts();
        if parts.hubs.iter().all(|(hub, _)| *hub != here) {
            parts.hubs.push((here, Remote::current()));
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes who keeps it going, and says so where that was the last.
    fn change<R>(&self, change: impl FnOnce(&mut Parts) -> R) -> R {
        let mut parts = self.parts();
        let result = change(&mut parts);
        let is_over = parts.is_over();
        drop(parts);
        if is_over {
            self.ledger.left(self.number);
        }
        result
    }
}

impl Lingers for Connection {
    fn has_lingered(&self) {
        self.change(|parts| parts.lingers = false);
    }
}

impl Parts {
    fn fds(&self) -> impl Iterator<Item = RawFd> {
        self.first.iter().chain(&self.more).copied()
    }

    fn add(&mut self, fd: RawFd) {
        match self.first {
            None => self.first = Some(fd),
            Some(_) => self.more.push(fd),
        }
    }

    fn remove(&mut self, fd: RawFd) {
        if self.first == Some(fd) {
            self.first = self.more.pop();
        } else {
            self.more.retain(|other| *other != fd);
        }
    }

    fn is_over(&self) -> bool {
        !self.handled && !self.lingers && self.first.is_none()
    }
}

fn look_again_at(fds: &[RawFd]) {
    for fd in fds {
        look_again(*fd, Direction::Read);
    }
}

fn is_would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn ended_by(order: Order) -> io::Error {
    match order {
        Order::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "the server gives this connection no more time")
        }
        _ => io::Error::new(io::ErrorKind::NotConnected, "the server has stopped"),
    }
}

/// A stream's part in the connection that it belongs to.
pub(crate) struct Handle {
    connection: Arc<Connection>,
    /// The stream's descriptor; `None` once the connection has forgotten it.
    fd: Option<RawFd>,
}

impl Handle {
    /// Whether it is whoever has the stream who ends the connection when the server stops, and lingers
    /// where that is needed.
    pub(crate) fn finish_itself(&self, itself: bool) {
        self.connection.finishes_itself.store(itself, Relaxed);
    }

    /// What a read from the stream gives, and a note of it. `None`: no server has accepted the stream.
    #[inline]
    pub(crate) fn after_read(
        handle: Option<&Self>,
        result: io::Result<usize>,
    ) -> io::Result<usize> {
        let Some(Self { connection, .. }) = handle else { return result };
        match result {
            Ok(count) if count > 0 => {
                connection.traffic.store(READ | FRESH, Relaxed);
                Ok(count)
            }
            nothing => connection.after_nothing(nothing),
        }
    }

    /// What a write to the stream gives, and a note of it.
    #[inline]
    pub(crate) fn after_write(
        handle: Option<&Self>,
        result: io::Result<usize>,
    ) -> io::Result<usize> {
        let Some(Self { connection, .. }) = handle else { return result };
        match result {
            Ok(0) => Ok(0),
            Ok(count) => {
                connection.traffic.store(WRITTEN | FRESH, Relaxed);
                Ok(count)
            }
            Err(error) => Err(connection.after_failure(error)),
        }
    }

    /// Whether the stream may end without an event: then no read may be left out because it would only
    /// have said that nothing is there.
    #[inline]
    pub(crate) fn hides_the_end(handle: Option<&Self>) -> bool {
        handle.is_some_and(|Self { connection, .. }| {
            connection.order.load(Relaxed) != Order::None as u8
                || connection.traffic.load(Relaxed) & IDLE != 0
        })
    }

    /// The part of a clone that has this descriptor.
    pub(crate) fn for_clone(&self, fd: BorrowedFd<'_>) -> Self {
        let fd = fd.as_raw_fd();
        self.connection.change(|parts| parts.add(fd));
        Self { connection: Arc::clone(&self.connection), fd: Some(fd) }
    }

    /// The stream is dropped: takes the descriptor, if nobody else has the connection and the server
    /// stops. To close it then could reset the connection before the peer has read its answer.
    pub(crate) fn leave(mut self, fd: &mut GreenFd) {
        let Some(number) = self.fd.take() else { return };
        let connection = &self.connection;
        let lingers = connection.change(|parts| {
            parts.remove(number);
            let is_well = connection.ordered() < Order::TimedOut && !connection.finishes_itself();
            if parts.first.is_none() && is_well && connection.ledger.is_stopping() {
                parts.lingers = true;
            }
            parts.lingers && parts.first.is_none()
        });
        if lingers && let Some(fd) = fd.take_fd() {
            let ledger = Arc::clone(&connection.ledger);
            // Given back where the server has stopped meanwhile: it is closed here.
            drop(ledger.linger(Lingering::new(fd, Arc::clone(connection))));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.connection.change(|parts| parts.remove(fd));
        }
    }
}

/// Stands for the handler: the connection is not over before this is dropped.
pub(super) struct Handled {
    connection: Arc<Connection>,
}

impl Handled {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.connection.change(|parts| parts.handled = false);
    }
}
