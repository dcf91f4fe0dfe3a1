//! What a server of HTTP/1.1 does when all is well.

mod util;

use std::io::{BufRead, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use evy_http::{Body, Request, Response, upgrade};
use util::{connect, exchange, get, read_all, read_answer, start};

fn echo(mut request: Request) -> std::io::Result<String> {
    request.body_mut().text(1 << 20)
}

#[test]
fn a_request_is_answered_and_the_connection_kept() {
    let server = start(|request: Request| format!("{} {}", request.method(), request.uri()));
    let mut client = connect(server.local_addr());
    for n in 0..3 {
        client.write_all(get(&format!("/{n}")).as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), (200, format!("GET /{n}")));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = start(|request: Request| {
        if request.uri().path() == "/slow" {
            evy_runtime::sleep(Duration::from_millis(5));
        }
        request.uri().path().to_owned()
    });
    let mut client = connect(server.local_addr());
    let requests = [get("/slow"), get("/1"), get("/slow"), get("/2")].concat();
    client.write_all(requests.as_bytes()).unwrap();
    for path in ["/slow", "/1", "/slow", "/2"] {
        assert_eq!(read_answer(&mut client), (200, path.to_owned()));
    }
}

#[test]
fn a_handler_reads_the_body_that_comes_while_it_runs() {
    let server = start(echo);
    let mut client = connect(server.local_addr());
    client.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello").unwrap();
    evy_runtime::sleep(Duration::from_millis(2));
    client.write_all(b"world").unwrap();
    assert_eq!(read_answer(&mut client), (200, "helloworld".to_owned()));
}

#[test]
fn a_chunked_body_with_trailers_is_read_to_its_end_and_no_further() {
    let server = start(|mut request: Request| {
        let text = request.body_mut().text(100).unwrap();
        let trailers = request.body().trailers().map(|trailers| trailers.len());
        format!("{text} {trailers:?}")
    });
    let mut client = connect(server.local_addr());
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: sum\r\n\r\n\
        3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nsum: 1\r\n\r\n";
    client.write_all(chunked.as_bytes()).unwrap();
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client), (200, "abcde Some(1)".to_owned()));
    assert_eq!(read_answer(&mut client), (200, " None".to_owned()));
}

#[test]
fn lines_of_a_body_are_read_one_by_one() {
    let server = start(|request: Request| {
        let lines: Vec<_> = request.into_body().lines().map(Result::unwrap).collect();
        lines.join("|")
    });
    let post =
        "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 6\r\n\r\na\nb\nc\n";
    assert!(exchange(server.local_addr(), post).ends_with("\r\n\r\na|b|c"));
}

#[test]
fn a_body_that_is_written_while_the_handler_runs_arrives_meanwhile() {
    let server = start(|_: Request| {
        Response::new(Body::writer(|client| {
            client.write_all(b"first")?;
            client.flush()?;
            evy_runtime::sleep(Duration::from_secs(3600));
            Ok(())
        }))
    });
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    let mut answer = String::new();
    while !answer.ends_with("first\r\n") {
        let mut buffer = [0; 1024];
        let count = client.read(&mut buffer).unwrap();
        assert!(count > 0, "ended after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(answer.to_lowercase().contains("transfer-encoding: chunked"));
}

#[test]
fn a_reader_as_a_body_is_sent_to_its_end() {
    let server = start(|_: Request| Body::reader(std::io::repeat(b'x').take(3_000_000)));
    let mut client = connect(server.local_addr());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let answer = read_all(&mut client);
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), 3_000_000);
}

#[test]
fn a_client_that_has_ended_its_side_still_gets_its_answer() {
    let server = start(|_: Request| {
        evy_runtime::sleep(Duration::from_millis(5));
        "answer"
    });
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&mut client).ends_with("\r\n\r\nanswer"));
}

#[test]
fn head_has_no_body_and_keeps_the_connection() {
    let server = start(|_: Request| "hello");
    let mut client = connect(server.local_addr());
    client.write_all(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let answers = read_all(&mut client);
    assert_eq!(answers.matches("content-length: 5").count(), 2);
    assert_eq!(answers.matches("hello").count(), 1);
}

#[test]
fn an_upgraded_connection_begins_with_what_was_sent_behind_the_request() {
    let server = start(|_: Request| {
        upgrade("shout", |mut connection| {
            let mut bytes = [0; 8];
            connection.read_exact(&mut bytes).unwrap();
            connection.write_all(&bytes.to_ascii_uppercase()).unwrap();
        })
    });
    let mut client = connect(server.local_addr());
    let request =
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nhell";
    client.write_all(request.as_bytes()).unwrap();
    client.write_all(b"oooo").unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nHELLOOOO"), "{answer}");
}

#[test]
fn continue_is_said_when_the_handler_reads() {
    let server = start(echo);
    let mut client = connect(server.local_addr());
    let head = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"ok").unwrap();
    assert_eq!(read_answer(&mut client), (200, "ok".to_owned()));
}
