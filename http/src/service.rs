//! From hyper's request to the handler, and back.
//!
//! The handler runs on a green thread of its own, for hyper's future must not block: it feeds the very
//! body that the handler reads. It is switched to at once, so that an answer which needs no wait is there
//! when hyper first asks for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use evy_runtime::{Killed, resume_unwind, spawn_eager};
use hyper::body::Incoming;

use crate::body::Kind;
use crate::connection::{Connection, Order};
use crate::exchange::{Answer, Answering, Exchange};
use crate::limits::{HANDLERS, LONGEST_TARGET};
use crate::outgoing::Outgoing;
use crate::pipe::{CutOff, Pipe};
use crate::{BodyWriter, HeaderValue, IntoResponse, Response, StatusCode, Version, header};

/// What hyper calls with each request of a connection.
pub(crate) struct Service(pub(crate) Rc<Connection>);

impl hyper::service::Service<::http::Request<Incoming>> for Service {
    type Response = Answer;
    type Error = io::Error;
    type Future = Answering;

    fn call(&self, request: ::http::Request<Incoming>) -> Answering {
        let connection = &self.0;
        let wrong = refuse(connection, &request);
        let exchange = Exchange::new(connection, request);
        if connection.core().is_stopping() {
            connection.order(Order::Finish);
        }
        match wrong {
            Some(status) => {
                drop(exchange.take_request());
                connection.pulse().is_unclean.set(true);
                answer_and_close(&exchange, status);
            }
            None => start_handler(&exchange),
        }
        Answering(exchange)
    }
}

/// What is wrong with a request that no handler gets to see.
fn refuse(connection: &Connection, request: &::http::Request<Incoming>) -> Option<StatusCode> {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
        return Some(StatusCode::URI_TOO_LONG);
    }
    let is_http1 = request.version() <= Version::HTTP_11;
    if is_http1 && !has_valid_host(request) {
        return Some(StatusCode::BAD_REQUEST);
    }
    if let Some(limit) = connection.limits().body
        && http_body::Body::size_hint(request.body()).lower() > limit
    {
        return Some(StatusCode::PAYLOAD_TOO_LARGE);
    }
    (connection.handlers.get() >= HANDLERS).then_some(StatusCode::SERVICE_UNAVAILABLE)
}

/// RFC 9112, 3.2: in HTTP/1.1 there is one, and never more.
fn has_valid_host(request: &::http::Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// Whether it may stand there: empty, or a name or number with a port. That it has no user, path or blank
/// is what matters: these are how two servers come to read two things in it.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| HOST_BYTES[usize::from(*byte)])
}

const HOST_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let is_mark = matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'['
                | b']'
                | b'%'
        );
        bytes[byte as usize] = byte.is_ascii_alphanumeric() || is_mark;
        byte += 1;
    }
    bytes
};

/// An answer without a handler, after which the connection closes.
fn answer_and_close(exchange: &Rc<Exchange>, status: StatusCode) {
    let mut response = status.into_response();
    if exchange.connection().pulse().is_http2.get() {
        return give(exchange, response);
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    give(exchange, response);
}

fn start_handler(exchange: &Rc<Exchange>) {
    let connection = exchange.connection();
    connection.handlers.set(connection.handlers.get() + 1);
    let running = Running(Rc::clone(exchange));
    let thread = spawn_eager(move || handle(&running.0));
    if !thread.is_finished() {
        exchange.handler.set(Some(connection.core().add_handler(thread.id())));
    }
}

/// A handler's green thread is there.
struct Running(Rc<Exchange>);

impl Drop for Running {
    fn drop(&mut self) {
        let connection = self.0.connection();
        connection.handlers.set(connection.handlers.get() - 1);
        if let Some(key) = self.0.handler.take() {
            connection.core().remove_handler(key);
        }
        self.0.fail();
    }
}

/// What a handler's green thread does.
fn handle(exchange: &Rc<Exchange>) {
    let core = exchange.connection().core();
    let request = exchange.take_request().expect("it is handled once");
    let (method, uri) = (request.method().clone(), request.uri().clone());
    match catch_unwind(AssertUnwindSafe(|| core.handler.handle(request))) {
        Ok(response) => give(exchange, response),
        Err(payload) if payload.is::<Killed>() => resume_unwind(payload),
        Err(payload) => {
            crate::core::tell(format_args!("the handler of {method} {} has panicked", uri.path()));
            give(exchange, StatusCode::INTERNAL_SERVER_ERROR.into_response());
            drop(payload);
        }
    }
}

/// Gives an answer to hyper; sends the body of one that is made while it is sent.
fn give(exchange: &Rc<Exchange>, response: Response) {
    let (head, body) = response.into_parts();
    let answer = |body| exchange.answer(Answer::from_parts(head, body));
    match body.0 {
        Kind::Empty => answer(Outgoing::empty(exchange)),
        Kind::Full(bytes) => answer(Outgoing::full(exchange, bytes)),
        Kind::Upgrade(proceed) => {
            exchange.connection().upgrade(proceed);
            answer(Outgoing::empty(exchange));
        }
        Kind::Writer(write) => {
            let pipe = Rc::new(Pipe::default());
            answer(Outgoing::piped(exchange, &pipe));
            send(&pipe, write);
        }
    }
}

/// Has a handler write the body of its answer.
fn send(pipe: &Rc<Pipe>, write: crate::body::Write) {
    /// Ends the body, however that goes.
    struct End<'a>(&'a Pipe, Result<(), CutOff>);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.end(std::mem::replace(&mut self.1, Err(CutOff)));
        }
    }

    let mut end = End(pipe, Err(CutOff));
    let mut writer = BodyWriter::new(Rc::clone(pipe));
    let result = write(&mut writer).and_then(|()| writer.finish());
    match result {
        Ok(()) => end.1 = Ok(()),
        // The client's doing.
        Err(_) if pipe.is_gone() => {}
        Err(error) => {
            crate::core::tell(format_args!("a handler of HTTP has cut its answer off: {error}"));
        }
    }
}
