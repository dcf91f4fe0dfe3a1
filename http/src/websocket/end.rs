//! How a WebSocket has ended.

use std::io;
use std::time::Duration;

use super::Violation;

/// How a WebSocket has ended, for whoever uses it from then on.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// By one side or both, as it should be.
    Closed,
    /// The peer has broken the rules.
    Violated(Violation),
    /// The peer has not done this in this time: answered a ping, say.
    Silent(&'static str, Duration),
    /// The connection has failed.
    Lost(Lost),
}

/// What a stream's error says, to say it more than once.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    Os(i32),
    Other(io::ErrorKind, String),
}

impl End {
    pub(super) fn lost(error: &io::Error) -> Self {
        Self::Lost(match error.raw_os_error() {
            Some(code) => Lost::Os(code),
            None => Lost::Other(error.kind(), error.to_string()),
        })
    }

    /// The peer's side has ended without a farewell.
    pub(super) fn broken_off() -> Self {
        let text = "the peer of a WebSocket has gone without closing it".to_owned();
        Self::Lost(Lost::Other(io::ErrorKind::UnexpectedEof, text))
    }

    /// What a receiver gets: the end, or why there is none.
    pub(super) fn received<T>(&self) -> io::Result<Option<T>> {
        self.error().map_or(Ok(None), Err)
    }

    /// What a sender gets.
    pub(super) fn refusal(&self) -> io::Error {
        self.error().unwrap_or_else(is_closed)
    }

    fn error(&self) -> Option<io::Error> {
        Some(match self {
            Self::Closed => return None,
            Self::Violated(violation) => io::Error::new(violation.kind(), violation.clone()),
            Self::Silent(what, time) => {
                let text = format!("the peer of a WebSocket has not {what} in {time:?}");
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
            Self::Lost(Lost::Os(code)) => io::Error::from_raw_os_error(*code),
            Self::Lost(Lost::Other(kind, text)) => io::Error::new(*kind, text.clone()),
        })
    }

    /// Whether there is still somebody to talk to.
    pub(super) fn is_civil(&self) -> bool {
        matches!(self, Self::Closed | Self::Violated(_))
    }
}

pub(super) fn is_closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this WebSocket is closed")
}
