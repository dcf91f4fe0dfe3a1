//! evy-echo on all cores, over TCP and TLS at once: 10,000 clients for a minute, a stop under load, and
//! ends without warning.

mod programs;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use programs::{Echo, Figures, Folder, Load, PATIENCE, certificate, eventually, ours, theirs};

/// One on TCP and one on TLS, on all cores.
struct Both {
    echo: Echo,
    folder: Folder,
}

impl Both {
    fn start(name: &str, more: &[&str]) -> Self {
        let folder = Folder::new(name);
        let mut command = Command::new(ours("evy-echo"));
        command.args(["--cores", "0", "127.0.0.1:0", "tls:127.0.0.1:0"]);
        command.args(certificate(&folder)).args(more);
        Self { echo: Echo::run(&mut command, 2), folder }
    }

    /// The plain and the TLS clients, each in a process of their own.
    fn load(&self, options: &[&str]) -> [Load; 2] {
        let [plain, tls] = [&self.echo.addresses[0], &self.echo.addresses[1]].map(String::as_str);
        let certificate = self.folder.path("certificate");
        let trust = ["--tls-name", "localhost", "--tls-ca", certificate.to_str().expect("text")];
        let [plain, tls] = [[plain].as_slice(), &[tls]].map(|address| [address, options].concat());
        [Load::start(&plain), Load::start(&[tls.as_slice(), &trust].concat())]
    }

    /// Waits until a line of `--stats` has so many clients.
    fn expect_clients(&self, clients: usize) {
        let start = format!("stats: {clients} clients, ");
        eventually("all clients are there", || {
            self.echo.errors.try_iter().find(|line| line.starts_with(&start))
        });
    }
}

fn show(figures: &[Figures]) {
    figures.iter().for_each(|figures| println!("{figures:?}"));
}

#[test]
#[ignore = "acceptance: 10,000 clients for a minute"]
fn five_thousand_plain_and_five_thousand_tls_clients_at_once_lose_nothing() {
    let mut both = Both::start("minute", &["--stats", "1", "--grace", "10"]);
    // Together they open 1,000 a second, of which half are handshakes, and ask 5,000 times.
    let load = both.load(&[
        "--connections",
        "5000",
        "--ramp",
        "500",
        "--rate",
        "2500",
        "--duration",
        "60",
        "--timeout",
        "30",
    ]);
    both.expect_clients(10_000);
    let figures = load.map(Load::finish);
    show(&figures);
    for figures in &figures {
        figures.assert_flawless();
        // Each has had one connection all the time, and has asked about 30 times.
        assert_eq!((figures.number("opened"), figures.number("closed_idle")), (5_000, 0));
        assert!(figures.number("requests") > 2_500 * 55, "{figures:?}");
    }
    both.echo.stop();
}

/// FAULTS row 46: both kinds have sent as much as they could, and send on for a while; then they wait for
/// what is missing.
#[test]
#[ignore = "acceptance: 2,000 clients, and a server that stops"]
fn fault_46_a_stop_under_load_on_all_cores_loses_none_of_the_requests_in_flight() {
    for size in ["64", "100k"] {
        let mut both = Both::start("stop", &["--stats", "0.1", "--grace", "10"]);
        let connections: u16 = if size == "64" { 1000 } else { 50 };
        let each = connections.to_string();
        let load = both.load(&["--connections", &each, "--size", size, "--duration", "300"]);
        both.expect_clients(2 * usize::from(connections));
        // Connected they are; this is for their work.
        evy::sleep(Duration::from_secs(1));
        both.echo.process.signal(libc::SIGTERM);
        evy::sleep(Duration::from_millis(50));
        let figures = load.map(Load::interrupt);
        show(&figures);
        for figures in &figures {
            figures.assert_flawless();
            assert!(figures.number("requests") >= connections.into(), "{figures:?}");
        }
        assert!(both.echo.process.wait().success());
        let said: Vec<String> = both.echo.errors.iter().collect();
        assert_eq!(said.iter().find(|line| line.contains("cut off")), None);
    }
}

/// A client with an answer that it has not read, and a request that the server has not.
fn busy_client(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(&[b'x'; 1000]).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.read_exact(&mut [0]).unwrap();
    client.write_all(&[b'x'; 1000]).unwrap();
    client
}

/// FAULTS row 45.
#[test]
#[ignore = "acceptance: 50 servers"]
fn fault_45_a_server_that_was_killed_under_load_rebinds_at_once_fifty_times_of_fifty() {
    let folder = Folder::new("again");
    let options = certificate(&folder);
    let mut addresses = ["127.0.0.1:0".to_owned(), "tls:127.0.0.1:0".to_owned()];
    let mut longest = Duration::ZERO;
    for round in 0..=50 {
        let mut command = Command::new(ours("evy-echo"));
        let start = Instant::now();
        // It panics where the program does not say at once that it listens.
        let echo = Echo::run(command.args(["--cores", "0"]).args(&options).args(&addresses), 2);
        let address: SocketAddr = echo.addresses[0].parse().unwrap();
        let mut client = busy_client(address);
        client.read_exact(&mut [0; 1999]).unwrap();
        if round > 0 {
            longest = longest.max(start.elapsed());
            assert_eq!(format!("tls:{}", echo.addresses[1]), addresses[1]);
        }
        addresses = [echo.addresses[0].clone(), format!("tls:{}", echo.addresses[1])];
        let clients: Vec<_> = (0..50).map(|_| busy_client(address)).collect();
        // SIGKILL, with all of them connected.
        drop(echo);
        drop(clients);
    }
    println!("at most {longest:.0?} from the start to the first answer");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

/// valgrind unmaps the vDSO, by which the clocks are read elsewhere.
#[test]
#[ignore = "acceptance: needs valgrind"]
fn the_load_generator_runs_under_valgrind() {
    let mut echo = Echo::start(&["127.0.0.1:0"]);
    let mut command = Command::new(theirs("valgrind"));
    command.args(["-q", "--tool=none"]).arg(ours("evy-load"));
    command.args([&*echo.addresses[0], "--connections", "2", "--duration", "0.5"]);
    let output = command.output().expect("valgrind is installed");
    // It fails also when a request does.
    assert!(output.status.success(), "{output:?}");
    echo.stop();
}
