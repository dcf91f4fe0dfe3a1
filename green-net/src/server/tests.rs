//! What a test cannot bring about from outside: errors of `accept`, by a listener that says what it is told to;
//! and what happens between two looks of a server that stops.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::yield_now;
use rustix::io::Errno;

use super::connection::{Connection, FOR_STOP, FOR_TIMES, Handle, Handled};
use super::ledger::Ledger;
use super::lingering::Lingering;
use super::listener::{Door, Listener, sealed};
use super::{ClientLimit, RunningServer, Server};
use crate::{TcpListener, TcpStream, connect, listen};

/// A listener whose next calls fail as the script says.
struct Scripted {
    listener: TcpListener,
    script: Rc<RefCell<VecDeque<io::Error>>>,
    calls: Rc<Cell<u64>>,
}

impl sealed::Sealed for Scripted {}

impl Listener for Scripted {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn admit(&self, door: &Door<'_>) -> io::Result<(TcpStream, SocketAddr)> {
        self.calls.set(self.calls.get() + 1);
        let next = self.script.borrow_mut().pop_front();
        next.map_or_else(|| self.listener.admit(door), Err)
    }

    fn turn_away(&self) {}

    fn own_addr(&self) -> io::Result<SocketAddr> {
        self.listener.own_addr()
    }
}

/// A server whose `accept` fails so, and how often it has called it.
fn server(script: impl IntoIterator<Item = io::Error>) -> (RunningServer, Rc<Cell<u64>>) {
    let calls = Rc::new(Cell::new(0));
    let scripted = Scripted {
        listener: listen("127.0.0.1:0").unwrap(),
        script: Rc::new(RefCell::new(script.into_iter().collect())),
        calls: Rc::clone(&calls),
    };
    let server = Server::new(scripted, |_, _| Ok(()))
        .on_error(|error, _| {
            assert!(super::is_shortage(error), "{error}");
            ControlFlow::Continue(())
        })
        .start()
        .unwrap();
    (server, calls)
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never comes true");
        evy_runtime::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn assert_serves(server: &RunningServer, failed: u64) {
    let _client = connect(server.local_addr()).unwrap();
    wait_until(|| server.accepted() == 1);
    assert_eq!(server.counters().failed_accepts(), failed);
}

fn errors(errnos: &[Errno]) -> Vec<io::Error> {
    errnos.iter().map(|errno| io::Error::from(*errno)).collect()
}

/// FAULTS row 10.
#[test]
fn fault_10_errors_of_a_connection_that_waited_end_nothing_and_are_counted() {
    let errnos = [
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NOPROTOOPT,
        Errno::PERM,
        Errno::TIMEDOUT,
        Errno::CONNRESET,
    ];
    let (server, calls) = server(errors(&errnos));
    assert_serves(&server, errnos.len() as u64);
    assert!(calls.get() > errnos.len() as u64);
}

/// FAULTS row 9.
#[test]
fn fault_09_every_kind_of_shortage_is_waited_for() {
    let errnos = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let mut script = errors(&errnos);
    script.push(io::ErrorKind::OutOfMemory.into());
    let (server, calls) = server(script);
    assert_serves(&server, 5);
    assert!(calls.get() > 5);
}

/// Where the same error comes again and again it is the listener after all, and the others get their turn.
#[test]
fn fault_10_a_listener_that_always_fails_does_not_take_all_the_time() {
    let script = (0..100_000).map(|_| io::Error::from(Errno::NETDOWN));
    let (server, calls) = server(script);
    (0..1000).for_each(|_| yield_now());
    assert!((2..30).contains(&calls.get()), "{} calls", calls.get());
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_decision_that_panics_does_not_end_the_loop_that_accepts() {
    let scripted = Scripted {
        listener: listen("127.0.0.1:0").unwrap(),
        script: Rc::new(RefCell::new(VecDeque::from([Errno::MFILE.into()]))),
        calls: Rc::default(),
    };
    let server =
        Server::new(scripted, |_, _| Ok(())).on_error(|_, _| panic!("on purpose")).start().unwrap();
    assert_serves(&server, 1);
}

#[test]
fn an_error_that_does_not_pass_ends_the_listener() {
    let calls = Rc::new(Cell::new(0));
    let scripted = Scripted {
        listener: listen("127.0.0.1:0").unwrap(),
        script: Rc::new(RefCell::new(VecDeque::from([Errno::BADF.into()]))),
        calls: Rc::clone(&calls),
    };
    let error = Server::new(scripted, |_, _| Ok(())).run().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    assert_eq!(calls.get(), 1);
}

/// A connection that has answered a request, with its handle and what keeps its descriptor open.
fn answered() -> (Handled, Handle, TcpListener) {
    let listener = listen("127.0.0.1:0").unwrap();
    let ledger = Arc::new(Ledger::new(ClientLimit::new(1)));
    ledger.limit.enter().unwrap().keep();
    let (handled, handle) = Connection::open(0, &ledger, listener.as_raw_fd());
    assert_eq!(Handle::after_read(Some(&handle), Ok(1)).unwrap(), 1);
    assert_eq!(Handle::after_write(Some(&handle), Ok(1)).unwrap(), 1);
    (handled, handle, listener)
}

/// What a read is told that would have to wait; `None`: to wait.
fn told(handle: &Handle) -> Option<usize> {
    match Handle::after_read(Some(handle), Err(io::ErrorKind::WouldBlock.into())) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => Some(result.unwrap()),
    }
}

/// A handler that is stuck in a write looks idle. When its peer takes the answer after all it is not: the
/// rest of the request may be on its way.
#[test]
fn fault_46_what_passes_before_the_next_read_takes_an_end_back() {
    let (handled, handle, _listener) = answered();
    let connection = handled.connection();
    connection.end_if_idle();
    assert_eq!(told(&handle), None, "something has passed since the last look");
    assert!(connection.take_fresh(FOR_STOP) && !connection.take_fresh(FOR_STOP));
    connection.end_if_idle();
    assert!(Handle::hides_the_end(Some(&handle)));
    let _ = Handle::after_write(Some(&handle), Ok(1));
    assert_eq!(told(&handle), None);
    connection.take_fresh(FOR_STOP);
    connection.end_if_idle();
    assert!(!connection.has_ended());
    assert_eq!(told(&handle), Some(0));
    assert!(connection.has_ended());
    // Who has been told is told again, whatever he has still to say.
    let _ = Handle::after_write(Some(&handle), Ok(1));
    assert_eq!(told(&handle), Some(0));
}

/// Each looks at times of its own.
#[test]
fn who_looks_at_times_and_who_stops_the_server_do_not_take_news_from_each_other() {
    let (handled, _handle, _listener) = answered();
    assert!(handled.connection().take_fresh(FOR_TIMES));
    assert!(handled.connection().take_fresh(FOR_STOP));
    assert!(!handled.connection().take_fresh(FOR_TIMES));
}

/// A stream may be dropped on another OS thread, which has seen that the server stops, when it has stopped.
#[test]
fn a_descriptor_that_is_left_to_a_server_that_has_stopped_is_given_back() {
    let (handled, _handle, listener) = answered();
    let ledger = Ledger::new(ClientLimit::new(1));
    let fd = || listener.as_fd().try_clone_to_owned().unwrap();
    let lingering = || Lingering::new(fd(), Arc::clone(handled.connection()));
    ledger.set_stopping(true);
    assert!(ledger.linger(lingering()).is_none());
    assert!(ledger.next_lingering().is_some());
    ledger.set_stopping(false);
    assert!(ledger.linger(lingering()).is_some());
    assert!(ledger.next_lingering().is_none(), "nobody would close it");
}
