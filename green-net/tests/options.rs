//! The options of sockets, as the system has them: read back by other means than ours.

mod util;

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use evy_green_net::{
    ConnectOptions, Keepalive, ListenOptions, TcpListener, TcpStream, connect, connect_from,
    listen, listen_shared,
};
use socket2::SockRef;
use util::{refused, seen, soon};

const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(61), interval: Duration::from_secs(7), retries: 3 };

/// More than the system starts with, and less than it allows.
const SIZE: usize = 100_000;

/// What the system says of one socket.
#[derive(Debug, PartialEq)]
struct Options {
    nodelay: bool,
    ttl: u32,
    keepalive: Option<Keepalive>,
    linger: Option<Duration>,
    send_buffer: usize,
    recv_buffer: usize,
}

fn options(socket: &impl AsFd) -> Options {
    let socket = SockRef::from(socket);
    let keepalive = Keepalive {
        idle: socket.tcp_keepalive_time().unwrap(),
        interval: socket.tcp_keepalive_interval().unwrap(),
        retries: socket.tcp_keepalive_retries().unwrap(),
    };
    Options {
        nodelay: socket.tcp_nodelay().unwrap(),
        ttl: match socket.local_addr().unwrap().as_socket().unwrap() {
            SocketAddr::V4(_) => socket.ttl_v4().unwrap(),
            SocketAddr::V6(_) => socket.unicast_hops_v6().unwrap(),
        },
        keepalive: socket.keepalive().unwrap().then_some(keepalive),
        linger: socket.linger().unwrap(),
        send_buffer: socket.send_buffer_size().unwrap(),
        recv_buffer: socket.recv_buffer_size().unwrap(),
    }
}

/// With everything set to what it is not otherwise.
fn all_set() -> Options {
    Options {
        nodelay: false,
        ttl: 7,
        keepalive: Some(KEEPALIVE),
        linger: Some(Duration::ZERO),
        // Linux doubles them.
        send_buffer: 2 * SIZE,
        recv_buffer: 2 * SIZE,
    }
}

fn connecting() -> ConnectOptions {
    TcpStream::options()
        .nodelay(false)
        .ttl(7)
        .keepalive(KEEPALIVE)
        .linger(Duration::ZERO)
        .send_buffer_size(SIZE)
        .recv_buffer_size(SIZE)
}

fn listening() -> ListenOptions {
    TcpListener::options()
        .nodelay(false)
        .ttl(7)
        .keepalive(KEEPALIVE)
        .linger(Duration::ZERO)
        .send_buffer_size(SIZE)
        .recv_buffer_size(SIZE)
}

/// Addresses of both families that this machine has.
fn families() -> Vec<SocketAddr> {
    let all = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()];
    all.into_iter().filter(|address| std::net::TcpListener::bind(address).is_ok()).collect()
}

#[test]
fn a_stream_has_the_options_with_which_it_was_connected() {
    for address in families() {
        let listener = listen(address).unwrap();
        let stream = connecting().connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(options(&stream), all_set());
        // Without them it has what the system chooses, and sends small writes at once.
        let stream = connect(listener.local_addr().unwrap()).unwrap();
        let found = options(&stream);
        assert_eq!((found.nodelay, found.keepalive, found.linger), (true, None, None));
        assert!(found.ttl > 7 && found.send_buffer != 2 * SIZE && found.recv_buffer != 2 * SIZE);
    }
}

#[test]
fn accepted_streams_have_the_options_of_their_listener() {
    for address in families() {
        for listener in [
            listening().listen(address).unwrap(),
            listening().share(address).unwrap().listen().unwrap(),
        ] {
            let _client = connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(options(&soon(|| listener.accept()).unwrap().0), all_set());
        }
        let listener = ListenOptions::default().listen(address).unwrap();
        let _client = connect(listener.local_addr().unwrap()).unwrap();
        let found = options(&soon(|| listener.accept()).unwrap().0);
        assert_eq!((found.nodelay, found.keepalive, found.linger), (true, None, None));
        assert!(found.ttl > 7 && found.send_buffer != 2 * SIZE && found.recv_buffer != 2 * SIZE);
    }
}

#[test]
fn a_stream_takes_options_later_and_gives_them_back() {
    let (stream, _peer) = util::pair();
    let before = options(&stream);
    stream.set_keepalive(Some(KEEPALIVE)).unwrap();
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    stream.set_send_buffer_size(SIZE).unwrap();
    stream.set_recv_buffer_size(SIZE).unwrap();
    stream.set_nodelay(false).unwrap();
    stream.set_ttl(7).unwrap();
    assert_eq!(options(&stream), all_set());
    assert_eq!(stream.keepalive().unwrap(), Some(KEEPALIVE));
    assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
    assert_eq!(stream.send_buffer_size().unwrap(), 2 * SIZE);
    assert_eq!(stream.recv_buffer_size().unwrap(), 2 * SIZE);

    stream.set_keepalive(None).unwrap();
    stream.set_linger(None).unwrap();
    assert_eq!(stream.keepalive().unwrap(), None);
    assert_eq!(stream.linger().unwrap(), None);
    let after = options(&stream);
    assert_eq!((after.keepalive, after.linger), (before.keepalive, before.linger));
}

/// The system counts seconds. Half of one is not none: that would be refused, or be a reset.
#[test]
fn times_are_rounded_up_to_seconds() {
    let (stream, _peer) = util::pair();
    let (none, half) = (Duration::ZERO, Duration::from_millis(500));
    let second = Duration::from_secs(1);
    for (idle, interval) in [(none, half), (half, none)] {
        stream.set_keepalive(Some(Keepalive { idle, interval, retries: 1 })).unwrap();
        let expected = Keepalive { idle: second, interval: second, retries: 1 };
        assert_eq!(stream.keepalive().unwrap(), Some(expected));
    }
    stream.set_linger(Some(half)).unwrap();
    assert_eq!(stream.linger().unwrap(), Some(second));
    stream.set_linger(None).unwrap();
}

#[test]
fn what_the_system_does_not_take_is_an_error() {
    let (stream, _peer) = util::pair();
    let too_long = Keepalive { idle: Duration::from_secs(40_000), ..KEEPALIVE };
    for keepalive in [too_long, Keepalive { retries: 0, ..KEEPALIVE }] {
        let error = stream.set_keepalive(Some(keepalive)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(stream.keepalive().unwrap(), None);
    }
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for options in [ConnectOptions::new().ttl(1000), ConnectOptions::new().keepalive(too_long)] {
        assert_eq!(options.connect(address).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for options in [ListenOptions::new().ttl(1000), ListenOptions::new().keepalive(too_long)] {
        for address in families() {
            assert_eq!(options.listen(address).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}

#[test]
fn a_linger_of_zero_is_a_reset() {
    let (stream, mut peer) = util::pair();
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    (&stream).write_all(b"lost").unwrap();
    drop(stream);
    let mut text = Vec::new();
    assert_eq!(peer.read_to_end(&mut text).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// How many connections may wait to be accepted, as the system sees it.
fn backlog(listener: &TcpListener) -> u32 {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: so many bytes are ours, and zeroes where the system writes fewer, which are valid.
    let info = unsafe {
        let result = libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        assert_eq!(result, 0);
        info.assume_init()
    };
    info.tcpi_sacked
}

#[test]
fn the_backlog_is_4096_unless_said_otherwise() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let most: u32 = most.trim().parse().unwrap();
    let local = "127.0.0.1:0";
    assert_eq!(backlog(&listen(local).unwrap()), most.min(4096));
    assert_eq!(backlog(&TcpListener::bind(local).unwrap()), most.min(4096));
    assert_eq!(backlog(&listen_shared(local).unwrap()), most.min(4096));
    assert_eq!(backlog(&ListenOptions::new().backlog(17).listen(local).unwrap()), 17);
    assert_eq!(backlog(&ListenOptions::new().backlog(u32::MAX).listen(local).unwrap()), most);
    let shared = ListenOptions::new().backlog(18).share(local).unwrap();
    assert_eq!(backlog(&shared.listen().unwrap()), 18);
}

#[test]
fn an_address_is_shared_only_with_those_who_ask_for_it() {
    let sharing = ListenOptions::new().reuse_port(true);
    let first = sharing.listen("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    let second = sharing.listen(address).unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    let in_use = |result: io::Result<TcpListener>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::AddrInUse);
    };
    in_use(listen(address));
    in_use(sharing.clone().reuse_port(false).listen(address));
    let alone = listen("127.0.0.1:0").unwrap();
    in_use(sharing.listen(alone.local_addr().unwrap()));
}

#[test]
fn an_address_in_time_wait_can_be_had_unless_it_is_said_otherwise() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    let (mut server, _) = soon(|| listener.accept()).unwrap();
    drop(listener);
    // Who closes first is left with the address for a minute.
    server.shutdown(std::net::Shutdown::Write).unwrap();
    drop(client);
    soon(|| server.read(&mut [0; 8])).unwrap();
    drop(server);
    let error = ListenOptions::new().reuse_address(false).listen(address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    ListenOptions::new().listen(address).unwrap();
}

#[test]
fn only_v6_is_for_ipv6_alone() {
    let listen_on_ipv6 = || ListenOptions::new().only_v6(true).listen("[::]:0");
    if listen_on_ipv6().is_err() {
        return eprintln!("no IPv6 here: nothing was tested");
    }
    // Another program may have the port for IPv4: not each time.
    let is_free = |listener: &TcpListener| {
        let port = listener.local_addr().unwrap().port();
        let error = connect((Ipv4Addr::LOCALHOST, port)).err();
        error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    let mut listeners = (0..10).map(|_| listen_on_ipv6().unwrap());
    let listener = listeners.find(is_free).expect("it listens for IPv4, too");
    assert!(SockRef::from(&listener).only_v6().unwrap());
    let port = listener.local_addr().unwrap().port();
    connect((Ipv6Addr::LOCALHOST, port)).unwrap();
    let by_ipv4 = listen(("0.0.0.0", port)).unwrap();
    assert_eq!(by_ipv4.local_addr().unwrap().port(), port);

    let both = ListenOptions::new().only_v6(false).listen("[::]:0").unwrap();
    assert!(!SockRef::from(&both).only_v6().unwrap());
    connect((Ipv4Addr::LOCALHOST, both.local_addr().unwrap().port())).unwrap();
    ListenOptions::new().only_v6(true).listen("127.0.0.1:0").unwrap();
}

#[test]
fn a_connection_comes_from_where_it_is_told_to() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let from_two = ConnectOptions::new().local(([127, 0, 0, 2], 0).into());
    for stream in [
        connect_from("127.0.0.2:0", address).unwrap(),
        connect_from(("127.0.0.2", 0), address).unwrap(),
        // The first address of the family counts.
        connect_from(
            &["[::1]:0", "127.0.0.2:0", "127.0.0.3:0"].map(|a| a.parse().unwrap())[..],
            address,
        )
        .unwrap(),
        from_two.connect(address).unwrap(),
        // And the last one that is given.
        from_two
            .clone()
            .local(([127, 0, 0, 4], 0).into())
            .local(([127, 0, 0, 2], 0).into())
            .connect(address)
            .unwrap(),
    ] {
        let (_, peer) = soon(|| listener.accept()).unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(stream.local_addr().unwrap(), peer);
    }
}

#[test]
fn a_connection_comes_from_the_port_that_it_is_told_also_in_time_wait() {
    let (keep, local) = refused();
    drop(keep);
    let listener = listen("127.0.0.1:0").unwrap();
    let other = listen("127.0.0.1:0").unwrap();
    let mut stream = connect_from(local, listener.local_addr().unwrap()).unwrap();
    assert_eq!(stream.local_addr().unwrap(), local);
    let (server, _) = soon(|| listener.accept()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    drop(server);
    soon(|| stream.read(&mut [0; 8])).unwrap();
    drop(stream);
    let stream = connect_from(local, other.local_addr().unwrap()).unwrap();
    assert_eq!(stream.local_addr().unwrap(), local);
}

#[test]
fn an_address_that_is_not_ours_is_an_error() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let kind = |result: io::Result<TcpStream>| seen(result.map(drop)).unwrap_err();
    let not_ours = kind(connect_from("192.0.2.1:0", address));
    assert_eq!(not_ours, (ErrorKind::AddrNotAvailable, Some(libc::EADDRNOTAVAIL)));
    // Of the other family.
    assert_eq!(kind(connect_from("[::1]:0", address)).0, ErrorKind::AddrNotAvailable);
    assert_eq!(kind(connect_from(&[] as &[SocketAddr], address)).0, ErrorKind::InvalidInput);
    // Somebody else's port.
    let in_use = kind(connect_from(address, listen("127.0.0.1:0").unwrap().local_addr().unwrap()));
    assert_eq!(in_use.0, ErrorKind::AddrInUse);
    // Families without a local address are not tried, and say less than the others.
    let (_keep, nobody) = refused();
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
    let error = connect_from("127.0.0.2:0", &[nobody, v6][..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    connect_from("127.0.0.2:0", &[v6, address][..]).unwrap();
}

util::and_all_of_them_again!();
