//! What the connections of one server have in common.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use evy_runtime::{GreenThreadId, WaitList, kill, spawn, spawn_future};
use hyper::rt;
use hyper::server::conn::{http1, http2};

use crate::access::AccessLog;
use crate::connection::{Connection, Order};
use crate::limits::{LONGEST_HEAD, Limits, STREAMS};
use crate::slots::Slots;
use crate::{Access, Handler};

pub(crate) struct Core {
    pub(crate) handler: Box<dyn Handler>,
    pub(crate) limits: Limits,
    access_log: Option<AccessLog>,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<Executor>,
    pub(crate) connections: RefCell<Slots<Rc<Connection>>>,
    /// Where the one that looks at times waits for connections.
    pub(crate) arrivals: WaitList,
    /// Green threads of handlers that have parked.
    handlers: RefCell<Slots<GreenThreadId>>,
    /// Of connections that go on in another protocol: what is to be done when the server stops.
    farewells: RefCell<Slots<Rc<dyn Fn()>>>,
    is_stopping: Cell<bool>,
    /// No handler is started any more.
    is_over: Cell<bool>,
}

impl Core {
    pub(crate) fn new(
        handler: Box<dyn Handler>,
        limits: Limits,
        access_log: Option<AccessLog>,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        // The times are ours: hyper's would end idle connections, too. A client may end its side and
        // still wait for its answer.
        http1.header_read_timeout(None).half_close(true);
        http1.max_buf_size(LONGEST_HEAD).max_header_size(LONGEST_HEAD);
        let mut http2 = http2::Builder::new(Executor);
        http2.max_concurrent_streams(STREAMS).max_header_list_size(LONGEST_HEAD as u32);
        Self {
            handler,
            limits,
            access_log,
            http1,
            http2,
            connections: RefCell::default(),
            arrivals: WaitList::new(),
            handlers: RefCell::default(),
            farewells: RefCell::default(),
            is_stopping: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    pub(crate) fn logs_accesses(&self) -> bool {
        self.access_log.is_some()
    }

    /// A panic in it must not spread: this is called by destructors, which may be unwinding.
    pub(crate) fn log(&self, access: &Access) {
        if let Some(log) = &self.access_log {
            let _ = catch_unwind(AssertUnwindSafe(|| log(access)));
        }
    }

    pub(crate) fn add_handler(&self, id: GreenThreadId) -> usize {
        self.handlers.borrow_mut().insert(id)
    }

    pub(crate) fn remove_handler(&self, key: usize) {
        self.handlers.borrow_mut().remove(key);
    }

    /// Starts a green thread that is one of the handlers.
    pub(crate) fn spawn_handler(self: &Rc<Self>, f: impl FnOnce() + 'static) {
        /// It is in the list, until this is dropped.
        struct Listed(Rc<Core>, Rc<Cell<Option<usize>>>);

        impl Drop for Listed {
            fn drop(&mut self) {
                if let Some(key) = self.1.take() {
                    self.0.remove_handler(key);
                }
            }
        }

        let key = Rc::new(Cell::new(None));
        let listed = Listed(Rc::clone(self), Rc::clone(&key));
        let thread = spawn(move || {
            let _listed = listed;
            f();
        });
        key.set(Some(self.add_handler(thread.id())));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Connections end with the answers that are under way; idle ones at once. One that has not sent its
    /// first request yet, or half of one, may send the rest if `is_patient`.
    pub(crate) fn finish_connections(&self, is_patient: bool) {
        if !self.is_stopping.replace(true) {
            let farewells: Vec<_> = self.farewells.borrow().iter().cloned().collect();
            farewells.into_iter().for_each(|farewell| farewell());
        }
        let connections: Vec<_> = self.connections.borrow().iter().cloned().collect();
        for connection in connections {
            match is_patient {
                true if connection.is_new() || connection.is_in_a_head() => {}
                true => connection.order(Order::Finish),
                false => connection.finish(),
            }
        }
    }

    /// Has `farewell` called when the server stops, at once if it does so already; until the guard is
    /// dropped.
    #[cfg(feature = "websocket")]
    pub(crate) fn at_stop(self: Rc<Self>, farewell: impl Fn() + 'static) -> impl Drop {
        struct Listed(Rc<Core>, usize);

        impl Drop for Listed {
            fn drop(&mut self) {
                let farewell = self.0.farewells.borrow_mut().remove(self.1);
                drop(farewell);
            }
        }

        if self.is_stopping() {
            farewell();
        }
        let key = self.farewells.borrow_mut().insert(Rc::new(farewell));
        Listed(self, key)
    }

    /// Ends handlers that are still at work, and starts no others.
    pub(crate) fn kill_handlers(&self) {
        self.is_over.set(true);
        let ids: Vec<_> = self.handlers.borrow().iter().copied().collect();
        for id in ids {
            kill(id);
        }
    }

    pub(crate) fn handlers(&self) -> usize {
        self.handlers.borrow().len()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Runs the futures of HTTP/2's streams in the background.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Executor;

impl<F: Future<Output = ()> + 'static> rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        spawn_future(future);
    }
}

/// Writes a line to standard error, if that is possible: a closed one must not make a panic of it.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "evy: {line}");
}
