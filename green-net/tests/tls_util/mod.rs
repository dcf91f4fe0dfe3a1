//! What the tests of TLS share: an authority that makes certificates (ECDSA P-256), and both ends of a
//! stream.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use evy_green_net::tls::rustls::SupportedProtocolVersion;
use evy_green_net::tls::rustls::pki_types::CertificateDer;
use evy_green_net::tls::rustls::pki_types::pem::PemObject;
use evy_green_net::tls::rustls::version::{TLS12, TLS13};
use evy_green_net::tls::{TlsAcceptor, TlsConnector, TlsListener, TlsStream};
use evy_green_net::{TcpStream, connect, listen};
use evy_runtime::spawn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::util::{green_pair, soon};

/// One of the versions of TLS, as the builders want it.
pub(crate) type Versions = &'static [&'static SupportedProtocolVersion];

pub(crate) const VERSIONS: [Versions; 2] = [&[&TLS12], &[&TLS13]];

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // By this name, a certificate's issuer is looked for.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority {} of these tests", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.identity_with(name, |_| ())
    }

    pub(crate) fn identity_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::builder().roots_pem(self.pem()).build().unwrap()
    }
}

impl Identity {
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from_pem(&self.chain, &self.key).unwrap()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

/// A server's acceptor for localhost, and the connector of clients that trust it.
pub(crate) fn configurations() -> (TlsAcceptor, TlsConnector) {
    let authority = Authority::new();
    (authority.identity("localhost").acceptor(), authority.connector())
}

/// The same, for one version of TLS.
pub(crate) fn configurations_of(versions: Versions) -> (TlsAcceptor, TlsConnector) {
    let authority = Authority::new();
    let Identity { chain, key } = authority.identity("localhost");
    let acceptor = TlsAcceptor::builder().identity_pem(chain, key).versions(versions).build();
    let connector = TlsConnector::builder().roots_pem(authority.pem()).versions(versions).build();
    (acceptor.unwrap(), connector.unwrap())
}

/// A listener for localhost, where it is, and who may connect to it.
pub(crate) fn listener() -> (TlsListener, SocketAddr, TlsConnector) {
    let (acceptor, connector) = configurations();
    let listener = TlsListener::new(listen("127.0.0.1:0").unwrap(), acceptor);
    let address = listener.local_addr().unwrap();
    (listener, address, connector)
}

pub(crate) fn client(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    connector.connect("localhost", connect(address).unwrap()).unwrap()
}

/// Both ends of a stream, the server's first, with the handshake done.
pub(crate) fn tls_pair() -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    let (acceptor, connector) = configurations();
    tls_pair_of(&acceptor, &connector)
}

pub(crate) fn tls_pair_of(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
) -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    let (server, client) = green_pair();
    let acceptor = acceptor.clone();
    let server = spawn(move || acceptor.accept(server).unwrap());
    let client = soon(|| connector.connect("localhost", client)).unwrap();
    (soon(|| server.wait()).unwrap(), client)
}

/// Bytes of which no two neighbourhoods look alike.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(byte).collect()
}
