//! Loads an HTTP server that says "hello", and prints what was seen:
//! `peers-load PORT PID CONNECTIONS SECONDS`.
//!
//! Hand-written epoll, with one request in flight on each connection; every answer is checked, and what
//! does not answer as it should ends the load. Printed are requests per second, the nanoseconds that the
//! threads of process PID were on a CPU for one request, and the microseconds within which 50 and 99 of
//! 100 answers came.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::sockopt::set_socket_linger;

/// What a usual client sends, if it is brief.
const REQUEST: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// What an answer begins with.
const STATUS: &[u8] = b"HTTP/1.1 200 ";

/// What it ends with.
const HELLO: &[u8] = b"\r\n\r\nHello, World!";

/// More than an answer has: a read that does not fill it has taken all that was there.
const READ_SIZE: usize = 16 * 1024;

/// Events taken from the kernel by one wait.
const EVENT_BATCH: usize = 1024;

/// Load that is not measured, before the load that is.
const WARM_UP: Duration = Duration::from_millis(200);

/// How long an answer may take while connecting, and all that are missing at the end.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match load() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = argument(arguments.next())?;
    let server: u32 = argument(arguments.next())?;
    let connections = argument(arguments.next())?;
    let time = Duration::from_secs_f64(argument(arguments.next())?);

    let mut load = Load::connect(port, connections)?;
    load.ask_all()?;
    load.pump(WARM_UP)?;

    load.latencies.clear();
    let (start, cpu) = (Instant::now(), on_cpu_nanos(server)?);
    load.pump(time)?;
    let (elapsed, cpu) = (start.elapsed(), on_cpu_nanos(server)? - cpu);
    let mut nanos = std::mem::take(&mut load.latencies);

    load.finish()?;
    if nanos.is_empty() {
        return Err(io::Error::other("no answer in the time that was measured"));
    }
    nanos.sort_unstable();
    let requests = nanos.len() as f64;
    let micros = |part: f64| nanos[((requests - 1.0) * part).round() as usize] as f64 / 1e3;
    let (rate, cpu) = (requests / elapsed.as_secs_f64(), cpu as f64 / requests);
    println!("{rate} {cpu} {} {}", micros(0.5), micros(0.99));
    Ok(())
}

fn argument<T: std::str::FromStr>(text: Option<String>) -> io::Result<T> {
    let usage = || io::Error::other("usage: peers-load PORT PID CONNECTIONS SECONDS");
    text.and_then(|text| text.parse().ok()).ok_or_else(usage)
}

/// Nanoseconds that the threads of `pid` have spent on a CPU so far.
fn on_cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
        total += nanos.ok_or_else(|| io::Error::other("schedstat does not begin with a number"))?;
    }
    Ok(total)
}

/// Open connections to the server.
struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// Whether an answer is followed by the next request.
    going_on: bool,
    /// Connections that wait for an answer.
    in_flight: usize,
    /// Nanoseconds from each request to the end of its answer.
    latencies: Vec<u64>,
}

impl Load {
    /// Opens the connections and has each answer one request.
    fn connect(port: u16, connections: usize) -> io::Result<Self> {
        let mut load = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(connections),
            buffer: vec![0; READ_SIZE],
            going_on: true,
            in_flight: 0,
            latencies: Vec::new(),
        };
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        for index in 0..connections {
            let connection = Connection::open(port, &mut load.buffer)?;
            let key = epoll::EventData::new_u64(index as u64);
            epoll::add(&load.epoll, &connection.stream, key, edges)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    fn ask_all(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for connection in &mut self.connections {
            connection.ask(now)?;
            self.in_flight += 1;
        }
        Ok(())
    }

    /// Goes on until `time` has passed or nothing is in flight.
    fn pump(&mut self, time: Duration) -> io::Result<()> {
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
        match connection.hear(&mut self.buffer) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // The read before took what this event tells of.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        self.latencies.push((now - connection.asked).as_nanos() as u64);
        if self.going_on {
            return connection.ask(now);
        }
        self.in_flight -= 1;
        Ok(())
    }

    /// Waits for the answers that are still to come.
    fn finish(mut self) -> io::Result<()> {
        self.going_on = false;
        self.pump(PATIENCE)?;
        match self.in_flight {
            0 => Ok(()),
            missing => Err(io::Error::other(format!("{missing} connections did not answer"))),
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// What has come of the answer.
    answer: Vec<u8>,
    /// When the request was sent.
    asked: Instant,
}

impl Connection {
    /// Connects, and has the first request answered.
    fn open(port: u16, buffer: &mut [u8]) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // A reset leaves no port in TIME_WAIT for the next round.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        let mut connection = Self { stream, answer: Vec::new(), asked: Instant::now() };
        connection.ask(Instant::now())?;
        while !connection.hear(buffer).map_err(too_late)? {}
        connection.stream.set_nonblocking(true)?;
        Ok(connection)
    }

    fn ask(&mut self, now: Instant) -> io::Result<()> {
        self.answer.clear();
        self.asked = now;
        // With nothing else in flight there is room for it.
        self.stream.write_all(REQUEST)
    }

    /// Reads what has come, and returns whether that makes the answer whole.
    fn hear(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let length = self.stream.read(buffer)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.answer.extend_from_slice(&buffer[..length]);
        let beginning = self.answer.len().min(STATUS.len());
        if length == buffer.len() || self.answer[..beginning] != STATUS[..beginning] {
            return Err(io::Error::other("the answer is not what it should be"));
        }
        Ok(self.answer.ends_with(HELLO))
    }
}

/// In words what a blocking read says when its time is over.
fn too_late(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::other("the first request is not answered in full"),
        _ => error,
    }
}
