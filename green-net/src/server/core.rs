//! What is known of a server that runs, whatever it listens on and whatever its handler is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use evy_runtime::{Builder, GreenThread, GreenThreadId, Reason, WaitList, current, kill};

use super::connection::{Connection, Handle, Handled, Order};
use super::ledger::Ledger;
use super::limit::ClientLimit;
use super::stopping::Stopping;
use super::times::Times;

const END: Reason = Reason::new(&"the end of serving");

/// The state of one server. It stays on its hub; what comes from elsewhere goes through the ledger.
pub(super) struct Core {
    pub(super) ledger: Arc<Ledger>,
    pub(super) times: Times,
    /// Where the user has made the server: reports name it as the place where handlers are spawned.
    location: &'static Location<'static>,
    next_number: Cell<u64>,
    /// Those that are served, by number, which is the order in which they came.
    clients: RefCell<BTreeMap<u64, Client>>,
    /// Where the watcher waits for clients.
    arrivals: WaitList,
    /// The one that looks at times.
    watcher: Cell<Option<GreenThread<()>>>,
    /// Open listeners, each with its accept loop.
    accepting: RefCell<Vec<Rc<dyn Accepting>>>,
    /// No connection is accepted any more.
    is_closed: Cell<bool>,
    outcome: RefCell<Outcome>,
    ended: WaitList,
    pub(super) stopping: Stopping,
}

/// An open listener and its accept loop.
pub(super) trait Accepting {
    fn is_open(&self) -> bool;

    /// Ends the loop. Serves those that wait to be accepted, if `waiting`, and closes the listener.
    fn close(&self, waiting: Waiting);
}

/// What becomes of connections that wait to be accepted when a listener is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// They are served, as far as there is room.
    Served,
    /// The system resets them.
    Reset,
}

/// A connection in the server's list.
pub(super) struct Client {
    pub(super) connection: Arc<Connection>,
    pub(super) handler: GreenThreadId,
    /// When it was accepted.
    pub(super) since: Instant,
    /// How often in a row nothing was seen to have passed since the look before.
    pub(super) quiet_looks: u32,
}

enum Outcome {
    /// It serves.
    None,
    Ok,
    Failed(io::Error),
}

impl Core {
    pub(super) fn new(
        limit: ClientLimit,
        times: Times,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            ledger: Arc::new(Ledger::new(limit)),
            times,
            location,
            next_number: Cell::new(0),
            clients: RefCell::default(),
            arrivals: WaitList::new(),
            watcher: Cell::default(),
            accepting: RefCell::default(),
            is_closed: Cell::new(false),
            outcome: RefCell::new(Outcome::None),
            ended: WaitList::new(),
            stopping: Stopping::default(),
        }
    }

    /// For a green thread of the server's, as which reports know it by the place of the server.
    pub(super) fn builder(&self) -> Builder {
        Builder::new().location(self.location)
    }

    // Clients

    /// One that has a place already.
    pub(super) fn new_connection(&self, fd: RawFd) -> (Handled, Handle) {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        Connection::open(number, &self.ledger, fd)
    }

    /// Takes a connection into the list, with the green thread that was spawned for it.
    pub(super) fn enter(&self, connection: Arc<Connection>, handler: GreenThreadId) {
        let since = Instant::now();
        let number = connection.number();
        let client = Client { connection, handler, since, quiet_looks: 0 };
        self.clients.borrow_mut().insert(number, client);
        self.forget_who_has_left();
        self.arrivals.wake_one();
    }

    /// Takes those out of the list that are over.
    pub(super) fn forget_who_has_left(&self) {
        while let Some(number) = self.ledger.next_over() {
            let client = self.clients.borrow_mut().remove(&number);
            drop(client);
        }
    }

    /// Looks at every client in the list, in the order in which they came.
    pub(super) fn for_each_client(&self, look: impl FnMut(&mut Client)) {
        self.clients.borrow_mut().values_mut().for_each(look);
    }

    /// When the client came that has been here for longest.
    pub(super) fn oldest_since(&self) -> Option<Instant> {
        self.clients.borrow().values().next().map(|client| client.since)
    }

    /// Waits until there are clients; `false` if there will be none any more.
    pub(super) fn wait_for_clients(&self, reason: Reason) -> bool {
        loop {
            self.forget_who_has_left();
            if !self.clients.borrow().is_empty() {
                return true;
            }
            if self.is_closed.get() {
                return false;
            }
            self.arrivals.wait(reason, None, || ()).expect("there is no deadline");
        }
    }

    /// The green thread that looks at the clients' times: it ends with the server.
    pub(super) fn set_watcher(&self, watcher: GreenThread<()>) {
        self.watcher.set(Some(watcher));
    }

    /// Ends every connection and kills every handler, in the order in which they came. Spares the
    /// caller, if he is one. Returns how many it was.
    pub(super) fn kill_clients(&self) -> usize {
        self.forget_who_has_left();
        let mut targets = Vec::new();
        self.for_each_client(|client| {
            targets.push((Arc::clone(&client.connection), client.handler));
        });
        let mut killed = 0;
        for (connection, handler) in targets {
            killed += usize::from(connection.is_in_use());
            connection.order(Order::Stopped);
            if handler != current() {
                kill(handler);
            }
        }
        killed
    }

    // Listeners

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn add_accepting(&self, accepting: Rc<dyn Accepting>) {
        self.accepting.borrow_mut().push(accepting);
    }

    /// Whether a listener is left.
    pub(super) fn is_listening(&self) -> bool {
        self.accepting.borrow().iter().any(|accepting| accepting.is_open())
    }

    /// Closes all listeners. What becomes of those that wait to be accepted, `waiting` says.
    pub(super) fn close_listeners(&self, waiting: Waiting) {
        let open = mem::take(&mut *self.accepting.borrow_mut());
        for accepting in open {
            accepting.close(waiting);
        }
        self.is_closed.set(true);
        self.arrivals.wake_all();
    }

    // The end

    /// Ends the serving, with the first outcome that is given.
    pub(super) fn end(&self, outcome: io::Result<()>) {
        let is_first = matches!(*self.outcome.borrow(), Outcome::None);
        if is_first {
            let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Ok);
            *self.outcome.borrow_mut() = outcome;
            self.ended.wake_all();
        }
        // A second one is dropped here, where nothing is borrowed: its destructor may park.
    }

    pub(super) fn has_ended(&self) -> bool {
        !matches!(*self.outcome.borrow(), Outcome::None)
    }

    /// Waits until the serving has ended.
    pub(super) fn wait_for_end(&self) {
        if !self.has_ended() {
            // Woken once and for good: there is nothing to pass on.
            self.ended.wait(END, None, || ()).expect("there is no deadline");
        }
    }

    /// How the serving has ended. The error itself goes to who asks first, the others get one that says
    /// the same.
    pub(super) fn outcome(&self) -> io::Result<()> {
        let mut outcome = self.outcome.borrow_mut();
        let Outcome::Failed(error) = &*outcome else { return Ok(()) };
        let copy = match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        match mem::replace(&mut *outcome, Outcome::Failed(copy)) {
            Outcome::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends everything at once.
    pub(super) fn kill(&self) {
        self.end(Ok(()));
        self.close_listeners(Waiting::Reset);
        self.stopping.kill();
        self.kill_clients();
        if let Some(watcher) = self.watcher.take() {
            watcher.kill();
        }
    }
}
