//! `Bell`, and what is heard of descriptors: the calls that are made again, and those that were closed.

mod util;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use evy_runtime::io::{Attempt, Direction, GreenFd, closed_descriptors, look_again};
use evy_runtime::{Bell, Reason, TimedOut, spawn, wait_readable, yield_now};

const RING: Reason = Reason::new(&"a bell");

#[test]
fn a_ring_is_heard_by_everybody_who_listens_and_by_nobody_else() {
    let bell = Rc::new(Bell::new());
    bell.ring();
    let heard = Rc::new(Cell::new(0));
    let listeners: Vec<_> = (0..3)
        .map(|_| {
            let (bell, heard) = (Rc::clone(&bell), Rc::clone(&heard));
            spawn(move || {
                let listening = bell.listen();
                listening.wait(RING, None).unwrap();
                heard.set(heard.get() + 1);
                listening.wait(RING, Some(Duration::ZERO))
            })
        })
        .collect();
    yield_now();
    assert_eq!(heard.get(), 0);
    bell.ring();
    for listener in listeners {
        assert_eq!(listener.wait().unwrap(), Err(TimedOut));
    }
    assert_eq!(heard.get(), 3);
}

#[test]
fn a_ring_between_listening_and_waiting_is_not_lost() {
    let bell = Bell::new();
    let listening = bell.listen();
    bell.ring();
    bell.ring();
    assert_eq!(listening.wait(RING, None), Ok(()));
    assert_eq!(listening.wait(RING, Some(Duration::ZERO)), Err(TimedOut));
}

#[test]
fn who_is_killed_listens_no_longer() {
    let bell = Rc::new(Bell::new());
    let listener = spawn({
        let bell = Rc::clone(&bell);
        move || bell.listen().wait(RING, None)
    });
    yield_now();
    assert_eq!(format!("{bell:?}"), "Bell { listeners: 1, .. }");
    listener.kill();
    assert_eq!(format!("{bell:?}"), "Bell { listeners: 0, .. }");
    bell.ring();
}

#[test]
fn no_change_is_missed_that_is_rung_for_on_another_os_thread() {
    const CHANGES: u64 = 20_000;
    let state = Arc::new((AtomicU64::new(0), Bell::new()));
    let changer = std::thread::spawn({
        let state = Arc::clone(&state);
        move || {
            for n in 1..=CHANGES {
                state.0.store(n, SeqCst);
                state.1.ring();
            }
        }
    });
    // Whoever misses one waits for ever at the last.
    while state.0.load(SeqCst) < CHANGES {
        let seen = state.0.load(SeqCst);
        let listening = state.1.listen();
        while state.0.load(SeqCst) == seen && seen < CHANGES {
            listening.wait(RING, Some(Duration::from_secs(30))).expect("a change was missed");
        }
    }
    changer.join().unwrap();
}

/// A green socket whose peer is blocking, and whose reads give `end` once that is set.
fn socket() -> (Rc<GreenFd>, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(GreenFd::new(ours.into())), peer)
}

#[test]
fn a_call_is_made_again_whose_result_has_changed_unseen_by_the_system() {
    let (socket, _peer) = socket();
    let results = Rc::new(RefCell::new(Vec::new()));
    let (calls, is_over) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let reader = spawn({
        let (socket, is_over) = (Rc::clone(&socket), Rc::clone(&is_over));
        let (results, calls) = (Rc::clone(&results), Rc::clone(&calls));
        move || {
            for _ in 0..2 {
                let result = socket.call(Attempt::new(Direction::Read), |_| {
                    calls.set(calls.get() + 1);
                    if is_over.get() { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
                });
                results.borrow_mut().push(result.is_ok());
                is_over.set(false);
            }
        }
    });
    yield_now();
    assert_eq!(calls.get(), 1);
    // Nothing has changed: it waits on.
    look_again(socket_number(&socket), Direction::Read);
    look_again(socket_number(&socket), Direction::Write);
    yield_now();
    assert_eq!(calls.get(), 2);
    for n in 1..=2 {
        is_over.set(true);
        look_again(socket_number(&socket), Direction::Read);
        yield_now();
        assert_eq!(results.borrow().len(), n);
    }
    reader.wait().unwrap();
}

fn socket_number(socket: &GreenFd) -> i32 {
    use std::os::fd::AsFd;
    socket.as_fd().as_raw_fd()
}

#[test]
fn everybody_who_waits_for_a_descriptor_of_others_looks_again() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let ours = Rc::clone(&ours);
            spawn(move || wait_readable(&*ours, None).is_ok())
        })
        .collect();
    yield_now();
    look_again(ours.as_raw_fd(), Direction::Read);
    // They do not look by themselves: to be woken counts as ready.
    for waiter in waiters {
        assert!(waiter.wait().unwrap());
    }
    // The registration has gone with them, and a new one works.
    peer.write_all(b"x").unwrap();
    wait_readable(&*ours, None).unwrap();
    (&*ours).read_exact(&mut [0]).unwrap();
}

#[test]
fn a_number_that_nobody_waits_for_is_nothing() {
    look_again(-1, Direction::Read);
    look_again(1_000_000, Direction::Write);
    look_again(0, Direction::Read);
}

#[test]
fn a_closed_descriptor_is_heard_when_its_number_is_free() {
    let (socket, _peer) = socket();
    let number = socket_number(&socket);
    let listening = closed_descriptors().listen();
    let socket = Rc::into_inner(socket).unwrap();
    std::thread::spawn(move || drop(socket)).join().unwrap();
    listening.wait(RING, None).unwrap();
    // It may have been taken again meanwhile, but not by a socket that is registered here.
    look_again(number, Direction::Read);
}

#[test]
fn a_descriptor_that_was_taken_out_is_not_closed() {
    let (socket, mut peer) = socket();
    let mut socket = Rc::into_inner(socket).unwrap();
    let fd = socket.take_fd().unwrap();
    assert!(socket.take_fd().is_none());
    drop(socket);
    peer.write_all(b"x").unwrap();
    UnixStream::from(fd).read_exact(&mut [0]).unwrap();
}
