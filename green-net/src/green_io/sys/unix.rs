//! The system calls of Unix sockets, and their addresses between std's form and the system's.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::slice;

pub(crate) use rustix::net::SocketAddrUnix as Target;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, getpeername,
    getsockname,
};

/// Where `sun_path` begins, on every system.
const PATH_OFFSET: usize = 2;

/// How to make a socket that is ours from the start.
#[cfg(target_os = "linux")]
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FLAGS: SocketFlags = SocketFlags::empty();

/// What kind of socket to make.
pub(crate) const STREAM: SocketType = SocketType::STREAM;
pub(crate) const DATAGRAM: SocketType = SocketType::DGRAM;

/// The address of a path.
///
/// # Errors
///
/// `InvalidInput` for one that is too long or has a NUL in it.
pub(crate) fn path_target(path: &Path) -> io::Result<Target> {
    target(&SocketAddr::from_pathname(path)?)
}

/// An address in the form that the system takes.
pub(crate) fn target(address: &SocketAddr) -> io::Result<Target> {
    if let Some(path) = address.as_pathname() {
        return Ok(Target::new(path)?);
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_name() {
        return Ok(Target::new_abstract_name(name)?);
    }
    Ok(Target::new_unnamed())
}

/// An address in std's form. Without one, or with one that std has no form for (a path that fills
/// `sun_path` to its last byte, which only C programs can bind to), it is unnamed.
fn address(from: Option<SocketAddrAny>) -> SocketAddr {
    let Some(from) = from.filter(is_unix) else { return unnamed() };
    // SAFETY: so many bytes of it have been written by the system, as rustix demands of who makes one.
    let bytes =
        unsafe { slice::from_raw_parts(from.as_ptr().cast::<u8>(), from.addr_len() as usize) };
    let address = match bytes.get(PATH_OFFSET..) {
        None | Some([]) => return unnamed(),
        #[cfg(target_os = "linux")]
        Some([0, name @ ..]) => SocketAddr::from_abstract_name(name),
        Some(path) => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or(path);
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))
        }
    };
    address.unwrap_or_else(|_| unnamed())
}

/// The address of a socket that has none.
pub(crate) fn unnamed() -> SocketAddr {
    SocketAddr::from_pathname("").expect("no name is none too long")
}

fn is_unix(address: &SocketAddrAny) -> bool {
    address.address_family() == AddressFamily::UNIX
}

/// The address of an end of the descriptor's own: there is one if it is a Unix socket.
fn own_address(address_of_end: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    if address_of_end.as_ref().is_some_and(|address| !is_unix(address)) {
        let text = "file descriptor did not correspond to a Unix socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(address(address_of_end))
}

/// Makes a non-blocking socket.
pub(crate) fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, FLAGS, None)?;
    #[cfg(not(target_os = "linux"))]
    super::make_ours(&socket)?;
    Ok(socket)
}

/// Makes two non-blocking sockets that are connected to each other.
pub(crate) fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, kind, FLAGS, None)?;
    #[cfg(not(target_os = "linux"))]
    [&one, &other].into_iter().try_for_each(super::make_ours)?;
    Ok((one, other))
}

pub(crate) fn bind(fd: BorrowedFd<'_>, target: &Target) -> io::Result<()> {
    Ok(rustix::net::bind(fd, target)?)
}

pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    Ok(rustix::net::listen(fd, backlog)?)
}

/// Connects; `WouldBlock` says that too many wait already to be accepted.
pub(crate) fn connect(fd: BorrowedFd<'_>, target: &Target) -> io::Result<()> {
    Ok(rustix::net::connect(fd, target)?)
}

pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    own_address(Some(getsockname(fd)?))
}

pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    own_address(getpeername(fd)?)
}

/// Whether a datagram socket has a peer.
pub(crate) fn is_connected(fd: BorrowedFd<'_>) -> bool {
    getpeername(fd).is_ok()
}

/// Takes a connection that waits.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let (stream, from) = super::accept_any(fd)?;
    Ok((stream, address(from)))
}

/// Receives a datagram and says who has sent it. What does not fit into the buffer is lost.
pub(crate) fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (count, _, from) = rustix::net::recvfrom(fd, buffer, RecvFlags::empty())?;
    Ok((count, address(from)))
}

/// Receives a datagram and leaves it there.
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (count, _, from) = rustix::net::recvfrom(fd, buffer, RecvFlags::PEEK)?;
    Ok((count, address(from)))
}

/// Receives a datagram and says who has sent it, and whether something of it did not fit.
pub(crate) fn recv_from_truncated(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, bool)> {
    let message = super::recv_message(fd, buffer)?;
    let truncated = super::is_truncated(&message);
    Ok((message.bytes, address(message.address), truncated))
}

/// Sends a datagram.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], target: &Target) -> io::Result<usize> {
    Ok(rustix::net::sendto(fd, bytes, SendFlags::NOSIGNAL, target)?)
}
