//! Copying between green descriptors, without a buffer for those that are idle.
//!
//! One buffer a hub is lent to whoever copies, from the moment when data is there until the next
//! park. Nothing that may park or yield lies in between (the 128-operation yield comes before the
//! read), so no two green threads ever have it at the same time. What could not be written at once is
//! put in a box of its own before the copy parks. So an idle connection costs one page of stack and
//! no buffer: 4.6 KiB against 12.6 with std's 8 KiB on the stack.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use crate::green_io::sys;
use crate::sendfile::send_file_to_descriptor;
use crate::{TcpStream, UnixStream};

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

thread_local! {
    static LENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer of this hub to `use_it`, which must not park.
pub(crate) fn with_lent<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    LENT.with_borrow_mut(|buffer| {
        if buffer.is_empty() {
            buffer.resize(BUFFER, 0);
        }
        use_it(buffer)
    })
}

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "that is what seals the traits")]
    pub trait Sealed {}
}

/// What [`copy`] can read from: green sockets and pipes.
///
/// ```
/// # use std::io::Write;
/// use evy_green_net::{GreenRead, TcpStream};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let stream = evy_green_net::connect(listener.local_addr()?)?;
/// # let (peer, _) = listener.accept()?;
/// # let sink = evy_green_net::connect(listener.local_addr()?)?;
/// # (&stream).write_all(b"hello")?;
/// # stream.shutdown(std::net::Shutdown::Write)?;
/// fn drain(source: &impl GreenRead, sink: &TcpStream) -> std::io::Result<u64> {
///     evy_green_net::copy(source, sink)
/// }
/// assert_eq!(drain(&peer, &sink)?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait GreenRead: sealed::Sealed {
    /// Waits for data and hands it to `use_it` in a buffer that is lent for that call; returns how
    /// much there was and what `use_it` made of it. `use_it` must not park.
    #[doc(hidden)]
    fn read_lent<R>(&self, use_it: &mut dyn FnMut(&[u8]) -> R) -> io::Result<(usize, R)>;
}

/// What [`copy`] can write to: green sockets and pipes.
///
/// ```
/// # use std::io::Write;
/// use evy_green_net::{GreenRead, GreenWrite};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let stream = evy_green_net::connect(listener.local_addr()?)?;
/// # let (peer, _) = listener.accept()?;
/// # (&stream).write_all(b"hello")?;
/// # stream.shutdown(std::net::Shutdown::Write)?;
/// fn echo(socket: &(impl GreenRead + GreenWrite)) -> std::io::Result<u64> {
///     evy_green_net::copy(socket, socket)
/// }
/// assert_eq!(echo(&peer)?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait GreenWrite: sealed::Sealed {
    /// Writes what there is room for, without parking.
    #[doc(hidden)]
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes all, parking as need be.
    #[doc(hidden)]
    fn write_rest(&self, bytes: &[u8]) -> io::Result<()>;

    /// Sends from a file, at most `most` bytes beginning at `offset`, parking until there is room for
    /// some of them; 0 is the end of the file.
    #[doc(hidden)]
    fn send_file(&self, file: BorrowedFd<'_>, offset: u64, most: usize) -> io::Result<usize> {
        let mut buffer = vec![0; most.min(BUFFER)];
        let count = sys::read_at(file, &mut buffer, offset)?;
        self.write_rest(&buffer[..count])?;
        Ok(count)
    }
}

impl sealed::Sealed for TcpStream {}

impl sealed::Sealed for UnixStream {}

impl GreenRead for TcpStream {
    fn read_lent<R>(&self, use_it: &mut dyn FnMut(&[u8]) -> R) -> io::Result<(usize, R)> {
        let count =
            self.io().read_stream(BUFFER, |fd| with_lent(|buffer| sys::recv(fd, buffer)))?;
        // Nobody else has run since the read.
        Ok((count, with_lent(|buffer| use_it(&buffer[..count]))))
    }
}

impl GreenRead for UnixStream {
    fn read_lent<R>(&self, use_it: &mut dyn FnMut(&[u8]) -> R) -> io::Result<(usize, R)> {
        let count = self.io().read(|fd| with_lent(|buffer| sys::recv(fd, buffer)))?;
        // As above.
        Ok((count, with_lent(|buffer| use_it(&buffer[..count]))))
    }
}

/// For streams that are a descriptor of the system.
macro_rules! green_write {
    ($($type:ty),*) => {
        $(impl GreenWrite for $type {
            fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
                match self.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                    result => result,
                }
            }

            #[cold]
            fn write_rest(&self, bytes: &[u8]) -> io::Result<()> {
                let mut stream = self;
                stream.write_all(bytes)
            }

            fn send_file(
                &self,
                file: BorrowedFd<'_>,
                offset: u64,
                most: usize,
            ) -> io::Result<usize> {
                send_file_to_descriptor(self.io(), file, offset, most)
            }
        })*
    };
}

green_write!(TcpStream, UnixStream);

/// Copies everything from `reader` to `writer`, which may be the same socket, until the end of the
/// stream; returns how many bytes it was.
///
/// While it waits for data it holds no buffer, which is its advantage over [`std::io::copy`]; that one
/// works too.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::Shutdown;
///
/// let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let echo = evy_runtime::spawn(move || -> std::io::Result<u64> {
///     let (client, _) = listener.accept()?;
///     evy_green_net::copy(&client, &client)
/// });
/// let mut stream = evy_green_net::connect(address)?;
/// stream.write_all(b"hello")?;
/// stream.shutdown(Shutdown::Write)?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// assert_eq!(echo.wait().unwrap()?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of reading and of writing; what was copied before stays copied.
///
/// # Yields
///
/// While there is nothing to read and while there is no room to write.
pub fn copy(reader: &impl GreenRead, writer: &impl GreenWrite) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let (count, rest) = reader.read_lent(&mut |bytes| write_some(writer, bytes))?;
        if count == 0 {
            return Ok(total);
        }
        if let Some(rest) = rest? {
            writer.write_rest(&rest)?;
        }
        total += count as u64;
    }
}

/// Writes without parking; what is left over goes in a box.
#[inline]
fn write_some(writer: &impl GreenWrite, bytes: &[u8]) -> io::Result<Option<Box<[u8]>>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let written = writer.write_now(bytes)?;
    Ok((written < bytes.len()).then(|| bytes[written..].into()))
}
