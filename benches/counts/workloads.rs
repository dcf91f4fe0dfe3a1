//! What is counted: operations that do the same each time, in one process on one OS thread.
//!
//! Everything runs on green threads, whose stacks lie as the runtime places them; where the OS thread's own
//! begins depends on the length of the program's path. A client is in the process of its server, so that
//! nobody is waited for who may be early or late.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use evy::http::{HeaderValue, Request, Response, header};
use evy::net::TcpStream;
use evy::sync::channel;
use evy::{GreenPool, spawn, spawn_n, timeout, yield_now};
use evy_hub::{Hub, Owner};
use evy_runtime::{Reason, WaitList};

/// An operation, and how often it is done to be counted.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Even, so that two can share the work. The dearer the operation, the smaller.
    pub(crate) times: u64,
    run: fn(u64) -> io::Result<()>,
}

impl Workload {
    /// Does the operation `times` times.
    pub(crate) fn run(&self, times: u64) -> io::Result<()> {
        let run = self.run;
        spawn(move || run(times)).wait().expect("it does not panic")
    }
}

/// All of them, in the order in which they are printed.
pub(crate) const WORKLOADS: [Workload; 10] = [
    Workload { name: "switch", times: 100_000, run: switches },
    Workload { name: "spawn", times: 50_000, run: spawns },
    Workload { name: "yield", times: 200_000, run: yields },
    Workload { name: "channel", times: 50_000, run: channels },
    Workload { name: "echo", times: 10_000, run: echoes },
    Workload { name: "timer", times: 100_000, run: timers },
    Workload { name: "timeout", times: 50_000, run: timeouts },
    Workload { name: "imap", times: 20_000, run: items },
    Workload { name: "http-1", times: 5_000, run: |times| requests(1, times) },
    Workload { name: "http-100", times: 10_000, run: |times| requests(100, times) },
];

const TURN: Reason = Reason::new(&"its turn");

/// A park and a wake, there and back.
fn switches(times: u64) -> io::Result<()> {
    let (here, there) = (Rc::new(WaitList::new()), Rc::new(WaitList::new()));
    let wait = |list: &WaitList| list.wait(TURN, None, || ()).expect("there is no deadline");
    spawn_n({
        let (here, there) = (Rc::clone(&here), Rc::clone(&there));
        move || {
            loop {
                wait(&there);
                here.wake_one();
            }
        }
    });
    yield_now();
    for _ in 0..times {
        there.wake_one();
        wait(&here);
    }
    Ok(())
}

/// `spawn` and `wait`.
fn spawns(times: u64) -> io::Result<()> {
    for _ in 0..times {
        let seven = spawn(|| black_box(7)).wait();
        assert_eq!(black_box(seven).expect("it does not panic"), 7);
    }
    Ok(())
}

/// One `yield_now`, of two who yield to each other.
fn yields(times: u64) -> io::Result<()> {
    spawn_n(|| {
        loop {
            yield_now();
        }
    });
    (0..times / 2).for_each(|_| yield_now());
    Ok(())
}

/// An item to another green thread and back.
fn channels(times: u64) -> io::Result<()> {
    let ((ping, pings), (pong, pongs)) = (channel(), channel());
    spawn_n(move || pings.iter().for_each(|item: u64| pong.send(item).expect("it is waited for")));
    for item in 0..times {
        ping.send(item).expect("the other one lives");
        assert_eq!(pongs.recv().expect("the other one lives"), item);
    }
    Ok(())
}

/// 64 bytes to an echo server and back.
fn echoes(times: u64) -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    let mut client = evy::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    spawn_n(move || evy::io::copy(&server, &server));
    let (request, mut answer) = ([7; 64], [0; 64]);
    for _ in 0..times {
        client.write_all(&request)?;
        client.read_exact(&mut answer)?;
    }
    assert_eq!(answer, request);
    Ok(())
}

/// A deadline set and the oldest of 1,000 cancelled: a minute ahead, a connection each microsecond.
fn timers(times: u64) -> io::Result<()> {
    const LIVE: u64 = 1_000;
    const TIMEOUT: u64 = 60_000_000_000;
    const STEP: u64 = 1_000;
    let owner = Owner(NonZeroUsize::MIN);
    let mut hub = Hub::new()?;
    let start = hub.now() + TIMEOUT;
    let mut set = |nth: u64| hub.add_deadline(start + nth * STEP, owner);
    let mut keys: Vec<_> = (0..LIVE).map(&mut set).collect();
    for nth in LIVE..LIVE + times {
        let key = hub.add_deadline(start + nth * STEP, owner);
        let oldest = std::mem::replace(&mut keys[(nth % LIVE) as usize], key);
        assert!(hub.cancel_deadline(oldest));
    }
    Ok(())
}

/// A `timeout` that is not needed.
fn timeouts(times: u64) -> io::Result<()> {
    for _ in 0..times {
        timeout(Duration::from_secs(60), || black_box(()))?;
    }
    Ok(())
}

/// An item of `imap` that costs nothing.
fn items(times: u64) -> io::Result<()> {
    let results = GreenPool::default().imap(black_box, 0..times);
    assert_eq!(results.count() as u64, times);
    Ok(())
}

const HELLO: &str = "Hello, World!";

/// What a usual client of HTTP sends, if it is brief.
const REQUEST: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// A request of HTTP and its answer, on one of so many connections that are kept.
fn requests(connections: u64, times: u64) -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    let server = evy::http::Server::new(listener, |_: Request| {
        let mut response = Response::new(HELLO.into());
        let plain = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    })
    .start()?;
    let clients = (0..connections).map(|_| HttpClient::connect(server.local_addr()));
    let mut clients: Vec<_> = clients.collect::<io::Result<_>>()?;
    // All ask before any is answered: so each round finds the server idle, whatever the one before was like.
    for _ in 0..times / connections {
        clients.iter_mut().try_for_each(HttpClient::ask)?;
        clients.iter_mut().try_for_each(HttpClient::hear)?;
    }
    Ok(())
}

/// A connection to an HTTP server that gives each request the same answer.
struct HttpClient {
    stream: TcpStream,
    /// As long as every answer.
    answer: Vec<u8>,
}

impl HttpClient {
    /// Connects, and finds out by a first request how long an answer is.
    fn connect(address: std::net::SocketAddr) -> io::Result<Self> {
        let mut stream = evy::connect(address)?;
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        while !answer.ends_with(HELLO.as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        Ok(Self { stream, answer })
    }

    /// Sends a request.
    fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(REQUEST)
    }

    /// Reads the answer to it.
    fn hear(&mut self) -> io::Result<()> {
        self.stream.read_exact(&mut self.answer)?;
        assert!(self.answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(self.answer.ends_with(HELLO.as_bytes()));
        Ok(())
    }
}
