//! Echo on tokio: `tokio-echo WORKERS TUNED`, prints its port, and serves until it is ended.
//!
//! WORKERS is 0 for the current_thread runtime. With TUNED 0 it is as usually written, with a buffer of
//! 16 KiB in each task. Otherwise a task waits until there is something to read before it has a buffer on
//! the OS thread's stack, so that an idle connection has none. TCP_NODELAY is set.

use std::io;

use peers_common::{BUFFER, numbers};
use peers_tokio::{Drivers, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    let [workers, tuned] = numbers();
    run(workers, Drivers::All, async move {
        if let Err(error) = serve(tuned != 0.0).await {
            eprintln!("tokio-echo: {error}");
        }
    });
}

async fn serve(tuned: bool) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // The load resets its connections.
        if tuned {
            tokio::spawn(async move { echo_without_buffer(stream).await.ok() });
        } else {
            tokio::spawn(async move { echo(stream).await.ok() });
        }
    }
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

async fn echo_without_buffer(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        // In a function of its own, so that the buffer is no part of the task.
        let rest = match read_and_write(&stream) {
            Ok(None) => return Ok(()),
            Ok(Some(rest)) => rest,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if !rest.is_empty() {
            stream.write_all(&rest).await?;
        }
    }
}

/// What could not be written at once, or nothing at the end of the stream.
fn read_and_write(stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; BUFFER];
    let length = stream.try_read(&mut buffer)?;
    if length == 0 {
        return Ok(None);
    }
    let written = match stream.try_write(&buffer[..length]) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    Ok(Some(buffer[written..length].to_vec()))
}
