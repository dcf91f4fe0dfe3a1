//! WebSockets, while all is well: the server's handshake, messages, senders and receivers at once, and how
//! they are closed.

mod util;
mod websocket_util;

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_http::websocket::{self, CloseCode, Closed, Message, Options, WebSocket};
use evy_http::{Request, Stream};
use evy_runtime::{current, join_all, kill, sleep, spawn, spawn_n, timeout, yield_now};
use util::{connect, exchange, start};
use websocket_util::*;

fn text(text: &str) -> Option<Message> {
    Some(text.into())
}

#[test]
fn a_request_by_the_rules_is_accepted_and_its_handler_gets_what_was_sent_with_it() {
    let server = serve(Options::new(), echo);
    let mut peer = Raw { stream: connect(server.local_addr()), is_client: true };
    let early = frame(TEXT, true, b"early");
    peer.stream.write_all(&[REQUEST.as_bytes(), &early].concat()).unwrap();
    let head = peer.read_head().to_lowercase();
    assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        &format!("sec-websocket-accept: {}", ACCEPT.to_lowercase()),
    ] {
        assert!(head.lines().any(|other| other == line), "{head}");
    }
    assert!(!head.contains("sec-websocket-protocol") && !head.contains("extensions"), "{head}");
    assert_eq!(peer.read_text(), "early");
}

#[test]
fn a_request_that_asks_for_something_else_is_refused() {
    let server = serve(Options::new(), |_| panic!("this is no WebSocket"));
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let same = |request: &str| request.to_owned();
    for (what, change, status) in [
        ("no upgrade", "Upgrade: websocket\r\n", "", 400),
        ("another protocol", "Upgrade: websocket", "Upgrade: h2c", 400),
        ("no connection", "Connection: Upgrade\r\n", "", 400),
        ("another option", "Connection: Upgrade", "Connection: close", 400),
        ("no key", &key, "", 400),
        ("two keys", &key, &key.repeat(2), 400),
        ("a short key", KEY, "dGhlIHNhbXBsZSBub25j", 400),
        ("a long key", KEY, "dGhlIHNhbXBsZSBub25jZTE=", 400),
        ("no base64", KEY, "dGhlIHNhbXBsZSBub25jZ*==", 400),
        ("bits too many", KEY, "dGhlIHNhbXBsZSBub25jZR==", 400),
        ("no version", "Sec-WebSocket-Version: 13\r\n", "", 426),
        ("an old version", "Version: 13", "Version: 8", 426),
        ("several versions", "Version: 13", "Version: 13, 8", 426),
        ("two versions", "Upgrade: w", "Sec-WebSocket-Version: 8\r\nUpgrade: w", 426),
        ("another method", "GET", "PUT", 400),
        ("a body", "Host: test", "Host: test\r\nContent-Length: 1", 400),
        ("a chunked body", "Host: test", "Host: test\r\nTransfer-Encoding: chunked", 400),
        ("an old HTTP", "HTTP/1.1", "HTTP/1.0", 400),
    ]
    .map(|(what, old, new, status)| (what, same(REQUEST).replacen(old, new, 1), status))
    {
        assert_ne!(change, REQUEST, "{what}");
        let answer = exchange(server.local_addr(), &change);
        assert_eq!(answer.split(' ').nth(1), Some(&*format!("{status}")), "{what}: {answer}");
        if status == 426 {
            assert!(answer.contains("sec-websocket-version: 13\r\n"), "{what}: {answer}");
            assert!(answer.contains("upgrade: websocket\r\n"), "{what}: {answer}");
        }
    }
}

#[test]
fn headers_of_a_request_are_lists_without_case() {
    let server = serve(Options::new(), echo);
    for (old, new) in [
        ("Connection: Upgrade", "Connection: keep-alive, uPGRADE"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        ("Upgrade: websocket", "Upgrade: h2c , WebSocket"),
        ("Sec-WebSocket-Key", "sec-websocket-key"),
    ] {
        let mut peer = Raw { stream: connect(server.local_addr()), is_client: true };
        peer.stream.write_all(REQUEST.replace(old, new).as_bytes()).unwrap();
        let head = peer.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{new}: {head}");
    }
}

#[test]
fn the_server_takes_the_first_of_its_protocols_that_the_client_offers() {
    let server = serve(Options::new().protocols(["best", "good"]), |socket| {
        socket.send(socket.protocol().unwrap_or("none"))
    });
    let url = format!("ws://{}/", server.local_addr());
    for (offered, taken) in
        [(vec!["good", "best"], Some("best")), (vec!["bad", "good"], Some("good")), (vec![], None)]
    {
        let socket = Options::new().protocols(offered).connect(&url).unwrap();
        assert_eq!(socket.protocol(), taken);
        assert_eq!(socket.recv().unwrap(), text(taken.unwrap_or("none")));
    }
    let socket = Options::new().protocols(["bad"]).connect(&url).unwrap();
    assert_eq!(socket.protocol(), None);
}

#[test]
fn messages_of_all_lengths_come_back_as_they_are() {
    let server = serve(Options::new(), echo);
    let socket = websocket::connect(&format!("ws://{}/", server.local_addr())).unwrap();
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000] {
        let sent = "ä".repeat(length / 2) + &"x".repeat(length % 2);
        socket.send(sent.clone()).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(sent.clone().into()));
        socket.send(sent.clone().into_bytes()).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(sent.into_bytes().into()));
    }
    socket.close(CloseCode::NORMAL, "").unwrap();
}

#[test]
fn fragments_are_joined_and_a_ping_between_them_is_answered_first() {
    let server = serve(Options::new(), echo);
    let mut peer = Raw::connect(server.local_addr());
    // The cut is in the middle of a letter.
    peer.send(0x01, b"f\xC3");
    peer.send(PING, b"now");
    assert_eq!(peer.read(), (PONG, b"now".to_vec()));
    peer.send(0x00, b"\xBC");
    peer.send(0x80, b"nf");
    assert_eq!(peer.read_text(), "fünf");
    // Bytes one by one.
    for byte in frame(BINARY, true, b"slow") {
        peer.stream.write_all(&[byte]).unwrap();
        yield_now();
    }
    assert_eq!(peer.read(), (BINARY, b"slow".to_vec()));
}

#[test]
fn pings_are_answered_while_a_sender_waits_for_room() {
    let (_server, socket, mut peer) = accepted(Options::new());
    shrink(&socket);
    let sender = spawn({
        let socket = socket.clone();
        move || socket.send("x".repeat(8_000_000))
    });
    spawn_n({
        let socket = socket.clone();
        move || socket.recv()
    });
    settle();
    peer.send(PING, b"1");
    peer.send(PING, b"2");
    settle();
    assert!(!sender.is_finished());
    assert_eq!(peer.read_text().len(), 8_000_000);
    assert_eq!(peer.read(), (PONG, b"1".to_vec()));
    assert_eq!(peer.read(), (PONG, b"2".to_vec()));
    sender.wait().unwrap().unwrap();
}

/// Each message is of one letter, and all but the first have to wait for their turn.
fn check_senders(socket: &WebSocket, mut receive: impl FnMut() -> String) {
    const SENDERS: usize = 20;
    const ROUNDS: usize = 5;
    let blocker = spawn({
        let socket = socket.clone();
        move || socket.send("x".repeat(8_000_000)).unwrap()
    });
    settle();
    assert!(!blocker.is_finished());
    let length = |n: usize, round: usize| 20_000 * (1 + round + n % 3);
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let socket = socket.clone();
            spawn(move || {
                let letter = char::from(b'a' + n as u8).to_string();
                (0..ROUNDS).try_for_each(|round| socket.send(letter.repeat(length(n, round))))
            })
        })
        .collect();
    yield_now();
    assert_eq!(receive().len(), 8_000_000);
    for turn in 0..SENDERS * ROUNDS {
        let (message, n) = (receive(), turn % SENDERS);
        assert_eq!(message.len(), length(n, turn / SENDERS));
        assert!(message.bytes().all(|byte| byte == b'a' + n as u8));
    }
    assert!(join_all(senders).into_iter().all(|result| result.unwrap().is_ok()));
}

#[test]
fn messages_of_many_senders_do_not_mix_and_keep_their_order() {
    let (_server, socket, mut peer) = accepted(Options::new());
    check_senders(&socket, || peer.read_text());
    let (socket, mut peer) = connected(Options::new());
    check_senders(&socket, || peer.read_text());
}

#[test]
fn receivers_get_messages_in_the_order_of_their_calls() {
    let (_server, socket, mut peer) = accepted(Options::new());
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let socket = socket.clone();
            spawn(move || socket.recv().unwrap())
        })
        .collect();
    yield_now();
    for message in ["first", "second", "third"] {
        peer.send(TEXT, message.as_bytes());
    }
    let received: Vec<_> = join_all(receivers).into_iter().map(Result::unwrap).collect();
    assert_eq!(received, [text("first"), text("second"), text("third")]);
}

#[test]
fn one_receives_while_another_sends() {
    let (_server, socket, mut peer) = accepted(Options::new());
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.recv().unwrap()
    });
    settle();
    socket.send("out").unwrap();
    assert_eq!(peer.read_text(), "out");
    assert!(!receiver.is_finished());
    peer.send(TEXT, b"in");
    assert_eq!(receiver.wait().unwrap(), text("in"));
}

#[test]
fn a_close_is_answered_by_the_peer_and_the_server_ends_the_connection() {
    let (_server, socket, mut peer) = accepted(Options::new());
    let closer = spawn({
        let socket = socket.clone();
        move || socket.close(CloseCode::from(4000), "enough")
    });
    let (first, payload) = peer.read();
    assert_eq!((first, &payload[..]), (CLOSE, &b"\x0F\xA0enough"[..]));
    // It is in no hurry.
    settle();
    assert!(!closer.is_finished() && !socket.is_closed());
    peer.send_close(4000, "indeed");
    closer.wait().unwrap().unwrap();
    let closed = Closed { code: CloseCode::from(4000), reason: "indeed".to_owned() };
    assert_eq!(socket.closed(), Some(closed));
    assert!(socket.is_closed());
    peer.read_end();
    assert_eq!(socket.recv().unwrap(), None);
    assert_eq!(socket.send("late").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    socket.close(CloseCode::NORMAL, "").unwrap();
}

#[test]
fn a_close_of_the_peer_is_answered_and_ends_receivers() {
    for (payload, answer, code, reason) in [
        (&b"\x03\xE8bye"[..], &b"\x03\xE8bye"[..], 1000, "bye"),
        (b"\x03\xE9", b"\x03\xE9", 1001, ""),
        (b"", b"", 1005, ""),
    ] {
        let (_server, socket, mut peer) = accepted(Options::new());
        peer.send(TEXT, b"last");
        peer.send(CLOSE, payload);
        assert_eq!(socket.recv().unwrap(), text("last"));
        assert_eq!(socket.recv().unwrap(), None);
        let closed = socket.closed().unwrap();
        assert_eq!((closed.code.as_u16(), &*closed.reason), (code, reason));
        assert_eq!(peer.read(), (CLOSE, answer.to_vec()));
        peer.read_end();
        assert!(socket.messages().next().is_none());
    }
}

/// RFC 6455, 7.1.1.
#[test]
fn a_client_lets_the_server_end_the_connection() {
    let (socket, mut peer) = connected(Options::new());
    let closer = spawn({
        let socket = socket.clone();
        move || socket.close(CloseCode::NORMAL, "")
    });
    assert_eq!(peer.read_close(), 1000);
    peer.send_close(1000, "");
    closer.wait().unwrap().unwrap();
    let short = Some(Duration::from_millis(20));
    peer.stream.set_read_timeout(short).unwrap();
    let mut byte = [0];
    let error = io::Read::read(&mut peer.stream, &mut byte).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    peer.stream.set_read_timeout(Some(LONG)).unwrap();
    peer.read_end();
}

#[test]
fn a_close_while_another_receives_ends_both() {
    let (_server, socket, mut peer) = accepted(Options::new());
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.recv()
    });
    settle();
    let closer = spawn({
        let socket = socket.clone();
        move || socket.close(CloseCode::NORMAL, "")
    });
    assert_eq!(peer.read_close(), 1000);
    // Nobody wants it any more.
    peer.send(TEXT, b"late");
    peer.send_close(1000, "");
    closer.wait().unwrap().unwrap();
    assert_eq!(receiver.wait().unwrap().unwrap(), None);
}

#[test]
fn both_sides_close_at_once() {
    let (_server, socket, mut peer) = accepted(Options::new());
    peer.send_close(1001, "");
    socket.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(peer.read_close(), 1000);
    assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY);
    peer.read_end();
}

#[test]
fn two_who_close_have_it_closed_once() {
    let (_server, socket, mut peer) = accepted(Options::new());
    let closers = [1000, 4000].map(|code| {
        let socket = socket.clone();
        spawn(move || socket.close(CloseCode::from(code), ""))
    });
    assert_eq!(peer.read_close(), 1000);
    peer.send_close(1000, "");
    for closer in closers {
        closer.wait().unwrap().unwrap();
    }
    peer.read_end();
}

#[test]
fn messages_that_were_sent_before_the_close_arrive() {
    let (_server, socket, mut peer) = accepted(Options::new());
    shrink(&socket);
    let sender = spawn({
        let socket = socket.clone();
        move || socket.send("x".repeat(3_000_000))
    });
    settle();
    let closer = spawn({
        let socket = socket.clone();
        move || socket.close(CloseCode::NORMAL, "")
    });
    settle();
    assert_eq!(peer.read_text().len(), 3_000_000);
    assert_eq!(peer.read_close(), 1000);
    peer.send_close(1000, "");
    sender.wait().unwrap().unwrap();
    closer.wait().unwrap().unwrap();
}

#[test]
fn codes_and_reasons_that_cannot_be_sent_are_refused() {
    let (socket, mut peer) = connected(Options::new());
    for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
        let error = socket.close(CloseCode::from(code), "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{code}");
    }
    let error = socket.close(CloseCode::NORMAL, &"x".repeat(124)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(socket.ping(&[0; 126]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    socket.ping(&[7; 125]).unwrap();
    assert_eq!(peer.read(), (PING, vec![7; 125]));
    spawn_n(move || socket.close(CloseCode::NORMAL, &"x".repeat(123)));
    assert_eq!(peer.read().1.len(), 125);
}

#[test]
fn a_handler_that_ends_tells_why() {
    let server = start(|request: Request| {
        let path = request.uri().path().to_owned();
        websocket::accept(request, move |socket| match &*path {
            "/fine" => Ok(()),
            "/error" => Err(io::Error::other("on purpose")),
            "/panic" => panic!("on purpose"),
            "/kill" => {
                kill(current());
                Ok(())
            }
            _ => socket.close(CloseCode::from(4001), "its own"),
        })
    });
    for (path, code) in
        [("fine", 1000), ("error", 1011), ("panic", 1011), ("kill", 1001), ("close", 4001)]
    {
        let mut peer = Raw { stream: connect(server.local_addr()), is_client: true };
        let request = REQUEST.replace("GET /", &format!("GET /{path}"));
        peer.stream.write_all(request.as_bytes()).unwrap();
        peer.read_head();
        assert_eq!(peer.read_close(), code, "{path}");
        peer.send_close(code, "");
        peer.read_end();
    }
}

#[test]
fn a_server_that_stops_closes_its_websockets() {
    let ended = Rc::new(Cell::new(0));
    let count = Rc::clone(&ended);
    let server = serve(Options::new(), move |socket| {
        echo(socket)?;
        count.set(count.get() + 1);
        Ok(())
    });
    let url = format!("ws://{}/", server.local_addr());
    let sockets: Vec<_> = (0..10).map(|_| websocket::connect(&url).unwrap()).collect();
    let clients: Vec<_> =
        sockets.iter().cloned().map(|socket| spawn(move || socket.messages().count())).collect();
    sockets[0].send("hello").unwrap();
    let stopped = server.stop(LONG);
    assert_eq!((stopped.killed, ended.get()), (0, 10));
    let received: usize = join_all(clients).into_iter().map(Result::unwrap).sum();
    assert_eq!(received, 1);
    assert!(sockets.iter().all(|socket| socket.closed().unwrap().code == CloseCode::GOING_AWAY));
}

#[test]
fn the_last_handle_that_is_dropped_says_that_it_goes() {
    let (socket, mut peer) = connected(Options::new());
    let clone = socket.clone();
    drop(socket);
    clone.send("still here").unwrap();
    drop(clone);
    assert_eq!(peer.read_text(), "still here");
    assert_eq!(peer.read_close(), 1001);
    peer.send_close(1001, "");
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    peer.read_end();
}

#[test]
fn a_timeout_of_the_stream_is_one_for_receivers() {
    let (socket, mut peer) = connected(Options::new());
    let Stream::Unix(stream) = socket.get_ref() else { panic!("it was one") };
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    for half in frame(TEXT, false, b"slow").chunks(3) {
        assert_eq!(socket.recv().unwrap_err().kind(), io::ErrorKind::TimedOut);
        peer.stream.write_all(half).unwrap();
    }
    assert_eq!(socket.recv().unwrap(), text("slow"));
    // A close waits longer.
    let closer = spawn(move || socket.close(CloseCode::NORMAL, ""));
    assert_eq!(peer.read_close(), 1000);
    sleep(Duration::from_millis(12));
    peer.send_close(1000, "");
    closer.wait().unwrap().unwrap();
}

#[test]
fn a_receiver_that_is_cut_short_loses_nothing() {
    let (_server, socket, mut peer) = accepted(Options::new());
    let bytes = frame(TEXT, true, "x".repeat(3000).as_bytes());
    for part in bytes.chunks(1000) {
        peer.stream.write_all(part).unwrap();
        if part.len() == 1000 {
            assert!(timeout(Duration::from_millis(5), || socket.recv()).is_err());
        }
    }
    assert_eq!(socket.recv().unwrap(), Some("x".repeat(3000).into()));
    let receiver = spawn({
        let socket = socket.clone();
        move || socket.recv()
    });
    peer.stream.write_all(&frame(TEXT, true, b"again")[..4]).unwrap();
    settle();
    receiver.kill();
    peer.stream.write_all(&frame(TEXT, true, b"again")[4..]).unwrap();
    assert_eq!(socket.recv().unwrap(), text("again"));
}

#[test]
fn a_peer_is_pinged_and_whatever_comes_from_it_is_a_sign_of_life() {
    let time = Duration::from_millis(10);
    let options = Options::new().ping_interval(Some(time)).pong_timeout(10 * time);
    let (_server, socket, mut peer) = accepted(options);
    let last = Rc::new(Cell::new(false));
    let receiver = spawn({
        let last = Rc::clone(&last);
        move || {
            let count = socket.messages().filter(Result::is_ok).count();
            last.set(true);
            count
        }
    });
    for n in 0..6 {
        assert_eq!(peer.read(), (PING, Vec::new()));
        if n % 2 == 0 { peer.send(PONG, b"") } else { peer.send(TEXT, b"here") }
    }
    assert!(!last.get());
    peer.send_close(1000, "");
    assert_eq!(receiver.wait().unwrap(), 3);
}

#[test]
fn a_client_in_one_green_thread_and_its_server_in_another_take_turns() {
    let server = serve(Options::new(), echo);
    let socket = websocket::connect(&format!("ws://{}/", server.local_addr())).unwrap();
    let begin = Instant::now();
    for n in 0..100 {
        socket.send(n.to_string()).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(n.to_string().into()));
    }
    assert!(begin.elapsed() < LONG);
    socket.close(CloseCode::NORMAL, "").unwrap();
}
