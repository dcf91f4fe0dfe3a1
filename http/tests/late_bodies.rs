//! Bodies of requests that are read behind their answers: a handler has handed them on, and has answered.

mod util;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::{TcpListener, TcpStream};
use evy_http::{Request, RequestBody, Server};
use evy_runtime::{sleep, spawn, spawn_n};
use util::{connect, eventually, get, read_all, read_answer, server, start};

/// A limit that is over soon.
const SHORT: Duration = Duration::from_millis(100);

/// One that is not over within a test.
const LONG: Duration = Duration::from_secs(3600);

/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(5);

const LENGTH: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20000\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
const TRAILER: &str =
    "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n";

/// What became of a body: its length and the value of its trailer, or why it has not come to its end.
type Seen = Rc<RefCell<Option<Result<(usize, Option<String>), ErrorKind>>>>;

/// A server whose handlers answer at once. A green thread reads the body of a `POST` then.
fn late() -> (Server<TcpListener>, Seen) {
    let seen = Seen::default();
    let sees = Rc::clone(&seen);
    let handler = move |request: Request| {
        if request.method() == "POST" {
            let (sees, body) = (Rc::clone(&sees), request.into_body());
            spawn_n(move || *sees.borrow_mut() = Some(read(body)));
        }
        "hello"
    };
    (server(handler), seen)
}

fn read(mut body: RequestBody) -> Result<(usize, Option<String>), ErrorKind> {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).map_err(|error| error.kind())?;
    let trailer = body.trailers().and_then(|trailers| trailers.get("x"));
    Ok((bytes.len(), trailer.map(|value| value.to_str().unwrap().to_owned())))
}

/// Sends `head`, and gets the answer to it.
#[track_caller]
fn ask(client: &mut TcpStream, head: &str) {
    client.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_answer(client), (200, "hello".to_owned()));
}

/// Sends 20,000 bytes in a second: more than a head may take, and fast enough for a body.
fn upload(client: &mut TcpStream, is_chunked: bool) {
    for _ in 0..40 {
        sleep(SHORT / 4);
        if is_chunked {
            client.write_all(b"1f4\r\n").unwrap();
        }
        client.write_all(&[b'x'; 500]).unwrap();
        if is_chunked {
            client.write_all(b"\r\n").unwrap();
        }
    }
}

#[test]
fn fault_17_it_has_the_time_of_a_body_not_that_of_a_head() {
    let (server, seen) = late();
    let server =
        server.head_timeout(SHORT).idle_timeout(LONG).min_rate(1000, SHORT * 4).start().unwrap();
    for (head, end) in [(LENGTH, ""), (CHUNKED, "0\r\n\r\n")] {
        let mut client = connect(server.local_addr());
        ask(&mut client, head);
        upload(&mut client, head == CHUNKED);
        assert_eq!(*seen.borrow(), None);
        client.write_all(end.as_bytes()).unwrap();
        // Its end is seen although nothing comes behind.
        eventually("it was read", || seen.take() == Some(Ok((20_000, None))));
        // Between two requests, the connection may take as long as it likes, ...
        sleep(SHORT * 3);
        ask(&mut client, &get("/"));
        // ... and within a head it may not.
        client.write_all(b"GET / HT").unwrap();
        assert!(read_all(&mut client).starts_with("HTTP/1.1 408 "));
    }
}

#[test]
fn fault_17_one_that_comes_too_slowly_is_cut_and_its_reader_gets_an_error() {
    let (server, seen) = late();
    let server =
        server.head_timeout(LONG).idle_timeout(LONG).min_rate(1000, SHORT).start().unwrap();
    for head in [LENGTH, CHUNKED] {
        let start = Instant::now();
        let mut client = connect(server.local_addr());
        ask(&mut client, head);
        let mut writer = client.try_clone().unwrap();
        let dribbling = spawn(move || {
            while writer.write_all(if head == CHUNKED { b"1\r\nx\r\n" } else { b"x" }).is_ok() {
                sleep(Duration::from_millis(10));
            }
        });
        // Its answer was sent: nothing is said any more.
        assert_eq!(read_all(&mut client), "");
        let elapsed = start.elapsed();
        assert!(elapsed >= SHORT && elapsed < SLACK, "{elapsed:?}");
        eventually("the reader knows", || seen.take() == Some(Err(ErrorKind::UnexpectedEof)));
        dribbling.wait().unwrap();
    }
    eventually("they have gone", || server.counters().clients() == 0);
}

#[test]
fn fault_17_a_connection_is_idle_from_the_end_of_it_on() {
    let (server, seen) = late();
    let server = server.head_timeout(LONG).idle_timeout(SHORT).start().unwrap();
    let mut client = connect(server.local_addr());
    ask(&mut client, LENGTH);
    upload(&mut client, false);
    let start = Instant::now();
    assert_eq!(read_all(&mut client), "");
    assert!(start.elapsed() < SLACK, "{:?}", start.elapsed());
    assert_eq!(seen.take(), Some(Ok((20_000, None))));
}

#[test]
fn one_that_nobody_waits_for_costs_its_client_nothing() {
    let handler = |request: Request| {
        let body = request.into_body();
        spawn_n(move || {
            sleep(SHORT * 5);
            drop(body);
        });
        "hello"
    };
    let server = server(handler)
        .head_timeout(SHORT)
        .idle_timeout(SHORT)
        .min_rate(1_000_000, SHORT)
        .start()
        .unwrap();
    let mut client = connect(server.local_addr());
    let start = Instant::now();
    ask(&mut client, LENGTH);
    client.write_all(&[b'x'; 100]).unwrap();
    // With what is to come of it, the connection is of no use any more when it was thrown away.
    assert_eq!(read_all(&mut client), "");
    let elapsed = start.elapsed();
    assert!(elapsed >= SHORT * 5 && elapsed < SLACK, "{elapsed:?}");
}

#[test]
fn one_whose_connection_ends_is_an_error() {
    let (server, seen) = late();
    let server = server.start().unwrap();
    for head in [LENGTH, CHUNKED] {
        let mut client = connect(server.local_addr());
        ask(&mut client, head);
        drop(client);
        eventually("the reader knows", || seen.take() == Some(Err(ErrorKind::UnexpectedEof)));
    }
}

#[test]
fn trailers_are_told_with_the_next_request() {
    let (server, seen) = late();
    let server = server.start().unwrap();
    for head in [CHUNKED, TRAILER] {
        let mut client = connect(server.local_addr());
        ask(&mut client, head);
        client.write_all(b"3\r\nabc\r\n0\r\nx: y\r\n\r\n").unwrap();
        ask(&mut client, &get("/"));
        eventually("it was read", || seen.take() == Some(Ok((3, Some("y".to_owned())))));
    }
}

#[test]
fn a_client_that_waits_to_be_asked_for_it_is_told_that_the_connection_closes() {
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let (server, seen) = late();
    let server = server.start().unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(head.as_bytes()).unwrap();
    // It may send it nevertheless, and then nothing else.
    client.write_all(b"abc").unwrap();
    let answer = read_all(&mut client);
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"),
        "{answer}"
    );
    assert_eq!(seen.take(), Some(Ok((3, None))));

    // One that was asked for it keeps its connection.
    let server = start(|request: Request| {
        let mut body = request.into_body();
        body.read_exact(&mut [0]).unwrap();
        spawn_n(move || read(body));
        "hello"
    });
    let mut client = connect(server.local_addr());
    client.write_all(head.as_bytes()).unwrap();
    let mut asked = [0; 25];
    client.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").unwrap();
    assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
    ask(&mut client, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx");
}

#[test]
fn fault_17_a_client_that_has_reset_leaves_although_somebody_has_its_body() {
    let server = server(|request: Request| {
        let body = request.into_body();
        spawn_n(move || {
            sleep(LONG);
            drop(body);
        });
        "hello"
    });
    let server = server.head_timeout(SHORT).start().unwrap();
    let mut client = connect(server.local_addr());
    ask(&mut client, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n");
    // More than hyper reads when nobody takes it.
    client.set_write_timeout(Some(SHORT)).unwrap();
    let _ = client.write_all(&vec![b'x'; 10_000_000]);
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually("it has gone", || server.counters().clients() == 0);
}

#[test]
fn the_next_request_may_come_along_with_the_end_of_it() {
    let (server, seen) = late();
    let server = server.start().unwrap();
    let mut client = connect(server.local_addr());
    for _ in 0..3 {
        ask(&mut client, LENGTH);
        client.write_all(&[b'x'; 10_000]).unwrap();
        sleep(SHORT / 10);
        let rest = [&[b'x'; 10_000], get("/").as_bytes()].concat();
        client.write_all(&rest).unwrap();
        assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
        eventually("it was read", || seen.take() == Some(Ok((20_000, None))));
    }
}

#[test]
fn fault_19_what_is_in_it_is_not_taken_for_the_next_head() {
    let (server, seen) = late();
    let server = server.start().unwrap();
    let mut client = connect(server.local_addr());
    let inside = "GET / HTTP/1.1\r\nHost: test\r\n\r\nmore";
    let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", inside.len());
    ask(&mut client, &head);
    client.write_all(inside.as_bytes()).unwrap();
    eventually("it was read", || seen.take() == Some(Ok((inside.len(), None))));
    // A length beside a coding.
    let both = CHUNKED.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n0\r\n\r\n");
    client.write_all(both.as_bytes()).unwrap();
    assert!(read_all(&mut client).starts_with("HTTP/1.1 400 "));
    assert_eq!(*seen.borrow(), None);
}

#[test]
fn fault_46_a_server_that_stops_waits_for_it() {
    // Also where the answer has said that the connection closes.
    for head in [LENGTH, &LENGTH.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")] {
        let (server, seen) = late();
        let server = server.start().unwrap();
        let mut client = connect(server.local_addr());
        ask(&mut client, head);
        client.write_all(&[b'x'; 10_000]).unwrap();
        let stopping = spawn(move || server.stop(LONG));
        sleep(SHORT);
        assert_eq!(*seen.borrow(), None);
        client.write_all(&[b'x'; 10_000]).unwrap();
        assert_eq!(read_all(&mut client), "");
        stopping.wait().unwrap();
        assert_eq!(seen.take(), Some(Ok((20_000, None))));
    }
}

#[test]
fn fault_19_behind_one_that_is_still_held_a_length_beside_a_coding_ends_the_connection() {
    let server = start(|request: Request| {
        let body = request.into_body();
        spawn_n(move || {
            sleep(SHORT * 5);
            drop(body);
        });
        "hello"
    });
    let mut client = connect(server.local_addr());
    ask(&mut client, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    client.write_all(b"abcde").unwrap();
    sleep(SHORT);
    let both = CHUNKED.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n0\r\n\r\n");
    client.write_all(both.as_bytes()).unwrap();
    let answer = read_all(&mut client);
    assert!(answer.contains("connection: close"), "{answer:?}");
}
