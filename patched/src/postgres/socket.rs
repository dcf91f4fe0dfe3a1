//! A socket to a server, and where it leads.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evy_green_net::adapt::Async;
use evy_green_net::{TcpStream, UnixStream};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;

/// A green socket to a server, by TCP or a Unix socket: what a
/// [`MakeTlsConnect`](super::tls::MakeTlsConnect) is given to run TLS over.
///
/// Futures read and write it; nothing of it blocks the OS thread.
pub struct Socket(Inner);

enum Inner {
    Tcp(Async<TcpStream>),
    Unix(Async<UnixStream>),
}

impl Socket {
    /// The TCP stream, if it is one.
    #[cfg(feature = "tls")]
    pub(super) fn into_tcp(self) -> Option<TcpStream> {
        match self.0 {
            Inner::Tcp(stream) => Some(stream.into_inner()),
            Inner::Unix(_) => None,
        }
    }

    /// A second handle to the same socket.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(match &self.0 {
            Inner::Tcp(stream) => Inner::Tcp(Async::new(stream.get_ref().try_clone()?)),
            Inner::Unix(stream) => Inner::Unix(Async::new(stream.get_ref().try_clone()?)),
        }))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Inner::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Inner::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Tcp(stream) => f.debug_tuple("Socket").field(stream.get_ref()).finish(),
            Inner::Unix(stream) => f.debug_tuple("Socket").field(stream.get_ref()).finish(),
        }
    }
}

/// One address of a server, and how a socket is connected to it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: Address,
    /// Whom the certificate has to be for.
    pub(super) hostname: Option<String>,
    /// How long one attempt may take.
    pub(super) timeout: Option<Duration>,
    user_timeout: Option<Duration>,
    keepalive: Option<TcpKeepalive>,
}

#[derive(Clone, Debug)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    pub(super) fn new(address: Address, hostname: Option<String>, config: &Config) -> Self {
        Self {
            address,
            hostname,
            timeout: config.get_connect_timeout().copied(),
            user_timeout: config.get_tcp_user_timeout().copied(),
            keepalive: config.get_keepalives().then(|| keepalive(config)),
        }
    }

    /// Connects; the caller bounds the time.
    pub(super) fn connect(&self) -> io::Result<Socket> {
        let connected = match &self.address {
            Address::Tcp(address) => self.connect_tcp(*address),
            Address::Unix(path) => {
                UnixStream::connect(path).map(|stream| Inner::Unix(Async::new(stream)))
            }
        };
        connected.map(Socket).map_err(|error| self.explain(&error))
    }

    fn connect_tcp(&self, address: SocketAddr) -> io::Result<Inner> {
        let stream = TcpStream::connect(address)?;
        let socket = SockRef::from(&stream);
        #[cfg(target_os = "linux")]
        if let Some(timeout) = self.user_timeout {
            socket.set_tcp_user_timeout(Some(timeout))?;
        }
        if let Some(keepalive) = &self.keepalive {
            socket.set_tcp_keepalive(keepalive)?;
        }
        Ok(Inner::Tcp(Async::new(stream)))
    }

    /// Says to where it was: with several hosts one would not know.
    fn explain(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot connect to {}: {error}", self.place()))
    }

    /// PostgreSQL has no TLS on Unix sockets.
    pub(super) fn may_have_tls(&self) -> bool {
        matches!(self.address, Address::Tcp(_))
    }

    /// The address in words.
    pub(super) fn place(&self) -> String {
        match &self.address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => path.display().to_string(),
        }
    }
}

fn keepalive(config: &Config) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    keepalive
}
