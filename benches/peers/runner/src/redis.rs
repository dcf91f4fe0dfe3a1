//! GETs of one small value, one at a time on each connection and 50 at a time, from a redis-server on core 0.
//! What is measured is the client, on core 1.
//!
//! The crate `redis` on tokio knows only connections that many tasks may share. A user of its own each is what
//! is paired with ours; the other way of use, one connection for all, is a row of its own.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::program::{LOAD_CORE, Program, SERVER_CORE, pinned};
use crate::workload::{Contender, Workload};

/// Connections, and how many requests go out at a time on each.
pub(crate) const LOADS: [(usize, usize); 4] = [(1, 1), (50, 1), (1, 50), (50, 50)];

/// What `redis-benchmark` asks for in a round; it knows no time.
const REQUESTS: usize = 20_000;

pub(crate) const FIGURES: [&str; 2] = ["requests/s", "client CPU ns/request"];

/// Beside evy: a connection for each user, one for all, and the server's own program.
pub(crate) const TOKIO: &str = "redis, tokio current_thread";
pub(crate) const SHARED: &str = "redis, tokio, all on one connection";
pub(crate) const BENCHMARK: &str = "redis-benchmark";

pub(crate) fn title((connections, batch): (usize, usize)) -> String {
    format!("Redis GET, connections: {connections}, at a time on each: {batch}")
}

pub(crate) fn workloads(seconds: f64) -> impl Iterator<Item = Workload> {
    LOADS.into_iter().map(move |(connections, batch)| workload(connections, batch, seconds))
}

fn workload(connections: usize, batch: usize, seconds: f64) -> Workload {
    let server = Rc::new(RedisServer::start());
    let contender = |name, peer, shared: &[&str]| {
        let (program, server) = (Program::new(peer, "redis"), Rc::clone(&server));
        let mut args = vec![connections.to_string(), batch.to_string(), seconds.to_string()];
        args.extend(shared.iter().map(|&argument| argument.to_owned()));
        Contender::new(name, move || {
            let port = server.as_ref().as_ref().map_err(String::clone)?.port.to_string();
            program.figures(LOAD_CORE, &[&[port], &args[..]].concat())
        })
    };
    let mut contenders =
        vec![contender("evy::patched::redis", "evy", &[]), contender(TOKIO, "tokio", &[])];
    if connections > 1 {
        contenders.push(contender(SHARED, "tokio", &["shared"]));
    }
    contenders.push(Contender::new(BENCHMARK, {
        let server = Rc::clone(&server);
        move || {
            redis_benchmark(server.as_ref().as_ref().map_err(String::clone)?, connections, batch)
        }
    }));
    Workload { title: title((connections, batch)), figures: &FIGURES, contenders }
}

/// One that has the value; ended and reaped when dropped.
struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        drop(listener);
        let process = pinned(SERVER_CORE)
            .args(["redis-server", "--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let server = Self { process, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not listen; is it installed?".to_owned());
            }
            pause(Duration::from_millis(5));
        }
        let set = ["-p", &port.to_string(), "SET", "key", "abc"];
        let set =
            Command::new("redis-cli").args(set).output().map_err(|error| error.to_string())?;
        if set.stdout == b"OK\n" { Ok(server) } else { Err(format!("redis-cli: {set:?}")) }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "there are no green threads in this program")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Its rate, and its CPU as the shell tells it.
fn redis_benchmark(
    server: &RedisServer,
    connections: usize,
    batch: usize,
) -> Result<Vec<f64>, String> {
    let requests = REQUESTS * batch.min(10);
    let command = format!(
        "TIMEFORMAT='%U %S'; time redis-benchmark -p {} -c {connections} -P {batch} -n {requests} --csv GET key",
        server.port
    );
    let output = pinned(LOAD_CORE).args(["bash", "-c", &command]).output();
    let output = output.map_err(|error| error.to_string())?;
    let (table, times) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let number = |text: &str| text.trim_matches('"').parse::<f64>().ok();
    let rate = table.lines().last().and_then(|line| number(line.split(',').nth(1)?));
    let seconds: Option<f64> =
        times.lines().last().and_then(|line| line.split(' ').map(number).sum());
    match (rate, seconds) {
        (Some(rate), Some(seconds)) => Ok(vec![rate, seconds * 1e9 / requests as f64]),
        _ => Err(format!("redis-benchmark said {table:?} and {times:?}")),
    }
}
