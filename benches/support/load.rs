//! The load generator: many connections, one request in flight on each, every returned byte checked.
//!
//! A request is a slice of one random block, cut at another place for each connection and each request;
//! so a byte that is lost, repeated or sent to the wrong peer shows as a difference. Each connection
//! has echoed one request before the measuring begins; what is not answered at the end is an error.

use super::cpu;
use super::histogram::Histogram;
use super::sys::{self, Epoll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Connections opened before the server is waited for; below any backlog.
const CONNECT_BATCH: usize = 64;

/// Events taken from the kernel by one wait.
const EVENT_BATCH: usize = 1024;

/// Bytes read by one call: more than most answers, so that one call shows that there is no more.
const READ_SIZE: usize = 64 * 1024;

/// Different places at which a request may be cut from the random block.
const CUTS: usize = 4096;

/// How long an answer may take while connecting, and all that are missing at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to load, and with how much at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Where the server listens, on 127.0.0.1.
    pub(crate) port: u16,
    /// The server's process, whose time on the CPU is read at both ends of the measuring.
    pub(crate) server: u32,
    pub(crate) connections: usize,
    /// Bytes of a request.
    pub(crate) size: usize,
}

/// One stretch of load on open connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Load that is not measured, before the load that is.
    pub(crate) warm_up: Duration,
    pub(crate) limit: Limit,
}

/// When the measuring ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// After this time.
    Time(Duration),
    /// After this many requests; at the latest after a minute for each 100,000.
    Requests(u64),
}

/// What was seen between the two ends of the measuring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    /// Connections that failed, gave back other bytes, or did not answer.
    pub(crate) errors: u64,
    pub(crate) elapsed: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The server's time on the CPU.
    pub(crate) server_cpu: Duration,
    /// The load generator's.
    pub(crate) client_cpu: Duration,
}

/// What carries the bytes of a connection.
pub(crate) trait Wire: Read + Write {
    /// A read that does not fill its buffer has taken all that was there.
    const SHORT_READ_IS_LAST: bool;

    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    const SHORT_READ_IS_LAST: bool = true;

    fn socket(&self) -> &TcpStream {
        self
    }
}

/// Open connections to an echo server.
pub(crate) struct Load<W = TcpStream> {
    epoll: Epoll,
    connections: Vec<Option<Connection<W>>>,
    requests: Requests,
    buffer: Vec<u8>,
    /// How many requests may still be sent.
    budget: u64,
    /// Connections that wait for an answer.
    in_flight: usize,
    errors: u64,
    latencies: Histogram,
    /// It waits for events; else it looks for them again and again.
    sleeps: bool,
}

struct Connection<W> {
    stream: W,
    /// How many requests came before the one in flight.
    serial: usize,
    /// Bytes of the request in flight that were sent.
    sent: usize,
    /// Bytes of it that came back; all of them when none is in flight.
    received: usize,
    /// When it was sent.
    since: Instant,
}

impl Load {
    /// Opens the connections and has each echo one request.
    pub(crate) fn connect(target: Target, requests: Requests) -> io::Result<Self> {
        Self::connect_by(target, requests, Ok)
    }
}

impl<W: Wire> Load<W> {
    /// The same over what `wrap` makes of the connections, which block meanwhile.
    pub(crate) fn connect_by(
        target: Target,
        requests: Requests,
        wrap: impl Fn(TcpStream) -> io::Result<W>,
    ) -> io::Result<Self> {
        let Target { port, connections, .. } = target;
        sys::raise_descriptor_limit()?;
        let mut load = Self {
            epoll: Epoll::new()?,
            connections: Vec::with_capacity(connections),
            requests,
            buffer: vec![0; READ_SIZE],
            budget: 0,
            in_flight: 0,
            errors: 0,
            latencies: Histogram::new(),
            sleeps: true,
        };
        while load.connections.len() < connections {
            let missing = connections - load.connections.len();
            load.connect_batch(port, missing.min(CONNECT_BATCH), &wrap)?;
        }
        Ok(load)
    }

    fn connect_batch(
        &mut self,
        port: u16,
        count: usize,
        wrap: impl Fn(TcpStream) -> io::Result<W>,
    ) -> io::Result<()> {
        let streams: Vec<TcpStream> = (0..count).map(|_| open(port)).collect::<io::Result<_>>()?;
        for stream in streams {
            let (mut stream, index) = (wrap(stream)?, self.connections.len());
            self.greet(&mut stream, index)?;
            stream.socket().set_nonblocking(true)?;
            self.epoll.add(stream.socket(), sys::STREAM_EDGES, index as u64)?;
            self.connections.push(Some(Connection::idle(stream, &self.requests)));
        }
        Ok(())
    }

    /// Sends the first request and waits for its answer.
    fn greet(&self, stream: &mut W, index: usize) -> io::Result<()> {
        let mut answer = vec![0; self.requests.answer_size];
        stream.write_all(self.requests.get(index, 0))?;
        stream.read_exact(&mut answer)?;
        if self.requests.is_answer(index, 0, 0, &answer) { Ok(()) } else { Err(wrong_answer()) }
    }

    /// Never sleeps from now on: no answer costs the server an interrupt to wake it. Else a server that
    /// answers one request while the client is through with the last pays for that with each, a third of
    /// the whole, and a slightly faster one does not.
    pub(crate) fn stay_awake(&mut self) {
        self.sleeps = false;
    }

    /// Loads the server, and returns what was seen.
    pub(crate) fn run(&mut self, server: u32, stretch: Stretch) -> io::Result<Report> {
        self.errors = 0;
        self.budget = match stretch.limit {
            Limit::Time(_) => u64::MAX,
            Limit::Requests(count) => count,
        };
        self.send_first();
        self.pump(stretch.warm_up)?;

        self.latencies = Histogram::new();
        let before = Sample::take(server)?;
        self.pump(stretch.limit.bound())?;
        let after = Sample::take(server)?;
        let (requests, p50, p99) = self.seen();

        self.budget = 0;
        self.pump(PATIENCE)?;
        self.fail_unanswered();
        Ok(Report {
            requests,
            errors: self.errors,
            elapsed: after.at - before.at,
            p50,
            p99,
            server_cpu: after.server - before.server,
            client_cpu: after.client - before.client,
        })
    }

    fn seen(&self) -> (u64, Duration, Duration) {
        let latencies = &self.latencies;
        (latencies.total(), latencies.quantile(0.50), latencies.quantile(0.99))
    }

    /// Sends on each connection, as far as the budget allows.
    fn send_first(&mut self) {
        let now = Instant::now();
        for index in 0..self.connections.len() {
            if let Err(e) = self.send_next(index, now) {
                self.fail(index, &e);
            }
        }
    }

    /// Goes on until `time` has passed or nothing is in flight.
    fn pump(&mut self, time: Duration) -> io::Result<()> {
        let mut events = sys::event_buffer(EVENT_BATCH);
        let end = Instant::now() + time;
        while self.in_flight > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let pause = if self.sleeps { left } else { Duration::ZERO };
            let ready = self.epoll.wait(&mut events, Some(pause))?;
            for event in &events[..ready] {
                self.handle(event.u64 as usize, event.events);
            }
        }
        Ok(())
    }

    fn handle(&mut self, index: usize, marks: u32) {
        let result = self.advance(index, marks);
        if let Err(e) = result {
            self.fail(index, &e);
        }
    }

    /// Writes what is unsent, reads what has come, and sends the next request when the answer is whole.
    fn advance(&mut self, index: usize, marks: u32) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        connection.send_rest(self.requests.get(index, connection.serial))?;
        if marks & sys::READ_MARKS == 0 {
            return Ok(());
        }
        if !connection.receive(&self.requests, index, &mut self.buffer, marks)? {
            return Ok(());
        }
        let now = Instant::now();
        self.latencies.record(now - connection.since);
        self.in_flight -= 1;
        self.send_next(index, now)
    }

    fn send_next(&mut self, index: usize, now: Instant) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        if self.budget == 0 {
            return Ok(());
        }
        self.budget -= 1;
        self.in_flight += 1;
        connection.begin(now);
        connection.send_rest(self.requests.get(index, connection.serial))
    }

    fn fail_unanswered(&mut self) {
        for index in 0..self.connections.len() {
            if self.connections[index]
                .as_ref()
                .is_some_and(|c| c.is_waiting(self.requests.answer_size))
            {
                self.fail(index, &ErrorKind::TimedOut.into());
            }
        }
    }

    /// Closes a connection and counts it as an error; only the first is told in words.
    fn fail(&mut self, index: usize, error: &io::Error) {
        let Some(connection) = self.connections[index].take() else { return };
        if self.errors == 0 {
            eprintln!("load: connection {index}, request {}: {error}", connection.serial);
        }
        if connection.is_waiting(self.requests.answer_size) {
            self.in_flight -= 1;
        }
        self.errors += 1;
    }
}

impl<W: Wire> Connection<W> {
    fn idle(stream: W, requests: &Requests) -> Self {
        let (sent, received) = (requests.size, requests.answer_size);
        Self { stream, serial: 0, sent, received, since: Instant::now() }
    }

    fn is_waiting(&self, answer_size: usize) -> bool {
        self.received < answer_size
    }

    fn begin(&mut self, now: Instant) {
        self.serial += 1;
        self.sent = 0;
        self.received = 0;
        self.since = now;
    }

    fn send_rest(&mut self, request: &[u8]) -> io::Result<()> {
        while self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads what has come and compares it; returns whether the answer has just become whole.
    fn receive(
        &mut self,
        requests: &Requests,
        index: usize,
        buffer: &mut [u8],
        marks: u32,
    ) -> io::Result<bool> {
        let before = self.received;
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            };
            if !requests.is_answer(index, self.serial, self.received, &buffer[..length]) {
                return Err(wrong_answer());
            }
            self.received += length;
            let short = W::SHORT_READ_IS_LAST && length < buffer.len();
            let drained = short && marks & sys::LAST_READ_MARKS == 0;
            if drained {
                break;
            }
        }
        let whole = requests.answer_size;
        Ok(self.received == whole && before < whole)
    }
}

/// What is sent, and what has to come back.
pub(crate) struct Requests {
    /// Where requests are cut from.
    block: Vec<u8>,
    /// Places at which one may be cut.
    cuts: usize,
    size: usize,
    answer_size: usize,
    /// What every answer begins with; without it, an answer is the request once more.
    beginning: Option<&'static [u8]>,
}

impl Requests {
    /// Random bytes, which come back as they are.
    pub(crate) fn echo(size: usize) -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let block = (0..size + CUTS).map(|_| xorshift(&mut state)).collect();
        Self { block, cuts: CUTS, size, answer_size: size, beginning: None }
    }

    /// The same request again and again, whose answers are all as long as the first one, which is asked
    /// for here, and begin with `beginning`.
    pub(crate) fn fixed(port: u16, request: &[u8], beginning: &'static [u8]) -> io::Result<Self> {
        let mut stream = open(port)?;
        stream.write_all(request)?;
        let mut answer = vec![0; READ_SIZE];
        // It comes in one piece.
        let answer_size = stream.read(&mut answer)?;
        let (block, size) = (request.to_vec(), request.len());
        Ok(Self { block, cuts: 1, size, answer_size, beginning: Some(beginning) })
    }

    fn get(&self, connection: usize, serial: usize) -> &[u8] {
        let cut = (connection.wrapping_mul(61).wrapping_add(serial)) % self.cuts;
        &self.block[cut..cut + self.size]
    }

    /// Whether `bytes` may be those of the answer that begin at `offset`.
    fn is_answer(&self, connection: usize, serial: usize, offset: usize, bytes: &[u8]) -> bool {
        let end = offset + bytes.len();
        match self.beginning {
            None => self.get(connection, serial).get(offset..end) == Some(bytes),
            Some(beginning) => {
                end <= self.answer_size && (offset > 0 || bytes.starts_with(beginning))
            }
        }
    }
}

fn wrong_answer() -> io::Error {
    io::Error::other("the answer is not what it should be")
}

/// The clocks at one end of the measuring.
struct Sample {
    at: Instant,
    server: Duration,
    client: Duration,
}

impl Sample {
    fn take(server: u32) -> io::Result<Self> {
        Ok(Self {
            server: Duration::from_nanos(cpu::on_cpu_nanos(server)?),
            client: Duration::from_nanos(cpu::on_cpu_nanos(std::process::id())?),
            at: Instant::now(),
        })
    }
}

fn open(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    sys::reset_on_close(&stream)?;
    Ok(stream)
}

fn xorshift(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 56) as u8
}

impl Limit {
    /// The longest that the measuring takes.
    fn bound(self) -> Duration {
        match self {
            Self::Time(time) => time,
            Self::Requests(count) => Duration::from_secs(60 * (count / 100_000 + 1)),
        }
    }
}

impl Target {
    /// As arguments of the process that runs the load.
    pub(crate) fn to_args(self) -> [String; 4] {
        let Self { port, server, connections, size } = self;
        [port.to_string(), server.to_string(), connections.to_string(), size.to_string()]
    }

    /// The other way round; `None` when `args` do not come from `to_args`.
    pub(crate) fn from_args(args: &[String]) -> Option<Self> {
        let [port, server, connections, size] = args else { return None };
        Some(Self {
            port: port.parse().ok()?,
            server: server.parse().ok()?,
            connections: connections.parse().ok()?,
            size: size.parse().ok()?,
        })
    }
}

impl Stretch {
    /// As one line for the process that runs the load.
    pub(crate) fn to_line(self) -> String {
        let warm_up = self.warm_up.as_millis();
        match self.limit {
            Limit::Time(time) => format!("{warm_up} {} ms", time.as_millis()),
            Limit::Requests(count) => format!("{warm_up} {count} requests"),
        }
    }

    /// The other way round; `None` when `line` does not come from `to_line`.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let warm_up = Duration::from_millis(words.next()?.parse().ok()?);
        let amount = words.next()?.parse().ok()?;
        let limit = match words.next()? {
            "ms" => Limit::Time(Duration::from_millis(amount)),
            "requests" => Limit::Requests(amount),
            _ => return None,
        };
        Some(Self { warm_up, limit })
    }
}

impl Report {
    /// As one line for the process that asked.
    pub(crate) fn to_line(self) -> String {
        let times = [self.elapsed, self.p50, self.p99, self.server_cpu, self.client_cpu];
        let nanos = times.map(|time| time.as_nanos().to_string()).join(" ");
        format!("{} {} {nanos}", self.requests, self.errors)
    }
}

impl FromStr for Report {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let numbers: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let [requests, errors, times @ ..] = numbers.as_slice() else { return Err(bad_line(line)) };
        let [elapsed, p50, p99, server_cpu, client_cpu] =
            <[u64; 5]>::try_from(times).map_err(|_| bad_line(line))?.map(Duration::from_nanos);
        let (requests, errors) = (*requests, *errors);
        Ok(Self { requests, errors, elapsed, p50, p99, server_cpu, client_cpu })
    }
}

fn bad_line(line: &str) -> io::Error {
    io::Error::other(format!("the load generator said {line:?}"))
}
