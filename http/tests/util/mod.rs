//! What the tests of this crate share: a server, and a client that sends raw bytes.

#![allow(dead_code, reason = "each test program uses some of it")]

mod read_all;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use evy_green_net::TcpStream;
use evy_http::{Handler, RunningServer, Server};
use read_all::try_read_all;

/// A server on a port of its own.
pub(crate) fn start(handler: impl Handler) -> RunningServer {
    server(handler).start().unwrap()
}

pub(crate) fn server(handler: impl Handler) -> Server<evy_green_net::TcpListener> {
    Server::new(evy_green_net::listen("127.0.0.1:0").unwrap(), handler)
}

/// A connection whose reads do not wait for ever.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = evy_green_net::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends `bytes` by a connection of its own, ends it, and returns all that comes back.
pub(crate) fn exchange(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(addr);
    stream.write_all(bytes.as_ref()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream)
}

/// Everything up to the end; a reset counts as one.
pub(crate) fn read_all(stream: &mut impl Read) -> String {
    let answer = try_read_all(stream).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(answer).unwrap()
}

/// `GET path`, on a connection that is kept.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// One answer of HTTP/1.1 with a known length: status and body.
pub(crate) fn read_answer(stream: &mut impl Read) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head[9..12].parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Whether `test` runs in a process of its own, where no other one uses memory; starts it in one if not.
pub(crate) fn runs_alone(test: &str) -> bool {
    const ALONE: &str = "EVY_HTTP_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// Bytes of memory that this process uses.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Waits until `is_so`, for some seconds at most.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "not so: {what}");
        evy_runtime::sleep(Duration::from_millis(2));
    }
}

/// Asks for `/ping` by a connection of its own, and expects an answer soon.
#[track_caller]
pub(crate) fn assert_serves(addr: SocketAddr) {
    let mut stream = connect(addr);
    let request = "GET /ping HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_all(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
}

/// Reads and throws away what comes, up to the end or an error; returns how much it was.
pub(crate) fn drain(stream: &mut impl Read) -> usize {
    let mut buffer = vec![0; 64 * 1024];
    let mut sum = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        sum += count;
    }
    sum
}

/// A server's side of TLS with both versions of HTTP, and a client's that trusts it as `localhost`.
#[cfg(feature = "tls")]
pub(crate) fn tls() -> (evy_green_net::tls::TlsAcceptor, evy_green_net::tls::TlsConnector) {
    tls_with(&["http/1.1"])
}

/// The same, where the client offers these protocols.
#[cfg(feature = "tls")]
pub(crate) fn tls_with(
    alpn: &[&str],
) -> (evy_green_net::tls::TlsAcceptor, evy_green_net::tls::TlsConnector) {
    use evy_green_net::tls::{TlsAcceptor, TlsConnector};

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let acceptor =
        TlsAcceptor::builder().identity_pem(&chain, key).alpn(["h2", "http/1.1"]).build().unwrap();
    let connector = TlsConnector::builder().roots_pem(chain).alpn(alpn).build().unwrap();
    (acceptor, connector)
}
