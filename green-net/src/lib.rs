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
mod green_io;
mod hand_off;
mod resolve;
mod serve;
mod shared_address;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;

pub use connect::connect;
pub use copy::{GreenRead, GreenWrite, copy};
pub use hand_off::HandOff;
pub use resolve::{ToSocketAddrs, lookup_host};
pub use serve::{StopServe, is_shortage, serve};
pub use shared_address::{SharedAddress, listen_shared};
pub use tcp::{Incoming, TcpListener, TcpStream, listen};
