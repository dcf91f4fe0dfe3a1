//! What a connector and an acceptor can be told: roots, certificates, names, protocols.

mod tls_util;
mod util;

use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evy_green_net::tls::rustls;
use evy_green_net::tls::rustls::pki_types::pem::PemObject;
use evy_green_net::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use evy_green_net::tls::{TlsAcceptor, TlsConnector, TlsConnectorBuilder, TlsListener, TlsStream};
use evy_green_net::{TcpStream, listen};
use evy_runtime::spawn;
use rcgen::{CertificateParams, date_time_ymd};
use tls_util::{Authority, Identity, VERSIONS, configurations, tls_pair_of};
use util::{green_pair, soon};

/// Both ends after a handshake under that name, or what the client says.
fn meet(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    name: &str,
) -> std::io::Result<(TlsStream<TcpStream>, TlsStream<TcpStream>)> {
    let (server, client) = green_pair();
    let acceptor = acceptor.clone();
    let server = spawn(move || acceptor.accept(server));
    let client = soon(|| connector.connect(name, client))?;
    Ok((soon(|| server.wait()).unwrap()?, client))
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_protocol_is_the_first_of_the_servers_that_the_client_has_too() {
    let authority = Authority::new();
    let Identity { chain, key } = authority.identity("localhost");
    let server = |protocols: &[&str]| {
        let builder = TlsAcceptor::builder().identity_pem(&chain, &key);
        builder.alpn(protocols).build().unwrap()
    };
    let client = |protocols: &[&str]| {
        TlsConnector::builder().roots_pem(authority.pem()).alpn(protocols).build().unwrap()
    };
    let agreed = |servers: &[&str], clients: &[&str]| {
        let met = meet(&server(servers), &client(clients), "localhost");
        met.map(|(server, client)| {
            assert_eq!(server.alpn_protocol(), client.alpn_protocol());
            server.alpn_protocol().map(|protocol| String::from_utf8(protocol).unwrap())
        })
    };
    assert_eq!(agreed(&["h2", "http/1.1"], &["http/1.1", "h2"]).unwrap().as_deref(), Some("h2"));
    assert_eq!(agreed(&["http/1.1"], &["h2", "http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&["h2"], &[]).unwrap(), None);
    assert_eq!(agreed(&[], &["h2"]).unwrap(), None);
    let error = agreed(&["h2"], &["smtp"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn the_certificate_is_the_one_of_the_name_that_the_client_asks_for() {
    let authority = Authority::new();
    let names = ["one.wild.example", "*.wild.example", "a.two.wild.example", "localhost"];
    let identities = names.map(|name| authority.identity(name));
    let [one, any, deep, otherwise] = &identities;
    let acceptor = TlsAcceptor::builder()
        .identity_pem(&otherwise.chain, &otherwise.key)
        .identity_pem_for("one.wild.example", &one.chain, &one.key)
        .identity_pem_for("*.Wild.example", &any.chain, &any.key)
        .identity_pem_for("a.two.wild.example", &deep.chain, &deep.key)
        .build()
        .unwrap();
    let shown = |name: &str| {
        let (server, client) = meet(&acceptor, &authority.connector(), name).unwrap();
        assert_eq!(server.server_name().as_deref(), Some(name));
        assert_eq!(client.server_name(), None);
        client.peer_certificates().unwrap()
    };
    assert_eq!(shown("one.wild.example"), [one.der()]);
    assert_eq!(shown("other.wild.example"), [any.der()]);
    assert_eq!(shown("a.two.wild.example"), [deep.der()]);
    assert_eq!(shown("localhost"), [otherwise.der()]);
    // One label more than the star stands for: the other certificate, which is not for that name.
    let error = meet(&acceptor, &authority.connector(), "b.two.wild.example").unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn a_name_that_nobody_has_is_refused_where_there_is_no_other_identity() {
    let authority = Authority::new();
    let Identity { chain, key } = authority.identity("localhost");
    let acceptor = TlsAcceptor::builder().identity_pem_for("localhost", chain, key);
    let acceptor = acceptor.build().unwrap();
    assert!(meet(&acceptor, &authority.connector(), "localhost").is_ok());
    let error = meet(&acceptor, &authority.connector(), "elsewhere.example").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn a_client_that_is_told_so_does_not_say_which_name_it_wants() {
    let authority = Authority::new();
    let acceptor = authority.identity("localhost").acceptor();
    for sni in [true, false] {
        let connector = TlsConnector::builder().roots_pem(authority.pem()).sni(sni);
        let (server, _) = meet(&acceptor, &connector.build().unwrap(), "localhost").unwrap();
        assert_eq!(server.server_name().is_some(), sni);
    }
}

#[test]
fn a_server_can_be_known_by_its_address() {
    let authority = Authority::new();
    for address in ["127.0.0.1", "::1"] {
        let acceptor = authority.identity(address).acceptor();
        assert!(meet(&acceptor, &authority.connector(), address).is_ok(), "{address}");
    }
}

#[test]
fn a_name_that_can_be_none_is_refused_before_anything_is_sent() {
    let (_, connector) = configurations();
    for name in ["", "two words", "a..b", "*.example"] {
        let (_peer, stream) = green_pair();
        let error = connector.wrap(name, stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        assert!(error.to_string().contains(&format!("'{name}'")), "{error}");
    }
}

#[test]
fn a_server_sees_who_its_client_is() {
    for versions in VERSIONS {
        let authority = Authority::new();
        let (server, client) = (authority.identity("localhost"), authority.identity("a client"));
        let acceptor = || {
            let builder = TlsAcceptor::builder().identity_pem(&server.chain, &server.key);
            builder.client_roots_pem(authority.pem()).versions(versions)
        };
        let connector = TlsConnector::builder().roots_pem(authority.pem());
        let known = connector.clone().identity_pem(&client.chain, &client.key).build().unwrap();
        let unknown = connector.build().unwrap();
        let wanted = acceptor().build().unwrap();
        let optional = acceptor().client_certificate_optional().build().unwrap();
        for acceptor in [&wanted, &optional] {
            let (mut server, mut client) = meet(acceptor, &known, "localhost").unwrap();
            assert_eq!(server.peer_certificates().unwrap().len(), 1);
            client.write_all(b"x").unwrap();
            assert_eq!(soon(|| server.read(&mut [0; 8])).unwrap(), 1);
        }
        let (server, _) = meet(&optional, &unknown, "localhost").unwrap();
        assert!(server.peer_certificates().is_none());
    }
}

#[test]
fn certificates_and_keys_come_from_files() {
    let folder = Folder::new("files");
    let authority = Authority::new();
    let Identity { chain, key } = authority.identity("localhost");
    let [root, chain, key] = [("root", &authority.pem()), ("chain", &chain), ("key", &key)]
        .map(|(name, text)| folder.file(name, text));
    let acceptor = TlsAcceptor::builder()
        .identity_files(&chain, &key)
        .identity_files_for("named.example", &chain, &key)
        .client_roots_file(&root)
        .build()
        .unwrap();
    let connector =
        TlsConnector::builder().roots_file(&root).identity_files(&chain, &key).build().unwrap();
    assert!(meet(&acceptor, &connector, "localhost").is_ok());
    assert!(TlsAcceptor::from_files(&chain, &key).is_ok());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let folder = Folder::new("wrong");
    let authority = Authority::new();
    let (one, other) = (authority.identity("localhost"), authority.identity("localhost"));
    let chain = folder.file("chain", &one.chain);
    let key = folder.file("key", &one.key);
    let wrong_key = folder.file("wrong-key", &other.key);
    let empty = folder.file("empty", "no PEM at all\n");
    let missing = folder.0.join("missing");
    let refused = |chain: &PathBuf, key: &PathBuf, kind, named: &str| {
        let error = TlsAcceptor::from_files(chain, key).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(named), "{error} does not name {named}");
    };
    refused(&missing, &key, ErrorKind::NotFound, "missing");
    refused(&chain, &missing, ErrorKind::NotFound, "missing");
    refused(&empty, &key, ErrorKind::InvalidData, "empty: no certificate is in it");
    refused(&chain, &empty, ErrorKind::InvalidData, "empty: no private key is in it");
    refused(&chain, &chain, ErrorKind::InvalidData, "chain: no private key is in it");
    // A key of another certificate.
    refused(&chain, &wrong_key, ErrorKind::InvalidData, "KeyMismatch");
    let error = TlsConnector::builder().roots_file(&empty).build().unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
}

#[test]
fn roots_of_ones_own_are_the_only_ones_unless_others_are_named() {
    let authority = Authority::new();
    let acceptor = authority.identity("localhost").acceptor();
    let builder = || TlsConnector::builder().webpki_roots();
    let error = meet(&acceptor, &builder().build().unwrap(), "localhost").unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let both = builder().roots_pem(authority.pem()).build().unwrap();
    assert!(meet(&acceptor, &both, "localhost").is_ok());
    let platform = TlsConnector::builder().platform_roots().roots_pem(authority.pem());
    assert!(meet(&acceptor, &platform.build().unwrap(), "localhost").is_ok());
}

#[test]
fn whoever_takes_any_certificate_meets_servers_that_everybody_else_refuses() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let self_signed = Identity { chain: made.cert.pem(), key: made.signing_key.serialize_pem() };
    for (identity, reason) in [
        (self_signed, "UnknownIssuer"),
        (stranger.identity("localhost"), "UnknownIssuer"),
        (authority.identity("elsewhere.example"), "not valid for name"),
        (authority.identity_with("localhost", expired), "expired"),
    ] {
        for versions in VERSIONS {
            let builder = || {
                let builder = TlsConnector::builder().roots_pem(authority.pem());
                builder.versions(versions).sni(false)
            };
            let takes = |builder: TlsConnectorBuilder| {
                meet(&identity.acceptor(), &builder.build().unwrap(), "localhost")
            };
            let (_server, client) = takes(builder().danger_accept_any_certificate(true)).unwrap();
            assert_eq!(client.peer_certificates().unwrap(), [identity.der()]);
            for builder in [builder(), builder().danger_accept_any_certificate(false)] {
                let error = takes(builder).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert!(error.to_string().contains(reason), "{reason}: {error}");
            }
        }
    }
}

/// Shows a certificate that is not its own: its key is another.
#[derive(Debug)]
struct Impostor(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Impostor {
    fn resolve(
        &self,
        _hello: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn whoever_takes_any_certificate_refuses_a_server_without_its_key() {
    let authority = Authority::new();
    let (shown, own) = (authority.identity("localhost"), authority.identity("localhost"));
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let impostor = rustls::sign::CertifiedKey::new(vec![shown.der()], key);
    let impostor = Arc::new(Impostor(Arc::new(impostor)));
    for versions in VERSIONS {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&impostor) as _);
        let acceptor = TlsAcceptor::from_config(Arc::new(config));
        let connector = TlsConnector::builder().danger_accept_any_certificate(true);
        let error = meet(&acceptor, &connector.build().unwrap(), "localhost").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("BadSignature"), "{error}");
    }
}

#[test]
fn whoever_takes_any_certificate_still_shows_its_own_and_is_told_of_roots_that_are_none() {
    let authority = Authority::new();
    let (server, client) = (authority.identity("localhost"), authority.identity("a client"));
    let acceptor = TlsAcceptor::builder().identity_pem(&server.chain, &server.key);
    let acceptor = acceptor.client_roots_pem(authority.pem()).build().unwrap();
    let builder = || TlsConnector::builder().danger_accept_any_certificate(true);
    let connector = builder().identity_pem(&client.chain, &client.key).build().unwrap();
    let (server, _client) = meet(&acceptor, &connector, "localhost").unwrap();
    assert_eq!(server.peer_certificates().unwrap(), [client.der()]);
    let error = builder().roots_pem("no PEM at all").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn a_server_without_a_certificate_cannot_be_made() {
    let error = TlsAcceptor::builder().build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let Identity { chain, key } = Authority::new().identity("localhost");
    let builder = TlsAcceptor::builder().identity_pem(chain, key).client_certificate_optional();
    assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_handshake_takes_as_long_as_the_builders_say() {
    let authority = Authority::new();
    let Identity { chain, key } = authority.identity("localhost");
    let acceptor = TlsAcceptor::builder().identity_pem(chain, key);
    let connector = TlsConnector::builder().roots_pem(authority.pem());
    for limit in [Some(Duration::from_millis(10)), None] {
        let (one, other) = green_pair();
        let acceptor = acceptor.clone().handshake_timeout(limit).build().unwrap();
        let connector = connector.clone().handshake_timeout(limit).build().unwrap();
        let (server, client) = (acceptor.wrap(one).unwrap(), connector.wrap("x", other).unwrap());
        assert_eq!((server.handshake_timeout(), client.handshake_timeout()), (limit, limit));
    }
    let (silent, stream) = green_pair();
    let connector = connector.handshake_timeout(Some(Duration::from_millis(10))).build().unwrap();
    let error = soon(|| connector.connect("localhost", stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(silent);
}

#[test]
fn a_configuration_of_rustls_is_taken_as_it_is() {
    let authority = Authority::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes());
    roots.add(root.unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from_config(Arc::new(config));
    let (_, client) = tls_pair_of(&authority.identity("localhost").acceptor(), &connector);
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

#[test]
fn a_connector_connects_to_a_port_of_a_host() {
    let authority = Authority::new();
    let acceptor = authority.identity("localhost").acceptor();
    let listener = TlsListener::new(listen("127.0.0.1:0").unwrap(), acceptor);
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || listener.accept()?.0.write_all(b"hello"));
    let mut stream = soon(|| authority.connector().connect_to(("localhost", port))).unwrap();
    let mut text = String::new();
    soon(|| stream.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "hello");
    soon(|| server.wait()).unwrap().unwrap();
    let (_socket, refused) = util::refused();
    let error = soon(|| authority.connector().connect_to(("127.0.0.1", refused.port())));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Whom the system trusts does not include who was made up just now.
#[test]
fn the_usual_connect_trusts_nobody_who_is_unknown() {
    let authority = Authority::new();
    let acceptor = authority.identity("localhost").acceptor();
    let listener = TlsListener::new(listen("127.0.0.1:0").unwrap(), acceptor);
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || listener.accept()?.0.handshake());
    let error = soon(|| evy_green_net::tls::connect(("localhost", port))).unwrap_err();
    // Where a machine has no roots at all, that is what is said.
    if error.kind() == ErrorKind::InvalidData {
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        assert_eq!(soon(|| server.wait()).unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    } else {
        assert!(error.to_string().contains("No CA certificates"), "{error}");
    }
}
