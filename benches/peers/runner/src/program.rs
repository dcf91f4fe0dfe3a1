//! The programs that `.ci/bench-peers` has built, each run on one core.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where servers run, and what needs no client.
pub(crate) const SERVER_CORE: &str = "0";

/// Where the load runs.
pub(crate) const LOAD_CORE: &str = "1";

/// `target/release/PEER-WORKLOAD`.
#[derive(Clone)]
pub(crate) struct Program {
    peer: &'static str,
    workload: &'static str,
    environment: Option<(&'static str, &'static str)>,
}

impl Program {
    pub(crate) fn new(peer: &'static str, workload: &'static str) -> Self {
        Self { peer, workload, environment: None }
    }

    /// The same with a variable in its environment.
    pub(crate) fn with(mut self, variable: &'static str, value: &'static str) -> Self {
        self.environment = Some((variable, value));
        self
    }

    /// Runs it to its end, and returns the numbers that it prints.
    pub(crate) fn figures(&self, core: &str, args: &[String]) -> Result<Vec<f64>, String> {
        let output = self.on(core)?.args(args).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers = text.split_whitespace().map(str::parse).collect::<Result<_, _>>();
        numbers.map_err(|_| format!("it printed {text:?}"))
    }

    /// Its command on a core of its own; it ends with this process at the latest.
    fn on(&self, core: &str) -> Result<Command, String> {
        let program = built().join(format!("release/{}-{}", self.peer, self.workload));
        if !program.exists() {
            return Err(self.why_not_built());
        }
        let mut command = pinned(core);
        command.arg(program).envs(self.environment);
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

/// A server that serves; ended and reaped when dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: String,
}

impl Server {
    /// Starts one, and waits until it says where it listens.
    pub(crate) fn start(program: &Program) -> Result<Self, String> {
        let mut command = program.on(SERVER_CORE)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let process = command.spawn().map_err(|error| error.to_string())?;
        let mut server = Self { process, port: String::new() };
        let stdout = server.process.stdout.take().expect("the pipe was asked for");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        line.trim_end().clone_into(&mut server.port);
        if server.port.is_empty() {
            Err("it ended before it listened".to_owned())
        } else {
            Ok(server)
        }
    }

    /// The process, which has become the server itself.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}
