//! How to connect, where the usual way will not do.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::socket_options::SocketOptions;
use super::{Keepalive, TcpStream};
use crate::ToSocketAddrs;
use crate::connect::connect_any;
use crate::green_io::sys::inet;

/// How long an attempt to connect has before the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What RFC 8305 allows and recommends (section 8).
const LEAST_ATTEMPT_DELAY: Duration = Duration::from_millis(10);
const MOST_ATTEMPT_DELAY: Duration = Duration::from_secs(2);

/// Options for a [`TcpStream`], set before it connects.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::ConnectOptions;
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// let patient = ConnectOptions::new().timeout(Duration::from_secs(5)).nodelay(false);
/// let stream = patient.connect(address)?;
/// assert_eq!(stream.peer_addr()?, address);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until something connects with them"]
pub struct ConnectOptions {
    /// For IPv4 and IPv6.
    local: [Option<SocketAddr>; 2],
    timeout: Option<Duration>,
    attempt_delay: Duration,
    socket: SocketOptions,
}

impl ConnectOptions {
    /// The options with which [`TcpStream::connect`] connects.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = evy_green_net::ConnectOptions::new().connect(listener.local_addr()?)?;
    /// assert!(stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self {
            local: [None, None],
            timeout: None,
            attempt_delay: ATTEMPT_DELAY,
            socket: SocketOptions::new(),
        }
    }

    /// The address of this end, for connections of its family; port 0 lets the system choose one for each
    /// connection. Once an address is given, families without one are not tried.
    ///
    /// ```
    /// use evy_green_net::ConnectOptions;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let local = ([127, 0, 0, 2], 0).into();
    /// let stream = ConnectOptions::new().local(local).connect(address)?;
    /// assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.2");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "bind")]
    pub const fn local(mut self, address: SocketAddr) -> Self {
        self.local[address.is_ipv6() as usize] = Some(address);
        self
    }

    /// How long it may take until connected, the lookup of a name and all addresses included.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_green_net::ConnectOptions;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let port = listener.local_addr()?.port();
    /// let options = ConnectOptions::new().timeout(Duration::from_secs(5));
    /// let stream = options.connect(("localhost", port))?;
    /// assert_eq!(stream.peer_addr()?.port(), port);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long an attempt to connect has before the next address is tried beside it, as
    /// [`TcpStream::connect`] says. At least 10 ms, at most 2 s, as RFC 8305 has it; 250 ms unless said
    /// otherwise.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_green_net::ConnectOptions;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let port = listener.local_addr()?.port();
    /// let options = ConnectOptions::new().attempt_delay(Duration::from_millis(100));
    /// let stream = options.connect(("localhost", port))?;
    /// assert_eq!(stream.peer_addr()?.port(), port);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = delay.clamp(LEAST_ATTEMPT_DELAY, MOST_ATTEMPT_DELAY);
        self
    }

    /// Whether small writes go out at once (`TCP_NODELAY`): yes unless said otherwise.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let stream = evy_green_net::ConnectOptions::new().nodelay(false).connect(address)?;
    /// assert!(!stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn nodelay(mut self, nodelay: bool) -> Self {
        self.socket.nodelay = nodelay;
        self
    }

    /// The time to live of outgoing packets, the first included: with IPv6 the hop limit.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let stream = evy_green_net::ConnectOptions::new().ttl(8).connect(address)?;
    /// assert_eq!(stream.ttl()?, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn ttl(mut self, ttl: u32) -> Self {
        self.socket.ttl = Some(ttl);
        self
    }

    /// How the connection notices that its peer is gone while nothing is said.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_green_net::{ConnectOptions, Keepalive};
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let (idle, interval) = (Duration::from_secs(60), Duration::from_secs(10));
    /// let keepalive = Keepalive { idle, interval, retries: 3 };
    /// let stream = ConnectOptions::new().keepalive(keepalive).connect(address)?;
    /// assert_eq!(stream.keepalive()?, Some(keepalive));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.socket.keepalive = Some(keepalive);
        self
    }

    /// What becomes of unsent data when the stream is dropped, as [`TcpStream::set_linger`] says.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let stream = evy_green_net::ConnectOptions::new().linger(Duration::ZERO).connect(address)?;
    /// assert_eq!(stream.linger()?, Some(Duration::ZERO));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.socket.linger = Some(linger);
        self
    }

    /// The size of the send buffer, as [`TcpStream::set_send_buffer_size`] says.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let stream = evy_green_net::ConnectOptions::new().send_buffer_size(65_536).connect(address)?;
    /// assert!(stream.send_buffer_size()? >= 65_536);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.socket.send_buffer_size = Some(bytes);
        self
    }

    /// The size of the receive buffer. Set here, it can be more than 64 KiB from the first packet on.
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let stream = evy_green_net::ConnectOptions::new().recv_buffer_size(65_536).connect(address)?;
    /// assert!(stream.recv_buffer_size()? >= 65_536);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.socket.recv_buffer_size = Some(bytes);
        self
    }

    /// Connects to the first of the addresses that answers, as [`TcpStream::connect`].
    ///
    /// ```
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let stream = evy_green_net::ConnectOptions::new().connect(address)?;
    /// assert_eq!(stream.peer_addr()?, address);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TcpStream::connect`]; `TimedOut` when the [`timeout`](Self::timeout) is over;
    /// `InvalidInput` for a timeout of 0, and for an option that the system does not take; `AddrInUse`
    /// and `AddrNotAvailable` for the [`local`](Self::local) address.
    ///
    /// # Yields
    ///
    /// Until connected, and while a name is looked up.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        connect_any(addr, self).map(TcpStream::new)
    }

    pub(crate) fn time(&self) -> Option<Duration> {
        self.timeout
    }

    pub(crate) fn delay(&self) -> Duration {
        self.attempt_delay
    }

    /// A socket for a connection to `address`.
    pub(crate) fn socket(&self, address: SocketAddr) -> io::Result<OwnedFd> {
        let socket = inet::tcp_socket(&address)?;
        self.socket.apply(socket.as_fd(), &address)?;
        match self.local[usize::from(address.is_ipv6())] {
            Some(local) => bind_local(&socket, local)?,
            None if self.local.iter().any(Option::is_some) => {
                let text = "no local address of this family was given";
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
            }
            None => {}
        }
        Ok(socket)
    }
}

fn bind_local(socket: &OwnedFd, local: SocketAddr) -> io::Result<()> {
    let fd = socket.as_fd();
    if local.port() == 0 {
        inet::choose_port_late(fd);
    } else {
        // The last connection from this port may be in TIME_WAIT.
        inet::sockopt::set_socket_reuseaddr(fd, true)?;
    }
    inet::bind(fd, &local)
}

impl Default for ConnectOptions {
    /// As [`ConnectOptions::new`].
    fn default() -> Self {
        Self::new()
    }
}
