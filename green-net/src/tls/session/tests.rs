//! Code of users that panics inside rustls, at the moments that no peer can be made to choose.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use rustls::{Connection, ServerConfig, ServerConnection};

use super::super::provider;
use super::Session;

/// A verifier that panics when it sees a certificate.
#[derive(Debug)]
struct Panics;

impl ServerCertVerifier for Panics {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        panic!("the verifier panics")
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("it did not come past the certificate")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("it did not come past the certificate")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A socket that takes everything, and never has anything.
#[derive(Default)]
struct Sink(RefCell<VecDeque<u8>>);

impl Write for &Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &Sink {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn client() -> Session {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Panics))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    Session::new(Connection::Client(client), None)
}

fn server() -> ServerConnection {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// Bytes that rustls had no room for are fed to it while the turn to read and the state are both held: the
/// state has to go first.
#[test]
fn a_panic_over_bytes_that_had_to_wait_gives_the_turn_back_and_fails_the_session() {
    let (session, socket, mut server) = (client(), Sink::default(), server());
    session.flush(&socket).unwrap();
    let mut hello = Vec::from(socket.0.take());
    server.read_tls(&mut &hello[..]).unwrap();
    server.process_new_packets().unwrap();
    hello.clear();
    while server.wants_write() {
        server.write_tls(&mut hello).unwrap();
    }
    session.lock().unread = hello;

    let panic =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| session.handshake(&socket)));
    assert!(panic.is_err());
    let mut state = session.lock();
    assert_eq!(state.turns, [None, None]);
    assert!(!state.shaking && !state.established);
    let failure = state.failure.clone().expect("it has failed");
    assert!(io::Error::from(failure).to_string().contains("has panicked"));
    assert!(state.take_plaintext(&mut [0]).is_some_and(|result| result.is_err()));
    drop(state);
    for _ in 0..2 {
        let error = session.write(&socket, b"x").unwrap_err();
        assert!(error.to_string().contains("has panicked"), "{error}");
        session.shutdown(&socket).unwrap();
    }
    session.part(&socket);
}
