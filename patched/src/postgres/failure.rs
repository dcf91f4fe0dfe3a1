//! Errors of tokio-postgres' own type for what goes wrong outside of it.
//!
//! It lets nobody else make one. But it makes them of what its stream and its TLS fail with, so it is handed
//! a stream, or a TLS, that fails as wanted.

use std::error::Error as StdError;
use std::future::{self, Future, Ready};
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{NoTlsStream, TlsConnect};
use tokio_postgres::{Config, Error, NoTls};

type Cause = Box<dyn StdError + Sync + Send>;

/// An error of communication, whose source is this one.
pub(super) fn of_io(error: io::Error) -> Error {
    let mut config = Config::new();
    config.user("nobody").ssl_mode(SslMode::Disable);
    outcome(config.connect_raw(Broken(Some(error)), NoTls))
}

/// An error of TLS, whose source is this one.
pub(super) fn of_tls(cause: Cause) -> Error {
    let mut config = Config::new();
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    outcome(config.connect_raw(Broken(None), Refused(cause)))
}

/// The error of a future that does not wait.
fn outcome<T>(future: impl Future<Output = Result<T, Error>>) -> Error {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => error,
        _ => unreachable!("what it is given fails at the first use"),
    }
}

/// Fails at the first use.
struct Broken(Option<io::Error>);

impl Broken {
    fn fail<T>(&mut self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(self.0.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }
}

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().fail()
    }
}

impl AsyncWrite for Broken {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().fail()
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().fail()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().fail()
    }
}

struct Refused(Cause);

impl TlsConnect<Broken> for Refused {
    type Stream = NoTlsStream;
    type Error = Cause;
    type Future = Ready<Result<NoTlsStream, Cause>>;

    fn connect(self, _stream: Broken) -> Self::Future {
        future::ready(Err(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_error_that_was_given() {
        let error = of_io(io::Error::new(io::ErrorKind::TimedOut, "too late"));
        assert_eq!(error.to_string(), "error communicating with the server");
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::TimedOut));

        let error = of_tls("no name".into());
        assert_eq!(error.to_string(), "error performing TLS handshake");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no name"));
    }
}
