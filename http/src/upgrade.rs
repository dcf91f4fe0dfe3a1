//! A connection that goes on in another protocol.

use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::rc::Rc;

use bytes::Bytes;

use crate::body::Kind;
use crate::core::Core;
use crate::{Body, HeaderValue, Response, StatusCode, Stream, header};

pub(crate) type OnUpgrade = Box<dyn FnOnce(Upgraded)>;

/// The answer that ends HTTP on a connection: `101 Switching Protocols`, after which `proceed` gets the
/// connection, on a green thread of its own.
///
/// It is for a request of HTTP/1.1 that has asked for it by `Upgrade: protocol`, and has no body. Any other
/// gets `426 Upgrade Required` in its place; in HTTP/2, which has nothing of the kind, `501`.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use evy_http::{Request, Response, upgrade};
///
/// fn shout(_request: Request) -> Response {
///     upgrade("shout", |mut connection| {
///         let mut line = String::new();
///         let mut reader = BufReader::new(&mut connection);
///         if reader.read_line(&mut line).is_ok() {
///             let _ = connection.write_all(line.to_uppercase().as_bytes());
///         }
///     })
/// }
/// # let _ = shout;
/// ```
///
/// # Panics
///
/// When `protocol` is not a valid value of a header.
///
/// # Yields
///
/// Never.
pub fn upgrade(protocol: &str, proceed: impl FnOnce(Upgraded) + 'static) -> Response {
    let protocol = HeaderValue::from_str(protocol).expect("the name of a protocol is a token");
    let mut response = Response::new(Body(Kind::Upgrade(Box::new(proceed))));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    response
}

/// The answer to `CONNECT` that makes the connection a tunnel: `200 OK`, after which `proceed` gets the
/// connection, on a green thread of its own.
///
/// ```
/// use evy_http::{Method, Request, Response, tunnel};
///
/// fn echo(request: Request) -> Response {
///     assert_eq!(request.method(), Method::CONNECT);
///     tunnel(|connection| {
///         let _ = std::io::copy(&mut &connection, &mut &connection);
///     })
/// }
/// # let _ = echo;
/// ```
///
/// # Yields
///
/// Never.
pub fn tunnel(proceed: impl FnOnce(Upgraded) + 'static) -> Response {
    Response::new(Body(Kind::Upgrade(Box::new(proceed))))
}

/// A connection after an [`upgrade`] or [`tunnel`]: what the client has sent behind its request comes first.
///
/// ```
/// use evy_http::Upgraded;
///
/// fn proceed(connection: Upgraded) -> std::io::Result<()> {
///     std::io::copy(&mut &connection, &mut &connection)?;
///     Ok(())
/// }
/// # let _ = proceed;
/// ```
pub struct Upgraded {
    #[cfg_attr(not(feature = "websocket"), expect(dead_code, reason = "WebSockets ask for it"))]
    core: Rc<Core>,
    stream: Stream,
    ahead: std::cell::RefCell<Cursor<Bytes>>,
}

impl Upgraded {
    pub(crate) fn new(core: Rc<Core>, stream: Stream, ahead: Bytes) -> Self {
        Self { core, stream, ahead: std::cell::RefCell::new(Cursor::new(ahead)) }
    }

    /// Of the server that has accepted it.
    #[cfg(feature = "websocket")]
    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The stream below. What was read ahead is not seen there.
    ///
    /// ```
    /// use evy_http::{Stream, Upgraded};
    ///
    /// fn is_plain(connection: &Upgraded) -> bool {
    ///     matches!(connection.get_ref(), Stream::Tcp(_))
    /// }
    /// # let _ = is_plain;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_ref(&self) -> &Stream {
        &self.stream
    }

    /// The stream, and what was read ahead of it.
    ///
    /// ```
    /// use evy_http::Upgraded;
    ///
    /// fn take_apart(connection: Upgraded) {
    ///     let (stream, ahead) = connection.into_parts();
    ///     println!("{} bytes were read ahead of {stream:?}", ahead.len());
    /// }
    /// # let _ = take_apart;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_parts(self) -> (Stream, Bytes) {
        let ahead = self.ahead.into_inner();
        let position = ahead.position() as usize;
        (self.stream, ahead.into_inner().slice(position..))
    }
}

impl Read for &Upgraded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.ahead.borrow_mut().read(buffer)?;
        if count > 0 || buffer.is_empty() { Ok(count) } else { (&self.stream).read(buffer) }
    }
}

impl Write for &Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.stream).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.stream).flush()
    }
}

impl Read for Upgraded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("stream", &self.stream).finish_non_exhaustive()
    }
}
