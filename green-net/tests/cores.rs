//! Listeners that share an address, and connections that change hubs.

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use evy_green_net::{HandOff, SharedAddress, connect, listen, listen_shared};
use evy_runtime::{Remote, cores, sleep, spawn, spawn_n, unblock, yield_now};

/// How long std's blocking clients wait before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn client(address: std::net::SocketAddr) -> StdStream {
    let stream = StdStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Sends a byte and waits for it.
fn is_echoed(mut stream: &StdStream) -> bool {
    let mut answer = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"x"
}

#[test]
fn listeners_that_share_an_address_both_get_connections() {
    const CLIENTS: usize = 200;
    let address = SharedAddress::bind("127.0.0.1:0").unwrap();
    let at = address.local_addr().unwrap();
    let served = AtomicUsize::new(0);
    let all_served = AtomicBool::new(false);
    let counts = cores::run(3, |core| {
        if core.index() == 2 {
            // Both listen when their hubs are there, so a client may come too early.
            for _ in 0..CLIENTS {
                let mut stream = loop {
                    match connect(at) {
                        Ok(stream) => break stream,
                        Err(_) => sleep(Duration::from_millis(1)),
                    }
                };
                let mut answer = [0];
                let _ = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut answer));
            }
            all_served.store(true, Ordering::SeqCst);
            return 0;
        }
        let listener = address.listen().unwrap();
        let count = std::rc::Rc::new(std::cell::Cell::new(0));
        let acceptor = spawn({
            let count = std::rc::Rc::clone(&count);
            move || {
                loop {
                    let (client, _) = listener.accept().unwrap();
                    count.set(count.get() + 1);
                    spawn_n(move || evy_green_net::copy(&client, &client));
                }
            }
        });
        while !all_served.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1));
        }
        acceptor.kill();
        served.fetch_add(count.get(), Ordering::SeqCst);
        count.get()
    });
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    assert!(served.into_inner() <= CLIENTS);
}

#[test]
fn an_address_that_is_held_takes_no_connection_until_somebody_listens() {
    let address = SharedAddress::bind("127.0.0.1:0").unwrap();
    let at = address.local_addr().unwrap();
    assert!(connect(at).is_err());
    let _listener = address.listen().unwrap();
    assert!(connect(at).is_ok());
    assert!(listen(at).is_err(), "one that does not share cannot have it");
    assert!(listen_shared(at).is_ok());
}

/// FAULTS row 51: its listener is closed, so the kernel gives all connections to the others.
#[test]
fn fault_51_when_a_core_panics_the_others_serve_every_new_connection() {
    let address = SharedAddress::bind("127.0.0.1:0").unwrap();
    let at = address.local_addr().unwrap();
    let (listening, checked) = (AtomicUsize::new(0), AtomicBool::new(false));
    let result = catch_unwind(AssertUnwindSafe(|| {
        cores::run(3, |core| match core.index() {
            2 => {
                while listening.load(Ordering::SeqCst) < 2 || !core.remotes()[0].has_ended() {
                    sleep(Duration::from_millis(1));
                }
                let echoed = unblock(move || (0..50).all(|_| is_echoed(&client(at))));
                checked.store(true, Ordering::SeqCst);
                assert!(echoed);
            }
            index => {
                let listener = address.listen().unwrap();
                listening.fetch_add(1, Ordering::SeqCst);
                if index == 0 {
                    while listening.load(Ordering::SeqCst) < 2 {
                        sleep(Duration::from_millis(1));
                    }
                    // The listener is a green thread's: it goes with the core all the same.
                    spawn_n(move || listener.accept());
                    yield_now();
                    panic!("core 0 panics on purpose");
                }
                spawn_n(move || {
                    while let Ok((client, _)) = listener.accept() {
                        spawn_n(move || evy_green_net::copy(&client, &client));
                    }
                });
                while !checked.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(1));
                }
            }
        })
    }));
    let payload = result.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"core 0 panics on purpose"));
}

#[test]
fn each_connection_goes_to_the_hub_that_has_the_fewest() {
    let listener = listen("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    cores::run(3, |core| {
        let is_over = Arc::clone(&stop);
        if core.index() > 0 {
            while !is_over.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1));
            }
            return;
        }
        let hubs = HandOff::new(core.remotes()[1..].to_vec());
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(client(at));
            let (stream, _) = listener.accept().unwrap();
            hubs.send(stream, |stream| evy_green_net::copy(&stream, &stream)).unwrap();
        }
        assert_eq!(hubs.loads(), [5, 5]);
        let clients = unblock(move || {
            assert!(clients.iter().all(is_echoed));
            // Those of one hub leave: the next go there.
            clients.into_iter().step_by(2).collect::<Vec<_>>()
        });
        while hubs.loads() != [5, 0] {
            sleep(Duration::from_millis(1));
        }
        drop(clients);
        while hubs.loads() != [0, 0] {
            sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_hub_that_has_ended_is_passed_over_and_with_none_left_the_stream_comes_back() {
    let listener = listen("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let gone = std::thread::spawn(Remote::current).join().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let stream = HandOff::new([gone.clone()]).send(stream, |_| ()).unwrap_err();
    let hubs = HandOff::new([gone, Remote::current()]);
    hubs.send(stream, |stream| evy_green_net::copy(&stream, &stream)).unwrap();
    assert_eq!(hubs.loads(), [0, 1]);
    assert!(unblock(move || is_echoed(&client)));
}

/// It was waited for on one hub, and is registered there.
#[test]
fn a_connection_that_was_used_here_can_be_handed_off() {
    let listener = listen("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    let reader = spawn(move || {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
        stream
    });
    yield_now();
    let client = unblock(move || {
        assert!(is_echoed(&client));
        client
    });
    let stream = reader.wait().unwrap();
    let there = std::thread::spawn(move || {
        let hubs = HandOff::new([Remote::current()]);
        hubs.send(stream, |stream| evy_green_net::copy(&stream, &stream)).unwrap();
        while hubs.loads() != [0] {
            sleep(Duration::from_millis(1));
        }
    });
    assert!(unblock(move || is_echoed(&client)));
    unblock(move || there.join()).unwrap();
}
