//! The green thread that looks at the times of a server's connections.

use std::rc::Rc;
use std::time::Instant;

use evy_runtime::{Reason, sleep};

use crate::connection::{Connection, Order};
use crate::core::Core;

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
            let over = watched.look(connection.pulse(), &core.limits, now)?;
            Some((Rc::clone(connection), Order::Cut(over)))
        })
        .collect();
    for (connection, order) in over {
        connection.order(order);
    }
}
