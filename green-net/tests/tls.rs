//! Streams under TLS: both ends ours, both versions, both directions at once, how they begin and end.

mod tls_util;
mod util;

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_green_net::tls::rustls::{HandshakeKind, ProtocolVersion};
use evy_green_net::tls::{TlsAcceptor, TlsConnector, TlsListener, TlsStream};
use evy_green_net::{TcpStream, connect, listen};
use evy_runtime::{join_all, scope, spawn, spawn_n};
use tls_util::{
    Authority, VERSIONS, client, configurations, configurations_of, listener, noise, tls_pair,
    tls_pair_of,
};
use util::{green_pair, let_all_park, pair, soon};

/// Sends back what comes, until the end; then ends too.
fn echo(stream: &TlsStream<TcpStream>) -> io::Result<u64> {
    let count = io::copy(&mut { stream }, &mut { stream })?;
    stream.shutdown()?;
    Ok(count)
}

#[test]
fn what_is_written_at_one_end_is_read_at_the_other_with_both_versions() {
    let expected = [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];
    for (versions, expected) in VERSIONS.into_iter().zip(expected) {
        let (acceptor, connector) = configurations_of(versions);
        let (mut server, mut client) = tls_pair_of(&acceptor, &connector);
        assert_eq!(server.protocol_version(), Some(expected));
        for (from, to) in [(&mut server, &mut client)] {
            for _ in 0..3 {
                let mut buffer = [0; 8];
                from.write_all(b"question").unwrap();
                soon(|| to.read_exact(&mut buffer)).unwrap();
                assert_eq!(&buffer, b"question");
                to.write_all(b"answer").unwrap();
                assert_eq!(soon(|| from.read(&mut buffer)).unwrap(), 6);
            }
        }
        server.shutdown().unwrap();
        client.shutdown().unwrap();
        for mut end in [&server, &client] {
            for _ in 0..2 {
                assert_eq!(soon(|| end.read(&mut [0; 8])).unwrap(), 0, "the end, again and again");
            }
        }
    }
}

#[test]
fn megabytes_go_both_ways_at_once_and_no_byte_differs() {
    const BYTES: usize = 3 << 20;
    for versions in VERSIONS {
        let (acceptor, connector) = configurations_of(versions);
        let (server, client) = tls_pair_of(&acceptor, &connector);
        let transfer = |mut stream: &TlsStream<TcpStream>, seed: u64, piece: usize| {
            for part in noise(BYTES, seed).chunks(piece) {
                stream.write_all(part).unwrap();
            }
            stream.shutdown().unwrap();
        };
        let check = |mut stream: &TlsStream<TcpStream>, seed: u64, piece: usize| {
            let (expected, mut done) = (noise(BYTES, seed), 0);
            let mut buffer = vec![0; piece];
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    count => {
                        assert!(expected[done..].starts_with(&buffer[..count]), "at byte {done}");
                        done += count;
                    }
                }
            }
            assert_eq!(done, BYTES);
        };
        soon(|| {
            scope(|scope| {
                // Each end has a green thread that reads and one that writes.
                scope.spawn(|| transfer(&server, 1, 100_000));
                scope.spawn(|| transfer(&client, 2, 1_000));
                scope.spawn(|| check(&server, 2, 50_000));
                scope.spawn(|| check(&client, 1, 777));
            });
        });
    }
}

#[test]
fn both_directions_can_be_the_first_to_need_the_handshake() {
    let (acceptor, connector) = configurations();
    let (server, client) = green_pair();
    let server = acceptor.wrap(server).unwrap();
    let client = connector.wrap("localhost", client).unwrap();
    soon(|| {
        scope(|scope| {
            for (mut end, text) in [(&server, b"from the server"), (&client, b"from the client")] {
                scope.spawn(move || {
                    let mut buffer = [0; 15];
                    end.read_exact(&mut buffer).unwrap();
                    assert_ne!(&buffer, text);
                });
                scope.spawn(move || end.write_all(text).unwrap());
                scope.spawn(move || end.handshake().unwrap());
            }
        });
    });
    assert!(server.is_handshake_done() && client.is_handshake_done());
}

#[test]
fn who_waits_for_a_handshake_goes_on_with_it_when_its_driver_is_killed() {
    let (acceptor, connector) = configurations();
    let (server, client) = green_pair();
    let client = Rc::new(connector.wrap("localhost", client).unwrap());
    let [driver, waiting] = [(); 2].map(|()| {
        let client = Rc::clone(&client);
        spawn(move || client.handshake())
    });
    let_all_park();
    driver.kill();
    let_all_park();
    assert!(!waiting.is_finished());
    let server = spawn(move || acceptor.accept(server).map(drop));
    soon(|| waiting.wait()).unwrap().unwrap();
    soon(|| server.wait()).unwrap().unwrap();
}

#[test]
fn a_silent_client_delays_none_of_a_hundred_others() {
    let (listener, address, connector) = listener();
    let server = spawn(move || -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            spawn_n(move || echo(&stream));
        }
    });
    let silent = connect(address).unwrap();
    let clients = (0..100u64).map(|number| {
        let connector = connector.clone();
        spawn(move || {
            let mut stream = client(&connector, address);
            let (text, mut echoed) = (noise(5_000, number), Vec::new());
            stream.write_all(&text).unwrap();
            stream.shutdown().unwrap();
            stream.read_to_end(&mut echoed).unwrap();
            assert!(echoed == text);
        })
    });
    let start = Instant::now();
    let clients = clients.collect::<Vec<_>>();
    soon(|| join_all(clients)).into_iter().for_each(Result::unwrap);
    // Had they waited for the silent one, it would have been for its 10 s.
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    drop(silent);
    server.kill();
}

#[test]
fn accept_needs_no_word_of_the_client() {
    let (listener, address, _) = listener();
    let _silent = connect(address).unwrap();
    let (stream, _) = soon(|| listener.accept()).unwrap();
    assert!(!stream.is_handshake_done());
    assert_eq!(stream.protocol_version(), None);
}

#[test]
fn a_close_notify_goes_out_once_however_often_it_is_asked_for() {
    let (server, client) = tls_pair();
    server.shutdown().unwrap();
    server.shutdown().unwrap();
    assert_eq!((&server).write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut sent = Vec::new();
    // Below TLS: one record.
    let socket = client.get_ref();
    drop(server);
    soon(|| { socket }.read_to_end(&mut sent)).unwrap();
    let records = records(&sent);
    // Tickets may come before it.
    assert_eq!(records.iter().filter(|&&length| length == 19).count(), 1, "{records:?}");
}

/// The lengths of the TLS records in `bytes`.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        lengths.push(length);
        bytes = &rest[length..];
    }
    lengths
}

#[test]
fn one_direction_goes_on_after_the_end_of_the_other() {
    let (mut server, mut client) = tls_pair();
    client.shutdown().unwrap();
    assert_eq!(soon(|| server.read(&mut [0; 8])).unwrap(), 0);
    let text = noise(100_000, 3);
    let writer = spawn({
        let text = text.clone();
        move || {
            server.write_all(&text).unwrap();
            server.shutdown().unwrap();
        }
    });
    let mut read = Vec::new();
    soon(|| client.read_to_end(&mut read)).unwrap();
    assert!(read == text);
    writer.wait().unwrap();
}

#[test]
fn a_dropped_stream_says_so() {
    let (server, mut client) = tls_pair();
    drop(server);
    assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 0);
}

#[test]
fn a_stream_dropped_by_a_panic_or_a_kill_says_so_too() {
    let (server, mut client) = tls_pair();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _server = server;
        std::panic::resume_unwind(Box::new("a panic without a message"));
    }));
    assert!(panicked.is_err());
    assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 0);

    let (mut server, mut client) = tls_pair();
    let reader = spawn(move || server.read(&mut [0; 8]));
    let_all_park();
    reader.kill();
    assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 0);
}

#[test]
fn a_drop_does_not_wait_for_a_peer_that_does_not_read() {
    let (server, _client) = tls_pair();
    server.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
    let full = soon(|| (&server).write_all(&vec![0; 64 << 20])).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    server.set_write_timeout(None).unwrap();
    let start = Instant::now();
    soon(|| drop(server));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn fault_03_a_second_reader_and_a_second_writer_are_told_who_came_first() {
    let (server, _client) = tls_pair();
    let server = Rc::new(server);
    let reader = spawn({
        let server = Rc::clone(&server);
        move || (&*server).read(&mut [0; 8])
    });
    let writer = spawn({
        let server = Rc::clone(&server);
        move || (&*server).write_all(&vec![0; 64 << 20])
    });
    let_all_park();
    let read = (&*server).read(&mut [0; 8]).unwrap_err();
    let write = (&*server).write(b"x").unwrap_err();
    for (error, first) in [(read, reader.id()), (write, writer.id())] {
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert!(error.to_string().contains(&format!("green thread {first} ")), "{error}");
    }
}

#[test]
fn a_read_times_out_and_loses_nothing() {
    let (server, mut client) = tls_pair();
    server.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!((&server).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    server.set_read_timeout(None).unwrap();
    client.write_all(b"late").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(soon(|| (&server).read(&mut buffer)).unwrap(), 4);
    assert_eq!(&buffer[..4], b"late");
}

/// What a write has taken reaches the peer, whole and in order, however often it was interrupted.
#[test]
fn writes_that_time_out_or_are_killed_leave_the_stream_whole() {
    let (server, mut client) = tls_pair();
    let server = Rc::new(server);
    let taken = Rc::new(Cell::new(0_usize));
    let pattern = Rc::new(noise(1 << 20, 5));
    let write = {
        let (server, taken, pattern) = (Rc::clone(&server), Rc::clone(&taken), Rc::clone(&pattern));
        move || -> io::Result<()> {
            loop {
                let from = taken.get() % pattern.len();
                // What a killed write has taken is not known, so this one goes by a length that is
                // taken whole or not at all: it is counted before.
                let piece = &pattern[from..][..1024.min(pattern.len() - from)];
                taken.set(taken.get() + piece.len());
                let result = (&*server).write(piece);
                match result {
                    Ok(count) => assert_eq!(count, piece.len()),
                    Err(error) => {
                        taken.set(taken.get() - piece.len());
                        return Err(error);
                    }
                }
            }
        }
    };
    // Killed in a write that has taken its bytes: it is the first that parks.
    let killed = spawn(write.clone());
    let_all_park();
    killed.kill();
    // Each of these finds the earlier bytes unsent, and takes none.
    server.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
    for _ in 0..3 {
        let before = taken.get();
        assert_eq!(soon(&write).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(taken.get(), before);
    }
    let interrupted = evy_runtime::timeout(Duration::from_millis(1), || (&*server).flush());
    assert!(!matches!(interrupted, Ok(Ok(()))), "there is still no room");
    server.set_write_timeout(None).unwrap();
    let shutdown = spawn({
        let server = Rc::clone(&server);
        move || server.shutdown()
    });
    let mut read = Vec::new();
    soon(|| client.read_to_end(&mut read)).unwrap();
    soon(|| shutdown.wait()).unwrap().unwrap();
    assert_eq!(read.len(), taken.get());
    for (place, chunk) in read.chunks(pattern.len()).enumerate() {
        assert!(pattern.starts_with(chunk), "in megabyte {place}");
    }
}

#[test]
fn a_write_that_timed_out_after_it_took_bytes_is_told_by_the_next_call() {
    let (server, _client) = tls_pair();
    server.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
    let error = loop {
        match (&server).write(&[0; 50_000]) {
            Ok(count) => assert_eq!(count, 50_000),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!((&server).flush().unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(server.shutdown().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn nothing_is_read_into_nothing_and_nothing_is_written() {
    let (mut server, mut client) = tls_pair();
    assert_eq!(server.read(&mut []).unwrap(), 0);
    assert_eq!(server.write(&[]).unwrap(), 0);
    server.flush().unwrap();
    server.write_all(b"x").unwrap();
    assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 1);
}

#[test]
fn tls_runs_over_tls() {
    let (outer_server, outer_client) = tls_pair();
    let (acceptor, connector) = configurations();
    let server = spawn(move || {
        let mut inner = acceptor.accept(outer_server).unwrap();
        let mut text = Vec::new();
        inner.read_to_end(&mut text).unwrap();
        inner.write_all(&text).unwrap();
    });
    let mut inner = soon(|| connector.connect("localhost", outer_client)).unwrap();
    let text = noise(300_000, 7);
    let mut echoed = Vec::new();
    soon(|| {
        inner.write_all(&text).unwrap();
        inner.shutdown().unwrap();
        inner.read_to_end(&mut echoed).unwrap();
    });
    assert!(echoed == text);
    server.wait().unwrap();
}

#[test]
fn a_stream_of_std_is_wrapped_as_well() {
    let (acceptor, connector) = configurations();
    let (server, client) = pair();
    let client = std::thread::spawn(move || {
        let mut client = connector.connect("localhost", client).unwrap();
        client.write_all(b"from another OS thread").unwrap();
    });
    let mut server = soon(|| acceptor.accept(server)).unwrap();
    let mut text = String::new();
    soon(|| server.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "from another OS thread");
    client.join().unwrap();
}

#[test]
fn a_stream_is_used_on_two_os_threads_at_once() {
    let (server, client) = tls_pair();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let (text, bytes) = (noise(1 << 20, 9), 1 << 20);
    let far = std::thread::spawn({
        let (server, text) = (Arc::clone(&server), text.clone());
        move || {
            soon(|| (&*server).write_all(&text)).unwrap();
            server.shutdown().unwrap();
        }
    });
    let echo = spawn(move || {
        let mut read = Vec::new();
        (&*client).read_to_end(&mut read).unwrap();
        (&*client).write_all(&read).unwrap();
    });
    let mut echoed = vec![0; bytes];
    soon(|| (&*server).read_exact(&mut echoed)).unwrap();
    assert!(echoed == text);
    echo.wait().unwrap();
    far.join().unwrap();
}

/// How the handshakes of two connections went, one after the other.
fn kinds_of_two(acceptor: &TlsAcceptor, connector: &TlsConnector) -> [Option<HandshakeKind>; 2] {
    [(); 2].map(|()| {
        let (mut server, mut client) = tls_pair_of(acceptor, connector);
        // The ticket comes with the first read, at the latest.
        server.write_all(b"x").unwrap();
        soon(|| client.read(&mut [0; 8])).unwrap();
        assert_eq!(client.handshake_kind(), server.handshake_kind());
        client.handshake_kind()
    })
}

#[test]
fn an_earlier_session_is_taken_up_again() {
    for versions in VERSIONS {
        let (acceptor, connector) = configurations_of(versions);
        let kinds = kinds_of_two(&acceptor, &connector);
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    }
}

#[test]
fn an_earlier_session_is_forgotten_where_the_builder_says_so() {
    for versions in VERSIONS {
        let authority = Authority::new();
        let acceptor = authority.identity("localhost").acceptor();
        let connector = TlsConnector::builder().roots_pem(authority.pem()).versions(versions);
        let kinds = kinds_of_two(&acceptor, &connector.resumption(false).build().unwrap());
        assert_eq!(kinds, [Some(HandshakeKind::Full); 2]);
    }
}

#[test]
fn streams_and_what_makes_them_go_to_other_os_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<TlsStream<TcpStream>>();
    is_send_and_sync::<TlsAcceptor>();
    is_send_and_sync::<TlsConnector>();
    is_send_and_sync::<TlsListener>();
}

#[test]
fn a_listener_gives_its_connections_one_after_the_other_until_it_is_closed() {
    let (acceptor, connector) = configurations();
    let listener = Rc::new(TlsListener::new(listen("127.0.0.1:0").unwrap(), acceptor));
    let address = listener.local_addr().unwrap();
    let server = spawn({
        let listener = Rc::clone(&listener);
        move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => spawn_n(move || echo(&stream)),
                    Err(error) => return error.kind(),
                }
            }
            unreachable!("it has no end");
        }
    });
    for _ in 0..3 {
        let mut stream = client(&connector, address);
        stream.write_all(b"x").unwrap();
        assert_eq!(soon(|| stream.read(&mut [0; 8])).unwrap(), 1);
    }
    listener.close();
    assert_eq!(soon(|| server.wait()).unwrap(), ErrorKind::NotConnected);
}

#[test]
fn debug_tells_the_socket_and_no_secrets() {
    let authority = Authority::new();
    let identity = authority.identity("localhost");
    let (server, _client) = tls_pair_of(&identity.acceptor(), &authority.connector());
    let text = format!("{server:?} {:?} {:?}", identity.acceptor(), authority.connector());
    assert!(text.contains("TlsStream") && text.contains("127.0.0.1"), "{text}");
    let builder =
        format!("{:?}", TlsAcceptor::builder().identity_pem(identity.chain, identity.key));
    assert!(!builder.contains("Text(["), "the key is in {builder}");
}

util::and_all_of_them_again!();
