//! evy-echo as it is deployed: three of them behind HAProxy, restarted one after the other or killed; and
//! with a socket that systemd keeps open.

mod programs;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use programs::{
    Echo, Folder, Load, PATIENCE, Process, eventually, free_ports, lines, ours, theirs,
};

const SERVERS: [&str; 3] = ["echo1", "echo2", "echo3"];

/// How many requests a client of the load makes on a connection.
const PER_CONNECTION: u64 = 10;

/// HAProxy with the configuration of the example, in front of three servers.
struct Haproxy {
    process: Process,
    folder: Folder,
    /// Where its clients connect to.
    port: u16,
    servers: [Option<Echo>; 3],
    ports: [u16; 3],
}

impl Haproxy {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let [port, one, two, three] = free_ports();
        let ports = [one, two, three];
        let servers = ports.map(|port| Some(server(port)));
        fs::write(folder.path("haproxy.cfg"), configuration(&folder, port, ports)).unwrap();
        let log = File::create(folder.path("log")).unwrap();
        let process = Process::start(
            Command::new(theirs("haproxy"))
                .args(["-db", "-f"])
                .arg(folder.path("haproxy.cfg"))
                .stderr(log),
        );
        let mut haproxy = Self { process, folder, port, servers, ports };
        eventually("HAProxy listens", || {
            let log = || fs::read_to_string(haproxy.folder.path("log")).unwrap_or_default();
            assert!(haproxy.process.is_running(), "HAProxy has ended: {}", log());
            UnixStream::connect(haproxy.socket()).ok()
        });
        haproxy
    }

    /// Clients who make ten requests on a connection, and come again.
    fn load(&self) -> Load {
        let (address, each) = (format!("127.0.0.1:{}", self.port), PER_CONNECTION.to_string());
        Load::start(&[
            &address,
            "--per-connection",
            &each,
            "--connections",
            "30",
            "--duration",
            "300",
        ])
    }

    fn socket(&self) -> PathBuf {
        self.folder.path("socket")
    }

    /// What it answers to a command.
    fn ask(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.socket()).expect("HAProxy runs");
        writeln!(socket, "{command}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// What it says of a server.
    fn figure(&self, server: usize, name: &str) -> String {
        let table = self.ask("show stat");
        let mut rows = table.trim_start_matches("# ").lines().map(|row| row.split(','));
        let column = rows.next().expect("a row of names").position(|other| other == name);
        let column = column.expect("there is a column of this name");
        let mut rows = rows.map(|row| row.collect::<Vec<_>>());
        let row = rows.find(|row| row.get(1) == Some(&SERVERS[server]));
        row.expect("a row for each server")[column].to_owned()
    }

    fn number(&self, server: usize, name: &str) -> u64 {
        self.figure(server, name).parse().expect("a number")
    }

    /// Waits until a server has had some connections more.
    fn expect_work(&self, server: usize) {
        let before = self.number(server, "stot");
        eventually("the server is used", || {
            (self.number(server, "stot") >= before + 50).then_some(())
        });
    }

    fn expect_up(&self, server: usize) {
        eventually("the server is up", || (self.figure(server, "status") == "UP").then_some(()));
    }

    /// Ends a server, of which HAProxy learns by itself.
    fn stop(&mut self, server: usize) {
        self.servers[server].take().expect("it runs").stop();
    }

    fn kill(&mut self, server: usize) {
        // The drop sends SIGKILL.
        drop(self.servers[server].take().expect("it runs"));
    }

    /// Starts a server again, on the same port, and waits until it has its share of the work.
    fn start_again(&mut self, index: usize) {
        self.servers[index] = Some(server(self.ports[index]));
        self.expect_up(index);
        self.expect_work(index);
    }
}

fn server(port: u16) -> Echo {
    Echo::start(&["--grace", "10", &format!("127.0.0.1:{port}")])
}

/// The example with ports of ours.
fn configuration(folder: &Folder, port: u16, ports: [u16; 3]) -> String {
    let mut text = include_str!("../examples/deploy/haproxy.cfg").to_owned();
    let ports = [port, ports[0], ports[1], ports[2]];
    for (port, of_example) in ports.iter().zip(["6000", "6001", "6002", "6003"]) {
        text = replace_in_settings(&text, &format!(":{of_example}"), &format!(":{port}"));
    }
    let socket = folder.path("socket");
    replace_in_settings(&text, "/run/evy-haproxy.sock", socket.to_str().expect("text"))
}

/// What is to be replaced has to be there once, beside comments.
fn replace_in_settings(text: &str, from: &str, to: &str) -> String {
    let settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    assert_eq!(settings.filter(|line| line.contains(from)).count(), 1, "{from} in {text}");
    text.replace(from, to)
}

#[test]
#[ignore = "acceptance: needs haproxy"]
fn a_rolling_restart_behind_haproxy_loses_no_request() {
    let mut haproxy = Haproxy::start("rolling");
    (0..3).for_each(|server| haproxy.expect_up(server));
    let load = haproxy.load();
    (0..3).for_each(|server| haproxy.expect_work(server));
    for round in 0..3 {
        for (server, name) in SERVERS.iter().enumerate() {
            let start = Instant::now();
            haproxy.stop(server);
            let stopped = start.elapsed();
            haproxy.start_again(server);
            println!(
                "round {round}: {name} stopped in {stopped:.0?}, served again after {:.0?}",
                start.elapsed()
            );
        }
    }
    let connections: u64 = (0..3).map(|server| haproxy.number(server, "stot")).sum();
    let figures = load.interrupt();
    println!("{figures:?}");
    figures.assert_flawless();
    // Every client went on, and by new connections: that is what HAProxy had to find a server for.
    assert!(connections > 1_000, "{connections} connections");
    assert!(figures.number("requests") > 1_000 * PER_CONNECTION, "{figures:?}");
    let redispatched: u64 = (0..3).map(|server| haproxy.number(server, "wredis")).sum();
    assert!(redispatched > 0, "no client has met a server that was not there");
}

#[test]
#[ignore = "acceptance: needs haproxy"]
fn of_a_killed_server_behind_haproxy_only_the_requests_in_flight_are_lost() {
    let mut haproxy = Haproxy::start("killed");
    (0..3).for_each(|server| haproxy.expect_up(server));
    let load = haproxy.load();
    (0..3).for_each(|server| haproxy.expect_work(server));
    haproxy.ask("clear counters");
    haproxy.expect_work(1);
    haproxy.kill(1);
    // The most that it ever had at once.
    let had = haproxy.number(1, "smax");
    haproxy.expect_work(0);
    haproxy.expect_work(2);
    haproxy.start_again(1);
    (0..3).for_each(|server| haproxy.expect_work(server));

    let figures = load.interrupt();
    println!("{had} connections at most; {figures:?}");
    let lost = figures.number("lost");
    assert!(lost <= had, "{lost} of {had}");
    // A request each, and each of them says so.
    assert_eq!(figures.number("total"), lost, "{figures:?}");
    // Who was not on it has noticed nothing, nor has anybody who came later.
    assert_eq!(figures.number("connect"), 0, "{figures:?}");
    assert_eq!(figures.number("corrupt") + figures.number("surplus"), 0, "{figures:?}");
    assert_eq!(figures.number("requests"), figures.number("sent") - lost, "{figures:?}");
}

/// The unit files of the example, with the program as it was built.
fn unit(kind: &str) -> String {
    let text = match kind {
        "service" => include_str!("../examples/deploy/evy-echo.service"),
        _ => include_str!("../examples/deploy/evy-echo.socket"),
    };
    let program = ours("evy-echo");
    text.replace("ExecStart=/usr/local/bin/evy-echo", &format!("ExecStart={}", program.display()))
}

#[test]
#[ignore = "acceptance: needs systemd's tools"]
fn systemd_has_nothing_to_say_against_the_units() {
    let folder = Folder::new("units");
    let files = ["service", "socket"].map(|kind| {
        let file = folder.path(&format!("evy-echo.{kind}"));
        fs::write(&file, unit(kind)).unwrap();
        file
    });
    // The man page is not installed.
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["verify", "--man=no"]).args(files).output().unwrap();
    // Some mistakes are only told of, and do not make it fail.
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(output.status.success(), "{}", output.status);
}

/// A service whose socket was opened by systemd-socket-activate, and stays open while the service
/// restarts. A shell plays the part that systemd would have, for that program starts nothing twice: it
/// keeps the socket, and starts the service for each line that it reads.
struct Activated {
    _shell: Process,
    input: ChildStdin,
    said: Receiver<String>,
    address: String,
    /// The process of the service.
    service: Option<libc::pid_t>,
}

const KEEPER: &str = r#"
while read -r _; do
  sh -c 'echo "pid $$"; LISTEN_PID=$$ exec "$@" </dev/null' sh "$@"
  echo "ended $?"
done
"#;

impl Activated {
    /// With the command of the unit, but for the number of cores. The first client is here already: only
    /// then is something started.
    fn start(cores: &str) -> (Self, TcpStream) {
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let unit = replace_in_settings(&unit("service"), "--cores 0", &format!("--cores {cores}"));
        let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let child = Command::new("systemd-socket-activate")
            .args(["-l", &address, "sh", "-c", KEEPER, "sh"])
            .args(command.expect("there is one").split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("systemd is installed");
        let mut shell = Process(child);
        let input = shell.0.stdin.take().expect("it is piped");
        let said = lines(shell.0.stdout.take().expect("it is piped"));
        let client = eventually("the socket is open", || TcpStream::connect(&address).ok());
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut activated = Self { _shell: shell, input, said, address, service: None };
        activated.start_service();
        (activated, client)
    }

    fn start_service(&mut self) {
        self.input.write_all(b"start\n").unwrap();
        let line = self.said.recv_timeout(PATIENCE).expect("the shell says which process it is");
        let id = line.strip_prefix("pid ").and_then(|id| id.parse().ok());
        self.service = Some(id.expect("its number"));
        let line = self.said.recv_timeout(PATIENCE).expect("it says that it listens");
        assert_eq!(line, format!("listening on {}", self.address));
    }

    fn stop_service(&mut self) {
        self.signal(libc::SIGTERM);
        let line = self.said.recv_timeout(PATIENCE).expect("the shell says how it has ended");
        self.service = None;
        assert_eq!(line, "ended 0");
    }

    fn signal(&self, signal: libc::c_int) {
        let Some(service) = self.service else { return };
        // SAFETY: it only takes numbers, and the shell has not said that this process has ended.
        unsafe { libc::kill(service, signal) };
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

fn round_trip(mut client: &TcpStream, text: &[u8]) {
    client.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

#[test]
#[ignore = "acceptance: needs systemd's tools"]
fn a_socket_of_systemd_stays_open_over_restarts_and_no_connection_is_lost() {
    for cores in ["0", "1"] {
        let (mut activated, client) = Activated::start(cores);
        round_trip(&client, b"who has woken it");
        drop(client);
        let each = PER_CONNECTION.to_string();
        let load = Load::start(&[
            &activated.address,
            "--per-connection",
            &each,
            "--connections",
            "30",
            "--duration",
            "300",
        ]);
        for _ in 0..4 {
            activated.stop_service();
            // Nobody is there who could accept it.
            let waits = TcpStream::connect(&activated.address).expect("the socket is open");
            waits.set_read_timeout(Some(PATIENCE)).unwrap();
            (&waits).write_all(b"a question").unwrap();
            activated.start_service();
            let mut answer = [0; 10];
            (&waits).read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"a question");
            // The load has its share of the time that these take.
            for _ in 0..100 {
                round_trip(&TcpStream::connect(&activated.address).unwrap(), b"another one");
            }
        }
        let figures = load.interrupt();
        println!("--cores {cores}: {figures:?}");
        figures.assert_flawless();
        assert!(figures.number("opened") > 200, "{figures:?}");
    }
}
