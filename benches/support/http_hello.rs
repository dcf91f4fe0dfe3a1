//! The servers under test for HTTP: "hello" by `evy::http`, and by hyper on tokio with the same options.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;

use evy::http::{Request, Response, http};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const HELLO: &str = "Hello, World!";

/// Serves a free port of 127.0.0.1 until the process is ended; `announce` is told the port.
pub(crate) fn serve_evy(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    announce(listener.local_addr()?.port())?;
    evy::http::Server::new(listener, |_: Request| {
        let mut response = Response::new(HELLO.into());
        let plain = evy::http::HeaderValue::from_static("text/plain");
        response.headers_mut().insert(evy::http::header::CONTENT_TYPE, plain);
        response
    })
    .max_clients(20_000)
    .run()
}

/// The same by hyper on tokio's current-thread runtime.
pub(crate) fn serve_tokio(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(listener.local_addr()?.port())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(async move {
                let mut http = http1::Builder::new();
                http.half_close(true).max_buf_size(64 * 1024).header_read_timeout(None);
                // The bench resets its connections.
                let _ = http.serve_connection(TokioIo::new(stream), service_fn(hello)).await;
            });
        }
    })
}

async fn hello(_: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let mut response = http::Response::new(Full::new(Bytes::from_static(HELLO.as_bytes())));
    let plain = http::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    Ok(response)
}
