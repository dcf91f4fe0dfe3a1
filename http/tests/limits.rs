//! Times, and what is kept within them; memory, and who cannot have more of it.

mod util;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::TcpStream;
use evy_http::{Body, IntoResponse, Request, Response};
use evy_runtime::{sleep, spawn, spawn_n};
use util::{
    assert_serves, connect, drain, eventually, get, read_all, read_answer, resident, runs_alone,
    server,
};

/// A limit that is over soon.
const SHORT: Duration = Duration::from_millis(100);

/// One that is not over within a test.
const LONG: Duration = Duration::from_secs(3600);

/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(5);

const MIB: usize = 1024 * 1024;

#[track_caller]
fn assert_about(elapsed: Duration, limit: Duration) {
    assert!(elapsed >= limit.mul_f64(0.8) && elapsed < limit + SLACK, "{elapsed:?}, not {limit:?}");
}

/// Sends `text` a byte at a time, until nobody wants it.
fn dribble(stream: &mut TcpStream, text: &str) {
    for byte in text.as_bytes() {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn fault_17_a_head_that_does_not_end_in_time_is_told_so_however_it_dribbles() {
    let server =
        server(|_: Request| "hello").head_timeout(SHORT).idle_timeout(LONG).start().unwrap();
    let addr = server.local_addr();
    let start = Instant::now();
    let clients = [
        "GET / HTTP/1.1\r\nHost: test\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y",
        // As HTTP/2 begins, too.
        "PRI * HT",
        "G",
    ]
    .map(|text| {
        spawn(move || {
            let mut client = connect(addr);
            let mut writer = client.try_clone().unwrap();
            spawn_n(move || dribble(&mut writer, text));
            let answer = read_all(&mut client);
            (answer, start.elapsed())
        })
    });
    for _ in 0..10 {
        assert_serves(addr);
        sleep(SHORT / 10);
    }
    for client in clients {
        let (answer, elapsed) = client.wait().unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer:?}");
        assert!(answer.contains("connection: close"), "{answer:?}");
        assert_about(elapsed, SHORT);
    }
    eventually("they have gone", || server.counters().clients() == 0);
}

#[test]
fn fault_17_the_second_head_on_a_connection_has_the_same_time() {
    let server =
        server(|_: Request| "hello").head_timeout(SHORT).idle_timeout(LONG).start().unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
    // Between them, it may take as long as it likes.
    sleep(SHORT * 2);
    let start = Instant::now();
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(read_all(&mut client).starts_with("HTTP/1.1 408 "));
    assert_about(start.elapsed(), SHORT);
}

#[test]
fn fault_17_a_connection_without_a_request_is_closed_without_a_word() {
    let server =
        server(|_: Request| "hello").idle_timeout(SHORT).head_timeout(LONG).start().unwrap();
    let (mut silent, mut kept) = (connect(server.local_addr()), connect(server.local_addr()));
    let start = Instant::now();
    kept.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut kept), (200, "hello".to_owned()));
    for client in [&mut silent, &mut kept] {
        assert_eq!(read_all(client), "");
        assert_about(start.elapsed(), SHORT);
    }
    assert_serves(server.local_addr());
}

#[test]
fn fault_17_a_connection_that_is_used_now_and_then_is_not_idle() {
    let server = server(|_: Request| "hello").idle_timeout(SHORT * 10).start().unwrap();
    let mut client = connect(server.local_addr());
    for _ in 0..12 {
        sleep(SHORT);
        client.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
    }
}

#[test]
fn fault_17_a_body_that_comes_too_slowly_is_told_so_and_the_handler_gets_an_error() {
    let result = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&result);
    let server = server(move |request: Request| {
        let result = io::read_to_string(request.into_body());
        if let Err(error) = &result {
            *seen.borrow_mut() = Some(error.kind());
        }
        result.map(|_| "hello")
    })
    .min_rate(1000, SHORT)
    .start()
    .unwrap();
    let addr = server.local_addr();
    let start = Instant::now();
    let mut client = connect(addr);
    let mut writer = client.try_clone().unwrap();
    spawn_n(move || {
        dribble(&mut writer, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\n");
        dribble(&mut writer, &"x".repeat(5000));
    });
    let (answer, elapsed) = (read_all(&mut client), start.elapsed());
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(elapsed >= SHORT && elapsed < SLACK, "{elapsed:?}");
    eventually("the handler knows", || *result.borrow() == Some(ErrorKind::UnexpectedEof));
    eventually("it has gone", || server.counters().clients() == 0);
    assert_serves(addr);
}

#[test]
fn fault_17_a_body_at_more_than_the_least_rate_is_read_to_its_end() {
    let server = server(|request: Request| io::read_to_string(request.into_body()))
        .min_rate(1000, SHORT * 4)
        .start()
        .unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20000\r\n\r\n").unwrap();
    for _ in 0..40 {
        sleep(SHORT / 4);
        client.write_all(&[b'x'; 500]).unwrap();
    }
    assert_eq!(read_answer(&mut client), (200, "x".repeat(20_000)));
}

#[test]
fn fault_17_a_handler_takes_its_time() {
    let server = server(|_: Request| {
        sleep(SHORT * 3);
        "hello"
    })
    .head_timeout(SHORT)
    .idle_timeout(SHORT)
    .min_rate(1_000_000, SHORT)
    .start()
    .unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
}

#[test]
fn fault_17_nothing_is_said_in_the_middle_of_an_answer() {
    let server = server(|request: Request| {
        let mut body = request.into_body();
        Response::new(Body::writer(move |client| {
            client.write_all(b"so far")?;
            client.flush()?;
            // More than will come.
            io::copy(&mut body, client).map(drop)
        }))
    })
    .min_rate(1000, SHORT)
    .start()
    .unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\n").unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(answer.ends_with("\r\n\r\n6\r\nso far\r\n"), "{answer:?}");
}

/// An answer that is longer than what the system holds for a client.
fn endless(kind: &'static str, errors: &Rc<Cell<usize>>) -> impl Fn(Request) -> Response + use<> {
    let errors = Rc::clone(errors);
    move |request: Request| {
        if request.uri().path() == "/ping" {
            return "pong".into_response();
        }
        match kind {
            "bytes" => Response::new(Body::from(vec![0; 64 * MIB])),
            _ => {
                let errors = Rc::clone(&errors);
                Response::new(Body::writer(move |client| {
                    loop {
                        if let Err(error) = client.write_all(&[0; 1000]) {
                            errors.set(errors.get() + 1);
                            return Err(error);
                        }
                    }
                }))
            }
        }
    }
}

#[test]
fn fault_16_a_client_that_takes_nothing_is_cut_off_and_its_handler_gets_an_error() {
    for kind in ["bytes", "writer"] {
        let errors = Rc::new(Cell::new(0));
        let server = server(endless(kind, &errors)).min_rate(1_000_000_000, SHORT).start().unwrap();
        let addr = server.local_addr();
        let clients: Vec<_> = (0..20).map(|_| connect(addr)).collect();
        for mut client in &clients {
            client.write_all(get("/").as_bytes()).unwrap();
        }
        eventually("they are served", || server.counters().clients() == clients.len());
        assert_serves(addr);
        eventually("they have gone", || server.counters().clients() == 0);
        let expected = if kind == "writer" { clients.len() } else { 0 };
        eventually("the handlers know", || errors.get() == expected);
        assert_serves(addr);
    }
}

#[test]
fn fault_16_a_client_that_takes_its_answer_at_more_than_the_least_rate_gets_all_of_it() {
    let server = server(|_: Request| Response::new(Body::from(vec![b'x'; 8 * MIB])))
        .min_rate(100_000, SHORT * 2)
        .start()
        .unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut sum = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match client.read(&mut buffer).unwrap() {
            0 => break,
            count => sum += count,
        }
        sleep(Duration::from_millis(20));
    }
    assert!(sum > 8 * MIB, "{sum}");
}

#[test]
fn fault_16_clients_that_take_nothing_cost_little_memory() {
    const NAME: &str = "fault_16_clients_that_take_nothing_cost_little_memory";
    if !runs_alone(NAME) {
        return;
    }
    let errors = Rc::default();
    let server = server(endless("writer", &errors)).start().unwrap();
    let addr = server.local_addr();
    assert_serves(addr);
    let before = resident();
    let clients: Vec<_> = (0..300).map(|_| connect(addr)).collect();
    for mut client in &clients {
        client.write_all(get("/").as_bytes()).unwrap();
    }
    sleep(Duration::from_millis(500));
    assert_eq!(server.counters().clients(), clients.len());
    assert_serves(addr);
    let each = resident().saturating_sub(before) / clients.len();
    println!("{each} bytes for each");
    assert!(each < 256 * 1024, "{each}");
}

/// What comes back while `body` is being sent, over and over, up to `length` bytes or an error.
fn answer_to(
    addr: std::net::SocketAddr,
    head: &str,
    body: &[u8],
    length: usize,
) -> (String, usize) {
    let mut client = connect(addr);
    client.write_all(head.as_bytes()).unwrap();
    let mut writer = client.try_clone().unwrap();
    let body = body.to_vec();
    let writing = spawn(move || {
        let mut sent = 0;
        while sent < length && writer.write_all(&body).is_ok() {
            sent += body.len();
        }
        let _ = writer.shutdown(std::net::Shutdown::Write);
        sent
    });
    // The answer is read when all was sent, and is still there then.
    let sent = writing.wait().unwrap();
    (read_all(&mut client), sent)
}

#[test]
fn fault_18_the_answer_that_refuses_arrives_while_the_client_sends_megabytes() {
    let server = server(|_: Request| "hello").max_body(1000).start().unwrap();
    let addr = server.local_addr();
    let piece = vec![b'x'; 64 * 1024];
    let target = "x".repeat(9000);
    let rows = [
        ("413", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n".to_owned()),
        ("400", "POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n".to_owned()),
        ("400", "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n".to_owned()),
        ("400", "garbage\r\n\r\n".to_owned()),
        ("414", format!("GET /{target} HTTP/1.1\r\nHost: test\r\n\r\n")),
        ("431", "GET / HTTP/1.1\r\nHost: test\r\nX: ".to_owned()),
        // A handler that leaves the body alone.
        (
            "200",
            "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"
                .to_owned(),
        ),
    ];
    for (status, head) in rows {
        let (answer, sent) = answer_to(addr, &head, &piece, 8 * MIB);
        assert_eq!(sent, 8 * MIB, "{status} {head:?}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:?}");
        // And whole.
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", body.len());
        assert!(head.contains(&length), "{status}: {answer:?}");
    }
    eventually("they have gone", || server.counters().clients() == 0);
}

#[test]
fn fault_18_a_client_that_goes_on_sending_after_its_answer_is_not_listened_to_for_ever() {
    let server = server(|_: Request| "hello").start().unwrap();
    let start = Instant::now();
    let (_, sent) = answer_to(server.local_addr(), "garbage\r\n\r\n", &[0; 1024], usize::MAX);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(1) && elapsed < Duration::from_secs(10), "{elapsed:?}");
    assert!(sent > 0);
    eventually("it has gone", || server.counters().clients() == 0);
}

#[test]
fn fault_18_a_head_without_an_end_takes_no_memory() {
    const NAME: &str = "fault_18_a_head_without_an_end_takes_no_memory";
    if !runs_alone(NAME) {
        return;
    }
    let server = server(|_: Request| "hello").start().unwrap();
    let addr = server.local_addr();
    let piece = "X: y\r\n".repeat(10_000);
    answer_to(addr, "GET / HTTP/1.1\r\n", piece.as_bytes(), MIB);
    let before = resident();
    let mut all = 0;
    for _ in 0..5 {
        let (answer, sent) = answer_to(addr, "GET / HTTP/1.1\r\n", piece.as_bytes(), 100 * MIB);
        assert!(answer.starts_with("HTTP/1.1 431 ") || sent < 100 * MIB, "{answer:?}");
        all += sent;
    }
    let more = resident().saturating_sub(before);
    println!("{all} bytes were sent, {more} more are used");
    assert!(all > 20 * MIB, "{all}");
    assert!(more < 2 * MIB, "{more}");
}

#[test]
fn fault_18_a_body_without_an_end_takes_no_memory() {
    const NAME: &str = "fault_18_a_body_without_an_end_takes_no_memory";
    if !runs_alone(NAME) {
        return;
    }
    let server = server(|mut request: Request| {
        io::copy(request.body_mut(), &mut io::sink()).map(|count| count.to_string())
    })
    .start()
    .unwrap();
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &[0; 65536], b"\r\n"].concat();
    answer_to(server.local_addr(), head, &chunk, MIB);
    let before = resident();
    let (answer, sent) = answer_to(server.local_addr(), head, &chunk, 200 * MIB);
    // It never came to its end.
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert!(sent >= 200 * MIB);
    let more = resident().saturating_sub(before);
    assert!(more < 2 * MIB, "{more}");
}

#[test]
fn fault_16_a_long_answer_to_a_request_whose_body_nobody_reads_arrives_whole() {
    let server =
        server(|_: Request| Response::new(Body::from(vec![b'x'; 20 * MIB]))).start().unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n").unwrap();
    // So that the socket fills.
    sleep(Duration::from_millis(50));
    assert!(drain(&mut client) > 20 * MIB);
}

#[cfg(feature = "tls")]
#[test]
fn fault_17_a_handshake_that_does_not_come_has_the_time_of_a_head() {
    let (acceptor, _) = util::tls();
    let server = server(|_: Request| "hello")
        .tls(acceptor)
        .head_timeout(SHORT)
        .idle_timeout(LONG)
        .start()
        .unwrap();
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02"] {
        let start = Instant::now();
        let mut client = connect(server.local_addr());
        client.write_all(bytes).unwrap();
        drain(&mut client);
        assert_about(start.elapsed(), SHORT);
    }
    eventually("they have gone", || server.counters().clients() == 0);
}

#[cfg(feature = "tls")]
#[test]
fn a_handshake_that_is_done_is_no_head_of_a_request() {
    let (acceptor, connector) = util::tls();
    let server = server(|_: Request| "hello")
        .tls(acceptor)
        .head_timeout(SHORT)
        .idle_timeout(LONG)
        .start()
        .unwrap();
    let mut client = connector.connect("localhost", connect(server.local_addr())).unwrap();
    sleep(SHORT * 3);
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
}
