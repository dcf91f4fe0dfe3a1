//! `--http`: what is posted comes back, over every kind of socket and in both versions.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use evy::tls::TlsConnector;

use crate::options::{Certificate, Directory, bytes, number};
use crate::server::{PATIENCE, Server, assert_one_line_error, command, pause, run};

fn start(args: &[&str]) -> Server {
    Server::start(&[&["--http"], args].concat())
}

/// An answer of HTTP/1.1, as it was sent.
struct Answer {
    /// In lower case, for the names in it.
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn assert(&self, lines: &[&str], body: &[u8]) {
        for line in lines {
            assert!(self.head.lines().any(|other| other == *line), "no {line} in {}", self.head);
        }
        assert!(self.body == body, "{} bytes, and not {}", self.body.len(), body.len());
    }
}

fn read_head(client: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(client.read_line(&mut head).unwrap() > 0, "the answer ends after {head:?}");
    }
    head.to_ascii_lowercase()
}

/// The next chunk; none at the end.
fn read_chunk(client: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    let size = usize::from_str_radix(line.trim_end(), 16);
    let size = size.unwrap_or_else(|_| panic!("{line:?} is no size of a chunk"));
    let mut chunk = vec![0; size + 2];
    client.read_exact(&mut chunk).unwrap();
    assert!(chunk.ends_with(b"\r\n"));
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

fn read_answer(client: &mut impl BufRead) -> Answer {
    let head = read_head(client);
    let mut body = vec![0; length(&head).unwrap_or(0)];
    client.read_exact(&mut body).unwrap();
    if length(&head).is_none() {
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        while let Some(chunk) = read_chunk(client) {
            body.extend(chunk);
        }
    }
    Answer { head, body }
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn ask(stream: impl Read + Write, request: &[u8]) -> Answer {
    let mut client = BufReader::new(stream);
    client.get_mut().write_all(request).unwrap();
    read_answer(&mut client)
}

#[test]
fn the_answer_is_the_body_with_its_type_and_the_connection_stays() {
    let server = start(&[]);
    assert!(server.addresses[0].starts_with("http://127.0.0.1:"), "{:?}", server.addresses);
    let mut client = BufReader::new(server.connect());
    for count in [1, 512, 20_000, 300_000] {
        let body = bytes(count);
        let headers = "Content-Type: image/x-test\r\nContent-Encoding: br\r\n";
        client.get_mut().write_all(&post(headers, &body)).unwrap();
        let length = format!("content-length: {count}");
        let lines =
            ["http/1.1 200 ok", "content-type: image/x-test", "content-encoding: br", &length];
        read_answer(&mut client).assert(&lines, &body);
    }
    // Without a type there is none in the answer, and no body is one, too.
    for body in [&b"x"[..], b""] {
        client.get_mut().write_all(&post("", body)).unwrap();
        let answer = read_answer(&mut client);
        answer.assert(&["http/1.1 200 ok"], body);
        assert!(!answer.head.contains("content-type"), "{}", answer.head);
    }
    // One that is asked for with a body gets it back also by GET.
    let request =
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.get_mut().write_all(request).unwrap();
    read_answer(&mut client).assert(&["http/1.1 200 ok"], b"abc");
}

#[test]
fn who_looks_with_a_browser_is_told_what_to_do() {
    let server = start(&[]);
    let mut client = BufReader::new(server.connect());
    let told = |client: &mut BufReader<TcpStream>, host: &str| {
        let request = format!("GET /any HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.get_mut().write_all(request.as_bytes()).unwrap();
        let answer = read_answer(client);
        assert!(answer.head.contains("\r\ncontent-type: text/plain"), "{}", answer.head);
        String::from_utf8(answer.body).unwrap()
    };
    let text = told(&mut client, "echo.example:80");
    assert!(text.contains("curl --data hello http://echo.example:80/\n"), "{text}");
    let text = told(&mut client, "$(reboot)");
    assert!(text.contains("http://localhost/\n") && !text.contains("reboot"), "{text}");
    client.get_mut().write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(length(&read_head(&mut client)).unwrap() > 50);
    client.get_mut().write_all(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n").unwrap();
    assert!(read_head(&mut client).starts_with("http/1.1 501 "));
}

/// The most memory that the server has ever had, in MiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Far more than the sockets and the server can hold: nothing of it is collected.
#[test]
fn a_body_larger_than_any_buffer_comes_back_while_it_is_sent() {
    const COUNT: usize = 128 << 20;
    let server = start(&[]);
    let piece = bytes(1 << 20);
    for is_chunked in [false, true] {
        let framing = match is_chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {COUNT}"),
        };
        let mut client = BufReader::new(server.connect());
        let (mut writer, sent) = (client.get_ref().try_clone().unwrap(), piece.clone());
        let writing = std::thread::spawn(move || {
            write!(writer, "PUT / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n").unwrap();
            for _ in 0..COUNT / sent.len() {
                if is_chunked {
                    write!(writer, "{:x}\r\n", sent.len()).unwrap();
                }
                writer.write_all(&sent).unwrap();
                if is_chunked {
                    writer.write_all(b"\r\n").unwrap();
                }
            }
            if is_chunked {
                writer.write_all(b"0\r\n\r\n").unwrap();
            }
        });
        let head = read_head(&mut client);
        assert_eq!(length(&head), (!is_chunked).then_some(COUNT));
        let mut left = COUNT;
        let mut check = |came: &[u8]| {
            let mut at = (COUNT - left) % piece.len();
            left -= came.len();
            for part in came.chunks(1 << 12) {
                let end = (at + part.len()).min(piece.len());
                let (first, rest) = part.split_at(end - at);
                assert!(first == &piece[at..end] && rest == &piece[..rest.len()]);
                at = (at + part.len()) % piece.len();
            }
        };
        if is_chunked {
            while let Some(chunk) = read_chunk(&mut client) {
                check(&chunk);
            }
        } else {
            let mut buffer = vec![0; 1 << 16];
            for _ in 0..COUNT / buffer.len() {
                client.read_exact(&mut buffer).unwrap();
                check(&buffer);
            }
        }
        writing.join().unwrap();
        assert_eq!(left, 0);
    }
    assert!(memory(&server) < 48, "{} MiB", memory(&server));
}

#[test]
fn each_piece_is_back_before_the_next_is_sent() {
    let server = start(&[]);
    let mut client = BufReader::new(server.connect());
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.get_mut().write_all(head).unwrap();
    for n in 0..20 {
        let word = format!("word {n:02}");
        write!(client.get_mut(), "7\r\n{word}\r\n").unwrap();
        if n == 0 {
            assert!(read_head(&mut client).starts_with("http/1.1 200 "));
        }
        assert_eq!(read_chunk(&mut client).as_deref(), Some(word.as_bytes()));
    }
    client.get_mut().write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read_chunk(&mut client), None);
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told_before_there_is_an_answer() {
    let server = start(&[]);
    let mut client = BufReader::new(server.connect());
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.get_mut().write_all(head).unwrap();
    assert_eq!(read_head(&mut client), "http/1.1 100 continue\r\n\r\n");
    client.get_mut().write_all(b"hello").unwrap();
    read_answer(&mut client).assert(&["http/1.1 200 ok"], b"hello");
}

#[test]
fn bodies_that_break_off_or_the_rules_end_their_own_connection_only() {
    let server = start(&[]);
    let mut steady = BufReader::new(server.connect());
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Wrong from the start: there is still time to say so.
    let answer = ask(server.connect(), format!("{chunked}xyz\r\n").as_bytes());
    assert!(answer.head.starts_with("http/1.1 400 "), "{}", answer.head);
    for wrong in ["5\r\nhello\r\nxyz\r\n", "5\r\nhello\r\n"] {
        let mut client = server.connect();
        client.write_all(format!("{chunked}{wrong}").as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        // A reset may follow.
        let _ = client.read_to_end(&mut back);
        assert!(!back.ends_with(b"0\r\n\r\n"), "half of a body is given as a whole one");
        steady.get_mut().write_all(&post("", b"steady")).unwrap();
        read_answer(&mut steady).assert(&[], b"steady");
    }
}

/// Frames of HTTP/2: length, type, flags and stream come before what they carry.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Asks by HTTP/2, as one who knows already that it is spoken, and gives the body of the answer.
fn ask_by_http2(mut stream: impl Read + Write, body: &[u8]) -> Vec<u8> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    // POST / of a host, by the numbers of the table that everybody has.
    let head = [&[0x83, 0x86, 0x84, 0x41, 1][..], b"h"].concat();
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(SETTINGS, 0, 0, b""));
    request.extend(frame(HEADERS, END_HEADERS, 1, &head));
    request.extend(frame(DATA, END_STREAM, 1, body));
    stream.write_all(&request).unwrap();
    let mut back = Vec::new();
    loop {
        let mut start = [0; 9];
        stream.read_exact(&mut start).unwrap();
        let length =
            usize::from(start[0]) << 16 | usize::from(start[1]) << 8 | usize::from(start[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        if start[3] == DATA && start[8] == 1 {
            back.extend(payload);
            if start[4] & END_STREAM > 0 {
                return back;
            }
        }
    }
}

#[test]
fn it_speaks_http2_with_those_who_begin_with_it() {
    let server = start(&[]);
    assert_eq!(ask_by_http2(server.connect(), b"by the second version"), b"by the second version");
}

#[test]
fn under_tls_the_client_chooses_the_version_by_alpn() {
    let certificate = Certificate::new();
    let mut program = command(&["--http", "tls:127.0.0.1:0"]);
    let server = Server::spawn(
        {
            program.args(certificate.options());
            program
        },
        1,
    );
    assert!(server.addresses[0].starts_with("https://127.0.0.1:"), "{:?}", server.addresses);
    for (protocols, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let roots = std::fs::read(certificate.directory.file("chain.pem")).unwrap();
        let connector = TlsConnector::builder().roots_pem(roots).alpn(protocols).build().unwrap();
        let stream = evy::connect(server.plain_address(0)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = connector.connect("localhost", stream).unwrap();
        assert_eq!(client.alpn_protocol().as_deref(), chosen);
        match chosen {
            Some(b"h2") => assert_eq!(ask_by_http2(client, b"secret"), b"secret"),
            _ => ask(client, &post("", b"secret")).assert(&["http/1.1 200 ok"], b"secret"),
        }
    }
}

#[test]
fn it_answers_on_unix_sockets_and_on_every_core() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let unix = format!("unix:{path}");
    let server = Server::spawn(command(&["--http", "--cores", "2", "127.0.0.1:0", &unix]), 2);
    assert_eq!(server.addresses[1], unix);
    ask(UnixStream::connect(&path).unwrap(), &post("", b"here")).assert(&[], b"here");
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let body = format!("client {n}").into_bytes();
        ask(client, &post("", &body)).assert(&[], &body);
    }
    drop(clients);
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn datagrams_have_no_http() {
    assert_one_line_error(
        &run(&["--http", "udp:127.0.0.1:0"]),
        "udp:127.0.0.1:0 cannot have --http",
    );
}

#[test]
fn clients_of_all_kinds_and_cores_count_together() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let args = ["--http", "--max-clients", "2", "--cores", "2", "127.0.0.1:0"];
    let mut program = command(&args);
    program.arg(format!("unix:{path}"));
    let server = Server::spawn(program, 2);
    let mut first = server.connect();
    ask(&mut first, &post("", b"1")).assert(&[], b"1");
    let mut second = UnixStream::connect(&path).unwrap();
    ask(&mut second, &post("", b"2")).assert(&[], b"2");
    let mut third = server.connect();
    third.write_all(&post("", b"3")).unwrap();
    third.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(third.read(&mut [0]).is_err());
    ask(&mut first, &post("", b"still here")).assert(&[], b"still here");
    drop(second);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    read_answer(&mut BufReader::new(third)).assert(&[], b"3");
}

#[test]
fn silent_clients_are_sent_away_and_others_stay() {
    let server = start(&["--idle-timeout", "0.3"]);
    let (mut silent, mut busy) = (server.connect(), server.connect());
    ask(&mut silent, &post("", b"x")).assert(&[], b"x");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(900) {
        ask(&mut busy, &post("", b"x")).assert(&[], b"x");
        pause();
    }
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    // And one who has begun with a request, and does not go on with it.
    let mut slow = server.connect();
    slow.write_all(b"POST / HT").unwrap();
    let mut rest = String::new();
    slow.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
}

/// FAULTS row 46: requests that are under way are answered; then connections end in order.
#[test]
fn fault_46_a_stop_answers_requests_that_are_under_way_and_ends_the_others() {
    for cores in ["1", "2"] {
        let mut server = start(&["--cores", cores]);
        let (mut idle, mut busy) = (server.connect(), BufReader::new(server.connect()));
        ask(&mut idle, &post("", b"x")).assert(&[], b"x");
        let request = post("", &bytes(1 << 20));
        let (first, rest) = request.split_at(10_000);
        busy.get_mut().write_all(first).unwrap();
        // The answer has begun.
        let head = read_head(&mut busy);
        server.signal(libc::SIGTERM);
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        drop(idle);
        // Another core may be a little later.
        let start = Instant::now();
        while TcpStream::connect(server.plain_address(0)).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(2), "it listens on");
        }
        let mut writer = busy.get_ref().try_clone().unwrap();
        let mut body = vec![0; length(&head).unwrap()];
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(rest).unwrap());
            busy.read_exact(&mut body).unwrap();
        });
        assert!(body == bytes(1 << 20));
        assert_eq!(busy.read(&mut [0]).unwrap(), 0);
        drop(busy);
        assert_eq!(server.wait_here().code(), Some(0));
    }
}

#[test]
fn a_client_that_does_not_go_on_is_cut_off_at_the_end_of_the_grace() {
    let mut server = start(&["--grace", "0.3"]);
    let mut client = BufReader::new(server.connect());
    let request = post("", &bytes(1000));
    client.get_mut().write_all(&request[..500]).unwrap();
    read_head(&mut client);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait_here().code(), Some(0));
    assert!(server.error_line("cut off").ends_with(": 1"));
}

#[test]
fn the_log_has_a_line_for_each_request() {
    let server = start(&["--log"]);
    let mut client = server.connect();
    ask(&mut client, &post("", &[b'x'; 1000])).assert(&[], &[b'x'; 1000]);
    let line = server.error_line("POST");
    assert!(line.starts_with("127.0.0.1 ["), "{line}");
    assert!(line.contains("] \"POST /x HTTP/1.1\" 200 1000 0."), "{line}");
    ask(&mut client, b"GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(server.error_line("GET").contains("] \"GET /y HTTP/1.1\" 200 "));
}

#[test]
fn the_statistics_count_requests_of_http_and_bytes_of_bodies() {
    let server = start(&["--stats", "0.5"]);
    let mut client = server.connect();
    let start = Instant::now();
    loop {
        for _ in 0..10 {
            ask(&mut client, &post("", &[b'x'; 100_000])).assert(&[], &[b'x'; 100_000]);
        }
        let line = server.error_line("stats: ");
        let [requests, mebibytes] = ["requests/s", "MiB/s"].map(|word| number(&line, word));
        if requests > 0.0 {
            // A body comes in several pieces, and is one request. The line may cut through one.
            let of_each = mebibytes * f64::from(1 << 20) / requests;
            assert!((90_000.0..115_000.0).contains(&of_each), "{line}");
            assert_eq!(number(&line, "clients"), 1.0, "{line}");
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{line}");
    }
}
