//! Telling whoever waits that something has changed, from whichever OS thread.
//!
//! A [`Bell`] carries nothing and decides nothing: who hears it looks again at what it waits for, and
//! goes on waiting if that is not so yet. To ring costs one look where nobody listens.
//!
//! ```text
//!   who waits                              who changes something
//!   1. listen: put down an Unparker        a. change it
//!   2. look: is it so? go on               b. does anybody listen? unpark everybody
//!   3. wait for the token; 2 again
//! ```
//!
//! Either b sees the listener of 1, or 2 sees the change of a: the count of listeners and the look at it
//! are sequentially consistent, and what is looked at in 2 must be, too.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::park::Reason;
use crate::unpark::{Parker, Unparker};
use crate::wait_list::TimedOut;

/// Rung when something has changed; it may be a `static`.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use evy_runtime::{Bell, Reason};
///
/// static OPEN: AtomicBool = AtomicBool::new(false);
/// static DOOR: Bell = Bell::new();
/// const OPENED: Reason = Reason::new(&"somebody who opens the door");
///
/// std::thread::spawn(|| {
///     OPEN.store(true, Ordering::SeqCst);
///     DOOR.ring();
/// });
/// let listening = DOOR.listen();
/// while !OPEN.load(Ordering::SeqCst) {
///     listening.wait(OPENED, None).unwrap();
/// }
/// ```
pub struct Bell {
    /// How many listen.
    listeners: AtomicUsize,
    line: Mutex<Vec<(u64, Unparker)>>,
    /// Names the next listener.
    next: AtomicU64,
}

impl Bell {
    /// One that nobody listens to.
    ///
    /// ```
    /// static BELL: evy_runtime::Bell = evy_runtime::Bell::new();
    /// BELL.ring();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self {
            listeners: AtomicUsize::new(0),
            line: Mutex::new(Vec::new()),
            next: AtomicU64::new(0),
        }
    }

    /// Has everybody who listens look again.
    ///
    /// ```
    /// let bell = evy_runtime::Bell::new();
    /// bell.ring(); // nobody listens: it is not heard later, either
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[inline]
    pub fn ring(&self) {
        if self.listeners.load(SeqCst) > 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        for (_, listener) in &*self.line() {
            listener.unpark();
        }
    }

    /// Hears every [`ring`](Self::ring) from now on, for the current green thread.
    ///
    /// ```
    /// use evy_runtime::{Bell, Reason};
    ///
    /// let bell = Bell::new();
    /// let listening = bell.listen();
    /// bell.ring();
    /// assert!(listening.wait(Reason::new(&"a bell"), None).is_ok());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn listen(&self) -> Listening<'_> {
        let parker = Parker::new();
        let number = self.next.fetch_add(1, SeqCst);
        let mut line = self.line();
        line.push((number, parker.unparker()));
        self.listeners.store(line.len(), SeqCst);
        drop(line);
        Listening { bell: self, parker, number }
    }

    fn line(&self) -> MutexGuard<'_, Vec<(u64, Unparker)>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("listeners", &self.listeners.load(SeqCst))
            .finish_non_exhaustive()
    }
}

/// Hears a [`Bell`] until it is dropped. It belongs to the green thread that listens.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::{Bell, Reason, TimedOut};
///
/// let bell = Bell::new();
/// let listening = bell.listen();
/// let time = Some(Duration::from_millis(1));
/// assert_eq!(listening.wait(Reason::new(&"a bell"), time), Err(TimedOut));
/// ```
pub struct Listening<'a> {
    bell: &'a Bell,
    parker: Parker,
    number: u64,
}

impl Listening<'_> {
    /// Waits until the bell has rung since the last wait, or since it was listened to. `reason` is for
    /// reports.
    ///
    /// ```
    /// use evy_runtime::{Bell, Reason};
    ///
    /// let bell = Bell::new();
    /// let listening = bell.listen();
    /// bell.ring();
    /// bell.ring(); // heard as one
    /// assert!(listening.wait(Reason::new(&"a bell"), None).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when it has not rung within `timeout`.
    ///
    /// # Panics
    ///
    /// When another green thread calls it than the one that listens.
    ///
    /// # Yields
    ///
    /// Until the bell rings; not if it has.
    pub fn wait(&self, reason: Reason, timeout: Option<Duration>) -> Result<(), TimedOut> {
        // A time that the clock cannot hold is for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.parker.park(reason, deadline)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut line = self.bell.line();
        let place = line.iter().position(|(number, _)| *number == self.number);
        let left = place.map(|place| line.remove(place));
        self.bell.listeners.store(line.len(), SeqCst);
        drop(line);
        drop(left);
    }
}

impl fmt::Debug for Listening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("bell", self.bell).finish_non_exhaustive()
    }
}
