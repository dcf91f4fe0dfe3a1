//! "Hello" by `evy::http`: prints its port, and serves until it is ended.

use std::io;

use evy::http::{HeaderValue, Request, Response, Server, header};

fn main() -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    Server::new(listener, hello).max_clients(20_000).run()
}

fn hello(_: Request) -> Response {
    let mut response = Response::new("Hello, World!".into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
