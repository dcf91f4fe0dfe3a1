//! The echo of one UDP socket.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy::net::UdpSocket;

use crate::stats::Tally;

/// Longest UDP datagram.
const LONGEST: usize = 65_535;

/// How many datagrams are answered that wait when the server is told to stop.
const WAITING_AT_MOST: usize = 10_000;

/// How long an error is given to pass.
const PAUSE: Duration = Duration::from_millis(5);

/// A UDP socket, and what has to be known to close it after the last answer.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: UdpSocket,
    tally: Arc<Tally>,
    /// One has been received, and its answer is not sent yet.
    answering: Cell<bool>,
}

impl Datagrams {
    pub(crate) fn new(socket: UdpSocket, tally: Arc<Tally>) -> Self {
        Self { socket, tally, answering: Cell::new(false) }
    }

    /// Sends each datagram back to whom it came from, until the socket is closed.
    pub(crate) fn echo(&self) -> io::Result<()> {
        let mut buffer = vec![0; LONGEST];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((count, peer)) => {
                    self.answering.set(true);
                    self.answer(&buffer[..count], peer);
                    self.answering.set(false);
                }
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) if is_passing(&error) => evy::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers what waits already, and closes the socket.
    pub(crate) fn stop(&self, grace: Duration) {
        let start = Instant::now();
        let mut buffer = vec![0; LONGEST];
        for _ in 0..WAITING_AT_MOST {
            let Ok((count, peer)) = self.socket.try_recv_from(&mut buffer) else { break };
            self.answer(&buffer[..count], peer);
        }
        // The echo may have yielded between a datagram and its answer.
        while self.answering.get() && start.elapsed() < grace {
            evy::sleep(Duration::from_millis(1));
        }
        self.socket.close();
    }

    /// One that cannot be sent is lost, as any datagram may be.
    fn answer(&self, bytes: &[u8], peer: SocketAddr) {
        if self.socket.send_to(bytes, peer).is_ok() {
            self.tally.echoed(bytes.len());
        }
    }
}

/// Whether it is about an earlier answer, whose peer has gone, or a lack of memory for now.
fn is_passing(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted};
    let kinds = [ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted];
    kinds.contains(&error.kind()) || evy::is_shortage(error)
}
