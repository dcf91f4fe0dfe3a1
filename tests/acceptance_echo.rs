//! The bundled echo server under the load that the foundation promises: 10,000 connections, a
//! minute, every byte back, no error, one hub.

#[path = "../benches/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::load::{Limit, Load, Requests, Stretch, Target};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program, next to the folder that this test's executable is in.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let program = folder.join("evy-echo");
    assert!(program.exists(), "build it first: cargo build --release --bins");
    program
}

#[test]
#[ignore = "acceptance: 10,000 connections for a minute"]
fn ten_thousand_connections_for_a_minute_get_every_byte_back() {
    let mut child = Command::new(program())
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let output = child.stdout.take().expect("it is piped");
    let server = Server(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("its first line");
    let port = line.trim_end().rsplit(':').next().and_then(|port| port.parse().ok());
    let port = port.expect("the line ends with a port");
    let target = Target { port, server: server.0.id(), connections: 10_000, size: 64 };
    let mut load = Load::connect(target, Requests::echo(64)).expect("10,000 connections");
    let minute =
        Stretch { warm_up: Duration::from_secs(1), limit: Limit::Time(Duration::from_secs(60)) };
    let report = load.run(server.0.id(), minute).expect("the load runs");
    println!(
        "{} requests in {:.1} s, p50 {:?}, p99 {:?}, {} errors",
        report.requests,
        report.elapsed.as_secs_f64(),
        report.p50,
        report.p99,
        report.errors
    );
    assert_eq!(report.errors, 0);
    assert!(report.requests > 10_000, "every connection was served");
}
