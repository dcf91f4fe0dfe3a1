//! "Hello" over HTTP/1.1: `evy::http` against hyper on tokio's current-thread runtime, in one run.
//!
//! ```text
//! cargo bench --bench http --features http              # the whole table, about two minutes
//! cargo bench --bench http --features http -- 100       # 100 connections
//! cargo bench --bench http --features http -- --self-check
//! ```
//!
//! Both are the same version of hyper with the same options; only who runs it differs. Beside what tokio's
//! does, ours starts a green thread for each request, checks the host, and keeps the times of its
//! connections. Server and client are processes of their own on cores of their own; both servers are
//! loaded by turns, a short slice of time each. A ratio is the median of the ratios of neighbouring slices,
//! with the quartiles behind it. Both ratios are above 1 where evy is the better one.

mod support;

use std::io;
use std::process::ExitCode;
use std::time::Duration;
use support::args::Args;
use support::load::{Limit, Report, Stretch, Target};
use support::report::{Table, thousands};
use support::role::{self, LoadProcess, Server, ServerKind};
use support::slices::{Slices, columns};

const CONNECTIONS: [usize; 3] = [1, 100, 1_000];

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
        "hyper req/s",
        "evy req/s",
        "rate evy/hyper",
        "hyper CPU ns",
        "evy CPU ns",
        "CPU hyper/evy",
        "p50 µs hyper, evy",
        "p99 µs hyper, evy",
        "errors",
    ]);
    let mut errors = 0;
    for &connections in &plan.connections {
        let (hyper, evy) = plan.measure(connections)?;
        table.row([vec![thousands(connections as f64)], columns(&hyper, &evy)].concat());
        errors += hyper.errors() + evy.errors();
    }
    println!("{table}");
    if errors == 0 { Ok(()) } else { Err(io::Error::other(format!("{errors} errors"))) }
}

/// What to measure, and how long.
struct Plan {
    connections: Vec<usize>,
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
        args.end()?;
        let subject = if self_check { ServerKind::HyperTokio } else { ServerKind::EvyHttp };
        Ok(Self { connections, rounds, slices, time, subject })
    }

    fn introduce(&self) {
        let spin = std::env::var("EVY_SPIN").unwrap_or_else(|_| "not set".to_owned());
        let (rounds, slices, time) = (self.rounds, self.slices, self.time.as_secs_f64());
        println!("http: {rounds} rounds of {time} s in {slices} slices, EVY_SPIN {spin}");
        if self.subject == ServerKind::HyperTokio {
            println!("self-check: the columns of evy show hyper on tokio once more");
        }
        println!();
    }

    /// Measures both for one row of the table.
    fn measure(&self, connections: usize) -> io::Result<(Slices, Slices)> {
        let (mut hyper, mut evy) = (Slices::default(), Slices::default());
        for round in 1..=self.rounds {
            eprintln!("{connections} connections, round {round}");
            let mut hyper_pair = Pair::start(ServerKind::HyperTokio, connections, self.time)?;
            let mut evy_pair = Pair::start(self.subject, connections, self.time)?;
            let (slices, time) = self.slices(connections);
            for _ in 0..slices {
                hyper.0.push(hyper_pair.run(time)?);
                evy.0.push(evy_pair.run(time)?);
            }
        }
        Ok((hyper, evy))
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
    fn start(kind: ServerKind, connections: usize, time: Duration) -> io::Result<Self> {
        // Both live through the other pair's slices and all the warming up, too.
        let time = time * 4;
        let server = Server::start(kind, time)?;
        let target = Target { port: server.port, server: server.pid, connections, size: 0 };
        let mut load = LoadProcess::start_http(target, time)?;
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
