//! TLS: what a connection is given to run over its socket.

#[cfg(feature = "tls")]
mod channel_binding;
#[cfg(feature = "tls")]
mod connector;

use std::error::Error;

#[cfg(feature = "tls")]
pub use connector::{RustlsConnect, RustlsStream};
#[cfg(feature = "tls")]
pub use evy_green_net::tls::TlsConnector;
pub use tokio_postgres::tls::{
    ChannelBinding, NoTls, NoTlsError, NoTlsFuture, NoTlsStream, TlsConnect, TlsStream,
};

pub use super::socket::Socket;

/// Makes a [`TlsConnect`] for each connection.
///
/// [`NoTls`] has it and, with the feature `tls`, evy's `TlsConnector`.
///
/// It is the original's trait, which tokio-postgres has only along with tokio's runtime.
pub trait MakeTlsConnect<S> {
    /// The stream that comes of it.
    type Stream: TlsStream + Unpin;
    /// What does the handshake of one connection.
    type TlsConnect: TlsConnect<S, Stream = Self::Stream>;
    /// Why there may be none.
    type Error: Into<Box<dyn Error + Sync + Send>>;

    /// Makes one for a server of that name, for which its certificate has to be.
    ///
    /// # Errors
    ///
    /// Its own.
    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error>;

    /// Whether there is TLS at all.
    #[doc(hidden)]
    fn can_connect(&self) -> bool {
        true
    }
}

impl<S> MakeTlsConnect<S> for NoTls {
    type Stream = NoTlsStream;
    type TlsConnect = Self;
    type Error = NoTlsError;

    fn make_tls_connect(&mut self, _domain: &str) -> Result<Self, NoTlsError> {
        Ok(Self)
    }

    fn can_connect(&self) -> bool {
        false
    }
}
