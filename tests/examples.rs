//! Runs the examples, against servers in this process.
#![cfg(feature = "patched")]

mod upstream;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use upstream::{Answer, Upstream, example, refused_port};

const DELAY: Duration = Duration::from_millis(200);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(name: &str, arguments: &[&str]) -> Output {
    run_with_input(name, arguments, "")
}

fn run_with_input(name: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(example(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    // One that has its URLs as arguments may end before it has read anything.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the example ends")
}

fn lines(output: &Output) -> Vec<&str> {
    std::str::from_utf8(&output.stdout).expect("text").lines().collect()
}

#[test]
fn echo_server_echoes_to_several_clients_at_once() {
    // Its port is fixed, so that the program stays as short as it is: one such test at a time.
    let lock = File::create(std::env::temp_dir().join("evy-port-6000.lock")).unwrap();
    lock.lock().unwrap();
    if let Err(error) = TcpListener::bind("127.0.0.1:6000") {
        panic!("the example listens on port 6000, which somebody else has: {error}");
    }
    let mut server = Running(Command::new(example("echo_server")).spawn().unwrap());

    let start = Instant::now();
    let mut first = loop {
        match TcpStream::connect("127.0.0.1:6000") {
            Ok(client) => break client,
            Err(_) if start.elapsed() < Duration::from_secs(10) => {
                evy::sleep(Duration::from_millis(5))
            }
            Err(error) => panic!("{error}; the server: {:?}", server.0.try_wait()),
        }
    };
    let mut second = TcpStream::connect("127.0.0.1:6000").unwrap();
    let mut echoed = [0; 5];
    for text in [b"hello", b"again"] {
        for client in [&mut second, &mut first] {
            client.write_all(text).unwrap();
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(&echoed, text);
        }
    }
}

#[test]
fn web_crawler_prints_a_line_for_each_url_in_their_order() {
    let server = Upstream::start(|path| match path {
        "/slow" => Answer::page("x".repeat(100_000)).after(DELAY),
        "/missing" => Answer::not_found(),
        _ => Answer::page("hello"),
    });
    let refused = format!("http://127.0.0.1:{}/", refused_port());
    let urls = [
        server.url("/slow"),
        refused,
        server.url("/quick"),
        server.url("/missing"),
        "http://no-such-host.invalid/".to_owned(),
        "no url at all".to_owned(),
        server.url("/quick"),
    ];
    let expected =
        [": 200, 100000 bytes, ", ": error: io: ", ": 200, 5 bytes, ", ": error: http status: 404"];

    let arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let from_arguments = run("web_crawler", &arguments);
    let from_input = run_with_input("web_crawler", &[], &(urls.join("\n\n") + "\n"));
    for output in [from_arguments, from_input] {
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let lines = lines(&output);
        assert_eq!(lines.len(), urls.len(), "{lines:#?}");
        for (line, url) in lines.iter().zip(&urls) {
            assert!(line.starts_with(url.as_str()), "{line} is not about {url}");
        }
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{line} has no {expected:?}");
        }
        assert!(lines[4].contains(": error: ") && lines[5].contains(": error: "), "{lines:#?}");
        assert!(lines[6].contains(": 200, 5 bytes, "), "{lines:#?}");
        assert!(output.stderr.is_empty(), "no progress bar without a terminal: {output:?}");
    }
}

#[test]
fn web_crawler_fetches_as_many_at_once_as_it_is_told() {
    let server = Upstream::start(|_| Answer::page("hello").after(DELAY));
    let url = server.url("/");
    let mut arguments = vec!["--concurrency", "20"];
    arguments.extend(std::iter::repeat_n(url.as_str(), 40));
    let start = Instant::now();
    let output = run("web_crawler", &arguments);
    let elapsed = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.requests(), 40);
    assert!(elapsed >= 2 * DELAY, "{elapsed:?}");
    // One after the other they would take 40 delays.
    assert!(elapsed < 8 * DELAY, "{elapsed:?}");
}

#[test]
fn web_crawler_does_not_wait_for_the_end_of_its_input() {
    let server = Upstream::start(|_| Answer::page("hello"));
    let mut child = Command::new(example("web_crawler"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut child = Running(child);
    for path in ["/first", "/second"] {
        writeln!(input, "{}", server.url(path)).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with(&server.url(path)), "{line}");
    }
    drop(input);
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn web_crawler_ends_when_nobody_reads_its_output() {
    let server = Upstream::start(|_| Answer::page("hello"));
    let mut child = Command::new(example("web_crawler"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    writeln!(child.stdin.as_ref().unwrap(), "{}", server.url("/")).unwrap();
    // Its input is still open.
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stderr, "");
}

#[test]
fn web_crawler_counts_failures_up_to_125() {
    let refused = format!("http://127.0.0.1:{}/\n", refused_port());
    assert_eq!(run_with_input("web_crawler", &[], &refused).status.code(), Some(1));
    let output = run_with_input("web_crawler", &[], &refused.repeat(300));
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(lines(&output).len(), 300);
}

#[test]
fn web_crawler_gives_a_url_up_in_time() {
    let server = Upstream::start(|_| Answer::page("late").after(Duration::MAX));
    let output = run("web_crawler", &["--timeout", "0.1", &server.url("/")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output)[0].ends_with(": error: timeout: global"), "{output:?}");
}

#[test]
fn web_crawler_says_what_is_wrong_with_its_certificates() {
    for file in ["/no/such/file", "Cargo.toml"] {
        let output = run("web_crawler", &["--ca", file, "http://localhost/"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.starts_with(&format!("error: --ca: {file}: ")), "{message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn recursive_crawler_stays_on_the_host_where_it_began() {
    let elsewhere = Upstream::start(|_| Answer::page("not for you"));
    let away = elsewhere.url("/");
    let server = Upstream::start(move |path| match path {
        "/" => Answer::page(format!(
            "<a href=\"/a/page\">a</a> <a href='b'>b</a> <a href=\"{away}\">away</a> \
             <a href=\"mailto:me@localhost\">me</a> <a href=\"/#top\">top</a> <a href=>none</a>"
        )),
        "/a/page" => Answer::page("<a href=\"../c\">c</a> <a href=\"/\">back</a>"),
        "/b" => {
            Answer { status: "302 Found", headers: "Location: /d\r\n".into(), ..Answer::page("") }
        }
        "/c" => Answer {
            status: "302 Found",
            headers: format!("Location: {away}\r\n"),
            ..Answer::page("")
        },
        "/d" => Answer::page("the end"),
        _ => Answer::not_found(),
    });
    // Pages spawn pages: with room for one at a time, too.
    for concurrency in ["1", "100"] {
        let output = run("recursive_crawler", &["--concurrency", concurrency, &server.url("/")]);
        assert!(output.status.success(), "{output:?}");
        let mut lines = lines(&output);
        assert_eq!(lines.pop(), Some("5 pages, 0 failed"));
        lines.sort_unstable();
        let expected = ["/", "/a/page", "/b", "/c", "/d"];
        let expected = expected.map(|path| format!("fetching {}", server.url(path)));
        assert_eq!(lines, expected);
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn recursive_crawler_goes_on_when_pages_fail() {
    let server = Upstream::start(|path| match path {
        "/" => Answer::page("<a href=\"/stuck\"> <a href=\"/missing\"> <a href=\"/fine\">"),
        "/stuck" => Answer::page("late").after(Duration::MAX),
        "/fine" => Answer::page("fine"),
        _ => Answer::not_found(),
    });
    let output = run("recursive_crawler", &["--timeout", "0.3", &server.url("/")]);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    assert_eq!(lines.last(), Some(&"4 pages, 2 failed"), "{lines:#?}");
    let missing = format!("{}: error: http status: 404", server.url("/missing"));
    assert!(lines.contains(&missing.as_str()), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.starts_with(&server.url("/stuck: error: "))),
        "{lines:#?}"
    );
}

#[test]
fn connect_puts_each_body_beside_its_url() {
    let servers = ["one", "two", "three"]
        .map(|body| Upstream::start(move |_| Answer::page(body).after(DELAY)));
    let urls = servers.each_ref().map(|server| server.url("/"));
    let mut arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let output = run("connect", &arguments);
    assert!(output.status.success(), "{output:?}");
    let expected = [("one", 0), ("two", 1), ("three", 2)];
    let expected = expected.map(|(body, index)| format!("{}: \"{body}\"", urls[index]));
    assert_eq!(lines(&output), expected);

    let refused = format!("http://127.0.0.1:{}/", refused_port());
    arguments.insert(1, &refused);
    let output = run("connect", &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output)[1].starts_with(&format!("{refused}: error: io: ")), "{output:?}");
    assert_eq!(lines(&output)[3], expected[2]);
}

#[test]
fn dns_mass_resolve_prints_a_line_for_each_name() {
    // A label that is too long for any name server.
    let impossible = "x".repeat(64) + ".example";
    let names =
        ["localhost", "a.localhost", "192.0.2.1", "2001:db8::1", "fe80::1%no-such", &impossible];
    for output in [
        run("dns_mass_resolve", &names),
        run_with_input("dns_mass_resolve", &[], &(names.join("\n") + "\n")),
    ] {
        assert!(output.status.success(), "{output:?}");
        let lines = lines(&output);
        assert_eq!(lines.last(), Some(&"6 of 6 names within 2s"), "{lines:#?}");
        let of = |name: &str| {
            let start = format!("{name}: ");
            lines.iter().find_map(|line| line.strip_prefix(&start)).expect(name)
        };
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8::1"), "2001:db8::1");
        for name in ["localhost", "a.localhost"] {
            let mut addresses = of(name).split(' ').map(|text| text.parse::<IpAddr>().unwrap());
            assert!(addresses.all(|address| address.is_loopback()), "{lines:#?}");
        }
        assert_eq!(
            of("invalid address 'fe80::1%no-such'"),
            "there is no network interface 'no-such'"
        );
        assert!(
            of(&impossible).starts_with("failed to lookup address information: "),
            "{lines:#?}"
        );
    }
}

#[test]
fn cores_answers_on_several_cores() {
    let mut command = Command::new(example("cores"));
    let mut server =
        Running(command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split(' ').nth(2).expect("listening on ADDRESS with N cores").to_owned();
    let mut cores = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        BufReader::new(&client).read_line(&mut answer).unwrap();
        assert!(answer.ends_with(": HELLO\n"), "{answer}");
        cores.insert(answer.split(',').next().unwrap().to_owned());
    }
    let expected = std::thread::available_parallelism().unwrap().get().min(100);
    // The kernel spreads them by a hash: with few cores every one gets some of a hundred.
    assert!(cores.len() >= expected.min(2), "{cores:?}");
}
