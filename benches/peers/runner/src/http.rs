//! "Hello" over HTTP/1.1 on connections that are kept.

use crate::program::{LOAD_CORE, Program, Server};
use crate::workload::{Contender, Workload};

pub(crate) const CONNECTIONS: [usize; 3] = [1, 100, 1_000];

pub(crate) fn title(connections: usize) -> String {
    format!("HTTP hello, keep-alive, connections: {connections}")
}

/// One for each number of connections; `seconds` is how long a server is measured in a round.
pub(crate) fn workloads(seconds: f64) -> impl Iterator<Item = Workload> {
    CONNECTIONS.into_iter().map(move |connections| workload(connections, seconds))
}

fn workload(connections: usize, seconds: f64) -> Workload {
    let contender = |name, peer| {
        let server = Program::new(peer, "http");
        Contender::new(name, move || measure(&server, connections, seconds))
    };
    Workload {
        title: title(connections),
        figures: &["requests/s", "server CPU ns/request", "p50 µs", "p99 µs"],
        contenders: vec![
            contender("evy::http", "evy"),
            contender("hyper, tokio current_thread", "tokio"),
            contender("may_minihttp, 1 worker", "may"),
            contender("Go net/http, GOMAXPROCS=1", "go"),
        ],
    }
}

fn measure(server: &Program, connections: usize, seconds: f64) -> Result<Vec<f64>, String> {
    let server = Server::start(server)?;
    let (pid, port) = (server.pid().to_string(), server.port.clone());
    let args = [port, pid, connections.to_string(), seconds.to_string()];
    Program::new("peers", "load").figures(LOAD_CORE, &args)
}
