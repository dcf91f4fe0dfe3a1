//! The system calls that tell what this machine has of the internet; nothing here parks.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

#[cfg(target_os = "linux")]
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FLAGS: SocketFlags = SocketFlags::empty();

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
