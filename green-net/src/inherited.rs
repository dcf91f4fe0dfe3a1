//! Sockets that were opened before this process was: systemd's socket activation.
//!
//! Who starts the process has opened its sockets, and hands them over as the descriptors 3, 4, … Three
//! variables of the environment say so (`sd_listen_fds(3)`):
//!
//! ```text
//!   LISTEN_PID=4711           for which process they are: a child that inherits the variables has
//!                             another number, and takes nothing
//!   LISTEN_FDS=2              how many
//!   LISTEN_FDNAMES=http:admin their names
//! ```
//!
//! A process that ends leaves its listeners to whoever has them, too. So a restart refuses no connection:
//! those that come meanwhile wait in the socket's queue.
//!
//! A descriptor belongs to whoever opened it, and `LISTEN_FDS` may be wrong. So all of them are looked at
//! before one is taken: what has come through `exec` is not closed by it, and what this process has opened
//! itself, by std or by evy, is. One that cannot have been handed over is an error, and nothing is taken.

use std::env;
use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process;
use std::sync::{Mutex, PoisonError};

use rustix::io::FdFlags;
use socket2::{SockRef, Type};

use crate::TcpListener;

/// Number of the first descriptor that is handed over.
const FIRST: RawFd = 3;

/// A socket that the environment has handed over, from [`listeners_from_env`].
///
/// ```
/// use evy_green_net::{Inherited, InheritedSocket, listeners_from_env};
///
/// for Inherited { name, socket, .. } in listeners_from_env()? {
///     match socket {
///         InheritedSocket::TcpListener(listener) => println!("{name:?}: {}", listener.local_addr()?),
///         other => println!("{name:?}: {other:?}"),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Inherited {
    /// The name that it was given (`FileDescriptorName=` in a socket unit).
    pub name: Option<String>,
    /// The socket itself.
    pub socket: InheritedSocket,
}

/// What kind of socket the environment has handed over. All but the last kind are non-blocking: those of
/// std are to be made green ones of this crate.
///
/// ```
/// use evy_green_net::{InheritedSocket, TcpListener, listen, listeners_from_env};
///
/// /// The first TCP listener of the environment, or else one of our own.
/// fn listener() -> std::io::Result<TcpListener> {
///     let inherited = listeners_from_env()?.into_iter().find_map(|inherited| match inherited.socket {
///         InheritedSocket::TcpListener(listener) => Some(listener),
///         _ => None,
///     });
///     inherited.map_or_else(|| listen("127.0.0.1:0"), Ok)
/// }
/// assert!(listener()?.local_addr()?.ip().is_loopback());
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub enum InheritedSocket {
    /// A listening TCP socket.
    TcpListener(TcpListener),
    /// A UDP socket.
    UdpSocket(UdpSocket),
    /// A listening Unix socket.
    UnixListener(UnixListener),
    /// A Unix socket for datagrams.
    UnixDatagram(UnixDatagram),
    /// Something else: a socket of another family, or one for sequences of packets.
    Other(OwnedFd),
}

impl fmt::Debug for InheritedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TcpListener(socket) => fmt::Debug::fmt(socket, f),
            Self::UdpSocket(socket) => fmt::Debug::fmt(socket, f),
            Self::UnixListener(socket) => fmt::Debug::fmt(socket, f),
            Self::UnixDatagram(socket) => fmt::Debug::fmt(socket, f),
            Self::Other(fd) => f.debug_tuple("Other").field(&fd.as_raw_fd()).finish(),
        }
    }
}

/// Takes the sockets that systemd, or who else follows its protocol, has opened for this process; none
/// if nobody has.
///
/// They are given out once: a second call gives none. The variables stay as they are; what this process
/// starts does not take them for its own, and does not inherit the sockets.
///
/// ```
/// // Nobody has started this example with sockets.
/// assert!(evy_green_net::listeners_from_env()?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` when the variables make no sense, or count descriptors that nobody has handed over:
/// such as are not open, are closed by `exec`, or are no sockets that listen or receive datagrams. Then
/// nothing is taken and nothing is closed.
///
/// # Yields
///
/// Never.
#[doc(alias = "sd_listen_fds")]
pub fn listeners_from_env() -> io::Result<Vec<Inherited>> {
    static TAKEN: Mutex<bool> = Mutex::new(false);
    let Some(count) = announced()? else { return Ok(Vec::new()) };
    // Held while they are looked at: a descriptor that another call has just taken looks like one of ours.
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if *taken {
        return Ok(Vec::new());
    }
    (FIRST..).take(count).try_for_each(check)?;
    *taken = true;
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    (FIRST..)
        .take(count)
        .map(take)
        // All of them first: should one fail below, the others are closed with it.
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .map(|fd| {
            let name = names.next().filter(|name| !name.is_empty()).map(String::from);
            Ok(Inherited { name, socket: InheritedSocket::of(fd)? })
        })
        .collect()
}

/// How many descriptors there are for this process, if somebody says so.
fn announced() -> io::Result<Option<usize>> {
    match number("LISTEN_PID")? {
        Some(process) if process == process::id() as usize => number("LISTEN_FDS"),
        // What they say is not said to this process.
        _ => Ok(None),
    }
}

fn number(variable: &str) -> io::Result<Option<usize>> {
    let Some(value) = env::var_os(variable) else { return Ok(None) };
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| invalid(format!("{variable} is no number: {value:?}")))
}

/// Whether a descriptor can have been handed over.
fn check(number: RawFd) -> io::Result<()> {
    let refused = |why| Err(invalid(format!("LISTEN_FDS counts descriptor {number}, which {why}")));
    // SAFETY: it takes no pointers, and only asks, whatever the number.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => return refused("is not open"),
        flags if flags & libc::FD_CLOEXEC != 0 => {
            return refused("was opened by this process itself: exec would have closed it");
        }
        _ => {}
    }
    // SAFETY: it is open, and as nobody has opened it in this process, nobody closes it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let socket = SockRef::from(&fd);
    match (socket.r#type().map(i32::from), socket.is_listener()) {
        // Those of netlink, by which the kernel tells things, are raw.
        (Ok(libc::SOCK_DGRAM | libc::SOCK_RAW), _) | (Ok(_), Ok(true)) => Ok(()),
        _ => refused("is no socket that listens or receives datagrams"),
    }
}

/// Takes possession of a descriptor that was handed over.
fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the environment says that it was opened for this process to take, and `check` has found
    // nothing against it. Nobody else takes it: this is done once, and who reads the variables in another
    // way takes what is not his.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    // What this process starts is not to have it.
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl InheritedSocket {
    fn of(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        // It is no socket where one of these fails.
        let (Ok(kind), Ok(listens), Ok(address)) =
            (socket.r#type(), socket.is_listener(), socket.local_addr())
        else {
            return Ok(Self::Other(fd));
        };
        let (is_inet, is_unix) = (address.is_ipv4() || address.is_ipv6(), address.is_unix());
        let is_datagram = kind == Type::DGRAM;
        let is_stream_listener = kind == Type::STREAM && listens;
        if !(is_inet || is_unix) || !(is_datagram || is_stream_listener) {
            return Ok(Self::Other(fd));
        }
        socket.set_nonblocking(true)?;
        Ok(match (is_inet, is_datagram) {
            (true, true) => Self::UdpSocket(fd.into()),
            (true, false) => Self::TcpListener(TcpListener::inherited(fd)?),
            (false, true) => Self::UnixDatagram(fd.into()),
            (false, false) => Self::UnixListener(fd.into()),
        })
    }
}
