//! One connection, and what is said on it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

/// What a usual client sends, if it is brief.
const HELLO_REQUEST: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// What an answer begins with.
const STATUS: &[u8] = b"HTTP/1.1 200 ";

/// What it ends with.
const HELLO: &[u8] = b"\r\n\r\nHello, World!";

/// More than the answer has.
const HELLO_SIZE_MAX: usize = 4 * 1024;

/// Bytes at the beginning of a message to be echoed that tell it from every other.
const NUMBER_SIZE: usize = size_of::<u64>();

/// Connections that come from one address of this machine.
const CONNECTIONS_OF_ADDRESS: usize = 4_000;

/// What all connections ask.
pub(crate) enum Request {
    Hello,
    Echo {
        /// The message, all but its number.
        message: Vec<u8>,
        /// That of the next message.
        number: u64,
    },
}

impl Request {
    /// "Hello" over HTTP.
    pub(crate) fn hello() -> Self {
        Self::Hello
    }

    /// A message of so many bytes to be echoed, 8 at least.
    pub(crate) fn echo(size: usize) -> Self {
        let message = (0..size.max(NUMBER_SIZE)).map(|place| (place * 31) as u8).collect();
        Self::Echo { message, number: 0 }
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
    answer: Answer,
    /// When the request was sent.
    asked: Instant,
}

/// What has come of it.
enum Answer {
    Hello(Vec<u8>),
    Echo { number: [u8; NUMBER_SIZE], length: usize },
}

impl Connection {
    /// The `index`th one to 127.0.0.1. Every few thousand come from another address: the kernel tries the
    /// ports of one address in turn, and takes milliseconds for a connection when most are in use.
    pub(crate) fn open(port: u16, index: usize, request: &Request) -> io::Result<Self> {
        let host = u8::try_from(1 + index / CONNECTIONS_OF_ADDRESS).map_err(io::Error::other)?;
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        if host > 1 {
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0))?;
        }
        connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        // A reset leaves no port in TIME_WAIT for the next round.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        let answer = match request {
            Request::Hello => Answer::Hello(Vec::new()),
            Request::Echo { .. } => Answer::Echo { number: [0; NUMBER_SIZE], length: 0 },
        };
        Ok(Self { stream, answer, asked: Instant::now() })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Since the request was sent.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now - self.asked
    }

    pub(crate) fn ask(&mut self, request: &mut Request, now: Instant) -> io::Result<()> {
        self.asked = now;
        // With nothing else in flight there is room for it.
        match (request, &mut self.answer) {
            (Request::Echo { message, number: next }, Answer::Echo { number, length }) => {
                *number = next.to_ne_bytes();
                *next += 1;
                *length = 0;
                message[..NUMBER_SIZE].copy_from_slice(number);
                self.stream.write_all(message)
            }
            (_, Answer::Hello(answer)) => {
                answer.clear();
                self.stream.write_all(HELLO_REQUEST)
            }
            (Request::Hello, Answer::Echo { .. }) => unreachable!("it was opened for this request"),
        }
    }

    /// Reads what has come, and returns whether that makes the answer whole.
    pub(crate) fn hear(&mut self, request: &Request, buffer: &mut [u8]) -> io::Result<bool> {
        let length = self.stream.read(buffer)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match self.answer.take(request, &buffer[..length]) {
            Some(whole) => Ok(whole),
            None => Err(io::Error::other("the answer is not what it should be")),
        }
    }
}

impl Answer {
    /// Takes what has come; whether the answer is whole now, or `None` where it is wrong.
    fn take(&mut self, request: &Request, data: &[u8]) -> Option<bool> {
        match self {
            Self::Hello(answer) => {
                answer.extend_from_slice(data);
                let beginning = answer.len().min(STATUS.len());
                let right = answer[..beginning] == STATUS[..beginning];
                (right && answer.len() <= HELLO_SIZE_MAX).then(|| answer.ends_with(HELLO))
            }
            Self::Echo { number, length } => {
                let Request::Echo { message, .. } = request else { return None };
                let from = *length;
                *length += data.len();
                let of_number = data.len().min(NUMBER_SIZE.saturating_sub(from));
                let (head, rest) = data.split_at(of_number);
                let right = *length <= message.len()
                    && (of_number == 0 || *head == number[from..from + of_number])
                    && *rest == message[from + of_number..*length];
                right.then_some(*length == message.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(number: u64) -> (Request, Answer) {
        (Request::echo(20), Answer::Echo { number: number.to_ne_bytes(), length: 0 })
    }

    fn message(request: &Request, number: u64) -> Vec<u8> {
        let Request::Echo { message, .. } = request else { panic!("an echo") };
        [&number.to_ne_bytes(), &message[NUMBER_SIZE..]].concat()
    }

    #[test]
    fn an_echo_is_whole_when_every_byte_of_its_own_message_is_there() {
        let (request, mut answer) = echo(7);
        let message = message(&request, 7);
        assert_eq!(answer.take(&request, &message[..3]), Some(false));
        assert_eq!(answer.take(&request, &message[3..12]), Some(false));
        assert_eq!(answer.take(&request, &message[12..]), Some(true));
    }

    #[test]
    fn the_echo_of_another_message_is_wrong() {
        let (request, mut answer) = echo(7);
        assert_eq!(answer.take(&request, &message(&request, 8)), None);
    }

    #[test]
    fn an_echo_that_is_too_long_or_has_another_byte_is_wrong() {
        let (request, mut answer) = echo(7);
        let mut long = message(&request, 7);
        long.push(0);
        assert_eq!(answer.take(&request, &long), None);
        let (request, mut answer) = echo(7);
        let mut other = message(&request, 7);
        other[15] ^= 1;
        assert_eq!(answer.take(&request, &other), None);
    }

    #[test]
    fn hello_is_whole_with_its_body_and_wrong_with_another_status() {
        let mut answer = Answer::Hello(Vec::new());
        assert_eq!(answer.take(&Request::Hello, b"HTTP/1.1 200 OK\r\n"), Some(false));
        assert_eq!(answer.take(&Request::Hello, b"a: b\r\n\r\nHello, World!"), Some(true));
        let mut answer = Answer::Hello(Vec::new());
        assert_eq!(answer.take(&Request::Hello, b"HTTP/1.1 500 "), None);
    }
}
