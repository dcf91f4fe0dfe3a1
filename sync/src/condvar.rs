//! Waiting, with a lock given up meanwhile, for somebody to say that something has changed.

use std::fmt;
use std::time::Duration;

use evy_runtime::{HandOver, Reason};

use crate::mutex::MutexGuard;

const NOTICE: Reason = Reason::new(&"a notification of a Condvar");

/// Waits of green threads for a condition on the value of a [`Mutex`](crate::Mutex).
///
/// Notifications go to those who wait in the order in which they came. A wait ends by a notification
/// and by nothing else: each `notify_one` ends the wait of one that goes on, for if that one is killed
/// first, or while it waits for the lock, the next in line is notified. Even so the condition may be
/// gone when the lock is had again, by somebody who had it in between: look again, or use
/// [`wait_while`](Self::wait_while).
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::{Condvar, Mutex};
///
/// let pair = Rc::new((Mutex::new(false), Condvar::new()));
/// evy_runtime::spawn_n({
///     let pair = Rc::clone(&pair);
///     move || {
///         *pair.0.lock() = true;
///         pair.1.notify_one();
///     }
/// });
/// let (started, changed) = &*pair;
/// let started = changed.wait_while(started.lock(), |started| !*started);
/// assert!(*started);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let condvar = evy_sync::Condvar::new();
/// std::thread::spawn(move || condvar.notify_one());
/// ```
#[doc(alias = "Condition")]
pub struct Condvar {
    line: HandOver<Notice>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// For somebody.
    One,
    /// For each of those who waited at the time.
    All,
}

impl Condvar {
    /// One for which nobody waits.
    ///
    /// ```
    /// evy_sync::Condvar::new().notify_one(); // nobody hears it
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self { line: HandOver::new() }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again.
    ///
    /// No notification is missed in between. If the green thread is killed meanwhile, the mutex is not
    /// locked again: its guard is gone with this call.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::{Condvar, Mutex};
    ///
    /// let pair = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
    /// let waiter = evy_runtime::spawn({
    ///     let pair = Rc::clone(&pair);
    ///     move || {
    ///         let mut items = pair.0.lock();
    ///         while items.is_empty() {
    ///             items = pair.1.wait(items);
    ///         }
    ///         items.pop()
    ///     }
    /// });
    /// evy_runtime::yield_now();
    /// pair.0.lock().push("apple");
    /// pair.1.notify_one();
    /// assert_eq!(waiter.wait().unwrap(), Some("apple"));
    /// ```
    ///
    /// # Yields
    ///
    /// Always.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, None).0
    }

    /// [`wait`](Self::wait)s until `condition` is false.
    ///
    /// ```
    /// use evy_sync::{Condvar, Mutex};
    ///
    /// let mutex = Mutex::new(0);
    /// // It is false already.
    /// let guard = Condvar::new().wait_while(mutex.lock(), |n| *n > 0);
    /// assert_eq!(*guard, 0);
    /// ```
    ///
    /// # Yields
    ///
    /// While the condition is true.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// [`wait`](Self::wait) that waits up to `timeout` for the notification. The lock is waited for
    /// without bound.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{Condvar, Mutex};
    ///
    /// let mutex = Mutex::new(());
    /// let (_guard, result) = Condvar::new().wait_timeout(mutex.lock(), Duration::from_millis(1));
    /// assert!(result.timed_out());
    /// ```
    ///
    /// # Yields
    ///
    /// Always.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_until(guard, Some(timeout))
    }

    /// Notifies the first in line; nobody if nobody waits.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::{Condvar, Mutex};
    ///
    /// let pair = Rc::new((Mutex::new(()), Condvar::new()));
    /// let waiter = evy_runtime::spawn({
    ///     let pair = Rc::clone(&pair);
    ///     move || drop(pair.1.wait(pair.0.lock()))
    /// });
    /// evy_runtime::yield_now();
    /// pair.1.notify_one();
    /// waiter.wait().unwrap();
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn notify_one(&self) {
        let _ = self.line.hand(Notice::One);
    }

    /// Notifies all who wait, first come first.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::{Condvar, Mutex};
    ///
    /// let pair = Rc::new((Mutex::new(()), Condvar::new()));
    /// let waiters = [(); 3].map(|()| {
    ///     let pair = Rc::clone(&pair);
    ///     evy_runtime::spawn(move || drop(pair.1.wait(pair.0.lock())))
    /// });
    /// evy_runtime::yield_now();
    /// pair.1.notify_all();
    /// waiters.into_iter().for_each(|waiter| waiter.wait().unwrap());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn notify_all(&self) {
        while self.line.hand(Notice::All).is_ok() {}
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Option<Duration>,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let mutex = guard.mutex();
        drop(guard);
        let notice = self.line.receive(NOTICE, timeout, |notice| self.pass_on(notice));
        let mut unheard = Unheard { condvar: self, notice: notice.ok() };
        let guard = mutex.lock();
        let timed_out = unheard.notice.take().is_none();
        (guard, WaitTimeoutResult(timed_out))
    }

    #[cold]
    fn pass_on(&self, notice: Notice) {
        if notice == Notice::One {
            self.notify_one();
        }
    }
}

/// A notification whose receiver does not have the lock yet.
struct Unheard<'a> {
    condvar: &'a Condvar,
    notice: Option<Notice>,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some(notice) = self.notice {
            self.condvar.pass_on(notice);
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("waiting", &self.line.len()).finish()
    }
}

/// Whether a [`Condvar::wait_timeout`] ended by its time.
///
/// ```
/// use std::time::Duration;
/// use evy_sync::{Condvar, Mutex, WaitTimeoutResult};
///
/// let mutex = Mutex::new(());
/// let result: WaitTimeoutResult = Condvar::new().wait_timeout(mutex.lock(), Duration::ZERO).1;
/// assert!(result.timed_out());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over before a notification came.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evy_sync::{Condvar, Mutex};
    /// let mutex = Mutex::new(());
    /// let (_guard, result) = Condvar::new().wait_timeout(mutex.lock(), Duration::from_millis(1));
    /// assert!(result.timed_out());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
