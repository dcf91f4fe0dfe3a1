//! TCP as std has it, parking where std blocks.

mod listener;
mod stream;

use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

pub use listener::{Incoming, TcpListener, listen};
pub(crate) use listener::{Sharing, bound};
pub use stream::TcpStream;

pub(crate) fn inet(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "this socket has no internet address")
    })
}
