//! What the calls of a channel give when nothing was sent or received: crossbeam's names.

use std::error::Error;
use std::fmt;

const FULL: &str = "the channel is full";
const EMPTY: &str = "the channel is empty";
const NO_RECEIVER: &str = "the channel has no receiver any more";
const NO_SENDER: &str = "the channel is empty and has no sender any more";
const TIME: &str = "the time was over";

/// The item was not sent, for all receivers are gone.
///
/// ```
/// use evy_sync::SendError;
///
/// let (sender, receiver) = evy_sync::channel();
/// drop(receiver);
/// assert_eq!(sender.send(1), Err(SendError(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> SendError<T> {
    /// The item that was not sent.
    ///
    /// ```
    /// assert_eq!(evy_sync::SendError(1).into_inner(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NO_RECEIVER)
    }
}

impl<T> Error for SendError<T> {}

/// The item was not sent by a call that does not wait.
///
/// ```
/// use evy_sync::TrySendError;
///
/// let (sender, _receiver) = evy_sync::bounded(0);
/// assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// All receivers are gone.
    Disconnected(T),
}

impl<T> TrySendError<T> {
    /// The item that was not sent.
    ///
    /// ```
    /// assert_eq!(evy_sync::TrySendError::Full(1).into_inner(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Disconnected(item) => item,
        }
    }

    /// Whether there is no room.
    ///
    /// ```
    /// assert!(evy_sync::TrySendError::Full(1).is_full());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether all receivers are gone.
    ///
    /// ```
    /// assert!(evy_sync::TrySendError::Disconnected(1).is_disconnected());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { FULL } else { NO_RECEIVER })
    }
}

impl<T> Error for TrySendError<T> {}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        Self::Disconnected(error.0)
    }
}

/// The item was not sent in time.
///
/// ```
/// use std::time::Duration;
/// use evy_sync::SendTimeoutError;
///
/// let (sender, _receiver) = evy_sync::bounded(0);
/// let sent = sender.send_timeout(1, Duration::from_millis(1));
/// assert_eq!(sent, Err(SendTimeoutError::Timeout(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    Timeout(T),
    /// All receivers are gone.
    Disconnected(T),
}

impl<T> SendTimeoutError<T> {
    /// The item that was not sent.
    ///
    /// ```
    /// assert_eq!(evy_sync::SendTimeoutError::Timeout(1).into_inner(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(item) | Self::Disconnected(item) => item,
        }
    }

    /// Whether there was no room in time.
    ///
    /// ```
    /// assert!(evy_sync::SendTimeoutError::Timeout(1).is_timeout());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether all receivers are gone.
    ///
    /// ```
    /// assert!(evy_sync::SendTimeoutError::Disconnected(1).is_disconnected());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "Timeout(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timeout() { TIME } else { NO_RECEIVER })
    }
}

impl<T> Error for SendTimeoutError<T> {}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(error: SendError<T>) -> Self {
        Self::Disconnected(error.0)
    }
}

/// Nothing comes any more: the channel is empty, and all senders are gone.
///
/// ```
/// use evy_sync::RecvError;
///
/// let (sender, receiver) = evy_sync::channel::<u32>();
/// drop(sender);
/// assert_eq!(receiver.recv(), Err(RecvError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NO_SENDER)
    }
}

impl Error for RecvError {}

/// Nothing was received by a call that does not wait.
///
/// ```
/// use evy_sync::TryRecvError;
///
/// let (_sender, receiver) = evy_sync::channel::<u32>();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no item.
    Empty,
    /// There is no item, and all senders are gone.
    Disconnected,
}

impl TryRecvError {
    /// Whether there is no item, and may be one later.
    ///
    /// ```
    /// assert!(evy_sync::TryRecvError::Empty.is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }

    /// Whether all senders are gone.
    ///
    /// ```
    /// assert!(evy_sync::TryRecvError::Disconnected.is_disconnected());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_disconnected(&self) -> bool {
        *self == Self::Disconnected
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { EMPTY } else { NO_SENDER })
    }
}

impl Error for TryRecvError {}

impl From<RecvError> for TryRecvError {
    fn from(RecvError: RecvError) -> Self {
        Self::Disconnected
    }
}

/// Nothing was received in time.
///
/// ```
/// use std::time::Duration;
/// use evy_sync::RecvTimeoutError;
///
/// let (_sender, receiver) = evy_sync::channel::<u32>();
/// let received = receiver.recv_timeout(Duration::from_millis(1));
/// assert_eq!(received, Err(RecvTimeoutError::Timeout));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// There was no item in time.
    Timeout,
    /// There is no item, and all senders are gone.
    Disconnected,
}

impl RecvTimeoutError {
    /// Whether there was no item in time.
    ///
    /// ```
    /// assert!(evy_sync::RecvTimeoutError::Timeout.is_timeout());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_timeout(&self) -> bool {
        *self == Self::Timeout
    }

    /// Whether all senders are gone.
    ///
    /// ```
    /// assert!(evy_sync::RecvTimeoutError::Disconnected.is_disconnected());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_disconnected(&self) -> bool {
        *self == Self::Disconnected
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timeout() { TIME } else { NO_SENDER })
    }
}

impl Error for RecvTimeoutError {}

impl From<RecvError> for RecvTimeoutError {
    fn from(RecvError: RecvError) -> Self {
        Self::Disconnected
    }
}
