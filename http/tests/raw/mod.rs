//! Sends raw requests to a server, and says what has become of them.

#[path = "../util/read_all.rs"]
mod read_all;
pub(crate) mod table;

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evy_http::{IntoResponse, Method, Request, Response, RunningServer, Server, StatusCode};
use read_all::try_read_all;
use table::{After, Closes, Ends, Keeps, LONGEST_BODY};

/// What is asked behind the bytes of a case whose connection is to be kept.
const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// Requests that a handler has seen, as the table writes them.
type Seen = Rc<RefCell<Vec<String>>>;

/// A server that takes note of what its handler sees.
pub(crate) struct Witness {
    server: RunningServer,
    seen: Seen,
}

/// What has become of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of all answers.
    pub(crate) statuses: Vec<u16>,
    pub(crate) seen: Vec<String>,
}

impl Witness {
    pub(crate) fn start() -> Self {
        let seen = Seen::default();
        let noted = Rc::clone(&seen);
        let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
        let server = Server::new(listener, move |request: Request| note(&noted, request))
            .max_body(LONGEST_BODY)
            .start()
            .unwrap();
        Self { server, seen }
    }

    fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Sends `bytes` by a connection of their own, and waits for its end.
    pub(crate) fn send(&self, bytes: &[u8], after: After) -> Result<Outcome, String> {
        self.send_in_pieces(bytes, after, usize::MAX)
    }

    /// The same, byte by byte.
    pub(crate) fn send_slowly(&self, bytes: &[u8], after: After) -> Result<Outcome, String> {
        self.send_in_pieces(bytes, after, 1)
    }

    fn send_in_pieces(&self, bytes: &[u8], after: After, size: usize) -> Result<Outcome, String> {
        self.seen.borrow_mut().clear();
        let stream = Arc::new(evy_green_net::connect(self.addr()).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (writer, mut bytes) = (Arc::clone(&stream), bytes.to_vec());
        if after == Keeps {
            bytes.extend_from_slice(PROBE.as_bytes());
        }
        // On the side: the server may answer, and close, before it has all of it.
        let writing = evy_runtime::spawn(move || {
            for piece in bytes.chunks(size) {
                if (&*writer).write_all(piece).is_err() {
                    return;
                }
                // The server's turn.
                evy_runtime::yield_now();
            }
            if after == Ends {
                let _ = writer.shutdown(Shutdown::Write);
            }
        });
        let answers = try_read_all(&mut &*stream)?;
        drop(writing.wait());
        let mut statuses = statuses(&answers)?;
        let mut seen = self.seen.take();
        if after == Keeps {
            if statuses.pop() != Some(200) || seen.pop().as_deref() != Some("GET /probe") {
                return Err(format!("the connection was not kept: {statuses:?}, {seen:?}"));
            }
        } else if after == Closes && seen.iter().any(|request| request.ends_with("/probe")) {
            return Err("nobody has sent a probe".to_owned());
        }
        Ok(Outcome { statuses, seen })
    }

    /// Whether it serves.
    pub(crate) fn serves(&self) -> bool {
        let mut stream = evy_green_net::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(PROBE.as_bytes()).unwrap();
        try_read_all(&mut stream).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200 "))
    }

    pub(crate) fn connections(&self) -> usize {
        self.server.counters().clients()
    }
}

/// The handler: see the table.
fn note(seen: &Seen, mut request: Request) -> Response {
    let target = request.uri().to_string();
    let target =
        target.split_once('?').filter(|(path, _)| *path == "/long").map_or(&*target, |it| it.0);
    let mut line = format!("{} {target}", request.method());
    let place = seen.borrow().len();
    seen.borrow_mut().push(line.clone());
    if request.method() == Method::CONNECT {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let names: Vec<_> = request.headers().keys().cloned().collect();
    let result = match target {
        "/unread" => Ok(String::new()),
        _ => io::read_to_string(request.body_mut()),
    };
    let is_long = target == "/long";
    match &result {
        Ok(body) if body.is_empty() || is_long => {}
        Ok(body) => line = format!("{line} {body}"),
        Err(_) => line.push_str(" (broken)"),
    }
    // A trailer must not have become a header.
    assert!(request.headers().keys().eq(&names), "{:?}", request.headers());
    for name in request.body().trailers().iter().flat_map(|trailers| trailers.keys()) {
        if !is_long {
            line.push_str(&format!(" +{name}"));
        }
    }
    seen.borrow_mut()[place] = line;
    result.into_response()
}

/// The statuses of answers with known lengths. Where it is HTTP/2 that is answered, there are none.
fn statuses(mut answers: &[u8]) -> Result<Vec<u16>, String> {
    let mut statuses = Vec::new();
    while let Some(rest) =
        answers.strip_prefix(b"HTTP/1.1 ").or_else(|| answers.strip_prefix(b"HTTP/1.0 "))
    {
        let whole =
            || format!("an answer that is not whole: {:?}", String::from_utf8_lossy(answers));
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(whole)?;
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        statuses.push(head[..3].parse().map_err(|_| whole())?);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(Ok(0), str::parse).map_err(|_| whole())?;
        answers = &rest[end + 4..];
        // To `HEAD`, the body is not there. None of ours begins like this.
        if !(answers.starts_with(b"HTTP/1.") || head.is_empty() || answers.is_empty()) {
            answers = answers.get(length..).ok_or_else(whole)?;
        }
    }
    match answers {
        [] => Ok(statuses),
        // A frame of settings: HTTP/2.
        [0, 0, _, 4, 0, ..] if statuses.is_empty() => Ok(statuses),
        _ => Err(format!("no answer: {:?}", String::from_utf8_lossy(answers))),
    }
}
