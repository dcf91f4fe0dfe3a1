//! Connections that come and go: `evy::Server` against a hand-written epoll loop, in one run.
//!
//! ```text
//! cargo bench --bench accept                  # the whole table, about a minute
//! cargo bench --bench accept -- 64            # 64 connections at a time
//! cargo bench --bench accept -- --by-hand     # evy with an accept loop of its own, without `Server`
//! cargo bench --bench accept -- --self-check  # raw against raw: how far ratios can be trusted
//! ```
//!
//! A connection is a connect, one byte there and back, and a reset. Server and client are processes of
//! their own on cores of their own; both servers are loaded by turns, a slice of time each. A ratio is
//! the median of the ratios of neighbouring slices, with the quartiles behind it. CPU is the server's
//! time on the CPU per connection. Both ratios are above 1 where evy is the better one.

mod support;

use std::io;
use std::process::ExitCode;
use std::time::Duration;
use support::args::Args;
use support::load::{Limit, Report, Stretch, Target};
use support::report::Table;
use support::role::{self, LoadProcess, Server, ServerKind};
use support::slices::{Slices, columns};

const CONNECTIONS: [usize; 3] = [1, 16, 256];

/// Load at the beginning of a slice that is not measured.
const WARM_UP: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let self_check = args.flag("--self-check");
    let by_hand = args.flag("--by-hand");
    let rounds = args.number("--rounds", 3.0)?.max(1.0) as usize;
    let slices = args.number("--slices", 10.0)?.max(1.0) as usize;
    let time = Duration::from_secs_f64(args.number("--seconds", 2.0)?.clamp(0.1, 3600.0));
    let connections = args.list(&CONNECTIONS)?;
    args.end()?;
    let subject = match (self_check, by_hand) {
        (true, _) => ServerKind::Raw,
        (_, true) => ServerKind::Evy,
        _ => ServerKind::EvyServer,
    };
    println!("accept: {rounds} rounds of {} s in {slices} slices", time.as_secs_f64());
    println!("the columns of evy show {}\n", subject.name());
    let mut table = Table::new(&[
        "at a time",
        "raw conn/s",
        "evy conn/s",
        "rate evy/raw",
        "raw CPU ns",
        "evy CPU ns",
        "CPU raw/evy",
        "p50 µs raw, evy",
        "p99 µs raw, evy",
        "errors",
    ]);
    let mut errors = 0;
    for connections in connections {
        let (mut raw, mut evy) = (Slices::default(), Slices::default());
        for round in 1..=rounds {
            eprintln!("{connections} at a time, round {round}");
            let mut raw_pair = Pair::start(ServerKind::Raw, connections, time)?;
            let mut evy_pair = Pair::start(subject, connections, time)?;
            for _ in 0..slices {
                raw.0.push(raw_pair.run(time / slices as u32)?);
                evy.0.push(evy_pair.run(time / slices as u32)?);
            }
        }
        table.row([vec![connections.to_string()], columns(&raw, &evy)].concat());
        errors += raw.errors() + evy.errors();
    }
    println!("{table}");
    if errors == 0 { Ok(()) } else { Err(io::Error::other(format!("{errors} errors"))) }
}

/// A server and the load generator that connects to it.
struct Pair {
    load: LoadProcess,
    _server: Server,
}

impl Pair {
    fn start(kind: ServerKind, connections: usize, time: Duration) -> io::Result<Self> {
        // Both live through the other pair's slices, too.
        let time = time * 4;
        let server = Server::start(kind, time)?;
        let target = Target { port: server.port, server: server.pid, connections, size: 1 };
        let load = LoadProcess::start_churn(target, time)?;
        Ok(Self { load, _server: server })
    }

    fn run(&mut self, time: Duration) -> io::Result<Report> {
        self.load.run(Stretch { warm_up: WARM_UP, limit: Limit::Time(time) })
    }
}
