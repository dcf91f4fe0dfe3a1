//! Programs that the acceptance tests start: the bundled ones, and those of others around them. All of
//! them end with the test.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A program of ours, next to the folder that this test's executable is in.
pub(crate) fn ours(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let program = folder.join(name);
    assert!(program.exists(), "build it first: cargo build --release --workspace --bins");
    program
}

/// A program of others. Some people have no `sbin` in their `PATH`, where daemons lie.
pub(crate) fn theirs(name: &str) -> PathBuf {
    let in_sbin = Path::new("/usr/sbin").join(name);
    if in_sbin.exists() { in_sbin } else { name.into() }
}

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes a certificate for localhost with an ECDSA P-256 key, and gives evy-echo's options for it. Its
/// clients trust the file `certificate`.
pub(crate) fn certificate(folder: &Folder) -> [String; 4] {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("ring has that");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let files = [("certificate", certificate.pem()), ("key", key.serialize_pem())];
    let [certificate, key] = files.map(|(name, text)| {
        std::fs::write(folder.path(name), text).expect("the folder is writable");
        folder.path(name).to_str().expect("text").to_owned()
    });
    ["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]
}

/// Ports on which nobody listens; different ones, as all are held until the last is known.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// A process that is ended with the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
        assert_eq!(unsafe { libc::kill(self.id() as libc::pid_t, signal) }, 0);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_none()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("it ends", || self.0.try_wait().expect("it is our child"))
    }

    /// What it writes to its piped standard output until it ends.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = String::new();
        let mut output = self.0.stdout.take().expect("it is piped");
        output.read_to_string(&mut text).expect("text");
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks every few milliseconds until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "it should be that {what}, after so long a time");
        evy::sleep(Duration::from_millis(5));
    }
}

/// A running evy-echo.
pub(crate) struct Echo {
    pub(crate) process: Process,
    /// Where it listens, in the order in which it says so, without what says of which kind it is.
    pub(crate) addresses: Vec<String>,
    /// Lines of its standard error.
    pub(crate) errors: Receiver<String>,
}

impl Echo {
    /// On one address.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::run(Command::new(ours("evy-echo")).args(arguments), 1)
    }

    /// Runs a command that becomes evy-echo, on so many addresses.
    pub(crate) fn run(command: &mut Command, addresses: usize) -> Self {
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let errors = lines(process.0.stderr.take().expect("it is piped"));
        let output = lines(process.0.stdout.take().expect("it is piped"));
        let addresses = (0..addresses).map(|_| {
            let line = output.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                panic!("{command:?} says {:?}", errors.try_iter().collect::<Vec<_>>())
            });
            let address = line.strip_prefix("listening on ").expect("that is all it says");
            let kinds = ["tls:", "udp:", "unix:"];
            let plain = kinds.iter().find_map(|kind| address.strip_prefix(kind));
            plain.unwrap_or(address).to_owned()
        });
        Self { addresses: addresses.collect(), process, errors }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addresses[0]).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.process.signal(libc::SIGTERM);
        let status = self.process.wait();
        let said: Vec<String> = self.errors.try_iter().collect();
        assert!(status.success(), "{status}: {said:?}");
        assert_eq!(said.iter().find(|line| line.contains("cut off")), None);
    }

    /// Seconds of CPU that it has used.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("it runs");
        // The name, in brackets, may have spaces; user and system time are the 14th and 15th field.
        let fields = stat.rsplit(')').next().expect("there is a name").split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        // SAFETY: it takes a number and gives one.
        ticks as f64 / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
    }
}

/// What comes, line by line, read by a thread of its own so that the program never waits for us.
pub(crate) fn lines(reader: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        // To the end, also when nobody listens any more.
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// A running evy-load.
pub(crate) struct Load(Process);

impl Load {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(ours("evy-load"));
        Self(Process::start(command.arg("--json").args(arguments).stdout(Stdio::piped())))
    }

    /// Ends it before its time, and gives its figures.
    pub(crate) fn interrupt(self) -> Figures {
        self.0.signal(libc::SIGINT);
        self.finish()
    }

    /// Waits until it ends, and gives its figures.
    pub(crate) fn finish(mut self) -> Figures {
        let json = self.0.rest();
        self.0.wait();
        // That is the last and the longest part.
        Figures(json.split(",\"histogram\"").next().unwrap_or_default().to_owned())
    }
}

/// What evy-load says in the end: JSON, but for the histogram.
pub(crate) struct Figures(String);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Figures {
    /// The first number with this name.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let start = format!("\"{name}\":");
        let rest = self.0.split_once(&start).map(|(_, rest)| rest);
        let digits = rest.and_then(|rest| rest.split(|digit: char| !digit.is_ascii_digit()).next());
        let number = digits.and_then(|digits| digits.parse().ok());
        number.unwrap_or_else(|| panic!("there is no number {name} in {}", self.0))
    }

    /// Nothing was lost, and nothing went wrong.
    pub(crate) fn assert_flawless(&self) {
        for name in ["lost", "unfinished", "total"] {
            assert_eq!(self.number(name), 0, "{name} in {}", self.0);
        }
        assert_eq!(self.number("requests"), self.number("sent"), "{}", self.0);
    }
}
