//! Echo as evy's documentation writes it: prints its port, and serves until it is ended.
//!
//! `evy::io::copy` has one buffer of 64 KiB a hub, lent to whoever has data; connections that evy accepts
//! have TCP_NODELAY.

use std::io;

fn main() -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (client, _) = listener.accept()?;
        evy::spawn_n(move || evy::io::copy(&client, &client));
    }
}
