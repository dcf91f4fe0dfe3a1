//! hyper's clients and servers, and h2 below it, on green sockets by the adapters of `evy::adapt`.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use evy::adapt::{Async, Executor, Timer};
use evy::sync::Barrier;
use evy::{block_on, spawn_n};
use evy_test_crates::{CLIENTS, Watchdog, at_once, serve};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};

type Body = Full<Bytes>;

fn request(number: usize) -> Request<Body> {
    let body = Bytes::from(format!("ask {number}"));
    Request::post("http://localhost/").header("host", "localhost").body(Body::new(body)).unwrap()
}

/// Answers by what was sent, once all have asked: it waits as green threads do.
async fn answer(
    request: Request<Incoming>,
    together: Rc<Barrier>,
) -> Result<Response<Body>, Infallible> {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    together.wait();
    Ok(Response::new(Body::new(body)))
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

/// The bottom of what a server or client of hyper runs on is a green thread; who blocks there keeps its own
/// connection waiting, and no other.
#[test]
fn connections_of_http1_overlap_at_both_ends() {
    let meeting = Rc::new(Barrier::new(CLIENTS));
    let address = serve(move |socket, _| {
        let service = service_fn(|request| answer(request, Rc::clone(&meeting)));
        let connection = server::conn::http1::Builder::new()
            .timer(Timer)
            .serve_connection(Async::new(socket), service);
        block_on(connection).map_err(io::Error::other)
    });
    let answers = at_once(move |number| {
        let socket = Async::new(evy::connect(address).unwrap());
        let (mut sender, connection) = block_on(client::conn::http1::handshake(socket)).unwrap();
        spawn_n(move || block_on(connection));
        block_on(async { text(sender.send_request(request(number)).await.unwrap()).await })
    });
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, format!("ask {number}"));
    }
}

/// All requests on one connection of HTTP/2: each becomes a future of its own, which the executor runs on a
/// green thread.
#[test]
fn requests_of_http2_overlap_on_one_connection() {
    let meeting = Rc::new(Barrier::new(CLIENTS));
    let address = serve(move |socket, _| {
        let service = service_fn(|request| answer(request, Rc::clone(&meeting)));
        let connection = server::conn::http2::Builder::new(Executor)
            .timer(Timer)
            .serve_connection(Async::new(socket), service);
        block_on(connection).map_err(io::Error::other)
    });
    let _watchdog = Watchdog::start();
    let socket = Async::new(evy::connect(address).unwrap());
    let (sender, connection) = block_on(client::conn::http2::handshake(Executor, socket)).unwrap();
    spawn_n(move || block_on(connection));
    let answers = at_once(move |number| {
        let mut sender = sender.clone();
        block_on(async { text(sender.send_request(request(number)).await.unwrap()).await })
    });
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, format!("ask {number}"));
    }
}

/// h2 wants tokio's traits and nothing of its runtime.
#[test]
fn streams_of_h2_overlap_on_one_connection() {
    let meeting = Rc::new(Barrier::new(CLIENTS));
    let address = serve(move |socket, _| {
        block_on(async {
            let mut connection =
                h2::server::handshake(Async::new(socket)).await.map_err(io::Error::other)?;
            while let Some(request) = connection.accept().await {
                let (request, mut respond) = request.map_err(io::Error::other)?;
                let together = Rc::clone(&meeting);
                spawn_n(move || {
                    together.wait();
                    let mut stream = respond.send_response(Response::new(()), false)?;
                    stream.send_data(Bytes::from(request.uri().path().to_owned()), true)
                });
            }
            Ok(())
        })
    });
    let _watchdog = Watchdog::start();
    let socket = Async::new(evy::connect(address).unwrap());
    let (sender, connection) = block_on(h2::client::handshake(socket)).unwrap();
    spawn_n(move || block_on(connection));
    let answers = at_once(move |number| {
        block_on(async {
            let request = Request::get(format!("http://localhost/{number}")).body(()).unwrap();
            let mut sender = sender.clone().ready().await.unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            let mut body = response.await.unwrap().into_body();
            let mut text = Vec::new();
            while let Some(piece) = body.data().await {
                text.extend_from_slice(&piece.unwrap());
            }
            String::from_utf8(text).unwrap()
        })
    });
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, format!("/{number}"));
    }
}
