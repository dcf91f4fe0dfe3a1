//! Queries of PostgreSQL, which this starts for its own use and for as long as it runs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{LOAD_CORE, Program, SERVER_CORE};
use crate::workload::{Contender, Workload};

pub(crate) const CONNECTIONS: [usize; 2] = [1, 50];

/// How many sleep at once.
pub(crate) const SLEEPERS: usize = 100;

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const FIGURES: [&str; 2] = ["queries/s", "client CPU ns/query"];

/// Beside evy.
pub(crate) const SPINLESS: &str = "the same with EVY_SPIN=0";
pub(crate) const TOKIO: &str = "tokio-postgres, tokio current_thread";

pub(crate) fn title(connections: usize) -> String {
    format!("PostgreSQL, prepared SELECT 1, connections: {connections}")
}

pub(crate) fn sleep_title() -> String {
    format!("PostgreSQL, pg_sleep(0.1), connections: {SLEEPERS}")
}

/// Whether there is a server to start.
pub(crate) fn is_installed() -> bool {
    program("initdb").is_some()
}

/// One for each number of connections, and one where all sleep; `seconds` is how long each is measured.
pub(crate) fn workloads(seconds: f64) -> Vec<Workload> {
    let server = Rc::new(Server::start());
    let mut workloads = Vec::new();
    for connections in CONNECTIONS {
        workloads.push(Workload {
            title: title(connections),
            figures: &FIGURES,
            contenders: contenders(&server, connections, seconds),
        });
    }
    workloads.push(Workload {
        title: sleep_title(),
        figures: &["ms"],
        contenders: contenders(&server, SLEEPERS, 0.0),
    });
    workloads
}

fn contenders(
    server: &Rc<Result<Server, String>>,
    connections: usize,
    seconds: f64,
) -> Vec<Contender> {
    let contender = |name, program: Program| {
        let server = Rc::clone(server);
        Contender::new(name, move || {
            let server = server.as_ref().as_ref().map_err(String::clone)?;
            let args = [server.config(), connections.to_string(), seconds.to_string()];
            program.figures(SERVER_CORE, &args)
        })
    };
    let evy = Program::new("evy", "postgres");
    vec![
        contender("evy::patched::postgres", evy.clone()),
        // A hub that spins before it sleeps trades CPU for time.
        contender(SPINLESS, evy.with_variable("EVY_SPIN", "0")),
        contender(TOKIO, Program::new("tokio", "postgres")),
    ]
}

/// A server with a fresh database, on the core of the load; ended when dropped.
struct Server {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let folder = std::env::temp_dir().join(format!("peers-postgres-{}", std::process::id()));
        prepare(&folder)?;
        let mut command = program_of(&folder, "initdb", &[])?;
        command.args(["--username=postgres", "--auth=trust", "--no-sync", "--pgdata=data"]);
        succeeded(&command.output().map_err(|error| error.to_string())?)?;

        let mut command = program_of(&folder, "postgres", &["taskset", "-c", LOAD_CORE])?;
        command
            .args(["-D", "data", "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "max_connections=130",
                "-c",
                "unix_socket_directories=",
            ]);
        drop(listener);
        let process = command.spawn().map_err(|error| error.to_string())?;
        let server = Self { process, folder, port };
        server.wait_until_ready()?;
        Ok(server)
    }

    #[expect(clippy::disallowed_methods, reason = "there are no green threads here")]
    fn wait_until_ready(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let mut command = program_of(&self.folder, "pg_isready", &[])?;
            command.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if command.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err("PostgreSQL does not get ready".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn config(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres sslmode=disable", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its children end when they see that it is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An empty folder that is the server's.
fn prepare(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, mode).map_err(|error| error.to_string())?;
    if is_root() {
        let (user, group) = postgres().ok_or("there is no user postgres")?;
        chown(folder, Some(user), Some(group)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A program of PostgreSQL, which refuses to run as root, behind `before`.
fn program_of(folder: &Path, name: &str, before: &[&str]) -> Result<Command, String> {
    let program = program(name).ok_or("PostgreSQL is not installed")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        let (user, group) = postgres().ok_or("there is no user postgres")?;
        command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
        command.arg("--clear-groups");
    }
    command.args(before).arg(program).current_dir(folder).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn succeeded(output: &Output) -> Result<(), String> {
    if output.status.success() { Ok(()) } else { Err(format!("initdb: {}", output.status)) }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// User and group.
fn postgres() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Debian keeps the programs out of the `PATH`, by their version.
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop()
}
