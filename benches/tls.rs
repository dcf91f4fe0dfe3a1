//! Echo over TLS: evy's `TlsStream` against rustls in a hand-written epoll loop, in one run.
//!
//! ```text
//! cargo bench --features tls --bench tls                      # the whole table, about a minute
//! cargo bench --features tls --bench tls -- 100 64            # 100 connections, 64 bytes
//! EVY_SPIN=0 cargo bench --features tls --bench tls -- 1 64   # without the spin before blocking
//! cargo bench --features tls --bench tls -- --self-check      # raw against raw
//! ```
//!
//! Both servers have the same configuration: TLS 1.3, an ECDSA P-256 certificate, no sessions that are
//! taken up again. Handshakes are done before the measuring begins. Server and client are processes of
//! their own on cores of their own; both servers are loaded by turns, a slice of time each. A ratio is
//! the median of the ratios of neighbouring slices, with the quartiles behind it. CPU is the server's
//! time on the CPU per request. Both ratios are above 1 where evy is the better one.

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
const SIZES: [usize; 2] = [64, 4096];

/// Load at the beginning of a slice that is not measured.
const WARM_UP: Duration = Duration::from_millis(20);

/// Load before the first slice.
const FIRST_WARM_UP: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let self_check = args.flag("--self-check");
    let rounds = args.number("--rounds", 3.0)?.max(1.0) as usize;
    let slices = args.number("--slices", 10.0)?.max(1.0) as usize;
    let time = Duration::from_secs_f64(args.number("--seconds", 1.0)?.clamp(0.1, 3600.0));
    let connections = args.list(&CONNECTIONS)?;
    let sizes = args.list(&SIZES)?;
    args.end()?;
    let subject = if self_check { ServerKind::RawTls } else { ServerKind::EvyTls };
    println!("tls: {rounds} rounds of {} s in {slices} slices", time.as_secs_f64());
    println!("the columns of evy show {}\n", subject.name());
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
    let cells = connections.iter().flat_map(|&count| sizes.iter().map(move |&size| (count, size)));
    for (connections, size) in cells {
        let (mut raw, mut evy) = (Slices::default(), Slices::default());
        for round in 1..=rounds {
            eprintln!("{connections} connections, {size} bytes, round {round}");
            let mut raw_pair = Pair::start(ServerKind::RawTls, connections, size, time)?;
            let mut evy_pair = Pair::start(subject, connections, size, time)?;
            for _ in 0..slices {
                raw.0.push(raw_pair.run(time / slices as u32)?);
                evy.0.push(evy_pair.run(time / slices as u32)?);
            }
        }
        table.row(
            [vec![thousands(connections as f64), size.to_string()], columns(&raw, &evy)].concat(),
        );
        errors += raw.errors() + evy.errors();
    }
    println!("{table}");
    if errors == 0 { Ok(()) } else { Err(io::Error::other(format!("{errors} errors"))) }
}

/// A server and the load generator that is connected to it.
struct Pair {
    load: LoadProcess,
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
        let mut load = LoadProcess::start_tls(target, time)?;
        let limit = Limit::Time(FIRST_WARM_UP);
        let report = load.run(Stretch { warm_up: Duration::ZERO, limit })?;
        if report.errors > 0 {
            return Err(io::Error::other(format!("{} errors while warming up", report.errors)));
        }
        Ok(Self { load, _server: server })
    }

    fn run(&mut self, time: Duration) -> io::Result<Report> {
        self.load.run(Stretch { warm_up: WARM_UP, limit: Limit::Time(time) })
    }
}
