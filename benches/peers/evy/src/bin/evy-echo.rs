//! Echo on evy: `evy-echo [ITSELF]`, prints its port, and serves until it is ended.
//!
//! As evy's documentation writes it, by `evy::io::copy`, which has one buffer of 64 KiB a hub, lent to whoever
//! has data, and which the hub reads and writes for. With ITSELF 1 each connection's green thread reads and
//! writes by itself, with a buffer of 16 KiB of its own: what services cost that do more than copy.
//! Connections that evy accepts have TCP_NODELAY.

use std::io::{self, Read, Write};

use evy::net::TcpStream;
use peers_common::BUFFER;

fn main() -> io::Result<()> {
    let by_itself = std::env::args().nth(1).is_some_and(|itself| itself == "1");
    let listener = evy::listen("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (client, _) = listener.accept()?;
        if by_itself {
            evy::spawn_n(move || echo(client));
        } else {
            evy::spawn_n(move || evy::io::copy(&client, &client));
        }
    }
}

fn echo(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = client.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..length])?;
    }
}
