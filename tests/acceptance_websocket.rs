//! WebSockets against programs of others: the cases of Autobahn by kosoku, server and client, and a chat
//! of two real browsers.
#![cfg(all(feature = "websocket", feature = "patched"))]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod upstream;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use evy::http::websocket::{self, CloseCode, WebSocket};
use evy::http::{Request, Server};
use evy::patched::ureq::Agent;
use upstream::example;

/// Those of the protocol itself: no compression, no measuring.
const CASES: &str = "[1-7].*";
const NUMBER_OF_CASES: usize = 246;

/// How long a program may take for something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is ended, by SIGTERM, with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < 2 * PATIENCE, "it does not end");
            evy::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
            unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
            let _ = self.0.wait();
        }
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// kosoku from PyPI, in a folder of cargo's for tests.
fn kosoku() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kosoku-0.1.0");
    let program = folder.join("bin/kosoku");
    if !program.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(folder.join("bin/pip")).args(["-q", "install", "kosoku==0.1.0"]));
    }
    program
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Checks what kosoku said at its end.
fn check(kosoku: &mut Running, stdout: &mut impl Read) {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    let status = kosoku.wait();
    println!("{text}");
    assert!(status.success(), "{status}");
    assert!(text.contains(&format!("{NUMBER_OF_CASES} cases passed")), "{text}");
}

fn echo(socket: &WebSocket) -> std::io::Result<()> {
    for message in socket {
        socket.send(message?)?;
    }
    Ok(())
}

/// A server of this process, on an OS thread of its own.
fn start_echo_server() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let listener = evy::listen("127.0.0.1:0").unwrap();
        let serve =
            |request: Request| websocket::accept(request, |socket: WebSocket| echo(&socket));
        let server = Server::new(listener, serve).start().unwrap();
        sender.send(server.local_addr()).unwrap();
        server.wait()
    });
    receiver.recv().unwrap()
}

#[test]
#[ignore = "acceptance: needs kosoku, from PyPI"]
fn fault_43_the_server_passes_the_cases_of_autobahn() {
    let address = start_echo_server();
    let folder = Folder::new("autobahn-server");
    let mut kosoku = Running::start(
        Command::new(kosoku())
            .args(["-m", "fuzzingclient", "-p", "4", "-i", CASES, "-o"])
            .arg(&folder.0)
            .arg(format!("ws://{address}"))
            .stdout(Stdio::piped()),
    );
    let mut stdout = kosoku.0.stdout.take().unwrap();
    check(&mut kosoku, &mut stdout);
}

#[test]
#[ignore = "acceptance: needs kosoku, from PyPI"]
fn fault_43_the_client_passes_the_cases_of_autobahn() {
    let folder = Folder::new("autobahn-client");
    let mut kosoku = Running::start(
        Command::new(kosoku())
            .args(["-m", "fuzzingserver", "-i", CASES, "-o"])
            .arg(&folder.0)
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut stderr = BufReader::new(kosoku.0.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let url = line.trim_end().rsplit(' ').next().unwrap().to_owned();
    let ask = |path: &str| websocket::connect(&format!("{url}{path}")).unwrap();

    let count = ask("/getCaseCount").recv().unwrap().unwrap();
    let count: usize = count.as_text().unwrap().parse().unwrap();
    assert_eq!(count, NUMBER_OF_CASES);
    for case in 1..=count {
        let socket = ask(&format!("/runCase?case={case}&agent=evy"));
        // That the server breaks rules is what it is for.
        let _ = echo(&socket);
        let _ = socket.close(CloseCode::NORMAL, "");
    }
    // It goes without a farewell.
    let _ = ask("/updateReports?agent=evy").recv();
    let mut stdout = kosoku.0.stdout.take().unwrap();
    check(&mut kosoku, &mut stdout);
}
