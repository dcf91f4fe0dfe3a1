//! What answers may look like, whatever a handler returns, and who is still there to get them.

mod util;

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_http::{Body, IntoResponse, Request, Response, StatusCode, tunnel, upgrade};
use evy_runtime::sleep;
use util::{connect, eventually, exchange, get, read_all, read_answer, server, start};

/// RFC 9110, 15.3: neither has a body, and hyper would wait for the end of this one.
#[test]
fn an_answer_that_has_no_body_does_not_wait_for_a_writer() {
    let server = start(|request: Request| {
        let mut response = Response::new(Body::writer(|client| client.write_all(b"nothing")));
        let status = request.uri().path()[1..].parse().unwrap();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert("content-length", 7.into());
        response
    });
    for status in [204, 205] {
        let mut client = connect(server.local_addr());
        let requests = [get(&format!("/{status}")), get("/200")].concat();
        client.write_all(requests.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), (status, String::new()));
        assert_eq!(read_answer(&mut client), (200, "nothing".to_owned()));
    }
}

/// RFC 9110, 7.8.
#[test]
fn nobody_is_switched_to_a_protocol_that_he_has_not_asked_for() {
    let ran = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&ran);
    let server = start(move |_: Request| {
        let ran = Rc::clone(&theirs);
        upgrade("shout", move |_| ran.set(true))
    });
    let asks = "Connection: upgrade\r\nUpgrade: shout\r\n";
    for head in [
        "GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: shout\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.0\r\nHost: test\r\n{asks}\r\n"),
        format!("POST / HTTP/1.1\r\nHost: test\r\n{asks}Content-Length: 4\r\n\r\nbody"),
    ] {
        let answer = exchange(server.local_addr(), &head);
        assert!(answer.contains(" 426 "), "{head}: {answer}");
        assert!(answer.to_lowercase().contains("upgrade: shout\r\n"), "{answer}");
    }
    assert!(!ran.get());
}

/// Neither now nor when the connection ends, which hyper would take for the moment.
#[test]
fn an_upgrade_that_is_refused_is_never_carried_out() {
    let ran = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&ran);
    let server = start(move |request: Request| {
        let ran = Rc::clone(&theirs);
        match request.uri().path() {
            "/upgrade" => (StatusCode::FORBIDDEN, upgrade("shout", move |_| ran.set(true))),
            _ => (StatusCode::OK, "hello".into_response()),
        }
    });
    let mut client = connect(server.local_addr());
    let asks = "Connection: upgrade\r\nUpgrade: shout\r\n";
    write!(client, "GET /upgrade HTTP/1.1\r\nHost: test\r\n{asks}\r\n").unwrap();
    assert_eq!(read_answer(&mut client).0, 403);
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nshout").unwrap();
    assert!(read_all(&mut client).ends_with("hello"));
    server.stop(Duration::from_secs(5));
    assert!(!ran.get());
}

#[test]
fn connect_is_answered_by_a_tunnel_or_not_at_all() {
    let server = start(|request: Request| match request.uri().port_u16() {
        Some(443) => tunnel(|mut connection| {
            let mut bytes = [0; 5];
            connection.read_exact(&mut bytes).unwrap();
            connection.write_all(&bytes.to_ascii_uppercase()).unwrap();
        }),
        _ => Response::new("no tunnel".into()),
    });
    let mut client = connect(server.local_addr());
    client.write_all(b"CONNECT here:443 HTTP/1.1\r\nHost: here:443\r\n\r\nhello").unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nHELLO"), "{answer}");
    let answer = exchange(server.local_addr(), "CONNECT here:80 HTTP/1.1\r\nHost: here:80\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
}

/// A handler that passes on another server's head cannot change the protocol by it.
#[test]
fn the_version_of_an_answer_is_that_of_the_connection() {
    let server = start(|_: Request| {
        let mut response = Response::new("hello".into());
        *response.version_mut() = evy_http::Version::HTTP_3;
        response
    });
    let mut client = connect(server.local_addr());
    for _ in 0..2 {
        client.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), (200, "hello".to_owned()));
    }
}

/// FAULTS row 11: hyper does not read while a handler is at work, and would not notice.
#[test]
fn fault_11_a_client_that_resets_the_connection_is_gone_though_its_handler_waits() {
    let server = server(|_: Request| {
        Body::writer(|client| {
            client.write_all(b"first")?;
            client.flush()?;
            while !client.is_gone() {
                sleep(Duration::from_millis(1));
            }
            Ok(())
        })
    });
    let server = server.idle_timeout(Duration::from_millis(100)).start().unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    client.read_exact(&mut [0; 20]).unwrap();
    assert_eq!(server.counters().clients(), 1);
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually("the client is gone", || server.counters().clients() == 0);
}

/// FAULTS row 16: else a client could come again and again, and leave a handler behind each time.
#[test]
fn fault_16_a_client_counts_until_its_handlers_have_ended() {
    let go = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&go);
    let server = server(move |_: Request| {
        while !theirs.get() {
            sleep(Duration::from_millis(1));
        }
        "answer"
    });
    let server = server.idle_timeout(Duration::from_millis(100)).max_clients(1).start().unwrap();
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    eventually("the client is there", || server.counters().accepted() == 1);
    sleep(Duration::from_millis(20));
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let mut next = connect(server.local_addr());
    next.write_all(get("/").as_bytes()).unwrap();
    sleep(Duration::from_millis(100));
    assert_eq!(server.counters().accepted(), 1);
    go.set(true);
    assert_eq!(read_answer(&mut next), (200, "answer".to_owned()));
}

/// What a connection keeps from one request for the next is left alone while the first handler has it.
#[test]
fn a_handler_that_outlives_its_answer_does_not_meet_the_next_request() {
    let go = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&go);
    let server = start(move |request: Request| {
        let go = Rc::clone(&theirs);
        let path = request.uri().path().to_owned();
        let is_first = path == "/first";
        let length = path.len();
        let mut response = Response::new(Body::writer(move |client| {
            client.write_all(path.as_bytes())?;
            client.flush()?;
            while is_first && !go.get() {
                sleep(Duration::from_millis(1));
            }
            Ok(())
        }));
        response.headers_mut().insert("content-length", length.into());
        response
    });
    let mut client = connect(server.local_addr());
    for path in ["/first", "/second", "/third"] {
        client.write_all(get(path).as_bytes()).unwrap();
        assert_eq!(read_answer(&mut client), (200, path.to_owned()));
    }
    go.set(true);
    client.write_all(get("/fourth").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client), (200, "/fourth".to_owned()));
}

/// What a connection keeps for its next request goes with it, though it has the connection in turn.
#[test]
fn a_connection_that_has_ended_holds_on_to_nothing() {
    let held = Rc::new(());
    let theirs = Rc::clone(&held);
    let server = start(move |_: Request| {
        let _theirs = &theirs;
        "answer"
    });
    for half_close in [true, false] {
        let mut client = connect(server.local_addr());
        for _ in 0..2 {
            client.write_all(get("/").as_bytes()).unwrap();
            assert_eq!(read_answer(&mut client), (200, "answer".to_owned()));
        }
        if half_close {
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut client), "");
        }
    }
    server.stop(Duration::from_secs(5));
    drop(server);
    eventually("nobody has the handler", || Rc::strong_count(&held) == 1);
}

/// The protocol's handler holds on to the request, as it may, and that to the connection.
#[test]
fn an_upgrade_that_comes_when_the_client_has_gone_holds_on_to_nothing() {
    let held = Rc::new(());
    let theirs = Rc::clone(&held);
    let server = start(move |request: Request| {
        let theirs = Rc::clone(&theirs);
        // While a handler is at it, who watches the connections finds the reset within a second.
        sleep(Duration::from_millis(1_500));
        upgrade("shout", move |_| drop((request, theirs)))
    });
    let mut client = connect(server.local_addr());
    client.set_linger(Some(Duration::ZERO)).unwrap();
    let asks = "Connection: upgrade\r\nUpgrade: shout\r\n";
    write!(client, "GET / HTTP/1.1\r\nHost: test\r\n{asks}\r\n").unwrap();
    eventually("the handler has begun", || Rc::strong_count(&held) == 3);
    drop(client);
    server.stop(Duration::from_secs(5));
    drop(server);
    eventually("nobody has the upgrade", || Rc::strong_count(&held) == 1);
}
