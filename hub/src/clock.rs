//! The one place that reads the clock.
//!
//! The hub counts nanoseconds since it was made, monotonic, in a `u64` (584 years). A simulation
//! replaces this file's `read`.

use std::time::{Duration, Instant};

/// A hub's clock: nanoseconds since the hub was made.
///
/// ```
/// let clock: evy_hub::Clock = evy_hub::Hub::new()?.clock();
/// let start = clock.read();
/// assert!(clock.read() >= start);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// Reads the clock.
    ///
    /// ```
    /// let clock = evy_hub::Hub::new()?.clock();
    /// let start = clock.read();
    /// std::thread::sleep(std::time::Duration::from_millis(1));
    /// assert!(clock.read() - start >= 1_000_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn read(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    /// Reads the clock and returns that time as the rest of the program knows it.
    ///
    /// ```
    /// let clock = evy_hub::Hub::new()?.clock();
    /// let reading = clock.read();
    /// assert!(clock.at(clock.instant()) >= reading);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn instant(&self) -> Instant {
        self.origin + Duration::from_nanos(self.read())
    }

    /// What the clock reads at `instant`; 0 if that is before the hub was made.
    ///
    /// ```
    /// let before = std::time::Instant::now();
    /// let clock = evy_hub::Hub::new()?.clock();
    /// assert_eq!(clock.at(before), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn at(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.origin))
    }

    /// What the clock reads `timeout` from now; `None` is "never", for timeouts that overflow.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let clock = evy_hub::Hub::new()?.clock();
    /// assert!(clock.after(Duration::from_secs(1)) >= Some(1_000_000_000));
    /// assert_eq!(clock.after(Duration::MAX), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn after(&self, timeout: Duration) -> Option<u64> {
        let timeout = u64::try_from(timeout.as_nanos()).ok()?;
        self.read().checked_add(timeout).filter(|deadline| *deadline < u64::MAX)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
