//! TLS by rustls, as evy has it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use evy_green_net::TcpStream;
use evy_green_net::adapt::Async;
use evy_green_net::tls::{TlsConnector, TlsStream as GreenTlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel_binding::server_end_point;
use super::{ChannelBinding, MakeTlsConnect, Socket, TlsConnect, TlsStream};

/// The server's certificate is checked, whatever the `sslmode`: it has to be for the `host`.
///
/// ```no_run
/// use evy_green_net::tls::TlsConnector;
/// use evy_patched::postgres::Client;
///
/// let connector = TlsConnector::builder().roots_file("/etc/ssl/our-own.pem").build()?;
/// let client = Client::connect("host=db.example.org user=me sslmode=require", connector)?;
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl MakeTlsConnect<Socket> for TlsConnector {
    type Stream = RustlsStream;
    type TlsConnect = RustlsConnect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<RustlsConnect> {
        Ok(RustlsConnect { connector: self.clone(), domain: domain.to_owned() })
    }
}

/// Does the handshake of one connection.
#[derive(Debug)]
pub struct RustlsConnect {
    connector: TlsConnector,
    domain: String,
}

impl TlsConnect<Socket> for RustlsConnect {
    type Stream = RustlsStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<RustlsStream>>>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
            let stream = socket.into_tcp().ok_or_else(|| invalid("no TLS on Unix sockets"))?;
            if self.domain.is_empty() {
                return Err(invalid(
                    "there is no host that the server's certificate has to be for",
                ));
            }
            let mut stream = Async::new(self.connector.wrap(&self.domain, stream)?);
            // A write of nothing does the handshake.
            poll_fn(|context| Pin::new(&mut stream).poll_write(context, &[])).await?;
            Ok(RustlsStream(stream))
        })
    }
}

/// The stream that comes of a [`RustlsConnect`].
pub struct RustlsStream(Async<GreenTlsStream<TcpStream>>);

impl TlsStream for RustlsStream {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().peer_certificates().unwrap_or_default();
        let hash = certificates.first().and_then(|certificate| server_end_point(certificate));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for RustlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for RustlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

impl fmt::Debug for RustlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RustlsStream").field(&self.0).finish()
    }
}
