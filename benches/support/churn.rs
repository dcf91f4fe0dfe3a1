//! The other load generator: connections that come, have one byte echoed, and go.
//!
//! So many are open at a time. Each is closed by a reset, so that no port stays behind in TIME_WAIT: at
//! tens of thousands a second they would be used up within seconds.

use super::cpu;
use super::histogram::Histogram;
use super::load::{Limit, Report, Stretch};
use super::sys::{self, Epoll};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// Events taken from the kernel by one wait.
const EVENT_BATCH: usize = 256;

/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections to an echo server that do not last.
pub(crate) struct Churn {
    epoll: Epoll,
    port: u16,
    /// One for each that is open; the first `connections` of them are opened again and again.
    slots: Vec<Option<Open>>,
    /// Whether what has ended is opened again.
    goes_on: bool,
    done: u64,
    errors: u64,
    latencies: Histogram,
}

struct Open {
    stream: TcpStream,
    /// Before it was connected.
    since: Instant,
}

impl Churn {
    pub(crate) fn new(port: u16, connections: usize) -> io::Result<Self> {
        sys::raise_descriptor_limit()?;
        Ok(Self {
            epoll: Epoll::new()?,
            port,
            slots: (0..connections).map(|_| None).collect(),
            goes_on: false,
            done: 0,
            errors: 0,
            latencies: Histogram::new(),
        })
    }

    /// Loads the server, and returns what was seen; a connection counts as a request.
    pub(crate) fn run(&mut self, server: u32, stretch: Stretch) -> io::Result<Report> {
        let time = match stretch.limit {
            Limit::Time(time) => time,
            Limit::Requests(_) => return Err(io::Error::other("connections are counted by time")),
        };
        self.errors = 0;
        self.goes_on = true;
        for index in 0..self.slots.len() {
            self.open(index);
        }
        self.pump(stretch.warm_up)?;

        (self.done, self.latencies) = (0, Histogram::new());
        let before = (Instant::now(), cpu::on_cpu_nanos(server)?, cpu::on_cpu_nanos(own())?);
        self.pump(time)?;
        let after = (Instant::now(), cpu::on_cpu_nanos(server)?, cpu::on_cpu_nanos(own())?);
        let seen = (self.done, self.latencies.quantile(0.50), self.latencies.quantile(0.99));

        self.goes_on = false;
        self.pump(PATIENCE)?;
        self.errors += self.slots.iter_mut().filter_map(Option::take).count() as u64;
        Ok(Report {
            requests: seen.0,
            errors: self.errors,
            elapsed: after.0 - before.0,
            p50: seen.1,
            p99: seen.2,
            server_cpu: Duration::from_nanos(after.1 - before.1),
            client_cpu: Duration::from_nanos(after.2 - before.2),
        })
    }

    /// Goes on until `time` has passed or nothing is open.
    fn pump(&mut self, time: Duration) -> io::Result<()> {
        let mut events = sys::event_buffer(EVENT_BATCH);
        let end = Instant::now() + time;
        while self.slots.iter().any(Option::is_some) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let ready = self.epoll.wait(&mut events, Some(left))?;
            for event in &events[..ready] {
                self.finish(event.u64 as usize);
            }
        }
        Ok(())
    }

    /// Connects and sends a byte.
    fn open(&mut self, index: usize) {
        let since = Instant::now();
        match self.connect(index) {
            Ok(stream) => self.slots[index] = Some(Open { stream, since }),
            Err(error) => self.fail(&error),
        }
    }

    fn connect(&self, index: usize) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        sys::reset_on_close(&stream)?;
        stream.write_all(&[index as u8])?;
        // Level-triggered: there is one event, the byte.
        self.epoll.add(&stream, libc::EPOLLIN, index as u64)?;
        Ok(stream)
    }

    /// The byte has come back, or the connection has failed.
    fn finish(&mut self, index: usize) {
        let Some(mut open) = self.slots[index].take() else { return };
        let mut byte = [0];
        match open.stream.read_exact(&mut byte) {
            Ok(()) if byte == [index as u8] => {}
            Ok(()) => self.fail(&io::Error::other("the echo differs")),
            Err(error) => self.fail(&error),
        }
        drop(open.stream);
        self.done += 1;
        self.latencies.record(open.since.elapsed());
        if self.goes_on {
            self.open(index);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if self.errors == 0 {
            eprintln!("churn: {error}");
        }
        self.errors += 1;
    }
}

fn own() -> u32 {
    std::process::id()
}
