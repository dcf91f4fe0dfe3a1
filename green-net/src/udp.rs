//! UDP as std has it, parking where std blocks.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evy_runtime::io::Direction;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::ToSocketAddrs;
use crate::descriptors::descriptors;
use crate::green_io::{GreenIo, closed, sys};
use crate::resolve::try_each;

/// A UDP socket: [`std::net::UdpSocket`], but that its calls park the green thread.
///
/// It is `Send` and `Sync`. Any number of green threads may receive from one socket, and send, at the
/// same time: in each direction they are served first come first served.
///
/// ```
/// use evy_green_net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let address = server.local_addr()?;
/// evy_runtime::spawn_n(move || -> std::io::Result<()> {
///     let mut buffer = [0; 1500];
///     loop {
///         let (count, from) = server.recv_from(&mut buffer)?;
///         server.send_to(&buffer[..count], from)?;
///     }
/// });
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", address)?;
/// let mut buffer = [0; 1500];
/// let (count, from) = client.recv_from(&mut buffer)?;
/// assert_eq!((&buffer[..count], from), (&b"hello"[..], address));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Notes
///
/// Where it differs from std's: a timeout is always `ErrorKind::TimedOut`, belongs to this handle, and
/// a clone starts with a copy of it. Of a datagram that is longer than the buffer the rest is lost, as
/// with std's; [`recv_truncated`](Self::recv_truncated) and
/// [`recv_from_truncated`](Self::recv_from_truncated) say so.
pub struct UdpSocket {
    io: GreenIo,
    /// One of the handles to the socket was closed: this one and its clones have this.
    closed: Arc<AtomicBool>,
}

impl UdpSocket {
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { io: GreenIo::adopt(fd)?, closed: Arc::default() })
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.io)
    }

    /// Receives by `call`, first come first served. It is told of the end of the socket only where it
    /// looks for it: a call that does not wait is told by the system that nothing is there.
    fn receive<T>(&self, mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut found_nothing = false;
        self.io.call_in_turn(Direction::Read, |fd| match call(fd) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Woken for nothing: by another descriptor, others may have shut it down.
                if self.is_closed() || found_nothing && sys::is_shut_for_reading(fd) {
                    return Err(closed());
                }
                found_nothing = true;
                Err(error)
            }
            result => result,
        })
    }

    /// Receives by `call` what is there; it never parks.
    fn try_receive<T>(&self, call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        match self.io.try_call(call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_closed() => {
                Err(closed())
            }
            result => result,
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Makes a socket that is bound to the first of the addresses that can be had. Port 0 lets the system
    /// choose one.
    ///
    /// ```
    /// let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a malformed address, what the resolver says of a name, `AddrInUse`,
    /// `AddrNotAvailable`, `PermissionDenied`.
    ///
    /// # Yields
    ///
    /// While a name is looked up.
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        try_each(addr, |address| {
            let kind = Type::DGRAM.nonblocking().cloexec();
            let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
            socket.bind(&SockAddr::from(address))?;
            Ok(Self { io: GreenIo::new(socket.into()), closed: Arc::default() })
        })
    }

    /// Takes over a std socket, which becomes non-blocking.
    ///
    /// ```
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr()?;
    /// let socket = evy_green_net::UdpSocket::from_std(socket)?;
    /// assert_eq!(socket.local_addr()?, address);
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
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        Self::adopt(socket.into())
    }

    /// Gives the socket back as std's. It stays non-blocking: call `set_nonblocking(false)` on it for one
    /// that blocks.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr()?;
    /// let socket: std::net::UdpSocket = socket.into_std();
    /// socket.set_nonblocking(false)?;
    /// assert_eq!(socket.local_addr()?, address);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_std(self) -> std::net::UdpSocket {
        self.io.into_fd().into()
    }

    /// Waits for a datagram; returns its length and who has sent it. What does not fit into the buffer is
    /// lost.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// let mut buffer = [0; 1500];
    /// assert_eq!(socket.recv_from(&mut buffer)?, (5, peer.local_addr()?));
    /// assert_eq!(&buffer[..5], b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `TimedOut` after the [read timeout](Self::set_read_timeout); `ConnectionRefused`, once, when this
    /// socket is [connected](Self::connect) and an earlier datagram reached no socket there; `NotConnected`
    /// after [`close`](Self::close).
    ///
    /// # Yields
    ///
    /// Until there is a datagram.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(|fd| sys::recv_from(fd, buffer))
    }

    /// [`recv_from`](Self::recv_from) that also says whether the datagram was longer than the buffer, so
    /// that its rest is lost.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// let mut buffer = [0; 4];
    /// let (count, _from, truncated) = socket.recv_from_truncated(&mut buffer)?;
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
    /// Until there is a datagram.
    pub fn recv_from_truncated(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, bool)> {
        self.receive(|fd| sys::recv_from_truncated(fd, buffer))
    }

    /// [`recv_from`](Self::recv_from) that leaves the datagram where it is.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// assert_eq!(socket.peek_from(&mut [0; 1500])?, (5, peer.local_addr()?));
    /// assert_eq!(socket.recv_from(&mut [0; 1500])?.0, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram.
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(|fd| sys::peek_from(fd, buffer))
    }

    /// Receives a datagram that is there.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// let error = socket.try_recv_from(&mut [0; 1500]).unwrap_err();
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
        self.try_receive(|fd| sys::recv_from(fd, buffer))
    }

    /// Sends a datagram to the first of the addresses; returns its length.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(socket.send_to(b"hello", peer.local_addr()?)?, 5);
    /// assert_eq!(peer.recv_from(&mut [0; 1500])?, (5, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the resolver says of a name; `InvalidInput` for no address at all; those of sendto(2), such as
    /// EMSGSIZE for a datagram that is too long; `TimedOut` after the
    /// [write timeout](Self::set_write_timeout); `NotConnected` after [`close`](Self::close).
    ///
    /// # Yields
    ///
    /// While the socket's buffer has no room, and while a name is looked up.
    pub fn send_to(&self, bytes: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        let Some(target) = addr.to_socket_addrs()?.next() else {
            let text = "no addresses to send data to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        self.io.call_in_turn(Direction::Write, |fd| sys::send_to(fd, bytes, &target))
    }

    /// Sends a datagram if there is room in the socket's buffer.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// assert_eq!(socket.try_send_to(b"hello", peer.local_addr()?)?, 5);
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
    pub fn try_send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.io.try_call(|fd| sys::send_to(fd, bytes, &target))
    }

    /// Connects the socket to the first of the addresses that it can: [`send`](Self::send) sends there,
    /// and only what comes from there is received.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// socket.connect(peer.local_addr()?)?;
    /// socket.send(b"hello")?;
    /// assert_eq!(peer.recv_from(&mut [0; 1500])?, (5, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the resolver says of a name, `NetworkUnreachable`, …; not whether anybody is there.
    ///
    /// # Yields
    ///
    /// While a name is looked up.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        try_each(addr, |address| {
            self.io.try_call(|fd| SockRef::from(&fd).connect(&SockAddr::from(address)))
        })
    }

    /// Sends a datagram to where the socket is connected to; returns its length.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.connect(peer.local_addr()?)?;
    /// # peer.connect(socket.local_addr()?)?;
    /// assert_eq!(socket.send(b"hello")?, 5);
    /// assert_eq!(peer.recv(&mut [0; 1500])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](Self::send_to); EDESTADDRREQ for a socket that is not
    /// [connected](Self::connect); `ConnectionRefused`, once, when an earlier datagram reached no socket.
    ///
    /// # Yields
    ///
    /// While the socket's buffer has no room.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.io.call_in_turn(Direction::Write, |fd| sys::send(fd, bytes))
    }

    /// Sends a datagram to where the socket is connected to if there is room in the socket's buffer.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.connect(peer.local_addr()?)?;
    /// # peer.connect(socket.local_addr()?)?;
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

    /// Waits for a datagram; returns its length. What does not fit into the buffer is lost.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.connect(peer.local_addr()?)?;
    /// # peer.connect(socket.local_addr()?)?;
    /// peer.send(b"hello")?;
    /// let mut buffer = [0; 1500];
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
    /// Until there is a datagram.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::recv(fd, buffer))
    }

    /// [`recv`](Self::recv) that also says whether the datagram was longer than the buffer, so that its
    /// rest is lost.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.connect(peer.local_addr()?)?;
    /// # peer.connect(socket.local_addr()?)?;
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
    /// Until there is a datagram.
    pub fn recv_truncated(&self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        self.receive(|fd| sys::recv_truncated(fd, buffer))
    }

    /// [`recv`](Self::recv) that leaves the datagram where it is.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.connect(peer.local_addr()?)?;
    /// # peer.connect(socket.local_addr()?)?;
    /// peer.send(b"hello")?;
    /// assert_eq!(socket.peek(&mut [0; 1500])?, 5);
    /// assert_eq!(socket.recv(&mut [0; 1500])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Yields
    ///
    /// Until there is a datagram.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|fd| sys::peek(fd, buffer))
    }

    /// Receives a datagram that is there.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// let error = socket.try_recv(&mut [0; 1500]).unwrap_err();
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
        self.try_receive(|fd| sys::recv(fd, buffer))
    }

    /// Returns the address of this socket.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
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
        sys::inet::local_addr(self.io.as_fd())
    }

    /// Returns the address that the socket is connected to.
    ///
    /// ```
    /// # use evy_green_net::UdpSocket;
    /// # let (socket, peer) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// # socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// # socket.connect(peer.local_addr()?)?;
    /// # peer.connect(socket.local_addr()?)?;
    /// assert_eq!(socket.peer_addr()?, peer.local_addr()?);
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
        sys::inet::peer_addr(self.io.as_fd())
    }

    /// Closes the socket, for clones too. Whoever waits on this handle, and every later call on it, gets
    /// `NotConnected`; who uses a clone can neither receive (`NotConnected`) nor send (`BrokenPipe`). The
    /// descriptor itself goes with the drop.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.close();
    /// let error = socket.recv(&mut [0; 1500]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.io.close();
    }

    /// Another handle to the same socket.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// let other = socket.try_clone()?;
    /// assert_eq!(other.local_addr()?, socket.local_addr()?);
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
        Ok(Self { io: self.io.try_clone()?, closed: Arc::clone(&self.closed) })
    }

    /// Sets how long a receive may park; `None` is for ever.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    /// let error = socket.recv_from(&mut [0; 1500]).unwrap_err();
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
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_write_timeout(Some(std::time::Duration::from_secs(5)))?;
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
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
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
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
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

    /// Allows sending to broadcast addresses, which is off from the start.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;
    /// assert!(socket.broadcast()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.socket().set_broadcast(on)
    }

    /// Returns whether sending to broadcast addresses is allowed.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;
    /// assert!(socket.broadcast()?);
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
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket().broadcast()
    }

    /// Sets whether this host gets its own multicast datagrams of IPv4 back, as it does from the start.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_loop_v4(false)?;
    /// assert!(!socket.multicast_loop_v4()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.socket().set_multicast_loop_v4(on)
    }

    /// Returns whether this host gets its own multicast datagrams of IPv4 back.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_loop_v4(false)?;
    /// assert!(!socket.multicast_loop_v4()?);
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
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket().multicast_loop_v4()
    }

    /// Sets the time to live of outgoing multicast packets of IPv4, which is 1 from the start.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_ttl_v4(4)?;
    /// assert_eq!(socket.multicast_ttl_v4()?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_multicast_ttl_v4(ttl)
    }

    /// Returns the time to live of outgoing multicast packets of IPv4.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_ttl_v4(4)?;
    /// assert_eq!(socket.multicast_ttl_v4()?, 4);
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
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket().multicast_ttl_v4()
    }

    /// Sets whether this host gets its own multicast datagrams of IPv6 back, as it does from the start.
    ///
    /// ```
    /// # let Ok(socket) = evy_green_net::UdpSocket::bind("[::1]:0") else { return Ok(()) };
    /// socket.set_multicast_loop_v6(false)?;
    /// assert!(!socket.multicast_loop_v6()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.socket().set_multicast_loop_v6(on)
    }

    /// Returns whether this host gets its own multicast datagrams of IPv6 back.
    ///
    /// ```
    /// # let Ok(socket) = evy_green_net::UdpSocket::bind("[::1]:0") else { return Ok(()) };
    /// socket.set_multicast_loop_v6(false)?;
    /// assert!(!socket.multicast_loop_v6()?);
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
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket().multicast_loop_v6()
    }

    /// Sets the time to live of outgoing packets.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_ttl(8)?;
    /// assert_eq!(socket.ttl()?, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_ttl_v4(ttl)
    }

    /// Returns the time to live of outgoing packets.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_ttl(8)?;
    /// assert_eq!(socket.ttl()?, 8);
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
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket().ttl_v4()
    }

    /// Joins a multicast group of IPv4, on the interface that has this address (`0.0.0.0`: the system
    /// chooses).
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// use std::net::Ipv4Addr;
    ///
    /// let (group, here) = (Ipv4Addr::new(239, 255, 77, 7), Ipv4Addr::LOCALHOST);
    /// # if socket.join_multicast_v4(&group, &here).is_err() { return Ok(()) }
    /// # socket.leave_multicast_v4(&group, &here)?;
    /// socket.join_multicast_v4(&group, &here)?;
    /// socket.leave_multicast_v4(&group, &here)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`: `InvalidInput` for an address that is none of a group, ENODEV for an
    /// interface that is not there.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket().join_multicast_v4(group, interface)
    }

    /// Leaves a multicast group of IPv4, on the interface that has this address (`0.0.0.0`: the system
    /// chooses).
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// use std::net::Ipv4Addr;
    ///
    /// let (group, here) = (Ipv4Addr::new(239, 255, 77, 7), Ipv4Addr::LOCALHOST);
    /// # if socket.join_multicast_v4(&group, &here).is_err() { return Ok(()) }
    /// # socket.leave_multicast_v4(&group, &here)?;
    /// socket.join_multicast_v4(&group, &here)?;
    /// socket.leave_multicast_v4(&group, &here)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`: `AddrNotAvailable` for a group that it is not in.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket().leave_multicast_v4(group, interface)
    }

    /// Joins a multicast group of IPv6, on the interface with this number (0: the system chooses).
    ///
    /// ```
    /// # let Ok(socket) = evy_green_net::UdpSocket::bind("[::1]:0") else { return Ok(()) };
    /// use std::net::Ipv6Addr;
    ///
    /// let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77);
    /// # if socket.join_multicast_v6(&group, 1).is_err() { return Ok(()) }
    /// # socket.leave_multicast_v6(&group, 1)?;
    /// socket.join_multicast_v6(&group, 1)?;
    /// socket.leave_multicast_v6(&group, 1)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`: `InvalidInput` for an address that is none of a group, ENODEV for an
    /// interface that is not there.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().join_multicast_v6(group, interface)
    }

    /// Leaves a multicast group of IPv6, on the interface with this number (0: the system chooses).
    ///
    /// ```
    /// # let Ok(socket) = evy_green_net::UdpSocket::bind("[::1]:0") else { return Ok(()) };
    /// use std::net::Ipv6Addr;
    ///
    /// let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77);
    /// # if socket.join_multicast_v6(&group, 1).is_err() { return Ok(()) }
    /// # socket.leave_multicast_v6(&group, 1)?;
    /// socket.join_multicast_v6(&group, 1)?;
    /// socket.leave_multicast_v6(&group, 1)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`: `AddrNotAvailable` for a group that it is not in.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().leave_multicast_v6(group, interface)
    }

    /// Returns and clears the error that the socket holds.
    ///
    /// ```
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
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
    /// # let socket = evy_green_net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_nonblocking(true)?;
    /// let error = socket.recv_from(&mut [0; 1500]).unwrap_err();
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

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UdpSocket");
        if let Ok(address) = self.local_addr() {
            debug.field("addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            debug.field("peer", &address);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}

descriptors!(UdpSocket as std::net::UdpSocket);
