//! Several cores: echo whose handler computes for half a millisecond before it answers.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use crate::program::{LOAD_CORE, Program, Server};
use crate::workload::{Contender, Workload};

/// Enough that the kernel's spreading gives every listener some.
const CONNECTIONS: usize = 64;

/// Bytes of a message.
const SIZE: usize = 64;

/// 1, 2, 4, … and all that there are. With all, the load runs on one of them too: it takes about 1 % of it.
pub(crate) fn counts() -> Vec<usize> {
    let all = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |count| Some(count * 2)).take_while(|&n| n < all).collect();
    counts.push(all);
    counts
}

pub(crate) fn title(cores: usize) -> String {
    format!("echo whose handler computes, cores: {cores}")
}

pub(crate) fn workloads(seconds: f64) -> impl Iterator<Item = Workload> {
    counts().into_iter().map(move |cores| workload(cores, seconds))
}

fn workload(cores: usize, seconds: f64) -> Workload {
    let contender =
        |name, server: Program| Contender::new(name, move || measure(&server, cores, seconds));
    let server = |peer| Program::new(peer, "cores").with([cores]);
    Workload {
        title: title(cores),
        figures: &["requests/s"],
        contenders: vec![
            contender("evy cores::run", server("evy")),
            contender("raw, blocking, an OS thread each", Program::new("raw", "threads").with([1])),
            contender("tokio multi_thread", server("tokio")),
            contender("may", server("may")),
            contender("Go, GOMAXPROCS", server("go")),
        ],
    }
}

fn measure(server: &Program, cores: usize, seconds: f64) -> Result<Vec<f64>, String> {
    let server = Server::start_on(&format!("0-{}", cores - 1), server)?;
    let args = [
        server.port.clone(),
        server.pid().to_string(),
        CONNECTIONS.to_string(),
        seconds.to_string(),
        "echo".to_owned(),
        SIZE.to_string(),
    ];
    let figures = Program::new("peers", "load").figures(LOAD_CORE, &args)?;
    Ok(figures[..1].to_vec())
}
