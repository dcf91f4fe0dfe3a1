//! System calls per echo request, counted by `strace -c`.
//!
//! ```text
//! cargo bench --bench syscalls            # 1 and 100 connections
//! cargo bench --bench syscalls -- 100
//! ```
//!
//! strace makes a request take 100 µs. evy polls beside ready work where 50 µs have passed, so it does here about
//! once in two requests at 100 connections. At its own speed it is once in 28: 0.035 waits a request, counted by
//! a library in front of `epoll_wait`.
//!
//! Each server runs twice, for N and for 2 N requests; the difference is free of what starting and
//! connecting cost. Needs `strace` (from the distribution); says so and succeeds where it is missing.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use support::args::Args;
use support::load::{Limit, Stretch, Target};
use support::report::Table;
use support::role::{self, LoadProcess, Server, ServerKind};

/// N.
const REQUESTS: u64 = 20_000;
const REQUEST_SIZE: usize = 64;

/// The time that a traced server is expected to be needed.
const SERVER_TIME: Duration = Duration::from_secs(60);

/// The servers: which, whether it may spin before it blocks, and what the table calls it.
const SUBJECTS: [(ServerKind, bool, &str); 3] = [
    (ServerKind::Raw, false, "raw"),
    (ServerKind::Evy, false, "evy, spin off"),
    (ServerKind::Evy, true, "evy, spin on"),
];

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let counts = args.list(&[1, 100])?;
    args.end()?;
    if let Err(complaint) = strace_works() {
        println!("syscalls: not measured: {complaint}");
        return Ok(());
    }
    let mut table =
        Table::new(&["server", "connections", "per request", "waits", "besides waits", "by name"]);
    for connections in counts {
        for (kind, spin, name) in SUBJECTS {
            let counts = measure(kind, spin, connections)?;
            table.row(row(name, connections, &counts));
        }
    }
    println!("system calls per echo request, {REQUEST_SIZE} B, {REQUESTS} requests\n\n{table}");
    Ok(())
}

/// Counts by the name of the system call.
type Counts = BTreeMap<String, i64>;

fn strace_works() -> Result<(), String> {
    let mut strace = Command::new("strace");
    strace.args(["-c", "-o", "/dev/null", "true"]).stderr(Stdio::null());
    match strace.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("strace may not trace here".to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err("strace is not installed (apt-get install strace)".to_owned())
        }
        Err(e) => Err(format!("strace: {e}")),
    }
}

/// What `REQUESTS` requests cost, once everything is up.
fn measure(kind: ServerKind, spin: bool, connections: usize) -> io::Result<Counts> {
    eprintln!("{} (spin {spin}), {connections} connections", kind.name());
    let once = count(kind, spin, connections, REQUESTS)?;
    let mut difference = count(kind, spin, connections, 2 * REQUESTS)?;
    for (name, calls) in once {
        *difference.entry(name).or_default() -= calls;
    }
    Ok(difference)
}

/// All system calls of a server's life.
fn count(kind: ServerKind, spin: bool, connections: usize, requests: u64) -> io::Result<Counts> {
    let output = OutputFile::new();
    let server = Server::start_traced(kind, spin, &output.0, SERVER_TIME)?;
    let (port, pid) = (server.port, server.pid);
    let target = Target { port, server: pid, connections, size: REQUEST_SIZE };
    let mut load = LoadProcess::start(target, SERVER_TIME)?;
    let limit = Limit::Requests(requests);
    let report = load.run(Stretch { warm_up: Duration::ZERO, limit })?;
    server.stop()?;
    if report.errors > 0 || report.requests != requests {
        return Err(io::Error::other(format!("the load went wrong: {report:?}")));
    }
    Ok(parse(&fs::read_to_string(&output.0)?))
}

/// Reads strace's table: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn parse(text: &str) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(calls), Some(name)) = (fields.get(3), fields.last()) else { continue };
        if let (Ok(calls), false) = (calls.parse::<i64>(), *name == "total") {
            *counts.entry((*name).to_owned()).or_default() += calls;
        }
    }
    counts
}

fn row(name: &str, connections: usize, counts: &Counts) -> Vec<String> {
    let per_request = |calls: i64| calls as f64 / REQUESTS as f64;
    let total = per_request(counts.values().sum());
    let is_wait = |name: &str| name.starts_with("epoll_") && name != "epoll_ctl";
    let waits = counts.iter().filter(|(name, _)| is_wait(name)).map(|(_, calls)| calls).sum();
    let waits = per_request(waits);
    vec![
        name.to_owned(),
        connections.to_string(),
        format!("{total:.3}"),
        format!("{waits:.3}"),
        format!("{:.3}", total - waits),
        by_name(counts, per_request),
    ]
}

/// The calls that requests make, most frequent first; what rounds to nothing is left out.
fn by_name(counts: &Counts, per_request: impl Fn(i64) -> f64) -> String {
    let mut calls: Vec<_> =
        counts.iter().map(|(name, calls)| (per_request(*calls), name)).collect();
    calls.retain(|(each, _)| *each >= 0.0005);
    calls.sort_by(|a, b| b.0.total_cmp(&a.0));
    calls.iter().map(|(each, name)| format!("{name} {each:.3}")).collect::<Vec<_>>().join(", ")
}

/// A file in the directory for temporary ones; removed when dropped.
struct OutputFile(PathBuf);

impl OutputFile {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("evy-syscalls-{}.txt", std::process::id())))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
