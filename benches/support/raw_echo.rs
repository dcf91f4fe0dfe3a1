//! The baseline: an echo server written by hand on edge-triggered epoll, one thread, no runtime.
//!
//! It makes as few system calls as readiness allows: each socket is registered once for both
//! directions and the peer's half-close, one buffer serves all, and a short read is taken as the last
//! one unless the event said that an end or an error comes behind it. That is 3.00 calls per request at
//! one connection (wait, recv, send) and about 2.02 at a hundred.

use super::sys::{self, Epoll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Events taken from the kernel by one wait.
const BATCH: usize = 1024;

/// Connections that may wait to be accepted: as many as with evy. Std's own limit is lower.
const QUEUE: i32 = 4096;

/// Bytes read by one call.
const READ_SIZE: usize = 16 * 1024;

/// Serves a free port of 127.0.0.1 until the process is ended; `announce` is told the port.
pub(crate) fn serve(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    serve_waiting(None, announce)
}

/// The same without ever blocking: who sends to it never pays for waking it.
pub(crate) fn serve_awake(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    serve_waiting(Some(Duration::ZERO), announce)
}

/// Waits for events at most so long, again and again.
fn serve_waiting(
    timeout: Option<Duration>,
    announce: impl FnOnce(u16) -> io::Result<()>,
) -> io::Result<()> {
    let mut server = Server::bind()?;
    announce(server.listener.local_addr()?.port())?;
    let mut events = sys::event_buffer(BATCH);
    loop {
        let ready = server.epoll.wait(&mut events, timeout)?;
        for event in &events[..ready] {
            server.handle(event.u64 as usize, event.events)?;
        }
    }
}

/// A non-blocking listener on a free port.
pub(crate) fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    sys::lengthen_queue(&listener, QUEUE)?;
    Ok(listener)
}

struct Server {
    epoll: Epoll,
    /// Non-blocking; its events carry its descriptor, as those of the connections carry theirs.
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    /// Holds data only within one call of `Connection::echo`.
    buffer: Vec<u8>,
}

impl Server {
    fn bind() -> io::Result<Self> {
        let listener = listen()?;
        let epoll = Epoll::new()?;
        epoll.add(&listener, sys::LISTENER_LEVEL, listener.as_raw_fd() as u64)?;
        Ok(Self { epoll, listener, connections: Vec::new(), buffer: vec![0; READ_SIZE] })
    }

    fn handle(&mut self, key: usize, marks: u32) -> io::Result<()> {
        if key == self.listener.as_raw_fd() as usize {
            return self.accept_all();
        }
        let slot = &mut self.connections[key];
        let connection = slot.as_mut().expect("a closed descriptor has no events");
        if connection.echo(marks, &mut self.buffer).is_err() {
            *slot = None;
        }
        Ok(())
    }

    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            match sys::accept_nonblocking(&self.listener) {
                Ok(stream) => self.add(stream)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn add(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let key = stream.as_raw_fd() as usize;
        self.epoll.add(&stream, sys::STREAM_EDGES, key as u64)?;
        if self.connections.len() <= key {
            self.connections.resize_with(key + 1, || None);
        }
        self.connections[key] = Some(Connection { stream, unsent: Vec::new() });
        Ok(())
    }
}

struct Connection {
    stream: TcpStream,
    /// What was read and could not be written yet. While there is any, nothing more is read.
    unsent: Vec<u8>,
}

impl Connection {
    /// Echoes all that an event with `marks` promises. An error, which the end of the stream counts as,
    /// means that the connection is to be closed.
    ///
    /// Input that arrived while `unsent` was in the way has had its edge; but the event that says
    /// "writable" carries the mark "readable" as well as long as it is true, so nothing is forgotten.
    fn echo(&mut self, marks: u32, buffer: &mut [u8]) -> io::Result<()> {
        if !self.flush()? || marks & sys::READ_MARKS == 0 {
            return Ok(());
        }
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            let sent = self.send(&buffer[..length])?;
            if sent < length {
                self.unsent.extend_from_slice(&buffer[sent..length]);
                return Ok(());
            }
            let drained = length < buffer.len() && marks & sys::LAST_READ_MARKS == 0;
            if drained {
                return Ok(());
            }
        }
    }

    /// Writes what was left over; returns whether nothing is left now.
    fn flush(&mut self) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(true);
        }
        let unsent = std::mem::take(&mut self.unsent);
        let sent = self.send(&unsent)?;
        self.unsent.extend_from_slice(&unsent[sent..]);
        Ok(self.unsent.is_empty())
    }

    /// Writes until `data` is out or the socket is full: the edge that ends the waiting comes only after
    /// the kernel has refused a write.
    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < data.len() {
            match self.stream.write(&data[sent..]) {
                Ok(length) => sent += length,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(sent)
    }
}
