//! A running evy-echo, and what tests do with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens, in the order in which it says so.
    pub(crate) addresses: Vec<String>,
    /// Lines of its standard error.
    errors: Receiver<String>,
}

impl Server {
    /// On one TCP address.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_limited(args, None)
    }

    /// With at most so many descriptors.
    pub(crate) fn start_limited(args: &[&str], descriptors: Option<u64>) -> Self {
        let mut command = command(&["127.0.0.1:0"]);
        command.args(args);
        if let Some(limit) = descriptors {
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            // SAFETY: setrlimit is async-signal-safe, and the struct is moved into the closure.
            unsafe {
                command.pre_exec(move || {
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                    Ok(())
                });
            }
        }
        Self::spawn(command, 1)
    }

    /// Starts the program, which is to listen on so many addresses.
    pub(crate) fn spawn(mut command: Command, addresses: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = lines(child.stderr.take().unwrap());
        let output = lines(child.stdout.take().unwrap());
        let addresses = (0..addresses).map(|_| {
            let line = output.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                panic!("the server says {:?}", errors.try_iter().collect::<Vec<_>>())
            });
            line.strip_prefix("listening on ").expect("that is all it says").to_owned()
        });
        Self { addresses: addresses.collect(), child, errors }
    }

    /// To the first address, or what follows its prefix.
    pub(crate) fn connect(&self) -> TcpStream {
        self.connect_to(0)
    }

    pub(crate) fn connect_to(&self, index: usize) -> TcpStream {
        let stream = TcpStream::connect(self.plain_address(index)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// An address without what says of which kind it is.
    pub(crate) fn plain_address(&self, index: usize) -> &str {
        let address = self.addresses[index].as_str();
        let prefixes = ["tls:", "udp:", "unix:", "http://", "https://"];
        prefixes.iter().find_map(|prefix| address.strip_prefix(prefix)).unwrap_or(address)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child is ours and not yet waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    /// The next line on its standard error that says so.
    pub(crate) fn error_line(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.errors.recv_timeout(deadline - Instant::now());
            let line = line.unwrap_or_else(|_| panic!("there is no line with {part:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.wait_here()
    }

    pub(crate) fn wait_here(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            pause();
        }
    }

    /// Seconds of CPU that it has used.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evy-echo"));
    command.args(args);
    command
}

/// What comes, line by line, read by a thread of its own so that the program never waits for us.
fn lines(reader: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        // To the end, also when nobody listens any more.
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// Between two looks at something that takes its time.
pub(crate) fn pause() {
    #[expect(clippy::disallowed_methods, reason = "this program has no green threads")]
    std::thread::sleep(Duration::from_millis(10));
}

pub(crate) fn round_trip(stream: &mut (impl Read + Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "{} other bytes have come back", bytes.len());
}

pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Runs a program that might not come to its end, whose output is piped.
pub(crate) fn run_in_time(command: &mut Command) -> Output {
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE {
        pause();
    }
    let ends = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    assert!(ends, "it does not come to its end");
    output
}

/// Fails as the programs promise: exit code 1 and one line on stderr.
pub(crate) fn assert_one_line_error(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("evy-echo: ") && text.contains(expected), "{text}");
}
