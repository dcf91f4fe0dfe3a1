//! redis-server for the acceptance tests: on a free port, in a folder that goes with it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs until it is dropped. Its data are in memory only.
pub(crate) struct RedisServer {
    process: Child,
    port: u16,
    folder: PathBuf,
    /// What it was started with, for the next start.
    options: Vec<String>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with lines of a `redis.conf`, and waits until it answers.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_in(new_folder(), options)
    }

    /// [`start_with`](Self::start_with) in a folder that exists, and is removed at the end.
    pub(crate) fn start_in(folder: PathBuf, options: &[&str]) -> Self {
        let port = free_port();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { process: launch(&folder, port, &options), port, folder, options };
        server.wait_until_it_listens();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn unix_url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Starts it again after [`kill`](Self::kill), on the same port.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.folder, self.port, &self.options);
        self.wait_until_it_listens();
    }

    /// Stops all its work; the system still takes connections for it.
    pub(crate) fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
        unsafe { libc::kill(self.process.id() as libc::pid_t, signal) };
    }

    fn wait_until_it_listens(&mut self) {
        let start = Instant::now();
        // It opens its file last.
        let try_both = || {
            TcpStream::connect(("127.0.0.1", self.port))?;
            UnixStream::connect(self.folder.join("redis.sock"))
        };
        while let Err(error) = try_both() {
            let ended = self.process.try_wait().expect("it is our child");
            if ended.is_some() || start.elapsed() > Duration::from_secs(10) {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("redis-server on port {}: {error}; {ended:?}\n{log}", self.port);
            }
            evy::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be stopped, or have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn launch(folder: &Path, port: u16, options: &[String]) -> Child {
    let path = folder.display();
    let configuration = format!(
        "bind 127.0.0.1\nport {port}\ndir {path}\nlogfile {path}/log\nsave \"\"\nappendonly no\n\
         unixsocket {path}/redis.sock\ndaemonize no\n{}\n",
        options.join("\n")
    );
    fs::write(folder.join("redis.conf"), configuration).expect("the folder is writable");
    Command::new("redis-server")
        .arg(folder.join("redis.conf"))
        .stdin(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// A folder for one server of this process.
pub(crate) fn new_folder() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("evy-acceptance-{}-redis-{count}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder for redis-server");
    folder
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
