//! What the tests of this crate share: a server, and a client that sends raw bytes.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use evy_green_net::TcpStream;
use evy_http::{Handler, RunningServer, Server};

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
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&answer)),
    }
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
