//! The wait on the operating system: one small interface, one driver a file.
//!
//! A driver registers descriptors, waits for their events, and can be woken from other threads. It
//! knows keys and readiness and nothing else. Linux uses [`epoll`]; every other system uses
//! [`portable`], which Linux takes too under `EVY_DRIVER=polling`, so that the same tests cover it.
//!
//! Registering and deregistering are allowed from any thread; waiting is the hub's alone.

#[cfg(target_os = "linux")]
mod epoll;
mod portable;

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::{Readiness, SourceKey};

#[cfg(target_os = "linux")]
use epoll::Epoll;
use portable::Portable;

/// How a descriptor is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Once, edge-triggered, both directions: a green socket.
    Edge,
    /// Armed for one event and for the directions waited for: a descriptor that somebody else owns.
    Oneshot,
}

/// The driver of one hub, chosen when the hub is made.
#[derive(Debug)]
pub(crate) enum Driver {
    #[cfg(target_os = "linux")]
    Epoll(Epoll),
    Portable(Portable),
}

impl Driver {
    /// The platform's driver, or the one that `EVY_DRIVER` names.
    pub(crate) fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if std::env::var_os("EVY_DRIVER").is_none_or(|name| name != "polling") {
            return Ok(Self::Epoll(Epoll::new()?));
        }
        Ok(Self::Portable(Portable::new()?))
    }

    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        vec![
            #[cfg(target_os = "linux")]
            Self::Epoll(Epoll::new().expect("an epoll driver")),
            Self::Portable(Portable::new().expect("a portable driver")),
        ]
    }

    /// An empty buffer for [`wait`](Self::wait).
    pub(crate) fn buffer(&self) -> Buffer {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(_) => Buffer::Epoll(epoll::Events::new()),
            Self::Portable(_) => Buffer::Portable(portable::events()),
        }
    }

    /// Registers `fd` under `key`. The caller keeps `fd` open until [`delete`](Self::delete).
    pub(crate) fn add(
        &self,
        fd: RawFd,
        key: SourceKey,
        interest: Readiness,
        mode: Mode,
    ) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.add(fd, key, interest, mode),
            Self::Portable(driver) => driver.add(fd, key, interest, mode),
        }
    }

    /// Changes a registration, and arms a one-shot one again.
    pub(crate) fn modify(
        &self,
        fd: RawFd,
        key: SourceKey,
        interest: Readiness,
        mode: Mode,
    ) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.modify(fd, key, interest, mode),
            Self::Portable(driver) => driver.modify(fd, key, interest, mode),
        }
    }

    /// Ends the registration of `fd`. An `fd` that is not registered is no error.
    pub(crate) fn delete(&self, fd: RawFd) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.delete(fd),
            Self::Portable(driver) => driver.delete(fd),
        }
    }

    /// Fills `buffer` with the events that are there, waiting for the first one up to `timeout`
    /// (`None`: for ever). A wake from another thread or a signal may end the wait with no event.
    pub(crate) fn wait(&self, buffer: &mut Buffer, timeout: Option<Duration>) -> io::Result<()> {
        match (self, buffer) {
            #[cfg(target_os = "linux")]
            (Self::Epoll(driver), Buffer::Epoll(events)) => driver.wait(events, timeout),
            (Self::Portable(driver), Buffer::Portable(events)) => driver.wait(events, timeout),
            #[cfg(target_os = "linux")]
            _ => unreachable!("a buffer is only used with the driver that made it"),
        }
    }

    /// Ends the hub's wait, or its next one.
    pub(crate) fn wake(&self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.wake(),
            Self::Portable(driver) => driver.wake(),
        }
    }
}

/// The events of one wait.
#[derive(Debug)]
pub(crate) enum Buffer {
    #[cfg(target_os = "linux")]
    Epoll(epoll::Events),
    Portable(polling::Events),
}

impl Buffer {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(events) => events.is_empty(),
            Self::Portable(events) => events.is_empty(),
        }
    }

    /// Hands each event to `each`, in the order in which the OS gave them.
    pub(crate) fn for_each(&self, mut each: impl FnMut(SourceKey, Readiness)) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(events) => events.for_each(each),
            Self::Portable(events) => {
                events.iter().for_each(|event| {
                    each(SourceKey::from_usize(event.key), portable::readiness(&event))
                });
            }
        }
    }
}
