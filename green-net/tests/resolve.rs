//! Names to addresses: Semantics E 101 and FAULTS row 39.
//!
//! No test asks the network: some have one of their own, with a name server in it that is ours.

mod util;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use evy_green_net::{
    ToSocketAddrs, connect, connect_timeout, listen, lookup_host, lookup_host_timeout,
};
use evy_runtime::{GreenThread, join_all, spawn, timeout, unblock, yield_now};
use util::dns::Behaviour::{Answers, Holds};
use util::dns::Dns;
use util::network::{alone_in_a_network, alone_in_a_network_with, name_server};
use util::{alone, let_all_park, soon, wait_until};

/// Lookups that have an OS thread at a time.
const PLACES: usize = 8;

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

/// Semantics E 101: IPv6 scope.
#[test]
fn scopes_by_name_or_number_need_no_lookup() {
    alone("scopes_by_name_or_number_need_no_lookup", || {
        yield_now();
        let before = os_threads();
        same![("fe80::1%lo", 80), ("fe80::1%1", 80), ("ff02::1%lo", 80), "fe80::1%lo:80"];
        let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 1).into();
        for host in ["[fe80::1%lo]:80", "[fe80::1%1]:80", "fe80::1%1:80"] {
            assert_eq!(all(host).unwrap(), [expected], "{host}");
        }
        assert_eq!(all("[::1]:80").unwrap(), all(("::1", 80)).unwrap());
        let error = all(("fe80::1%no-such-if", 80)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("'no-such-if'"), "{error}");
        for malformed in
            ["[fe80::1%no-such-if]:80", "[localhost]:80", "[]:80", "[%lo]:80", "[1.1.1.1]:80"]
        {
            assert_eq!(all(malformed).unwrap_err().kind(), ErrorKind::InvalidInput, "{malformed}");
        }
        assert_eq!(os_threads(), before, "no OS thread was started for it");
    });
}

/// RFC 6761.
#[test]
fn localhost_is_this_machine_and_needs_no_lookup() {
    alone("localhost_is_this_machine_and_needs_no_lookup", || {
        let listener = listen("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let before = os_threads();
        let turns = Rc::new(Cell::new(0));
        let other = spawn({
            let turns = Rc::clone(&turns);
            move || {
                loop {
                    turns.set(turns.get() + 1);
                    yield_now();
                }
            }
        });
        let as_std = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port));
        let as_std: Vec<_> = as_std.unwrap().collect();
        for host in ["localhost", "LOCALHOST", "localhost.", "some.name.localhost", "a.LocalHost."]
        {
            assert_eq!(all((host, port)).unwrap(), as_std, "{host}");
            assert_eq!(all(format!("{host}:{port}")).unwrap(), as_std, "{host}");
            assert!(as_std.iter().all(|address| address.ip().is_loopback()));
        }
        assert_eq!(turns.get(), 0, "it parked");
        soon(|| connect(("some.localhost", port))).unwrap();
        assert_eq!(os_threads(), before, "no OS thread was started for it");
        other.kill();
    });
}

/// Semantics E 101: the file of hosts comes first. It is looked at again when it has changed.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn localhost_has_the_addresses_that_the_file_of_hosts_gives_it() {
    alone_in_a_network("localhost_has_the_addresses_that_the_file_of_hosts_gives_it", || {
        let texts = |host: &str| {
            let addresses = all((host, 80)).unwrap();
            addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
        };
        // IPv6 first (RFC 6724), as the system does it.
        let dns = name_server("127.0.0.1 localhost vm\n::1 localhost ip6-localhost\n");
        let mut expected = "127.0.0.1";
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            expected = "::1 127.0.0.1";
        }
        assert_eq!(texts("localhost"), expected);
        same!["localhost:80"];
        util::network::hosts("127.0.0.5 sub.localhost\n127.0.0.6 localhost");
        assert_eq!(texts("localhost"), "127.0.0.6");
        assert_eq!(texts("sub.localhost"), "127.0.0.5");
        assert_eq!(texts("other.localhost"), "127.0.0.6");
        same!["localhost:80", "sub.localhost:80"];
        // Without a line of its own, and with one that is a lie.
        util::network::hosts("192.0.2.1 localhost\n192.0.2.2 other.test\n");
        assert!(texts("localhost").ends_with("127.0.0.1"));
        assert_eq!(dns.asked("localhost"), (0, 0));
        assert_eq!(texts("other.test"), "192.0.2.2");
    });
}

#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn names_are_looked_up_as_std_does_it() {
    same!["localhost:80", ("localhost", 443), (String::from("localhost"), 1), "nul\0byte:80"];
    alone_in_a_network("names_are_looked_up_as_std_does_it", || {
        let dns = name_server("127.0.0.1 localhost\n");
        let addresses = ["192.0.2.1", "::1", "127.0.0.9", "2001:db8::1", "127.0.0.1"];
        dns.add("many.test", Answers, &addresses.map(|address| address.parse().unwrap()));
        dns.add("one.test", Answers, &[Ipv4Addr::LOCALHOST.into()]);
        dns.add("none.test", Answers, &[]);
        same!["many.test:80", ("many.test", 443), "one.test:1", "none.test:80", "unknown.test:80"];
        let found: BTreeSet<IpAddr> =
            all("many.test:80").unwrap().iter().map(SocketAddr::ip).collect();
        assert_eq!(found, addresses.map(|address| address.parse().unwrap()).into());
    });
}

#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn a_name_that_nobody_knows_is_an_error_that_names_it() {
    alone_in_a_network("a_name_that_nobody_knows_is_an_error_that_names_it", || {
        let _dns = name_server("127.0.0.1 localhost\n");
        let name = "no-such-host.test:80";
        let stds = std::net::ToSocketAddrs::to_socket_addrs(name).unwrap_err();
        for error in [
            all(name).unwrap_err(),
            connect(name).unwrap_err(),
            listen(name).unwrap_err(),
            connect_timeout(name, util::FOR_EVER).unwrap_err(),
        ] {
            assert_eq!(error.kind(), stds.kind());
            assert_eq!(error.to_string(), format!("no-such-host.test: {stds}"));
        }
    });
}

#[test]
fn sockets_take_names() {
    let listener = listen("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = soon(|| connect(("localhost", port))).unwrap();
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
    let (release, stall) = mpsc::channel::<()>();
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
    assert!(timeout(time, || all("no-such-host.invalid:80")).is_err());
    assert!(timeout(time, || connect("no-such-host.invalid:80")).is_err());
    let killed = spawn(|| all("no-such-host.invalid:80").map(drop));
    let_all_park();
    killed.kill();
    assert!(killed.wait().is_err());
    assert!(turns.get() >= 2, "the others did not run");
    all("127.0.0.1:80").unwrap();
    others.kill();
    release.send(()).unwrap();
    soon(|| stalled.wait()).unwrap();
    // Whatever the answer is, on this machine: there is one.
    drop(soon(|| all("no-such-host.invalid:80")));
}

/// Starts a lookup of each name, and waits until they are where they will be.
fn start(names: &[String]) -> Vec<GreenThread<io::Result<Vec<SocketAddr>>>> {
    let start = |name: &String| {
        let name = name.clone();
        spawn(move || all((name.as_str(), 80)))
    };
    let lookups = names.iter().map(start).collect();
    let_all_park();
    lookups
}

/// Names of which each lookup is held.
fn held_names(dns: &Dns, names: impl Iterator<Item = usize>) -> Vec<String> {
    let names: Vec<_> = names.map(|n| format!("held-{n:02}.test")).collect();
    for (n, name) in names.iter().enumerate() {
        dns.add(name, Holds, &[Ipv4Addr::new(192, 0, 2, n as u8).into()]);
    }
    names
}

/// FAULTS row 39.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_39_lookups_that_stall_are_few_and_leave_the_rest_of_the_pool_to_others() {
    let name = "fault_39_lookups_that_stall_are_few_and_leave_the_rest_of_the_pool_to_others";
    alone_in_a_network(name, || {
        let dns = name_server("127.0.0.1 localhost\n");
        let names = held_names(&dns, 0..PLACES + 3);
        let lookups = start(&names);
        wait_until(|| dns.held() == names[..PLACES]);
        // Jobs, names that need no lookup, and everybody else.
        for n in 0..100 {
            assert_eq!(soon(|| unblock(move || n)), n);
        }
        let others: Vec<_> = (0..20).map(|n| spawn(move || unblock(move || n))).collect();
        assert!(soon(|| join_all(others)).iter().all(Result::is_ok));
        assert!(!all("localhost:80").unwrap().is_empty());
        assert_eq!(dns.held(), names[..PLACES], "no more than these");

        // Each that ends makes room for one, in their order.
        for n in 0..3 {
            dns.release(&names[n]);
            wait_until(|| dns.held() == names[n + 1..PLACES + n + 1]);
        }
        names.iter().for_each(|name| dns.release(name));
        for (n, lookup) in soon(|| join_all(lookups)).into_iter().enumerate() {
            let expected = SocketAddr::from(([192, 0, 2, n as u8], 80));
            assert_eq!(lookup.unwrap().unwrap(), [expected]);
        }
    });
}

/// FAULTS row 39: where the whole pool is small, half of it.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_39_lookups_take_no_more_than_half_of_a_small_pool() {
    let name = "fault_39_lookups_take_no_more_than_half_of_a_small_pool";
    alone_in_a_network_with(name, &[("EVY_THREADPOOL_SIZE", "5")], || {
        let dns = name_server("127.0.0.1 localhost\n");
        let names = held_names(&dns, 0..4);
        let lookups = start(&names);
        wait_until(|| dns.held() == names[..2]);
        assert_eq!(soon(|| unblock(|| 7)), 7);
        assert_eq!(dns.held(), names[..2]);
        names.iter().for_each(|name| dns.release(name));
        assert!(soon(|| join_all(lookups)).into_iter().all(|lookup| lookup.unwrap().is_ok()));
    });
}

/// FAULTS row 39: also those on other hubs.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_39_who_asks_for_the_same_name_shares_one_lookup() {
    let name = "fault_39_who_asks_for_the_same_name_shares_one_lookup";
    alone_in_a_network(name, || {
        let dns = name_server("127.0.0.1 localhost\n");
        let names = held_names(&dns, 0..1);
        let name = &names[0];
        let callers = |port| {
            let names: Vec<_> = (0..50).map(|_| name.clone()).collect();
            names.into_iter().map(move |name| spawn(move || all((name, port)))).collect::<Vec<_>>()
        };
        let here = callers(80);
        let_all_park();
        std::thread::scope(|s| {
            let (sender, asking) = mpsc::channel();
            let there = s.spawn({
                let sender = sender.clone();
                move || {
                    let callers = callers(81);
                    let_all_park();
                    sender.send(util::os_thread()).unwrap();
                    soon(|| join_all(callers))
                }
            });
            // An OS thread without a hub, too.
            let plain = s.spawn(move || {
                sender.send(util::os_thread()).unwrap();
                all((name.as_str(), 82))
            });
            asking.iter().take(2).for_each(util::wait_until_asleep);
            wait_until(|| dns.asked(name) == (1, 1));
            assert!(here.iter().all(|caller| !caller.is_finished()));
            dns.release(name);
            let expected = |port| [SocketAddr::from(([192, 0, 2, 0], port))];
            for caller in soon(|| join_all(here)) {
                assert_eq!(caller.unwrap().unwrap(), expected(80));
            }
            for caller in there.join().unwrap() {
                assert_eq!(caller.unwrap().unwrap(), expected(81));
            }
            assert_eq!(plain.join().unwrap().unwrap(), expected(82));
        });
        assert_eq!(dns.asked(name), (1, 1));
        // The answer is not kept.
        assert!(all((name.as_str(), 80)).is_ok());
        assert_eq!(dns.asked(name), (2, 2));
        // So do those who get an error.
        dns.add("held-error.test", Holds, &[]);
        let failing = start(&vec!["held-error.test".to_owned(); 5]);
        wait_until(|| dns.asked("held-error.test") == (1, 1));
        dns.release("held-error.test");
        let texts = soon(|| join_all(failing));
        let texts = texts.into_iter().map(|lookup| lookup.unwrap().unwrap_err().to_string());
        let texts: BTreeSet<_> = texts.collect();
        assert_eq!(texts.len(), 1);
        assert!(texts.first().unwrap().starts_with("held-error.test: "), "{texts:?}");
    });
}

/// FAULTS row 39: a lookup that has begun keeps its place until the resolver returns; nothing can end it.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_39_callers_that_are_killed_or_timed_out_leave_and_their_lookups_end_by_themselves() {
    let name =
        "fault_39_callers_that_are_killed_or_timed_out_leave_and_their_lookups_end_by_themselves";
    alone_in_a_network(name, || {
        let dns = name_server("127.0.0.1 localhost\n");
        let names = held_names(&dns, 0..PLACES + 4);
        let (begun, queued) = names.split_at(PLACES);
        let lookups = start(begun);
        wait_until(|| dns.held() == begun);
        let in_line = start(queued);
        for lookup in lookups {
            lookup.kill();
            assert!(lookup.wait().is_err());
        }
        let time = Duration::from_millis(10);
        // One whose name is looked up already, and one that queues with another caller.
        for name in [&begun[0], &queued[0]] {
            assert!(timeout(time, || all((name.as_str(), 80))).is_err());
            let late = lookup_host_timeout((name.as_str(), 80), time).map(drop).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            let late = connect_timeout((name.as_str(), 80), time).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
        }
        // The last caller of one that queues takes it along.
        in_line[1].kill();
        assert_eq!(dns.held(), begun);
        dns.release(&begun[0]);
        dns.release(&begun[1]);
        let expected = [&begun[2..], &queued[..1], &queued[2..3]].concat();
        wait_until(|| dns.held() == expected);
        // Who asks for a name whose callers have left waits for the lookup that goes on.
        let again = start(&begun[2..3]);
        names.iter().for_each(|name| dns.release(name));
        assert!(soon(|| join_all(again)).remove(0).unwrap().is_ok());
        assert_eq!(dns.asked(&begun[2]), (1, 1));
        let results: Vec<_> = soon(|| join_all(in_line)).into_iter().collect();
        let is_ok = results.iter().map(|result| result.as_ref().is_ok_and(|result| result.is_ok()));
        assert_eq!(is_ok.collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(dns.asked(&queued[1]), (0, 0), "nobody waited for it");
        // All places are free again, for other names: a lookup of these may not have ended yet.
        let names = held_names(&dns, 20..20 + PLACES);
        let lookups = start(&names);
        wait_until(|| dns.held() == names);
        names.iter().for_each(|name| dns.release(name));
        assert!(soon(|| join_all(lookups)).into_iter().all(|lookup| lookup.unwrap().is_ok()));
    });
}

/// FAULTS row 39: jobs that wait for lookups, which wait for jobs.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn fault_39_a_job_may_look_names_up_however_busy_the_pool_is() {
    let name = "fault_39_a_job_may_look_names_up_however_busy_the_pool_is";
    alone_in_a_network_with(name, &[("EVY_THREADPOOL_SIZE", "2")], || {
        let dns = name_server("127.0.0.1 localhost\n");
        dns.add("one.test", Answers, &[Ipv4Addr::LOCALHOST.into()]);
        let (release, wait) = mpsc::channel::<()>();
        let (other_release, other_wait) = mpsc::channel::<()>();
        let jobs = [wait, other_wait].map(|wait| {
            spawn(move || {
                unblock(move || {
                    wait.recv().unwrap();
                    all("one.test:80").map(|addresses| addresses.len())
                })
            })
        });
        let_all_park();
        // This one has the place, and its job queues behind those.
        let queued = spawn(|| all("one.test:81").map(|addresses| addresses.len()));
        let_all_park();
        release.send(()).unwrap();
        other_release.send(()).unwrap();
        for job in jobs {
            assert_eq!(soon(|| job.wait()).unwrap().unwrap(), 1);
        }
        assert_eq!(soon(|| queued.wait()).unwrap().unwrap(), 1);
    });
}

/// In a destructor of one that unwinds the lookup blocks, as every job does.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn while_its_caller_unwinds_the_lookup_is_done_in_place() {
    struct LooksUpInDrop(mpsc::Sender<(usize, usize)>);

    impl Drop for LooksUpInDrop {
        fn drop(&mut self) {
            let before = os_threads();
            let count = all("one.test:80").unwrap().len();
            self.0.send((count, os_threads() - before)).unwrap();
        }
    }

    alone_in_a_network("while_its_caller_unwinds_the_lookup_is_done_in_place", || {
        let dns = name_server("127.0.0.1 localhost\n");
        dns.add("one.test", Answers, &[Ipv4Addr::LOCALHOST.into()]);
        let (sender, receiver) = mpsc::channel();
        let panics = spawn(move || {
            let _looks_up = LooksUpInDrop(sender);
            panic!("on purpose");
        });
        assert!(soon(|| panics.wait()).is_err());
        assert_eq!(receiver.recv(), Ok((1, 0)));
    });
}

/// A wait for nothing but a lookup is none for ever.
#[test]
#[ignore = "needs a network of its own, so root: part of make acceptance"]
fn a_lookup_is_no_deadlock() {
    alone_in_a_network("a_lookup_is_no_deadlock", || {
        let dns = name_server("127.0.0.1 localhost\n");
        let names = held_names(&dns, 0..1);
        yield_now();
        std::thread::scope(|s| {
            s.spawn(|| {
                while dns.held().is_empty() {
                    std::hint::spin_loop();
                }
                dns.release(&names[0]);
            });
            assert!(all((names[0].as_str(), 80)).is_ok());
        });
    });
}

util::and_all_of_them_again!();
