//! Names to addresses, off the hub.
//!
//! The system's resolver knows `/etc/hosts`, `nsswitch.conf` and the rest, and it blocks; [`lookups`] runs
//! it on other OS threads. Addresses in numbers, and this machine's own name, need no lookup and get none.

mod literal;
mod localhost;
mod lookups;
mod tried;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;
use std::vec;

pub(crate) use tried::{Tried, try_each};

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
    /// Returns the addresses, in the order in which they should be tried: for a name that of the
    /// system's resolver (RFC 6724).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a malformed address; what the resolver says of a name that it does not know,
    /// with the name.
    ///
    /// # Yields
    ///
    /// While a name is looked up; not for an address in numbers, nor for `localhost`.
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
        let mut addresses = addresses(host)?;
        addresses.iter_mut().for_each(|address| address.set_port(port));
        Ok(addresses.into_iter())
    }
}

/// The addresses of a host, with port 0.
fn addresses(host: &str) -> io::Result<Vec<SocketAddr>> {
    if host.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host name has a NUL in it"));
    }
    if let Some(address) = literal::literal(host)? {
        return Ok(vec![address]);
    }
    match localhost::loopback(host) {
        Some(addresses) => Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect()),
        None => lookups::look_up(host),
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
        let Some(host) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) else {
            return (host, port).to_socket_addrs();
        };
        // An address in numbers with the name of its interface behind it: std does not know this form.
        if host.split('%').next().is_none_or(|address| address.parse::<Ipv6Addr>().is_err()) {
            return Err(malformed("there is no IPv6 address in the brackets"));
        }
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

/// Looks the addresses of a host up: `HOST:PORT`, or a pair of the two.
///
/// It is the system's resolver that does it, on another OS thread, of which at most 8 do so at a time for
/// the whole process (fewer where `EVY_THREADPOOL_SIZE` is below 16); further lookups queue. Who asks for
/// a name that is being looked up waits for that lookup. Addresses in numbers (`192.0.2.1`, `::1`,
/// `fe80::1%eth0`) need no lookup, nor do `localhost` and names that end with `.localhost`, which are this
/// machine whatever a name server may say; which of its addresses, `/etc/hosts` tells.
///
/// ```
/// let mut addresses = evy_green_net::lookup_host("localhost:80")?;
/// assert!(addresses.all(|address| address.ip().is_loopback() && address.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`ToSocketAddrs::to_socket_addrs`].
///
/// # Yields
///
/// While a name is looked up. A green thread that is killed or timed out meanwhile leaves at once; the
/// lookup ends by itself.
#[doc(alias = "getaddrinfo")]
pub fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    host.to_socket_addrs()
}

/// [`lookup_host`] within a time.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::lookup_host_timeout;
///
/// let mut addresses = lookup_host_timeout(("localhost", 80), Duration::from_secs(5))?;
/// assert!(addresses.all(|address| address.ip().is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `TimedOut` when the time is over, and those of [`lookup_host`].
///
/// # Yields
///
/// As [`lookup_host`].
pub fn lookup_host_timeout(
    host: impl ToSocketAddrs,
    timeout: Duration,
) -> io::Result<impl Iterator<Item = SocketAddr>> {
    addresses_within(&host, timeout)
}

/// The addresses, or `TimedOut`.
pub(crate) fn addresses_within(
    host: &impl ToSocketAddrs,
    timeout: Duration,
) -> io::Result<vec::IntoIter<SocketAddr>> {
    evy_runtime::timeout(timeout, || host.to_socket_addrs()).unwrap_or_else(|_| {
        let text = format!("the lookup of a host name took longer than {timeout:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}
