//! The sockets that the program listens on: opened in one place, served by each core.

use std::fs;
use std::io::{self, ErrorKind};
use std::net;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evy::cores::SharedAddress;
use evy::net::listeners_from_env;
use evy::net::{Inherited, InheritedSocket, TcpListener, UdpSocket, UnixListener, UnixStream};

use crate::address::{Address, is_file, unix_address, unix_name};

/// How a TCP socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Plain,
    Tls,
}

/// A socket before the cores have it.
#[derive(Debug)]
enum Opened {
    /// For the first core, until it has come for it. Nobody else has had the descriptor: when the server
    /// stops, it can keep others from connecting to a listener that is about to be closed.
    Private(Option<Socket>),
    /// Each core listens on the address for itself.
    Address(SharedAddress, Speech),
    /// The cores have one queue of connections.
    Tcp(net::TcpListener, Speech),
    Udp(net::UdpSocket),
    Unix(unix::UnixListener),
}

/// A socket of a hub.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener, Speech),
    Udp(UdpSocket),
    Unix(UnixListener),
}

/// All sockets, until every core has its own.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    opened: Mutex<Vec<Opened>>,
    /// Where they listen, as it is said.
    names: Vec<Address>,
    /// Removed in the end, if they are still the same.
    files: Vec<SocketFile>,
}

impl Sockets {
    /// Those of the command line, or of the environment, or the usual one.
    pub(crate) fn open(addresses: &[Address], cores: usize) -> io::Result<Self> {
        let mut sockets = Self::default();
        if addresses.is_empty() {
            for inherited in listeners_from_env()? {
                sockets.inherit(inherited)?;
            }
        }
        if addresses.is_empty() && sockets.names.is_empty() {
            sockets.bind(&Address::Tcp("127.0.0.1:6000".to_owned()), cores)?;
        }
        for address in addresses {
            sockets.bind(address, cores).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            })?;
        }
        Ok(sockets)
    }

    pub(crate) fn names(&self) -> &[Address] {
        &self.names
    }

    /// Those that a core serves; the first one must come for its own once, all others may.
    pub(crate) fn of_core(&self, index: usize) -> io::Result<Vec<Socket>> {
        let mut opened = self.opened();
        let sockets = opened.iter_mut().map(|opened| opened.of_core(index));
        sockets.filter_map(Result::transpose).collect()
    }

    /// Lets go of what was kept for cores that had none yet. Without that a listener would stay open when
    /// they have closed it.
    pub(crate) fn hand_over(&self) {
        self.opened().clear();
    }

    fn bind(&mut self, address: &Address, cores: usize) -> io::Result<()> {
        let opened = match address {
            Address::Tcp(address) => bind_tcp(address, Speech::Plain, cores)?,
            Address::Tls(address) => bind_tcp(address, Speech::Tls, cores)?,
            Address::Udp(address) => Opened::Udp(UdpSocket::bind(address.as_str())?.into_std()),
            Address::Unix(path) => {
                let listener = bind_unix(path)?;
                if is_file(path) {
                    self.files.push(SocketFile::of(path)?);
                }
                Opened::Private(Some(Socket::Unix(listener)))
            }
        };
        self.add(opened)
    }

    fn inherit(&mut self, inherited: Inherited) -> io::Result<()> {
        let speech = match inherited.name.as_deref() {
            Some("tls") => Speech::Tls,
            _ => Speech::Plain,
        };
        self.add(match inherited.socket {
            InheritedSocket::TcpListener(listener) => Opened::Tcp(listener.into_std(), speech),
            InheritedSocket::UdpSocket(socket) => Opened::Udp(socket),
            InheritedSocket::UnixListener(listener) => Opened::Unix(listener),
            other => {
                let text = format!("cannot serve what LISTEN_FDS has brought: {other:?}");
                return Err(io::Error::new(ErrorKind::InvalidInput, text));
            }
        })
    }

    fn add(&mut self, opened: Opened) -> io::Result<()> {
        self.names.push(opened.name()?);
        self.opened().push(opened);
        Ok(())
    }

    fn opened(&self) -> MutexGuard<'_, Vec<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.files.iter().for_each(SocketFile::remove);
    }
}

/// The file of a Unix socket of ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Its device and number: another server may have made one of that name while this one finished.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &str) -> io::Result<Self> {
        let path = PathBuf::from(path);
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
    }

    fn remove(&self) {
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Somebody else may have removed it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Opened {
    fn name(&self) -> io::Result<Address> {
        let tcp = |address: net::SocketAddr, speech| match speech {
            Speech::Plain => Address::Tcp(address.to_string()),
            Speech::Tls => Address::Tls(address.to_string()),
        };
        let unix = |address: &unix::SocketAddr| Address::Unix(unix_name(address));
        Ok(match self {
            Self::Private(socket) => match socket.as_ref().expect("no core has come yet") {
                Socket::Tcp(listener, speech) => tcp(listener.local_addr()?, *speech),
                Socket::Udp(socket) => Address::Udp(socket.local_addr()?.to_string()),
                Socket::Unix(listener) => unix(&listener.local_addr()?),
            },
            Self::Address(address, speech) => tcp(address.local_addr()?, *speech),
            Self::Tcp(listener, speech) => tcp(listener.local_addr()?, *speech),
            Self::Udp(socket) => Address::Udp(socket.local_addr()?.to_string()),
            Self::Unix(listener) => unix(&listener.local_addr()?),
        })
    }

    fn of_core(&mut self, index: usize) -> io::Result<Option<Socket>> {
        Ok(Some(match self {
            Self::Private(socket) => return Ok(if index == 0 { socket.take() } else { None }),
            Self::Address(address, speech) => Socket::Tcp(address.listen()?, *speech),
            Self::Tcp(listener, speech) => {
                Socket::Tcp(TcpListener::from_std(listener.try_clone()?)?, *speech)
            }
            Self::Udp(_) | Self::Unix(_) if index > 0 => return Ok(None),
            Self::Udp(socket) => Socket::Udp(UdpSocket::from_std(socket.try_clone()?)?),
            Self::Unix(listener) => Socket::Unix(UnixListener::from_std(listener.try_clone()?)?),
        }))
    }
}

/// On one core nobody else is to listen on the address, too.
fn bind_tcp(address: &str, speech: Speech, cores: usize) -> io::Result<Opened> {
    if cores == 1 {
        return Ok(Opened::Private(Some(Socket::Tcp(evy::listen(address)?, speech))));
    }
    Ok(Opened::Address(SharedAddress::bind(address)?, speech))
}

/// A file that was left by a server that is no more gives way.
fn bind_unix(path: &str) -> io::Result<UnixListener> {
    let address = unix_address(path)?;
    match UnixListener::bind_addr(&address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_over(&address) => {
            fs::remove_file(path)?;
            UnixListener::bind_addr(&address)
        }
        result => result,
    }
}

fn is_left_over(address: &unix::SocketAddr) -> bool {
    let is_socket = |path: &Path| fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // If its owner listens, this is not refused. Where too many wait already to be accepted it would wait,
    // too: there is no time for that, and somebody who listens.
    let is_refused = || {
        evy::timeout(Duration::ZERO, || UnixStream::connect_addr(address)).is_ok_and(|connected| {
            connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        })
    };
    address.as_pathname().is_some_and(is_socket) && is_refused()
}
