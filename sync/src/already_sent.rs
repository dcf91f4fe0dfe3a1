//! What is given for a second send.

use std::error::Error;
use std::fmt;

/// The value of an [`Event`](crate::Event) that was sent already; it gives back the one that was not sent.
///
/// ```
/// use evy_sync::{AlreadySent, Event};
///
/// let event = Event::new();
/// event.send(1).unwrap();
/// let AlreadySent(value) = event.send(2).unwrap_err();
/// assert_eq!(value, 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlreadySent<T>(pub T);

impl<T> AlreadySent<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// assert_eq!(evy_sync::AlreadySent(2).into_inner(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for AlreadySent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlreadySent(..)")
    }
}

impl<T> fmt::Display for AlreadySent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event was sent before")
    }
}

impl<T> Error for AlreadySent<T> {}
