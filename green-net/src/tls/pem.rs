//! Certificates and keys from PEM, in memory or in files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where PEM text is.
#[derive(Clone)]
pub(super) enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

/// A certificate with those above it, and its key.
#[derive(Clone, Debug)]
pub(super) struct IdentityPem {
    pub(super) chain: Pem,
    pub(super) key: Pem,
}

impl IdentityPem {
    pub(super) fn text(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self { chain: Pem::text(chain), key: Pem::text(key) }
    }

    pub(super) fn files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { chain: Pem::File(chain.into()), key: Pem::File(key.into()) }
    }

    pub(super) fn load(
        &self,
    ) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        Ok((self.chain.certificates()?, self.key.private_key()?))
    }
}

impl Pem {
    pub(super) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// All certificates, of which there is at least one.
    pub(super) fn certificates(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let text = self.load()?;
        let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| self.malformed("certificate", error))?;
        if certificates.is_empty() {
            return Err(self.malformed("certificate", pem::Error::NoItemsFound));
        }
        Ok(certificates)
    }

    fn private_key(&self) -> io::Result<PrivateKeyDer<'static>> {
        let key = PrivateKeyDer::from_pem_slice(&self.load()?);
        key.map_err(|error| self.malformed("private key", error))
    }

    fn load(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            }),
        }
    }

    fn malformed(&self, what: &str, error: pem::Error) -> io::Error {
        let place = match self {
            Self::Text(_) => "the PEM text".to_owned(),
            Self::File(path) => path.display().to_string(),
        };
        let text = format!("{place}: no {what} is in it: {error}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

/// Without the text, which may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
