//! What a request of HTTP costs the one who asks: `evy-load` against wrk, in one run.
//!
//! ```text
//! cargo bench --bench http_load --features http            # the whole table, about four minutes
//! cargo bench --bench http_load --features http -- 50      # 50 connections
//! ```
//!
//! Both load one and the same server, which says hello by `evy::http` in a process of its own on a core of
//! its own, by turns: a slice of time each (wrk, evy, wrk, evy, …), one thread each. Beside what wrk does,
//! evy-load keeps a finer histogram. Requests per CPU second are those that were answered over the time
//! that the process was on a CPU in all its life, its start and the opening of connections included. A
//! ratio is the median of the ratios of neighbouring slices, with the quartiles behind it; above 1, evy is
//! the better one.
//!
//! It needs wrk, as in Debian's package of that name. The bench builds `evy-load` first, in the release
//! profile.

mod support;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use support::args::Args;
use support::report::{Series, Table, thousands};
use support::role::{self, Server, ServerKind};

const CONNECTIONS: [usize; 3] = [1, 50, 1_000];

/// Connections that evy-load opens a second: all at once, as wrk does.
const RAMP: &str = "1000000";

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let slices = args.number("--slices", 10.0)?.max(1.0) as usize;
    // wrk knows only whole ones.
    let seconds = args.number("--seconds", 3.0)?.clamp(1.0, 600.0) as u64;
    let connections = args.list(&CONNECTIONS)?;
    args.end()?;
    find_wrk()?;
    let program = build()?;
    println!("http_load: {slices} slices of {seconds} s each\n");
    let mut table = Table::new(&[
        "connections",
        "wrk req/s",
        "evy req/s",
        "wrk req/CPU s",
        "evy req/CPU s",
        "evy/wrk",
        "p50 µs wrk, evy",
        "errors",
    ]);
    let mut errors = 0;
    for connections in connections {
        eprintln!("{connections} connections");
        let cell = Cell { connections, seconds };
        let (wrk, evy) = cell.measure(slices, &program)?;
        errors += wrk.errors() + evy.errors();
        table.row(cell.row(&wrk, &evy));
    }
    println!("{table}");
    if errors == 0 { Ok(()) } else { Err(io::Error::other(format!("{errors} errors"))) }
}

/// Complains where there is no wrk.
fn find_wrk() -> io::Result<()> {
    // It says its version, and ends with 1.
    let said = Command::new("wrk").arg("--version").stdin(Stdio::null()).output();
    said.map(drop).map_err(|error| {
        let text = format!("this bench needs wrk (apt-get install wrk): {error}");
        io::Error::new(error.kind(), text)
    })
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
    connections: usize,
    /// Of a slice.
    seconds: u64,
}

impl Cell {
    fn measure(&self, slices: usize, evy_load: &Path) -> io::Result<(Slices, Slices)> {
        let time = Duration::from_secs(self.seconds);
        let server = Server::start(ServerKind::EvyHttp, time * 4 * slices as u32)?;
        let url = format!("http://127.0.0.1:{}/hello", server.port);
        let (mut wrk, mut evy) = (Slices::default(), Slices::default());
        for _ in 0..slices {
            wrk.0.push(self.run_wrk(&url, time)?);
            evy.0.push(self.run_evy(evy_load, &url, time)?);
        }
        server.stop()?;
        Ok((wrk, evy))
    }

    fn run_wrk(&self, url: &str, time: Duration) -> io::Result<Slice> {
        let mut command = role::client_program(Path::new("wrk"), time)?;
        command.args(["--threads", "1", "--latency"]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--duration", &format!("{}s", self.seconds), url]);
        let (said, cpu) = run(command)?;
        let missing = |what: &str| io::Error::other(format!("wrk does not say {what}: {said}"));
        let before = |text: &str| said.split_once(text)?.0.split_whitespace().next_back();
        let behind = |text: &str| said.split_once(text)?.1.split_whitespace().next();
        let requests = before(" requests in ").and_then(|number| number.parse().ok());
        let rate = behind("Requests/sec:").and_then(|number| number.parse().ok());
        let p50 = behind(" 50%").and_then(duration_of_wrk);
        Ok(Slice {
            rate: rate.ok_or_else(|| missing("its rate"))?,
            requests_per_cpu: requests.unwrap_or(0.0) / cpu.as_secs_f64(),
            p50: p50.ok_or_else(|| missing("its latency"))?,
            // It has a line for each kind, if there were any.
            errors: said.matches("Socket errors:").count() + said.matches("Non-2xx").count(),
        })
    }

    fn run_evy(&self, program: &Path, url: &str, time: Duration) -> io::Result<Slice> {
        let mut command = role::client_program(program, time)?;
        command.args([url, "--json", "--ramp", RAMP]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--duration", &self.seconds.to_string()]);
        let (said, cpu) = run(command)?;
        let figure = |name: &str| number(&said, name);
        Ok(Slice {
            rate: figure("requests_per_second")?,
            requests_per_cpu: figure("requests")? / cpu.as_secs_f64(),
            p50: figure("p50")? / 1e6,
            errors: (figure("total")? + figure("not_2xx")?) as usize,
        })
    }

    fn row(&self, wrk: &Slices, evy: &Slices) -> Vec<String> {
        let per_cpu_second = |slices: &Slices| slices.series(|slice| slice.requests_per_cpu);
        let (wrk_work, evy_work) = (per_cpu_second(wrk), per_cpu_second(evy));
        let rate = |slices: &Slices| thousands(slices.series(|slice| slice.rate).median());
        let p50 = |slices: &Slices| slices.series(|slice| slice.p50 * 1e6).median();
        vec![
            thousands(self.connections as f64),
            rate(wrk),
            rate(evy),
            thousands(wrk_work.median()),
            thousands(evy_work.median()),
            Series::ratio(&evy_work, &wrk_work).with_quartiles(),
            format!("{:.0}, {:.0}", p50(wrk), p50(evy)),
            (wrk.errors() + evy.errors()).to_string(),
        ]
    }
}

/// What one run has shown.
struct Slice {
    /// Requests a second.
    rate: f64,
    requests_per_cpu: f64,
    /// In seconds.
    p50: f64,
    errors: usize,
}

#[derive(Default)]
struct Slices(Vec<Slice>);

impl Slices {
    fn series(&self, figure: impl Fn(&Slice) -> f64) -> Series {
        self.0.iter().map(figure).collect()
    }

    fn errors(&self) -> usize {
        self.0.iter().map(|slice| slice.errors).sum()
    }
}

/// Runs a program to its end: what it says, and how long it was on a CPU.
fn run(mut command: Command) -> io::Result<(String, Duration)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    let read = child.stdout.take().expect("the pipe was asked for").read_to_string(&mut said);
    let cpu = wait(child)?;
    read?;
    Ok((said, cpu))
}

/// Waits for the end of a process, and says how long it and all its threads were on a CPU.
fn wait(child: Child) -> io::Result<Duration> {
    // SAFETY: an `rusage` is integers and structs of integers, for which zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let (id, mut status) = (child.id() as libc::pid_t, 0);
    // SAFETY: both pointers are to places of ours, which live through the call. The child is ours, and
    // nobody else waits for it: it is dropped without that.
    if unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) } != id {
        return Err(io::Error::last_os_error());
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}

/// Seconds, of a number with a unit as wrk prints it.
fn duration_of_wrk(text: &str) -> Option<f64> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * seconds)
    })
}

/// The number of that name in a line of JSON, wherever in it.
fn number(json: &str, name: &str) -> io::Result<f64> {
    let found = json.split_once(&format!("\"{name}\":")).and_then(|(_, rest)| {
        let end = rest.find([',', '}'])?;
        rest[..end].parse().ok()
    });
    found.ok_or_else(|| io::Error::other(format!("evy-load gives no {name}")))
}
