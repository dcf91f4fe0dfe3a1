//! Futures as handlers of a `Server`: what they read and write counts as that of any other handler.
#![cfg(feature = "tokio")]

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::time::{Duration, Instant};

use evy_green_net::adapt::Async;
use evy_green_net::{Server, TcpStream, listen};
use evy_runtime::{block_on, unblock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes by a future.
fn echo(stream: TcpStream) -> std::io::Result<()> {
    block_on(async move {
        let mut stream = Async::new(stream);
        let mut buffer = [0; 64];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => stream.write_all(&buffer[..count]).await?,
            }
        }
    })
}

fn is_echoed(mut stream: &StdStream) -> bool {
    let mut answer = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut answer).is_ok()
}

fn client(address: std::net::SocketAddr) -> StdStream {
    let stream = StdStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(is_echoed(&stream));
    stream
}

#[test]
fn fault_46_a_stop_ends_a_future_that_waits_for_its_peer() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(listener, |stream, _| echo(stream)).start().unwrap();
    let client = unblock(move || client(address));
    let waits = std::thread::spawn(move || {
        // The end comes after the answers, and before the grace is over.
        let mut rest = Vec::new();
        (&client).read_to_end(&mut rest).unwrap();
        rest.len()
    });
    let start = Instant::now();
    let stopped = server.stop(PATIENCE);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert_eq!((stopped.finished, stopped.killed), (1, 0));
    assert_eq!(waits.join().unwrap(), 0);
}

#[test]
fn a_future_that_is_at_work_is_not_idle() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let idle = Duration::from_millis(400);
    let server = Server::new(listener, |stream, _| echo(stream)).idle_timeout(idle);
    let server = server.start().unwrap();
    let alive = unblock(move || {
        let client = client(address);
        let start = Instant::now();
        // Three times as long as the server would wait for one that says nothing.
        while start.elapsed() < 3 * idle {
            if !is_echoed(&client) {
                return false;
            }
            #[expect(clippy::disallowed_methods, reason = "this is a job on another OS thread")]
            std::thread::sleep(idle / 20);
        }
        true
    });
    assert!(alive);
    drop(server);
}
