//! `TcpListener`: what std's does, ours does too; and who gets which connection.

mod util;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{TcpListener, TcpStream, listen};
use evy_runtime::{GreenThread, join_all, spawn, yield_now};
use util::{StdStream, let_all_park, same_as_std, seen, soon, wait_until};

same_as_std! {
    fn options_and_debug_output() -> Vec<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_ttl(17).unwrap();
        let debug = format!("{listener:?}").replace(&address.to_string(), "ADDRESS");
        vec![
            address.ip().to_string(),
            (address.port() != 0).to_string(),
            listener.ttl().unwrap().to_string(),
            listener.take_error().unwrap().is_none().to_string(),
            debug.replace(&format!("fd: {}", listener.as_raw_fd()), "fd: N"),
        ]
    }

    /// Semantics E 95.
    fn one_port_is_listened_on_once_and_again_after_the_close() -> Option<ErrorKind> {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        // Port and address are reused at once although a connection was closed on this side.
        let client = TcpStream::connect(address).unwrap();
        drop(first.accept().unwrap());
        let second = TcpListener::bind(address).err().map(|error| error.kind());
        drop(first);
        // Not at once: a process that another test is just starting has a copy until it runs.
        wait_until(|| TcpListener::bind(address).is_ok());
        drop(client);
        second
    }

    fn addresses_that_cannot_be_listened_on() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let not_ours: SocketAddr = "198.51.100.1:0".parse().unwrap();
        let none: &[SocketAddr] = &[];
        ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:port", "127.0.0.1:65536", "127.0.0.1:-1"]
            .into_iter()
            .map(|address| seen(TcpListener::bind(address).map(drop)))
            .chain([seen(TcpListener::bind(not_ours).map(drop)), seen(TcpListener::bind(none).map(drop))])
            .collect()
    }

    fn the_first_address_that_can_be_had_is_taken() -> bool {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addresses = ["198.51.100.1:0".parse().unwrap(), SocketAddr::new(taken.ip(), 0)];
        let listener = TcpListener::bind(&addresses[..]).unwrap();
        listener.local_addr().unwrap().ip() == taken.ip()
    }

    fn incoming_gives_one_connection_after_the_other() -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = std::thread::spawn(move || {
            for n in 0..5 {
                let mut client = StdStream::connect(address).unwrap();
                client.write_all(&[n]).unwrap();
            }
        });
        let read = |mut stream: TcpStream| {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte[0]
        };
        let seen = listener.incoming().take(5).map(|stream| read(stream.unwrap())).collect();
        clients.join().unwrap();
        seen
    }

    fn a_listener_that_does_not_block_says_would_block() -> Vec<ErrorKind> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let nobody = listener.accept().unwrap_err().kind();
        let none = listener.incoming().next().unwrap().unwrap_err().kind();
        listener.set_nonblocking(false).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
        drop(client);
        vec![nobody, none]
    }

    fn a_clone_accepts_from_the_same_queue() -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let clone = listener.try_clone().unwrap();
        let address = listener.local_addr().unwrap();
        let clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        let (_one, first) = listener.accept().unwrap();
        drop(listener);
        let (_other, second) = clone.accept().unwrap();
        [first, second] == clients.map(|client| client.local_addr().unwrap())
    }

    /// FAULTS row 10. On Linux these are accepted, and the error comes with the first read.
    fn fault_10_clients_that_reset_before_they_are_accepted() -> Vec<ErrorKind> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let client = StdStream::connect(address).unwrap();
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let mut good = StdStream::connect(address).unwrap();
        good.write_all(b"x").unwrap();
        let mut seen = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            match stream.read(&mut [0]) {
                Ok(count) => {
                    assert_eq!(count, 1);
                    return seen;
                }
                Err(error) => seen.push(error.kind()),
            }
        }
    }
}

#[test]
fn listeners_come_from_std_and_go_back_by_every_way() {
    #[track_caller]
    fn check(listener: TcpListener) -> TcpListener {
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || StdStream::connect(address).unwrap());
        let (_, from) = soon(|| listener.accept()).unwrap();
        assert_eq!(client.join().unwrap().local_addr().unwrap(), from);
        listener
    }
    let listener = check(listen("127.0.0.1:0").unwrap());
    let number = listener.as_raw_fd();
    let std = listener.into_std();
    assert_eq!(std.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    std.set_nonblocking(false).unwrap();
    let listener = check(TcpListener::from_std(std).unwrap());
    let listener = check(TcpListener::from(std::net::TcpListener::from(listener)));
    let listener = check(TcpListener::from(OwnedFd::from(listener)));
    let raw = listener.into_raw_fd();
    // SAFETY: the number was just given away by its owner.
    let listener = check(unsafe { TcpListener::from_raw_fd(raw) });
    assert_eq!(listener.as_raw_fd(), number, "one descriptor all the way");
}

/// A line of green threads that accept, and in which order they were served.
struct Line {
    listener: Rc<TcpListener>,
    served: Rc<RefCell<Vec<usize>>>,
    threads: Vec<GreenThread<()>>,
    clients: Vec<StdStream>,
}

impl Line {
    fn of(count: usize) -> Self {
        let listener = Rc::new(listen("127.0.0.1:0").unwrap());
        let served = Rc::new(RefCell::new(Vec::new()));
        let acceptor = |n| {
            let (listener, served) = (Rc::clone(&listener), Rc::clone(&served));
            move || {
                let _client = listener.accept().unwrap();
                served.borrow_mut().push(n);
            }
        };
        let threads = (0..count).map(|n| spawn(acceptor(n))).collect();
        let_all_park();
        Self { listener, served, threads, clients: Vec::new() }
    }

    fn connect(&mut self) {
        let address = self.listener.local_addr().unwrap();
        self.clients.push(StdStream::connect(address).unwrap());
    }

    #[track_caller]
    fn served_in_the_end(self, wanted: &[usize]) {
        wait_until(|| self.served.borrow().len() >= wanted.len());
        let_all_park();
        assert_eq!(*self.served.borrow(), wanted);
    }
}

/// FAULTS row 3.
#[test]
fn fault_03_who_accepts_first_is_served_first() {
    let mut line = Line::of(5);
    for served in 1..=5 {
        line.connect();
        wait_until(|| line.served.borrow().len() == served);
    }
    soon(|| join_all(std::mem::take(&mut line.threads)));
    line.served_in_the_end(&[0, 1, 2, 3, 4]);
}

#[test]
fn connections_that_come_together_are_taken_in_line() {
    let mut line = Line::of(5);
    (0..5).for_each(|_| line.connect());
    line.served_in_the_end(&[0, 1, 2, 3, 4]);
}

#[test]
fn one_that_is_killed_in_line_leaves_it() {
    let mut line = Line::of(5);
    for killed in [3, 0, 1] {
        line.threads[killed].kill();
    }
    (0..2).for_each(|_| line.connect());
    line.served_in_the_end(&[2, 4]);
}

#[test]
fn one_that_is_killed_between_its_wake_and_its_accept_hands_the_connection_on() {
    let mut line = Line::of(3);
    let victim = line.threads.remove(0);
    let (ours, mut theirs) = util::pair();
    let killer = spawn(move || {
        (&ours).read_exact(&mut [0]).unwrap();
        victim.kill();
    });
    let_all_park();
    // One turn of the hub wakes both, in the order in which things happened: the killer runs first,
    // and the victim stands in the ready queue with the connection as good as in its hands.
    theirs.write_all(b"x").unwrap();
    line.connect();
    soon(|| killer.wait()).unwrap();
    line.served_in_the_end(&[1]);
}

#[test]
fn one_that_only_looks_hands_the_connection_on() {
    let listener = Rc::new(listen("127.0.0.1:0").unwrap());
    // The first makes the listener known to the hub, and leaves.
    let first = spawn({
        let listener = Rc::clone(&listener);
        move || listener.accept().map(drop)
    });
    let_all_park();
    first.kill();
    let looks = spawn({
        let listener = Rc::clone(&listener);
        move || evy_runtime::wait_readable(&*listener, None)
    });
    let_all_park();
    let accepts = spawn({
        let listener = Rc::clone(&listener);
        move || listener.accept().map(|(_, from)| from)
    });
    let_all_park();
    let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(soon(|| accepts.wait()).unwrap().unwrap(), client.local_addr().unwrap());
    soon(|| looks.wait()).unwrap().unwrap();
}

#[test]
fn one_that_gives_up_leaves_the_line() {
    let listener = Rc::new(listen("127.0.0.1:0").unwrap());
    let impatient = spawn({
        let listener = Rc::clone(&listener);
        move || evy_runtime::timeout(Duration::from_millis(5), || listener.accept()).is_err()
    });
    let patient = spawn({
        let listener = Rc::clone(&listener);
        move || listener.accept().map(|(_, from)| from)
    });
    assert!(soon(|| impatient.wait()).unwrap());
    let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(soon(|| patient.wait()).unwrap().unwrap(), client.local_addr().unwrap());
}

#[test]
fn one_that_comes_later_does_not_overtake() {
    let mut line = Line::of(2);
    line.connect();
    line.connect();
    // Both connections wait; the hub has not looked yet. A third one has to stand behind.
    let late = spawn({
        let listener = Rc::clone(&line.listener);
        move || drop(listener.accept().unwrap())
    });
    wait_until(|| line.served.borrow().len() == 2);
    assert!(!late.is_finished());
    line.connect();
    soon(|| late.wait()).unwrap();
    line.served_in_the_end(&[0, 1]);
}

#[test]
fn an_accept_without_descriptors_fails_and_the_listener_is_as_good_as_before() {
    let name = "an_accept_without_descriptors_fails_and_the_listener_is_as_good_as_before";
    util::alone(name, || {
        // A hub takes descriptors too.
        yield_now();
        let listener = listen("127.0.0.1:0").unwrap();
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let usual = util::limit_descriptors(client.as_raw_fd() as u64 + 1);
        let error = soon(|| listener.accept()).unwrap_err();
        assert!(evy_green_net::is_shortage(&error), "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        util::limit_descriptors(usual + 10);
        assert_eq!(soon(|| listener.accept()).unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn a_listener_is_shared_by_the_green_threads_of_one_os_thread_and_by_os_threads() {
    let listener = std::sync::Arc::new(listen("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let accept_ten = |listener: std::sync::Arc<TcpListener>| {
        move || {
            let accept = |_| {
                let listener = std::sync::Arc::clone(&listener);
                spawn(move || (&listener.accept().unwrap().0).write_all(b"x").unwrap())
            };
            soon(|| join_all((0..10).map(accept)).into_iter().for_each(|done| done.unwrap()));
        }
    };
    let others: Vec<_> = (0..3).map(|_| std::thread::spawn(accept_ten(listener.clone()))).collect();
    let clients = std::thread::spawn(move || {
        for _ in 0..40 {
            let mut client = StdStream::connect(address).unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
    });
    accept_ten(listener)();
    others.into_iter().for_each(|other| other.join().unwrap());
    clients.join().unwrap();
}

#[test]
fn listen_and_connect_are_bind_and_connect() {
    let listener = listen("127.0.0.1:0").unwrap();
    let stream: TcpStream = evy_green_net::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
}

util::and_all_of_them_again!();
