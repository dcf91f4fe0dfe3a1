//! Sockets that are registered with one hub and wait on another: FAULTS row 52.
//!
//! Each kind waits here first, and is the hub's of this OS thread from then on. Then it waits on another one,
//! which is no error, and loses nothing; and what is dropped there leaves nothing here.

#[cfg(feature = "tls")]
mod tls_util;
mod util;

use std::io::{Read, Write};
use std::net::SocketAddr;

use evy_green_net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use evy_runtime::{spawn, unblock};
use util::{StdStream, TempPath, let_all_park, soon};

const ROUNDS: usize = 3;

/// Has `wait` wait on this hub, and then by turns on those of other OS threads and on this one; `answer` ends
/// each wait. The socket is dropped on another OS thread.
fn waits_everywhere<S: Send + 'static>(
    socket: S,
    wait: impl Fn(&S) + Send + Copy + 'static,
    answer: impl Fn(),
) {
    let here = |socket: S| {
        let waiting = spawn(move || {
            wait(&socket);
            socket
        });
        let_all_park();
        assert!(!waiting.is_finished(), "it does not wait");
        answer();
        soon(|| waiting.wait()).unwrap()
    };
    let there = |socket: S| {
        let (begin, begun) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let waiting = spawn(move || {
                wait(&socket);
                socket
            });
            let_all_park();
            begin.send(waiting.is_finished()).unwrap();
            soon(|| waiting.wait()).unwrap()
        });
        assert_eq!(begun.recv(), Ok(false), "it waits");
        answer();
        soon(|| unblock(move || waiting.join())).unwrap()
    };
    let mut socket = here(socket);
    for _ in 0..ROUNDS {
        socket = here(there(socket));
    }
    std::thread::spawn(move || drop(socket)).join().unwrap();
    // The hub is as good as before.
    let (mut ours, mut peer) = util::pair();
    peer.write_all(b"x").unwrap();
    soon(|| ours.read_exact(&mut [0])).unwrap();
}

#[test]
fn fault_52_a_tcp_stream_waits_on_any_hub() {
    let (ours, peer) = util::pair();
    let read = |mut stream: &TcpStream| stream.read_exact(&mut [0; 3]).unwrap();
    waits_everywhere(ours, read, || (&peer).write_all(b"abc").unwrap());
    // Writes, too.
    let (ours, peer) = util::pair();
    const MUCH: usize = 2 << 20;
    socket2::SockRef::from(&ours).set_send_buffer_size(1 << 16).unwrap();
    socket2::SockRef::from(&peer).set_recv_buffer_size(1 << 16).unwrap();
    let write = |mut stream: &TcpStream| stream.write_all(&vec![b'x'; MUCH]).unwrap();
    waits_everywhere(ours, write, || {
        // The hub has to go on meanwhile.
        let mut peer = peer.try_clone().unwrap();
        std::thread::spawn(move || peer.read_exact(&mut vec![0; MUCH]).unwrap());
    });
}

#[test]
fn fault_52_a_tcp_listener_waits_on_any_hub() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accept = |listener: &TcpListener| drop(listener.accept().unwrap());
    waits_everywhere(listener, accept, || drop(StdStream::connect(address).unwrap()));
}

#[test]
fn fault_52_a_udp_socket_waits_on_any_hub() {
    let (ours, peer) = util::udp_pair();
    let receive = |socket: &UdpSocket| assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 3);
    waits_everywhere(ours, receive, || assert_eq!(peer.send(b"abc").unwrap(), 3));
}

#[test]
fn fault_52_unix_sockets_wait_on_any_hub() {
    let (ours, peer) = util::unix_pair();
    let read = |mut stream: &UnixStream| stream.read_exact(&mut [0; 3]).unwrap();
    waits_everywhere(ours, read, || (&peer).write_all(b"abc").unwrap());

    let (ours, peer) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let receive = |socket: &UnixDatagram| assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 3);
    let ours = UnixDatagram::from_std(ours).unwrap();
    waits_everywhere(ours, receive, || assert_eq!(peer.send(b"abc").unwrap(), 3));

    let path = TempPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    let accept = |listener: &UnixListener| drop(listener.accept().unwrap());
    let connect = || drop(std::os::unix::net::UnixStream::connect(&*path).unwrap());
    waits_everywhere(listener, accept, connect);
}

/// The handshake may begin on one hub and go on on another.
#[cfg(feature = "tls")]
#[test]
fn fault_52_a_tls_stream_waits_on_any_hub() {
    use evy_green_net::tls::TlsStream;

    let (ours, theirs) = tls_util::tls_pair();
    let read = |mut stream: &TlsStream<TcpStream>| stream.read_exact(&mut [0; 3]).unwrap();
    waits_everywhere(ours, read, || (&theirs).write_all(b"abc").unwrap());

    let (listener, address, connector) = tls_util::listener();
    let client = spawn(move || tls_util::client(&connector, address));
    let (stream, _) = soon(|| listener.accept()).unwrap();
    // Here it waits for the client, which is then given no turn until the other hub has taken over.
    let waiting = evy_runtime::timeout(std::time::Duration::ZERO, || stream.handshake());
    assert!(waiting.is_err(), "the client has said something before it had a turn");
    let stream = std::thread::spawn(move || {
        stream.handshake().unwrap();
        stream
    });
    let stream = soon(|| unblock(move || stream.join())).unwrap();
    assert!(stream.is_handshake_done());
    (&stream).write_all(b"abc").unwrap();
    let client = soon(|| client.wait()).unwrap();
    soon(|| (&client).read_exact(&mut [0; 3])).unwrap();
}

/// A `Server` serves on its own hub; its handlers may give streams to any other.
#[test]
fn fault_52_a_stream_of_a_server_waits_on_any_hub() {
    let (give, given) = std::sync::mpsc::channel();
    let server = evy_green_net::Server::new(
        evy_green_net::listen("127.0.0.1:0").unwrap(),
        move |mut client: TcpStream, _: SocketAddr| {
            client.read_exact(&mut [0])?;
            give.send(client).map_err(std::io::Error::other)
        },
    );
    let server = server.start().unwrap();
    let mut peer = StdStream::connect(server.local_addr()).unwrap();
    let_all_park();
    peer.write_all(b"x").unwrap();
    let stream = soon(|| unblock(move || given.recv())).unwrap();
    let read = |mut stream: &TcpStream| stream.read_exact(&mut [0; 3]).unwrap();
    waits_everywhere(stream, read, || (&peer).write_all(b"abc").unwrap());
    soon(|| {
        while server.clients() > 0 {
            evy_runtime::sleep(std::time::Duration::from_millis(1));
        }
    });
}

util::and_all_of_them_again!();
