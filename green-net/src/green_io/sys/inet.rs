//! The system calls that make and set up TCP sockets, one function each; nothing here parks.
//!
//! As those of the data path they go straight to the kernel, with one exception, which says so.

use std::io;
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
pub(crate) use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType};

#[cfg(target_os = "linux")]
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FLAGS: SocketFlags = SocketFlags::empty();

/// A TCP socket of the family of `address`, non-blocking.
pub(crate) fn tcp_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    Ok(socket(address, SocketType::STREAM)?)
}

fn socket(address: &SocketAddr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let fd = rustix::net::socket_with(family, kind, FLAGS, None)?;
    #[cfg(not(target_os = "linux"))]
    {
        rustix::io::ioctl_fionbio(&fd, true)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(fd)
}

pub(crate) fn bind(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    Ok(rustix::net::bind(fd, address)?)
}

pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    Ok(rustix::net::listen(fd, backlog)?)
}

/// Makes a listening socket deaf to those who begin to connect; connections that have begun are not
/// disturbed. For one that is about to be closed: who is not heard asks again, and is refused then.
#[cfg(target_os = "linux")]
pub(crate) fn turn_away(fd: BorrowedFd<'_>) {
    use socket2::SockFilter;

    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    /// Where the flags are in a TCP header.
    const FLAGS: u32 = 13;

    let instruction = |code, if_true, if_false, operand| {
        SockFilter::new(u16::try_from(code).expect("a small number"), if_true, if_false, operand)
    };
    let filter = [
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    // Where the system does not let us, somebody may come in before the close, and is reset.
    let _ = socket2::SockRef::from(&fd).attach_filter(&filter);
}

/// There, nobody knows how.
#[cfg(not(target_os = "linux"))]
pub(crate) fn turn_away(_: BorrowedFd<'_>) {}

/// Begins to connect; `true` if that is done already.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<bool> {
    match rustix::net::connect(fd, address) {
        Ok(()) => Ok(true),
        // An interrupted connect goes on by itself.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(false),
        // No port is left, some systems say by this; waiting would not help.
        Err(Errno::AGAIN) => Err(Errno::ADDRNOTAVAIL.into()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => rustix::net::Shutdown::Read,
        Shutdown::Write => rustix::net::Shutdown::Write,
        Shutdown::Both => rustix::net::Shutdown::Both,
    };
    Ok(rustix::net::shutdown(fd, how)?)
}

pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    inet(rustix::net::getsockname(fd)?)
}

pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    inet(rustix::net::getpeername(fd)?.ok_or(Errno::NOTCONN)?)
}

fn inet(address: SocketAddrAny) -> io::Result<SocketAddr> {
    SocketAddr::try_from(address).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "this socket has no internet address")
    })
}

/// Returns and clears the error that the socket holds.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    Ok(sockopt::socket_error(fd)?.err().map(io::Error::from))
}

/// Makes a bind to port 0 choose the port when the socket connects: the port need not be free, only the
/// connection new. Else a source address has as many connections as there are ports, to whomever.
#[cfg(target_os = "linux")]
pub(crate) fn choose_port_late(fd: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;

    let on: libc::c_int = 1;
    // Not by rustix, which does not know this option. Where the system does not know it either, the
    // port is chosen at once.
    // SAFETY: the option is an int, which lives through the call.
    unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn choose_port_late(_: BorrowedFd<'_>) {}

/// Whether there is a way to `::1`: no packet is sent.
pub(crate) fn has_ipv6_loopback() -> bool {
    let loopback = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 1);
    socket(&loopback, SocketType::DGRAM).is_ok_and(|fd| rustix::net::connect(fd, &loopback).is_ok())
}

/// The number of a network interface, by its name; `None` if there is none of this name.
#[cfg(target_os = "linux")]
pub(crate) fn interface(name: &str) -> io::Result<Option<u32>> {
    // Any socket will do to ask.
    let fd = socket(&SocketAddr::from(([0; 4], 0)), SocketType::DGRAM)?;
    match rustix::net::netdevice::name_to_index(fd, name) {
        Ok(number) => Ok(Some(number)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
