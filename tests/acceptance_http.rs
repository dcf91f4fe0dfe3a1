//! The server of HTTP against programs of others: h11 as a second opinion on raw requests, slowhttptest,
//! h2load, curl.
#![cfg(all(feature = "http", feature = "tls"))]

#[path = "../http/tests/raw/mod.rs"]
#[allow(dead_code, reason = "the http crate's own tests use the rest")]
mod raw;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use evy::http::{Body, IntoResponse, Request, Response, Server};
use evy::tls::TlsAcceptor;
use raw::table::{After, cases};
use raw::{Outcome, Witness};

/// A folder that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder in the temporary one");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// h11

/// Reads lines, each with bytes in hexadecimal digits, and prints for each what h11 makes of them as a
/// server: the requests that it has seen whole, and how it ended.
const JUDGE: &str = r#"
import sys
import h11

def judge(data):
    seen = []
    while True:
        # Empty lines in front are to be skipped (RFC 9112, 2.2), which h11 leaves to others.
        while data[:1] == b"\n" or data[:2] == b"\r\n":
            data = data[data.index(b"\n") + 1:]
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        connection.receive_data(data)
        connection.receive_data(b"")
        try:
            end = one(connection, seen)
        except h11.RemoteProtocolError as error:
            return seen, "rejects: " + str(error)
        if end:
            return seen, end
        data = connection.trailing_data[0]

def one(connection, seen):
    request, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            seen.append((request.method, request.target, body))
            status = 405 if request.method == b"CONNECT" else 200
            connection.send(h11.Response(status_code=status, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            return None if connection.our_state is h11.DONE else "closes"
        elif isinstance(event, h11.ConnectionClosed):
            return "ends"
        else:
            return str(event)

for line in sys.stdin:
    seen, end = judge(bytes.fromhex(line.strip()))
    words = [",".join(part.hex() or "-" for part in each) for each in seen]
    print(" ".join(words) + "|" + end)
"#;

/// What h11 makes of some bytes.
struct Opinion {
    /// As the table writes requests, without trailers.
    seen: Vec<String>,
    end: String,
}

/// h11 in an environment of its own.
struct Judge {
    folder: Folder,
}

impl Judge {
    fn install() -> Self {
        let folder = Folder::new("h11");
        let environment = folder.0.join("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        run(Command::new(environment.join("bin/pip")).args([
            "install",
            "--quiet",
            "h11>=0.16,<0.17",
        ]));
        fs::write(folder.0.join("judge.py"), JUDGE).expect("the folder is writable");
        Self { folder }
    }

    fn opinions<'a>(&self, all: impl IntoIterator<Item = &'a [u8]>) -> Vec<Opinion> {
        let mut input = String::new();
        for bytes in all {
            for byte in bytes {
                write!(input, "{byte:02x}").expect("a String takes all");
            }
            input.push('\n');
        }
        let path = self.folder.0.join("input");
        fs::write(&path, input).expect("the folder is writable");
        let output = run(Command::new(self.folder.0.join("venv/bin/python"))
            .arg(self.folder.0.join("judge.py"))
            .stdin(fs::File::open(path).expect("it was just written")));
        text(&output.stdout).lines().map(Opinion::parse).collect()
    }
}

impl Opinion {
    fn parse(line: &str) -> Self {
        let (seen, end) = line.split_once('|').expect("it prints one");
        let seen = seen.split_whitespace().map(|word| {
            let parts: Vec<_> = word.split(',').map(unhex).collect();
            let (method, target, body) = (text(&parts[0]), text(&parts[1]), text(&parts[2]));
            written(&method, &target, &body)
        });
        Self { seen: seen.collect(), end: end.to_owned() }
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("it is hexadecimal");
    if digits == "-" { Vec::new() } else { (0..digits.len()).step_by(2).map(digit).collect() }
}

/// A request as our handler writes it down.
fn written(method: &str, target: &str, body: &str) -> String {
    let target = target.split_once('#').map_or(target, |it| it.0);
    let target = if target.starts_with("/long?") { "/long" } else { target };
    let mut line = format!("{method} {target}");
    // The type of targets gives it a path.
    if target.contains("://") && target.matches('/').count() == 2 {
        line.push('/');
    }
    if !body.is_empty() && !["/unread", "/long"].contains(&target) {
        line = format!("{line} {body}");
    }
    line
}

/// Whether we have seen a request that h11 has not: more of them, or other ones.
fn is_dangerous(ours: &[String], theirs: &Opinion) -> bool {
    // Whether the last one has an end nobody knows if it was not read.
    let read = match ours {
        [read @ .., last] if last.ends_with(" /unread") => read,
        all => all,
    };
    let whole: Vec<_> = read
        .iter()
        .filter(|line| !line.ends_with(" (broken)"))
        // h11 does not tell trailers from nothing here.
        .map(|line| line.split(" +").next().expect("there is a first").to_owned())
        .collect();
    whole.len() > theirs.seen.len() || whole[..] != theirs.seen[..whole.len()]
}

#[test]
#[ignore = "acceptance: needs python3 and h11 from PyPI"]
fn fault_19_we_see_no_request_that_h11_does_not_see() {
    let judge = Judge::install();
    let cases = cases();
    let opinions = judge.opinions(cases.iter().map(|case| &case.bytes[..]));
    assert_eq!(opinions.len(), cases.len());
    let mut dangerous = Vec::new();
    let (mut stricter, mut other_answer) = (0, 0);
    for (case, theirs) in cases.iter().zip(&opinions) {
        let ours: Vec<_> = case.seen.iter().map(|line| (*line).to_owned()).collect();
        let line = format!("{}: {ours:?}, h11: {:?}, {}", case.name, theirs.seen, theirs.end);
        if is_dangerous(&ours, theirs) {
            dangerous.push(line);
        } else if ours.len() < theirs.seen.len() {
            stricter += 1;
            println!("we see less in {line}");
        } else if theirs.end.starts_with("rejects") && case.after == After::Keeps {
            other_answer += 1;
            println!("we go on behind {line}");
        }
    }
    println!("{} rows; we see less in {stricter}, and go on in {other_answer}", cases.len());
    assert!(dangerous.is_empty(), "{} rows:\n{}", dangerous.len(), dangerous.join("\n"));
}

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// `bytes` with something wrong in them.
fn mutated(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    const PIECES: [&str; 24] = [
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        " ",
        "\t",
        "\0",
        ":",
        ",",
        ";",
        "0",
        "3",
        "-1",
        "\x0b",
        "\u{e9}",
        "Content-Length: 3\r\n",
        "Content-Length: 38\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: x\r\n",
        "Host: evil\r\n",
        "HTTP/1.0",
        "chunked",
        "0\r\n\r\n",
        "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(2) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + chance.below(4)).min(bytes.len());
        match chance.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
            2 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            _ => {
                let piece = PIECES[chance.below(PIECES.len())].bytes();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
#[ignore = "acceptance: needs python3 and h11 from PyPI"]
fn fault_19_nor_in_ten_thousand_others_that_chance_has_made() {
    let judge = Judge::install();
    let short: Vec<_> = cases().into_iter().filter(|case| case.bytes.len() < 300).collect();
    let mut chance = Chance(5);
    let all: Vec<_> = (0..10_000)
        .map(|_| mutated(&short[chance.below(short.len())].bytes, &mut chance))
        .collect();
    let opinions = judge.opinions(all.iter().map(|bytes| &bytes[..]));
    assert_eq!(opinions.len(), all.len());
    let witness = Witness::start();
    let mut dangerous = Vec::new();
    for (bytes, theirs) in all.iter().zip(&opinions) {
        let shown = text(bytes);
        let Outcome { seen, statuses } =
            witness.send(bytes, After::Ends).unwrap_or_else(|error| panic!("{error} to {shown:?}"));
        if is_dangerous(&seen, theirs) {
            let theirs = format!("{:?}, {}", theirs.seen, theirs.end);
            dangerous.push(format!("{shown:?}:\n  {seen:?} {statuses:?}, h11: {theirs}"));
        }
    }
    assert!(witness.serves());
    assert!(dangerous.is_empty(), "{} of them:\n{}", dangerous.len(), dangerous.join("\n"));
}

// Other programs

/// What the deadlines are.
const DEADLINE: Duration = Duration::from_secs(2);

/// A server on an OS thread of its own, until the process ends.
struct Serving {
    addr: SocketAddr,
    /// Its connections, looked at now and then.
    clients: Arc<AtomicUsize>,
}

fn serve(acceptor: Option<TlsAcceptor>) -> Serving {
    let clients = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&clients);
    let (sender, receiver) = channel();
    thread::spawn(move || {
        // Of all that take it, one copy.
        let large = bytes::Bytes::from(vec![b'x'; 64 << 20]);
        let handler = move |mut request: Request| -> Response {
            match request.uri().path() {
                "/large" => Response::new(Body::from(large.clone())),
                "/post" => request
                    .body_mut()
                    .bytes(1 << 20)
                    .map(|body| body.len().to_string())
                    .into_response(),
                "/slow" => {
                    evy::sleep(DEADLINE / 2);
                    "hello".into_response()
                }
                "/echo" => Response::new(Body::reader(request.into_body())),
                _ => format!("hello by {:?}\n", request.version()).into_response(),
            }
        };
        let listener = evy::listen("127.0.0.1:0").expect("a free port");
        let mut server = Server::new(listener, handler)
            .head_timeout(DEADLINE)
            .idle_timeout(DEADLINE)
            .min_rate(10_000, DEADLINE);
        if let Some(acceptor) = acceptor {
            server = server.tls(acceptor);
        }
        let server = server.start().expect("it starts");
        sender.send(server.local_addr()).expect("the test waits");
        loop {
            counted.store(server.counters().clients(), Relaxed);
            evy::sleep(Duration::from_millis(20));
        }
    });
    Serving { addr: receiver.recv().expect("the server starts"), clients }
}

/// Runs slowhttptest in a mode, with 1,000 connections; expects that the service is there throughout, and
/// that the server has closed all of them when their deadlines are over.
fn survive(name: &str, path: &str, mode: &[&str]) {
    let folder = Folder::new(name);
    let server = serve(None);
    let url = format!("http://{}{path}", server.addr);
    let report = folder.0.join("report");
    let mut program = Command::new("slowhttptest")
        .args(["-c", "1000", "-r", "1000", "-i", "1", "-p", "2", "-l", "12", "-g", "-u", &url])
        .args(mode)
        .arg("-o")
        .arg(&report)
        .stdout(Stdio::null())
        .spawn()
        .expect("slowhttptest is installed");
    let start = Instant::now();
    let mut samples = Vec::new();
    while program.try_wait().expect("it is our child").is_none() {
        samples.push((start.elapsed(), server.clients.load(Relaxed)));
        evy::sleep(Duration::from_millis(20));
    }
    let table = fs::read_to_string(report.with_extension("csv")).expect("it writes one");
    println!("{name}:\n{table}");
    check_table(&table);
    check_clients(&samples);
}

/// Looks at the table of slowhttptest: second, closed, pending, connected, available.
fn check_table(table: &str) {
    let mut seconds = 0;
    for line in table.lines().skip(1) {
        let available = line.rsplit(',').next().expect("there is a last");
        assert_ne!(available.trim(), "0", "not available:\n{table}");
        seconds += 1;
    }
    assert!(seconds >= 2, "{table}");
}

/// Looks at the connections that the server had: many at once, and soon none but those of the looks at
/// whether it is there. What slowhttptest says of connections that were reset is not to be trusted.
fn check_clients(samples: &[(Duration, usize)]) {
    const PROBES: usize = 3;
    let most = samples.iter().map(|(_, clients)| *clients).max().expect("there are samples");
    let crowded = samples.iter().rfind(|(_, clients)| *clients > PROBES);
    let last = crowded.expect("there were clients").0;
    println!("{most} at once, the last until {last:.1?}");
    assert!(most >= 500, "only {most} at once");
    // They are connected within a second or two, and looked at 16 times within the deadline.
    let limit = DEADLINE * 2 + Duration::from_secs(3);
    assert!(last <= limit, "the last was there until {last:?}");
}

#[test]
#[ignore = "acceptance: needs slowhttptest"]
fn fault_17_a_thousand_slow_heads() {
    survive("slow-heads", "/", &["-H", "-t", "GET", "-x", "24"]);
}

#[test]
#[ignore = "acceptance: needs slowhttptest"]
fn fault_17_a_thousand_slow_bodies() {
    survive("slow-bodies", "/post", &["-B", "-t", "POST", "-s", "8192", "-x", "10"]);
}

#[test]
#[ignore = "acceptance: needs slowhttptest"]
fn fault_17_a_thousand_ranges() {
    // That program closes them when they are answered.
    survive("ranges", "/slow", &["-R", "-t", "GET", "-a", "10", "-b", "3000"]);
}

#[test]
#[ignore = "acceptance: needs slowhttptest"]
fn fault_17_a_thousand_slow_readers() {
    survive(
        "slow-readers",
        "/large",
        &["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"],
    );
}

#[test]
#[ignore = "acceptance: needs h2load, of nghttp2-client"]
fn h2load_gets_every_answer() {
    let addr = serve(None).addr;
    for (url, options) in [
        (format!("http://{addr}/"), ["-n", "100000", "-c", "10", "-m", "100"]),
        (format!("http://{addr}/large"), ["-n", "20", "-c", "2", "-m", "5"]),
    ] {
        let output = run(Command::new("h2load").args(options).arg(&url));
        let said = text(&output.stdout);
        println!("{said}");
        let count = options[1];
        assert!(
            said.contains(&format!("{count} succeeded, 0 failed, 0 errored, 0 timeout")),
            "{said}"
        );
    }
}

fn curl(options: &[&str]) -> String {
    text(&run(Command::new("curl").args(["-sS", "--max-time", "20"]).args(options)).stdout)
}

#[test]
#[ignore = "acceptance: needs curl"]
fn curl_speaks_both_versions_in_clear_and_under_tls() {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("names are fine");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let acceptor =
        TlsAcceptor::builder().identity_pem(&chain, key).alpn(["h2", "http/1.1"]).build();
    let folder = Folder::new("curl");
    let certificate = folder.0.join("certificate.pem");
    fs::write(&certificate, chain).expect("the folder is writable");
    let certificate = certificate.to_str().expect("a plain name");

    let plain = format!("http://{}", serve(None).addr);
    let port = serve(Some(acceptor.expect("a certificate and its key"))).addr.port();
    let secure = format!("https://localhost:{port}");
    let resolve = format!("localhost:{port}:127.0.0.1");
    let tls = ["--cacert", certificate, "--resolve", &resolve];

    let with = |options: &[&'static str], url: &str| {
        let mut all = options.to_vec();
        let owned = url.to_owned();
        if url.starts_with("https") {
            let all: Vec<&str> =
                tls.iter().copied().chain(options.iter().copied()).chain([&*owned]).collect();
            return curl(&all);
        }
        let last: &str = &owned;
        let all: Vec<&str> = all.drain(..).chain([last]).collect();
        curl(&all)
    };
    assert_eq!(with(&["--http1.1"], &plain), "hello by HTTP/1.1\n");
    assert_eq!(with(&["--http1.0"], &plain), "hello by HTTP/1.0\n");
    assert_eq!(with(&["--http2-prior-knowledge"], &plain), "hello by HTTP/2.0\n");
    // An offer to upgrade that is not taken.
    assert_eq!(with(&["--http2"], &plain), "hello by HTTP/1.1\n");
    assert_eq!(with(&["--http1.1"], &secure), "hello by HTTP/1.1\n");
    assert_eq!(with(&["--http2"], &secure), "hello by HTTP/2.0\n");

    let body = folder.0.join("body");
    let content: String = (0..500_000).map(|n| format!("{n}\n")).collect();
    fs::write(&body, &content).expect("the folder is writable");
    let data = format!("@{}", path(&body));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let url = format!("{plain}/echo");
        for head in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
            if head.starts_with("Transfer") && version != "--http1.1" {
                continue;
            }
            let answer = curl(&[version, "-H", head, "--data-binary", &data, &url]);
            assert!(answer == content, "{version} {head}: {} bytes", answer.len());
        }
    }
    // Too long for what the handler takes. (Over HTTP/2, the curl of Debian 12 takes the reset behind a whole
    // answer, RFC 9113, 8.1, for an error.)
    let status = ["-o", "/dev/null", "-w", "%{http_code}", "--http1.1", "--data-binary"];
    let url = format!("{plain}/post");
    assert_eq!(curl(&[&status[..], &[&data, &url]].concat()), "413");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}
