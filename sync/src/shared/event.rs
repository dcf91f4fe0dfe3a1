//! A value that is sent once, to all who wait for it, on whichever OS thread.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evy_runtime::{Reason, TimedOut, Unparker};

use super::line::{Line, Waiter, deadline, lock};
use crate::AlreadySent;

const EVENT: Reason = Reason::new(&"a shared Event");

/// A value that somebody sends, and of which everybody who waits gets a clone, whichever their OS threads.
///
/// Whoever waits when it is sent gets it, also if the event is [`reset`](Self::reset) before they go
/// on. Who comes later gets it at once. Clones are made by those who wait.
///
/// ```
/// use std::sync::Arc;
/// use evy_sync::shared::Event;
///
/// let event = Arc::new(Event::new());
/// let waiters = [(); 3].map(|()| {
///     let event = Arc::clone(&event);
///     evy_runtime::spawn(move || event.wait())
/// });
/// std::thread::spawn(move || event.send("hello").unwrap());
/// assert!(waiters.into_iter().all(|waiter| waiter.wait().unwrap() == "hello"));
/// ```
///
/// The value is shared by those who wait until each has its clone, so it is `Send` and `Sync`:
///
/// ```compile_fail,E0277
/// let event = evy_sync::shared::Event::<std::cell::Cell<u32>>::new();
/// std::thread::spawn(move || event.wait());
/// ```
///
/// For an event that may fail, let the value be a `Result`, and see [`send_error`](Self::send_error).
#[doc(alias = "AsyncResult")]
pub struct Event<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Shared, so that nobody is cloned or dropped under the lock.
    value: Option<Arc<T>>,
    /// Empty while there is a value.
    line: Line<Arc<T>>,
}

impl<T> Event<T> {
    /// An event that was not sent.
    ///
    /// ```
    /// static STARTED: evy_sync::shared::Event<u32> = evy_sync::shared::Event::new();
    /// assert!(!STARTED.ready());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { value: None, line: Line::new() }) }
    }

    /// Sends the value to all who wait, and to all who come before a [`reset`](Self::reset).
    ///
    /// ```
    /// use evy_sync::AlreadySent;
    /// use evy_sync::shared::Event;
    ///
    /// let event = Event::new();
    /// assert_eq!(event.send(1), Ok(()));
    /// assert_eq!(event.send(2), Err(AlreadySent(2)));
    /// assert_eq!(event.wait(), 1);
    /// ```
    ///
    /// # Errors
    ///
    /// [`AlreadySent`], with the value, if one was sent before.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn send(&self, value: T) -> Result<(), AlreadySent<T>> {
        let mut state = lock(&self.state);
        if state.value.is_some() {
            return Err(AlreadySent(value));
        }
        let value = Arc::new(value);
        state.value = Some(Arc::clone(&value));
        let mut served = Vec::with_capacity(state.line.len());
        while let Ok(waiter) = state.line.serve(Arc::clone(&value)) {
            served.push(waiter);
        }
        drop(state);
        served.into_iter().for_each(Unparker::unpark_once);
        Ok(())
    }

    /// Whether the value was sent: [`wait`](Self::wait) would not wait.
    ///
    /// ```
    /// let event = evy_sync::shared::Event::new();
    /// event.send(1).unwrap();
    /// assert!(event.ready());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn ready(&self) -> bool {
        lock(&self.state).value.is_some()
    }

    /// Makes the event as it was before it was sent; `false` if it was not.
    ///
    /// ```
    /// let event = evy_sync::shared::Event::new();
    /// assert!(!event.reset());
    /// event.send(1).unwrap();
    /// assert!(event.reset());
    /// event.send(2).unwrap();
    /// assert_eq!(event.wait(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never by itself; it may drop the value.
    pub fn reset(&self) -> bool {
        let value = lock(&self.state).value.take();
        value.is_some()
    }

    fn get(&self) -> Option<Arc<T>> {
        lock(&self.state).value.clone()
    }
}

impl<T: Clone> Event<T> {
    /// Waits for the value.
    ///
    /// ```
    /// let event = evy_sync::shared::Event::new();
    /// event.send(1).unwrap();
    /// assert_eq!((event.wait(), event.wait()), (1, 1));
    /// ```
    ///
    /// # Yields
    ///
    /// Until the value is sent; not if it is. An OS thread without a hub blocks instead.
    pub fn wait(&self) -> T {
        self.wait_until(None).expect("there is no deadline")
    }

    /// Waits up to `timeout` for the value.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::TimedOut;
    /// use evy_sync::shared::Event;
    ///
    /// let event = Event::<u32>::new();
    /// assert_eq!(event.wait_timeout(Duration::from_millis(1)), Err(TimedOut));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Yields
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<T, TimedOut> {
        self.wait_until(Some(timeout))
    }

    fn wait_until(&self, timeout: Option<Duration>) -> Result<T, TimedOut> {
        let mut state = lock(&self.state);
        let value = match state.value.clone() {
            Some(value) => {
                drop(state);
                value
            }
            None => {
                let waiter = state.line.join(None);
                drop(state);
                self.wait_in_line(waiter, timeout)?
            }
        };
        Ok(Arc::unwrap_or_clone(value))
    }

    fn wait_in_line(
        &self,
        waiter: Waiter<Arc<T>>,
        timeout: Option<Duration>,
    ) -> Result<Arc<T>, TimedOut> {
        let waiting = Waiting { event: self, waiter };
        let ended = waiting.waiter.park(EVENT, timeout.and_then(deadline));
        if ended.is_err() {
            waiting.leave();
        }
        // It may have been sent just after the time was over.
        waiting.waiter.value().ok_or(TimedOut)
    }

    /// The value, if it was sent.
    ///
    /// ```
    /// let event = evy_sync::shared::Event::new();
    /// assert_eq!(event.try_get(), None);
    /// event.send(1).unwrap();
    /// assert_eq!(event.try_get(), Some(1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never by itself.
    #[doc(alias = "poll")]
    pub fn try_get(&self) -> Option<T> {
        self.get().map(Arc::unwrap_or_clone)
    }
}

impl<T, E> Event<Result<T, E>> {
    /// Sends a failure, as [`send`](Self::send) sends a value.
    ///
    /// ```
    /// use evy_sync::AlreadySent;
    /// use evy_sync::shared::Event;
    ///
    /// let event = Event::new();
    /// event.send(Ok(1)).unwrap();
    /// assert_eq!(event.send_error("too late"), Err(AlreadySent(Err("too late"))));
    /// ```
    ///
    /// # Errors
    ///
    /// [`AlreadySent`], with the failure, if something was sent before.
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "send_exception")]
    pub fn send_error(&self, error: E) -> Result<(), AlreadySent<Result<T, E>>> {
        self.send(Err(error))
    }
}

impl<T> Default for Event<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Event")
            .field("ready", &state.value.is_some())
            .field("waiting", &state.line.len())
            .finish_non_exhaustive()
    }
}

/// A place in the line, left however the wait ends.
struct Waiting<'a, T> {
    event: &'a Event<T>,
    waiter: Waiter<Arc<T>>,
}

impl<T> Waiting<'_, T> {
    fn leave(&self) {
        lock(&self.event.state).line.leave(&self.waiter);
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}
