//! Runs the peers by turns and prints what each costs, with its ratio to evy in the same round.
//!
//! ```text
//! make bench-peers                              # builds all, then this
//! make bench-peers ARGS="http --rounds 5"       # one workload of: channel, http, postgres, redis
//! target/release/peers-runner --json channel    # from benches/peers, once they are built
//! ```
//!
//! Each round starts every program once: servers, and what needs no client, on core 0, and the load on
//! core 1. So whatever slows the machine for longer than a round cancels out of the ratios. `--seconds` is
//! how long a server is measured in a round. A peer that does not build or run is a row that says so.

#![forbid(unsafe_code)]

mod channel;
mod http;
mod postgres;
mod program;
mod redis;
mod report;
mod series;
mod workload;

use std::process::ExitCode;

use workload::Workload;

/// What can be measured.
const WORKLOADS: [&str; 4] = ["channel", "http", "postgres", "redis"];

fn main() -> ExitCode {
    let plan = match Plan::from_args(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("peers-runner: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut workloads = plan.workloads();
    for workload in &mut workloads {
        workload.run(plan.rounds);
        if !plan.json {
            println!("{}", report::markdown(workload));
        }
    }
    if plan.json {
        println!("{:#}", report::json(&workloads));
    }
    let measured = |workload: &Workload| workload.contenders[0].has_figures();
    if workloads.iter().all(measured) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What to measure, how often, and how to tell.
struct Plan {
    names: Vec<String>,
    rounds: usize,
    seconds: f64,
    json: bool,
}

impl Plan {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self { names: Vec::new(), rounds: 15, seconds: 0.4, json: false };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--json" => plan.json = true,
                "--rounds" => plan.rounds = number(args.next(), "--rounds")?,
                "--seconds" => plan.seconds = number(args.next(), "--seconds")?,
                name if WORKLOADS.contains(&name) => plan.names.push(arg),
                _ => return Err(format!("what is {arg:?}? There is: {}", WORKLOADS.join(", "))),
            }
        }
        let sensible = plan.rounds > 0 && (0.01..=60.0).contains(&plan.seconds);
        if sensible { Ok(plan) } else { Err("1 round at least, of 0.01 to 60 seconds".to_owned()) }
    }

    fn workloads(&self) -> Vec<Workload> {
        let wanted = |name: &str| self.names.is_empty() || self.names.iter().any(|n| n == name);
        let mut workloads = Vec::new();
        if wanted("channel") {
            workloads.push(channel::workload());
        }
        if wanted("http") {
            workloads.extend(http::workloads(self.seconds));
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

fn number<T: std::str::FromStr>(value: Option<String>, name: &str) -> Result<T, String> {
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("{name} needs a number"))
}
