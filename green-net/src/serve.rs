//! The usual loop: a green thread for each connection.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{Builder, GreenThread, Reason, WaitList, sleep, spawn};

use crate::{TcpListener, TcpStream};

/// Connections that are served at once; at the limit it stops accepting.
const CLIENTS: usize = 1000;

/// The first pause after descriptors or memory ran out; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const CLIENT: Reason = Reason::new(&"one of the clients to leave");
const END: Reason = Reason::new(&"the end of serving");

/// What a handler returns as its error to end [`serve`] well: `Err(StopServe.into())`.
///
/// ```
/// let error: std::io::Error = evy_green_net::StopServe.into();
/// assert!(error.get_ref().unwrap().is::<evy_green_net::StopServe>());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopServe;

impl fmt::Display for StopServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler asked to stop serving")
    }
}

impl Error for StopServe {}

impl From<StopServe> for io::Error {
    fn from(stop: StopServe) -> Self {
        Self::other(stop)
    }
}

/// Serves each connection of `listener` on a green thread of its own that calls `handler`.
///
/// As in Evy, a handler's error ends it and is returned, and an error made of [`StopServe`] ends it
/// with `Ok`; handlers that are at work go on either way. A handler's panic is reported and ends that
/// connection alone. At most 1,000 connections are served at once; more wait to be accepted. Where
/// descriptors or memory run out it pauses, 5 ms to 1 s, and goes on.
///
/// ```
/// use std::io::Write;
/// use evy_green_net::{StopServe, connect, listen, serve};
///
/// let listener = listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// evy_runtime::spawn_n(move || connect(address));
/// serve(listener, |mut client, _| {
///     client.write_all(b"goodbye")?;
///     Err(StopServe.into())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The first handler's error, or one of `accept` that no pause mends.
///
/// # Yields
///
/// Until it ends.
pub fn serve(
    listener: TcpListener,
    handler: impl Fn(TcpStream, SocketAddr) -> io::Result<()> + 'static,
) -> io::Result<()> {
    let service = Rc::new(Service {
        handler,
        clients: Cell::new(0),
        room: WaitList::new(),
        outcome: RefCell::new(None),
        ended: WaitList::new(),
    });
    let acceptor = spawn({
        let service = Rc::clone(&service);
        move || {
            let error = service.accept_all(&listener);
            service.end(Err(error));
        }
    });
    let _acceptor = KillOnDrop(acceptor);
    if service.outcome.borrow().is_none() {
        // Woken once and for good: there is nothing to pass on.
        let woken = service.ended.wait(END, None, || ());
        debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
    }
    let outcome = service.outcome.take();
    outcome.expect("the end comes with an outcome")
}

/// Ends the accept loop however `serve` ends.
struct KillOnDrop(GreenThread<()>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}

struct Service<H> {
    handler: H,
    /// Connections that are being served.
    clients: Cell<usize>,
    /// Where the accept loop waits at the limit.
    room: WaitList,
    /// Set once, by whoever ends it.
    outcome: RefCell<Option<io::Result<()>>>,
    ended: WaitList,
}

impl<H: Fn(TcpStream, SocketAddr) -> io::Result<()> + 'static> Service<H> {
    /// Accepts until that fails for good.
    fn accept_all(self: &Rc<Self>, listener: &TcpListener) -> io::Error {
        let mut pause = FIRST_PAUSE;
        loop {
            while self.clients.get() >= CLIENTS {
                // There is one accept loop: nobody to pass the room on to.
                let woken = self.room.wait(CLIENT, None, || ());
                debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
            }
            let served = listener.accept().and_then(|(client, peer)| self.start(client, peer));
            match served {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) if is_shortage(&error) => {
                    sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return error,
            }
        }
    }

    /// Serves a client on a green thread of its own.
    fn start(self: &Rc<Self>, client: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let place = Place::take(self);
        let handler = Builder::new().spawn(move || {
            let service = &place.service;
            if let Err(error) = (service.handler)(client, peer) {
                let stopped = error.get_ref().is_some_and(|error| error.is::<StopServe>());
                service.end(if stopped { Ok(()) } else { Err(error) });
            }
        })?;
        drop(handler);
        Ok(())
    }
}

impl<H> Service<H> {
    fn end(&self, outcome: io::Result<()>) {
        if self.outcome.borrow().is_none() {
            *self.outcome.borrow_mut() = Some(outcome);
            self.ended.wake_all();
        }
        // A second one is dropped here, where nothing is borrowed: its destructor may park.
    }
}

/// One client's place among those that are served, given back however its handler ends.
struct Place<H> {
    service: Rc<Service<H>>,
}

impl<H> Place<H> {
    fn take(service: &Rc<Service<H>>) -> Self {
        service.clients.set(service.clients.get() + 1);
        Self { service: Rc::clone(service) }
    }
}

impl<H> Drop for Place<H> {
    fn drop(&mut self) {
        self.service.clients.set(self.service.clients.get() - 1);
        self.service.room.wake_one();
    }
}

/// Whether an error of `accept`, or of spawning, goes away by itself when others let go of
/// descriptors or memory.
///
/// ```
/// let full = std::io::Error::from_raw_os_error(24); // EMFILE
/// assert!(evy_green_net::is_shortage(&full));
/// assert!(!evy_green_net::is_shortage(&std::io::ErrorKind::AddrInUse.into()));
/// ```
///
/// # Yields
///
/// Never.
pub fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::OutOfMemory
        || [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
