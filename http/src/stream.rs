//! The streams that a server of HTTP can be given.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::adapt::Async;
#[cfg(feature = "tls")]
use evy_green_net::tls::TlsStream;
use evy_green_net::{TcpStream, UnixStream};

/// A green stream of any of the kinds that a server of HTTP can have.
///
/// ```
/// use evy_http::Stream;
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let stream = Stream::from(evy_green_net::connect(listener.local_addr()?)?);
/// assert!(matches!(stream, Stream::Tcp(_)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// One under TLS.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
    /// A connection to a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Whether the server that has accepted it leaves its end to us.
    pub(crate) fn finish_itself(&self, itself: bool) {
        match self {
            Self::Tcp(stream) => stream.finish_itself(itself),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().finish_itself(itself),
            Self::Unix(stream) => stream.finish_itself(itself),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

#[cfg(feature = "tls")]
impl From<TlsStream<TcpStream>> for Stream {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

/// How many bytes the system may hold that it cannot send yet.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;

/// A [`Stream`] for futures.
#[derive(Debug)]
pub(crate) enum AsyncStream {
    Tcp(Async<Rc<TcpStream>>),
    #[cfg(feature = "tls")]
    Tls(Async<Rc<TlsStream<TcpStream>>>),
    Unix(Async<Rc<UnixStream>>),
}

/// A [`Stream`] that hyper has, for those who look at it from outside.
#[derive(Clone, Debug)]
pub(crate) enum Shared {
    Tcp(Rc<TcpStream>),
    #[cfg(feature = "tls")]
    Tls(Rc<TlsStream<TcpStream>>),
    Unix(Rc<UnixStream>),
}

impl Shared {
    pub(crate) fn new(stream: Stream) -> Self {
        match stream {
            Stream::Tcp(stream) => Self::Tcp(Rc::new(stream)),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Self::Tls(Rc::from(stream)),
            Stream::Unix(stream) => Self::Unix(Rc::new(stream)),
        }
    }

    /// The stream, from who is the last to have it.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        match self {
            Self::Tcp(stream) => Rc::into_inner(stream).map(Stream::Tcp),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Rc::into_inner(stream).map(|stream| Stream::Tls(Box::new(stream))),
            Self::Unix(stream) => Rc::into_inner(stream).map(Stream::Unix),
        }
    }

    /// Whether the peer has reset the connection. An end of its side alone is none.
    pub(crate) fn is_reset(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        !matches!(error, Ok(None))
    }

    /// Ends the connection for the peer, while the descriptor stays.
    pub(crate) fn shut_down(&self) {
        // One that has ended already gives an error.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// Does the same with whichever it is.
macro_rules! with_each {
    ($stream:expr, $name:ident => $body:expr) => {
        match $stream {
            AsyncStream::Tcp($name) => $body,
            #[cfg(feature = "tls")]
            AsyncStream::Tls($name) => $body,
            AsyncStream::Unix($name) => $body,
        }
    };
}
pub(crate) use with_each;

impl AsyncStream {
    pub(crate) fn new(stream: Shared) -> Self {
        match stream {
            Shared::Tcp(stream) => Self::Tcp(Async::new(stream)),
            #[cfg(feature = "tls")]
            Shared::Tls(stream) => Self::Tls(Async::new(stream)),
            Shared::Unix(stream) => Self::Unix(Async::new(stream)),
        }
    }

    pub(crate) fn into_shared(self) -> Shared {
        match self {
            Self::Tcp(stream) => Shared::Tcp(stream.into_inner()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Shared::Tls(stream.into_inner()),
            Self::Unix(stream) => Shared::Unix(stream.into_inner()),
        }
    }

    #[inline]
    pub(crate) fn bytes_read(&self) -> u64 {
        with_each!(self, stream => stream.bytes_read())
    }

    #[inline]
    pub(crate) fn bytes_written(&self) -> u64 {
        with_each!(self, stream => stream.bytes_written())
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream.get_ref()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Some(stream.get_ref().get_ref()),
            Self::Unix(_) => None,
        }
    }

    /// Has the system forget what it has not sent when this is dropped.
    pub(crate) fn reset_when_closed(&self) {
        if let Some(stream) = self.tcp() {
            // One that was reset already needs it no more.
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    /// Has the system take no more than a little of what it cannot send yet. By itself it takes ever more,
    /// up to 4 MiB, from a peer that hardly reads: a thousand of those exhaust its memory for all
    /// connections, and each looks as if it took its answer.
    pub(crate) fn bound_unsent(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(stream) = self.tcp() {
            let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
        }
    }

    /// Whether it is under TLS, and its handshake is to come.
    pub(crate) fn is_shaking(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => !stream.get_ref().is_handshake_done(),
            _ => false,
        }
    }
}

/// Does the same with the stream in whichever it is.
macro_rules! io {
    ($stream:expr, $name:ident => $body:expr) => {
        match $stream {
            Stream::Tcp($name) => $body,
            #[cfg(feature = "tls")]
            Stream::Tls($name) => {
                let $name = &**$name;
                $body
            }
            Stream::Unix($name) => $body,
        }
    };
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io!(self, stream => { let mut stream = stream; stream.read(buffer) })
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        io!(self, stream => { let mut stream = stream; stream.read_vectored(buffers) })
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io!(self, stream => { let mut stream = stream; stream.write(bytes) })
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        io!(self, stream => { let mut stream = stream; stream.write_vectored(buffers) })
    }

    fn flush(&mut self) -> io::Result<()> {
        io!(self, stream => { let mut stream = stream; stream.flush() })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
