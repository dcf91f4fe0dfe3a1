//! Where to listen, as it is written on the command line and in the lines that say so.

use std::convert::Infallible;
use std::fmt;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::str::FromStr;

/// `IP:PORT`, `tls:IP:PORT`, `udp:IP:PORT` or `unix:PATH`.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(String),
    Tls(String),
    Udp(String),
    /// A path, or `@` and a name that is in no directory.
    Unix(String),
}

/// Whatever has no known prefix is TCP: the system has its say about that when it is listened on.
impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let kinds = [
            ("tls:", Self::Tls as fn(String) -> Self),
            ("udp:", Self::Udp),
            ("unix:", Self::Unix),
            ("tcp:", Self::Tcp),
        ];
        let mut kinds = kinds.into_iter();
        let found = kinds.find_map(|(prefix, kind)| Some(kind(text.strip_prefix(prefix)?.into())));
        Ok(found.unwrap_or_else(|| Self::Tcp(text.into())))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Tls(address) => write!(f, "tls:{address}"),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// An address where HTTP is spoken, as clients take it. A Unix socket has no such form.
pub(crate) struct Url<'a>(pub(crate) &'a Address);

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Tcp(address) => write!(f, "http://{address}"),
            Address::Tls(address) => write!(f, "https://{address}"),
            other => other.fmt(f),
        }
    }
}

/// The address of a Unix socket as the system takes it.
pub(crate) fn unix_address(path: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.strip_prefix('@') {
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

/// Whether the address is a file. A server that ends has to remove it.
pub(crate) fn is_file(path: &str) -> bool {
    !(cfg!(target_os = "linux") && path.starts_with('@'))
}

/// As it is written after `unix:`; empty for a client, which has no name.
pub(crate) fn unix_name(address: &SocketAddr) -> String {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_name() {
        return format!("@{}", String::from_utf8_lossy(name));
    }
    address.as_pathname().map(|path| path.display().to_string()).unwrap_or_default()
}
