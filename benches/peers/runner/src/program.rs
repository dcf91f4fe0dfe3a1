//! The programs that `.ci/bench-peers` has built, each run on cores of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Where servers run, and what needs no client.
pub(crate) const SERVER_CORE: &str = "0";

/// Where the load runs.
pub(crate) const LOAD_CORE: &str = "1";

/// After which a program that does not answer, or does not come to its end, is taken to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// `target/release/PEER-WORKLOAD`, with the arguments that it always gets.
#[derive(Clone)]
pub(crate) struct Program {
    peer: &'static str,
    workload: &'static str,
    args: Vec<String>,
    variable: Option<(&'static str, &'static str)>,
}

impl Program {
    pub(crate) fn new(peer: &'static str, workload: &'static str) -> Self {
        Self { peer, workload, args: Vec::new(), variable: None }
    }

    /// The same with these arguments before all others.
    pub(crate) fn with<A: ToString>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    /// The same with a variable in its environment.
    pub(crate) fn with_variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variable = Some((name, value));
        self
    }

    /// Runs it to its end, and returns the numbers that it prints.
    pub(crate) fn figures(&self, core: &str, args: &[String]) -> Result<Vec<f64>, String> {
        let command = self.on(core)?;
        let mut timed = Command::new("timeout");
        timed
            .args(["--signal", "KILL", &PATIENCE.as_secs().to_string()])
            .arg(command.get_program());
        timed.args(command.get_args()).args(args).envs(self.variable).stdin(Stdio::null());
        let output = timed.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(last_words(&output.stderr, &output.status.to_string()));
        }
        numbers(&String::from_utf8_lossy(&output.stdout))
    }

    /// Its command on cores of its own; it ends with this process at the latest.
    fn on(&self, cores: &str) -> Result<Command, String> {
        let program = built().join(format!("release/{}-{}", self.peer, self.workload));
        if !program.exists() {
            return Err(self.why_not_built());
        }
        let mut command = pinned(cores);
        command.arg(program).args(&self.args).envs(self.variable);
        Ok(command)
    }

    fn why_not_built(&self) -> String {
        let log = fs::read_to_string(built().join(format!("build-{}.log", self.peer)));
        let log = log.unwrap_or_default();
        let error =
            log.lines().find(|line| line.starts_with("error")).or_else(|| log.lines().last());
        format!("not built: {}", error.unwrap_or("nobody has tried"))
    }
}

/// A command line without its program, which will run on a core of its own and end with this process at the
/// latest.
pub(crate) fn pinned(core: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", core]);
    command
}

/// The numbers in what a program has printed.
fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>();
    match numbers {
        Ok(numbers) if numbers.is_empty() => Err("it printed nothing".to_owned()),
        Ok(numbers) => Ok(numbers),
        Err(_) => Err(format!("it printed {text:?}")),
    }
}

/// What a program complained about in the end, or else how it ended. A panic's message stands a line below
/// where it happened.
fn last_words(stderr: &[u8], status: &str) -> String {
    let text = String::from_utf8_lossy(stderr);
    let panic = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let line = panic.or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
    match line {
        Some(line) => format!("{status}: {}", line.trim()),
        None => status.to_owned(),
    }
}

/// A server that serves; ended and reaped when dropped.
pub(crate) struct Server {
    process: Running,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: String,
    /// What else it said about itself.
    pub(crate) note: String,
}

impl Server {
    /// Starts one on the core for servers, and waits until it says where it listens.
    pub(crate) fn start(program: &Program) -> Result<Self, String> {
        Self::start_on(SERVER_CORE, program)
    }

    pub(crate) fn start_on(cores: &str, program: &Program) -> Result<Self, String> {
        let mut process = Running::start(cores, program)?;
        let line = process.line().map_err(|end| format!("it ended before it listened: {end}"))?;
        let (port, note) = line.split_once(' ').unwrap_or((&line, ""));
        Ok(Self { process, port: port.to_owned(), note: note.to_owned() })
    }

    /// The process, which has become the server itself.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A program that is talked to line by line; ended and reaped when dropped.
pub(crate) struct Running {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(cores: &str, program: &Program) -> Result<Self, String> {
        let complaints = File::create(complaints()).map_err(|error| error.to_string())?;
        let mut command = program.on(cores)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let stdin = process.stdin.take().expect("the pipe was asked for");
        let stdout = process.stdout.take().expect("the pipe was asked for");
        Ok(Self { process, stdin, stdout: BufReader::new(stdout) })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let guard = HangGuard::new(self.pid());
        self.stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        drop(guard);
        if line.is_empty() {
            let status = self.process.wait().map_err(|error| error.to_string())?;
            let stderr = fs::read(complaints()).unwrap_or_default();
            return Err(last_words(&stderr, &status.to_string()));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Lets it go on.
    pub(crate) fn go_on(&mut self) -> Result<(), String> {
        self.stdin.write_all(b"\n").map_err(|error| error.to_string())
    }

    /// The process, which has become the program itself.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(complaints());
    }
}

/// Ends a process unless it is dropped in time. The process must not be reaped before.
struct HangGuard {
    /// Its end is what the guarding OS thread waits for.
    _in_time: Sender<()>,
}

impl HangGuard {
    fn new(pid: u32) -> Self {
        let (in_time, hears) = channel();
        thread::spawn(move || {
            if hears.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // If it cannot be started, the runner hangs as well, and somebody will look.
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
        });
        Self { _in_time: in_time }
    }
}

/// Where the standard error of a program goes that is talked to: there is one at a time.
fn complaints() -> PathBuf {
    built().join(format!("stderr-{}.log", std::process::id()))
}

/// Where everything is built.
pub(crate) fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_prints_numbers_is_understood_and_every_other_is_not() {
        assert_eq!(numbers("1.5 2e3\n7\n"), Ok(vec![1.5, 2_000.0, 7.0]));
        assert!(numbers("").is_err());
        assert!(numbers("12 ns").unwrap_err().contains("12 ns"));
    }

    #[test]
    fn the_last_words_are_the_message_of_a_panic_or_the_last_line() {
        let panic = b"thread 'main' panicked at src/a.rs:7:9:\nno memory\nnote: run with\n";
        assert_eq!(last_words(panic, "exit status: 101"), "exit status: 101: no memory");
        assert_eq!(last_words(b"one\ntwo\n\n", "exit status: 1"), "exit status: 1: two");
        assert_eq!(last_words(b"", "signal: 9 (SIGKILL)"), "signal: 9 (SIGKILL)");
    }
}
