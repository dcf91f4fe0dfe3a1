//! What is seen of a connection from outside, and how long it may go on so.
//!
//! The connection's future keeps a few counters ([`Pulse`]); it reads no clock and sets no timer. One green
//! thread a server looks at all of them now and then, and tells by what has changed whether a time is over
//! ([`Watched::look`], a pure function of what it sees and of the time).

use std::cell::{Cell, RefCell};
use std::mem;
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::look::Look;

/// What a connection's future leaves for those who look.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) bytes_read: Cell<u64>,
    pub(crate) bytes_written: Cell<u64>,
    /// Requests that are being answered: their handlers run, or their answers are on their way.
    pub(crate) busy: Cell<u32>,
    /// How many requests there were.
    pub(crate) requests: Cell<u64>,
    /// Bodies of requests that somebody has, and has not read to their ends: handlers, or who got them from
    /// those and may have them for longer than the answer takes.
    pub(crate) open_bodies: Cell<u32>,
    /// Those whose readers wait for more.
    pub(crate) awaiting_body: Cell<u32>,
    /// Somebody has waited for the body of the newest request.
    pub(crate) has_asked_for_body: Cell<bool>,
    /// Pieces of answers that are to be sent.
    pub(crate) unsent: Cell<u32>,
    /// The socket had no room for what was to be written.
    pub(crate) is_write_pending: Cell<bool>,
    /// What hyper does not say of heads.
    pub(crate) look: RefCell<Look>,
    /// The answer to the last request has begun.
    pub(crate) is_answered: Cell<bool>,
    /// The peer has ended its side.
    pub(crate) saw_end: Cell<bool>,
    /// Something was refused, or left unread: the peer may still be sending.
    pub(crate) is_unclean: Cell<bool>,
    /// It has become HTTP/2.
    pub(crate) is_http2: Cell<bool>,
    /// The handshake of TLS comes first.
    pub(crate) is_shaking: Cell<bool>,
    /// `bytes_read` when the last answer was through, or the last body.
    pub(crate) answered_at: Cell<u64>,
    /// Bytes of bodies of requests and of answers that have passed; counted in HTTP/2.
    pub(crate) of_bodies: Cell<(u64, u64)>,
}

/// Adds one for as long as it lives.
#[derive(Debug)]
pub(crate) struct Count<'a>(&'a Cell<u32>);

impl<'a> Count<'a> {
    pub(crate) fn new(counter: &'a Cell<u32>) -> Self {
        counter.set(counter.get() + 1);
        Self(counter)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Pulse {
    /// The head of a request is complete.
    pub(crate) fn begin_request(&self) {
        self.requests.set(self.requests.get() + 1);
        self.busy.set(self.busy.get() + 1);
        self.is_answered.set(false);
        self.has_asked_for_body.set(false);
    }

    /// Its answer was given to hyper, to the last byte, or will not be.
    pub(crate) fn end_request(&self) {
        self.busy.set(self.busy.get() - 1);
        self.answered_at.set(self.bytes_read.get());
    }

    /// Somebody has the body of a request.
    pub(crate) fn open_body(&self) {
        self.open_bodies.set(self.open_bodies.get() + 1);
    }

    /// Its end was read, or nobody has it any more. What came with it is no head.
    pub(crate) fn close_body(&self) {
        self.open_bodies.set(self.open_bodies.get() - 1);
        self.answered_at.set(self.bytes_read.get());
    }

    /// Some of a request is being read or answered: what comes may be more of its body.
    #[inline]
    pub(crate) fn is_in_a_request(&self) -> bool {
        self.busy.get() > 0 || self.open_bodies.get() > 0
    }

    /// Whether all that goes on is that somebody reads a body behind its answer.
    pub(crate) fn is_only_read(&self) -> bool {
        self.busy.get() == 0 && self.open_bodies.get() > 0
    }

    /// So much of a request's body has come.
    pub(crate) fn count_body(&self, bytes: usize) {
        let (read, written) = self.of_bodies.get();
        self.of_bodies.set((read + bytes as u64, written));
    }

    /// So much of an answer's body was taken.
    pub(crate) fn count_answer(&self, bytes: usize) {
        let (read, written) = self.of_bodies.get();
        self.of_bodies.set((read, written + bytes as u64));
    }

    /// A piece of an answer is there to be sent.
    pub(crate) fn add_unsent(&self) {
        self.unsent.set(self.unsent.get() + 1);
    }

    /// hyper has taken one, or nobody will.
    pub(crate) fn remove_unsent(&self) {
        self.unsent.set(self.unsent.get() - 1);
    }

    /// Some of a request has come, and its head is not complete.
    pub(crate) fn is_in_a_head(&self) -> bool {
        self.stage() == Stage::Head
    }

    fn stage(&self) -> Stage {
        if self.is_in_a_request() || self.is_write_pending.get() {
            Stage::Busy
        } else if self.is_shaking.get() || self.has_begun_a_head() {
            Stage::Head
        } else {
            Stage::Idle
        }
    }

    /// Bytes have come since the last answer, or behind its request. In HTTP/2 they may mean anything.
    fn has_begun_a_head(&self) -> bool {
        !self.is_http2.get()
            && (self.bytes_read.get() > self.answered_at.get()
                || self.look.borrow().has_part_of_a_head())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between an answer and the next request, or before the first.
    Idle,
    /// Some of a request has come, and its head is not complete.
    Head,
    /// A request is being read or answered; its body may be read behind its answer.
    Busy,
}

/// Which time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// No request for too long.
    Idle,
    /// A head for too long.
    Head,
    /// A body that comes too slowly.
    Body,
    /// A peer that takes its answer too slowly.
    Answer,
    /// The peer has reset the connection.
    Gone,
}

/// What who looks remembers of a connection between two looks.
#[derive(Debug)]
pub(crate) struct Watched {
    stage: Stage,
    requests: u64,
    since: Instant,
    last_look: Instant,
    was_awaiting_body: bool,
    was_sending: bool,
    /// Bytes that had passed by then, in and out.
    passed: (u64, u64),
    /// How long we have waited for the peer, since the last request began, less what it has made up for.
    waited: Duration,
}

impl Watched {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Idle,
            requests: 0,
            since: now,
            last_look: now,
            was_awaiting_body: false,
            was_sending: false,
            passed: (0, 0),
            waited: Duration::ZERO,
        }
    }

    /// Takes note of what is seen `now`, and says what is over by that.
    pub(crate) fn look(&mut self, pulse: &Pulse, limits: &Limits, now: Instant) -> Option<Over> {
        let (stage, requests) = (pulse.stage(), pulse.requests.get());
        // In HTTP/2, a request that begins says nothing of those that are waited for.
        let is_another = requests != self.requests && !pulse.is_http2.get();
        if stage != self.stage || is_another {
            self.stage = stage;
            self.since = now;
            self.waited = Duration::ZERO;
            (self.was_awaiting_body, self.was_sending) = (false, false);
        }
        self.requests = requests;
        let passed = now - mem::replace(&mut self.last_look, now);
        let lasted = now - self.since;
        match stage {
            Stage::Idle => (lasted >= limits.idle).then_some(Over::Idle),
            Stage::Head => (lasted >= limits.head).then_some(Over::Head),
            Stage::Busy => self.look_at_busy(pulse, limits, passed),
        }
    }

    /// Time counts only where it is the peer that is waited for, at this look and the one before. Bytes make
    /// up for time that has passed, and for none that is to come: the system alone takes megabytes of an
    /// answer at once, from which a client that reads nothing would live for hours.
    fn look_at_busy(&mut self, pulse: &Pulse, limits: &Limits, time: Duration) -> Option<Over> {
        let awaits_body = pulse.awaiting_body.get() > 0;
        let sends = pulse.unsent.get() > 0 || pulse.is_write_pending.get();
        let awaited_body = mem::replace(&mut self.was_awaiting_body, awaits_body);
        let sent = mem::replace(&mut self.was_sending, sends);
        let now = if pulse.is_http2.get() {
            // What else passes is no body, and no answer: pings, heads.
            pulse.of_bodies.get()
        } else {
            (pulse.bytes_read.get(), pulse.bytes_written.get())
        };
        let (read, written) = mem::replace(&mut self.passed, now);
        let (bytes, over) = match (awaited_body && awaits_body, sent && sends) {
            (true, _) => (now.0 - read, Over::Body),
            (false, true) => (now.1 - written, Over::Answer),
            (false, false) => return None,
        };
        // Where this look is late, it is we who were.
        let time = time.min(limits.between_looks() * 2);
        self.waited = (self.waited + time).saturating_sub(limits.worth(bytes));
        (self.waited >= limits.patience).then_some(over)
    }
}

#[cfg(test)]
mod tests;
