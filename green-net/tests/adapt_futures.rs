//! Green sockets behind `AsyncRead` and `AsyncWrite` of the futures crates, against real peers.

mod util;

use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evy_green_net::adapt::Async;
use evy_green_net::{TcpListener, TcpStream, connect};
use evy_runtime::{Alarm, block_on, join_all, spawn};
use futures_util::future::{Either, join, select};
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use futures_util::stream::{FuturesUnordered, StreamExt};
use util::{green_pair, pair, soon};

util::and_all_of_them_again!();

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

fn async_pair() -> (Async<TcpStream>, std::net::TcpStream) {
    let (ours, peer) = pair();
    (Async::new(ours), peer)
}

#[test]
fn megabytes_come_back_byte_by_byte_with_tiny_buffers() {
    for buffer in [1, 7, 1500] {
        let (stream, peer) = async_pair();
        let echo = std::thread::spawn(move || {
            let count = io::copy(&mut &peer, &mut &peer).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            count
        });
        let bytes = bytes(if buffer == 1 { 300_000 } else { 3 << 20 });
        let (mut reader, mut writer) = stream.split();
        let (mut received, mut piece) = (Vec::new(), vec![0; buffer]);
        soon(|| {
            block_on(join(
                async {
                    for piece in bytes.chunks(3001) {
                        writer.write_all(piece).await.unwrap();
                    }
                    writer.close().await.unwrap();
                },
                async {
                    loop {
                        match reader.read(&mut piece).await.unwrap() {
                            0 => break,
                            count => received.extend_from_slice(&piece[..count]),
                        }
                    }
                },
            ))
        });
        assert!(received == bytes);
        assert_eq!(echo.join().unwrap(), bytes.len() as u64);
    }
}

/// Both ends in one green thread, each half with a waker of its own.
#[test]
fn four_halves_in_one_green_thread() {
    let (ours, theirs) = green_pair();
    let (mut our_reader, mut our_writer) = Async::new(ours).split();
    let (mut their_reader, mut their_writer) = Async::new(theirs).split();
    let bytes = Rc::new(bytes(4 << 20));
    let mut halves = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
    let sent = Rc::clone(&bytes);
    halves.push(Box::pin(async move {
        our_writer.write_all(&sent).await.unwrap();
        our_writer.close().await.unwrap();
    }));
    halves.push(Box::pin(async move {
        futures_util::io::copy(&mut their_reader, &mut their_writer).await.unwrap();
        their_writer.close().await.unwrap();
    }));
    let expected = Rc::clone(&bytes);
    halves.push(Box::pin(async move {
        let mut received = Vec::new();
        our_reader.read_to_end(&mut received).await.unwrap();
        assert!(received == *expected);
    }));
    soon(|| block_on(async { while halves.next().await.is_some() {} }));
}

#[test]
fn a_thousand_connections_in_one_green_thread() {
    const CLIENTS: usize = 1000;
    util::limit_descriptors(4096);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            spawn(move || {
                let mut stream = connect(address).unwrap();
                for round in 0..10 {
                    let (request, mut answer) = (format!("{n:8}{round:8}"), [0; 16]);
                    stream.write_all(request.as_bytes()).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, request.as_bytes());
                }
            })
        })
        .collect();
    let server = spawn(move || {
        let connections = FuturesUnordered::new();
        for _ in 0..CLIENTS {
            let (reader, mut writer) = Async::new(listener.accept().unwrap().0).split();
            connections.push(async move {
                futures_util::io::copy(BufReader::new(reader), &mut writer).await.unwrap()
            });
        }
        block_on(connections.fold(0, async |sum, count| sum + count))
    });
    soon(|| join_all(clients)).into_iter().for_each(|client| client.unwrap());
    assert_eq!(soon(|| server.wait()).unwrap(), CLIENTS as u64 * 160);
}

/// A timer and a socket, whichever comes first.
#[test]
fn either_a_timer_or_a_socket() {
    let (mut stream, mut peer) = async_pair();
    let mut buffer = [0; 8];
    let mut wait = |patience| {
        let outcome = soon(|| block_on(select(stream.read(&mut buffer), Alarm::after(patience))));
        match outcome {
            Either::Left((count, _)) => Some(count.unwrap()),
            Either::Right(_) => None,
        }
    };
    assert_eq!(wait(Duration::from_millis(2)), None);
    peer.write_all(b"hello").unwrap();
    assert_eq!(wait(Duration::from_secs(3600)), Some(5));
    drop(peer);
    assert_eq!(wait(Duration::from_secs(3600)), Some(0));
}

#[test]
fn several_buffers_are_read_in_one_call() {
    let (mut stream, mut peer) = async_pair();
    peer.write_all(b"hello, world").unwrap();
    let (mut first, mut second) = ([0; 5], [0; 16]);
    let mut read = |first: &mut [u8], second: &mut [u8]| {
        let mut buffers = [IoSliceMut::new(first), IoSliceMut::new(second)];
        soon(|| {
            block_on(std::future::poll_fn(|context| {
                Pin::new(&mut stream).poll_read_vectored(context, &mut buffers)
            }))
        })
    };
    assert_eq!(read(&mut first, &mut second).unwrap(), 12);
    assert_eq!((&first, &second[..7]), (b"hello", &b", world"[..]));
    assert_eq!(read(&mut [], &mut []).unwrap(), 0);
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&mut first, &mut second).unwrap(), 0);
    let mut context = Context::from_waker(Waker::noop());
    let poll = Pin::new(&mut stream).poll_read(&mut context, &mut []);
    assert!(matches!(poll, Poll::Ready(Ok(0))), "{poll:?}");
}

/// FAULTS row 2.
#[test]
fn fault_02_close_ends_a_pending_read() {
    let (stream, _peer) = pair();
    let stream = Arc::new(stream);
    let mut reader = Async::new(Arc::clone(&stream));
    let closed = spawn(move || block_on(reader.read(&mut [0; 8])).map_err(|error| error.kind()));
    util::let_all_park();
    stream.close();
    assert_eq!(soon(|| closed.wait()).unwrap(), Err(ErrorKind::NotConnected));
}

/// FAULTS row 11.
#[test]
fn fault_11_a_reset_ends_a_pending_read() {
    let (mut stream, peer) = async_pair();
    let reset = spawn(move || block_on(stream.read(&mut [0; 8])).map_err(|error| error.kind()));
    util::let_all_park();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(soon(|| reset.wait()).unwrap(), Err(ErrorKind::ConnectionReset));
}
