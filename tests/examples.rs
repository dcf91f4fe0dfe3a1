//! Runs the examples, against servers in this process.
#![cfg(feature = "patched")]

mod upstream;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
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

#[cfg(feature = "tls")]
#[test]
fn tls_echo_echoes_to_who_trusts_its_certificate_and_waits_for_nobody() {
    use evy::tls::TlsConnector;

    let mut server = Running(
        Command::new(example("tls_echo"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let (mut certificate, mut line) = (String::new(), String::new());
    let address = loop {
        line.clear();
        output.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("listening on ") {
            Some(address) => break address.to_owned(),
            None => certificate.push_str(&line),
        }
    };
    let _silent = TcpStream::connect(&address).unwrap();
    let connector = TlsConnector::builder().roots_pem(certificate).build().unwrap();
    let connect = || {
        let socket = evy::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connector.connect("localhost", socket).unwrap()
    };
    let mut clients = [connect(), connect()];
    let mut echoed = [0; 5];
    for text in [b"hello", b"again"] {
        for client in &mut clients {
            client.write_all(text).unwrap();
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(&echoed, text);
        }
    }
    // The end is answered by the end.
    clients[0].shutdown().unwrap();
    assert_eq!(clients[0].read(&mut echoed).unwrap(), 0);
    // Who speaks no TLS is reported.
    TcpStream::connect(&address).unwrap().write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut report = String::new();
    BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut report).unwrap();
    assert!(report.starts_with("127.0.0.1:") && report.contains("corrupt message"), "{report}");
    clients[1].write_all(b"still").unwrap();
    clients[1].read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"still");
}

#[cfg(feature = "tls")]
#[test]
fn tls_echo_takes_its_certificate_from_files_and_says_what_is_wrong_with_them() {
    let output = run("tls_echo", &["127.0.0.1:0", "/no/such/file", "/no/such/key"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("/no/such/file"), "{message}");
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
fn the_crawlers_stay_on_the_host_where_they_began() {
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
    for (name, concurrency) in [
        ("recursive_crawler", "1"),
        ("recursive_crawler", "100"),
        ("producer_consumer", "1"),
        ("producer_consumer", "100"),
    ] {
        let output = run(name, &["--concurrency", concurrency, &server.url("/")]);
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
fn the_crawlers_go_on_when_pages_fail() {
    let server = Upstream::start(|path| match path {
        "/" => Answer::page("<a href=\"/stuck\"> <a href=\"/missing\"> <a href=\"/fine\">"),
        "/stuck" => Answer::page("late").after(Duration::MAX),
        "/fine" => Answer::page("fine"),
        _ => Answer::not_found(),
    });
    for name in ["recursive_crawler", "producer_consumer"] {
        let output = run(name, &["--timeout", "0.3", &server.url("/")]);
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
}

/// The pages of a depth are fetched at once, and each once, however often it is linked to.
#[test]
fn producer_consumer_fetches_what_it_finds_at_once() {
    let server = Upstream::start(|path| {
        let links = |range: std::ops::Range<u32>| {
            range.map(|n| format!("<a href=\"/{n}\">")).collect::<String>()
        };
        match path {
            "/" => Answer::page(links(0..20)),
            _ => Answer::page(links(0..20)).after(DELAY),
        }
    });
    let start = Instant::now();
    let output = run("producer_consumer", &[&server.url("/")]);
    let elapsed = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output).last(), Some(&"21 pages, 0 failed"));
    assert_eq!(server.requests(), 21);
    // One after the other they would take 20 delays.
    assert!(elapsed < 8 * DELAY, "{elapsed:?}");
}

/// One participant of a chat.
struct Participant(BufReader<TcpStream>);

impl Participant {
    fn join(address: &str, output: &mut impl BufRead) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        expect_line(output, "Participant joined chat.");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }
}

fn expect_line(reader: &mut impl BufRead, expected: &str) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), expected);
}

#[test]
fn chat_server_passes_lines_on_to_all_others() {
    let mut server = Running(
        Command::new(example("chat_server"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ChatServer starting up on ").expect("its address");
    let address = address.to_owned();

    let mut one = Participant::join(&address, &mut output);
    let mut two = Participant::join(&address, &mut output);
    let mut three = Participant::join(&address, &mut output);
    one.say("hello\n");
    expect_line(&mut output, "Chat: hello");
    expect_line(&mut two.0, "hello");
    expect_line(&mut three.0, "hello");
    // The first thing that the speaker reads is what another says.
    two.say("hello yourself\n");
    expect_line(&mut output, "Chat: hello yourself");
    expect_line(&mut one.0, "hello yourself");
    expect_line(&mut three.0, "hello yourself");

    drop(three);
    expect_line(&mut output, "Participant left chat.");
    one.say("are you there?\n");
    expect_line(&mut output, "Chat: are you there?");
    expect_line(&mut two.0, "are you there?");
    // Who has said all that it had to say leaves.
    two.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    expect_line(&mut output, "Participant left chat.");
    one.say("alone\n");
    expect_line(&mut output, "Chat: alone");
    assert!(server.0.try_wait().unwrap().is_none(), "it goes on");
}

/// One that does not read keeps nobody from talking, and its memory is bounded.
#[test]
fn chat_server_waits_for_nobody() {
    let mut server = Running(
        Command::new(example("chat_server"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ChatServer starting up on ").expect("its address");
    let address = address.to_owned();
    let _deaf = Participant::join(&address, &mut output);
    let mut talks = Participant::join(&address, &mut output);
    let mut hears = Participant::join(&address, &mut output);
    let text = "x".repeat(10_000);
    // Far more than the socket's buffers and the backlog hold.
    for _ in 0..3_000 {
        talks.say(&text);
        talks.say("\n");
        expect_line(&mut output, &format!("Chat: {text}"));
        expect_line(&mut hears.0, &text);
    }
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

#[test]
fn processes_shows_what_programs_print_and_waits_for_none_for_long() {
    let start = Instant::now();
    let output =
        run("processes", &["echo one", "sleep 60", "sleep 61", "false", "/no/such", "echo 2"]);
    let elapsed = start.elapsed();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert_eq!((lines[0], lines[5]), ("echo one: \"one\\n\"", "echo 2: \"2\\n\""));
    assert_eq!(lines[1], "sleep 60: error: still running, and killed");
    assert_eq!(lines[2], "sleep 61: error: still running, and killed");
    assert_eq!(lines[3], "false: error: exit status: 1");
    assert!(lines[4].starts_with("/no/such: error: No such file"), "{lines:#?}");
    // One time for all of them together.
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");

    let output = run("processes", &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"uname: \"Linux\\n\"\nls: \""), "{output:?}");
}

#[test]
fn threadpool_needs_two_turns_for_four_jobs_on_three_threads() {
    let start = Instant::now();
    let output = run("threadpool", &["0.2"]);
    let elapsed = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    // One after the other they would take four.
    assert!(elapsed >= 2 * DELAY && elapsed < 4 * DELAY, "{elapsed:?}");
    let lines = lines(&output);
    let (last, done) = lines.split_last().unwrap();
    let mut done: Vec<_> = done.iter().map(|line| line.split(" after ").next().unwrap()).collect();
    assert_eq!(done.pop(), Some("job 4 is done"));
    done.sort_unstable();
    assert_eq!(done, ["job 1 is done", "job 2 is done", "job 3 is done"]);
    assert!(last.starts_with("4 jobs of 200ms on 3 OS threads took "), "{last}");
}

/// Starts an example that says where it listens, and returns where that is, and what else it says.
fn listening(
    name: &str,
    arguments: &[&str],
) -> (Running, String, impl Iterator<Item = String> + use<>) {
    let mut command = Command::new(example(name));
    let mut server =
        Running(command.args(arguments).stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.next().expect("it says where it listens");
    let address = line.strip_prefix("listening on ").expect("listening on ADDRESS").to_owned();
    (server, address, lines)
}

#[test]
fn udp_server_answers_each_datagram_and_udp_client_asks() {
    let (_server, address, mut said) = listening("udp_server", &["127.0.0.1:0"]);
    for (message, length) in [("hello", 5), ("", 0), ("grün", 5)] {
        let output = run("udp_client", &[message, &address]);
        assert!(output.status.success(), "{output:?}");
        let expected = [
            format!("sending {length} bytes to {address}"),
            format!("{address}: got \"Received {length} bytes\""),
        ];
        assert_eq!(lines(&output), expected);
        let heard = said.next().expect("it says what it got");
        assert!(heard.ends_with(&format!(": got {message:?}")), "{heard}");
    }
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&[b'x'; 60_000], &address).unwrap();
    let mut answer = [0; 100];
    let (count, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!(&answer[..count], b"Received 60000 bytes");
    assert_eq!(from.to_string(), address);
}

#[test]
fn udp_client_asks_three_times_and_gives_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let start = Instant::now();
    let output = run("udp_client", &["anybody?", &address]);
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(lines(&output), vec![format!("sending 8 bytes to {address}"); 3]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("TimedOut"), "{output:?}");
    let mut datagram = [0; 100];
    for _ in 0..3 {
        assert_eq!(silent.recv(&mut datagram).unwrap(), 8);
    }
    drop(silent);
    let output = run("udp_client", &["anybody?", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ConnectionRefused"), "{output:?}");
}

#[test]
fn unix_echo_echoes_to_several_clients_at_once_and_starts_again_after_a_kill() {
    let path = std::env::temp_dir().join(format!("evy-example-{}.sock", std::process::id()));
    let path = path.to_str().unwrap();
    for _ in 0..2 {
        // The first time nothing is there, the second time what the first has left behind.
        let (_server, address, _) = listening("unix_echo", &[path]);
        assert_eq!(address, path);
        let mut clients = [UnixStream::connect(path).unwrap(), UnixStream::connect(path).unwrap()];
        let mut echoed = [0; 5];
        for text in [b"hello", b"again"] {
            for client in &mut clients {
                client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                client.write_all(text).unwrap();
                client.read_exact(&mut echoed).unwrap();
                assert_eq!(&echoed, text);
            }
        }
        // One that is there and answers is not pushed aside.
        let output = run("unix_echo", &[path]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("AddrInUse"), "{output:?}");
    }
    std::fs::remove_file(path).unwrap();
}

/// A port forwarder whose other host is a listener of the test.
struct Forwarder {
    process: Running,
    address: String,
    target: TcpListener,
    /// What it says, about connections that come and go.
    said: Box<dyn Iterator<Item = String>>,
}

impl Forwarder {
    fn start() -> Self {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = target.local_addr().unwrap().to_string();
        let (process, address, said) = listening("port_forwarder", &["127.0.0.1:0", &to]);
        Self { process, address, target, said: Box::new(said) }
    }

    /// Both ends of a connection through it, of which it says that it has come.
    fn connect(&mut self) -> [TcpStream; 2] {
        let client = TcpStream::connect(&self.address).unwrap();
        let (partner, _) = self.target.accept().unwrap();
        for stream in [&client, &partner] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        let (peer, to) = (client.local_addr().unwrap(), self.target.local_addr().unwrap());
        assert_eq!(self.said.next(), Some(format!("{peer}: forwarded to {to}")));
        [client, partner]
    }

    /// What it says next is that this client's pair is closed.
    fn expect_closed(&mut self, client: &TcpStream) {
        assert_eq!(self.said.next(), Some(format!("{}: closed", client.local_addr().unwrap())));
    }

    fn terminate(&self) {
        // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
        unsafe { libc::kill(self.process.0.id() as libc::pid_t, libc::SIGTERM) };
    }
}

/// A connection that is reset when it is dropped.
fn reset(stream: TcpStream) {
    evy::net::TcpStream::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn round_trip(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
    from.write_all(text).unwrap();
    let mut came = vec![0; text.len()];
    to.read_exact(&mut came).unwrap();
    assert_eq!(came, text);
}

#[test]
fn port_forwarder_passes_on_both_ways_and_each_end_by_itself() {
    let mut forwarder = Forwarder::start();
    let pairs = [forwarder.connect(), forwarder.connect()];
    for (turn, [mut client, mut partner]) in pairs.into_iter().enumerate() {
        round_trip(&mut client, &mut partner, b"there");
        round_trip(&mut partner, &mut client, b"back");
        // Who ends its side first still gets all that the other says: far more than buffers hold.
        let [ends, goes_on] =
            if turn == 0 { [&mut client, &mut partner] } else { [&mut partner, &mut client] };
        ends.write_all(b"the last").unwrap();
        ends.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        goes_on.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the last");
        let rest: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 999) as u8).collect();
        let expected = rest.clone();
        let mut goes_on = goes_on.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            goes_on.write_all(&rest).unwrap();
            goes_on.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut came = Vec::new();
        ends.read_to_end(&mut came).unwrap();
        assert!(came == expected, "{} bytes of {}", came.len(), expected.len());
        writer.join().unwrap();
        forwarder.expect_closed(&client);
    }
    // It has called back once for each: there is nothing more to be said before the next one comes.
    forwarder.connect();
}

#[test]
fn port_forwarder_passes_on_a_reset_as_one() {
    let mut forwarder = Forwarder::start();
    let [mut steady, mut partner_of_steady] = forwarder.connect();
    for turn in 0..2 {
        let [mut client, mut partner] = forwarder.connect();
        round_trip(&mut client, &mut partner, b"there");
        let closed = format!("{}: closed", client.local_addr().unwrap());
        let (breaks, mut stays) = if turn == 0 { (client, partner) } else { (partner, client) };
        reset(breaks);
        assert_eq!(forwarder.said.next(), Some(closed));
        let error = stays.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        round_trip(&mut steady, &mut partner_of_steady, b"undisturbed");
    }
}

#[test]
fn port_forwarder_goes_on_when_the_other_host_is_not_there() {
    let mut forwarder = Forwarder::start();
    let [mut client, mut partner] = forwarder.connect();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = std::mem::replace(&mut forwarder.target, free);
    drop(target);
    let mut refused = TcpStream::connect(&forwarder.address).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    round_trip(&mut client, &mut partner, b"still here");
}

/// An answer that is under way when the signal comes arrives; then both ends see the end.
#[test]
fn port_forwarder_ends_at_sigterm_when_answers_have_arrived() {
    let mut forwarder = Forwarder::start();
    let [mut idle, mut partner_of_idle] = forwarder.connect();
    let [mut asks, mut answers] = forwarder.connect();
    round_trip(&mut idle, &mut partner_of_idle, b"request");
    round_trip(&mut partner_of_idle, &mut idle, b"answer");
    round_trip(&mut asks, &mut answers, b"request");
    forwarder.terminate();
    // The end of the idle one shows that it has seen the signal.
    assert_eq!(partner_of_idle.read(&mut [0]).unwrap(), 0);
    let error = TcpStream::connect(&forwarder.address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    drop(partner_of_idle);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    forwarder.expect_closed(&idle);
    drop(idle);

    round_trip(&mut answers, &mut asks, b"answer");
    assert_eq!(answers.read(&mut [0]).unwrap(), 0);
    drop(answers);
    assert_eq!(asks.read(&mut [0]).unwrap(), 0);
    forwarder.expect_closed(&asks);
    drop(asks);
    assert!(forwarder.process.0.wait().unwrap().success());
    assert_eq!(forwarder.said.next(), None);
}

#[test]
fn port_forwarder_ends_at_once_at_a_second_signal() {
    use std::os::unix::process::ExitStatusExt;

    let mut forwarder = Forwarder::start();
    let [mut client, mut partner] = forwarder.connect();
    round_trip(&mut client, &mut partner, b"request");
    round_trip(&mut partner, &mut client, b"answer");
    forwarder.terminate();
    assert_eq!(partner.read(&mut [0]).unwrap(), 0);
    forwarder.terminate();
    let status = forwarder.process.0.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
}

/// Starts an example that prints where to visit it, and returns the rest of a URL: `://host:port`.
#[cfg(feature = "websocket")]
fn web_page(name: &str) -> (Running, String) {
    let mut server = Running(
        Command::new(example(name)).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap(),
    );
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line}"));
    let rest = url.strip_prefix("http").unwrap_or_else(|| panic!("{line}"));
    (server, rest.trim_end_matches('/').to_owned())
}

#[cfg(feature = "websocket")]
#[test]
fn websocket_serves_a_page_an_echo_and_data() {
    use evy::http::websocket::{self, CloseCode};

    let (_server, url) = web_page("websocket");
    let mut page = evy::patched::ureq::get(format!("http{url}/")).call().unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.body_mut().read_to_string().unwrap();
    assert!(page.contains("<canvas") && page.contains("/data") && page.contains("/echo"), "{page}");

    let echo = websocket::connect(&format!("ws{url}/echo")).unwrap();
    for text in ["hello", "", "again"] {
        echo.send(text).unwrap();
        assert_eq!(echo.recv().unwrap(), Some(text.into()));
    }
    echo.close(CloseCode::NORMAL, "").unwrap();

    let data = websocket::connect(&format!("ws{url}/data")).unwrap();
    for (n, message) in data.messages().take(3).enumerate() {
        let message = message.unwrap();
        let (x, y) = message.as_text().unwrap().split_once(' ').unwrap();
        assert_eq!(x.parse(), Ok(n));
        assert!((0.0..=1.0).contains(&y.parse::<f64>().unwrap()), "{y}");
    }
    data.close(CloseCode::GOING_AWAY, "").unwrap();
    // What is no page and no WebSocket.
    for (path, status) in [("/nothing", 404), ("/echo", 400)] {
        let error = evy::patched::ureq::get(format!("http{url}{path}")).call().unwrap_err();
        assert_eq!(error.to_string(), format!("http status: {status}"));
    }
}

#[cfg(feature = "websocket")]
#[test]
fn websocket_chat_passes_messages_on_to_all_and_waits_for_nobody() {
    use evy::http::websocket::{self, CloseCode, WebSocket};

    let (_server, url) = web_page("websocket_chat");
    let mut page = evy::patched::ureq::get(format!("http{url}/")).call().unwrap();
    let page = page.body_mut().read_to_string().unwrap();
    assert!(page.contains("<h3>Chat!</h3>") && page.contains("/chat"), "{page}");

    let join = || websocket::connect(&format!("ws{url}/chat")).unwrap();
    let hears = |socket: &WebSocket, text: &str| {
        assert_eq!(socket.recv().unwrap(), Some(text.into()));
    };
    let one = join();
    one.send("alone").unwrap();
    hears(&one, "alone");
    let two = join();
    two.send("two is here").unwrap();
    [&one, &two].into_iter().for_each(|participant| hears(participant, "two is here"));
    let three = join();
    three.send("three, too").unwrap();
    [&one, &two, &three].into_iter().for_each(|participant| hears(participant, "three, too"));
    for text in ["hello", "<b>to all</b>"] {
        two.send(text).unwrap();
        [&one, &two, &three].into_iter().for_each(|participant| hears(participant, text));
    }
    three.close(CloseCode::NORMAL, "").unwrap();
    two.send("are you there?").unwrap();
    [&one, &two].into_iter().for_each(|participant| hears(participant, "are you there?"));
    assert_eq!(three.recv().unwrap(), None);
    // Nobody may say that much at once.
    let loud = join();
    loud.send("x".repeat(64 * 1024 + 1)).unwrap();
    assert_eq!(loud.recv().unwrap(), None);
    assert_eq!(loud.closed().unwrap().code, CloseCode::TOO_BIG);

    let _deaf = join();
    let text = "x".repeat(10_000);
    // Far more than the sockets' buffers and the backlog hold.
    for _ in 0..3_000 {
        one.send(text.clone()).unwrap();
        hears(&one, &text);
        hears(&two, &text);
    }
}
