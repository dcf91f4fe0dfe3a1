//! The peer's farewell.

use std::fmt;

use tungstenite::protocol::CloseFrame;

use super::CloseCode;

/// What the peer said when it closed a WebSocket.
///
/// ```
/// use evy_http::websocket::{CloseCode, Closed};
///
/// let closed = Closed { code: CloseCode::NORMAL, reason: "done".to_owned() };
/// assert_eq!(closed.to_string(), "1000 (done)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why; [`CloseCode::NO_CODE`] if it did not say.
    pub code: CloseCode,
    /// More words for it, often none.
    pub reason: String,
}

impl Closed {
    pub(super) fn of(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(frame) => {
                let code = CloseCode::from(u16::from(frame.code));
                Self { code, reason: frame.reason.as_str().to_owned() }
            }
            None => Self { code: CloseCode::NO_CODE, reason: String::new() },
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{} ({reason})", self.code),
        }
    }
}
