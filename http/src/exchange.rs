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
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

use ::http::request::Parts;
use ::http::uri::PathAndQuery;
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
    /// The handler has not come to its end.
    pub(crate) is_running: Cell<bool>,
    /// The request, for the handler: its green thread is started with a pointer to it. In two parts, which
    /// costs 85 instructions for moving it rather than 340: the compiler moves a whole one six times.
    head: RefCell<Option<Parts>>,
    incoming: Cell<Option<Incoming>>,
    state: Cell<State>,
    /// Who waits for the answer, once somebody does.
    waker: Cell<Option<Waker>>,
    /// While it is there.
    answer: RefCell<Option<Answer>>,
    /// It is over.
    has_ended: Cell<bool>,
    /// The request was `HEAD`.
    is_head: bool,
    is_connect: bool,
    /// The client has asked for another protocol, and has nothing else to say before.
    may_upgrade: bool,
    /// Its client keeps the body back until it is asked for it, or has the answer.
    expects_continue: bool,
    status: Cell<Option<StatusCode>>,
    bytes: Cell<u64>,
    /// Where there is an access log.
    log: Cell<Option<Box<Log>>>,
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The handler is at it.
    Pending,
    Ready,
    /// It was taken, or nobody will take it.
    Over,
    /// There will be none.
    Failed,
}

struct Log {
    access: Access,
    begun: Instant,
}

impl Log {
    fn begin(connection: &Connection, request: &::http::Request<Incoming>) -> Box<Self> {
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
        Box::new(Self { access, begun: Instant::now() })
    }
}

impl Exchange {
    /// The exchange that `request` begins: the connection's last one, where nobody has that any more. To
    /// allocate one for each request costs 130 instructions of 11,000.
    #[inline]
    pub(crate) fn begin(
        connection: &Rc<Connection>,
        request: &::http::Request<Incoming>,
    ) -> Rc<Self> {
        connection.pulse().begin_request();
        let mut exchange = connection.spare_exchange().unwrap_or_else(|| Self::new(connection));
        let this = Rc::get_mut(&mut exchange).expect("nobody else has it");
        this.is_head = request.method() == Method::HEAD;
        this.is_connect = request.method() == Method::CONNECT;
        this.may_upgrade =
            (this.is_connect || asks_for_upgrade(request)) && request.body().is_end_stream();
        this.expects_continue =
            !request.body().is_end_stream() && request.headers().contains_key(header::EXPECT);
        this.log.set(connection.core().logs_accesses().then(|| Log::begin(connection, request)));
        // Nothing of the last request can get into this one, whatever became of it.
        (*this.head.get_mut(), *this.answer.get_mut()) = (None, None);
        this.state.set(State::Pending);
        this.has_ended.set(false);
        this.status.set(None);
        this.bytes.set(0);
        connection.keep_exchange(&exchange);
        exchange
    }

    fn new(connection: &Rc<Connection>) -> Rc<Self> {
        Rc::new(Self {
            connection: Rc::clone(connection),
            handler: Cell::new(None),
            is_running: Cell::new(false),
            head: RefCell::new(None),
            incoming: Cell::new(None),
            state: Cell::new(State::Over),
            waker: Cell::new(None),
            answer: RefCell::new(None),
            has_ended: Cell::new(true),
            is_head: false,
            is_connect: false,
            may_upgrade: false,
            expects_continue: false,
            status: Cell::new(None),
            bytes: Cell::new(0),
            log: Cell::new(None),
        })
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Keeps the request, with which it has begun, until it is taken.
    #[inline(always)]
    pub(crate) fn keep_request(&self, request: ::http::Request<Incoming>) {
        let (head, incoming) = request.into_parts();
        let mut place = self.head.borrow_mut();
        debug_assert!(place.is_none(), "`begin` has taken the last one's");
        // An assignment would drop what was there, and move the head once more.
        place.get_or_insert(head);
        drop(place);
        self.incoming.set(Some(incoming));
    }

    /// The method and the path of the request, before it is taken.
    #[inline]
    pub(crate) fn title(&self) -> (Method, Option<PathAndQuery>) {
        let head = self.head.borrow();
        let head = head.as_ref().expect("nobody has taken it");
        (head.method.clone(), head.uri.path_and_query().cloned())
    }

    /// The request, once.
    #[inline]
    pub(crate) fn take_request(&self) -> Request {
        let incoming = self.incoming.take().expect("it is handled once");
        let body = RequestBody::new(incoming, Rc::clone(&self.connection));
        Request::from_parts(self.head.borrow_mut().take().expect("it is handled once"), body)
    }

    /// Nobody takes the request any more.
    pub(crate) fn drop_request(&self) {
        if self.head.borrow().is_some() {
            drop(self.take_request());
        }
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

    /// Whether somebody has the body who has not asked the client for it, and cannot any more behind the answer.
    pub(crate) fn leaves_a_body_behind(&self) -> bool {
        let pulse = self.connection.pulse();
        self.expects_continue && pulse.open_bodies.get() > 0 && !pulse.has_asked_for_body.get()
    }

    /// Whether somebody waits for its answer.
    pub(crate) fn is_pending(&self) -> bool {
        self.state.get() == State::Pending
    }

    /// There is no memory for its handler: it can be answered nevertheless.
    pub(crate) fn begin_again(&self) {
        self.state.set(State::Pending);
    }

    /// Gives the answer to whoever waits for it.
    #[inline]
    pub(crate) fn answer(&self, answer: Answer) {
        if self.state.get() != State::Pending {
            // Nobody is there any more.
            return;
        }
        self.status.set(Some(answer.status()));
        self.connection.pulse().is_answered.set(true);
        let mut place = self.answer.borrow_mut();
        // Where the compiler sees that nothing is dropped here, it moves the answer once less.
        if place.is_none() {
            *place = Some(answer);
        }
        drop(place);
        self.become_known(State::Ready);
    }

    /// There will be no answer: the connection has to break off. After an answer it is nothing.
    pub(crate) fn fail(&self) {
        if self.state.get() == State::Pending {
            self.become_known(State::Failed);
        }
    }

    fn become_known(&self, state: State) {
        self.state.set(state);
        if let Some(waker) = self.waker.take() {
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
        if let Some(log) = self.log.take() {
            let gone = || StatusCode::from_u16(CLIENT_CLOSED_REQUEST).expect("it has three digits");
            let access = Access {
                status: self.status.get().unwrap_or_else(gone),
                bytes: self.bytes.get(),
                duration: log.begun.elapsed(),
                ..log.access
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
        let exchange = &*self.0;
        match exchange.state.get() {
            State::Ready => {
                exchange.state.set(State::Over);
                let answer = exchange.answer.borrow_mut().take();
                Poll::Ready(Ok(answer.expect("it is ready")))
            }
            State::Pending => {
                let waker = match exchange.waker.take() {
                    Some(old) if old.will_wake(context.waker()) => old,
                    _ => context.waker().clone(),
                };
                exchange.waker.set(Some(waker));
                Poll::Pending
            }
            State::Over | State::Failed => {
                // For the access log: the handler was killed.
                exchange.status.set(Some(StatusCode::SERVICE_UNAVAILABLE));
                exchange.end();
                Poll::Ready(Err(io::Error::other("a handler of HTTP has ended without an answer")))
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.0.state.replace(State::Over) == State::Over {
            // The answer's body has it now.
            return;
        }
        drop(self.0.waker.take());
        // Dropped outside of the borrow; an answer ends the exchange, and so does this.
        let answer = self.0.answer.take();
        drop(answer);
        self.0.end();
    }
}
