//! `Server`: whom it serves, what it does about errors, and its times. FAULTS rows 4, 16, 20, 29, 45, 51.

mod util;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use evy_green_net::{
    ClientLimit, RunningServer, Server, SharedAddress, StopServe, TcpStream, UnixListener, connect,
    copy, listen,
};
use evy_runtime::{cores, sleep, spawn};
use util::{FOR_EVER, StdStream, let_all_park, soon, wait_until};

fn echo(client: TcpStream, _: SocketAddr) -> io::Result<()> {
    copy(&client, &client).map(drop)
}

fn echo_server() -> RunningServer {
    Server::new(listen("127.0.0.1:0").unwrap(), echo).start().unwrap()
}

/// A connected client whose reads do not hang.
fn client(server: &RunningServer) -> TcpStream {
    client_of(server.local_addr())
}

fn client_of(address: SocketAddr) -> TcpStream {
    let client = connect(address).unwrap();
    client.set_read_timeout(Some(FOR_EVER)).unwrap();
    client
}

#[track_caller]
fn assert_echoed(mut client: &TcpStream) {
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

/// The peer has closed the connection, or reset it.
fn is_over(mut client: &TcpStream) -> bool {
    let read = client.read(&mut [0]);
    matches!(read, Ok(0)) || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// As for `serve`: a process that another test is just starting has copies of all descriptors.
#[track_caller]
fn will_be_refused(address: SocketAddr) {
    wait_until(|| {
        StdStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

// Whom it serves

#[test]
fn each_connection_of_each_listener_is_a_call_with_its_address() {
    let calls: Rc<RefCell<Vec<SocketAddr>>> = Rc::default();
    let listeners = (0..3).map(|_| listen("127.0.0.1:0").unwrap());
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let calls = Rc::clone(&calls);
        move |client: TcpStream, addr| {
            assert_eq!(client.peer_addr()?, addr);
            calls.borrow_mut().push(addr);
            Ok(())
        }
    })
    .listeners(listeners)
    .start()
    .unwrap();
    let addresses = server.local_addrs().to_vec();
    assert_eq!(addresses.len(), 4);
    let clients: Vec<_> = (0..20).map(|n| client_of(addresses[n % 4])).collect();
    wait_until(|| calls.borrow().len() == 20);
    let mut expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    expected.sort();
    calls.borrow_mut().sort();
    assert_eq!(*calls.borrow(), expected);
    assert!(clients.iter().all(is_over));
    wait_until(|| server.clients() == 0);
    assert_eq!(server.accepted(), 20);
}

#[test]
fn several_listeners_have_one_limit_and_who_comes_later_waits_connected() {
    const LIMIT: usize = 5;
    let (serving, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let (serving, most) = (Rc::clone(&serving), Rc::clone(&most));
        move |client: TcpStream, addr| {
            serving.set(serving.get() + 1);
            most.set(most.get().max(serving.get()));
            let result = echo(client, addr);
            serving.set(serving.get() - 1);
            result
        }
    })
    .listener(listen("127.0.0.1:0").unwrap())
    .max_clients(LIMIT)
    .start()
    .unwrap();
    let addresses = server.local_addrs().to_vec();
    // All at once, before the server has had a look.
    let clients: Vec<_> = (0..4 * LIMIT)
        .map(|n| StdStream::connect(addresses[n % 2]).unwrap())
        .map(|client| TcpStream::from_std(client).unwrap())
        .collect();
    wait_until(|| serving.get() == LIMIT);
    let_all_park();
    assert_eq!((serving.get(), server.clients()), (LIMIT, LIMIT));
    assert_eq!(server.accepted(), LIMIT as u64, "the rest waits to be accepted");
    // Who has been served leaves, and so everybody is served in the end.
    let clients = clients.into_iter().map(|client| spawn(move || assert_echoed(&client)));
    for client in clients.collect::<Vec<_>>() {
        soon(|| client.wait()).unwrap();
    }
    wait_until(|| serving.get() == 0);
    assert_eq!(most.get(), LIMIT);
}

#[test]
fn two_connections_at_one_instant_do_not_both_get_the_last_place() {
    let server = Server::new(listen("127.0.0.1:0").unwrap(), echo)
        .listener(listen("127.0.0.1:0").unwrap())
        .max_clients(1)
        .start()
        .unwrap();
    // Both loops have found that there is room, and wait for somebody to come.
    let_all_park();
    let clients: Vec<_> =
        server.local_addrs().iter().map(|addr| StdStream::connect(addr).unwrap()).collect();
    let_all_park();
    assert_eq!((server.clients(), server.accepted()), (1, 1));
    drop(clients);
    wait_until(|| server.accepted() == 2);
}

#[test]
fn servers_of_different_kinds_have_one_limit_and_who_waits_anywhere_gets_the_place() {
    let limit = ClientLimit::new(2);
    let path = util::TempPath::new();
    let tcp = Server::new(listen("127.0.0.1:0").unwrap(), echo);
    let tcp = tcp.client_limit(&limit).start().unwrap();
    let unix = Server::new(UnixListener::bind(&path).unwrap(), |client, _| {
        copy(&client, &client).map(drop)
    });
    let unix = unix.client_limit(&limit).start().unwrap();
    let accepted = || (tcp.accepted(), unix.accepted());
    let first = StdStream::connect(tcp.local_addr()).unwrap();
    wait_until(|| accepted() == (1, 0));
    let second = std::os::unix::net::UnixStream::connect(&*path).unwrap();
    wait_until(|| accepted() == (1, 1));
    assert_eq!((limit.clients(), limit.max_clients()), (2, 2));
    let third = StdStream::connect(tcp.local_addr()).unwrap();
    let fourth = std::os::unix::net::UnixStream::connect(&*path).unwrap();
    let_all_park();
    assert_eq!(accepted(), (1, 1));
    // One of the one kind leaves, and then one of the other.
    drop(second);
    wait_until(|| tcp.accepted() + unix.accepted() == 3);
    let_all_park();
    assert_eq!(limit.clients(), 2);
    drop(first);
    wait_until(|| accepted() == (2, 2));
    drop((third, fourth));
    wait_until(|| limit.clients() == 0);
    drop(tcp);
    let last = std::os::unix::net::UnixStream::connect(&*path).unwrap();
    wait_until(|| unix.clients() == 1);
    // What was not served any more gives its place back, too.
    drop(unix);
    assert_eq!(limit.clients(), 0);
    drop(last);
}

/// The hubs look at the same time, so that it would not do to look first and to count later.
#[test]
fn servers_on_several_hubs_are_never_above_their_limit() {
    const CLIENTS: usize = 2_000;
    let limit = ClientLimit::new(1);
    let address = SharedAddress::bind("127.0.0.1:0").unwrap();
    let at = address.local_addr().unwrap();
    let listening = AtomicUsize::new(0);
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    cores::run(3, |core| {
        if core.index() < 2 {
            let (limit_there, counts_there) = (limit.clone(), Arc::clone(&counts));
            let server = Server::new(address.listen().unwrap(), move |_client, _| {
                let [most, served] = &*counts_there;
                most.fetch_max(limit_there.clients(), Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            let server = server.client_limit(&limit).start().unwrap();
            listening.fetch_add(1, Ordering::SeqCst);
            wait_until(|| counts[1].load(Ordering::SeqCst) == CLIENTS);
            return drop(server);
        }
        wait_until(|| listening.load(Ordering::SeqCst) == 2);
        let clients = (0..CLIENTS).map(|_| spawn(move || assert!(is_over(&client_of(at)))));
        for client in clients.collect::<Vec<_>>() {
            client.wait().unwrap();
        }
    });
    assert_eq!(counts[0].load(Ordering::SeqCst), 1, "clients at once");
}

#[test]
fn a_connection_that_the_handler_has_given_away_is_a_client_until_its_last_handle_goes() {
    let streams: Rc<RefCell<Vec<TcpStream>>> = Rc::default();
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let streams = Rc::clone(&streams);
        move |client: TcpStream, _| {
            streams.borrow_mut().extend([client.try_clone()?, client]);
            Ok(())
        }
    })
    .max_clients(1)
    .start()
    .unwrap();
    let [first, second] = [client(&server), client(&server)];
    wait_until(|| !streams.borrow().is_empty());
    let_all_park();
    assert_eq!((server.clients(), server.accepted()), (1, 1));
    let clone = streams.borrow_mut().pop();
    drop(clone);
    let_all_park();
    assert_eq!(server.accepted(), 1, "a clone is left");
    streams.borrow_mut().clear();
    assert!(is_over(&first));
    wait_until(|| server.accepted() == 2);
    // One that became a stream of std's is no business of the server any more.
    let stream = streams.borrow_mut().pop().unwrap();
    streams.borrow_mut().clear();
    let stream = stream.into_std();
    assert_eq!(server.clients(), 0);
    stream.set_nonblocking(false).unwrap();
    (&second).write_all(b"x").unwrap();
    (&stream).read_exact(&mut [0]).unwrap();
}

#[test]
fn a_connection_that_ends_on_another_hub_makes_room() {
    let (to_other, from_here) = mpsc::channel::<TcpStream>();
    let server = Server::new(listen("127.0.0.1:0").unwrap(), move |client, _| {
        to_other.send(client).map_err(io::Error::other)
    })
    .max_clients(1)
    .start()
    .unwrap();
    let other = std::thread::spawn(move || {
        from_here.into_iter().take(2).for_each(|client| drop(copy(&client, &client)));
    });
    let [first, second] = [client(&server), client(&server)];
    assert_echoed(&first);
    assert_eq!((server.clients(), server.accepted()), (1, 1));
    drop(first);
    assert_echoed(&second);
    assert_eq!((server.clients(), server.accepted()), (1, 2));
    drop(second);
    wait_until(|| server.clients() == 0);
    wait_until(|| other.is_finished());
    other.join().unwrap();
}

#[test]
fn a_killed_handler_closes_its_connection_and_makes_room() {
    let handlers: Rc<RefCell<Vec<_>>> = Rc::default();
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let handlers = Rc::clone(&handlers);
        move |client, addr| {
            handlers.borrow_mut().push(evy_runtime::current());
            echo(client, addr)
        }
    })
    .max_clients(1)
    .start()
    .unwrap();
    for _ in 0..3 {
        let client = client(&server);
        assert_echoed(&client);
        let handler = handlers.borrow_mut().pop().unwrap();
        assert!(evy_runtime::kill(handler));
        assert!(is_over(&client));
        assert_eq!(server.clients(), 0);
    }
    assert_eq!((server.counters().panics(), server.counters().errors()), (0, 0));
}

#[test]
#[should_panic(expected = "room for one client")]
fn a_server_for_nobody_is_refused() {
    let _ = Server::new(listen("127.0.0.1:0").unwrap(), echo).max_clients(0);
}

// The end

#[test]
fn stop_serve_ends_it_well_and_the_others_go_on_until_it_is_dropped() {
    let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, addr| {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        if kind[0] == b'!' { Err(StopServe.into()) } else { echo(client, addr) }
    })
    .start()
    .unwrap();
    let address = server.local_addr();
    let [other, last] = [client(&server), client(&server)];
    (&other).write_all(b"x").unwrap();
    assert_echoed(&other);
    (&last).write_all(b"!").unwrap();
    soon(|| server.wait()).unwrap();
    soon(|| server.wait()).unwrap();
    assert!(is_over(&last));
    will_be_refused(address);
    assert_echoed(&other);
    assert_eq!((server.clients(), server.counters().errors()), (1, 0));
    drop(server);
    assert!(is_over(&other));
}

#[test]
fn a_dropped_server_is_stopped_at_once() {
    for has_begun in [false, true] {
        let dropped = Rc::new(Cell::new(0));
        let server = Server::new(listen("127.0.0.1:0").unwrap(), {
            let dropped = Rc::clone(&dropped);
            move |client: TcpStream, _| {
                let _count = OnDrop(&dropped);
                sleep(Duration::MAX);
                drop(client);
                Ok(())
            }
        })
        .start()
        .unwrap();
        let address = server.local_addr();
        let clients: Vec<_> = (0..10).map(|_| client(&server)).collect();
        if has_begun {
            wait_until(|| server.clients() == 10);
            let_all_park();
        }
        drop(server);
        will_be_refused(address);
        assert!(clients.iter().all(is_over));
        assert_eq!(dropped.get(), if has_begun { 10 } else { dropped.get() });
    }
}

struct OnDrop<'a>(&'a Cell<u32>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_server_that_a_handler_drops_spares_that_handler() {
    let place: Rc<RefCell<Option<RunningServer>>> = Rc::default();
    let finished = Rc::new(Cell::new(false));
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let (place, finished) = (Rc::clone(&place), Rc::clone(&finished));
        move |_: TcpStream, _| {
            let server = place.take();
            drop(server);
            finished.set(true);
            Ok(())
        }
    })
    .start()
    .unwrap();
    let address = server.local_addr();
    *place.borrow_mut() = Some(server);
    let client = client_of(address);
    wait_until(|| finished.get());
    assert!(is_over(&client));
    will_be_refused(address);
}

#[test]
fn one_that_runs_in_the_caller_ends_as_serve_does() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || Server::new(listener, |_, _| Err(StopServe.into())).run());
    let client = client_of(address);
    soon(|| server.wait()).unwrap().unwrap();
    assert!(is_over(&client));
    will_be_refused(address);
}

#[test]
fn a_killed_caller_of_run_closes_the_listener_and_times_go_on_for_who_is_there() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let time = Duration::from_millis(40);
    let server = spawn(move || Server::new(listener, echo).idle_timeout(time).run());
    let client = client_of(address);
    assert_echoed(&client);
    server.kill();
    will_be_refused(address);
    assert!(is_over(&client));
}

#[test]
fn a_listener_that_fails_leaves_the_others_and_the_last_one_ends_the_server() {
    let listeners = [listen("127.0.0.1:0").unwrap(), listen("127.0.0.1:0").unwrap()];
    let clones = listeners.each_ref().map(|listener| listener.try_clone().unwrap());
    let [first, second] = listeners;
    let reports: Rc<RefCell<Vec<_>>> = Rc::default();
    let server = Server::new(first, echo)
        .listener(second)
        .on_error({
            let reports = Rc::clone(&reports);
            move |error, client| {
                reports.borrow_mut().push((error.raw_os_error(), client.copied()));
                ControlFlow::Continue(())
            }
        })
        .start()
        .unwrap();
    let_all_park();
    clones[0].close();
    wait_until(|| reports.borrow().len() == 1);
    assert_echoed(&client_of(server.local_addrs()[1]));
    clones[1].close();
    let error = soon(|| server.wait()).unwrap_err();
    let seen = (error.raw_os_error(), None);
    assert_eq!(*reports.borrow(), [seen, seen]);
    let again = soon(|| server.wait()).unwrap_err();
    assert_eq!((again.kind(), again.raw_os_error()), (error.kind(), error.raw_os_error()));
}

// Errors

#[test]
fn an_error_is_reported_in_one_line_with_the_peer_and_serving_goes_on() {
    const NAME: &str = "an_error_is_reported_in_one_line_with_the_peer_and_serving_goes_on";
    if util::is_child() {
        let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, _| {
            let mut kind = [0];
            client.read_exact(&mut kind)?;
            if kind[0] == b'!' {
                Err(io::Error::other("on purpose"))
            } else {
                client.write_all(b"x")
            }
        })
        .start()
        .unwrap();
        for kind in [b'!', b'x', b'!'] {
            let mut client = client(&server);
            println!("\nCLIENT {}", client.local_addr().unwrap());
            client.write_all(&[kind]).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), usize::from(kind != b'!'));
        }
        wait_until(|| server.clients() == 0);
        assert_eq!((server.accepted(), server.counters().errors()), (3, 2));
        return;
    }
    let output = util::child_command(NAME).output().unwrap();
    let (stdout, stderr) = [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .into();
    util::assert_success(output);
    let clients: Vec<_> = stdout.lines().filter_map(|line| line.strip_prefix("CLIENT ")).collect();
    let lines: Vec<_> = stderr.lines().filter(|line| line.contains("on purpose")).collect();
    let expected = [clients[0], clients[2]]
        .map(|client| format!("evy: the client {client} was not served: on purpose"));
    assert_eq!(lines, expected);
}

#[test]
fn the_users_decision_can_end_it_with_the_error_and_the_others_go_on() {
    let asked = Rc::new(Cell::new(0));
    let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, addr| {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        match kind[0] {
            b'0' => echo(client, addr),
            b'1' => Err(ErrorKind::InvalidData.into()),
            _ => Err(io::Error::other(Precious)),
        }
    })
    .on_error({
        let asked = Rc::clone(&asked);
        move |error, client| {
            assert!(client.is_some());
            asked.set(asked.get() + 1);
            match error.kind() {
                ErrorKind::InvalidData => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        }
    })
    .start()
    .unwrap();
    let [other, first, second] = [client(&server), client(&server), client(&server)];
    (&other).write_all(b"0").unwrap();
    assert_echoed(&other);
    (&first).write_all(b"1").unwrap();
    assert!(is_over(&first));
    assert_echoed(&other);
    (&second).write_all(b"2").unwrap();
    let error = soon(|| server.wait()).unwrap_err();
    assert!(error.get_ref().unwrap().is::<Precious>(), "it is the handler's own");
    assert_eq!(server.wait().unwrap_err().to_string(), "precious");
    assert_eq!(asked.get(), 2);
    assert_echoed(&other);
}

#[derive(Debug)]
struct Precious;

impl std::fmt::Display for Precious {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("precious")
    }
}

impl std::error::Error for Precious {}

#[test]
fn a_decision_that_takes_its_time_is_asked_about_one_error_after_the_other() {
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let number = Rc::new(Cell::new(0));
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let number = Rc::clone(&number);
        move |_: TcpStream, _| {
            number.set(number.get() + 1);
            Err(io::Error::other(number.get().to_string()))
        }
    })
    .on_error({
        let log = Rc::clone(&log);
        move |error, _| {
            log.borrow_mut().push(format!("begin {error}"));
            sleep(Duration::from_millis(2));
            if error.to_string() == "2" {
                panic!("a decision that panics, on purpose");
            }
            log.borrow_mut().push(format!("end {error}"));
            ControlFlow::Continue(())
        }
    })
    .start()
    .unwrap();
    let clients: Vec<_> = (0..4).map(|_| client(&server)).collect();
    wait_until(|| server.accepted() == 4 && server.clients() == 0);
    drop(clients);
    let seen = ["begin 1", "end 1", "begin 2", "begin 3", "end 3", "begin 4", "end 4"];
    assert_eq!(*log.borrow(), seen);
}

/// FAULTS row 4: one in a hundred of very many connections panics.
#[test]
fn fault_04_panics_of_handlers_harm_nobody_else_and_nothing_is_left_of_them() {
    const NAME: &str = "fault_04_panics_of_handlers_harm_nobody_else_and_nothing_is_left_of_them";
    const ROUNDS: u64 = 40;
    if util::is_child() {
        let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, _| {
            let mut kind = [0];
            client.read_exact(&mut kind)?;
            assert_ne!(kind[0], 0, "a handler that fails");
            client.write_all(&kind)
        })
        .max_clients(50)
        .start()
        .unwrap();
        assert_echoed(&client(&server));
        wait_until(|| server.clients() == 0);
        let before = util::descriptors();
        for _ in 0..ROUNDS {
            let clients: Vec<_> = (0..50).map(|_| client(&server)).collect();
            for (n, mut client) in clients.iter().enumerate() {
                client.write_all(&[n as u8]).unwrap();
            }
            for (n, mut client) in clients.iter().enumerate() {
                assert_eq!(client.read(&mut [0]).unwrap(), usize::from(n != 0));
            }
        }
        wait_until(|| server.clients() == 0);
        wait_until(|| util::descriptors() == before);
        assert_eq!((server.counters().panics(), server.counters().errors()), (ROUNDS, 0));
        assert_eq!(server.accepted(), 50 * ROUNDS + 1);
        return;
    }
    let output = util::child_command(NAME).output().unwrap();
    let reports = String::from_utf8_lossy(&output.stderr).matches("a handler that fails").count();
    util::assert_success(output);
    assert_eq!(reports as u64, ROUNDS, "once each");
}

// Times

#[test]
fn a_connection_on_which_nothing_passes_is_ended_and_others_are_not() {
    let time = Duration::from_millis(80);
    let server = Server::new(listen("127.0.0.1:0").unwrap(), |client: TcpStream, addr| {
        let result = echo(client, addr);
        assert_eq!(result.as_ref().map_err(io::Error::kind), Err(ErrorKind::TimedOut));
        result
    })
    .on_error(|error, _| panic!("it is the server's own doing: {error}"))
    .idle_timeout(time)
    .start()
    .unwrap();
    let start = Instant::now();
    let [quiet, busy] = [client(&server), client(&server)];
    let busy = spawn(move || {
        let mut last = start;
        while start.elapsed() < 4 * time {
            last = Instant::now();
            assert_echoed(&busy);
        }
        assert!(is_over(&busy));
        last.elapsed()
    });
    assert!(is_over(&quiet));
    assert!(start.elapsed() >= time, "{:?}", start.elapsed());
    assert!(!busy.is_finished());
    assert!(soon(|| busy.wait()).unwrap() >= time);
    wait_until(|| server.clients() == 0);
    let counters = server.counters();
    assert_eq!((counters.timed_out(), counters.errors(), counters.panics()), (2, 0, 0));
}

/// What arrives while the hub is held up is read before anybody is taken for quiet.
#[test]
fn a_hub_that_was_held_up_does_not_take_its_clients_for_quiet() {
    let time = Duration::from_millis(20);
    let server =
        Server::new(listen("127.0.0.1:0").unwrap(), echo).idle_timeout(time).start().unwrap();
    let client = client(&server);
    for _ in 0..20 {
        assert_echoed(&client);
        let start = Instant::now();
        while start.elapsed() < 2 * time {}
    }
    assert_eq!(server.counters().timed_out(), 0);
    assert!(is_over(&client));
}

#[test]
fn every_call_on_a_connection_that_was_quiet_for_too_long_says_so() {
    let seen: Rc<RefCell<Vec<_>>> = Rc::default();
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let seen = Rc::clone(&seen);
        move |mut client: TcpStream, _| {
            let clone = client.try_clone()?;
            let reader = spawn(move || (&clone).read(&mut [0]).unwrap_err().kind());
            sleep(Duration::from_millis(60));
            let results = [
                client.read(&mut [0]),
                client.read(&mut [0]),
                client.write(b"x"),
                client.try_read(&mut [0]),
                client.try_write(b"x"),
                client.peek(&mut [0]),
            ];
            let mut seen = seen.borrow_mut();
            seen.extend(results.map(|result| result.unwrap_err().kind()));
            seen.push(soon(|| reader.wait()).unwrap());
            Ok(())
        }
    })
    .idle_timeout(Duration::from_millis(20))
    .start()
    .unwrap();
    let client = client(&server);
    assert!(is_over(&client));
    wait_until(|| server.clients() == 0);
    assert_eq!(*seen.borrow(), [ErrorKind::TimedOut; 7]);
}

#[test]
fn a_connection_that_was_given_to_another_hub_is_ended_there() {
    let (to_other, from_here) = mpsc::channel::<TcpStream>();
    let server = Server::new(listen("127.0.0.1:0").unwrap(), move |client, _| {
        to_other.send(client).map_err(io::Error::other)
    })
    .idle_timeout(Duration::from_millis(40))
    .start()
    .unwrap();
    let other = std::thread::spawn(move || {
        let client = from_here.recv().unwrap();
        copy(&client, &client).unwrap_err().kind()
    });
    let client = client(&server);
    assert_echoed(&client);
    assert!(is_over(&client));
    wait_until(|| other.is_finished());
    assert_eq!(other.join().unwrap(), ErrorKind::TimedOut);
    assert_eq!((server.counters().timed_out(), server.clients()), (1, 0));
}

#[test]
fn a_connection_that_is_too_old_is_ended_whatever_it_does() {
    let time = Duration::from_millis(60);
    let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, addr| {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        if kind[0] == b's' {
            sleep(Duration::MAX);
        }
        echo(client, addr)
    })
    .total_timeout(time)
    .start()
    .unwrap();
    let start = Instant::now();
    let [sleeper, busy, silent] = [client(&server), client(&server), client(&server)];
    (&sleeper).write_all(b"s").unwrap();
    (&busy).write_all(b"b").unwrap();
    let busy = spawn(move || while (&busy).write_all(b"x").is_ok() && !is_over(&busy) {});
    assert!(is_over(&sleeper));
    assert!(is_over(&silent));
    soon(|| busy.wait()).unwrap();
    assert!(start.elapsed() >= time);
    wait_until(|| server.clients() == 0);
    let counters = server.counters();
    assert_eq!((counters.timed_out(), counters.errors(), counters.panics()), (3, 0, 0));
    // Who comes later has his own time.
    let later = client(&server);
    (&later).write_all(b"b").unwrap();
    assert_echoed(&later);
}

/// FAULTS row 16: clients that never read are ended, and those that do are served meanwhile.
#[test]
fn fault_16_clients_that_stop_reading_are_ended_and_hold_up_nobody() {
    const STALLED: usize = 30;
    let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, addr| {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        if kind[0] == b'!' {
            while client.write(&[0; 64 * 1024])? > 0 {}
        }
        echo(client, addr)
    })
    .idle_timeout(Duration::from_millis(200))
    .start()
    .unwrap();
    let stalled: Vec<_> = (0..STALLED).map(|_| client(&server)).collect();
    stalled.iter().for_each(|mut client| client.write_all(b"!").unwrap());
    let good = client(&server);
    (&good).write_all(b"x").unwrap();
    wait_until(|| {
        assert_echoed(&good);
        server.clients() == 1
    });
    assert_eq!(server.counters().timed_out(), STALLED as u64);
    drop(stalled);
}

#[test]
fn without_clients_a_server_with_times_leaves_the_hub_asleep() {
    let server = Server::new(listen("127.0.0.1:0").unwrap(), echo)
        .idle_timeout(Duration::from_millis(1))
        .start()
        .unwrap();
    drop(client(&server));
    wait_until(|| server.clients() == 0);
    sleep(Duration::from_millis(10));
    let before = util::cpu_time();
    sleep(Duration::from_millis(300));
    let spent = util::cpu_time() - before;
    assert!(spent < Duration::from_millis(10), "{spent:?} of processor time");
}

// The system around it

#[test]
fn fault_20_of_three_thousand_connects_in_one_burst_all_are_served_a_hundred_at_a_time() {
    const CLIENTS: usize = 3000;
    util::alone(
        "fault_20_of_three_thousand_connects_in_one_burst_all_are_served_a_hundred_at_a_time",
        || {
            let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
            if somaxconn.trim().parse::<u32>().unwrap() < 4096 {
                return eprintln!("the system has shorter queues: nothing was tested");
            }
            let limit = util::limit_descriptors(CLIENTS as u64 + 400);
            assert!(limit > CLIENTS as u64 + 200, "this test takes {CLIENTS} descriptors");
            let most = Rc::new(Cell::new(0));
            let serving = Rc::new(Cell::new(0));
            let server = Server::new(listen("127.0.0.1:0").unwrap(), {
                let (most, serving) = (Rc::clone(&most), Rc::clone(&serving));
                move |mut client: TcpStream, _| {
                    serving.set(serving.get() + 1);
                    most.set(most.get().max(serving.get()));
                    sleep(Duration::from_millis(1));
                    serving.set(serving.get() - 1);
                    client.write_all(b"x")
                }
            })
            .max_clients(100)
            .start()
            .unwrap();
            let address = server.local_addr();
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let kind = socket2::Type::STREAM.nonblocking();
                    let client = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
                    if let Err(error) = client.connect(&address.into()) {
                        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
                    }
                    TcpStream::from_std(client.into()).unwrap()
                })
                .collect();
            for mut client in clients {
                client.set_read_timeout(Some(FOR_EVER)).unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
            assert!(most.get() <= 100, "{} at once", most.get());
            assert_eq!(server.accepted(), CLIENTS as u64);
        },
    );
}

/// FAULTS row 29, with a server and its clients as what is parked.
#[test]
fn fault_29_the_end_of_the_process_does_not_wait_for_clients() {
    const NAME: &str = "fault_29_the_end_of_the_process_does_not_wait_for_clients";
    const CLIENTS: usize = 200;
    if util::is_child() {
        let server = Server::new(listen("127.0.0.1:0").unwrap(), |mut client: TcpStream, _| {
            struct Loud;
            impl Drop for Loud {
                fn drop(&mut self) {
                    println!("a destructor ran");
                }
            }
            let _loud = Loud;
            client.read(&mut [0]).map(drop)
        })
        .start()
        .unwrap();
        let clients: Vec<_> = (0..CLIENTS).map(|_| client(&server)).collect();
        wait_until(|| server.clients() == CLIENTS);
        let_all_park();
        std::mem::forget((server, clients));
        println!("\nPARKED");
        std::process::exit(7);
    }
    let output = util::child_command(NAME).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("PARKED"), "{text}");
    assert!(!text.contains("a destructor ran"), "{text}");
    assert_eq!(output.status.code(), Some(7));
}

/// FAULTS row 45.
#[test]
fn fault_45_a_killed_server_is_started_again_on_its_port_at_once() {
    const NAME: &str = "fault_45_a_killed_server_is_started_again_on_its_port_at_once";
    const PORT: &str = "EVY_TEST_PORT";
    const ROUNDS: u32 = 50;
    if util::is_child() {
        let port = std::env::var(PORT).unwrap();
        let listener = listen(format!("127.0.0.1:{port}")).unwrap();
        println!("\nADDRESS {}", listener.local_addr().unwrap());
        return Server::new(listener, echo).run().unwrap();
    }
    let start = |port: &str| {
        let mut child = util::child_command(NAME).env(PORT, port).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("ADDRESS ").map(String::from));
        (child, address.expect("it listens").parse::<SocketAddr>().unwrap())
    };
    let (mut child, address) = start("0");
    // Another program may get the port only while nobody has it; the clients keep it busy.
    let mut clients = Vec::new();
    for round in 1..=ROUNDS {
        let mut client = StdStream::connect(address).unwrap();
        client.set_read_timeout(Some(FOR_EVER)).unwrap();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        clients.push(client);
        child.kill().unwrap();
        child.wait().unwrap();
        if round < ROUNDS {
            let (again, its_address) = start(&address.port().to_string());
            assert_eq!(its_address, address);
            child = again;
        }
    }
}

/// FAULTS row 51: the server of a hub that ends takes its connections with it, and the kernel gives new
/// ones to the others.
#[test]
fn fault_51_a_server_whose_hub_panics_lets_go_of_its_clients_and_its_share_of_the_address() {
    let address = SharedAddress::bind("127.0.0.1:0").unwrap();
    let at = address.local_addr().unwrap();
    let (listening, served_by_0) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let checked = AtomicBool::new(false);
    let wait_for = |is_so: &dyn Fn() -> bool| {
        while !is_so() {
            sleep(Duration::from_millis(1));
        }
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cores::run(3, |core| {
            if core.index() == 2 {
                wait_for(&|| listening.load(Ordering::SeqCst) == 2);
                let clients: Vec<_> = (0..100).map(|_| client_of(at)).collect();
                clients.iter().for_each(assert_echoed);
                served_by_0.store(1, Ordering::SeqCst);
                wait_for(&|| core.remotes()[0].has_ended());
                let is_served = |mut client: &TcpStream| {
                    client.write_all(b"x").is_ok() && client.read_exact(&mut [0]).is_ok()
                };
                let here = clients.iter().filter(|client| is_served(client)).count();
                let new = (0..50).map(|_| client_of(at)).collect::<Vec<_>>();
                new.iter().for_each(assert_echoed);
                checked.store(true, Ordering::SeqCst);
                assert!((1..100).contains(&here), "{here} of 100 are still served");
                return;
            }
            let server = Server::new(address.listen().unwrap(), echo).start().unwrap();
            listening.fetch_add(1, Ordering::SeqCst);
            if core.index() == 0 {
                wait_for(&|| served_by_0.load(Ordering::SeqCst) == 1);
                panic!("core 0 panics on purpose, with {} clients", server.clients());
            }
            wait_for(&|| checked.load(Ordering::SeqCst));
        })
    }));
    let payload = result.unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("core 0 panics on purpose"), "{text}");
}

#[test]
fn its_counters_are_read_on_other_os_threads() {
    let server = echo_server();
    let client = client(&server);
    assert_echoed(&client);
    let counters = server.counters();
    let there = std::thread::spawn(move || (counters.accepted(), counters.clients()));
    assert_eq!(there.join().unwrap(), (1, 1));
}

util::and_all_of_them_again!();
