//! PostgreSQL for the acceptance tests: on a free port, with a fresh database in a folder that goes with it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evy::patched::postgres::{Client, Config, NoTls};

/// What the user `postgres` says to get in.
pub(crate) const PASSWORD: &str = "a secret";

/// How many clients there may be at once, those kept for the superuser included.
pub(crate) const MAX_CONNECTIONS: usize = 130;

/// How long it may take to start. The machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub(crate) struct PostgresServer {
    /// `None` while it is down.
    process: Option<Child>,
    folder: PathBuf,
    port: u16,
    /// Of whom its processes are: it refuses to run as root.
    user: Option<(u32, u32)>,
    certificate: String,
}

impl PostgresServer {
    /// Starts one, and waits until it lets clients in.
    pub(crate) fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("evy-postgres-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder for PostgreSQL");
        let user = other_user();
        // It and its clients, of another user here, meet in there.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
                .expect("a certificate");
        let certificate = made.cert.pem();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut server = Self { process: None, folder, port, user, certificate };
        server.write("server.pem", &server.certificate);
        server.write("server.key", &made.signing_key.serialize_pem());
        server.write("password", PASSWORD);
        server.own(&server.folder);
        server.init();
        server.restart();
        server
    }

    /// Writes a file that is the server's alone.
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        let mut file = fs::File::create(&path).expect("the folder is writable");
        file.write_all(text.as_bytes()).expect("there is room");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        self.own(&path);
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).expect("root may");
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.folder).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn init(&self) {
        let output = self
            .command("initdb")
            .args(["--username=postgres", "--auth=scram-sha-256", "--pwfile=password"])
            .args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--pgdata=data"])
            .output()
            .expect("initdb is installed");
        assert!(output.status.success(), "{output:?}");
    }

    /// Starts it again, after it was ended by one of the calls below.
    pub(crate) fn restart(&mut self) {
        let start = Instant::now();
        loop {
            self.process = Some(self.spawn());
            if self.wait_until_ready(start) {
                return;
            }
            // What is left of the one before may still be there.
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            evy::sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&self) -> Child {
        let path = self.folder.join("log");
        let log = fs::File::options().create(true).append(true).open(path);
        let log = log.expect("the folder is writable");
        self.command("postgres")
            .args(["-D", "data", "-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "ssl=on"])
            .args(["-c", &format!("max_connections={MAX_CONNECTIONS}")])
            .args(["-c", &format!("unix_socket_directories={}", self.folder.display())])
            .args(["-c", &format!("ssl_cert_file={}/server.pem", self.folder.display())])
            .args(["-c", &format!("ssl_key_file={}/server.key", self.folder.display())])
            .args(["-c", "max_prepared_transactions=10", "-c", "shared_buffers=32MB"])
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("postgres is installed")
    }

    /// Whether it lets clients in; `false` if it has ended instead.
    fn wait_until_ready(&mut self, start: Instant) -> bool {
        loop {
            match self.config().connect(NoTls) {
                Ok(client) => return client.close().is_ok(),
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error:?}\n{}", self.log()),
            }
            let process = self.process.as_mut().expect("it was just started");
            if process.try_wait().expect("it is our child").is_some() {
                self.process = None;
                return false;
            }
            evy::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Who has signed the server's certificate: itself.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The way in over TCP.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").password(PASSWORD);
        config.connect_timeout(Duration::from_secs(30));
        config
    }

    /// A client over TCP.
    pub(crate) fn client(&self) -> Client {
        self.config().connect(NoTls).expect("the server runs")
    }

    /// The process that has started all others.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// All its processes, the first one first.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let first = self.id();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(first).chain(children).collect()
    }

    /// Ends all its processes without a chance to say anything.
    pub(crate) fn kill_all(&mut self) {
        for process in self.processes() {
            signal(process, libc::SIGKILL);
        }
        let mut first = self.process.take().expect("it runs");
        first.wait().expect("it is our child");
    }

    /// Ends it in good order: each client is told.
    pub(crate) fn stop(&mut self) {
        let mut first = self.process.take().expect("it runs");
        signal(first.id(), libc::SIGINT);
        first.wait().expect("it is our child");
    }

    /// Stops all its processes in their tracks, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        for process in self.processes() {
            signal(process, if frozen { libc::SIGSTOP } else { libc::SIGCONT });
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut first) = self.process.take() {
            // At once, and the others with it; a frozen one hears it when it goes on.
            signal(first.id(), libc::SIGQUIT);
            signal(first.id(), libc::SIGCONT);
            let _ = first.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Sends a signal to a process of a server.
pub(crate) fn signal(process: u32, signal: libc::c_int) {
    // SAFETY: it only takes numbers, and the process is one of our child's, or our child.
    unsafe { libc::kill(process as libc::pid_t, signal) };
}

/// Whom to run as: root may not.
fn other_user() -> Option<(u32, u32)> {
    // SAFETY: it only gives a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("the package makes a user"))
}

/// Debian keeps the server's programs out of the `PATH`, by their version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}
