//! Sends a datagram and waits for the answer, a second at a time, three times.
//!
//! ```text
//! cargo run --example udp_server -- 127.0.0.1:9000
//! cargo run --example udp_client -- hello 127.0.0.1:9000
//! ```
//!
//! Exit code 1 when no answer comes.

use std::io::{self, ErrorKind};
use std::time::Duration;

use evy::net::UdpSocket;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let message = arguments.next().unwrap_or_else(|| "hello".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());

    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // Connected, it hears nobody else, and is told when nobody is there.
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let answer = ask(&socket, &message)?;
    println!("{}: got {answer:?}", socket.peer_addr()?);
    Ok(())
}

/// Datagrams get lost, and so do answers: what has not been answered in time is asked again.
fn ask(socket: &UdpSocket, message: &str) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..3 {
        println!("sending {} bytes to {}", message.len(), socket.peer_addr()?);
        socket.send(message.as_bytes())?;
        match socket.recv(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            result => return Ok(String::from_utf8_lossy(&buffer[..result?]).into_owned()),
        }
    }
    Err(ErrorKind::TimedOut.into())
}
