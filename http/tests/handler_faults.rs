//! Handlers that panic, are killed, contradict themselves; clients that go away; too many clients.

mod util;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_http::{
    Access, Body, HeaderValue, IntoResponse, Method, Request, Response, StatusCode, header,
};
use evy_runtime::{sleep, spawn};
use util::{
    assert_serves, connect, drain, eventually, exchange, get, read_all, read_answer, runs_alone,
    server, start,
};

#[test]
fn a_handler_that_panics_is_500_and_the_connection_is_kept() {
    let server = start(|request: Request| -> &'static str {
        match request.uri().path() {
            "/panic" => panic!("on purpose"),
            "/later" => {
                sleep(Duration::from_millis(5));
                panic!("on purpose, later");
            }
            _ => "fine",
        }
    });
    let mut client = connect(server.local_addr());
    for path in ["/panic", "/fine", "/later", "/fine"] {
        client.write_all(get(path).as_bytes()).unwrap();
        let expected = match path {
            "/fine" => (200, "fine".to_owned()),
            _ => (500, "Internal Server Error\n".to_owned()),
        };
        assert_eq!(read_answer(&mut client), expected);
    }
}

/// Runs `test` in a process of its own and returns what it has said.
fn said_by(test: &str) -> String {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
#[ignore = "run by the next one, which reads what it says"]
fn says_what_goes_wrong() {
    let server = start(|request: Request| {
        let path = request.uri().path().to_owned();
        match &*path {
            "/panic" => panic!("on purpose"),
            "/error" => Err(io::Error::other("this is wrong")),
            "/fault-of-the-client" => io::read_to_string(request.into_body()).map(Body::from),
            "/cut" => Ok(Body::writer(|_| Err(io::Error::other("this is cut")))),
            _ => Ok(Body::writer(|client| {
                loop {
                    client.write_all(&[0; 1000])?;
                }
            })),
        }
    });
    let addr = server.local_addr();
    for path in ["/panic?secret", "/error", "/cut"] {
        exchange(addr, get(path));
    }
    exchange(addr, "POST /fault-of-the-client HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    let mut client = connect(addr);
    client.write_all(get("/gone").as_bytes()).unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    drop(client);
    eventually("it has gone", || server.counters().clients() == 0);
}

#[test]
fn a_line_says_what_is_our_fault_and_none_what_is_the_clients() {
    let said = said_by("says_what_goes_wrong");
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("evy: ")).collect();
    assert_eq!(
        lines,
        [
            "evy: the handler of GET /panic has panicked",
            "evy: a handler of HTTP has failed: this is wrong",
            "evy: a handler of HTTP has cut its answer off: this is cut",
        ],
        "{said}"
    );
    assert!(said.contains("on purpose"));
}

#[test]
fn an_answer_that_panics_or_fails_on_its_way_is_cut_off_before_the_last_chunk() {
    let server = start(|request: Request| {
        let panics = request.uri().path() == "/panic";
        Response::new(Body::writer(move |client| {
            client.write_all(b"first")?;
            client.flush()?;
            client.write_all(b"lost")?;
            if panics {
                panic!("on purpose");
            }
            Err(io::Error::other("on purpose"))
        }))
    });
    for path in ["/panic", "/error"] {
        let mut client = connect(server.local_addr());
        client.write_all(get(path).repeat(2).as_bytes()).unwrap();
        let answer = read_all(&mut client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
        assert!(answer.ends_with("\r\n\r\n5\r\nfirst\r\n"), "{answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1);
    }
    assert_serves_error(&server);
}

/// That server still answers, if only in its way.
fn assert_serves_error(server: &evy_http::RunningServer) {
    assert!(exchange(server.local_addr(), get("/")).starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_answer_that_is_shorter_than_it_says_is_cut_off_and_a_longer_one_ends_where_it_says() {
    let server = start(|request: Request| {
        let length = request.uri().path()[1..].parse::<usize>().unwrap();
        let mut response = Response::new(Body::writer(|client| client.write_all(b"12345")));
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        response
    });
    for (length, body, is_kept) in [(5, "12345", true), (9, "12345", false), (3, "123", true)] {
        let mut client = connect(server.local_addr());
        client.write_all(get(&format!("/{length}")).repeat(2).as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let answers = read_all(&mut client);
        let first = answers.split_once("\r\n\r\n").unwrap().1;
        assert!(first.starts_with(body), "{length}: {answers:?}");
        assert!(answers.contains(&format!("content-length: {length}")), "{answers:?}");
        if is_kept {
            let second = answers.rsplit_once("\r\n\r\n").unwrap().1;
            assert_eq!((answers.matches("HTTP/1.1").count(), second), (2, body), "{answers:?}");
        } else {
            assert_eq!(first, body);
        }
    }
}

#[test]
fn a_length_that_is_not_that_of_the_bytes_is_mended() {
    let server = start(|request: Request| {
        let body = match request.uri().path() {
            "/empty" => Body::empty(),
            _ => Body::from("12345"),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        if request.method() == Method::GET {
            response.headers_mut().append(header::CONTENT_LENGTH, HeaderValue::from_static("9"));
        }
        response
    });
    let mut client = connect(server.local_addr());
    client.write_all([get("/"), get("/empty"), get("/")].concat().as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client), (200, "12345".to_owned()));
    assert_eq!(read_answer(&mut client), (200, String::new()));
    assert_eq!(read_answer(&mut client), (200, "12345".to_owned()));
    // The one that HEAD is told is that of another answer.
    client.write_all(b"HEAD /empty HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    assert!(read_all(&mut client).contains("content-length: 3\r\n"));
}

#[test]
fn the_next_writes_of_a_handler_fail_when_its_client_has_gone() {
    let kind = Rc::new(Cell::new(None));
    let was_gone = Rc::new(Cell::new(None));
    let (seen, gone) = (Rc::clone(&kind), Rc::clone(&was_gone));
    let server = start(move |request: Request| {
        let (seen, gone) = (Rc::clone(&seen), Rc::clone(&gone));
        if request.uri().path() == "/ping" {
            return "pong".into_response();
        }
        Response::new(Body::writer(move |client| {
            gone.set(Some(client.is_gone()));
            loop {
                if let Err(error) = writeln!(client, "tick").and_then(|()| client.flush()) {
                    seen.set(Some(error.kind()));
                    gone.set(Some(client.is_gone()));
                    return Err(error);
                }
                sleep(Duration::from_millis(1));
            }
        }))
    });
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    assert_eq!((kind.get(), was_gone.get()), (None, Some(false)));
    drop(client);
    eventually("the handler knows", || kind.get() == Some(ErrorKind::BrokenPipe));
    assert_eq!(was_gone.get(), Some(true));
    eventually("the connection has gone", || server.counters().clients() == 0);
    assert_serves(server.local_addr());
}

#[test]
fn a_client_that_goes_before_its_answer_costs_nobody_else_anything() {
    let ended = Rc::new(Cell::new(0));
    let count = Rc::clone(&ended);
    let server = start(move |request: Request| {
        if request.uri().path() != "/ping" {
            sleep(Duration::from_millis(20));
            count.set(count.get() + 1);
        }
        "hello"
    });
    for _ in 0..50 {
        let mut client = connect(server.local_addr());
        client.write_all(get("/").as_bytes()).unwrap();
    }
    eventually("the handlers have ended", || ended.get() == 50);
    eventually("the connections too", || server.counters().clients() == 0);
    assert_serves(server.local_addr());
}

#[test]
fn a_handler_that_is_killed_breaks_the_connection_off() {
    let victim = Rc::new(Cell::new(None));
    let seen = Rc::clone(&victim);
    let server = start(move |request: Request| {
        if request.uri().path() != "/ping" {
            seen.set(Some(evy_runtime::current()));
            sleep(Duration::MAX);
        }
        "hello"
    });
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    eventually("it has begun", || victim.get().is_some());
    assert!(evy_runtime::kill(victim.take().unwrap()));
    assert_eq!(read_all(&mut client), "");
    assert_serves(server.local_addr());
}

#[test]
fn a_head_204_and_304_have_no_body_and_their_writers_do_not_run() {
    let ran = Rc::new(Cell::new(0));
    let count = Rc::clone(&ran);
    let server = start(move |request: Request| {
        let count = Rc::clone(&count);
        let mut response = Response::new(match request.uri().query() {
            Some("bytes") => Body::from("a body"),
            _ => Body::writer(move |client| {
                count.set(count.get() + 1);
                client.write_all(b"a body")
            }),
        });
        let status = request.uri().path()[1..].parse().unwrap();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    });
    let mut client = connect(server.local_addr());
    for query in ["bytes", "writer"] {
        let head = format!("HEAD /200?{query} HTTP/1.1\r\nHost: test\r\n\r\n");
        let others = [204, 304].map(|status| get(&format!("/{status}?{query}"))).concat();
        client.write_all(format!("{head}{others}").as_bytes()).unwrap();
    }
    client
        .write_all(b"GET /404?bytes HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let answers = read_all(&mut client);
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 7, "{answers}");
    assert_eq!(answers.matches("a body").count(), 1, "{answers}");
    assert!(answers.ends_with("a body"), "{answers}");
    assert_eq!(ran.get(), 0);
}

#[test]
fn pieces_of_nothing_are_not_the_end_of_an_answer() {
    let server = start(|_: Request| {
        Response::new(Body::writer(|client| {
            client.flush()?;
            for piece in ["a", "", "b", ""] {
                client.send(piece.into())?;
                client.write_all(b"")?;
                client.flush()?;
            }
            Ok(())
        }))
    });
    let mut client = connect(server.local_addr());
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    assert!(read_all(&mut client).ends_with("\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"));
}

#[test]
fn a_status_that_cannot_be_the_last_is_500() {
    let server = start(|request: Request| match request.uri().path() {
        "/ping" => StatusCode::OK,
        _ => StatusCode::CONTINUE,
    });
    let answer = exchange(server.local_addr(), get("/"));
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer:?}");
    assert_serves(server.local_addr());
}

/// What an access log has got.
type Lines = Rc<RefCell<Vec<String>>>;

fn logging(lines: &Lines) -> impl Fn(&Access) + use<> {
    let lines = Rc::clone(lines);
    move |access| {
        assert!(access.peer.is_some_and(|peer| peer.ip().is_loopback()));
        assert!(access.time.elapsed().unwrap() < Duration::from_secs(60));
        let line = access.to_string();
        assert!(line.starts_with("127.0.0.1 [") && line.contains(" GMT] \""), "{line}");
        let Access { method, uri, version, status, bytes, .. } = access;
        let rest = format!("\"{method} {uri} {version:?}\" {} {bytes} ", status.as_u16());
        assert!(line.contains(&rest), "{line}");
        lines.borrow_mut().push(rest.trim_end().to_owned());
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request_that_was_understood() {
    let lines = Lines::default();
    let is_slow = Rc::new(Cell::new(false));
    let begun = Rc::clone(&is_slow);
    let server = server(move |request: Request| match request.uri().path() {
        "/panic" => panic!("on purpose"),
        "/stream" => Response::new(Body::reader(io::repeat(b'x').take(100_000))),
        "/slow" => {
            begun.set(true);
            sleep(Duration::from_millis(30));
            "hello".into_response()
        }
        "/cut" => Response::new(Body::writer(|client| {
            client.write_all(b"12345")?;
            client.flush()?;
            Err(io::Error::other("on purpose"))
        })),
        _ => "hello".into_response(),
    })
    .access_log(logging(&lines))
    .max_body(10)
    .start()
    .unwrap();
    let addr = server.local_addr();
    for path in ["/?x=y", "/panic", "/stream", "/cut"] {
        exchange(addr, get(path));
    }
    exchange(addr, "HEAD / HTTP/1.0\r\n\r\n");
    exchange(addr, "GET / HTTP/1.1\r\n\r\n");
    exchange(addr, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n");
    exchange(addr, "garbage\r\n\r\n");
    // Reset by a client that has not read its first answer.
    let mut client = connect(addr);
    client.write_all(get("/").as_bytes()).unwrap();
    eventually("it is answered", || lines.borrow().len() == 8);
    client.write_all(get("/slow").as_bytes()).unwrap();
    eventually("it has begun", || is_slow.get());
    drop(client);
    eventually("all have ended", || server.counters().clients() == 0);
    let lines = lines.take();
    assert_eq!(
        lines[..8],
        [
            "\"GET /?x=y HTTP/1.1\" 200 5",
            "\"GET /panic HTTP/1.1\" 500 22",
            "\"GET /stream HTTP/1.1\" 200 100000",
            "\"GET /cut HTTP/1.1\" 200 5",
            "\"HEAD / HTTP/1.0\" 200 0",
            "\"GET / HTTP/1.1\" 400 12",
            "\"POST / HTTP/1.1\" 413 18",
            "\"GET / HTTP/1.1\" 200 5",
        ]
    );
    assert_eq!(lines.len(), 9, "{lines:?}");
    assert!(lines[8].starts_with("\"GET /slow HTTP/1.1\" "), "{lines:?}");
}

#[test]
fn a_request_whose_handler_is_killed_is_503_in_the_log() {
    let lines = Lines::default();
    let begun = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&begun);
    let hang = move |_: Request| {
        theirs.set(true);
        sleep(Duration::MAX);
    };
    let server = server(hang).access_log(logging(&lines)).start().unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    eventually("it has begun", || begun.get());
    server.stop(Duration::from_millis(10));
    eventually("it is logged", || *lines.borrow() == ["\"GET / HTTP/1.1\" 503 0"]);
    drain(&mut client);
}

#[test]
fn a_log_that_panics_harms_nobody() {
    let server = server(|_: Request| "hello")
        .access_log(|access| assert!(access.uri.path() == "/ping", "on purpose"))
        .start()
        .unwrap();
    let mut client = connect(server.local_addr());
    for _ in 0..3 {
        client.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
    }
    assert_serves(server.local_addr());
}

#[test]
fn at_the_limit_of_clients_the_next_one_waits_for_a_place() {
    let server = server(|_: Request| "hello").max_clients(2).start().unwrap();
    let addr = server.local_addr();
    let mut clients = [connect(addr), connect(addr)];
    for client in &mut clients {
        client.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(read_answer(client).0, 200);
    }
    let answered = Rc::new(Cell::new(false));
    let waits = Rc::clone(&answered);
    let third = spawn(move || {
        let mut client = connect(addr);
        client.write_all(get("/").as_bytes()).unwrap();
        let answer = read_answer(&mut client);
        waits.set(true);
        answer
    });
    sleep(Duration::from_millis(20));
    assert!(!answered.get());
    assert_eq!(server.counters().clients(), 2);
    let [first, _second] = clients;
    drop(first);
    assert_eq!(third.wait().unwrap(), (200, "hello".to_owned()));
}

#[test]
fn handlers_whose_clients_have_gone_leave_no_memory_behind() {
    const NAME: &str = "handlers_whose_clients_have_gone_leave_no_memory_behind";
    if !runs_alone(NAME) {
        return;
    }
    let server = start(|request: Request| match request.uri().path() {
        "/ping" => Response::new("pong".into()),
        _ => Response::new(Body::reader(io::repeat(0))),
    });
    let round = || {
        for _ in 0..200 {
            let mut client = connect(server.local_addr());
            client.write_all(get("/").as_bytes()).unwrap();
            client.read_exact(&mut [0; 1000]).unwrap();
        }
        eventually("they have gone", || server.counters().clients() == 0);
    };
    round();
    let before = util::resident();
    for _ in 0..5 {
        round();
    }
    let more = util::resident().saturating_sub(before);
    assert!(more < 2 << 20, "{more}");
}
