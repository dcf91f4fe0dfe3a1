//! The example `file_server` over a folder of its own, for tests.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a test waits for something that should come at once.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("evy-files-{process}-{count}"));
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).expect("a file is written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct FileServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl FileServer {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_by(Command::new(crate::upstream::example("file_server")).arg(folder))
    }

    pub(crate) fn start_by(command: &mut Command) -> Self {
        let mut child = command
            .args(["--address", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line.trim_end().strip_prefix("listening on http://");
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address: {line:?}"));
        Self { child, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: it is a plain system call. The process is a child that nobody has waited for, so the
        // number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// Ends it, and returns what it has said on standard error.
    pub(crate) fn complaints(mut self) -> String {
        self.child.kill().expect("it is our child");
        let mut text = String::new();
        let stderr = self.child.stderr.take().expect("it is piped");
        BufReader::new(stderr).read_to_string(&mut text).expect("text");
        text
    }

    /// A connection on which this was sent.
    pub(crate) fn send(&self, request: &str) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(LONG)).expect("a socket has timeouts");
        socket.write_all(request.as_bytes()).expect("it reads");
        BufReader::new(socket)
    }

    /// The answer to a request, with these headers (each line with its end).
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        );
        let mut socket = self.send(&request);
        let mut reply = Reply::read_head(&mut socket);
        socket.read_to_end(&mut reply.body).expect("an end");
        reply
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "")
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The head alone.
    pub(crate) fn read_head(socket: &mut impl BufRead) -> Self {
        let mut lines = socket.lines().map(|line| line.expect("a line"));
        let first = lines.next().expect("a first line");
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = lines.take_while(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let status = status.unwrap_or_else(|| panic!("no status: {first}"));
        Self { status, headers: headers.collect(), body: Vec::new() }
    }

    /// The value of a header that is there once; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next().map_or("", |header| &header.1);
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}
