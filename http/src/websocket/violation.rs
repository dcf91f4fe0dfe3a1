//! Rules that a peer has broken.

use std::error::Error;
use std::fmt;
use std::io;

use tungstenite::Error as Wrong;

use super::CloseCode;

/// What the peer has done against the rules of WebSockets, or against our limits. It is inside of the
/// [`io::Error`] of those who use the WebSocket; the peer was told the code.
///
/// ```
/// use std::io;
/// use evy_http::websocket::Violation;
///
/// fn explain(error: &io::Error) -> String {
///     match error.get_ref().and_then(|error| error.downcast_ref::<Violation>()) {
///         Some(violation) => format!("closed with {}: {violation}", violation.code()),
///         None => format!("lost: {error}"),
///     }
/// }
/// # assert!(explain(&io::ErrorKind::ConnectionReset.into()).starts_with("lost: "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    code: CloseCode,
    text: String,
}

impl Violation {
    /// What it is, said by tungstenite.
    pub(super) fn of(wrong: &Wrong) -> Self {
        let code = match wrong {
            Wrong::Capacity(_) => CloseCode::TOO_BIG,
            Wrong::Utf8(_) => CloseCode::INVALID_DATA,
            _ => CloseCode::PROTOCOL_ERROR,
        };
        Self { code, text: wrong.to_string() }
    }

    /// The code that the peer was told: 1002, 1007 or 1009.
    ///
    /// ```
    /// use evy_http::websocket::{CloseCode, Violation};
    ///
    /// fn is_too_big(violation: &Violation) -> bool {
    ///     violation.code() == CloseCode::TOO_BIG
    /// }
    /// # let _ = is_too_big;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    pub(super) fn kind(&self) -> io::ErrorKind {
        match self.code {
            CloseCode::TOO_BIG => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Violation {}
