//! The proxy of the other tests does what it says, seen from sockets of std.

#[path = "util/proxy.rs"]
mod proxy;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use proxy::{End, Fault, Proxy};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

/// A server of one connection, which `serve` gets.
fn server<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        client.set_read_timeout(PATIENCE).unwrap();
        serve(client)
    });
    (address, thread)
}

fn client(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address).unwrap();
    client.set_read_timeout(PATIENCE).unwrap();
    client
}

fn echo(client: TcpStream) {
    let _ = std::io::copy(&mut &client, &mut &client);
}

#[test]
fn a_good_network_passes_everything_on_and_the_end_too() {
    let (address, echo) = server(echo);
    let proxy = Proxy::start(address, Fault::none(), Fault::none());
    let mut client = client(&proxy);
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert!(back == sent);
    assert_eq!(proxy.passed(), (100_000, 100_000));
    echo.join().unwrap();
}

#[test]
fn pieces_arrive_one_by_one_and_late() {
    let (address, sizes) = server(|mut client| {
        let mut sizes = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            sizes.push(count);
        }
        sizes
    });
    let slow = Fault::none().in_pieces_of(2).with_delay(Duration::from_millis(5));
    let proxy = Proxy::start(address, slow, Fault::none());
    let start = Instant::now();
    let mut client = client(&proxy);
    client.write_all(b"1234567").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let sizes = sizes.join().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(4 * 5));
    assert_eq!(sizes.iter().sum::<usize>(), 7, "{sizes:?}");
}

#[test]
fn a_reset_comes_after_so_many_bytes_and_to_both_sides() {
    let (address, server) = server(|mut client| {
        client.write_all(&[1; 100]).unwrap();
        client.read(&mut [0]).unwrap_err().kind()
    });
    let proxy = Proxy::start(address, Fault::none(), Fault::none().then(10, End::Reset));
    let mut client = client(&proxy);
    let mut back = Vec::new();
    let error = client.read_to_end(&mut back).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(back.len() <= 10);
    assert_eq!(proxy.passed().1, 10);
    assert_eq!(server.join().unwrap(), ErrorKind::ConnectionReset);
}

#[test]
fn a_half_close_ends_one_direction() {
    let (address, server) = server(|mut client| {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        client.write_all(b"answer").unwrap();
        text
    });
    let proxy = Proxy::start(address, Fault::none().then(3, End::HalfClose), Fault::none());
    let mut client = client(&proxy);
    client.write_all(b"question").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(server.join().unwrap(), "que");
}

#[test]
fn a_stall_lasts_until_the_proxy_ends() {
    let (address, server) = server(|mut client| {
        client.write_all(b"12345").unwrap();
        client.read(&mut [0]).map_err(|error| error.kind())
    });
    let proxy = Proxy::start(address, Fault::none(), Fault::none().then(2, End::Stall));
    let mut client = client(&proxy);
    client.read_exact(&mut [0; 2]).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    drop(proxy);
    client.set_read_timeout(PATIENCE).unwrap();
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    assert!(matches!(server.join().unwrap(), Ok(0) | Err(ErrorKind::ConnectionReset)));
}
