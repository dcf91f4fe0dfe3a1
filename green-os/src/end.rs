//! One end of a pipe: the one door for the I/O of [`pipe`](crate::pipe) and [`process`](crate::process).
//!
//! A call is tried first; only `WouldBlock` parks. A pipe is read to `EAGAIN`: a short read says
//! nothing, for writers come one after the other. Any number of green threads may wait for one end,
//! first come first served: what is shorter than `PIPE_BUF` is written whole, so several writers are
//! no mistake.
//!
//! Our ends are non-blocking. That flag belongs to the open end, not to the descriptor: who is given
//! a duplicate is non-blocking with us. So another process gets an open end of its own
//! ([`End::into_blocking`]).

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use evy_runtime::io::{Attempt, Company, Direction, GreenFd};

/// As many buffers as the kernel takes in one call (`IOV_MAX`).
const MOST_BUFFERS: usize = 1024;

/// A non-blocking descriptor of a pipe.
pub(crate) struct End(GreenFd);

impl End {
    /// Wraps any descriptor, making it non-blocking.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(GreenFd::new(fd)))
    }

    /// Another descriptor of the same end.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(GreenFd::new(self.as_fd().try_clone_to_owned()?)))
    }

    /// The descriptor, still non-blocking.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0.into_fd()
    }

    /// The same end for another process, whose calls are to block. Where it cannot be opened a second
    /// time it becomes blocking for all who share it.
    pub(crate) fn into_blocking(self) -> OwnedFd {
        let fd = self.into_fd();
        open_again(&fd).unwrap_or_else(|_| {
            // Nothing can be done about an error, and an open descriptor gives none.
            let _ = rustix::io::ioctl_fionbio(&fd, false);
            fd
        })
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.call(Direction::Read, |fd| Ok(rustix::io::read(fd, &mut *buffer)?))
    }

    pub(crate) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        let usable = buffers.len().min(MOST_BUFFERS);
        self.call(Direction::Read, |fd| Ok(rustix::io::readv(fd, &mut buffers[..usable])?))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.call(Direction::Write, |fd| Ok(rustix::io::write(fd, bytes)?))
    }

    pub(crate) fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let buffers = &buffers[..buffers.len().min(MOST_BUFFERS)];
        self.call(Direction::Write, |fd| Ok(rustix::io::writev(fd, buffers)?))
    }

    /// Reads what is there; never parks.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self, buffer)?)
    }

    /// Writes what there is room for; never parks.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self, bytes)?)
    }

    fn call<T>(
        &self,
        direction: Direction,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.0.call(Attempt { company: Company::Queue, ..Attempt::new(direction) }, call)
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_fd().as_raw_fd(), f)
    }
}

/// Opens the end of a pipe that `fd` is a second time, blocking, through `/proc`.
#[cfg(target_os = "linux")]
fn open_again(fd: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{FileType, Mode, OFlags};

    let is_pipe = |status: &rustix::fs::Stat| FileType::from_raw_mode(status.st_mode).is_fifo();
    let before = rustix::fs::fstat(fd)?;
    if !is_pipe(&before) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let access = rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Without NONBLOCK the end of a named pipe would wait here until somebody opens the other one.
    let again = rustix::fs::open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    // An OS thread may have a table of descriptors of its own, and /proc/self is the process's.
    let after = rustix::fs::fstat(&again)?;
    if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    rustix::io::ioctl_fionbio(&again, false)?;
    Ok(again)
}

#[cfg(not(target_os = "linux"))]
fn open_again(_: &OwnedFd) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The conversions that std's ends of pipes have; `$std` is the one that `$type` is shaped after.
macro_rules! descriptors {
    ($($type:ident is $std:ty),*) => {
        $(
            impl AsFd for $type {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.end.as_fd()
                }
            }

            impl AsRawFd for $type {
                fn as_raw_fd(&self) -> RawFd {
                    self.end.as_fd().as_raw_fd()
                }
            }

            impl IntoRawFd for $type {
                fn into_raw_fd(self) -> RawFd {
                    self.end.into_fd().into_raw_fd()
                }
            }

            impl From<OwnedFd> for $type {
                /// Makes the descriptor non-blocking, for all who share its open file; one that is no
                /// pipe gives errors later.
                fn from(fd: OwnedFd) -> Self {
                    let end = End::adopt(fd);
                    Self { end: end.expect("an open descriptor can be made non-blocking") }
                }
            }

            impl From<$type> for OwnedFd {
                /// It stays non-blocking.
                fn from(pipe: $type) -> Self {
                    pipe.end.into_fd()
                }
            }

            impl From<$std> for $type {
                fn from(pipe: $std) -> Self {
                    OwnedFd::from(pipe).into()
                }
            }

            impl From<$type> for $std {
                /// It stays non-blocking.
                fn from(pipe: $type) -> Self {
                    pipe.end.into_fd().into()
                }
            }

            impl From<$type> for Stdio {
                /// The child gets an end that blocks, as programs expect; clones that stay here go on
                /// parking. (Where the OS is not Linux, or has no `/proc`, they would block the OS
                /// thread from then on: drop them first.)
                fn from(pipe: $type) -> Self {
                    pipe.end.into_blocking().into()
                }
            }
        )*
    };
}

/// `Read` for ends of pipes.
macro_rules! readers {
    ($($type:ident),*) => {
        $(
            impl Read for &$type {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    self.end.read(buffer)
                }

                fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                    self.end.read_vectored(buffers)
                }
            }

            impl Read for $type {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    self.end.read(buffer)
                }

                fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                    self.end.read_vectored(buffers)
                }
            }
        )*
    };
}

/// `Write` for ends of pipes.
macro_rules! writers {
    ($($type:ident),*) => {
        $(
            impl Write for &$type {
                fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                    self.end.write(bytes)
                }

                fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                    self.end.write_vectored(buffers)
                }

                fn flush(&mut self) -> io::Result<()> {
                    Ok(())
                }
            }

            impl Write for $type {
                fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                    self.end.write(bytes)
                }

                fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                    self.end.write_vectored(buffers)
                }

                fn flush(&mut self) -> io::Result<()> {
                    Ok(())
                }
            }
        )*
    };
}

pub(crate) use {descriptors, readers, writers};
