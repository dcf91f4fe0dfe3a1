//! What the `try_` calls of locks and semaphores give where they would have to wait.

use std::error::Error;
use std::fmt;

/// It is not to be had without waiting.
///
/// ```
/// use evy_sync::{Mutex, WouldBlock};
///
/// let mutex = Mutex::new(1);
/// let _guard = mutex.lock();
/// assert_eq!(mutex.try_lock().unwrap_err(), WouldBlock);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it would have to wait")
    }
}

impl Error for WouldBlock {}
