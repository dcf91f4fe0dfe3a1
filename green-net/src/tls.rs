//! TLS over green sockets, by [rustls] with ring.
//!
//! A [`TlsConnector`] and a [`TlsAcceptor`] hold a configuration each and wrap streams; [`connect`] is for
//! the usual client. A [`TlsStream`] does its handshake when it is first used, under a deadline, so that
//! an accept loop never waits for a client ([`TlsListener`]).
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! let mut stream = evy_green_net::tls::connect(("example.org", 443))?;
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
//! let mut page = Vec::new();
//! stream.read_to_end(&mut page)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What rustls does not do is not done here either: no TLS 1.1 or older, no renegotiation, no
//! compression. Its version 0.23 is part of this interface ([`mod@rustls`]).

mod acceptor;
mod any_certificate;
mod connector;
mod listener;
mod pem;
mod session;
mod stream;
mod transport;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::rustls::crypto::CryptoProvider;

pub use ::rustls;
pub use acceptor::{TlsAcceptor, TlsAcceptorBuilder};
pub use connector::{TlsConnector, TlsConnectorBuilder, connect};
pub use listener::TlsListener;
pub use stream::TlsStream;
pub use transport::Transport;
#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
pub(crate) use {session::Session, transport::Carrier};

/// How long a handshake may take, unless said otherwise.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// ring's algorithms, whichever others are linked, or installed as the process's default.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| Arc::new(::rustls::crypto::ring::default_provider()));
    Arc::clone(provider)
}

/// A configuration that cannot be.
fn refused(error: ::rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// A certificate or a key that is none.
fn invalid(error: ::rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
