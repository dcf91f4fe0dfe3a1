//! `UnixStream`: what std's does, ours does too; and where the documentation says otherwise, that.

mod util;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream as StdUnixStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_green_net::{UnixListener, UnixStream, copy, socket_pair};
use evy_runtime::{Builder, GreenThread, join_all, spawn, timeout, yield_now};
use util::{TempPath, alone, let_all_park, same_as_std, seen, soon, unix_pair};

same_as_std! {
    /// Semantics E 88.
    fn the_ends_know_their_addresses() -> Vec<String> {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (server, from) = listener.accept().unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        let all = [
            listener.local_addr().unwrap(), client.local_addr().unwrap(), client.peer_addr().unwrap(),
            server.local_addr().unwrap(), server.peer_addr().unwrap(), from,
            one.local_addr().unwrap(), other.peer_addr().unwrap(),
        ];
        all.into_iter().map(|address| named(&address, &path)).collect()
    }

    /// Semantics E 88.
    fn abstract_names_are_kept_byte_by_byte() -> Vec<Option<Vec<u8>>> {
        let unique = std::process::id().to_string();
        let names = [&b"short"[..], b"with \0 in it", b"", &[200; 95]];
        let mut seen = Vec::new();
        for name in names {
            let name = [unique.as_bytes(), name].concat();
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            let listener = UnixListener::bind_addr(&address).unwrap();
            let client = UnixStream::connect_addr(&address).unwrap();
            listener.accept().unwrap();
            for address in [listener.local_addr().unwrap(), client.peer_addr().unwrap()] {
                seen.push(address.as_abstract_name().map(|seen| seen[unique.len()..].to_vec()));
            }
        }
        seen
    }

    fn debug_output_names_the_ends_and_the_descriptor() -> String {
        let path = TempPath::new();
        let _listener = UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        let number = stream.as_raw_fd();
        let text = format!("{stream:?}").replace(path.to_str().unwrap(), "PATH");
        // std's names its own types around the number.
        text.replace(&format!("FileDesc(OwnedFd {{ fd: {number} }})"), "N").replace(&format!("fd: {number}"), "fd: N")
    }

    fn timeouts_are_kept_and_none_is_of_zero() -> Vec<String> {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let mut seen = vec![format!("{:?}", (stream.read_timeout(), stream.write_timeout()))];
        for timeout in [Some(Duration::from_secs(100)), Some(Duration::from_millis(20)), None] {
            stream.set_read_timeout(timeout).unwrap();
            stream.set_write_timeout(timeout.map(|time| time * 2)).unwrap();
            seen.push(format!("{:?}", (stream.read_timeout(), stream.write_timeout())));
        }
        for result in [
            stream.set_read_timeout(Some(Duration::ZERO)),
            stream.set_write_timeout(Some(Duration::ZERO)),
        ] {
            seen.push(result.unwrap_err().to_string());
        }
        seen.push(format!("{:?}", stream.take_error().unwrap().is_none()));
        seen
    }

    /// FAULTS row 49: a stale path, a path that is none, one that is too long, …
    fn fault_49_paths_where_nobody_listens_are_said_to_be_so() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let (stale, file, none) = (TempPath::new(), TempPath::new(), TempPath::new());
        drop(UnixListener::bind(&stale).unwrap());
        std::fs::write(&file, "no socket").unwrap();
        let datagrams = TempPath::new();
        let _other_kind = UnixDatagram::bind(&datagrams).unwrap();
        let long = "x".repeat(108);
        let connect = |path: &std::path::Path| seen(UnixStream::connect(path).map(drop));
        let mut seen_of: Vec<_> = [&*stale, &*file, &*none, &*datagrams].into_iter().map(connect).collect();
        for path in ["", "/", "/tmp", "no\0path", &long, &long[1..], "/no/such/folder/socket"] {
            seen_of.push(connect(path.as_ref()));
        }
        let nobody = SocketAddr::from_abstract_name("evy-test-nobody").unwrap();
        seen_of.push(seen(UnixStream::connect_addr(&nobody).map(drop)));
        seen_of.push(seen(UnixStream::connect_addr(&SocketAddr::from_pathname("").unwrap()).map(drop)));
        seen_of
    }

    /// Semantics E 83.
    fn the_end_of_the_stream_is_read_again_and_again() -> Vec<usize> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"four").unwrap();
        drop(theirs);
        (0..5).map(|_| ours.read(&mut [0; 8]).unwrap()).collect()
    }

    /// FAULTS row 13, Semantics E 83.
    fn fault_13_a_side_that_is_shut_down_is_shut_and_the_other_is_not() -> Vec<String> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let peer = std::thread::spawn(move || {
            let mut all = String::new();
            theirs.read_to_string(&mut all).unwrap();
            theirs.write_all(b"after the end").unwrap();
            all
        });
        ours.write_all(b"before the end").unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let written = ours.write(b"too late").map_err(|error| error.kind());
        let mut read = String::new();
        ours.read_to_string(&mut read).unwrap();
        vec![peer.join().unwrap(), read, format!("{written:?}")]
    }

    fn reading_that_is_shut_down_gives_the_end_and_the_peer_an_error() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"before").unwrap();
        ours.shutdown(Shutdown::Read).unwrap();
        let mut buffer = [0; 10];
        vec![seen(ours.read(&mut buffer)), seen(ours.read(&mut buffer)), seen(theirs.write(b"x"))]
    }

    fn a_stream_that_is_shut_down_twice_says_the_same_twice() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        (0..2).map(|_| seen(ours.shutdown(Shutdown::Both))).collect()
    }

    fn a_stream_that_does_not_block_says_would_block() -> Vec<ErrorKind> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut seen = vec![ours.read(&mut [0]).unwrap_err().kind()];
        let block = vec![7; 1 << 20];
        let mut written = 0;
        let full = loop {
            match ours.write(&block) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        seen.push(full.kind());
        ours.set_nonblocking(false).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            assert!(all.iter().all(|byte| *byte == 7));
            all.len()
        });
        ours.write_all(&block).unwrap();
        drop(ours);
        assert_eq!(reader.join().unwrap(), written + block.len());
        seen
    }

    /// FAULTS row 11: what the peer has not read is lost, and the reader is told once.
    fn fault_11_a_peer_that_is_gone_is_an_error_for_writers_and_the_end_for_readers() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let mut buffer = [0; 8];
        let mut results = Vec::new();
        for unread in [false, true] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"last").unwrap();
            if unread {
                ours.write_all(b"never read").unwrap();
            }
            drop(theirs);
            results.push(seen(ours.write(b"hello?")));
            results.push(seen(ours.write_vectored(&[IoSlice::new(b"?")])));
            results.extend((0..3).map(|_| seen(ours.read(&mut buffer))));
            results.push(seen(ours.write(b"")));
        }
        results
    }

    fn vectored_reads_and_writes_use_the_buffers_in_turn() -> Vec<String> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let parts = ["one ", "", "two ", "three"];
        let count = ours.write_vectored(&parts.map(|part| IoSlice::new(part.as_bytes()))).unwrap();
        let (mut first, mut second) = ([0; 5], [0; 100]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let read = theirs.read_vectored(&mut buffers).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        vec![count.to_string(), text(&first), text(&second[..read - 5])]
    }

    /// FAULTS row 50.
    fn fault_50_nothing_and_very_many_buffers_are_written_and_read() -> Vec<usize> {
        const BUFFERS: usize = 3000;
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        // With something there: std's reads of nothing wait, too.
        theirs.write_all(b"x").unwrap();
        let mut seen = vec![ours.write(b"").unwrap(), ours.write_vectored(&[]).unwrap()];
        seen.extend([ours.read(&mut []).unwrap(), ours.read_vectored(&mut []).unwrap()]);
        seen.push(ours.read(&mut [0; 8]).unwrap());
        let data: Vec<u8> = (0..BUFFERS * 3).map(|n| (n % 251) as u8).collect();
        let mut written = 0;
        while written < data.len() {
            let parts: Vec<_> = data[written..].chunks(3).map(IoSlice::new).collect();
            written += ours.write_vectored(&parts).unwrap();
        }
        drop(ours);
        let mut back = Vec::new();
        loop {
            let mut parts = vec![[0; 3]; BUFFERS];
            let mut buffers: Vec<_> = parts.iter_mut().map(|part| IoSliceMut::new(part)).collect();
            match theirs.read_vectored(&mut buffers).unwrap() {
                0 => break,
                count => back.extend_from_slice(&parts.concat()[..count]),
            }
        }
        assert!(back == data);
        seen
    }

    fn a_clone_is_the_same_connection() -> Vec<String> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut clone = ours.try_clone().unwrap();
        ours.write_all(b"from one, ").unwrap();
        clone.write_all(b"from the other").unwrap();
        drop(ours);
        theirs.write_all(b"bye").unwrap();
        let mut bye = [0; 3];
        clone.read_exact(&mut bye).unwrap();
        clone.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        theirs.read_to_string(&mut all).unwrap();
        vec![all, String::from_utf8_lossy(&bye).into_owned()]
    }

    /// FAULTS row 49.
    fn fault_49_a_descriptor_that_is_no_socket_says_so() -> Vec<Result<usize, (ErrorKind, Option<i32>)>> {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let mut stream = UnixStream::from(OwnedFd::from(file));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other_kind = UnixStream::from(OwnedFd::from(udp));
        vec![
            seen(stream.write(b"x")),
            seen(stream.shutdown(Shutdown::Both).map(|()| 0)),
            seen(stream.local_addr().map(|_| 0)),
            seen(other_kind.local_addr().map(|_| 0)),
        ]
    }
}

/// An address as text, the path by a name of its own.
fn named(address: &SocketAddr, path: &std::path::Path) -> String {
    match address.as_pathname() {
        Some(name) => String::from(if name == path { "the path" } else { "another path" }),
        None => format!("{address:?}"),
    }
}

/// Something that parks on a stream until it is closed.
type Call = fn(&UnixStream) -> io::Result<usize>;

const CALLS: [(&str, Call); 6] = [
    ("read", |mut stream| stream.read(&mut [0; 8])),
    ("read_vectored", |mut stream| stream.read_vectored(&mut [IoSliceMut::new(&mut [0; 8])])),
    ("peek", |stream| stream.peek(&mut [0; 8])),
    ("write", |mut stream| (0..).try_fold(0, |_, _: u64| stream.write(&[0; 1 << 16]))),
    ("write_vectored", |mut stream| {
        (0..).try_fold(0, |_, _: u64| stream.write_vectored(&[IoSlice::new(&[0; 1 << 16])]))
    }),
    ("copy", |stream| copy(stream, stream).map(|count| count as usize)),
];

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn spawn_on<T: 'static>(
    name: &str,
    stream: &Rc<UnixStream>,
    call: impl FnOnce(&UnixStream) -> T + 'static,
) -> GreenThread<T> {
    let stream = Rc::clone(stream);
    Builder::new().name(name).spawn(move || call(&stream)).unwrap()
}

#[test]
fn streams_go_to_other_threads_and_are_shared() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<UnixStream>();
}

#[test]
fn every_descriptor_is_non_blocking_and_closed_by_exec() {
    let path = TempPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (one, other) = socket_pair().unwrap();
    for stream in [client, listener.accept().unwrap().0, one.try_clone().unwrap(), one, other] {
        util::is_non_blocking_and_closed_by_exec(stream);
    }
}

#[test]
fn streams_come_from_std_and_go_back_by_every_way() {
    #[track_caller]
    fn check(mut stream: UnixStream, theirs: &mut StdUnixStream) -> UnixStream {
        theirs.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        soon(|| stream.read_exact(&mut buffer)).unwrap();
        stream.write_all(&buffer).unwrap();
        theirs.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"ping");
        stream
    }
    let (stream, mut theirs) = unix_pair();
    let number = stream.as_raw_fd();
    let mut std = check(stream, &mut theirs).into_std();
    assert_eq!(kind(std.read(&mut [0])), Some(ErrorKind::WouldBlock), "it stays non-blocking");
    std.set_nonblocking(false).unwrap();
    let stream = check(UnixStream::from_std(std).unwrap(), &mut theirs);
    let stream = check(UnixStream::from(StdUnixStream::from(stream)), &mut theirs);
    let stream = check(UnixStream::from(OwnedFd::from(stream)), &mut theirs);
    let raw = stream.into_raw_fd();
    // SAFETY: the number was just given away by its owner.
    let stream = check(unsafe { UnixStream::from_raw_fd(raw) }, &mut theirs);
    assert_eq!(stream.as_fd().as_raw_fd(), number, "one descriptor all the way");
}

#[test]
fn timed_out_is_said_of_every_call() {
    let (ours, _theirs) = unix_pair();
    let timeout = Duration::from_millis(10);
    ours.set_read_timeout(Some(timeout)).unwrap();
    ours.set_write_timeout(Some(timeout)).unwrap();
    for (name, call) in CALLS {
        let start = Instant::now();
        assert_eq!(kind(soon(|| call(&ours))), Some(ErrorKind::TimedOut), "{name}");
        assert!(start.elapsed() >= timeout, "{name} was early");
    }
}

#[test]
fn what_is_tried_never_waits() {
    let (ours, mut theirs) = unix_pair();
    assert_eq!(kind(ours.try_read(&mut [0])), Some(ErrorKind::WouldBlock));
    theirs.write_all(b"abc").unwrap();
    assert_eq!(soon(|| ours.peek(&mut [0; 8])).unwrap(), 3);
    assert_eq!(ours.try_read(&mut [0; 2]).unwrap(), 2);
    assert_eq!(ours.try_read(&mut [0; 2]).unwrap(), 1);
    let full = (0..10_000).find_map(|_| ours.try_write(&[1; 1 << 12]).err()).expect("it gets full");
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    // The hub's knowledge has not suffered: the next read and write park and go on.
    let echo = spawn(move || {
        let mut byte = [0];
        (&ours).read_exact(&mut byte).unwrap();
        (&ours).write_all(&byte).unwrap();
    });
    let_all_park();
    theirs.write_all(b"d").unwrap();
    let drain = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        all.last().copied()
    });
    soon(|| echo.wait()).unwrap();
    assert_eq!(drain.join().unwrap(), Some(b'd'));
}

/// FAULTS row 2.
#[test]
fn fault_02_a_close_on_the_same_hub_wakes_who_waits_at_once() {
    for (name, call) in CALLS {
        let (ours, mut theirs) = unix_pair();
        let ours = Rc::new(ours);
        let waiter = spawn_on(name, &ours, call);
        let_all_park();
        assert!(!waiter.is_finished(), "{name} did not park");
        ours.close();
        yield_now();
        assert!(waiter.is_finished(), "{name} still waits");
        assert_eq!(kind(waiter.wait().unwrap()), Some(ErrorKind::NotConnected), "{name}");
        for (name, call) in CALLS {
            assert_eq!(kind(call(&ours)), Some(ErrorKind::NotConnected), "a later {name}");
        }
        assert_eq!(kind(ours.try_read(&mut [0])), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.try_write(&[0])), Some(ErrorKind::NotConnected));
        theirs.read_to_end(&mut Vec::new()).expect("the peer sees the end");
    }
}

/// FAULTS row 2.
#[test]
fn fault_02_a_close_from_another_os_thread_wakes_who_waits() {
    for (name, call) in CALLS {
        for has_hub in [false, true] {
            let (ours, _theirs) = unix_pair();
            let ours = Arc::new(ours);
            let waiting = util::os_thread();
            let closer = std::thread::spawn({
                let ours = Arc::clone(&ours);
                move || {
                    if has_hub {
                        yield_now();
                    }
                    util::wait_until_asleep(waiting);
                    ours.close();
                }
            });
            assert_eq!(kind(soon(|| call(&ours))), Some(ErrorKind::NotConnected), "{name}");
            closer.join().unwrap();
        }
    }
}

/// FAULTS row 3.
#[test]
fn fault_03_a_second_reader_or_writer_is_refused_and_the_first_goes_on() {
    let (ours, mut theirs) = unix_pair();
    let ours = Rc::new(ours);
    let reader = spawn_on("the reader", &ours, |mut stream| stream.read(&mut [0; 8]));
    let writer = spawn_on("the writer", &ours, |mut stream| stream.write_all(&[1; 1 << 22]));
    let_all_park();
    for (name, call) in CALLS {
        let first = if name.starts_with("write") { "'the writer'" } else { "'the reader'" };
        let error = soon(|| call(&ours)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{name}");
        assert!(error.to_string().contains(first), "{name}: {error}");
    }
    theirs.write_all(b"data").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 4);
    let drain = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
    soon(|| writer.wait()).unwrap().unwrap();
    drop(ours);
    assert_eq!(drain.join().unwrap(), 1 << 22);
}

/// FAULTS row 11.
#[test]
fn fault_11_a_peer_that_goes_wakes_the_reader_and_the_writer() {
    for (unread, taken) in [(false, 0), (true, 0), (true, 1 << 12)] {
        let (ours, mut theirs) = unix_pair();
        let ours = Rc::new(ours);
        let reader = spawn_on("reader", &ours, |mut stream| stream.read(&mut [0; 8]));
        let writer = unread
            .then(|| spawn_on("writer", &ours, |mut stream| stream.write_all(&vec![0; 64 << 20])));
        let_all_park();
        theirs.read_exact(&mut vec![0; taken]).unwrap();
        drop(theirs);
        if let Some(writer) = writer {
            let error = kind(soon(|| writer.wait()).unwrap());
            assert!(matches!(error, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)));
        }
        match soon(|| reader.wait()).unwrap() {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!((error.kind(), unread), (ErrorKind::ConnectionReset, true)),
        }
        assert_eq!(soon(|| (&*ours).read(&mut [0])).unwrap(), 0, "it was said once");
        util::costs_nothing();
    }
}

/// FAULTS row 12.
#[test]
fn fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills() {
    alone("fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills", || {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (ours, theirs) = unix_pair();
        drop(theirs);
        let mut stream = &ours;
        assert_eq!(kind(stream.write(b"x")), Some(ErrorKind::BrokenPipe));
        let vectored = stream.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]);
        assert_eq!(kind(vectored), Some(ErrorKind::BrokenPipe));
        assert_eq!(kind(ours.try_write(b"x")), Some(ErrorKind::BrokenPipe));
        let (source, mut sender) = unix_pair();
        sender.write_all(b"something").unwrap();
        assert_eq!(kind(soon(|| copy(&source, &ours))), Some(ErrorKind::BrokenPipe));
    });
}

/// FAULTS row 13.
#[test]
fn fault_13_a_thousand_half_closed_connections_get_every_byte_back() {
    const CONNECTIONS: usize = 1000;
    assert!(util::limit_descriptors(20_000) >= 2 * CONNECTIONS as u64 + 1000);
    let client = |n: usize| {
        move || {
            let (mut ours, theirs) = socket_pair().unwrap();
            let echo = spawn(move || copy(&theirs, &theirs).unwrap());
            let message = vec![n as u8; 1 + n];
            ours.write_all(&message).unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            ours.read_to_end(&mut back).unwrap();
            assert!(back == message);
            assert_eq!(echo.wait().unwrap(), message.len() as u64);
        }
    };
    let clients = (0..CONNECTIONS).map(|n| spawn(client(n)));
    soon(|| join_all(clients)).into_iter().for_each(|client| client.unwrap());
}

/// FAULTS row 16.
#[test]
fn fault_16_peers_that_stop_reading_hold_up_nobody_else() {
    const SLOW: usize = 200;
    assert!(util::limit_descriptors(20_000) > 1_000);
    let mut peers = Vec::new();
    let writers: Vec<_> = (0..SLOW)
        .map(|_| {
            let (ours, theirs) = unix_pair();
            socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
            peers.push(theirs);
            spawn(move || {
                ours.set_write_timeout(Some(Duration::from_millis(50)))?;
                (0..).try_for_each(|_: u64| (&ours).write_all(&[0; 4096]))
            })
        })
        .collect();
    let_all_park();
    let (ours, mut theirs) = unix_pair();
    let echo = spawn(move || copy(&ours, &ours));
    let client = std::thread::spawn(move || {
        for _ in 0..100 {
            theirs.write_all(b"ping").unwrap();
            theirs.read_exact(&mut [0; 4]).unwrap();
        }
    });
    assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), 400);
    client.join().unwrap();
    for writer in writers {
        assert_eq!(kind(soon(|| writer.wait()).unwrap()), Some(ErrorKind::TimedOut));
    }
}

/// FAULTS row 36.
#[test]
fn fault_36_clones_close_one_by_one_and_do_not_disturb_each_other() {
    let (ours, mut theirs) = unix_pair();
    let clone = ours.try_clone().unwrap();
    // Both are known to the hub by now.
    let first = spawn(move || (&ours).read(&mut [0]).map(|_| ours));
    let second = spawn(move || (&clone).read(&mut [0]).map(|_| clone));
    let_all_park();
    theirs.write_all(b"1").unwrap();
    util::wait_until(|| first.is_finished() || second.is_finished());
    let (done, other) = if first.is_finished() { (first, second) } else { (second, first) };
    drop(soon(|| done.wait()).unwrap().unwrap());
    let_all_park();
    assert!(!other.is_finished());
    theirs.write_all(b"2").unwrap();
    drop(soon(|| other.wait()).unwrap().unwrap());
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the last one has closed the connection");
}

/// FAULTS row 37.
#[test]
fn fault_37_a_connection_that_hung_up_costs_nothing_while_nobody_asks() {
    let (ours, theirs) = socket_pair().unwrap();
    for stream in [&ours, &theirs] {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(kind(soon(|| { stream }.read(&mut [0]))), Some(ErrorKind::TimedOut));
    }
    theirs.shutdown(Shutdown::Both).unwrap();
    util::costs_nothing();
    drop(theirs);
    util::costs_nothing();
}

/// Sends bytes with a descriptor.
fn send_with_descriptor(stream: &StdUnixStream, bytes: &[u8], fd: &impl AsFd) {
    let number = fd.as_fd().as_raw_fd();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0_u64; 4];
    // SAFETY: all of it lives through the call, the control buffer is aligned and large enough for one
    // descriptor, and a message of zeroes is one without any of the rest.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of_val(&number) as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of_val(&number) as u32) as usize;
        libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(number);
        let sent = libc::sendmsg(stream.as_raw_fd(), &raw const message, 0);
        assert_eq!(sent, bytes.len() as isize);
    }
}

/// DESIGN section 3: a read stops where a descriptor came along, though more is there.
#[test]
fn data_with_descriptors_in_between_hides_nothing_behind_it() {
    for size in [1, 100] {
        for reader_first in [true, false] {
            let (ours, theirs) = unix_pair();
            // Known to the hub, with nothing to read.
            ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_eq!(kind(soon(|| (&ours).read(&mut [0]))), Some(ErrorKind::TimedOut));
            ours.set_read_timeout(None).unwrap();
            let reader = move || {
                let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
                while all.len() < 9 {
                    let count = (&ours).read(&mut buffer).unwrap();
                    all.extend_from_slice(&buffer[..count]);
                }
                all
            };
            let send = || {
                send_with_descriptor(&theirs, b"one", &theirs);
                send_with_descriptor(&theirs, b"two", &theirs);
                (&theirs).write_all(b"end").unwrap();
            };
            let reader = if reader_first {
                let reader = spawn(reader);
                let_all_park();
                send();
                reader
            } else {
                send();
                spawn(reader)
            };
            assert_eq!(soon(|| reader.wait()).unwrap(), b"onetwoend");
        }
    }
}

#[test]
fn the_pair_is_connected_both_ways_and_copies_go_through_it() {
    let (one, other) = socket_pair().unwrap();
    let (tcp, mut tcp_peer) = util::pair();
    let echo = spawn(move || copy(&other, &other));
    let to_tcp = spawn(move || {
        (&one).write_all(b"there and back").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        copy(&one, &tcp).unwrap()
    });
    let mut all = String::new();
    assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), 14);
    assert_eq!(soon(|| to_tcp.wait()).unwrap(), 14);
    tcp_peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "there and back");
}

#[test]
fn a_megabyte_goes_through_a_small_buffer_byte_by_byte_the_same() {
    let (ours, theirs) = socket_pair().unwrap();
    socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    let data: Vec<u8> = (0..1 << 20).map(|n| (n % 253) as u8).collect();
    let writer = spawn({
        let data = data.clone();
        move || (&ours).write_all(&data).unwrap()
    });
    let reader = spawn(move || {
        let mut all = Vec::new();
        (&theirs).read_to_end(&mut all).unwrap();
        all
    });
    soon(|| writer.wait()).unwrap();
    assert!(soon(|| reader.wait()).unwrap() == data);
}

#[test]
fn one_that_is_killed_or_gives_up_leaves_no_trace() {
    let (ours, mut theirs) = unix_pair();
    let ours = Rc::new(ours);
    let killed = spawn_on("killed", &ours, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    killed.kill();
    assert!(timeout(Duration::from_millis(1), || (&*ours).read(&mut [0; 8])).is_err());
    let reader = spawn_on("the next", &ours, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    theirs.write_all(b"x").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 1);
}

util::and_all_of_them_again!();
