//! How `--tls` connects: whom it trusts, and by which name it asks for the server.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evy::net::TcpStream;
use evy::tls::rustls::client::Resumption;
use evy::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use evy::tls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use evy::tls::rustls::pki_types::pem::PemObject;
use evy::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use evy::tls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use evy::tls::{TlsConnector, TlsStream};
use rustls_platform_verifier::Verifier;

/// Whose certificates are good.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trust<'a> {
    /// Those that the system trusts.
    System,
    /// Those in a file, and who is certified by them.
    File(&'a Path),
    /// Everybody's.
    All,
}

/// What all connections share.
pub(crate) struct Tls {
    connector: TlsConnector,
    /// Whom the certificate has to be for, unless all are trusted.
    name: String,
}

impl Tls {
    /// For a server that may speak several protocols, the one of ours.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what can be no server's name; those of reading certificates.
    pub(crate) fn new(trust: Trust<'_>, name: &str, protocol: Option<&[u8]>) -> io::Result<Self> {
        ServerName::try_from(name).map_err(|_| {
            let text = format!("'{name}' can be no name of a TLS server: see --tls-name");
            io::Error::new(ErrorKind::InvalidInput, text)
        })?;
        let mut config = config(trust)?;
        config.alpn_protocols.extend(protocol.map(<[u8]>::to_vec));
        let connector = TlsConnector::from_config(Arc::new(config));
        Ok(Self { connector, name: name.to_owned() })
    }

    /// Does the handshake, in so much time.
    pub(crate) fn connect(
        &self,
        stream: TcpStream,
        timeout: Duration,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connector.wrap(&self.name, stream)?;
        stream.set_handshake_timeout(Some(timeout));
        stream.handshake()?;
        Ok(stream)
    }
}

fn config(trust: Trust<'_>) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match trust {
        Trust::System => {
            let verifier = Verifier::new(provider).map_err(io::Error::other)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::File(path) => builder.with_root_certificates(roots(path)?),
        Trust::All => {
            let verifier = Arc::new(Anybody(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = builder.with_no_client_auth();
    // Each connection stands for a user of its own, who has no session that it could take up.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let failed = |kind, error: &dyn std::fmt::Display| {
        io::Error::new(kind, format!("{}: {error}", path.display()))
    };
    let text = std::fs::read(path).map_err(|error| failed(error.kind(), &error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| failed(ErrorKind::InvalidData, &error))?;
        roots.add(certificate).map_err(|error| failed(ErrorKind::InvalidData, &error))?;
    }
    if roots.is_empty() {
        return Err(failed(ErrorKind::InvalidData, &"no certificate is in it"));
    }
    Ok(roots)
}

/// Takes every certificate, whoever it is for; its key has to have signed the handshake all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
