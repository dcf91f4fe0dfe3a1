//! The client's side.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evy_runtime::unblock;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use rustls_platform_verifier::Verifier;

use super::any_certificate::AnyCertificate;
use super::pem::{IdentityPem, Pem};
use super::{HANDSHAKE_TIMEOUT, TlsStream, Transport, provider, refused};
use crate::TcpStream;

/// Makes clients' ends of TLS streams.
///
/// A clone is cheap. Sessions are remembered, so that a second connection to a server is quicker: make
/// one of these, not one for each connection.
///
/// ```no_run
/// use evy_green_net::tls::TlsConnector;
///
/// let connector = TlsConnector::new()?;
/// let stream = connector.connect("example.org", evy_green_net::connect("example.org:443")?)?;
/// # drop(stream);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    handshake_timeout: Option<Duration>,
}

impl TlsConnector {
    /// One that trusts whom the system trusts.
    ///
    /// ```
    /// let connector = evy_green_net::tls::TlsConnector::new();
    /// # drop(connector); // there are machines without any root
    /// ```
    ///
    /// # Errors
    ///
    /// When the system has no root certificates.
    ///
    /// # Yields
    ///
    /// While the roots are read, on another OS thread.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// For what is not as usual.
    ///
    /// ```
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let connector = TlsConnector::builder().webpki_roots().alpn(["h2", "http/1.1"]).build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn builder() -> TlsConnectorBuilder {
        TlsConnectorBuilder {
            base: None,
            roots: Vec::new(),
            identity: None,
            alpn: Vec::new(),
            sni: true,
            resumption: true,
            accepts_any_certificate: false,
            versions: rustls::DEFAULT_VERSIONS.to_vec(),
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        }
    }

    /// One with a configuration of rustls' own, for what the builder does not have. The handshake may
    /// take 10 s.
    ///
    /// Code that it brings along, as a verifier or a key log, must not park: see
    /// [`TlsStream`](TlsStream#code-of-your-own-in-a-session).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use evy_green_net::tls::{TlsConnector, rustls};
    ///
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let config = rustls::ClientConfig::builder_with_provider(provider)
    ///     .with_safe_default_protocol_versions()
    ///     .unwrap()
    ///     .with_root_certificates(rustls::RootCertStore::empty())
    ///     .with_no_client_auth();
    /// let connector = TlsConnector::from_config(Arc::new(config));
    /// # drop(connector);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        Self { config, handshake_timeout: Some(HANDSHAKE_TIMEOUT) }
    }

    /// Wraps a stream to a server of that name (or IP address), and does the handshake.
    ///
    /// ```no_run
    /// # let connector = evy_green_net::tls::TlsConnector::new()?;
    /// let stream = connector.connect("example.org", evy_green_net::connect("example.org:443")?)?;
    /// assert!(stream.is_handshake_done());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`wrap`](Self::wrap) and of [`TlsStream::handshake`].
    ///
    /// # Yields
    ///
    /// During the handshake.
    pub fn connect<S: Transport>(&self, name: &str, stream: S) -> io::Result<TlsStream<S>> {
        let stream = self.wrap(name, stream)?;
        stream.handshake()?;
        Ok(stream)
    }

    /// Wraps a stream to a server of that name (or IP address), whose certificate has to be for it. The
    /// first read or write does the handshake.
    ///
    /// ```no_run
    /// # let connector = evy_green_net::tls::TlsConnector::new()?;
    /// let stream = connector.wrap("example.org", evy_green_net::connect("example.org:443")?)?;
    /// assert!(!stream.is_handshake_done());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what can be no name of a server.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "wrap_ssl")]
    pub fn wrap<S: Transport>(&self, name: &str, stream: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(name).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("server name '{name}': {error}"))
        })?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name.to_owned());
        let connection = connection.map_err(refused)?;
        Ok(TlsStream::new(connection, stream, self.handshake_timeout))
    }

    /// Connects to a port of a host by TCP, and does the handshake.
    ///
    /// ```no_run
    /// let connector = evy_green_net::tls::TlsConnector::new()?;
    /// let stream = connector.connect_to(("example.org", 443))?;
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`crate::connect`] and of [`connect`](Self::connect).
    ///
    /// # Yields
    ///
    /// Until connected, and during the handshake.
    pub fn connect_to(&self, (host, port): (&str, u16)) -> io::Result<TlsStream<TcpStream>> {
        self.connect(host, crate::connect((host, port))?)
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// Connects to a port of a host by TCP and TLS, trusting whom the system trusts.
///
/// ```no_run
/// use std::io::Write;
///
/// let mut stream = evy_green_net::tls::connect(("example.org", 443))?;
/// stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`TlsConnector::new`] and [`TlsConnector::connect_to`].
///
/// # Yields
///
/// Until connected, and during the handshake; the first time, while the system's roots are read.
pub fn connect(address: (&str, u16)) -> io::Result<TlsStream<TcpStream>> {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    let connector = match CONNECTOR.get() {
        Some(connector) => connector,
        None => {
            // It parks, so it must not be done inside the lock. Two may come here: one's is kept.
            let connector = TlsConnector::new()?;
            CONNECTOR.get_or_init(|| connector)
        }
    };
    connector.connect_to(address)
}

/// Builds a [`TlsConnector`].
///
/// ```
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// use evy_green_net::tls::TlsConnector;
///
/// let connector = TlsConnector::builder().roots_pem(&chain).identity_pem(&chain, &key).build()?;
/// # drop(connector);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is made before `build`"]
pub struct TlsConnectorBuilder {
    /// `None`: the system's if there are no roots of one's own.
    base: Option<Base>,
    roots: Vec<Pem>,
    identity: Option<IdentityPem>,
    alpn: Vec<Vec<u8>>,
    sni: bool,
    resumption: bool,
    /// Whatever the roots are.
    accepts_any_certificate: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
    handshake_timeout: Option<Duration>,
}

/// Which of the large collections of roots is trusted.
#[derive(Clone, Copy, Debug)]
enum Base {
    Platform,
    Webpki,
}

impl TlsConnectorBuilder {
    /// Trusts whom the system trusts; that is the default, unless roots of one's own are given.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// // The system's, and one more.
    /// let builder = TlsConnector::builder().platform_roots().roots_pem(made.cert.pem());
    /// assert!(builder.build().is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn platform_roots(mut self) -> Self {
        self.base = Some(Base::Platform);
        self
    }

    /// Trusts Mozilla's roots as they were when the crate webpki-roots was made, instead of the system's.
    ///
    /// ```
    /// let connector = evy_green_net::tls::TlsConnector::builder().webpki_roots().build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn webpki_roots(mut self) -> Self {
        self.base = Some(Base::Webpki);
        self
    }

    /// Trusts these certificates (PEM): they alone, unless another set of roots is named too.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let connector = TlsConnector::builder().roots_pem(made.cert.pem()).build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn roots_pem(mut self, certificates: impl AsRef<[u8]>) -> Self {
        self.roots.push(Pem::text(certificates));
        self
    }

    /// As [`roots_pem`](Self::roots_pem), from a file.
    ///
    /// ```
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let error = TlsConnector::builder().roots_file("/no/such/file").build().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots.push(Pem::File(path.into()));
        self
    }

    /// Who we are, for servers that ask: our certificate with those above it, and its key (PEM).
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let builder = TlsConnector::builder().webpki_roots().identity_pem(&chain, &key);
    /// assert!(builder.build().is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn identity_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some(IdentityPem::text(chain, key));
        self
    }

    /// As [`identity_pem`](Self::identity_pem), from files.
    ///
    /// ```
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let builder = TlsConnector::builder().webpki_roots().identity_files("/no/such", "/file");
    /// assert_eq!(builder.build().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn identity_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some(IdentityPem::files(chain, key));
        self
    }

    /// Offers these protocols to the server, the preferred one first (ALPN).
    ///
    /// ```
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let connector = TlsConnector::builder().webpki_roots().alpn(["h2", "http/1.1"]).build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        self.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Whether the server is told which name we want (SNI); it is, unless this is called with `false`.
    ///
    /// ```
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let connector = TlsConnector::builder().webpki_roots().sni(false).build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn sni(mut self, sni: bool) -> Self {
        self.sni = sni;
        self
    }

    /// Whether sessions are remembered, so that a second connection to a server is quicker; they are, unless
    /// this is called with `false`. Then every connection does a whole handshake.
    ///
    /// ```
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let connector = TlsConnector::builder().webpki_roots().resumption(false).build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn resumption(mut self, resumption: bool) -> Self {
        self.resumption = resumption;
        self
    }

    /// Whether the server may show any certificate: one that nobody we trust has signed, that has expired, or
    /// that is for another name. By default it may not.
    ///
    /// **With `true`, nobody knows who the server is.** Whoever sits between the two ends can answer in its
    /// place, and read and change all that goes over the connection. It is for tests, and for a server that
    /// cannot be given a better certificate. Where its certificate is at hand, trust it by
    /// [`roots_pem`](Self::roots_pem), which keeps all checks.
    ///
    /// Roots that are named are still read, and decide nothing. What the handshake itself has to prove is
    /// still checked: that the server has the key of the certificate that it shows. So it has to be one that
    /// rustls can read: X.509 version 3, with a key of a kind and length that ring knows.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use evy_green_net::tls::{TlsAcceptor, TlsConnector, TlsListener};
    ///
    /// # let made = rcgen::generate_simple_self_signed(["elsewhere.example".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// // A certificate that its owner has signed, and for another name at that.
    /// let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
    /// let listener = TlsListener::new(evy_green_net::listen("127.0.0.1:0")?, acceptor);
    /// let address = listener.local_addr()?;
    /// evy_runtime::spawn_n(move || {
    ///     for mut client in listener.incoming().flatten() {
    ///         let _ = client.write_all(b"hello");
    ///     }
    /// });
    ///
    /// let connector = TlsConnector::builder().webpki_roots().build()?;
    /// let error = connector.connect_to(("localhost", address.port())).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    ///
    /// let connector = TlsConnector::builder().danger_accept_any_certificate(true).build()?;
    /// let mut stream = connector.connect_to(("localhost", address.port()))?;
    /// let mut text = String::new();
    /// stream.read_to_string(&mut text)?;
    /// assert_eq!(text, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "dangerous")]
    #[doc(alias = "insecure")]
    #[doc(alias = "danger_accept_invalid_certs")]
    pub fn danger_accept_any_certificate(mut self, accepts_any_certificate: bool) -> Self {
        self.accepts_any_certificate = accepts_any_certificate;
        self
    }

    /// Speaks these versions of TLS only; by default 1.2 and 1.3.
    ///
    /// ```
    /// use evy_green_net::tls::{TlsConnector, rustls};
    ///
    /// let builder = TlsConnector::builder().webpki_roots().versions(&[&rustls::version::TLS13]);
    /// assert!(builder.build().is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn versions(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// How long a handshake may take altogether; by default 10 s, and `None` is for ever.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_green_net::tls::TlsConnector;
    ///
    /// let limit = Some(Duration::from_secs(3));
    /// let connector = TlsConnector::builder().webpki_roots().handshake_timeout(limit).build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Reads the files, and makes the connector.
    ///
    /// ```
    /// let connector = evy_green_net::tls::TlsConnector::builder().webpki_roots().build()?;
    /// # drop(connector);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of reading the files; `InvalidData` for what is in them, or for a key that does not belong
    /// to its certificate; `InvalidInput` when the rest does not fit together, or the system has no roots.
    ///
    /// # Yields
    ///
    /// While files are read, on another OS thread.
    pub fn build(self) -> io::Result<TlsConnector> {
        unblock(move || self.assemble())
    }

    fn assemble(self) -> io::Result<TlsConnector> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(refused)?;
        let own = self.own_roots()?;
        let builder = match self.base {
            _ if self.accepts_any_certificate => {
                let verifier = Arc::new(AnyCertificate::new(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            Some(Base::Webpki) => builder.with_root_certificates(store(own, true)?),
            None if !own.is_empty() => builder.with_root_certificates(store(own, false)?),
            Some(Base::Platform) | None => {
                let verifier = Verifier::new_with_extra_roots(own, provider).map_err(refused)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.load()?;
                builder.with_client_auth_cert(chain, key).map_err(super::invalid)?
            }
        };
        config.alpn_protocols = self.alpn;
        config.enable_sni = self.sni;
        if !self.resumption {
            config.resumption = Resumption::disabled();
        }
        let handshake_timeout = self.handshake_timeout;
        Ok(TlsConnector { config: Arc::new(config), handshake_timeout })
    }

    fn own_roots(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            roots.extend(pem.certificates()?);
        }
        Ok(roots)
    }
}

fn store(own: Vec<CertificateDer<'static>>, webpki: bool) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for root in own {
        store.add(root).map_err(super::invalid)?;
    }
    if webpki {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}
