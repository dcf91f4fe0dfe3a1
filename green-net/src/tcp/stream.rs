//! A TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use evy_runtime::io::Direction;

use super::{ConnectOptions, Keepalive, keepalive};
use crate::ToSocketAddrs;
use crate::connect::connect_to;
use crate::descriptors::descriptors;
use crate::green_io::sys::inet;
use crate::green_io::{GreenIo, sys};

/// A TCP connection: [`std::net::TcpStream`], but that its calls park the green thread.
///
/// It is `Send` and `Sync`. One green thread may read and another write at the same time; a second
/// reader (or writer) gets an error that names both. A dropped stream is closed.
///
/// ```
/// use std::io::{Read, Write};
///
/// let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// evy_runtime::spawn_n(move || -> std::io::Result<()> {
///     let (mut client, _) = listener.accept()?;
///     client.write_all(b"hello")
/// });
/// let mut text = String::new();
/// evy_green_net::TcpStream::connect(address)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Notes
///
/// Where it differs from std's: `TCP_NODELAY` is on from the start; a timeout is always
/// `ErrorKind::TimedOut`, belongs to this handle, and a clone starts with a copy of it; a write to a
/// peer that is gone is an error whatever SIGPIPE is set to.
pub struct TcpStream {
    io: GreenIo,
}

impl TcpStream {
    pub(crate) fn new(io: GreenIo) -> Self {
        Self { io }
    }

    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        GreenIo::adopt(fd).map(Self::new)
    }

    pub(crate) fn io(&self) -> &GreenIo {
        &self.io
    }

    /// For protocols that know when a connection is done: whether a [`Server`](crate::Server) that has
    /// accepted this stream, and stops, leaves it to whoever has the stream to end the connection within
    /// the grace.
    #[doc(hidden)]
    pub fn finish_itself(&self, itself: bool) {
        self.io.finish_itself(itself);
    }

    /// Connects to the first of the addresses that answers.
    ///
    /// Several addresses, as those of a name, are tried as RFC 8305 (Happy Eyeballs) says: IPv6 and IPv4
    /// take turns, beginning with the first address. When one has not answered after 250 ms, the next is
    /// tried beside it; when one fails, at once. The first to be connected is the one. To try addresses
    /// strictly one after the other, connect to each by itself. [`options`](Self::options) is for other
    /// ways to connect.
    ///
    /// ```
    /// let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a malformed address, what the resolver says of a name, and
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, … when the address does not answer. Where
    /// none of several addresses does, it is the error that tells most, which names its address.
    ///
    /// # Yields
    ///
    /// Until connected, and while a name is looked up. A green thread that is killed or timed out
    /// meanwhile has closed all its sockets.
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        ConnectOptions::new().connect(addr)
    }

    /// Options to connect with; [`ConnectOptions::connect`] then connects.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_green_net::TcpStream;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let port = listener.local_addr()?.port();
    /// let options = TcpStream::options().timeout(Duration::from_secs(5));
    /// let stream = options.connect(("localhost", port))?;
    /// assert_eq!(stream.peer_addr()?.port(), port);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn options() -> ConnectOptions {
        ConnectOptions::new()
    }

    /// Connects to one address within a time. [`connect_timeout`](crate::connect_timeout) takes names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_green_net::TcpStream;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    /// assert_eq!(stream.peer_addr()?, address);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `TimedOut` when the time is over, `InvalidInput` for a time of 0, and those of
    /// [`connect`](Self::connect).
    ///
    /// # Yields
    ///
    /// Until connected.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        connect_to(*addr, &ConnectOptions::new(), Some(timeout)).map(Self::new)
    }

    /// Takes over a std stream, which becomes non-blocking.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let stream = std::net::TcpStream::connect(address)?;
    /// let stream = evy_green_net::TcpStream::from_std(stream)?;
    /// assert_eq!(stream.peer_addr()?, address);
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
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::adopt(stream.into())
    }

    /// Gives the stream back as std's. It stays non-blocking: call `set_nonblocking(false)` on it for
    /// blocking calls.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// let stream: std::net::TcpStream = stream.into_std();
    /// stream.set_nonblocking(false)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_std(self) -> std::net::TcpStream {
        self.io.into_fd().into()
    }

    /// Returns the address of the peer.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` when the peer has reset the connection.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet::peer_addr(self.as_fd())
    }

    /// Returns the address of this end.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// let (_, address) = listener.accept()?;
    /// assert_eq!(stream.local_addr()?, address);
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
        inet::local_addr(self.as_fd())
    }

    /// Shuts down reading, writing, or both; a green thread that waits for what is shut down goes on.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::net::Shutdown;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// stream.shutdown(Shutdown::Write)?;
    /// assert_eq!((&peer).read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` when the connection is gone.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        inet::shutdown(self.as_fd(), how)
    }

    /// Closes the connection. Whoever waits on this handle, and every later call on it, gets
    /// `NotConnected`; who uses a clone sees the end of the stream. The descriptor itself
    /// goes with the drop.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.close();
    /// let error = (&stream).read(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn close(&self) {
        self.io.close();
    }

    /// Another handle to the same connection.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// let other = stream.try_clone()?;
    /// drop(stream);
    /// assert_eq!(other.peer_addr()?, listener.local_addr()?);
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
        self.io.try_clone().map(Self::new)
    }

    /// Sets how long a read may park; `None` is for ever.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    /// let error = (&stream).read(&mut [0; 8]).unwrap_err();
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

    /// Sets how long a write may park; `None` is for ever.
    ///
    /// ```
    /// use std::io::{ErrorKind, Write};
    /// use std::time::Duration;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// // Nobody reads: there is room for some of it only.
    /// stream.set_write_timeout(Some(Duration::from_millis(1)))?;
    /// let error = (&stream).write_all(&vec![0; 128 << 20]).unwrap_err();
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

    /// Returns how long a read may park.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.read_timeout()?, None);
    /// stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    /// assert_eq!(stream.read_timeout()?, Some(Duration::from_secs(5)));
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

    /// Returns how long a write may park.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.write_timeout()?, None);
    /// stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    /// assert_eq!(stream.write_timeout()?, Some(Duration::from_secs(5)));
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

    /// Reads without taking the data off the stream.
    ///
    /// ```
    /// use std::io::{Read, Write};
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// (&stream).write_all(b"hello")?;
    /// let mut buffer = [0; 8];
    /// assert_eq!(peer.peek(&mut buffer)?, 5);
    /// assert_eq!((&peer).read(&mut buffer)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a read.
    ///
    /// # Yields
    ///
    /// Until there is data, or the end.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.io.read(|fd| sys::peek(fd, buffer))
    }

    /// Reads what is there.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// let error = stream.try_read(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is; those of a read.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.try_read(|fd| sys::recv(fd, buffer))
    }

    /// Writes what there is room for.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.try_write(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; those of a write.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.io.try_write(|fd| sys::send(fd, bytes))
    }

    /// Sets `TCP_NODELAY`, which is on from the start.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.set_nodelay(false)?;
    /// assert!(!stream.nodelay()?);
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
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(inet::sockopt::set_tcp_nodelay(self, nodelay)?)
    }

    /// Returns whether `TCP_NODELAY` is on.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert!(stream.nodelay()?);
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
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(inet::sockopt::tcp_nodelay(self)?)
    }

    /// Sets the time to live of outgoing packets.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.set_ttl(8)?;
    /// assert_eq!(stream.ttl()?, 8);
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
        Ok(inet::sockopt::set_ip_ttl(self, ttl)?)
    }

    /// Returns the time to live of outgoing packets.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert!(stream.ttl()? > 0);
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
        Ok(inet::sockopt::ip_ttl(self)?)
    }

    /// Sets how TCP notices that the peer is gone while nothing is said; `None`, as it is from the start,
    /// is not at all.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_green_net::Keepalive;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// let (idle, interval) = (Duration::from_secs(60), Duration::from_secs(10));
    /// let keepalive = Keepalive { idle, interval, retries: 3 };
    /// stream.set_keepalive(Some(keepalive))?;
    /// assert_eq!(stream.keepalive()?, Some(keepalive));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for times or retries that the system does not take (Linux: 32,767 s, 127).
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        keepalive::set_keepalive(self.as_fd(), keepalive)
    }

    /// Returns how TCP notices that the peer is gone while nothing is said.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.keepalive()?, None);
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
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        keepalive::keepalive(self.as_fd())
    }

    /// Sets what becomes of data that is not sent yet when the stream is dropped. `None`, as it is from
    /// the start: the system goes on sending. A time of 0: the data is thrown away and the peer gets a
    /// reset. More, in whole seconds, rounded up: the drop waits until all is sent, or for so long.
    ///
    /// That last wait blocks the OS thread and all its green threads. To know that the peer has it all,
    /// [`shutdown`](Self::shutdown) writing and read to the end instead.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// # let (mut peer, _) = listener.accept()?;
    /// # peer.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    /// stream.set_linger(Some(Duration::ZERO))?;
    /// drop(stream);
    /// assert_eq!(peer.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
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
    #[doc(alias = "SO_LINGER")]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Ok(inet::sockopt::set_socket_linger(self, linger)?)
    }

    /// Returns what becomes of data that is not sent yet when the stream is dropped.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.linger()?, None);
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
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(inet::sockopt::socket_linger(self)?)
    }

    /// Sets how many bytes the system takes from this end before they are sent; a write waits while they
    /// are so many. The system then no longer adapts it to the connection. Linux doubles the number, for
    /// what it needs itself, and takes no more than `net.core.wmem_max`.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.set_send_buffer_size(65_536)?;
    /// assert!(stream.send_buffer_size()? >= 65_536);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than `i32::MAX`.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "SO_SNDBUF")]
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(inet::sockopt::set_socket_send_buffer_size(self, bytes)?)
    }

    /// Returns the size of the send buffer as the system counts it.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert!(stream.send_buffer_size()? > 0);
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
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        Ok(inet::sockopt::socket_send_buffer_size(self)?)
    }

    /// Sets how many bytes from the peer may wait to be read. The system then no longer adapts it to the
    /// connection. Linux doubles the number, for what it needs itself, and takes no more than
    /// `net.core.rmem_max`. For more than 64 KiB from the first packet on, use
    /// [`ConnectOptions::recv_buffer_size`].
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.set_recv_buffer_size(65_536)?;
    /// assert!(stream.recv_buffer_size()? >= 65_536);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than `i32::MAX`.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "SO_RCVBUF")]
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(inet::sockopt::set_socket_recv_buffer_size(self, bytes)?)
    }

    /// Returns the size of the receive buffer as the system counts it.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert!(stream.recv_buffer_size()? > 0);
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
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        Ok(inet::sockopt::socket_recv_buffer_size(self)?)
    }

    /// Returns and clears the error that the socket holds.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// assert!(stream.take_error()?.is_none());
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
        inet::take_error(self.as_fd())
    }

    /// Makes calls on this handle return `WouldBlock` where they would park, or park again.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// stream.set_nonblocking(true)?;
    /// let error = (&stream).read(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
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

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len();
        if wanted == 0 {
            return Ok(0);
        }
        self.io.read_stream(wanted, |fd| sys::recv(fd, buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        // The system leaves the others alone: a read that fills these is no short one.
        let usable = buffers.len().min(sys::MOST_BUFFERS);
        let buffers = &mut buffers[..usable];
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if wanted == 0 {
            return Ok(0);
        }
        self.io.read_stream(wanted, |fd| sys::recv_vectored(fd, buffers))
    }
}

impl Write for &TcpStream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            // Nothing needs no room.
            return self.io.try_call(|fd| sys::send(fd, bytes));
        }
        self.io.write(|fd| sys::send(fd, bytes))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return self.io.try_call(|fd| sys::send_vectored(fd, buffers));
        }
        self.io.write(|fd| sys::send_vectored(fd, buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            debug.field("addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            debug.field("peer", &address);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}

descriptors!(TcpStream as std::net::TcpStream);
