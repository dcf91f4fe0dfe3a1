//! `serve`: Semantics E 92 to 94 and section 1.5, FAULTS rows 4 and 9.

mod util;

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::{StopServe, TcpStream, listen, serve};
use evy_runtime::{Died, GreenThread, sleep, spawn, spawn_n};
use util::{StdStream, let_all_park, soon, wait_until};

fn start(
    handler: impl Fn(TcpStream, SocketAddr) -> io::Result<()> + 'static,
) -> (SocketAddr, GreenThread<io::Result<()>>) {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || serve(listener, handler));
    let_all_park();
    (address, server)
}

fn is_closed(stream: &mut StdStream) -> bool {
    stream.set_read_timeout(Some(util::FOR_EVER)).unwrap();
    matches!(stream.read(&mut [0]), Ok(0))
}

/// Nobody listens there any more. Not at once: a process that another test is just starting has
/// copies of all descriptors until it runs its program.
#[track_caller]
fn will_be_refused(address: SocketAddr) {
    wait_until(|| {
        StdStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

/// Semantics E 92.
#[test]
fn a_hundred_connections_are_a_hundred_calls_and_their_end_closes_them() {
    let calls = Rc::new(Cell::new(0));
    let (address, server) = start({
        let calls = Rc::clone(&calls);
        move |client, peer| {
            assert_eq!(client.peer_addr()?, peer);
            calls.set(calls.get() + 1);
            Ok(())
        }
    });
    let mut clients: Vec<_> = (0..100).map(|_| StdStream::connect(address).unwrap()).collect();
    wait_until(|| calls.get() == 100);
    assert!(clients.iter_mut().all(is_closed));
    assert!(!server.is_finished());
    server.kill();
}

/// Semantics E 92: those who are being served are served to the end.
#[test]
fn stop_serve_ends_it_well_and_the_others_go_on() {
    let (address, server) = start(|mut client, _| {
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line)?;
        if line == "stop\n" {
            return Err(StopServe.into());
        }
        client.write_all(line.as_bytes())
    });
    let mut other = StdStream::connect(address).unwrap();
    let mut last = StdStream::connect(address).unwrap();
    let_all_park();
    last.write_all(b"stop\n").unwrap();
    soon(|| server.wait()).unwrap().unwrap();
    assert!(is_closed(&mut last));
    will_be_refused(address);
    other.write_all(b"still here\n").unwrap();
    let back = std::thread::spawn(move || {
        let mut text = String::new();
        other.read_to_string(&mut text).map(|_| text)
    });
    wait_until(|| back.is_finished());
    assert_eq!(back.join().unwrap().unwrap(), "still here\n");
}

/// Semantics E 92.
#[test]
fn a_handlers_error_is_returned_and_its_client_closed() {
    for closes in [false, true] {
        let (address, server) = start(move |client, _| {
            if closes {
                client.close();
            }
            Err(io::Error::other("the disk is full"))
        });
        let mut client = StdStream::connect(address).unwrap();
        let error = soon(|| server.wait()).unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the disk is full");
        assert!(is_closed(&mut client));
        will_be_refused(address);
    }
}

#[test]
fn of_several_ends_the_first_counts() {
    let (address, server) = start(|mut client, _| {
        let mut kind = [0];
        client.read_exact(&mut kind)?;
        Err(if kind[0] == b'1' { StopServe.into() } else { io::Error::other("too late") })
    });
    let mut clients = [0; 2].map(|_| StdStream::connect(address).unwrap());
    let_all_park();
    clients[1].write_all(b"1").unwrap();
    clients[0].write_all(b"2").unwrap();
    soon(|| server.wait()).unwrap().unwrap();
    let_all_park();
}

/// FAULTS row 4.
#[test]
fn fault_04_a_handlers_panic_is_reported_and_serving_goes_on() {
    let name = "fault_04_a_handlers_panic_is_reported_and_serving_goes_on";
    if util::is_child() {
        let (address, server) = start(|mut client, _| {
            let mut kind = [0];
            client.read_exact(&mut kind)?;
            assert_ne!(kind[0], 0, "a handler that fails");
            client.write_all(&kind)
        });
        let before = util::descriptors();
        for n in 0..100 {
            let mut client = StdStream::connect(address).unwrap();
            client.write_all(&[n % 10]).unwrap();
            let_all_park();
            let back = client.read(&mut [0]);
            assert_eq!(back.unwrap(), usize::from(n % 10 != 0));
            let_all_park();
        }
        wait_until(|| util::descriptors() == before);
        assert!(!server.is_finished());
        server.kill();
        return;
    }
    let output = util::child_command(name).output().unwrap();
    let reports = String::from_utf8_lossy(&output.stderr).matches("a handler that fails").count();
    util::assert_success(output);
    assert_eq!(reports, 10, "once each");
}

/// Semantics E 93, with the limit there is.
#[test]
fn the_thousand_and_first_client_waits_until_one_leaves() {
    const LIMIT: usize = 1000;
    assert!(util::limit_descriptors(20_000) > 2_500, "this test takes 2,000 descriptors");
    let served = Rc::new(Cell::new(0));
    let (address, server) = start({
        let served = Rc::clone(&served);
        move |mut client, _| {
            served.set(served.get() + 1);
            client.read(&mut [0]).map(drop)
        }
    });
    let mut clients: Vec<_> =
        (0..LIMIT + 3).map(|_| StdStream::connect(address).unwrap()).collect();
    wait_until(|| served.get() >= LIMIT);
    let_all_park();
    sleep(Duration::from_millis(5));
    assert_eq!(served.get(), LIMIT);
    for left in 1..=3 {
        drop(clients.remove(0));
        wait_until(|| served.get() > LIMIT + left - 1);
        let_all_park();
        assert_eq!(served.get(), LIMIT + left);
    }
    server.kill();
}

/// Semantics 1.5: after a kill it stops, and what it listened on is free.
#[test]
fn a_kill_of_who_serves_stops_it_and_closes_the_listener() {
    for at_once in [true, false] {
        let (address, server) = start(|client, _| evy_green_net::copy(&client, &client).map(drop));
        let mut client = StdStream::connect(address).unwrap();
        if !at_once {
            client.write_all(b"a").unwrap();
            let_all_park();
        }
        server.kill();
        assert!(matches!(soon(|| server.wait()), Err(Died::Killed)));
        will_be_refused(address);
        let again = listen(address).unwrap();
        assert_eq!(again.local_addr().unwrap(), address);
    }
}

#[test]
fn a_timeout_around_it_stops_it_too() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let time = Duration::from_millis(5);
    assert!(evy_runtime::timeout(time, || serve(listener, |_, _| Ok(()))).is_err());
    // The kill of its accept loop was ordered while it unwound, and comes with the next turn.
    evy_runtime::yield_now();
    will_be_refused(address);
}

#[test]
fn a_listener_that_is_closed_elsewhere_ends_it_with_that_error() {
    let listener = listen("127.0.0.1:0").unwrap();
    let clone = listener.try_clone().unwrap();
    let server = spawn(move || serve(listener, |_, _| Ok(())));
    let_all_park();
    clone.close();
    assert!(soon(|| server.wait()).unwrap().is_err());
}

#[test]
fn a_handler_may_serve_another_listener() {
    let (address, server) = start(|mut client, _| {
        let inner = listen("127.0.0.1:0")?;
        client.write_all(&inner.local_addr()?.port().to_le_bytes())?;
        serve(inner, |mut client, _| {
            client.write_all(b"inside")?;
            Err(StopServe.into())
        })?;
        client.write_all(b"outside")
    });
    let client = std::thread::spawn(move || {
        let mut outer = StdStream::connect(address).unwrap();
        let mut port = [0; 2];
        outer.read_exact(&mut port).unwrap();
        let inner = SocketAddr::new(address.ip(), u16::from_le_bytes(port));
        let mut texts = [String::new(), String::new()];
        StdStream::connect(inner).unwrap().read_to_string(&mut texts[0]).unwrap();
        outer.read_to_string(&mut texts[1]).unwrap();
        texts
    });
    wait_until(|| client.is_finished());
    assert_eq!(client.join().unwrap(), ["inside", "outside"]);
    server.kill();
}

/// The processor time that a process has used.
fn cpu_time_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// FAULTS row 9, Semantics E 94.
#[test]
#[expect(clippy::disallowed_methods, reason = "no green thread runs here: it watches a process")]
fn fault_09_without_descriptors_it_neither_dies_nor_spins_and_goes_on_when_there_are_some() {
    const LIMIT: u64 = 64;
    let name =
        "fault_09_without_descriptors_it_neither_dies_nor_spins_and_goes_on_when_there_are_some";
    if util::is_child() {
        let listener = listen("127.0.0.1:0").unwrap();
        util::limit_descriptors(LIMIT);
        println!("\nADDRESS {}", listener.local_addr().unwrap());
        // Until the parent closes its end.
        spawn_n(|| {
            evy_runtime::unblock(|| io::copy(&mut io::stdin(), &mut io::sink()).unwrap());
            std::process::exit(0);
        });
        serve(listener, |client, _| evy_green_net::copy(&client, &client).map(drop)).unwrap();
        return;
    }
    let mut child = util::child_command(name).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address: SocketAddr = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ADDRESS ").map(|address| address.parse().unwrap()))
        .expect("the child listens");
    let mut clients: Vec<_> = (0..200).map(|_| StdStream::connect(address).unwrap()).collect();
    let mut echo = |client: &mut StdStream| {
        client.set_read_timeout(Some(util::FOR_EVER)).unwrap();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    };
    // Who is in has full service.
    for _ in 0..20 {
        clients[..20].iter_mut().for_each(&mut echo);
    }
    let before = (Instant::now(), cpu_time_of(child.id()));
    std::thread::sleep(Duration::from_millis(500));
    let spent = cpu_time_of(child.id()) - before.1;
    assert!(spent < before.0.elapsed() / 5, "it spun: {spent:?} of {:?}", before.0.elapsed());
    clients[..20].iter_mut().for_each(&mut echo);
    // The first fifty leave, and so on: everybody is served in the end.
    while !clients.is_empty() {
        let leaving = clients.len().min(40);
        clients[..leaving].iter_mut().for_each(&mut echo);
        clients.drain(..leaving);
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

util::and_all_of_them_again!();
