//! How to listen, where the usual way will not do.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::socket_options::SocketOptions;
use super::{Keepalive, TcpListener};
use crate::green_io::GreenIo;
use crate::green_io::sys::inet;
use crate::resolve::try_each;
use crate::{SharedAddress, ToSocketAddrs};

/// Connections that may wait to be accepted; the system takes less where it allows less
/// (`net.core.somaxconn`). Beyond it clients try again after a second, all at once, and then SYN
/// cookies can lose some for good: with 1,024 a burst of 5,000 connects hung in one of ten runs.
const BACKLOG: u32 = 4096;

/// Options for a [`TcpListener`], set before it listens.
///
/// Those of a connection (`nodelay`, `ttl`, `keepalive`, `linger` and the sizes of buffers) are those of
/// each connection that is accepted.
///
/// ```
/// use evy_green_net::ListenOptions;
///
/// let listener = ListenOptions::new().backlog(128).only_v6(true).listen("127.0.0.1:0")?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until something listens with them"]
pub struct ListenOptions {
    backlog: u32,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    socket: SocketOptions,
}

impl ListenOptions {
    /// The options with which [`TcpListener::bind`] listens.
    ///
    /// ```
    /// let listener = evy_green_net::ListenOptions::new().listen("127.0.0.1:0")?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self {
            backlog: BACKLOG,
            reuse_address: true,
            reuse_port: false,
            only_v6: None,
            socket: SocketOptions::new(),
        }
    }

    /// How many connections may wait to be accepted: 4,096 unless said otherwise, and never more than
    /// the system allows (`net.core.somaxconn`).
    ///
    /// ```
    /// let listener = evy_green_net::ListenOptions::new().backlog(16).listen("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn backlog(self, connections: u32) -> Self {
        Self { backlog: connections, ..self }
    }

    /// Whether a port can be had while old connections of it are in `TIME_WAIT` (`SO_REUSEADDR`): yes
    /// unless said otherwise.
    ///
    /// ```
    /// let options = evy_green_net::ListenOptions::new().reuse_address(false);
    /// let listener = options.listen("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn reuse_address(self, reuse: bool) -> Self {
        Self { reuse_address: reuse, ..self }
    }

    /// Whether others who ask for the same, and are of the same user, may listen on the same address
    /// and port (`SO_REUSEPORT`): no unless said otherwise. The kernel spreads the connections among the
    /// listeners. [`share`](Self::share) is for port 0.
    ///
    /// ```
    /// use evy_green_net::ListenOptions;
    ///
    /// let options = ListenOptions::new().reuse_port(true);
    /// let first = options.listen("127.0.0.1:0")?;
    /// let second = options.listen(first.local_addr()?)?;
    /// assert_eq!(first.local_addr()?, second.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "SO_REUSEPORT")]
    pub const fn reuse_port(self, reuse: bool) -> Self {
        Self { reuse_port: reuse, ..self }
    }

    /// Whether a listener on an IPv6 address leaves connections by IPv4 to others (`IPV6_V6ONLY`). Unless
    /// it is said here, the system decides (`net.ipv6.bindv6only`): on `[::]` most take both.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use evy_green_net::{ListenOptions, connect};
    ///
    /// let listener = ListenOptions::new().only_v6(true).listen("[::]:0");
    /// # let Ok(listener) = listener else { return Ok(()) }; // a machine without IPv6
    /// assert!(connect((Ipv4Addr::LOCALHOST, listener.local_addr()?.port())).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn only_v6(self, only_v6: bool) -> Self {
        Self { only_v6: Some(only_v6), ..self }
    }

    /// Whether small writes go out at once (`TCP_NODELAY`): yes unless said otherwise.
    ///
    /// ```
    /// # use evy_green_net::{ListenOptions, connect};
    /// let listener = ListenOptions::new().nodelay(false).listen("127.0.0.1:0")?;
    /// let _client = connect(listener.local_addr()?)?;
    /// assert!(!listener.accept()?.0.nodelay()?);
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

    /// The time to live of outgoing packets: with IPv6 the hop limit.
    ///
    /// ```
    /// let listener = evy_green_net::ListenOptions::new().ttl(8).listen("127.0.0.1:0")?;
    /// assert_eq!(listener.ttl()?, 8);
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

    /// How connections notice that their peer is gone while nothing is said.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_green_net::{Keepalive, ListenOptions, connect};
    /// let (idle, interval) = (Duration::from_secs(60), Duration::from_secs(10));
    /// let keepalive = Keepalive { idle, interval, retries: 3 };
    /// let listener = ListenOptions::new().keepalive(keepalive).listen("127.0.0.1:0")?;
    /// let _client = connect(listener.local_addr()?)?;
    /// assert_eq!(listener.accept()?.0.keepalive()?, Some(keepalive));
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

    /// What becomes of unsent data when a connection is dropped, as
    /// [`TcpStream::set_linger`](crate::TcpStream::set_linger) says.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_green_net::{ListenOptions, connect};
    /// let listener = ListenOptions::new().linger(Duration::ZERO).listen("127.0.0.1:0")?;
    /// let _client = connect(listener.local_addr()?)?;
    /// assert_eq!(listener.accept()?.0.linger()?, Some(Duration::ZERO));
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

    /// The size of a connection's send buffer, as
    /// [`TcpStream::set_send_buffer_size`](crate::TcpStream::set_send_buffer_size) says.
    ///
    /// ```
    /// # use evy_green_net::{ListenOptions, connect};
    /// let listener = ListenOptions::new().send_buffer_size(65_536).listen("127.0.0.1:0")?;
    /// let _client = connect(listener.local_addr()?)?;
    /// assert!(listener.accept()?.0.send_buffer_size()? >= 65_536);
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

    /// The size of a connection's receive buffer. Set here, it can be more than 64 KiB from the first
    /// packet on.
    ///
    /// ```
    /// # use evy_green_net::{ListenOptions, connect};
    /// let listener = ListenOptions::new().recv_buffer_size(65_536).listen("127.0.0.1:0")?;
    /// let _client = connect(listener.local_addr()?)?;
    /// assert!(listener.accept()?.0.recv_buffer_size()? >= 65_536);
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

    /// Listens on the first of the addresses that can be had, as [`TcpListener::bind`].
    ///
    /// ```
    /// let listener = evy_green_net::ListenOptions::new().listen("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::bind`], and `InvalidInput` for an option that the system does not take.
    ///
    /// # Yields
    ///
    /// While a name is looked up.
    pub fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        try_each(addr, |address| self.listen_on(self.bind(address)?))
    }

    /// Takes the first of the addresses that can be had, for any number of listeners with these options.
    ///
    /// ```
    /// use evy_green_net::ListenOptions;
    ///
    /// let address = ListenOptions::new().backlog(128).share("127.0.0.1:0")?;
    /// let [first, second] = [address.listen()?, address.listen()?];
    /// assert_eq!(first.local_addr()?, second.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`listen`](Self::listen).
    ///
    /// # Yields
    ///
    /// While a name is looked up.
    pub fn share(&self, addr: impl ToSocketAddrs) -> io::Result<SharedAddress> {
        let options = self.clone().reuse_port(true);
        let holder = try_each(addr, |address| options.bind(address))?;
        Ok(SharedAddress::new(holder, options))
    }

    /// A socket that is bound to `address` and does not listen yet.
    pub(crate) fn bind(&self, address: SocketAddr) -> io::Result<OwnedFd> {
        let socket = inet::tcp_socket(&address)?;
        let fd = socket.as_fd();
        if self.reuse_address {
            inet::sockopt::set_socket_reuseaddr(fd, true)?;
        }
        if self.reuse_port {
            inet::sockopt::set_socket_reuseport(fd, true)?;
        }
        if let (SocketAddr::V6(_), Some(only_v6)) = (&address, self.only_v6) {
            inet::sockopt::set_ipv6_v6only(fd, only_v6)?;
        }
        // Accepted sockets inherit them (Linux): a call here saves one for each of them.
        self.socket.apply(fd, &address)?;
        inet::bind(fd, &address)?;
        Ok(socket)
    }

    /// Listens with a socket that is bound.
    pub(crate) fn listen_on(&self, socket: OwnedFd) -> io::Result<TcpListener> {
        inet::listen(socket.as_fd(), self.backlog.try_into().unwrap_or(i32::MAX))?;
        Ok(TcpListener::new(GreenIo::private(socket)))
    }
}

impl Default for ListenOptions {
    /// As [`ListenOptions::new`].
    fn default() -> Self {
        Self::new()
    }
}
