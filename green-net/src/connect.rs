//! Making connections.

mod race;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;

use crate::green_io::GreenIo;
use crate::green_io::sys::inet;
use crate::resolve::{Tried, addresses_within};
use crate::{ConnectOptions, TcpStream, ToSocketAddrs};

/// Connects to the first of the addresses that answers; [`TcpStream::connect`] under Evy's name.
///
/// ```
/// let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let stream = evy_green_net::connect(listener.local_addr()?)?;
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`TcpStream::connect`].
///
/// # Yields
///
/// Until connected.
pub fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
    TcpStream::connect(addr)
}

/// [`connect`] within a time, the lookup of a name and all its addresses included.
/// [`TcpStream::connect_timeout`] is std's, for one address.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::connect_timeout;
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let port = listener.local_addr()?.port();
/// let stream = connect_timeout(("localhost", port), Duration::from_secs(5))?;
/// assert_eq!(stream.peer_addr()?.port(), port);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `TimedOut` when the time is over, `InvalidInput` for a time of 0, and those of
/// [`TcpStream::connect`].
///
/// # Yields
///
/// Until connected.
pub fn connect_timeout(addr: impl ToSocketAddrs, timeout: Duration) -> io::Result<TcpStream> {
    ConnectOptions::new().timeout(timeout).connect(addr)
}

/// [`connect`] from an address of this machine; port 0 lets the system choose one. Where `local` is
/// several addresses, a connection is made from the first of its family.
///
/// ```
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// let stream = evy_green_net::connect_from("127.0.0.2:0", address)?;
/// assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.2");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `AddrNotAvailable` when this machine does not have the address, or it is of the other family than all
/// of `addr`; `AddrInUse` when its port is taken; those of [`TcpStream::connect`].
///
/// # Yields
///
/// Until connected, and while a name is looked up.
pub fn connect_from(local: impl ToSocketAddrs, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let mut locals: Vec<_> = local.to_socket_addrs()?.collect();
    if locals.is_empty() {
        return Err(Tried::default().into_error());
    }
    // The last one given counts.
    locals.reverse();
    locals.into_iter().fold(ConnectOptions::new(), ConnectOptions::local).connect(addr)
}

/// Connects as [`ConnectOptions::connect`] says.
pub(crate) fn connect_any(
    addr: impl ToSocketAddrs,
    options: &ConnectOptions,
) -> io::Result<GreenIo> {
    let Some(timeout) = options.time() else {
        return connect_to_one(addr.to_socket_addrs()?.as_slice(), options, None);
    };
    if timeout.is_zero() {
        let text = "cannot set a 0 duration timeout";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let start = Instant::now();
    let addresses = addresses_within(&addr, timeout)?;
    match timeout.saturating_sub(start.elapsed()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => connect_to_one(addresses.as_slice(), options, Some(left)),
    }
}

fn connect_to_one(
    addresses: &[SocketAddr],
    options: &ConnectOptions,
    timeout: Option<Duration>,
) -> io::Result<GreenIo> {
    match addresses {
        [] => Err(Tried::default().into_error()),
        [address] => connect_to(*address, options, timeout),
        several => race::race(several, options, timeout),
    }
}

/// Connects to one address, within `timeout`.
pub(crate) fn connect_to(
    address: SocketAddr,
    options: &ConnectOptions,
    timeout: Option<Duration>,
) -> io::Result<GreenIo> {
    let (green, is_connected) = begin(address, options)?;
    green.set_timeout(Direction::Write, timeout)?;
    if !is_connected {
        // Nothing can have come of it yet.
        let mut is_new = true;
        green.call(Direction::Write, |fd| {
            if std::mem::take(&mut is_new) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            outcome(fd)
        })?;
    }
    green.set_timeout(Direction::Write, None)?;
    Ok(green)
}

/// A socket that begins to connect, and whether it is connected already.
fn begin(address: SocketAddr, options: &ConnectOptions) -> io::Result<(GreenIo, bool)> {
    let green = GreenIo::new(options.socket(address)?);
    let is_connected = green.call(Direction::Write, |fd| inet::connect(fd, &address))?;
    if is_connected {
        refuse_self(green.as_fd(), inet::peer_addr(green.as_fd())?)?;
    }
    Ok((green, is_connected))
}

/// What has come of it: `WouldBlock` while nothing has.
fn outcome(fd: BorrowedFd<'_>) -> io::Result<()> {
    if let Some(error) = inet::take_error(fd)? {
        return Err(error);
    }
    match inet::peer_addr(fd) {
        // An event without an outcome: not yet connected.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        peer => refuse_self(fd, peer?),
    }
}

/// Where nobody listens on a port of the ephemeral range, TCP's simultaneous open can connect a
/// socket to itself.
fn refuse_self(fd: BorrowedFd<'_>, peer: SocketAddr) -> io::Result<()> {
    if peer == inet::local_addr(fd)? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}
