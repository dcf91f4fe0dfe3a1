//! evy-echo and evy-load by HTTP as people use them: the server with curl and h2load, the load generator
//! with nginx.

mod programs;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use programs::{
    Echo, Folder, Load, PATIENCE, Process, certificate, eventually, free_ports, lines, ours, theirs,
};

/// The options of curl for each version that it can be told to speak, and what it calls that.
const VERSIONS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")];

/// Where the server is, as curl takes it.
struct Place {
    options: Vec<String>,
    url: String,
}

/// evy-echo --http on TCP, on TLS and on a Unix socket.
struct Everywhere {
    echo: Echo,
    folder: Folder,
}

impl Everywhere {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let unix = format!("unix:{}", folder.path("socket").display());
        let mut command = Command::new(ours("evy-echo"));
        command.args(["--http", "127.0.0.1:0", "tls:127.0.0.1:0", &unix]);
        Self { echo: Echo::run(command.args(certificate(&folder)), 3), folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path(name).to_str().expect("text").to_owned()
    }

    fn plain(&self) -> Place {
        Place { options: Vec::new(), url: self.echo.addresses[0].clone() }
    }

    /// With a name, which the certificate is for.
    fn tls(&self) -> Place {
        let port = self.echo.addresses[1].rsplit(':').next().expect("a port");
        let resolve = format!("localhost:{port}:127.0.0.1");
        let options = ["--cacert", &self.file("certificate"), "--resolve", &resolve];
        Place {
            options: options.map(str::to_owned).into(),
            url: format!("https://localhost:{port}"),
        }
    }

    fn unix(&self) -> Place {
        let path = self.echo.addresses[2].clone();
        Place {
            options: vec!["--unix-socket".to_owned(), path],
            url: "http://localhost".to_owned(),
        }
    }
}

fn curl(place: &Place, options: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60"]);
    command.args(&place.options).args(options).arg(&place.url);
    println!("{command:?}");
    command
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|n| (n / 999) as u8).collect()
}

#[test]
#[ignore = "acceptance: needs curl"]
fn curl_gets_back_what_it_posts_in_both_versions_over_all_kinds_of_sockets() {
    let everywhere = Everywhere::start("http-curl");
    let file = everywhere.file("file");
    fs::write(&file, bytes(8 << 20)).unwrap();
    let (at_file, back) = (format!("@{file}"), everywhere.file("back"));
    let by_alpn = [("--http1.1", "1.1"), ("--http2", "2")];
    for (place, versions) in
        [(everywhere.plain(), VERSIONS), (everywhere.tls(), by_alpn), (everywhere.unix(), VERSIONS)]
    {
        for (option, version) in versions {
            let length = ["--header", "Content-Type: image/x-evy", "--data-binary", &at_file];
            // Of that it does not say how long it is.
            let stream = ["--header", "Content-Type: image/x-evy", "--upload-file", "-"];
            for how in [length, stream] {
                let said = "%{http_version} %{response_code} %{content_type}";
                let mut command = curl(&place, &[option, "--output", &back, "--write-out", said]);
                let output =
                    command.args(how).stdin(fs::File::open(&file).unwrap()).output().unwrap();
                assert!(output.status.success(), "{output:?}");
                let said = String::from_utf8(output.stdout).unwrap();
                assert_eq!(said, format!("{version} 200 image/x-evy"));
                assert!(fs::read(&back).unwrap() == bytes(8 << 20));
            }
        }
    }
}

#[test]
#[ignore = "acceptance: needs curl"]
fn who_asks_for_a_page_gets_a_command_that_works() {
    let everywhere = Everywhere::start("http-page");
    for place in [everywhere.plain(), everywhere.tls()] {
        let output = curl(&place, &[]).output().unwrap();
        let page = String::from_utf8(output.stdout).unwrap();
        let command = page.lines().find(|line| line.contains("curl --data hello "));
        let command = command.unwrap_or_else(|| panic!("no command in {page}"));
        let words = command.split_whitespace().skip(1);
        let output = Command::new("curl").args(&place.options).args(words).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{command}");
    }
}

/// Somebody types, and sees each line before the next one.
#[test]
#[ignore = "acceptance: needs curl"]
fn lines_come_back_as_they_are_typed_also_while_the_server_stops() {
    let mut everywhere = Everywhere::start("http-lines");
    let mut sessions: Vec<_> = VERSIONS
        .iter()
        .map(|(version, _)| {
            // A full stop: it reads what comes back while there is nothing to be sent; but not where its
            // time has a limit, for then it waits for its input.
            let mut command = curl(
                &everywhere.plain(),
                &[version, "--no-buffer", "--upload-file", ".", "--max-time", "0"],
            );
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut process = Process(child.unwrap());
            let input = process.0.stdin.take().unwrap();
            let output = lines(process.0.stdout.take().unwrap());
            (process, input, output)
        })
        .collect();
    for line in ["hello", "grüße", "bye"] {
        for (_, input, output) in &mut sessions {
            writeln!(input, "{line}").unwrap();
            assert_eq!(output.recv_timeout(PATIENCE).as_deref(), Ok(line));
        }
        if line == "hello" {
            everywhere.echo.process.signal(libc::SIGTERM);
        }
    }
    for (mut process, input, output) in sessions {
        drop(input);
        assert!(process.wait().success());
        assert_eq!(output.iter().next(), None);
    }
    assert!(everywhere.echo.process.wait().success());
    let said: Vec<String> = everywhere.echo.errors.try_iter().collect();
    assert_eq!(said, Vec::<String>::new());
}

#[test]
#[ignore = "acceptance: needs h2load"]
fn h2load_has_all_its_streams_answered() {
    let everywhere = Everywhere::start("http-streams");
    let file = everywhere.file("file");
    fs::write(&file, bytes(100_000)).unwrap();
    let plain = everywhere.plain().url;
    let tls = everywhere.echo.addresses[1].clone();
    for url in [&plain, &tls] {
        let mut command = Command::new("h2load");
        command.args(["-n", "2000", "-c", "10", "-m", "50", "-d", &file, url]);
        println!("{command:?}");
        let output = command.output().expect("h2load");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(" 2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
        // All of the bodies has come back.
        assert!(text.contains("(200000000) data"), "{text}");
    }
}

/// nginx with a page, one that is missing, and one that is sent in chunks; it ends a connection after so
/// many requests.
struct Nginx {
    _process: Process,
    plain: String,
    tls: String,
    folder: Folder,
}

const REQUESTS_OF_A_CONNECTION: u64 = 100;

impl Nginx {
    fn start() -> Self {
        let folder = Folder::new("http-nginx");
        let [_, certificate, _, key] = certificate(&folder);
        let [plain, tls] = free_ports();
        fs::write(folder.path("page"), bytes(5_000)).unwrap();
        let root = folder.path("").display().to_string();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/errors; events {{}}
            http {{
                access_log off; keepalive_requests {REQUESTS_OF_A_CONNECTION};
                client_body_temp_path {root}/1; proxy_temp_path {root}/2; fastcgi_temp_path {root}/3;
                uwsgi_temp_path {root}/4; scgi_temp_path {root}/5; root {root};
                server {{
                    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
                    ssl_certificate {certificate}; ssl_certificate_key {key};
                    location /chunked {{ alias {root}/page; ssi on; ssi_types *; }}
                    location /moved {{ return 302 /page; }}
                    location /none {{ return 204; }}
                }}
            }}"
        );
        let file: PathBuf = folder.path("config");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(theirs("nginx"));
        command.arg("-c").arg(&file).args(["-e", &format!("{root}/errors")]);
        let process = Process::start(&mut command);
        eventually("nginx listens", || TcpStream::connect(("127.0.0.1", plain)).ok());
        let [plain, tls] = [("http", plain), ("https", tls)]
            .map(|(scheme, port)| format!("{scheme}://127.0.0.1:{port}"));
        Self { _process: process, plain, tls, folder }
    }
}

#[test]
#[ignore = "acceptance: needs nginx"]
fn nginx_is_loaded_without_an_error_in_all_its_framings() {
    let nginx = Nginx::start();
    let certificate = nginx.folder.path("certificate").display().to_string();
    let trust = ["--tls-ca", &certificate, "--tls-name", "localhost"];
    for (url, options) in [
        (format!("{}/page", nginx.plain), &[][..]),
        (format!("{}/page", nginx.plain), &["--pipeline", "7"]),
        (format!("{}/page", nginx.plain), &["--per-connection", "10"]),
        (format!("{}/page", nginx.plain), &["--header", "Connection: close"]),
        (format!("{}/chunked", nginx.plain), &["--pipeline", "3"]),
        (format!("{}/none", nginx.plain), &[]),
        (format!("{}/page", nginx.tls), &trust),
    ] {
        println!("{url} {options:?}");
        let arguments = [&[&*url, "--duration", "1", "--connections", "10"], options].concat();
        let figures = Load::start(&arguments).finish();
        figures.assert_flawless();
        let (requests, opened) = (figures.number("requests"), figures.number("opened"));
        assert!(requests > 500 && figures.number("not_2xx") == 0, "{figures:?}");
        // nginx closes them, and what was sent ahead is sent again.
        assert!(requests <= opened * REQUESTS_OF_A_CONNECTION, "{figures:?}");
        let body = if url.ends_with("none") { 0 } else { 5_000 };
        assert!(figures.number("bytes_received") > requests * body, "{figures:?}");
    }
}

#[test]
#[ignore = "acceptance: needs nginx"]
fn what_nginx_refuses_or_moves_is_told_by_its_status() {
    let nginx = Nginx::start();
    for (path, options, status) in [
        ("/missing", &[][..], 404),
        ("/moved", &[], 302),
        // It posts to a page, which nginx does not take; and more than it reads at all.
        ("/page", &["--size", "100"], 405),
        ("/page", &["--size", "5M"], 413),
    ] {
        let url = format!("{}{path}", nginx.plain);
        let arguments = [&[&*url, "--duration", "0.5", "--connections", "3"], options].concat();
        let figures = Load::start(&arguments).finish();
        let requests = figures.number("requests");
        assert!(requests > 3, "{figures:?}");
        assert_eq!(figures.number(&status.to_string()), requests, "{figures:?}");
        assert_eq!((figures.number("not_2xx"), figures.number("total")), (requests, 0));
    }
}
