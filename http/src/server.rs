//! A server of HTTP: [`evy_green_net::Server`] whose connections speak HTTP.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "tls")]
use evy_green_net::tls::TlsAcceptor;
use evy_green_net::{ClientLimit, Listener, ServerCounters, Stopped};
use evy_runtime::{GreenThread, spawn, spawn_future};

use crate::access::AccessLog;
use crate::connection::{Connection, ConnectionInfo};
use crate::core::Core;
use crate::limits::Limits;
use crate::watch::watch;
use crate::{Access, Handler, Stream};

/// How long connections that were accepted just before the end may take to send their request.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves HTTP until the listener fails: [`Server::new`] and [`Server::run`].
///
/// ```no_run
/// use evy_http::{Request, serve};
///
/// serve(evy_green_net::listen("127.0.0.1:8080")?, |request: Request| {
///     format!("hello from {}\n", request.uri().path())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Server::run`].
///
/// # Yields
///
/// Until it ends.
#[track_caller]
pub fn serve<L>(listener: L, handler: impl Handler) -> io::Result<()>
where
    L: Listener<Stream: Into<Stream>>,
{
    Server::new(listener, handler).run()
}

/// A server of HTTP to be: listeners, a handler for requests, and how to go about it.
///
/// Each request is answered on a green thread of its own. A handler that panics is `500 Internal Server
/// Error` for its client, and a line on standard error; nobody else is harmed. Slow clients, and requests
/// that break the rules of HTTP, are ended without troubling a handler.
///
/// ```
/// use std::time::Duration;
/// use evy_http::{Request, Server};
///
/// let server = Server::new(evy_green_net::listen("127.0.0.1:0")?, |_: Request| "hello\n")
///     .max_clients(5_000)
///     .start()?;
/// println!("listening on http://{}", server.local_addr());
/// // … until a signal comes, maybe …
/// server.stop(Duration::from_secs(10));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "it does nothing until `start` or `run`"]
pub struct Server<L: Listener> {
    listeners: Vec<L>,
    handler: Box<dyn Handler>,
    clients: Option<ClientLimit>,
    limits: Limits,
    access_log: Option<AccessLog>,
    #[cfg(feature = "tls")]
    tls: Option<TlsAcceptor>,
}

impl<L> Server<L>
where
    L: Listener<Stream: Into<Stream>>,
{
    /// A server that has `handler` answer the requests that come by `listener`.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// let server = Server::new(evy_green_net::listen("127.0.0.1:0")?, |_: Request| "hello\n");
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(listener: L, handler: impl Handler) -> Self {
        Self {
            listeners: vec![listener],
            handler: Box::new(handler),
            clients: None,
            limits: Limits::default(),
            access_log: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Listens on one more.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # use evy_green_net::listen;
    /// let server = Server::new(listen("127.0.0.1:0")?, |_: Request| "hello\n")
    ///     .listener(listen("127.0.0.1:0")?);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn listener(mut self, listener: L) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Sets how many connections are served at once, by default 10,000; at the limit the server stops
    /// accepting.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").max_clients(500);
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
    pub fn max_clients(mut self, max_clients: usize) -> Self {
        assert!(max_clients > 0, "a server needs room for one client at least");
        self.clients = Some(ClientLimit::new(max_clients));
        self
    }

    /// Counts its connections in `limit`, together with those of other servers that have it, on this hub
    /// or on others; in place of [`max_clients`](Self::max_clients).
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # use evy_green_net::listen;
    /// use evy_green_net::ClientLimit;
    ///
    /// let limit = ClientLimit::new(500);
    /// let first = Server::new(listen("127.0.0.1:0")?, |_: Request| "hello\n").client_limit(&limit);
    /// let second = Server::new(listen("127.0.0.1:0")?, |_: Request| "bye\n").client_limit(&limit);
    /// # drop((first, second));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn client_limit(mut self, limit: &ClientLimit) -> Self {
        self.clients = Some(limit.clone());
        self
    }

    /// Sets how long a client may take from the first byte of a request to the end of its head, by
    /// default 30 s. It is told `408 Request Timeout` then. The handshake of TLS has the same time.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n")
    ///     .head_timeout(std::time::Duration::from_secs(5));
    /// # drop(server);
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
    pub fn head_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a request needs some time");
        self.limits.head = time;
        self
    }

    /// Sets how long a connection may be without a request, by default 75 s.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n")
    ///     .idle_timeout(std::time::Duration::from_secs(15));
    /// # drop(server);
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
    #[doc(alias = "keepalive_timeout")]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a client needs some time");
        self.limits.idle = time;
        self
    }

    /// Sets how long, in all, a client may keep the server waiting for the body of one request or for
    /// room to send its answer: `time`, where each `bytes_per_second` that pass make up for one second of
    /// waiting before. By default 30 s, and 500 bytes. The time that a handler takes does not count, nor
    /// that of who reads a body behind its answer.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n")
    ///     .min_rate(10_000, std::time::Duration::from_secs(5));
    /// # drop(server);
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
    pub fn min_rate(mut self, bytes_per_second: u64, time: Duration) -> Self {
        assert!(!time.is_zero(), "a client needs some time");
        self.limits.min_rate = bytes_per_second;
        self.limits.patience = time;
        self
    }

    /// Sets how long the body of a request may be, by default as long as it likes: it is given to the
    /// handler as it comes. A longer one is `413 Content Too Large`; where its length was not announced,
    /// that is an error of the read that finds out.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").max_body(1 << 20);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.limits.body = Some(bytes);
        self
    }

    /// Has `log` called with each request that was answered.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n")
    ///     .access_log(|access| println!("{access}"));
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// `log` must not park: it is called where the connection's answers are sent.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn access_log(mut self, log: impl Fn(&Access) + 'static) -> Self {
        self.access_log = Some(Box::new(log));
        self
    }

    /// Starts to serve, on green threads of this hub, and returns the handle of the server.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").start()?;
    /// println!("listening on http://{}", server.local_addr());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`evy_green_net::Server::start`].
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn start(self) -> io::Result<RunningServer<L::Addr>> {
        let (server, core) = self.begin()?;
        let watched = Rc::clone(&core);
        let watcher = spawn(move || watch(&watched));
        Ok(RunningServer { server, core, watcher: RefCell::new(Some(watcher)) })
    }

    /// Serves until the last listener fails.
    ///
    /// ```no_run
    /// # use evy_http::{Request, Server};
    /// Server::new(evy_green_net::listen("127.0.0.1:8080")?, |_: Request| "hello\n").run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`evy_green_net::Server::run`].
    ///
    /// # Yields
    ///
    /// Until it ends.
    #[track_caller]
    pub fn run(self) -> io::Result<()> {
        self.start()?.wait()
    }

    /// The server below, whose handler gives each connection to the background, and goes.
    #[track_caller]
    fn begin(self) -> io::Result<(evy_green_net::RunningServer<L::Addr>, Rc<Core>)> {
        let core = Rc::new(Core::new(self.handler, self.limits, self.access_log));
        let served = Rc::clone(&core);
        #[cfg(feature = "tls")]
        let tls = self.tls;
        let serve = move |stream: L::Stream, _addr: L::Addr| {
            let stream = stream.into();
            #[cfg(feature = "tls")]
            let stream = under_tls(tls.as_ref(), stream)?;
            let connection = Connection::new(&served, ConnectionInfo::of(&stream));
            spawn_future(connection.serve(stream));
            Ok(())
        };
        let mut listeners = self.listeners.into_iter();
        let first = listeners.next().expect("a server is made with one");
        let mut server = evy_green_net::Server::new(first, serve).listeners(listeners);
        if let Some(limit) = &self.clients {
            server = server.client_limit(limit);
        }
        Ok((server.start()?, core))
    }
}

#[cfg(feature = "tls")]
impl Server<evy_green_net::TcpListener> {
    /// Has all connections be under TLS. For HTTP/2, the acceptor must offer it, by
    /// `alpn(["h2", "http/1.1"])`.
    ///
    /// ```no_run
    /// use evy_green_net::tls::TlsAcceptor;
    /// use evy_http::{Request, Server};
    ///
    /// let acceptor = TlsAcceptor::builder()
    ///     .identity_files("chain.pem", "key.pem")
    ///     .alpn(["h2", "http/1.1"])
    ///     .build()?;
    /// let listener = evy_green_net::listen("127.0.0.1:8443")?;
    /// Server::new(listener, |_: Request| "hello\n").tls(acceptor).run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn tls(mut self, acceptor: TlsAcceptor) -> Self {
        self.tls = Some(acceptor);
        self
    }
}

#[cfg(feature = "tls")]
fn under_tls(acceptor: Option<&TlsAcceptor>, stream: Stream) -> io::Result<Stream> {
    match (acceptor, stream) {
        (Some(acceptor), Stream::Tcp(stream)) => Ok(acceptor.wrap(stream)?.into()),
        (_, stream) => Ok(stream),
    }
}

impl<L: Listener> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A server of HTTP that runs. When it is dropped it stops, at once.
///
/// ```
/// # use evy_http::{Request, Server};
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let server = Server::new(listener, |_: Request| "hello\n").start()?;
/// assert_eq!(server.counters().accepted(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a server that is dropped stops"]
pub struct RunningServer<A = std::net::SocketAddr> {
    server: evy_green_net::RunningServer<A>,
    core: Rc<Core>,
    watcher: RefCell<Option<GreenThread<()>>>,
}

impl<A> RunningServer<A> {
    /// The address that it listens on; the first one, if there are several.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").start()?;
    /// assert!(server.local_addr().port() != 0);
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
        self.server.local_addr()
    }

    /// All addresses that it listens on.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").start()?;
    /// assert_eq!(server.local_addrs(), [server.local_addr()]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn local_addrs(&self) -> &[A] {
        self.server.local_addrs()
    }

    /// What it counts of its connections.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").start()?;
    /// assert_eq!(server.counters().clients(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn counters(&self) -> ServerCounters {
        self.server.counters()
    }

    /// Waits until the server has ended.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # use std::time::Duration;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").start()?;
    /// server.stop(Duration::ZERO);
    /// server.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The failure of its last listener.
    ///
    /// # Yields
    ///
    /// Until it has ended.
    pub fn wait(&self) -> io::Result<()> {
        self.server.wait()
    }

    /// Stops the server well: no new connections; idle ones are closed at once; requests that are under
    /// way are answered, and their connections closed behind them; bodies that are read behind their answers
    /// are read to the end; after `grace`, what is left is killed. Returns what became of the connections.
    ///
    /// ```
    /// # use evy_http::{Request, Server};
    /// # use std::time::Duration;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let server = Server::new(listener, |_: Request| "hello\n").start()?;
    /// let stopped = server.stop(Duration::from_secs(10));
    /// assert_eq!(stopped.killed, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Until the last connection has gone, for `grace` at most.
    pub fn stop(&self, grace: Duration) -> Stopped {
        let core = Rc::clone(&self.core);
        let finishing = spawn(move || {
            // What the system has of a request by now is read first.
            evy_runtime::sleep(Duration::from_millis(1));
            core.finish_connections(true);
            evy_runtime::sleep(PATIENCE.min(grace / 2));
            core.finish_connections(false);
        });
        let stopped = self.server.stop(grace);
        finishing.kill();
        self.end();
        stopped
    }

    /// Ends what is left.
    fn end(&self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.kill();
        }
        self.core.kill_handlers();
    }
}

impl<A> Drop for RunningServer<A> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<A: fmt::Debug> fmt::Debug for RunningServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("server", &self.server)
            .field("handlers", &self.core.handlers())
            .finish()
    }
}
