//! A lock around a value.
//!
//! There is no poisoning. std's is decided by `std::thread::panicking()`, which speaks of the OS thread:
//! while one green thread is suspended in the middle of unwinding, the locks of all others would be
//! poisoned by mistake, and a kill or a timeout, which are ordinary here, would poison them on purpose.
//! Code that must not leave its value half-changed when it is cut off at a park uses a drop guard.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use evy_runtime::{Reason, TimedOut, WaitList};

use crate::WouldBlock;

const LOCK: Reason = Reason::new(&"a Mutex");

/// A value that one green thread uses at a time, also across calls that park.
///
/// Who waits gets the lock in the order of the calls, and directly: who unlocks and locks again at once
/// goes behind those who wait. If one that was handed the lock is killed before it goes on, the next
/// has it. To lock it again while one holds it waits for ever.
///
/// Unlike std's it is never poisoned: a green thread that panics or is killed unlocks it, as it is.
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::Mutex;
///
/// let count = Rc::new(Mutex::new(0));
/// let workers: Vec<_> = (0..10)
///     .map(|_| {
///         let count = Rc::clone(&count);
///         evy_runtime::spawn(move || {
///             let mut count = count.lock();
///             let before = *count;
///             evy_runtime::yield_now();
///             *count = before + 1;
///         })
///     })
///     .collect();
/// evy_runtime::join_all(workers);
/// assert_eq!(*count.lock(), 10);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let mutex = evy_sync::Mutex::new(1);
/// std::thread::spawn(move || *mutex.lock());
/// ```
pub struct Mutex<T: ?Sized> {
    /// Also true while it passes from one to the next.
    locked: Cell<bool>,
    /// While anybody waits it is locked.
    line: WaitList,
    /// Borrowed by the guard alone.
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    ///
    /// ```
    /// assert_eq!(*evy_sync::Mutex::new(1).lock(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(value: T) -> Self {
        Self { locked: Cell::new(false), line: WaitList::new(), value: RefCell::new(value) }
    }

    /// The value.
    ///
    /// ```
    /// assert_eq!(evy_sync::Mutex::new(1).into_inner(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds the lock, and locks it until the guard is dropped.
    ///
    /// ```
    /// let mutex = evy_sync::Mutex::new(1);
    /// *mutex.lock() += 1;
    /// assert_eq!(*mutex.lock(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// While somebody holds it.
    #[inline(always)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.lock_until(None).expect("there is no deadline")
    }

    /// [`lock`](Self::lock) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{Mutex, TimedOut};
    ///
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.lock();
    /// assert_eq!(mutex.lock_timeout(Duration::from_millis(1)).unwrap_err(), TimedOut);
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Yields
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, TimedOut> {
        self.lock_until(Some(timeout))
    }

    /// Locks it if nobody holds it.
    ///
    /// ```
    /// use evy_sync::{Mutex, WouldBlock};
    ///
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.try_lock()?;
    /// assert_eq!(mutex.try_lock().unwrap_err(), WouldBlock);
    /// # drop(guard);
    /// # Ok::<(), WouldBlock>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if somebody does.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        if self.locked.replace(true) { Err(WouldBlock) } else { Ok(self.guard()) }
    }

    /// The value, which nobody else can hold.
    ///
    /// ```
    /// let mut mutex = evy_sync::Mutex::new(1);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(mutex.into_inner(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline(always)]
    fn lock_until(&self, timeout: Option<Duration>) -> Result<MutexGuard<'_, T>, TimedOut> {
        if self.locked.replace(true) {
            self.line.wait(LOCK, timeout, || self.unlock())?;
        }
        Ok(self.guard())
    }

    #[inline(always)]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, value: self.value.borrow_mut() }
    }

    /// Hands the lock to the first in line.
    #[inline(always)]
    fn unlock(&self) {
        if !self.line.wake_one() {
            self.locked.set(false);
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => f.field("value", &&*guard),
            Err(WouldBlock) => f.field("value", &format_args!("<locked>")),
        };
        f.finish_non_exhaustive()
    }
}

/// The lock of a [`Mutex`], and its value; dropped, it unlocks.
///
/// ```
/// let mutex = evy_sync::Mutex::new(vec![1]);
/// let mut guard = mutex.lock();
/// guard.push(2);
/// assert_eq!(*guard, [1, 2]);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Ends after the lock has passed on, which runs nobody yet.
    value: RefMut<'a, T>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
