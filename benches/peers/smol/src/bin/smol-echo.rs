//! Echo on smol, by a `LocalExecutor` on one OS thread: prints its port, and serves until it is ended.
//!
//! As usually written: a buffer of 16 KiB in each task. TCP_NODELAY is set.

use std::io;

use peers_common::BUFFER;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    peers_smol::run(|executor| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // The load resets its connections.
            executor.spawn(async move { echo(stream).await.ok() }).detach();
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}
