//! `TcpStream`: what std's does, ours does too; and where the documentation says otherwise, that.

mod util;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use evy_green_net::TcpStream;
use evy_runtime::{spawn, yield_now};
use util::{alone, pair, peer, refused, same_as_std, seen, soon};

same_as_std! {
    fn the_ends_know_their_addresses() -> [bool; 3] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, from) = listener.accept().unwrap();
        [
            ours.local_addr().unwrap() == from,
            ours.peer_addr().unwrap() == listener.local_addr().unwrap(),
            theirs.peer_addr().unwrap() == from,
        ]
    }

    fn debug_output_names_both_ends_and_the_descriptor() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let known = [
            ("OUR_PORT", stream.local_addr().unwrap().port().to_string()),
            ("THEIR_PORT", stream.peer_addr().unwrap().port().to_string()),
        ];
        let mut text = format!("{stream:?}");
        for (name, port) in known {
            text = text.replace(&port, name);
        }
        text.replace(&format!("fd: {}", stream.as_raw_fd()), "fd: N")
    }

    fn options_keep_what_they_were_set_to() -> Vec<String> {
        let (address, _peer) = peer(|_| ());
        let stream = TcpStream::connect(address).unwrap();
        let mut seen = Vec::new();
        for on in [true, false, true] {
            stream.set_nodelay(on).unwrap();
            seen.push(format!("nodelay {}", stream.nodelay().unwrap()));
        }
        stream.set_ttl(42).unwrap();
        seen.push(format!("ttl {:?}", stream.ttl().unwrap()));
        seen.push(format!("{:?}", stream.set_ttl(1000).map_err(|error| error.raw_os_error())));
        seen.push(format!("timeouts {:?}", (stream.read_timeout(), stream.write_timeout())));
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

    /// Semantics E 83.
    fn the_end_of_the_stream_is_read_again_and_again() -> Vec<usize> {
        let (address, peer) = peer(|mut stream| stream.write_all(b"four").unwrap());
        let mut stream = TcpStream::connect(address).unwrap();
        let mut buffer = [0; 4];
        stream.read_exact(&mut buffer).unwrap();
        peer.join().unwrap();
        (0..5).map(|_| stream.read(&mut buffer).unwrap()).collect()
    }

    /// Semantics E 83.
    fn a_side_that_is_shut_down_is_shut_and_the_other_is_not() -> Vec<String> {
        let (address, peer) = peer(|mut stream| {
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            stream.write_all(b"after the end").unwrap();
            all
        });
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"before the end").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let written = stream.write(b"too late").map_err(|error| error.kind());
        let mut read = String::new();
        stream.read_to_string(&mut read).unwrap();
        let all = peer.join().unwrap();
        vec![all, read, format!("{written:?}")]
    }

    fn reading_that_is_shut_down_gives_the_end() -> Vec<usize> {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b"before").unwrap();
            stream
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let peer = peer.join().unwrap();
        stream.peek(&mut [0; 6]).unwrap();
        stream.shutdown(Shutdown::Read).unwrap();
        // What came before is still given out, and then the end.
        let seen = vec![stream.read(&mut [0; 10]).unwrap(), stream.read(&mut [0; 10]).unwrap()];
        drop(peer);
        seen
    }

    fn a_stream_that_is_shut_down_twice_says_so() -> Vec<Result<(), (ErrorKind, Option<i32>)>> {
        let (address, peer) = peer(drop);
        let mut stream = TcpStream::connect(address).unwrap();
        peer.join().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        (0..2).map(|_| seen(stream.shutdown(Shutdown::Both))).collect()
    }

    fn a_peek_leaves_the_data_where_it_is() -> Vec<Vec<u8>> {
        let (address, peer) = peer(|mut stream| stream.write_all(b"abcdef").unwrap());
        let mut stream = TcpStream::connect(address).unwrap();
        peer.join().unwrap();
        let mut seen = Vec::new();
        for length in [2, 6, 1] {
            let mut buffer = vec![0; length];
            let count = stream.peek(&mut buffer).unwrap();
            buffer.truncate(count);
            seen.push(buffer);
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte.to_vec());
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        seen.push(rest);
        seen.push(vec![stream.peek(&mut [0; 9]).unwrap() as u8]);
        seen
    }

    fn a_stream_that_does_not_block_says_would_block() -> Vec<ErrorKind> {
        let (address, peer) = peer(|stream| stream);
        let mut stream = TcpStream::connect(address).unwrap();
        let mut peer = peer.join().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut seen = vec![
            stream.read(&mut [0]).unwrap_err().kind(),
            stream.peek(&mut [0]).unwrap_err().kind(),
        ];
        let block = vec![7; 1 << 20];
        let mut written = 0;
        let full = loop {
            match stream.write(&block) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        seen.push(full.kind());
        // Blocking again, the same data goes on where it was.
        stream.set_nonblocking(false).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            assert!(all.iter().all(|byte| *byte == 7));
            all.len()
        });
        stream.write_all(&block).unwrap();
        drop(stream);
        assert_eq!(reader.join().unwrap(), written + block.len());
        seen
    }

    /// Semantics E 84.
    fn a_write_to_a_peer_that_has_gone_is_an_error() -> Vec<bool> {
        let (address, peer) = peer(drop);
        let mut stream = TcpStream::connect(address).unwrap();
        peer.join().unwrap();
        let error = (0..1000).find_map(|_| stream.write(b"hello?").err()).expect("it has gone");
        let gone = |kind| matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        let later = stream.write_all(b"really?").unwrap_err().kind();
        let vectored = stream.write_vectored(&[IoSlice::new(b"?")]).unwrap_err().kind();
        vec![gone(error.kind()), gone(later), gone(vectored)]
    }

    /// FAULTS row 50.
    fn fault_50_nothing_is_written_and_read_as_with_std() -> Vec<usize> {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b"x").unwrap();
            stream
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let peer = peer.join().unwrap();
        // Parked once, so that what follows goes by what the hub knows.
        stream.peek(&mut [0; 8]).unwrap();
        let mut seen = vec![stream.read(&mut []).unwrap(), stream.read(&mut [0; 8]).unwrap()];
        seen.push(stream.read_vectored(&mut []).unwrap());
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 1 << 16]).is_ok() {}
        stream.set_nonblocking(false).unwrap();
        seen.push(stream.write(b"").unwrap());
        seen.push(stream.write_vectored(&[]).unwrap());
        seen.push(stream.write_vectored(&[IoSlice::new(b"")]).unwrap());
        drop(peer);
        seen
    }

    fn vectored_reads_and_writes_use_the_buffers_in_turn() -> Vec<String> {
        let (address, peer) = peer(|mut stream| {
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            stream.write_all(all.as_bytes()).unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let parts = ["one ", "", "two ", "three"];
        let count = stream.write_vectored(&parts.map(|part| IoSlice::new(part.as_bytes()))).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        peer.join().unwrap();
        let (mut first, mut second) = ([0; 5], [0; 100]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let read = stream.read_vectored(&mut buffers).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        vec![count.to_string(), text(&first), text(&second[..read - 5])]
    }

    /// FAULTS row 50.
    fn fault_50_more_buffers_than_the_system_takes_lose_nothing() -> (bool, u64) {
        const BUFFERS: usize = 3000;
        let (address, peer) = peer(|mut stream| io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        let mut stream = TcpStream::connect(address).unwrap();
        let data: Vec<u8> = (0..BUFFERS * 3).map(|n| (n % 251) as u8).collect();
        let mut written = 0;
        while written < data.len() {
            let parts: Vec<_> = data[written..].chunks(3).map(IoSlice::new).collect();
            let count = stream.write_vectored(&parts).unwrap();
            assert!(count > 0 && count <= 3 * 1024);
            written += count;
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let echoed = peer.join().unwrap().unwrap();
        // All of it lies there now: each read fills every buffer that the system takes.
        let mut back = Vec::new();
        loop {
            let mut parts = vec![[0; 3]; BUFFERS];
            let mut buffers: Vec<_> = parts.iter_mut().map(|part| IoSliceMut::new(part)).collect();
            match stream.read_vectored(&mut buffers).unwrap() {
                0 => break,
                count => back.extend_from_slice(&parts.concat()[..count]),
            }
        }
        (back == data, echoed)
    }

    fn a_clone_is_the_same_connection() -> Vec<String> {
        let (address, peer) = peer(|mut stream| {
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            stream.write_all(b"bye").unwrap();
            all
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let mut clone = stream.try_clone().unwrap();
        assert_eq!(stream.local_addr().unwrap(), clone.local_addr().unwrap());
        stream.write_all(b"from one, ").unwrap();
        clone.write_all(b"from the other").unwrap();
        drop(stream);
        clone.shutdown(Shutdown::Write).unwrap();
        let mut back = String::new();
        clone.read_to_string(&mut back).unwrap();
        vec![peer.join().unwrap(), back]
    }

    fn a_refused_connection_is_said_to_be_so() -> Vec<(ErrorKind, Option<i32>)> {
        let (_keep, nobody) = refused();
        vec![
            seen(TcpStream::connect(nobody)).unwrap_err(),
            seen(TcpStream::connect_timeout(&nobody, Duration::from_secs(5))).unwrap_err(),
        ]
    }
}

#[test]
fn nodelay_is_on_from_the_start_on_both_ends() {
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert!(client.nodelay().unwrap());
    assert!(server.nodelay().unwrap());
}

#[test]
fn streams_and_listeners_go_to_other_threads_and_are_shared() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<TcpStream>();
    check::<evy_green_net::TcpListener>();
}

#[test]
fn try_read_and_try_write_never_wait() {
    let (ours, mut theirs) = pair();
    assert_eq!(ours.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    theirs.write_all(b"abc").unwrap();
    soon(|| ours.peek(&mut [0; 3])).unwrap();
    let mut buffer = [0; 2];
    assert_eq!(ours.try_read(&mut buffer).unwrap(), 2);
    assert_eq!(&buffer, b"ab");
    assert_eq!(ours.try_read(&mut buffer).unwrap(), 1);
    assert_eq!(ours.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    let block = [1; 1 << 16];
    let full = (0..10_000).find_map(|_| ours.try_write(&block).err()).expect("it gets full");
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    // The hub's knowledge has not suffered: the next read and write park and go on.
    let reader = spawn(move || {
        let mut byte = [0];
        (&ours).read_exact(&mut byte).unwrap();
        (&ours).write_all(&byte).unwrap();
        byte[0]
    });
    yield_now();
    theirs.write_all(b"d").unwrap();
    let drain = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
    assert_eq!(soon(|| reader.wait()).unwrap(), b'd');
    assert_eq!(drain.join().unwrap() % (1 << 10), 1);
}

/// Semantics E 87.
#[test]
fn every_descriptor_is_non_blocking_and_closed_by_exec() {
    #[track_caller]
    fn check(fd: BorrowedFd<'_>) {
        // SAFETY: fcntl with these takes no pointers, and the descriptor is open.
        let (file, descriptor) = unsafe {
            (libc::fcntl(fd.as_raw_fd(), libc::F_GETFL), libc::fcntl(fd.as_raw_fd(), libc::F_GETFD))
        };
        assert_ne!(file & libc::O_NONBLOCK, 0);
        assert_ne!(descriptor & libc::FD_CLOEXEC, 0);
    }
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    check(listener.as_fd());
    check(client.as_fd());
    check(server.as_fd());
    check(listener.try_clone().unwrap().as_fd());
    check(server.try_clone().unwrap().as_fd());
}

#[test]
fn streams_come_from_std_and_go_back_by_every_way() {
    #[track_caller]
    fn check(mut stream: TcpStream, theirs: &mut std::net::TcpStream) -> TcpStream {
        theirs.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        soon(|| stream.read_exact(&mut buffer)).unwrap();
        stream.write_all(&buffer).unwrap();
        theirs.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"ping");
        stream
    }
    let (stream, mut theirs) = pair();
    let number = stream.as_raw_fd();
    let stream = check(stream, &mut theirs);
    let std = stream.into_std();
    std.set_nonblocking(false).unwrap();
    let stream = check(TcpStream::from_std(std).unwrap(), &mut theirs);
    let stream = check(TcpStream::from(std::net::TcpStream::from(stream)), &mut theirs);
    let stream = check(TcpStream::from(OwnedFd::from(stream)), &mut theirs);
    let raw = stream.into_raw_fd();
    // SAFETY: the number was just given away by its owner.
    let stream = check(unsafe { TcpStream::from_raw_fd(raw) }, &mut theirs);
    assert_eq!(stream.as_raw_fd(), number, "one descriptor all the way");
}

#[test]
fn into_std_leaves_the_descriptor_non_blocking() {
    let (stream, _theirs) = pair();
    let mut std = stream.into_std();
    assert_eq!(std.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn timed_out_is_said_of_every_call() {
    let (ours, _theirs) = pair();
    let timeout = Duration::from_millis(20);
    ours.set_read_timeout(Some(timeout)).unwrap();
    ours.set_write_timeout(Some(timeout)).unwrap();
    let block = [0; 1 << 16];
    let mut buffer = [0; 8];
    let calls: [(&str, &mut dyn FnMut() -> io::Result<usize>); 6] = [
        ("read", &mut || (&ours).read(&mut [0; 8])),
        ("read_vectored", &mut || (&ours).read_vectored(&mut [IoSliceMut::new(&mut buffer)])),
        ("peek", &mut || ours.peek(&mut [0; 8])),
        ("write", &mut || (0..).try_fold(0, |_, _: u64| (&ours).write(&block))),
        ("write_vectored", &mut || {
            (0..).try_fold(0, |_, _: u64| (&ours).write_vectored(&[IoSlice::new(&block)]))
        }),
        ("copy", &mut || evy_green_net::copy(&ours, &ours).map(|count| count as usize)),
    ];
    for (name, call) in calls {
        let start = Instant::now();
        let result = soon(call);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut, "{name}");
        assert!(start.elapsed() >= timeout, "{name} was early");
    }
}

#[test]
fn a_timeout_that_is_taken_away_is_gone() {
    let (mut ours, mut theirs) = pair();
    ours.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(soon(|| ours.read(&mut buffer)).unwrap_err().kind(), ErrorKind::TimedOut);
    ours.set_read_timeout(None).unwrap();
    let reader = spawn(move || ours.read(&mut buffer));
    evy_runtime::sleep(Duration::from_millis(60));
    assert!(!reader.is_finished());
    theirs.write_all(b"late").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 4);
}

#[test]
fn a_read_that_timed_out_leaves_no_trace() {
    let (mut ours, mut theirs) = pair();
    for round in 0..20 {
        ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(soon(|| ours.read(&mut buffer)).unwrap_err().kind(), ErrorKind::TimedOut);
        theirs.write_all(&[round]).unwrap();
        ours.set_read_timeout(Some(util::FOR_EVER)).unwrap();
        assert_eq!(soon(|| ours.read(&mut buffer)).unwrap(), 1);
        assert_eq!(buffer[0], round);
    }
}

#[test]
fn the_time_of_a_timeout_is_that_of_the_whole_call_and_of_one_handle() {
    let (ours, _theirs) = pair();
    ours.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let clone = ours.try_clone().unwrap();
    assert_eq!(clone.read_timeout().unwrap(), Some(Duration::from_millis(10)));
    clone.set_read_timeout(None).unwrap();
    assert_eq!(ours.read_timeout().unwrap(), Some(Duration::from_millis(10)));
    ours.set_read_timeout(Some(Duration::MAX)).unwrap();
    assert!(ours.read_timeout().unwrap().unwrap() > Duration::from_secs(1 << 30));
    let reader = spawn(move || (&ours).read(&mut [0]));
    util::let_all_park();
    assert!(!reader.is_finished());
    reader.kill();
}

/// FAULTS row 13.
#[test]
fn fault_13_a_thousand_half_closed_connections_get_every_byte_back() {
    const CONNECTIONS: usize = 1000;
    let wanted = 2 * CONNECTIONS as u64 + 1000;
    assert!(util::limit_descriptors(20_000) >= wanted, "this test takes {wanted} descriptors");
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        let echo = |stream: TcpStream| move || evy_green_net::copy(&stream, &stream);
        let echoes: Vec<_> = listener
            .incoming()
            .take(CONNECTIONS)
            .map(|stream| spawn(echo(stream.unwrap())))
            .collect();
        evy_runtime::join_all(echoes).into_iter().map(|count| count.unwrap().unwrap()).sum::<u64>()
    });
    let client = |n: usize| {
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let message = vec![n as u8; 1 + n];
            stream.write_all(&message).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            assert!(back == message);
        }
    };
    let clients: Vec<_> = (0..CONNECTIONS).map(|n| spawn(client(n))).collect();
    soon(|| clients.into_iter().for_each(|client| client.wait().unwrap()));
    let all: usize = (0..CONNECTIONS).map(|n| 1 + n).sum();
    assert_eq!(server.wait().unwrap(), all as u64);
}

/// FAULTS row 12, Semantics E 84.
#[test]
fn fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills() {
    alone("fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills", || {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (ours, theirs) = pair();
        drop(theirs);
        let mut stream = &ours;
        soon(|| while stream.write(b"hello?").is_ok() {});
        assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let vectored = stream.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]);
        assert_eq!(vectored.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(ours.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (source, mut sender) = pair();
        sender.write_all(b"something").unwrap();
        let copied = soon(|| evy_green_net::copy(&source, &ours));
        assert_eq!(copied.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// Semantics E 86, FAULTS row 36.
#[test]
fn fault_36_clones_close_one_by_one_and_do_not_disturb_each_other() {
    let (ours, mut theirs) = pair();
    let clone = ours.try_clone().unwrap();
    // Both are known to the hub by now.
    let first = spawn(move || (&ours).read(&mut [0]).map(|_| ours));
    let second = spawn(move || (&clone).read(&mut [0]).map(|_| clone));
    util::let_all_park();
    theirs.write_all(b"1").unwrap();
    util::wait_until(|| first.is_finished() || second.is_finished());
    let (done, other) = if first.is_finished() { (first, second) } else { (second, first) };
    drop(soon(|| done.wait()).unwrap().unwrap());
    util::let_all_park();
    assert!(!other.is_finished());
    theirs.write_all(b"2").unwrap();
    let clone = soon(|| other.wait()).unwrap().unwrap();
    drop(clone);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the last one has closed the connection");
}

#[test]
fn an_error_that_the_socket_holds_is_taken_once() {
    let (ours, theirs) = pair();
    socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs);
    soon(|| evy_runtime::wait_readable(&ours, None)).unwrap();
    assert_eq!(ours.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
    assert!(ours.take_error().unwrap().is_none());
    assert_eq!(soon(|| (&ours).read(&mut [0])).unwrap(), 0);
}

#[test]
fn a_stream_works_by_reference_and_through_std_io() {
    let (address, peer) = peer(|mut stream| {
        io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
    });
    let stream = soon(|| TcpStream::connect(address)).unwrap();
    let text = "a line\n".repeat(1000);
    let writer = {
        let (stream, text) = (stream.try_clone().unwrap(), text.clone());
        spawn(move || {
            io::copy(&mut text.as_bytes(), &mut &stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        })
    };
    let lines = soon(|| io::BufRead::lines(io::BufReader::new(&stream)).count());
    assert_eq!(lines, 1000);
    writer.wait().unwrap();
    peer.join().unwrap();
}

#[test]
fn a_socket_of_ipv6_is_like_one_of_ipv4() {
    let Ok(listener) = evy_green_net::listen("[::1]:0") else {
        return eprintln!("no IPv6 here: nothing was tested");
    };
    let address = listener.local_addr().unwrap();
    assert!(address.is_ipv6());
    let client = soon(|| TcpStream::connect(address)).unwrap();
    let (server, from) = listener.accept().unwrap();
    assert_eq!(client.local_addr().unwrap(), from);
    (&client).write_all(b"six").unwrap();
    let mut buffer = [0; 3];
    soon(|| (&server).read_exact(&mut buffer)).unwrap();
    assert_eq!(&buffer, b"six");
    let _: SocketAddr = server.peer_addr().unwrap();
}

#[test]
fn the_same_tests_pass_without_spinning() {
    util::again_with("EVY_SPIN", "0");
}

util::and_all_of_them_again!();
