//! From hyper's request to the handler, and back.
//!
//! The handler runs on a green thread of its own, for hyper's future must not block: it feeds the very
//! body that the handler reads. It is switched to at once, so that an answer which needs no wait is there
//! when hyper first asks for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use evy_runtime::{Builder, Killed, resume_unwind};
use hyper::body::Incoming;

use crate::body::Kind;
use crate::connection::{Connection, Order};
use crate::exchange::{Answer, Answering, Exchange};
use crate::into_response::has_no_body;
use crate::limits::{HANDLERS, LONGEST_LINE};
use crate::look::Length;
use crate::outgoing::Outgoing;
use crate::pipe::{CutOff, Pipe};
use crate::{
    BodyError, BodyWriter, HeaderMap, HeaderName, HeaderValue, IntoResponse, Method, Response,
    StatusCode, Version, header,
};

/// What hyper calls with each request of a connection.
pub(crate) struct Service(pub(crate) Rc<Connection>);

impl hyper::service::Service<::http::Request<Incoming>> for Service {
    type Response = Answer;
    type Error = io::Error;
    type Future = Answering;

    fn call(&self, request: ::http::Request<Incoming>) -> Answering {
        let connection = &self.0;
        let wrong = refuse(connection, &request);
        let exchange = Exchange::begin(connection, &request);
        exchange.keep_request(request);
        if connection.core().is_stopping() {
            connection.pulse().is_unclean.set(true);
            connection.order(Order::Finish);
        }
        // Before the handler runs: it ends the exchange even if this green thread is killed by it.
        let answering = Answering(exchange);
        let exchange = &answering.0;
        match wrong {
            Some(status) => {
                exchange.drop_request();
                connection.pulse().is_unclean.set(true);
                answer_and_close(exchange, status);
            }
            None => start_handler(exchange),
        }
        answering
    }
}

/// Whether the request says in two ways where it ends.
fn has_length_and_coding(connection: &Connection, request: &::http::Request<Incoming>) -> bool {
    if request.version() > Version::HTTP_11 {
        return false;
    }
    let length = http_body::Body::size_hint(request.body()).exact();
    let length = length.map_or(Length::Chunked, Length::Known);
    connection.pulse().look.borrow_mut().has_length_and_coding(length)
}

/// What is wrong with a request that no handler gets to see. To be asked of each, in their order.
fn refuse(connection: &Connection, request: &::http::Request<Incoming>) -> Option<StatusCode> {
    if has_length_and_coding(connection, request) {
        return Some(StatusCode::BAD_REQUEST);
    }
    if line_length(request) > LONGEST_LINE {
        return Some(StatusCode::URI_TOO_LONG);
    }
    if !has_valid_target(request) || !has_valid_host(request) {
        return Some(StatusCode::BAD_REQUEST);
    }
    if !is_coding_known(request) {
        return Some(StatusCode::NOT_IMPLEMENTED);
    }
    if let Some(limit) = connection.limits().body
        && http_body::Body::size_hint(request.body()).lower() > limit
    {
        return Some(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let is_too_much = connection.handlers.get() >= HANDLERS || connection.core().is_over();
    is_too_much.then_some(StatusCode::SERVICE_UNAVAILABLE)
}

/// How long the line was in which the request came, without its end; in HTTP/2, how long it would be.
fn line_length(request: &::http::Request<Incoming>) -> usize {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    request.method().as_str().len() + scheme + authority + path + "  HTTP/1.1".len()
}

/// RFC 9112, 3.2: a host and port is the target of `CONNECT` and of no other, a star only that of `OPTIONS`,
/// and all are ASCII.
fn has_valid_target(request: &::http::Request<Incoming>) -> bool {
    let (method, uri) = (request.method(), request.uri());
    let is_authority = uri.scheme().is_none() && uri.authority().is_some();
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    is_authority == (method == Method::CONNECT)
        && (path != "*" || method == Method::OPTIONS)
        && path.is_ascii()
        && uri.authority().is_none_or(|authority| !authority.as_str().contains('@'))
}

/// Whether the body is coded as we can undo it: chunked, once, and nothing else. hyper looks at the last
/// coding alone (RFC 9112, 6.1).
fn is_coding_known(request: &::http::Request<Incoming>) -> bool {
    if http_body::Body::size_hint(request.body()).exact().is_some() {
        return true;
    }
    match single(request.headers(), &header::TRANSFER_ENCODING) {
        Ok(None) => true,
        Ok(Some(coding)) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        Err(Repeated) => false,
    }
}

/// RFC 9112, 3.2: in HTTP/1.1 there is one, and never more. In HTTP/2 there need not be one, but what it
/// says must not differ from the `:authority` (RFC 9113, 8.3.1).
fn has_valid_host(request: &::http::Request<Incoming>) -> bool {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    match single(request.headers(), &header::HOST) {
        Ok(None) => request.version() != Version::HTTP_11,
        Err(Repeated) => false,
        Ok(Some(host)) if request.version() == Version::HTTP_2 => {
            is_host(host.as_bytes())
                && authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
        }
        Ok(Some(host)) => is_host(host.as_bytes()),
    }
}

/// A field that may be there once has several values.
struct Repeated;

/// The value of a field that may be there once.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Repeated> {
    // No field is there twice: 75 instructions against 115.
    if headers.len() == headers.keys_len() {
        return Ok(headers.get(name));
    }
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Repeated),
    }
}

/// Whether it may stand there: empty, or a name or number with a port. That it has no user, path or blank
/// is what matters: these are how two servers come to read two things in it.
///
/// One way through it from the front: 70 instructions for `127.0.0.1:12345`, where a search for the last
/// colon made it 150.
fn is_host(host: &[u8]) -> bool {
    let behind_name = match host {
        [b'[', rest @ ..] => {
            let number =
                rest.iter().take_while(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
            match &rest[number.count()..] {
                [b']', rest @ ..] => rest,
                _ => return false,
            }
        }
        name => &name[name.iter().take_while(|byte| NAME_BYTES[usize::from(**byte)]).count()..],
    };
    match behind_name {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// What the name of a host may have in it: RFC 3986, 3.2.2, without the comma, which joins two.
const NAME_BYTES: [bool; 256] = {
    let marks = b"-._~!$&'()*+;=%";
    let mut bytes = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        bytes[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < marks.len() {
        bytes[marks[index] as usize] = true;
        index += 1;
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
    exchange.is_running.set(true);
    let running = Running(Rc::clone(exchange));
    match Builder::new().spawn_eager(move || handle(&running.0)) {
        // Its green thread may still be there, for the destructors of its locals.
        Ok(_) if !exchange.is_running.get() => {}
        Ok(thread) => exchange.handler.set(Some(connection.core().add_handler(thread.id()))),
        // The request went with `Running`.
        Err(_no_memory) => {
            exchange.begin_again();
            answer_and_close(exchange, StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}

/// A handler's green thread is there.
struct Running(Rc<Exchange>);

impl Drop for Running {
    fn drop(&mut self) {
        let connection = self.0.connection();
        self.0.is_running.set(false);
        if let Some(key) = self.0.handler.take() {
            connection.core().remove_handler(key);
        }
        // Of a handler that was killed before it began.
        self.0.drop_request();
        self.0.fail();
        connection.handler_has_ended();
    }
}

/// What a handler's green thread does.
fn handle(exchange: &Rc<Exchange>) {
    let core = exchange.connection().core();
    let (method, path) = exchange.title();
    // It is taken inside: what a closure captures is moved twice more.
    let handle = || core.handler.handle(exchange.take_request());
    match catch_unwind(AssertUnwindSafe(handle)) {
        Ok(response) => give(exchange, response),
        Err(payload) if payload.is::<Killed>() => resume_unwind(payload),
        Err(payload) => {
            let path = path.as_ref().map_or("", |path| path.path());
            crate::core::tell(format_args!("the handler of {method} {path} has panicked"));
            give(exchange, StatusCode::INTERNAL_SERVER_ERROR.into_response());
            drop(payload);
        }
    }
}

/// Gives an answer to hyper; sends the body of one that is made while it is sent.
fn give(exchange: &Rc<Exchange>, response: Response) {
    let (mut head, body) = response.into_parts();
    let body = body.0.of_answer(head.status, exchange.is_connect());
    let is_http2 = exchange.connection().pulse().is_http2.get();
    // A handler may pass on the head of another server's answer.
    head.version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    let is_upgrade = matches!(body, Kind::Upgrade(_));
    if is_upgrade && (is_http2 || !exchange.may_upgrade()) {
        return refuse_upgrade(exchange, &head, is_http2);
    }
    // The client would take what comes next for the tunnel, and hyper ends the connection.
    if exchange.is_connect() && head.status.is_success() && !is_upgrade {
        return give(exchange, StatusCode::NOT_IMPLEMENTED.into_response());
    }
    settle_length(exchange, &mut head, &body);
    if !is_http2 && exchange.leaves_a_body_behind() {
        // The client may send the body or not, now: what comes next could be either (RFC 9110, 10.1.1).
        head.headers.append(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let wants_body = !exchange.is_head() && !has_no_body(head.status);
    let answer = |body| exchange.answer(Answer::from_parts(head, body));
    match body {
        // hyper leaves it away for `HEAD` in HTTP/1.1 alone.
        Kind::Full(_) | Kind::Writer(_) if !wants_body && (is_http2 || !exchange.is_head()) => {
            answer(Outgoing::empty(exchange));
        }
        // It takes the head, and lets go of the body.
        Kind::Writer(_) if !wants_body => {
            answer(Outgoing::piped(exchange, &Rc::new(Pipe::new(exchange.connection()))));
        }
        Kind::Empty => answer(Outgoing::empty(exchange)),
        Kind::Full(bytes) => answer(Outgoing::full(exchange, bytes)),
        Kind::Upgrade(proceed) => {
            // Else the client has gone, and nobody would ever take it.
            if exchange.is_pending() {
                exchange.connection().upgrade(proceed);
            }
            answer(Outgoing::empty(exchange));
        }
        Kind::Writer(write) => {
            let pipe = Rc::new(Pipe::new(exchange.connection()));
            answer(Outgoing::piped(exchange, &pipe));
            send(&pipe, write);
        }
    }
}

/// A protocol that the client has not asked for, or cannot get. RFC 9110, 7.8 and 15.5.22.
fn refuse_upgrade(exchange: &Rc<Exchange>, head: &::http::response::Parts, is_http2: bool) {
    if is_http2 {
        return give(exchange, StatusCode::NOT_IMPLEMENTED.into_response());
    }
    let mut response = StatusCode::UPGRADE_REQUIRED.into_response();
    for name in [header::UPGRADE, header::CONNECTION] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    give(exchange, response);
}

/// What the head says of the body's length is what it is: the client would take what comes next for a part
/// of the body, or a part of it for what comes next.
fn settle_length(exchange: &Exchange, head: &mut ::http::response::Parts, body: &Kind) {
    if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
        // Neither has a body (RFC 9110, 15.3.5 and 15.3.6), nor the length of one.
        head.headers.remove(header::CONTENT_LENGTH);
        return;
    }
    let length = match body {
        Kind::Empty => 0,
        Kind::Full(bytes) => bytes.len(),
        // hyper counts those.
        Kind::Writer(_) | Kind::Upgrade(_) => return,
    };
    // Answers have few fields: to compare one costs 8 instructions, to look one up by its hash 85.
    let is_told = head.headers.keys().any(|name| *name == header::CONTENT_LENGTH);
    // Without a body to send, it may be that of another answer: of `GET`, or of one that has not changed.
    if length == 0 && (exchange.is_head() || head.status == StatusCode::NOT_MODIFIED) {
        return;
    }
    let is_to_be_told = exchange.is_head() && exchange.connection().pulse().is_http2.get();
    if is_told || is_to_be_told {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
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
        // So is a body of the request that it has not sent, where the answer is made of that.
        Err(error) if error.get_ref().is_some_and(|error| error.is::<BodyError>()) => {}
        Err(error) => {
            crate::core::tell(format_args!("a handler of HTTP has cut its answer off: {error}"));
        }
    }
}
