//! The one place that knows what carries the bytes.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use evy::net::{TcpStream, lookup_host};

/// A server's address that has answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    address: SocketAddr,
    timeout: Duration,
}

impl Target {
    /// Finds the first address of that name that can be connected to, and gives that connection too.
    pub(crate) fn find(name: &str, timeout: Duration) -> io::Result<(Self, Connection)> {
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in lookup_host(name)? {
            let target = Self { address, timeout };
            match target.connect() {
                Ok(connection) => return Ok((target, connection)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        Ok(Connection { stream })
    }
}

/// A connection: readable and writable by reference, at the same time, as std's and evy's are.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    pub(crate) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(timeout))
    }

    /// Ends it now, also for one who is parked in it.
    pub(crate) fn close(&self) {
        self.stream.close();
    }
}

impl Read for &Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buffer)
    }
}

impl Write for &Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.stream).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.stream).flush()
    }
}
