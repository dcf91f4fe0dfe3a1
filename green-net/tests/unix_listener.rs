//! `UnixListener`: what std's does, ours does too; who gets which connection; and paths.

mod util;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{
    SocketAddr, UnixListener as StdUnixListener, UnixStream as StdUnixStream,
};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_green_net::{UnixListener, UnixStream};
use evy_runtime::{GreenThread, join_all, spawn, timeout, yield_now};
use util::{TempPath, let_all_park, same_as_std, seen, soon, wait_until};

same_as_std! {
    fn the_address_and_debug_output() -> Vec<String> {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let number = listener.as_raw_fd();
        let debug = format!("{listener:?}").replace(path.to_str().unwrap(), "PATH");
        vec![
            (listener.local_addr().unwrap().as_pathname() == Some(&path)).to_string(),
            listener.take_error().unwrap().is_none().to_string(),
            debug.replace(&format!("FileDesc(OwnedFd {{ fd: {number} }})"), "N").replace(&format!("fd: {number}"), "fd: N"),
        ]
    }

    /// FAULTS row 49: as with std, nobody removes the path.
    fn fault_49_a_path_is_bound_once_also_when_its_listener_is_gone() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let path = TempPath::new();
        let first = UnixListener::bind(&path).unwrap();
        let mut results = vec![seen(UnixListener::bind(&path).map(drop))];
        drop(first);
        assert!(path.exists());
        results.push(seen(UnixListener::bind(&path).map(drop)));
        std::fs::remove_file(&path).unwrap();
        results.push(seen(UnixListener::bind(&path).map(drop)));
        results
    }

    /// FAULTS row 49.
    fn fault_49_paths_that_cannot_be_bound_are_said_to_be_so() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let file = TempPath::new();
        std::fs::write(&file, "a file").unwrap();
        let long = format!("/tmp/{}", "x".repeat(108));
        let below_a_file = file.join("socket");
        let paths = [&*file, Path::new(&long), &below_a_file, Path::new("/no/such/folder/socket")];
        let others = ["no\0path", "\0abstract?", "/tmp"].map(Path::new);
        paths.into_iter().chain(others).map(|path| seen(UnixListener::bind(path).map(drop))).collect()
    }

    /// FAULTS row 49: 107 bytes are the most.
    fn fault_49_the_longest_path_is_kept_whole() -> bool {
        let unique = format!("/tmp/evy-test-long-{}-", std::process::id());
        let path = format!("{unique}{}", "x".repeat(107 - unique.len()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let addresses = [listener.local_addr().unwrap(), client.peer_addr().unwrap()];
        addresses.iter().all(|address| address.as_pathname() == Some(path.as_ref()))
    }

    /// FAULTS row 49: an abstract name is free again with the last descriptor.
    fn fault_49_an_abstract_name_is_bound_once_and_free_again_after_the_close() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let name = format!("evy-test-listener-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let first = UnixListener::bind_addr(&address).unwrap();
        let second = seen(UnixListener::bind_addr(&address).map(drop));
        drop(first);
        // Not at once: a process that another test is just starting has a copy until it runs.
        wait_until(|| UnixListener::bind_addr(&address).is_ok());
        vec![second]
    }

    fn with_no_path_the_system_chooses_a_name() -> bool {
        let listener = UnixListener::bind("").unwrap();
        let address = listener.local_addr().unwrap();
        UnixStream::connect_addr(&address).unwrap();
        address.as_abstract_name().is_some_and(|name| !name.is_empty())
    }

    fn incoming_gives_one_connection_after_the_other() -> Vec<u8> {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let mut seen = Vec::new();
        let mut connect = |byte: u8| {
            let mut client = StdUnixStream::connect(&path).unwrap();
            client.write_all(&[byte]).unwrap();
        };
        (0..5).for_each(&mut connect);
        let mut read = |stream: std::io::Result<UnixStream>| {
            let mut byte = [0];
            stream.unwrap().read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        };
        listener.incoming().take(2).for_each(&mut read);
        (&listener).into_iter().take(3).for_each(read);
        seen
    }

    fn a_listener_that_does_not_block_says_would_block() -> Vec<ErrorKind> {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let nobody = listener.accept().unwrap_err().kind();
        listener.set_nonblocking(false).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
        vec![nobody]
    }

    fn a_clone_accepts_from_the_same_queue() -> bool {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let clone = listener.try_clone().unwrap();
        let _clients = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
        listener.accept().unwrap();
        drop(listener);
        clone.accept().unwrap().1.is_unnamed()
    }

    fn who_accepts_is_told_where_the_peer_is_bound() -> bool {
        let (path, peer_path) = (TempPath::new(), TempPath::new());
        let listener = UnixListener::bind(&path).unwrap();
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.bind(&socket2::SockAddr::unix(&peer_path).unwrap()).unwrap();
        client.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        let (stream, from) = listener.accept().unwrap();
        from.as_pathname() == Some(&peer_path)
            && stream.peer_addr().unwrap().as_pathname() == Some(&peer_path)
    }
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// FAULTS row 49: std has no form for a path that fills the address to its last byte, which C programs can
/// bind to. Nobody panics for it, and the connection is as good as any.
#[test]
fn fault_49_a_peer_at_a_path_too_long_for_std_is_unnamed() {
    let path = TempPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    let unique = format!("/tmp/evy-test-longest-{}-", std::process::id());
    let peer_path = format!("{unique}{}", "x".repeat(108 - unique.len()));
    let _ = std::fs::remove_file(&peer_path);
    let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    for (to, from) in address.sun_path.iter_mut().zip(peer_path.bytes()) {
        *to = from as libc::c_char;
    }
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives through the call and is as long as is said.
    let bound = unsafe { libc::bind(client.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(bound, 0);
    std::fs::remove_file(&peer_path).unwrap();
    client.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    let (mut stream, from) = soon(|| listener.accept()).unwrap();
    assert!(from.is_unnamed());
    assert!(stream.peer_addr().unwrap().is_unnamed());
    (&client).write_all(b"x").unwrap();
    assert_eq!(soon(|| stream.read(&mut [0; 8])).unwrap(), 1);
}

#[test]
fn listeners_go_to_other_threads_and_are_shared() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<UnixListener>();
}

#[test]
fn listeners_come_from_std_and_go_back_by_every_way() {
    let path = TempPath::new();
    let check = |listener: UnixListener| {
        let path = path.to_owned();
        let client = std::thread::spawn(move || drop(StdUnixStream::connect(path).unwrap()));
        soon(|| listener.accept()).unwrap();
        client.join().unwrap();
        listener
    };
    let listener = check(UnixListener::bind(&path).unwrap());
    util::is_non_blocking_and_closed_by_exec(&listener);
    let number = listener.as_raw_fd();
    let std = listener.into_std();
    assert_eq!(kind(std.accept()), Some(ErrorKind::WouldBlock), "it stays non-blocking");
    std.set_nonblocking(false).unwrap();
    let listener = check(UnixListener::from_std(std).unwrap());
    let listener = check(UnixListener::from(StdUnixListener::from(listener)));
    let listener = check(UnixListener::from(OwnedFd::from(listener)));
    let raw = listener.into_raw_fd();
    // SAFETY: the number was just given away by its owner.
    let listener = check(unsafe { UnixListener::from_raw_fd(raw) });
    assert_eq!(listener.as_raw_fd(), number, "one descriptor all the way");
}

/// A line of green threads that accept, and in which order they were served.
struct Line {
    path: TempPath,
    listener: Rc<UnixListener>,
    served: Rc<RefCell<Vec<usize>>>,
    threads: Vec<GreenThread<()>>,
}

impl Line {
    fn of(count: usize) -> Self {
        let path = TempPath::new();
        let listener = Rc::new(UnixListener::bind(&path).unwrap());
        let served = Rc::new(RefCell::new(Vec::new()));
        let acceptor = |n| {
            let (listener, served) = (Rc::clone(&listener), Rc::clone(&served));
            move || {
                listener.accept().unwrap();
                served.borrow_mut().push(n);
            }
        };
        let threads = (0..count).map(|n| spawn(acceptor(n))).collect();
        let_all_park();
        Self { path, listener, served, threads }
    }

    fn connect(&self) {
        drop(StdUnixStream::connect(&self.path).unwrap());
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
    let line = Line::of(5);
    for served in 1..=2 {
        line.connect();
        wait_until(|| line.served.borrow().len() == served);
    }
    (2..5).for_each(|_| line.connect());
    line.served_in_the_end(&[0, 1, 2, 3, 4]);
}

/// FAULTS row 3.
#[test]
fn fault_03_one_that_comes_later_does_not_overtake() {
    let line = Line::of(2);
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
fn one_that_is_killed_or_gives_up_in_line_leaves_it() {
    let line = Line::of(5);
    for killed in [3, 0, 1] {
        line.threads[killed].kill();
    }
    assert!(timeout(Duration::from_millis(1), || line.listener.accept()).is_err());
    (0..2).for_each(|_| line.connect());
    line.served_in_the_end(&[2, 4]);
}

#[test]
fn one_that_is_killed_between_its_wake_and_its_accept_hands_the_connection_on() {
    let mut line = Line::of(3);
    let victim = line.threads.remove(0);
    let (ours, mut theirs) = util::unix_pair();
    let killer = spawn(move || {
        (&ours).read_exact(&mut [0]).unwrap();
        victim.kill();
    });
    let_all_park();
    // One turn of the hub wakes both, in the order in which things happened.
    theirs.write_all(b"x").unwrap();
    line.connect();
    soon(|| killer.wait()).unwrap();
    line.served_in_the_end(&[1]);
}

/// FAULTS row 2.
#[test]
fn fault_02_a_listener_that_is_closed_wakes_everybody_in_line() {
    for elsewhere in [false, true] {
        let path = TempPath::new();
        let listener = Arc::new(UnixListener::bind(&path).unwrap());
        let acceptors: Vec<_> = (0..5)
            .map(|_| {
                let listener = Arc::clone(&listener);
                spawn(move || kind(listener.accept()))
            })
            .collect();
        let_all_park();
        if elsewhere {
            let listener = Arc::clone(&listener);
            std::thread::spawn(move || listener.close()).join().unwrap();
        } else {
            listener.close();
            util::yield_often();
            assert!(acceptors.iter().all(|acceptor| acceptor.is_finished()), "at once");
        }
        for acceptor in acceptors {
            assert_eq!(soon(|| acceptor.wait()).unwrap(), Some(ErrorKind::NotConnected));
        }
        assert_eq!(kind(listener.accept()), Some(ErrorKind::NotConnected));
        assert_eq!(kind(UnixStream::connect(&path)), Some(ErrorKind::ConnectionRefused));
    }
}

#[test]
fn an_accept_without_descriptors_fails_and_the_listener_is_as_good_as_before() {
    let name = "an_accept_without_descriptors_fails_and_the_listener_is_as_good_as_before";
    util::alone(name, || {
        // A hub takes descriptors too.
        yield_now();
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let client = StdUnixStream::connect(&path).unwrap();
        let usual = util::limit_descriptors(client.as_raw_fd() as u64 + 1);
        let error = soon(|| listener.accept()).unwrap_err();
        assert!(evy_green_net::is_shortage(&error), "{error}");
        util::limit_descriptors(usual + 10);
        soon(|| listener.accept()).unwrap();
    });
}

/// FAULTS row 20: nobody is refused; who finds the queue full waits, and the others go on.
#[test]
fn fault_20_of_five_thousand_connects_in_one_burst_none_is_refused() {
    const CLIENTS: usize = 5000;
    util::alone("fault_20_of_five_thousand_connects_in_one_burst_none_is_refused", || {
        let limit = util::limit_descriptors(2 * CLIENTS as u64 + 200);
        assert!(limit > 2 * CLIENTS as u64 + 100, "this test takes {} descriptors", 2 * CLIENTS);
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let path = path.to_owned();
                spawn(move || UnixStream::connect(path).unwrap())
            })
            .collect();
        let_all_park();
        let connected = clients.iter().filter(|client| client.is_finished()).count();
        assert!(connected < CLIENTS, "the queue has room for all of them: nothing was tested");
        let accepted: Vec<_> = (0..CLIENTS).map(|_| soon(|| listener.accept()).unwrap()).collect();
        for client in soon(|| join_all(clients)) {
            assert!(client.unwrap().take_error().unwrap().is_none());
        }
        assert_eq!(accepted.len(), CLIENTS);
    });
}

/// A listener of std with room for one connection, and that one.
fn full(path: &Path) -> (StdUnixListener, StdUnixStream) {
    let listener = StdUnixListener::bind(path).unwrap();
    // SAFETY: it takes no pointer, and a second listen only sets the length of the queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let client = StdUnixStream::connect(path).unwrap();
    (listener, client)
}

/// FAULTS row 20.
#[test]
fn fault_20_a_connect_waits_while_the_queue_is_full() {
    let path = TempPath::new();
    let (listener, _client) = full(&path);
    let connects = spawn({
        let path = path.to_owned();
        move || UnixStream::connect(path)
    });
    evy_runtime::sleep(Duration::from_millis(20));
    assert!(!connects.is_finished());
    listener.accept().unwrap();
    soon(|| connects.wait()).unwrap().unwrap();
    listener.accept().unwrap();
}

#[test]
fn a_connect_that_waits_can_be_killed_timed_out_and_refused() {
    let path = TempPath::new();
    let (listener, _client) = full(&path);
    assert!(timeout(Duration::from_millis(5), || UnixStream::connect(&path)).is_err());
    let connect = || {
        let path = path.to_owned();
        spawn(move || UnixStream::connect(path))
    };
    let (killed, refused) = (connect(), connect());
    let_all_park();
    killed.kill();
    assert!(matches!(killed.wait(), Err(evy_runtime::Died::Killed)));
    assert!(!refused.is_finished());
    drop(listener);
    let error = kind(soon(|| refused.wait()).unwrap());
    assert_eq!(error, Some(ErrorKind::ConnectionRefused));
}

#[test]
fn a_connect_that_waits_costs_next_to_nothing() {
    let path = TempPath::new();
    let (_listener, _client) = full(&path);
    let connects = spawn({
        let path = path.to_owned();
        move || UnixStream::connect(path)
    });
    util::costs_nothing();
    connects.kill();
}

#[test]
fn a_listener_is_shared_by_the_green_threads_of_several_os_threads() {
    let path = TempPath::new();
    let listener = Arc::new(UnixListener::bind(&path).unwrap());
    let accept_ten = |listener: Arc<UnixListener>| {
        move || {
            let accept = |_| {
                let listener = Arc::clone(&listener);
                spawn(move || (&listener.accept().unwrap().0).write_all(b"x").unwrap())
            };
            soon(|| join_all((0..10).map(accept)).into_iter().for_each(|done| done.unwrap()));
        }
    };
    let others: Vec<_> = (0..3).map(|_| std::thread::spawn(accept_ten(listener.clone()))).collect();
    let clients = std::thread::spawn({
        let path = path.to_owned();
        move || {
            for _ in 0..40 {
                StdUnixStream::connect(&path).unwrap().read_exact(&mut [0]).unwrap();
            }
        }
    });
    let start = Instant::now();
    accept_ten(listener)();
    others.into_iter().for_each(|other| other.join().unwrap());
    clients.join().unwrap();
    assert!(start.elapsed() < util::FOR_EVER);
}

util::and_all_of_them_again!();
