//! WebSockets whose peers break the rules, stall or vanish, and whose green threads are cut short.

mod websocket_util;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::TcpStream;
use evy_http::Stream;
use evy_http::websocket::{CloseCode, Options, WebSocket};
use evy_runtime::{sleep, spawn, spawn_n, timeout, yield_now};
use websocket_util::*;

const SHORT: Duration = Duration::from_millis(20);

/// More than a socket takes at once.
const MUCH: usize = 8_000_000;

fn options() -> Options {
    Options::new().ping_interval(None)
}

/// Sends much to a peer that does not read yet.
fn start_to_send(socket: &WebSocket) -> evy_runtime::GreenThread<io::Result<()>> {
    let sending = spawn({
        let socket = socket.clone();
        move || socket.send("x".repeat(MUCH))
    });
    settle();
    assert!(!sending.is_finished());
    sending
}

#[test]
fn fault_43_whoever_breaks_the_rules_is_told_which() {
    let limits = || options().max_message(1000).max_frame(600);
    let masked = |first, payload: &[u8]| frame(first, true, payload);
    let headed = |bytes: &[u8]| [bytes, &[0; 4]].concat();
    for (what, bytes, code, kind) in [
        ("an unmasked frame", frame(TEXT, false, b"text"), 1002, ErrorKind::InvalidData),
        ("a text that is none", masked(TEXT, b"\xC0\x80"), 1007, ErrorKind::InvalidData),
        ("half a letter", masked(TEXT, b"\xE2\x82"), 1007, ErrorKind::InvalidData),
        ("a surrogate", masked(TEXT, b"\xED\xA0\x80"), 1007, ErrorKind::InvalidData),
        (
            "a text that is none, in pieces",
            [masked(0x01, b"\xF0\x9F"), masked(0x80, b"\x98x")].concat(),
            1007,
            ErrorKind::InvalidData,
        ),
        ("a reason that is none", masked(CLOSE, b"\x03\xE8\xFF"), 1007, ErrorKind::InvalidData),
        ("half a code", masked(CLOSE, b"\x03"), 1002, ErrorKind::InvalidData),
        ("a reserved bit", masked(TEXT | 0x40, b"text"), 1002, ErrorKind::InvalidData),
        ("a reserved kind", masked(0x83, b"text"), 1002, ErrorKind::InvalidData),
        ("a reserved control", masked(0x8B, b"text"), 1002, ErrorKind::InvalidData),
        ("a ping in pieces", masked(0x09, b"ping"), 1002, ErrorKind::InvalidData),
        ("a long ping", masked(PING, &[b'x'; 126]), 1002, ErrorKind::InvalidData),
        ("an end without beginning", masked(0x80, b"text"), 1002, ErrorKind::InvalidData),
        (
            "two beginnings",
            [masked(0x01, b"a"), masked(0x01, b"b")].concat(),
            1002,
            ErrorKind::InvalidData,
        ),
        ("a long frame", masked(BINARY, &[0; 601]), 1009, ErrorKind::FileTooLarge),
        (
            "a long message",
            [masked(0x02, &[0; 600]), masked(0x80, &[0; 401])].concat(),
            1009,
            ErrorKind::FileTooLarge,
        ),
        (
            // Nothing of it has to come.
            "a huge frame",
            headed(b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
            1009,
            ErrorKind::FileTooLarge,
        ),
    ] {
        let (_server, socket, mut peer) = accepted(limits());
        peer.send(TEXT, b"before");
        peer.stream.write_all(&bytes).unwrap();
        assert_eq!(socket.recv().unwrap(), Some("before".into()), "{what}");
        for _ in 0..2 {
            let error = socket.recv().expect_err(what);
            assert_eq!((violation(&error), error.kind()), (code, kind), "{what}: {error}");
        }
        let error = socket.send("after").unwrap_err();
        assert_eq!(violation(&error), code, "{what}");
        assert_eq!(peer.read_close(), code, "{what}");
        peer.read_end();
        assert!(socket.closed().is_none(), "{what}");
    }
    // One byte less each.
    let (_server, socket, mut peer) = accepted(limits());
    peer.send(0x02, &[0; 600]);
    peer.send(0x80, &[0; 400]);
    assert_eq!(socket.recv().unwrap().unwrap().len(), 1000);
}

#[test]
fn fault_43_a_server_that_masks_breaks_the_rules() {
    let (socket, mut peer) = connected(options());
    peer.stream.write_all(&frame(TEXT, true, b"masked")).unwrap();
    assert_eq!(violation(&socket.recv().unwrap_err()), 1002);
    assert_eq!(peer.read_close(), 1002);
}

/// To close a socket with unread data resets the connection, and the peer might not get to read why.
#[test]
fn fault_43_whoever_breaks_the_rules_is_told_though_it_goes_on_sending() {
    let (_server, socket, mut peer) = accepted(options());
    peer.stream.write_all(&frame(TEXT, false, b"unmasked")).unwrap();
    peer.stream.write_all(&vec![0; 100_000]).unwrap();
    assert_eq!(violation(&socket.recv().unwrap_err()), 1002);
    peer.stream.write_all(&vec![0; 3_000_000]).unwrap();
    assert_eq!(peer.read_close(), 1002);
    peer.read_end();
}

#[test]
fn fault_43_an_invalid_code_is_answered_by_a_protocol_error() {
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let (_server, socket, mut peer) = accepted(options());
        peer.send_close(code, "");
        assert_eq!(socket.recv().unwrap(), None);
        assert_eq!(peer.read_close(), 1002, "{code}");
    }
}

#[test]
fn fault_43_a_peer_that_does_not_answer_a_close_is_cut_off_in_time() {
    for sends_more in [false, true] {
        let (_server, socket, mut peer) = accepted(options().close_timeout(SHORT));
        let receiver = spawn({
            let socket = socket.clone();
            move || socket.recv()
        });
        settle();
        let flood = spawn({
            let mut peer = Raw { stream: peer.stream.try_clone().unwrap(), is_client: true };
            move || {
                while sends_more && peer.stream.write_all(&frame(TEXT, true, b"more")).is_ok() {
                    sleep(Duration::from_millis(1));
                }
            }
        });
        let begin = Instant::now();
        let error = socket.close(CloseCode::NORMAL, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() >= SHORT && begin.elapsed() < LONG);
        // More than one message may have come before.
        match receiver.wait().unwrap() {
            Ok(message) => assert!(sends_more && message.is_some()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
        assert!(socket.is_closed());
        assert_eq!(socket.recv().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(peer.read_close(), 1000);
        flood.kill();
    }
}

/// Receivers do not wait for ever for an answer for which nobody else waits any more.
#[test]
fn fault_43_a_close_that_is_cut_short_goes_on_in_the_background() {
    for is_killed in [true, false] {
        for answers in [true, false] {
            let (_server, socket, mut peer) = accepted(options().close_timeout(SHORT));
            let receiver = spawn({
                let socket = socket.clone();
                move || socket.recv()
            });
            settle();
            if is_killed {
                let closer = spawn({
                    let socket = socket.clone();
                    move || socket.close(CloseCode::NORMAL, "")
                });
                yield_now();
                closer.kill();
            } else {
                let close = || socket.close(CloseCode::NORMAL, "");
                assert!(timeout(Duration::from_millis(1), close).is_err());
            }
            assert_eq!(peer.read_close(), 1000);
            if answers {
                peer.send_close(1000, "");
            }
            match timeout(LONG, || receiver.wait()).unwrap().unwrap() {
                Ok(message) => assert!(answers && message.is_none()),
                Err(error) => assert!(!answers && error.kind() == ErrorKind::TimedOut, "{error}"),
            }
            peer.read_end();
        }
    }
}

#[test]
fn fault_43_a_peer_that_does_not_read_is_cut_off_in_time() {
    let (_server, socket, _peer) = accepted(options().close_timeout(SHORT));
    shrink(&socket);
    let sending = start_to_send(&socket);
    let error = socket.close(CloseCode::NORMAL, "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(sending.wait().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn fault_43_the_end_of_the_connection_in_the_place_of_an_answer_is_good_enough() {
    let (_server, socket, mut peer) = accepted(options());
    let closer = spawn({
        let socket = socket.clone();
        move || socket.close(CloseCode::NORMAL, "")
    });
    assert_eq!(peer.read_close(), 1000);
    drop(peer);
    closer.wait().unwrap().unwrap();
    assert_eq!(socket.closed(), None);
    assert_eq!(socket.recv().unwrap(), None);
}

#[test]
fn fault_43_a_peer_that_vanishes_is_an_error() {
    for half in [&b""[..], &frame(TEXT, true, b"half a message")[..9]] {
        let (_server, socket, mut peer) = accepted(options());
        peer.send(TEXT, b"whole");
        peer.stream.write_all(half).unwrap();
        peer.shutdown();
        assert_eq!(socket.recv().unwrap(), Some("whole".into()));
        let mut messages = socket.messages();
        let error = messages.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(messages.next().is_none());
        assert_eq!(socket.send("late").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        socket.close(CloseCode::NORMAL, "").unwrap();
    }
    let (_server, socket, peer) = accepted(options());
    peer.stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(socket.recv().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(socket.recv().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// That nothing can be sent to it any more is no reason to lose what it has sent before.
#[test]
fn fault_43_the_last_words_of_a_peer_that_has_gone_are_heard() {
    let (_server, socket, mut peer) = accepted(options());
    peer.send(TEXT, b"last words");
    peer.send_close(4000, "gone");
    // What it has not read makes a reset of its end.
    socket.send("unread").unwrap();
    settle();
    drop(peer);
    let begin = Instant::now();
    while socket.send("unread").is_ok() {
        assert!(begin.elapsed() < LONG);
        sleep(Duration::from_millis(1));
    }
    let error = socket.send("unread").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert_eq!(socket.recv().unwrap(), Some("last words".into()));
    assert_eq!(socket.recv().unwrap(), None);
    assert_eq!(socket.closed().unwrap().reason, "gone");
}

#[test]
fn fault_43_a_peer_that_answers_no_ping_is_given_up_in_time() {
    let options = Options::new().ping_interval(Some(SHORT)).pong_timeout(SHORT);
    let (_server, socket, mut peer) = accepted(options);
    let begin = Instant::now();
    let error = socket.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("a ping"), "{error}");
    assert!(begin.elapsed() >= 2 * SHORT && begin.elapsed() < LONG);
    assert_eq!(socket.send("late").unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(peer.read(), (PING, Vec::new()));
    peer.read_end();
}

/// An answer that nobody has read yet is none that has not come.
#[test]
fn fault_43_a_peer_is_not_given_up_while_nobody_listens_to_it() {
    let time = Duration::from_millis(2);
    let options = Options::new().ping_interval(Some(time)).pong_timeout(time);
    let (_server, socket, mut peer) = accepted(options);
    for _ in 0..5 {
        assert_eq!(peer.read(), (PING, Vec::new()));
        peer.send(PONG, b"");
    }
    peer.send(TEXT, b"still there");
    assert_eq!(socket.recv().unwrap(), Some("still there".into()));
}

/// The answers to its own pings are what it does not take.
#[test]
fn fault_43_a_peer_that_only_sends_pings_is_given_up_in_time() {
    let options = Options::new().ping_interval(Some(SHORT)).pong_timeout(SHORT);
    let (socket, mut peer) = connected(options);
    let receiver = spawn(move || socket.recv());
    let ping = frame(PING, false, &[0; 125]);
    // Until the connection is closed.
    peer.stream.set_write_timeout(Some(LONG)).unwrap();
    while peer.stream.write_all(&ping).is_ok() {}
    let received = timeout(LONG, || receiver.wait()).unwrap().unwrap();
    assert_eq!(received.unwrap_err().kind(), ErrorKind::TimedOut);
}

/// While it sends, an echo does not receive: nobody would find out.
#[test]
fn fault_43_a_peer_that_does_not_read_holds_up_no_echo() {
    let options = Options::new().ping_interval(Some(SHORT)).pong_timeout(SHORT);
    let ended = Rc::new(RefCell::new(None));
    let noted = Rc::clone(&ended);
    let server = serve(options, move |socket| {
        *noted.borrow_mut() = Some(echo(socket).unwrap_err());
        Ok(())
    });
    let mut peer = Raw::connect(server.local_addr());
    // Its own writes end with the connection, or when it is not read from any more.
    peer.stream.set_write_timeout(Some(LONG)).unwrap();
    let message = frame(BINARY, true, &vec![0; MUCH]);
    let writing = spawn(move || {
        while peer.stream.write_all(&message).is_ok() {}
        peer
    });
    timeout(LONG, || {
        while ended.borrow().is_none() {
            sleep(SHORT)
        }
    })
    .unwrap();
    let error = ended.take().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("has not taken a byte"), "{error}");
    drop(writing.wait().unwrap());
}

/// What it says is no sign that it takes anything.
#[test]
fn fault_43_a_peer_that_talks_and_does_not_read_holds_up_no_sender() {
    let options = Options::new().ping_interval(Some(SHORT)).pong_timeout(SHORT);
    let (socket, mut peer) = connected(options);
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.messages().map_while(Result::ok).count()
    });
    let sending = start_to_send(&socket);
    let talking = spawn(move || {
        while peer.stream.write_all(&frame(TEXT, false, b"still there")).is_ok() {
            sleep(Duration::from_millis(1));
        }
        peer
    });
    let sent = timeout(LONG, || sending.wait()).unwrap().unwrap();
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(receiver.wait().unwrap() > 0);
    drop(talking.wait().unwrap());
}

/// The ping is behind a long message.
#[test]
fn fault_43_a_peer_that_is_slow_to_take_a_message_is_not_given_up() {
    let time = Duration::from_millis(100);
    let options = Options::new().ping_interval(Some(time)).pong_timeout(time);
    let (socket, mut peer) = connected(options);
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.recv()
    });
    let sending = start_to_send(&socket);
    let begin = Instant::now();
    let mut left = frame(TEXT, true, &[0; MUCH]).len();
    let mut piece = vec![0; MUCH / 100];
    while left > 0 {
        let count = left.min(piece.len());
        io::Read::read_exact(&mut peer.stream, &mut piece[..count]).unwrap();
        left -= count;
        sleep(time / 20);
    }
    assert!(begin.elapsed() > 4 * time);
    sending.wait().unwrap().unwrap();
    peer.send(TEXT, b"there");
    assert_eq!(receiver.wait().unwrap().unwrap(), Some("there".into()));
}

/// A frame of which a part is on its way is sent to its end, whatever becomes of its sender.
#[test]
fn fault_43_a_sender_that_is_cut_short_leaves_no_half_a_frame() {
    for is_killed in [true, false] {
        let (_server, socket, mut peer) = accepted(options());
        shrink(&socket);
        if is_killed {
            start_to_send(&socket).kill();
        } else {
            assert!(timeout(SHORT, || socket.send("x".repeat(MUCH))).is_err());
        }
        // While that is under way, one that waits for its turn has sent nothing.
        assert!(timeout(Duration::from_millis(2), || socket.send("never")).is_err());
        let next = spawn({
            let socket = socket.clone();
            move || socket.send("next")
        });
        let message = peer.read_text();
        assert!(message.len() == MUCH && message.bytes().all(|byte| byte == b'x'));
        assert_eq!(peer.read_text(), "next");
        next.wait().unwrap().unwrap();
        // Nor is anything left for later.
        let closer = spawn(move || socket.close(CloseCode::NORMAL, ""));
        assert_eq!(peer.read_close(), 1000);
        peer.send_close(1000, "");
        closer.wait().unwrap().unwrap();
    }
}

#[test]
fn fault_43_a_message_arrives_though_its_sender_is_killed_and_nobody_else_sends() {
    let (_server, socket, mut peer) = accepted(options());
    shrink(&socket);
    start_to_send(&socket).kill();
    assert_eq!(peer.read_text().len(), MUCH);
}

#[test]
fn fault_53_a_sender_that_is_killed_when_it_has_the_turn_passes_it_on() {
    let (_server, socket, mut peer) = accepted(options());
    shrink(&socket);
    let first = start_to_send(&socket);
    let [second, third] = ["second", "third"].map(|message| {
        let socket = socket.clone();
        spawn(move || socket.send(message))
    });
    yield_now();
    assert_eq!(peer.read_text().len(), MUCH);
    first.wait().unwrap().unwrap();
    // It was woken, and has not run yet; or it has sent its message already.
    second.kill();
    let mut next = peer.read_text();
    if next == "second" {
        next = peer.read_text();
    }
    assert_eq!(next, "third");
    third.wait().unwrap().unwrap();
}

/// One that asks for answers, and does not read them, is not read from: they would pile up.
#[test]
fn fault_43_a_flood_of_pings_is_held_back_and_all_are_answered() {
    const PINGS: u32 = 20_000;
    let (socket, mut peer) = connected(options());
    spawn_n(move || socket.recv());
    let payload = |n: u32| format!("{n:0100}").into_bytes();
    let mut clone = peer.stream.try_clone().unwrap();
    let sent = Rc::new(Cell::new(0));
    let sender = spawn({
        let sent = Rc::clone(&sent);
        move || {
            for n in 0..PINGS {
                clone.write_all(&frame(PING, false, &payload(n))).unwrap();
                sent.set(n + 1);
            }
        }
    });
    // What the sockets hold is taken, and not much more.
    let mut before = u32::MAX;
    while sent.get() != before {
        before = sent.get();
        sleep(Duration::from_millis(20));
    }
    assert!(before < PINGS / 2, "{before} were taken without an answer being read");
    for n in 0..PINGS {
        assert_eq!(peer.read(), (PONG, payload(n)));
    }
    sender.wait().unwrap();
}

/// Both write much before they read: a receiver that waited for its pong to be sent would never end.
#[test]
fn fault_43_a_peer_that_writes_before_it_reads_is_no_deadlock() {
    let (_server, socket, peer) = accepted(options());
    shrink(&socket);
    let sending = start_to_send(&socket);
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.recv().unwrap().unwrap().len()
    });
    let peer = spawn(move || {
        let mut peer = peer;
        peer.send(PING, b"");
        peer.send(BINARY, &vec![0; MUCH]);
        (peer.read_text().len(), peer.read().0)
    });
    assert_eq!(receiver.wait().unwrap(), MUCH);
    assert_eq!(peer.wait().unwrap(), (MUCH, PONG));
    sending.wait().unwrap().unwrap();
}

#[test]
fn fault_02_a_stream_that_is_closed_ends_whoever_waits() {
    let (_server, socket, mut peer) = accepted(options());
    shrink(&socket);
    let sending = start_to_send(&socket);
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.recv()
    });
    settle();
    let Stream::Tcp(stream) = socket.get_ref() else { panic!("it was one") };
    TcpStream::close(stream);
    assert_eq!(receiver.wait().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(sending.wait().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut peer.stream, &mut bytes).unwrap();
    assert!(!bytes.is_empty() && bytes.len() < MUCH);
}

#[test]
fn fault_07_a_kill_of_all_ends_what_is_in_the_middle_of_a_frame() {
    let (server, socket, mut peer) = accepted(options());
    shrink(&socket);
    drop(start_to_send(&socket));
    evy_runtime::kill_all();
    assert!(socket.is_closed());
    assert_eq!(socket.send("more").unwrap_err().to_string(), {
        "the green thread that writes to a WebSocket was killed"
    });
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut peer.stream, &mut bytes).unwrap();
    assert!(bytes.len() < MUCH);
    drop(server);
}

/// A kill that was caught is thrown again at a park, and not where the writer is started.
#[test]
fn fault_07_a_green_thread_that_has_caught_its_kill_ends_no_websocket() {
    let (socket, mut peer) = connected(options());
    let thread = spawn({
        let socket = socket.clone();
        move || {
            let _ = catch_unwind(AssertUnwindSafe(|| sleep(Duration::MAX)));
            socket.send("sent by a dead")
        }
    });
    yield_now();
    thread.kill();
    assert!(thread.wait().unwrap().is_ok());
    assert_eq!(peer.read_text(), "sent by a dead");
    socket.send("sent by the living").unwrap();
    assert_eq!(peer.read_text(), "sent by the living");
}

/// What is used in a destructor, while its green thread unwinds.
#[test]
fn fault_06_a_websocket_is_used_and_dropped_while_its_green_thread_unwinds() {
    struct Farewell(WebSocket);

    impl Drop for Farewell {
        fn drop(&mut self) {
            let _ = self.0.send("last words");
        }
    }

    let (socket, mut peer) = connected(options());
    let thread = spawn(move || {
        let _farewell = Farewell(socket);
        sleep(Duration::MAX);
    });
    yield_now();
    thread.kill();
    assert_eq!(peer.read_text(), "last words");
    assert_eq!(peer.read_close(), 1001);
}

/// The process may be about to end: nobody else has to run before. One green thread writes, and one waits
/// for the answer.
#[test]
fn a_websocket_that_is_dropped_says_so_at_once_by_two_green_threads() {
    // The ids of one hub's green threads count up.
    let number = || spawn(|| ()).id().to_string()[1..].parse::<u64>().unwrap();
    let (socket, peer) = connected(options());
    let mut stream = UnixStream::from(peer.stream.as_fd().try_clone_to_owned().unwrap());
    let before = number();
    drop(socket);
    assert_eq!(number() - before - 1, 2);
    let mut bytes = [0; 8];
    // It does not wait.
    assert_eq!(io::Read::read(&mut stream, &mut bytes).unwrap(), 8);
    assert_eq!(bytes[0], CLOSE);
}

/// Nothing stays behind: no descriptor, no green thread.
#[test]
fn fault_43_the_ends_of_many_leave_nothing_behind() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let server = serve(options().close_timeout(SHORT), echo);
    let url = format!("ws://{}/", server.local_addr());
    let round = || {
        for how in 0..5 {
            let socket = options().connect(&url).unwrap();
            socket.send("hello").unwrap();
            match how {
                0 => socket.close(CloseCode::NORMAL, "").unwrap(),
                1 => drop(socket),
                2 => drop(socket.recv()),
                3 => {
                    let mut peer = Raw::connect(server.local_addr());
                    peer.send(0xFF, b"garbage");
                }
                _ => drop(Raw::connect(server.local_addr())),
            }
        }
    };
    round();
    let begin = Instant::now();
    while server.counters().clients() > 0 {
        assert!(begin.elapsed() < LONG, "{} clients", server.counters().clients());
        sleep(Duration::from_millis(5));
    }
    // Other tests of this process open and close theirs.
    let before = descriptors();
    (0..20).for_each(|_| round());
    let begin = Instant::now();
    while server.counters().clients() > 0 {
        assert!(begin.elapsed() < LONG, "{} clients", server.counters().clients());
        sleep(Duration::from_millis(5));
    }
    while descriptors() > before + 50 {
        assert!(begin.elapsed() < LONG, "{} descriptors", descriptors());
        sleep(Duration::from_millis(5));
    }
}

/// The hub of an OS thread may have ended before, with all that could say farewell.
#[test]
fn fault_28_a_websocket_in_a_thread_local_is_dropped_with_its_os_thread() {
    thread_local! {
        static EARLY: RefCell<Option<WebSocket>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<WebSocket>> = const { RefCell::new(None) };
    }
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let os_thread = std::thread::spawn(move || {
        EARLY.set(None);
        EARLY.set(Some(options().connect(&url).unwrap()));
        LATE.set(Some(options().connect(&url).unwrap()));
    });
    for _ in 0..2 {
        let mut peer = Raw { stream: listener.accept().unwrap().0, is_client: false };
        let key = peer.read_key();
        peer.answer(&key, "");
        spawn_n(move || {
            peer.stream.set_read_timeout(Some(LONG)).unwrap();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut peer.stream, &mut bytes).unwrap();
        });
    }
    evy_runtime::unblock(move || os_thread.join()).unwrap();
}
