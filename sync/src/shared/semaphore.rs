//! Permits, of which there is a number, for whichever OS threads.

use std::fmt;
use std::mem;
use std::sync::Mutex;
use std::time::Duration;

use evy_runtime::{Reason, TimedOut};

use super::line::{Line, Waiter, deadline, lock};
use crate::WouldBlock;

const PERMIT: Reason = Reason::new(&"a permit of a shared Semaphore");

/// Permits that green threads and OS threads acquire and release: so many at a time, and no more.
///
/// Who waits is served in the order of the calls, and directly: who releases a permit and acquires one
/// at once goes behind those who wait. A permit that was handed to a green thread that is killed before
/// it goes on passes to the next.
///
/// ```
/// use evy_sync::shared::Semaphore;
///
/// static CONNECTIONS: Semaphore = Semaphore::new(2);
///
/// let hubs = [(); 3].map(|()| {
///     std::thread::spawn(|| {
///         let workers = [(); 10].map(|()| {
///             evy_runtime::spawn(|| {
///                 let _permit = CONNECTIONS.acquire();
///                 evy_runtime::yield_now(); // at most two of all are here at once
///             })
///         });
///         evy_runtime::join_all(workers).len()
///     })
/// });
/// assert_eq!(hubs.map(|hub| hub.join().unwrap()), [10; 3]);
/// assert_eq!(CONNECTIONS.balance(), 2);
/// ```
pub struct Semaphore {
    state: Mutex<State>,
}

struct State {
    /// Permits that are free. While anybody waits there are none.
    free: usize,
    line: Line<()>,
}

impl Semaphore {
    /// One with `permits` permits.
    ///
    /// ```
    /// assert_eq!(evy_sync::shared::Semaphore::new(2).balance(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(permits: usize) -> Self {
        Self { state: Mutex::new(State { free: permits, line: Line::new() }) }
    }

    /// Waits for a permit, which comes back when it is dropped.
    ///
    /// ```
    /// let semaphore = evy_sync::shared::Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.balance(), 0);
    /// drop(permit);
    /// assert_eq!(semaphore.balance(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// While there is none. An OS thread without a hub blocks instead.
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_until(None).expect("there is no deadline")
    }

    /// [`acquire`](Self::acquire) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::TimedOut;
    /// use evy_sync::shared::Semaphore;
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
    /// use evy_sync::WouldBlock;
    /// use evy_sync::shared::Semaphore;
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
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, WouldBlock> {
        if lock(&self.state).take() { Ok(Permit { semaphore: self }) } else { Err(WouldBlock) }
    }

    /// Adds a permit: one that [`Permit::forget`] took away, or a new one.
    ///
    /// ```
    /// let semaphore = evy_sync::shared::Semaphore::new(0);
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
    #[inline]
    pub fn release(&self) {
        let mut state = lock(&self.state);
        if let Ok(waiter) = state.line.serve(()) {
            drop(state);
            waiter.unpark_once();
        } else {
            let more = state.free.checked_add(1);
            state.free = more.expect("so many permits cannot be counted");
        }
    }

    /// The permits that are free less those who wait for one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use evy_sync::shared::Semaphore;
    ///
    /// let semaphore = Arc::new(Semaphore::new(0));
    /// evy_runtime::spawn_n({
    ///     let semaphore = Arc::clone(&semaphore);
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
        let state = lock(&self.state);
        count(state.free) - count(state.line.len())
    }

    /// Whether there is no free permit: [`acquire`](Self::acquire) would wait.
    ///
    /// ```
    /// assert!(evy_sync::shared::Semaphore::new(0).locked());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn locked(&self) -> bool {
        lock(&self.state).free == 0
    }

    #[inline]
    fn acquire_until(&self, timeout: Option<Duration>) -> Result<Permit<'_>, TimedOut> {
        let mut state = lock(&self.state);
        if !state.take() {
            let waiter = state.line.join(None);
            drop(state);
            self.wait_in_line(waiter, timeout)?;
        }
        Ok(Permit { semaphore: self })
    }

    fn wait_in_line(&self, waiter: Waiter<()>, timeout: Option<Duration>) -> Result<(), TimedOut> {
        let mut waiting = Waiting { semaphore: self, waiter, is_over: false };
        let ended = waiting.waiter.park(PERMIT, timeout.and_then(deadline));
        waiting.is_over = true;
        // One that is handed over just after the time was over counts.
        if ended.is_ok() || waiting.leave() { Ok(()) } else { Err(TimedOut) }
    }
}

impl State {
    fn take(&mut self) -> bool {
        let is_free = self.free > 0;
        self.free -= usize::from(is_free);
        is_free
    }
}

/// Counts that are too large for an `isize` do not matter here.
fn count(n: usize) -> isize {
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
        let state = lock(&self.state);
        f.debug_struct("Semaphore")
            .field("free", &state.free)
            .field("waiting", &state.line.len())
            .finish()
    }
}

/// A permit of a [`Semaphore`], which goes back when this is dropped, on whichever OS thread.
///
/// ```
/// let semaphore = evy_sync::shared::Semaphore::new(1);
/// let permit = semaphore.acquire();
/// std::thread::scope(|scope| scope.spawn(|| drop(permit)).join().unwrap());
/// assert!(!semaphore.locked());
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
    /// let semaphore = evy_sync::shared::Semaphore::new(2);
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
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

/// A place in the line, which owes somebody the permit that it was handed.
struct Waiting<'a> {
    semaphore: &'a Semaphore,
    waiter: Waiter<()>,
    is_over: bool,
}

impl Waiting<'_> {
    /// Whether it was handed a permit.
    fn leave(&self) -> bool {
        lock(&self.semaphore.state).line.leave(&self.waiter);
        self.waiter.value().is_some()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.leave() {
            self.semaphore.release();
        }
    }
}
