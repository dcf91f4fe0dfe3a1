//! The socket under a connection: TCP, TLS over it, or a Unix socket.

use std::io::{self, Read, Write};
use std::time::Duration;

use ::redis::io::tcp::{TcpSettings, socket2};
use ::redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult};
#[cfg(feature = "tls")]
use evy_green_net::tls::{TlsConnector, TlsStream};
use evy_green_net::{ConnectOptions, TcpStream, UnixStream};

/// So much goes into any socket without waiting, and so can be written before the first answer is read.
#[cfg(feature = "tls")]
const ALWAYS_TAKEN: usize = 4096;

pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// Connects to where `info` says, without TLS.
    pub(super) fn connect(info: &ConnectionInfo) -> RedisResult<Self> {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                Ok(Self::Tcp(connect_tcp(host, *port, info.tcp_settings())?))
            }
            ConnectionAddr::Unix(path) => Ok(Self::Unix(UnixStream::connect(path)?)),
            _ => Err((
                ErrorKind::InvalidClientConfig,
                "this kind of address needs a feature that is off",
                info.addr().to_string(),
            )
                .into()),
        }
    }

    /// Connects by TLS, the handshake included.
    #[cfg(feature = "tls")]
    pub(super) fn connect_tls(
        host: &str,
        port: u16,
        settings: &TcpSettings,
        connector: &TlsConnector,
    ) -> RedisResult<Self> {
        let tcp = connect_tcp(host, port, settings)?;
        Ok(Self::Tls(Box::new(connector.connect(host, tcp)?)))
    }

    /// Writes what can be written without waiting; with TLS, all of it or nothing.
    pub(super) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let result = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(_) if bytes.len() > ALWAYS_TAKEN => Ok(0),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => (&**stream).write_all(bytes).map(|()| bytes.len()),
            Self::Unix(stream) => stream.try_write(bytes),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Whether the server has closed an idle connection, or says something that nobody has asked for.
    pub(super) fn is_spoilt(&self) -> bool {
        !self.read_now(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// What was received and not yet read, without waiting for more.
    pub(super) fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                // The session may have things of its own to read, as tickets: the socket cannot be asked.
                let tcp = stream.get_ref();
                tcp.set_nonblocking(true)?;
                let result = (&**stream).read(buffer);
                tcp.set_nonblocking(false)?;
                result
            }
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.set_read_timeout(timeout),
            Self::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    pub(super) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.set_write_timeout(timeout),
            Self::Unix(stream) => stream.set_write_timeout(timeout),
        }
    }

    /// Ends it at once, also for who is reading or writing.
    pub(super) fn close(&self) {
        match self {
            Self::Tcp(stream) => stream.close(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.close(),
            Self::Unix(stream) => stream.close(),
        }
    }
}

impl Read for &Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => { stream }.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => (&**stream).read(buffer),
            Stream::Unix(stream) => { stream }.read(buffer),
        }
    }
}

impl Write for &Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => { stream }.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => (&**stream).write(bytes),
            Stream::Unix(stream) => { stream }.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => (&**stream).flush(),
            _ => Ok(()),
        }
    }
}

fn connect_tcp(host: &str, port: u16, settings: &TcpSettings) -> RedisResult<TcpStream> {
    if matches!(host, "0.0.0.0" | "::") {
        let text = "Cannot connect to a wildcard address (0.0.0.0 or ::)";
        return Err((ErrorKind::InvalidClientConfig, text).into());
    }
    let stream = ConnectOptions::new().nodelay(settings.nodelay()).connect((host, port))?;
    // redis has these as settings of its own, or as socket2's.
    let socket = socket2::SockRef::from(&stream);
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    if let Some(timeout) = settings.user_timeout() {
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    Ok(stream)
}
