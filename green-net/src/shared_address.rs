//! One address for several listeners: a listener for each hub, among which the kernel spreads connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use crate::green_io::sys::inet;
use crate::{ListenOptions, TcpListener, ToSocketAddrs};

/// An address that several hubs listen on, each with a [`listen`](Self::listen) of its own.
///
/// The kernel gives each connection to one of the listeners, by a hash of its addresses (`SO_REUSEPORT`).
/// A listener that is closed gets no more of them; connections that it had not accepted are reset.
///
/// The address is held by a socket that does not listen, so that port 0, for a free one, means the same
/// port for all of them.
///
/// ```
/// use evy_green_net::SharedAddress;
/// use evy_runtime::cores;
///
/// let address = SharedAddress::bind("127.0.0.1:0")?;
/// let listeners = cores::run(2, |_core| address.listen().map(|own| own.local_addr().unwrap()));
/// for listener in listeners {
///     assert_eq!(listener?, address.local_addr()?);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SharedAddress {
    /// Bound, and never listens: the kernel gives it no connection.
    holder: OwnedFd,
    /// How each of the listeners listens.
    options: ListenOptions,
}

impl SharedAddress {
    pub(crate) fn new(holder: OwnedFd, options: ListenOptions) -> Self {
        Self { holder, options }
    }

    /// Takes the first of the addresses that can be had. Other programs of the same user that ask for
    /// sharing, too, can have it at the same time. [`ListenOptions::share`] is for other ways to listen.
    ///
    /// ```
    /// let address = evy_green_net::SharedAddress::bind("127.0.0.1:0")?;
    /// assert_ne!(address.local_addr()?.port(), 0);
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
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        ListenOptions::new().share(addr)
    }

    /// The address, with the port that the system chose.
    ///
    /// ```
    /// let address = evy_green_net::SharedAddress::bind("127.0.0.1:0")?;
    /// assert!(address.local_addr()?.ip().is_loopback());
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
        inet::local_addr(self.holder.as_fd())
    }

    /// One more listener on the address.
    ///
    /// ```
    /// let address = evy_green_net::SharedAddress::bind("127.0.0.1:0")?;
    /// let [first, second] = [address.listen()?, address.listen()?];
    /// assert_eq!(first.local_addr()?, second.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::bind`].
    ///
    /// # Yields
    ///
    /// Never.
    pub fn listen(&self) -> io::Result<TcpListener> {
        self.options.listen_on(self.options.bind(self.local_addr()?)?)
    }
}

impl fmt::Debug for SharedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAddress").field("address", &self.local_addr().ok()).finish()
    }
}

/// Listens on an address that others, who call this too, listen on at the same time; for a port that is
/// known. [`SharedAddress`] is for port 0, and says what sharing means.
///
/// ```
/// use evy_green_net::listen_shared;
///
/// let first = listen_shared("127.0.0.1:0")?;
/// let second = listen_shared(first.local_addr()?)?;
/// assert_eq!(first.local_addr()?, second.local_addr()?);
/// assert!(evy_green_net::listen(first.local_addr()?).is_err());
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
pub fn listen_shared(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    ListenOptions::new().reuse_port(true).listen(addr)
}
