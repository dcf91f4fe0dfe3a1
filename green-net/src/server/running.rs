//! The handle of a server that runs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::ledger::ServerCounters;
use super::stopping::Stopped;

/// A server that runs, from [`Server::start`](crate::Server::start). Dropped, it stops at once: its
/// listeners are closed and its handlers killed.
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
/// use evy_green_net::{RunningServer, Server, connect, copy, listen};
///
/// let server: RunningServer =
///     Server::new(listen("127.0.0.1:0")?, |client, _| copy(&client, &client).map(drop)).start()?;
/// let mut stream = connect(server.local_addr())?;
/// stream.write_all(b"hello")?;
/// stream.read_exact(&mut [0; 5])?;
/// let stopping = evy_runtime::spawn(move || server.stop(Duration::from_secs(5)));
/// // The connection is idle, so it is ended; then the server waits for us to end it, too.
/// assert_eq!(stream.read(&mut [0; 5])?, 0);
/// drop(stream);
/// assert_eq!(stopping.wait().unwrap().finished, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It belongs to its OS thread; [`ServerCounters`] may go to others:
///
/// ```compile_fail,E0277
/// # use evy_green_net::{Server, listen};
/// let server = Server::new(listen("127.0.0.1:0").unwrap(), |_, _| Ok(())).start().unwrap();
/// std::thread::spawn(move || server.clients());
/// ```
#[must_use = "a server that is dropped stops"]
pub struct RunningServer<A = SocketAddr> {
    core: Rc<Core>,
    addrs: Vec<A>,
}

impl<A> RunningServer<A> {
    pub(super) fn new(core: Rc<Core>, addrs: Vec<A>) -> Self {
        Self { core, addrs }
    }

    /// The address that its first listener listens on.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn local_addr(&self) -> A
    where
        A: Clone,
    {
        self.addrs[0].clone()
    }

    /// The addresses that its listeners listen on, in the order in which they were given to it.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let listeners = [listen("127.0.0.1:0")?, listen("127.0.0.1:0")?];
    /// let addrs = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    /// let [first, second] = listeners;
    /// let server = Server::new(first, |_, _| Ok(())).listener(second).start()?;
    /// assert_eq!(server.local_addrs(), addrs);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn local_addrs(&self) -> &[A] {
        &self.addrs
    }

    /// How many clients it serves now: connections whose handlers run, or of which somebody else has a
    /// stream.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.clients(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn clients(&self) -> usize {
        self.counters().clients()
    }

    /// How many connections it has accepted.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.accepted(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn accepted(&self) -> u64 {
        self.counters().accepted()
    }

    /// All its counters, for whichever OS thread wants to look at them.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// let counters = server.counters();
    /// let clients = std::thread::spawn(move || counters.clients()).join().unwrap();
    /// assert_eq!(clients, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn counters(&self) -> ServerCounters {
        ServerCounters::new(&self.core.ledger)
    }

    /// Waits until it serves no more: because a handler has returned [`StopServe`](crate::StopServe),
    /// because of an error, or because it was stopped; then until that is done.
    ///
    /// In the first two cases clients may be left, whose handlers go on until they end or this is
    /// dropped; [`stop`](Self::stop) ends them well.
    ///
    /// ```
    /// use evy_green_net::{Server, StopServe, connect, listen};
    ///
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Err(StopServe.into())).start()?;
    /// connect(server.local_addr())?;
    /// server.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error with which it has ended: of a handler where
    /// [`on_error`](crate::Server::on_error) says so, or of the last listener. To a second caller one
    /// that says the same.
    ///
    /// # Yields
    ///
    /// Until it serves no more.
    pub fn wait(&self) -> io::Result<()> {
        self.core.wait_for_end();
        if self.core.stopping.has_begun() {
            self.core.stopping.wait();
        }
        self.core.outcome()
    }

    /// Stops it: what has been asked is answered, and then every connection is ended, within `grace`.
    ///
    /// * Connections that wait to be accepted are, up to the limit of clients; then the listeners are
    ///   closed, all before this waits for anything. A connect is refused from then on. Where nobody
    ///   else can have a listener's descriptor, none that the system has taken by then is lost (on Linux,
    ///   TCP included); one whose handshake is still on its way may be reset.
    /// * A connection that is idle is ended: a read that would wait gives the end of the stream, while
    ///   writes still work. Idle is one that waits in a read with nothing there to be read, and on which
    ///   nothing passes for a fifth of a second: a request that the peer has sent before the stop may
    ///   still be on its way. Over a Unix socket nothing is on its way, so there an idle connection is ended
    ///   at once. A peer that has sent something and has had no answer, or has come within the last second
    ///   and has not sent anything yet, gets a second to go on. One that goes on asking is ended after five
    ///   seconds, between an answer and its next request. Each of these times is half the grace at most.
    ///   Handlers that are at work finish it, and connections on which bytes pass, however slowly the peer
    ///   takes them, are not idle.
    /// * When a handler has dropped its stream, the server shuts down the write side and reads until the
    ///   peer has closed, too. To close a connection on unread data would reset it, and the peer could
    ///   lose its answer.
    /// * What is left when the grace is over is cut off: calls on its streams give `NotConnected`, and
    ///   handlers are killed.
    ///
    /// All that goes for streams wherever they are: clones, and those that were given to another green
    /// thread, or to another hub. It does not for descriptors that were taken out (`into_std`,
    /// `IntoRawFd`), for calls made past the stream (by `AsFd`, or on a clone of std's), and for green
    /// threads that a handler has started: only the handler itself is killed.
    ///
    /// Called again, by another green thread, the earlier end of the two graces counts: `stop` with a
    /// grace of 0 ends a stop that takes too long. A handler that calls it waits for itself, until it is
    /// killed; it had better spawn it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_green_net::{Server, connect, listen};
    ///
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// let addr = server.local_addr();
    /// server.stop(Duration::from_secs(5));
    /// assert!(connect(addr).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Until all connections have ended; at most for the grace, and as long as destructors take that
    /// run when handlers are killed.
    pub fn stop(&self, grace: Duration) -> Stopped {
        self.core.stop(grace)
    }
}

impl<A> Drop for RunningServer<A> {
    fn drop(&mut self) {
        self.core.kill();
    }
}

impl<A: fmt::Debug> fmt::Debug for RunningServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("local_addrs", &self.addrs)
            .field("counters", &self.counters())
            .finish()
    }
}
