//! A connection by Unix sockets.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;
use evy_runtime::poll_many;
use socket2::SockRef;

use crate::descriptors::descriptors;
use crate::green_io::GreenIo;
use crate::green_io::sys::{self, unix};

/// How long to wait before the first and the last attempts to connect where too many wait already: the
/// system tells nobody when there is room again.
const PAUSES: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(10));

/// A connection by Unix sockets: [`std::os::unix::net::UnixStream`], but that its calls park the green
/// thread.
///
/// It is `Send` and `Sync`. One green thread may read and another write at the same time; a second
/// reader (or writer) gets an error that names both. A dropped stream is closed.
///
/// ```
/// use std::io::{Read, Write};
/// use evy_green_net::UnixStream;
///
/// let (mut ours, mut theirs) = UnixStream::pair()?;
/// evy_runtime::spawn_n(move || theirs.write_all(b"hello"));
/// let mut text = String::new();
/// ours.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Notes
///
/// Where it differs from std's: a timeout is always `ErrorKind::TimedOut`, belongs to this handle, and
/// a clone starts with a copy of it; a write to a peer that is gone is an error whatever SIGPIPE is set
/// to.
pub struct UnixStream {
    io: GreenIo,
}

/// Two Unix streams that are connected to each other; [`UnixStream::pair`] under Evy's name.
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut one, mut other) = evy_green_net::socket_pair()?;
/// one.write_all(b"hello")?;
/// let mut buffer = [0; 5];
/// other.read_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"hello");
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
#[doc(alias = "socketpair")]
pub fn socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

impl UnixStream {
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

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.io)
    }

    /// Connects to the listener at a path.
    ///
    /// ```
    /// # use evy_green_net::{UnixListener, UnixStream};
    /// # let path = std::env::temp_dir().join(format!("evy-doc-connect-{}.sock", std::process::id()));
    /// let _listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path)?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is too long or has a NUL in it; `ConnectionRefused` when the path
    /// is there and nobody listens; `NotFound` and `PermissionDenied` as for a file.
    ///
    /// # Yields
    ///
    /// While the listener has too many connections that wait to be accepted.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::connect_to(&unix::path_target(path.as_ref())?)
    }

    /// Connects to the listener at an address, which may be an abstract name on Linux.
    ///
    /// ```
    /// # use evy_green_net::{UnixListener, UnixStream};
    /// let listener = UnixListener::bind("")?; // the system chooses a name
    /// let stream = UnixStream::connect_addr(&listener.local_addr()?)?;
    /// assert!(stream.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    ///
    /// # Yields
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::connect_to(&unix::target(address)?)
    }

    fn connect_to(target: &unix::Target) -> io::Result<Self> {
        let io = GreenIo::new(unix::socket(unix::STREAM)?);
        let (mut pause, longest) = PAUSES;
        loop {
            match io.try_call(|fd| unix::connect(fd, target)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result.map(|()| Self::new(io)),
            }
            // Nothing but the time.
            poll_many(&[], Some(Instant::now() + pause))?;
            pause = longest.min(2 * pause);
        }
    }

    /// Makes two streams that are connected to each other.
    ///
    /// ```
    /// let (one, other) = evy_green_net::UnixStream::pair()?;
    /// drop(one);
    /// assert_eq!(std::io::Read::read(&mut &other, &mut [0; 8])?, 0);
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
        let (one, other) = unix::pair(unix::STREAM)?;
        Ok((Self::new(GreenIo::new(one)), Self::new(GreenIo::new(other))))
    }

    /// Takes over a std stream, which becomes non-blocking.
    ///
    /// ```
    /// let (stream, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// let stream = evy_green_net::UnixStream::from_std(stream)?;
    /// assert!(stream.peer_addr()?.is_unnamed());
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
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Self::adopt(stream.into())
    }

    /// Gives the stream back as std's. It stays non-blocking: call `set_nonblocking(false)` on it for
    /// blocking calls.
    ///
    /// ```
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
    /// let stream: std::os::unix::net::UnixStream = stream.into_std();
    /// stream.set_nonblocking(false)?;
    /// assert!(stream.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_std(self) -> std::os::unix::net::UnixStream {
        self.io.into_fd().into()
    }

    /// Returns the address of the peer.
    ///
    /// ```
    /// # use evy_green_net::{UnixListener, UnixStream};
    /// # let listener = UnixListener::bind("")?;
    /// let stream = UnixStream::connect_addr(&listener.local_addr()?)?;
    /// let (client, _) = listener.accept()?;
    /// assert!(!stream.peer_addr()?.is_unnamed());
    /// assert!(client.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `getpeername`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix::peer_addr(self.io.as_fd())
    }

    /// Returns the address of this end.
    ///
    /// ```
    /// let (stream, _peer) = evy_green_net::UnixStream::pair()?;
    /// assert!(stream.local_addr()?.is_unnamed());
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

    /// Shuts down reading, writing, or both; a green thread that waits for what is shut down goes on.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::net::Shutdown;
    ///
    /// # let (stream, peer) = evy_green_net::UnixStream::pair()?;
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
        self.socket().shutdown(how)
    }

    /// Closes the connection. Whoever waits on this handle, and every later call on it, gets
    /// `NotConnected`; who uses a clone sees the end of the stream. The descriptor itself
    /// goes with the drop.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
    /// let other = stream.try_clone()?;
    /// drop(stream);
    /// assert!(other.peer_addr()?.is_unnamed());
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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

    /// Returns and clears the error that the socket holds.
    ///
    /// ```
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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
        self.socket().take_error()
    }

    /// Makes calls on this handle return `WouldBlock` where they would park, or park again.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// # let (stream, _peer) = evy_green_net::UnixStream::pair()?;
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

impl Read for &UnixStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // A short read does not mean that it is drained, as it does with TCP: a read stops where
        // descriptors came along with the data.
        self.io.read(|fd| sys::recv(fd, buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        let usable = buffers.len().min(sys::MOST_BUFFERS);
        self.io.read(|fd| sys::recv_vectored(fd, &mut buffers[..usable]))
    }
}

impl Write for &UnixStream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            // Nothing needs no room.
            return self.io.try_write(|fd| sys::send(fd, bytes));
        }
        self.io.write(|fd| sys::send(fd, bytes))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return self.io.try_write(|fd| sys::send_vectored(fd, buffers));
        }
        self.io.write(|fd| sys::send_vectored(fd, buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for UnixStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for UnixStream {
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

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UnixStream");
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

descriptors!(UnixStream as std::os::unix::net::UnixStream);
