//! polling for everything: kqueue and the rest, and Linux under `EVY_DRIVER=polling`.
//!
//! polling cannot say whether the peer has sent its end, so every readable event carries
//! [`Readiness::HANGUP`]: readers go on to `WouldBlock`.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};

use super::{BATCH, Mode};
use crate::{Readiness, SourceKey};

#[derive(Debug)]
pub(crate) struct Portable {
    poller: Poller,
}

impl Portable {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { poller: Poller::new()? })
    }

    pub(crate) fn add(
        &self,
        fd: RawFd,
        key: SourceKey,
        interest: Readiness,
        mode: Mode,
    ) -> io::Result<()> {
        // SAFETY: whoever registers a descriptor keeps it open until it is deleted (`Driver::add`).
        unsafe { self.poller.add_with_mode(fd, event(key, interest), poll_mode(mode)) }
    }

    pub(crate) fn modify(
        &self,
        fd: RawFd,
        key: SourceKey,
        interest: Readiness,
        mode: Mode,
    ) -> io::Result<()> {
        self.poller.modify_with_mode(borrow(fd), event(key, interest), poll_mode(mode))
    }

    pub(crate) fn delete(&self, fd: RawFd) {
        // An error says that the descriptor is not registered here: nothing to end.
        let _ = self.poller.delete(borrow(fd));
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        match self.poller.wait(events, timeout) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn wake(&self) {
        // It fails only when the poller is gone, and with it the wait that it would end.
        let _ = self.poller.notify();
    }
}

fn poll_mode(mode: Mode) -> PollMode {
    match mode {
        Mode::Edge => PollMode::Edge,
        Mode::Oneshot => PollMode::Oneshot,
    }
}

fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: whoever registers a descriptor keeps it open until it is deleted (`Driver::add`), and
    // the borrow ends with the call that it is made for.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn event(key: SourceKey, interest: Readiness) -> Event {
    let readable = interest.intersects(Readiness::READABLE);
    Event::new(key.to_usize(), readable, interest.intersects(Readiness::WRITABLE))
}

pub(crate) fn events() -> Events {
    Events::with_capacity(NonZeroUsize::new(BATCH).expect("it is not 0"))
}

pub(crate) fn readiness(event: &Event) -> Readiness {
    let mut readiness = Readiness::NONE;
    if event.readable {
        readiness.set(Readiness::READABLE | Readiness::HANGUP);
    }
    if event.writable {
        readiness.set(Readiness::WRITABLE);
    }
    if event.is_priority() {
        readiness.set(Readiness::READABLE | Readiness::URGENT);
    }
    readiness
}
