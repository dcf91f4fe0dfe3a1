//! A `Server` that runs out of descriptors or memory, and connections that fail before they are served.
//! FAULTS rows 9 and 10, Semantics E 94, goal R14.

mod util;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::{RunningServer, Server, TcpStream, copy, is_shortage, listen};
use evy_runtime::{sleep, spawn, spawn_n};
use util::{FOR_EVER, StdStream, let_all_park, soon, wait_until};

/// Descriptors of the process in which a server runs out of them.
const LIMIT: u64 = 64;

fn echo(client: TcpStream, _: SocketAddr) -> io::Result<()> {
    copy(&client, &client).map(drop)
}

/// All descriptors that are left. They are no green sockets: nobody is told when one is closed.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// A server that has clients and no descriptor left; it has tried so often that it pauses for long.
struct Exhausted {
    server: RunningServer,
    reports: Rc<Cell<u32>>,
    served: StdStream,
    waiting: Vec<StdStream>,
    /// What is in the way.
    files: Vec<File>,
}

impl Exhausted {
    fn new() -> Self {
        util::limit_descriptors(LIMIT);
        let reports = Rc::new(Cell::new(0));
        let server = Server::new(listen("127.0.0.1:0").unwrap(), echo)
            .on_error({
                let reports = Rc::clone(&reports);
                move |error, client| {
                    assert!(is_shortage(error) && client.is_none());
                    reports.set(reports.get() + 1);
                    ControlFlow::Continue(())
                }
            })
            .start()
            .unwrap();
        let address = server.local_addr();
        let served = StdStream::connect(address).unwrap();
        wait_until(|| server.accepted() == 1);
        // Connected before there is no descriptor left for the clients' side, and not accepted yet.
        let waiting: Vec<_> = (0..3).map(|_| StdStream::connect(address).unwrap()).collect();
        let files = take_all();
        // 5, 10, 20, … milliseconds: the next pause is a second long.
        wait_until(|| server.counters().failed_accepts() >= 10);
        Self { server, reports, served, waiting, files }
    }
}

#[test]
fn fault_09_without_descriptors_the_open_connections_are_served_and_one_word_is_said() {
    const NAME: &str =
        "fault_09_without_descriptors_the_open_connections_are_served_and_one_word_is_said";
    util::alone(NAME, || {
        let Exhausted { server, reports, mut served, waiting, files } = Exhausted::new();
        let_all_park();
        for _ in 0..100 {
            served.write_all(b"x").unwrap();
            let_all_park();
            served.read_exact(&mut [0]).unwrap();
        }
        assert_eq!((reports.get(), server.accepted()), (1, 1));
        // Nobody is told of these: it finds out by itself.
        drop(files);
        wait_until(|| server.accepted() == 4);
        assert_eq!(reports.get(), 1);
        assert_eq!(server.counters().errors(), 0);
        drop(waiting);
    });
}

/// R14: the pause is a second long, and is cut short.
#[test]
fn fault_09_it_tries_again_at_once_when_a_green_socket_is_closed() {
    const NAME: &str = "fault_09_it_tries_again_at_once_when_a_green_socket_is_closed";
    util::alone(NAME, || {
        let Exhausted { server, served, waiting, files, .. } = Exhausted::new();
        let_all_park();
        assert_eq!(server.accepted(), 1);
        // The client leaves: its connection is closed in the server, too.
        drop(served);
        let_all_park();
        assert!(server.accepted() > 1, "it waits for the end of its pause");
        drop((waiting, files));
    });
}

#[test]
fn fault_09_it_is_told_of_green_sockets_that_are_closed_on_other_os_threads() {
    const NAME: &str = "fault_09_it_is_told_of_green_sockets_that_are_closed_on_other_os_threads";
    util::alone(NAME, || {
        let (stream, peer) = util::pair();
        let Exhausted { server, served, waiting, files, .. } = Exhausted::new();
        let tried = server.counters().failed_accepts();
        let_all_park();
        assert_eq!(server.counters().failed_accepts(), tried);
        std::thread::spawn(move || drop(stream)).join().unwrap();
        let_all_park();
        assert_eq!(server.accepted(), 2, "it waits for the end of its pause");
        drop((served, waiting, peer, files));
    });
}

/// A connection that another server keeps, while it stops, until its peer has gone.
#[test]
fn fault_09_it_is_told_when_a_server_that_stops_closes_what_it_has_kept() {
    const NAME: &str = "fault_09_it_is_told_when_a_server_that_stops_closes_what_it_has_kept";
    util::alone(NAME, || {
        let may_end = Rc::new(Cell::new(false));
        let ends = Rc::clone(&may_end);
        let stopping = Server::new(listen("127.0.0.1:0").unwrap(), move |_client, _| {
            wait_until(|| ends.get());
            Ok(())
        })
        .start()
        .unwrap();
        let leaving = StdStream::connect(stopping.local_addr()).unwrap();
        wait_until(|| stopping.clients() == 1);
        let stopper = spawn(move || stopping.stop(FOR_EVER));
        let_all_park();
        let Exhausted { server, served, waiting, files, .. } = Exhausted::new();
        // A reset, so that there is nothing to be read to the end. The peer's own descriptor is taken at once.
        socket2::SockRef::from(&leaving).set_linger(Some(Duration::ZERO)).unwrap();
        drop(leaving);
        let more = take_all();
        let_all_park();
        assert_eq!((more.len(), server.accepted()), (1, 1));
        may_end.set(true);
        wait_until(|| stopper.is_finished());
        let_all_park();
        assert_eq!(server.accepted(), 2, "it waits for the end of its pause");
        drop((served, waiting, files, more));
    });
}

#[test]
fn the_user_may_end_the_server_for_want_of_descriptors() {
    const NAME: &str = "the_user_may_end_the_server_for_want_of_descriptors";
    util::alone(NAME, || {
        util::limit_descriptors(LIMIT);
        let server = Server::new(listen("127.0.0.1:0").unwrap(), echo)
            .on_error(|_, _| ControlFlow::Break(()))
            .start()
            .unwrap();
        let client = StdStream::connect(server.local_addr()).unwrap();
        let files = take_all();
        let error = soon(|| server.wait()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        drop((files, client));
    });
}

/// The processor time that a process has used.
fn cpu_time_of(process: u32) -> Duration {
    let nanoseconds = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|task| {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// R14, seen from outside: `prlimit --nofile=64` with 200 clients.
#[test]
#[expect(clippy::disallowed_methods, reason = "no green thread runs here: it watches a process")]
fn fault_09_two_hundred_clients_of_a_server_with_64_descriptors_are_all_served() {
    const NAME: &str =
        "fault_09_two_hundred_clients_of_a_server_with_64_descriptors_are_all_served";
    const CLIENTS: usize = 200;
    if util::is_child() {
        util::limit_descriptors(LIMIT);
        let server = Server::new(listen("127.0.0.1:0").unwrap(), echo).start().unwrap();
        println!("\nADDRESS {}", server.local_addr());
        // Until the parent closes its end.
        spawn_n(|| {
            evy_runtime::unblock(|| io::copy(&mut io::stdin(), &mut io::sink()).unwrap());
            std::process::exit(0);
        });
        return server.wait().unwrap();
    }
    let mut child = util::child_command(NAME).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("ADDRESS ").map(String::from)).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = StdStream::connect(address).unwrap();
            client.set_read_timeout(Some(FOR_EVER)).unwrap();
            client
        })
        .collect();
    let echo = |client: &mut StdStream| {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    };
    let serve = |clients: &mut [StdStream]| clients.iter_mut().for_each(echo);
    serve(&mut clients[..20]);
    let before = (Instant::now(), cpu_time_of(child.id()));
    std::thread::sleep(Duration::from_millis(600));
    let (elapsed, spent) = (before.0.elapsed(), cpu_time_of(child.id()) - before.1);
    let signals = std::env::var_os(util::storm::VARIABLE).is_some();
    let allowed = elapsed / if signals { 5 } else { 20 };
    assert!(spent < allowed, "{spent:?} of processor time in {elapsed:?}");
    serve(&mut clients[..20]);
    // Some leave, and as many are let in.
    while !clients.is_empty() {
        let leaving = clients.len().min(40);
        serve(&mut clients[..leaving]);
        clients.drain(..leaving);
    }
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let reports = String::from_utf8_lossy(&output.stderr).matches("no new clients").count();
    assert!(output.status.success());
    assert_eq!(reports, 1, "it is said once");
}

/// Without memory for a stack the connection is closed, and the server goes on.
#[test]
fn fault_09_without_memory_for_another_green_thread_it_goes_on() {
    const NAME: &str = "fault_09_without_memory_for_another_green_thread_it_goes_on";
    const CLIENTS: usize = 300;
    util::alone(NAME, || {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let server = Server::new(listen("127.0.0.1:0").unwrap(), echo)
            .on_error({
                let reports = Rc::clone(&reports);
                move |error, client| {
                    reports.borrow_mut().push((error.kind(), client.is_some()));
                    ControlFlow::Continue(())
                }
            })
            .start()
            .unwrap();
        let address = server.local_addr();
        let limit = limit_memory(memory() + (4 << 20));
        let clients: Vec<_> = (0..CLIENTS).map(|_| StdStream::connect(address).unwrap()).collect();
        wait_until(|| server.counters().failed_accepts() > 3);
        assert!(server.clients() > 10, "{} clients", server.clients());
        limit_memory(limit);
        assert_eq!(*reports.borrow(), [(ErrorKind::OutOfMemory, false)]);
        drop(clients);
        wait_until(|| server.clients() == 0);
        let mut client = StdStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        wait_until(|| server.clients() == 1);
        let_all_park();
        client.read_exact(&mut [0]).unwrap();
    });
}

/// The address space that this process has, in bytes.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 4096
}

/// Limits the address space; returns the limit before.
fn limit_memory(bytes: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits are ours during the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
        before
    }
}

/// FAULTS row 10.
#[test]
fn fault_10_clients_that_reset_before_they_are_accepted_end_nothing() {
    let server = Server::new(listen("127.0.0.1:0").unwrap(), echo)
        .on_error(|error, client| {
            assert!(client.is_some(), "the listener is well: {error}");
            ControlFlow::Continue(())
        })
        .start()
        .unwrap();
    let address = server.local_addr();
    for _ in 0..20 {
        let client = StdStream::connect(address).unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
    }
    let mut client = StdStream::connect(address).unwrap();
    client.write_all(b"x").unwrap();
    client.set_read_timeout(Some(FOR_EVER)).unwrap();
    wait_until(|| server.clients() == 1);
    let_all_park();
    client.read_exact(&mut [0]).unwrap();
    let counters = server.counters();
    assert_eq!(counters.accepted() + counters.failed_accepts(), 21);
    sleep(Duration::from_nanos(1));
}

util::and_all_of_them_again!();
