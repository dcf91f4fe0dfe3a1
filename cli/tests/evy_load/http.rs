//! Servers of HTTP: the bundled one, and such as answer by hand, rightly and wrongly.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

use super::{EchoServer, Json, PATIENCE, Server, TlsEchoServer, load, stderr, stdout};

/// A request as a server gets it.
struct Request {
    head: String,
    body: Vec<u8>,
}

/// Reads a request; none at the end.
fn read_request(client: &mut impl BufRead) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).ok()? == 0 {
            assert_eq!(head, "", "half a request");
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    client.read_exact(&mut body).ok()?;
    Some(Request { head, body })
}

/// Answers each request of a connection by what `answer` gives; closes the connection when that is
/// nothing. Requests are numbered from 0.
fn answer_each(stream: TcpStream, mut answer: impl FnMut(usize, Request) -> Option<Vec<u8>>) {
    stream.set_nodelay(true).unwrap();
    let mut client = BufReader::new(stream);
    for number in 0.. {
        let Some(request) = read_request(&mut client) else { return };
        let Some(answer) = answer(number, request) else { return };
        if client.get_mut().write_all(&answer).is_err() {
            return;
        }
    }
}

/// A server that answers all requests alike.
fn answering(answer: &[u8]) -> Server {
    let answer = answer.to_vec();
    Server::start(move |_, stream| answer_each(stream, |_, _| Some(answer.clone())))
}

/// A server that answers the first request of the first connection so, and closes that connection; and
/// all others well.
fn answering_first(first: &[u8]) -> Server {
    let first = first.to_vec();
    Server::start(move |connection, stream| {
        let mut is_over = false;
        answer_each(stream, |_, _| match connection {
            _ if is_over => None,
            0 => {
                is_over = true;
                Some(first.clone())
            }
            _ => Some(GOOD.to_vec()),
        });
    })
}

/// The same, and the connection is closed without waiting for another request.
fn closing_first(first: &[u8]) -> Server {
    let first = first.to_vec();
    Server::start(move |connection, mut stream| {
        if connection > 0 {
            return answer_each(stream, |_, _| Some(GOOD.to_vec()));
        }
        read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        stream.write_all(&first).unwrap();
    })
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn load_http(server: &Server, args: &str) -> Output {
    load(&format!("http://{}/", server.address), args)
}

/// How often there was this status.
fn count_of(report: &Json, status: u16) -> u64 {
    let Json::Object(members) = report.at("statuses") else { panic!("{report:?}") };
    let name = status.to_string();
    members
        .iter()
        .filter(|(member, _)| *member == name)
        .map(|_| report.count(&format!("statuses.{name}")))
        .sum()
}

fn assert_flawless(output: &Output) -> Json {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    assert_eq!(stderr(output), "");
    let report = Json::of(output);
    let requests = report.count("requests");
    assert!(requests > 0, "{report:?}");
    assert_eq!((report.count("sent"), count_of(&report, 200)), (requests, requests), "{report:?}");
    assert_eq!((report.count("errors.total"), report.count("not_2xx")), (0, 0));
    report
}

#[test]
fn the_bundled_server_answers_all_kinds_of_requests() {
    let server = EchoServer::start_with(&["--http", "127.0.0.1:0"]);
    assert!(server.address.starts_with("http://"), "{}", server.address);
    for args in [
        "",
        "--pipeline 8",
        "--size 100 --echo",
        "--size 1k --pipeline 16 --echo",
        "--size 5M --pipeline 2 --echo",
        "--size 100 --per-connection 3 --pipeline 2 --echo",
    ] {
        let output =
            load(&server.address, &format!("{args} --connections 3 --duration 0.3 --json"));
        let report = assert_flawless(&output);
        let (requests, size) = (report.count("requests"), report.count("size"));
        assert!(report.count("bytes_received") > requests * size, "{report:?}");
        assert_eq!(report.later_than(0.0), requests, "the histogram has every answer");
        assert_eq!(report.at("address"), &Json::Text(format!("{}/", server.address)));
    }
    let output = load(&server.address, "--rate 100 --connections 3 --duration 1 --json");
    assert!((90..=110).contains(&assert_flawless(&output).count("requests")));
}

#[test]
fn over_tls_it_asks_for_http1() {
    let server = TlsEchoServer::start_with(&["--http"]);
    assert!(server.server.address.starts_with("https://"), "{}", server.server.address);
    for args in [server.trust(), "--tls-insecure --size 20k --echo".to_owned()] {
        let args = format!("{args} --connections 2 --duration 0.3 --json");
        assert_flawless(&server.load(&args));
    }
}

#[test]
fn requests_are_what_was_asked_for() {
    let (say, asked) = std::sync::mpsc::channel();
    let server = Server::start(move |_, stream| {
        answer_each(stream, |_, request| {
            say.send(request).ok()?;
            Some(GOOD.to_vec())
        });
    });
    let address = server.address.to_string();
    let url = format!("http://{address}/some/path?a=b#c");
    let version = env!("CARGO_PKG_VERSION");
    assert!(load(&url, "-c 1 -d 0.05").status.success());
    let request = asked.recv().unwrap();
    let expected = format!(
        "GET /some/path?a=b HTTP/1.1\r\nHost: {address}\r\nUser-Agent: evy-load/{version}\r\n\r\n"
    );
    assert_eq!((request.head, request.body), (expected, Vec::new()));
    while asked.try_recv().is_ok() {}
    let args = "--http -c 1 -d 0.05 --size 10 -H host:other -H X-Y:z";
    assert!(load(&format!("{address}/x"), args).status.success());
    let request = asked.recv().unwrap();
    let lines: Vec<&str> = request.head.lines().collect();
    assert_eq!(lines[0], "POST /x HTTP/1.1");
    for line in ["host: other", "X-Y: z", "Content-Length: 10"] {
        assert!(lines.contains(&line), "no {line} in {lines:?}");
    }
    assert!(!request.head.contains("Host:") && request.body.len() == 10, "{}", request.head);
    assert_ne!(asked.recv().unwrap().body, request.body, "no two are the same");
}

#[test]
fn every_framing_is_understood() {
    let chunked: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: x\r\n\r\n";
    let interim = [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", chunked].concat();
    for answer in [GOOD, chunked, &interim] {
        let server = answering(answer);
        for args in ["", "--pipeline 5"] {
            let output = load_http(&server, &format!("{args} -c 2 -d 0.2 --json"));
            let report = assert_flawless(&output);
            assert_eq!(report.count("opened"), 2);
            assert_eq!(
                report.count("bytes_received"),
                report.count("requests") * answer.len() as u64
            );
        }
    }
    // No body, whatever its head says of one.
    let server = answering(b"HTTP/1.1 204 No Content\r\n\r\n");
    let output = load_http(&server, "-c 1 -d 0.2 --json");
    let report = Json::of(&output);
    assert!(output.status.success() && report.count("opened") == 1, "{report:?}");
    assert_eq!(count_of(&report, 204), report.count("requests"));
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_and_asked_for_again_on_the_next() {
    let server = Server::start(|_, mut stream| {
        read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nup to the end").unwrap();
    });
    let report = assert_flawless(&load_http(&server, "-c 2 -d 0.3 --json"));
    assert!(report.count("requests") > 2, "{report:?}");
    assert!(report.count("opened") >= report.count("requests"), "{report:?}");
}

/// What nginx does after keepalive_requests: what was sent ahead has not been looked at.
#[test]
fn requests_behind_an_answer_that_closes_the_connection_are_sent_again() {
    let server = Server::start(|_, stream| {
        let mut is_over = false;
        answer_each(stream, |number, request| {
            if is_over {
                return None;
            }
            is_over = number == 9;
            let close = if is_over { "Connection: close\r\n" } else { "" };
            let length = request.body.len();
            let head = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n");
            Some([head.as_bytes(), &request.body].concat())
        });
    });
    for args in
        ["--pipeline 4 --size 10 --echo", "--size 10 --echo", "--pipeline 4 --size 10k --echo"]
    {
        let report = assert_flawless(&load_http(&server, &format!("{args} -c 2 -d 0.4 --json")));
        let (opened, requests) = (report.count("opened"), report.count("requests"));
        assert!(
            opened > 2 && requests <= opened * 10 && requests > (opened - 2) * 10 - 10,
            "{report:?}"
        );
        assert_eq!(report.count("lost"), 0);
    }
}

#[test]
fn it_asks_for_the_end_of_connections_where_that_is_wanted() {
    let server = Server::start(|_, stream| {
        answer_each(stream, |number, request| {
            assert!(request.head.contains("\r\nConnection: close\r\n"), "{}", request.head);
            // It does not say that it will.
            (number == 0).then(|| GOOD.to_vec())
        });
    });
    let report = assert_flawless(&load_http(&server, "-H Connection:close -c 2 -d 0.3 --json"));
    assert!(report.count("opened") >= report.count("requests"), "{report:?}");
}

#[test]
fn statuses_are_counted_and_no_success_is_exit_code_1() {
    let server = Server::start(|_, stream| {
        answer_each(stream, |number, _| {
            let status = [200, 404, 503, 302, 200][number % 5];
            Some(format!("HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").into())
        });
    });
    let output = load_http(&server, "-c 1 -d 0.3 --json");
    assert_eq!(output.status.code(), Some(1));
    let report = Json::of(&output);
    let requests = report.count("requests");
    let [found, not_found, busy] = [302, 404, 503].map(|status| count_of(&report, status));
    assert!(requests > 5 && not_found.abs_diff(requests / 5) <= 1, "{report:?}");
    assert_eq!(report.count("not_2xx"), found + not_found + busy);
    assert_eq!(count_of(&report, 200), requests - report.count("not_2xx"));
    // They are answers all the same.
    assert_eq!((report.count("errors.total"), report.count("lost")), (0, 0));
    let text = stderr(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(" answers with another status than 2xx ("), "{text}");
    assert!(text.contains(" of 302, ") && text.contains(" of 503)"), "{text}");
}

#[test]
fn the_report_for_people_has_the_statuses() {
    let server = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let output = load_http(&server, "-c 2 -d 0.2");
    let text = stdout(&output);
    for part in ["2 connections, GET, pipeline 1", "  status 404 ", "MiB received", "errors"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    let text = stdout(&load_http(&server, "-c 2 -d 0.1 --size 1"));
    assert!(text.contains("POST of 1 byte,"), "{text}");
}

/// A failure of the first connection, after which all is well.
fn assert_one_error(server: &Server, args: &str, kind: &str, said: &str) {
    let output = load_http(server, &format!("{args} -c 1 -d 0.4 --json"));
    assert_eq!(output.status.code(), Some(1), "{kind}");
    let report = Json::of(&output);
    let of_kind = report.count(&format!("errors.{kind}"));
    assert_eq!((of_kind, report.count("errors.total")), (1, 1), "{kind}: {report:?}");
    assert_eq!(report.count("opened"), 2, "{report:?}");
    assert!(report.count("requests") > 1, "it goes on with a new connection: {report:?}");
    let text = stderr(&output);
    assert!(text.contains("connection 0: ") && text.contains(said), "{said} in {text}");
}

#[test]
fn an_answer_that_is_cut_off_is_an_error() {
    for first in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ] {
        assert_one_error(&closing_first(first), "", "closed", "the server closed the connection");
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    for first in [
        &b"220 mail.example ESMTP\r\n"[..],
        b"\x00\x01\x02",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        assert_one_error(
            &answering_first(first),
            "",
            "malformed",
            "what came is no answer of HTTP",
        );
    }
    let long = [b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 70_000][..]].concat();
    assert_one_error(&answering_first(&long), "", "malformed", "is longer than 65536 bytes");
}

#[test]
fn bytes_behind_an_answer_are_an_error() {
    // The length that is said is shorter than what comes.
    let first = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello";
    assert_one_error(&answering_first(first), "", "surplus", "more bytes came back");
}

#[test]
fn what_is_no_echo_is_an_error_when_one_is_wanted() {
    let wrong = |change: fn(&mut Vec<u8>)| {
        Server::start(move |connection, stream| {
            answer_each(stream, |number, mut request| {
                if (connection, number) == (0, 2) {
                    change(&mut request.body);
                }
                let length = request.body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                Some([head.as_bytes(), &request.body].concat())
            });
        })
    };
    let args = "--size 64 --echo";
    let changed = wrong(|body| body[9] ^= 0x80);
    assert_one_error(&changed, args, "corrupt", "byte 9 of an answer is");
    let (shorter, longer) = (wrong(|body| body.truncate(60)), wrong(|body| body.push(0)));
    assert_one_error(&shorter, args, "length", "an answer has 60 bytes, and not the 64");
    assert_one_error(&longer, args, "length", "an answer has 65 bytes, and not the 64");
    // Not where nobody has said that it is to be one.
    let output = load_http(&wrong(|body| body.clear()), "--size 64 -c 1 -d 0.2 --json");
    assert_flawless(&output);
}

/// An answer without success says why, and is no echo of anything; the next one is.
#[test]
fn an_answer_without_success_is_not_taken_for_an_echo() {
    let server = Server::start(|_, stream| {
        answer_each(stream, |number, request| {
            let body = if number % 3 == 1 { b"busy".to_vec() } else { request.body };
            let status = if number % 3 == 1 { 503 } else { 200 };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
            Some([head.into_bytes(), body].concat())
        });
    });
    let report = Json::of(&load_http(&server, "--size 64 --echo -c 1 --pipeline 2 -d 0.2 --json"));
    assert_eq!((report.count("errors.total"), report.count("opened")), (0, 1), "{report:?}");
    assert!(count_of(&report, 503) > 0 && count_of(&report, 200) > count_of(&report, 503));
}

#[test]
fn a_body_that_stops_coming_is_an_error_after_the_timeout() {
    for head in ["", "Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n"] {
        let first = format!("HTTP/1.1 200 OK\r\n{head}\r\n5\r\nhe");
        let server = Server::start(move |connection, mut stream| {
            if connection > 0 {
                return answer_each(stream, |_, _| Some(GOOD.to_vec()));
            }
            stream.write_all(first.as_bytes()).unwrap();
            #[expect(clippy::disallowed_methods, reason = "this server does nothing, for ever")]
            std::thread::sleep(PATIENCE);
        });
        assert_one_error(&server, "--timeout 0.2", "timeout", "no answer in time");
    }
}

#[test]
fn an_early_answer_to_a_large_post_is_counted() {
    // It does not read the body at all, and goes on reading only to be polite.
    let server = Server::start(|_, stream| {
        let mut client = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && client.read_line(&mut head).is_ok_and(|n| n > 0) {}
        let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = client.get_mut().write_all(answer);
        let _ = std::io::copy(&mut client, &mut std::io::sink());
    });
    let report = Json::of(&load_http(&server, "--size 20M -c 1 -d 0.3 --json"));
    assert_eq!(report.count("errors.total"), 0, "{report:?}");
    assert!(count_of(&report, 413) > 1, "{report:?}");
}

#[test]
fn urls_that_make_no_sense_are_refused() {
    for (address, args) in [
        ("http://", ""),
        ("http:///path", ""),
        ("http://me:secret@127.0.0.1/", ""),
        ("http://127.0.0.1:1/a b", ""),
        ("http://127.0.0.1:1/", "--tls-insecure"),
    ] {
        let output = load(address, args);
        assert_eq!(output.status.code(), Some(2), "{address} {args}: {}", stderr(&output));
    }
    let start = std::time::Instant::now();
    let output = load("http://127.0.0.1:1/", "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("evy-load: cannot connect to http://127.0.0.1:1/: "));
    assert!(start.elapsed() < Duration::from_secs(10));
}
