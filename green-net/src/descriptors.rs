//! The conversions that std's sockets have, for ours.

/// Implements them for `Ours as Std`. Ours has a field `io` with `as_fd` and `into_fd`, and functions
/// `adopt`, which makes one of any descriptor, and `into_std`.
macro_rules! descriptors {
    ($type:ident as $std:ty) => {
        const _: () = {
            use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

            impl AsFd for $type {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.io.lend_fd()
                }
            }

            impl AsRawFd for $type {
                fn as_raw_fd(&self) -> RawFd {
                    self.io.lend_fd().as_raw_fd()
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
                    Self::adopt(fd).expect("an open descriptor can be made non-blocking")
                }
            }

            impl From<$type> for OwnedFd {
                fn from(socket: $type) -> Self {
                    socket.io.into_fd()
                }
            }

            impl From<$std> for $type {
                fn from(socket: $std) -> Self {
                    OwnedFd::from(socket).into()
                }
            }

            impl From<$type> for $std {
                fn from(socket: $type) -> Self {
                    socket.into_std()
                }
            }
        };
    };
}

pub(crate) use descriptors;
