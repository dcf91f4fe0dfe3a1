//! A listening TCP socket, and the connections that it accepts.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use evy_runtime::io::Direction;

use super::{ListenOptions, TcpStream};
use crate::ToSocketAddrs;
use crate::descriptors::descriptors;
use crate::green_io::sys::inet;
use crate::green_io::{GreenIo, sys};

/// A listening TCP socket: [`std::net::TcpListener`], but that `accept` parks the green thread.
///
/// Any number of green threads may accept from one listener; they are served first come first served.
///
/// ```
/// let listener = evy_green_net::TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// evy_runtime::spawn_n(move || evy_green_net::connect(address));
/// let (client, peer) = listener.accept()?;
/// assert_eq!(client.peer_addr()?, peer);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    io: GreenIo,
}

/// Listens on the first of the addresses that can be had; [`TcpListener::bind`] under Evy's name.
///
/// ```
/// let server = evy_green_net::listen("127.0.0.1:0")?;
/// println!("listening on {}", server.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`TcpListener::bind`].
///
/// # Yields
///
/// While a name is looked up.
pub fn listen(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
}

impl TcpListener {
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        GreenIo::adopt(fd).map(|io| Self { io })
    }

    pub(crate) fn new(io: GreenIo) -> Self {
        Self { io }
    }

    pub(crate) fn io(&self) -> &GreenIo {
        &self.io
    }

    /// Listens on the first of the addresses that can be had, with `SO_REUSEADDR` and a backlog of
    /// 4,096, or what the system allows. Port 0 lets the system choose one. [`options`](Self::options)
    /// is for other ways to listen.
    ///
    /// ```
    /// let listener = evy_green_net::TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a malformed address, what the resolver says of a name, `AddrInUse`,
    /// `AddrNotAvailable`, `PermissionDenied`. Where none of several addresses can be had, it is the
    /// error that tells most, which names its address.
    ///
    /// # Yields
    ///
    /// While a name is looked up.
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        ListenOptions::new().listen(addr)
    }

    /// Options to listen with; [`ListenOptions::listen`] then listens.
    ///
    /// ```
    /// use evy_green_net::TcpListener;
    ///
    /// let listener = TcpListener::options().backlog(128).listen("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn options() -> ListenOptions {
        ListenOptions::new()
    }

    /// Takes over a listening socket that other processes have, too: a close leaves it as it is.
    pub(crate) fn inherited(fd: OwnedFd) -> io::Result<Self> {
        let io = GreenIo::adopt(fd)?;
        io.share();
        Ok(Self { io })
    }

    /// A stream of what was accepted.
    pub(crate) fn stream(&self, io: GreenIo) -> TcpStream {
        let stream = TcpStream::new(io);
        if self.io.is_shared() {
            // Nobody has told the listener, whose streams would inherit it. An error is the stream's own.
            let _ = stream.set_nodelay(true);
        }
        stream
    }

    /// Takes over a std listener, which becomes non-blocking.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let listener = evy_green_net::TcpListener::from_std(listener)?;
    /// assert_eq!(listener.local_addr()?, address);
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
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::adopt(listener.into())
    }

    /// Gives the listener back as std's. It stays non-blocking.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let listener: std::net::TcpListener = listener.into_std();
    /// assert_eq!(listener.local_addr()?, address);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_std(self) -> std::net::TcpListener {
        self.io.into_fd().into()
    }

    /// Returns the address that it listens on.
    ///
    /// ```
    /// let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
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
        inet::local_addr(self.io.as_fd())
    }

    /// Waits for a connection and returns it with the address of its peer. Connections that failed
    /// while they waited to be accepted are passed over.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::connect(listener.local_addr()?)?;
    /// let (_client, peer) = listener.accept()?;
    /// assert_eq!(peer, stream.local_addr()?);
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
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.io.call_in_turn(Direction::Read, sys::accept)?;
        Ok((self.stream(GreenIo::new(stream)), address))
    }

    /// Iterates over the connections that come; it never ends.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let streams = [evy_green_net::connect(address)?, evy_green_net::connect(address)?];
    /// for (stream, client) in streams.iter().zip(listener.incoming()) {
    ///     assert_eq!(client?.peer_addr()?, stream.local_addr()?);
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
    /// `NotConnected`. The descriptor itself goes with the drop. Other processes go on with a socket that
    /// came from one of them ([`listeners_from_env`](crate::listeners_from_env)).
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
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
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let other = listener.try_clone()?;
    /// assert_eq!(other.local_addr()?, listener.local_addr()?);
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

    /// Sets the time to live of outgoing packets of accepted connections.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// listener.set_ttl(8)?;
    /// assert_eq!(listener.ttl()?, 8);
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
    /// assert!(listener.ttl()? > 0);
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

    /// Returns and clears the error that the socket holds.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
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
        inet::take_error(self.io.as_fd())
    }

    /// Makes `accept` on this handle return `WouldBlock` where it would park, or park again.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
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

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            debug.field("addr", &address);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}

/// The connections of a listener, from [`TcpListener::incoming`].
///
/// ```
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let stream = evy_green_net::connect(listener.local_addr()?)?;
/// let mut clients: evy_green_net::Incoming<'_> = listener.incoming();
/// let client = clients.next().expect("it never ends")?;
/// assert_eq!(client.peer_addr()?, stream.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

descriptors!(TcpListener as std::net::TcpListener);
