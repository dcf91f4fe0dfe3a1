//! The server's side.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evy_runtime::unblock;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::pem::{IdentityPem, Pem};
use super::{HANDSHAKE_TIMEOUT, TlsStream, Transport, provider, refused};

/// Makes servers' ends of TLS streams. A clone is cheap.
///
/// ```
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// use evy_green_net::tls::TlsAcceptor;
///
/// let acceptor = TlsAcceptor::from_pem(&chain, &key)?;
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let _client = evy_green_net::connect(listener.local_addr()?)?;
/// let (client, _) = listener.accept()?;
/// let stream = acceptor.wrap(client)?;
/// # drop(stream);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    handshake_timeout: Option<Duration>,
}

impl TlsAcceptor {
    /// One that shows this certificate (with those above it) and has its key, both PEM.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # drop(acceptor);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidData` for what is no certificate or no key, or for a key of another certificate.
    ///
    /// # Yields
    ///
    /// As [`TlsAcceptorBuilder::build`].
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> io::Result<Self> {
        Self::builder().identity_pem(chain, key).build()
    }

    /// As [`from_pem`](Self::from_pem), from files.
    ///
    /// ```
    /// let error = evy_green_net::tls::TlsAcceptor::from_files("/no/such", "/file").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Errors
    ///
    /// Those of reading the files, and those of [`from_pem`](Self::from_pem).
    ///
    /// # Yields
    ///
    /// While the files are read, on another OS thread.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> io::Result<Self> {
        Self::builder().identity_files(chain, key).build()
    }

    /// For what is not as usual.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let acceptor = TlsAcceptor::builder().identity_pem(&chain, &key).alpn(["h2"]).build()?;
    /// # drop(acceptor);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn builder() -> TlsAcceptorBuilder {
        TlsAcceptorBuilder {
            identity: None,
            named: Vec::new(),
            client_roots: Vec::new(),
            clients: Clients::NeedNone,
            alpn: Vec::new(),
            versions: rustls::DEFAULT_VERSIONS.to_vec(),
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        }
    }

    /// One with a configuration of rustls' own, for what the builder does not have. The handshake may
    /// take 10 s.
    ///
    /// Code that it brings along, as what chooses certificates, must not park: see
    /// [`TlsStream`](TlsStream#code-of-your-own-in-a-session).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use evy_green_net::tls::{TlsAcceptor, rustls};
    ///
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let config = rustls::ServerConfig::builder_with_provider(provider)
    ///     .with_safe_default_protocol_versions()
    ///     .unwrap()
    ///     .with_no_client_auth()
    ///     .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    /// let acceptor = TlsAcceptor::from_config(Arc::new(config));
    /// # drop(acceptor);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { config, handshake_timeout: Some(HANDSHAKE_TIMEOUT) }
    }

    /// Wraps a client's stream. The first read or write does the handshake; nothing waits here, so this
    /// may be called in an accept loop.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let _client = evy_green_net::connect(listener.local_addr()?)?;
    /// let stream = acceptor.wrap(listener.accept()?.0)?;
    /// assert!(!stream.is_handshake_done());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the configuration does not allow any connection.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "wrap_ssl")]
    pub fn wrap<S: Transport>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(refused)?;
        Ok(TlsStream::new(connection, stream, self.handshake_timeout))
    }

    /// Wraps a client's stream, and does the handshake. Not for the accept loop: it waits for the client.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// # let acceptor = evy_green_net::tls::TlsAcceptor::from_pem(&chain, &key)?;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// // A client that leaves without a word.
    /// drop(evy_green_net::connect(listener.local_addr()?)?);
    /// let error = acceptor.accept(listener.accept()?.0).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
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
    pub fn accept<S: Transport>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let stream = self.wrap(stream)?;
        stream.handshake()?;
        Ok(stream)
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// Builds a [`TlsAcceptor`]; it needs at least one identity.
///
/// ```
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// use evy_green_net::tls::TlsAcceptor;
///
/// let acceptor = TlsAcceptor::builder()
///     .identity_pem(&chain, &key)
///     .client_roots_pem(&chain)
///     .client_certificate_optional()
///     .build()?;
/// # drop(acceptor);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is made before `build`"]
pub struct TlsAcceptorBuilder {
    identity: Option<IdentityPem>,
    named: Vec<(String, IdentityPem)>,
    client_roots: Vec<Pem>,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    handshake_timeout: Option<Duration>,
}

/// Whether clients have to say who they are.
#[derive(Clone, Copy, Debug)]
enum Clients {
    NeedNone,
    MayShow,
    MustShow,
}

impl TlsAcceptorBuilder {
    /// The certificate with those above it, and its key (PEM), for clients that ask for no name or for
    /// one that no other identity is for.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let acceptor = TlsAcceptor::builder().identity_pem(&chain, &key).build()?;
    /// # drop(acceptor);
    /// # Ok::<(), std::io::Error>(())
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
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let builder = TlsAcceptor::builder().identity_files("/no/such", "/file");
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

    /// A certificate and key (PEM) for clients that ask for this name (SNI). `*.example.org` is every
    /// name with one label more than `example.org`; a name itself goes before that.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let acceptor = TlsAcceptor::builder()
    ///     .identity_pem_for("example.org", &chain, &key)
    ///     .identity_pem_for("*.example.org", &chain, &key)
    ///     .build()?;
    /// # drop(acceptor);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "sni")]
    pub fn identity_pem_for(
        mut self,
        name: &str,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Self {
        self.named.push((name.to_ascii_lowercase(), IdentityPem::text(chain, key)));
        self
    }

    /// As [`identity_pem_for`](Self::identity_pem_for), from files.
    ///
    /// ```
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let builder = TlsAcceptor::builder().identity_files_for("localhost", "/no/such", "/file");
    /// assert_eq!(builder.build().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn identity_files_for(
        mut self,
        name: &str,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.named.push((name.to_ascii_lowercase(), IdentityPem::files(chain, key)));
        self
    }

    /// Wants of every client a certificate that one of these (PEM) is above.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let builder = TlsAcceptor::builder().identity_pem(&chain, &key).client_roots_pem(&chain);
    /// assert!(builder.build().is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn client_roots_pem(mut self, certificates: impl AsRef<[u8]>) -> Self {
        self.client_roots.push(Pem::text(certificates));
        self.must_show()
    }

    /// As [`client_roots_pem`](Self::client_roots_pem), from a file.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let builder = TlsAcceptor::builder().identity_pem(&chain, &key).client_roots_file("/no/such");
    /// assert_eq!(builder.build().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn client_roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_roots.push(Pem::File(path.into()));
        self.must_show()
    }

    fn must_show(mut self) -> Self {
        if matches!(self.clients, Clients::NeedNone) {
            self.clients = Clients::MustShow;
        }
        self
    }

    /// Takes clients without a certificate too; [`TlsStream::peer_certificates`] tells. One that is shown
    /// has to be good all the same.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let builder = TlsAcceptor::builder().identity_pem(&chain, &key);
    /// assert!(builder.client_roots_pem(&chain).client_certificate_optional().build().is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn client_certificate_optional(mut self) -> Self {
        self.clients = Clients::MayShow;
        self
    }

    /// Speaks these protocols, the preferred one first (ALPN). A client that offers others only is
    /// turned away; one that offers none is not.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let acceptor = TlsAcceptor::builder().identity_pem(&chain, &key).alpn(["h2"]).build()?;
    /// # drop(acceptor);
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

    /// Speaks these versions of TLS only; by default 1.2 and 1.3.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::{TlsAcceptor, rustls};
    ///
    /// let builder = TlsAcceptor::builder().identity_pem(&chain, &key);
    /// assert!(builder.versions(&[&rustls::version::TLS13]).build().is_ok());
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
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use std::time::Duration;
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let builder = TlsAcceptor::builder().identity_pem(&chain, &key);
    /// assert!(builder.handshake_timeout(Some(Duration::from_secs(3))).build().is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Reads the files, and makes the acceptor.
    ///
    /// ```
    /// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    /// use evy_green_net::tls::TlsAcceptor;
    ///
    /// let acceptor = TlsAcceptor::builder().identity_pem(&chain, &key).build();
    /// assert!(acceptor.is_ok());
    /// let error = TlsAcceptor::builder().build().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    ///
    /// # Errors
    ///
    /// Those of reading the files; `InvalidData` for what is in them, or for a key that does not belong
    /// to its certificate; `InvalidInput` when there is no identity, or clients may show certificates and
    /// no root is given for them.
    ///
    /// # Yields
    ///
    /// While files are read, on another OS thread.
    pub fn build(self) -> io::Result<TlsAcceptor> {
        unblock(move || self.assemble())
    }

    fn assemble(self) -> io::Result<TlsAcceptor> {
        let identities = self.identities()?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .map_err(refused)?;
        let builder = match self.clients {
            Clients::NeedNone => builder.with_no_client_auth(),
            Clients::MayShow | Clients::MustShow => {
                let roots = Arc::new(self.client_roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = match self.clients {
                    Clients::MayShow => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(identities));
        // Tickets that only this process can read, renewed by rustls, so that sessions can be taken up
        // without the server's keeping anything.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(refused)?;
        config.alpn_protocols = self.alpn;
        let handshake_timeout = self.handshake_timeout;
        Ok(TlsAcceptor { config: Arc::new(config), handshake_timeout })
    }

    fn identities(&self) -> io::Result<Identities> {
        let certified = |identity: &IdentityPem| -> io::Result<Arc<CertifiedKey>> {
            let (chain, key) = identity.load()?;
            let certified = CertifiedKey::from_der(chain, key, &provider());
            certified.map(Arc::new).map_err(super::invalid)
        };
        let mut by_name = HashMap::new();
        for (name, identity) in &self.named {
            by_name.insert(name.clone(), certified(identity)?);
        }
        let otherwise = self.identity.as_ref().map(certified).transpose()?;
        if otherwise.is_none() && by_name.is_empty() {
            let text = "a TLS server needs a certificate and its key";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Identities { by_name, otherwise })
    }

    fn client_roots(&self) -> io::Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        for pem in &self.client_roots {
            for root in pem.certificates()? {
                store.add(root).map_err(super::invalid)?;
            }
        }
        Ok(store)
    }
}

/// Who a server is, by the name that a client asks for.
#[derive(Debug)]
struct Identities {
    /// In lower case; `*.` before what has one label more.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    otherwise: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.named(&name.to_ascii_lowercase()));
        named.or(self.otherwise.as_ref()).cloned()
    }
}

impl Identities {
    fn named(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.by_name.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        })
    }
}
