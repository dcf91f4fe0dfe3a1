//! A web server for the tests of programs: green threads on an OS thread of its own.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use evy::net::TcpStream;

/// What the server says to a path.
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    /// Lines, each with its end.
    pub(crate) headers: String,
    pub(crate) body: String,
    pub(crate) delay: Duration,
}

impl Answer {
    pub(crate) fn page(body: impl Into<String>) -> Self {
        let (headers, delay) = (String::new(), Duration::ZERO);
        Self { status: "200 OK", headers, body: body.into(), delay }
    }

    pub(crate) fn not_found() -> Self {
        Self { status: "404 Not Found", ..Self::page("nothing here") }
    }

    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// Runs until the test's process ends.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn start(answer: impl Fn(&str) -> Answer + Send + Clone + 'static) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let listener = evy::listen("127.0.0.1:0").expect("a free port");
            sender.send(listener.local_addr()).expect("the test waits");
            evy::serve(listener, move |client, _| {
                // Clients may leave at any time.
                let _ = converse(&client, &answer, &counter);
                Ok(())
            })
        });
        let address = receiver.recv().expect("the server starts").expect("an address");
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests came so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn converse(
    client: &TcpStream,
    answer: impl Fn(&str) -> Answer,
    counter: &AtomicUsize,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1024, client);
    let mut writer = client;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while header != "\r\n" {
            header.clear();
            reader.read_line(&mut header)?;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let Answer { status, headers, body, delay } = answer(line.split(' ').nth(1).unwrap_or("/"));
        evy::sleep(delay);
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
        writer.write_all((head + &body).as_bytes())?;
    }
}

/// Where cargo has put an example, as seen from the executable of a test.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let program = folder.join("examples").join(name);
    let text = "is missing; first run: cargo build --examples --all-features";
    assert!(program.exists(), "{} {text}", program.display());
    program
}

/// A port on which nobody listens.
pub(crate) fn refused_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
