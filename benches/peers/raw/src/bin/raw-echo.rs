//! Echo written by hand on edge-triggered epoll, on one OS thread without a runtime: prints its port, and
//! serves until it is ended.
//!
//! It makes as few system calls as readiness allows: each socket is registered once for both directions and
//! the peer's half-close, one buffer of 16 KiB serves all, and a short read is taken as the last one unless
//! the event said that an end or an error comes behind it. It blocks in `epoll_wait`. TCP_NODELAY is set.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use peers_common::BUFFER;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::net::{SocketFlags, accept_with, listen};

/// Events taken from the kernel by one wait.
const BATCH: usize = 1024;

/// Connections that may wait to be accepted.
const QUEUE: i32 = 4096;

/// What a stream is registered for, once and for good.
const STREAM_EDGES: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

/// The marks after which a short read may not be the last one.
const LAST_READ_MARKS: EventFlags =
    EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR).union(EventFlags::PRI);

/// The marks with which a read may give something: data, the end of it, or an error.
const READ_MARKS: EventFlags = EventFlags::IN.union(LAST_READ_MARKS);

fn main() -> io::Result<()> {
    let mut server = Server::bind()?;
    println!("{}", server.listener.local_addr()?.port());
    let mut events = Vec::with_capacity(BATCH);
    loop {
        match epoll::wait(&server.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            server.handle(event.data.u64() as usize, event.flags)?;
        }
    }
}

struct Server {
    epoll: OwnedFd,
    /// Level-triggered, so that nothing waits behind a full batch. Its events carry its descriptor, as those
    /// of the connections carry theirs.
    listener: TcpListener,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    /// Holds data only within one call of `Connection::echo`.
    buffer: Vec<u8>,
}

impl Server {
    fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        listen(&listener, QUEUE)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let key = epoll::EventData::new_u64(listener.as_raw_fd() as u64);
        epoll::add(&epoll, &listener, key, EventFlags::IN)?;
        Ok(Self { epoll, listener, connections: Vec::new(), buffer: vec![0; BUFFER] })
    }

    fn handle(&mut self, key: usize, marks: EventFlags) -> io::Result<()> {
        if key == self.listener.as_raw_fd() as usize {
            return self.accept_all();
        }
        let slot = &mut self.connections[key];
        let connection = slot.as_mut().expect("a closed descriptor has no events");
        // The load resets its connections.
        if connection.echo(marks, &mut self.buffer).is_err() {
            *slot = None;
        }
        Ok(())
    }

    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(stream) => self.add(stream.into())?,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn add(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let key = stream.as_raw_fd() as usize;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(key as u64), STREAM_EDGES)?;
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
    fn echo(&mut self, marks: EventFlags, buffer: &mut [u8]) -> io::Result<()> {
        if !self.flush()? || !marks.intersects(READ_MARKS) {
            return Ok(());
        }
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let sent = self.send(&buffer[..length])?;
            if sent < length {
                self.unsent.extend_from_slice(&buffer[sent..length]);
                return Ok(());
            }
            if length < buffer.len() && !marks.intersects(LAST_READ_MARKS) {
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
