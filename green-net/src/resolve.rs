//! Names to addresses, off the hub.
//!
//! The system's resolver blocks, so it runs on another OS thread ([`evy_runtime::unblock`]); it knows
//! `/etc/hosts`, `nsswitch.conf` and the rest. Addresses that need no lookup get none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::vec;

use evy_runtime::unblock;

/// What can be turned into socket addresses: std's trait of this name, but that a lookup parks the
/// green thread where std's blocks the OS thread.
///
/// ```
/// use evy_green_net::ToSocketAddrs;
///
/// let mut addresses = "127.0.0.1:80".to_socket_addrs()?;
/// assert_eq!(addresses.next(), Some(([127, 0, 0, 1], 80).into()));
/// assert!("no port".to_socket_addrs().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// Returns the addresses, in the order in which they should be tried.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a malformed address; what the resolver says of a name that it does not know.
    ///
    /// # Yields
    ///
    /// While a name is looked up.
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>>;
}

fn one(address: SocketAddr) -> io::Result<vec::IntoIter<SocketAddr>> {
    Ok(vec![address].into_iter())
}

macro_rules! without_lookup {
    ($($type:ty),*) => {
        $(impl ToSocketAddrs for $type {
            fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
                one(SocketAddr::from(*self))
            }
        })*
    };
}

without_lookup!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let (host, port) = *self;
        if let Ok(address) = host.parse::<IpAddr>() {
            return one(SocketAddr::new(address, port));
        }
        let host = host.to_owned();
        unblock(move || std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return one(address);
        }
        let malformed = |what| {
            let text = format!("invalid socket address '{self}': {what}");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let (host, port) = self.rsplit_once(':').ok_or_else(|| malformed("HOST:PORT is wanted"))?;
        let port = port.parse().map_err(|_| malformed("the port is no number below 65536"))?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        Ok(Vec::from(self).into_iter())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

/// Looks the addresses of a host up.
///
/// ```
/// let mut addresses = evy_green_net::lookup_host("localhost:80")?;
/// assert!(addresses.all(|address| address.ip().is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`ToSocketAddrs::to_socket_addrs`].
///
/// # Yields
///
/// While a name is looked up.
#[doc(alias = "getaddrinfo")]
pub fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    host.to_socket_addrs()
}

/// Tries `attempt` on each address in turn, until one succeeds.
pub(crate) fn try_each<T>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
    }))
}
