//! Echo by coroutines of may with one worker: prints its port, and serves until it is ended.
//!
//! As usually written: a buffer of 16 KiB for each connection, on the heap, since may's stacks have 32 KiB.
//! TCP_NODELAY is set.

use std::io::{self, Read, Write};

use may::go;
use may::net::{TcpListener, TcpStream};
use peers_common::BUFFER;

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    let server = go!(serve);
    server.join().map_err(|_| io::Error::other("the server has panicked"))?
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // The load resets its connections.
        go!(move || echo(stream).ok());
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length])?;
    }
}
