//! A semaphore in which both sides wait.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use evy_runtime::{HandOver, Reason, TimedOut, Untaken, WaitList};

use crate::WouldBlock;
use crate::semaphore::count;

const PERMIT: Reason = Reason::new(&"a permit of a CappedSemaphore");
const ROOM: Reason = Reason::new(&"room for a permit in a CappedSemaphore");

/// Permits of which at most so many can be free: to release one more waits until one is acquired.
///
/// With limit 0 each release meets an acquire. Who waits, on either side, is served in the order of the
/// calls; a permit that was handed to somebody who is killed before it goes on passes to the next, and
/// one that waits to release takes its permit back when it is killed or times out.
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::CappedSemaphore;
///
/// let semaphore = Rc::new(CappedSemaphore::new(0, 0));
/// let releaser = evy_runtime::spawn({
///     let semaphore = Rc::clone(&semaphore);
///     move || semaphore.release()
/// });
/// evy_runtime::yield_now();
/// assert!(!releaser.is_finished());
/// semaphore.acquire();
/// releaser.wait().unwrap();
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let semaphore = evy_sync::CappedSemaphore::new(1, 1);
/// std::thread::spawn(move || semaphore.release());
/// ```
pub struct CappedSemaphore {
    /// Permits that are free. While anybody waits to acquire there are none.
    free: Cell<usize>,
    limit: usize,
    acquiring: WaitList,
    /// While anybody waits to release, `free >= limit`.
    releasing: HandOver<()>,
}

impl CappedSemaphore {
    /// One with `permits` permits now, and at most `limit`.
    ///
    /// ```
    /// let semaphore = evy_sync::CappedSemaphore::new(2, 3);
    /// semaphore.release();
    /// assert!(semaphore.bounded());
    /// ```
    ///
    /// # Panics
    ///
    /// When `permits` is more than `limit`.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub const fn new(permits: usize, limit: usize) -> Self {
        assert!(
            permits <= limit,
            "a CappedSemaphore cannot start with more permits than its limit"
        );
        Self {
            free: Cell::new(permits),
            limit,
            acquiring: WaitList::new(),
            releasing: HandOver::new(),
        }
    }

    /// Waits for a permit.
    ///
    /// ```
    /// let semaphore = evy_sync::CappedSemaphore::new(1, 1);
    /// semaphore.acquire();
    /// assert!(semaphore.locked());
    /// ```
    ///
    /// # Yields
    ///
    /// While there is none.
    #[inline(always)]
    pub fn acquire(&self) {
        self.acquire_until(None).expect("there is no deadline");
    }

    /// [`acquire`](Self::acquire) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{CappedSemaphore, TimedOut};
    ///
    /// let semaphore = CappedSemaphore::new(0, 1);
    /// assert_eq!(semaphore.acquire_timeout(Duration::from_millis(1)), Err(TimedOut));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Yields
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<(), TimedOut> {
        self.acquire_until(Some(timeout))
    }

    /// Takes a permit if there is one, or if somebody waits to release one.
    ///
    /// ```
    /// use evy_sync::{CappedSemaphore, WouldBlock};
    ///
    /// assert_eq!(CappedSemaphore::new(0, 1).try_acquire(), Err(WouldBlock));
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
    pub fn try_acquire(&self) -> Result<(), WouldBlock> {
        let free = self.free.get();
        if free > self.limit || free > 0 && self.releasing.take().is_none() {
            self.free.set(free - 1);
        } else if free == 0 && self.releasing.take().is_none() {
            return Err(WouldBlock);
        }
        Ok(())
    }

    /// Gives a permit, and waits until there is room for it.
    ///
    /// ```
    /// let semaphore = evy_sync::CappedSemaphore::new(0, 1);
    /// semaphore.release();
    /// assert_eq!(semaphore.try_acquire(), Ok(()));
    /// ```
    ///
    /// # Yields
    ///
    /// While as many permits are free as the limit allows.
    #[inline(always)]
    pub fn release(&self) {
        self.release_until(None).expect("there is no deadline");
    }

    /// [`release`](Self::release) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{CappedSemaphore, TimedOut};
    ///
    /// let semaphore = CappedSemaphore::new(1, 1);
    /// assert_eq!(semaphore.release_timeout(Duration::from_millis(1)), Err(TimedOut));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`]; the permit was not given.
    ///
    /// # Yields
    ///
    /// As [`release`](Self::release).
    pub fn release_timeout(&self, timeout: Duration) -> Result<(), TimedOut> {
        self.release_until(Some(timeout))
    }

    /// Gives a permit if there is room for it, or if somebody waits for one.
    ///
    /// ```
    /// use evy_sync::{CappedSemaphore, WouldBlock};
    ///
    /// assert_eq!(CappedSemaphore::new(0, 0).try_release(), Err(WouldBlock));
    /// ```
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if there is none; the permit was not given.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn try_release(&self) -> Result<(), WouldBlock> {
        if self.acquiring.wake_one() {
            return Ok(());
        }
        let free = self.free.get();
        if free >= self.limit {
            return Err(WouldBlock);
        }
        self.free.set(free + 1);
        Ok(())
    }

    /// What is on the side of those who acquire less what is on the side of those who release: free
    /// permits and waiting releasers count up, room and waiting acquirers count down.
    ///
    /// ```
    /// let semaphore = evy_sync::CappedSemaphore::new(3, 3);
    /// assert_eq!(semaphore.balance(), 3);
    /// (0..3).for_each(|_| semaphore.acquire());
    /// assert_eq!(semaphore.balance(), -3);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn balance(&self) -> isize {
        let room = self.limit.saturating_sub(self.free.get());
        let up = count(self.free.get()).saturating_add(count(self.releasing.len()));
        up - count(room).saturating_add(count(self.acquiring.len()))
    }

    /// Whether there is no free permit.
    ///
    /// ```
    /// assert!(evy_sync::CappedSemaphore::new(0, 1).locked());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn locked(&self) -> bool {
        self.free.get() == 0
    }

    /// Whether there is no room for another permit.
    ///
    /// ```
    /// assert!(evy_sync::CappedSemaphore::new(1, 1).bounded());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn bounded(&self) -> bool {
        self.free.get() >= self.limit
    }

    #[inline(always)]
    fn acquire_until(&self, timeout: Option<Duration>) -> Result<(), TimedOut> {
        match self.try_acquire() {
            Ok(()) => Ok(()),
            Err(WouldBlock) => self.acquiring.wait(PERMIT, timeout, || self.pass_on()),
        }
    }

    #[inline(always)]
    fn release_until(&self, timeout: Option<Duration>) -> Result<(), TimedOut> {
        match self.try_release() {
            Ok(()) => Ok(()),
            Err(WouldBlock) => self.releasing.offer((), ROOM, timeout).map_err(|untaken| {
                debug_assert_eq!(untaken, Untaken::TimedOut(()), "nobody is refused");
                TimedOut
            }),
        }
    }

    /// A permit was handed to somebody who does not go on. It is there, whatever the limit.
    #[cold]
    fn pass_on(&self) {
        if !self.acquiring.wake_one() {
            self.free.set(self.free.get() + 1);
        }
    }
}

impl fmt::Debug for CappedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CappedSemaphore")
            .field("free", &self.free.get())
            .field("limit", &self.limit)
            .field("acquiring", &self.acquiring.len())
            .field("releasing", &self.releasing.len())
            .finish()
    }
}
