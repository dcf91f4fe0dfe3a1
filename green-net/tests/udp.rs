//! `UdpSocket`: what std's does, ours does too; and where the documentation says otherwise, that.

mod util;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_green_net::UdpSocket;
use evy_runtime::{GreenThread, spawn, timeout, yield_now};
use socket2::SockRef;
use util::{alone, let_all_park, same_as_std, seen, soon, udp_pair, wait_until};

same_as_std! {
    fn the_ends_know_their_addresses() -> [bool; 3] {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let before = one.peer_addr().unwrap_err();
        one.connect(other.local_addr().unwrap()).unwrap();
        one.send(b"x").unwrap();
        let (_, from) = other.recv_from(&mut [0]).unwrap();
        [
            before.kind() == ErrorKind::NotConnected,
            one.peer_addr().unwrap() == other.local_addr().unwrap(),
            one.local_addr().unwrap() == from,
        ]
    }

    fn debug_output_names_the_address_and_the_descriptor() -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let text = format!("{socket:?}");
        let port = socket.local_addr().unwrap().port().to_string();
        text.replace(&port, "PORT").replace(&format!("fd: {}", socket.as_raw_fd()), "fd: N")
    }

    fn options_keep_what_they_were_set_to() -> Vec<String> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut seen = Vec::new();
        let mut note = |what: &str, value: &dyn std::fmt::Debug| seen.push(format!("{what} {value:?}"));
        note("broadcast", &socket.broadcast().unwrap());
        note("loop", &socket.multicast_loop_v4().unwrap());
        note("multicast ttl", &socket.multicast_ttl_v4().unwrap());
        for on in [true, false, true] {
            socket.set_broadcast(on).unwrap();
            socket.set_multicast_loop_v4(on).unwrap();
            note("broadcast", &socket.broadcast().unwrap());
            note("loop", &socket.multicast_loop_v4().unwrap());
        }
        socket.set_ttl(42).unwrap();
        socket.set_multicast_ttl_v4(43).unwrap();
        note("ttls", &(socket.ttl().unwrap(), socket.multicast_ttl_v4().unwrap()));
        note("too much", &socket.set_ttl(1000).map_err(|error| error.raw_os_error()));
        note("v6 on v4", &socket.multicast_loop_v6().map_err(|error| error.raw_os_error()));
        for timeout in [Some(Duration::from_secs(100)), Some(Duration::from_millis(20)), None] {
            socket.set_read_timeout(timeout).unwrap();
            socket.set_write_timeout(timeout.map(|time| time * 2)).unwrap();
            note("timeouts", &(socket.read_timeout(), socket.write_timeout()));
        }
        for result in [
            socket.set_read_timeout(Some(Duration::ZERO)),
            socket.set_write_timeout(Some(Duration::ZERO)),
        ] {
            note("zero", &result.unwrap_err().to_string());
        }
        note("error", &socket.take_error().unwrap().is_none());
        seen
    }

    fn a_datagram_is_a_whole_and_comes_in_order() -> Vec<(usize, bool)> {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let target = other.local_addr().unwrap();
        for length in [1, 0, 100, 1, 40_000] {
            assert_eq!(one.send_to(&vec![length as u8; length], target).unwrap(), length);
        }
        let mut buffer = vec![0; 50_000];
        (0..5)
            .map(|_| {
                let (count, from) = other.recv_from(&mut buffer).unwrap();
                let whole = buffer[..count].iter().all(|byte| *byte == count as u8);
                (count, whole && from == one.local_addr().unwrap())
            })
            .collect()
    }

    fn a_peek_leaves_the_datagram_where_it_is() -> Vec<(usize, Vec<u8>)> {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        other.connect(one.local_addr().unwrap()).unwrap();
        let target = other.local_addr().unwrap();
        one.send_to(b"first", target).unwrap();
        one.send_to(b"second", target).unwrap();
        let mut seen = Vec::new();
        for length in [2, 8] {
            for round in 0..4 {
                let mut buffer = vec![0; length];
                let count = match round {
                    0 => other.peek(&mut buffer).unwrap(),
                    1 => other.peek_from(&mut buffer).unwrap().0,
                    2 if length == 2 => continue,
                    2 => other.recv(&mut buffer).unwrap(),
                    _ if length == 2 => other.recv_from(&mut buffer).unwrap().0,
                    _ => continue,
                };
                seen.push((count, buffer));
            }
        }
        seen
    }

    fn one_that_is_connected_hears_only_its_peer() -> Vec<String> {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (ours, friend, stranger) = (bind(), bind(), bind());
        ours.connect(friend.local_addr().unwrap()).unwrap();
        stranger.send_to(b"stranger", ours.local_addr().unwrap()).unwrap();
        friend.send_to(b"friend", ours.local_addr().unwrap()).unwrap();
        ours.send(b"to the friend").unwrap();
        // By the address it goes elsewhere all the same.
        ours.send_to(b"to the stranger", stranger.local_addr().unwrap()).unwrap();
        let text = |socket: &UdpSocket| {
            let mut buffer = [0; 100];
            let count = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        };
        // Connected again, it is to somebody else.
        let heard = vec![text(&ours), text(&friend), text(&stranger)];
        ours.connect(stranger.local_addr().unwrap()).unwrap();
        assert_eq!(ours.peer_addr().unwrap(), stranger.local_addr().unwrap());
        heard
    }

    fn a_socket_that_does_not_block_says_would_block() -> Vec<ErrorKind> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        vec![
            socket.recv(&mut buffer).unwrap_err().kind(),
            socket.recv_from(&mut buffer).unwrap_err().kind(),
            socket.peek(&mut buffer).unwrap_err().kind(),
            socket.peek_from(&mut buffer).unwrap_err().kind(),
        ]
    }

    fn addresses_that_are_none_are_said_to_be_so() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let not_ours: SocketAddr = "198.51.100.1:0".parse().unwrap();
        let none: &[SocketAddr] = &[];
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = socket.local_addr().unwrap();
        let mut seen_of: Vec<_> = ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:port", "127.0.0.1:65536"]
            .into_iter()
            .flat_map(|address| [seen(UdpSocket::bind(address).map(drop)), seen(socket.send_to(b"x", address).map(drop))])
            .collect();
        seen_of.extend([
            seen(UdpSocket::bind(not_ours).map(drop)),
            seen(UdpSocket::bind(none).map(drop)),
            seen(UdpSocket::bind(taken).map(drop)),
            seen(socket.send_to(b"x", none).map(drop)),
            seen(socket.connect(none)),
            seen(socket.send_to(b"x", "[::1]:9").map(drop)),
            seen(socket.send_to(b"x", "127.0.0.1:0").map(drop)),
            seen(socket.send(b"x").map(drop)),
        ]);
        seen_of
    }

    fn the_first_address_that_can_be_had_is_taken() -> bool {
        let addresses = ["198.51.100.1:0".parse().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0))];
        UdpSocket::bind(&addresses[..]).unwrap().local_addr().unwrap().ip().is_loopback()
    }

    /// FAULTS row 48.
    fn fault_48_a_datagram_that_is_too_long_is_an_error_and_the_socket_is_as_good_as_before() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let target = other.local_addr().unwrap();
        let too_long = vec![0; 65_508];
        let mut results = vec![seen(one.send_to(&too_long, target)), seen(one.send_to(&too_long[1..], target))];
        one.connect(target).unwrap();
        results.push(seen(one.send(&too_long)));
        results.push(seen(one.send(b"short")));
        results.push(seen(other.recv(&mut vec![0; 1 << 16])));
        results.push(seen(other.recv(&mut [0; 100])));
        results
    }

    /// FAULTS row 48: what does not fit is lost, with std's as with ours.
    fn fault_48_of_a_datagram_that_is_longer_than_the_buffer_the_rest_is_lost() -> Vec<Vec<u8>> {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let target = other.local_addr().unwrap();
        for text in ["a long one", "another long one", "third", "fourth"] {
            one.send_to(text.as_bytes(), target).unwrap();
        }
        let mut seen = Vec::new();
        for length in [6, 0, 5, 100] {
            let mut buffer = vec![0; length];
            let count = other.recv_from(&mut buffer).unwrap().0;
            buffer.truncate(count);
            seen.push(buffer);
        }
        seen
    }

    /// FAULTS row 48: what ICMP says of an earlier datagram is told once, by the next call.
    fn fault_48_nobody_there_is_said_once() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gone).unwrap();
        let mut results = Vec::new();
        let mut buffer = [0; 8];
        socket.send(b"hello?").unwrap();
        results.push(seen(socket.recv(&mut buffer)));
        socket.send(b"hello?").unwrap();
        results.push(seen(socket.send(b"hello?")));
        socket.send(b"hello?").unwrap();
        results.push(seen(socket.take_error().map(|error| error.unwrap().raw_os_error().unwrap() as usize)));
        socket.set_nonblocking(true).unwrap();
        results.push(seen(socket.recv(&mut buffer)));
        // Not of a socket that is not connected: it could not say of which datagram.
        let unconnected = UdpSocket::bind("127.0.0.1:0").unwrap();
        unconnected.send_to(b"hello?", gone).unwrap();
        unconnected.set_nonblocking(true).unwrap();
        results.push(seen(unconnected.recv(&mut buffer)));
        results
    }

    fn broadcasts_are_sent_by_who_has_asked_for_it() -> Option<i32> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let everybody = "127.255.255.255:9";
        let refused = socket.send_to(b"x", everybody).unwrap_err().raw_os_error();
        socket.set_broadcast(true).unwrap();
        socket.send_to(b"x", everybody).unwrap();
        refused
    }

    fn a_group_of_ipv4_is_joined_heard_and_left() -> Vec<String> {
        let (group, here) = (Ipv4Addr::new(239, 255, 77, 1), Ipv4Addr::LOCALHOST);
        let member = UdpSocket::bind("0.0.0.0:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&sender).set_multicast_if_v4(&here).unwrap();
        let target = (group, member.local_addr().unwrap().port());
        let mut seen_of = vec![format!("{:?}", seen(member.leave_multicast_v4(&group, &here)))];
        seen_of.push(format!("{:?}", seen(member.join_multicast_v4(&here, &here))));
        member.join_multicast_v4(&group, &here).unwrap();
        sender.send_to(b"to all", target).unwrap();
        let mut buffer = [0; 100];
        let (count, from) = member.recv_from(&mut buffer).unwrap();
        assert_eq!(from, sender.local_addr().unwrap());
        seen_of.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        member.leave_multicast_v4(&group, &here).unwrap();
        sender.send_to(b"not to us", target).unwrap();
        member.set_nonblocking(true).unwrap();
        seen_of.push(format!("{:?}", seen(member.recv(&mut buffer))));
        seen_of
    }

    fn a_group_of_ipv6_is_joined_heard_and_left() -> Vec<String> {
        const LOOPBACK: u32 = 1;
        let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77);
        let Ok(member) = UdpSocket::bind("[::]:0") else {
            eprintln!("no IPv6 here: nothing was tested");
            return Vec::new();
        };
        let sender = UdpSocket::bind("[::1]:0").unwrap();
        member.set_multicast_loop_v6(true).unwrap();
        SockRef::from(&sender).set_multicast_if_v6(LOOPBACK).unwrap();
        let mut seen_of = vec![format!("{:?}", seen(member.leave_multicast_v6(&group, LOOPBACK)))];
        seen_of.push(format!("{:?}", seen(member.join_multicast_v6(&Ipv6Addr::LOCALHOST, LOOPBACK))));
        seen_of.push(format!("{:?}", seen(member.join_multicast_v6(&group, LOOPBACK))));
        let sent = sender.send_to(b"to all", (group, member.local_addr().unwrap().port()));
        seen_of.push(format!("{:?}", seen(sent)));
        if sent_and_joined(&seen_of) {
            let mut buffer = [0; 100];
            let count = member.recv(&mut buffer).unwrap();
            seen_of.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        seen_of.push(format!("{:?}", seen(member.leave_multicast_v6(&group, LOOPBACK))));
        seen_of
    }

    fn a_clone_is_the_same_socket() -> Vec<usize> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clone = socket.try_clone().unwrap();
        let here = socket.local_addr().unwrap();
        assert_eq!(clone.local_addr().unwrap(), here);
        clone.send_to(b"1", here).unwrap();
        socket.send_to(b"22", here).unwrap();
        let mut buffer = [0; 8];
        let first = socket.recv(&mut buffer).unwrap();
        drop(socket);
        clone.send_to(b"333", here).unwrap();
        vec![first, clone.recv(&mut buffer).unwrap(), clone.recv(&mut buffer).unwrap()]
    }

    fn a_socket_of_ipv6_keeps_addresses_whole() -> bool {
        let Ok(socket) = UdpSocket::bind("[::1]:0") else {
            eprintln!("no IPv6 here: nothing was tested");
            return true;
        };
        socket.send_to(b"six", socket.local_addr().unwrap()).unwrap();
        socket.recv_from(&mut [0; 8]).unwrap() == (3, socket.local_addr().unwrap())
    }
}

fn sent_and_joined(seen: &[String]) -> bool {
    seen[2].starts_with("Ok") && seen[3].starts_with("Ok")
}

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Everything that waits for a datagram.
type Receive = fn(&UdpSocket) -> io::Result<usize>;

const RECEIVES: [(&str, Receive); 6] = [
    ("recv", |socket| socket.recv(&mut [0; 8])),
    ("recv_from", |socket| socket.recv_from(&mut [0; 8]).map(|(count, _)| count)),
    ("peek", |socket| socket.peek(&mut [0; 8])),
    ("peek_from", |socket| socket.peek_from(&mut [0; 8]).map(|(count, _)| count)),
    ("recv_truncated", |socket| socket.recv_truncated(&mut [0; 8]).map(|(count, _)| count)),
    ("recv_from_truncated", |socket| {
        socket.recv_from_truncated(&mut [0; 8]).map(|(count, _, _)| count)
    }),
];

#[test]
fn sockets_go_to_other_threads_and_are_shared() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<UdpSocket>();
}

/// Semantics E 88.
#[test]
fn a_receive_parks_until_there_is_a_datagram() {
    for (name, receive) in RECEIVES {
        let (ours, theirs) = udp_pair();
        let receiver = spawn(move || receive(&ours));
        let_all_park();
        assert!(!receiver.is_finished(), "{name} did not park");
        theirs.send(b"hello").unwrap();
        assert_eq!(soon(|| receiver.wait()).unwrap().unwrap(), 5, "{name}");
    }
}

#[test]
fn timed_out_is_said_of_every_receive() {
    let (ours, _theirs) = udp_pair();
    let timeout = Duration::from_millis(10);
    ours.set_read_timeout(Some(timeout)).unwrap();
    for (name, receive) in RECEIVES {
        let start = Instant::now();
        assert_eq!(kind(soon(|| receive(&ours))), Some(ErrorKind::TimedOut), "{name}");
        assert!(start.elapsed() >= timeout, "{name} was early");
    }
    let clone = ours.try_clone().unwrap();
    clone.set_read_timeout(None).unwrap();
    assert_eq!(ours.read_timeout().unwrap(), Some(timeout), "each handle has its own");
}

#[test]
fn a_receive_that_timed_out_leaves_no_trace() {
    let (ours, theirs) = udp_pair();
    for round in 0..20 {
        ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(kind(soon(|| ours.recv(&mut buffer))), Some(ErrorKind::TimedOut));
        theirs.send(&[round]).unwrap();
        ours.set_read_timeout(Some(util::FOR_EVER)).unwrap();
        assert_eq!(soon(|| ours.recv(&mut buffer)).unwrap(), 1);
        assert_eq!(buffer[0], round);
    }
}

#[test]
fn what_is_tried_never_waits() {
    let (ours, here) = bound();
    let mut buffer = [0; 8];
    assert_eq!(kind(ours.try_recv(&mut buffer)), Some(ErrorKind::WouldBlock));
    assert_eq!(kind(ours.try_recv_from(&mut buffer)), Some(ErrorKind::WouldBlock));
    assert_eq!(ours.try_send_to(b"1", here).unwrap(), 1);
    ours.connect(here).unwrap();
    assert_eq!(ours.try_send(b"22").unwrap(), 2);
    assert_eq!(ours.try_recv(&mut buffer).unwrap(), 1);
    assert_eq!(ours.try_recv_from(&mut buffer).unwrap(), (2, here));
    // The hub's knowledge has not suffered: the next receive parks and goes on.
    let receiver = spawn(move || ours.recv(&mut [0; 8]).map(|count| (count, ours)));
    let_all_park();
    assert!(!receiver.is_finished());
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"stranger", here).unwrap();
    let_all_park();
    assert!(!receiver.is_finished(), "it is connected to itself");
    receiver.kill();
}

#[test]
fn every_descriptor_is_non_blocking_and_closed_by_exec() {
    let (ours, _) = bound();
    util::is_non_blocking_and_closed_by_exec(&ours);
    util::is_non_blocking_and_closed_by_exec(ours.try_clone().unwrap());
}

#[test]
fn sockets_come_from_std_and_go_back_by_every_way() {
    #[track_caller]
    fn check(socket: UdpSocket) -> UdpSocket {
        let here = socket.local_addr().unwrap();
        let sender = spawn(move || UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"ping", here));
        assert_eq!(soon(|| socket.recv(&mut [0; 8])).unwrap(), 4);
        soon(|| sender.wait()).unwrap().unwrap();
        socket
    }
    let socket = check(bound().0);
    let number = socket.as_raw_fd();
    let std = socket.into_std();
    assert_eq!(kind(std.recv(&mut [0; 8])), Some(ErrorKind::WouldBlock), "it stays non-blocking");
    std.set_nonblocking(false).unwrap();
    let socket = check(UdpSocket::from_std(std).unwrap());
    let socket = check(UdpSocket::from(std::net::UdpSocket::from(socket)));
    let socket = check(UdpSocket::from(OwnedFd::from(socket)));
    let raw = socket.into_raw_fd();
    // SAFETY: the number was just given away by its owner.
    let socket = check(unsafe { UdpSocket::from_raw_fd(raw) });
    assert_eq!(socket.as_raw_fd(), number, "one descriptor all the way");
}

#[test]
fn names_are_looked_up() {
    let (ours, here) = bound();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    soon(|| sender.send_to(b"x", ("127.0.0.1", here.port()))).unwrap();
    assert_eq!(soon(|| ours.recv(&mut [0; 8])).unwrap(), 1);
    let named = soon(|| UdpSocket::bind("localhost:0")).unwrap();
    assert!(named.local_addr().unwrap().ip().is_loopback());
}

/// FAULTS row 48.
#[test]
fn fault_48_a_datagram_that_was_truncated_is_said_to_be() {
    let (ours, theirs) = udp_pair();
    let from = theirs.local_addr().unwrap();
    for (length, room, truncated) in [
        (5, 5, false),
        (5, 4, true),
        (5, 0, true),
        (0, 0, false),
        (1, 100, false),
        (60_000, 9, true),
    ] {
        let datagram = vec![7; length];
        let received = length.min(room);
        theirs.send(&datagram).unwrap();
        theirs.send(&datagram).unwrap();
        let mut buffer = vec![0; room];
        let seen = soon(|| ours.recv_truncated(&mut buffer)).unwrap();
        assert_eq!(seen, (received, truncated), "{length} bytes into {room}");
        let seen = soon(|| ours.recv_from_truncated(&mut buffer)).unwrap();
        assert_eq!(seen, (received, from, truncated), "{length} bytes into {room}");
        assert!(buffer[..received].iter().all(|byte| *byte == 7));
    }
}

/// FAULTS row 48.
#[test]
fn fault_48_who_waits_is_told_that_nobody_is_there() {
    for (name, receive) in RECEIVES {
        let gone = bound().1;
        let ours = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        ours.connect(gone).unwrap();
        let receiver = spawn({
            let ours = Rc::clone(&ours);
            move || receive(&ours)
        });
        let_all_park();
        assert!(!receiver.is_finished());
        ours.send(b"hello?").unwrap();
        let error = kind(soon(|| receiver.wait()).unwrap());
        assert_eq!(error, Some(ErrorKind::ConnectionRefused), "{name}");
        // Once: the next one waits.
        ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(kind(soon(|| receive(&ours))), Some(ErrorKind::TimedOut), "{name}");
    }
}

/// FAULTS row 48: a network device that sends slowly keeps what it has been given in the socket's buffer.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_48_a_send_parks_while_the_sockets_buffer_is_full() {
    alone("fault_48_a_send_parks_while_the_sockets_buffer_is_full", || {
        // SAFETY: it takes a number. This OS thread alone moves, into a network of its own.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(unshared, 0, "this needs network namespaces");
        let slow = "link set lo up; qdisc add dev lo root tbf rate 800kbit burst 2000 limit 10mb";
        for command in slow.split("; ") {
            let program = if command.starts_with("link") { "ip" } else { "tc" };
            let status = Command::new(program).args(command.split(' ')).status();
            assert!(status.is_ok_and(|status| status.success()), "{program} {command} fails");
        }
        let (receiver, target) = bound();
        let sender = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        SockRef::from(&*sender).set_send_buffer_size(8_000).unwrap();
        let full = (0..1000).find_map(|_| sender.try_send_to(&[0; 1000], target).err());
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock), "it never fills");
        // It times out, and can be killed; and the others go on in their order.
        sender.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let late = (0..).find_map(|_: u64| sender.send_to(&[0; 1000], target).err());
        assert_eq!(late.map(|error| error.kind()), Some(ErrorKind::TimedOut));
        sender.set_write_timeout(None).unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let senders: Vec<GreenThread<_>> = (1..=5)
            .map(|n| {
                let (sender, order) = (Rc::clone(&sender), Rc::clone(&order));
                spawn(move || {
                    assert_eq!(sender.send_to(&vec![n; 1000], target).unwrap(), 1000);
                    order.borrow_mut().push(n);
                })
            })
            .collect();
        yield_now();
        assert!(senders.iter().all(|sender| !sender.is_finished()), "none of them has parked");
        senders[1].kill();
        wait_until(|| order.borrow().len() == 4);
        assert_eq!(*order.borrow(), [1, 3, 4, 5]);
        let mut buffer = [0; 1000];
        while buffer[0] != 5 {
            soon(|| receiver.recv(&mut buffer)).unwrap();
            assert_ne!(buffer[0], 2, "it was killed before it was sent");
        }
    });
}

/// FAULTS row 2.
#[test]
fn fault_02_a_close_on_the_same_hub_wakes_who_waits_at_once() {
    for (name, receive) in RECEIVES {
        let (ours, _theirs) = udp_pair();
        let ours = Rc::new(ours);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let ours = Rc::clone(&ours);
                spawn(move || receive(&ours))
            })
            .collect();
        let_all_park();
        ours.close();
        util::yield_often();
        for waiter in waiters {
            assert!(waiter.is_finished(), "{name} still waits");
            assert_eq!(kind(waiter.wait().unwrap()), Some(ErrorKind::NotConnected), "{name}");
        }
        for (name, receive) in RECEIVES {
            assert_eq!(kind(receive(&ours)), Some(ErrorKind::NotConnected), "a later {name}");
        }
        assert_eq!(kind(ours.send(b"x")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.send_to(b"x", "127.0.0.1:9")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.try_send(b"x")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.connect("127.0.0.1:9")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.try_recv(&mut [0])), Some(ErrorKind::NotConnected));
    }
}

/// FAULTS row 2: also of a socket that is not connected, of which the system says that it cannot be shut
/// down.
#[test]
fn fault_02_a_close_from_another_os_thread_wakes_who_waits() {
    for connected in [false, true] {
        for has_hub in [false, true] {
            let (ours, here) = bound();
            if connected {
                ours.connect(here).unwrap();
            }
            let ours = Arc::new(ours);
            let waiting = util::os_thread();
            let closer = std::thread::spawn({
                let ours = Arc::clone(&ours);
                move || {
                    if has_hub {
                        yield_now();
                    }
                    util::wait_until_asleep(waiting);
                    ours.close();
                }
            });
            assert_eq!(kind(soon(|| ours.recv(&mut [0]))), Some(ErrorKind::NotConnected));
            closer.join().unwrap();
        }
    }
}

/// FAULTS row 2: the waiter has a one-shot registration, in another hub than the owner's.
#[test]
fn fault_02_a_close_on_the_owners_hub_wakes_who_waits_on_another() {
    let (ours, _here) = bound();
    ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(kind(soon(|| ours.recv(&mut [0]))), Some(ErrorKind::TimedOut));
    ours.set_read_timeout(None).unwrap();
    let ours = Arc::new(ours);
    let (tell, told) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn({
        let ours = Arc::clone(&ours);
        move || {
            tell.send(util::os_thread()).unwrap();
            kind(soon(|| ours.recv(&mut [0])))
        }
    });
    util::wait_until_asleep(told.recv().unwrap());
    ours.close();
    assert_eq!(waiter.join().unwrap(), Some(ErrorKind::NotConnected));
}

/// FAULTS rows 2 and 37: a clone's receiver is woken, and told, and nobody spins for it.
#[test]
fn fault_02_a_close_is_one_for_clones_too() {
    let (ours, here) = bound();
    let (clone, other) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    let waiter = spawn(move || [(); 3].map(|()| kind(clone.recv(&mut [0]))));
    let_all_park();
    ours.close();
    assert_eq!(soon(|| waiter.wait()).unwrap(), [Some(ErrorKind::NotConnected); 3]);
    assert_eq!(kind(soon(|| other.recv(&mut [0]))), Some(ErrorKind::NotConnected));
    assert_eq!(kind(other.try_recv_from(&mut [0])), Some(ErrorKind::NotConnected));
    assert_eq!(kind(other.send_to(b"x", here)), Some(ErrorKind::BrokenPipe));
}

/// A line of green threads that receive, and who has got which datagram.
struct Line {
    socket: Rc<UdpSocket>,
    target: SocketAddr,
    sender: std::net::UdpSocket,
    served: Rc<RefCell<Vec<(usize, u8)>>>,
    threads: Vec<GreenThread<()>>,
}

impl Line {
    fn of(count: usize) -> Self {
        let (socket, target) = bound();
        let socket = Rc::new(socket);
        let served: Rc<RefCell<Vec<_>>> = Rc::default();
        let receiver = |n| {
            let (socket, served) = (Rc::clone(&socket), Rc::clone(&served));
            move || {
                let mut byte = [0];
                socket.recv_from(&mut byte).unwrap();
                served.borrow_mut().push((n, byte[0]));
            }
        };
        let threads = (0..count).map(|n| spawn(receiver(n))).collect();
        let_all_park();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        Self { socket, target, sender, served, threads }
    }

    fn send(&self, byte: u8) {
        self.sender.send_to(&[byte], self.target).unwrap();
    }

    #[track_caller]
    fn served_in_the_end(self, wanted: &[(usize, u8)]) {
        wait_until(|| self.served.borrow().len() >= wanted.len());
        let_all_park();
        assert_eq!(*self.served.borrow(), wanted);
    }
}

/// FAULTS row 3.
#[test]
fn fault_03_who_receives_first_is_served_first() {
    let line = Line::of(5);
    (10..15).for_each(|byte| line.send(byte));
    line.served_in_the_end(&[(0, 10), (1, 11), (2, 12), (3, 13), (4, 14)]);
    let line = Line::of(3);
    for n in 0..3 {
        line.send(n);
        wait_until(|| line.served.borrow().len() == usize::from(n) + 1);
    }
    line.served_in_the_end(&[(0, 0), (1, 1), (2, 2)]);
}

/// FAULTS row 3.
#[test]
fn fault_03_one_that_comes_later_does_not_overtake() {
    let line = Line::of(2);
    line.send(1);
    line.send(2);
    // Both datagrams wait; the hub has not looked yet. A third one has to stand behind.
    let late = spawn({
        let socket = Rc::clone(&line.socket);
        move || socket.recv(&mut [0]).map(drop)
    });
    wait_until(|| line.served.borrow().len() == 2);
    assert!(!late.is_finished());
    line.send(3);
    soon(|| late.wait()).unwrap().unwrap();
    line.served_in_the_end(&[(0, 1), (1, 2)]);
}

#[test]
fn one_that_is_killed_or_gives_up_in_line_leaves_it() {
    let line = Line::of(4);
    line.threads[0].kill();
    line.threads[2].kill();
    let gives_up = timeout(Duration::from_millis(1), || line.socket.recv(&mut [0]));
    assert!(gives_up.is_err());
    line.send(1);
    line.send(2);
    line.served_in_the_end(&[(1, 1), (3, 2)]);
}

#[test]
fn one_that_is_killed_between_its_wake_and_its_receive_hands_the_datagram_on() {
    let mut line = Line::of(3);
    let victim = line.threads.remove(0);
    let (ours, theirs) = udp_pair();
    let killer = spawn(move || {
        ours.recv(&mut [0]).unwrap();
        victim.kill();
    });
    let_all_park();
    // One turn of the hub wakes both, in the order in which things happened.
    theirs.send(b"x").unwrap();
    line.send(7);
    soon(|| killer.wait()).unwrap();
    line.served_in_the_end(&[(1, 7)]);
}

#[test]
fn one_that_peeks_leaves_the_datagram_to_the_next() {
    let (socket, target) = bound();
    let socket = Rc::new(socket);
    let peeks = spawn({
        let socket = Rc::clone(&socket);
        move || socket.peek(&mut [0; 8])
    });
    let_all_park();
    let takes = spawn({
        let socket = Rc::clone(&socket);
        move || socket.recv(&mut [0; 8])
    });
    let_all_park();
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"both", target).unwrap();
    assert_eq!(soon(|| peeks.wait()).unwrap().unwrap(), 4);
    assert_eq!(soon(|| takes.wait()).unwrap().unwrap(), 4);
    assert_eq!(kind(socket.try_recv(&mut [0])), Some(ErrorKind::WouldBlock));
}

#[test]
fn one_socket_serves_the_green_threads_of_several_os_threads() {
    const EACH: usize = 200;
    let (socket, target) = bound();
    let socket = Arc::new(socket);
    let servers: Vec<_> = (0..3)
        .map(|_| {
            let socket = Arc::clone(&socket);
            std::thread::spawn(move || {
                let mut served = 0;
                let mut buffer = [0; 8];
                while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(&buffer[..count], from).unwrap();
                    served += 1;
                }
                served
            })
        })
        .collect();
    let clients: Vec<_> = (0..4)
        .map(|n| {
            spawn(move || {
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                client.connect(target).unwrap();
                for round in 0..EACH {
                    let message = [n, round as u8];
                    client.send(&message).unwrap();
                    let mut answer = [0; 8];
                    assert_eq!(client.recv(&mut answer).unwrap(), 2);
                    assert_eq!(answer[..2], message);
                }
            })
        })
        .collect();
    soon(|| clients.into_iter().for_each(|client| client.wait().unwrap()));
    socket.close();
    let served: usize = servers.into_iter().map(|server| server.join().unwrap()).sum();
    assert_eq!(served, 4 * EACH);
}

/// FAULTS row 36.
#[test]
fn fault_36_clones_close_one_by_one_and_do_not_disturb_each_other() {
    let (ours, here) = bound();
    let clone = ours.try_clone().unwrap();
    // Both are known to the hub by now.
    let first = spawn(move || ours.recv(&mut [0]).map(|_| ours));
    let second = spawn(move || clone.recv(&mut [0]).map(|_| clone));
    let_all_park();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"1", here).unwrap();
    wait_until(|| first.is_finished() || second.is_finished());
    let (done, other) = if first.is_finished() { (first, second) } else { (second, first) };
    drop(soon(|| done.wait()).unwrap().unwrap());
    let_all_park();
    assert!(!other.is_finished());
    sender.send_to(b"2", here).unwrap();
    soon(|| other.wait()).unwrap().unwrap();
}

/// FAULTS row 37: an error that nobody asks for, and a shutdown by another descriptor, on the hub of
/// this OS thread and on another one.
#[test]
fn fault_37_an_error_or_a_shutdown_costs_nothing_while_nobody_asks() {
    let (ours, theirs) = udp_pair();
    ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(kind(soon(|| ours.recv(&mut [0]))), Some(ErrorKind::TimedOut));
    ours.set_read_timeout(None).unwrap();
    drop(theirs);
    ours.send(b"hello?").unwrap();
    util::costs_nothing();
    assert_eq!(kind(ours.recv(&mut [0])), Some(ErrorKind::ConnectionRefused));
    SockRef::from(&ours).shutdown(std::net::Shutdown::Both).unwrap();
    util::costs_nothing();
    let ours = Arc::new(ours);
    let elsewhere = std::thread::spawn({
        let ours = Arc::clone(&ours);
        move || kind(soon(|| ours.recv(&mut [0])))
    });
    assert_eq!(elsewhere.join().unwrap(), Some(ErrorKind::NotConnected));
}

/// FAULTS row 15.
#[test]
fn fault_15_a_socket_that_always_has_a_datagram_lets_the_others_run() {
    let (ours, here) = bound();
    let turns = Rc::new(std::cell::Cell::new(0));
    let counter = spawn({
        let turns = Rc::clone(&turns);
        move || loop {
            turns.set(turns.get() + 1);
            yield_now();
        }
    });
    for _ in 0..100 * 128 / 2 {
        ours.send_to(b"x", here).unwrap();
        ours.recv_from(&mut [0]).unwrap();
    }
    assert!(turns.get() >= 99, "{} turns in 100 times 128 operations", turns.get());
    counter.kill();
}

util::and_all_of_them_again!();
