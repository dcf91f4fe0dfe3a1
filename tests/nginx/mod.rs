//! nginx for the acceptance tests: on free ports, in a folder that goes with it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs until it is dropped.
pub(crate) struct Nginx {
    process: Child,
    folder: PathBuf,
}

impl Nginx {
    /// Starts one worker that serves what `http` says, and waits until it listens on `ports`. `folder`
    /// exists, and is removed at the end.
    pub(crate) fn start(folder: PathBuf, http: &str, ports: &[u16]) -> Self {
        let path = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"));
        let configuration = format!(
            "daemon off;\nworker_processes 1;\npid {path}/nginx.pid;\nerror_log {path}/error.log;\n\
             worker_rlimit_nofile 20000;\nevents {{ worker_connections 9000; }}\n\
             http {{\naccess_log off;\n{}{http}}}\n",
            temporary.concat(),
        );
        fs::write(folder.join("nginx.conf"), configuration).expect("the folder is writable");
        let process = Command::new(program("nginx"))
            .arg("-p")
            .arg(&folder)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let mut nginx = Self { process, folder };
        for port in ports {
            nginx.wait_for(*port);
        }
        nginx
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn wait_for(&mut self, port: u16) {
        let start = Instant::now();
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            let ended = self.process.try_wait().expect("it is our child");
            if ended.is_some() || start.elapsed() > Duration::from_secs(10) {
                let log = fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
                panic!("nginx on port {port}: {error}; {ended:?}\n{log}");
            }
            evy::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master process ends its worker too.
        // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
        unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder for one nginx of this process.
pub(crate) fn new_folder(name: &str) -> PathBuf {
    let name = format!("evy-acceptance-{}-{name}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder for nginx");
    folder
}

/// Different ones, as all are held until the last is known.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// Some have no `sbin` in their `PATH`, where nginx lies.
pub(crate) fn program(name: &str) -> PathBuf {
    let in_sbin = Path::new("/usr/sbin").join(name);
    if in_sbin.exists() { in_sbin } else { name.into() }
}
