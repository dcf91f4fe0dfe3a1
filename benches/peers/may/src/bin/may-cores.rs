//! Echo on several cores whose handler computes before it answers: `may-cores WORKERS`, prints its port, and
//! serves until it is ended.

use std::io::{self, Read, Write};

use may::go;
use may::net::{TcpListener, TcpStream};
use peers_common::{compute, numbers};

fn main() -> io::Result<()> {
    let [workers] = numbers();
    may::config().set_workers(workers as usize);
    let server = go!(serve);
    server.join().map_err(|_| io::Error::other("the server has panicked"))?
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        go!(move || answer(stream).ok());
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; 64];
    loop {
        stream.read_exact(&mut request)?;
        compute();
        stream.write_all(&request)?;
    }
}
