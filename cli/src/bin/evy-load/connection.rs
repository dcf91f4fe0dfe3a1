//! The one place that knows what carries the bytes: TCP, or TLS over it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::net::{TcpStream, lookup_host};
use evy::tls::TlsStream;

use crate::failure::Failure;
use crate::tls::Tls;

/// A server's address that has answered.
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<Rc<Tls>>,
    timeout: Duration,
}

impl Target {
    /// Finds the first address of that name that can be connected to, and gives that connection too.
    pub(crate) fn find(
        name: &str,
        tls: Option<Tls>,
        timeout: Duration,
    ) -> Result<(Self, Connection), Failure> {
        let none = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        let (mut failure, tls) = (Failure::Connect(none), tls.map(Rc::new));
        for address in lookup_host(name).map_err(Failure::Connect)? {
            let target = Self { address, tls: tls.clone(), timeout };
            match target.connect() {
                Ok(connection) => return Ok((target, connection)),
                Err(error @ Failure::Connect(_)) => failure = error,
                // There is a server.
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// A connection that is ready for requests, within the timeout.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let start = Instant::now();
        let stream = TcpStream::connect_timeout(&self.address, self.timeout);
        let stream = stream.map_err(Failure::Connect)?;
        let Some(tls) = &self.tls else { return Ok(Connection::Tcp(stream)) };
        let rest = self.timeout.saturating_sub(start.elapsed());
        let stream = tls.connect(stream, rest).map_err(Failure::Handshake)?;
        Ok(Connection::Tls(stream))
    }
}

/// A connection: readable and writable by reference, at the same time, as std's and evy's are.
pub(crate) enum Connection {
    Tcp(TcpStream),
    Tls(TlsStream<TcpStream>),
}

impl Connection {
    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Tls(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    pub(crate) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Tls(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }

    /// Ends it now, also for one who is parked in it.
    pub(crate) fn close(&self) {
        match self {
            Self::Tcp(stream) => stream.close(),
            Self::Tls(stream) => stream.close(),
        }
    }
}

impl Read for &Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => { stream }.read(buffer),
            Connection::Tls(stream) => { stream }.read(buffer),
        }
    }
}

impl Write for &Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => { stream }.write(bytes),
            Connection::Tls(stream) => { stream }.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Connection::Tcp(stream) => { stream }.flush(),
            Connection::Tls(stream) => { stream }.flush(),
        }
    }
}
