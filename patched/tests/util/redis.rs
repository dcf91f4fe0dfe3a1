//! Servers that follow a script, on plain OS threads, for a Redis client that is green.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The server's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Peer {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { input: BufReader::new(stream.try_clone()?), stream })
    }

    /// Reads one command.
    pub(crate) fn command(&mut self) -> io::Result<Vec<String>> {
        (0..self.number('*')?).map(|_| self.bulk()).collect()
    }

    /// Reads one command and answers it. Returns the command.
    pub(crate) fn answer(&mut self, answer: &str) -> io::Result<Vec<String>> {
        let command = self.command()?;
        self.say(answer)?;
        Ok(command)
    }

    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    /// Takes the first words of a connection that has nothing to say but its name.
    pub(crate) fn greet(&mut self) -> io::Result<()> {
        for what in ["LIB-NAME", "LIB-VER"] {
            let command = self.answer("+OK\r\n")?;
            assert_eq!(command[..3], ["CLIENT", "SETINFO", what]);
        }
        Ok(())
    }

    /// Whatever was sent so far, at least one byte of it.
    pub(crate) fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.input.fill_buf()?.to_vec();
        self.input.consume(bytes.len());
        Ok(bytes)
    }

    /// Waits until the client has left.
    pub(crate) fn wait_for_end(&mut self) -> io::Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map(drop)
    }

    fn bulk(&mut self) -> io::Result<String> {
        let mut bytes = vec![0; self.number('$')? + 2];
        self.input.read_exact(&mut bytes)?;
        bytes.truncate(bytes.len() - 2);
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    fn number(&mut self, mark: char) -> io::Result<usize> {
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let digits = line.trim_end().strip_prefix(mark);
        Ok(digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{line:?}")))
    }
}

/// Starts a server that follows `script` on each connection, with the number of the connection, from 0 on.
/// Returns its URL.
pub(crate) fn server(
    script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("an address"));
    let script = Arc::new(script);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let script = Arc::clone(&script);
            // Clients may leave at any time.
            thread::spawn(move || script(number, &mut Peer::new(stream?)?));
        }
    });
    url
}

/// [`server`] whose script begins when a connection has said its first words.
pub(crate) fn greeted(
    script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> String {
    server(move |number, peer| {
        peer.greet()?;
        script(number, peer)
    })
}

/// A server that gives this to whoever asks for something, and then says no more.
pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    greeted(move |_, peer| {
        peer.bytes()?;
        peer.stream.write_all(&answer)?;
        peer.wait_for_end()
    })
}
