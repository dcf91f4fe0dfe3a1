//! A listening Unix socket, and the connections that it accepts.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use evy_runtime::io::Direction;
use socket2::SockRef;

use super::UnixStream;
use crate::descriptors::descriptors;
use crate::green_io::GreenIo;
use crate::green_io::sys::unix;

/// Connections that may wait to be accepted; the system takes less where it allows less
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A listening Unix socket: [`std::os::unix::net::UnixListener`], but that `accept` parks the green
/// thread.
///
/// Any number of green threads may accept from one listener; they are served first come first served.
///
/// ```
/// use evy_green_net::{UnixListener, UnixStream};
///
/// let folder = std::env::temp_dir();
/// let path = folder.join(format!("evy-doc-{}.sock", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let address = path.clone();
/// evy_runtime::spawn_n(move || UnixStream::connect(address));
/// let (_client, peer) = listener.accept()?;
/// assert!(peer.is_unnamed());
/// std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Notes
///
/// As with std's, the path stays when the listener is dropped, and the next bind to it is `AddrInUse`:
/// remove the file when you are done, or before you bind, if nobody answers there any more.
pub struct UnixListener {
    io: GreenIo,
}

impl UnixListener {
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        GreenIo::adopt(fd).map(|io| Self { io })
    }

    pub(crate) fn io(&self) -> &GreenIo {
        &self.io
    }

    /// Listens at a path, with a backlog of 4,096, or what the system allows.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use evy_green_net::UnixListener;
    ///
    /// let path = std::env::temp_dir().join(format!("evy-doc-bind-{}.sock", std::process::id()));
    /// drop(UnixListener::bind(&path)?);
    /// assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is too long (108 bytes on Linux) or has a NUL in it; `AddrInUse`
    /// when the path is there, whether or not anybody listens; `NotFound` and `PermissionDenied` as for
    /// a file.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::listen(&unix::path_target(path.as_ref())?)
    }

    /// Listens at an address, which may be an abstract name on Linux.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    /// use evy_green_net::{UnixListener, UnixStream};
    ///
    /// let address = SocketAddr::from_abstract_name(format!("evy-doc-{}", std::process::id()))?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// UnixStream::connect_addr(&address)?;
    /// listener.accept()?;
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
        Self::listen(&unix::target(address)?)
    }

    fn listen(target: &unix::Target) -> io::Result<Self> {
        let socket = unix::socket(unix::STREAM)?;
        unix::bind(socket.as_fd(), target)?;
        unix::listen(socket.as_fd(), BACKLOG)?;
        Ok(Self { io: GreenIo::private(socket) })
    }

    /// Takes over a std listener, which becomes non-blocking.
    ///
    /// ```
    /// let listener = std::os::unix::net::UnixListener::bind("")?; // the system chooses a name
    /// let listener = evy_green_net::UnixListener::from_std(listener)?;
    /// assert!(listener.local_addr()?.as_pathname().is_none());
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
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Self::adopt(listener.into())
    }

    /// Gives the listener back as std's. It stays non-blocking.
    ///
    /// ```
    /// # let listener = evy_green_net::UnixListener::bind("")?;
    /// let listener: std::os::unix::net::UnixListener = listener.into_std();
    /// let error = listener.accept().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_std(self) -> std::os::unix::net::UnixListener {
        self.io.into_fd().into()
    }

    /// Returns the address that it listens at.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("evy-doc-addr-{}.sock", std::process::id()));
    /// let listener = evy_green_net::UnixListener::bind(&path)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(path)?;
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

    /// Waits for a connection and returns it with the address of its peer, which is mostly unnamed.
    ///
    /// ```
    /// # use evy_green_net::{UnixListener, UnixStream};
    /// # let listener = UnixListener::bind("")?;
    /// let _stream = UnixStream::connect_addr(&listener.local_addr()?)?;
    /// let (_client, peer) = listener.accept()?;
    /// assert!(peer.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor or no memory is left (the listener is as good as before), and
    /// `NotConnected` after [`close`](Self::close).
    ///
    /// # Yields
    ///
    /// Until there is a connection.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, address) = self.io.call_in_turn(Direction::Read, unix::accept)?;
        Ok((UnixStream::new(GreenIo::new(stream)), address))
    }

    /// Iterates over the connections that come; it never ends.
    ///
    /// ```
    /// # use evy_green_net::{UnixListener, UnixStream};
    /// # let listener = UnixListener::bind("")?;
    /// let address = listener.local_addr()?;
    /// let streams = [UnixStream::connect_addr(&address)?, UnixStream::connect_addr(&address)?];
    /// for (_stream, client) in streams.iter().zip(listener.incoming()) {
    ///     assert!(client?.peer_addr()?.is_unnamed());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// As [`accept`](Self::accept), at each item.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Stops listening: whoever waits for a connection, and every later call on this handle, gets
    /// `NotConnected`. The descriptor itself goes with the drop, and the path stays.
    ///
    /// ```
    /// # let listener = evy_green_net::UnixListener::bind("")?;
    /// listener.close();
    /// let error = listener.accept().unwrap_err();
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

    /// Another handle to the same listener.
    ///
    /// ```
    /// # let listener = evy_green_net::UnixListener::bind("")?;
    /// let other = listener.try_clone()?;
    /// assert_eq!(format!("{:?}", other.local_addr()?), format!("{:?}", listener.local_addr()?));
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

    /// Returns and clears the error that the socket holds.
    ///
    /// ```
    /// # let listener = evy_green_net::UnixListener::bind("")?;
    /// assert!(listener.take_error()?.is_none());
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
        SockRef::from(&self.io).take_error()
    }

    /// Makes `accept` on this handle return `WouldBlock` where it would park, or park again.
    ///
    /// ```
    /// # let listener = evy_green_net::UnixListener::bind("")?;
    /// listener.set_nonblocking(true)?;
    /// let error = listener.accept().unwrap_err();
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

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UnixListener");
        debug.field("fd", &self.as_raw_fd());
        if let Ok(address) = self.local_addr() {
            debug.field("local", &address);
        }
        debug.finish()
    }
}

/// The connections of a listener, from [`UnixListener::incoming`].
///
/// ```
/// # use evy_green_net::{UnixIncoming, UnixListener, UnixStream};
/// # let listener = UnixListener::bind("")?;
/// let _stream = UnixStream::connect_addr(&listener.local_addr()?)?;
/// let mut clients: UnixIncoming<'_> = listener.incoming();
/// clients.next().expect("it never ends")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

descriptors!(UnixListener as std::os::unix::net::UnixListener);
