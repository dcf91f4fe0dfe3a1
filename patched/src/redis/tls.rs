//! Whom a connection with TLS trusts, and who it says it is.

use ::redis::{ClientTlsConfig, ConnectionAddr, ErrorKind, RedisResult, TlsCertificates};
use evy_green_net::tls::TlsConnector;

/// A connector for an address, with the certificates that are to be used in place of the system's. Its
/// `insecure` is what the URL's `#insecure` asks for.
pub(super) fn connector(
    address: &ConnectionAddr,
    certificates: Option<&TlsCertificates>,
) -> RedisResult<TlsConnector> {
    let &ConnectionAddr::TcpTls { insecure, ref tls_params, .. } = address else {
        let text = "Constructing a TLS client requires a URL with the `rediss://` scheme";
        return Err((ErrorKind::InvalidClientConfig, text).into());
    };
    if tls_params.is_some() {
        let text = "certificates in a ConnectionAddr cannot be read: use this module's Client::build_with_tls";
        return Err((ErrorKind::InvalidClientConfig, text).into());
    }
    let mut builder = TlsConnector::builder();
    if insecure {
        // redis does not name the server to itself (SNI) then either.
        builder = builder.danger_accept_any_certificate(true).sni(false);
    }
    if let Some(root) = certificates.and_then(|certificates| certificates.root_cert.as_ref()) {
        builder = builder.roots_pem(root);
    }
    let identity = certificates.and_then(|certificates| certificates.client_tls.as_ref());
    if let Some(ClientTlsConfig { client_cert, client_key }) = identity {
        builder = builder.identity_pem(client_cert, client_key);
    }
    Ok(builder.build()?)
}
