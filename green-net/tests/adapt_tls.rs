//! TLS and Unix streams for futures: the same bytes, the same ends, and nobody parks for their sake.

mod tls_util;
mod util;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

use evy_green_net::adapt::{Async, Socket};
use evy_green_net::tls::TlsStream;
use evy_green_net::{TcpStream, UnixStream};
use evy_runtime::{block_on, spawn, spawn_n};
use futures_util::future::join;
use tls_util::{VERSIONS, configurations, configurations_of, noise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use util::{green_pair, soon};

/// Two ends under TLS whose handshake is to come.
fn raw_pair(
    acceptor: &evy_green_net::tls::TlsAcceptor,
    connector: &evy_green_net::tls::TlsConnector,
) -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    let (server, client) = green_pair();
    (acceptor.wrap(server).unwrap(), connector.wrap("localhost", client).unwrap())
}

/// Sends `bytes` from one end to the other, in pieces, all in one future.
fn send_through<S: Socket + Unpin>(from: Async<S>, to: Async<S>, bytes: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = (from, to);
    let mut received = Vec::new();
    let (sent, read) = soon(|| {
        block_on(join(
            async {
                for piece in bytes.chunks(70_001) {
                    from.write_all(piece).await?;
                }
                from.shutdown().await
            },
            to.read_to_end(&mut received),
        ))
    });
    sent.unwrap();
    read.unwrap();
    received
}

#[test]
fn megabytes_pass_between_two_futures_of_one_green_thread() {
    let bytes = noise(3 << 20, 7);
    for versions in VERSIONS {
        let (acceptor, connector) = configurations_of(versions);
        let (server, client) = raw_pair(&acceptor, &connector);
        assert!(send_through(Async::new(server), Async::new(client), &bytes) == bytes);
    }
    let (one, other) = UnixStream::pair().unwrap();
    assert!(send_through(Async::new(one), Async::new(other), &bytes) == bytes);
}

#[test]
fn a_future_talks_to_an_end_that_parks() {
    let (acceptor, connector) = configurations();
    let (mut server, client) = raw_pair(&acceptor, &connector);
    let peer = spawn(move || {
        let mut question = [0; 8];
        server.read_exact(&mut question).unwrap();
        server.write_all(&question.map(|byte| byte + 1)).unwrap();
        server.shutdown().unwrap();
    });
    let mut client = Async::new(client);
    let mut answer = Vec::new();
    soon(|| {
        block_on(async {
            client.write_all(b"question").await.unwrap();
            client.read_to_end(&mut answer).await.unwrap();
        });
    });
    assert_eq!(answer, b"rvftujpo");
    assert_eq!((client.bytes_written(), client.bytes_read()), (8, 8));
    peer.wait().unwrap();
}

#[test]
fn fault_42_a_connection_that_is_cut_is_no_end_for_a_future_either() {
    let (acceptor, connector) = configurations();
    let (server, client) = raw_pair(&acceptor, &connector);
    let peer = spawn(move || {
        server.handshake().unwrap();
        (&server).write_all(b"half").unwrap();
        server.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        // Its close_notify finds nobody.
        drop(server);
    });
    let mut client = Async::new(client);
    let mut received = Vec::new();
    let error = soon(|| block_on(client.read_to_end(&mut received))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(received, b"half");
    peer.wait().unwrap();
}

#[test]
fn a_stream_for_futures_that_is_dropped_in_the_middle_parks_nobody() {
    let (acceptor, connector) = configurations();
    let (server, client) = raw_pair(&acceptor, &connector);
    let mut server = Async::new(server);
    let peer = spawn(move || {
        client.handshake().unwrap();
        client
    });
    block_on(async {
        server.write_all(b"first").await.unwrap();
        // More than the system holds: the rest stays with the session.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let bytes = vec![0; 64 * 1024];
        use tokio::io::AsyncWrite;
        while std::pin::Pin::new(&mut server).poll_write(&mut context, &bytes).is_ready() {}
    });
    let client = peer.wait().unwrap();
    let has_parked = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&has_parked);
    spawn_n(move || theirs.set(true));
    drop(server);
    // A stream of calls that park waits for a moment, to say goodbye.
    assert!(!has_parked.get());
    drop(client);
}

#[test]
fn a_unix_stream_is_pending_until_something_comes() {
    let (one, mut other) = UnixStream::pair().unwrap();
    let mut one = Async::new(one);
    let reader = spawn(move || {
        let mut buffer = [0; 8];
        let count = block_on(one.read(&mut buffer)).unwrap();
        buffer[..count].to_vec()
    });
    util::let_all_park();
    assert!(!reader.is_finished());
    other.write_all(b"hello").unwrap();
    assert_eq!(soon(|| reader.wait().unwrap()), b"hello");
}

/// A handshake reads and writes, whichever half drives it.
#[test]
fn two_green_threads_have_a_half_each_from_the_first_byte_on() {
    for versions in VERSIONS {
        let (acceptor, connector) = configurations_of(versions);
        let (server, client) = raw_pair(&acceptor, &connector);
        let (mut reader, mut writer) = tokio::io::split(Async::new(server));
        let read = spawn(move || {
            let mut question = [0; 8];
            block_on(reader.read_exact(&mut question)).unwrap();
            question
        });
        util::let_all_park();
        // It takes the place where the other one waits for the peer.
        let wrote = spawn(move || block_on(writer.write_all(b"greeting")).map(|()| writer));
        util::let_all_park();
        let peer = spawn(move || {
            let mut greeting = [0; 8];
            (&client).write_all(b"question").unwrap();
            (&client).read_exact(&mut greeting).unwrap();
            (client, greeting)
        });
        assert_eq!(&soon(|| read.wait().unwrap()), b"question");
        let _writer = soon(|| wrote.wait().unwrap()).unwrap();
        let (_client, greeting) = soon(|| peer.wait().unwrap());
        assert_eq!(&greeting, b"greeting");
    }
}

#[test]
fn a_stream_that_comes_back_from_futures_says_goodbye() {
    let (acceptor, connector) = configurations();
    let (server, mut client) = raw_pair(&acceptor, &connector);
    let mut server = Async::new(server);
    let peer = spawn(move || client.read(&mut [0; 8]).map(|count| (client, count)));
    let mut byte = [0; 1];
    let shaken = std::future::poll_fn(|context| {
        use tokio::io::AsyncRead;
        let mut buffer = tokio::io::ReadBuf::new(&mut byte);
        let poll = std::pin::Pin::new(&mut server).poll_read(context, &mut buffer);
        match server.get_ref().is_handshake_done() {
            true => std::task::Poll::Ready(()),
            false => poll.map(drop),
        }
    });
    soon(|| block_on(shaken));
    drop(server.into_inner());
    // An end, not a connection that was cut.
    assert_eq!(soon(|| peer.wait().unwrap()).unwrap().1, 0);
}
