//! Forwards connections: who connects here talks to another host.
//!
//! ```text
//! cargo run --release --example port_forwarder -- 127.0.0.1:7000 localhost:22
//! ssh -p 7000 localhost
//! ```
//!
//! A connection and the one that is made for it are a pair. Each way is forwarded by a green thread of
//! its own. The end of one way is passed on, while the other way stays open. A connection that breaks
//! breaks its partner, too, by a reset: nobody takes half of something for all of it.
//!
//! SIGTERM and Ctrl-C end it: nobody can connect any more, answers that are on their way arrive, and
//! then the connections are ended. A second one ends it at once.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::Shutdown;
use std::time::Duration;

use evy::net::TcpStream;
use evy::signal::{self, SIGINT, SIGTERM, Signals};
use evy::{Server, nursery};

/// How long the other host may take to answer a connect.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long connections may take to finish after a signal.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (from, to) = match arguments.as_slice() {
        [] => ("127.0.0.1:7000", "localhost:22"),
        [from, to] => (from.as_str(), to.as_str()),
        _ => return Err(io::Error::other("usage: port_forwarder [FROM TO]")),
    };
    let to = to.to_owned();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let server = Server::new(evy::listen(from)?, move |client, peer| {
        let partner = evy::connect_timeout(&*to, PATIENCE)?;
        println!("{peer}: forwarded to {}", partner.peer_addr()?);
        forward_both_ways(&client, &partner, || {
            // It is called by a destructor, where a closed standard output must not make a panic.
            let _ = writeln!(io::stdout(), "{peer}: closed");
        })
    })
    .start()?;
    println!("listening on {}", server.local_addr());
    signals.wait()?;
    evy::spawn_n(move || signal::default_action(signals.wait()?));
    server.stop(GRACE);
    Ok(())
}

/// Forwards between the two of a pair until both ways have ended, or one of them has broken. Then calls
/// `closed`: once for each pair, also where the end of the grace kills this.
fn forward_both_ways(
    client: &TcpStream,
    partner: &TcpStream,
    closed: impl FnOnce(),
) -> io::Result<()> {
    let _closing = CallOnDrop(Some(closed));
    let failure = Cell::new(None);
    nursery(|ways| {
        for (from, to) in [(client, partner), (partner, client)] {
            let failure = &failure;
            ways.spawn(move || {
                if let Err(error) = forward(from, to) {
                    failure.set(Some(error));
                    // What one side says can no longer be answered.
                    ways.kill_all();
                }
            });
        }
    });
    let Some(error) = failure.take() else { return Ok(()) };
    for stream in [client, partner] {
        // It is not closed but reset, when it is dropped.
        stream.set_linger(Some(Duration::ZERO))?;
    }
    Err(error)
}

/// Passes on all that comes, and then the end of it.
fn forward(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    evy::io::copy(from, to)?;
    to.shutdown(Shutdown::Write)
}

struct CallOnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for CallOnDrop<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}
