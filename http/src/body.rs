//! What a response carries.

use std::fmt;
use std::io::{self, Read};

use ::http::StatusCode;
use bytes::Bytes;

use crate::BodyWriter;
use crate::upgrade::OnUpgrade;

/// The body of a response: bytes that are there, or something that is sent while it comes to be.
///
/// Bytes and texts become one by `into`, and are sent with their length. What a reader or a writer gives
/// is sent in chunks (or, in HTTP/1.0, up to the end of the connection), unless the handler has set
/// `content-length` itself.
///
/// ```
/// use evy_http::{Body, Response};
///
/// let response = Response::new(Body::from("hello"));
/// let nothing = Response::new(Body::empty());
/// # drop((response, nothing));
/// ```
#[derive(Default)]
pub struct Body(pub(crate) Kind);

pub(crate) type Write = Box<dyn FnOnce(&mut BodyWriter) -> io::Result<()>>;

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Writer(Write),
    Upgrade(OnUpgrade),
}

impl Kind {
    /// What it is in an answer of `status`: only one that says so goes on in another protocol.
    #[inline]
    pub(crate) fn of_answer(self, status: StatusCode, to_connect: bool) -> Self {
        let goes_on = match status {
            StatusCode::SWITCHING_PROTOCOLS => true,
            status => to_connect && status.is_success(),
        };
        if matches!(self, Self::Upgrade(_)) && !goes_on { Self::Empty } else { self }
    }
}

impl Body {
    /// No body.
    ///
    /// ```
    /// let response = evy_http::Response::new(evy_http::Body::empty());
    /// # drop(response);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// What `write` writes, sent while it runs: on the handler's green thread, once the handler has
    /// returned.
    ///
    /// An error that it returns, and a panic, cut the answer off, in a way that the client can tell from
    /// its end. Where the client goes away, its next write fails; it does not run at all where nobody
    /// wants a body, as after `HEAD`.
    ///
    /// ```
    /// use std::io::Write;
    /// use std::time::Duration;
    /// use evy_http::{Body, Request, Response};
    ///
    /// fn tick(_request: Request) -> Response {
    ///     Response::new(Body::writer(|client| {
    ///         for n in 0..3 {
    ///             writeln!(client, "tick {n}")?;
    ///             client.flush()?;
    ///             evy_runtime::sleep(Duration::from_secs(1));
    ///         }
    ///         Ok(())
    ///     }))
    /// }
    /// # let _ = tick;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn writer(write: impl FnOnce(&mut BodyWriter) -> io::Result<()> + 'static) -> Self {
        Self(Kind::Writer(Box::new(write)))
    }

    /// What `reader` gives, up to its end: a file, a green stream, the body of another answer.
    ///
    /// ```
    /// use evy_http::{Body, Request, Response};
    ///
    /// fn zeros(_request: Request) -> Response {
    ///     Response::new(Body::reader(std::io::Read::take(std::io::repeat(0), 1_000_000)))
    /// }
    /// # let _ = zeros;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn reader(mut reader: impl Read + 'static) -> Self {
        Self::writer(move |client| client.copy_from(&mut reader))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Writer(_) => f.write_str("Body(writer)"),
            Kind::Upgrade(_) => f.write_str("Body(upgrade)"),
        }
    }
}
