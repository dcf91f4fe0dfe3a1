//! Echo over UDP: evy against a hand-written edge-triggered epoll loop, in one run.
//!
//! ```text
//! cargo bench --bench udp                      # the whole table, about a minute
//! cargo bench --bench udp -- 16 64             # 16 clients, 64 bytes
//! EVY_SPIN=0 cargo bench --bench udp -- 1 64   # without the spin before blocking
//! cargo bench --bench udp -- --self-check      # raw against raw: how far ratios can be trusted
//! ```
//!
//! Either server has one socket and one green thread or OS thread, and calls recvfrom and sendto for one
//! datagram each; neither has recvmmsg. Servers and clients run on cores of their own. Each client has
//! a socket and one datagram in flight, whose bytes are checked when it is back. Both servers are loaded
//! by turns, a short slice of time each; a ratio is the median of the ratios of neighbouring slices, with
//! the quartiles behind it. CPU is the server's time on the CPU per datagram. Both ratios are above 1
//! where evy is the better one.

mod support;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use support::args::Args;
use support::cpu;
use support::histogram::Histogram;
use support::report::{Series, Table, thousands};
use support::role::{self, Server, ServerKind};
use support::sys::{self, Epoll};

const CLIENTS: [usize; 3] = [1, 16, 100];
const SIZES: [usize; 2] = [64, 1400];

/// Load at the beginning of a slice that is not measured.
const WARM_UP: Duration = Duration::from_millis(10);

/// Slices in which no answer comes, one after the other, before the server counts as dead.
const ATTEMPTS: usize = 20;

/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let self_check = args.flag("--self-check");
    let slices = args.number("--slices", 40.0)?.max(1.0) as usize;
    let slice = Duration::from_secs_f64(args.number("--seconds", 0.1)?.clamp(0.01, 60.0));
    let clients = args.list(&CLIENTS)?;
    let sizes = args.list(&SIZES)?;
    args.end()?;
    let subject = if self_check { ServerKind::RawUdp } else { ServerKind::EvyUdp };
    let cells = clients.iter().flat_map(|&clients| sizes.iter().map(move |&size| (clients, size)));
    let cells: Vec<_> = cells.collect();

    let time = (slice + WARM_UP) * (2 * slices * cells.len()) as u32;
    let raw_server = Server::start(ServerKind::RawUdp, time)?;
    let evy_server = Server::start(subject, time)?;
    // After the servers were told where to run: from here on this process has one core.
    cpu::pin(cpu::cores()?.1)?;

    let mut table = Table::new(&[
        "clients",
        "bytes",
        "raw datagrams/s",
        "evy datagrams/s",
        "rate evy/raw",
        "raw CPU ns",
        "evy CPU ns",
        "CPU raw/evy",
        "p50 µs raw, evy",
        "lost",
    ]);
    for (clients, size) in cells {
        eprintln!("{clients} clients, {size} bytes");
        let mut raw = Load::connect(&raw_server, clients, size)?;
        let mut evy = Load::connect(&evy_server, clients, size)?;
        for _ in 0..slices {
            raw.run(slice)?;
            evy.run(slice)?;
        }
        table.row(row(clients, size, &raw.slices, &evy.slices));
    }
    let spin = std::env::var("EVY_SPIN").unwrap_or_else(|_| "not set".to_owned());
    println!("udp: {slices} slices of {} s, EVY_SPIN {spin}\n\n{table}", slice.as_secs_f64());
    Ok(())
}

fn row(clients: usize, size: usize, raw: &[Slice], evy: &[Slice]) -> Vec<String> {
    let series = |slices: &[Slice], figure: fn(&Slice) -> f64| -> Series {
        slices.iter().map(figure).collect()
    };
    let (raw_rate, evy_rate) = (series(raw, Slice::rate), series(evy, Slice::rate));
    let (raw_cpu, evy_cpu) = (series(raw, Slice::cpu), series(evy, Slice::cpu));
    let p50 = |slices| series(slices, |slice| slice.p50.as_secs_f64() * 1e6).median();
    let lost: u64 = raw.iter().chain(evy).map(|slice| slice.lost).sum();
    vec![
        clients.to_string(),
        size.to_string(),
        thousands(raw_rate.median()),
        thousands(evy_rate.median()),
        Series::ratio(&evy_rate, &raw_rate).with_quartiles(),
        thousands(raw_cpu.median()),
        thousands(evy_cpu.median()),
        Series::ratio(&raw_cpu, &evy_cpu).with_quartiles(),
        format!("{:.0}, {:.0}", p50(raw), p50(evy)),
        lost.to_string(),
    ]
}

/// What was seen in one slice of time.
struct Slice {
    datagrams: u64,
    lost: u64,
    elapsed: Duration,
    p50: Duration,
    /// The server's time on the CPU.
    cpu: Duration,
}

impl Slice {
    fn rate(&self) -> f64 {
        self.datagrams as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.datagrams as f64
    }
}

/// The clients of one server.
struct Load {
    server: u32,
    epoll: Epoll,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    latencies: Histogram,
    slices: Vec<Slice>,
}

struct Client {
    socket: UdpSocket,
    /// What it sends: its first eight bytes are the number of the datagram.
    message: Vec<u8>,
    number: u64,
    /// When the datagram in flight was sent.
    since: Option<Instant>,
}

impl Load {
    fn connect(server: &Server, clients: usize, size: usize) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let client = |index: usize| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, server.port))?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, sys::STREAM_EDGES, index as u64)?;
            let message = (0..size.max(8)).map(|at| (at * 31 + index) as u8).collect();
            Ok(Client { socket, message, number: 0, since: None })
        };
        let clients = (0..clients).map(client).collect::<io::Result<_>>()?;
        let (buffer, latencies) = (vec![0; size.max(8) + 1], Histogram::new());
        Ok(Self { server: server.pid, epoll, clients, buffer, latencies, slices: Vec::new() })
    }

    /// Loads the server for this time, and notes what was seen. Where the machine is so busy that nothing
    /// comes back in that time, it tries again.
    fn run(&mut self, time: Duration) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let slice = self.slice(time)?;
            if slice.datagrams > 0 {
                self.slices.push(slice);
                return Ok(());
            }
        }
        Err(io::Error::other("the server does not answer"))
    }

    fn slice(&mut self, time: Duration) -> io::Result<Slice> {
        let now = Instant::now();
        self.clients.iter_mut().try_for_each(|client| client.send(now))?;
        self.pump(WARM_UP, true)?;
        self.latencies = Histogram::new();
        let (start, cpu) = (Instant::now(), cpu::on_cpu_nanos(self.server)?);
        let lost = self.pump(time, true)?;
        let (elapsed, cpu) = (start.elapsed(), cpu::on_cpu_nanos(self.server)? - cpu);
        let (datagrams, p50) = (self.latencies.total(), self.latencies.quantile(0.5));
        let lost = lost + self.pump(PATIENCE, false)?;
        let cpu = Duration::from_nanos(cpu);
        Ok(Slice { datagrams, lost, elapsed, p50, cpu })
    }

    /// Receives answers for this time, and sends the next datagram for each with `more`, or until all
    /// have come without. Returns how many were lost.
    fn pump(&mut self, time: Duration, more: bool) -> io::Result<u64> {
        let mut events = sys::event_buffer(1024);
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            let in_flight = self.clients.iter().filter(|client| client.since.is_some()).count();
            if now >= end || in_flight == 0 {
                let lost = if more { 0 } else { in_flight as u64 };
                return Ok(lost + self.send_again(now, more)?);
            }
            let ready = self.epoll.wait(&mut events, Some((end - now).min(PATIENCE)))?;
            if ready == 0 {
                self.send_again(Instant::now(), more)?;
            }
            for event in &events[..ready] {
                if event.events & sys::READ_MARKS != 0 {
                    self.receive(event.u64 as usize, more)?;
                }
            }
        }
    }

    fn receive(&mut self, index: usize, more: bool) -> io::Result<()> {
        let client = &mut self.clients[index];
        loop {
            let count = match client.socket.recv(&mut self.buffer) {
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            let answer = &self.buffer[..count];
            if answer.len() == client.message.len() && answer[..8] < client.message[..8] {
                // One that was given up came after all.
                continue;
            }
            if answer != client.message {
                return Err(io::Error::other("the echo differs from the datagram"));
            }
            let now = Instant::now();
            if let Some(since) = client.since.take() {
                self.latencies.record(now - since);
            }
            if more {
                client.send(now)?;
            }
        }
    }

    /// Gives up datagrams that are on their way for too long, and sends others; returns how many.
    fn send_again(&mut self, now: Instant, more: bool) -> io::Result<u64> {
        let mut lost = 0;
        for client in &mut self.clients {
            if client.since.is_some_and(|since| !more || now - since >= PATIENCE) {
                client.since = None;
                lost += u64::from(more);
                if more {
                    client.send(now)?;
                }
            }
        }
        Ok(lost)
    }
}

impl Client {
    fn send(&mut self, now: Instant) -> io::Result<()> {
        self.number += 1;
        self.message[..8].copy_from_slice(&self.number.to_be_bytes());
        self.since = Some(now);
        self.socket.send(&self.message).map(drop)
    }
}
