//! A web page that plots what comes by one WebSocket, and shows what comes back by another.
//!
//! ```text
//! cargo run --release --example websocket --features websocket -- 127.0.0.1:7000
//! ```
//!
//! `/echo` sends back what it gets; `/data` sends a line with a number and its random companion ten times a
//! second, to whoever cares to listen.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use evy::http::websocket::{self, CloseCode, WebSocket};
use evy::http::{Html, Request, Router};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let listener = evy::listen(address)?;
    println!("Visit http://{}/ in your browser.", listener.local_addr()?);
    let router = Router::new()
        .get("/", |_: Request| Html(include_str!("websocket.html")))
        .get("/echo", |request| websocket::accept(request, echo))
        .get("/data", |request| websocket::accept(request, data));
    evy::http::serve(listener, router)
}

fn echo(socket: WebSocket) -> io::Result<()> {
    for message in &socket {
        socket.send(message?)?;
    }
    Ok(())
}

fn data(socket: WebSocket) -> io::Result<()> {
    // Pings are answered, and the end is seen, while somebody receives.
    let receiver = socket.clone();
    evy::spawn_n(move || receiver.messages().count());
    let random = RandomState::new();
    for x in 0..10_000_u32 {
        let y = random.hash_one(x) as f64 / u64::MAX as f64;
        socket.send(format!("{x} {y:.3}"))?;
        evy::sleep(Duration::from_millis(100));
    }
    socket.close(CloseCode::NORMAL, "that was all")
}
