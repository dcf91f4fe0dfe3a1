//! A stream under TLS.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{Connection, HandshakeKind, ProtocolVersion};

use super::Transport;
use super::session::Session;
use crate::TcpStream;

/// A stream under TLS, either end of it: what is written is encrypted, what is read was checked.
///
/// It is made by a [`TlsConnector`](super::TlsConnector) or a [`TlsAcceptor`](super::TlsAcceptor). The
/// handshake is done by the first read or write, unless [`handshake`](Self::handshake) was called
/// before.
///
/// [`Read`] and [`Write`] are there for `TlsStream` and for `&TlsStream`. One green thread may read and
/// another write at the same time; a second reader (or writer) gets `ResourceBusy`. The timeouts of the
/// socket hold for each of the reads and writes that a call makes on it.
///
/// ```
/// use std::io::{Read, Write};
/// use evy_green_net::tls::{TlsAcceptor, TlsConnector, TlsListener};
///
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
/// let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
/// let address = listener.local_addr()?;
/// evy_runtime::spawn_n(move || -> std::io::Result<()> {
///     let (mut client, _) = listener.accept()?;
///     client.write_all(b"hello")?;
///     client.shutdown()
/// });
///
/// let connector = TlsConnector::builder().roots_pem(&chain).build()?;
/// let mut stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # The end
///
/// `Ok(0)` of a read is the peer's close_notify. A connection that ends without one was cut off, by
/// whomever: that is `UnexpectedEof`, never the end. [`shutdown`](Self::shutdown) sends ours; so does
/// the drop, if the socket has room for it within 10 ms (while the green thread unwinds: at once).
///
/// # Writes
///
/// A write encrypts up to 64 KiB and sends all of it; while the socket has no room, it parks. Bytes that
/// were taken when the write timed out, or was killed, are sent before the next write takes any, which
/// is also where a timeout is told that came after bytes were taken. [`flush`](Write::flush) tells it
/// without writing.
///
/// # Errors
///
/// `InvalidData`, with [`rustls::Error`] inside, for whatever is wrong with the peer's certificate or
/// with what it sends; `TimedOut` for a handshake that takes too long. Both are for good: every later
/// call gives the same. Others are the socket's.
///
/// # Code of your own in a session
///
/// A configuration of rustls' own (`from_config` of [`TlsConnector`](super::TlsConnector::from_config) and
/// of [`TlsAcceptor`](super::TlsAcceptor::from_config)) may bring code along: a verifier, a key log, what
/// chooses certificates or keeps sessions. rustls calls it in the middle of its work, with the session
/// locked. So it must not park, as an I/O call, a green lock or `unblock` does: another green thread that
/// then uses this stream, be it to drop a read or a write of its own, would stop the OS thread for good. What
/// it needs to wait for has to be there beforehand. Nor may it use the stream itself.
///
/// A panic of such code goes to the green thread whose call it was in, and ends the session: all others get
/// an error of the kind `Other`, what was received before can still be read.
pub struct TlsStream<S: Transport> {
    session: Session,
    socket: S,
}

impl<S: Transport> TlsStream<S> {
    pub(super) fn new(
        connection: impl Into<Connection>,
        socket: S,
        handshake_timeout: Option<Duration>,
    ) -> Self {
        Self { session: Session::new(connection.into(), handshake_timeout), socket }
    }

    #[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Does the handshake, or waits for who is at it; nothing if it was done before.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
    /// # let server = evy_runtime::spawn(move || {
    /// #     acceptor.wrap(listener.accept()?.0)?.handshake()
    /// # });
    /// let stream = connector.wrap("localhost", evy_green_net::connect(address)?)?;
    /// stream.handshake()?;
    /// assert!(stream.is_handshake_done());
    /// # server.wait().unwrap()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidData` when one end does not like the other's certificate, or speaks no TLS; `TimedOut`
    /// after the [`handshake_timeout`](Self::handshake_timeout); `UnexpectedEof` when the peer leaves;
    /// those of the socket. A client of TLS 1.3 that the server turns away (for want of a certificate,
    /// say) learns it from its first read.
    ///
    /// # Yields
    ///
    /// While the peer's part is not there.
    #[doc(alias = "do_handshake")]
    pub fn handshake(&self) -> io::Result<()> {
        self.session.handshake(&self.socket)
    }

    /// Whether the handshake is over and went well.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// assert!(!stream.is_handshake_done());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_handshake_done(&self) -> bool {
        self.session.is_established()
    }

    /// Returns how long the handshake may take altogether; `None` is for ever.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// assert_eq!(stream.handshake_timeout(), Some(Duration::from_secs(10)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn handshake_timeout(&self) -> Option<Duration> {
        self.session.handshake_timeout()
    }

    /// Sets how long the handshake may take altogether, from the call that begins it; `None` is for ever.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// // A client that says nothing.
    /// let client = evy_green_net::connect(listener.local_addr()?)?;
    /// let stream = acceptor.wrap(listener.accept()?.0)?;
    /// stream.set_handshake_timeout(Some(Duration::from_millis(1)));
    /// assert_eq!(stream.handshake().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_handshake_timeout(&self, timeout: Option<Duration>) {
        self.session.set_handshake_timeout(timeout);
    }

    /// Ends what we send: the peer gets our close_notify, once, after everything written before. Reading
    /// goes on until the peer ends its side too.
    ///
    /// Before the handshake there is nothing to end: then nothing is sent.
    ///
    /// ```
    /// # use std::io::{ErrorKind, Write};
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
    /// # let server = evy_runtime::spawn(move || {
    /// #     acceptor.accept(listener.accept()?.0)
    /// # });
    /// # let mut stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
    /// stream.shutdown()?;
    /// assert_eq!(stream.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    /// # drop(server.wait().unwrap()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the socket's writes; what could not be sent is sent by the next call.
    ///
    /// # Yields
    ///
    /// While the socket has no room.
    #[doc(alias = "close_notify")]
    pub fn shutdown(&self) -> io::Result<()> {
        self.session.shutdown(&self.socket)
    }

    /// The stream below. Reading from it or writing to it breaks the session.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// assert!(stream.get_ref().nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Returns the protocol that both ends agreed on (ALPN); `None` if there was no talk of any.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// use evy_green_net::tls::{TlsAcceptor, TlsConnector};
    ///
    /// let acceptor =
    ///     TlsAcceptor::builder().identity_pem(&chain, &key).alpn(["h2", "http/1.1"]).build()?;
    /// let connector = TlsConnector::builder().roots_pem(&chain).alpn(["http/1.1"]).build()?;
    /// # let server = evy_runtime::spawn(move || {
    /// #     acceptor.accept(listener.accept()?.0)
    /// # });
    /// let stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
    /// assert_eq!(stream.alpn_protocol().as_deref(), Some(&b"http/1.1"[..]));
    /// # drop(server.wait().unwrap()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn alpn_protocol(&self) -> Option<Vec<u8>> {
        self.session.ask(|connection| connection.alpn_protocol().map(<[u8]>::to_vec))
    }

    /// At a server: returns the name that the client asked for (SNI), if it did. At a client: `None`.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
    /// # let client = evy_runtime::spawn(move || {
    /// #     connector.connect("localhost", evy_green_net::connect(address)?)
    /// # });
    /// let stream = acceptor.accept(listener.accept()?.0)?;
    /// assert_eq!(stream.server_name().as_deref(), Some("localhost"));
    /// # drop(client.wait().unwrap()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "sni")]
    pub fn server_name(&self) -> Option<String> {
        self.session.ask(|connection| match connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        })
    }

    /// Returns the peer's certificate and those above it, as it sent them; `None` before the handshake,
    /// and for a client that has none.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
    /// # let server = evy_runtime::spawn(move || {
    /// #     acceptor.accept(listener.accept()?.0)
    /// # });
    /// let stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
    /// assert_eq!(stream.peer_certificates().unwrap(), [made.cert.der().clone()]);
    /// # drop(server.wait().unwrap()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "getpeercert")]
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.session.ask(|connection| connection.peer_certificates().map(<[_]>::to_vec))
    }

    /// Returns the version of TLS; `None` before the handshake.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
    /// # let server = evy_runtime::spawn(move || {
    /// #     acceptor.accept(listener.accept()?.0)
    /// # });
    /// use evy_green_net::tls::rustls::ProtocolVersion;
    ///
    /// let stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
    /// assert_eq!(stream.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    /// # drop(server.wait().unwrap()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session.ask(|connection| connection.protocol_version())
    }

    /// Returns whether the handshake was a full one or took an earlier session up again; `None` before
    /// it.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
    /// # let server = evy_runtime::spawn(move || {
    /// #     acceptor.accept(listener.accept()?.0)
    /// # });
    /// use evy_green_net::tls::rustls::HandshakeKind;
    ///
    /// let stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
    /// assert_eq!(stream.handshake_kind(), Some(HandshakeKind::Full));
    /// # drop(server.wait().unwrap()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.session.ask(|connection| connection.handshake_kind())
    }
}

impl TlsStream<TcpStream> {
    /// Returns the address of the peer.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    ///
    /// # Yields
    ///
    /// Never.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Returns the address of this end.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// assert_eq!(stream.local_addr()?, listener.accept()?.1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TcpStream::local_addr`].
    ///
    /// # Yields
    ///
    /// Never.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sets how long each read from the socket may park; `None` is for ever. The handshake's too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    /// let error = std::io::Read::read(&mut &stream, &mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time of 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// Sets how long each write to the socket may park; `None` is for ever. The handshake's too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    /// assert_eq!(stream.get_ref().write_timeout()?, Some(Duration::from_secs(5)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time of 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(timeout)
    }

    /// Closes the connection under whoever uses it: they, and every later call, get `NotConnected`. The
    /// peer gets our close_notify if the handshake is done and the socket has room for it at once.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// let stream = acceptor.wrap(evy_green_net::connect(listener.local_addr()?)?)?;
    /// stream.close();
    /// let error = (&stream).read(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn close(&self) {
        self.session.close(|bytes| self.socket.try_write(bytes));
        self.socket.close();
    }
}

impl<S: Transport> Read for &TlsStream<S> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.read(&self.socket, buffer)
    }
}

impl<S: Transport> Write for &TlsStream<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.write(&self.socket, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.flush(&self.socket)
    }
}

impl<S: Transport> Read for TlsStream<S> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.read(&self.socket, buffer)
    }
}

impl<S: Transport> Write for TlsStream<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.write(&self.socket, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.flush(&self.socket)
    }
}

impl<S: Transport> Drop for TlsStream<S> {
    fn drop(&mut self) {
        self.session.part(&self.socket);
    }
}

impl<S: Transport + fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.socket)
            .field("version", &self.protocol_version())
            .finish_non_exhaustive()
    }
}
