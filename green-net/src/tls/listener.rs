//! A listener whose connections are under TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::{TlsAcceptor, TlsStream};
use crate::{TcpListener, TcpStream};

/// A [`TcpListener`] whose connections are servers' ends of TLS streams.
///
/// `accept` does no handshake, so a client that stays silent delays nobody: the handshake is done by
/// the first read or write, on the green thread that serves the client.
///
/// ```
/// use std::io::Write;
/// use evy_green_net::tls::{TlsAcceptor, TlsListener};
///
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
/// let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
/// let address = listener.local_addr()?;
/// evy_runtime::spawn_n(move || -> std::io::Result<()> {
///     loop {
///         let (mut client, _) = listener.accept()?;
///         evy_runtime::spawn_n(move || client.write_all(b"hello"));
///     }
/// });
/// # let connector = evy_green_net::tls::TlsConnector::builder().roots_pem(&chain).build()?;
/// # let mut stream = connector.connect("localhost", evy_green_net::connect(address)?)?;
/// # std::io::Read::read_exact(&mut stream, &mut [0; 5])?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    /// Puts TLS on the connections of a listener.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::{TlsAcceptor, TlsListener};
    ///
    /// let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "wrap_ssl")]
    pub fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor }
    }

    /// Waits for a connection. The handshake is not done yet.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # use evy_green_net::tls::{TlsAcceptor, TlsListener};
    /// # let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// # let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// let silent = evy_green_net::connect(listener.local_addr()?)?;
    /// let (stream, peer) = listener.accept()?;
    /// assert_eq!(peer, silent.local_addr()?);
    /// assert!(!stream.is_handshake_done());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::accept`] and of [`TlsAcceptor::wrap`].
    ///
    /// # Yields
    ///
    /// Until there is a connection.
    pub fn accept(&self) -> io::Result<(TlsStream<TcpStream>, SocketAddr)> {
        let (stream, peer) = self.listener.accept()?;
        Ok((self.acceptor.wrap(stream)?, peer))
    }

    /// The connections, one after the other, for ever; as [`std::net::TcpListener::incoming`].
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # use evy_green_net::tls::{TlsAcceptor, TlsListener};
    /// # let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// # let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// # let _silent = evy_green_net::connect(listener.local_addr()?)?;
    /// for stream in listener.incoming() {
    ///     assert!(!stream?.is_handshake_done());
    ///     break;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// At each item, as [`accept`](Self::accept).
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<TlsStream<TcpStream>>> + '_ {
        std::iter::repeat_with(|| self.accept().map(|(stream, _)| stream))
    }

    /// Returns the address where it listens.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # use evy_green_net::tls::{TlsAcceptor, TlsListener};
    /// # let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// assert!(listener.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TcpListener::local_addr`].
    ///
    /// # Yields
    ///
    /// Never.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Stops listening: whoever waits in [`accept`](Self::accept), and every later call, gets
    /// `NotConnected`.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # use evy_green_net::tls::{TlsAcceptor, TlsListener};
    /// # let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// # let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// listener.close();
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn close(&self) {
        self.listener.close();
    }

    /// The listener below.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # use evy_green_net::tls::{TlsAcceptor, TlsListener};
    /// # let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// # let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// assert!(listener.get_ref().ttl()? > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_ref(&self) -> &TcpListener {
        &self.listener
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.listener)
            .field("acceptor", &self.acceptor)
            .finish()
    }
}
