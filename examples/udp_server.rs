//! Answers each datagram with how long it was.
//!
//! ```text
//! cargo run --example udp_server -- 127.0.0.1:9000
//! cargo run --example udp_client -- hello 127.0.0.1:9000
//! ```

use std::io;

use evy::net::UdpSocket;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let socket = UdpSocket::bind(address)?;
    println!("listening on {}", socket.local_addr()?);
    // No datagram is longer.
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        println!("{from}: got {:?}", String::from_utf8_lossy(&buffer[..count]));
        socket.send_to(format!("Received {count} bytes").as_bytes(), from)?;
    }
}
