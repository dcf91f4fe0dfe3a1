//! Stopping a `Server`: nothing that was asked is lost. FAULTS row 46, Semantics E 102, goal R17.

mod util;

#[path = "util/proxy.rs"]
mod proxy;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use evy_green_net::{
    RunningServer, Server, Stopped, TcpListener, TcpStream, UnixListener, UnixStream, connect,
    copy, listen,
};
use evy_runtime::{GreenThread, sleep, spawn};
use proxy::{Fault, Proxy};
use util::{FOR_EVER, StdStream, let_all_park, soon, wait_until};

/// A stop that takes that long hangs.
const GRACE: Duration = FOR_EVER;

fn echo(client: TcpStream, _: SocketAddr) -> io::Result<()> {
    copy(&client, &client).map(drop)
}

fn start(handler: impl Fn(TcpStream, SocketAddr) -> io::Result<()> + 'static) -> Rc<RunningServer> {
    Rc::new(Server::new(listen("127.0.0.1:0").unwrap(), handler).start().unwrap())
}

fn client(server: &RunningServer) -> TcpStream {
    let client = connect(server.local_addr()).unwrap();
    client.set_read_timeout(Some(FOR_EVER)).unwrap();
    client
}

#[track_caller]
fn assert_echoed(mut client: &TcpStream) {
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[track_caller]
fn assert_ended(mut client: &TcpStream) {
    assert_eq!(client.read(&mut [0]).map_err(|error| error.kind()), Ok(0));
}

fn read_all(mut client: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).map(|_| bytes)
}

/// Begins to stop the server, and lets it come as far as it gets by itself.
fn begin_to_stop(server: &Rc<RunningServer>, grace: Duration) -> GreenThread<Stopped> {
    let server = Rc::clone(server);
    let stopping = spawn(move || server.stop(grace));
    let_all_park();
    stopping
}

#[track_caller]
fn assert_stopped(stopping: GreenThread<Stopped>, finished: usize, killed: usize) {
    let report = soon(|| stopping.wait()).unwrap();
    assert_eq!((report.finished, report.killed), (finished, killed));
}

/// FAULTS row 46, R17: every handler is in the middle of a request, and some have only half of it yet.
#[test]
fn fault_46_of_a_thousand_requests_in_flight_none_is_lost() {
    const NAME: &str = "fault_46_of_a_thousand_requests_in_flight_none_is_lost";
    const CLIENTS: usize = 1000;
    const REQUEST: usize = 100;
    util::alone(NAME, || {
        let limit = util::limit_descriptors(2 * CLIENTS as u64 + 200);
        assert!(limit > 2 * CLIENTS as u64 + 100, "this test takes {} descriptors", 2 * CLIENTS);
        let begun = Rc::new(Cell::new(0));
        let server = start({
            let begun = Rc::clone(&begun);
            move |mut client, _| {
                let mut request = [0; REQUEST];
                loop {
                    match client.read_exact(&mut request) {
                        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                        result => result?,
                    }
                    begun.set(begun.get() + 1);
                    sleep(Duration::from_millis(u64::from(request[0]) * 2));
                    client.write_all(&request)?;
                }
            }
        });
        let late = Rc::new(Cell::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (server, late) = (Rc::clone(&server), Rc::clone(&late));
                spawn(move || {
                    let mut client = client(&server);
                    let request = [n as u8; REQUEST];
                    if n % 10 == 0 {
                        // The second half is sent when the server stops already.
                        client.write_all(&request[..REQUEST / 2]).unwrap();
                        wait_until(|| late.get());
                        client.write_all(&request[REQUEST / 2..]).unwrap();
                    } else {
                        client.write_all(&request).unwrap();
                    }
                    let answer = read_all(&client).unwrap();
                    assert!(answer == request, "{} of {REQUEST} bytes", answer.len());
                })
            })
            .collect();
        wait_until(|| begun.get() >= CLIENTS * 9 / 10);
        let stopping = begin_to_stop(&server, GRACE);
        assert!(connect(server.local_addr()).is_err());
        // A few looks of the server at who is quiet.
        sleep(Duration::from_millis(150));
        late.set(true);
        for client in clients {
            soon(|| client.wait()).unwrap();
        }
        assert_eq!(begun.get(), CLIENTS);
        assert_stopped(stopping, CLIENTS, 0);
        assert_eq!((server.counters().errors(), server.clients()), (0, 0));
    });
}

/// FAULTS row 46, as a program does it.
#[test]
fn fault_46_a_process_that_stops_answers_what_was_asked_and_exits_well() {
    const NAME: &str = "fault_46_a_process_that_stops_answers_what_was_asked_and_exits_well";
    if util::is_child() {
        let server = start(|mut client, _| {
            let mut request = [0; 8];
            while client.read(&mut request)? > 0 {
                sleep(Duration::from_millis(20));
                client.write_all(&request)?;
            }
            Ok(())
        });
        println!("\nADDRESS {}", server.local_addr());
        // This is no test of signals: the parent closes a pipe instead of sending one.
        evy_runtime::unblock(|| io::copy(&mut io::stdin(), &mut io::sink()).unwrap());
        let report = server.stop(GRACE);
        println!("STOPPED {} {}", report.finished, report.killed);
        return;
    }
    let mut child = util::child_command(NAME).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("ADDRESS ").map(String::from)).unwrap();
    let mut clients: Vec<_> = (0..50).map(|_| StdStream::connect(&address).unwrap()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(FOR_EVER)).unwrap();
        client.write_all(b"12345678").unwrap();
    }
    drop(child.stdin.take());
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "12345678");
    }
    drop(clients);
    let report = lines.find(|line| line.starts_with("STOPPED")).unwrap();
    assert_eq!(report, "STOPPED 50 0");
    assert!(child.wait().unwrap().success());
}

/// Semantics E 102.
#[test]
fn connects_are_refused_at_once_and_idle_connections_are_ended() {
    const NAME: &str = "connects_are_refused_at_once_and_idle_connections_are_ended";
    util::alone(NAME, || {
        let server = start(echo);
        let clients: Vec<_> = (0..50).map(|_| client(&server)).collect();
        clients.iter().for_each(assert_echoed);
        let stopping = begin_to_stop(&server, GRACE);
        assert!(connect(server.local_addr()).is_err());
        clients.iter().for_each(assert_ended);
        drop(clients);
        assert_stopped(stopping, 50, 0);
        soon(|| server.wait()).unwrap();
        assert_eq!(server.counters().errors(), 0);
    });
}

/// No connection is cut between an answer and the next request of a client that has not done yet.
#[test]
fn clients_that_ask_many_times_in_a_row_are_answered_to_the_last() {
    const REQUESTS: usize = 100;
    let server = start(echo);
    let begun = Rc::new(Cell::new(0));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (client, begun) = (client(&server), Rc::clone(&begun));
            spawn(move || {
                for _ in 0..REQUESTS {
                    assert_echoed(&client);
                    begun.set(begun.get() + 1);
                }
            })
        })
        .collect();
    wait_until(|| begun.get() > 40);
    let stopping = begin_to_stop(&server, GRACE);
    for client in clients {
        soon(|| client.wait()).unwrap();
    }
    assert_eq!(begun.get(), 20 * REQUESTS);
    assert_stopped(stopping, 20, 0);
}

#[test]
fn a_client_that_asks_for_ever_is_ended_after_an_answer() {
    let server = start(echo);
    let client = client(&server);
    let asking = spawn(move || {
        let mut answers = 0_u64;
        loop {
            // Its last request may come too late; the one before has its whole answer.
            if (&client).write_all(b"12345678").is_err() {
                return answers;
            }
            let mut answer = [0; 8];
            match (&client).read(&mut answer).unwrap() {
                0 => return answers,
                count => (&client).read_exact(&mut answer[count..]).unwrap(),
            }
            answers += 1;
        }
    });
    wait_until(|| server.clients() == 1);
    // It is ended after half of that.
    let stopping = begin_to_stop(&server, Duration::from_secs(2));
    assert_stopped(stopping, 1, 0);
    assert!(soon(|| asking.wait()).unwrap() > 1);
}

/// FAULTS row 46: clients ask at all paces while the server stops. What the system had taken from a client
/// before the stop is answered, whether it was here by then or not.
#[test]
fn fault_46_no_request_is_lost_that_was_sent_before_the_stop() {
    const CLIENTS: u32 = 40;
    for round in 0..3 {
        let server = start(echo);
        let address = server.local_addr();
        let stopped = Arc::new(OnceLock::new());
        let answered = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (stopped, answered) = (Arc::clone(&stopped), Arc::clone(&answered));
                std::thread::spawn(move || {
                    let client = StdStream::connect(address).unwrap();
                    client.set_read_timeout(Some(FOR_EVER)).unwrap();
                    // From one request after the other to one that comes after the server thinks that
                    // there will be none.
                    let pause = Duration::from_micros(u64::from(n * n * 40 + round));
                    ask_for_ever(&client, pause, &stopped, &answered)
                })
            })
            .collect();
        wait_until(|| answered.load(Ordering::SeqCst) == CLIENTS as usize);
        stopped.set(Instant::now()).unwrap();
        let report = soon(|| server.stop(Duration::from_secs(2)));
        assert_eq!((report.finished, report.killed), (CLIENTS as usize, 0));
        for client in clients {
            client.join().unwrap();
        }
    }
}

/// Asks until there is no answer. The last request then was sent after the stop.
#[expect(clippy::disallowed_methods, reason = "an OS thread of its own")]
fn ask_for_ever(
    mut client: &StdStream,
    pause: Duration,
    stopped: &OnceLock<Instant>,
    answered: &AtomicUsize,
) {
    let mut is_known = false;
    loop {
        if client.write_all(b"12345678").is_err() {
            return;
        }
        let sent = Instant::now();
        match client.read_exact(&mut [0; 8]) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
                let stopped = stopped.get().expect("it ends nobody before the stop");
                return assert!(sent >= *stopped, "lost: sent {:?} before", *stopped - sent);
            }
        }
        // All of them are to be known before the server stops.
        if !mem::replace(&mut is_known, true) {
            answered.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(pause);
    }
}

/// FAULTS row 46: a handler that cannot go on writing for a while is not idle, though nothing passes.
#[test]
fn fault_46_a_peer_that_takes_its_answer_late_is_heard_to_the_end() {
    let hears_the_end = || {
        let server = start(echo);
        let client = client(&server);
        assert_echoed(&client);
        let mut sent = 0;
        // Until nothing fits in anywhere.
        for _ in 0..3 {
            while let Ok(count) = client.try_write(&[b'x'; 100_000]) {
                sent += count;
            }
            let_all_park();
        }
        let stopping = begin_to_stop(&server, GRACE);
        // Some looks.
        sleep(Duration::from_millis(200));
        (&client).read_exact(&mut vec![0; sent / 2]).unwrap();
        // It has sent all by now, and waits for more.
        let_all_park();
        let is_sent = (&client).write_all(b"the rest").is_ok();
        let rest = read_all(&client).unwrap();
        drop(client);
        assert_stopped(stopping, 1, 0);
        is_sent && rest.len() == sent - sent / 2 + 8
    };
    // On a machine that has no time for us the rest may come too late: not each time.
    assert!((0..3).any(|_| hears_the_end()));
}

/// Where nothing can be on its way there is nothing to wait for.
#[test]
fn over_unix_sockets_idle_connections_are_ended_at_once() {
    let takes = || {
        let path = util::TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::new(listener, |client, _| copy(&client, &client).map(drop));
        let server = server.start().unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        let_all_park();
        let start = Instant::now();
        let stopping = spawn(move || server.stop(GRACE));
        assert_eq!(soon(|| client.read(&mut [0])).unwrap(), 0);
        let elapsed = start.elapsed();
        drop(client);
        assert_stopped(stopping, 1, 0);
        elapsed
    };
    // Less than the time between two looks: each time, but for a machine that has no time for us.
    assert!((0..5).any(|_| takes() < Duration::from_millis(40)));
}

/// The handler answers each piece of it before the next one comes.
#[test]
fn a_long_request_that_comes_in_pieces_is_not_cut_off() {
    const PIECES: usize = 50;
    let server = start(echo);
    let client = client(&server);
    let reader = spawn({
        let client = client.try_clone().unwrap();
        move || read_all(&client).unwrap().len()
    });
    let stopping = Cell::new(None);
    for n in 0..PIECES {
        (&client).write_all(&[n as u8; 1000]).unwrap();
        if n == PIECES / 3 {
            stopping.set(Some(begin_to_stop(&server, GRACE)));
        }
        let_all_park();
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap(), PIECES * 1000);
    drop(client);
    assert_stopped(stopping.take().unwrap(), 1, 0);
}

#[test]
fn a_handler_can_still_write_when_its_read_was_ended() {
    let server = start(|mut client, _| {
        let mut byte = [0];
        while client.read(&mut byte)? > 0 {
            client.write_all(&byte)?;
        }
        // It stays the end, however often it is asked for.
        assert_eq!(client.read(&mut byte)?, 0);
        assert_eq!(client.peek(&mut byte)?, 0);
        assert_eq!(client.try_read(&mut byte)?, 0);
        client.write_all(b"goodbye")
    });
    let client = client(&server);
    assert_echoed(&client);
    let stopping = begin_to_stop(&server, GRACE);
    assert_eq!(read_all(&client).unwrap(), b"goodbye");
    drop(client);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn what_lies_unread_at_the_stop_is_answered_first() {
    let busy = Rc::new(Cell::new(true));
    let server = start({
        let busy = Rc::clone(&busy);
        move |mut client, _| {
            client.write_all(b"hello")?;
            wait_until(|| !busy.get());
            echo(client, ([127, 0, 0, 1], 0).into())
        }
    });
    let mut client = client(&server);
    client.read_exact(&mut [0; 5]).unwrap();
    client.write_all(b"a question").unwrap();
    let stopping = begin_to_stop(&server, GRACE);
    busy.set(false);
    assert_eq!(read_all(&client).unwrap(), b"a question");
    drop(client);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn a_connection_that_has_just_come_is_given_the_time_to_ask() {
    let server = start(echo);
    let mut client = client(&server);
    wait_until(|| server.clients() == 1);
    let stopping = begin_to_stop(&server, GRACE);
    sleep(Duration::from_millis(150));
    assert!(client.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    client.write_all(b"a question").unwrap();
    assert_eq!(read_all(&client).unwrap(), b"a question");
    drop(client);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn a_peer_that_says_nothing_more_is_not_waited_for_until_the_end_of_the_grace() {
    let server = start(|mut client, _| {
        let mut request = [0; 10];
        client.read_exact(&mut request)?;
        client.write_all(&request)
    });
    let [silent, stuck] = [client(&server), client(&server)];
    (&stuck).write_all(b"half").unwrap();
    wait_until(|| server.clients() == 2);
    let_all_park();
    let stopping = begin_to_stop(&server, GRACE);
    assert_ended(&silent);
    assert_ended(&stuck);
    drop((silent, stuck));
    assert_stopped(stopping, 2, 0);
    assert_eq!(server.counters().errors(), 0, "an end that the server has made is no error");
}

#[test]
fn connections_that_wait_to_be_accepted_are_served() {
    let server = start(echo);
    let address = server.local_addr();
    let_all_park();
    // It waits for connections, and has no turn in between.
    let clients: Vec<_> = (0..30)
        .map(|_| {
            let mut client = StdStream::connect(address).unwrap();
            client.write_all(b"a question").unwrap();
            TcpStream::from_std(client).unwrap()
        })
        .collect();
    assert_eq!(server.accepted(), 0);
    let stopping = begin_to_stop(&server, GRACE);
    for client in clients {
        client.set_read_timeout(Some(FOR_EVER)).unwrap();
        assert_eq!(read_all(&client).unwrap(), b"a question");
    }
    assert_stopped(stopping, 30, 0);
}

#[test]
fn of_those_that_wait_to_be_accepted_as_many_are_served_as_there_is_room_for() {
    let listener = listen("127.0.0.1:0").unwrap();
    let server = Server::new(listener, echo).max_clients(3).start().unwrap();
    let_all_park();
    let clients: Vec<_> =
        (0..5).map(|_| StdStream::connect(server.local_addr()).unwrap()).collect();
    let server = Rc::new(server);
    let stopping = begin_to_stop(&server, Duration::from_millis(20));
    assert_stopped(stopping, 0, 3);
    assert_eq!(server.accepted(), 3);
    drop(clients);
}

/// To close a socket with unread data resets the connection, and the peer loses what it has not read.
#[test]
fn an_answer_is_not_lost_because_the_peer_has_sent_more_than_was_read() {
    const ANSWER: usize = 3 << 20;
    let server = start(|mut client, _| {
        client.read_exact(&mut [0; 10])?;
        let_all_park();
        client.write_all(&vec![7; ANSWER])
    });
    let mut client = client(&server);
    client.write_all(&[1; 10]).unwrap();
    client.write_all(&[1; 10_000]).unwrap();
    let stopping = begin_to_stop(&server, GRACE);
    // And it goes on sending, behind what the server has said last.
    let mut first = vec![0; ANSWER / 2];
    client.read_exact(&mut first).unwrap();
    client.write_all(&[1; 10_000]).unwrap();
    let rest = read_all(&client).unwrap();
    assert_eq!(first.len() + rest.len(), ANSWER);
    client.write_all(&[1; 10_000]).unwrap();
    assert!(!stopping.is_finished(), "it reads until the peer has closed");
    client.shutdown(Shutdown::Write).unwrap();
    assert_stopped(stopping, 1, 0);
}

#[test]
fn a_slow_way_to_the_peer_loses_nothing() {
    const ANSWER: usize = 64 << 10;
    let busy = Rc::new(Cell::new(true));
    let server = start({
        let busy = Rc::clone(&busy);
        move |mut client, _| {
            client.read_exact(&mut [0; 4])?;
            wait_until(|| !busy.get());
            client.write_all(&vec![7; ANSWER])
        }
    });
    let slow = Fault::none().in_pieces_of(1024).with_delay(Duration::from_millis(2));
    let drip = Fault::none().in_pieces_of(1).with_delay(Duration::from_millis(5));
    let proxy = Proxy::start(server.local_addr(), drip, slow);
    let mut client = connect(proxy.address).unwrap();
    client.set_read_timeout(Some(FOR_EVER)).unwrap();
    client.write_all(b"1234 and more than is read").unwrap();
    wait_until(|| server.clients() == 1 && proxy.passed().0 > 0);
    let stopping = begin_to_stop(&server, GRACE);
    busy.set(false);
    assert_eq!(read_all(&client).unwrap().len(), ANSWER);
    drop(client);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn a_peer_that_never_closes_is_left_when_the_grace_is_over() {
    let server = start(echo);
    let client = client(&server);
    assert_echoed(&client);
    let start = Instant::now();
    let grace = Duration::from_millis(50);
    assert_stopped(begin_to_stop(&server, grace), 1, 0);
    assert!(start.elapsed() >= grace);
    assert_ended(&client);
}

#[test]
fn a_handler_that_hangs_is_killed_when_the_grace_is_over() {
    let dropped = Rc::new(Cell::new(0));
    let server = start({
        let dropped = Rc::clone(&dropped);
        move |client, _| {
            let _count = OnDrop(&dropped);
            sleep(Duration::MAX);
            drop(client);
            Ok(())
        }
    });
    let clients: Vec<_> = (0..10).map(|_| client(&server)).collect();
    wait_until(|| server.clients() == 10);
    let_all_park();
    let start = Instant::now();
    let grace = Duration::from_millis(50);
    assert_stopped(begin_to_stop(&server, grace), 0, 10);
    assert!(start.elapsed() >= grace);
    assert_eq!(dropped.get(), 10);
    assert!(clients.iter().all(|mut client| !matches!(client.read(&mut [0]), Ok(1..))));
    assert_eq!((server.counters().panics(), server.clients()), (0, 0));
}

struct OnDrop<'a>(&'a Cell<u32>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn without_a_grace_it_stops_at_once() {
    let server = start(echo);
    let clients: Vec<_> = (0..10).map(|_| client(&server)).collect();
    clients.iter().for_each(assert_echoed);
    let report = server.stop(Duration::ZERO);
    assert_eq!((report.finished, report.killed), (0, 10));
    assert_eq!(server.clients(), 0);
    clients.iter().for_each(assert_ended);
    soon(|| server.wait()).unwrap();
    assert_eq!(server.stop(GRACE), report, "there is one end, and one report of it");
}

#[test]
fn a_second_stop_may_shorten_the_grace_and_does_not_make_it_longer() {
    let server = start(|client, _| {
        sleep(Duration::MAX);
        drop(client);
        Ok(())
    });
    let _client = client(&server);
    wait_until(|| server.clients() == 1);
    let first = begin_to_stop(&server, GRACE);
    let second = begin_to_stop(&server, Duration::MAX);
    let third = begin_to_stop(&server, Duration::from_millis(10));
    let waiting = spawn({
        let server = Rc::clone(&server);
        move || server.wait()
    });
    for stopping in [first, second, third] {
        assert_stopped(stopping, 0, 1);
    }
    soon(|| waiting.wait()).unwrap().unwrap();
}

#[test]
fn who_waits_for_the_end_of_a_server_goes_on_when_the_stop_is_done() {
    let server = start(echo);
    let client = client(&server);
    assert_echoed(&client);
    let waiting = spawn({
        let server = Rc::clone(&server);
        move || server.wait().map(|()| server.clients())
    });
    let stopping = begin_to_stop(&server, GRACE);
    assert_ended(&client);
    let_all_park();
    assert!(!waiting.is_finished(), "the client is still there");
    drop(client);
    assert_stopped(stopping, 1, 0);
    assert_eq!(soon(|| waiting.wait()).unwrap().unwrap(), 0);
}

#[test]
fn a_stop_whose_caller_is_killed_goes_on() {
    let server = start(echo);
    let client = client(&server);
    assert_echoed(&client);
    let stopping = begin_to_stop(&server, GRACE);
    stopping.kill();
    assert_ended(&client);
    drop(client);
    wait_until(|| server.clients() == 0);
    soon(|| server.wait()).unwrap();
}

#[test]
fn a_handler_that_stops_its_own_server_is_a_handler_that_hangs() {
    let place: Rc<RefCell<Option<Rc<RunningServer>>>> = Rc::default();
    let server = start({
        let place = Rc::clone(&place);
        move |client, _| {
            let server = place.borrow().clone().unwrap();
            server.stop(Duration::from_millis(20));
            drop(client);
            Ok(())
        }
    });
    *place.borrow_mut() = Some(Rc::clone(&server));
    let client = client(&server);
    assert!(matches!((&client).read(&mut [0]), Ok(0) | Err(_)));
    soon(|| server.wait()).unwrap();
    assert_eq!(server.stop(GRACE).killed, 1);
    place.borrow_mut().take();
}

#[test]
fn streams_that_a_handler_has_given_away_are_ended_wherever_they_are() {
    let echoers: Rc<RefCell<Vec<GreenThread<_>>>> = Rc::default();
    let (to_other, from_here) = mpsc::channel::<TcpStream>();
    let server = start({
        let echoers = Rc::clone(&echoers);
        move |mut client, _| {
            let mut kind = [0];
            client.read_exact(&mut kind)?;
            match kind[0] {
                b'c' => {
                    let clone = client.try_clone()?;
                    drop(client);
                    copy(&clone, &clone).map(drop)
                }
                b't' => {
                    let echoer = spawn(move || copy(&client, &client).unwrap());
                    echoers.borrow_mut().push(echoer);
                    Ok(())
                }
                _ => to_other.send(client).map_err(io::Error::other),
            }
        }
    });
    let other = std::thread::spawn(move || {
        let mut clients = Vec::new();
        for client in from_here.into_iter().take(2) {
            clients.push(spawn(move || copy(&client, &client).unwrap()));
        }
        clients.into_iter().map(|client| client.wait().unwrap()).sum::<u64>()
    });
    let clients: Vec<_> = b"ctoo"
        .iter()
        .map(|kind| {
            let mut client = client(&server);
            client.write_all(&[*kind]).unwrap();
            client
        })
        .collect();
    // Those on the other hub run when it has both.
    clients.iter().for_each(assert_echoed);
    assert_eq!(server.clients(), 4);
    let stopping = begin_to_stop(&server, GRACE);
    clients.iter().for_each(assert_ended);
    drop(clients);
    assert_stopped(stopping, 4, 0);
    assert_eq!(echoers.borrow_mut().pop().unwrap().wait().unwrap(), 1);
    wait_until(|| other.is_finished());
    assert_eq!(other.join().unwrap(), 2);
}

/// A write that waits registers it there. A read that is short then drains it, and the next one waits without a
/// call: of the reads the connection has not heard that somebody waits on that hub.
#[test]
fn a_reader_on_another_hub_is_told_of_the_end_also_when_a_write_has_waited_there_first() {
    let (to_other, from_here) = mpsc::channel::<TcpStream>();
    // It is registered where it waits first.
    let server = start(move |client, _| to_other.send(client).map_err(io::Error::other));
    let (begun, begins) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let client = Rc::new(from_here.recv().unwrap());
        let writer = spawn({
            let client = Rc::clone(&client);
            move || (&*client).write_all(&vec![b'x'; 64 << 20])
        });
        let_all_park();
        assert!(!writer.is_finished());
        let reader = spawn({
            let client = Rc::clone(&client);
            move || loop {
                match (&*client).read(&mut [0; 64]) {
                    Ok(1) => {}
                    end => return end.map_err(|error| error.kind()),
                }
            }
        });
        let_all_park();
        begun.send(()).unwrap();
        let read = reader.wait().unwrap();
        writer.kill();
        read
    });
    let mut client = client(&server);
    client.write_all(b"x").unwrap();
    evy_runtime::unblock(move || begins.recv()).unwrap();
    let stopping = begin_to_stop(&server, GRACE);
    wait_until(|| other.is_finished());
    assert_eq!(other.join().unwrap(), Ok(0));
    drop(client);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn a_handler_that_peeks_is_told_of_the_end() {
    let path = util::TempPath::new();
    let told = Rc::new(Cell::new(None));
    let server = Server::new(UnixListener::bind(&path).unwrap(), {
        let told = Rc::clone(&told);
        move |mut client: UnixStream, _| {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            client.write_all(&byte)?;
            told.set(Some(client.peek(&mut byte)?));
            Ok(())
        }
    });
    let server = server.start().unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let_all_park();
    let stopping = spawn(move || server.stop(GRACE));
    assert_eq!(soon(|| client.read(&mut [0])).unwrap(), 0);
    assert_eq!(told.get(), Some(0));
    drop(client);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn a_stream_that_changes_hubs_while_it_is_waited_for_is_ended_on_the_one_where_it_is() {
    let (to_other, from_here) = mpsc::channel::<TcpStream>();
    let server = start(move |client, _| {
        // This hub is the one where it is registered.
        let mut byte = [0];
        (&client).read_exact(&mut byte)?;
        (&client).write_all(&byte)?;
        to_other.send(client).map_err(io::Error::other)
    });
    let other = std::thread::spawn(move || {
        let client = from_here.recv().unwrap();
        copy(&client, &client).unwrap()
    });
    let client = client(&server);
    assert_echoed(&client);
    assert_echoed(&client);
    let stopping = begin_to_stop(&server, GRACE);
    assert_ended(&client);
    drop(client);
    assert_stopped(stopping, 1, 0);
    wait_until(|| other.is_finished());
    assert_eq!(other.join().unwrap(), 1);
}

#[test]
fn when_the_grace_is_over_streams_that_were_given_away_give_errors() {
    let (to_other, from_here) = mpsc::channel::<TcpStream>();
    let server = start(move |client, _| to_other.send(client).map_err(io::Error::other));
    let other = std::thread::spawn(move || {
        let mut client = from_here.recv().unwrap();
        // It writes and never reads, so no end is seen.
        loop {
            match client.write_all(&[0; 64 * 1024]) {
                Ok(()) => {}
                Err(error) => return (error.kind(), client.read(&mut [0]).unwrap_err().kind()),
            }
        }
    });
    let _client = client(&server);
    wait_until(|| server.clients() == 1);
    let_all_park();
    assert_stopped(begin_to_stop(&server, Duration::from_millis(20)), 0, 1);
    wait_until(|| other.is_finished());
    let kinds = other.join().unwrap();
    assert_eq!(kinds, (ErrorKind::NotConnected, ErrorKind::NotConnected));
}

#[test]
fn a_server_that_has_ended_can_still_be_stopped_well() {
    let server = start(|mut client, addr| {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        if kind[0] == b'!' { Err(evy_green_net::StopServe.into()) } else { echo(client, addr) }
    });
    let [other, last] = [client(&server), client(&server)];
    (&other).write_all(b"x").unwrap();
    assert_echoed(&other);
    (&last).write_all(b"!").unwrap();
    soon(|| server.wait()).unwrap();
    wait_until(|| server.clients() == 1);
    let stopping = begin_to_stop(&server, GRACE);
    assert_ended(&other);
    drop(other);
    assert_stopped(stopping, 1, 0);
}

#[test]
fn nothing_is_left_of_a_server_that_was_stopped() {
    const NAME: &str = "nothing_is_left_of_a_server_that_was_stopped";
    util::alone(NAME, || {
        assert_echoed(&client(&start(echo)));
        let before = util::descriptors();
        for grace in [GRACE, Duration::from_millis(10), Duration::ZERO] {
            let server = start(echo);
            let clients: Vec<_> = (0..20).map(|_| client(&server)).collect();
            clients.iter().for_each(assert_echoed);
            let stopping = begin_to_stop(&server, grace);
            if grace == GRACE {
                drop(clients);
            }
            soon(|| stopping.wait()).unwrap();
            drop(server);
        }
        wait_until(|| util::descriptors() == before);
    });
}

util::and_all_of_them_again!();

/// Connects and asks until nobody listens any more; says how many connections had no answer.
fn ask_until_refused<S: Read + Write>(connect: impl Fn() -> io::Result<S>) -> usize {
    let mut lost = 0;
    while let Ok(mut client) = connect() {
        let asked = client.write_all(b"x").and_then(|()| client.read_exact(&mut [0]));
        lost += usize::from(asked.is_err());
    }
    lost
}

/// Stops a server while others connect as fast as they can; says how many connections had no answer.
fn stop_while_others_connect<A, S: Read + Write>(
    server: &RunningServer<A>,
    connect: impl Fn() -> io::Result<S> + Clone + Send + 'static,
) -> usize {
    let ask = || {
        let connect = connect.clone();
        std::thread::spawn(move || ask_until_refused(connect))
    };
    let clients: Vec<_> = (0..3).map(|_| ask()).collect();
    wait_until(|| server.accepted() >= 100);
    soon(|| server.stop(GRACE));
    clients.into_iter().map(|client| client.join().unwrap()).sum()
}

/// A connection may be made between the last accept and the close: the system would reset it.
#[cfg(target_os = "linux")]
#[test]
fn no_connection_is_lost_while_a_listener_closes() {
    for _ in 0..30 {
        let server = Server::new(listen("127.0.0.1:0").unwrap(), echo).start().unwrap();
        let address = server.local_addr();
        // Who is not heard any more has lost nothing, and need not wait until he is refused.
        let patience = Duration::from_millis(200);
        let connect = move || StdStream::connect_timeout(&address, patience);
        assert_eq!(stop_while_others_connect(&server, connect), 0);
    }
}

#[test]
fn no_connection_is_lost_while_a_unix_listener_closes() {
    let path = std::env::temp_dir().join(format!("evy-stop-{}.sock", std::process::id()));
    for _ in 0..30 {
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::new(listener, |client, _| copy(&client, &client).map(drop));
        let server = server.start().unwrap();
        let address = path.clone();
        let connect = move || std::os::unix::net::UnixStream::connect(&address);
        assert_eq!(stop_while_others_connect(&server, connect), 0);
        std::fs::remove_file(&path).unwrap();
    }
}

/// A process that takes over has the socket already: it is not made deaf by the one that stops.
#[test]
fn who_has_the_descriptor_of_a_listener_goes_on_listening() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taken_over = TcpListener::from(listener.as_fd().try_clone_to_owned().unwrap());
    let server = Server::new(listener, echo).start().unwrap();
    server.stop(GRACE);
    let goes_on = Server::new(taken_over, echo).start().unwrap();
    let client = soon(|| connect(address)).unwrap();
    client.set_read_timeout(Some(FOR_EVER)).unwrap();
    assert_echoed(&client);
    drop((client, goes_on));

    let path = std::env::temp_dir().join(format!("evy-taken-over-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let taken_over = listener.try_clone().unwrap();
    let server = Server::new(listener, |_, _| Ok(())).start().unwrap();
    server.stop(GRACE);
    let _client = UnixStream::connect(&path).unwrap();
    soon(|| taken_over.accept()).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// A peer that is held up between an answer and its next request is not taken for one that has ended.
#[test]
fn a_peer_that_pauses_for_a_moment_loses_no_request() {
    let server = start(echo);
    let client = client(&server);
    assert_echoed(&client);
    let stopping = begin_to_stop(&server, GRACE);
    for _ in 0..4 {
        sleep(Duration::from_millis(100));
        assert_echoed(&client);
    }
    assert_ended(&client);
    drop(client);
    assert_stopped(stopping, 1, 0);
}
