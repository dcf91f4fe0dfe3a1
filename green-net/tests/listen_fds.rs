//! Sockets that the environment hands over, as systemd does.

mod util;

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use evy_green_net::{InheritedSocket, Server, copy, listen, listeners_from_env};
use evy_runtime::io::Direction;
use util::{FOR_EVER, StdStream};

/// Starts the test `name` as a child that is handed these descriptors, which it finds as 3, 4, … `pid`
/// is what `LISTEN_PID` says, where `$$` is the child's own number.
fn hand_over(name: &str, pid: &str, names: Option<&str>, fds: &[OwnedFd]) -> Child {
    hand_over_as(&fds.len().to_string(), name, pid, names, fds)
}

/// And says that they are so many.
fn hand_over_as(count: &str, name: &str, pid: &str, names: Option<&str>, fds: &[OwnedFd]) -> Child {
    let test = util::child_command(name);
    let mut command = Command::new("sh");
    // The shell becomes the test: it has the number that the variable says.
    command.args(["-c", &format!("LISTEN_PID={pid} exec \"$0\" \"$@\"")]);
    command.arg(test.get_program()).args(test.get_args());
    for (variable, value) in test.get_envs() {
        command.env(variable, value.unwrap());
    }
    command.env("LISTEN_FDS", count);
    match names {
        Some(names) => command.env("LISTEN_FDNAMES", names),
        None => command.env_remove("LISTEN_FDNAMES"),
    };
    let numbers: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    // SAFETY: between fork and exec only fcntl and dup2 are called, which may be; the numbers were copied.
    unsafe {
        command.pre_exec(move || {
            // First out of the way of those that are to be had.
            let away: Vec<_> =
                numbers.iter().map(|fd| libc::fcntl(*fd, libc::F_DUPFD, 100)).collect();
            let count = away.len() as RawFd;
            for (wanted, fd) in (3..).zip(away) {
                if libc::dup2(fd, wanted) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            // Whatever else who runs the tests has left open.
            for fd in 3 + count..256 {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            Ok(())
        });
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn unix_path(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("evy-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn each_socket_comes_as_what_it_is_and_with_its_name() {
    const NAME: &str = "each_socket_comes_as_what_it_is_and_with_its_name";
    if util::is_child() {
        let sockets = listeners_from_env().unwrap();
        let seen: Vec<_> = sockets
            .iter()
            .map(|inherited| {
                let kind = match &inherited.socket {
                    InheritedSocket::TcpListener(socket) => {
                        assert!(is_nonblocking(socket.as_raw_fd()));
                        "tcp"
                    }
                    InheritedSocket::UdpSocket(socket) => {
                        assert!(is_nonblocking(socket.as_raw_fd()));
                        "udp"
                    }
                    InheritedSocket::UnixListener(socket) => {
                        assert!(is_nonblocking(socket.as_raw_fd()));
                        "unix"
                    }
                    InheritedSocket::UnixDatagram(socket) => {
                        assert!(is_nonblocking(socket.as_raw_fd()));
                        "unix datagram"
                    }
                    InheritedSocket::Other(_) => "other",
                    other => panic!("{other:?}"),
                };
                (inherited.name.as_deref().unwrap_or("-"), kind)
            })
            .collect();
        let expected = [
            ("web", "tcp"),
            ("-", "udp"),
            ("local", "unix"),
            ("-", "unix datagram"),
            ("-", "other"),
            ("-", "tcp"),
        ];
        assert_eq!(seen, expected);
        for fd in 3..9 {
            // SAFETY: it only asks.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            assert_eq!(flags, libc::FD_CLOEXEC, "descriptor {fd}");
        }
        assert!(listeners_from_env().unwrap().is_empty(), "they are given out once");
        return;
    }
    let [path, datagram_path] = [unix_path("listener"), unix_path("datagrams")];
    let packets =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).unwrap();
    let packets_path = unix_path("packets");
    packets.bind(&socket2::SockAddr::unix(&packets_path).unwrap()).unwrap();
    packets.listen(1).unwrap();
    let fds: [OwnedFd; 6] = [
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(),
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        std::os::unix::net::UnixListener::bind(&path).unwrap().into(),
        std::os::unix::net::UnixDatagram::bind(&datagram_path).unwrap().into(),
        packets.into(),
        std::net::TcpListener::bind("[::1]:0")
            .or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap()
            .into(),
    ];
    let child = hand_over(NAME, "$$", Some("web::local"), &fds);
    util::assert_success(child.wait_with_output().unwrap());
    for path in [path, datagram_path, packets_path] {
        let _ = std::fs::remove_file(path);
    }
}

fn is_nonblocking(fd: RawFd) -> bool {
    // SAFETY: it only asks.
    unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    const NAME: &str = "sockets_for_another_process_are_left_alone";
    if util::is_child() {
        assert!(listeners_from_env().unwrap().is_empty());
        // SAFETY: it only asks.
        assert!(unsafe { libc::fcntl(3, libc::F_GETFD) } >= 0, "it is still open");
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fds = [listener.into()];
    for count in ["1", "400", "nonsense"] {
        let child = hand_over_as(count, NAME, "1", None, &fds);
        util::assert_success(child.wait_with_output().unwrap());
    }
}

/// That the environment is refused for this reason, and the first descriptor is as it was.
#[track_caller]
fn assert_refused(why: &str) {
    for _ in 0..2 {
        let error = listeners_from_env().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(why), "{error}");
        // SAFETY: it only asks.
        assert_eq!(unsafe { libc::fcntl(3, libc::F_GETFD) }, 0, "it is open, and not taken");
    }
}

#[test]
fn descriptors_that_are_not_there_are_an_error_and_none_is_taken() {
    const NAME: &str = "descriptors_that_are_not_there_are_an_error_and_none_is_taken";
    if util::is_child() {
        return assert_refused("descriptor 4, which is not open");
    }
    let fds = [std::net::TcpListener::bind("127.0.0.1:0").unwrap().into()];
    for count in ["2", "400", "18446744073709551615"] {
        let child = hand_over_as(count, NAME, "$$", None, &fds);
        util::assert_success(child.wait_with_output().unwrap());
    }
}

/// A count that is too large must not take, and so in the end close, what this process has opened itself.
#[test]
fn descriptors_of_the_process_itself_are_not_taken() {
    const NAME: &str = "descriptors_of_the_process_itself_are_not_taken";
    if util::is_child() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(own.as_raw_fd(), 4);
        assert_refused("descriptor 4, which was opened by this process itself");
        let client = StdStream::connect(own.local_addr().unwrap()).unwrap();
        assert_eq!(own.accept().unwrap().1, client.local_addr().unwrap());
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let child = hand_over_as("2", NAME, "$$", None, &[listener.into()]);
    util::assert_success(child.wait_with_output().unwrap());
}

/// What was left open by who started the process, as a log or a connection, is nobody's to take.
#[test]
fn descriptors_that_are_no_listeners_are_not_taken() {
    const NAME: &str = "descriptors_that_are_no_listeners_are_not_taken";
    if util::is_child() {
        assert_refused("descriptor 4, which is no socket that listens or receives datagrams");
        // SAFETY: it only asks.
        assert_eq!(unsafe { libc::fcntl(4, libc::F_GETFD) }, 0, "it is open");
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let listener = OwnedFd::from(listener);
    for other in [connected.into(), null.into()] {
        let fds = [listener.try_clone().unwrap(), other];
        let child = hand_over(NAME, "$$", None, &fds);
        util::assert_success(child.wait_with_output().unwrap());
    }
}

#[test]
fn variables_that_make_no_sense_are_an_error() {
    const NAME: &str = "variables_that_make_no_sense_are_an_error";
    if util::is_child() {
        let error = listeners_from_env().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        return;
    }
    let child = hand_over(NAME, "nobody", None, &[]);
    util::assert_success(child.wait_with_output().unwrap());
    for count in ["many", "", "-1", "1.0"] {
        let child = hand_over_as(count, NAME, "$$", None, &[]);
        util::assert_success(child.wait_with_output().unwrap());
    }
}

/// A restart that refuses nobody: who comes between the two waits in the queue of the socket.
#[test]
fn a_server_on_an_inherited_listener_leaves_it_to_the_next_one() {
    const NAME: &str = "a_server_on_an_inherited_listener_leaves_it_to_the_next_one";
    if util::is_child() {
        let inherited = listeners_from_env().unwrap().remove(0);
        let InheritedSocket::TcpListener(listener) = inherited.socket else {
            panic!("{inherited:?}")
        };
        let closed = listener.try_clone().unwrap();
        let server = Server::new(listener, |client, _| {
            assert!(client.nodelay()?);
            copy(&client, &client)?;
            Err(evy_green_net::StopServe.into())
        })
        .start()
        .unwrap();
        server.wait().unwrap();
        server.stop(FOR_EVER);
        // Not even this ends it for the others.
        closed.close();
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fds = [OwnedFd::from(listener)];
    for _ in 0..3 {
        let mut client = StdStream::connect(address).unwrap();
        client.set_read_timeout(Some(FOR_EVER)).unwrap();
        client.write_all(b"hello").unwrap();
        let child = hand_over(NAME, "$$", None, &fds);
        let mut back = [0; 5];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        drop(client);
        util::assert_success(child.wait_with_output().unwrap());
    }
}

#[test]
fn without_the_variables_there_are_none() {
    assert!(listeners_from_env().unwrap().is_empty());
    let listener = listen("127.0.0.1:0").unwrap();
    assert!(evy_runtime::io::is_ready(&listener, Direction::Read).is_ok_and(|ready| !ready));
}
