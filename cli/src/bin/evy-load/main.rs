//! A load generator for echo servers and servers of HTTP: how many requests a second, how late the answers
//! are, and whether every byte comes back. It runs on evy itself, with a green thread for each connection.
//!
//! ```text
//! cargo run --release --bin evy-load -- 127.0.0.1:6000 --connections 100 --duration 10
//! cargo run --release --bin evy-load -- http://127.0.0.1:8080/ --rate 10k
//! ```
//!
//! ```text
//!   options ─► course ─┬─► Run: what all clients share (Target, Speech, Pace, Tally, …)
//!                      ├─► Client, one a connection: Script ─► Sender ─► Connection ─► Answers
//!                      ├─► patience: ends the connections on which no answer comes
//!                      └─► Report ─► text or json
//!   Answers: of an echo server (echo) or by HTTP (http), as Speech knows; each is counted in the Tally
//! ```

#![forbid(unsafe_code)]

mod address;
mod client;
mod connection;
mod course;
mod echo;
mod failure;
mod found;
mod http;
mod json;
mod numbers;
mod options;
mod pace;
mod patience;
mod pattern;
mod pump;
mod ramp;
mod report;
mod run;
mod script;
mod sender;
mod speech;
mod tally;
mod text;
mod tls;
mod url;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::options::Options;
use crate::report::Report;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    match load(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("evy-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `false` when anything went wrong with any request.
fn load(options: &Options) -> io::Result<bool> {
    let report: Report = course::run(options)?;
    let mut output = io::stdout().lock();
    if options.json {
        writeln!(output, "{}", json::of(&report))?;
    } else {
        write!(output, "{report}")?;
    }
    output.flush()?;
    if let Some(verdict) = report.verdict() {
        eprintln!("evy-load: {verdict}");
        return Ok(false);
    }
    Ok(true)
}
