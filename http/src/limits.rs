//! How much, and how slow, a client may be.

use std::time::Duration;

/// The longest request line that is taken, without its end: 8 KiB.
pub(crate) const LONGEST_LINE: usize = 8 * 1024;

/// The longest head of a request that is taken: 64 KiB.
pub(crate) const LONGEST_HEAD: usize = 64 * 1024;

/// Streams of one HTTP/2 connection that are open at once.
pub(crate) const STREAMS: u32 = 200;

/// Handlers that run for one connection. Clients can give up streams and open others; their handlers go on
/// until they notice.
pub(crate) const HANDLERS: u32 = 2 * STREAMS;

/// The times of a connection, and what it has to carry within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// From the first byte of a request to the end of its head.
    pub(crate) head: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub(crate) idle: Duration,
    /// How long a client may keep us waiting for a body, or for room to write, in all, ...
    pub(crate) patience: Duration,
    /// ... where as many bytes as this make up for a second of it.
    pub(crate) min_rate: u64,
    /// The longest body of a request.
    pub(crate) body: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            patience: Duration::from_secs(30),
            min_rate: 500,
            body: None,
        }
    }
}

impl Limits {
    /// The time that `bytes` make up for.
    pub(crate) fn worth(&self, bytes: u64) -> Duration {
        match self.min_rate {
            0 => Duration::MAX,
            rate => Duration::from_millis(bytes.saturating_mul(1000) / rate),
        }
    }

    /// How often a look at the connections is worth while.
    pub(crate) fn between_looks(&self) -> Duration {
        let shortest = self.head.min(self.idle).min(self.patience);
        (shortest / 16).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }
}
