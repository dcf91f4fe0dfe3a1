//! What needs no sockets: green threads, tasks and goroutines that yield, are spawned, talk, and set timers.
//!
//! Each program runs on one core, warms up, and then does its work for a while; it prints the nanoseconds
//! for one.

use crate::program::{Program, SERVER_CORE};
use crate::workload::{Contender, Workload};

/// A server's measured time is so many times that of a program that needs no client.
const SHARE: f64 = 4.0;

/// How many are live.
pub(crate) fn live(quick: bool) -> &'static [usize] {
    if quick { &[2, 1_000] } else { &[2, 10, 100, 1_000, 10_000, 100_000] }
}

/// How many are spawned before they are waited for.
pub(crate) fn spawned(quick: bool) -> &'static [usize] {
    if quick { &[1, 1_000] } else { &[1, 10, 100, 1_000, 10_000, 100_000] }
}

/// How many pairs talk.
pub(crate) fn pairs(quick: bool) -> &'static [usize] {
    if quick { &[1, 500] } else { &[1, 5, 50, 500, 5_000, 50_000] }
}

/// How many other timers are set.
pub(crate) fn timers(quick: bool) -> &'static [usize] {
    if quick { &[1_000] } else { &[1_000, 100_000, 1_000_000] }
}

pub(crate) fn yield_title(live: usize) -> String {
    format!("yield, live: {live}")
}

pub(crate) fn spawn_title(live: usize) -> String {
    format!("spawn + wait, at once: {live}")
}

pub(crate) fn channel_title(pairs: usize) -> String {
    format!("round trip of two over two channels, live: {}", 2 * pairs)
}

pub(crate) fn timer_title(live: usize, oldest: bool) -> String {
    let which = if oldest { "cancel the oldest timer and set one" } else { "set + cancel a timer" };
    format!("{which}, live: {live}")
}

pub(crate) fn yields(seconds: f64, quick: bool) -> impl Iterator<Item = Workload> {
    live(quick).iter().map(move |&live| Workload {
        title: yield_title(live),
        figures: &["ns"],
        contenders: without(
            contenders("yield", &[live.to_string(), share(seconds)]),
            "monoio",
            "no yield: a task that wakes itself runs again before all others",
        ),
    })
}

pub(crate) fn spawns(seconds: f64, quick: bool) -> impl Iterator<Item = Workload> {
    spawned(quick).iter().map(move |&live| Workload {
        title: spawn_title(live),
        figures: &["ns"],
        contenders: contenders("spawn", &[live.to_string(), share(seconds)]),
    })
}

pub(crate) fn channels(seconds: f64, quick: bool) -> impl Iterator<Item = Workload> {
    pairs(quick).iter().map(move |&pairs| Workload {
        title: channel_title(pairs),
        figures: &["ns"],
        contenders: channel_contenders(pairs, seconds),
    })
}

pub(crate) fn timer_workloads(seconds: f64, quick: bool) -> impl Iterator<Item = Workload> {
    let cases = timers(quick).iter().flat_map(|&live| [(live, false), (live, true)]);
    cases.map(move |(live, oldest)| {
        let args = [live.to_string(), u8::from(oldest).to_string(), share(seconds)];
        let contenders = contenders("timer", &args);
        Workload {
            title: timer_title(live, oldest),
            figures: &["ns"],
            contenders: without(contenders, "may, 1 worker", "no timer that can be cancelled"),
        }
    })
}

/// The same, but the one of this name has nothing of the kind.
fn without(mut contenders: Vec<Contender>, name: &'static str, why: &str) -> Vec<Contender> {
    let contender = contenders.iter_mut().find(|contender| contender.name == name);
    *contender.expect("it is one of them") = Contender::absent(name, why);
    contenders
}

fn share(seconds: f64) -> String {
    (seconds / SHARE).to_string()
}

/// Everyone, with these arguments.
fn contenders(workload: &'static str, args: &[String]) -> Vec<Contender> {
    let contender = |name, peer| program(name, Program::new(peer, workload).with(args));
    let tokio = |name, workers: u32| {
        program(name, Program::new("tokio", workload).with([workers]).with(args))
    };
    vec![
        contender("evy", "evy"),
        Contender::absent("raw", "no tasks"),
        tokio("tokio current_thread", 0),
        tokio("tokio multi_thread, 1 worker", 1),
        contender("may, 1 worker", "may"),
        contender("smol, LocalExecutor", "smol"),
        contender("monoio", "monoio"),
        contender("Go, GOMAXPROCS=1", "go"),
        contender("gevent", "gevent"),
        contender("eventlet", "eventlet"),
    ]
}

fn channel_contenders(pairs: usize, seconds: f64) -> Vec<Contender> {
    let rest = [pairs.to_string(), share(seconds)];
    let with = |name, peer, capacity: u32| {
        program(name, Program::new(peer, "channel").with([capacity]).with(&rest))
    };
    let tokio = |name, workers: u32| {
        program(name, Program::new("tokio", "channel").with([workers, 1]).with(&rest))
    };
    vec![
        with("evy, rendezvous", "evy", 0),
        with("evy, bounded(1)", "evy", 1),
        Contender::absent("raw", "no tasks"),
        tokio("tokio mpsc(1), current_thread", 0),
        tokio("tokio mpsc(1), multi_thread, 1 worker", 1),
        program("may mpsc, unbounded, 1 worker", Program::new("may", "channel").with(&rest)),
        with("smol bounded(1), LocalExecutor", "smol", 1),
        Contender::absent("monoio", "no channels"),
        with("Go, unbuffered, GOMAXPROCS=1", "go", 0),
        with("Go, buffered(1), GOMAXPROCS=1", "go", 1),
        with("gevent Channel", "gevent", 0),
        with("gevent Queue(1)", "gevent", 1),
        with("eventlet LightQueue(0)", "eventlet", 0),
        with("eventlet LightQueue(1)", "eventlet", 1),
    ]
}

fn program(name: &'static str, program: Program) -> Contender {
    Contender::new(name, move || program.figures(SERVER_CORE, &[]))
}
