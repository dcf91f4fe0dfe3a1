//! Names to addresses: Semantics E 101 and FAULTS row 39, as far as the system's resolver goes.

mod util;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{ToSocketAddrs, lookup_host};
use evy_runtime::{spawn, timeout, unblock, yield_now};
use util::{alone, soon};

fn os_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn all(host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    lookup_host(host).map(Iterator::collect)
}

/// The same by std and by us.
macro_rules! same {
    ($($host:expr),* $(,)?) => {
        $(
            let stds = std::net::ToSocketAddrs::to_socket_addrs(&$host).map(Iterator::collect);
            assert_eq!(util::seen(all($host)), util::seen(stds), "{:?}", $host);
        )*
    };
}

#[test]
fn addresses_in_numbers_are_those_of_std_and_need_no_lookup() {
    alone("addresses_in_numbers_are_those_of_std_and_need_no_lookup", || {
        yield_now();
        let before = os_threads();
        let v4 = Ipv4Addr::new(192, 0, 2, 7);
        let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
        same![
            "127.0.0.1:80",
            "[::1]:80",
            "[fe80::1%1]:80",
            "0.0.0.0:0",
            String::from("192.0.2.7:65535"),
            ("127.0.0.1", 80),
            ("::1", 80),
            (String::from("::1"), 80),
            (IpAddr::from(v4), 80),
            (v4, 80),
            (v6, 80),
            SocketAddr::from((v6, 80)),
            SocketAddrV4::new(v4, 80),
            SocketAddrV6::new(v6, 80, 1, 2),
            &[SocketAddr::from((v4, 1)), SocketAddr::from((v6, 2))][..],
            &"127.0.0.1:80",
        ];
        assert_eq!(os_threads(), before, "no OS thread was started for it");
    });
}

#[test]
fn malformed_addresses_are_invalid_input_and_need_no_lookup() {
    alone("malformed_addresses_are_invalid_input_and_need_no_lookup", || {
        yield_now();
        let before = os_threads();
        for malformed in ["", "host", "host:", "host:port", "host:65536", "host:-1", "127.0.0.1"] {
            let error = all(malformed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{malformed:?}");
            let stds = std::net::ToSocketAddrs::to_socket_addrs(malformed).unwrap_err();
            assert_eq!(stds.kind(), ErrorKind::InvalidInput, "{malformed:?}");
        }
        assert_eq!(os_threads(), before, "no OS thread was started for it");
    });
}

#[test]
fn names_are_looked_up_as_std_does_it() {
    same!["localhost:80", ("localhost", 443), (String::from("localhost"), 1), "nul\0byte:80"];
    assert!(all("localhost:80").unwrap().iter().all(|address| address.ip().is_loopback()));
}

#[test]
fn a_name_that_nobody_knows_is_an_error() {
    let error = all("no-such-host.invalid:80").unwrap_err();
    let stds = std::net::ToSocketAddrs::to_socket_addrs("no-such-host.invalid:80").unwrap_err();
    assert_eq!(error.kind(), stds.kind());
    assert!(!error.to_string().is_empty());
    assert!(evy_green_net::connect("no-such-host.invalid:80").is_err());
    assert!(evy_green_net::listen("no-such-host.invalid:80").is_err());
}

#[test]
fn sockets_take_names() {
    let listener = evy_green_net::listen("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = soon(|| evy_green_net::connect(("localhost", port))).unwrap();
    assert_eq!(soon(|| listener.accept()).unwrap().1, client.local_addr().unwrap());
}

/// FAULTS row 39: with a lookup that stalls in the only OS thread for lookups.
#[test]
fn fault_39_a_lookup_that_stalls_holds_up_no_green_thread_and_a_timeout_ends_it() {
    let name = "fault_39_a_lookup_that_stalls_holds_up_no_green_thread_and_a_timeout_ends_it";
    if !util::is_child() {
        let mut child = util::child_command(name);
        return util::assert_success(child.env("EVY_THREADPOOL_SIZE", "1").output().unwrap());
    }
    let (release, stall) = std::sync::mpsc::channel::<()>();
    let stalled = spawn(move || unblock(move || stall.recv().unwrap()));
    yield_now();
    let turns = Rc::new(Cell::new(0));
    let others = spawn({
        let turns = Rc::clone(&turns);
        move || {
            loop {
                turns.set(turns.get() + 1);
                evy_runtime::sleep(Duration::from_millis(1));
            }
        }
    });
    let time = Duration::from_millis(20);
    assert!(timeout(time, || all("localhost:80")).is_err());
    assert!(timeout(time, || evy_green_net::connect("localhost:80")).is_err());
    let killed = spawn(|| all("localhost:80").map(drop));
    util::let_all_park();
    killed.kill();
    assert!(killed.wait().is_err());
    assert!(turns.get() >= 2, "the others did not run");
    all("127.0.0.1:80").unwrap();
    others.kill();
    release.send(()).unwrap();
    soon(|| stalled.wait()).unwrap();
    assert!(!soon(|| all("localhost:80")).unwrap().is_empty());
}

util::and_all_of_them_again!();
