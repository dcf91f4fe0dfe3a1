//! Permits, of which there is a number.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::time::Duration;

use evy_runtime::{Reason, TimedOut, WaitList};

use crate::WouldBlock;

const PERMIT: Reason = Reason::new(&"a permit of a Semaphore");

/// Permits that green threads acquire and release: so many at a time, and no more.
///
/// Who waits is served in the order of the calls, and directly: who releases a permit and acquires one
/// at once goes behind those who wait. A permit that was handed to somebody who is killed before it
/// goes on passes to the next.
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::Semaphore;
///
/// let semaphore = Rc::new(Semaphore::new(2));
/// let workers: Vec<_> = (0..10)
///     .map(|n| {
///         let semaphore = Rc::clone(&semaphore);
///         evy_runtime::spawn(move || {
///             let _permit = semaphore.acquire();
///             evy_runtime::yield_now(); // at most two are here at once
///             n
///         })
///     })
///     .collect();
/// assert_eq!(evy_runtime::join_all(workers).len(), 10);
/// assert_eq!(semaphore.balance(), 2);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let semaphore = evy_sync::Semaphore::new(1);
/// std::thread::spawn(move || semaphore.release());
/// ```
pub struct Semaphore {
    /// Permits that are free. While anybody waits there are none.
    free: Cell<usize>,
    line: WaitList,
}

impl Semaphore {
    /// One with `permits` permits.
    ///
    /// ```
    /// assert_eq!(evy_sync::Semaphore::new(2).balance(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(permits: usize) -> Self {
        Self { free: Cell::new(permits), line: WaitList::new() }
    }

    /// Waits for a permit, which comes back when it is dropped.
    ///
    /// ```
    /// let semaphore = evy_sync::Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.balance(), 0);
    /// drop(permit);
    /// assert_eq!(semaphore.balance(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// While there is none.
    #[inline(always)]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_until(None).expect("there is no deadline")
    }

    /// [`acquire`](Self::acquire) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{Semaphore, TimedOut};
    ///
    /// let semaphore = Semaphore::new(0);
    /// assert_eq!(semaphore.acquire_timeout(Duration::from_millis(1)).unwrap_err(), TimedOut);
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Yields
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, TimedOut> {
        self.acquire_until(Some(timeout))
    }

    /// Takes a permit if there is one.
    ///
    /// ```
    /// use evy_sync::{Semaphore, WouldBlock};
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire()?;
    /// assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock);
    /// # drop(permit);
    /// # Ok::<(), WouldBlock>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if there is none.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn try_acquire(&self) -> Result<Permit<'_>, WouldBlock> {
        if self.take() { Ok(Permit { semaphore: self }) } else { Err(WouldBlock) }
    }

    /// Adds a permit: one that [`Permit::forget`] took away, or a new one.
    ///
    /// ```
    /// let semaphore = evy_sync::Semaphore::new(0);
    /// semaphore.release();
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.balance(), 0);
    /// ```
    ///
    /// # Panics
    ///
    /// When there would be more than `usize::MAX`.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn release(&self) {
        if !self.line.wake_one() {
            let free = self.free.get().checked_add(1).expect("so many permits cannot be counted");
            self.free.set(free);
        }
    }

    /// The permits that are free less the green threads that wait for one.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::Semaphore;
    ///
    /// let semaphore = Rc::new(Semaphore::new(0));
    /// evy_runtime::spawn_n({
    ///     let semaphore = Rc::clone(&semaphore);
    ///     move || semaphore.acquire().forget()
    /// });
    /// evy_runtime::yield_now();
    /// assert_eq!(semaphore.balance(), -1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn balance(&self) -> isize {
        count(self.free.get()) - count(self.line.len())
    }

    /// Whether there is no free permit: [`acquire`](Self::acquire) would park.
    ///
    /// ```
    /// assert!(evy_sync::Semaphore::new(0).locked());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn locked(&self) -> bool {
        self.free.get() == 0
    }

    #[inline(always)]
    fn take(&self) -> bool {
        let free = self.free.get();
        if free > 0 {
            self.free.set(free - 1);
        }
        free > 0
    }

    #[inline(always)]
    fn acquire_until(&self, timeout: Option<Duration>) -> Result<Permit<'_>, TimedOut> {
        if !self.take() {
            self.line.wait(PERMIT, timeout, || self.release())?;
        }
        Ok(Permit { semaphore: self })
    }
}

/// Counts that are too large for an `isize` do not matter here.
pub(crate) fn count(n: usize) -> isize {
    isize::try_from(n).unwrap_or(isize::MAX)
}

impl Default for Semaphore {
    /// One with a single permit.
    fn default() -> Self {
        Self::new(1)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("free", &self.free.get())
            .field("waiting", &self.line.len())
            .finish()
    }
}

/// A permit of a [`Semaphore`], which goes back when this is dropped.
///
/// ```
/// let semaphore = evy_sync::Semaphore::new(1);
/// let permit = semaphore.acquire();
/// assert!(semaphore.locked());
/// # drop(permit);
/// ```
#[must_use = "a permit that is not kept is released at once"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Takes the permit away from the semaphore; [`Semaphore::release`] gives it back.
    ///
    /// ```
    /// let semaphore = evy_sync::Semaphore::new(2);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.balance(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.semaphore.release();
    }
}
