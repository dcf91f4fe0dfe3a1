//! When a connection that says nothing is asked whether it is still there.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::green_io::sys::inet::sockopt;

/// How TCP finds out that the peer of an idle connection is gone (`SO_KEEPALIVE`).
///
/// After `idle` without a word it asks, again each `interval` without an answer, and after `retries` such
/// questions the connection is broken: its reads and writes fail with `TimedOut`. A peer that cannot be
/// reached while there is data to send is noticed without it.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::{Keepalive, TcpStream};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// let keepalive = Keepalive {
///     idle: Duration::from_secs(60),
///     interval: Duration::from_secs(10),
///     retries: 3,
/// };
/// let stream = TcpStream::options().keepalive(keepalive).connect(address)?;
/// assert_eq!(stream.keepalive()?, Some(keepalive));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Silence before the first question. Whole seconds, rounded up.
    pub idle: Duration,
    /// Time between questions. Whole seconds, rounded up.
    pub interval: Duration,
    /// Questions without an answer after which the connection is broken.
    pub retries: u32,
}

/// The shortest time that the system takes: it would refuse 0.
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn set_keepalive(fd: BorrowedFd<'_>, keepalive: Option<Keepalive>) -> io::Result<()> {
    if let Some(Keepalive { idle, interval, retries }) = keepalive {
        sockopt::set_tcp_keepidle(fd, idle.max(SECOND))?;
        sockopt::set_tcp_keepintvl(fd, interval.max(SECOND))?;
        sockopt::set_tcp_keepcnt(fd, retries)?;
    }
    Ok(sockopt::set_socket_keepalive(fd, keepalive.is_some())?)
}

pub(super) fn keepalive(fd: BorrowedFd<'_>) -> io::Result<Option<Keepalive>> {
    if !sockopt::socket_keepalive(fd)? {
        return Ok(None);
    }
    Ok(Some(Keepalive {
        idle: sockopt::tcp_keepidle(fd)?,
        interval: sockopt::tcp_keepintvl(fd)?,
        retries: sockopt::tcp_keepcnt(fd)?,
    }))
}
