//! Every system call of this crate's data path, one function each; nothing here parks.
//!
//! A simulation replaces this file together with the hub's driver. The calls go straight to the
//! kernel (rustix), not through symbols of libc that somebody may have interposed.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

/// As many buffers as the kernel takes in one call (`IOV_MAX`).
pub(crate) const MOST_BUFFERS: usize = 1024;

/// Reads what is there, without waiting. 0 is the end of the stream.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(fd, buffer, RecvFlags::empty())?;
    Ok(count)
}

/// Reads what is there and leaves it there.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(fd, buffer, RecvFlags::PEEK)?;
    Ok(count)
}

/// Reads into several buffers.
pub(crate) fn recv_vectored(
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    Ok(rustix::io::readv(fd, buffers)?)
}

/// Writes what there is room for. A peer that is gone is `BrokenPipe`, never SIGPIPE.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, bytes, SendFlags::NOSIGNAL)?)
}

/// Writes from several buffers.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let buffers = &buffers[..buffers.len().min(MOST_BUFFERS)];
    let mut nothing = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(fd, buffers, &mut nothing, SendFlags::NOSIGNAL)?)
}

/// Takes a connection that waits. Ones that failed while they waited are passed over.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    loop {
        match accept_or_fail(fd) {
            Err(error) if is_passed_over(&error) => {}
            result => return result,
        }
    }
}

fn is_passed_over(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::CONNABORTED | Errno::PROTO | Errno::INTR))
}

/// Takes the first connection that waits, or says how it failed while it waited.
pub(crate) fn accept_or_fail(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let (stream, address) = accept_one(fd)?;
    // Without an address the peer has gone while the connection waited.
    let address = address.ok_or(Errno::CONNABORTED)?;
    Ok((stream, SocketAddr::try_from(address)?))
}

#[cfg(target_os = "linux")]
fn accept_one(
    fd: BorrowedFd<'_>,
) -> rustix::io::Result<(OwnedFd, Option<rustix::net::SocketAddrAny>)> {
    rustix::net::acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(not(target_os = "linux"))]
fn accept_one(
    fd: BorrowedFd<'_>,
) -> rustix::io::Result<(OwnedFd, Option<rustix::net::SocketAddrAny>)> {
    let (stream, address) = rustix::net::acceptfrom(fd)?;
    rustix::io::ioctl_fionbio(&stream, true)?;
    rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC)?;
    rustix::net::sockopt::set_tcp_nodelay(&stream, true)?;
    Ok((stream, address))
}
