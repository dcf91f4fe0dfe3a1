//! The kinds of addresses, and each option.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio, id};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evy::net::TcpStream as GreenTcpStream;
use evy::tls::{TlsConnector, TlsStream};

use crate::server::{
    PATIENCE, Server, assert_one_line_error, command, round_trip, run, run_in_time,
};

/// A directory of one test; removed in the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("evy-echo-test-{}-{number}", id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate for localhost, in files, and who trusts it.
pub(crate) struct Certificate {
    pub(crate) directory: Directory,
    connector: TlsConnector,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = Directory::new();
        fs::write(directory.file("chain.pem"), made.cert.pem()).unwrap();
        fs::write(directory.file("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let connector = TlsConnector::builder().roots_pem(made.cert.pem()).build().unwrap();
        Self { directory, connector }
    }

    pub(crate) fn options(&self) -> [String; 4] {
        let (chain, key) = (self.directory.file("chain.pem"), self.directory.file("key.pem"));
        ["--tls-cert".to_owned(), chain, "--tls-key".to_owned(), key]
    }

    fn connect(&self, address: &str) -> TlsStream<GreenTcpStream> {
        let stream = evy::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.connector.connect("localhost", stream).unwrap()
    }
}

pub(crate) fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n / 7 + n / 300) as u8).collect()
}

#[test]
fn messages_of_all_sizes_come_back_whole() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for count in [1, 512, 513, 514, 1024, 64 * 1024, 64 * 1024 + 1, 200_000] {
        round_trip(&mut client, &bytes(count));
    }
}

#[test]
fn more_than_the_sockets_hold_comes_back_to_who_reads_late() {
    let server = Server::start(&[]);
    let (mut client, sent) = (server.connect(), bytes(20 << 20));
    let mut writer = client.try_clone().unwrap();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == expected);
}

#[test]
fn it_echoes_under_tls() {
    let certificate = Certificate::new();
    let options = certificate.options();
    let mut program = command(&["tls:127.0.0.1:0"]);
    program.args(&options);
    let server = Server::spawn(program, 1);
    assert!(server.addresses[0].starts_with("tls:127.0.0.1:"), "{:?}", server.addresses);
    let mut client = certificate.connect(server.plain_address(0));
    for count in [1, 512, 513, 514, 16 * 1024, 100_000] {
        round_trip(&mut client, &bytes(count));
    }
    client.shutdown().unwrap();
    // A close_notify comes back: without one this would be an error.
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

/// The handshake is not done where connections are accepted.
#[test]
fn clients_that_do_no_handshake_delay_nobody() {
    let certificate = Certificate::new();
    let mut program = command(&["tls:127.0.0.1:0"]);
    program.args(certificate.options());
    let server = Server::spawn(program, 1);
    let silent: Vec<_> = (0..20).map(|_| server.connect()).collect();
    round_trip(&mut certificate.connect(server.plain_address(0)), b"hello");
    drop(silent);
}

#[test]
fn tls_without_a_certificate_is_a_one_line_error() {
    let output = run(&["tls:127.0.0.1:0"]);
    assert_one_line_error(&output, "tls:127.0.0.1:0 needs --tls-cert FILE and --tls-key FILE");
    let output = run(&["tls:127.0.0.1:0", "--tls-cert", "/no/cert", "--tls-key", "/no/key"]);
    assert_one_line_error(&output, "/no/cert");
    // Half of it is a wrong command line.
    assert_eq!(run(&["tls:127.0.0.1:0", "--tls-cert", "x"]).status.code(), Some(2));
}

#[test]
fn it_echoes_datagrams_to_whom_they_came_from() {
    let server = Server::spawn(command(&["udp:127.0.0.1:0", "udp:127.0.0.1:0"]), 2);
    for index in 0..2 {
        let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (n, client) in clients.iter().enumerate() {
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.connect(server.plain_address(index)).unwrap();
            client.send(&bytes(n * 1400)).unwrap();
        }
        for (n, client) in clients.iter().enumerate() {
            let mut back = [0; 2000];
            let count = client.recv(&mut back).unwrap();
            assert_eq!(back[..count], bytes(n * 1400));
        }
    }
}

#[test]
fn it_echoes_on_a_unix_socket_and_removes_it_in_the_end() {
    let directory = Directory::new();
    let path = directory.file("echo");
    let server = Server::spawn(command(&[&format!("unix:{path}")]), 1);
    assert_eq!(server.addresses, [format!("unix:{path}")]);
    let mut client = UnixStream::connect(&path).unwrap();
    round_trip(&mut client, b"hello");
    drop(client);
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    assert!(!fs::exists(&path).unwrap());
}

#[cfg(target_os = "linux")]
/// A new one may have begun while the old one answered its last clients.
#[test]
fn it_leaves_the_unix_socket_of_its_successor_alone() {
    let directory = Directory::new();
    let path = directory.file("echo");
    let old = Server::spawn(command(&[&format!("unix:{path}")]), 1);
    fs::remove_file(&path).unwrap();
    let new = Server::spawn(command(&[&format!("unix:{path}")]), 1);
    old.signal(libc::SIGTERM);
    assert!(old.wait().success());
    round_trip(&mut UnixStream::connect(&path).unwrap(), b"hello");
    new.signal(libc::SIGTERM);
    assert!(new.wait().success());
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn it_echoes_on_an_abstract_unix_socket() {
    let name = format!("evy-echo-test-{}", id());
    let server = Server::spawn(command(&[&format!("unix:@{name}")]), 1);
    assert_eq!(server.addresses, [format!("unix:@{name}")]);
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    round_trip(&mut UnixStream::connect_addr(&address).unwrap(), b"hello");
}

/// FAULTS row 46, for who speaks TLS or comes by a Unix socket: the answer is whole, and so is the end.
#[test]
fn fault_46_a_stop_answers_clients_of_all_kinds_to_the_end() {
    const REQUEST: usize = 4 << 20;
    let (certificate, directory) = (Certificate::new(), Directory::new());
    let path = directory.file("echo");
    let mut program = command(&["tls:127.0.0.1:0", &format!("unix:{path}")]);
    let mut server = {
        program.args(certificate.options());
        Server::spawn(program, 2)
    };
    let mut secure = certificate.connect(server.plain_address(0));
    let mut local = UnixStream::connect(&path).unwrap();
    round_trip(&mut secure, b"x");
    round_trip(&mut local, b"x");
    let request = bytes(REQUEST);
    let mut writer = local.try_clone().unwrap();
    let sent = request.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (secure, sent) = (Rc::new(secure), request.clone());
    let secure_writing = evy::spawn({
        let secure = Rc::clone(&secure);
        move || (&*secure).write_all(&sent).and_then(|()| secure.shutdown())
    });
    // Both answers have begun, and are more than fits in between.
    (&*secure).read_exact(&mut [0]).unwrap();
    local.read_exact(&mut [0]).unwrap();
    server.signal(libc::SIGTERM);
    let mut back = Vec::new();
    // An end without a close_notify would be an error.
    (&*secure).read_to_end(&mut back).unwrap();
    assert!(back == request[1..], "{} bytes of {REQUEST} have come back", back.len() + 1);
    secure_writing.wait().unwrap().unwrap();
    back.clear();
    local.read_to_end(&mut back).unwrap();
    assert!(back == request[1..], "{} bytes of {REQUEST} have come back", back.len() + 1);
    writing.join().unwrap();
    drop((secure, local));
    assert_eq!(server.wait_here().code(), Some(0));
}

/// FAULTS row 9, for who comes by a Unix socket or speaks TLS.
#[test]
fn fault_09_out_of_descriptors_the_clients_of_other_kinds_are_served_and_others_later() {
    let (certificate, directory) = (Certificate::new(), Directory::new());
    let path = directory.file("echo");
    let mut program = command(&["tls:127.0.0.1:0", &format!("unix:{path}")]);
    program.args(certificate.options());
    let limit = libc::rlimit { rlim_cur: 32, rlim_max: 32 };
    // SAFETY: setrlimit is async-signal-safe, and the struct is moved into the closure.
    unsafe {
        program.pre_exec(move || {
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            Ok(())
        });
    }
    let server = Server::spawn(program, 2);
    let mut secure = certificate.connect(server.plain_address(0));
    round_trip(&mut secure, b"secure");
    let mut local: Vec<_> = (0..60).map(|_| UnixStream::connect(&path).unwrap()).collect();
    round_trip(&mut local[0], b"served");
    assert!(server.error_line("no new clients for now").contains("os error 24"));
    round_trip(&mut secure, b"still served");
    round_trip(&mut local[0], b"still served");
    let mut last = local.pop().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    local.clear();
    round_trip(&mut last, b"at last");
    round_trip(&mut certificate.connect(server.plain_address(0)), b"at last");
}

/// FAULTS row 45: a socket file that a killed server has left does not keep the next one from starting.
#[test]
fn fault_45_a_killed_server_can_be_started_again_on_its_path_at_once() {
    let directory = Directory::new();
    let address = format!("unix:{}", directory.file("echo"));
    let server = Server::spawn(command(&[&address]), 1);
    server.signal(libc::SIGKILL);
    server.wait();
    let again = Server::spawn(command(&[&address]), 1);
    round_trip(&mut UnixStream::connect(directory.file("echo")).unwrap(), b"hello");
    // But one that is in use stays.
    assert_one_line_error(&run(&[&address]), "in use");
    round_trip(&mut UnixStream::connect(directory.file("echo")).unwrap(), b"hello");
    drop(again);
}

/// To see whether somebody listens there must not wait for him to accept.
#[test]
fn a_path_whose_server_is_too_busy_to_accept_is_in_use() {
    let directory = Directory::new();
    let listener = UnixListener::bind(directory.file("echo")).unwrap();
    // SAFETY: it takes no pointer. It sets how many may wait.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let _waits = UnixStream::connect(directory.file("echo")).unwrap();
    let mut program = command(&[&format!("unix:{}", directory.file("echo"))]);
    let output = run_in_time(program.stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert_one_line_error(&output, "in use");
    assert!(fs::exists(directory.file("echo")).unwrap());
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let directory = Directory::new();
    fs::write(directory.file("letter"), "dear").unwrap();
    assert_one_line_error(&run(&[&format!("unix:{}", directory.file("letter"))]), "in use");
    assert_eq!(fs::read_to_string(directory.file("letter")).unwrap(), "dear");
}

#[test]
fn it_listens_on_several_addresses_at_once_also_on_several_cores() {
    let certificate = Certificate::new();
    let unix = format!("unix:{}", certificate.directory.file("echo"));
    for cores in ["1", "2"] {
        let mut program = command(&["127.0.0.1:0", "127.0.0.2:0", "tls:127.0.0.1:0", &unix]);
        program.args(["udp:127.0.0.1:0", "--cores", cores]).args(certificate.options());
        let server = Server::spawn(program, 5);
        round_trip(&mut server.connect_to(0), b"one");
        round_trip(&mut server.connect_to(1), b"two");
        round_trip(&mut certificate.connect(server.plain_address(2)), b"three");
        round_trip(&mut UnixStream::connect(server.plain_address(3)).unwrap(), b"four");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"five", server.plain_address(4)).unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 4);
        server.signal(libc::SIGTERM);
        assert!(server.wait().success());
    }
}

/// The limit is one for all kinds, and who waits gets a place whoever leaves.
#[test]
fn clients_of_all_kinds_count_together() {
    let (certificate, directory) = (Certificate::new(), Directory::new());
    let path = directory.file("echo");
    let mut program = command(&["127.0.0.1:0", "tls:127.0.0.1:0", &format!("unix:{path}")]);
    program.args(certificate.options()).args(["--max-clients", "3"]);
    let server = Server::spawn(program, 3);
    let mut plain = server.connect();
    let mut secure = certificate.connect(server.plain_address(1));
    let mut local = UnixStream::connect(&path).unwrap();
    round_trip(&mut plain, b"plain");
    round_trip(&mut secure, b"secure");
    round_trip(&mut local, b"local");
    // One more of each kind: connected, and not served.
    let mut waiting = (server.connect(), UnixStream::connect(&path).unwrap());
    waiting.0.write_all(b"0").unwrap();
    waiting.1.write_all(b"1").unwrap();
    waiting.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    waiting.1.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(waiting.0.read(&mut [0]).is_err());
    assert!(waiting.1.read(&mut [0]).is_err());
    round_trip(&mut plain, b"still here");
    drop((secure, local));
    waiting.0.set_read_timeout(Some(PATIENCE)).unwrap();
    waiting.1.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut back = [0; 2];
    waiting.0.read_exact(&mut back[..1]).unwrap();
    waiting.1.read_exact(&mut back[1..]).unwrap();
    assert_eq!(&back, b"01");
}

#[test]
fn it_takes_as_many_descriptors_as_it_may_have() {
    let mut program = command(&["127.0.0.1:0"]);
    let limit = libc::rlimit { rlim_cur: 16, rlim_max: 128 };
    // SAFETY: setrlimit is async-signal-safe, and the struct is moved into the closure.
    unsafe {
        program.pre_exec(move || {
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            Ok(())
        });
    }
    let server = Server::spawn(program, 1);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("128"), "{line}");
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| round_trip(client, b"x"));
}

#[test]
fn silent_clients_are_sent_away_and_others_stay() {
    let server = Server::start(&["--idle-timeout", "0.3"]);
    let (mut silent, mut busy) = (server.connect(), server.connect());
    round_trip(&mut silent, b"x");
    let start = Instant::now();
    silent.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    loop {
        round_trip(&mut busy, b"still here");
        match silent.read(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {}
            end => break assert_eq!(end.unwrap(), 0),
        }
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    round_trip(&mut busy, b"to the end");
}

/// The number before a word of the line.
pub(crate) fn number(line: &str, word: &str) -> f64 {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|other| *other == word);
    words[at.unwrap_or_else(|| panic!("no {word} in {line}")) - 1].parse().unwrap()
}

#[test]
fn statistics_come_in_a_line_each_period() {
    for cores in ["1", "2"] {
        let server = Server::start(&["--stats", "0.2", "--cores", cores]);
        assert!(server.error_line("stats: ").contains("0 clients, 0 accepted, 0 requests/s"));
        let mut clients = [server.connect(), server.connect(), server.connect()];
        clients.iter_mut().for_each(|client| round_trip(client, &[b'x'; 100]));
        let [mut first, _second, third] = clients;
        drop(third);
        let start = Instant::now();
        loop {
            (0..50).for_each(|_| round_trip(&mut first, &bytes(500)));
            let line = server.error_line("stats: ");
            let is_said = number(&line, "clients") == 2.0 && number(&line, "accepted") == 3.0;
            if is_said && number(&line, "requests/s") > 1.0 && number(&line, "MiB/s") > 0.0 {
                let delay = line.strip_suffix(" ms").unwrap().rsplit(' ').next().unwrap();
                assert!(
                    line.contains("turn p99 ") && delay.parse::<f64>().unwrap() > 0.0,
                    "{line}"
                );
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{line}");
        }
    }
}

#[test]
fn the_log_says_who_comes_and_goes_and_how_much_they_have_sent() {
    let directory = Directory::new();
    let unix = format!("unix:{}", directory.file("echo"));
    let server = Server::spawn(command(&["127.0.0.1:0", &unix, "--log"]), 2);
    let mut client = server.connect();
    let peer = client.local_addr().unwrap();
    round_trip(&mut client, &bytes(1000));
    assert_eq!(server.error_line("opened"), format!("opened {peer}"));
    drop(client);
    let line = server.error_line("closed");
    assert!(line.starts_with(&format!("closed {peer}: 1000 bytes in, 1000 bytes out, ")), "{line}");
    round_trip(&mut UnixStream::connect(directory.file("echo")).unwrap(), b"hello");
    let line = server.error_line("closed");
    assert!(line.starts_with(&format!("closed {unix}: 5 bytes in, 5 bytes out, ")), "{line}");
}

/// Has the program find these descriptors as 3, 4, …, as systemd hands them over.
fn hand_over(program: &mut Command, fds: &[i32], names: &str) {
    let fds = fds.to_vec();
    program.env("LISTEN_FDS", fds.len().to_string()).env("LISTEN_FDNAMES", names);
    // SAFETY: dup2 and fcntl are async-signal-safe, and the numbers were moved into the closure.
    unsafe {
        program.pre_exec(move || {
            // Out of the way first: one of them may be where another one belongs.
            let moved = fds.iter().map(|fd| libc::fcntl(*fd, libc::F_DUPFD, 100));
            for (number, fd) in (3..).zip(moved) {
                if fd < 0 || libc::dup2(fd, number) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// The program as `LISTEN_PID` names it: its number is known in the child only, so `sh` says it and
/// becomes the program.
fn activated(args: &[&str]) -> Command {
    let mut program = Command::new("sh");
    program.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_evy-echo")]);
    program.args(args);
    program
}

#[test]
fn it_takes_the_sockets_of_the_environment() {
    let (directory, certificate) = (Directory::new(), Certificate::new());
    for cores in ["1", "2"] {
        let path = directory.file(&format!("echo{cores}"));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(&path).unwrap();
        let mut program = activated(&["--cores", cores]);
        program.args(certificate.options());
        let fds = [tcp.as_raw_fd(), tls.as_raw_fd(), udp.as_raw_fd(), unix.as_raw_fd()];
        hand_over(&mut program, &fds, "web:tls::");
        let server = Server::spawn(program, 4);
        let expected = [
            tcp.local_addr().unwrap().to_string(),
            format!("tls:{}", tls.local_addr().unwrap()),
            format!("udp:{}", udp.local_addr().unwrap()),
            format!("unix:{path}"),
        ];
        assert_eq!(server.addresses, expected);
        round_trip(&mut server.connect(), b"one");
        round_trip(&mut certificate.connect(server.plain_address(1)), b"two");
        round_trip(&mut UnixStream::connect(&path).unwrap(), b"three");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"four", server.plain_address(2)).unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 4);
        server.signal(libc::SIGTERM);
        assert!(server.wait().success());
        // They are not ours: who has handed them over keeps them, and their files.
        assert!(fs::exists(&path).unwrap());
    }
}

#[test]
fn an_address_of_the_command_line_counts_more_than_the_environment() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut program = activated(&["127.0.0.1:0"]);
    hand_over(&mut program, &[tcp.as_raw_fd()], "");
    let server = Server::spawn(program, 1);
    assert_ne!(server.addresses[0], tcp.local_addr().unwrap().to_string());
    round_trip(&mut server.connect(), b"hello");
}
