//! Sends what is large from a green thread of its own.
//!
//! A server that answers while it reads stops reading when it cannot write. So a client that writes more
//! than the sockets' buffers hold has to read meanwhile, or both wait for ever.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Write};
use std::rc::Rc;

use evy::GreenThread;
use evy::sync::Semaphore;

use crate::connection::Connection;
use crate::script::Script;

/// A green thread that writes as many bytes of the script as it was told to.
pub(crate) struct Pump {
    shared: Rc<Shared>,
    thread: GreenThread<()>,
}

struct Shared {
    /// Bytes that are still to be written.
    backlog: Cell<usize>,
    /// A permit for each time that the backlog grew.
    grown: Semaphore,
    /// Why it has ended, if it has.
    failure: RefCell<Option<io::Error>>,
}

impl Pump {
    pub(crate) fn start(connection: Rc<Connection>, script: Script) -> Self {
        let shared = Rc::new(Shared {
            backlog: Cell::new(0),
            grown: Semaphore::new(0),
            failure: RefCell::new(None),
        });
        let of_thread = Rc::clone(&shared);
        let thread = evy::spawn(move || {
            let failure = of_thread.write(&connection, script);
            let is_gone = is_gone(&failure);
            of_thread.failure.replace(Some(failure));
            if !is_gone {
                // The reader learns of it now, and not by its timeout.
                connection.close();
            }
        });
        Self { shared, thread }
    }

    /// So many bytes more.
    pub(crate) fn send(&self, bytes: usize) {
        self.shared.backlog.set(self.shared.backlog.get() + bytes);
        self.shared.grown.release();
    }

    /// What it has failed by.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.shared.failure.take()
    }
}

/// Whether the server has ended the connection. A read finds that, too, behind what came before.
pub(crate) fn is_gone(failure: &io::Error) -> bool {
    matches!(failure.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.thread.kill();
    }
}

impl Shared {
    /// Writes until that fails.
    fn write(&self, mut connection: &Connection, mut script: Script) -> io::Error {
        loop {
            self.grown.acquire().forget();
            while self.backlog.get() > 0 {
                let bytes = script.next(self.backlog.get());
                if let Err(error) = connection.write_all(bytes) {
                    return error;
                }
                self.backlog.set(self.backlog.get() - bytes.len());
            }
        }
    }
}
