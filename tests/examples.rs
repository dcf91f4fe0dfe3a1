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

/// What a program says to bytes that are sent to it, up to the end of the connection.
#[cfg(feature = "http")]
fn ask(address: &str, bytes: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// A server of one connection, which does as it is told; returns where it is.
#[cfg(feature = "http")]
fn scripted(
    script: impl FnOnce(TcpStream) -> std::io::Result<()> + Send + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || script(listener.accept()?.0));
    address
}

/// Reads the head of a message.
#[cfg(feature = "http")]
fn read_head(mut stream: &TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).expect("the tests send text"))
}

#[cfg(feature = "http")]
#[test]
fn wsgi_says_hello_and_knows_no_other_page() {
    let (_server, address, _) = listening("wsgi", &["127.0.0.1:0"]);
    let get = |path| {
        ask(&address, &format!("GET {path} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"))
    };
    let hello = get("/");
    assert!(hello.starts_with("HTTP/1.1 200 OK\r\n"), "{hello}");
    assert!(hello.ends_with("\r\n\r\nHello, World!\r\n"), "{hello}");
    for path in ["/other", "//", "/index.html?/"] {
        let none = get(path);
        assert!(none.starts_with("HTTP/1.1 404 Not Found\r\n"), "{none}");
        assert!(none.ends_with("\r\n\r\nNot Found\r\n"), "{none}");
    }
    // What is no request is an error of its own connection.
    assert!(ask(&address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(get("/").starts_with("HTTP/1.1 200 "));
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

#[cfg(feature = "http")]
mod feeds {
    //! The feed scraper, and what can be wrong with feeds: in each test others are beside the bad one, and
    //! are not harmed.

    use flate2::Compression;
    use flate2::read::GzEncoder;

    use super::*;

    /// How long the scraper gives a feed, where a test is about that.
    const PATIENCE: &str = "0.3";

    fn rss(title: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>{title}</title>\
             <link>http://example.com/</link><description>about it</description>\
             <item><title>an item</title><guid>1</guid></item></channel></rss>"
        )
    }

    fn start(timeout: &str) -> (Running, String) {
        let mut command = Command::new(example("feed_scraper"));
        command.args(["127.0.0.1:0", "--timeout", timeout]).stdout(Stdio::piped());
        let mut server = Running(command.spawn().expect("it starts"));
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("its address");
        (server, address.to_owned())
    }

    fn post(address: &str, list: &str) -> String {
        let length = list.len();
        ask(
            address,
            &format!(
                "POST / HTTP/1.1\r\nHost: me\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n\
                 {list}"
            ),
        )
    }

    /// The lines of the answer to a list of feeds.
    fn titles(address: &str, urls: &[String]) -> Vec<String> {
        let answer = post(address, &(urls.join("\n") + "\n"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        body.lines().map(str::to_owned).collect()
    }

    /// Asks for a feed that is as it should be, the one at `bad`, and the good one again; returns what is
    /// said of the bad one.
    fn error_of(timeout: &str, bad: String) -> String {
        let server = Upstream::start(|_| Answer::page(rss("fine")));
        let (_scraper, address) = start(timeout);
        let lines = titles(&address, &[server.url("/"), bad, server.url("/")]);
        let [before, error, after] = &lines[..] else { panic!("three lines: {lines:#?}") };
        assert_eq!((before.as_str(), after.as_str()), ("fine", "fine"), "{lines:#?}");
        // And it goes on.
        assert_eq!(titles(&address, &[server.url("/again")]), ["fine"]);
        error.strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {error}")).to_owned()
    }

    fn feed_of(body: impl Into<String>) -> String {
        let body = body.into();
        Upstream::start(move |_| Answer::page(body.clone())).url("/")
    }

    fn answer_with(
        head: &str,
        then: impl FnOnce(&TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> String {
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n");
        let address = scripted(move |stream| {
            read_head(&stream)?;
            (&stream).write_all(head.as_bytes())?;
            then(&stream)
        });
        format!("http://{address}/")
    }

    /// Holds a connection until its other end has gone.
    fn hold(mut stream: &TcpStream) -> std::io::Result<()> {
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    }

    #[test]
    fn titles_come_in_the_order_of_the_urls() {
        let atom = "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>x</id><title>an\n Atom </title>\
                    <updated>2026-01-01T00:00:00Z</updated></feed>";
        let rdf = "<rdf:RDF xmlns=\"http://purl.org/rss/1.0/\" \
                   xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><channel rdf:about=\"x\">\
                   <title>RDF</title><link>x</link><description>x</description></channel></rdf:RDF>";
        let json = "{\"version\": \"https://jsonfeed.org/version/1.1\", \"title\": \"JSON\", \"items\": []}";
        let server = Upstream::start(move |path| match path {
            "/atom" => Answer::page(atom),
            "/rdf" => Answer::page(rdf).after(DELAY),
            "/json" => Answer::page(json),
            _ => Answer::page(rss("RSS &amp; more")).after(DELAY / 2),
        });
        let (_scraper, address) = start("20");
        let urls = ["/rdf", "/atom", "/rss", "/json"].map(|path| server.url(path));
        let expected = ["RDF", "an Atom", "RSS & more", "JSON"];
        assert_eq!(titles(&address, &urls), expected);
        // The client is for the same.
        let url = format!("http://{address}/");
        let mut arguments = vec![url.as_str()];
        arguments.extend(urls.iter().map(String::as_str));
        let output = run("feed_scraper_client", &arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(lines(&output), expected);
        let output = run_with_input("feed_scraper_client", &[&url], &urls.join("\r\n"));
        assert_eq!(lines(&output), expected);
        assert_eq!(run("feed_scraper_client", &[&server.url("/")]).status.code(), Some(0));
        let refused = format!("http://127.0.0.1:{}/", refused_port());
        assert_eq!(run("feed_scraper_client", &[&refused, "x"]).status.code(), Some(1));
    }

    #[test]
    fn all_feeds_are_fetched_at_once() {
        let server = Upstream::start(|path| Answer::page(rss(path)).after(DELAY));
        let (_scraper, address) = start("20");
        let urls: Vec<_> = (0..50).map(|number| server.url(&format!("/{number}"))).collect();
        let start = Instant::now();
        let lines = titles(&address, &urls);
        let elapsed = start.elapsed();
        let expected: Vec<_> = (0..50).map(|number| format!("/{number}")).collect();
        assert_eq!(lines, expected);
        // One after the other they would take 50 delays.
        assert!(elapsed >= DELAY && elapsed < 20 * DELAY, "{elapsed:?}");
    }

    #[test]
    fn other_clients_are_served_while_one_waits() {
        let stuck = Upstream::start(|_| Answer::page(rss("late")).after(Duration::MAX));
        let server = Upstream::start(|_| Answer::page(rss("fine")));
        let (_scraper, address) = start("60");
        let mut waits = TcpStream::connect(&address).unwrap();
        let list = stuck.url("/");
        let length = list.len();
        write!(waits, "POST / HTTP/1.1\r\nHost: me\r\nContent-Length: {length}\r\n\r\n{list}")
            .unwrap();
        // So does one that has not sent its list yet.
        let mut slow = TcpStream::connect(&address).unwrap();
        write!(slow, "POST / HTTP/1.1\r\nHost: me\r\nContent-Length: 100\r\n\r\nhttp://").unwrap();
        for _ in 0..3 {
            assert_eq!(titles(&address, &[server.url("/")]), ["fine"]);
        }
        waits.set_nonblocking(true).unwrap();
        let error = waits.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_no_list_of_feeds_is_refused() {
        let (_scraper, address) = start("20");
        let empty = post(&address, "");
        assert!(empty.starts_with("HTTP/1.1 200 ") && empty.ends_with("\r\n\r\n"), "{empty}");
        let close = "Host: me\r\nConnection: close";
        for (line, status) in [("GET /", "405"), ("POST /other", "404"), ("PUT /", "405")] {
            let answer = ask(&address, &format!("{line} HTTP/1.1\r\n{close}\r\n\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
        let long = format!("POST / HTTP/1.1\r\n{close}\r\nContent-Length: 2000000\r\n\r\n");
        let answer = ask(&address, &long);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let lines = titles(&address, &["no url".to_owned(), String::new(), "ftp://x/".to_owned()]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.starts_with("error: ")), "{lines:#?}");
    }

    #[test]
    fn a_host_that_is_not_there_says_so() {
        assert!(
            error_of("20", format!("http://127.0.0.1:{}/", refused_port())).contains("refused")
        );
        error_of("20", format!("http://{}.invalid/", "x".repeat(64)));
    }

    #[test]
    fn a_page_that_is_not_there_says_so() {
        let error = error_of("20", Upstream::start(|_| Answer::not_found()).url("/"));
        assert_eq!(error, "http status: 404");
    }

    #[test]
    fn a_huge_feed_says_so() {
        let item = "<item><title>an item</title><description>words</description></item>";
        let error =
            error_of("20", feed_of(rss("huge").replace("</channel>", &item.repeat(100_000))));
        assert!(error.contains("larger than") || error.contains("limit"), "{error}");
    }

    #[test]
    fn a_feed_without_an_end_says_so() {
        let endless = answer_with("", |mut stream| {
            loop {
                stream.write_all(&[b' '; 10_000])?;
            }
        });
        let error = error_of("20", endless);
        assert!(error.contains("larger than") || error.contains("limit"), "{error}");
    }

    #[test]
    fn a_small_gzip_of_a_huge_feed_says_so() {
        let blanks = std::io::repeat(b' ').take(4 << 20);
        let mut packed = Vec::new();
        GzEncoder::new(blanks, Compression::best()).read_to_end(&mut packed).unwrap();
        let head = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len());
        let error = error_of(
            "20",
            answer_with(&head, move |mut stream| {
                stream.write_all(&packed)?;
                hold(stream)
            }),
        );
        assert!(error.contains("larger than") || error.contains("limit"), "{error}");
    }

    #[test]
    fn a_slow_feed_says_so() {
        let trickles = answer_with("Content-Length: 100000\r\n", |mut stream| {
            loop {
                stream.write_all(b" ")?;
                evy::sleep(Duration::from_millis(10));
            }
        });
        assert_eq!(error_of(PATIENCE, trickles), "timeout: global");
    }

    #[test]
    fn a_malformed_feed_says_so() {
        let good = rss("title");
        for bad in [
            good.replace("</title>", "</titel>"),
            good[..good.len() / 2].to_owned(),
            good.replace("<channel>", "<channel <<<"),
            "{\"version\": \"https://jsonfeed.org/version/1\", \"title\": ".to_owned(),
            String::new(),
            "\u{0}\u{1}\u{2}".to_owned(),
        ] {
            let error = error_of("20", feed_of(bad.clone()));
            assert!(!error.is_empty(), "{bad}");
        }
    }

    /// What is nested deeply takes no more stack than other feeds.
    #[test]
    fn a_feed_that_is_nested_deeply_harms_nobody() {
        let server = Upstream::start(|path| {
            let deep = |open: &str, close: &str| open.repeat(50_000) + "x" + &close.repeat(50_000);
            let description = "about it";
            Answer::page(match path {
                "/xml" => rss("deep").replace(description, &deep("<a>", "</a>")),
                "/root" => deep("<a>", "</a>"),
                "/json" => deep("[", "]"),
                "/object" => deep("{\"a\":", "}"),
                "/atom" => format!(
                    "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>x</id><title type=\"xhtml\">{}</title></feed>",
                    deep("<div>", "</div>")
                ),
                _ => rss("fine"),
            })
        });
        let (_scraper, address) = start("20");
        let paths = ["/", "/xml", "/root", "/json", "/object", "/atom", "/"];
        let lines = titles(&address, &paths.map(|path| server.url(path)));
        assert_eq!((lines.len(), &*lines[0], &*lines[6]), (7, "fine", "fine"), "{lines:#?}");
        assert!(lines[2].starts_with("error: ") && lines[3].starts_with("error: "), "{lines:#?}");
        assert_eq!(titles(&address, &[server.url("/")]), ["fine"]);
    }

    #[test]
    fn what_is_no_feed_says_so() {
        for page in
            ["<!doctype html><title>a page</title><p>hello", "just text", "[1, 2]", "<svg/>"]
        {
            let error = error_of("20", feed_of(page));
            assert!(!error.is_empty(), "{page}");
        }
        assert_eq!(
            error_of("20", feed_of(rss("x").replace("<title>x</title>", ""))),
            "the feed has no title"
        );
    }

    #[test]
    fn a_host_that_stalls_says_so() {
        // Before the answer, within its head, within its body.
        let silent = scripted(|stream| hold(&stream));
        let head = scripted(|stream| {
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-")?;
            hold(&stream)
        });
        let body = answer_with("Content-Length: 1000\r\n", |mut stream| {
            stream.write_all(b"<?xml version")?;
            hold(stream)
        });
        for url in [format!("http://{silent}/"), format!("http://{head}/"), body] {
            assert_eq!(error_of(PATIENCE, url), "timeout: global");
        }
    }

    #[test]
    fn a_host_that_redirects_for_ever_says_so() {
        let server = Upstream::start(|path| {
            let next = format!("Location: {path}x\r\n");
            Answer { status: "302 Found", headers: next, ..Answer::page("") }
        });
        assert_eq!(error_of("20", server.url("/")), "too many redirects");
        assert_eq!(server.requests(), 11);
    }

    #[test]
    fn a_host_that_lies_about_the_length_says_so() {
        // More than there is, though the feed itself is whole.
        let long = answer_with("Content-Length: 100000\r\n", |mut stream| {
            stream.write_all(rss("whole").as_bytes())
        });
        let error = error_of("20", long);
        assert!(error.to_lowercase().contains("disconnect") || error.contains("eof"), "{error}");
        // Less than there is.
        let short = answer_with("Content-Length: 50\r\n", |mut stream| {
            stream.write_all(rss("cut off").as_bytes())?;
            hold(stream)
        });
        error_of("20", short);
        // Two lengths, no number, and chunks that are none.
        for head in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: many\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let nonsense = answer_with(head, |mut stream| {
                stream.write_all(rss("nonsense").as_bytes())?;
                hold(stream)
            });
            error_of(PATIENCE, nonsense);
        }
    }

    #[test]
    fn a_host_that_breaks_off_says_so() {
        error_of(
            "20",
            format!(
                "http://{}/",
                scripted(|stream| {
                    drop(stream);
                    Ok(())
                })
            ),
        );
        let chunked = answer_with("Transfer-Encoding: chunked\r\n", |mut stream| {
            stream.write_all(b"5\r\n<?xml\r\n")
        });
        error_of("20", chunked);
    }

    /// A title is one line, and not a page.
    #[test]
    fn a_title_of_many_lines_is_one() {
        let server = Upstream::start(|path| match path {
            "/long" => Answer::page(rss(&"word ".repeat(10_000))),
            _ => Answer::page(rss("one\r\ntwo\nerror: three")),
        });
        let (_scraper, address) = start("20");
        let lines = titles(&address, &[server.url("/"), server.url("/long")]);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert_eq!(lines[0], "one two error: three");
        assert!(lines[1].starts_with("word word ") && lines[1].len() <= 200, "{lines:#?}");
    }
}

#[cfg(feature = "http")]
mod web_proxy {
    //! The forward proxy: what it passes on, how, and what it refuses.

    use std::net::Shutdown;
    use std::sync::mpsc::channel;

    use evy::patched::ureq::{Agent, Proxy};

    use super::*;

    fn start() -> (Running, String) {
        let (server, address, _) = listening("web_proxy", &["127.0.0.1:0"]);
        (server, address)
    }

    /// A connection to the proxy, which has been sent this.
    fn connect(address: &str, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(bytes.as_ref()).unwrap();
        client
    }

    /// The answer to a request without a body, on a connection of its own.
    fn get(address: &str, url: &str) -> String {
        ask(address, &format!("GET {url} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"))
    }

    /// A tunnel to `target`.
    fn tunnel(address: &str, target: std::net::SocketAddr) -> TcpStream {
        let client =
            connect(address, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        let head = read_head(&client).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }

    #[test]
    fn a_page_is_passed_on_and_what_concerns_one_connection_is_not() {
        let (_proxy, address) = start();
        let (news, heard) = channel();
        let target = scripted(move |stream| {
            news.send(read_head(&stream)?).unwrap();
            let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-Private: yes\r\n\
                        Connection: close, x-private\r\nKeep-Alive: timeout=5\r\nX-Kept: yes\r\n";
            (&stream).write_all(format!("{head}\r\nbody").as_bytes())
        });
        let answer = ask(
            &address,
            &format!(
                "GET http://{target}/path?query HTTP/1.1\r\nHost: elsewhere\r\nX-Kept: yes\r\nX-Private: yes\r\n\
                 Proxy-Authorization: Basic eDp4\r\nConnection: close, x-private\r\n\r\n"
            ),
        );
        let request = heard.recv().unwrap().to_lowercase();
        assert!(request.starts_with("get /path?query http/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nhost: {target}\r\n")), "{request}");
        assert!(request.contains("\r\nx-kept: yes\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nvia: 1.1 {address}\r\n")), "{request}");
        for name in ["x-private", "proxy-authorization", "user-agent", "elsewhere", "chunked"] {
            assert!(!request.contains(name), "{name}: {request}");
        }
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nbody"), "{answer}");
        let answer = answer.to_lowercase();
        assert!(answer.contains("\r\nx-kept: yes\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-length: 4\r\n"), "{answer}");
        assert!(!answer.contains("x-private") && !answer.contains("keep-alive"), "{answer}");
    }

    #[test]
    fn several_requests_of_one_client_go_to_several_hosts() {
        let (_proxy, address) = start();
        let servers = ["one", "two"].map(|text| Upstream::start(move |_| Answer::page(text)));
        let mut client = connect(&address, "");
        for (server, text) in servers.iter().zip(["one", "two"]) {
            let url = server.url("/");
            write!(client, "GET {url} HTTP/1.1\r\nHost: me\r\n\r\n").unwrap();
            assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
            let mut body = [0; 3];
            client.read_exact(&mut body).unwrap();
            assert_eq!(body, text.as_bytes());
        }
    }

    #[test]
    fn redirects_and_cookies_are_the_business_of_the_client() {
        let (_proxy, address) = start();
        let server = Upstream::start(|path| Answer {
            status: if path == "/old" { "302 Found" } else { "200 OK" },
            headers: "Location: /new\r\nSet-Cookie: secret=1\r\n".to_owned(),
            ..Answer::page("")
        });
        let answer = get(&address, &server.url("/old"));
        assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nset-cookie: secret=1\r\n"), "{answer}");
        assert_eq!(server.requests(), 1);
        // The next client has no cookie of the first.
        let (news, heard) = channel();
        let target = scripted(move |stream| {
            for _ in 0..2 {
                news.send(read_head(&stream)?).unwrap();
                (&stream).write_all(
                    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n",
                )?;
            }
            Ok(())
        });
        get(&address, &format!("http://{target}/"));
        assert!(!heard.recv().unwrap().to_lowercase().contains("\r\ncookie:"));
    }

    #[test]
    fn an_answer_is_passed_on_as_it_comes() {
        let (_proxy, address) = start();
        let (go_on, wait) = channel();
        let target = scripted(move |stream| {
            read_head(&stream)?;
            (&stream).write_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            )?;
            wait.recv().unwrap();
            (&stream).write_all(b"6\r\nsecond\r\n0\r\n\r\n")
        });
        let mut client =
            connect(&address, format!("GET http://{target}/ HTTP/1.1\r\nHost: me\r\n\r\n"));
        let head = read_head(&client).unwrap().to_lowercase();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut chunk = [0; 10];
        client.read_exact(&mut chunk).unwrap();
        assert_eq!(&chunk, b"5\r\nfirst\r\n");
        go_on.send(()).unwrap();
        let mut rest = [0; 16];
        client.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"6\r\nsecond\r\n0\r\n\r\n");
    }

    #[test]
    fn a_body_is_passed_on_as_it_is_sent() {
        let (_proxy, address) = start();
        let (news, heard) = channel();
        let target = scripted(move |mut stream| {
            assert!(read_head(&stream)?.to_lowercase().contains("content-length: 11"));
            for length in [5, 6] {
                let mut part = vec![0; length];
                stream.read_exact(&mut part)?;
                news.send(part).unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        });
        let head = "Host: me\r\nContent-Length: 11\r\n\r\n";
        let mut client =
            connect(&address, format!("POST http://{target}/ HTTP/1.1\r\n{head}first"));
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), b"first");
        client.write_all(b"second").unwrap();
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), b"second");
        assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn a_body_in_chunks_arrives_in_chunks() {
        let (_proxy, address) = start();
        let target = scripted(move |mut stream| {
            assert!(read_head(&stream)?.to_lowercase().contains("transfer-encoding: chunked"));
            let mut body = [0; 15];
            stream.read_exact(&mut body)?;
            assert_eq!(&body, b"5\r\nhello\r\n0\r\n\r\n");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        });
        let head = "Host: me\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "5\r\nhello\r\n0\r\n\r\n";
        let answer = ask(&address, &format!("POST http://{target}/ HTTP/1.1\r\n{head}{body}"));
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }

    #[test]
    fn an_answer_that_breaks_off_breaks_off() {
        let (_proxy, address) = start();
        let (break_off, wait) = channel();
        let target = scripted(move |mut stream| {
            read_head(&stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")?;
            wait.recv().unwrap();
            Ok(())
        });
        let mut client =
            connect(&address, format!("GET http://{target}/ HTTP/1.1\r\nHost: me\r\n\r\n"));
        let head = read_head(&client).unwrap().to_lowercase();
        assert!(head.contains("content-length: 100\r\n"), "{head}");
        let mut body = [0; 5];
        client.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"short");
        break_off.send(()).unwrap();
        // An end or an error, but no more bytes.
        assert!(!client.read(&mut body).is_ok_and(|count| count > 0));
    }

    #[test]
    fn a_tunnel_passes_all_bytes_on_and_each_end_by_itself() {
        let (_proxy, address) = start();
        let target = scripted(|mut stream| {
            // All that comes, and only then the answer.
            let mut count = Vec::new();
            stream.read_to_end(&mut count)?;
            stream.write_all(format!("{} bytes", count.len()).as_bytes())
        });
        let mut client = tunnel(&address, target);
        client.write_all(&vec![b'x'; 3_000_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "3000000 bytes");

        // The other way: the host has ended, and still hears.
        let (news, heard) = channel();
        let target = scripted(move |mut stream| {
            stream.write_all(b"goodbye")?;
            stream.shutdown(Shutdown::Write)?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            news.send(said).unwrap();
            Ok(())
        });
        let mut client = tunnel(&address, target);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "goodbye");
        client.write_all(b"wait!").unwrap();
        drop(client);
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), "wait!");
    }

    #[test]
    fn what_is_sent_along_with_the_question_goes_through_the_tunnel() {
        let (_proxy, address) = start();
        let target = scripted(|mut stream| {
            let mut bytes = [0; 10];
            stream.read_exact(&mut bytes)?;
            stream.write_all(&bytes.to_ascii_uppercase())
        });
        let question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nearly");
        let mut client = connect(&address, question);
        client.write_all(b"-late").unwrap();
        assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "EARLY-LATE");
    }

    #[test]
    fn a_tunnel_ends_when_one_side_breaks_off() {
        let (_proxy, address) = start();
        let (news, heard) = channel();
        let target = scripted(move |mut stream| {
            let _ = stream.read_to_end(&mut Vec::new());
            news.send(()).unwrap();
            Ok(())
        });
        let client = tunnel(&address, target);
        // A reset, not an end.
        let option = libc::linger { l_onoff: 1, l_linger: 0 };
        let fd = std::os::fd::AsRawFd::as_raw_fd(&client);
        // SAFETY: the descriptor is open, and the option is as large as is said.
        let result = unsafe {
            let (pointer, size) = ((&raw const option).cast(), size_of_val(&option) as u32);
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, pointer, size)
        };
        assert_eq!(result, 0);
        drop(client);
        heard.recv_timeout(Duration::from_secs(20)).expect("the host sees that it is over");
    }

    #[test]
    fn bad_targets_are_refused() {
        let (_proxy, address) = start();
        for url in [
            "/",
            "*",
            "https://127.0.0.1/",
            "ftp://127.0.0.1/",
            "http://me:secret@127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:99999/",
            "http:///",
            "127.0.0.1:80",
        ] {
            let answer = get(&address, url);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{url}: {answer}");
        }
        for target in
            ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "me@127.0.0.1:1", "[::1]", ":80"]
        {
            let question =
                format!("CONNECT {target} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n");
            let answer = ask(&address, &question);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        }
    }

    #[test]
    fn hosts_that_do_not_answer_are_a_bad_gateway() {
        let (_proxy, address) = start();
        let refused = refused_port();
        let silent = scripted(|stream| read_head(&stream).map(drop));
        let nonsense = scripted(|mut stream| {
            read_head(&stream)?;
            stream.write_all(b"220 mail.example ESMTP\r\n\r\n")
        });
        let unknown = format!("{}.invalid", "x".repeat(64));
        for host in
            [format!("127.0.0.1:{refused}"), silent.to_string(), nonsense.to_string(), unknown]
        {
            let answer = get(&address, &format!("http://{host}/"));
            assert!(answer.starts_with("HTTP/1.1 502 "), "{host}: {answer}");
        }
        let question = "HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n";
        let answer = ask(&address, &format!("CONNECT 127.0.0.1:{refused} {question}"));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.contains("refused"), "{answer}");
    }

    #[test]
    fn hosts_that_keep_us_waiting_are_a_gateway_timeout() {
        let mut command = Command::new(example("web_proxy"));
        command.args(["127.0.0.1:0", "--timeout", "0.2"]).stdout(Stdio::piped());
        let mut proxy = Running(command.spawn().expect("it starts"));
        let mut line = String::new();
        BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("its address");

        let hold =
            |mut stream: TcpStream| std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
        let silent = scripted(hold);
        let answer = get(address, &format!("http://{silent}/"));
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        // Once it has begun, there is no other answer: it breaks off.
        let stalls = scripted(move |stream| {
            read_head(&stream)?;
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")?;
            hold(stream)
        });
        let mut client =
            connect(address, format!("GET http://{stalls}/ HTTP/1.1\r\nHost: me\r\n\r\n"));
        assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
        let mut body = Vec::new();
        let _ = client.read_to_end(&mut body);
        assert_eq!(body, b"short");
    }

    #[test]
    fn a_request_that_comes_back_is_a_loop() {
        let (_proxy, address) = start();
        let answer = get(&address, &format!("http://{address}/"));
        // What it is itself sent is no absolute URL: it refuses that.
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let via = format!("Host: me\r\nVia: 1.1 {address}\r\nConnection: close\r\n\r\n");
        let answer = ask(&address, &format!("GET http://127.0.0.1:1/ HTTP/1.1\r\n{via}"));
        assert!(answer.starts_with("HTTP/1.1 508 "), "{answer}");
    }

    #[test]
    fn the_client_of_evy_goes_through_it() {
        let (_proxy, address) = start();
        let server = Upstream::start(|path| Answer::page(path));
        let proxy = Proxy::new(&format!("http://{address}")).unwrap();
        let agent: Agent = Agent::config_builder().proxy(Some(proxy)).build().into();
        for path in ["/one", "/two"] {
            let mut response = agent.get(server.url(path)).call().unwrap();
            assert_eq!(response.body_mut().read_to_string().unwrap(), path);
        }
    }
}
