//! Green sockets, shaped like those of std: their calls park the green thread, not the OS thread.
//!
//! Use the crate `evy`, which re-exports what is here.
//!
//! ```
//! let listener = evy_green_net::listen("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! evy_runtime::spawn_n(move || evy_green_net::connect(address));
//! let (_client, peer) = listener.accept()?;
//! assert!(peer.ip().is_loopback());
//! # Ok::<(), std::io::Error>(())
//! ```
#![doc(test(attr(deny(warnings))))]

#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
pub mod adapt;
mod connect;
mod copy;
mod descriptors;
mod green_io;
mod hand_off;
mod inherited;
mod lent;
mod resolve;
mod sendfile;
mod serve;
mod server;
mod shared_address;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
mod udp;
mod unix;

pub use connect::{connect, connect_from, connect_timeout};
pub use copy::{GreenRead, GreenWrite, copy};
pub use hand_off::HandOff;
pub use inherited::{Inherited, InheritedSocket, listeners_from_env};
pub use resolve::{ToSocketAddrs, lookup_host, lookup_host_timeout};
pub use sendfile::sendfile;
pub use serve::{StopServe, serve};
pub use server::{
    ClientLimit, Listener, RunningServer, Server, ServerCounters, Stopped, is_shortage,
};
pub use shared_address::{SharedAddress, listen_shared};
pub use tcp::{ConnectOptions, Incoming, Keepalive, ListenOptions, TcpListener, TcpStream, listen};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixIncoming, UnixListener, UnixStream, socket_pair};
