//! One request and its answer.
//!
//! ```text
//!   service: call ──► Exchange ◄── handler's green thread: answer
//!                        ▲ ▲
//!     Answering ─────────┘ └───────── Outgoing: the answer's body, until hyper is through with it
//! ```
//!
//! The request is over when its `Outgoing` has gone, or when nobody waits for an answer any more.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::connection::Connection;
use crate::outgoing::Outgoing;
use crate::{Access, Method, Request, RequestBody, StatusCode, header};

pub(crate) type Answer = ::http::Response<Outgoing>;

/// What an access log says of a client that went away: nginx's number for it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

pub(crate) struct Exchange {
    connection: Rc<Connection>,
    /// Where the handler is in the server's list, once it has parked.
    pub(crate) handler: Cell<Option<usize>>,
    /// For the handler: its green thread is started with a pointer to it.
    request: Cell<Option<Request>>,
    state: RefCell<State>,
    /// It is over.
    has_ended: Cell<bool>,
    /// The request was `HEAD`.
    is_head: bool,
    is_connect: bool,
    /// The client has asked for another protocol, and has nothing else to say before.
    may_upgrade: bool,
    status: Cell<Option<StatusCode>>,
    bytes: Cell<u64>,
    /// Where there is an access log.
    log: Option<Box<Log>>,
}

/// What becomes of the answer.
enum State {
    /// The handler is at it; who waits, once somebody does.
    Pending(Option<Waker>),
    Ready(Answer),
    /// It was taken, or nobody will take it.
    Over,
    /// There will be none.
    Failed,
}

struct Log {
    access: Access,
    begun: Instant,
}

impl Exchange {
    pub(crate) fn new(connection: &Rc<Connection>, request: ::http::Request<Incoming>) -> Rc<Self> {
        connection.pulse().begin_request();
        let log = connection.core().logs_accesses().then(|| {
            let access = Access {
                peer: connection.info().peer_addr,
                time: SystemTime::now(),
                method: request.method().clone(),
                uri: request.uri().clone(),
                version: request.version(),
                status: StatusCode::OK,
                bytes: 0,
                duration: Default::default(),
            };
            Box::new(Log { access, begun: Instant::now() })
        });
        let is_head = request.method() == Method::HEAD;
        let is_connect = request.method() == Method::CONNECT;
        let may_upgrade =
            (is_connect || asks_for_upgrade(&request)) && request.body().is_end_stream();
        let request = request.map(|incoming| RequestBody::new(incoming, Rc::clone(connection)));
        Rc::new(Self {
            connection: Rc::clone(connection),
            handler: Cell::new(None),
            request: Cell::new(Some(request)),
            state: RefCell::new(State::Pending(None)),
            has_ended: Cell::new(false),
            is_head,
            is_connect,
            may_upgrade,
            status: Cell::new(None),
            bytes: Cell::new(0),
            log,
        })
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The request, once.
    pub(crate) fn take_request(&self) -> Option<Request> {
        self.request.take()
    }

    /// The request was `HEAD`: its answer has the head of the one to `GET`, and no body.
    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    pub(crate) fn is_connect(&self) -> bool {
        self.is_connect
    }

    pub(crate) fn may_upgrade(&self) -> bool {
        self.may_upgrade
    }

    /// There is no memory for its handler: it can be answered nevertheless.
    pub(crate) fn begin_again(&self) {
        *self.state.borrow_mut() = State::Pending(None);
    }

    /// Gives the answer to whoever waits for it.
    pub(crate) fn answer(&self, answer: Answer) {
        let mut state = self.state.borrow_mut();
        let State::Pending(waker) = &mut *state else {
            drop(state);
            // Nobody is there any more.
            return drop(answer);
        };
        let waker = waker.take();
        self.status.set(Some(answer.status()));
        self.connection.pulse().is_answered.set(true);
        *state = State::Ready(answer);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// There will be no answer: the connection has to break off. After an answer it is nothing.
    pub(crate) fn fail(&self) {
        let mut state = self.state.borrow_mut();
        let waker = match &mut *state {
            State::Pending(waker) => waker.take(),
            State::Ready(_) | State::Over | State::Failed => return,
        };
        *state = State::Failed;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn add_unsent(&self) {
        self.connection.pulse().add_unsent();
    }

    pub(crate) fn remove_unsent(&self) {
        self.connection.pulse().remove_unsent();
    }

    pub(crate) fn count_bytes(&self, count: usize) {
        self.bytes.set(self.bytes.get() + count as u64);
        self.connection.pulse().count_answer(count);
    }

    /// The answer is through, or will never be.
    pub(crate) fn end(&self) {
        if self.has_ended.replace(true) {
            return;
        }
        self.connection.pulse().end_request();
        if let Some(log) = &self.log {
            let gone = || StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("it has three digits");
            let access = Access {
                status: self.status.get().unwrap_or_else(gone),
                bytes: self.bytes.get(),
                duration: log.begun.elapsed(),
                ..log.access.clone()
            };
            self.connection.core().log(&access);
        }
    }
}

/// RFC 9110, 7.8: `Connection` names the field, which says what is asked for.
fn asks_for_upgrade(request: &::http::Request<Incoming>) -> bool {
    let headers = request.headers();
    let names_it = |value: &crate::HeaderValue| {
        let mut names = value.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    // hyper leaves this where there is an `Upgrade`, in HTTP/1.1: no field is searched for in other requests.
    request.extensions().get::<OnUpgrade>().is_some()
        && headers.get_all(header::CONNECTION).iter().any(names_it)
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The answer to a request, to come.
pub(crate) struct Answering(pub(crate) Rc<Exchange>);

impl Future for Answering {
    type Output = io::Result<Answer>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Answer>> {
        let mut state = self.0.state.borrow_mut();
        match mem::replace(&mut *state, State::Over) {
            State::Ready(answer) => Poll::Ready(Ok(answer)),
            State::Pending(old) => {
                let waker = match old {
                    Some(waker) if waker.will_wake(context.waker()) => waker,
                    _ => context.waker().clone(),
                };
                *state = State::Pending(Some(waker));
                Poll::Pending
            }
            State::Over | State::Failed => {
                drop(state);
                // For the access log: the handler was killed.
                self.0.status.set(Some(StatusCode::SERVICE_UNAVAILABLE));
                self.0.end();
                Poll::Ready(Err(io::Error::other("a handler of HTTP has ended without an answer")))
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if matches!(*self.0.state.borrow(), State::Over) {
            // The answer's body has it now.
            return;
        }
        // Dropped outside of the borrow; an answer ends the exchange, and so does this.
        let state = self.0.state.replace(State::Over);
        drop(state);
        self.0.end();
    }
}
