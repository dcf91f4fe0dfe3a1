//! What the one that sends pings does with a session.

use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tungstenite::protocol::frame::Frame;

use super::{End, Session};

/// How it was when a ping was sent.
pub(in super::super) struct Ping {
    /// The socket had no room for it yet.
    is_behind: bool,
    heard: u64,
    taken: u64,
}

impl Session {
    /// Sends a ping, unless there is still something to be sent; `None` after a farewell.
    pub(in super::super) fn ping(self: &Rc<Self>) -> Option<Ping> {
        let mut state = self.state.borrow_mut();
        if !state.can_send() {
            return None;
        }
        if !state.wire.has_outgoing() {
            state.put(Frame::ping(Bytes::new()));
        }
        let end = state.wire.queued();
        drop(state);
        self.start_writer();
        let is_behind = self.state.borrow().sent < end;
        Some(Ping { is_behind, heard: self.heard.get(), taken: self.taken.get() })
    }

    /// Ends it if the peer has shown no sign of life since that ping.
    ///
    /// Where the ping was behind a message, the peer lives if it has taken some of that; if it has not, it
    /// holds up whoever sends, whatever comes from it, and whether or not somebody listens: an echo does
    /// not, while it sends. A ping that is on its way is answered; but nobody knows while nobody listens.
    pub(in super::super) fn end_if_silent(self: &Rc<Self>, ping: &Ping, time: Duration) {
        if ping.is_behind {
            if self.taken.get() == ping.taken {
                self.end(End::Silent("taken a byte", time));
            }
        } else if self.is_listening.get() && self.heard.get() == ping.heard {
            self.end(End::Silent("answered a ping", time));
        }
    }

    /// Has `waker` woken at the end; `false` if that was already.
    pub(in super::super) fn wake_at_end(&self, waker: &Waker) -> bool {
        let mut state = self.state.borrow_mut();
        if state.end.is_some() {
            return false;
        }
        if !state.pinger.as_ref().is_some_and(|old| old.will_wake(waker)) {
            state.pinger = Some(waker.clone());
        }
        true
    }
}
