//! The web crawler against nginx: 200 URLs over http and https in two delays plus a little, and what is
//! wrong with some of them is said of these alone; 100,000 URLs on a few connections, in memory that does
//! not grow.
#![cfg(feature = "patched")]

mod nginx;
#[path = "../benches/support/mod.rs"]
mod support;
mod upstream;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nginx::{Nginx, free_ports, new_folder, program};
use support::cpu::Memory;
use upstream::{Answer, Upstream, example, refused_port};

/// What the server behind nginx takes for each answer.
const DELAY: Duration = Duration::from_millis(200);

/// Two delays, the start of the process, and a hundred TLS handshakes, both ends on the same cores;
/// these are slow without optimisation.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 600 });

/// One page in as many URLs is bad.
const BAD_EVERY: usize = 10;

#[test]
#[ignore = "acceptance: needs nginx and openssl"]
fn two_hundred_urls_take_two_delays_and_the_bad_ones_fail_alone() {
    let server = Upstream::start(|path| match path {
        path if path.starts_with("/missing") => Answer::not_found().after(DELAY),
        path => Answer::page(format!("this is {path}")).after(DELAY),
    });
    let nginx = Front::start(server.address.port());
    let pages = nginx.pages();
    assert_eq!(pages.len(), 200);
    let bad = pages.iter().filter(|page| matches!(page.expected, Expected::Error(_))).count();

    // The machine may be busy with other things for a while.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let before = server.requests();
        let start = Instant::now();
        let output = nginx.crawl(&pages);
        let elapsed = start.elapsed();
        println!("200 URLs at 100 at a time, of which {bad} are bad: {elapsed:.0?}");
        best = best.min(elapsed);

        check(&pages, &output);
        assert_eq!(output.status.code(), Some(bad as i32), "{output:?}");
        let reached = pages.iter().filter(|page| page.is_answered()).count();
        assert_eq!(server.requests() - before, reached);
    }
    // Not all at once: 200 URLs with room for 100 take two delays at the least.
    assert!(best >= DELAY * 2 - DELAY / 10, "{best:?}");
    assert!(best < LIMIT, "{best:?}");
}

/// How many URLs are fetched, and how many of them at once.
const MANY: usize = 100_000;
const AT_ONCE: usize = 100;

#[test]
#[ignore = "acceptance: needs nginx"]
fn a_hundred_thousand_urls_take_a_few_connections_and_no_more_memory() {
    let [port, status] = free_ports();
    let configuration = format!(
        "keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 \"this is $uri\"; }} }}\n\
         server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}\n"
    );
    let _nginx = Nginx::start(new_folder("many"), &configuration, &[port, status]);
    let before = connections(status);

    let start = Instant::now();
    let mut crawler = Command::new(example("web_crawler"))
        .args(["--concurrency", &AT_ONCE.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the crawler starts");
    let mut input = crawler.stdin.take().expect("it is piped");
    let feeder = thread::spawn(move || {
        (0..MANY).try_for_each(|number| writeln!(input, "http://127.0.0.1:{port}/{number}"))
    });
    let output = BufReader::new(crawler.stdout.take().expect("it is piped"));
    let mut resident = Vec::new();
    let mut count = 0;
    for line in output.lines() {
        let line = line.expect("text");
        let body = format!("this is /{count}");
        let expected = format!("http://127.0.0.1:{port}/{count}: 200, {} bytes, ", body.len());
        assert!(line.starts_with(&expected), "{line}");
        count += 1;
        // Of a process that has ended nothing can be read.
        if count % (MANY / 10) == 0 && count < MANY {
            resident.push(Memory::of(crawler.id()).expect("it runs").resident);
        }
    }
    let elapsed = start.elapsed();
    assert_eq!(count, MANY);
    assert!(crawler.wait().expect("the crawler ends").success());
    feeder.join().expect("it does not panic").expect("the crawler reads its input");

    // The look at the status is one, too.
    let connections = connections(status) - before - 1;
    let rate = MANY as f64 / elapsed.as_secs_f64();
    println!(
        "{MANY} URLs at {AT_ONCE} at a time: {elapsed:.1?}, {rate:.0} a second, {connections} connections, \
         RSS after each tenth in KiB: {:?}",
        resident.iter().map(|bytes| bytes / 1024).collect::<Vec<_>>()
    );
    assert!(connections <= 2 * AT_ONCE, "{connections} connections");
    // From a third on it has all that it will have.
    let (warm, last) = (resident[2], resident[resident.len() - 1]);
    assert!(last <= warm + (2 << 20), "{resident:?}");
}

/// How many connections the nginx with its status on that port has accepted so far.
fn connections(status: u16) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", status)).expect("nginx listens");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("nginx reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("nginx answers");
    let numbers = text.split("requests\n").nth(1).expect("the numbers stand behind their names");
    numbers.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

struct Page {
    url: String,
    expected: Expected,
}

enum Expected {
    Bytes(usize),
    Error(&'static str),
}

impl Page {
    /// Whether the server behind nginx hears of it.
    fn is_answered(&self) -> bool {
        !matches!(self.expected, Expected::Error(text) if text != "http status: 404")
    }
}

fn check(pages: &[Page], output: &Output) {
    let text = std::str::from_utf8(&output.stdout).expect("text");
    assert_eq!(text.lines().count(), pages.len(), "{output:?}");
    for (line, page) in text.lines().zip(pages) {
        let rest = line.strip_prefix(&format!("{}: ", page.url));
        let rest = rest.unwrap_or_else(|| panic!("{line} is not about {}", page.url));
        match page.expected {
            Expected::Bytes(bytes) => {
                assert!(rest.starts_with(&format!("200, {bytes} bytes, ")), "{line}");
            }
            Expected::Error(text) => {
                assert!(rest.starts_with("error: ") && rest.contains(text), "{line}, not {text}");
            }
        }
    }
}

/// nginx in front of a server, with certificates.
struct Front {
    nginx: Nginx,
    http: u16,
    /// The certificate is for localhost, and trusted.
    https: u16,
    /// The certificate is for localhost, but nobody has vouched for it.
    stranger: u16,
    /// The certificate is trusted, but for another name.
    misnamed: u16,
}

impl Front {
    fn start(upstream: u16) -> Self {
        let folder = new_folder("front");
        certificate(&folder, "good", "DNS:localhost,IP:127.0.0.1");
        certificate(&folder, "stranger", "DNS:localhost,IP:127.0.0.1");
        certificate(&folder, "misnamed", "DNS:elsewhere.example");
        let read = |name: &str| fs::read(folder.join(name)).expect("openssl wrote it");
        let trusted = [read("good.pem"), read("misnamed.pem")].concat();
        fs::write(folder.join("trusted.pem"), trusted).expect("the folder is writable");

        let [http, https, stranger, misnamed] = free_ports();
        let path = folder.display();
        let secure = |port, name| {
            format!(
                "server {{ listen 127.0.0.1:{port} ssl backlog=1024; ssl_certificate {path}/{name}.pem; \
                 ssl_certificate_key {path}/{name}.key; location / {{ proxy_pass http://app; }} }}\n"
            )
        };
        let configuration = format!(
            "upstream app {{ server 127.0.0.1:{upstream}; keepalive 200; }}\n\
             proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
             server {{ listen 127.0.0.1:{http} backlog=1024; location / {{ proxy_pass http://app; }} }}\n\
             {}{}{}",
            secure(https, "good"),
            secure(stranger, "stranger"),
            secure(misnamed, "misnamed"),
        );
        let nginx = Nginx::start(folder, &configuration, &[http, https, stranger, misnamed]);
        Self { nginx, http, https, stranger, misnamed }
    }

    /// 200 URLs, http and https in turn, the bad ones spread among them.
    fn pages(&self) -> Vec<Page> {
        let refused = refused_port();
        // A label that is too long fails on this machine; other names may take their time.
        let no_host = format!("http://{}.invalid/", "x".repeat(64));
        let bad = [
            (no_host, "lookup"),
            (format!("http://127.0.0.1:{refused}/"), "refused"),
            (format!("https://localhost:{}/", self.stranger), "invalid peer certificate"),
            (format!("https://localhost:{}/", self.misnamed), "not valid for name"),
            (format!("http://localhost:{}/missing", self.http), "http status: 404"),
            (format!("https://127.0.0.1:{}/missing", self.https), "http status: 404"),
            // TLS where there is none, and none where there is.
            (format!("https://localhost:{}/", self.http), "error"),
            (format!("http://localhost:{}/", self.https), "http status: 400"),
        ];
        let mut bad = bad.iter().cycle();
        (0..200)
            .map(|number| {
                if number % BAD_EVERY == BAD_EVERY / 2 {
                    let (url, text) = bad.next().expect("a cycle has no end");
                    return Page { url: url.clone(), expected: Expected::Error(text) };
                }
                let host = ["localhost", "127.0.0.1"][number / 2 % 2];
                let url = match number % 2 {
                    0 => format!("http://{host}:{}/{number}", self.http),
                    _ => format!("https://{host}:{}/{number}", self.https),
                };
                let body = format!("this is /{number}");
                Page { url, expected: Expected::Bytes(body.len()) }
            })
            .collect()
    }

    fn crawl(&self, pages: &[Page]) -> Output {
        let mut crawler = Command::new(example("web_crawler"))
            .args(["--concurrency", "100", "--ca"])
            .arg(self.nginx.folder().join("trusted.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the crawler starts");
        let list: String = pages.iter().map(|page| page.url.clone() + "\n").collect();
        let mut input = crawler.stdin.take().expect("it is piped");
        input.write_all(list.as_bytes()).expect("the crawler reads its input");
        drop(input);
        crawler.wait_with_output().expect("the crawler ends")
    }
}

/// Makes NAME.pem and NAME.key, signed by itself and valid for these names.
fn certificate(folder: &Path, name: &str, valid_for: &str) {
    // openssl's own configuration would make it an authority, which no server may be.
    let configuration = format!(
        "[req]\ndistinguished_name = subject\nx509_extensions = server\nprompt = no\n\
         [subject]\nCN = {name}\n\
         [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = {valid_for}\n"
    );
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    fs::write(file("cnf"), configuration).expect("the folder is writable");
    let output = Command::new(program("openssl"))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-config"])
        .arg(file("cnf"))
        .arg("-keyout")
        .arg(file("key"))
        .arg("-out")
        .arg(file("pem"))
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}
