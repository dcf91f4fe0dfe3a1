//! "Hello" by may_minihttp with one worker: prints its port, and serves until it is ended.

use std::io;
use std::net::TcpListener;

use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Hello;

impl HttpService for Hello {
    fn call(&mut self, _: Request, response: &mut Response) -> io::Result<()> {
        response.header("Content-Type: text/plain").body("Hello, World!");
        Ok(())
    }
}

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    // It would not tell which port it was given, so it gets one that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = HttpServer(Hello).start(address)?;
    println!("{}", address.port());
    server.join().map_err(|_| io::Error::other("the server has panicked"))
}
