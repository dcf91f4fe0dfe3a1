//! How WebSockets are to be.

use std::io;
use std::time::Duration;

#[cfg(feature = "tls")]
use evy_green_net::tls::TlsConnector;

use super::{WebSocket, accept, connect};
use crate::{HeaderName, HeaderValue, Request, Response, Stream};

/// How WebSockets are to be, for both sides of them: limits, times and sub-protocols.
///
/// ```
/// use std::time::Duration;
/// use evy_http::websocket::Options;
/// use evy_http::{Request, Response};
///
/// fn chat(request: Request) -> Response {
///     let options = Options::new().max_message(1 << 16).ping_interval(Some(Duration::from_secs(5)));
///     options.accept(request, |socket| socket.send("hello"))
/// }
/// # let _ = chat;
/// ```
#[derive(Clone, Debug)]
#[must_use = "they do nothing until `accept` or `connect`"]
pub struct Options {
    pub(super) max_message: usize,
    pub(super) max_frame: usize,
    pub(super) close_timeout: Duration,
    pub(super) ping_interval: Option<Duration>,
    pub(super) pong_timeout: Duration,
    pub(super) protocols: Vec<String>,
    pub(super) handshake_timeout: Duration,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsConnector>,
}

impl Options {
    /// The usual ones.
    ///
    /// ```
    /// let options = evy_http::websocket::Options::new();
    /// # drop(options);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new() -> Self {
        Self {
            max_message: 16 << 20,
            max_frame: 16 << 20,
            close_timeout: Duration::from_secs(10),
            ping_interval: Some(Duration::from_secs(20)),
            pong_timeout: Duration::from_secs(20),
            protocols: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            headers: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets how many bytes a message that is received may have, by default 16 MiB. A longer one closes the
    /// WebSocket, with the code 1009.
    ///
    /// ```
    /// let options = evy_http::websocket::Options::new().max_message(64 << 10);
    /// # drop(options);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets how many bytes a frame that is received may have, by default 16 MiB. A longer one closes the
    /// WebSocket, with the code 1009, as soon as its head is there.
    ///
    /// ```
    /// let options = evy_http::websocket::Options::new().max_frame(64 << 10);
    /// # drop(options);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// Sets how long [`WebSocket::close`] waits for the peer's answer, by default 10 s.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = evy_http::websocket::Options::new().close_timeout(Duration::from_secs(1));
    /// # drop(options);
    /// ```
    ///
    /// # Panics
    ///
    /// When `time` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn close_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a peer needs some time");
        self.close_timeout = time;
        self
    }

    /// Sets how often the peer is pinged, by default every 20 s; `None` is never. It finds out about peers
    /// that have vanished, and keeps what is on the way from forgetting the connection.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = evy_http::websocket::Options::new().ping_interval(Some(Duration::from_secs(5)));
    /// # drop(options);
    /// ```
    ///
    /// # Panics
    ///
    /// When `interval` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn ping_interval(mut self, interval: Option<Duration>) -> Self {
        assert!(interval != Some(Duration::ZERO), "there is some time between two pings");
        self.ping_interval = interval;
        self
    }

    /// Sets how long after a ping the peer may be silent, by default 20 s; then the WebSocket ends, and
    /// [`WebSocket::recv`] and [`WebSocket::send`] give `TimedOut`. Whatever comes from it counts as an
    /// answer. Only while somebody receives is there anything to be heard.
    ///
    /// Where a message is still before the ping, the peer has to take some of it in that time: one that
    /// does not read holds up no sender for ever, whatever it says meanwhile, and whoever receives.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = evy_http::websocket::Options::new().pong_timeout(Duration::from_secs(5));
    /// # drop(options);
    /// ```
    ///
    /// # Panics
    ///
    /// When `time` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn pong_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a peer needs some time");
        self.pong_timeout = time;
        self
    }

    /// Sets the sub-protocols that this side speaks, the one that it likes most first. A client offers
    /// them; a server takes the first that the client has offered, or none.
    ///
    /// ```
    /// let options = evy_http::websocket::Options::new().protocols(["chat.v2", "chat"]);
    /// # drop(options);
    /// ```
    ///
    /// # Panics
    ///
    /// When one has bytes that no sub-protocol has.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn protocols(mut self, protocols: impl IntoIterator<Item: Into<String>>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        let is_token = |name: &String| HeaderName::from_bytes(name.as_bytes()).is_ok();
        assert!(self.protocols.iter().all(is_token), "the name of a protocol is a token");
        self
    }

    /// For clients: sets how long it may take to connect, from the lookup of the name to the server's
    /// answer, by default 10 s.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = evy_http::websocket::Options::new().handshake_timeout(Duration::from_secs(1));
    /// # drop(options);
    /// ```
    ///
    /// # Panics
    ///
    /// When `time` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn handshake_timeout(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "a server needs some time");
        self.handshake_timeout = time;
        self
    }

    /// For clients: adds a header to the request, such as `Origin`, `Cookie` or `Authorization`.
    ///
    /// ```
    /// use evy_http::websocket::Options;
    /// use evy_http::{HeaderValue, header};
    ///
    /// let origin = HeaderValue::from_static("https://example.org");
    /// let options = Options::new().header(header::ORIGIN, origin);
    /// # drop(options);
    /// ```
    ///
    /// # Panics
    ///
    /// For a header that is part of the handshake.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        assert!(!connect::is_ours(&name), "{name} is part of the handshake");
        self.headers.push((name, value));
        self
    }

    /// For clients: sets whom to trust for `wss`. By default it is whom the system trusts.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let certificate = made.cert.pem();
    /// use evy_green_net::tls::TlsConnector;
    /// use evy_http::websocket::Options;
    ///
    /// let options = Options::new().tls(TlsConnector::builder().roots_pem(certificate).build()?);
    /// # drop(options);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, connector: TlsConnector) -> Self {
        self.tls = Some(connector);
        self
    }

    /// [`accept`](super::accept()) with these options.
    ///
    /// ```
    /// use evy_http::websocket::Options;
    /// use evy_http::{Request, Response};
    ///
    /// fn greet(request: Request) -> Response {
    ///     Options::new().protocols(["greeting"]).accept(request, |socket| socket.send("hello"))
    /// }
    /// # let _ = greet;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn accept(
        &self,
        request: Request,
        proceed: impl FnOnce(WebSocket) -> io::Result<()> + 'static,
    ) -> Response {
        accept::accept(self, &request, proceed)
    }

    /// [`connect`](super::connect()) with these options.
    ///
    /// ```no_run
    /// use evy_http::websocket::Options;
    ///
    /// let socket = Options::new().protocols(["chat"]).connect("ws://localhost:7000/chat")?;
    /// assert_eq!(socket.protocol(), Some("chat"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](super::connect()).
    ///
    /// # Yields
    ///
    /// Until the server has answered.
    pub fn connect(&self, url: &str) -> io::Result<WebSocket> {
        connect::connect(self, url)
    }

    /// Becomes a client by a stream that is there already: a Unix socket, one through a proxy. It is used
    /// as it is; for `wss`, it is under TLS by now. The URL says what the server is asked for.
    ///
    /// ```no_run
    /// use evy_http::websocket::Options;
    ///
    /// let stream = evy_green_net::UnixStream::connect("/run/chat.socket")?;
    /// let socket = Options::new().connect_over(stream, "ws://localhost/chat")?;
    /// # drop(socket);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](super::connect()) but for the connecting.
    ///
    /// # Yields
    ///
    /// Until the server has answered.
    pub fn connect_over(&self, stream: impl Into<Stream>, url: &str) -> io::Result<WebSocket> {
        connect::connect_over(self, stream.into(), url)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
