//! The client's side of the handshake of WebSockets, against servers that do as they like.

mod websocket_util;

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use evy_green_net::{TcpListener, UnixStream};
use evy_http::websocket::{self, Options, Refused, WebSocket};
use evy_http::{HeaderName, HeaderValue, StatusCode, header};
use evy_runtime::spawn;
use websocket_util::*;

/// Connects to a server that answers the request with this key by what `answer` does.
fn shake(
    options: Options,
    answer: impl FnOnce(&mut Raw<UnixStream>, &str) + 'static,
) -> std::io::Result<WebSocket> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = spawn(move || {
        let mut server = Raw { stream: theirs, is_client: false };
        let key = server.read_key();
        answer(&mut server, &key);
    });
    let result = options.connect_over(ours, "ws://test/");
    server.wait().unwrap();
    result
}

#[test]
fn a_request_is_by_the_rules_with_what_the_caller_adds() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = spawn(move || Raw { stream: theirs, is_client: false }.read_head());
    let options = Options::new()
        .protocols(["a", "b"])
        .header(header::ORIGIN, HeaderValue::from_static("https://example.org"))
        .header(HeaderName::from_static("x-own"), HeaderValue::from_static("one"))
        .header(HeaderName::from_static("x-own"), HeaderValue::from_static("two"));
    let error = options.connect_over(ours, "wss://[::1]:80/a%20b?c=d").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let head = server.wait().unwrap();
    let mut lines: Vec<_> = head.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.remove(0), "GET /a%20b?c=d HTTP/1.1");
    let key = lines.remove(4).strip_prefix("Sec-WebSocket-Key: ").unwrap();
    assert!(key.len() == 24 && key.ends_with("=="), "{key}");
    let expected = [
        "Host: [::1]:80",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: a, b",
        "origin: https://example.org",
        "x-own: one",
        "x-own: two",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn every_key_is_another() {
    let keys = [(); 2].map(|()| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let result = shake(Options::new(), move |server, key| {
            sender.send(key.to_owned()).unwrap();
            server.answer(key, "");
        });
        assert!(result.is_ok());
        receiver.recv().unwrap()
    });
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_server_that_wants_no_websocket_is_heard() {
    let error = shake(Options::new(), |server, _| {
        let answer = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nbody";
        server.stream.write_all(answer.as_bytes()).unwrap();
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let refused = error.get_ref().unwrap().downcast_ref::<Refused>().unwrap();
    assert_eq!(refused.status(), StatusCode::FOUND);
    assert_eq!(refused.response().headers()[header::LOCATION], "/there");
    assert_eq!(error.to_string(), "the server wants no WebSocket: 302 Found");
}

#[test]
fn an_answer_that_is_not_as_it_has_to_be_is_an_error() {
    let same = |key: &str| tungstenite::handshake::derive_accept_key(key.as_bytes());
    let good = move |key: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            same(key)
        )
    };
    for (old, new) in [
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade", "Connection: close"),
        ("Connection: Upgrade\r\n", ""),
        ("Accept: ", "Accept: x"),
        ("Sec-WebSocket-Accept", "Sec-WebSocket-Reject"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: another\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: ours, ours\r\n\r\n"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("HTTP/1.1", "SSH-2.0"),
        ("Connection", "Con nection"),
        ("101", "abc"),
    ] {
        let options = Options::new().protocols(["ours"]);
        let result = shake(options, move |server, key| {
            let answer = good(key).replacen(old, new, 1);
            assert_ne!(answer, good(key));
            server.stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = result.expect_err(new);
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{new}: {error}");
    }
}

#[test]
fn an_answer_may_come_in_pieces_behind_an_interim_one_and_with_a_message() {
    let options = Options::new().protocols(["ours"]);
    let socket = shake(options, |server, key| {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "{interim}HTTP/1.1 101 Whatever\r\nconnection: keep-alive, UPGRADE\r\n\
             upgrade: WebSocket\r\nsec-websocket-accept: {accept}\r\n\
             sec-websocket-protocol: ours\r\n\r\n"
        );
        let bytes = [answer.as_bytes(), &frame(TEXT, false, b"early")].concat();
        for piece in bytes.chunks(7) {
            server.stream.write_all(piece).unwrap();
            evy_runtime::yield_now();
        }
    })
    .unwrap();
    assert_eq!(socket.protocol(), Some("ours"));
    assert_eq!(socket.recv().unwrap(), Some("early".into()));
}

#[test]
fn a_server_that_ends_or_overdoes_its_answer_is_an_error() {
    let error = shake(Options::new(), |server, _| {
        server.stream.write_all(b"HTTP/1.1 101 Switching").unwrap();
        server.stream.shutdown(std::net::Shutdown::Write).unwrap();
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    for line in ["X: y\r\n", "X-Long: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"]
    {
        let error = shake(Options::new(), move |server, _| {
            let _ = server.stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n");
            while server.stream.write_all(line.as_bytes()).is_ok() {}
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
}

#[test]
fn a_server_that_says_nothing_or_little_is_given_up_in_time() {
    let time = Duration::from_millis(20);
    for words in ["", "HTTP/1.1 101 Switching Protocols\r\nX: "] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let begin = Instant::now();
        let server = spawn(move || {
            let mut theirs = theirs;
            theirs.write_all(words.as_bytes()).unwrap();
            // Little by little does not help.
            loop {
                evy_runtime::sleep(Duration::from_millis(5));
                theirs.write_all(&words.as_bytes()[..words.len().min(1)]).unwrap();
            }
        });
        let options = Options::new().handshake_timeout(time);
        let error = options.connect_over(ours, "ws://test/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() >= time && begin.elapsed() < LONG);
        server.kill();
    }
}

#[test]
fn a_url_of_something_else_is_refused_before_anybody_is_asked() {
    for url in ["http://localhost/", "ws://", "ws://localhost/#a", "ws://me@localhost/", "nothing"]
    {
        assert_eq!(websocket::connect(url).unwrap_err().kind(), ErrorKind::InvalidInput, "{url}");
    }
}

#[test]
fn nobody_at_the_port_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = websocket::connect(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.get_ref().is_none_or(|error| !error.is::<Refused>()));
}

#[test]
#[should_panic(expected = "sec-websocket-key is part of the handshake")]
fn a_header_of_the_handshake_cannot_be_set() {
    let _ = Options::new().header(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("x"));
}

#[test]
#[should_panic(expected = "is a token")]
fn a_protocol_with_a_blank_cannot_be_named() {
    let _ = Options::new().protocols(["a b"]);
}
