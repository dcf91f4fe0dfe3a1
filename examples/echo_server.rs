//! Sends back what it is sent, to up to 10,000 clients at once.
//!
//! ```text
//! cargo run --release --example echo_server
//! nc 127.0.0.1 6000
//! ```

use evy::{GreenPool, listen};

fn main() -> std::io::Result<()> {
    let server = listen("127.0.0.1:6000")?;
    let pool = GreenPool::new(10_000);
    loop {
        let (client, _) = server.accept()?;
        pool.spawn_n(move || evy::io::copy(&client, &client));
    }
}
