//! What other sessions tell this one by `NOTIFY`.

use std::fmt;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use evy_runtime::{Alarm, yield_now};
use tokio_postgres::{Error, Notification};

use super::link::Link;

/// The notifications of a session: those that are there, and those to come.
///
/// They are read in the background, and kept until they are taken here, however many they are: a session
/// that listens has to look, or say `UNLISTEN`.
///
/// Where the original's are `FallibleIterator`s, these are [`Iterator`]s of results. All end with the
/// connection, after the error that has ended it, if there was one.
pub struct Notifications<'a> {
    link: &'a Link,
}

impl<'a> Notifications<'a> {
    pub(super) fn new(link: &'a Link) -> Self {
        Self { link }
    }

    /// How many are there.
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn len(&self) -> usize {
        self.link.pending_notifications()
    }

    /// Whether none is there.
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are there.
    ///
    /// # Yields
    ///
    /// The iterator yields once when it has none left, but does not wait.
    pub fn iter(&mut self) -> Iter<'_> {
        Iter { link: self.link }
    }

    /// Those that are there, and all to come.
    ///
    /// # Yields
    ///
    /// The iterator waits for the next one.
    pub fn blocking_iter(&mut self) -> BlockingIter<'_> {
        BlockingIter { link: self.link }
    }

    /// Those that are there, and those to come, until for so long there was none.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use std::time::Duration;
    ///
    /// for notification in client.notifications().timeout_iter(Duration::from_secs(5)) {
    ///     println!("{}", notification?.payload());
    /// }
    /// println!("five seconds without one");
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// The iterator waits for the next one.
    pub fn timeout_iter(&mut self, timeout: Duration) -> TimeoutIter<'_> {
        TimeoutIter { link: self.link, alarm: Alarm::after(timeout), timeout }
    }
}

impl fmt::Debug for Notifications<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("len", &self.len()).finish()
    }
}

/// The notifications that are there.
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iter<'a> {
    link: &'a Link,
}

impl Iterator for Iter<'_> {
    type Item = Result<Notification, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.link.pending_notifications() == 0 {
            yield_now();
        }
        self.link.next_notification().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.link.pending_notifications(), None)
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

/// All notifications, those to come included.
#[must_use = "an iterator does nothing until it is asked"]
pub struct BlockingIter<'a> {
    link: &'a Link,
}

impl Iterator for BlockingIter<'_> {
    type Item = Result<Notification, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.link.listen(|_| self.link.poll_notification())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.link.pending_notifications(), None)
    }
}

impl fmt::Debug for BlockingIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingIter").finish_non_exhaustive()
    }
}

/// Notifications until there was none for a time.
#[must_use = "an iterator does nothing until it is asked"]
pub struct TimeoutIter<'a> {
    link: &'a Link,
    alarm: Alarm,
    timeout: Duration,
}

impl Iterator for TimeoutIter<'_> {
    type Item = Result<Notification, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let alarm = &mut self.alarm;
        let next = self.link.listen(|context| match self.link.poll_notification() {
            Poll::Pending => Pin::new(&mut *alarm).poll(context).map(|()| None),
            next => next,
        });
        if matches!(next, Some(Ok(_))) {
            self.restart();
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.link.pending_notifications(), None)
    }
}

impl TimeoutIter<'_> {
    fn restart(&mut self) {
        match Instant::now().checked_add(self.timeout) {
            Some(deadline) => self.alarm.reset(deadline),
            None => self.alarm = Alarm::after(self.timeout),
        }
    }
}

impl fmt::Debug for TimeoutIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutIter").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
