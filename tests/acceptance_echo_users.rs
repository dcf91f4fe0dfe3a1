//! evy-echo as people use it: by the programs that they talk to servers with, and with fewer descriptors
//! than clients.

mod programs;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use programs::{Echo, Folder, PATIENCE, Process, certificate, lines, ours};

/// A program that somebody types lines into.
struct Session {
    process: Process,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Session {
    fn start(command: &str) -> Self {
        println!("{command}");
        let mut words = command.split_whitespace();
        let mut program = Command::new(words.next().expect("a program"));
        program.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = program.spawn().unwrap_or_else(|error| panic!("{command}: {error}"));
        let mut process = Process(child);
        let input = process.0.stdin.take().expect("it is piped");
        let output = lines(process.0.stdout.take().expect("it is piped"));
        Self { process, input, output }
    }

    /// Types a line, and waits until it has come back.
    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
        assert_eq!(self.output.recv_timeout(PATIENCE).as_deref(), Ok(line));
    }

    /// Types Ctrl-D, and waits until the program has ended well.
    fn end(self) {
        let Self { process, input, output } = self;
        drop(input);
        expect_end(process, &output);
    }
}

/// The program ends well, without another word.
fn expect_end(mut process: Process, output: &Receiver<String>) {
    let status = process.wait();
    assert!(status.success(), "{status}");
    assert_eq!(output.iter().next(), None);
}

/// One on TCP, on TLS, and on two Unix sockets, which says who comes and goes.
struct Everywhere {
    echo: Echo,
    folder: Folder,
}

impl Everywhere {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let path = format!("unix:{}", folder.path("socket").display());
        let in_no_folder = format!("unix:@evy-{name}-{}", std::process::id());
        let mut command = Command::new(ours("evy-echo"));
        command.args(["--log", "127.0.0.1:0", "tls:127.0.0.1:0", &path, &in_no_folder]);
        Self { echo: Echo::run(command.args(certificate(&folder)), 4), folder }
    }

    /// The next that it says is that a client came, and then that it left after it had so many bytes.
    fn expect_visit(&self, bytes: usize) {
        let next = || self.echo.errors.recv_timeout(PATIENCE).expect("it says so");
        let line = next();
        assert!(line.starts_with("opened "), "{line}");
        let line = next();
        let expected = format!(": {bytes} bytes in, {bytes} bytes out, ");
        // Of trouble it would say more.
        assert!(line.starts_with("closed ") && line.contains(&expected), "{line}");
        assert!(line.ends_with(" s"), "{line}");
    }
}

#[test]
#[ignore = "acceptance: needs openssl, socat and nc"]
fn programs_that_people_have_get_their_lines_back_and_end_when_they_are_told_to() {
    let everywhere = Everywhere::start("lines");
    let [plain, tls, path, name] = everywhere.echo.addresses.as_slice() else { unreachable!() };
    let certificate = everywhere.folder.path("certificate");
    let certificate = certificate.display();
    let name = name.trim_start_matches('@');
    // -quiet alone would have it wait for the server; what it is told of the certificate it insists on.
    let openssl = format!(
        "openssl s_client -quiet -no_ign_eof -connect {tls} -servername localhost -CAfile {certificate} \
         -verify_hostname localhost -verify_return_error"
    );
    // -t and -N: they tell the server of the end, and wait for what it still has to say.
    for command in [
        format!("socat -t 60 - TCP:{plain}"),
        format!("socat -t 60 - UNIX-CONNECT:{path}"),
        format!("socat -t 60 - ABSTRACT-CONNECT:{name}"),
        format!("socat -t 60 - OPENSSL:{tls},cafile={certificate},commonname=localhost"),
        format!("nc -N {}", plain.replace(':', " ")),
        format!("nc -N -U {path}"),
        format!("{openssl} -tls1_2"),
        format!("{openssl} -tls1_3"),
    ] {
        let mut session = Session::start(&command);
        session.say("hello");
        session.say("grüße");
        session.end();
        everywhere.expect_visit("hello\ngrüße\n".len());
    }
}

/// It keeps to itself that its input has ended, and so it is the server that has to end it.
#[test]
#[ignore = "acceptance: needs curl"]
fn curl_gets_its_lines_back_and_ends_when_the_server_stops() {
    let mut everywhere = Everywhere::start("curl");
    let command = format!("curl --silent --no-buffer telnet://{}", everywhere.echo.addresses[0]);
    let mut session = Session::start(&command);
    session.say("hello");
    session.say("grüße");
    let Session { process, input, output } = session;
    drop(input);
    everywhere.echo.process.signal(libc::SIGTERM);
    expect_end(process, &output);
    everywhere.expect_visit("hello\ngrüße\n".len());
    assert!(everywhere.echo.process.wait().success());
}

/// All is sent, and the end of it, before anything is read.
#[test]
#[ignore = "acceptance: needs socat and nc"]
fn a_file_comes_back_whole_after_its_end_was_sent() {
    let everywhere = Everywhere::start("file");
    let [plain, tls, path, _] = everywhere.echo.addresses.as_slice() else { unreachable!() };
    let certificate = everywhere.folder.path("certificate");
    let certificate = certificate.display();
    let bytes: Vec<u8> = (0..4 << 20).map(|n: u32| (n / 999) as u8).collect();
    let file = everywhere.folder.path("file");
    fs::write(&file, &bytes).unwrap();
    for command in [
        format!("socat -t 60 - TCP:{plain}"),
        format!("socat -t 60 - UNIX-CONNECT:{path}"),
        format!("socat -t 60 - OPENSSL:{tls},cafile={certificate},commonname=localhost"),
        format!("nc -N {}", plain.replace(':', " ")),
        format!("nc -N -U {path}"),
    ] {
        println!("{command}");
        let mut words = command.split_whitespace();
        let mut program = Command::new(words.next().expect("a program"));
        let output = program.args(words).stdin(File::open(&file).unwrap()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        assert!(output.stdout == bytes, "{} bytes of {}", output.stdout.len(), bytes.len());
        everywhere.expect_visit(bytes.len());
    }
}

const CLIENTS: usize = 200;
const DESCRIPTORS: &str = "--nofile=64";

/// How many clients are sure to have a descriptor, and talk.
const TALKERS: usize = 20;

/// A client that has asked as soon as it was connected.
fn asking(address: &str) -> TcpStream {
    let mut client =
        TcpStream::connect(address).expect("the system connects it, if not the server");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"x").unwrap();
    client
}

fn read_answer(mut client: &TcpStream) {
    client.read_exact(&mut [0]).expect("an answer");
}

/// Whether its answer is there. It stays there.
fn is_answered(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false).unwrap();
    match peeked {
        Ok(count) => count == 1,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// What 99 of 100 turns of the talkers do not take longer than, at one every few milliseconds each.
fn p99_of_turns(talkers: &[TcpStream]) -> Duration {
    let talk = |talker: &TcpStream| -> JoinHandle<Vec<Duration>> {
        let mut talker = talker.try_clone().unwrap();
        let turn = move |_| {
            evy::sleep(Duration::from_millis(5));
            let start = Instant::now();
            talker.write_all(b"x").unwrap();
            read_answer(&talker);
            start.elapsed()
        };
        std::thread::spawn(|| (0..200).map(turn).collect())
    };
    let talks: Vec<_> = talkers.iter().map(talk).collect();
    let mut turns: Vec<_> = talks.into_iter().flat_map(|talk| talk.join().unwrap()).collect();
    turns.sort_unstable();
    turns[turns.len() * 99 / 100]
}

/// FAULTS row 9: with three times as many clients as descriptors.
#[test]
#[ignore = "acceptance: needs prlimit, and processor time to itself"]
fn fault_09_two_hundred_clients_of_64_descriptors_cost_nothing_and_wait_no_longer_than_they_must() {
    let mut command = Command::new("prlimit");
    let echo = Echo::run(command.arg(DESCRIPTORS).arg(ours("evy-echo")).arg("127.0.0.1:0"), 1);
    let address = &echo.addresses[0];
    let talkers: Vec<_> = (0..TALKERS).map(|_| asking(address)).collect();
    talkers.iter().for_each(read_answer);
    // By turns without and with the pressure, and the best of each: the machine has other work, too.
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.clear();
        without = without.min(p99_of_turns(&talkers));
        waiting.extend((TALKERS..CLIENTS).map(|_| asking(address)));
        with = with.min(p99_of_turns(&talkers));
    }
    println!("p99 of turns: {without:.0?}, and under pressure {with:.0?}");
    assert!(with <= (2 * without).max(Duration::from_millis(2)), "{with:?} after {without:?}");

    let (cpu, start) = (echo.cpu(), Instant::now());
    assert!(cpu > 0.0, "all these turns have cost something");
    evy::sleep(Duration::from_secs(3));
    let share = (echo.cpu() - cpu) / start.elapsed().as_secs_f64();
    println!("{:.1} % of a core while {CLIENTS} clients are connected", share * 100.0);
    assert!(share < 0.05, "{share}");

    // In the order in which they came.
    let mut waiting = std::collections::VecDeque::from(waiting);
    let mut served: Vec<_> =
        std::iter::from_fn(|| waiting.pop_front_if(|first| is_answered(first))).collect();
    println!("{} of them are served", TALKERS + served.len());
    assert!(served.len() > TALKERS && waiting.len() > CLIENTS / 2, "{}", served.len());
    let mut late = 0;
    for _ in 0..10 {
        // By now one that only looks again after ever longer pauses would be in one of 640 ms.
        evy::sleep(Duration::from_millis(700));
        let next = waiting.pop_front().expect("somebody waits");
        assert!(!is_answered(&next), "it was let in without a free descriptor");
        let start = Instant::now();
        drop(served.pop());
        read_answer(&next);
        late += usize::from(start.elapsed() > Duration::from_millis(100));
        served.insert(0, next);
    }
    println!("{late} of 10 were served later than 100 ms after a descriptor was free");
    // The machine may have stood still.
    assert!(late <= 1, "{late}");
    // In the end all are served.
    drop((served, talkers));
    for next in waiting {
        read_answer(&next);
    }
    let said = echo.errors.try_iter().filter(|line| line.contains("no new clients")).count();
    assert!(said <= 4, "it is said once for each time of pressure, not {said} times");
}
