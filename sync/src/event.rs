//! A value that is sent once, to all who wait for it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{HandOver, Reason, Selection, TimedOut};

use crate::AlreadySent;

const EVENT: Reason = Reason::new(&"an Event");

/// A value that one green thread sends, and of which everybody who waits gets a clone.
///
/// Whoever waits when it is sent gets it, also if the event is [`reset`](Self::reset) before they go
/// on. Who comes later gets it at once. Clones are made by those who wait, each on its own stack.
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::Event;
///
/// let event = Rc::new(Event::new());
/// let waiters = [(); 3].map(|()| {
///     let event = Rc::clone(&event);
///     evy_runtime::spawn(move || event.wait())
/// });
/// evy_runtime::yield_now();
/// event.send("hello").unwrap();
/// assert!(waiters.into_iter().all(|waiter| waiter.wait().unwrap() == "hello"));
/// ```
///
/// # Failures
///
/// For an event that may fail, let the value be a `Result`; [`send_error`](Self::send_error) then
/// sends the failure.
///
/// ```
/// use evy_sync::Event;
///
/// let event = Event::<Result<u32, &str>>::new();
/// event.send_error("out of luck").unwrap();
/// assert_eq!(event.wait(), Err("out of luck"));
/// ```
///
/// # Green threads of one OS thread
///
/// An event belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let event = evy_sync::Event::new();
/// std::thread::spawn(move || event.send(1));
/// ```
#[doc(alias = "AsyncResult")]
pub struct Event<T> {
    /// Shared, so that nobody is cloned or dropped while the cell is borrowed.
    value: RefCell<Option<Rc<T>>>,
    line: HandOver<Rc<T>>,
}

impl<T> Event<T> {
    /// An event that was not sent.
    ///
    /// ```
    /// assert!(!evy_sync::Event::<u32>::new().ready());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self { value: RefCell::new(None), line: HandOver::new() }
    }

    /// Sends the value to all who wait, and to all who come before a [`reset`](Self::reset).
    ///
    /// ```
    /// use evy_sync::{AlreadySent, Event};
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
        if self.ready() {
            return Err(AlreadySent(value));
        }
        let value = Rc::new(value);
        self.value.replace(Some(Rc::clone(&value)));
        while !self.line.is_empty() {
            // Its error is an `Rc` of which there are others.
            drop(self.line.hand(Rc::clone(&value)));
        }
        Ok(())
    }

    /// Whether the value was sent: [`wait`](Self::wait) would not park.
    ///
    /// ```
    /// let event = evy_sync::Event::new();
    /// event.send(1).unwrap();
    /// assert!(event.ready());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn ready(&self) -> bool {
        self.value.borrow().is_some()
    }

    /// Makes the event as it was before it was sent; `false` if it was not.
    ///
    /// ```
    /// let event = evy_sync::Event::new();
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
        let value = self.value.take();
        value.is_some()
    }

    fn get(&self) -> Option<Rc<T>> {
        self.value.borrow().clone()
    }
}

impl<T: Clone> Event<T> {
    /// Waits for the value.
    ///
    /// ```
    /// let event = evy_sync::Event::new();
    /// event.send(1).unwrap();
    /// assert_eq!((event.wait(), event.wait()), (1, 1));
    /// ```
    ///
    /// # Yields
    ///
    /// Until the value is sent; not if it is.
    pub fn wait(&self) -> T {
        self.wait_until(None).expect("there is no deadline")
    }

    /// Waits up to `timeout` for the value.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{Event, TimedOut};
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
        let value = match self.get() {
            Some(value) => value,
            None => self.line.receive(EVENT, timeout, drop)?,
        };
        Ok(Rc::unwrap_or_clone(value))
    }

    /// The value, if it was sent.
    ///
    /// ```
    /// let event = evy_sync::Event::new();
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
        self.get().map(Rc::unwrap_or_clone)
    }

    /// Waits for the value in one of the lines of `selection`.
    pub(crate) fn wait_in(&self, selection: &Selection, inside: impl FnOnce()) -> Option<T> {
        self.line.receive_in(selection, drop, inside).map(Rc::unwrap_or_clone)
    }
}

impl<T, E> Event<Result<T, E>> {
    /// Sends a failure, as [`send`](Self::send) sends a value.
    ///
    /// ```
    /// use evy_sync::{AlreadySent, Event};
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
        f.debug_struct("Event")
            .field("ready", &self.ready())
            .field("waiting", &self.line.len())
            .finish_non_exhaustive()
    }
}
