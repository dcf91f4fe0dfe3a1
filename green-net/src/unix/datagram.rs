//! A Unix datagram socket.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use evy_runtime::io::{Direction, is_ready};
use evy_runtime::{poll_many, wait_writable};
use socket2::SockRef;

use crate::descriptors::descriptors;
use crate::green_io::GreenIo;
use crate::green_io::sys::{self, unix};

/// How long to wait before another look at a queue whose room nobody tells of.
const PAUSE: Duration = Duration::from_millis(1);

/// A Unix datagram socket: [`std::os::unix::net::UnixDatagram`], but that its calls park the green
/// thread.
///
/// It is `Send` and `Sync`. Any number of green threads may receive from one socket, and send, at the
/// same time: in each direction they are served first come first served. A datagram arrives whole, once
/// and in order, or the sender gets an error; a sender waits while the receiver's queue is full.
///
/// ```
/// use evy_green_net::UnixDatagram;
///
/// let (ours, theirs) = UnixDatagram::pair()?;
/// evy_runtime::spawn_n(move || theirs.send(b"hello"));
/// let mut buffer = [0; 100];
/// assert_eq!(ours.recv(&mut buffer)?, 5);
/// assert_eq!(&buffer[..5], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Notes
///
/// Where it differs from std's: a timeout is always `ErrorKind::TimedOut`, belongs to this handle, and
/// a clone starts with a copy of it. Of a datagram that is longer than the buffer the rest is lost, as
/// with std's; [`recv_truncated`](Self::recv_truncated) and
/// [`recv_from_truncated`](Self::recv_from_truncated) say so. Senders that wait for room in the queue of
/// a receiver which this socket is not connected to are not in line.
///
/// As with std's, the path that it was bound to stays when it is dropped, and the next bind to it is
/// `AddrInUse`.
pub struct UnixDatagram {
    io: GreenIo,
}

/// What became of a datagram.
enum Sent {
    /// It was sent, as so many bytes.
    Now(usize),
    /// The queue of its receiver is full, while this socket has room.
    ReceiverIsFull,
    /// Either is full: a socket that is connected to another one than the receiver is not told which.
    SomethingIsFull,
}

impl UnixDatagram {
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        GreenIo::adopt(fd).map(|io| Self { io })
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.io)
    }

    /// Receives by `call`, first come first served. A call that does not wait is told by the system that
    /// nothing is there where one that waits is told the `end`: that the socket was shut down.
    fn receive<T>(
        &self,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        end: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        self.io.call_in_turn(Direction::Read, |fd| or_end(fd, call(fd), &end))
    }

    /// Receives by `call` what is there; it never parks.
    fn try_receive<T>(
        &self,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
        end: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        self.io.try_call(|fd| or_end(fd, call(fd), end))
    }

    fn bound(target: &unix::Target) -> io::Result<Self> {
        let socket = unix::socket(unix::DATAGRAM)?;
        unix::bind(socket.as_fd(), target)?;
        Ok(Self { io: GreenIo::new(socket) })
    }

    fn connect_to(&self, target: &unix::Target) -> io::Result<()> {
        self.io.try_call(|fd| unix::connect(fd, target))
    }

    /// Sends to `target`. When it is full it tells those who are connected to it, and nobody else.
    fn send_to_target(&self, bytes: &[u8], target: &unix::Target) -> io::Result<usize> {
        let timeout = self.io.timeout(Direction::Write);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|deadline| deadline.duration_since(Instant::now()));
            match self.io.call_in_turn_within(left, Direction::Write, |fd| {
                send_or_say_why(fd, bytes, target)
            })? {
                Sent::Now(count) => return Ok(count),
                _ if self.io.never_parks() => return Err(io::ErrorKind::WouldBlock.into()),
                Sent::ReceiverIsFull => wait_for_room(target, deadline)?,
                Sent::SomethingIsFull => pause(deadline)?,
            }
        }
    }

    /// Makes a socket that is bound to a path.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("evy-doc-dgram-bind-{}.sock", std::process::id()));
    /// let peer = UnixDatagram::bind(&path)?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(peer.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is too long (108 bytes on Linux) or has a NUL in it; `AddrInUse`
    /// when the path is there; `NotFound` and `PermissionDenied` as for a file.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bound(&unix::path_target(path.as_ref())?)
    }

    /// Makes a socket that is bound to an address, which may be an abstract name on Linux.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    /// use evy_green_net::UnixDatagram;
    ///
    /// let name = format!("evy-doc-datagram-{}", std::process::id());
    /// let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    /// assert_eq!(socket.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::bound(&unix::target(address)?)
    }

    /// Makes a socket that is bound to no address: it can send, and receive once it is connected.
    ///
    /// ```
    /// let socket = evy_green_net::UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor or no memory is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn unbound() -> io::Result<Self> {
        Ok(Self { io: GreenIo::new(unix::socket(unix::DATAGRAM)?) })
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// ```
    /// let (one, other) = evy_green_net::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// assert_eq!(other.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor or no memory is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = unix::pair(unix::DATAGRAM)?;
        Ok((Self { io: GreenIo::new(one) }, Self { io: GreenIo::new(other) }))
    }

    /// Takes over a std socket, which becomes non-blocking.
    ///
    /// ```
    /// let (socket, _peer) = std::os::unix::net::UnixDatagram::pair()?;
    /// let socket = evy_green_net::UnixDatagram::from_std(socket)?;
    /// assert!(socket.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `ioctl(FIONBIO)`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        Self::adopt(socket.into())
    }

    /// Gives the socket back as std's. It stays non-blocking: call `set_nonblocking(false)` on it for one
    /// that blocks.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// let socket: std::os::unix::net::UnixDatagram = socket.into_std();
    /// socket.set_nonblocking(false)?;
    /// assert!(socket.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_std(self) -> std::os::unix::net::UnixDatagram {
        self.io.into_fd().into()
    }

    /// Connects the socket to the one at a path: [`send`](Self::send) sends there, and only what comes
    /// from there is received.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("evy-doc-dgram-connect-{}.sock", std::process::id()));
    /// # let peer = UnixDatagram::bind(&path)?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// let socket = UnixDatagram::unbound()?;
    /// socket.connect(&path)?;
    /// socket.send(b"hello")?;
    /// assert_eq!(peer.recv(&mut [0; 100])?, 5);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` when nobody is bound to the path; `PermissionDenied` also when that socket is
    /// connected to another one; `InvalidInput` and `NotFound` as of [`bind`](Self::bind).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.connect_to(&unix::path_target(path.as_ref())?)
    }

    /// Connects the socket to the one at an address, which may be an abstract name on Linux.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let (socket, peer) = (UnixDatagram::bind("")?, UnixDatagram::bind("")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// socket.connect_addr(&peer.local_addr()?)?;
    /// socket.send(b"hello")?;
    /// assert_eq!(peer.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.connect_to(&unix::target(address)?)
    }

    /// Waits for a datagram; returns its length and who has sent it. What does not fit into the buffer is
    /// lost. After a [`shutdown`](Self::shutdown) for reading, and what came before it, the length is 0.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let (socket, peer) = (UnixDatagram::bind("")?, UnixDatagram::bind("")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send_to_addr(b"hello", &socket.local_addr()?)?;
    /// let mut buffer = [0; 100];
    /// let (count, from) = socket.recv_from(&mut buffer)?;
    /// assert_eq!(&buffer[..count], b"hello");
    /// socket.send_to_addr(b"back", &from)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `TimedOut` after the [read timeout](Self::set_read_timeout); `NotConnected` after
    /// [`close`](Self::close).
    ///
    /// # Yields
    ///
    /// Until there is a datagram, or the socket is shut down for reading.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(|fd| unix::recv_from(fd, buffer), || Ok((0, unix::unnamed())))
    }

    /// [`recv_from`](Self::recv_from) that also says whether the datagram was longer than the buffer, so
    /// that its rest is lost.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send(b"hello")?;
    /// let (count, _from, truncated) = socket.recv_from_truncated(&mut [0; 4])?;
    /// assert_eq!((count, truncated), (4, true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram, or the socket is shut down for reading.
    pub fn recv_from_truncated(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, bool)> {
        let end = || Ok((0, unix::unnamed(), false));
        self.receive(|fd| unix::recv_from_truncated(fd, buffer), end)
    }

    /// [`recv_from`](Self::recv_from) that leaves the datagram where it is.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send(b"hello")?;
    /// assert_eq!(socket.peek_from(&mut [0; 100])?.0, 5);
    /// assert_eq!(socket.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram, or the socket is shut down for reading.
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(|fd| unix::peek_from(fd, buffer), || Ok((0, unix::unnamed())))
    }

    /// Receives a datagram that is there.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// let error = socket.try_recv_from(&mut [0; 100]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when none is; those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_receive(|fd| unix::recv_from(fd, buffer), || Ok((0, unix::unnamed())))
    }

    /// Waits for a datagram; returns its length. What does not fit into the buffer is lost. After a
    /// [`shutdown`](Self::shutdown) for reading, and what came before it, it is 0.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send(b"hello")?;
    /// let mut buffer = [0; 100];
    /// assert_eq!(socket.recv(&mut buffer)?, 5);
    /// assert_eq!(&buffer[..5], b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram, or the socket is shut down for reading.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::recv(fd, buffer), || Ok(0))
    }

    /// [`recv`](Self::recv) that also says whether the datagram was longer than the buffer, so that its
    /// rest is lost.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send(b"hello")?;
    /// assert_eq!(socket.recv_truncated(&mut [0; 4])?, (4, true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram, or the socket is shut down for reading.
    pub fn recv_truncated(&self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        self.receive(|fd| sys::recv_truncated(fd, buffer), || Ok((0, false)))
    }

    /// [`recv`](Self::recv) that leaves the datagram where it is.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send(b"hello")?;
    /// assert_eq!(socket.peek(&mut [0; 100])?, 5);
    /// assert_eq!(socket.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram, or the socket is shut down for reading.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::peek(fd, buffer), || Ok(0))
    }

    /// Receives a datagram that is there.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// let error = socket.try_recv(&mut [0; 100]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when none is; those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_receive(|fd| sys::recv(fd, buffer), || Ok(0))
    }

    /// Sends a datagram to the socket at a path; returns its length.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("evy-doc-dgram-send-{}.sock", std::process::id()));
    /// # let peer = UnixDatagram::bind(&path)?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// let socket = UnixDatagram::unbound()?;
    /// assert_eq!(socket.send_to(b"hello", &path)?, 5);
    /// assert_eq!(peer.recv(&mut [0; 100])?, 5);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput`, `NotFound`, `PermissionDenied` and `ConnectionRefused` as of
    /// [`connect`](Self::connect); EMSGSIZE for a datagram that is too long; `TimedOut` after the
    /// [write timeout](Self::set_write_timeout); `NotConnected` after [`close`](Self::close).
    ///
    /// # Yields
    ///
    /// While the receiver's queue, or this socket's buffer, has no room.
    pub fn send_to(&self, bytes: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_target(bytes, &unix::path_target(path.as_ref())?)
    }

    /// Sends a datagram to the socket at an address, which may be an abstract name on Linux; returns its
    /// length.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let (socket, peer) = (UnixDatagram::bind("")?, UnixDatagram::bind("")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(socket.send_to_addr(b"hello", &peer.local_addr()?)?, 5);
    /// assert_eq!(peer.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](Self::send_to).
    ///
    /// # Yields
    ///
    /// While the receiver's queue, or this socket's buffer, has no room.
    pub fn send_to_addr(&self, bytes: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.send_to_target(bytes, &unix::target(address)?)
    }

    /// Sends a datagram to the socket at a path if there is room.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("evy-doc-dgram-try-{}.sock", std::process::id()));
    /// # let peer = UnixDatagram::bind(&path)?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// let socket = UnixDatagram::unbound()?;
    /// assert_eq!(socket.try_send_to(b"hello", &path)?, 5);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; those of [`send_to`](Self::send_to).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_send_to(&self, bytes: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let target = unix::path_target(path.as_ref())?;
        self.io.try_call(|fd| unix::send_to(fd, bytes, &target))
    }

    /// Sends a datagram to the socket at an address if there is room.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let (socket, peer) = (UnixDatagram::bind("")?, UnixDatagram::bind("")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(socket.try_send_to_addr(b"hello", &peer.local_addr()?)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; those of [`send_to`](Self::send_to).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_send_to_addr(&self, bytes: &[u8], address: &SocketAddr) -> io::Result<usize> {
        let target = unix::target(address)?;
        self.io.try_call(|fd| unix::send_to(fd, bytes, &target))
    }

    /// Sends a datagram to where the socket is connected to; returns its length.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(socket.send(b"hello")?, 5);
    /// assert_eq!(peer.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` for a socket that is not [connected](Self::connect), and after
    /// [`close`](Self::close); `ConnectionRefused` when the peer is gone, `BrokenPipe` when it was shut
    /// down; EMSGSIZE for a datagram that is too long; `TimedOut` after the
    /// [write timeout](Self::set_write_timeout).
    ///
    /// # Yields
    ///
    /// While the receiver's queue, or this socket's buffer, has no room.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.io.call_in_turn(Direction::Write, |fd| sys::send(fd, bytes))
    }

    /// Sends a datagram to where the socket is connected to if there is room.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(socket.try_send(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; those of [`send`](Self::send).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.io.try_call(|fd| sys::send(fd, bytes))
    }

    /// Returns the address of this socket.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix::local_addr(self.io.as_fd())
    }

    /// Returns the address that the socket is connected to.
    ///
    /// ```
    /// # use evy_green_net::UnixDatagram;
    /// # let (socket, peer) = (UnixDatagram::bind("")?, UnixDatagram::bind("")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// socket.connect_addr(&peer.local_addr()?)?;
    /// assert!(!socket.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` for a socket that is not [connected](Self::connect).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix::peer_addr(self.io.as_fd())
    }

    /// Shuts down receiving, sending, or both; a green thread that waits for what is shut down goes on.
    /// Sends to a socket that is shut down for reading are `BrokenPipe`.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// socket.shutdown(std::net::Shutdown::Read)?;
    /// assert_eq!(socket.recv(&mut [0; 100])?, 0);
    /// assert_eq!(peer.send(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket().shutdown(how)
    }

    /// Closes the socket, for clones too. Whoever waits on this handle, and every later call on it, gets
    /// `NotConnected`; who uses a clone receives the end (0), and `BrokenPipe` for what is sent. The
    /// descriptor itself goes with the drop.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// socket.close();
    /// let error = socket.recv(&mut [0; 100]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn close(&self) {
        self.io.close();
    }

    /// Another handle to the same socket.
    ///
    /// ```
    /// # let (socket, peer) = evy_green_net::UnixDatagram::pair()?;
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// let other = socket.try_clone()?;
    /// peer.send(b"hello")?;
    /// assert_eq!(other.recv(&mut [0; 100])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.io.try_clone().map(|io| Self { io })
    }

    /// Sets how long a receive may park; `None` is for ever.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    /// let error = socket.recv(&mut [0; 100]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time of 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_timeout(Direction::Read, timeout)
    }

    /// Sets how long a send may park; `None` is for ever.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// // Nobody receives: there is room for some of them only.
    /// socket.set_write_timeout(Some(Duration::from_millis(1)))?;
    /// let error = (0..100_000).find_map(|_| socket.send(&[0; 1000]).err()).unwrap();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time of 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_timeout(Direction::Write, timeout)
    }

    /// Returns how long a receive may park.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// use std::time::Duration;
    ///
    /// assert_eq!(socket.read_timeout()?, None);
    /// socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    /// assert_eq!(socket.read_timeout()?, Some(Duration::from_secs(5)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.io.timeout(Direction::Read))
    }

    /// Returns how long a send may park.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// use std::time::Duration;
    ///
    /// assert_eq!(socket.write_timeout()?, None);
    /// socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    /// assert_eq!(socket.write_timeout()?, Some(Duration::from_secs(5)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.io.timeout(Direction::Write))
    }

    /// Returns and clears the error that the socket holds.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// assert!(socket.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket().take_error()
    }

    /// Makes calls on this handle return `WouldBlock` where they would park, or park again.
    ///
    /// ```
    /// # let (socket, _peer) = evy_green_net::UnixDatagram::pair()?;
    /// socket.set_nonblocking(true)?;
    /// let error = socket.recv(&mut [0; 100]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None; the type is std's.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.io.set_nonblocking(nonblocking);
        Ok(())
    }
}

fn or_end<T>(
    fd: BorrowedFd<'_>,
    result: io::Result<T>,
    end: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && sys::is_shut_for_reading(fd) => {
            end()
        }
        result => result,
    }
}

fn send_or_say_why(fd: BorrowedFd<'_>, bytes: &[u8], target: &unix::Target) -> io::Result<Sent> {
    match unix::send_to(fd, bytes, target) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            if unix::is_connected(fd) {
                Ok(Sent::SomethingIsFull)
            } else if is_ready(fd, Direction::Write)? {
                // To wait for room in this socket would be to spin: an attempt that fails gives back what
                // it has taken, and is told of that as room.
                Ok(Sent::ReceiverIsFull)
            } else {
                // This socket's own buffer is.
                Err(error)
            }
        }
        result => result.map(Sent::Now),
    }
}

/// Waits until the queue of the socket at `target` may have room: by a socket that is connected to it,
/// which the system calls writable then.
fn wait_for_room(target: &unix::Target, deadline: Option<Instant>) -> io::Result<()> {
    let connected = unix::socket(unix::DATAGRAM)
        .and_then(|socket| unix::connect(socket.as_fd(), target).map(|()| socket));
    match connected {
        Ok(socket) => wait_writable(&socket, deadline),
        // It is gone, which the next attempt finds out, or there is no descriptor to spare.
        Err(_) => pause(deadline),
    }
}

fn pause(deadline: Option<Instant>) -> io::Result<()> {
    let now = Instant::now();
    if deadline.is_some_and(|deadline| deadline <= now) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let end = now + PAUSE;
    poll_many(&[], Some(deadline.map_or(end, |deadline| deadline.min(end))))?;
    Ok(())
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UnixDatagram");
        debug.field("fd", &self.as_raw_fd());
        if let Ok(address) = self.local_addr() {
            debug.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            debug.field("peer", &address);
        }
        debug.finish()
    }
}

descriptors!(UnixDatagram as std::os::unix::net::UnixDatagram);
