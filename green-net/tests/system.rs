//! What tests need that say "nothing was tested" where it is missing: `make acceptance` fails there.

use std::net::{TcpListener, UdpSocket};

#[test]
#[ignore = "part of make acceptance"]
fn ipv6_is_there() {
    TcpListener::bind("[::1]:0").unwrap();
    UdpSocket::bind("[::]:0").unwrap();
}

#[test]
#[ignore = "part of make acceptance"]
fn queues_of_listeners_may_be_long() {
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    assert!(somaxconn.trim().parse::<u32>().unwrap() >= 4096, "{somaxconn}");
}
