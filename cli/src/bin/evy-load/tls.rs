//! How `--tls` connects: whom it trusts, and by which name it asks for the server.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use evy::net::TcpStream;
use evy::tls::rustls::pki_types::ServerName;
use evy::tls::{TlsConnector, TlsStream};

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
        let builder = TlsConnector::builder();
        let builder = match trust {
            Trust::System => builder.platform_roots(),
            Trust::File(path) => builder.roots_file(path),
            Trust::All => builder.danger_accept_any_certificate(true),
        };
        // Each connection stands for a user of its own, who has no session that it could take up.
        let connector = builder.resumption(false).alpn(protocol).build()?;
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
