//! TCP as std has it, parking where std blocks.

mod connect_options;
mod keepalive;
mod listen_options;
mod listener;
mod socket_options;
mod stream;

pub use connect_options::ConnectOptions;
pub use keepalive::Keepalive;
pub use listen_options::ListenOptions;
pub use listener::{Incoming, TcpListener, listen};
pub use stream::TcpStream;
