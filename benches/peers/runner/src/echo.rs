//! Echo over TCP: what a request costs, and what an idle connection holds.

use crate::program::{LOAD_CORE, Program, Server};
use crate::workload::{Contender, Note, Workload};

/// Bytes of a message, if nothing else is said.
const SIZE: usize = 64;

/// The larger message, and with how many connections.
pub(crate) const LARGE: (usize, [usize; 2]) = (4_096, [100, 1_000]);

/// How many connections are idle.
pub(crate) const IDLE: usize = 10_000;

/// The loop that a service writes, where `evy::io::copy` is no help to it.
pub(crate) const OWN_LOOP: &str = "evy, read and write_all";

/// Up to so many connections, evy is shown without its spin, too, and OS threads with blocking sockets.
const FEW: usize = 4;

/// The connections of the workloads; the limit of descriptors is 20,000 a process where this was written.
pub(crate) fn connections(quick: bool) -> &'static [usize] {
    if quick { &[1, 100, 1_000] } else { &[1, 4, 100, 1_000, 10_000, 19_000] }
}

pub(crate) fn title(connections: usize, size: usize) -> String {
    format!("echo {size} B, connections: {connections}")
}

pub(crate) fn idle_title(connections: usize) -> String {
    format!("memory of an idle echo connection, connections: {connections}")
}

/// Messages of 64 bytes.
pub(crate) fn workloads(seconds: f64, quick: bool) -> impl Iterator<Item = Workload> {
    connections(quick).iter().map(move |&connections| workload(connections, SIZE, seconds))
}

/// Messages of 4 KiB.
pub(crate) fn large_workloads(seconds: f64) -> impl Iterator<Item = Workload> {
    let (size, connections) = LARGE;
    connections.into_iter().map(move |connections| workload(connections, size, seconds))
}

/// The message of the plots.
pub(crate) fn small_title(connections: usize) -> String {
    title(connections, SIZE)
}

fn workload(connections: usize, size: usize, seconds: f64) -> Workload {
    let mut servers = servers();
    servers.insert(1, (OWN_LOOP, Program::new("evy", "echo").with([1])));
    if connections <= FEW {
        let spinless = Program::new("evy", "echo").with_variable("EVY_SPIN", "0");
        servers.insert(1, ("evy, EVY_SPIN=0", spinless));
        let threads = Program::new("raw", "threads").with([0]);
        servers.insert(4, ("raw, blocking, an OS thread each", threads));
    }
    let args = [connections.to_string(), seconds.to_string(), "echo".to_owned(), size.to_string()];
    Workload {
        title: title(connections, size),
        figures: &["requests/s", "server CPU ns/request", "p50 µs", "p99 µs"],
        contenders: contenders(servers, &args),
    }
}

/// What 10,000 idle connections hold.
pub(crate) fn idle_workload(quick: bool) -> Workload {
    let connections: usize = if quick { 1_000 } else { IDLE };
    let mut servers = servers();
    let tuned = Program::new("tokio", "echo").with([0, 1]);
    servers.insert(3, ("tokio current_thread, no buffer while idle", tuned));
    let args = [connections.to_string(), "0".to_owned(), "idle".to_owned(), SIZE.to_string()];
    Workload {
        title: idle_title(connections),
        figures: &["RSS + page tables, B each", "PSS + page tables, B each", "page tables, B each"],
        contenders: contenders(servers, &args),
    }
}

fn servers() -> Vec<(&'static str, Program)> {
    let echo = |peer| Program::new(peer, "echo");
    vec![
        ("evy", echo("evy")),
        ("raw, edge-triggered epoll", echo("raw")),
        ("tokio current_thread", echo("tokio").with([0, 0])),
        ("tokio multi_thread, 1 worker", echo("tokio").with([1, 0])),
        ("may, 1 worker", echo("may")),
        ("smol, LocalExecutor", echo("smol")),
        ("monoio", echo("monoio")),
        ("Go, GOMAXPROCS=1", echo("go")),
        ("gevent", echo("gevent")),
        ("eventlet", echo("eventlet")),
    ]
}

/// One for each server, loaded with these arguments behind its port and process.
fn contenders(servers: Vec<(&'static str, Program)>, args: &[String]) -> Vec<Contender> {
    let contender = |(name, server): (_, Program)| {
        let (args, note) = (args.to_vec(), Note::default());
        let heard = Note::clone(&note);
        Contender::new(name, move || measure(&server, &args, &heard)).with_note(note)
    };
    servers.into_iter().map(contender).collect()
}

fn measure(server: &Program, args: &[String], note: &Note) -> Result<Vec<f64>, String> {
    let server = Server::start(server)?;
    note.get_or_init(|| server.note.clone());
    let load = Program::new("peers", "load").with([server.port.clone(), server.pid().to_string()]);
    load.figures(LOAD_CORE, args)
}
