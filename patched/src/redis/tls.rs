//! Whom a connection with TLS trusts, and who it says it is.

use std::io;
use std::sync::Arc;

use ::redis::{
    ClientTlsConfig, ConnectionAddr, ErrorKind, RedisError, RedisResult, TlsCertificates,
};
use evy_green_net::tls::TlsConnector;
use evy_green_net::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use evy_green_net::tls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use evy_green_net::tls::rustls::pki_types::pem::{self, PemObject};
use evy_green_net::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use evy_green_net::tls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// A connector for an address, with the certificates that are to be used in place of the system's.
pub(super) fn connector(
    address: &ConnectionAddr,
    certificates: Option<&TlsCertificates>,
) -> RedisResult<TlsConnector> {
    let ConnectionAddr::TcpTls { insecure, tls_params, .. } = address else {
        let text = "Constructing a TLS client requires a URL with the `rediss://` scheme";
        return Err((ErrorKind::InvalidClientConfig, text).into());
    };
    if tls_params.is_some() {
        let text = "certificates in a ConnectionAddr cannot be read: use this module's Client::build_with_tls";
        return Err((ErrorKind::InvalidClientConfig, text).into());
    }
    let identity = certificates.and_then(|certificates| certificates.client_tls.as_ref());
    if *insecure {
        return without_verification(identity);
    }
    let mut builder = TlsConnector::builder();
    if let Some(root) = certificates.and_then(|certificates| certificates.root_cert.as_ref()) {
        builder = builder.roots_pem(root);
    }
    if let Some(ClientTlsConfig { client_cert, client_key }) = identity {
        builder = builder.identity_pem(client_cert, client_key);
    }
    Ok(builder.build()?)
}

fn without_verification(identity: Option<&ClientTlsConfig>) -> RedisResult<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(ClientTlsConfig { client_cert, client_key }) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(client_cert).collect();
            let chain = chain.map_err(invalid)?;
            let key = PrivateKeyDer::from_pem_slice(client_key).map_err(invalid)?;
            builder.with_client_auth_cert(chain, key).map_err(refused)?
        }
    };
    config.enable_sni = false;
    Ok(TlsConnector::from_config(Arc::new(config)))
}

fn refused(error: Error) -> RedisError {
    let text = "Unable to build client with TLS parameters provided.";
    (ErrorKind::InvalidClientConfig, text, error.to_string()).into()
}

fn invalid(error: pem::Error) -> RedisError {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string()).into()
}

/// Takes whoever answers for the server, as the URL's `#insecure` asks for. That they have the key of the
/// certificate they show is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
