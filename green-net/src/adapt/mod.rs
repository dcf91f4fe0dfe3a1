//! Green sockets for async crates: [`Async`] is a socket that is polled instead of parking.
//!
//! What it implements is chosen by features, a file each: `futures` for `AsyncRead` and `AsyncWrite` of the
//! futures crates, `tokio` for those of tokio (which need no part of its runtime), `hyper` for hyper's
//! `rt::Read` and `rt::Write`, with its `Executor` and `Timer`. Whoever runs the future does so by
//! `evy::block_on`.

#[cfg(feature = "futures")]
mod futures;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokio")]
mod tokio;
mod unix;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use evy_runtime::io::Interest;

use crate::TcpStream;
use crate::green_io::sys;

#[cfg(feature = "hyper")]
pub use self::hyper::{Executor, Timer};

/// A green socket for futures: its reads and writes are pending where those of the socket park.
///
/// Any number of them can be polled by one green thread; a wait costs the same however many there are, and
/// allocates nothing. It is `Send` and `Sync` where the socket is. The socket's own timeouts are for calls
/// that park and do not count here: an `evy::Alarm` does.
///
/// One future may read and another write (by the `split` of tokio or of the futures crates); while one
/// waits, a blocking call in the same direction is `ResourceBusy`, and the other way round. While the green
/// thread unwinds, what would wait is `WouldBlock`.
///
/// ```
/// # #[cfg(feature = "tokio")] {
/// use evy_green_net::adapt::Async;
/// use evy_runtime::{block_on, spawn_n};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// spawn_n(move || -> std::io::Result<()> {
///     let mut client = Async::new(listener.accept()?.0);
///     block_on(async {
///         client.write_all(b"hello").await?;
///         client.shutdown().await
///     })
/// });
/// let mut stream = Async::new(evy_green_net::connect(address)?);
/// let mut text = String::new();
/// block_on(stream.read_to_string(&mut text))?;
/// assert_eq!(text, "hello");
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Async<S> {
    /// Before the socket: they leave the hub before the descriptor does.
    interests: Interests,
    bytes_read: u64,
    bytes_written: u64,
    socket: S,
}

/// What the future has left in the hub, in each direction.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Interests {
    read: Interest,
    write: Interest,
}

impl<S> Async<S> {
    /// Makes a socket one for futures.
    ///
    /// ```
    /// use evy_green_net::adapt::Async;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = Async::new(evy_green_net::connect(listener.local_addr()?)?);
    /// assert_eq!(stream.get_ref().peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(socket: S) -> Self {
        Self { interests: Interests::default(), bytes_read: 0, bytes_written: 0, socket }
    }

    /// How many bytes were read from it so far, by futures.
    ///
    /// ```
    /// # use evy_green_net::adapt::Async;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = Async::new(evy_green_net::connect(listener.local_addr()?)?);
    /// assert_eq!(stream.bytes_read(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How many bytes were written to it so far, by futures.
    ///
    /// ```
    /// # use evy_green_net::adapt::Async;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// let stream = Async::new(evy_green_net::connect(listener.local_addr()?)?);
    /// assert_eq!(stream.bytes_written(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// The socket.
    ///
    /// ```
    /// # use evy_green_net::adapt::Async;
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = Async::new(evy_green_net::connect(listener.local_addr()?)?);
    /// stream.get_ref().set_nodelay(false)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Gives the socket back.
    ///
    /// ```
    /// use evy_green_net::TcpStream;
    /// use evy_green_net::adapt::Async;
    ///
    /// # let listener = evy_green_net::listen("127.0.0.1:0")?;
    /// # let stream = Async::new(evy_green_net::connect(listener.local_addr()?)?);
    /// let stream: TcpStream = stream.into_inner();
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> S {
        self.socket
    }
}

impl<S: Socket> Async<S> {
    #[inline]
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_read(&mut self.interests, context, buffer))?;
        self.bytes_read += count as u64;
        Poll::Ready(Ok(count))
    }

    #[cfg(feature = "futures")]
    fn poll_read_vectored(
        &mut self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_read_vectored(&mut self.interests, context, buffers))?;
        self.bytes_read += count as u64;
        Poll::Ready(Ok(count))
    }

    #[inline]
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_write(&mut self.interests, context, bytes))?;
        self.bytes_written += count as u64;
        Poll::Ready(Ok(count))
    }

    #[inline]
    fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_write_vectored(&mut self.interests, context, buffers))?;
        self.bytes_written += count as u64;
        Poll::Ready(Ok(count))
    }

    #[inline]
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(&mut self.interests, context)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_shutdown(&mut self.interests, context)
    }
}

impl<S> From<S> for Async<S> {
    fn from(socket: S) -> Self {
        Self::new(socket)
    }
}

impl<S: fmt::Debug> fmt::Debug for Async<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(&self.socket).finish()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals the trait")]
    pub trait Sealed {}
}

/// What [`Async`] can wrap: green sockets, and references to them, also counted ones.
///
/// ```
/// use std::sync::Arc;
/// use evy_green_net::adapt::{Async, Socket};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let stream = evy_green_net::connect(listener.local_addr()?)?;
/// fn both<S: Socket>(socket: S) -> Async<S> {
///     Async::new(socket)
/// }
/// let stream = Arc::new(stream);
/// let for_futures = both(Arc::clone(&stream));
/// stream.close(); // whoever waits by `for_futures` gets `NotConnected`
/// # drop(for_futures);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Socket: sealed::Sealed {
    /// Reads into `buffer` and returns how many bytes at its beginning it has initialised.
    #[doc(hidden)]
    fn poll_read(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>>;

    #[doc(hidden)]
    fn poll_read_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>>;

    #[doc(hidden)]
    fn poll_write(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>>;

    #[doc(hidden)]
    fn poll_write_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Sends what was taken and is held back: nothing, unless the socket says so.
    #[doc(hidden)]
    #[inline]
    fn poll_flush(
        &self,
        _interests: &mut Interests,
        _context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written.
    #[doc(hidden)]
    fn poll_shutdown(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;
}

impl sealed::Sealed for TcpStream {}

impl TcpStream {
    /// A read of `wanted` bytes, after which fewer mean that nothing was left.
    #[inline]
    fn poll_stream_read(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        wanted: usize,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        self.io().poll_read_stream(&mut interests.read, context, wanted, call)
    }
}

impl Socket for TcpStream {
    #[inline]
    fn poll_read(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        let wanted = buffer.len();
        self.poll_stream_read(interests, context, wanted, |fd| sys::recv_uninit(fd, buffer))
    }

    fn poll_read_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        // The system leaves the others alone: a read that fills these is no short one.
        let usable = buffers.len().min(sys::MOST_BUFFERS);
        let buffers = &mut buffers[..usable];
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
        self.poll_stream_read(interests, context, wanted, |fd| sys::recv_vectored(fd, buffers))
    }

    #[inline]
    fn poll_write(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io()
            .poll_write(&mut interests.write, context, bytes.is_empty(), |fd| sys::send(fd, bytes))
    }

    fn poll_write_vectored(
        &self,
        interests: &mut Interests,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = buffers.iter().all(|buffer| buffer.is_empty());
        let call = |fd: BorrowedFd<'_>| sys::send_vectored(fd, buffers);
        self.io().poll_write(&mut interests.write, context, is_empty, call)
    }

    fn poll_shutdown(
        &self,
        _interests: &mut Interests,
        _context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(unless_reset(self.shutdown(Shutdown::Write)))
    }
}

/// What a shutdown gives. Where the peer has reset the connection there is nobody to tell.
fn unless_reset(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// What points to a socket is one.
macro_rules! pointers {
    ($($pointer:ty),*) => {
        $(
            impl<S: Socket + ?Sized> sealed::Sealed for $pointer {}

            impl<S: Socket + ?Sized> Socket for $pointer {
                #[inline]
                fn poll_read(
                    &self,
                    interests: &mut Interests,
                    context: &mut Context<'_>,
                    buffer: &mut [MaybeUninit<u8>],
                ) -> Poll<io::Result<usize>> {
                    (**self).poll_read(interests, context, buffer)
                }

                fn poll_read_vectored(
                    &self,
                    interests: &mut Interests,
                    context: &mut Context<'_>,
                    buffers: &mut [IoSliceMut<'_>],
                ) -> Poll<io::Result<usize>> {
                    (**self).poll_read_vectored(interests, context, buffers)
                }

                #[inline]
                fn poll_write(
                    &self,
                    interests: &mut Interests,
                    context: &mut Context<'_>,
                    bytes: &[u8],
                ) -> Poll<io::Result<usize>> {
                    (**self).poll_write(interests, context, bytes)
                }

                fn poll_write_vectored(
                    &self,
                    interests: &mut Interests,
                    context: &mut Context<'_>,
                    buffers: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    (**self).poll_write_vectored(interests, context, buffers)
                }

                #[inline]
                fn poll_flush(
                    &self,
                    interests: &mut Interests,
                    context: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    (**self).poll_flush(interests, context)
                }

                fn poll_shutdown(
                    &self,
                    interests: &mut Interests,
                    context: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    (**self).poll_shutdown(interests, context)
                }
            }
        )*
    };
}

pointers!(&S, Box<S>, Rc<S>, Arc<S>);
