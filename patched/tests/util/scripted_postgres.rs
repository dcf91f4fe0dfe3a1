//! A server that says what it is told to, on plain OS threads: enough of PostgreSQL's protocol for a client
//! to come in and to ask, and for a test to break it off where it likes.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What a client has sent: the type of the message, and what is in it.
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The text of a query, or of a statement to be prepared.
    pub(crate) fn sql(&self) -> String {
        let text = match self.tag {
            // Behind the name of the statement.
            b'P' => self.body.splitn(2, |byte| *byte == 0).nth(1).unwrap_or_default(),
            _ => &self.body,
        };
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    }
}

/// One client, as its server sees it.
pub(crate) struct Session(pub(crate) TcpStream);

impl Session {
    /// Reads the first message, which has no type: a startup, a request for TLS, or one to cancel.
    pub(crate) fn read_first(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }

    /// Lets the client in, whoever it is.
    pub(crate) fn let_in(&mut self) -> io::Result<()> {
        self.read_first()?;
        self.say(b'R', &[0, 0, 0, 0])?;
        self.say(b'S', b"server_version\x0015.0\0")?;
        self.say(b'K', &[0, 0, 0, 1, 0, 0, 0, 2])?;
        self.ready(b'I')
    }

    pub(crate) fn read(&mut self) -> io::Result<Message> {
        let mut tag = [0];
        self.0.read_exact(&mut tag)?;
        Ok(Message { tag: tag[0], body: self.read_first()? })
    }

    pub(crate) fn say(&mut self, tag: u8, body: &[u8]) -> io::Result<()> {
        self.0.write_all(&message(tag, body))
    }

    /// It is the client's turn; `standing` is `I`, `T` or `E`.
    pub(crate) fn ready(&mut self, standing: u8) -> io::Result<()> {
        self.say(b'Z', &[standing])
    }

    /// The end of a statement.
    pub(crate) fn complete(&mut self, what: &str, standing: u8) -> io::Result<()> {
        let mut bytes = message(b'C', format!("{what}\0").as_bytes());
        bytes.extend(message(b'Z', &[standing]));
        self.0.write_all(&bytes)
    }

    /// An error, without what comes behind it.
    pub(crate) fn fail(&mut self, severity: &str, code: &str, text: &str) -> io::Result<()> {
        let body = format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0");
        self.say(b'E', body.as_bytes())
    }

    /// Answers a simple query with one row of one column.
    pub(crate) fn row(&mut self, text: &str) -> io::Result<()> {
        let mut bytes = message(b'T', &column());
        bytes.extend(message(b'D', &cell(text)));
        self.0.write_all(&bytes)?;
        self.complete("SELECT 1", b'I')
    }

    /// Answers all that comes as a server would that knows only texts of one row: the query itself.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        loop {
            let message = self.read()?;
            match message.tag {
                b'Q' => self.row(&message.sql())?,
                b'S' => self.ready(b'I')?,
                b'X' => return Ok(()),
                _ => {}
            }
        }
    }
}

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A description of rows with one column of text.
pub(crate) fn column() -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(b"text\0");
    body.extend([0; 6]);
    body.extend(25_u32.to_be_bytes());
    body.extend([255, 255, 255, 255, 255, 255, 0, 0]);
    body
}

pub(crate) fn cell(text: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((text.len() as u32).to_be_bytes());
    body.extend(text.as_bytes());
    body
}

/// Has `serve` play each client that comes, on an OS thread of its own; it is told how many came before.
pub(crate) fn start(
    serve: impl Fn(Session, usize) -> io::Result<()> + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (Ok(client), serve) = (client, serve.clone()) else { return };
            thread::spawn(move || serve(Session(client), number));
        }
    });
    address
}
