//! What a request costs the one who asks: `evy-load` against a hand-written epoll load loop, in one run.
//!
//! ```text
//! cargo bench --bench load                    # the whole table, about two minutes
//! cargo bench --bench load -- 50 64           # 50 connections, 64 bytes
//! cargo bench --bench load -- --asleep        # the server sleeps when it has nothing to do
//! cargo bench --bench load -- --self-check    # raw against raw: how far ratios can be trusted
//! ```
//!
//! Both load one and the same server, a hand-written epoll loop in a process of its own on a core of its
//! own, by turns: a slice of time each (raw, evy, raw, evy, …). The server never sleeps: otherwise the
//! one of both whom the server has to wait for pays for waking it at each request, a microsecond or more
//! that says nothing about its own work. Both check every byte and keep a histogram. Requests per CPU
//! second are those that were answered over the time that the load generator itself was on a CPU, without
//! its start and the opening of connections. A ratio is the median of the ratios of neighbouring slices,
//! with the quartiles behind it; above 1, evy is the better one.
//!
//! With 5,000 connections a turn of all of them takes about 40 ms, after which TCP acknowledges what was
//! not yet answered by segments of their own: whoever is slower than that pays for these, too.
//!
//! The bench builds `evy-load` first, in the release profile.

mod support;

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use support::args::Args;
use support::load::{Limit, Stretch, Target};
use support::report::{Series, Table, thousands};
use support::role::{self, LoadProcess, Server, ServerKind};

const CONNECTIONS: [usize; 4] = [1, 50, 1_000, 5_000];
const SIZES: [usize; 2] = [64, 4096];

/// Above this many connections only the small size is measured, unless asked for.
const CONNECTIONS_ALL_SIZES_MAX: usize = 50;

/// Connections that evy-load opens a second.
const RAMP: &str = "20000";

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let self_check = args.flag("--self-check");
    let kind = if args.flag("--asleep") { ServerKind::Raw } else { ServerKind::RawAwake };
    let slices = args.number("--slices", 10.0)?.max(1.0) as usize;
    let time = Duration::from_secs_f64(args.number("--seconds", 1.0)?.clamp(0.05, 600.0));
    let connections = args.list(&CONNECTIONS)?;
    let sizes = args.list(&[])?;
    args.end()?;
    let program = if self_check { None } else { Some(build()?) };
    println!("load: {slices} slices of {} s each", time.as_secs_f64());
    if self_check {
        println!("self-check: the columns of evy show raw once more");
    }
    println!();
    let mut table = Table::new(&[
        "connections",
        "bytes",
        "raw req/s",
        "evy req/s",
        "raw req/CPU s",
        "evy req/CPU s",
        "evy/raw",
        "p50 µs raw, evy",
        "errors",
    ]);
    let mut errors = 0;
    for connections in connections {
        let all = sizes.is_empty() && connections <= CONNECTIONS_ALL_SIZES_MAX;
        let default = if all { &SIZES[..] } else { &SIZES[..1] };
        for &size in if sizes.is_empty() { default } else { &sizes } {
            eprintln!("{connections} connections, {size} bytes");
            let cell = Cell { kind, connections, size, time };
            let (raw, evy) = cell.measure(slices, program.as_deref())?;
            errors += raw.errors() + evy.errors();
            table.row(cell.row(&raw, &evy));
        }
    }
    println!("{table}");
    if errors == 0 { Ok(()) } else { Err(io::Error::other(format!("{errors} errors"))) }
}

/// Builds evy-load, and returns where it is: next to the folder that this executable is in.
fn build() -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "--quiet", "--release", "--package", "evy-cli", "--bin", "evy-load"];
    let status = Command::new(cargo).args(args).status()?;
    if !status.success() {
        return Err(io::Error::other("evy-load cannot be built"));
    }
    let bench = std::env::current_exe()?;
    let folder = bench.parent().and_then(|deps| deps.parent());
    let folder = folder.ok_or_else(|| io::Error::other("this executable is in no folder"))?;
    Ok(folder.join("evy-load"))
}

/// A row of the table.
struct Cell {
    kind: ServerKind,
    connections: usize,
    size: usize,
    /// Of a slice.
    time: Duration,
}

impl Cell {
    fn measure(&self, slices: usize, program: Option<&Path>) -> io::Result<(Slices, Slices)> {
        let server = Server::start(self.kind, self.time * 4 * slices as u32)?;
        let (mut raw, mut evy) = (Slices::default(), Slices::default());
        for _ in 0..slices {
            raw.0.push(self.run_raw(&server)?);
            evy.0.push(match program {
                Some(program) => self.run_evy(program, server.port)?,
                None => self.run_raw(&server)?,
            });
        }
        Ok((raw, evy))
    }

    /// Opens the connections first, as evy-load does: young ones cost more, since TCP acknowledges each
    /// of their first segments by a segment of its own.
    fn run_raw(&self, server: &Server) -> io::Result<Slice> {
        let (connections, size) = (self.connections, self.size);
        let target = Target { port: server.port, server: server.pid, connections, size };
        let mut load = LoadProcess::start(target, self.time)?;
        let limit = Limit::Time(self.time);
        let report = load.run(Stretch { warm_up: Duration::ZERO, limit })?;
        let requests = report.requests as f64;
        Ok(Slice {
            rate: requests / report.elapsed.as_secs_f64(),
            cpu: report.client_cpu.as_secs_f64() / requests,
            p50: report.p50.as_secs_f64(),
            errors: report.errors,
        })
    }

    fn run_evy(&self, program: &Path, port: u16) -> io::Result<Slice> {
        let mut command = role::client_program(program, self.time)?;
        command.args([&format!("127.0.0.1:{port}"), "--json", "--ramp", RAMP]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--size", &self.size.to_string()]);
        command.args(["--duration", &self.time.as_secs_f64().to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().expect("the pipe was asked for");
        let read = BufReader::new(output).read_line(&mut line);
        child.wait()?;
        read?;
        let figure = |name: &str| number(&line, name);
        Ok(Slice {
            rate: figure("requests_per_second")?,
            cpu: figure("cpu_us_per_request")? / 1e6,
            p50: figure("p50")? / 1e6,
            errors: figure("total")? as u64,
        })
    }

    fn row(&self, raw: &Slices, evy: &Slices) -> Vec<String> {
        let per_cpu_second = |slice: &Slice| 1.0 / slice.cpu;
        let (raw_work, evy_work) = (raw.series(per_cpu_second), evy.series(per_cpu_second));
        let rate = |slices: &Slices| thousands(slices.series(|slice| slice.rate).median());
        let p50 = |slices: &Slices| slices.series(|slice| slice.p50 * 1e6).median();
        vec![
            thousands(self.connections as f64),
            self.size.to_string(),
            rate(raw),
            rate(evy),
            thousands(raw_work.median()),
            thousands(evy_work.median()),
            Series::ratio(&evy_work, &raw_work).with_quartiles(),
            format!("{:.0}, {:.0}", p50(raw), p50(evy)),
            (raw.errors() + evy.errors()).to_string(),
        ]
    }
}

/// What one run has shown.
struct Slice {
    /// Requests a second.
    rate: f64,
    /// Seconds of CPU for a request.
    cpu: f64,
    /// In seconds.
    p50: f64,
    errors: u64,
}

#[derive(Default)]
struct Slices(Vec<Slice>);

impl Slices {
    fn series(&self, figure: impl Fn(&Slice) -> f64) -> Series {
        self.0.iter().map(figure).collect()
    }

    fn errors(&self) -> u64 {
        self.0.iter().map(|slice| slice.errors).sum()
    }
}

/// The number of that name in a line of JSON, wherever in it.
fn number(json: &str, name: &str) -> io::Result<f64> {
    let found = json.split_once(&format!("\"{name}\":")).and_then(|(_, rest)| {
        let end = rest.find([',', '}'])?;
        rest[..end].parse().ok()
    });
    found.ok_or_else(|| io::Error::other(format!("evy-load gives no {name}")))
}
