//! The body of a request, to read from.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use evy_runtime::block_on;
use http_body::Body;
use hyper::body::Incoming;

use crate::connection::{Connection, ConnectionInfo, Order};
use crate::pulse::Count;
use crate::{HeaderMap, HeaderName, StatusCode, header};

/// The body of a request: a reader that parks while the client has not sent more.
///
/// It has an end by the rules of HTTP: a connection that breaks off before is an error. What is not read
/// is thrown away; where that is much, the connection closes after the answer. A client that waits for
/// `100 Continue` gets it at the first read.
///
/// It may outlive its handler: a green thread that got it from there reads it behind the answer. The times of
/// [`Server::min_rate`](crate::Server::min_rate) hold for it, and its connection is neither idle nor in the
/// head of a request, until its end was read or it is dropped. Where its connection is cut or ends before, the
/// next read is an error. Two things come too late behind an answer in HTTP/1.1: a client that waits for
/// `100 Continue` does not get it any more, so its answer says that the connection closes; and trailers, with the
/// end in front of them, are told only with the client's next request, and are an error where none comes.
///
/// ```
/// use std::io::BufRead;
/// use evy_http::Request;
///
/// fn count_lines(request: Request) -> std::io::Result<String> {
///     let lines = request.into_body().lines().collect::<Result<Vec<_>, _>>()?;
///     Ok(format!("{} lines\n", lines.len()))
/// }
/// # let _ = count_lines;
/// ```
pub struct RequestBody {
    incoming: Incoming,
    chunk: Bytes,
    /// Nothing comes behind `chunk`.
    is_over: bool,
    failure: Option<BodyError>,
    trailers: Option<Box<HeaderMap>>,
    /// How many bytes may still come.
    left: u64,
    connection: Rc<Connection>,
}

/// What can be wrong with the body of a request. As an [`io::Error`], it is inside of that.
///
/// ```
/// use evy_http::{BodyError, StatusCode};
///
/// assert_eq!(BodyError::TooLarge.status(), StatusCode::PAYLOAD_TOO_LARGE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the server, or the call, allows.
    TooLarge,
    /// The connection has ended before the body.
    BrokenOff,
    /// It breaks the rules of HTTP.
    Malformed,
    /// It is not UTF-8, and was to be a text.
    NotText,
}

impl BodyError {
    /// The status that a client gets for it.
    ///
    /// ```
    /// use evy_http::{BodyError, StatusCode};
    ///
    /// assert_eq!(BodyError::Malformed.status(), StatusCode::BAD_REQUEST);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BrokenOff | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::NotText => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    fn kind(self) -> io::ErrorKind {
        match self {
            Self::TooLarge => io::ErrorKind::FileTooLarge,
            Self::BrokenOff => io::ErrorKind::UnexpectedEof,
            Self::Malformed | Self::NotText => io::ErrorKind::InvalidData,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body of the request is too large",
            Self::BrokenOff => "the connection has ended before the body of the request",
            Self::Malformed => "the body of the request breaks the rules of HTTP",
            Self::NotText => "the body of the request is not UTF-8",
        })
    }
}

impl Error for BodyError {}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, connection: Rc<Connection>) -> Self {
        let is_over = incoming.is_end_stream();
        if !is_over {
            connection.pulse().open_body();
        }
        let left = connection.limits().body.unwrap_or(u64::MAX);
        Self {
            incoming,
            chunk: Bytes::new(),
            is_over,
            failure: None,
            trailers: None,
            left,
            connection,
        }
    }

    /// What is known of the connection by which the request came.
    ///
    /// ```
    /// fn is_safe(request: &evy_http::Request) -> bool {
    ///     request.body().connection().is_tls
    /// }
    /// # let _ = is_safe;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn connection(&self) -> ConnectionInfo {
        self.connection.info()
    }

    /// How long it is, if the client has said so, less what was read already.
    ///
    /// ```
    /// fn announce(request: &evy_http::Request) {
    ///     if let Some(length) = request.body().remaining() {
    ///         println!("{length} bytes will come");
    ///     }
    /// }
    /// # let _ = announce;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn remaining(&self) -> Option<u64> {
        let chunk = self.chunk.len() as u64;
        if self.is_over {
            Some(chunk)
        } else {
            self.incoming.size_hint().exact().map(|n| n + chunk)
        }
    }

    /// The rest of it as bytes, of which there may be `limit`.
    ///
    /// ```
    /// fn store(mut request: evy_http::Request) -> std::io::Result<String> {
    ///     let bytes = request.body_mut().bytes(1 << 20)?;
    ///     Ok(format!("{} bytes\n", bytes.len()))
    /// }
    /// # let _ = store;
    /// ```
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] as `FileTooLarge`, as soon as it is known; those of a read.
    ///
    /// # Yields
    ///
    /// Until all of it is there.
    pub fn bytes(&mut self, limit: usize) -> io::Result<Bytes> {
        if self.remaining().is_some_and(|length| length > limit as u64) {
            return Err(BodyError::TooLarge.into());
        }
        self.fill()?;
        let first = std::mem::take(&mut self.chunk);
        if first.len() > limit {
            return Err(BodyError::TooLarge.into());
        }
        self.fill()?;
        if self.chunk.is_empty() {
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        loop {
            all.extend_from_slice(&self.chunk);
            if all.len() > limit {
                return Err(BodyError::TooLarge.into());
            }
            if self.chunk.is_empty() {
                return Ok(all.freeze());
            }
            self.chunk.clear();
            self.fill()?;
        }
    }

    /// The rest of it as text, of which there may be `limit` bytes.
    ///
    /// ```
    /// fn upper(mut request: evy_http::Request) -> std::io::Result<String> {
    ///     Ok(request.body_mut().text(64 * 1024)?.to_uppercase())
    /// }
    /// # let _ = upper;
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`bytes`](Self::bytes), and [`BodyError::NotText`] as `InvalidData`.
    ///
    /// # Yields
    ///
    /// Until all of it is there.
    pub fn text(&mut self, limit: usize) -> io::Result<String> {
        let bytes = self.bytes(limit)?;
        String::from_utf8(bytes.into()).map_err(|_| BodyError::NotText.into())
    }

    /// The fields that came behind it; `None` before it was read to the end, and where there are none.
    /// Those that may stand in a head alone, such as `host`, are left out;
    /// one that says where the message ends is an error.
    ///
    /// ```
    /// fn checksum(request: &evy_http::Request) -> Option<&evy_http::HeaderValue> {
    ///     request.body().trailers()?.get("checksum")
    /// }
    /// # let _ = checksum;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// Sees to it that there is something in `chunk`, unless it is over.
    fn fill(&mut self) -> io::Result<()> {
        while self.chunk.is_empty() && !self.is_over {
            if let Some(failure) = self.failure {
                return Err(failure.into());
            }
            if let Err(failure) = self.receive() {
                self.failure = Some(failure);
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), BodyError> {
        let pulse = self.connection.pulse();
        let incoming = &mut self.incoming;
        let frame = {
            let mut awaiting = None;
            block_on(poll_fn(|context| {
                let poll = Pin::new(&mut *incoming).poll_frame(context);
                if poll.is_pending() && awaiting.is_none() {
                    pulse.has_asked_for_body.set(true);
                    awaiting = Some(Count::new(&pulse.awaiting_body));
                }
                poll
            }))
        };
        match frame {
            None => self.end(),
            Some(Err(error)) => return Err(failure_of(&error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) if chunk.len() as u64 > self.left => return Err(BodyError::TooLarge),
                Ok(chunk) => {
                    self.left -= chunk.len() as u64;
                    self.connection.pulse().count_body(chunk.len());
                    self.chunk = chunk;
                    // Behind the answer, hyper reads the next head before it says that this was all.
                    if self.incoming.is_end_stream() {
                        self.end();
                    }
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    if trailers.contains_key(header::CONTENT_LENGTH)
                        || trailers.contains_key(header::TRANSFER_ENCODING)
                    {
                        // Somebody on the way may have gone by them.
                        self.connection.order(Order::Finish);
                        return Err(BodyError::Malformed);
                    }
                    self.trailers = Some(Box::new(harmless(trailers)));
                }
            },
        }
        Ok(())
    }

    /// Nothing comes any more.
    fn end(&mut self) {
        self.is_over = true;
        self.connection.body_has_ended();
    }
}

/// Trailers without the fields that say whom a message is for, or how it is to be taken: in a head they
/// would count. RFC 9110, 6.5.1: they must not be here.
fn harmless(mut trailers: HeaderMap) -> HeaderMap {
    const HEADS_ONLY: [HeaderName; 6] = [
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::HOST,
        header::TRAILER,
        header::UPGRADE,
    ];
    for name in HEADS_ONLY {
        trailers.remove(name);
    }
    trailers
}

/// What hyper's error says of the client.
fn failure_of(error: &hyper::Error) -> BodyError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        {
            return BodyError::Malformed;
        }
        source = inner.source();
    }
    BodyError::BrokenOff
}

impl Read for RequestBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.fill()?;
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl BufRead for RequestBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if !self.incoming.is_end_stream() {
            self.connection.pulse().is_unclean.set(true);
        }
        self.connection.body_has_ended();
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}
