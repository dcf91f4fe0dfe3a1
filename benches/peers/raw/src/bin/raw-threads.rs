//! Echo by blocking sockets, an OS thread for each connection: `raw-threads COMPUTE`, prints its port, and
//! serves until it is ended. COMPUTE is 1 for a handler that computes before it answers. TCP_NODELAY is set.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use peers_common::{BUFFER, compute, numbers};

fn main() -> io::Result<()> {
    let [computes] = numbers();
    let computes = computes != 0.0;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // The load resets its connections.
        thread::spawn(move || echo(stream, computes).ok());
    }
}

fn echo(mut stream: TcpStream, computes: bool) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        if computes {
            compute();
        }
        stream.write_all(&buffer[..length])?;
    }
}
