//! Connections to one server, all of which are asked again as soon as they have answered.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::connection::{Connection, Request};

/// More than an answer over HTTP has: a read that does not fill it has taken all that was there.
const READ_SIZE: usize = 64 * 1024;

/// Events taken from the kernel by one wait.
const EVENT_BATCH: usize = 1024;

/// Connections that are opened before the first of them has to have answered: fewer than any of the
/// servers lets wait to be accepted.
const OPENED_AT_ONCE: usize = 64;

/// How long an answer may take while connecting, and all that are missing at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Open connections to the server.
pub(crate) struct Load {
    port: u16,
    request: Request,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// Whether an answer is followed by the next request.
    going_on: bool,
    /// Connections that wait for an answer.
    in_flight: usize,
    /// Nanoseconds from each request to the end of its answer.
    pub(crate) latencies: Vec<u64>,
}

impl Load {
    pub(crate) fn new(port: u16, request: Request) -> io::Result<Self> {
        Ok(Self {
            port,
            request,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            buffer: vec![0; READ_SIZE],
            going_on: false,
            in_flight: 0,
            latencies: Vec::new(),
        })
    }

    /// Opens so many connections more, and has each answer one request.
    pub(crate) fn connect(&mut self, connections: usize) -> io::Result<()> {
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let wanted = self.connections.len() + connections;
        self.going_on = false;
        while self.connections.len() < wanted {
            for _ in 0..OPENED_AT_ONCE.min(wanted - self.connections.len()) {
                let index = self.connections.len();
                let mut connection = Connection::open(self.port, index, &self.request)?;
                let key = epoll::EventData::new_u64(index as u64);
                epoll::add(&self.epoll, connection.stream(), key, edges)?;
                connection.ask(&mut self.request, Instant::now())?;
                self.connections.push(connection);
                self.in_flight += 1;
            }
            self.pump(PATIENCE)?;
            if self.in_flight > 0 {
                return Err(io::Error::other("the first request is not answered in full"));
            }
        }
        Ok(())
    }

    /// Begins.
    pub(crate) fn ask_all(&mut self) -> io::Result<()> {
        self.going_on = true;
        let now = Instant::now();
        for connection in &mut self.connections {
            connection.ask(&mut self.request, now)?;
            self.in_flight += 1;
        }
        Ok(())
    }

    /// Goes on until `time` has passed or nothing is in flight.
    pub(crate) fn pump(&mut self, time: Duration) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENT_BATCH);
        let end = Instant::now() + time;
        while self.in_flight > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let left = Timespec::try_from(left).expect("it is a few seconds");
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&left))?;
            for event in events.drain(..) {
                let index = event.data.u64() as usize;
                self.hear(index).map_err(|error| {
                    io::Error::new(error.kind(), format!("connection {index}: {error}"))
                })?;
            }
        }
        Ok(())
    }

    /// Reads from one connection, and asks once more when the answer is whole.
    fn hear(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        match connection.hear(&self.request, &mut self.buffer) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // The read before took what this event tells of.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        self.latencies.push(connection.waited(now).as_nanos() as u64);
        if self.going_on {
            return connection.ask(&mut self.request, now);
        }
        self.in_flight -= 1;
        Ok(())
    }

    /// Waits for the answers that are still to come.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.going_on = false;
        self.pump(PATIENCE)?;
        match self.in_flight {
            0 => Ok(()),
            missing => Err(io::Error::other(format!("{missing} connections did not answer"))),
        }
    }
}
