//! The wait on the operating system: one small interface, one driver a file.
//!
//! A driver registers descriptors, waits for their events, and can be woken from other threads. It
//! knows keys and readiness and nothing else. Linux uses [`epoll`]; every other system uses
//! [`portable`], which Linux takes too under `EVY_DRIVER=polling`, so that the same tests cover it.
//!
//! Registering and deregistering are allowed from any thread; waiting is the hub's alone. In a process
//! that was forked since, a driver does nothing any more: see [`fork`](crate::fork).

#[cfg(target_os = "linux")]
mod epoll;
mod portable;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::fork::{self, Generation};
use crate::{Readiness, SourceKey};

#[cfg(target_os = "linux")]
use epoll::Epoll;
use portable::Portable;

/// The most events that a turn of the hub takes; more stay with the OS for the next one.
///
/// What a wait touches of each socket is touched again when it is read. With 1,024 that had left the caches
/// by then: see [`Hub::turn_at_most`](crate::Hub::turn_at_most).
///
/// ```
/// let mut hub = evy_hub::Hub::new()?;
/// hub.turn_at_most(evy_hub::BATCH, &mut |due| panic!("nobody waits: {due:?}"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub const BATCH: usize = 64;

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
pub(crate) struct Driver {
    /// Dropped only in the process that made it: the drop of polling's `Poller` takes its own descriptors
    /// out of the epoll instance, which the parent shares.
    system: ManuallyDrop<System>,
    made_in: Generation,
}

#[derive(Debug)]
enum System {
    #[cfg(target_os = "linux")]
    Epoll(Epoll),
    Portable(Portable),
}

impl Driver {
    /// The platform's driver, or the one that `EVY_DRIVER` names.
    pub(crate) fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if std::env::var_os("EVY_DRIVER").is_none_or(|name| name != "polling") {
            return Self::on(System::Epoll(Epoll::new()?));
        }
        Self::on(System::Portable(Portable::new()?))
    }

    fn on(system: System) -> io::Result<Self> {
        fork::COUNT.install()?;
        Ok(Self { system: ManuallyDrop::new(system), made_in: Generation::current() })
    }

    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let systems = [
            #[cfg(target_os = "linux")]
            System::Epoll(Epoll::new().expect("an epoll driver")),
            System::Portable(Portable::new().expect("a portable driver")),
        ];
        systems.into_iter().map(|system| Self::on(system).expect("memory")).collect()
    }

    /// Whether this process was forked since.
    #[inline]
    pub(crate) fn is_of_parent(&self) -> bool {
        self.made_in.is_over()
    }

    /// For what must not be done to a hub of the parent.
    fn own(&self) -> io::Result<&System> {
        if self.is_of_parent() {
            let text = "this hub is one of the process that this one was forked from";
            return Err(io::Error::other(text));
        }
        Ok(&self.system)
    }

    /// An empty buffer for [`wait`](Self::wait).
    pub(crate) fn buffer(&self) -> Buffer {
        match &*self.system {
            #[cfg(target_os = "linux")]
            System::Epoll(_) => Buffer::Epoll(epoll::Events::new()),
            System::Portable(_) => Buffer::Portable(portable::events()),
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
        match self.own()? {
            #[cfg(target_os = "linux")]
            System::Epoll(driver) => driver.add(fd, key, interest, mode),
            System::Portable(driver) => driver.add(fd, key, interest, mode),
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
        match self.own()? {
            #[cfg(target_os = "linux")]
            System::Epoll(driver) => driver.modify(fd, key, interest, mode),
            System::Portable(driver) => driver.modify(fd, key, interest, mode),
        }
    }

    /// Ends the registration of `fd`. An `fd` that is not registered is no error.
    pub(crate) fn delete(&self, fd: RawFd) {
        match self.own() {
            #[cfg(target_os = "linux")]
            Ok(System::Epoll(driver)) => driver.delete(fd),
            Ok(System::Portable(driver)) => driver.delete(fd),
            // The parent's registration stays.
            Err(_) => {}
        }
    }

    /// Fills `buffer` with the events that are there, waiting for the first one up to `timeout`
    /// (`None`: for ever). A wake from another thread or a signal may end the wait with no event. More
    /// than `most` events are left with the OS where the driver can do that, and more than [`BATCH`] always.
    pub(crate) fn wait(
        &self,
        buffer: &mut Buffer,
        most: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        match (self.own()?, buffer) {
            #[cfg(target_os = "linux")]
            (System::Epoll(driver), Buffer::Epoll(events)) => driver.wait(events, most, timeout),
            (System::Portable(driver), Buffer::Portable(events)) => driver.wait(events, timeout),
            #[cfg(target_os = "linux")]
            _ => unreachable!("a buffer is only used with the driver that made it"),
        }
    }

    /// Ends the hub's wait, or its next one.
    pub(crate) fn wake(&self) {
        match self.own() {
            #[cfg(target_os = "linux")]
            Ok(System::Epoll(driver)) => driver.wake(),
            Ok(System::Portable(driver)) => driver.wake(),
            Err(_) => {}
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.is_of_parent() {
            // SAFETY: nobody uses the driver after its drop.
            unsafe { ManuallyDrop::drop(&mut self.system) };
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
