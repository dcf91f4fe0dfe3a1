//! Runs programs at once, waits for them together for at most two seconds, and shows what they printed.
//!
//! ```text
//! cargo run --example processes
//! cargo run --example processes -- date "sleep 60" "ls -l"
//! ```
//!
//! Exit code 1 when a program failed or took too long.

use std::io::{self, Read};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evy::process::{Child, Command, Stdio};
use evy::{GreenThread, spawn};

/// For all of them together.
const TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let mut lines: Vec<String> = std::env::args().skip(1).collect();
    if lines.is_empty() {
        lines = ["uname", "ls"].map(String::from).into();
    }

    // All of them are started before the first is waited for.
    let deadline = Instant::now() + TIME;
    let jobs: Vec<_> = lines.iter().map(|line| start(line)).collect();

    let mut code = ExitCode::SUCCESS;
    for (line, job) in lines.iter().zip(jobs) {
        match job.and_then(|job| job.finish(deadline)) {
            Ok(output) => println!("{line}: {output:?}"),
            Err(error) => {
                println!("{line}: error: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

struct Job {
    child: Child,
    /// Reads while the child writes: a full pipe would hold it up.
    output: GreenThread<io::Result<String>>,
}

fn start(line: &str) -> io::Result<Job> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program).args(words).stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take().expect("it is piped");
    let output = spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text)?;
        Ok(text)
    });
    Ok(Job { child, output })
}

impl Job {
    /// Waits for the end, and returns what was printed.
    fn finish(mut self, deadline: Instant) -> io::Result<String> {
        let time = deadline.saturating_duration_since(Instant::now());
        let Some(status) = self.child.wait_timeout(time)? else {
            self.child.kill()?;
            self.child.wait()?;
            return Err(io::Error::other("still running, and killed"));
        };
        if !status.success() {
            return Err(io::Error::other(status.to_string()));
        }
        self.output.wait().map_err(|died| io::Error::other(died.to_string()))?
    }
}
