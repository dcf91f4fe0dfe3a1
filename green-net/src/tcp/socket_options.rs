//! The options that a TCP socket has from the start, whether it connects or listens.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::Keepalive;
use super::keepalive::set_keepalive;
use crate::green_io::sys::inet::sockopt;

/// What [`ConnectOptions`](super::ConnectOptions) and [`ListenOptions`](super::ListenOptions) have in
/// common. `None` leaves what the system has chosen.
#[derive(Clone, Debug)]
pub(super) struct SocketOptions {
    pub(super) nodelay: bool,
    pub(super) ttl: Option<u32>,
    pub(super) keepalive: Option<Keepalive>,
    pub(super) linger: Option<Duration>,
    pub(super) send_buffer_size: Option<usize>,
    pub(super) recv_buffer_size: Option<usize>,
}

impl SocketOptions {
    pub(super) const fn new() -> Self {
        Self {
            nodelay: true,
            ttl: None,
            keepalive: None,
            linger: None,
            send_buffer_size: None,
            recv_buffer_size: None,
        }
    }

    /// Sets them on a new socket that is for `address`. Later would be too late: a connection agrees
    /// upon the scale of its receive window when it is made.
    pub(super) fn apply(&self, fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
        if self.nodelay {
            sockopt::set_tcp_nodelay(fd, true)?;
        }
        if let Some(ttl) = self.ttl {
            set_ttl_for(fd, address, ttl)?;
        }
        if self.keepalive.is_some() {
            set_keepalive(fd, self.keepalive)?;
        }
        if self.linger.is_some() {
            sockopt::set_socket_linger(fd, self.linger)?;
        }
        if let Some(bytes) = self.send_buffer_size {
            sockopt::set_socket_send_buffer_size(fd, bytes)?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            sockopt::set_socket_recv_buffer_size(fd, bytes)?;
        }
        Ok(())
    }
}

/// IPv6 has a name of its own for it.
fn set_ttl_for(fd: BorrowedFd<'_>, address: &SocketAddr, ttl: u32) -> io::Result<()> {
    if address.is_ipv4() {
        return Ok(sockopt::set_ip_ttl(fd, ttl)?);
    }
    let hops = u8::try_from(ttl).map_err(|_| rustix::io::Errno::INVAL)?;
    Ok(sockopt::set_ipv6_unicast_hops(fd, Some(hops))?)
}
