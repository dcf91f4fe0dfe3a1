//! Every system call of this crate's data path, one function each; nothing here parks.
//!
//! A simulation replaces this file together with the hub's driver. The calls go straight to the
//! kernel (rustix), not through symbols of libc that somebody may have interposed.

pub(crate) mod inet;
pub(crate) mod unix;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, RecvMsg, ReturnFlags, SendAncillaryBuffer, SendFlags,
    SocketAddrAny, SocketFlags,
};

/// As many buffers as the kernel takes in one call (`IOV_MAX`).
pub(crate) const MOST_BUFFERS: usize = 1024;

/// Reads what is there, without waiting. 0 is the end of the stream.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(fd, buffer, RecvFlags::empty())?;
    Ok(count)
}

/// [`recv`] into memory that need not be initialised: returns how many bytes at its beginning are now.
#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
#[inline]
pub(crate) fn recv_uninit(
    fd: BorrowedFd<'_>,
    buffer: &mut [std::mem::MaybeUninit<u8>],
) -> io::Result<usize> {
    let ((initialised, _), _) = rustix::net::recv(fd, buffer, RecvFlags::empty())?;
    Ok(initialised.len())
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

/// What is copied together rather than gathered by the kernel: `send` of 133 bytes takes 1.79 µs,
/// `sendmsg` of two buffers 1.86 µs.
const COPIED: usize = 256;

/// Writes from several buffers.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [head, body] = buffers
        && head.len() + body.len() <= COPIED
    {
        let mut copy = [0; COPIED];
        copy[..head.len()].copy_from_slice(head);
        copy[head.len()..][..body.len()].copy_from_slice(body);
        return send(fd, &copy[..head.len() + body.len()]);
    }
    let buffers = &buffers[..buffers.len().min(MOST_BUFFERS)];
    let mut nothing = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(fd, buffers, &mut nothing, SendFlags::NOSIGNAL)?)
}

/// Receives a datagram and says who has sent it. What does not fit into the buffer is lost.
pub(crate) fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (count, _, from) = rustix::net::recvfrom(fd, buffer, RecvFlags::empty())?;
    Ok((count, inet(from)?))
}

/// Receives a datagram and leaves it there.
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (count, _, from) = rustix::net::recvfrom(fd, buffer, RecvFlags::PEEK)?;
    Ok((count, inet(from)?))
}

/// Receives a datagram and says whether something of it did not fit.
pub(crate) fn recv_truncated(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    let message = recv_message(fd, buffer)?;
    Ok((message.bytes, is_truncated(&message)))
}

/// Receives a datagram and says who has sent it, and whether something of it did not fit.
pub(crate) fn recv_from_truncated(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, bool)> {
    let message = recv_message(fd, buffer)?;
    let truncated = is_truncated(&message);
    Ok((message.bytes, inet(message.address)?, truncated))
}

fn recv_message(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> rustix::io::Result<RecvMsg> {
    // No room for descriptors: those that come along are closed by the system.
    let mut nothing = RecvAncillaryBuffer::default();
    rustix::net::recvmsg(fd, &mut [IoSliceMut::new(buffer)], &mut nothing, RecvFlags::empty())
}

fn is_truncated(message: &RecvMsg) -> bool {
    message.flags.contains(ReturnFlags::TRUNC)
}

fn inet(address: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    // What is no socket of the internet protocols has no such address.
    let address = address.ok_or(Errno::AFNOSUPPORT)?;
    Ok(SocketAddr::try_from(address)?)
}

/// Sends a datagram.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], target: &SocketAddr) -> io::Result<usize> {
    Ok(rustix::net::sendto(fd, bytes, SendFlags::NOSIGNAL, target)?)
}

/// Whether the socket was shut down for reading: its datagrams end, which only a call that waits is
/// told by the system.
pub(crate) fn is_shut_for_reading(fd: BorrowedFd<'_>) -> bool {
    let mut entry = [PollFd::from_borrowed_fd(fd, SHUT_FOR_READING)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    // Interrupted, it was not seen this time.
    rustix::event::poll(&mut entry, Some(&now)).is_ok()
        && entry[0].revents().intersects(SHUT_FOR_READING)
}

#[cfg(target_os = "linux")]
const SHUT_FOR_READING: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const SHUT_FOR_READING: PollFlags = PollFlags::HUP;

/// Sends from a file, at most `count` bytes beginning at `offset`, as much as there is room for; 0 is
/// the end of the file. `buffer` is used where the system cannot do it by itself.
pub(crate) fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
    buffer: &mut [u8],
) -> io::Result<usize> {
    match send_file_directly(fd, file, offset, count) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let most = count.min(buffer.len());
            let count = read_at(file, &mut buffer[..most], offset)?;
            send(fd, &buffer[..count])
        }
        result => Ok(result?),
    }
}

#[cfg(target_os = "linux")]
fn send_file_directly(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> rustix::io::Result<usize> {
    if !is_sigpipe_ignored() {
        // This call would raise it for a peer that is gone, and cannot be told not to.
        return Err(Errno::NOSYS);
    }
    let mut offset = offset;
    rustix::fs::sendfile(fd, file, Some(&mut offset), count)
}

#[cfg(not(target_os = "linux"))]
fn send_file_directly(
    _: BorrowedFd<'_>,
    _: BorrowedFd<'_>,
    _: u64,
    _: usize,
) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

#[cfg(target_os = "linux")]
fn is_sigpipe_ignored() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing changes; the old one is written to a local, and looked at
    // only where the call says that it has done so.
    unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Reads from a file at a place; 0 is its end.
pub(crate) fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pread(file, buffer, offset)?)
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

/// The same for any kind of address; there is none where the peer has gone meanwhile.
fn accept_any(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    loop {
        match accept_one(fd).map_err(io::Error::from) {
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
fn accept_one(fd: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    rustix::net::acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(not(target_os = "linux"))]
fn accept_one(fd: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (stream, address) = rustix::net::acceptfrom(fd)?;
    make_ours(&stream)?;
    Ok((stream, address))
}

/// What a descriptor of ours is like, where the system cannot be told when it makes one.
#[cfg(not(target_os = "linux"))]
fn make_ours(fd: &OwnedFd) -> rustix::io::Result<()> {
    rustix::io::ioctl_fionbio(fd, true)?;
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)
}
