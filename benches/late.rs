//! How late who sleeps wakes, and who asks is answered, while others keep the hub busy: evy against tokio's
//! current-thread runtime, in one run.
//!
//! ```text
//! cargo bench --bench late                     # the whole table, about two minutes
//! cargo bench --bench late -- --rounds 1       # one look at each
//! ```
//!
//! The goals: late by 1 ms at most in 99 of 100 cases where there is nothing else, by 5 ms under everything
//! at once; one flooded socket, or one green thread that only works and yields, costs the others 1 ms at
//! most. Servers and clients are processes of their own on cores of their own, and both servers are watched
//! by turns. Each figure is the median of the rounds'. tokio's timers count in milliseconds, evy's do not.

mod support;

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use support::args::Args;
use support::cpu;
use support::late::{Lateness, Mix, WARM_UP};
use support::report::Table;
use support::role;

const CLIENTS: u64 = 1_000;

/// Requests a second of all clients together.
const RATE: u64 = 5_000;

const TIMERS: u64 = 100_000;

/// What keeps a server busy beside its probes.
struct Situation {
    name: &'static str,
    timers: u64,
    workers: u64,
    is_flooded: bool,
    has_clients: bool,
}

const NOTHING: Situation =
    Situation { name: "nothing", timers: 0, workers: 0, is_flooded: false, has_clients: false };

const SITUATIONS: [Situation; 6] = [
    NOTHING,
    Situation { name: "one works and yields", workers: 1, ..NOTHING },
    Situation { name: "100,000 timers", timers: TIMERS, ..NOTHING },
    Situation { name: "a flooded socket", is_flooded: true, ..NOTHING },
    Situation { name: "1,000 echo clients", has_clients: true, ..NOTHING },
    Situation {
        name: "all of it",
        timers: TIMERS,
        workers: 1,
        is_flooded: true,
        has_clients: true,
    },
];

/// The roles of the servers, in the order of the columns.
const SERVERS: [&str; 2] = ["late-evy", "late-tokio"];

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let rounds = args.number("--rounds", 5.0)?.max(1.0) as usize;
    let time = Duration::from_secs_f64(args.number("--seconds", 2.0)?.clamp(0.1, 600.0));
    args.end()?;
    println!("late: {rounds} rounds of {time:.1?}; µs at 50, 99 and 99.9 of 100, and the worst\n");
    let mut table =
        Table::new(&["beside", "evy wakes", "tokio wakes", "evy answers", "tokio answers"]);
    for situation in &SITUATIONS {
        let mut seen: [Vec<Seen>; 2] = Default::default();
        for round in 1..=rounds {
            eprintln!("{}, round {round}", situation.name);
            for (server, seen) in SERVERS.iter().zip(&mut seen) {
                seen.push(situation.watch(server, time)?);
            }
        }
        let wakes = seen.each_ref().map(|seen| show(seen.iter().map(|seen| Some(seen.wakes))));
        let answers = seen.each_ref().map(|seen| show(seen.iter().map(|seen| seen.answers)));
        table.row([vec![situation.name.to_owned()], wakes.into(), answers.into()].concat());
    }
    println!("{table}");
    Ok(())
}

/// What was seen of one server in one round.
struct Seen {
    wakes: Lateness,
    answers: Option<Lateness>,
}

impl Situation {
    fn watch(&self, server: &str, time: Duration) -> io::Result<Seen> {
        let (server_core, client_core) = cpu::cores()?;
        let mix = Mix { timers: self.timers, workers: self.workers, time };
        let life = WARM_UP + time;
        let mut server =
            Process::start(role::command(server, server_core, life)?.args(mix.to_args()))?;
        let line = server.line()?;
        let (echo, sink) =
            line.trim().split_once(' ').ok_or_else(|| io::Error::other("no ports"))?;
        let _flood = match self.is_flooded {
            true => {
                Some(Process::start(role::command("late-flood", client_core, life)?.arg(sink))?)
            }
            false => None,
        };
        let clients = match self.has_clients {
            true => {
                let numbers = [CLIENTS, RATE, time.as_millis() as u64].map(|n| n.to_string());
                let mut command = role::command("late-clients", client_core, life)?;
                Some(Process::start(command.arg(echo).args(numbers))?)
            }
            false => None,
        };
        let wakes = server.line()?.parse()?;
        let answers = clients.map(|mut clients| clients.line()?.parse()).transpose()?;
        Ok(Seen { wakes, answers })
    }
}

/// Medians of the rounds, in whole microseconds.
fn show(rounds: impl Iterator<Item = Option<Lateness>>) -> String {
    let Some(rounds) = rounds.collect::<Option<Vec<_>>>() else { return "–".to_owned() };
    let median = |of: fn(&Lateness) -> Duration| {
        let mut all: Vec<_> = rounds.iter().map(of).collect();
        all.sort();
        all[all.len() / 2].as_micros().to_string()
    };
    [median(|l| l.p50), median(|l| l.p99), median(|l| l.p999), median(|l| l.worst)].join(" / ")
}

/// A process that says something by the line; ended and reaped when dropped.
struct Process {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let says = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        Ok(Self { child, says })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.says.read_line(&mut line)? {
            0 => Err(io::Error::other("a process of this bench has failed")),
            _ => Ok(line),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
