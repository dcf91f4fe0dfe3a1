//! Unix sockets as std has them, parking where std blocks.
//!
//! Addresses are std's own ([`std::os::unix::net::SocketAddr`]): paths, and on Linux abstract names by
//! its extension trait. As with std, binding to a path makes a file there that nobody removes.

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming as UnixIncoming, UnixListener};
pub use stream::{UnixStream, socket_pair};
