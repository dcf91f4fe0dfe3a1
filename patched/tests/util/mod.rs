//! Servers on plain OS threads, for a client that is green.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Blocks an OS thread of a server.
#[expect(clippy::disallowed_methods, reason = "on a plain OS thread")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// What a client sent.
pub(crate) struct Request {
    /// `GET /path HTTP/1.1`
    pub(crate) line: String,
    /// The lines behind that one.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).expect("a request line has a path")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.iter().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// An answer with a body and its length.
pub(crate) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An answer without a body, that has these lines in its head.
pub(crate) fn answer_with(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}\r\n")
}

/// A server of one connection, on an OS thread of its own.
pub(crate) fn serve_one(
    serve: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || serve(listener.accept()?.0));
    address
}

/// Passes on what comes from either side, until both have ended.
pub(crate) fn relay(one: &TcpStream, other: &TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (one.try_clone()?, other.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    io::copy(&mut &*other, &mut &*one)?;
    one.shutdown(Shutdown::Write)
}

/// Waits until `stream`'s other end is closed.
pub(crate) fn wait_for_end(mut stream: &TcpStream) {
    while !matches!(stream.read(&mut [0; 4096]), Ok(0) | Err(_)) {}
}

/// An HTTP server, one OS thread for each connection, until the test ends.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl HttpServer {
    /// `handler` gives whole answers, head and body. An empty one closes the connection.
    pub(crate) fn start<A: Into<Vec<u8>>>(
        handler: impl Fn(&Request) -> A + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (handler, counter) = (Arc::new(handler), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::Relaxed);
                let handler = Arc::clone(&handler);
                // Clients may leave at any time.
                thread::spawn(move || stream.map(|stream| converse(&stream, &stream, &*handler)));
            }
        });
        Self { address, connections }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Answers the requests of one connection until its end.
pub(crate) fn converse<A: Into<Vec<u8>>>(
    reader: impl Read,
    mut writer: impl Write,
    handler: impl Fn(&Request) -> A,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    while let Some(request) = read_request(&mut reader)? {
        let answer = handler(&request).into();
        if answer.is_empty() {
            break;
        }
        writer.write_all(&answer)?;
    }
    Ok(())
}

/// Reads one request; none at the end of the connection.
pub(crate) fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let mut body = vec![0; length.map_or(0, |length| length.expect("a number"))];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).expect("the tests send text");
    let line = head.remove(0);
    Ok(Some(Request { line, headers: head, body }))
}

/// A server that reads one request, says so, never answers, and says when the client has left.
pub(crate) fn silent_server() -> (String, Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (news, receiver) = channel();
    thread::spawn(move || -> io::Result<()> {
        let (stream, _) = listener.accept()?;
        read_request(&mut BufReader::new(&stream))?;
        let _ = news.send("request");
        wait_for_end(&stream);
        let _ = news.send("gone");
        Ok(())
    });
    (url, receiver)
}

/// Waits for the next news, without blocking the hub.
pub(crate) fn next<T: Send + 'static>(receiver: Receiver<T>) -> (T, Receiver<T>) {
    evy_runtime::unblock(move || {
        let news = receiver.recv_timeout(Duration::from_secs(10)).expect("news within 10 s");
        (news, receiver)
    })
}
