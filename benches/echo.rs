//! Echo over TCP: evy against a hand-written edge-triggered epoll loop, in one run.
//!
//! ```text
//! cargo bench --bench echo                        # the whole table, about three minutes
//! cargo bench --bench echo -- 100 64              # 100 connections, 64 bytes
//! cargo bench --bench echo -- 1,4                 # 1 and 4 connections, all sizes
//! EVY_SPIN=0 cargo bench --bench echo -- 1,4 64   # without the spin before blocking
//! cargo bench --bench echo -- --self-check        # raw against raw: how far ratios can be trusted
//! cargo bench --bench echo -- 10000 64 --rounds 1 --slices 1 --seconds 60
//! ```
//!
//! Server and client are processes of their own on cores of their own. In each round both servers are
//! started afresh, with all connections open, and then loaded by turns, a short slice of time each (raw,
//! evy, raw, evy, …). A ratio is the median of the ratios of neighbouring slices, with the quartiles
//! behind it: whatever slows the machine for longer than two slices cancels out. CPU is the server's time
//! on the CPU per request. Both ratios are above 1 where evy is the better one.

mod support;

use std::io;
use std::process::ExitCode;
use std::time::Duration;
use support::args::Args;
use support::load::{Limit, Report, Stretch, Target};
use support::report::{Table, thousands};
use support::role::{self, LoadProcess, Server, ServerKind};
use support::slices::{Slices, columns};

const CONNECTIONS: [usize; 5] = [1, 4, 100, 1_000, 10_000];
const SIZES: [usize; 2] = [64, 4096];

/// Above this many connections only the small size is measured, unless asked for.
const CONNECTIONS_ALL_SIZES_MAX: usize = 1_000;

/// The shortest slice.
const SLICE_MIN: Duration = Duration::from_millis(10);

/// The shortest slice for each connection: a few round trips of all of them.
const CONNECTION_TIME: Duration = Duration::from_micros(50);

/// Load at the beginning of a slice that is not measured, if not more is needed for all connections to
/// have had their turn.
const SLICE_WARM_UP: Duration = Duration::from_millis(10);

/// Load before the first slice.
const FIRST_WARM_UP: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(args: Args) -> io::Result<()> {
    let plan = Plan::from_args(args)?;
    plan.introduce();
    let mut table = Table::new(&[
        "connections",
        "bytes",
        "raw req/s",
        "evy req/s",
        "rate evy/raw",
        "raw CPU ns",
        "evy CPU ns",
        "CPU raw/evy",
        "p50 µs raw, evy",
        "p99 µs raw, evy",
        "errors",
    ]);
    let mut errors = 0;
    for (connections, size) in plan.cells() {
        let (raw, evy) = plan.measure(connections, size)?;
        table.row(
            [vec![thousands(connections as f64), size.to_string()], columns(&raw, &evy)].concat(),
        );
        errors += raw.errors() + evy.errors();
    }
    println!("{table}");
    if errors == 0 { Ok(()) } else { Err(io::Error::other(format!("{errors} errors"))) }
}

/// What to measure, and how long.
struct Plan {
    connections: Vec<usize>,
    sizes: Vec<usize>,
    /// Whether the sizes were asked for by name.
    sizes_given: bool,
    rounds: usize,
    /// Slices of each server in a round.
    slices: usize,
    /// Measured time of each server in a round.
    time: Duration,
    /// What runs in evy's place.
    subject: ServerKind,
}

impl Plan {
    fn from_args(mut args: Args) -> io::Result<Self> {
        let self_check = args.flag("--self-check");
        let rounds = args.number("--rounds", 5.0)?.max(1.0) as usize;
        let slices = args.number("--slices", 10.0)?.max(1.0) as usize;
        let time = Duration::from_secs_f64(args.number("--seconds", 1.0)?.clamp(0.05, 3600.0));
        let connections = args.list(&CONNECTIONS)?;
        let sizes = args.list(&[])?;
        args.end()?;
        let subject = if self_check { ServerKind::Raw } else { ServerKind::Evy };
        let sizes_given = !sizes.is_empty();
        let sizes = if sizes_given { sizes } else { SIZES.to_vec() };
        Ok(Self { connections, sizes, sizes_given, rounds, slices, time, subject })
    }

    fn introduce(&self) {
        let spin = std::env::var("EVY_SPIN").unwrap_or_else(|_| "not set".to_owned());
        let (rounds, slices, time) = (self.rounds, self.slices, self.time.as_secs_f64());
        println!("echo: {rounds} rounds of {time} s in {slices} slices, EVY_SPIN {spin}");
        if self.subject == ServerKind::Raw {
            println!("self-check: the columns of evy show raw once more");
        }
        println!();
    }

    fn cells(&self) -> impl Iterator<Item = (usize, usize)> {
        let pairs = self.connections.iter().flat_map(|&c| self.sizes.iter().map(move |&s| (c, s)));
        pairs.filter(|&(connections, size)| {
            self.sizes_given || connections <= CONNECTIONS_ALL_SIZES_MAX || size == SIZES[0]
        })
    }

    /// Measures raw and evy for one row of the table.
    fn measure(&self, connections: usize, size: usize) -> io::Result<(Slices, Slices)> {
        let (mut raw, mut evy) = (Slices::default(), Slices::default());
        for round in 1..=self.rounds {
            eprintln!("{connections} connections, {size} bytes, round {round}");
            self.round(connections, size, &mut raw, &mut evy)?;
        }
        Ok((raw, evy))
    }

    fn round(
        &self,
        connections: usize,
        size: usize,
        raw: &mut Slices,
        evy: &mut Slices,
    ) -> io::Result<()> {
        let mut raw_pair = Pair::start(ServerKind::Raw, connections, size, self.time)?;
        let mut evy_pair = Pair::start(self.subject, connections, size, self.time)?;
        let (slices, time) = self.slices(connections);
        for _ in 0..slices {
            raw.0.push(raw_pair.run(time)?);
            evy.0.push(evy_pair.run(time)?);
        }
        Ok(())
    }

    /// How many slices each server gets in a round, and how long they are.
    fn slices(&self, connections: usize) -> (usize, Duration) {
        let time = self.time / self.slices as u32;
        let least = SLICE_MIN.max(CONNECTION_TIME * connections as u32);
        if time >= least {
            return (self.slices, time);
        }
        let fitting = self.time.div_duration_f64(least).ceil() as usize;
        (fitting.max(self.slices.min(3)), least)
    }
}

/// A server and the load generator that is connected to it.
struct Pair {
    load: LoadProcess,
    connections: usize,
    /// Dropped after the load, which would count its end as errors.
    _server: Server,
}

impl Pair {
    fn start(
        kind: ServerKind,
        connections: usize,
        size: usize,
        time: Duration,
    ) -> io::Result<Self> {
        // Both live through the other pair's slices and all the warming up, too.
        let time = time * 4;
        let server = Server::start(kind, time)?;
        let target = Target { port: server.port, server: server.pid, connections, size };
        let mut load = LoadProcess::start(target, time)?;
        let limit = Limit::Time(FIRST_WARM_UP);
        let report = load.run(Stretch { warm_up: Duration::ZERO, limit })?;
        if report.errors > 0 {
            return Err(io::Error::other(format!("{} errors while warming up", report.errors)));
        }
        Ok(Self { load, connections, _server: server })
    }

    fn run(&mut self, time: Duration) -> io::Result<Report> {
        let warm_up = SLICE_WARM_UP.max(CONNECTION_TIME * self.connections as u32 / 4);
        self.load.run(Stretch { warm_up, limit: Limit::Time(time) })
    }
}
