//! How long a connection may be quiet, and how old it may become.

use std::time::Duration;

/// A server's times; `None` is for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) idle: Option<Duration>,
    pub(super) total: Option<Duration>,
}

impl Times {
    pub(super) fn are_set(&self) -> bool {
        self.idle.is_some() || self.total.is_some()
    }
}
