//! A peer of WebSockets that does as it is told, byte by byte.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{TcpStream, UnixStream};
use evy_http::websocket::{Options, Violation, WebSocket};
use evy_http::{Request, RunningServer, Server, Stream};

/// First bytes of frames that are whole.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// The key of RFC 6455's own example, and what answers it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// As long as nobody should have to wait for anything.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A request for a WebSocket, by all the rules.
pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server whose WebSockets have `handler`.
pub(crate) fn serve(
    options: Options,
    handler: impl Fn(WebSocket) -> io::Result<()> + 'static,
) -> RunningServer {
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let handler = Rc::new(handler);
    Server::new(listener, move |request: Request| {
        let handler = Rc::clone(&handler);
        options.accept(request, move |socket| handler(socket))
    })
    .start()
    .unwrap()
}

pub(crate) fn echo(socket: WebSocket) -> io::Result<()> {
    for message in &socket {
        socket.send(message?)?;
    }
    Ok(())
}

/// A WebSocket that a server of ours has accepted, and its raw peer.
pub(crate) fn accepted(options: Options) -> (RunningServer, WebSocket, Raw<TcpStream>) {
    let slot = Rc::new(RefCell::new(None));
    let given = Rc::clone(&slot);
    let server = serve(options, move |socket| {
        *given.borrow_mut() = Some(socket);
        evy_runtime::sleep(Duration::MAX);
        Ok(())
    });
    let peer = Raw::connect(server.local_addr());
    while slot.borrow().is_none() {
        evy_runtime::yield_now();
    }
    let socket = slot.take().unwrap();
    (server, socket, peer)
}

/// A client's WebSocket, and its raw peer.
pub(crate) fn connected(options: Options) -> (WebSocket, Raw<UnixStream>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(LONG)).unwrap();
    let peer = evy_runtime::spawn(move || {
        let mut peer = Raw { stream: theirs, is_client: false };
        let key = peer.read_key();
        peer.answer(&key, "");
        peer
    });
    let socket = options.connect_over(ours, "ws://test/").unwrap();
    (socket, peer.wait().unwrap())
}

pub(crate) fn violation(error: &io::Error) -> u16 {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<Violation>());
    inner.unwrap_or_else(|| panic!("{error}")).code().as_u16()
}

/// One end of a connection.
pub(crate) struct Raw<S> {
    pub(crate) stream: S,
    pub(crate) is_client: bool,
}

impl Raw<TcpStream> {
    /// A client behind its handshake.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = evy_green_net::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut peer = Self { stream, is_client: true };
        peer.stream.write_all(REQUEST.as_bytes()).unwrap();
        let head = peer.read_head();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        peer
    }

    pub(crate) fn shutdown(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Raw<S> {
    pub(crate) fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// The key of a request that comes.
    pub(crate) fn read_key(&mut self) -> String {
        let head = self.read_head();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        key.unwrap_or_else(|| panic!("{head}")).to_owned()
    }

    /// Accepts a request with this key, with more headers.
    pub(crate) fn answer(&mut self, key: &str, headers: &str) {
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
        );
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&frame(first, self.is_client, payload)).unwrap();
    }

    pub(crate) fn send_close(&mut self, code: u16, reason: &str) {
        self.send(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat());
    }

    /// The next frame's first byte and payload.
    pub(crate) fn read(&mut self) -> (u8, Vec<u8>) {
        let [first, second] = self.read_bytes();
        assert_eq!(second & 0x80 != 0, !self.is_client, "clients mask, and nobody else");
        let length = match second & 0x7F {
            126 => u64::from(u16::from_be_bytes(self.read_bytes())),
            127 => u64::from_be_bytes(self.read_bytes()),
            length => u64::from(length),
        };
        let mask = if self.is_client { [0; 4] } else { self.read_bytes() };
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).unwrap();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        (first, payload)
    }

    fn read_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn read_text(&mut self) -> String {
        let (first, payload) = self.read();
        assert_eq!(first, TEXT, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// A farewell, which is next; and its code.
    pub(crate) fn read_close(&mut self) -> u16 {
        let (first, payload) = self.read();
        assert_eq!(first, CLOSE, "{:?}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// The end of the stream, which is next.
    pub(crate) fn read_end(&mut self) {
        let mut byte = [0];
        assert_eq!(self.stream.read(&mut byte).unwrap(), 0, "{byte:?}");
    }
}

/// A frame as it is sent.
pub(crate) fn frame(first: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let flag = u8::from(is_masked) << 7;
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(flag | length as u8),
        length @ 126..65536 => {
            frame.push(flag | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(flag | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = if is_masked { [0x12, 0x34, 0x56, 0x78] } else { [0; 4] };
    if is_masked {
        frame.extend(mask);
    }
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Has everybody run until nobody has anything to do but wait.
pub(crate) fn settle() {
    evy_runtime::sleep(Duration::from_millis(5));
}

/// Makes room for little, so that senders come to wait soon.
pub(crate) fn shrink(socket: &WebSocket) {
    match socket.get_ref() {
        Stream::Tcp(stream) => stream.set_send_buffer_size(64 << 10).unwrap(),
        other => panic!("{other:?} has no such option"),
    }
}
