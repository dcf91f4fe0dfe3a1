//! The conversions that std's sockets have, for ours.

/// Implements them for `Ours as Std`. Ours has a field `io` with `as_fd` and `into_fd`, and functions
/// `adopt`, which makes one of any descriptor, and `into_std`.
macro_rules! descriptors {
    ($($type:ident as $std:ty),*) => {
        $(
            impl std::os::fd::AsFd for $type {
                fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                    self.io.as_fd()
                }
            }

            impl std::os::fd::AsRawFd for $type {
                fn as_raw_fd(&self) -> std::os::fd::RawFd {
                    std::os::fd::AsRawFd::as_raw_fd(&self.io.as_fd())
                }
            }

            impl std::os::fd::IntoRawFd for $type {
                fn into_raw_fd(self) -> std::os::fd::RawFd {
                    std::os::fd::IntoRawFd::into_raw_fd(self.io.into_fd())
                }
            }

            impl std::os::fd::FromRawFd for $type {
                unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> Self {
                    // SAFETY: the caller owns the descriptor, as this function demands.
                    let fd: std::os::fd::OwnedFd =
                        unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
                    fd.into()
                }
            }

            impl From<std::os::fd::OwnedFd> for $type {
                /// Makes the descriptor non-blocking; one that is no socket gives errors later.
                fn from(fd: std::os::fd::OwnedFd) -> Self {
                    Self::adopt(fd).expect("an open descriptor can be made non-blocking")
                }
            }

            impl From<$type> for std::os::fd::OwnedFd {
                fn from(socket: $type) -> Self {
                    socket.io.into_fd()
                }
            }

            impl From<$std> for $type {
                fn from(socket: $std) -> Self {
                    std::os::fd::OwnedFd::from(socket).into()
                }
            }

            impl From<$type> for $std {
                fn from(socket: $type) -> Self {
                    socket.into_std()
                }
            }
        )*
    };
}

pub(crate) use descriptors;
