//! The bundled load generator as people run it: against the bundled echo server, and against servers
//! that do not do as they should.

mod http;

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any wait here takes, and shorter than the runner's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// The bundled echo server; killed when dropped.
struct EchoServer {
    child: Child,
    address: String,
}

impl EchoServer {
    fn start() -> Self {
        Self::start_with(&["127.0.0.1:0"])
    }

    /// On one address.
    fn start_with(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evy-echo"));
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("its first line");
        Self { address: address.to_owned(), child }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bundled echo server under TLS, with a certificate of its own for localhost; for the files of
/// which there is a directory, which is removed in the end.
struct TlsEchoServer {
    server: EchoServer,
    directory: PathBuf,
    /// The file that who trusts it needs.
    certificate: String,
}

impl TlsEchoServer {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (id, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let directory = std::env::temp_dir().join(format!("evy-load-test-{id}-{number}"));
        fs::create_dir(&directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let certificate = file("chain.pem", made.cert.pem());
        let key = file("key.pem", made.signing_key.serialize_pem());
        let args = [more, &["tls:127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key]];
        let args = args.concat();
        Self { server: EchoServer::start_with(&args), directory, certificate }
    }

    /// What trusts the server.
    fn trust(&self) -> String {
        format!("--tls-ca {} --tls-name localhost", self.certificate)
    }

    fn load(&self, args: &str) -> Output {
        load(&self.server.address, args)
    }
}

impl Drop for TlsEchoServer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A server of std's, which serves each client on an OS thread, and counts them from 0.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    fn start(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, serve) = (Arc::new(AtomicUsize::new(0)), Arc::new(serve));
        let count = Arc::clone(&accepted);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (number, serve) = (count.fetch_add(1, Ordering::SeqCst), Arc::clone(&serve));
                thread::spawn(move || serve(number, stream.unwrap()));
            }
        });
        Self { address, accepted }
    }

    fn load(&self, args: &str) -> Output {
        load(&self.address.to_string(), args)
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst) as u64
    }
}

/// Echoes until the client leaves; `change` may alter what is sent back, and may take its time.
fn echo(mut stream: TcpStream, mut change: impl FnMut(&mut [u8])) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        change(&mut buffer[..bytes]);
        if stream.write_all(&buffer[..bytes]).is_err() {
            return;
        }
    }
}

fn command(address: &str, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evy-load"));
    command.arg(address).args(args.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn load(address: &str, args: &str) -> Output {
    command(address, args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// JSON as far as the reports go.
#[derive(Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// What a run with `--json` printed: one line, one value, and nothing else.
    fn of(output: &Output) -> Self {
        let text = stdout(output);
        assert_eq!(text.lines().count(), 1, "{text}{}", stderr(output));
        let mut rest = text.trim_end();
        let value = Self::parse(&mut rest);
        assert_eq!(rest, "", "after the value");
        value
    }

    fn parse(rest: &mut &str) -> Self {
        match rest.as_bytes()[0] {
            b'{' => Self::Object(list(rest, '}', |rest| {
                let Self::Text(name) = Self::parse(rest) else { panic!("a name at {rest}") };
                expect(rest, ":");
                (name, Self::parse(rest))
            })),
            b'[' => Self::Array(list(rest, ']', Self::parse)),
            b'"' => Self::Text(text(rest)),
            b'n' => (expect(rest, "null"), Self::Null).1,
            b't' => (expect(rest, "true"), Self::Bool(true)).1,
            b'f' => (expect(rest, "false"), Self::Bool(false)).1,
            _ => {
                let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
                let (number, after) = rest.split_at(end);
                *rest = after;
                Self::Number(number.parse().unwrap())
            }
        }
    }

    /// A member of an object; `a.b` is one of a member's.
    fn at(&self, path: &str) -> &Self {
        path.split('.').fold(self, |value, name| {
            let Self::Object(members) = value else { panic!("{name} of {value:?}") };
            let member = members.iter().find(|(member, _)| member == name);
            &member.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
        })
    }

    fn number(&self, path: &str) -> f64 {
        let Self::Number(number) = self.at(path) else { panic!("{path} is no number") };
        *number
    }

    fn count(&self, path: &str) -> u64 {
        self.number(path) as u64
    }

    /// Answers that were later than so many milliseconds, by the histogram; its rows are powers of two.
    fn later_than(&self, milliseconds: f64) -> u64 {
        let Self::Array(rows) = self.at("latency_us.histogram") else { panic!("no rows") };
        let late = rows.iter().filter(|row| row.number("up_to") > milliseconds * 2e3);
        late.map(|row| row.count("count")).sum()
    }
}

fn expect(rest: &mut &str, text: &str) {
    *rest = rest.strip_prefix(text).unwrap_or_else(|| panic!("{text} at {rest}"));
}

fn list<T>(rest: &mut &str, end: char, item: impl Fn(&mut &str) -> T) -> Vec<T> {
    let mut items = Vec::new();
    *rest = &rest[1..];
    while !rest.starts_with(end) {
        if !items.is_empty() {
            expect(rest, ",");
        }
        items.push(item(rest));
    }
    *rest = &rest[1..];
    items
}

fn text(rest: &mut &str) -> String {
    let mut text = String::new();
    let mut characters = rest[1..].char_indices();
    loop {
        match characters.next().expect("the string ends") {
            (at, '"') => {
                *rest = &rest[at + 2..];
                return text;
            }
            (_, '\\') => text.push(characters.next().unwrap().1),
            (_, character) => text.push(character),
        }
    }
}

#[test]
fn against_the_bundled_server_every_answer_is_right_and_counted() {
    let server = EchoServer::start();
    let output = load(&server.address, "--connections 20 --size 100 --duration 0.3 --json");
    let report = Json::of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let requests = report.count("requests");
    assert!(requests >= 20, "{report:?}");
    assert_eq!(report.count("sent"), requests);
    assert_eq!(report.count("bytes_received"), requests * 100);
    assert_eq!((report.count("opened"), report.count("errors.total")), (20, 0));
    assert!((0.3..PATIENCE.as_secs_f64()).contains(&report.number("seconds")), "{report:?}");
    assert_eq!(report.at("address"), &Json::Text(server.address.clone()));
    assert_eq!((report.at("rate"), report.at("interrupted")), (&Json::Null, &Json::Bool(false)));
    assert_eq!(report.later_than(0.0), requests, "the histogram has every answer");
    assert!(report.number("cpu_percent") > 0.0 && report.number("cpu_us_per_request") > 0.0);
    let latencies = ["min", "p50", "p90", "p99", "p99_9", "max"];
    let latencies = latencies.map(|name| report.number(&format!("latency_us.{name}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{latencies:?}");
}

#[test]
fn requests_ahead_of_the_answers_and_larger_than_all_buffers_come_back_too() {
    let server = EchoServer::start();
    // The last one fills the sockets' buffers many times: a client that only wrote would wait for ever.
    for args in [
        "--pipeline 32 --size 7",
        "--pipeline 16 --size 1000",
        "--pipeline 3 --size 20k",
        "--pipeline 2 --size 16M",
    ] {
        let output =
            load(&server.address, &format!("{args} --connections 2 --duration 0.3 --json"));
        let report = Json::of(&output);
        assert_eq!(output.status.code(), Some(0), "{args}: {}", stderr(&output));
        assert!(report.count("requests") >= 2 * report.count("pipeline"), "{report:?}");
        assert_eq!(report.count("bytes_received"), report.count("requests") * report.count("size"));
    }
}

#[test]
fn as_many_requests_are_in_flight_as_the_pipeline_says() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    // Answers only when eight have come.
    let server = Server::start(move |_, mut stream| {
        let mut buffer = [0; 8 * 10];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            let more = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
            stream.set_read_timeout(None).unwrap();
            seen.fetch_max(8 + usize::from(more), Ordering::SeqCst);
            if stream.write_all(&buffer).is_err() {
                return;
            }
        }
    });
    let output = server.load("--connections 1 --size 10 --pipeline 8 --duration 0.2 --json");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(most.load(Ordering::SeqCst), 8);
    assert!(Json::of(&output).count("requests") >= 8);
}

#[test]
fn a_changed_byte_is_found_counted_and_an_error() {
    // The third answer of the first connection, its tenth byte.
    let server = Server::start(|number, stream| {
        let mut answers = 0;
        echo(stream, |bytes| {
            answers += 1;
            if number == 0 && answers == 3 {
                bytes[9] ^= 0x80;
            }
        });
    });
    let output = server.load("--connections 1 --size 64 --duration 0.3 --json");
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    assert_eq!((report.count("errors.corrupt"), report.count("errors.total")), (1, 1));
    assert_eq!(report.count("lost"), 1);
    assert_eq!(report.count("requests") + 1, report.count("sent"));
    assert!(report.count("requests") > 2, "it goes on with a new connection");
    assert_eq!(report.count("opened"), 2);
    let text = stderr(&output);
    assert!(text.contains("connection 0: byte 9 of an answer is"), "{text}");
    assert_eq!(text.lines().last(), Some("evy-load: 1 error (1 corrupt); 1 request lost"));
}

#[test]
fn a_byte_too_many_is_an_error() {
    let server = Server::start(|number, mut stream| {
        let mut buffer = [0; 65];
        let _ = stream.read_exact(&mut buffer[..64]);
        let _ = stream.write_all(&buffer[..if number == 0 { 65 } else { 64 }]);
        echo(stream, |_| ());
    });
    let output = server.load("--connections 1 --size 64 --duration 0.2 --json");
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    assert_eq!((report.count("errors.surplus"), report.count("errors.total")), (1, 1));
}

#[test]
fn a_server_that_closes_in_the_middle_of_an_answer_is_an_error_and_connected_to_again() {
    let server = Server::start(|number, mut stream| {
        if number == 0 {
            let mut buffer = [0; 64];
            stream.read_exact(&mut buffer).unwrap();
            stream.write_all(&buffer[..40]).unwrap();
            return;
        }
        echo(stream, |_| ());
    });
    let output = server.load("--connections 1 --size 64 --duration 0.5 --json");
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    assert_eq!((report.count("errors.closed"), report.count("errors.total")), (1, 1));
    assert_eq!((report.count("lost"), report.count("opened")), (1, 2));
    assert_eq!(server.accepted(), 2);
    assert!(report.count("requests") > 1, "{report:?}");
    let text = stderr(&output);
    assert_eq!(text.lines().last(), Some("evy-load: 1 error (1 closed); 1 request lost"));
}

#[test]
fn a_server_that_closes_between_requests_loses_none() {
    // One request every 200 ms: the close comes well before the next one.
    let server = Server::start(|number, mut stream| {
        if number == 0 {
            let mut buffer = [0; 64];
            stream.read_exact(&mut buffer).unwrap();
            stream.write_all(&buffer).unwrap();
            return;
        }
        echo(stream, |_| ());
    });
    let output = server.load("--connections 1 --rate 5 --duration 0.7 --json");
    let report = Json::of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((report.count("closed_idle"), report.count("opened")), (1, 2));
    assert_eq!((report.count("errors.total"), report.count("lost")), (0, 0));
}

#[test]
fn a_server_that_always_closes_is_not_connected_to_in_a_spin() {
    let server = Server::start(|_, stream| drop(stream));
    let output = server.load("--connections 2 --duration 0.5 --json");
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    assert_eq!(report.count("requests"), 0);
    assert!((2..40).contains(&report.count("opened")), "{report:?}");
    // Five are told, and then the sum.
    assert_eq!(stderr(&output).lines().count(), 6, "{}", stderr(&output));
}

#[test]
fn a_server_that_does_not_answer_is_an_error_after_the_timeout() {
    let server = Server::start(|_, mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let start = Instant::now();
    let output = server.load("--connections 1 --duration 0.1 --timeout 0.3 --json");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    assert_eq!((report.count("errors.timeout"), report.count("lost")), (1, 1));
}

#[test]
fn a_server_that_does_not_even_read_is_an_error_after_the_timeout() {
    // More than the sockets hold: the request itself gets stuck.
    let server = Server::start(|_, stream| {
        let _ = stream.peek(&mut [0]);
        #[expect(clippy::disallowed_methods, reason = "this server does nothing, for ever")]
        thread::sleep(PATIENCE);
    });
    let args = "--connections 1 --size 64M --duration 0.1 --timeout 0.3 --json";
    let start = Instant::now();
    let report = Json::of(&server.load(args));
    assert!((Duration::from_millis(300)..PATIENCE).contains(&start.elapsed()));
    assert_eq!((report.count("errors.timeout"), report.count("errors.total")), (1, 1));
}

#[test]
fn the_timeout_is_for_silence_and_not_for_a_slow_answer_or_a_rare_request() {
    let server = Server::start(|_, mut stream| {
        stream.set_nodelay(true).unwrap();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {
            #[expect(clippy::disallowed_methods, reason = "this server is slow")]
            thread::sleep(Duration::from_millis(20));
        }
    });
    // An answer takes 640 ms, and comes byte by byte.
    let output = server.load("--connections 1 --size 32 --duration 0.1 --timeout 0.4 --json");
    let report = Json::of(&output);
    assert_eq!((report.count("requests"), report.count("errors.total")), (1, 0));
    // There are 500 ms between two requests.
    let output = server.load("-c 1 --size 1 --duration 1.2 --rate 2 --timeout 0.2 --json");
    let report = Json::of(&output);
    assert_eq!((report.count("errors.total"), report.count("opened")), (0, 1), "{report:?}");
    assert_eq!(report.count("requests"), 3);
}

#[test]
fn a_server_that_cannot_be_reached_is_a_one_line_error_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (address, expected) in [(&*address, "refused"), ("127.0.0.1", "HOST:PORT")] {
        let start = Instant::now();
        let output = load(address, "--duration 60 --json");
        assert!(start.elapsed() < PATIENCE);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert_eq!((text.lines().count(), stdout(&output)), (1, String::new()), "{text}");
        let start = format!("evy-load: cannot connect to {address}: ");
        assert!(text.starts_with(&start) && text.contains(expected), "{text}");
    }
}

#[test]
fn it_connects_anew_after_so_many_requests() {
    let server = Server::start(|_, stream| echo(stream, |_| ()));
    let args = "--connections 3 --pipeline 4 --per-connection 10 --duration 0.3 --json";
    let output = server.load(args);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = Json::of(&output);
    let (opened, requests) = (report.count("opened"), report.count("requests"));
    assert!(opened > 3, "{report:?}");
    // Each had ten, but for the last ones; those may have had none.
    assert!((opened - 3) * 10 <= requests && requests <= opened * 10, "{report:?}");
    // A connect may have been under way when it stopped, for each client.
    let accepted = server.accepted();
    assert!((opened..=opened + 3).contains(&accepted), "{accepted} accepted, {opened} opened");
}

#[test]
fn a_rate_is_kept() {
    let server = EchoServer::start();
    let output = load(&server.address, "--connections 10 --rate 500/s --duration 1 --json");
    assert!(output.status.success(), "{}", stderr(&output));
    let report = Json::of(&output);
    assert!((450..=550).contains(&report.count("requests")), "{report:?}");
    assert_eq!(report.at("latency_us.corrected"), &Json::Bool(true));
}

/// Coordinated omission: one request waits for the stall itself, but those that were to be sent during
/// it are late too, and nearly as much.
#[test]
fn with_a_rate_a_stall_of_the_server_makes_every_request_late_that_was_due_during_it() {
    let stall = Duration::from_millis(300);
    let stalling = move |_, stream| {
        let mut answers = 0;
        echo(stream, |_| {
            answers += 1;
            if answers == 100 {
                #[expect(clippy::disallowed_methods, reason = "this server is to stall")]
                thread::sleep(stall);
            }
        });
    };
    let args = "--connections 1 --duration 1.5 --json";
    let report = Json::of(&Server::start(stalling).load(&format!("{args} --rate 400")));
    assert!(report.number("latency_us.p99_9") >= 300_000.0, "{report:?}");
    assert!(report.number("latency_us.max") >= 300_000.0, "{report:?}");
    // 120 were due during the stall; the first half of them waited for more than 150 ms.
    assert!(report.later_than(65.0) >= 50, "{report:?}");
    // Without a rate it is one request that was late.
    let report = Json::of(&Server::start(stalling).load(args));
    assert!(report.number("latency_us.max") >= 300_000.0, "{report:?}");
    assert!(report.later_than(65.0) < 10, "{report:?}");
}

#[test]
fn requests_that_a_slow_server_left_no_time_for_are_told() {
    let server = Server::start(|_, stream| {
        echo(stream, |_| {
            #[expect(clippy::disallowed_methods, reason = "this server is slow")]
            thread::sleep(Duration::from_millis(20));
        });
    });
    let output = server.load("--connections 1 --rate 1000 --duration 0.5");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("not sent") && text.contains("the server is too slow"), "{text}");
}

#[test]
fn connections_are_opened_no_faster_than_the_ramp() {
    let server = EchoServer::start();
    let start = Instant::now();
    let output = load(&server.address, "--connections 21 --ramp 50 --duration 0.1 --json");
    assert!(start.elapsed() >= Duration::from_millis(480), "{:?}", start.elapsed());
    assert_eq!(Json::of(&output).count("opened"), 21);
}

#[test]
fn it_takes_more_descriptors_than_the_soft_limit() {
    let server = EchoServer::start();
    let mut command = command(&server.address, "--connections 60 --duration 0.1 --json");
    // SAFETY: both calls are async-signal-safe, and their struct is on the closure's stack.
    unsafe {
        command.pre_exec(|| {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            limit.rlim_cur = 32;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            Ok(())
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(Json::of(&output).count("opened"), 60);
}

#[test]
fn an_interrupt_ends_it_early_with_the_figures_so_far() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let (said, answered) = std::sync::mpsc::channel();
        let server = Server::start(move |_, stream| {
            let said = said.clone();
            echo(stream, move |_| {
                let _ = said.send(());
            });
        });
        let start = Instant::now();
        let child =
            command(&server.address.to_string(), "--duration 60 --json --rate 10").spawn().unwrap();
        answered.recv_timeout(PATIENCE).expect("a request");
        // SAFETY: the child is ours and not yet waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
        let output = child.wait_with_output().unwrap();
        assert!(start.elapsed() < PATIENCE);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report = Json::of(&output);
        assert_eq!(report.at("interrupted"), &Json::Bool(true));
        assert!(report.count("requests") >= 1 && report.number("seconds") < 20.0, "{report:?}");
    }
}

#[test]
fn an_interrupt_waits_for_no_server_that_does_not_answer() {
    let (said, asked) = std::sync::mpsc::channel();
    let server = Server::start(move |_, mut stream| {
        let _ = stream.read_exact(&mut [0]);
        let _ = said.send(());
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let child =
        command(&server.address.to_string(), "-c 1 --duration 60 --timeout 60 --json").spawn();
    let child = child.unwrap();
    asked.recv_timeout(PATIENCE).expect("a request");
    // SAFETY: the child is ours and not yet waited for, so the id is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) }, 0);
    let report = Json::of(&child.wait_with_output().unwrap());
    assert_eq!((report.count("unfinished"), report.count("errors.total")), (1, 0));
}

#[test]
fn under_tls_every_answer_is_right_and_counted() {
    let server = TlsEchoServer::start();
    let trust = server.trust();
    for args in ["--connections 20 --size 100", "--connections 2 --pipeline 3 --size 200k"] {
        let output = server.load(&format!("{trust} {args} --duration 0.3 --json"));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report = Json::of(&output);
        assert!(report.count("requests") >= report.count("connections"), "{report:?}");
        assert_eq!(report.count("bytes_received"), report.count("requests") * report.count("size"));
        assert_eq!(report.count("opened"), report.count("connections"));
        assert_eq!((report.count("errors.total"), report.count("lost")), (0, 0));
        assert_eq!(report.at("address"), &Json::Text(server.server.address.clone()));
    }
}

#[test]
fn under_tls_it_connects_anew_after_so_many_requests() {
    let server = TlsEchoServer::start();
    let args = "--tls-insecure --connections 2 --per-connection 3 --duration 0.3 --json";
    let report = Json::of(&server.load(args));
    let (opened, requests) = (report.count("opened"), report.count("requests"));
    assert!(opened > 2 && (opened - 2) * 3 <= requests && requests <= opened * 3, "{report:?}");
    assert_eq!(report.count("errors.total"), 0);
}

#[test]
fn tls_is_an_option_or_the_form_of_the_address() {
    let server = TlsEchoServer::start();
    let plain = server.server.address.strip_prefix("tls:").unwrap();
    let args = "-c 1 --duration 0.05 --json --tls-insecure";
    for (address, args) in [
        (plain, format!("{args} --tls")),
        (plain, args.to_owned()),
        (plain, format!("-c 1 --duration 0.05 --json {}", server.trust())),
        (&server.server.address, args.to_owned()),
    ] {
        let output = load(address, &args);
        assert!(output.status.success(), "{address} {args}: {}", stderr(&output));
        let report = Json::of(&output);
        assert_eq!(report.at("address"), &Json::Text(server.server.address.clone()));
        assert!(report.count("requests") > 0, "{report:?}");
    }
}

#[test]
fn a_certificate_that_is_not_trusted_or_for_another_name_is_a_one_line_error() {
    let (server, stranger) = (TlsEchoServer::start(), TlsEchoServer::start());
    // The system has roots where ca-certificates is installed; it trusts none of ours either way.
    let certificate = &server.certificate;
    for (args, expected) in [
        (stranger.trust(), "the TLS handshake failed: invalid peer certificate"),
        (format!("--tls-ca {certificate} --tls-name example.org"), "not valid for name"),
        (format!("--tls-ca {certificate}"), "not valid for name"),
        ("--tls-name localhost".to_owned(), ""),
        ("--tls-ca /no/such/file".to_owned(), "/no/such/file: No such file"),
        ("--tls-ca /dev/null".to_owned(), "/dev/null: no certificate is in it"),
        ("--tls-name a..b".to_owned(), "'a..b' can be no name of a TLS server"),
    ] {
        let output = server.load(&format!("{args} --duration 60 --json"));
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{args}");
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("evy-load: ") && text.contains(expected), "{args}: {text}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_a_one_line_error() {
    let server = EchoServer::start();
    let output = load(&server.address, "--tls-insecure --json");
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    let text = stderr(&output);
    let start = format!("evy-load: tls:{}: the TLS handshake failed: ", server.address);
    assert!(text.starts_with(&start) && text.lines().count() == 1, "{text}");
}

#[test]
fn a_handshake_that_fails_later_is_counted_as_one_and_tried_again() {
    // The first connection shows that the server is there; the second one is cut off; later ones work.
    let echo_server = TlsEchoServer::start();
    let address = echo_server.server.address.strip_prefix("tls:").unwrap().to_owned();
    let server = Server::start(move |number, client| {
        if number == 1 {
            return;
        }
        let server = TcpStream::connect(&address).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut { server }, &mut { client });
    });
    let output = server.load("--tls-insecure --connections 2 --duration 0.5 --json");
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    assert_eq!((report.count("errors.handshake"), report.count("errors.total")), (1, 1));
    assert_eq!((report.count("opened"), report.count("lost")), (2, 0));
    let text = stderr(&output);
    assert!(text.contains("connection 1: the TLS handshake failed: "), "{text}");
    assert_eq!(text.lines().last(), Some("evy-load: 1 error (1 handshake); 0 requests lost"));
}

#[test]
fn a_server_that_does_no_handshake_is_an_error_after_the_timeout() {
    let server = Server::start(|_, mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let start = Instant::now();
    let output = server.load("--tls-insecure --timeout 0.3");
    assert!((Duration::from_millis(300)..PATIENCE).contains(&start.elapsed()));
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("the TLS handshake was not done in"), "{text}");
}

#[test]
fn the_report_for_people_has_the_figures_and_a_histogram() {
    let server = EchoServer::start();
    let output = load(&server.address, "--connections 2 --duration 0.2 --rate 100");
    assert!(output.status.success());
    let text = stdout(&output);
    let parts = ["2 connections, 64 bytes", "requests", "MiB each way", "own CPU", "errors"];
    for part in parts.into_iter().chain(["99.9%", "up to"]) {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("from when its request was due") && text.contains("####"), "{text}");
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    assert_eq!(stderr(&output), "", "no live view where there is no terminal");
}

#[test]
fn on_a_terminal_a_line_shows_the_rate_and_the_latencies_and_is_gone_at_the_end() {
    let (mut terminal, of_child) = terminal();
    let server = EchoServer::start();
    let mut command = command(&server.address, "--connections 2 --duration 0.7");
    let child = command.stderr(of_child).spawn().unwrap();
    // The command keeps its end, without which the terminal would be gone.
    drop(command);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    // Where nobody has it open any more, a terminal gives an error and no end of file.
    while let Ok(bytes @ 1..) = terminal.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..bytes]);
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(shown).unwrap();
    for part in ["/s  p50 ", "  p99 ", "errors 0"] {
        assert!(shown.contains(part), "{part} in {shown:?}");
    }
    let erased = shown.rsplit_once("\x1b[2K").map(|(_, rest)| rest);
    assert_eq!(erased, Some(""), "the line is erased: {shown:?}");
    assert!(stdout(&output).contains("requests"));
}

/// Both ends of a new terminal: ours, and the one for a program. Programs that other tests start
/// inherit neither, or the terminal would outlive its user.
fn terminal() -> (File, Stdio) {
    let open = |path: &str| {
        let flags = libc::O_NOCTTY;
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).unwrap()
    };
    let ours = open("/dev/ptmx");
    let mut name = [0; 64];
    // SAFETY: the descriptor is a new terminal's, and the array is as long as said.
    let named = unsafe {
        libc::unlockpt(ours.as_raw_fd())
            | libc::ptsname_r(ours.as_raw_fd(), name.as_mut_ptr(), name.len())
    };
    assert_eq!(named, 0);
    // A terminal without a width has no room for the line.
    let size = libc::winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request takes that struct, which lives through the call.
    let sized = unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(sized, 0);
    // SAFETY: ptsname_r has ended the name with a zero byte.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    let theirs = open(name.to_str().unwrap());
    (ours, Stdio::from(theirs))
}

#[test]
fn help_names_every_option_and_nonsense_is_refused() {
    let output = load("--help", "");
    assert!(output.status.success());
    let text = stdout(&output);
    let options = [
        "--connections",
        "--size",
        "--pipeline",
        "--per-connection",
        "--duration",
        "--rate",
        "--ramp",
        "--timeout",
        "--http",
        "--header",
        "--echo",
        "--tls",
        "--tls-ca",
        "--tls-insecure",
        "--tls-name",
        "--json",
        "Examples:",
    ];
    for option in options {
        assert!(text.contains(option), "{option} in {text}");
    }
    let both = "--tls-insecure --tls-ca x";
    let nonsense = [
        "--connections 0",
        "--header a:b",
        "--http --echo",
        "--http --header a",
        "--size 0",
        "--rate 0",
        "--duration -1",
        "--ramp x",
        both,
        "",
    ];
    for args in nonsense {
        let address = if args.is_empty() { "--json" } else { "127.0.0.1:1" };
        assert_eq!(load(address, args).status.code(), Some(2), "{args}");
    }
}

/// The options that the help has at the start of a line.
fn options(help: &str) -> Vec<&str> {
    let words = help.lines().flat_map(|line| {
        let words = line.split([' ', ',']).filter(|word| !word.is_empty());
        words.take_while(|word| word.starts_with('-'))
    });
    words.collect()
}

#[test]
fn the_man_page_has_every_option_of_the_help() {
    let page = include_str!("../../man/evy-load.1").replace('\\', "");
    let help = stdout(&load("--help", ""));
    let options = options(&help);
    assert!(options.contains(&"--tls-ca") && options.len() >= 20, "{options:?}");
    for option in options {
        let is_described = page.lines().any(|line| {
            line.starts_with(".B") && line.split([' ', '~', '"']).any(|word| word == option)
        });
        assert!(is_described, "the man page does not describe {option}");
    }
}
