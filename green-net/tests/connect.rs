//! Connecting: FAULTS row 38, Semantics E 85.

mod util;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evy_green_net::{TcpListener, TcpStream, connect, connect_from};
use evy_runtime::{spawn, timeout};
use util::network::{alone_in_a_network, set_ports};
use util::{alone, blackhole, let_all_park, refused, same_as_std, seen, soon};

same_as_std! {
    fn malformed_addresses_are_invalid_input() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        [
            "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:port", "127.0.0.1:65536", "127.0.0.1:-1",
            "[::1]", "localhost", "127.0.0.1:80 ",
        ]
        .into_iter()
        .map(|address| seen(TcpStream::connect(address).map(drop)))
        .chain([seen(TcpStream::connect(&[] as &[SocketAddr]).map(drop))])
        .collect()
    }

    fn fault_38_errors_of_the_network_come_as_they_are() -> Vec<(ErrorKind, Option<i32>)> {
        let (_keep, nobody) = refused();
        let broadcast = "255.255.255.255:9".parse().unwrap();
        let second = Duration::from_secs(1);
        vec![
            seen(TcpStream::connect(nobody)).unwrap_err(),
            seen(TcpStream::connect_timeout(&nobody, second)).unwrap_err(),
            seen(TcpStream::connect(broadcast)).unwrap_err(),
            seen(TcpStream::connect_timeout(&broadcast, second)).unwrap_err(),
            seen(TcpStream::connect_timeout(&nobody, Duration::ZERO)).unwrap_err(),
        ]
    }

    fn fault_38_an_address_that_never_answers_times_out() -> (ErrorKind, bool) {
        let hole = blackhole();
        let time = Duration::from_millis(50);
        let start = Instant::now();
        let error = TcpStream::connect_timeout(&hole.address, time).unwrap_err();
        (error.kind(), start.elapsed() >= time)
    }
}

/// FAULTS row 38.
#[test]
fn fault_38_others_run_while_one_connects() {
    let hole = blackhole();
    let address = hole.address;
    let waiting = spawn(move || TcpStream::connect_timeout(&address, util::FOR_EVER));
    let_all_park();
    assert!(!waiting.is_finished());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = soon(|| connect(listener.local_addr().unwrap())).unwrap();
    assert_eq!(soon(|| listener.accept()).unwrap().1, client.local_addr().unwrap());
    waiting.kill();
}

#[test]
fn the_timeout_of_a_connect_is_not_left_on_the_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(7)).unwrap();
    assert_eq!(stream.read_timeout().unwrap(), None);
    assert_eq!(stream.write_timeout().unwrap(), None);
}

/// FAULTS row 38.
#[test]
fn fault_38_a_connect_that_is_cancelled_closes_its_descriptor() {
    alone("fault_38_a_connect_that_is_cancelled_closes_its_descriptor", || {
        let hole = blackhole();
        let address = hole.address;
        evy_runtime::yield_now();
        let before = util::descriptors();
        for round in 0..30 {
            let connecting = spawn(move || TcpStream::connect(address));
            let_all_park();
            assert_eq!(util::descriptors(), before + 1);
            connecting.kill();
            assert!(connecting.wait().is_err());
            let time = Duration::from_millis(1);
            match round % 3 {
                0 => assert!(timeout(time, || TcpStream::connect(address)).is_err()),
                1 => assert!(TcpStream::connect_timeout(&address, time).is_err()),
                _ => assert!(TcpStream::connect_timeout(&address, Duration::ZERO).is_err()),
            }
            assert_eq!(util::descriptors(), before);
        }
        let (_keep, nobody) = refused();
        let before = util::descriptors();
        assert!(connect(nobody).is_err());
        assert_eq!(util::descriptors(), before);
    });
}

#[test]
fn a_thousand_connects_at_once_all_succeed() {
    assert!(util::limit_descriptors(20_000) > 2_500, "this test takes 2,000 descriptors");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || listener.incoming().take(1000).collect::<Result<Vec<_>, _>>());
    let clients: Vec<_> = (0..1000).map(|_| spawn(move || connect(address))).collect();
    let clients = soon(|| evy_runtime::join_all(clients));
    assert!(clients.into_iter().all(|client| client.unwrap().is_ok()));
    assert_eq!(soon(|| server.wait()).unwrap().unwrap().len(), 1000);
}

/// FAULTS row 38: with one port to connect from, TCP's simultaneous open connects it to itself.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_38_nobody_is_connected_to_himself() {
    alone_in_a_network("fault_38_nobody_is_connected_to_himself", || {
        set_ports("40000 40000");
        let address: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let stds = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(stds.local_addr().unwrap(), stds.peer_addr().unwrap());
        socket2::SockRef::from(&stds).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stds);
        let error = soon(|| connect(address)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// FAULTS row 47.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_47_when_the_ports_are_used_up_a_connect_says_so() {
    let name = "fault_47_when_the_ports_are_used_up_a_connect_says_so";
    alone_in_a_network(name, || {
        set_ports("40000 40009");
        let listener = TcpListener::bind("127.0.0.1:30000").unwrap();
        let address = listener.local_addr().unwrap();
        let mut streams: Vec<_> = (0..10).map(|_| connect(address).unwrap()).collect();
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(connect(address).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        // A reset leaves no port in TIME_WAIT.
        let last = streams.pop().unwrap();
        socket2::SockRef::from(&last).set_linger(Some(Duration::ZERO)).unwrap();
        drop(last);
        connect(address).unwrap();
    });
}

/// FAULTS row 47: a port is used up for one destination, not for all of them.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_47_a_source_address_has_its_ports_for_each_destination() {
    let name = "fault_47_a_source_address_has_its_ports_for_each_destination";
    alone_in_a_network(name, || {
        set_ports("40000 40009");
        let from = "127.0.0.2:0";
        let listeners =
            [30_000, 30_001].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let streams = addresses.map(|address| {
            (0..10).map(|_| connect_from(from, address).unwrap()).collect::<Vec<_>>()
        });
        for address in addresses {
            let error = connect_from(from, address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        }
        drop(streams);
    });
}

util::and_all_of_them_again!();
