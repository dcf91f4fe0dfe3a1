//! Several addresses, one after the other, and what is said when none of them will do.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use crate::{ToSocketAddrs, is_shortage};

/// Tries `attempt` on each address in turn, until one succeeds.
pub(crate) fn try_each<T>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut tried = Tried::default();
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => tried.add(address, error)?,
        }
    }
    Err(tried.into_error())
}

/// The addresses that failed.
#[derive(Default)]
pub(crate) struct Tried {
    count: usize,
    /// The error that tells most.
    telling: Option<(SocketAddr, io::Error)>,
}

impl Tried {
    /// Notes what became of an address. The last error tells most; but that this machine has no way to
    /// an address tells less than what came back from another.
    ///
    /// # Errors
    ///
    /// `error` itself, where it is not the address that it is about: others would fare the same.
    pub(crate) fn add(&mut self, address: SocketAddr, error: io::Error) -> io::Result<()> {
        if is_shortage(&error) || error.kind() == io::ErrorKind::WouldBlock {
            return Err(error);
        }
        self.count += 1;
        if self.telling.as_ref().is_none_or(|(_, first)| !has_no_way(&error) || has_no_way(first)) {
            self.telling = Some((address, error));
        }
        Ok(())
    }

    /// What to say of all of them. Of one address it is the error as it came, for who gave the address
    /// knows it; of several the error that tells most, and the address that it is about.
    pub(crate) fn into_error(self) -> io::Error {
        match (self.count, self.telling) {
            (_, None) => {
                let text = "could not resolve to any addresses";
                io::Error::new(io::ErrorKind::InvalidInput, text)
            }
            (1, Some((_, error))) => error,
            (_, Some((address, error))) => io::Error::new(error.kind(), Of { address, error }),
        }
    }
}

/// Whether nothing was sent for want of a route, an address of our own, or the protocol itself.
fn has_no_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
        || Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

/// The error of one of several addresses.
struct Of {
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.error)
    }
}

impl fmt::Debug for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Of {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
