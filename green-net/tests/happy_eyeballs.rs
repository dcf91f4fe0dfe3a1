//! Connecting to one of several addresses, as RFC 8305 says.

mod util;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use evy_green_net::{
    ConnectOptions, TcpListener, TcpStream, connect, connect_timeout, is_shortage,
};
use evy_runtime::{spawn, timeout};
use util::network::{alone_in_a_network, set_ports};
use util::{alone, blackhole, let_all_park, refused, soon};

/// The attempt delay unless something else is said.
const DELAY: Duration = Duration::from_millis(250);

/// The longest delay: what takes less has not waited for it.
const LONG: Duration = Duration::from_secs(2);

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn took<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (soon(f), start.elapsed())
}

#[test]
fn an_address_that_does_not_answer_gets_company_after_the_delay() {
    let hole = blackhole();
    let (_listener, good) = listener();
    let (stream, time) = took(|| connect(&[hole.address, good][..]).unwrap());
    assert_eq!(stream.peer_addr().unwrap(), good);
    assert!(time >= DELAY, "{time:?}");

    let quick = TcpStream::options().attempt_delay(Duration::from_millis(20));
    let addresses = [hole.address, hole.address, hole.address, good];
    let (stream, time) = took(|| quick.connect(&addresses[..]).unwrap());
    assert_eq!(stream.peer_addr().unwrap(), good);
    assert!(time >= 3 * Duration::from_millis(20), "{time:?}");
}

#[test]
fn the_delay_is_what_the_rfc_allows() {
    let hole = blackhole();
    let (_listener, good) = listener();
    let addresses = [hole.address, good];
    let least = ConnectOptions::new().attempt_delay(Duration::ZERO);
    assert!(took(|| least.connect(&addresses[..]).unwrap()).1 >= Duration::from_millis(10));
    let most = ConnectOptions::new().attempt_delay(Duration::MAX);
    assert!(took(|| most.connect(&addresses[..]).unwrap()).1 >= LONG);
}

#[test]
fn an_address_that_fails_makes_room_for_the_next_at_once() {
    let (_keep, nobody) = refused();
    let broadcast: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let (_listener, good) = listener();
    let options = ConnectOptions::new().attempt_delay(LONG);
    for addresses in [[nobody, good], [broadcast, good], [good, nobody]] {
        // The machine may be busy with other things for as long as the delay, but not again and again.
        let times = (0..5).map(|_| {
            let (stream, time) = took(|| options.connect(&addresses[..]).unwrap());
            assert_eq!(stream.peer_addr().unwrap(), good);
            time
        });
        assert!(times.into_iter().any(|time| time < LONG));
    }
}

/// An attempt that is pending while others come and go can still be the last to fail.
#[test]
fn an_attempt_goes_on_while_the_next_ones_fail() {
    let hole = blackhole();
    let (_keep, nobody) = refused();
    let options = ConnectOptions::new().attempt_delay(Duration::ZERO);
    let addresses = [hole.address, nobody, nobody];
    let pending = spawn(move || options.connect(&addresses[..]));
    evy_runtime::sleep(Duration::from_millis(50));
    assert!(!pending.is_finished());
    let address = hole.address;
    // When the system asks there again, after a second, nobody is there any more.
    drop(hole);
    let error = soon(|| pending.wait()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&address.to_string()), "{error}");
}

#[test]
fn families_take_turns_and_the_first_address_comes_first() {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return eprintln!("no IPv6 here: nothing was tested");
    };
    let (on_v4, on_v6) = (v4.local_addr().unwrap(), v6.local_addr().unwrap());
    for first in [on_v4, on_v6] {
        let second = if first == on_v4 { on_v6 } else { on_v4 };
        let stream = soon(|| connect(&[first, second][..])).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), first);
    }
    // The second address of the first's family comes after the first of the other.
    let (_keep, nobody) = refused();
    let stream = soon(|| connect(&[nobody, on_v4, on_v6][..])).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), on_v6);
}

#[test]
fn the_stream_that_wins_is_as_any_other() {
    let hole = blackhole();
    let (listener, good) = listener();
    let server = spawn(move || -> io::Result<()> {
        let (mut client, _) = listener.accept()?;
        let mut buffer = [0; 5];
        client.read_exact(&mut buffer)?;
        client.write_all(&buffer)
    });
    let options = TcpStream::options().attempt_delay(Duration::from_millis(10));
    let mut stream =
        soon(|| options.timeout(util::FOR_EVER).connect(&[hole.address, good][..])).unwrap();
    assert_eq!(stream.read_timeout().unwrap(), None);
    assert_eq!(stream.write_timeout().unwrap(), None);
    assert!(stream.nodelay().unwrap());
    stream.write_all(b"hello").unwrap();
    let mut text = String::new();
    soon(|| stream.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "hello");
    server.wait().unwrap().unwrap();
}

/// FAULTS row 38.
#[test]
fn fault_38_when_all_fail_the_error_tells_the_most_and_names_its_address() {
    let (_keep, nobody) = refused();
    let (_other, nobody_else) = refused();
    let broadcast: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let text = |addresses: &[SocketAddr]| {
        let error = soon(|| connect(addresses)).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, of_both) = text(&[nobody, nobody_else]);
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    assert!(of_both.starts_with(&format!("{nobody_else}: Connection refused")), "{of_both}");
    // That there is no way to an address says less than an answer from another.
    for addresses in [[nobody, broadcast], [broadcast, nobody]] {
        let (kind, text) = text(&addresses);
        assert_eq!(kind, ErrorKind::ConnectionRefused);
        assert!(text.starts_with(&format!("{nobody}: ")), "{text}");
    }
    let (kind, of_both) = text(&[broadcast, broadcast]);
    assert_eq!(kind, ErrorKind::NetworkUnreachable);
    assert!(of_both.starts_with(&format!("{broadcast}: ")), "{of_both}");
    // Of one address it is the system's own.
    let error = soon(|| connect(&[nobody][..])).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    let error = soon(|| connect(&[] as &[SocketAddr])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// FAULTS row 38.
#[test]
fn fault_38_a_timeout_bounds_all_addresses_together() {
    let (hole, other) = (blackhole(), blackhole());
    let addresses = [hole.address, other.address];
    let limit = Duration::from_millis(100);
    let options = TcpStream::options().timeout(limit);
    // With the second attempt, and without.
    for options in [options.clone().attempt_delay(Duration::from_millis(10)), options] {
        let (result, time) = took(|| options.connect(&addresses[..]));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(&hole.address.to_string()), "{error}");
        assert!(time >= limit, "{time:?}");
    }
    assert_eq!(connect_timeout(hole.address, limit).unwrap_err().kind(), ErrorKind::TimedOut);
    for addresses in [&addresses[..], &addresses[..1], &[]] {
        let error = connect_timeout(addresses, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let (_listener, good) = listener();
    connect_timeout(&[good, hole.address][..], Duration::MAX).unwrap();
    connect_timeout(("localhost", good.port()), util::FOR_EVER).unwrap();
}

/// FAULTS row 38; gevent#1044.
#[test]
fn fault_38_whatever_ends_the_attempts_closes_their_descriptors() {
    alone("fault_38_whatever_ends_the_attempts_closes_their_descriptors", || {
        let hole = blackhole();
        let (_keep, nobody) = refused();
        let (_listener, good) = listener();
        let addresses = [hole.address, hole.address, hole.address];
        let quick = TcpStream::options().attempt_delay(Duration::from_millis(10));
        evy_runtime::yield_now();
        let before = util::descriptors();
        for _ in 0..10 {
            let options = quick.clone();
            let racing = spawn(move || options.connect(&addresses[..]));
            util::wait_until(|| util::descriptors() == before + 3);
            racing.kill();
            assert_eq!(util::descriptors(), before, "after the kill");
            assert!(racing.wait().is_err());

            let late = timeout(Duration::from_millis(15), || quick.connect(&addresses[..]));
            assert!(late.is_err());
            assert_eq!(util::descriptors(), before, "after a timeout around it");

            let limit = Duration::from_millis(15);
            assert!(quick.clone().timeout(limit).connect(&addresses[..]).is_err());
            assert_eq!(util::descriptors(), before, "after its own timeout");

            let stream = soon(|| quick.connect(&[hole.address, good][..])).unwrap();
            assert_eq!(util::descriptors(), before + 1, "those that did not win");
            drop(stream);

            assert!(soon(|| quick.connect(&[nobody, nobody][..])).is_err());
            assert_eq!(util::descriptors(), before, "after all have failed");
        }
    });
}

/// FAULTS row 38: in a destructor of one that unwinds, nothing parks.
#[test]
fn fault_38_while_its_caller_unwinds_it_gives_up() {
    struct ConnectsInDrop(Vec<SocketAddr>, std::sync::mpsc::Sender<ErrorKind>);

    impl Drop for ConnectsInDrop {
        fn drop(&mut self) {
            self.1.send(connect(&self.0[..]).unwrap_err().kind()).unwrap();
        }
    }

    let (hole, other) = (blackhole(), blackhole());
    let (sender, kind) = std::sync::mpsc::channel();
    let unwinding = ConnectsInDrop(vec![hole.address, other.address], sender);
    let panics = spawn(move || {
        let _unwinding = unwinding;
        panic!("on purpose");
    });
    assert!(soon(|| panics.wait()).is_err());
    assert_eq!(kind.recv(), Ok(ErrorKind::WouldBlock));
}

#[test]
fn others_run_while_it_races() {
    let hole = blackhole();
    let addresses = [hole.address, hole.address];
    let racing = spawn(move || connect_timeout(&addresses[..], util::FOR_EVER));
    let_all_park();
    assert!(!racing.is_finished());
    let (listener, good) = listener();
    let client = soon(|| connect(good)).unwrap();
    assert_eq!(soon(|| listener.accept()).unwrap().1, client.local_addr().unwrap());
    racing.kill();
}

/// FAULTS row 39: a name server that lies.
#[test]
fn fault_39_a_name_with_very_many_addresses_takes_few_descriptors() {
    alone("fault_39_a_name_with_very_many_addresses_takes_few_descriptors", || {
        let hole = blackhole();
        let addresses = vec![hole.address; 1000];
        evy_runtime::yield_now();
        let before = util::descriptors();
        let options = ConnectOptions::new().attempt_delay(Duration::ZERO);
        let racing = spawn(move || options.connect(&addresses[..]));
        util::wait_until(|| util::descriptors() == before + 32);
        // As long as two more attempts would take.
        evy_runtime::sleep(Duration::from_millis(30));
        assert_eq!(util::descriptors(), before + 32);
        // When they fail, others take their places.
        drop(hole);
        let error = soon(|| racing.wait()).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(util::descriptors(), before - 9, "the hole was nine");
    });
}

#[test]
fn without_descriptors_it_says_so_at_once() {
    alone("without_descriptors_it_says_so_at_once", || {
        let (_listener, good) = listener();
        connect(good).unwrap();
        let used = util::descriptors() as u64;
        util::limit_descriptors(used);
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        let error = connect(&[good, good][..]).unwrap_err();
        assert!(is_shortage(&error), "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        taken.clear();
        connect(&[good, good][..]).unwrap();
    });
}

/// FAULTS row 38.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_38_nobody_is_connected_to_himself_by_one_of_several_ways() {
    let name = "fault_38_nobody_is_connected_to_himself_by_one_of_several_ways";
    alone_in_a_network(name, || {
        set_ports("40000 40000");
        let [nobody, himself] =
            ["127.0.0.1:1", "127.0.0.1:40000"].map(|text| text.parse().unwrap());
        let addresses: [SocketAddr; 2] = [nobody, himself];
        let error = soon(|| connect(&addresses[..])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with("127.0.0.1:40000: "), "{error}");
    });
}

util::and_all_of_them_again!();
