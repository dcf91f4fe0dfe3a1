//! SIGTERM and SIGINT: what is lost and what is not.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::server::{PATIENCE, Server, command, pause, round_trip};

/// Asks on and on, until the server ends the connection between an answer and the next request. Gives
/// the number of requests that had no answer: one that was sent before the end was seen, or none.
fn ask_until_the_end(mut stream: TcpStream, answered: &AtomicUsize) -> usize {
    loop {
        if stream.write_all(b"0123456789").is_err() {
            // It was not sent.
            return 0;
        }
        let mut back = [0; 10];
        match stream.read_exact(&mut back) {
            Ok(()) => assert_eq!(&back, b"0123456789"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
                return 1;
            }
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// FAULTS row 46: requests that are under way are answered; then connections end in order.
#[test]
fn fault_46_a_stop_under_load_loses_no_request_in_flight() {
    for cores in ["1", "2"] {
        let mut server = Server::start(&["--cores", cores]);
        let request: Arc<Vec<u8>> = Arc::new((0..12 << 20).map(|n: u32| (n / 999) as u8).collect());
        let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
        let writers: Vec<_> = clients
            .iter()
            .map(|client| {
                let (mut client, request) = (client.try_clone().unwrap(), Arc::clone(&request));
                std::thread::spawn(move || {
                    client.write_all(&request).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                })
            })
            .collect();
        // The answer has begun, and is more than the sockets hold: the server cannot have sent it all.
        clients.iter_mut().for_each(|client| client.read_exact(&mut [0]).unwrap());
        server.signal(libc::SIGTERM);
        for mut client in clients {
            let mut back = Vec::new();
            client.read_to_end(&mut back).unwrap();
            assert!(back == request[1..], "{} bytes of {}", back.len() + 1, request.len());
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(server.wait_here().code(), Some(0));
    }
}

#[test]
fn clients_that_go_on_asking_are_ended_without_a_reset() {
    // They are ended after half of that.
    let mut server = Server::start(&["--grace", "2"]);
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let (stream, answered) = (server.connect(), Arc::clone(&answered));
            std::thread::spawn(move || ask_until_the_end(stream, &answered))
        })
        .collect();
    while answered.load(Ordering::SeqCst) < 100 {
        pause();
    }
    server.signal(libc::SIGTERM);
    // A request that meets the end on its way has no answer: one at most, which its client knows of.
    assert!(clients.into_iter().all(|client| client.join().unwrap() <= 1));
    assert_eq!(server.wait_here().code(), Some(0));
}

#[test]
fn after_the_signal_nobody_can_connect() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    round_trip(&mut client, b"x");
    server.signal(libc::SIGTERM);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // We are still here, so the server is, too.
    let error = TcpStream::connect(server.plain_address(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    drop(client);
    assert!(server.wait().success());
}

#[test]
fn an_idle_client_that_does_not_leave_is_waited_for_until_the_grace_is_over() {
    let mut server = Server::start(&["--grace", "0.3"]);
    let mut client = server.connect();
    round_trip(&mut client, b"x");
    let start = Instant::now();
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait_here().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_does_not_read_its_answers_is_cut_off_at_the_end_of_the_grace() {
    for cores in ["1", "2"] {
        let mut server = Server::start(&["--grace", "0.3", "--cores", cores]);
        let mut client = server.connect();
        client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // All buffers are full after that.
        while client.write(&[b'x'; 100_000]).is_ok() {}
        server.signal(libc::SIGTERM);
        assert_eq!(server.wait_here().code(), Some(0));
        assert!(server.error_line("cut off").ends_with(": 1"));
    }
}

#[test]
fn a_second_signal_ends_it_at_once_with_the_code_of_the_signal() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let mut server = Server::start(&["--grace", "600"]);
        let mut client = server.connect();
        round_trip(&mut client, b"x");
        server.signal(signal);
        // The first one was seen: the connection was ended.
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        server.signal(signal);
        assert_eq!(server.wait_here().code(), Some(code));
    }
}

#[test]
fn datagrams_that_wait_are_answered_before_the_end() {
    for _ in 0..5 {
        let server = Server::spawn(command(&["udp:127.0.0.1:0"]), 1);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server stands still while they arrive, so that they and the signal wait together. They are
        // more than a green thread handles before it lets others have their turn.
        server.signal(libc::SIGSTOP);
        for n in 0..200 {
            client.send_to(&[n], server.plain_address(0)).unwrap();
        }
        server.signal(libc::SIGTERM);
        server.signal(libc::SIGCONT);
        let mut missing: HashSet<u8> = (0..200).collect();
        while !missing.is_empty() {
            let mut back = [0];
            client.recv(&mut back).unwrap();
            assert!(missing.remove(&back[0]), "{} came twice", back[0]);
        }
        assert!(server.wait().success());
    }
}

/// A signal between the start and the first client is no special case.
#[test]
fn a_server_without_clients_ends_at_once() {
    let mut server = Server::start(&["--cores", "2", "--grace", "600", "--stats", "60"]);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait_here().code(), Some(0));
}
