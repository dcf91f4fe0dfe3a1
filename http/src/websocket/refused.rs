//! A server's no.

use std::error::Error;
use std::fmt;
use std::io;

use crate::StatusCode;

/// The answer of a server that did not want to speak WebSocket. It is inside of the [`io::Error`] that
/// [`connect`](super::connect()) gives.
///
/// ```
/// use std::io;
/// use evy_http::websocket::Refused;
/// use evy_http::header;
///
/// fn redirected(error: &io::Error) -> Option<&str> {
///     let refused = error.get_ref()?.downcast_ref::<Refused>()?;
///     refused.response().headers().get(header::LOCATION)?.to_str().ok()
/// }
/// # assert_eq!(redirected(&io::ErrorKind::ConnectionRefused.into()), None);
/// ```
#[derive(Debug)]
pub struct Refused {
    response: ::http::Response<()>,
}

impl Refused {
    pub(super) fn new(response: ::http::Response<()>) -> Self {
        Self { response }
    }

    /// The status.
    ///
    /// ```
    /// use evy_http::StatusCode;
    /// use evy_http::websocket::Refused;
    ///
    /// fn is_for_members(refused: &Refused) -> bool {
    ///     refused.status() == StatusCode::UNAUTHORIZED
    /// }
    /// # let _ = is_for_members;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The whole head of the answer.
    ///
    /// ```
    /// use evy_http::header;
    /// use evy_http::websocket::Refused;
    ///
    /// fn is_for_members(refused: &Refused) -> bool {
    ///     refused.response().headers().contains_key(header::WWW_AUTHENTICATE)
    /// }
    /// # let _ = is_for_members;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn response(&self) -> &::http::Response<()> {
        &self.response
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server wants no WebSocket: {}", self.status())
    }
}

impl Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::ConnectionRefused, refused)
    }
}
