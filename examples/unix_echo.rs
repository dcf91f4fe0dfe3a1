//! Sends back what it is sent, by a Unix socket, to up to 1,000 clients at once.
//!
//! ```text
//! cargo run --example unix_echo -- /tmp/echo.sock
//! nc -U /tmp/echo.sock
//! ```

use std::io::{self, ErrorKind};
use std::path::Path;

use evy::GreenPool;
use evy::net::{UnixListener, UnixStream};

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/echo.sock".to_owned());
    let listener = listen(path.as_ref())?;
    println!("listening on {path}");
    let pool = GreenPool::new(1000);
    loop {
        let (client, _) = listener.accept()?;
        pool.spawn_n(move || evy::io::copy(&client, &client));
    }
}

/// A server that ended has left its path behind: where nobody answers any more, it is ours.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

fn is_stale(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
