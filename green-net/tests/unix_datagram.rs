//! `UnixDatagram`: what std's does, ours does too; and where the documentation says otherwise, that.

mod util;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_green_net::UnixDatagram;
use evy_runtime::{GreenThread, spawn, timeout, yield_now};
use socket2::SockRef;
use util::{TempPath, alone, let_all_park, same_as_std, seen, soon, wait_until};

same_as_std! {
    /// Semantics E 88.
    fn the_ends_know_their_addresses() -> Vec<String> {
        let (path, other_path) = (TempPath::new(), TempPath::new());
        let one = UnixDatagram::bind(&path).unwrap();
        let other = UnixDatagram::bind(&other_path).unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        let before = seen(unbound.peer_addr());
        unbound.connect(&path).unwrap();
        other.send_to(b"x", &path).unwrap();
        unbound.send(b"y").unwrap();
        let mut buffer = [0; 8];
        let (pair, _peer) = UnixDatagram::pair().unwrap();
        let name = |address: SocketAddr| match address.as_pathname() {
            Some(name) if name == &*path => "the path".to_owned(),
            Some(name) if name == &*other_path => "the other path".to_owned(),
            _ => format!("{address:?}"),
        };
        let addresses = [
            one.local_addr().unwrap(), unbound.local_addr().unwrap(), unbound.peer_addr().unwrap(),
            one.recv_from(&mut buffer).unwrap().1, one.recv_from(&mut buffer).unwrap().1,
            pair.local_addr().unwrap(), pair.peer_addr().unwrap(),
        ];
        let mut names: Vec<_> = addresses.into_iter().map(name).collect();
        names.push(format!("{before:?}"));
        names
    }

    /// Semantics E 88.
    fn abstract_names_are_kept_byte_by_byte() -> Vec<Vec<u8>> {
        let unique = std::process::id().to_string();
        let mut seen = Vec::new();
        for name in [&b"datagram"[..], b"with \0 in it", &[200; 95]] {
            let address = |end: &[u8]| SocketAddr::from_abstract_name([unique.as_bytes(), name, end].concat()).unwrap();
            let one = UnixDatagram::bind_addr(&address(b"1")).unwrap();
            let other = UnixDatagram::bind_addr(&address(b"2")).unwrap();
            one.send_to_addr(b"x", &address(b"2")).unwrap();
            let (_, from) = other.recv_from(&mut [0; 8]).unwrap();
            other.connect_addr(&from).unwrap();
            for address in [from, other.peer_addr().unwrap(), other.local_addr().unwrap()] {
                seen.push(address.as_abstract_name().unwrap()[unique.len()..].to_vec());
            }
        }
        seen
    }

    fn debug_output_names_the_ends_and_the_descriptor() -> String {
        let (socket, _peer) = UnixDatagram::pair().unwrap();
        let number = socket.as_raw_fd();
        let text = format!("{socket:?}").replace(&format!("FileDesc(OwnedFd {{ fd: {number} }})"), "N");
        text.replace(&format!("fd: {number}"), "fd: N")
    }

    fn timeouts_are_kept_and_none_is_of_zero() -> Vec<String> {
        let (socket, _peer) = UnixDatagram::pair().unwrap();
        let mut seen = Vec::new();
        for timeout in [None, Some(Duration::from_secs(100)), Some(Duration::from_millis(20)), None] {
            socket.set_read_timeout(timeout).unwrap();
            socket.set_write_timeout(timeout.map(|time| time * 2)).unwrap();
            seen.push(format!("{:?}", (socket.read_timeout(), socket.write_timeout())));
        }
        seen.push(socket.set_read_timeout(Some(Duration::ZERO)).unwrap_err().to_string());
        seen.push(socket.set_write_timeout(Some(Duration::ZERO)).unwrap_err().to_string());
        seen.push(format!("{:?}", socket.take_error().unwrap().is_none()));
        seen
    }

    fn a_datagram_is_a_whole_and_comes_in_order() -> Vec<(usize, bool)> {
        let (one, other) = UnixDatagram::pair().unwrap();
        for length in [1, 0, 100, 1, 40_000] {
            assert_eq!(one.send(&vec![length as u8; length]).unwrap(), length);
        }
        let mut buffer = vec![0; 50_000];
        (0..5)
            .map(|n| {
                let count = match n % 2 {
                    0 => other.recv(&mut buffer).unwrap(),
                    _ => other.recv_from(&mut buffer).unwrap().0,
                };
                (count, buffer[..count].iter().all(|byte| *byte == count as u8))
            })
            .collect()
    }

    /// FAULTS row 48: what does not fit is lost, with std's as with ours.
    fn fault_48_of_a_datagram_that_is_longer_than_the_buffer_the_rest_is_lost() -> Vec<Vec<u8>> {
        let (one, other) = UnixDatagram::pair().unwrap();
        for text in ["a long one", "another long one", "third", "fourth"] {
            one.send(text.as_bytes()).unwrap();
        }
        let mut seen = Vec::new();
        for length in [6, 0, 5, 100] {
            let mut buffer = vec![0; length];
            let count = other.recv(&mut buffer).unwrap();
            buffer.truncate(count);
            seen.push(buffer);
        }
        seen
    }

    /// FAULTS row 48.
    fn fault_48_a_datagram_that_is_too_long_is_an_error() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let path = TempPath::new();
        let bound = UnixDatagram::bind(&path).unwrap();
        let (one, other) = UnixDatagram::pair().unwrap();
        let too_long = vec![0; 10 << 20];
        vec![
            seen(one.send(&too_long)), seen(one.send_to(&too_long, &path)), seen(one.send(b"short")),
            seen(one.send_to(b"short", &path)), seen(other.recv(&mut [0; 8])), seen(bound.recv(&mut [0; 8])),
        ]
    }

    /// FAULTS row 49: stale paths, paths that are none, and those who do not want to hear.
    fn fault_49_who_cannot_be_reached_is_said_to_be_so() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let (stale, file, none, stream) = (TempPath::new(), TempPath::new(), TempPath::new(), TempPath::new());
        drop(UnixDatagram::bind(&stale).unwrap());
        std::fs::write(&file, "no socket").unwrap();
        let _listener = UnixListener::bind(&stream).unwrap();
        let taken = TempPath::new();
        let taken_socket = UnixDatagram::bind(&taken).unwrap();
        let friend = TempPath::new();
        let _friend_socket = UnixDatagram::bind(&friend).unwrap();
        taken_socket.connect(&friend).unwrap();
        let long = "x".repeat(108);
        let others = ["", "no\0path", &long, "/tmp", "/no/such/folder/socket"].map(Path::new);
        let paths = [&*stale, &*file, &*none, &*stream, &*taken].into_iter().chain(others);
        let socket = UnixDatagram::unbound().unwrap();
        let mut results: Vec<_> = paths
            .flat_map(|path| [seen(socket.send_to(b"x", path).map(drop)), seen(socket.connect(path))])
            .collect();
        results.push(seen(socket.send(b"x").map(drop)));
        results.push(seen(UnixDatagram::bind(&taken).map(drop)));
        let nobody = SocketAddr::from_abstract_name("evy-test-nobody").unwrap();
        results.push(seen(socket.send_to_addr(b"x", &nobody).map(drop)));
        results.push(seen(socket.connect_addr(&nobody)));
        results
    }

    /// FAULTS row 11.
    fn fault_11_a_peer_that_is_gone_is_an_error_for_senders() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let path = TempPath::new();
        let (pair, peer) = UnixDatagram::pair().unwrap();
        let (connected, bound) = (UnixDatagram::unbound().unwrap(), UnixDatagram::bind(&path).unwrap());
        connected.connect(&path).unwrap();
        peer.send(b"last words").unwrap();
        drop((peer, bound));
        // In this order: a send to a peer that is gone drops what it has sent.
        let mut results = vec![seen(pair.recv(&mut [0; 100]))];
        for socket in [&pair, &connected] {
            results.extend((0..3).map(|_| seen(socket.send(b"hello?"))));
        }
        results
    }

    /// FAULTS row 13.
    fn fault_13_what_is_shut_down_is_shut_and_the_rest_is_not() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let mut results = Vec::new();
        let mut buffer = [0; 8];
        for how in [Shutdown::Write, Shutdown::Read, Shutdown::Both] {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            theirs.send(b"before").unwrap();
            ours.shutdown(how).unwrap();
            results.push(seen(ours.recv(&mut buffer)));
            if how != Shutdown::Write {
                results.push(seen(ours.recv(&mut buffer)));
                results.push(seen(ours.recv(&mut buffer)));
            }
            results.push(seen(ours.send(b"x")));
            results.push(seen(theirs.send(b"y")));
            results.push(seen(ours.shutdown(how).map(|()| 0)));
        }
        results
    }

    fn a_socket_that_does_not_block_says_would_block() -> Vec<ErrorKind> {
        let path = TempPath::new();
        let _full = UnixDatagram::bind(&path).unwrap();
        let (one, _other) = UnixDatagram::pair().unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        one.set_nonblocking(true).unwrap();
        unbound.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        vec![
            one.recv(&mut buffer).unwrap_err().kind(),
            one.recv_from(&mut buffer).unwrap_err().kind(),
            (0..100_000).find_map(|_| one.send(&[0; 1000]).err()).unwrap().kind(),
            (0..100_000).find_map(|_| unbound.send_to(&[0; 10], &path).err()).unwrap().kind(),
        ]
    }

    fn a_clone_is_the_same_socket() -> Vec<usize> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let clone = ours.try_clone().unwrap();
        clone.send(b"1").unwrap();
        ours.send(b"22").unwrap();
        drop(ours);
        theirs.send(b"333").unwrap();
        let mut buffer = [0; 8];
        vec![theirs.recv(&mut buffer).unwrap(), theirs.recv(&mut buffer).unwrap(), clone.recv(&mut buffer).unwrap()]
    }
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Ours, and the peer's, which is std's and blocks.
fn pair() -> (UnixDatagram, StdUnixDatagram) {
    let (ours, theirs) = StdUnixDatagram::pair().unwrap();
    (UnixDatagram::from_std(ours).unwrap(), theirs)
}

/// Everything that waits for a datagram.
type Receive = fn(&UnixDatagram) -> io::Result<usize>;

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
    check::<UnixDatagram>();
}

/// Semantics E 88.
#[test]
fn a_receive_parks_until_there_is_a_datagram() {
    for (name, receive) in RECEIVES {
        let (ours, theirs) = pair();
        let receiver = spawn(move || receive(&ours));
        let_all_park();
        assert!(!receiver.is_finished(), "{name} did not park");
        theirs.send(b"hello").unwrap();
        assert_eq!(soon(|| receiver.wait()).unwrap().unwrap(), 5, "{name}");
    }
}

#[test]
fn timed_out_is_said_of_every_receive() {
    let (ours, _theirs) = pair();
    let timeout = Duration::from_millis(10);
    ours.set_read_timeout(Some(timeout)).unwrap();
    for (name, receive) in RECEIVES {
        let start = Instant::now();
        assert_eq!(kind(soon(|| receive(&ours))), Some(ErrorKind::TimedOut), "{name}");
        assert!(start.elapsed() >= timeout, "{name} was early");
    }
}

#[test]
fn every_descriptor_is_non_blocking_and_closed_by_exec() {
    let path = TempPath::new();
    let (one, other) = UnixDatagram::pair().unwrap();
    let bound = UnixDatagram::bind(&path).unwrap();
    for socket in [one.try_clone().unwrap(), one, other, bound, UnixDatagram::unbound().unwrap()] {
        util::is_non_blocking_and_closed_by_exec(socket);
    }
}

#[test]
fn sockets_come_from_std_and_go_back_by_every_way() {
    let (socket, theirs) = pair();
    let check = |socket: UnixDatagram| {
        theirs.send(b"ping").unwrap();
        assert_eq!(soon(|| socket.recv(&mut [0; 8])).unwrap(), 4);
        socket
    };
    let number = socket.as_raw_fd();
    let std = check(socket).into_std();
    assert_eq!(kind(std.recv(&mut [0; 8])), Some(ErrorKind::WouldBlock), "it stays non-blocking");
    std.set_nonblocking(false).unwrap();
    let socket = check(UnixDatagram::from_std(std).unwrap());
    let socket = check(UnixDatagram::from(StdUnixDatagram::from(socket)));
    let socket = check(UnixDatagram::from(OwnedFd::from(socket)));
    let raw = socket.into_raw_fd();
    // SAFETY: the number was just given away by its owner.
    let socket = check(unsafe { UnixDatagram::from_raw_fd(raw) });
    assert_eq!(socket.as_raw_fd(), number, "one descriptor all the way");
}

#[test]
fn what_is_tried_never_waits() {
    let path = TempPath::new();
    let address = SocketAddr::from_pathname(&path).unwrap();
    let receiver = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(kind(receiver.try_recv(&mut buffer)), Some(ErrorKind::WouldBlock));
    assert_eq!(kind(receiver.try_recv_from(&mut buffer)), Some(ErrorKind::WouldBlock));
    assert_eq!(sender.try_send_to(b"1", &path).unwrap(), 1);
    assert_eq!(sender.try_send_to_addr(b"22", &address).unwrap(), 2);
    assert_eq!(receiver.try_recv(&mut buffer).unwrap(), 1);
    assert_eq!(receiver.try_recv_from(&mut buffer).unwrap().0, 2);
    let full = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
    let fill = |send: &dyn Fn() -> io::Result<usize>| (0..100_000).find_map(|_| send().err());
    assert!(fill(&|| sender.try_send_to(b"x", &path)).is_some_and(full));
    assert!(fill(&|| sender.try_send_to_addr(b"x", &address)).is_some_and(full));
    let (one, other) = UnixDatagram::pair().unwrap();
    assert_eq!(one.try_send(b"x").unwrap(), 1);
    assert!(fill(&|| one.try_send(b"x")).is_some_and(full));
    drop(other);
}

/// FAULTS row 48.
#[test]
fn fault_48_a_datagram_that_was_truncated_is_said_to_be() {
    let (ours, theirs) = pair();
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
        let mut buffer = vec![0; room];
        theirs.send(&datagram).unwrap();
        let seen = soon(|| ours.recv_truncated(&mut buffer)).unwrap();
        assert_eq!(seen, (received, truncated), "{length} bytes into {room}");
        theirs.send(&datagram).unwrap();
        let (count, from, seen) = soon(|| ours.recv_from_truncated(&mut buffer)).unwrap();
        assert_eq!((count, seen), (received, truncated), "{length} bytes into {room}");
        assert!(from.is_unnamed());
    }
}

/// What a sender and a receiver are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// Connected to each other.
    Pair,
    /// The sender to the receiver.
    Connected,
    /// None: the receiver's address is named with each datagram.
    Named,
    /// The sender to somebody else, and the receiver's address is named.
    NamedBesides,
}

const RELATIONS: [Relation; 4] =
    [Relation::Pair, Relation::Connected, Relation::Named, Relation::NamedBesides];

/// One of 100 bytes, beginning with its number.
fn datagram(number: usize) -> [u8; 100] {
    let mut datagram = [0; 100];
    datagram[..8].copy_from_slice(&number.to_le_bytes());
    datagram
}

/// A sender and a receiver whose queue is full.
struct Full {
    relation: Relation,
    path: TempPath,
    sender: UnixDatagram,
    receiver: UnixDatagram,
    /// How many datagrams are in the queue.
    queued: usize,
    /// Whom the sender is connected to, if that is not the receiver.
    _friend: UnixDatagram,
}

impl Full {
    fn new(relation: Relation) -> Self {
        let (path, friend_path) = (TempPath::new(), TempPath::new());
        let friend = UnixDatagram::bind(&friend_path).unwrap();
        let (sender, receiver) = match relation {
            Relation::Pair => UnixDatagram::pair().unwrap(),
            _ => (UnixDatagram::unbound().unwrap(), UnixDatagram::bind(&path).unwrap()),
        };
        match relation {
            Relation::Connected => sender.connect(&path).unwrap(),
            Relation::NamedBesides => sender.connect(&friend_path).unwrap(),
            Relation::Pair | Relation::Named => {}
        }
        SockRef::from(&sender).set_send_buffer_size(1 << 16).unwrap();
        let full = Self { relation, path, sender, receiver, queued: 0, _friend: friend };
        let queued = match relation {
            Relation::Pair => full.fill(|this, datagram| this.sender.try_send(datagram)),
            // By somebody else: what one's own datagrams give back with their end is room in one's own
            // buffer, of which one is told.
            _ => {
                let stranger = UnixDatagram::unbound().unwrap();
                full.fill(|this, datagram| stranger.try_send_to(datagram, &this.path))
            }
        };
        Self { queued, ..full }
    }

    fn fill(&self, send: impl Fn(&Self, &[u8]) -> io::Result<usize>) -> usize {
        (0..).find(|number| send(self, &datagram(*number)).is_err()).expect("it gets full")
    }

    fn send(&self, number: usize) -> io::Result<usize> {
        let datagram = datagram(number);
        match self.relation {
            Relation::Pair | Relation::Connected => self.sender.send(&datagram),
            Relation::Named | Relation::NamedBesides => self.sender.send_to(&datagram, &self.path),
        }
    }

    /// Receives a datagram, and returns its number.
    fn receive(&self) -> usize {
        let mut datagram = [0; 200];
        assert_eq!(soon(|| self.receiver.recv(&mut datagram)).unwrap(), 100);
        usize::from_le_bytes(datagram[..8].try_into().unwrap())
    }

    /// A green thread that sends one more.
    fn spawn_sender(self: &Rc<Self>, number: usize) -> GreenThread<io::Result<usize>> {
        let this = Rc::clone(self);
        let sender = spawn(move || this.send(number));
        let_all_park();
        sender
    }
}

/// FAULTS rows 16 and 48.
#[test]
fn fault_48_a_send_parks_while_the_receivers_queue_is_full() {
    for relation in RELATIONS {
        let full = Rc::new(Full::new(relation));
        assert!(full.queued >= 2, "{relation:?}");
        const MORE: usize = 500;
        let sender = spawn({
            let full = Rc::clone(&full);
            move || {
                for number in full.queued..full.queued + MORE {
                    full.send(number).unwrap();
                }
            }
        });
        let_all_park();
        assert!(!sender.is_finished(), "{relation:?}");
        for number in 0..full.queued + MORE {
            assert_eq!(full.receive(), number, "{relation:?}");
        }
        soon(|| sender.wait()).unwrap();
    }
}

/// FAULTS row 16: a receiver that takes nothing holds up nobody else, and costs next to nothing.
#[test]
fn fault_16_a_receiver_that_stops_receiving_holds_up_nobody_else() {
    for relation in RELATIONS {
        let full = Rc::new(Full::new(relation));
        let sender = full.spawn_sender(0);
        util::costs_nothing();
        // The same sender, to another receiver.
        let path = TempPath::new();
        let other = UnixDatagram::bind(&path).unwrap();
        if matches!(relation, Relation::Named | Relation::NamedBesides) {
            assert_eq!(soon(|| full.sender.send_to(b"other", &path)).unwrap(), 5, "{relation:?}");
            assert_eq!(soon(|| other.recv(&mut [0; 8])).unwrap(), 5);
        }
        assert!(!sender.is_finished());
        sender.kill();
    }
}

#[test]
fn timed_out_is_said_of_every_send() {
    for relation in RELATIONS {
        let full = Full::new(relation);
        let timeout = Duration::from_millis(10);
        full.sender.set_write_timeout(Some(timeout)).unwrap();
        let start = Instant::now();
        assert_eq!(kind(soon(|| full.send(0))), Some(ErrorKind::TimedOut), "{relation:?}");
        assert!(start.elapsed() >= timeout, "{relation:?} was early");
        // What timed out was not sent, and the next is.
        full.sender.set_write_timeout(None).unwrap();
        for number in 0..full.queued {
            assert_eq!(full.receive(), number, "{relation:?}");
        }
        soon(|| full.send(77)).unwrap();
        assert_eq!(full.receive(), 77, "{relation:?}");
    }
}

#[test]
fn a_sender_that_is_killed_has_sent_nothing_and_the_others_go_on() {
    for relation in RELATIONS {
        let full = Rc::new(Full::new(relation));
        let senders: Vec<_> = (1000..1003).map(|number| full.spawn_sender(number)).collect();
        senders[0].kill();
        let all: Vec<_> = (0..full.queued + 2).map(|_| full.receive()).collect();
        let (queued, late) = all.split_at(full.queued);
        let mut late = late.to_vec();
        if matches!(relation, Relation::Named | Relation::NamedBesides) {
            // They stand in no line.
            late.sort_unstable();
        }
        assert!(queued.iter().copied().eq(0..full.queued), "{relation:?}");
        assert_eq!(late, [1001, 1002], "{relation:?}");
        for sender in senders.into_iter().skip(1) {
            soon(|| sender.wait()).unwrap().unwrap();
        }
    }
}

/// FAULTS row 11.
#[test]
fn fault_11_a_receiver_that_goes_is_an_error_for_who_waits_to_send() {
    for relation in RELATIONS {
        let full = Full::new(relation);
        let Full { sender, receiver, path, .. } = full;
        let sends = spawn(move || match relation {
            Relation::Pair | Relation::Connected => sender.send(b"x"),
            _ => sender.send_to(b"x", &path),
        });
        let_all_park();
        assert!(!sends.is_finished());
        drop(receiver);
        let error = kind(soon(|| sends.wait()).unwrap());
        // The end of a pair knows no more of its peer when that is gone.
        let expected = [Some(ErrorKind::ConnectionRefused), Some(ErrorKind::ConnectionReset)];
        assert!(expected.contains(&error), "{relation:?}: {error:?}");
    }
}

#[test]
fn a_sender_without_a_descriptor_to_spare_waits_all_the_same() {
    alone("a_sender_without_a_descriptor_to_spare_waits_all_the_same", || {
        // A hub takes descriptors too.
        yield_now();
        let full = Rc::new(Full::new(Relation::Named));
        util::limit_descriptors(full.receiver.as_raw_fd() as u64 + 1);
        let sender = full.spawn_sender(1000);
        assert!(!sender.is_finished());
        for number in 0..full.queued {
            assert_eq!(full.receive(), number);
        }
        assert_eq!(full.receive(), 1000);
        soon(|| sender.wait()).unwrap().unwrap();
    });
}

/// FAULTS row 2.
#[test]
fn fault_02_a_close_on_the_same_hub_wakes_who_waits_at_once() {
    for (name, receive) in RECEIVES {
        let (ours, theirs) = pair();
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
        assert_eq!(kind(receive(&ours)), Some(ErrorKind::NotConnected), "a later {name}");
        assert_eq!(kind(ours.send(b"x")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.send_to(b"x", "/tmp/x")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.connect("/tmp/x")), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.try_recv(&mut [0])), Some(ErrorKind::NotConnected));
        assert_eq!(kind(theirs.send(b"x")), Some(ErrorKind::BrokenPipe));
    }
    let full = Rc::new(Full::new(Relation::Pair));
    let sender = full.spawn_sender(0);
    full.sender.close();
    yield_now();
    assert!(sender.is_finished());
    assert_eq!(kind(sender.wait().unwrap()), Some(ErrorKind::NotConnected));
}

/// FAULTS row 2.
#[test]
fn fault_02_a_close_from_another_os_thread_wakes_who_waits() {
    for has_hub in [false, true] {
        let (ours, _theirs) = pair();
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

/// FAULTS rows 2 and 13: a shutdown is told who waits, through a clone and through a descriptor of others.
#[test]
fn fault_13_a_shutdown_for_reading_wakes_who_waits_and_is_the_end() {
    for by_ours in [false, true] {
        for (name, receive) in RECEIVES {
            let (ours, _theirs) = pair();
            let clone = ours.try_clone().unwrap();
            let by_others = SockRef::from(&ours).try_clone().unwrap();
            let ours = Rc::new(ours);
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let ours = Rc::clone(&ours);
                    spawn(move || receive(&ours))
                })
                .collect();
            let_all_park();
            if by_ours {
                clone.shutdown(Shutdown::Read).unwrap();
            } else {
                by_others.shutdown(Shutdown::Read).unwrap();
            }
            for waiter in waiters {
                assert_eq!(soon(|| waiter.wait()).unwrap().unwrap(), 0, "{name}");
            }
            assert_eq!(soon(|| receive(&ours)).unwrap(), 0, "a later {name}");
            assert_eq!(ours.try_recv(&mut [0]).unwrap(), 0);
            assert_eq!(ours.try_recv_from(&mut [0]).unwrap().0, 0);
            // One that is known to be shut down by nobody here finds out, too.
            let adopted = UnixDatagram::from(OwnedFd::from(by_others));
            assert_eq!(soon(|| receive(&adopted)).unwrap(), 0, "a new handle's {name}");
        }
    }
}

/// FAULTS row 37: on the hub of this OS thread, and on another one.
#[test]
fn fault_37_a_shutdown_or_a_hang_up_costs_nothing_while_nobody_asks() {
    let (ours, theirs) = pair();
    ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(kind(soon(|| ours.recv(&mut [0]))), Some(ErrorKind::TimedOut));
    ours.set_read_timeout(None).unwrap();
    drop(theirs);
    util::costs_nothing();
    SockRef::from(&ours).shutdown(Shutdown::Both).unwrap();
    util::costs_nothing();
    let ours = Arc::new(ours);
    let elsewhere = std::thread::spawn({
        let ours = Arc::clone(&ours);
        move || soon(|| ours.recv(&mut [0])).unwrap()
    });
    assert_eq!(elsewhere.join().unwrap(), 0);
}

/// FAULTS row 3.
#[test]
fn fault_03_who_receives_first_is_served_first() {
    let (ours, theirs) = pair();
    let ours = Rc::new(ours);
    let served: Rc<RefCell<Vec<_>>> = Rc::default();
    let receivers: Vec<GreenThread<()>> = (0..5)
        .map(|n| {
            let (ours, served) = (Rc::clone(&ours), Rc::clone(&served));
            spawn(move || {
                let mut byte = [0];
                ours.recv(&mut byte).unwrap();
                served.borrow_mut().push((n, byte[0]));
            })
        })
        .collect();
    let_all_park();
    receivers[1].kill();
    assert!(timeout(Duration::from_millis(1), || ours.recv(&mut [0])).is_err());
    (10..14).for_each(|byte| assert_eq!(theirs.send(&[byte]).unwrap(), 1));
    wait_until(|| served.borrow().len() == 4);
    assert_eq!(*served.borrow(), [(0, 10), (2, 11), (3, 12), (4, 13)]);
}

/// FAULTS row 3.
#[test]
fn fault_03_who_sends_first_is_served_first() {
    for relation in [Relation::Pair, Relation::Connected] {
        let full = Rc::new(Full::new(relation));
        let senders: Vec<_> = (0..5).map(|n| full.spawn_sender(1000 + n)).collect();
        for number in (0..full.queued).chain(1000..1005) {
            assert_eq!(full.receive(), number, "{relation:?}");
        }
        for sender in senders {
            soon(|| sender.wait()).unwrap().unwrap();
        }
    }
}

/// FAULTS row 12: senders are told, whatever SIGPIPE is set to.
#[test]
fn fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills() {
    alone("fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills", || {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (ours, theirs) = pair();
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!(kind(ours.send(b"x")), Some(ErrorKind::BrokenPipe));
        let (ours, their_path) = (UnixDatagram::unbound().unwrap(), TempPath::new());
        let shut = UnixDatagram::bind(&their_path).unwrap();
        shut.shutdown(Shutdown::Read).unwrap();
        assert_eq!(kind(ours.send_to(b"x", &their_path)), Some(ErrorKind::BrokenPipe));
        drop(theirs);
    });
}

/// FAULTS row 36.
#[test]
fn fault_36_clones_close_one_by_one_and_do_not_disturb_each_other() {
    let (ours, theirs) = pair();
    let clone = ours.try_clone().unwrap();
    // Both are known to the hub by now.
    let first = spawn(move || ours.recv(&mut [0]).map(|_| ours));
    let second = spawn(move || clone.recv(&mut [0]).map(|_| clone));
    let_all_park();
    theirs.send(b"1").unwrap();
    wait_until(|| first.is_finished() || second.is_finished());
    let (done, other) = if first.is_finished() { (first, second) } else { (second, first) };
    drop(soon(|| done.wait()).unwrap().unwrap());
    let_all_park();
    assert!(!other.is_finished());
    theirs.send(b"2").unwrap();
    drop(soon(|| other.wait()).unwrap().unwrap());
    assert_eq!(kind(theirs.send(b"x")), Some(ErrorKind::ConnectionRefused));
}

util::and_all_of_them_again!();
