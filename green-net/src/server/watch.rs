//! Ending connections that are quiet for too long, or too old.
//!
//! No operation on a connection reads the clock or sets a timer. A stream leaves a mark at each read and
//! write that passes something; one green thread a server takes the marks off, a few times within the
//! time that a connection may be quiet, and counts the looks at which there was none. With no clients it
//! parks.
//!
//! Looks are counted, and not time, because the hub may have been held up, by a handler that computes, or
//! by a busy machine: what has arrived meanwhile is read before the next look.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::{Reason, kill, sleep};

use super::connection::{FOR_TIMES, Order};
use super::core::{Client, Core};
use super::times::Times;

/// How often it looks within the time that a connection may be quiet.
const LOOKS: u32 = 4;

/// Looks are no closer together.
const SHORTEST: Duration = Duration::from_millis(1);

const CLIENT: Reason = Reason::new(&"clients whose times are to be looked at");

impl Times {
    fn is_too_quiet(&self, client: &mut Client) -> bool {
        if self.idle.is_none() {
            return false;
        }
        client.quiet_looks =
            if client.connection.take_fresh(FOR_TIMES) { 0 } else { client.quiet_looks + 1 };
        client.quiet_looks >= LOOKS
    }

    fn is_too_old(&self, client: &Client, now: Instant) -> bool {
        self.total.is_some_and(|total| now.duration_since(client.since) >= total)
    }
}

impl Core {
    /// Has the clients' times looked at from now on, if there are any.
    pub(super) fn watch_times(self: &Rc<Self>) -> io::Result<()> {
        if self.times.are_set() {
            let core = Rc::clone(self);
            self.set_watcher(self.builder().spawn(move || core.watch())?);
        }
        Ok(())
    }

    /// Ends connections whose time is over, until there are no clients and will be none.
    fn watch(&self) {
        while self.wait_for_clients(CLIENT) {
            sleep(self.until_next_look());
            self.end_what_is_over();
        }
    }

    fn until_next_look(&self) -> Duration {
        let quiet = self.times.idle.map(|idle| idle / LOOKS);
        let old = self.times.total.zip(self.oldest_since()).map(|(total, since)| {
            // One that lives on though its time is over is looked at again as often as a new one.
            let left = total.saturating_sub(since.elapsed());
            if left.is_zero() { total } else { left }
        });
        let next = quiet.into_iter().chain(old).min();
        next.unwrap_or(Duration::MAX).max(SHORTEST)
    }

    fn end_what_is_over(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        self.for_each_client(|client| {
            let is_too_old = self.times.is_too_old(client, now);
            if is_too_old || self.times.is_too_quiet(client) {
                over.push((Arc::clone(&client.connection), is_too_old.then_some(client.handler)));
            }
        });
        for (connection, old_handler) in over {
            if connection.is_in_use() && connection.ordered() < Order::TimedOut {
                self.ledger.timed_out();
                connection.order(Order::TimedOut);
            }
            if let Some(handler) = old_handler {
                kill(handler);
            }
        }
    }
}
