//! The web crawler against nginx, over http and https: 200 URLs in two delays plus a little, and what is
//! wrong with some of them is said of these alone.
#![cfg(feature = "patched")]

mod upstream;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

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
    let nginx = Nginx::start(server.address.port());
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

/// nginx in front of a server, with certificates and configuration in a folder that goes with it.
struct Nginx {
    process: Child,
    folder: PathBuf,
    http: u16,
    /// The certificate is for localhost, and trusted.
    https: u16,
    /// The certificate is for localhost, but nobody has vouched for it.
    stranger: u16,
    /// The certificate is trusted, but for another name.
    misnamed: u16,
}

impl Nginx {
    fn start(upstream: u16) -> Self {
        let name = format!("evy-acceptance-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder for nginx");
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
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"));
        let configuration = format!(
            "daemon off;\nworker_processes 1;\npid {path}/nginx.pid;\nerror_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\naccess_log off;\n{}\
             upstream app {{ server 127.0.0.1:{upstream}; keepalive 200; }}\n\
             proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
             server {{ listen 127.0.0.1:{http} backlog=1024; location / {{ proxy_pass http://app; }} }}\n\
             {}{}{}}}\n",
            temporary.concat(),
            secure(https, "good"),
            secure(stranger, "stranger"),
            secure(misnamed, "misnamed"),
        );
        fs::write(folder.join("nginx.conf"), configuration).expect("the folder is writable");

        let process = Command::new(program("nginx"))
            .arg("-p")
            .arg(&folder)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let mut nginx = Self { process, folder, http, https, stranger, misnamed };
        for port in [http, https, stranger, misnamed] {
            nginx.wait_for(port);
        }
        nginx
    }

    fn wait_for(&mut self, port: u16) {
        let start = Instant::now();
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            let ended = self.process.try_wait().expect("it is our child");
            if ended.is_some() || start.elapsed() > Duration::from_secs(10) {
                let log = fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
                panic!("nginx on port {port}: {error}; {ended:?}\n{log}");
            }
            evy::sleep(Duration::from_millis(5));
        }
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
            .arg(self.folder.join("trusted.pem"))
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

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master process ends its worker too.
        // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
        unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Different ones, as all are held until the last is known.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
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

/// Some have no `sbin` in their `PATH`, where nginx lies.
fn program(name: &str) -> PathBuf {
    let in_sbin = Path::new("/usr/sbin").join(name);
    if in_sbin.exists() { in_sbin } else { name.into() }
}
