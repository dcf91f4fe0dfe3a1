//! A proxy between clients and a server that does to them what a bad network does.
//!
//! It needs std and libc alone, and runs on OS threads of its own, two for each connection: nothing of
//! what is tested has a part in it. Tests of other crates take it by its path:
//!
//! ```ignore
//! #[path = "../../green-net/tests/util/proxy.rs"]
//! mod proxy;
//! use proxy::{End, Fault, Proxy};
//!
//! // What clients send arrives one byte at a time, and after 100 bytes of answer the connection is reset.
//! let drip = Fault::none().in_pieces_of(1);
//! let proxy = Proxy::start(server, drip, Fault::none().then(100, End::Reset));
//! let client = TcpStream::connect(proxy.address);
//! ```
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to the bytes of one direction of each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Each piece is held back for so long. Pieces do not overtake each other, so this is a slow way and
    /// not only a long one.
    delay: Duration,
    /// At most so many bytes are passed on at a time.
    piece: usize,
    /// After so many bytes this happens, and nothing more is passed on.
    end: Option<(u64, End)>,
}

/// How a direction ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides get a reset.
    Reset,
    /// The receiver gets the end of the stream. The other direction goes on.
    HalfClose,
    /// Nothing happens any more: the sender can send until the buffers are full. The other direction
    /// goes on.
    Stall,
}

impl Fault {
    /// A good network.
    pub(crate) fn none() -> Self {
        Self { delay: Duration::ZERO, piece: usize::MAX, end: None }
    }

    pub(crate) fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn in_pieces_of(self, piece: usize) -> Self {
        assert!(piece > 0, "nothing would ever arrive");
        Self { piece, ..self }
    }

    pub(crate) fn then(self, after: u64, end: End) -> Self {
        Self { end: Some((after, end)), ..self }
    }
}

/// A running proxy. Dropped, it closes all connections that go through it.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where clients are to connect.
    pub(crate) address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    /// Where stalled directions wait for the end.
    end: Condvar,
    /// The sockets of all connections, to wake who waits on one.
    sockets: Mutex<Vec<Arc<TcpStream>>>,
    passed: [AtomicU64; 2],
}

impl Proxy {
    /// Begins to pass connections on to `server`.
    pub(crate) fn start(server: SocketAddr, to_server: Fault, to_client: Fault) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        thread::spawn({
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            move || {
                while let Ok((client, _)) = listener.accept() {
                    if shared.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // A server that cannot be reached closes the client's connection.
                    if let Ok(server) = TcpStream::connect(server) {
                        shared.join(client, server, to_server, to_client);
                    }
                }
            }
        });
        Self { address, listener, shared }
    }

    /// How many bytes have been passed on, to the server and to the clients.
    pub(crate) fn passed(&self) -> (u64, u64) {
        let [up, down] = &self.shared.passed;
        (up.load(Ordering::SeqCst), down.load(Ordering::SeqCst))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let sockets = self.shared.sockets.lock().expect("nobody panics with it");
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.end.notify_all();
        for socket in &*sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(sockets);
        // Wakes the one that accepts.
        // SAFETY: the listener is open as long as this lives.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

impl Shared {
    /// Passes bytes between two sockets, on two OS threads.
    fn join(
        self: &Arc<Self>,
        client: TcpStream,
        server: TcpStream,
        to_server: Fault,
        to_client: Fault,
    ) {
        let (client, server) = (Arc::new(client), Arc::new(server));
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true);
            let mut sockets = self.sockets.lock().expect("nobody panics with it");
            sockets.retain(|other| Arc::strong_count(other) > 1);
            sockets.push(Arc::clone(socket));
        }
        let ways = [(&client, &server, to_server), (&server, &client, to_client)];
        for (index, (from, to, fault)) in ways.into_iter().enumerate() {
            let (from, to, shared) = (Arc::clone(from), Arc::clone(to), Arc::clone(self));
            thread::spawn(move || shared.pass(index, &from, &to, fault));
        }
    }

    /// Passes bytes in one direction until it ends.
    #[allow(clippy::disallowed_methods, reason = "no green thread runs on this OS thread")]
    fn pass(&self, index: usize, mut from: &TcpStream, mut to: &TcpStream, fault: Fault) {
        let mut buffer = vec![0; fault.piece.min(16 * 1024)];
        let mut passed = 0;
        loop {
            let mut room = buffer.len();
            if let Some((after, end)) = fault.end {
                if passed == after {
                    return self.end(from, to, end);
                }
                room = room.min(usize::try_from(after - passed).unwrap_or(usize::MAX));
            }
            match from.read(&mut buffer[..room]) {
                Ok(0) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(count) => {
                    if !fault.delay.is_zero() {
                        thread::sleep(fault.delay);
                    }
                    if to.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                    passed += count as u64;
                    self.passed[index].fetch_add(count as u64, Ordering::SeqCst);
                }
                // A reset is passed on, too.
                Err(_) => return reset(to),
            }
        }
    }

    fn end(&self, from: &TcpStream, to: &TcpStream, end: End) {
        match end {
            End::Reset => {
                reset(from);
                reset(to);
            }
            End::HalfClose => {
                let _ = to.shutdown(Shutdown::Write);
            }
            End::Stall => {
                let mut sockets = self.sockets.lock().expect("nobody panics with it");
                while !self.is_over.load(Ordering::SeqCst) {
                    sockets = self.end.wait(sockets).expect("nobody panics with it");
                }
            }
        }
    }
}

/// Resets a connection at once, however many handles there are: to connect a socket to nowhere
/// disconnects it.
pub(crate) fn reset(socket: &TcpStream) {
    // SAFETY: all zeroes is an address, whose family is AF_UNSPEC.
    let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    let size = size_of_val(&nowhere) as libc::socklen_t;
    // SAFETY: the socket is open, and the address as long as is said.
    unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, size) };
}
