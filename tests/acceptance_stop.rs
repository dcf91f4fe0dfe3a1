//! A server of HTTP that gets SIGTERM while ten thousand requests are under way, with wrk as the client.
#![cfg(all(feature = "http", feature = "signal"))]

#[path = "programs/mod.rs"]
mod programs;

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use evy::http::{Request, Server};
use programs::PATIENCE;

const CLIENTS: usize = 10_000;

/// How long a handler works when all requests are there: then the signal comes.
const WORK: Duration = Duration::from_secs(1);

/// How long wrk goes on: all are connected, the signal comes, all are answered.
const TIME: &str = "15s";

const GRACE: Duration = Duration::from_secs(10);

/// What a server's OS thread and the test both see.
#[derive(Clone, Default)]
struct Counts {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Counts {
    fn under_way(&self) -> usize {
        self.begun.load(Relaxed) - self.ended.load(Relaxed)
    }
}

/// What became of the server: how many handlers it had to kill, and how long the stop took.
struct End {
    killed: usize,
    time: Duration,
}

#[test]
#[ignore = "acceptance: needs wrk"]
fn fault_46_none_of_ten_thousand_requests_under_way_is_lost_at_sigterm() {
    raise_the_limit_of_descriptors().expect("as far as the hard limit");
    let (counts, (address_to, address), (end_to, end)) = (Counts::default(), channel(), channel());
    let counted = counts.clone();
    thread::spawn(move || end_to.send(serve_until_told(&counted, &address_to)));
    let address = address.recv().expect("the server starts");
    let clients = CLIENTS.to_string();
    let url = format!("http://{address}/");
    let wrk = Command::new("wrk")
        .args(["-t", "1", "-c", &clients, "-d", TIME, "--timeout", "30s", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("wrk is installed");

    let start = Instant::now();
    while counts.under_way() < CLIENTS {
        assert!(start.elapsed() < PATIENCE, "only {} under way", counts.under_way());
        evy::sleep(Duration::from_millis(1));
    }
    println!("{CLIENTS} under way after {:.1?}", start.elapsed());
    let own = std::process::id().to_string();
    let sent = Command::new("kill").args(["-TERM", &own]).status().expect("every system has it");
    assert!(sent.success());

    let end = end.recv().expect("the server stops");
    let said = wrk.wait_with_output().expect("it is our child");
    let said = String::from_utf8(said.stdout).expect("it writes text");
    println!("stopped in {:.1?}\n{said}", end.time);
    assert_eq!(end.killed, 0);
    assert!(end.time < GRACE, "{:?}", end.time);
    assert_eq!(counts.under_way(), 0);
    // Every answer that was made has arrived, whole. What wrk asks for after that is refused: no answer.
    assert_eq!(answers(&said), counts.ended.load(Relaxed), "{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
}

/// Serves until SIGTERM comes; then lets those finish that are under way.
fn serve_until_told(counts: &Counts, address: &Sender<SocketAddr>) -> End {
    let handled = counts.clone();
    let handler = move |_: Request| {
        handled.begun.fetch_add(1, Relaxed);
        while handled.begun.load(Relaxed) < CLIENTS {
            evy::sleep(Duration::from_millis(10));
        }
        evy::sleep(WORK);
        handled.ended.fetch_add(1, Relaxed);
        "done\n"
    };
    let listener = evy::listen("127.0.0.1:0").expect("a free port");
    let server = Server::new(listener, handler).max_clients(CLIENTS + 100).start();
    let server = server.expect("it starts");
    let waiter = evy::spawn(move || {
        evy::signal::wait([libc::SIGTERM]).expect("it is one that can be waited for");
    });
    // Only now: the signal must find somebody who waits for it.
    evy::yield_now();
    address.send(server.local_addr()).expect("the test waits");
    waiter.wait().expect("it only waits");
    let start = Instant::now();
    let stopped = server.stop(GRACE);
    End { killed: stopped.killed, time: start.elapsed() }
}

/// How many answers wrk has had.
fn answers(said: &str) -> usize {
    let line = said.lines().find(|line| line.contains(" requests in ")).expect("it counts them");
    line.split_whitespace().next().expect("a number first").parse().expect("a number")
}

/// Server and wrk have a descriptor each for every connection.
fn raise_the_limit_of_descriptors() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call, which fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid for the call, which only reads it.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
