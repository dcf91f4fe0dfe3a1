//! Closing and dropping: under those who wait, from elsewhere, and with the number reused at once.

mod util;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use evy_green_net::{TcpListener, TcpStream, listen};
use evy_runtime::{GreenThread, spawn, yield_now};
use util::{green_pair, let_all_park, pair, soon};

/// Something that parks on a stream until it is closed, and how that looks.
type Call = fn(&TcpStream) -> io::Result<usize>;

const CALLS: [(&str, Call); 4] = [
    ("read", |mut stream| stream.read(&mut [0])),
    ("peek", |stream| stream.peek(&mut [0])),
    ("write", |mut stream| (0..).try_fold(0, |_, _: u64| stream.write(&[0; 1 << 16]))),
    ("copy", |stream| evy_green_net::copy(stream, stream).map(|count| count as usize)),
];

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Semantics E 82, FAULTS row 2.
#[test]
fn fault_02_a_close_on_the_same_hub_wakes_who_waits_at_once() {
    for (name, call) in CALLS {
        let (ours, _theirs) = pair();
        let ours = Rc::new(ours);
        let waiter = spawn({
            let ours = Rc::clone(&ours);
            move || call(&ours)
        });
        let_all_park();
        assert!(!waiter.is_finished(), "{name} did not park");
        ours.close();
        // At once: the next time it can run.
        yield_now();
        assert!(waiter.is_finished(), "{name} still waits");
        assert_eq!(kind(waiter.wait().unwrap()), Some(ErrorKind::NotConnected), "{name}");
        for (name, call) in CALLS {
            assert_eq!(kind(call(&ours)), Some(ErrorKind::NotConnected), "a later {name}");
        }
        assert_eq!(kind(ours.try_read(&mut [0])), Some(ErrorKind::NotConnected));
        assert_eq!(kind(ours.try_write(&[0])), Some(ErrorKind::NotConnected));
    }
}

/// Semantics E 82, FAULTS row 2.
#[test]
fn fault_02_a_close_from_another_os_thread_wakes_who_waits() {
    for (name, call) in CALLS {
        for has_hub in [false, true] {
            let (ours, _theirs) = pair();
            let ours = Arc::new(ours);
            let waiting = util::os_thread();
            let closer = std::thread::spawn({
                let ours = Arc::clone(&ours);
                move || {
                    if has_hub {
                        yield_now();
                    }
                    util::wait_until_asleep(waiting);
                    ours.close();
                }
            });
            assert_eq!(kind(soon(|| call(&ours))), Some(ErrorKind::NotConnected), "{name}");
            closer.join().unwrap();
        }
    }
}

/// FAULTS row 2: the waiter has a one-shot registration, in another hub than the owner's.
#[test]
fn fault_02_a_close_on_the_owners_hub_wakes_who_waits_on_another() {
    for (name, call) in CALLS {
        let (ours, _theirs) = pair();
        ours.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        assert_eq!(kind(soon(|| (&ours).read(&mut [0]))), Some(ErrorKind::TimedOut));
        ours.set_read_timeout(None).unwrap();
        let ours = Arc::new(ours);
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn({
            let ours = Arc::clone(&ours);
            move || {
                tell.send(util::os_thread()).unwrap();
                kind(soon(|| call(&ours)))
            }
        });
        util::wait_until_asleep(told.recv().unwrap());
        ours.close();
        assert_eq!(waiter.join().unwrap(), Some(ErrorKind::NotConnected), "{name}");
    }
}

/// Semantics E 82, FAULTS row 2.
#[test]
fn fault_02_a_listener_that_is_closed_wakes_everybody_in_line() {
    let listener = Rc::new(listen("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let acceptors: Vec<GreenThread<_>> = (0..5)
        .map(|_| {
            let listener = Rc::clone(&listener);
            spawn(move || kind(listener.accept()))
        })
        .collect();
    let_all_park();
    listener.close();
    util::yield_often();
    for acceptor in acceptors {
        assert!(acceptor.is_finished(), "at once, without a look at what the system says");
        assert_eq!(soon(|| acceptor.wait()).unwrap(), Some(ErrorKind::NotConnected));
    }
    assert_eq!(kind(listener.accept()), Some(ErrorKind::NotConnected));
    assert_eq!(kind(TcpStream::connect(address)), Some(ErrorKind::ConnectionRefused));
    // Nobody is left in the line: what the system says of the descriptor later finds nobody.
    let_all_park();
    let again = TcpListener::bind(address).unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(soon(|| again.accept()).unwrap().1, client.local_addr().unwrap());
}

/// Semantics E 82, FAULTS row 2.
#[test]
fn fault_02_a_listener_that_is_closed_elsewhere_wakes_everybody_in_line() {
    let listener = Arc::new(listen("127.0.0.1:0").unwrap());
    let waiting = util::os_thread();
    let closer = std::thread::spawn({
        let listener = Arc::clone(&listener);
        move || {
            util::wait_until_asleep(waiting);
            listener.close();
        }
    });
    let acceptors: Vec<GreenThread<_>> = (0..5)
        .map(|_| {
            let listener = Arc::clone(&listener);
            spawn(move || kind(listener.accept()))
        })
        .collect();
    for acceptor in acceptors {
        assert_eq!(soon(|| acceptor.wait()).unwrap(), Some(ErrorKind::NotConnected));
    }
    closer.join().unwrap();
}

#[test]
fn a_close_tells_the_peer_and_is_the_same_twice() {
    let (ours, mut theirs) = pair();
    ours.close();
    ours.close();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    assert!(format!("{ours:?}").contains("fd"));
}

#[test]
fn a_close_ends_the_waits_of_clones_too() {
    let (ours, _theirs) = pair();
    let clone = ours.try_clone().unwrap();
    let reader = spawn(move || (&clone).read(&mut [0]));
    let_all_park();
    ours.close();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 0, "the end of the stream");
}

/// FAULTS row 1, Semantics E 82.
#[test]
fn fault_01_a_number_that_is_reused_at_once_works_and_gets_nothing_old() {
    util::alone("fault_01_a_number_that_is_reused_at_once_works_and_gets_nothing_old", || {
        let mut reused = 0;
        for round in 0..200u8 {
            let (ours, mut theirs) = green_pair();
            // Known to the hub, and with an event that it has not looked at yet.
            let reader = spawn(move || {
                (&ours).read_exact(&mut [0]).unwrap();
                ours
            });
            yield_now();
            theirs.write_all(b"oo").unwrap();
            let ours = soon(|| reader.wait()).unwrap();
            theirs.write_all(b"old").unwrap();
            let number = ours.as_raw_fd();
            drop(ours);
            let (new, mut peer) = pair();
            reused += u32::from(new.as_raw_fd() == number || peer.as_raw_fd() == number);
            let reader = spawn(move || {
                let mut byte = [0];
                (&new).read_exact(&mut byte).unwrap();
                byte[0]
            });
            let_all_park();
            assert!(!reader.is_finished());
            peer.write_all(&[round]).unwrap();
            assert_eq!(soon(|| reader.wait()).unwrap(), round);
        }
        assert!(reused >= 200, "only {reused} numbers were reused");
    });
}

/// FAULTS row 1: sockets are dropped on an OS thread that is not their hub's, and that hub waits for
/// the next socket of the same number before it has heard of it.
#[test]
fn fault_01_a_number_dropped_elsewhere_is_as_good_as_new() {
    let name = "fault_01_a_number_dropped_elsewhere_is_as_good_as_new";
    util::alone(name, || {
        for round in 0..200u8 {
            let (ours, mut theirs) = pair();
            let reader = spawn(move || {
                (&ours).read_exact(&mut [0]).unwrap();
                ours
            });
            yield_now();
            theirs.write_all(b"x").unwrap();
            let ours = soon(|| reader.wait()).unwrap();
            let number = ours.as_raw_fd();
            // This OS thread blocks meanwhile, so its hub cannot hear of it.
            std::thread::spawn(move || drop(ours)).join().unwrap();
            // As many descriptors as it takes to get that number again.
            let (mut peers, mut new) = (Vec::new(), None);
            while new.is_none() {
                let (one, other) = UnixStream::pair().unwrap();
                let has_it = |end: &UnixStream| end.as_raw_fd() == number;
                if has_it(&one) {
                    new = Some((one, other));
                } else if has_it(&other) {
                    new = Some((other, one));
                } else {
                    peers.push((one, other));
                }
            }
            let (new, mut peer) = new.unwrap();
            // By number, as a foreign descriptor: nothing may be left under it.
            let waiter = spawn(move || {
                evy_runtime::wait_readable(&new, None).unwrap();
                let mut byte = [0];
                (&new).read_exact(&mut byte).unwrap();
                byte[0]
            });
            yield_now();
            peer.write_all(&[round]).unwrap();
            assert_eq!(soon(|| waiter.wait()).unwrap(), round);
        }
    });
}

#[test]
fn a_stream_dropped_on_another_os_thread_is_closed_and_its_hub_goes_on() {
    for _ in 0..50 {
        let (ours, mut theirs) = pair();
        let (other, mut peer) = pair();
        let reader = spawn(move || {
            (&ours).read_exact(&mut [0]).unwrap();
            std::thread::spawn(move || drop(ours))
        });
        let witness = spawn(move || (&other).read(&mut [0]).unwrap());
        yield_now();
        theirs.write_all(b"x").unwrap();
        soon(|| reader.wait()).unwrap().join().unwrap();
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
        peer.write_all(b"x").unwrap();
        assert_eq!(soon(|| witness.wait()).unwrap(), 1);
    }
}

#[test]
fn a_stream_outlives_the_hub_that_it_was_registered_with() {
    let (ours, mut theirs) = pair();
    let mut ours = std::thread::spawn(move || {
        ours.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        assert_eq!(kind((&ours).read(&mut [0])), Some(ErrorKind::TimedOut));
        ours.set_read_timeout(None).unwrap();
        ours
    })
    .join()
    .unwrap();
    for n in 0..10 {
        let echo = std::thread::spawn(move || {
            theirs.write_all(&[n]).unwrap();
            theirs
        });
        let mut byte = [0];
        soon(|| ours.read_exact(&mut byte)).unwrap();
        assert_eq!(byte[0], n);
        theirs = echo.join().unwrap();
    }
}

/// The owner's hub, and a one-shot wait elsewhere.
#[test]
fn a_stream_is_used_from_two_hubs_in_turn() {
    const ROUNDS: u32 = 200;
    let (ours, theirs) = pair();
    let ours = Arc::new(ours);
    let (to_other, from_this) = std::sync::mpsc::channel::<u32>();
    let (to_this, from_other) = std::sync::mpsc::channel::<u32>();
    let read = |ours: &TcpStream| {
        let mut number = [0; 4];
        soon(|| { ours }.read_exact(&mut number)).unwrap();
        u32::from_le_bytes(number)
    };
    let other = std::thread::spawn({
        let ours = Arc::clone(&ours);
        move || {
            while let Ok(expected) = from_this.recv() {
                assert_eq!(read(&ours), expected);
                to_this.send(expected).unwrap();
            }
        }
    });
    let writer = std::thread::spawn(move || {
        // Each number comes only when the one before it has been read, so that every read parks.
        let mut theirs = theirs;
        for n in 0..2 * ROUNDS {
            theirs.write_all(&n.to_le_bytes()).unwrap();
            if n % 7 == 0 {
                theirs.read_exact(&mut [0]).unwrap();
            }
        }
        theirs
    });
    for n in 0..ROUNDS {
        assert_eq!(read(&ours), 2 * n);
        if 2 * n % 7 == 0 {
            (&*ours).write_all(b"x").unwrap();
        }
        to_other.send(2 * n + 1).unwrap();
        assert_eq!(from_other.recv().unwrap(), 2 * n + 1);
        if (2 * n + 1) % 7 == 0 {
            (&*ours).write_all(b"x").unwrap();
        }
    }
    drop(to_other);
    other.join().unwrap();
    drop(writer.join().unwrap());
}

/// FAULTS row 1.
#[test]
fn fault_01_every_byte_reaches_its_own_socket_through_any_order_of_open_and_close() {
    const SLOTS: usize = 16;
    const STEPS: u32 = 20_000;
    struct Slot {
        tag: u32,
        sent: usize,
        peer: std::net::TcpStream,
        reader: GreenThread<usize>,
    }
    fn open(tag: u32) -> Slot {
        let (ours, peer) = pair();
        let reader = spawn(move || {
            let mut read = 0;
            let mut word = [0; 4];
            while (&ours).read(&mut word[..1]).unwrap() == 1 {
                (&ours).read_exact(&mut word[1..]).unwrap();
                assert_eq!(u32::from_le_bytes(word), tag);
                read += 1;
            }
            read
        });
        Slot { tag, sent: 0, peer, reader }
    }
    fn close(slot: Slot) {
        drop(slot.peer);
        assert_eq!(soon(|| slot.reader.wait()).unwrap(), slot.sent);
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit as u64) as usize
    };
    let mut slots: Vec<Slot> = (0..SLOTS as u32).map(open).collect();
    for step in 0..STEPS {
        let slot = &mut slots[below(SLOTS)];
        match below(20) {
            0 => close(std::mem::replace(slot, open(step + SLOTS as u32))),
            1 => {
                slot.reader.kill();
                *slot = open(step + SLOTS as u32);
            }
            2..6 => yield_now(),
            _ => {
                slot.peer.write_all(&slot.tag.to_le_bytes()).unwrap();
                slot.sent += 1;
            }
        }
    }
    slots.into_iter().for_each(close);
}

/// FAULTS row 37.
#[test]
fn fault_37_a_connection_that_hung_up_costs_nothing_while_nobody_asks() {
    let (ours, theirs) = green_pair();
    for stream in [&ours, &theirs] {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        assert_eq!(kind(soon(|| { stream }.read(&mut [0]))), Some(ErrorKind::TimedOut));
    }
    theirs.shutdown(std::net::Shutdown::Both).unwrap();
    ours.shutdown(std::net::Shutdown::Both).unwrap();
    let before = util::cpu_time();
    evy_runtime::sleep(std::time::Duration::from_millis(100));
    let spent = util::cpu_time() - before;
    assert!(spent.as_millis() < 30, "it spun for {spent:?} of 100 ms");
}

util::and_all_of_them_again!();
