//! What TLS can run over.

use std::any::Any;
use std::io::{self, Read, Write};

use crate::TcpStream;

/// A stream that can be read and written through a shared reference, as all sockets of evy and of std
/// can, and [`TlsStream`](super::TlsStream) itself. Every such type that borrows nothing has it; nobody
/// implements it.
///
/// ```
/// fn runs_over<S: evy_green_net::tls::Transport>() {}
/// runs_over::<evy_green_net::TcpStream>();
/// runs_over::<evy_green_net::tls::TlsStream<evy_green_net::TcpStream>>();
/// ```
pub trait Transport: 'static {
    /// [`Read::read`] of the shared reference.
    #[doc(hidden)]
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// [`Write::write`] of the shared reference.
    #[doc(hidden)]
    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize>;

    /// [`Write::flush`] of the shared reference.
    #[doc(hidden)]
    fn flush_shared(&self) -> io::Result<()>;

    /// The stream, if it is a TCP stream of ours: that can be waited for without a buffer.
    #[doc(hidden)]
    fn as_tcp(&self) -> Option<&TcpStream>;
}

impl<S> Transport for S
where
    S: 'static,
    for<'a> &'a S: Read + Write,
{
    #[inline]
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut { self }, buffer)
    }

    #[inline]
    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut { self }, bytes)
    }

    #[inline]
    fn flush_shared(&self) -> io::Result<()> {
        Write::flush(&mut { self })
    }

    #[inline]
    fn as_tcp(&self) -> Option<&TcpStream> {
        (self as &dyn Any).downcast_ref()
    }
}

/// What a session makes its calls on, for the length of one: a transport, or what stands for it.
pub(crate) trait Carrier {
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize>;

    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize>;

    fn flush_shared(&self) -> io::Result<()>;

    /// The TCP stream, if it is one that parks.
    fn as_tcp(&self) -> Option<&TcpStream>;
}

impl<S: Transport> Carrier for S {
    #[inline]
    fn read_shared(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Transport::read_shared(self, buffer)
    }

    #[inline]
    fn write_shared(&self, bytes: &[u8]) -> io::Result<usize> {
        Transport::write_shared(self, bytes)
    }

    #[inline]
    fn flush_shared(&self) -> io::Result<()> {
        Transport::flush_shared(self)
    }

    #[inline]
    fn as_tcp(&self) -> Option<&TcpStream> {
        Transport::as_tcp(self)
    }
}
