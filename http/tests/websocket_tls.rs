//! WebSockets under TLS.

mod websocket_util;

use std::io::ErrorKind;
use std::time::Duration;

use evy_green_net::tls::{TlsAcceptor, TlsConnector};
use evy_http::websocket::{self, CloseCode, Options, WebSocket};
use evy_http::{Request, RunningServer, Server, Stream};
use evy_runtime::{sleep, spawn, timeout};
use websocket_util::*;

/// A server that echoes what it gets, at its leisure, and options for its clients.
fn start(pause: Duration) -> (RunningServer, Options, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let acceptor = TlsAcceptor::from_pem(&chain, key).unwrap();
    let connector = TlsConnector::builder().roots_pem(chain).build().unwrap();
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let server = Server::new(listener, move |request: Request| {
        websocket::accept(request, move |socket| {
            sleep(pause);
            echo(socket)
        })
    });
    let server = server.tls(acceptor).start().unwrap();
    let url = format!("wss://localhost:{}/", server.local_addr().port());
    (server, Options::new().tls(connector), url)
}

fn hold_little(socket: &WebSocket) {
    let Stream::Tls(stream) = socket.get_ref() else { panic!("it is under TLS") };
    stream.get_ref().set_send_buffer_size(4096).unwrap();
}

#[test]
fn messages_go_both_ways_under_tls() {
    let (_server, options, url) = start(Duration::ZERO);
    let socket = options.connect(&url).unwrap();
    for length in [0, 1, 20_000, 3_000_000] {
        let sent = "x".repeat(length);
        socket.send(sent.clone()).unwrap();
        assert_eq!(socket.recv().unwrap(), Some(sent.into()));
    }
    socket.close(CloseCode::NORMAL, "done").unwrap();
    assert_eq!(socket.closed().unwrap().reason, "done");
}

#[test]
fn a_server_whom_nobody_trusts_gets_no_request() {
    let (_server, _options, url) = start(Duration::ZERO);
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let connector = TlsConnector::builder().roots_pem(stranger.cert.pem()).build().unwrap();
    let error = Options::new().tls(connector).connect(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    // A server that speaks no TLS.
    let server = serve(Options::new(), echo);
    let (_server, options, _url) = start(Duration::ZERO);
    let url = format!("wss://localhost:{}/", server.local_addr().port());
    assert!(options.connect(&url).is_err());
}

#[test]
fn one_receives_while_another_sends_under_tls() {
    let (_server, options, url) = start(Duration::ZERO);
    let socket = options.connect(&url).unwrap();
    let receiver = spawn({
        let socket = socket.clone();
        move || (0..20).map(|_| socket.recv().unwrap().unwrap().len()).sum::<usize>()
    });
    for _ in 0..20 {
        socket.send(vec![7; 300_000]).unwrap();
    }
    assert_eq!(receiver.wait().unwrap(), 6_000_000);
}

/// A TLS session takes bytes before it sends them: whoever is killed meanwhile cannot say how many.
#[test]
fn fault_43_a_sender_that_is_cut_short_leaves_no_half_a_frame_under_tls() {
    for is_killed in [true, false] {
        let (_server, options, url) = start(Duration::from_millis(50));
        let socket = options.connect(&url).unwrap();
        hold_little(&socket);
        let bytes: Vec<u8> = (0..8_000_000_u32).map(|n| (n / 7) as u8).collect();
        if is_killed {
            let sender = spawn({
                let (socket, bytes) = (socket.clone(), bytes.clone());
                move || socket.send(bytes)
            });
            settle();
            sender.kill();
        } else {
            assert!(timeout(Duration::from_millis(5), || socket.send(bytes.clone())).is_err());
        }
        let receiver = spawn({
            let socket = socket.clone();
            move || [(); 2].map(|()| socket.recv().unwrap().unwrap())
        });
        socket.send("next").unwrap();
        let [first, second] = receiver.wait().unwrap();
        assert!(first.as_bytes() == bytes);
        assert_eq!(second, "next".into());
        socket.close(CloseCode::NORMAL, "").unwrap();
    }
}
