//! The loops that accept, and the green threads that serve.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use evy_runtime::{GreenThread, Killed, current};

use super::connection::{Connection, Handled};
use super::core::{Accepting, Core, Waiting};
use super::listener::{Door, Listener};
use super::on_error::Policy;
use super::shortage::{Weather, is_of_the_connection, is_shortage};
use crate::StopServe;

/// Connections that may have gone while they waited, when a listener is emptied: only so that it ends.
const GONE_AT_MOST: u32 = 10_000;

/// A server's handler with all that it takes to call it.
pub(super) struct Service<L: Listener, H> {
    handler: H,
    policy: Policy<L::Addr>,
    core: Rc<Core>,
}

impl<L, H> Service<L, H>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) -> io::Result<()> + 'static,
{
    pub(super) fn new(handler: H, policy: Policy<L::Addr>, core: Rc<Core>) -> Self {
        Self { handler, policy, core }
    }

    /// Begins to serve what comes to the listeners.
    pub(super) fn start(self: Rc<Self>, listeners: Vec<L>) -> io::Result<Serving> {
        let serving = Serving(Rc::clone(&self.core));
        self.core.watch_times()?;
        for listener in listeners {
            Acceptor::start(&self, listener)?;
        }
        Ok(serving)
    }

    /// Lets connections in until the listener fails for good, or the user ends it for a shortage.
    fn accept_all(self: &Rc<Self>, listener: &L) -> Result<(), io::Error> {
        let core = &*self.core;
        let door = Door::new(core);
        let mut weather = Weather::new();
        while !core.is_closed() {
            core.ledger.limit.wait_for_room();
            match self.accept_one(listener, &door) {
                Ok(()) => weather.is_fine(),
                Err(_) if door.was_full() => {}
                Err(error) if is_shortage(&error) => {
                    core.ledger.accept_failed();
                    if weather.is_news() && self.policy.ask(&error, None).is_break() {
                        core.end(Err(error));
                        return Ok(());
                    }
                    weather.wait();
                }
                // What came in and could not be made a stream of is no fault of the listener.
                Err(error) if door.take_handled().is_some() || is_of_the_connection(&error) => {
                    core.ledger.accept_failed();
                    weather.pass_over();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Serves those that wait to be accepted, as far as there is room.
    fn accept_waiting(self: &Rc<Self>, listener: &L) {
        let door = Door::without_waiting(&self.core);
        let mut gone = 0;
        loop {
            match self.accept_one(listener, &door) {
                Ok(()) => {}
                Err(error) if is_of_the_connection(&error) && gone < GONE_AT_MOST => gone += 1,
                Err(_) => return,
            }
        }
    }

    fn accept_one(self: &Rc<Self>, listener: &L, door: &Door<'_>) -> io::Result<()> {
        let (stream, addr) = listener.admit(door)?;
        let handled = door.take_handled().expect("every connection comes in by the door");
        self.spawn(stream, addr, handled)
    }

    /// Serves a connection on a green thread of its own.
    fn spawn(
        self: &Rc<Self>,
        stream: L::Stream,
        addr: L::Addr,
        handled: Handled,
    ) -> io::Result<()> {
        let connection = Arc::clone(handled.connection());
        let service = Rc::clone(self);
        let handler = self.core.builder().spawn(move || service.serve(stream, addr, handled))?;
        self.core.enter(connection, handler.id());
        Ok(())
    }

    /// Serves a connection, and leaves the list however that ends.
    fn serve(&self, stream: L::Stream, addr: L::Addr, handled: Handled) {
        let leaving = Leaving { core: &self.core, handled: Some(handled) };
        let served = catch_unwind(AssertUnwindSafe(|| (self.handler)(stream, addr.clone())));
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.decide(error, &addr, leaving.connection()),
            Err(payload) => {
                if !payload.is::<Killed>() {
                    self.core.ledger.panicked();
                }
                resume_unwind(payload);
            }
        }
    }

    /// A handler has returned an error.
    fn decide(&self, error: io::Error, addr: &L::Addr, connection: Option<&Arc<Connection>>) {
        if error.get_ref().is_some_and(|error| error.is::<StopServe>()) {
            return self.core.end(Ok(()));
        }
        if connection.is_some_and(|connection| connection.explains(&error)) {
            return;
        }
        self.core.ledger.failed();
        if self.policy.ask(&error, Some(addr)).is_break() {
            self.core.end(Err(error));
        }
    }
}

/// A server that serves; its listeners are closed when this is dropped, and handlers go on.
pub(super) struct Serving(Rc<Core>);

impl Serving {
    /// Waits until something ends it.
    pub(super) fn wait(&self) {
        self.0.wait_for_end();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.close_listeners(Waiting::Reset);
    }
}

/// A handler's part in its connection; the list is put in order when it is dropped.
struct Leaving<'a> {
    core: &'a Core,
    handled: Option<Handled>,
}

impl Leaving<'_> {
    fn connection(&self) -> Option<&Arc<Connection>> {
        self.handled.as_ref().map(Handled::connection)
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        drop(self.handled.take());
        self.core.forget_who_has_left();
    }
}

/// A listener and the green thread that accepts from it.
struct Acceptor<L: Listener, H> {
    service: Rc<Service<L, H>>,
    /// `None` once it is closed, or has failed.
    listener: RefCell<Option<Rc<L>>>,
    thread: RefCell<Option<GreenThread<()>>>,
}

impl<L, H> Acceptor<L, H>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) -> io::Result<()> + 'static,
{
    fn start(service: &Rc<Service<L, H>>, listener: L) -> io::Result<()> {
        let listener = Rc::new(listener);
        let acceptor = Rc::new(Self {
            service: Rc::clone(service),
            listener: RefCell::new(Some(Rc::clone(&listener))),
            thread: RefCell::default(),
        });
        let thread = service.core.builder().spawn({
            let (service, acceptor) = (Rc::clone(service), Rc::downgrade(&acceptor));
            move || {
                let accepted = service.accept_all(&listener);
                drop(listener);
                if let (Err(error), Some(acceptor)) = (accepted, acceptor.upgrade()) {
                    acceptor.fail(error);
                }
            }
        })?;
        *acceptor.thread.borrow_mut() = Some(thread);
        service.core.add_accepting(acceptor);
        Ok(())
    }

    /// The listener accepts nothing any more. The others go on, if there are any and the user wants it.
    fn fail(&self, error: io::Error) {
        let core = &self.service.core;
        if core.is_closed() {
            return;
        }
        drop(self.listener.take());
        let goes_on = self.service.policy.ask(&error, None).is_continue();
        if !goes_on || !core.is_listening() {
            core.end(Err(error));
        }
    }
}

impl<L, H> Accepting for Acceptor<L, H>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) -> io::Result<()> + 'static,
{
    fn is_open(&self) -> bool {
        self.listener.borrow().is_some()
    }

    fn close(&self, waiting: Waiting) {
        let thread = self.thread.take();
        // The loop itself may be the caller, by way of the user's decision about an error: it ends when
        // it goes on.
        if let Some(thread) = thread.filter(|thread| thread.id() != current()) {
            thread.kill();
        }
        if let Some(listener) = self.listener.take()
            && waiting == Waiting::Served
        {
            // Else a connection that is made between the last accept and the close would be reset.
            listener.turn_away();
            self.service.accept_waiting(&listener);
        }
    }
}
