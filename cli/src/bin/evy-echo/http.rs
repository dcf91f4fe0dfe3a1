//! The echo of `--http`: the answer to a request is its body.
//!
//! Nothing is collected: a piece of the answer is on its way before the next one of the request is read.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evy::http::{
    Access, Body, BodyWriter, HeaderMap, IntoResponse, Method, Request, RequestBody, Response,
    RunningServer, Server, StatusCode, Stream, Version, header,
};
use evy::net::{Listener, TcpListener};
use evy::{ServerCounters, Stopped};

use crate::serving::Serving;
use crate::stats::Tally;
use crate::terms::Terms;

/// What may be longer by `--idle-timeout`, and is not: a client that takes so long for the head of a
/// request, or keeps its body or its answer waiting so long, is no client that thinks.
const PATIENCE_AT_MOST: Duration = Duration::from_secs(30);

/// How fast a body has to come, and an answer to go, beyond that: as evy's servers of HTTP have it.
const BYTES_PER_SECOND: u64 = 500;

/// What of a request is told about its body, and so is true of the answer's, too.
const OF_BODY: [header::HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_ENCODING];

pub(crate) fn serve_http<L>(listeners: Vec<L>, terms: &Terms) -> io::Result<Option<Rc<dyn Serving>>>
where
    L: Listener<Stream: Into<Stream>>,
{
    serve(listeners, terms, |server| server)
}

pub(crate) fn serve_https(
    listeners: Vec<TcpListener>,
    terms: &Terms,
) -> io::Result<Option<Rc<dyn Serving>>> {
    let Some(acceptor) = terms.acceptor.clone() else { return Ok(None) };
    serve(listeners, terms, |server| server.tls(acceptor))
}

fn serve<L>(
    listeners: Vec<L>,
    terms: &Terms,
    finish: impl FnOnce(Server<L>) -> Server<L>,
) -> io::Result<Option<Rc<dyn Serving>>>
where
    L: Listener<Stream: Into<Stream>>,
{
    let mut listeners = listeners.into_iter();
    let Some(first) = listeners.next() else { return Ok(None) };
    let tally = Arc::clone(&terms.book.tally);
    let server = Server::new(first, move |request| answer(request, &tally));
    let mut server = listeners.fold(server, Server::listener).client_limit(&terms.clients);
    if let Some(time) = terms.idle_timeout {
        let patience = time.min(PATIENCE_AT_MOST);
        server =
            server.idle_timeout(time).head_timeout(patience).min_rate(BYTES_PER_SECOND, patience);
    }
    if terms.book.log {
        server = server.access_log(log);
    }
    Ok(Some(Rc::new(finish(server).start()?)))
}

impl<A> Serving for RunningServer<A> {
    fn wait(&self) -> io::Result<()> {
        self.wait()
    }

    fn stop(&self, grace: Duration) -> Stopped {
        self.stop(grace)
    }

    fn counters(&self) -> Option<ServerCounters> {
        Some(self.counters())
    }
}

/// In one piece, for other processes may write to the same terminal.
fn log(access: &Access) {
    let _ = io::stderr().write_all(format!("{access}\n").as_bytes());
}

fn answer(request: Request, tally: &Arc<Tally>) -> io::Result<Response> {
    tally.asked();
    let (head, mut body) = request.into_parts();
    if head.method == Method::CONNECT {
        return Ok(StatusCode::NOT_IMPLEMENTED.into_response());
    }
    let is_asking = matches!(head.method, Method::GET | Method::HEAD);
    if is_asking && body.remaining() == Some(0) {
        let scheme = if body.connection().is_tls { "https" } else { "http" };
        let host = head.uri.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| head.headers.get(header::HOST)?.to_str().ok());
        return Ok(usage(scheme, host).into_response());
    }
    // Before there is an answer: who waits for `100 Continue` is told to go on, and one whose body is
    // wrong from its start that it is. In HTTP/2 a client may well wait for the head of the answer first.
    if head.version < Version::HTTP_2 {
        body.fill_buf()?;
    }
    Ok(echo(&head.headers, body, Arc::clone(tally)))
}

fn echo(asked: &HeaderMap, mut body: RequestBody, tally: Arc<Tally>) -> Response {
    let length = body.remaining();
    let send = move |client: &mut BodyWriter| send_back(&mut body, client, &tally);
    let mut response = Response::new(match length {
        Some(0) => Body::empty(),
        _ => Body::writer(send),
    });
    let headers = response.headers_mut();
    for name in OF_BODY {
        if let Some(value) = asked.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

fn send_back(body: &mut RequestBody, client: &mut BodyWriter, tally: &Tally) -> io::Result<()> {
    loop {
        let piece = body.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok(());
        }
        // Sent as it comes: who asks piece by piece may wait for each to come back.
        client.write_all(piece)?;
        client.flush()?;
        body.consume(length);
        tally.sent(length);
    }
}

/// What somebody who looks with a browser gets to see.
fn usage(scheme: &str, host: Option<&str>) -> String {
    let host = host.filter(|host| is_plain(host)).unwrap_or("localhost");
    let mut text = String::from("evy-echo: the answer to a request is its body. For example:\n\n");
    let url = format!("{scheme}://{host}/");
    for options in ["--data hello", "--data-binary @FILE", "--upload-file -"] {
        // A String takes everything.
        let _ = writeln!(text, "  curl {options} {url}");
    }
    text
}

/// Whether it can stand in a command of a shell: clients send what they like.
fn is_plain(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(is_plain)
}
