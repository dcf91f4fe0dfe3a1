//! Making connections.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use evy_runtime::io::Direction;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::green_io::GreenIo;
use crate::resolve::try_each;
use crate::{TcpStream, ToSocketAddrs};

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

pub(crate) fn connect_tcp(addresses: impl ToSocketAddrs) -> io::Result<GreenIo> {
    try_each(addresses, |address| connect_to(address, None))
}

/// Connects to one address, within `timeout`.
pub(crate) fn connect_to(address: SocketAddr, timeout: Option<Duration>) -> io::Result<GreenIo> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    let green = GreenIo::new(OwnedFd::from(socket));
    green.set_timeout(Direction::Write, timeout)?;
    let target = SockAddr::from(address);
    let mut started = false;
    green.call(Direction::Write, |fd| {
        let socket = SockRef::from(&fd);
        if !started {
            started = true;
            return match socket.connect(&target) {
                Err(error) if is_in_progress(&error) => Err(io::ErrorKind::WouldBlock.into()),
                result => result,
            };
        }
        match socket.take_error()? {
            Some(error) => Err(error),
            // An event without an outcome: not yet connected.
            None => match socket.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result.map(drop),
            },
        }
    })?;
    refuse_self(&green)?;
    green.set_timeout(Direction::Write, None)?;
    Ok(green)
}

fn is_in_progress(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        // An interrupted connect goes on by itself.
        || code == Some(rustix::io::Errno::INTR.raw_os_error())
}

/// Where nobody listens on a port of the ephemeral range, TCP's simultaneous open can connect a
/// socket to itself.
fn refuse_self(green: &GreenIo) -> io::Result<()> {
    let socket = SockRef::from(green);
    let (ours, theirs) = (socket.local_addr()?, socket.peer_addr()?);
    if ours.as_socket() == theirs.as_socket() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}
