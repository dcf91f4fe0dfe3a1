//! Why a WebSocket was closed.

use std::fmt;

use tungstenite::protocol::frame::coding::CloseCode as Code;

/// Why a WebSocket is closed, as a number: RFC 6455, 7.4.
///
/// ```
/// use evy_http::websocket::CloseCode;
///
/// assert_eq!(CloseCode::NORMAL, CloseCode::from(1000));
/// assert_eq!(CloseCode::TOO_BIG.as_u16(), 1009);
/// // Numbers of one's own are from 4000 to 4999.
/// assert!(CloseCode::from(4321).can_be_sent());
/// assert!(!CloseCode::ABNORMAL.can_be_sent());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: what there was to do is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer has broken the rules of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a message of a kind that cannot be taken, such as bytes instead of a text.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the peer gave no code. It is never sent.
    pub const NO_CODE: Self = Self(1005);
    /// 1006: the connection was lost. It is never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a text is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a message is not as it should be.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the server lacks an extension that the client needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server has failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server starts anew.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server has too much to do.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The number.
    ///
    /// ```
    /// assert_eq!(evy_http::websocket::CloseCode::NORMAL.as_u16(), 1000);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether it may stand in a message; others say what happened without one, or have no meaning yet.
    ///
    /// ```
    /// use evy_http::websocket::CloseCode;
    ///
    /// assert!(CloseCode::NORMAL.can_be_sent());
    /// assert!(!CloseCode::from(999).can_be_sent());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn can_be_sent(self) -> bool {
        Code::from(self.0).is_allowed()
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
