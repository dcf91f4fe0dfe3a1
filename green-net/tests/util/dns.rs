//! A name server for tests, which answers as badly as it is told to.
//!
//! It runs on OS threads of its own. Names that it does not know do not exist.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What is done with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answered: where that does not fit into a datagram, it says so, and answers by TCP.
    Answers,
    /// Kept until [`Dns::release`].
    Holds,
    /// Never answered.
    Ignores,
    /// The server has failed, it says.
    Fails,
    /// The right answer, but to another question.
    AnswersAnother,
    /// An answer with the number of another question.
    Misnumbers,
    /// A record that is longer than the datagram.
    Overruns,
    /// No DNS at all.
    Babbles,
    /// A name that is an alias of itself.
    Loops,
    /// "By TCP, please", and there nothing but the end of the stream.
    HangsUp,
}

use Behaviour::*;

pub(crate) struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    udp: UdpSocket,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<String, (Behaviour, Vec<IpAddr>)>,
    /// Names and types in the order in which they were asked for.
    asked: Vec<(String, u16)>,
    held: Vec<(Question, SocketAddr)>,
}

/// Types of records.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// As much as a datagram may have without extensions.
const DATAGRAM: usize = 512;

impl Dns {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let udp = UdpSocket::bind(address).unwrap();
        let tcp = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared { udp, state: Mutex::default() });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                let mut buffer = [0; DATAGRAM];
                if let Ok((count, from)) = server.udp.recv_from(&mut buffer) {
                    server.datagram(&buffer[..count], from);
                }
            }
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let _ = server.stream(stream);
            }
        });
        Self { shared }
    }

    /// Gives a name these addresses.
    pub(crate) fn add(&self, name: &str, behaviour: Behaviour, addresses: &[IpAddr]) {
        let entry = (behaviour, addresses.to_vec());
        self.shared.state().names.insert(name.to_owned(), entry);
    }

    /// Answers what it has held of `name`, and answers from now on.
    pub(crate) fn release(&self, name: &str) {
        let held = {
            let mut state = self.shared.state();
            if let Some((behaviour, _)) = state.names.get_mut(name) {
                *behaviour = Answers;
            }
            state.held.extract_if(.., |(question, _)| question.name == name).collect::<Vec<_>>()
        };
        for (question, from) in held {
            self.shared.reply(&question, from);
        }
    }

    /// How often it was asked for the addresses of `name`, of both families.
    pub(crate) fn asked(&self, name: &str) -> (usize, usize) {
        let state = self.shared.state();
        let count =
            |kind| state.asked.iter().filter(|asked| **asked == (name.to_owned(), kind)).count();
        (count(A), count(AAAA))
    }

    /// The names that it was asked for and holds.
    pub(crate) fn held(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.shared.state().held.iter().map(|(question, _)| question.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn datagram(&self, bytes: &[u8], from: SocketAddr) {
        let Some(question) = Question::parse(bytes) else { return };
        {
            let mut state = self.state();
            state.asked.push((question.name.clone(), question.kind));
            match state.names.get(&question.name) {
                Some((Holds, _)) => return state.held.push((question, from)),
                Some((Ignores, _)) => return,
                _ => {}
            }
        }
        self.reply(&question, from);
    }

    fn reply(&self, question: &Question, to: SocketAddr) {
        let mut reply = self.answer(question);
        if reply.len() > DATAGRAM {
            reply = question.header(0x8380, 0);
        }
        let _ = self.udp.send_to(&reply, to);
    }

    /// Answers one question after the other, until the end of the stream.
    fn stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut bytes)?;
            let Some(question) = Question::parse(&bytes) else { return Ok(()) };
            if matches!(self.state().names.get(&question.name), Some((HangsUp, _))) {
                return Ok(());
            }
            let reply = self.answer(&question);
            let length = u16::try_from(reply.len()).expect("a test that asks for less");
            stream.write_all(&length.to_be_bytes())?;
            stream.write_all(&reply)?;
        }
    }

    fn answer(&self, question: &Question) -> Vec<u8> {
        let Some((behaviour, addresses)) = self.state().names.get(&question.name).cloned() else {
            return question.header(0x8183, 0);
        };
        let records: Vec<_> = addresses.iter().filter_map(|ip| question.record(*ip)).collect();
        let count = records.len() as u16;
        match behaviour {
            Answers | Holds | Ignores => {
                [question.header(0x8180, count), records.concat()].concat()
            }
            Fails => question.header(0x8182, 0),
            AnswersAnother => {
                let other = Question { name: "another.test".to_owned(), ..question.clone() };
                [other.header(0x8180, count), records.concat()].concat()
            }
            Misnumbers => {
                let other = Question { number: question.number ^ 1, ..question.clone() };
                [other.header(0x8180, count), records.concat()].concat()
            }
            Overruns => {
                let mut reply = [question.header(0x8180, count), records.concat()].concat();
                reply.truncate(reply.len() - 2);
                reply
            }
            Babbles => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Loops => {
                let alias = record(CNAME, &[0xc0, 12]);
                [question.header(0x8180, 1), alias].concat()
            }
            HangsUp => question.header(0x8380, 0),
        }
    }
}

#[derive(Clone)]
struct Question {
    number: u16,
    name: String,
    kind: u16,
}

impl Question {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
        let mut rest = bytes.get(12..)?;
        let mut labels = Vec::new();
        loop {
            let (length, after) = rest.split_first()?;
            if *length == 0 {
                let kind = u16::from_be_bytes([*after.first()?, *after.get(1)?]);
                return Some(Self { number, name: labels.join("."), kind });
            }
            let label = after.get(..usize::from(*length))?;
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            rest = &after[usize::from(*length)..];
        }
    }

    /// The header of an answer, and the question.
    fn header(&self, flags: u16, answers: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [self.number, flags, 1, answers, 0, 0] {
            bytes.extend(number.to_be_bytes());
        }
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0]);
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    /// The record of an address, if it is of the type that was asked for.
    fn record(&self, address: IpAddr) -> Option<Vec<u8>> {
        match (self.kind, address) {
            (A, IpAddr::V4(address)) => Some(record(A, &address.octets())),
            (AAAA, IpAddr::V6(address)) => Some(record(AAAA, &address.octets())),
            _ => None,
        }
    }
}

/// A record of the name in the question, which is at byte 12. It is not to be kept.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 0]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}
