//! Pipes, shaped like [`std::io::pipe`]: a read parks the green thread while the pipe is empty, a
//! write while it is full.
//!
//! # Who reads no more
//!
//! A write to a pipe that nobody can read any more is `ErrorKind::BrokenPipe`. That is so because Rust
//! ignores SIGPIPE from the start of `main` on. In a program that sets SIGPIPE to its default again, or
//! whose `main` is not Rust's, such a write ends the process, as std's would: a pipe has nothing like
//! the `MSG_NOSIGNAL` by which evy's sockets avoid it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use crate::end::{End, descriptors, readers, writers};

/// Makes a pipe: what is written to the one end is read from the other.
///
/// Both ends are non-blocking, and closed in programs that this process starts. A pipe holds 64 KiB on
/// Linux; a writer that is ahead by that much parks.
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut reader, mut writer) = evy_green_os::pipe::pipe()?;
/// evy_runtime::spawn_n(move || writer.write_all(&[7; 1_000_000]));
/// let mut bytes = Vec::new();
/// reader.read_to_end(&mut bytes)?;
/// assert_eq!(bytes.len(), 1_000_000);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// When no descriptor is left.
///
/// # Yields
///
/// Never.
#[doc(alias = "GreenPipe")]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (End::adopt(reader.into())?, End::adopt(writer.into())?);
    Ok((PipeReader { end: reader }, PipeWriter { end: writer }))
}

/// The end of a pipe that is read from: [`std::io::PipeReader`], but that a read parks the green thread.
///
/// The end of what is read comes when all writers are closed. Several green threads may read, first
/// come first served. It is `Send` and `Sync`. As the standard input of a
/// [`Command`](crate::process::Command) it blocks for the child, and for the child alone.
///
/// ```
/// use std::io::Read;
///
/// let (mut reader, writer) = evy_green_os::pipe::pipe()?;
/// drop(writer);
/// assert_eq!(reader.read(&mut [0; 8])?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PipeReader {
    end: End,
}

impl PipeReader {
    /// Another handle to the same end.
    ///
    /// ```
    /// use std::io::{Read, Write};
    ///
    /// let (reader, mut writer) = evy_green_os::pipe::pipe()?;
    /// let mut other = reader.try_clone()?;
    /// drop(reader);
    /// writer.write_all(b"hello")?;
    /// assert_eq!(other.read(&mut [0; 8])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.end.try_clone().map(|end| Self { end })
    }

    /// Reads what is there.
    ///
    /// ```
    /// let (reader, _writer) = evy_green_os::pipe::pipe()?;
    /// let error = reader.try_read(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is; those of a read.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.end.try_read(buffer)
    }
}

/// The end of a pipe that is written to: [`std::io::PipeWriter`], but that a write parks the green
/// thread.
///
/// Several green threads may write, first come first served; what is not longer than `PIPE_BUF` (4 KiB
/// on Linux) is written in one piece. It is `Send` and `Sync`. As the standard output of a
/// [`Command`](crate::process::Command) it blocks for the child, and for the child alone.
///
/// ```
/// use std::io::{ErrorKind, Write};
///
/// let (reader, mut writer) = evy_green_os::pipe::pipe()?;
/// drop(reader);
/// let error = writer.write(b"hello").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::BrokenPipe);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PipeWriter {
    end: End,
}

impl PipeWriter {
    /// Another handle to the same end.
    ///
    /// ```
    /// use std::io::{Read, Write};
    ///
    /// let (mut reader, writer) = evy_green_os::pipe::pipe()?;
    /// let mut other = writer.try_clone()?;
    /// drop(writer);
    /// other.write_all(b"hello")?;
    /// assert_eq!(reader.read(&mut [0; 8])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.end.try_clone().map(|end| Self { end })
    }

    /// Writes what there is room for.
    ///
    /// ```
    /// let (_reader, writer) = evy_green_os::pipe::pipe()?;
    /// assert_eq!(writer.try_write(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; those of a write.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.end.try_write(bytes)
    }
}

readers!(PipeReader);
writers!(PipeWriter);
descriptors!(PipeReader is io::PipeReader, PipeWriter is io::PipeWriter);
