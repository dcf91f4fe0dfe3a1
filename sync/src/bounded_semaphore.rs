//! A semaphore that notices when more is released than was acquired.

use std::error::Error;
use std::fmt;
use std::mem;
use std::time::Duration;

use evy_runtime::TimedOut;

use crate::WouldBlock;
use crate::semaphore::{Permit, Semaphore, count};

/// A [`Semaphore`] that never has more permits than at the start: to release too many is an error.
///
/// ```
/// use evy_sync::{BoundedSemaphore, TooManyReleases};
///
/// let semaphore = BoundedSemaphore::new(1);
/// semaphore.acquire().forget();
/// assert_eq!(semaphore.release(), Ok(()));
/// assert_eq!(semaphore.release(), Err(TooManyReleases));
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let semaphore = evy_sync::BoundedSemaphore::new(1);
/// std::thread::spawn(move || semaphore.release());
/// ```
#[derive(Debug)]
pub struct BoundedSemaphore {
    semaphore: Semaphore,
    bound: usize,
}

impl BoundedSemaphore {
    /// One with `permits` permits, now and at most.
    ///
    /// ```
    /// assert_eq!(evy_sync::BoundedSemaphore::new(2).balance(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(permits: usize) -> Self {
        Self { semaphore: Semaphore::new(permits), bound: permits }
    }

    /// Waits for a permit, which comes back when it is dropped.
    ///
    /// ```
    /// let semaphore = evy_sync::BoundedSemaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert!(semaphore.locked());
    /// # drop(permit);
    /// ```
    ///
    /// # Yields
    ///
    /// While there is none.
    #[inline(always)]
    pub fn acquire(&self) -> BoundedPermit<'_> {
        BoundedPermit::new(self, self.semaphore.acquire())
    }

    /// [`acquire`](Self::acquire) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{BoundedSemaphore, TimedOut};
    ///
    /// let semaphore = BoundedSemaphore::new(0);
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
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<BoundedPermit<'_>, TimedOut> {
        self.semaphore.acquire_timeout(timeout).map(|permit| BoundedPermit::new(self, permit))
    }

    /// Takes a permit if there is one.
    ///
    /// ```
    /// use evy_sync::{BoundedSemaphore, WouldBlock};
    ///
    /// assert_eq!(BoundedSemaphore::new(0).try_acquire().unwrap_err(), WouldBlock);
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
    pub fn try_acquire(&self) -> Result<BoundedPermit<'_>, WouldBlock> {
        self.semaphore.try_acquire().map(|permit| BoundedPermit::new(self, permit))
    }

    /// Gives back a permit that [`BoundedPermit::forget`] took away.
    ///
    /// ```
    /// let semaphore = evy_sync::BoundedSemaphore::new(1);
    /// assert!(semaphore.release().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`TooManyReleases`] if all permits are there.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn release(&self) -> Result<(), TooManyReleases> {
        if self.balance() >= count(self.bound) {
            return Err(TooManyReleases);
        }
        self.semaphore.release();
        Ok(())
    }

    /// The permits that are free less the green threads that wait for one.
    ///
    /// ```
    /// assert_eq!(evy_sync::BoundedSemaphore::new(2).balance(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn balance(&self) -> isize {
        self.semaphore.balance()
    }

    /// Whether there is no free permit: [`acquire`](Self::acquire) would park.
    ///
    /// ```
    /// assert!(!evy_sync::BoundedSemaphore::new(1).locked());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn locked(&self) -> bool {
        self.semaphore.locked()
    }
}

impl Default for BoundedSemaphore {
    /// One with a single permit.
    fn default() -> Self {
        Self::new(1)
    }
}

/// A permit of a [`BoundedSemaphore`], which goes back when this is dropped; without effect if too many
/// were [released](BoundedSemaphore::release) meanwhile.
///
/// ```
/// let semaphore = evy_sync::BoundedSemaphore::new(1);
/// let permit = semaphore.acquire();
/// semaphore.release().unwrap();
/// drop(permit);
/// assert_eq!(semaphore.balance(), 1);
/// ```
#[must_use = "a permit that is not kept is released at once"]
#[derive(Debug)]
pub struct BoundedPermit<'a> {
    semaphore: &'a BoundedSemaphore,
}

impl<'a> BoundedPermit<'a> {
    #[inline(always)]
    fn new(semaphore: &'a BoundedSemaphore, permit: Permit<'_>) -> Self {
        permit.forget();
        Self { semaphore }
    }

    /// Takes the permit away from the semaphore; [`BoundedSemaphore::release`] gives it back.
    ///
    /// ```
    /// let semaphore = evy_sync::BoundedSemaphore::new(2);
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

impl Drop for BoundedPermit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // The one who released too many was told.
        let _ = self.semaphore.release();
    }
}

/// A [`BoundedSemaphore`] has all its permits already.
///
/// ```
/// use evy_sync::{BoundedSemaphore, TooManyReleases};
///
/// assert_eq!(BoundedSemaphore::new(1).release(), Err(TooManyReleases));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyReleases;

impl fmt::Display for TooManyReleases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more permits were released than acquired")
    }
}

impl Error for TooManyReleases {}
