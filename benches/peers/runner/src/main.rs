//! Runs the peers by turns and tells what each costs, with its ratio to evy and to hand-written epoll in the
//! same round.
//!
//! ```text
//! make bench-peers                              # builds all, then this: about 20 minutes
//! make bench-peers ARGS=--quick                 # a look at everything, in a few minutes
//! make bench-peers ARGS="http --rounds 9"       # one workload, or several
//! target/release/peers-runner --json channel    # from benches/peers, once they are built
//! make bench-page                               # the figures of the last run, into README.md and docs/
//! make bench-page ARGS="all again"              # those of two runs, from the folders of their --out
//! ```
//!
//! The tables go to standard output and, with all figures as JSON and the plots as SVG, to the folder
//! `--out`, `benches/peers/target/bench-peers` if nothing else is said. What has been measured is there after
//! each workload, so that a run that is ended early is not for nothing.
//!
//! Each round starts every program once: servers, and what needs no client, on core 0, and the load on
//! core 1. So whatever slows the machine for longer than a round cancels out of the ratios. `--seconds` is
//! how long a server is measured in a round; with many connections it is longer, and what needs no client
//! gets a quarter of it. A peer that does not build or run is a row that says so; a dash is for a peer that
//! has nothing of the kind.
//!
//! `--page` measures nothing: it writes what stands between the markers of `docs/what_it_costs.md` and
//! `README.md`, and copies the plots to `docs/plots`. Of several runs a later one takes the place of what it
//! has measured again. Where a workload of a table is missing, the table stays, and standard error says so.
//! Figures in sentences outside the markers are written by hand.

#![forbid(unsafe_code)]

mod block;
mod cores;
mod databases;
mod digits;
mod echo;
mod figures;
mod http;
mod markers;
mod memory;
mod output;
mod page;
mod peer;
mod plots;
mod postgres;
mod program;
mod redis;
mod report;
mod series;
mod summary;
mod svg;
mod table;
mod tables;
mod tasks;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use output::Output;
use workload::Workload;

/// What can be measured.
const WORKLOADS: &[&str] = &[
    "echo",
    "echo-4k",
    "connections",
    "http",
    "channel",
    "spawn",
    "yield",
    "timer",
    "memory",
    "cores",
    "postgres",
    "redis",
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if_eq("--page").is_some() {
        return write_pages(args.map(PathBuf::from).collect());
    }
    measure(args)
}

/// From what these runs have left, or the last one in its usual folder.
fn write_pages(mut runs: Vec<PathBuf>) -> ExitCode {
    if runs.is_empty() {
        runs.push(usual_folder());
    }
    match page::write(&runs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: impl Iterator<Item = String>) -> ExitCode {
    let plan = match Plan::from_args(args) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("peers-runner: {error}");
            return ExitCode::FAILURE;
        }
    };
    match plan.carry_out() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peers-runner: {}: {error}", plan.out.display());
            ExitCode::FAILURE
        }
    }
}

/// What to measure, how often, and how to tell.
#[derive(Debug)]
struct Plan {
    names: Vec<String>,
    rounds: usize,
    seconds: f64,
    /// Fewer sizes.
    quick: bool,
    /// JSON on standard output in place of Markdown.
    json: bool,
    /// The folder for what is written.
    out: PathBuf,
}

impl Plan {
    fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let args: Vec<String> = args.collect();
        let quick = args.iter().any(|arg| arg == "--quick");
        let (rounds, seconds) = if quick { (1, 0.1) } else { (5, 0.3) };
        let out = usual_folder();
        let mut plan = Self { names: Vec::new(), rounds, seconds, quick, json: false, out };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => {}
                "--json" => plan.json = true,
                "--rounds" => plan.rounds = number(args.next(), "--rounds")?,
                "--seconds" => plan.seconds = number(args.next(), "--seconds")?,
                "--out" => plan.out = args.next().ok_or("--out needs a folder")?.into(),
                name if WORKLOADS.contains(&name) => plan.names.push(arg),
                _ => return Err(format!("what is {arg:?}? There is: {}", WORKLOADS.join(", "))),
            }
        }
        let sensible = plan.rounds > 0 && (0.01..=60.0).contains(&plan.seconds);
        if sensible { Ok(plan) } else { Err("1 round at least, of 0.01 to 60 seconds".to_owned()) }
    }

    /// Returns whether evy has figures everywhere.
    fn carry_out(&self) -> std::io::Result<bool> {
        let output = Output::new(&self.out)?;
        let plots = plots::all(self.quick);
        let mut measured: Vec<Workload> = Vec::new();
        for mut workload in self.workloads() {
            workload.run(self.rounds);
            if !self.json {
                println!("{}", report::markdown(&workload));
            }
            measured.push(workload);
            output.write(&measured, &plots)?;
        }
        if self.json {
            println!("{:#}", report::json(&measured));
        } else {
            println!("{}", summary::markdown(&measured));
        }
        eprintln!("tables, figures and plots: {}", self.out.display());
        Ok(measured.iter().all(|workload| workload.contenders[0].has_figures()))
    }

    fn workloads(&self) -> Vec<Workload> {
        let wanted = |name: &str| self.names.is_empty() || self.names.iter().any(|n| n == name);
        let (seconds, quick) = (self.seconds, self.quick);
        let mut workloads = Vec::new();
        if wanted("echo") {
            workloads.extend(echo::workloads(seconds, quick));
        }
        if wanted("echo-4k") {
            workloads.extend(echo::large_workloads(seconds));
        }
        if wanted("connections") {
            workloads.push(echo::idle_workload(quick));
        }
        if wanted("http") {
            workloads.extend(http::workloads(seconds));
        }
        if wanted("channel") {
            workloads.extend(tasks::channels(seconds, quick));
        }
        if wanted("spawn") {
            workloads.extend(tasks::spawns(seconds, quick));
        }
        if wanted("yield") {
            workloads.extend(tasks::yields(seconds, quick));
        }
        if wanted("timer") {
            workloads.extend(tasks::timer_workloads(seconds, quick));
        }
        if wanted("memory") {
            workloads.extend(memory::workloads(quick));
        }
        if wanted("cores") {
            workloads.extend(cores::workloads(seconds));
        }
        if wanted("postgres") && (postgres::is_installed() || !self.names.is_empty()) {
            workloads.extend(postgres::workloads(self.seconds));
        }
        if wanted("redis") {
            workloads.extend(redis::workloads(self.seconds));
        }
        workloads
    }
}

/// For what is written, if nothing else is said.
fn usual_folder() -> PathBuf {
    program::built().join("bench-peers")
}

fn number<T: std::str::FromStr>(value: Option<String>, name: &str) -> Result<T, String> {
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("{name} needs a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(args: &str) -> Result<Plan, String> {
        Plan::from_args(args.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_arguments_everything_is_measured() {
        let plan = plan("").unwrap();
        assert!(plan.names.is_empty() && !plan.json && !plan.quick);
        for name in ["echo 64 B", "echo 4096 B", "idle", "HTTP", "round trip", "spawn", "yield"] {
            let has = |workload: &Workload| workload.title.contains(name);
            assert!(plan.workloads().iter().any(has), "{name}");
        }
    }

    #[test]
    fn what_is_named_is_measured_as_often_and_as_long_as_is_said() {
        let plan = plan("yield --rounds 3 --quick --seconds 0.5 --out a/b --json").unwrap();
        assert_eq!((plan.rounds, plan.seconds, plan.json), (3, 0.5, true));
        assert_eq!(plan.out, PathBuf::from("a/b"));
        assert!(plan.workloads().iter().all(|workload| workload.title.starts_with("yield")));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in ["ech", "--rounds", "--rounds x", "--rounds 0", "--seconds 0", "--out"] {
            assert!(plan(args).is_err(), "{args}");
        }
    }

    #[test]
    fn evy_comes_first_everywhere_and_no_title_stands_twice() {
        let workloads = plan("").unwrap().workloads();
        let mut titles: Vec<&str> = workloads.iter().map(|w| w.title.as_str()).collect();
        let count = titles.len();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), count);
        for workload in &workloads {
            assert!(workload.contenders[0].name.starts_with("evy"), "{}", workload.title);
        }
    }
}
