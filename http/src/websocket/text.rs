//! The text of a message.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use tungstenite::Utf8Bytes;

/// A text that is cheap to clone: what many are to be sent is there once.
///
/// ```
/// use evy_http::websocket::Text;
///
/// let text = Text::from("hello");
/// let another = text.clone();
/// assert_eq!(another.len(), 5);
/// assert_eq!(&*text, "hello");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Utf8Bytes);

impl Text {
    /// A text that is there for as long as the program.
    ///
    /// ```
    /// use evy_http::websocket::Text;
    ///
    /// const HELLO: Text = Text::from_static("hello");
    /// assert_eq!(HELLO, "hello");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Utf8Bytes::from_static(text))
    }

    /// The text as a `&str`.
    ///
    /// ```
    /// use evy_http::websocket::Text;
    ///
    /// assert_eq!(Text::from("hello").as_str(), "hello");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn new(text: Utf8Bytes) -> Self {
        Self(text)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
