//! Ends connections on which no answer comes.
//!
//! One green thread looks after all of them. A timeout of each read would be a timer that is set and
//! taken back for each request, which is a good part of all that a request costs here.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// Between two looks, at least; by so much a connection may be ended late.
const SHORTEST: Duration = Duration::from_millis(1);
/// The same as a part of the timeout.
const PART: u32 = 100;

/// What a client lets others know.
pub(crate) struct Waiting {
    /// Requests in flight.
    in_flight: Cell<usize>,
    /// When the last byte came, or the first request was sent that is in flight.
    progress: Cell<Instant>,
    /// Its connection has been ended, because no answer came.
    given_up: Cell<bool>,
    /// The one on which it waits.
    connection: RefCell<Option<Rc<Connection>>>,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: Cell::new(0),
            progress: Cell::new(Instant::now()),
            given_up: Cell::new(false),
            connection: RefCell::new(None),
        }
    }

    pub(crate) fn begin(&self, connection: Rc<Connection>) {
        self.given_up.set(false);
        self.connection.replace(Some(connection));
    }

    pub(crate) fn end(&self) {
        self.in_flight.set(0);
        let connection = self.connection.take();
        // Its end may park: not while it is borrowed.
        drop(connection);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Notes that so many requests are in flight, of which one was sent or some bytes have come `now`.
    pub(crate) fn progress(&self, in_flight: usize, now: Instant) {
        self.in_flight.set(in_flight);
        self.progress.set(now);
    }

    /// Notes that so many are in flight now, while the first of them was sent before.
    pub(crate) fn add(&self, in_flight: usize) {
        self.in_flight.set(in_flight);
    }

    /// Whether the connection was ended because no answer came.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    /// Ends the connection if it has been waited on for so long, or says when that will be.
    fn look(&self, now: Instant, timeout: Duration) -> Option<Instant> {
        if self.in_flight.get() == 0 || self.given_up.get() {
            return None;
        }
        let end = self.progress.get() + timeout;
        if end > now {
            return Some(end);
        }
        self.given_up.set(true);
        let connection = self.connection.borrow().clone();
        if let Some(connection) = connection {
            connection.close();
        }
        None
    }
}

/// Watches over all clients until killed.
pub(crate) fn watch(all: &[Rc<Waiting>], timeout: Duration) {
    let shortest = (timeout / PART).max(SHORTEST);
    loop {
        let now = Instant::now();
        let next = all.iter().filter_map(|waiting| waiting.look(now, timeout)).min();
        // Who begins to wait after this look has still the whole timeout.
        let pause = next.map_or(timeout, |next| next.saturating_duration_since(now));
        evy::sleep(pause.max(shortest));
    }
}
