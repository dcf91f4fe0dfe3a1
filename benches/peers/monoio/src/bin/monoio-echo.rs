//! Echo on monoio: prints its port and its driver, and serves until it is ended.
//!
//! As usually written: a buffer of 16 KiB for each connection, which the reads and writes take and give back.
//! TCP_NODELAY is set.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use peers_common::BUFFER;

fn main() {
    peers_monoio::run(async {
        if let Err(error) = serve().await {
            eprintln!("monoio-echo: {error}");
        }
    });
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{} {}", listener.local_addr()?.port(), peers_monoio::driver());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // The load resets its connections.
        monoio::spawn(async move { echo(stream).await.ok() });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        let (read, data) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, data) = stream.write_all(data).await;
        written?;
        buffer = data;
    }
}
