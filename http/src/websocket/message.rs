//! What is sent and received.

use bytes::Bytes;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::Text;

/// A message of a WebSocket, whole. Those in several frames are joined; pings and pongs are not seen.
///
/// Whatever becomes one can be sent: `socket.send("hello")`.
///
/// ```
/// use evy_http::websocket::Message;
///
/// assert_eq!(Message::from("hello"), Message::Text("hello".into()));
/// assert_eq!(Message::from(vec![1, 2]).as_text(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(Text),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// The text, if it is one.
    ///
    /// ```
    /// use evy_http::websocket::Message;
    ///
    /// assert_eq!(Message::from("hello").as_text(), Some("hello"));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Its bytes, be it a text or not.
    ///
    /// ```
    /// use evy_http::websocket::Message;
    ///
    /// assert_eq!(Message::from("hello").as_bytes(), b"hello");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Its bytes, be it a text or not.
    ///
    /// ```
    /// use evy_http::websocket::Message;
    ///
    /// assert_eq!(Message::from("hello").into_bytes(), "hello");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The number of bytes.
    ///
    /// ```
    /// use evy_http::websocket::Message;
    ///
    /// assert_eq!(Message::from("hello").len(), 5);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// use evy_http::websocket::Message;
    ///
    /// assert!(Message::from("").is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    pub(super) fn into_frame(self) -> Frame {
        let kind = match self {
            Self::Text(_) => Data::Text,
            Self::Binary(_) => Data::Binary,
        };
        Frame::message(self.into_bytes(), OpCode::Data(kind), true)
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}
