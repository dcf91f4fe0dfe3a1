//! HTTP/2: in clear by prior knowledge, under TLS by ALPN; many streams, floods, limits, stopping.

mod util;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evy_green_net::TcpStream;
use evy_green_net::adapt::Async;
use evy_http::{
    Access, Body, IntoResponse, Method, Request, Response, RunningServer, Server, StatusCode,
};
use evy_runtime::{block_on, join_all, sleep, spawn, spawn_eager, spawn_future, spawn_n};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use util::{assert_serves, connect, drain, eventually, resident, runs_alone, server, start};

const MIB: usize = 1024 * 1024;
const SHORT: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(60);

/// A client of HTTP/2. Its connection is polled in the background; how it has ended is left here.
#[derive(Clone)]
struct Client {
    send: SendRequest<Bytes>,
    end: Rc<RefCell<Option<Result<(), h2::Error>>>>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        Self::with(&mut h2::client::Builder::new(), addr)
    }

    fn with(builder: &mut h2::client::Builder, addr: SocketAddr) -> Self {
        Self::over(builder, Async::new(connect(addr)))
    }

    fn over<S>(builder: &mut h2::client::Builder, stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let (send, connection) = block_on(builder.handshake(stream)).unwrap();
        let end = Rc::new(RefCell::new(None));
        let ended = Rc::clone(&end);
        spawn_future(async move {
            let result = connection.await;
            *ended.borrow_mut() = Some(result);
        });
        Self { send, end }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        http::Request::builder().method(method).uri(format!("http://test{path}"))
    }

    /// Sends a head, and no body if it is to end with it.
    fn send(&self, request: http::Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = block_on(self.send.clone().ready()).unwrap();
        send.send_request(request, ends).unwrap()
    }

    /// Asks for `path`, and returns the status and the body.
    fn get(&self, path: &str) -> Result<(u16, Vec<u8>), h2::Error> {
        let request = self.request(Method::GET, path).body(()).unwrap();
        let (answer, _) = self.send(request, true);
        read(answer)
    }

    fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }
}

fn read(answer: ResponseFuture) -> Result<(u16, Vec<u8>), h2::Error> {
    let (head, mut body) = block_on(answer)?.into_parts();
    Ok((head.status.as_u16(), read_body(&mut body)?))
}

/// All of a body, and room for more of it each time.
fn read_body(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = block_on(body.data()) {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// Sends `bytes`, as there is room for them.
fn write(stream: &mut SendStream<Bytes>, mut bytes: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = match block_on(poll_fn(|context| stream.poll_capacity(context))) {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        let piece = bytes.split_to(room.min(bytes.len()));
        stream.send_data(piece, ends && bytes.is_empty())?;
    }
    Ok(())
}

/// A server for most of these.
fn app(mut request: Request) -> Response {
    match request.uri().path() {
        "/slow" => {
            sleep(Duration::from_millis(20));
            "slow".into_response()
        }
        "/echo" => Response::new(Body::reader(request.into_body())),
        "/length" => io::copy(request.body_mut(), &mut io::sink())
            .map(|length| length.to_string())
            .into_response(),
        "/long" => Response::new(Body::from(vec![b'x'; 8 * MIB])),
        "/endless" => Response::new(Body::reader(io::repeat(b'x'))),
        "/one" => Response::new(Body::writer(|client| {
            client.write_all(b"one")?;
            client.flush()?;
            sleep(Duration::MAX);
            Ok(())
        })),
        "/panic" => panic!("on purpose"),
        "/cut" => Response::new(Body::writer(|client| {
            client.write_all(b"so far")?;
            client.flush()?;
            Err(io::Error::other("on purpose"))
        })),
        _ => format!("{} {} {:?}", request.method(), request.uri(), request.version())
            .into_response(),
    }
}

#[test]
fn by_prior_knowledge_the_second_version_is_spoken_on_the_port_of_the_first() {
    let server = start(app);
    let client = Client::connect(server.local_addr());
    for path in ["/", "/a?b"] {
        let (status, body) = client.get(path).unwrap();
        let text = format!("GET http://test{path} HTTP/2.0");
        assert_eq!((status, String::from_utf8(body).unwrap()), (200, text));
    }
    assert_serves(server.local_addr());
}

#[cfg(feature = "tls")]
#[test]
fn under_tls_the_version_is_the_one_that_both_have_agreed_on() {
    let handler = |request: Request| {
        let info = request.body().connection();
        assert!(info.is_tls && info.peer_addr.is_some());
        format!("{:?}", request.version())
    };
    for (alpn, version) in
        [(&["h2"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let (acceptor, connector) = util::tls_with(alpn);
        let server = server(handler).tls(acceptor).start().unwrap();
        let mut stream = connector.connect("localhost", connect(server.local_addr())).unwrap();
        if version == "HTTP/2.0" {
            let client = Client::over(&mut h2::client::Builder::new(), Async::new(stream));
            assert_eq!(client.get("/").unwrap(), (200, version.as_bytes().to_vec()));
        } else {
            stream.write_all(util::get("/").as_bytes()).unwrap();
            assert_eq!(util::read_answer(&mut stream), (200, version.to_owned()));
        }
    }
}

#[test]
fn a_preface_in_pieces_is_one() {
    let server = start(app);
    let mut stream = connect(server.local_addr());
    for byte in PREFACE.iter().chain(&frame(4, 0, 0, b"")) {
        stream.write_all(&[*byte]).unwrap();
        evy_runtime::yield_now();
    }
    // Settings come back.
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "{head:?}");
}

/// None is answered before all are there.
#[test]
fn many_streams_are_served_at_once() {
    const STREAMS: usize = 200;
    let begun = Rc::new(Cell::new(0));
    let server = start(move |_: Request| {
        begun.set(begun.get() + 1);
        eventually("all have begun", || begun.get() == STREAMS);
        "hello"
    });
    let client = Client::connect(server.local_addr());
    let asking: Vec<_> = (0..STREAMS)
        .map(|_| {
            let client = client.clone();
            spawn(move || client.get("/").unwrap())
        })
        .collect();
    for answer in join_all(asking) {
        assert_eq!(answer.unwrap(), (200, b"hello".to_vec()));
    }
    assert_eq!(server.counters().accepted(), 1);
}

#[test]
fn long_bodies_go_both_ways_at_once_within_the_windows() {
    let server = start(app);
    let client = Client::connect(server.local_addr());
    let rounds: Vec<_> = (0..3_u8)
        .map(|n| {
            let client = client.clone();
            spawn(move || {
                let request = client.request(Method::POST, "/echo").body(()).unwrap();
                let (answer, mut stream) = client.send(request, false);
                let bytes: Vec<u8> = (0..3 * MIB).map(|i| (i / 7) as u8 ^ n).collect();
                let sent = Bytes::from(bytes.clone());
                let writing = spawn(move || write(&mut stream, sent, true));
                let (status, body) = read(answer).unwrap();
                writing.wait().unwrap().unwrap();
                assert_eq!(status, 200);
                assert!(body == bytes);
            })
        })
        .collect();
    join_all(rounds).into_iter().for_each(|round| round.unwrap());
    assert_eq!(client.get("/long").unwrap().1.len(), 8 * MIB);
}

#[test]
fn a_panic_is_500_and_an_answer_that_is_cut_off_is_a_reset_of_its_stream_alone() {
    let server = start(app);
    let client = Client::connect(server.local_addr());
    assert_eq!(client.get("/panic").unwrap().0, 500);
    let error = client.get("/cut").unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(client.get("/").unwrap().0, 200);
}

#[test]
fn the_next_writes_of_a_handler_fail_when_its_stream_was_reset() {
    let kind = Rc::new(Cell::new(None));
    let seen = Rc::clone(&kind);
    let server = start(move |request: Request| {
        let seen = Rc::clone(&seen);
        if request.uri().path() == "/" {
            return "hello".into_response();
        }
        Response::new(Body::writer(move |client| {
            loop {
                if let Err(error) = writeln!(client, "tick").and_then(|()| client.flush()) {
                    seen.set(Some(error.kind()));
                    return Err(error);
                }
                sleep(Duration::from_millis(1));
            }
        }))
    });
    let client = Client::connect(server.local_addr());
    let request = client.request(Method::GET, "/endless").body(()).unwrap();
    let (answer, mut stream) = client.send(request, true);
    let mut answer = block_on(answer).unwrap().into_body();
    assert!(block_on(answer.data()).is_some());
    stream.send_reset(Reason::CANCEL);
    eventually("the handler knows", || kind.get() == Some(ErrorKind::BrokenPipe));
    assert_eq!(client.get("/").unwrap().0, 200);
}

#[test]
fn a_request_whose_stream_is_reset_before_its_answer_is_499_in_the_log() {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&lines);
    let begun = Rc::new(Cell::new(false));
    let was_asked = Rc::clone(&begun);
    // The first time.
    let hang = move |_: Request| {
        if !was_asked.replace(true) {
            sleep(Duration::MAX)
        }
    };
    let server = server(hang)
        .access_log(move |access: &Access| log.borrow_mut().push(access.status.as_u16()))
        .start()
        .unwrap();
    let client = Client::connect(server.local_addr());
    let request = client.request(Method::GET, "/").body(()).unwrap();
    let (answer, mut stream) = client.send(request, true);
    eventually("it has begun", || begun.get());
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    eventually("it is logged", || *lines.borrow() == [499]);
    assert_eq!(client.get("/").unwrap().0, 200);
    assert_eq!(*lines.borrow(), [499, 200]);
}

#[test]
fn fault_18_what_is_too_long_is_refused() {
    let server = server(app).max_body(1000).start().unwrap();
    let client = Client::connect(server.local_addr());
    let long = format!("/{}", "x".repeat(9000));
    assert_eq!(client.get(&long).unwrap().0, 414);

    let request = client.request(Method::POST, "/length").header("content-length", 1001);
    let (answer, _stream) = client.send(request.body(()).unwrap(), false);
    assert_eq!(read(answer).unwrap().0, 413);

    // Not announced: found out by the handler.
    let request = client.request(Method::POST, "/length").body(()).unwrap();
    let (answer, mut stream) = client.send(request, false);
    write(&mut stream, vec![0; 2000].into(), true).unwrap();
    assert_eq!(read(answer).unwrap().0, 413);

    let request = client.request(Method::POST, "/length").body(()).unwrap();
    let (answer, mut stream) = client.send(request, false);
    write(&mut stream, vec![0; 1000].into(), true).unwrap();
    assert_eq!(read(answer).unwrap(), (200, b"1000".to_vec()));

    let fields = (0..10).fold(client.request(Method::GET, "/"), |request, n| {
        request.header(format!("x{n}"), "y".repeat(7000))
    });
    let (answer, _) = client.send(fields.body(()).unwrap(), true);
    assert_eq!(read(answer).unwrap().0, 431);
    assert_eq!(client.get("/").unwrap().0, 200);
}

#[test]
fn fault_19_a_host_that_is_not_the_authority_is_refused() {
    let server = start(app);
    let client = Client::connect(server.local_addr());
    for (host, status) in [("test", 200), ("evil", 400), ("test:81", 400), ("te st", 400)] {
        let request = client.request(Method::GET, "/").header("host", host).body(()).unwrap();
        let (answer, _) = client.send(request, true);
        assert_eq!(read(answer).unwrap().0, status, "{host}");
    }
    let request = client.request(Method::GET, "/").header("host", "test").header("host", "test");
    let (answer, _) = client.send(request.body(()).unwrap(), true);
    assert_eq!(read(answer).unwrap().0, 400);
}

#[test]
fn a_length_that_is_not_that_of_the_body_is_an_error_of_its_stream() {
    let server = start(app);
    let client = Client::connect(server.local_addr());
    for sent in [3, 7] {
        let request = client.request(Method::POST, "/length").header("content-length", 5);
        let (answer, mut stream) = client.send(request.body(()).unwrap(), false);
        write(&mut stream, vec![0; sent].into(), true).unwrap();
        match read(answer) {
            Ok((status, _)) => assert_eq!(status, 400),
            Err(error) => assert!(error.is_reset(), "{error}"),
        }
    }
    assert_eq!(client.get("/").unwrap().0, 200);
}

#[test]
fn a_head_and_204_have_no_body() {
    let server = start(|request: Request| {
        let mut response = match request.uri().query() {
            Some("writer") => Response::new(Body::writer(|client| client.write_all(b"a body"))),
            _ => "a body".into_response(),
        };
        if request.uri().path() == "/204" {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    });
    let client = Client::connect(server.local_addr());
    for (method, path) in [
        (Method::HEAD, "/?bytes"),
        (Method::HEAD, "/?writer"),
        (Method::GET, "/204?bytes"),
        (Method::GET, "/204?writer"),
    ] {
        let request = client.request(method.clone(), path).body(()).unwrap();
        let (answer, _) = client.send(request, true);
        let (head, mut body) = block_on(answer).unwrap().into_parts();
        assert_eq!(read_body(&mut body).unwrap(), b"", "{method} {path}");
        if (method, path) == (Method::HEAD, "/?bytes") {
            assert_eq!(head.headers["content-length"], "6");
        }
    }
    assert_eq!(client.get("/").unwrap().1, b"a body");
}

// Times

#[test]
fn fault_17_an_idle_connection_is_told_to_go_and_closed() {
    let server = server(app).idle_timeout(SHORT).start().unwrap();
    let client = Client::connect(server.local_addr());
    client.get("/").unwrap();
    let start = Instant::now();
    eventually("it has ended", || client.has_ended());
    assert!(start.elapsed() >= SHORT.mul_f64(0.8), "{:?}", start.elapsed());
    client.end.borrow_mut().take().unwrap().expect("it was a clean end");
}

#[test]
fn fault_17_a_client_that_does_not_answer_to_that_is_cut_off() {
    let server = server(app).idle_timeout(SHORT).start().unwrap();
    let mut stream = raw(server.local_addr());
    let start = Instant::now();
    let got = drain(&mut stream);
    assert!(got > 0 && start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    eventually("it has gone", || server.counters().clients() == 0);
}

#[test]
fn fault_17_pings_do_not_keep_an_idle_connection() {
    let server = server(app).idle_timeout(SHORT * 2).start().unwrap();
    let mut stream = raw(server.local_addr());
    let mut writer = stream.try_clone().unwrap();
    let pinging = spawn(move || {
        while writer.write_all(&frame(6, 0, 0, &[0; 8])).is_ok() {
            sleep(Duration::from_millis(5));
        }
    });
    let start = Instant::now();
    drain(&mut stream);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    pinging.wait().unwrap();
}

#[test]
fn fault_17_a_body_that_does_not_come_is_not_waited_for() {
    let server = server(app).min_rate(1000, SHORT).start().unwrap();
    let client = Client::connect(server.local_addr());
    let request = client.request(Method::POST, "/length").body(()).unwrap();
    let (answer, _stream) = client.send(request, false);
    let start = Instant::now();
    assert!(read(answer).is_err());
    assert!(start.elapsed() >= SHORT.mul_f64(0.8), "{:?}", start.elapsed());
    assert_serves(server.local_addr());
}

/// How long a body was, or why it has not come to its end.
type Seen = Rc<Cell<Option<Result<u64, ErrorKind>>>>;

/// A handler that answers at once, and what became of the body that is read behind that.
fn late() -> (impl Fn(Request) -> &'static str, Seen) {
    let seen = Seen::default();
    let sees = Rc::clone(&seen);
    let handler = move |request: Request| {
        let (sees, mut body) = (Rc::clone(&sees), request.into_body());
        spawn_n(move || {
            let result = io::copy(&mut body, &mut io::sink());
            sees.set(Some(result.map_err(|error| error.kind())));
        });
        "hello"
    };
    (handler, seen)
}

#[test]
fn fault_17_a_body_that_is_read_behind_its_answer_is_not_idle() {
    let (handler, seen) = late();
    let server = server(handler).idle_timeout(SHORT).min_rate(1000, SHORT * 4).start().unwrap();
    let client = Client::connect(server.local_addr());
    let request = client.request(Method::POST, "/").body(()).unwrap();
    let (answer, mut stream) = client.send(request, false);
    assert_eq!(read(answer).unwrap(), (200, b"hello".to_vec()));
    // Longer than an idle connection has, and its farewell.
    for n in 0..60 {
        sleep(SHORT / 4);
        write(&mut stream, vec![0; 500].into(), n == 59).unwrap();
    }
    eventually("it was read", || seen.take() == Some(Ok(30_000)));
    eventually("it has ended", || client.has_ended());
    client.end.borrow_mut().take().unwrap().expect("it was a clean end");
}

#[test]
fn fault_17_a_body_that_does_not_come_behind_its_answer_is_not_waited_for() {
    let (handler, seen) = late();
    let server = server(handler).min_rate(1000, SHORT).start().unwrap();
    let client = Client::connect(server.local_addr());
    let request = client.request(Method::POST, "/").body(()).unwrap();
    let start = Instant::now();
    let (answer, _stream) = client.send(request, false);
    assert_eq!(read(answer).unwrap(), (200, b"hello".to_vec()));
    eventually("the reader knows", || seen.take() == Some(Err(ErrorKind::UnexpectedEof)));
    assert!(start.elapsed() >= SHORT.mul_f64(0.8), "{:?}", start.elapsed());
    eventually("it has gone", || server.counters().clients() == 0);
}

#[test]
fn fault_46_a_server_that_stops_waits_for_a_body_behind_its_answer() {
    let (handler, seen) = late();
    let server = start(handler);
    let client = Client::connect(server.local_addr());
    let request = client.request(Method::POST, "/").body(()).unwrap();
    let (answer, mut stream) = client.send(request, false);
    assert_eq!(read(answer).unwrap(), (200, b"hello".to_vec()));
    let stopping = spawn_eager(move || server.stop(GRACE));
    // Longer than the farewell of a connection that has nothing to do.
    sleep(SHORT * 15);
    assert_eq!(seen.take(), None);
    write(&mut stream, vec![0; 500].into(), true).unwrap();
    stopping.wait().unwrap();
    assert_eq!(seen.take(), Some(Ok(500)));
}

#[test]
fn fault_16_a_client_whose_window_stays_shut_is_cut_off() {
    for path in ["/endless", "/long", "/one"] {
        let server = server(app).min_rate(1_000_000_000, SHORT).start().unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let client = Client::with(&mut builder, server.local_addr());
        let request = client.request(Method::GET, path).body(()).unwrap();
        let (answer, _) = client.send(request, true);
        let _body = block_on(answer).unwrap();
        let start = Instant::now();
        eventually("it has ended", || client.has_ended());
        assert!(start.elapsed() >= SHORT.mul_f64(0.8), "{path}: {:?}", start.elapsed());
        // It counts until its handler has ended, and this one never does.
        if path != "/one" {
            eventually("it has gone", || server.counters().clients() == 0);
        }
        assert_serves(server.local_addr());
    }
}

// Stopping

/// The one that has sent nothing yet has a second for it.
#[test]
fn fault_46_idle_connections_are_told_to_go() {
    let go_before_it = || {
        let server = start(app);
        // Whoever closed all at once would close it first.
        let mut silent = connect(server.local_addr());
        let clients: Vec<_> = (0..10).map(|_| Client::connect(server.local_addr())).collect();
        for client in &clients {
            client.get("/").unwrap();
        }
        let stopping = spawn_eager(move || server.stop(GRACE));
        drain(&mut silent);
        let have_gone = clients.iter().all(Client::has_ended);
        let stopped = stopping.wait().unwrap();
        assert_eq!((stopped.finished, stopped.killed), (11, 0));
        for client in clients {
            eventually("it has ended", || client.has_ended());
            client.end.borrow_mut().take().unwrap().expect("it was a clean end");
        }
        have_gone
    };
    // The machine may be busy with other things for that second.
    assert!((0..5).any(|_| go_before_it()));
}

#[test]
fn fault_46_streams_under_way_get_their_answers() {
    let (begun, is_stopping) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (count, stops) = (Rc::clone(&begun), Rc::clone(&is_stopping));
    let server = start(move |request: Request| {
        count.set(count.get() + 1);
        if request.uri().path() == "/slow" {
            eventually("it stops", || stops.get());
        }
        app(request)
    });
    let client = Client::connect(server.local_addr());
    let asking: Vec<_> = (0..100)
        .map(|n| {
            let client = client.clone();
            let path = if n % 2 == 0 { "/slow" } else { "/long" };
            spawn(move || client.get(path))
        })
        .collect();
    eventually("all have begun", || begun.get() == 100);
    let stopping = spawn_eager(move || server.stop(GRACE));
    is_stopping.set(true);
    for answer in join_all(asking) {
        let (status, body) = answer.unwrap().unwrap();
        assert_eq!(status, 200);
        assert!(body == b"slow" || body.len() == 8 * MIB);
    }
    let stopped = stopping.wait().unwrap();
    assert_eq!((stopped.finished, stopped.killed), (1, 0));
    eventually("it has ended", || client.has_ended());
}

#[test]
fn fault_46_streams_that_hang_are_cut_when_the_grace_is_over() {
    let begun = Rc::new(Cell::new(0));
    let count = Rc::clone(&begun);
    let server = start(move |_: Request| {
        count.set(count.get() + 1);
        sleep(Duration::MAX);
    });
    let client = Client::connect(server.local_addr());
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            spawn(move || client.get("/"))
        })
        .collect();
    eventually("they have begun", || begun.get() == 3);
    let stopped = server.stop(SHORT);
    assert_eq!((stopped.finished, stopped.killed), (0, 1));
    for answer in join_all(asking) {
        assert!(answer.unwrap().is_err());
    }
}

#[test]
fn fault_46_a_client_that_does_not_answer_is_not_waited_for_beyond_the_grace() {
    let server = start(app);
    let _stream = raw(server.local_addr());
    let start = Instant::now();
    server.stop(SHORT * 3);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

// Floods

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The head of `GET path` for `test`, by the static table of HPACK.
fn head(path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x86, 0x41, 4];
    head.extend_from_slice(b"test");
    head.extend_from_slice(&[0x04, path.len() as u8]);
    head.extend_from_slice(path.as_bytes());
    head
}

/// A connection on which the prefaces of both sides have been sent.
fn raw(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr);
    stream.write_all(&[PREFACE, &frame(4, 0, 0, b"")].concat()).unwrap();
    stream
}

/// How many handlers run, and how many there were at most.
#[derive(Clone, Default)]
struct Handlers {
    running: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
    all: Rc<Cell<usize>>,
}

impl Handlers {
    fn server(&self, time: Duration) -> Server<evy_green_net::TcpListener> {
        let handlers = self.clone();
        server(move |request: Request| {
            if request.uri().path() == "/ping" {
                return "pong";
            }
            let Self { running, most, all } = &handlers;
            all.set(all.get() + 1);
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            struct Leave<'a>(&'a Cell<usize>);
            impl Drop for Leave<'_> {
                fn drop(&mut self) {
                    self.0.set(self.0.get() - 1);
                }
            }
            let _leave = Leave(running);
            sleep(time);
            "hello"
        })
    }
}

/// Sends what `make` gives, over and over, and throws away what comes back; returns how many bytes went.
fn flood(
    server: &RunningServer,
    limit: usize,
    mut make: impl FnMut(u32) -> Vec<u8> + 'static,
) -> usize {
    let mut stream = raw(server.local_addr());
    let mut writer = stream.try_clone().unwrap();
    let reading = spawn(move || drain(&mut stream));
    let mut sent = 0;
    for n in 0.. {
        let bytes = make(n);
        if sent >= limit || writer.write_all(&bytes).is_err() {
            break;
        }
        sent += bytes.len();
    }
    let _ = writer.shutdown(std::net::Shutdown::Both);
    drop(reading.wait());
    assert_serves(server.local_addr());
    sent
}

#[test]
fn fault_44_streams_that_are_reset_as_soon_as_they_are_made_end_the_connection_or_cost_little() {
    const NAME: &str = "fault_44_streams_that_are_reset_as_soon_as_they_are_made_end_the_connection_or_cost_little";
    if !runs_alone(NAME) {
        return;
    }
    let handlers = Handlers::default();
    let server = handlers.server(Duration::from_millis(200)).start().unwrap();
    let open = |stream: u32| frame(1, 5, stream, &head("/"));
    let give_up = |stream: u32| frame(3, 0, stream, &[0, 0, 0, 8]);
    // So many that nobody has looked at yet are too many for hyper.
    let at_once = move |n: u32| [open(2 * n + 1), give_up(2 * n + 1)].concat();
    // In two steps, so that each has a handler by then.
    let in_steps = move |n: u32| -> Vec<u8> {
        evy_runtime::yield_now();
        let streams = (0..50).map(|i| 100 * (n / 2) + 2 * i + 1);
        match n % 2 {
            0 => streams.flat_map(open).collect(),
            _ => streams.flat_map(give_up).collect(),
        }
    };
    flood(&server, MIB, at_once);
    flood(&server, MIB / 8, in_steps);
    let before = resident();
    for _ in 0..3 {
        let sent = flood(&server, 20 * MIB, at_once);
        assert!(sent < 20 * MIB, "{sent}");
        flood(&server, MIB / 8, in_steps);
    }
    println!("{} handlers, {} at once", handlers.all.get(), handlers.most.get());
    assert!(handlers.all.get() > 100, "{}", handlers.all.get());
    assert!(handlers.most.get() <= 4 * 400, "{}", handlers.most.get());
    let more = resident().saturating_sub(before);
    println!("{more} bytes more");
    assert!(more < 32 * MIB, "{more}");
    eventually("the handlers have ended", || handlers.running.get() == 0);
    eventually("the connections have gone", || server.counters().clients() == 0);
}

#[test]
fn fault_44_handlers_of_streams_that_were_given_up_are_bounded_for_each_connection() {
    let handlers = Handlers::default();
    let server = handlers.server(Duration::from_secs(2)).start().unwrap();
    let client = Client::connect(server.local_addr());
    // Slowly enough for hyper, which counts those that it has not looked at yet.
    for _ in 0..1000 {
        let request = client.request(Method::GET, "/").body(()).unwrap();
        let (_answer, mut stream) = client.send(request, true);
        for _ in 0..10 {
            evy_runtime::yield_now();
        }
        stream.send_reset(Reason::CANCEL);
    }
    assert_eq!(handlers.most.get(), 400);
    // Whoever has so many of them gets no more, and everybody else does.
    assert_eq!(client.get("/").unwrap().0, 503);
    assert_serves(server.local_addr());
}

#[test]
fn fault_44_a_head_that_goes_on_for_ever_ends_the_connection_and_takes_no_memory() {
    const NAME: &str =
        "fault_44_a_head_that_goes_on_for_ever_ends_the_connection_and_takes_no_memory";
    if !runs_alone(NAME) {
        return;
    }
    let server = start(app);
    let before = resident();
    let sent = flood(&server, 100 * MIB, |n| match n {
        0 => frame(1, 1, 1, &head("/")),
        // A field of 16,000 bytes, without an end of the head.
        _ => frame(9, 0, 1, &[&[0x00, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat()),
    });
    println!("{sent} bytes");
    assert!(sent < 20 * MIB, "{sent}");
    // Frames without anything in them.
    let sent = flood(&server, 100 * MIB, |n| match n {
        0 => frame(1, 1, 1, &head("/")),
        _ => frame(9, 0, 1, b"").repeat(1000),
    });
    println!("{sent} bytes in empty ones");
    assert!(sent < 20 * MIB, "{sent}");
    let more = resident().saturating_sub(before);
    assert!(more < 8 * MIB, "{more}");
}

#[test]
fn fault_44_pings_settings_and_empty_frames_take_no_memory() {
    const NAME: &str = "fault_44_pings_settings_and_empty_frames_take_no_memory";
    if !runs_alone(NAME) {
        return;
    }
    let server = start(app);
    let before = resident();
    let floods: [fn(u32) -> Vec<u8>; 5] = [
        |_| frame(6, 0, 0, &[0; 8]).repeat(100),
        |_| frame(4, 0, 0, b"").repeat(100),
        |_| frame(2, 0, 1, &[0, 0, 0, 0, 16]).repeat(100),
        |_| frame(8, 0, 0, &[0, 0, 0, 1]).repeat(100),
        // Of a kind that nobody knows.
        |_| frame(0x7f, 0, 0, &[0; 100]).repeat(100),
    ];
    for (n, make) in floods.into_iter().enumerate() {
        let sent = flood(&server, 4 * MIB, make);
        println!("{n}: {sent} bytes");
    }
    let more = resident().saturating_sub(before);
    assert!(more < 8 * MIB, "{more}");
}

#[test]
fn fault_44_a_client_that_pings_and_reads_nothing_is_cut_off() {
    let server = server(app).min_rate(1_000_000_000, SHORT).idle_timeout(SHORT).start().unwrap();
    let mut stream = raw(server.local_addr());
    let start = Instant::now();
    let pings = frame(6, 0, 0, &[0; 8]).repeat(1000);
    while stream.write_all(&pings).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    eventually("it has gone", || server.counters().clients() == 0);
    assert_serves(server.local_addr());
}

#[test]
fn fault_44_what_breaks_the_rules_ends_the_connection() {
    let server = start(app);
    let rows: [(&str, Vec<u8>); 10] = [
        ("a frame that is too large", frame(0, 0, 1, &vec![0; 20_000])),
        ("data of no stream", frame(0, 0, 0, b"x")),
        ("a head of no stream", frame(1, 5, 0, &head("/"))),
        ("a head of an even stream", frame(1, 5, 2, &head("/"))),
        ("a head that is no HPACK", frame(1, 5, 1, &[0xff; 20])),
        ("a window that overflows", frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ("a window of 0", frame(8, 0, 0, &[0; 4])),
        ("a ping of 7 bytes", frame(6, 0, 0, &[0; 7])),
        ("settings of 5 bytes", frame(4, 0, 0, &[0; 5])),
        ("a continuation of nothing", frame(9, 4, 1, &head("/"))),
    ];
    for (name, bytes) in rows {
        let mut stream = raw(server.local_addr());
        stream.write_all(&bytes).unwrap();
        let got = drain(&mut stream);
        assert!(got > 0, "{name}");
        assert_serves(server.local_addr());
    }
    eventually("they have gone", || server.counters().clients() == 0);
}

#[test]
fn fault_18_the_answer_that_refuses_arrives_while_the_client_sends_megabytes() {
    let server = start(|mut request: Request| request.body_mut().bytes(1000));
    let client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let request = client.request(Method::POST, "/").header("content-length", 3 * MIB);
        let (answer, mut stream) = client.send(request.body(()).unwrap(), false);
        let writing = spawn(move || write(&mut stream, vec![0; 3 * MIB].into(), true));
        assert_eq!(read(answer).unwrap().0, 413);
        // It is told that the rest is not wanted.
        assert!(writing.wait().unwrap().is_err());
    }
}
