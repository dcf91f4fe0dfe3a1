//! What the tests of this workspace have in common: servers of a few lines, many clients at once, and an
//! end for a test that hangs.
//!
//! Servers and clients are green threads of one OS thread. A call that blocked that OS thread would keep the
//! very server from answering that it waits for: what gets through here does not block. That calls overlap
//! is shown by servers that answer nobody until all have asked.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use std::{process, thread};

use evy::net::TcpStream;
use evy::sync::Barrier;

/// How many clients there are at once.
pub const CLIENTS: usize = 10;

/// Ends the process if it is there for a minute: the OS thread of a test that hangs cannot do so itself.
pub struct Watchdog(#[expect(dead_code, reason = "it is there for its drop")] Sender<()>);

impl Watchdog {
    pub fn start() -> Self {
        let (sender, receiver) = channel();
        let test = thread::current().name().unwrap_or_default().to_owned();
        thread::spawn(move || {
            if receiver.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                // Not by `eprintln!`, which is kept for the end of the test.
                let _ = writeln!(io::stderr(), "{test}: it hangs");
                process::abort();
            }
        });
        Self(sender)
    }
}

/// Has `handler` serve each connection, on a green thread of its own, with a barrier at which
/// [`CLIENTS`] of them meet.
pub fn serve(handler: impl Fn(TcpStream, &Barrier) -> io::Result<()> + 'static) -> SocketAddr {
    let listener = evy::listen("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let barrier = Barrier::new(CLIENTS);
    evy::spawn_n(move || evy::serve(listener, move |client, _| handler(client, &barrier)));
    address
}

/// Runs as many clients at once, each with its number, and returns what they give.
pub fn at_once<T: 'static>(client: impl Fn(usize) -> T + 'static) -> Vec<T> {
    let _watchdog = Watchdog::start();
    let client = Rc::new(client);
    let threads: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Rc::clone(&client);
            evy::spawn(move || client(number))
        })
        .collect();
    evy::join_all(threads).into_iter().map(|result| result.expect("it does not panic")).collect()
}

/// What happened, in its order.
#[derive(Clone, Debug, Default)]
pub struct Events(Rc<RefCell<Vec<String>>>);

impl Events {
    pub fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// A conversation in lines, as those of mail servers are.
pub struct Lines {
    reader: BufReader<TcpStream>,
}

impl Lines {
    pub fn new(stream: TcpStream) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes())
    }

    /// The next line, without its end; `None` at the end of all.
    pub fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line)?;
        Ok((count > 0).then(|| line.trim_end().to_owned()))
    }
}

/// A certificate for `localhost` that trusts itself, and its key, in PEM.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}
