//! Errors of `accept` that a test cannot bring about from outside: a listener that says what it is told to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::yield_now;
use rustix::io::Errno;

use super::listener::{Door, Listener, sealed};
use super::{RunningServer, Server};
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
