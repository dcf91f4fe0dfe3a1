//! Echo on several cores whose handler computes before it answers: `tokio-cores WORKERS` on the multi_thread
//! runtime, prints its port, and serves until it is ended.

use std::io;

use peers_common::{compute, numbers};
use peers_tokio::{Drivers, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    let [workers] = numbers();
    run(workers, Drivers::All, async {
        if let Err(error) = serve().await {
            eprintln!("tokio-cores: {error}");
        }
    });
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move { answer(stream).await.ok() });
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; 64];
    loop {
        stream.read_exact(&mut request).await?;
        compute();
        stream.write_all(&request).await?;
    }
}
