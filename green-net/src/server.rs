//! A server for production: it reports errors and goes on, and it stops well.
//!
//! ```text
//!   Server ── start ─► RunningServer ─► Core ◄─ Service ─┬─ Acceptor: a green thread a listener
//!                        stop, wait      │               └─ a green thread a connection
//!                                        ├─ watch: the times of connections
//!                                        └─ stop
//! ```
//!
//! Everything of one server runs on one hub. What its connections have to tell from elsewhere comes by
//! way of its [`Ledger`](ledger::Ledger).

pub(crate) mod connection;
mod core;
mod ledger;
mod limit;
mod lingering;
mod listener;
mod on_error;
mod running;
mod service;
mod shortage;
mod stop;
mod stopping;
mod times;
mod watch;

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use core::Core;
pub use ledger::ServerCounters;
pub use limit::ClientLimit;
pub use listener::Listener;
use on_error::{Policy, report};
pub use running::RunningServer;
use service::Service;
pub use shortage::is_shortage;
pub use stopping::Stopped;
use times::Times;

#[cfg(test)]
mod tests;

/// Connections that are served at once where the user says nothing.
const MAX_CLIENTS: usize = 10_000;

/// A server to be: listeners, a handler for their connections, and how to go about it.
///
/// Each connection is served on a green thread of its own, which calls the handler. An error that a
/// handler returns is reported by a line on standard error, a panic as any panic is; either ends that
/// connection alone. Where descriptors or memory run out, the server goes on as soon as there are some.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::{Server, copy, listen};
///
/// let server = Server::new(listen("127.0.0.1:0")?, |client, _| copy(&client, &client).map(drop))
///     .max_clients(5_000)
///     .idle_timeout(Duration::from_secs(60))
///     .start()?;
/// println!("listening on {}", server.local_addr());
/// // … until a signal comes, maybe …
/// server.stop(Duration::from_secs(10));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "it does nothing until `start` or `run`"]
pub struct Server<L: Listener, H> {
    listeners: Vec<L>,
    handler: H,
    limit: ClientLimit,
    policy: Policy<L::Addr>,
    times: Times,
    location: &'static Location<'static>,
}

impl<L, H> Server<L, H>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) -> io::Result<()> + 'static,
{
    /// A server that calls `handler` with each connection of `listener` and the address of its peer.
    ///
    /// The connection is closed when the handler has dropped it, which it does at the latest when it
    /// returns, unless it has given the stream away. A handler that returns
    /// [`StopServe`](crate::StopServe) ends the server.
    ///
    /// ```
    /// use std::io::{Write, read_to_string};
    /// use evy_green_net::{Server, connect, listen};
    ///
    /// let listener = listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |mut client, addr| write!(client, "hello {addr}")).start()?;
    /// let client = connect(server.local_addr())?;
    /// assert_eq!(read_to_string(&client)?, format!("hello {}", client.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn new(listener: L, handler: H) -> Self {
        Self {
            listeners: vec![listener],
            handler,
            limit: ClientLimit::new(MAX_CLIENTS),
            policy: Policy::new(report),
            times: Times::default(),
            location: Location::caller(),
        }
    }

    /// Listens on one more.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(()))
    ///     .listener(listen("127.0.0.1:0")?)
    ///     .start()?;
    /// assert_eq!(server.local_addrs().len(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn listener(self, listener: L) -> Self {
        self.listeners([listener])
    }

    /// Listens on some more.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let more = [listen("127.0.0.1:0")?, listen("127.0.0.1:0")?];
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).listeners(more).start()?;
    /// assert_eq!(server.local_addrs().len(), 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn listeners(mut self, listeners: impl IntoIterator<Item = L>) -> Self {
        self.listeners.extend(listeners);
        self
    }

    /// Sets how many clients are served at once, by default 10,000. At the limit the server stops
    /// accepting; who comes then waits in the system's queue, connected, until a client leaves.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).max_clients(500).start()?;
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When `max_clients` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "concurrency")]
    pub fn max_clients(mut self, max_clients: usize) -> Self {
        self.limit = ClientLimit::new(max_clients);
        self
    }

    /// Has the server's clients count with those of others that have this limit, too, in the place of
    /// [`max_clients`](Self::max_clients). Whoever of them has a client waiting when another leaves lets
    /// it in.
    ///
    /// ```
    /// use evy_green_net::{ClientLimit, Server, listen};
    ///
    /// let limit = ClientLimit::new(500);
    /// let both = [0; 2].map(|port| {
    ///     let listener = listen(("127.0.0.1", port)).unwrap();
    ///     Server::new(listener, |_, _| Ok(())).client_limit(&limit).start().unwrap()
    /// });
    /// # drop(both);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn client_limit(mut self, limit: &ClientLimit) -> Self {
        self.limit = limit.clone();
        self
    }

    /// Sets what happens about an error, by default a line on standard error.
    ///
    /// `decide` is called with the error, and with the address of the client whose handler has returned
    /// it. Without an address it is an error of accepting: a shortage of descriptors or memory
    /// ([`is_shortage`]; told once, however often it is tried again), or the end of a listener.
    /// [`ControlFlow::Continue`] lets the server go on; it can do so for as long as there is a listener.
    /// [`ControlFlow::Break`] ends it with that error, as Evy's `serve` does; handlers that are at work
    /// go on.
    ///
    /// `decide` may park: further errors then wait for their turn. It is not called for panics, which
    /// std's hook reports, nor for errors that come of the server's own doing: of its times, and
    /// `UnexpectedEof` while it stops.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use std::ops::ControlFlow;
    /// use evy_green_net::{Server, connect, listen};
    ///
    /// let handler = |_client, _addr| Err(ErrorKind::InvalidData.into());
    /// let server = Server::new(listen("127.0.0.1:0")?, handler)
    ///     .on_error(|error, client| match (error.kind(), client) {
    ///         (ErrorKind::ConnectionReset, _) => ControlFlow::Continue(()),
    ///         (_, Some(_)) => ControlFlow::Break(()),
    ///         _ => ControlFlow::Continue(()),
    ///     })
    ///     .start()?;
    /// connect(server.local_addr())?;
    /// assert_eq!(server.wait().unwrap_err().kind(), ErrorKind::InvalidData);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn on_error(
        mut self,
        decide: impl FnMut(&io::Error, Option<&L::Addr>) -> ControlFlow<()> + 'static,
    ) -> Self {
        self.policy = Policy::new(decide);
        self
    }

    /// Ends connections on which nothing passes for so long, in neither direction; by default there is
    /// no such limit.
    ///
    /// It is measured with an accuracy of a quarter: a connection is ended when it has been quiet for
    /// this time, a quarter later at the latest. It is shut down then, and every call on it, also one
    /// that waits, gives `TimedOut`. The handler goes on from there.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::time::Duration;
    /// use evy_green_net::{Server, connect, copy, listen};
    ///
    /// let server = Server::new(listen("127.0.0.1:0")?, |client, _| copy(&client, &client).map(drop))
    ///     .idle_timeout(Duration::from_millis(20))
    ///     .start()?;
    /// let mut client = connect(server.local_addr())?;
    /// assert_eq!(client.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When `time` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a connection needs some time");
        self.times.idle = Some(time);
        self
    }

    /// Ends connections that are older, whatever they do; by default they may live for ever.
    ///
    /// The connection is shut down then, every call on it gives `TimedOut`, and its handler is killed.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::time::Duration;
    /// use evy_green_net::{Server, connect, listen};
    ///
    /// let server = Server::new(listen("127.0.0.1:0")?, |_client, _| {
    ///     evy_runtime::sleep(Duration::MAX);
    ///     Ok(())
    /// })
    /// .total_timeout(Duration::from_millis(20))
    /// .start()?;
    /// let mut client = connect(server.local_addr())?;
    /// assert_eq!(client.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When `time` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn total_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a connection needs some time");
        self.times.total = Some(time);
        self
    }

    /// Starts to serve, on green threads of this hub, and returns the handle of the server.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// println!("listening on {}", server.local_addr());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `getsockname`, and `OutOfMemory` when there is no memory for its green threads.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn start(self) -> io::Result<RunningServer<L::Addr>> {
        let addrs = self.listeners.iter().map(L::own_addr).collect::<io::Result<Vec<_>>>()?;
        let (service, core, listeners) = self.into_parts();
        let serving = service.start(listeners)?;
        let closing = core.builder().spawn(move || serving.wait())?;
        drop(closing);
        Ok(RunningServer::new(core, addrs))
    }

    /// Serves until something ends it: a handler that returns [`StopServe`](crate::StopServe), an error
    /// if [`on_error`](Self::on_error) says so, or the failure of the last listener. The listeners are
    /// closed then, and handlers that are at work go on.
    ///
    /// ```
    /// use evy_green_net::{Server, StopServe, connect, listen};
    ///
    /// let listener = listen("127.0.0.1:0")?;
    /// let addr = listener.local_addr()?;
    /// evy_runtime::spawn_n(move || connect(addr));
    /// Server::new(listener, |_, _| Err(StopServe.into())).run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error with which it has ended, and `OutOfMemory` when there is no memory for its green
    /// threads.
    ///
    /// # Yields
    ///
    /// Until it ends.
    pub fn run(self) -> io::Result<()> {
        let (service, core, listeners) = self.into_parts();
        let serving = service.start(listeners)?;
        serving.wait();
        core.outcome()
    }

    fn into_parts(self) -> (Rc<Service<L, H>>, Rc<Core>, Vec<L>) {
        let core = Rc::new(Core::new(self.limit, self.times, self.location));
        let service = Service::new(self.handler, self.policy, Rc::clone(&core));
        (Rc::new(service), core, self.listeners)
    }
}

impl<L: Listener, H> fmt::Debug for Server<L, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners.len())
            .field("limit", &self.limit)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}
