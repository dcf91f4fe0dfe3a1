//! Names and connections in a network of our own, where name servers lie and addresses are black holes.
//!
//! Each test runs in a network namespace that is named after its process and goes with it. There
//! `/etc/resolv.conf` names a server of ours, and packets to two addresses are dropped.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../green-net/tests/util/dns.rs"]
mod dns;

use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dns::Behaviour::*;
use dns::Dns;
use evy::net::{ConnectOptions, TcpListener, TcpStream, lookup_host, lookup_host_timeout};
use evy::{connect, connect_timeout, join_all, spawn, spawn_n, timeout};

/// Addresses of the namespace to which no packet comes.
const HOLE_V4: &str = "192.0.2.1";
const HOLE_V6: &str = "2001:db8::1";

/// How late a timeout may be on a machine that is busy with other things now and then: the best of some
/// rounds counts.
const LATE: Duration = Duration::from_millis(10);
const ROUNDS: usize = 5;

/// How long a lookup takes that gets no answer.
const RESOLVER: Duration = Duration::from_secs(1);

/// The Connection Attempt Delay of RFC 8305.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Set in the process that is in the namespace.
const INSIDE: &str = "EVY_TEST_INSIDE";

/// A network namespace, and the files that programs in it find in `/etc`.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> Self {
        let namespace = Self { name: format!("evy-names-{}", std::process::id()) };
        let files = namespace.files();
        fs::create_dir_all(&files).expect("these tests need root");
        let resolver =
            format!("nameserver 127.0.0.1\noptions attempts:1 timeout:{}\n", RESOLVER.as_secs());
        fs::write(files.join("resolv.conf"), resolver).unwrap();
        fs::write(files.join("hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(files.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        run("ip", &["netns", "add", &namespace.name]);
        for command in [
            "ip link set lo up".to_owned(),
            format!("ip address add {HOLE_V4}/32 dev lo"),
            format!("ip address add {HOLE_V6}/128 dev lo"),
            "nft add table inet holes".to_owned(),
            "nft add chain inet holes input { type filter hook input priority 0 ; }".to_owned(),
            format!("nft add rule inet holes input ip daddr {HOLE_V4} drop"),
            format!("nft add rule inet holes input ip6 daddr {HOLE_V6} drop"),
        ] {
            let inside = ["netns", "exec", &namespace.name];
            let words: Vec<_> = inside.into_iter().chain(command.split(' ')).collect();
            run("ip", &words);
        }
        namespace
    }

    /// `ip netns exec` puts what is there in the place of the files in `/etc`.
    fn files(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
        let _ = fs::remove_dir_all(self.files());
        // Only if it was made for us.
        let _ = fs::remove_dir("/etc/netns");
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Runs `f`, which is all of the test `name`, in a namespace of its own.
fn inside(name: &str, f: impl FnOnce(&Dns)) {
    if std::env::var_os(INSIDE).is_some() {
        return f(&Dns::start(([127, 0, 0, 1], 53).into()));
    }
    let namespace = Namespace::new();
    let output = Command::new("ip")
        .args(["netns", "exec", &namespace.name])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the test that was to run has another name");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The shortest of some rounds, none of which may be shorter than `least`.
fn best(least: Duration, mut round: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        let time = start.elapsed();
        assert!(time >= least, "{time:?} instead of {least:?}");
        time
    });
    rounds.min().unwrap()
}

#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn a_host_with_a_dead_ipv6_address_costs_no_more_than_the_attempt_delay() {
    inside("a_host_with_a_dead_ipv6_address_costs_no_more_than_the_attempt_delay", |dns| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        spawn_n(move || {
            for client in listener.incoming() {
                let _ = client.unwrap().write_all(b"by IPv4");
            }
        });
        dns.add("both.test", Answers, &[address("127.0.0.1"), address(HOLE_V6)]);
        let order: Vec<_> = lookup_host(("both.test", port)).unwrap().collect();
        assert!(order[0].is_ipv6() && order[1].is_ipv4(), "RFC 6724: {order:?}");
        connect(order[1]).unwrap();
        let before = descriptors();
        let time = best(ATTEMPT_DELAY, || {
            let mut stream = connect(("both.test", port)).unwrap();
            assert_eq!(descriptors(), before + 1, "the other attempt is closed");
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "by IPv4");
        });
        println!("a dead IPv6 address costs {time:?}");
        assert!(time < ATTEMPT_DELAY + 2 * LATE, "{time:?}");

        let delay = Duration::from_millis(50);
        let options = ConnectOptions::new().attempt_delay(delay);
        let time = best(delay, || drop(options.connect(("both.test", port)).unwrap()));
        assert!(time < delay + 2 * LATE, "{time:?}");
        // An IPv6 address where nobody listens costs nothing.
        dns.add("refused.test", Answers, &[address("127.0.0.1"), address("::1")]);
        let time = best(Duration::ZERO, || drop(connect(("refused.test", port)).unwrap()));
        assert!(time < ATTEMPT_DELAY / 2, "{time:?}");
    });
}

#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn fault_38_black_holes_time_out_when_they_should() {
    inside("fault_38_black_holes_time_out_when_they_should", |dns| {
        let holes = [address(HOLE_V4), address(HOLE_V6)];
        dns.add("holes.test", Answers, &holes);
        dns.add("hole.test", Answers, &holes[..1]);
        dns.add("silent.test", Ignores, &holes);
        evy::yield_now();
        let _ = lookup_host("hole.test:80").unwrap().count();
        let before = descriptors();
        // One attempt, two of them, and the first of two only.
        for (host, milliseconds) in
            [("hole.test:80", 100), ("holes.test:80", 400), ("holes.test:80", 100)]
        {
            let limit = Duration::from_millis(milliseconds);
            let time = best(limit, || {
                let error = connect_timeout(host, limit).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{host}: {error}");
                assert_eq!(descriptors(), before);
            });
            println!("{host}: {time:?} instead of {limit:?}");
            assert!(time < limit + LATE, "{time:?}");
            let time = best(limit, || assert!(timeout(limit, || connect(host)).is_err()));
            assert!(time < limit + LATE, "{time:?}");
            assert_eq!(descriptors(), before);
        }
        // A lookup: it goes on, and has a descriptor meanwhile.
        let limit = Duration::from_millis(100);
        let time = best(limit, || {
            let error = connect_timeout("silent.test:80", limit).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        });
        assert!(time < limit + LATE, "{time:?}");
        assert!(lookup_host("silent.test:80").is_err());
        for hole in holes.map(|hole| SocketAddr::new(hole, 80)) {
            let time = best(limit, || {
                let error = TcpStream::connect_timeout(&hole, limit).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            });
            assert!(time < limit + LATE, "{time:?}");
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn fault_38_a_kill_closes_what_it_was_connecting_to() {
    inside("fault_38_a_kill_closes_what_it_was_connecting_to", |dns| {
        dns.add("holes.test", Answers, &[address(HOLE_V4), address(HOLE_V6)]);
        evy::yield_now();
        let _ = lookup_host("holes.test:80").unwrap().count();
        let before = descriptors();
        for attempts in [1, 2] {
            let connecting: Vec<_> =
                (0..20).map(|_| spawn(|| connect("holes.test:80").map(drop))).collect();
            let start = Instant::now();
            while descriptors() != before + 20 * attempts {
                assert!(start.elapsed() < Duration::from_secs(10), "{}", descriptors());
                evy::sleep(Duration::from_millis(1));
            }
            for (killed, thread) in connecting.iter().enumerate() {
                thread.kill();
                assert_eq!(descriptors(), before + (19 - killed) * attempts);
            }
            assert!(join_all(connecting).into_iter().all(|result| result.is_err()));
        }
    });
}

/// Whatever the server does, a lookup ends in time, with an error or with what is true; and meanwhile
/// other green threads run, and good names are found.
#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn fault_39_a_name_server_that_stalls_or_lies_harms_no_one_else() {
    inside("fault_39_a_name_server_that_stalls_or_lies_harms_no_one_else", |dns| {
        let good = Ipv4Addr::new(127, 0, 0, 7);
        dns.add("good.test", Answers, &[good.into()]);
        let longest_gap = Rc::new(Cell::new(Duration::ZERO));
        let ticker = spawn({
            let longest_gap = Rc::clone(&longest_gap);
            move || {
                loop {
                    let start = Instant::now();
                    evy::sleep(Duration::from_millis(1));
                    longest_gap.set(longest_gap.get().max(start.elapsed()));
                }
            }
        });
        let bad = [Ignores, Fails, AnswersAnother, Misnumbers, Overruns, Babbles, Loops, HangsUp];
        for behaviour in bad {
            let host = format!("{behaviour:?}.test").to_lowercase();
            dns.add(&host, behaviour, &[address("192.0.2.66"), address("2001:db8::66")]);
            let start = Instant::now();
            let lookups: Vec<_> = (0..5)
                .map(|n| {
                    let host = format!("{host}:{n}");
                    spawn(move || lookup_host(host.as_str()).map(Iterator::count))
                })
                .collect();
            evy::yield_now();
            // Its own time bounds one that waits with the others.
            let late = lookup_host_timeout((host.as_str(), 80), Duration::from_millis(1)).map(drop);
            let time = best(Duration::ZERO, || {
                let found: Vec<_> = lookup_host("good.test:80").unwrap().collect();
                assert_eq!(found, [SocketAddr::from((good, 80))]);
            });
            assert!(time < RESOLVER / 2, "{behaviour:?}: a good name took {time:?}");
            let results: Vec<_> =
                join_all(lookups).into_iter().map(|result| result.unwrap()).collect();
            println!("{behaviour:?}: {:?} after {:?}; {late:?}", results[0], start.elapsed());
            for result in results {
                let error = result.expect_err("there was no true answer");
                assert!(error.to_string().starts_with(&format!("{host}: ")), "{error}");
            }
            assert!(start.elapsed() < 5 * RESOLVER, "{behaviour:?}");
        }
        println!("others waited {:?} at most", longest_gap.get());
        // As long as a lookup that stalls, if they had to wait for it.
        assert!(longest_gap.get() < RESOLVER * 3 / 4, "{:?}", longest_gap.get());
        ticker.kill();
    });
}

#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn fault_39_stalled_lookups_delay_no_more_than_their_number_allows() {
    inside("fault_39_stalled_lookups_delay_no_more_than_their_number_allows", |dns| {
        dns.add("good.test", Answers, &[Ipv4Addr::LOCALHOST.into()]);
        let names: Vec<_> = (0..20).map(|n| format!("stalled-{n}.test")).collect();
        names.iter().for_each(|name| dns.add(name, Ignores, &[]));
        let start = |names: &[String]| -> Vec<_> {
            let start = |name: &String| {
                let name = name.clone();
                spawn(move || lookup_host((name.as_str(), 80)).map(drop))
            };
            names.iter().map(start).collect()
        };
        // With seven places taken there is one; with all taken a good name waits for the first to end.
        for (stalled, least, most) in [
            (7, Duration::ZERO, RESOLVER / 2),
            (8, RESOLVER / 2, RESOLVER * 3 / 2),
            (20, RESOLVER * 3 / 2, RESOLVER * 3),
        ] {
            let lookups = start(&names[..stalled]);
            evy::sleep(Duration::from_millis(50));
            let begin = Instant::now();
            assert!(lookup_host("good.test:80").is_ok());
            let time = begin.elapsed();
            println!("behind {stalled} that stall: {time:?}");
            assert!(time >= least && time < most, "behind {stalled}: {time:?}");
            // Jobs of other kinds never wait.
            let time = best(Duration::ZERO, || evy::unblock(|| ()));
            assert!(time < RESOLVER / 4, "{time:?}");
            assert!(join_all(lookups).into_iter().all(|result| result.unwrap().is_err()));
        }
    });
}

/// It does not fit into a datagram: the resolver asks again by TCP.
#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn fault_39_a_huge_answer_is_taken_whole() {
    inside("fault_39_a_huge_answer_is_taken_whole", |dns| {
        let addresses: Vec<IpAddr> =
            (0..2000_u16).map(|n| Ipv4Addr::new(10, 0, (n >> 8) as u8, n as u8).into()).collect();
        dns.add("huge.test", Answers, &addresses);
        let mut found: Vec<_> =
            lookup_host("huge.test:80").unwrap().map(|address| address.ip()).collect();
        found.sort();
        assert_eq!(found, addresses);
        // There is no way to any of them, and none of the others runs any the later.
        let error = connect("huge.test:80").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{error}");
        assert!(error.to_string().starts_with("10.0."), "{error}");
    });
}

#[test]
#[ignore = "acceptance: needs root, ip and nft"]
fn dns_mass_resolve_stops_after_two_seconds_with_what_it_has() {
    inside("dns_mass_resolve_stops_after_two_seconds_with_what_it_has", |dns| {
        dns.add("good.test", Answers, &[address("192.0.2.7"), address("192.0.2.8")]);
        let stalled: Vec<_> = (0..100).map(|n| format!("stalled-{n}.test")).collect();
        stalled.iter().for_each(|name| dns.add(name, Ignores, &[]));
        let start = Instant::now();
        let output = Command::new(program("dns_mass_resolve"))
            .args(["good.test", "unknown.test"])
            .args(&stalled)
            .output()
            .unwrap();
        let time = start.elapsed();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        let last = lines.pop().unwrap();
        assert_eq!(last, format!("{} of 102 names within 2s", lines.len()));
        for line in [
            "good.test: 192.0.2.7 192.0.2.8",
            "unknown.test: failed to lookup address information: Name or service not known",
        ] {
            assert!(lines.contains(&line), "{text}");
        }
        assert!(lines.len() < 102, "{text}");
        assert!(time >= 2 * RESOLVER && time < 3 * RESOLVER, "{time:?}");
    });
}

/// An example, next to the folder that this test's executable is in.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let program = folder.join("examples").join(name);
    assert!(program.exists(), "build it first: cargo build --examples");
    program
}
