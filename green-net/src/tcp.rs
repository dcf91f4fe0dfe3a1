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

/// The conversions that std's sockets have.
macro_rules! descriptors {
    ($($type:ident),*) => {
        $(
            impl AsFd for $type {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.io.as_fd()
                }
            }

            impl AsRawFd for $type {
                fn as_raw_fd(&self) -> RawFd {
                    self.io.as_fd().as_raw_fd()
                }
            }

            impl IntoRawFd for $type {
                fn into_raw_fd(self) -> RawFd {
                    self.io.into_fd().into_raw_fd()
                }
            }

            impl FromRawFd for $type {
                unsafe fn from_raw_fd(fd: RawFd) -> Self {
                    // SAFETY: the caller owns the descriptor, as this function demands.
                    unsafe { OwnedFd::from_raw_fd(fd) }.into()
                }
            }

            impl From<OwnedFd> for $type {
                /// Makes the descriptor non-blocking; one that is no socket gives errors later.
                fn from(fd: OwnedFd) -> Self {
                    let io = GreenIo::adopt(fd);
                    Self { io: io.expect("an open descriptor can be made non-blocking") }
                }
            }

            impl From<$type> for OwnedFd {
                fn from(socket: $type) -> Self {
                    socket.io.into_fd()
                }
            }

            impl From<std::net::$type> for $type {
                fn from(socket: std::net::$type) -> Self {
                    OwnedFd::from(socket).into()
                }
            }

            impl From<$type> for std::net::$type {
                fn from(socket: $type) -> Self {
                    socket.into_std()
                }
            }
        )*
    };
}

use descriptors;
