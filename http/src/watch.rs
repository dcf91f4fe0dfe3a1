//! The green thread that looks at the times of a server's connections.

use std::rc::Rc;
use std::time::Instant;

use evy_runtime::{Reason, sleep};

use crate::connection::{Connection, Order};
use crate::core::Core;
use crate::pulse::Over;

const CONNECTIONS: Reason = Reason::new(&"HTTP connections whose times are to be looked at");

/// Looks at all connections, again and again; while there are none it parks.
pub(crate) fn watch(core: &Core) {
    loop {
        while core.connections.borrow().len() == 0 {
            core.arrivals.wait(CONNECTIONS, None, || ()).expect("there is no deadline");
        }
        sleep(core.limits.between_looks());
        look(core, Instant::now());
    }
}

fn look(core: &Core, now: Instant) {
    let over: Vec<(Rc<Connection>, Order)> = core
        .connections
        .borrow()
        .iter()
        .filter_map(|connection| {
            let mut watched = connection.watched.borrow_mut();
            let over = watched.look(connection.pulse(), &core.limits, now);
            // hyper does not read while a handler of HTTP/1 is at work, or who has its body, and would not
            // notice.
            let pulse = connection.pulse();
            let is_asked = pulse.is_in_a_request() && !pulse.is_http2.get();
            let gone = || (is_asked && connection.is_reset()).then_some(Over::Gone);
            Some((Rc::clone(connection), Order::Cut(over.or_else(gone)?)))
        })
        .collect();
    for (connection, order) in over {
        connection.order(order);
    }
}
