//! hyper on green threads: servers and clients of HTTP/1.1 and HTTP/2, each end on our sockets, and peers
//! that speak for themselves.

mod util;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evy_green_net::adapt::{Async, Executor, Timer};
use evy_green_net::{TcpListener, TcpStream, connect};
use evy_runtime::{GreenThread, block_on, join_all, sleep, spawn, spawn_n, unblock};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Sleep, Timer as _};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client};
use util::{FOR_EVER, soon, wait_until};

util::and_all_of_them_again!();

type Body = Full<Bytes>;

/// Gives back the path, and the body behind it.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut all = request.uri().path().as_bytes().to_vec();
    all.extend_from_slice(&request.into_body().collect().await.unwrap().to_bytes());
    Ok(Response::new(Full::from(all)))
}

fn request(path: &str, body: Vec<u8>) -> Request<Body> {
    let builder = Request::builder().method(Method::POST).uri(path).header("host", "localhost");
    builder.body(Full::from(body)).unwrap()
}

async fn read(response: Response<Incoming>) -> Vec<u8> {
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// A server with a green thread for each connection.
fn serve_http1() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn_n(move || {
        for stream in listener.incoming() {
            let connection = http1::Builder::new()
                .timer(Timer)
                .serve_connection(Async::new(stream.unwrap()), service_fn(answer));
            spawn_n(move || _ = block_on(connection));
        }
    });
    address
}

fn serve_http2() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn_n(move || {
        for stream in listener.incoming() {
            let connection = http2::Builder::new(Executor)
                .timer(Timer)
                .serve_connection(Async::new(stream.unwrap()), service_fn(answer));
            spawn_n(move || _ = block_on(connection));
        }
    });
    address
}

type Http1 = client::conn::http1::SendRequest<Body>;

fn connect_http1(address: SocketAddr) -> Http1 {
    let stream = Async::new(connect(address).unwrap());
    let (sender, connection) = block_on(client::conn::http1::handshake(stream)).unwrap();
    spawn_n(move || _ = block_on(connection));
    sender
}

/// Keep-alive: a thousand requests a connection, over a few of them at once.
#[test]
fn http1_server_and_client_keep_a_connection_alive() {
    let address = serve_http1();
    let clients = (0..10).map(|n| {
        spawn(move || {
            let mut sender = connect_http1(address);
            for round in 0..100 {
                let path = format!("/{n}/{round}");
                let response = block_on(async {
                    sender.ready().await.unwrap();
                    let body = vec![b'x'; round * n];
                    read(sender.send_request(request(&path, body)).await.unwrap()).await
                });
                assert!(response.starts_with(path.as_bytes()));
                assert_eq!(response.len(), path.len() + round * n);
            }
        })
    });
    soon(|| join_all(clients)).into_iter().for_each(|client| client.unwrap());
}

#[test]
fn http1_bodies_of_megabytes_go_both_ways() {
    let address = serve_http1();
    let mut sender = connect_http1(address);
    let body: Vec<u8> = (0..5 << 20).map(|n| (n % 251) as u8).collect();
    let response = soon(|| {
        block_on(async {
            read(sender.send_request(request("/", body.clone())).await.unwrap()).await
        })
    });
    assert!(response[1..] == body);
}

/// One green thread drives them all.
#[test]
fn http1_connections_by_the_hundred_in_one_green_thread() {
    const CLIENTS: usize = 300;
    util::limit_descriptors(4096);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            spawn(move || {
                let mut sender = connect_http1(address);
                for round in 0..10 {
                    let path = format!("/{n}/{round}");
                    let response = block_on(async {
                        sender.ready().await.unwrap();
                        read(sender.send_request(request(&path, Vec::new())).await.unwrap()).await
                    });
                    assert_eq!(response, path.as_bytes());
                }
            })
        })
        .collect();
    let server = spawn(move || {
        let mut connections = FuturesUnordered::new();
        let mut builder = http1::Builder::new();
        builder.timer(Timer);
        for _ in 0..CLIENTS {
            let stream = Async::new(listener.accept().unwrap().0);
            connections.push(builder.serve_connection(stream, service_fn(answer)));
        }
        block_on(async { while connections.next().await.is_some() {} })
    });
    soon(|| join_all(clients)).into_iter().for_each(|client| client.unwrap());
    soon(|| server.wait()).unwrap();
}

/// The peer is not hyper: requests in pieces, several in one, and a body in chunks.
#[test]
fn http1_raw_requests_are_answered_however_they_are_cut() {
    let address = serve_http1();
    let text = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n\
        GET /two HTTP/1.1\r\nhost: x\r\n\r\n\
        POST /three HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\n\
        GET /four HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for piece in [1, 10, 1000] {
        let answers = soon(|| {
            unblock(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(FOR_EVER)).unwrap();
                for piece in text.chunks(piece) {
                    stream.write_all(piece).unwrap();
                }
                let mut answers = String::new();
                stream.read_to_string(&mut answers).unwrap();
                answers
            })
        });
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{answers}");
        let bodies = ["/one", "/two", "/threehello", "/four"];
        let mut rest = &*answers;
        for body in bodies {
            let found =
                rest.find(&format!("\r\n\r\n{body}")).unwrap_or_else(|| panic!("{answers}"));
            rest = &rest[found + 4 + body.len()..];
        }
        assert_eq!(rest, "");
    }
}

/// hyper's own time limit, by our timer: a client that does not send its request is dropped.
#[test]
fn http1_a_slow_client_is_cut_off_by_the_timer() {
    const PATIENCE: Duration = Duration::from_millis(50);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ends = Rc::new(RefCell::new(Vec::new()));
    spawn_n({
        let ends = Rc::clone(&ends);
        move || {
            for stream in listener.incoming() {
                let ends = Rc::clone(&ends);
                let stream = Async::new(stream.unwrap());
                spawn_n(move || {
                    let mut builder = http1::Builder::new();
                    builder.timer(Timer).header_read_timeout(PATIENCE);
                    let result = block_on(builder.serve_connection(stream, service_fn(answer)));
                    ends.borrow_mut().push(result);
                });
            }
        }
    });
    // Before the connection: hyper's time begins with it.
    let start = Instant::now();
    let mut slow = connect(address).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
    // The end, or a last answer that says why, and then the end.
    let mut rest = Vec::new();
    soon(|| slow.read_to_end(&mut rest)).unwrap();
    assert!(start.elapsed() >= PATIENCE);
    wait_until(|| ends.borrow().len() == 1);
    assert!(ends.borrow()[0].as_ref().unwrap_err().is_timeout(), "{ends:?}");
}

/// A kill of the green thread that runs a connection closes it.
#[test]
fn fault_07_a_kill_ends_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server: GreenThread<_> = spawn(move || {
        let stream = Async::new(listener.accept().unwrap().0);
        let never = service_fn(async |_: Request<Incoming>| {
            pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Body::default()))
        });
        block_on(http1::Builder::new().serve_connection(stream, never))
    });
    let mut client = connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    util::let_all_park();
    server.kill();
    assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 0);
}

/// A connection that is told to end finishes the request that it has.
#[test]
fn http1_graceful_shutdown_answers_what_has_begun() {
    /// What a request waits for.
    #[derive(Default)]
    struct Gate {
        waiting: RefCell<Option<Waker>>,
        open: Cell<bool>,
    }

    impl Gate {
        fn poll(&self, context: &Context<'_>) -> Poll<()> {
            if self.open.get() {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        }
    }

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        let stream = Async::new(listener.accept().unwrap().0);
        let gate = Rc::new(Gate::default());
        let slow = service_fn({
            let gate = Rc::clone(&gate);
            move |request| {
                let gate = Rc::clone(&gate);
                async move {
                    poll_fn(|context| gate.poll(context)).await;
                    answer(request).await
                }
            }
        });
        let mut connection = pin!(http1::Builder::new().serve_connection(stream, slow));
        block_on(async {
            poll_fn(|context| {
                assert!(connection.as_mut().poll(context).is_pending());
                if gate.waiting.borrow().is_some() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            connection.as_mut().graceful_shutdown();
            gate.open.set(true);
            gate.waiting.take().unwrap().wake();
            connection.await
        })
    });
    let mut client = connect(address).unwrap();
    client.write_all(b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    soon(|| client.read_to_string(&mut text)).unwrap();
    assert!(text.ends_with("/last") && text.contains("connection: close"), "{text}");
    soon(|| server.wait()).unwrap().unwrap();
}

/// HTTP/2 with prior knowledge: many requests at once over one connection, each a future on a green
/// thread of its own (`Executor`).
#[test]
fn http2_server_and_client_share_one_connection() {
    let address = serve_http2();
    let stream = Async::new(connect(address).unwrap());
    let mut builder = client::conn::http2::Builder::new(Executor);
    let (sender, connection) = block_on(builder.timer(Timer).handshake::<_, Body>(stream)).unwrap();
    spawn_n(move || _ = block_on(connection));
    let requests = (0..100).map(|n| {
        let mut sender = sender.clone();
        spawn(move || {
            let path = format!("/{n}");
            let body = vec![b'x'; n * 100];
            block_on(async {
                sender.ready().await.unwrap();
                let request = Request::post(format!("http://localhost{path}"));
                let response = sender.send_request(request.body(Full::from(body)).unwrap()).await;
                let response = read(response.unwrap()).await;
                assert!(response.starts_with(path.as_bytes()));
                response.len() - path.len()
            })
        })
    });
    let lengths: Vec<_> =
        soon(|| join_all(requests)).into_iter().map(|length| length.unwrap()).collect();
    assert_eq!(lengths, (0..100).map(|n| n * 100).collect::<Vec<_>>());
}

/// Megabytes in both directions: windows fill up and open again.
#[test]
fn http2_bodies_of_megabytes_go_both_ways() {
    let address = serve_http2();
    let stream = Async::new(connect(address).unwrap());
    let (mut sender, connection) =
        block_on(client::conn::http2::handshake::<_, _, Body>(Executor, stream)).unwrap();
    spawn_n(move || _ = block_on(connection));
    let body: Vec<u8> = (0..5 << 20).map(|n| (n % 251) as u8).collect();
    let response = soon(|| {
        block_on(async {
            let request = Request::post("http://localhost/").body(Full::from(body.clone()));
            read(sender.send_request(request.unwrap()).await.unwrap()).await
        })
    });
    assert!(response[1..] == body);
}

/// In HTTP/2 a handler runs on a green thread of its own: it may block in the green way.
#[test]
fn http2_handlers_may_block() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn_n(move || {
        let stream = Async::new(listener.accept().unwrap().0);
        let service = service_fn(|_: Request<Incoming>| async {
            sleep(Duration::from_millis(20));
            Ok::<_, Infallible>(Response::new(Body::from("slept")))
        });
        let _ = block_on(http2::Builder::new(Executor).serve_connection(stream, service));
    });
    let stream = Async::new(connect(address).unwrap());
    let (sender, connection) = block_on(client::conn::http2::handshake(Executor, stream)).unwrap();
    spawn_n(move || _ = block_on(connection));
    let start = Instant::now();
    let requests = (0..20).map(|_| {
        let mut sender = sender.clone();
        spawn(move || {
            let request = Request::get("http://localhost/").body(Body::default()).unwrap();
            block_on(async { read(sender.send_request(request).await.unwrap()).await })
        })
    });
    for response in soon(|| join_all(requests)) {
        assert_eq!(response.unwrap(), b"slept");
    }
    // One after the other it would be 20 times as long.
    assert!(start.elapsed() < Duration::from_millis(20 * 20), "{:?}", start.elapsed());
}

#[test]
fn the_timer_of_hyper_sleeps_and_is_reset() {
    let start = Instant::now();
    let mut sleep = Timer.sleep(Duration::from_secs(3600));
    let address = |sleep: &std::pin::Pin<Box<dyn Sleep>>| (&raw const **sleep).addr();
    let before = address(&sleep);
    Timer.reset(&mut sleep, start + Duration::from_millis(5));
    assert_eq!(address(&sleep), before, "it keeps its box");
    block_on(sleep.as_mut());
    assert!(start.elapsed() >= Duration::from_millis(5));
    Timer.reset(&mut sleep, start + Duration::from_millis(8));
    block_on(sleep.as_mut());
    assert!(start.elapsed() >= Duration::from_millis(8));
    block_on(Timer.sleep_until(start + Duration::from_millis(10)));
    assert!(start.elapsed() >= Duration::from_millis(10));
    // hyper asks for `Send`: it may be dropped, or go on, on another OS thread.
    let mut other = Timer.sleep(Duration::from_millis(1));
    std::thread::spawn(move || block_on(other.as_mut())).join().unwrap();
}

/// An upgrade gives the socket back, with what was read ahead.
#[test]
fn http1_a_connection_gives_its_socket_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        let stream = Async::new(listener.accept().unwrap().0);
        let mut connection = http1::Builder::new()
            .serve_connection(stream, service_fn(|request| Box::pin(answer(request))));
        block_on(poll_fn(|context| connection.poll_without_shutdown(context))).unwrap();
        let parts = connection.into_parts();
        let stream: TcpStream = parts.io.into_inner();
        (&stream).write_all(b" and goodbye").unwrap();
    });
    let mut client = connect(address).unwrap();
    client.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    soon(|| client.read_to_string(&mut text)).unwrap();
    assert!(text.ends_with("\r\n\r\n/hello and goodbye"), "{text}");
    soon(|| server.wait()).unwrap();
}
