//! Proxies of SOCKS: version 4 and its extension 4a, and version 5 (RFC 1928) with user name and password
//! (RFC 1929).
//!
//! ureq has its own, which opens a socket that blocks the OS thread. What is said to the proxy is one
//! question and one answer (in version 5 up to three), all of it within the time to connect.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::ureq::http::uri::Scheme;
use ::ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
};
use ::ureq::{Error, Proxy, ProxyProtocol};

use super::GreenTransport;
use super::connector::{deadline, open, socks_proxy, time_left};

/// Connects by the SOCKS proxy of a configuration, where ureq's `SocksConnector` does, on green sockets.
///
/// [`Agent`](super::Agent) has it already; it is public for other chains of connectors, where it stands
/// before what opens sockets.
///
/// ```
/// use evy_patched::ureq::unversioned::transport::Connector;
/// use evy_patched::ureq::{Agent, GreenConnector, GreenResolver, GreenSocksConnector, Proxy};
///
/// let proxy = Proxy::new("socks5://user:password@127.0.0.1:1")?;
/// let config = Agent::config_builder().proxy(Some(proxy)).build();
/// let chain = ().chain(GreenSocksConnector).chain(GreenConnector);
/// let agent = Agent::with_parts(config, chain, GreenResolver);
/// // Nobody listens there.
/// assert!(agent.get("http://127.0.0.1/").call().is_err());
/// # Ok::<(), evy_patched::ureq::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GreenSocksConnector;

impl<In: Transport> Connector<In> for GreenSocksConnector {
    type Out = Either<In, GreenTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let Some(proxy) = socks_proxy(details) else { return Ok(None) };
        let target = Target::new(details, proxy)?;
        let addresses =
            details.resolver.resolve(proxy.uri(), details.config, timeout_left(details)?)?;
        let transport = open(&addresses, details)?;

        let mut stream = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        stream.set_timeout(timeout_left(details)?);
        match proxy.protocol() {
            ProxyProtocol::Socks4 | ProxyProtocol::Socks4A => ask_4(&mut stream, proxy, &target)?,
            _ => ask_5(&mut stream, proxy, &target)?,
        }
        Ok(Some(Either::B(stream.into_inner())))
    }
}

/// The timeout to connect, less what has passed of it.
fn timeout_left(details: &ConnectionDetails<'_>) -> Result<NextTimeout, Error> {
    let mut timeout = details.timeout;
    if let Some(left) = time_left(deadline(details), timeout.reason)? {
        timeout.after = left.into();
    }
    Ok(timeout)
}

/// Where the proxy has to connect to.
enum Target<'a> {
    Address(SocketAddr),
    /// The proxy looks it up.
    Name(&'a str, u16),
}

impl<'a> Target<'a> {
    fn new(details: &ConnectionDetails<'a>, proxy: &Proxy) -> Result<Self, Error> {
        if proxy.resolve_target() {
            return address_for(proxy, &details.addrs).map(Self::Address);
        }
        let uri = details.uri;
        let host = uri.host().ok_or_else(|| Error::BadUri(format!("{uri} has no host")))?;
        let standard = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(standard);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Ok(match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address((address, port).into()),
            Err(_) => Self::Name(host, port),
        })
    }

    fn port(&self) -> [u8; 2] {
        match self {
            Self::Address(address) => address.port(),
            Self::Name(_, port) => *port,
        }
        .to_be_bytes()
    }
}

/// The first of a host's addresses that the proxy's version has words for.
fn address_for(proxy: &Proxy, addresses: &[SocketAddr]) -> Result<SocketAddr, Error> {
    let is_4 = proxy.protocol() == ProxyProtocol::Socks4;
    let mut sayable = addresses.iter().filter(|address| !is_4 || address.is_ipv4());
    match sayable.next() {
        Some(address) => Ok(*address),
        None if addresses.is_empty() => Err(Error::HostNotFound),
        None => Err(no_ipv6().into()),
    }
}

fn no_ipv6() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "SOCKS 4 knows no IPv6 addresses")
}

/// Version 4, and 4a for names: one question, one answer of eight bytes.
fn ask_4(stream: &mut (impl Read + Write), proxy: &Proxy, target: &Target<'_>) -> io::Result<()> {
    let user = proxy.username().unwrap_or_default();
    if user.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a user name with a NUL in it"));
    }
    let (address, name) = match target {
        Target::Address(SocketAddr::V4(address)) => (address.ip().octets(), None),
        Target::Address(SocketAddr::V6(_)) => return Err(no_ipv6()),
        // An address that nobody has says that a name follows.
        Target::Name(name, _) => ([0, 0, 0, 1], Some(name)),
    };
    let mut question = vec![4, CONNECT];
    question.extend(target.port());
    question.extend(address);
    question.extend(user.as_bytes());
    question.push(0);
    if let Some(name) = name {
        question.extend(name.as_bytes());
        question.push(0);
    }
    stream.write_all(&question)?;

    let [version, answer, ..] = read::<8>(stream)?;
    match (version, answer) {
        (0, 90) => Ok(()),
        (0, 91) => Err(refused(io::ErrorKind::ConnectionRefused, "refused or failed")),
        (0, 92 | 93) => Err(refused(io::ErrorKind::PermissionDenied, "it does not know the user")),
        _ => Err(not_socks()),
    }
}

/// Version 5: how to say who one is, who one is, and where to connect to.
fn ask_5(stream: &mut (impl Read + Write), proxy: &Proxy, target: &Target<'_>) -> io::Result<()> {
    let user = proxy.username();
    let methods: &[u8] = if user.is_some() { &[NOBODY, USER] } else { &[NOBODY] };
    stream.write_all(&[&[5, methods.len() as u8], methods].concat())?;
    match (read(stream)?, user) {
        ([5, NOBODY], _) => {}
        ([5, USER], Some(user)) => log_in(stream, user, proxy.password().unwrap_or_default())?,
        ([5, _], _) => {
            let text = "it does not take this way of saying who one is";
            return Err(refused(io::ErrorKind::PermissionDenied, text));
        }
        _ => return Err(not_socks()),
    }

    let mut question = vec![5, CONNECT, 0];
    match target {
        Target::Address(SocketAddr::V4(address)) => {
            question.push(IPV4);
            question.extend(address.ip().octets());
        }
        Target::Address(SocketAddr::V6(address)) => {
            question.push(IPV6);
            question.extend(address.ip().octets());
        }
        Target::Name(name, _) => {
            question.push(NAME);
            question.extend(counted(name)?);
        }
    }
    question.extend(target.port());
    stream.write_all(&question)?;

    match read(stream)? {
        [5, 0] => {}
        [5, answer] => return Err(refused_by_5(answer)),
        _ => return Err(not_socks()),
    }
    // The proxy's own address, which nobody needs.
    let [_, kind] = read(stream)?;
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => read::<1>(stream)?[0].into(),
        _ => return Err(not_socks()),
    };
    let port = 2;
    stream.read_exact(&mut [0; u8::MAX as usize + 2][..length + port])
}

const CONNECT: u8 = 1;

/// Ways to say who one is.
const NOBODY: u8 = 0;
const USER: u8 = 2;

/// Kinds of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// RFC 1929.
fn log_in(stream: &mut (impl Read + Write), user: &str, password: &str) -> io::Result<()> {
    let question = [&[1], &*counted(user)?, &*counted(password)?].concat();
    stream.write_all(&question)?;
    match read(stream)? {
        [1, 0] => Ok(()),
        [1, _] => Err(refused(io::ErrorKind::PermissionDenied, "wrong user name or password")),
        _ => Err(not_socks()),
    }
}

/// A text behind its length.
fn counted(text: &str) -> io::Result<Vec<u8>> {
    match u8::try_from(text.len()) {
        Ok(length) if length > 0 => Ok([&[length], text.as_bytes()].concat()),
        _ => {
            let text = format!("{} bytes where SOCKS 5 takes 1 to 255", text.len());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What the answers of RFC 1928, section 6, say.
fn refused_by_5(answer: u8) -> io::Error {
    use io::ErrorKind as Kind;

    let (kind, text) = match answer {
        1 => (Kind::Other, "it has failed"),
        2 => (Kind::PermissionDenied, "its rules do not allow it"),
        3 => (Kind::NetworkUnreachable, "network unreachable"),
        4 => (Kind::HostUnreachable, "host unreachable"),
        5 => (Kind::ConnectionRefused, "connection refused"),
        6 => (Kind::Other, "time to live expired"),
        7 => (Kind::Unsupported, "it does not know the command"),
        8 => (Kind::Unsupported, "it does not know this kind of address"),
        _ => (Kind::Other, "it has failed, and does not say why"),
    };
    refused(kind, text)
}

fn refused(kind: io::ErrorKind, text: &str) -> io::Error {
    io::Error::new(kind, format!("the SOCKS proxy: {text}"))
}

fn not_socks() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the proxy does not speak SOCKS as it should")
}
