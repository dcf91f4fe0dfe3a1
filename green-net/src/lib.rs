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

mod connect;
mod copy;
mod green_io;
mod hand_off;
mod inherited;
mod resolve;
mod serve;
mod server;
mod shared_address;
mod tcp;

pub use connect::connect;
pub use copy::{GreenRead, GreenWrite, copy};
pub use hand_off::HandOff;
pub use inherited::{Inherited, InheritedSocket, listeners_from_env};
pub use resolve::{ToSocketAddrs, lookup_host};
pub use serve::{StopServe, serve};
pub use server::{Listener, RunningServer, Server, ServerCounters, Stopped, is_shortage};
pub use shared_address::{SharedAddress, listen_shared};
pub use tcp::{Incoming, TcpListener, TcpStream, listen};
