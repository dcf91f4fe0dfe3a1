//! Addresses that are written in numbers, and need no lookup.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The address that `host` is, with port 0; `None` if it is a name.
///
/// An IPv6 address may have a scope behind it, by name or number: `fe80::1%eth0`, `fe80::1%2`.
///
/// # Errors
///
/// `InvalidInput` for an interface that does not exist.
pub(super) fn literal(host: &str) -> io::Result<Option<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(address, 0)));
    }
    let Some((address, scope)) = host.split_once('%') else { return Ok(None) };
    let Ok(address) = address.parse::<Ipv6Addr>() else { return Ok(None) };
    let scope = match scope.parse() {
        Ok(number) => Some(number),
        Err(_) => interface(host, scope)?,
    };
    Ok(scope.map(|scope| SocketAddrV6::new(address, 0, 0, scope).into()))
}

#[cfg(target_os = "linux")]
fn interface(host: &str, name: &str) -> io::Result<Option<u32>> {
    let number = crate::green_io::sys::inet::interface(name)?;
    number.map(Some).ok_or_else(|| {
        let text = format!("invalid address '{host}': there is no network interface '{name}'");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// The system's resolver knows them.
#[cfg(not(target_os = "linux"))]
fn interface(_: &str, _: &str) -> io::Result<Option<u32>> {
    Ok(None)
}
