//! `RwLock`: who is let in when.

mod util;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, join_all, sleep, spawn, timeout, yield_now};
use evy_sync::{RwLock, TimedOut, WouldBlock};
use util::{
    LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end, settle,
    start, yields,
};

/// One that reads, and logs when it is in.
fn reader(lock: &Rc<RwLock<u32>>, log: &Log, name: &'static str) -> GreenThread<()> {
    let log = log.clone();
    start(lock, move |lock| {
        let _guard = lock.read();
        log.add(name);
        yield_now();
    })
}

fn writer(lock: &Rc<RwLock<u32>>, log: &Log, name: &'static str) -> GreenThread<()> {
    let log = log.clone();
    start(lock, move |lock| {
        *lock.write() += 1;
        log.add(name);
        yield_now();
    })
}

#[test]
fn many_read_and_one_writes() {
    let lock = RwLock::new(1);
    let readers = [lock.read(), lock.read(), lock.try_read().unwrap()];
    assert_eq!(readers.iter().map(|guard| **guard).sum::<i32>(), 3);
    assert_eq!(lock.try_write().unwrap_err(), WouldBlock);
    drop(readers);
    let mut writer = lock.try_write().unwrap();
    *writer = 2;
    assert_eq!(lock.try_read().unwrap_err(), WouldBlock);
    assert_eq!(lock.try_write().unwrap_err(), WouldBlock);
    drop(writer);
    assert!(!yields(|| assert_eq!(*lock.read(), 2)));
    assert!(!yields(|| *lock.write() += 1));
    assert_eq!(lock.into_inner(), 3);
}

#[test]
fn readers_that_come_after_a_waiting_writer_go_behind_it() {
    let (lock, log) = (Rc::new(RwLock::new(0)), Log::new());
    let guard = lock.read();
    let all = [
        writer(&lock, &log, "writer"),
        reader(&lock, &log, "reader"),
        reader(&lock, &log, "another"),
    ];
    assert_eq!(lock.try_read().unwrap_err(), WouldBlock, "a writer waits");
    assert_eq!(log.len(), 0);
    drop(guard);
    join_all(all);
    assert_eq!(log.take(), ["writer", "reader", "another"]);
}

#[test]
fn a_stream_of_readers_starves_no_writer() {
    let (lock, stop) = (Rc::new(RwLock::new(0)), Rc::new(Cell::new(false)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (lock, stop) = (Rc::clone(&lock), Rc::clone(&stop));
            spawn(move || {
                while !stop.get() {
                    let _guard = lock.read();
                    yield_now();
                }
            })
        })
        .collect();
    yield_now();
    for _ in 0..10 {
        *lock.write() += 1;
    }
    stop.set(true);
    join_all(readers);
    assert_eq!(*lock.read(), 10);
}

#[test]
fn readers_in_a_row_are_let_in_together_and_the_next_writer_ends_the_row() {
    let (lock, log) = (Rc::new(RwLock::new(0)), Log::new());
    let inside = Rc::new(Cell::new(0));
    let guard = lock.write();
    let reader = || {
        let (inside, log) = (Rc::clone(&inside), log.clone());
        start(&lock, move |lock| {
            let _guard = lock.read();
            inside.set(inside.get() + 1);
            yield_now();
            log.add(inside.get().to_string());
            yield_now();
            inside.set(inside.get() - 1);
        })
    };
    let first = [reader(), reader(), reader()];
    let writes = writer(&lock, &log, "writer");
    let last = [reader(), reader()];
    drop(guard);
    join_all(first.into_iter().chain([writes]).chain(last));
    assert_eq!(log.take(), ["3", "3", "3", "writer", "2", "2"]);
}

#[test]
fn waits_time_out() {
    let lock = RwLock::new(0);
    let guard = lock.read();
    let begun = Instant::now();
    assert_eq!(lock.write_timeout(SOON).unwrap_err(), TimedOut);
    assert!(begun.elapsed() >= SOON);
    assert!(timeout(SOON, || drop(lock.write())).is_err());
    assert!(lock.try_read().is_ok(), "no writer waits any more");
    drop(guard);
    let guard = lock.write_timeout(Duration::ZERO).unwrap();
    assert_eq!(lock.read_timeout(SOON).unwrap_err(), TimedOut);
    assert!(timeout(SOON, || drop(lock.read())).is_err());
    drop(guard);
    drop(lock.read_timeout(Duration::ZERO).unwrap());
    drop(lock.write());
    assert_nothing_is_registered();
}

/// FAULTS 53: who waits only behind one that leaves is let in.
#[test]
fn fault_53_readers_behind_a_writer_that_leaves_are_let_in() {
    let (lock, log) = (Rc::new(RwLock::new(0)), Log::new());
    let guard = lock.read();
    let killed = writer(&lock, &log, "killed");
    let first = reader(&lock, &log, "first");
    killed.kill();
    first.wait().unwrap();
    let late = start(&lock, |lock| lock.write_timeout(SOON).is_err());
    let second = reader(&lock, &log, "second");
    assert_eq!(log.take(), ["first"]);
    assert!(late.wait().unwrap());
    second.wait().unwrap();
    assert_eq!(log.take(), ["second"]);
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    drop(guard);
    drop(lock.try_write().unwrap());
}

/// FAULTS 53.
#[test]
fn fault_53_one_that_is_killed_after_it_was_let_in_lets_the_next_in() {
    let (lock, log) = (Rc::new(RwLock::new(0)), Log::new());
    let guard = lock.write();
    let [killed, next] = [writer(&lock, &log, "killed"), writer(&lock, &log, "next")];
    drop(guard);
    killed.kill();
    next.wait().unwrap();
    assert_eq!(log.take(), ["next"]);

    let guard = lock.write();
    let readers = ["one", "two"].map(|name| reader(&lock, &log, name));
    let writes = writer(&lock, &log, "writer");
    drop(guard);
    readers[0].kill();
    assert!(lock.try_write().is_err());
    readers[1].kill();
    writes.wait().unwrap();
    assert_eq!(log.take(), ["writer"]);
    assert_eq!(*lock.try_write().unwrap(), 2);
}

/// FAULTS 53: the deadline and the unlock in one turn.
#[test]
fn fault_53_a_lock_unlocked_in_the_turn_of_the_deadline_is_had() {
    let lock = Rc::new(RwLock::new(0));
    let guard = lock.write();
    let reads = start(&lock, |lock| lock.read_timeout(PATIENCE).is_ok());
    let writes = start(&lock, |lock| lock.write_timeout(LONG).is_ok());
    let_patience_end();
    drop(guard);
    assert!(reads.wait().unwrap());
    assert!(writes.wait().unwrap());
    assert!(lock.try_write().is_ok());
}

/// FAULTS 2.2.
#[test]
fn a_panic_or_a_kill_unlocks_and_poisons_nothing() {
    let lock = Rc::new(RwLock::new(0));
    let panics = start(&lock, |lock| {
        *lock.write() += 1;
        let _guard = lock.write();
        panic!("on purpose");
    });
    assert!(panics.wait().is_err());
    let holds = start(&lock, |lock| {
        let _guard = lock.read();
        sleep(LONG);
    });
    assert!(lock.try_write().is_err());
    holds.kill();
    assert_eq!(*lock.write(), 1);
    let guard = lock.write();
    let unwinds = start(&lock, |lock| {
        let _read = OnDrop(|| drop(lock.read()));
        panic!("on purpose");
    });
    settle();
    assert!(!unwinds.is_finished());
    drop(guard);
    assert!(unwinds.wait().is_err());
}

#[test]
fn the_value_may_be_unsized_and_is_reached_by_get_mut() {
    let lock: Rc<RwLock<[u32]>> = Rc::new(RwLock::new([1, 2]));
    lock.write().reverse();
    assert_eq!(*lock.read(), [2, 1]);
    let mut lock = RwLock::from(1);
    *lock.get_mut() = 2;
    assert_eq!(lock.into_inner(), 2);
    assert_eq!(*RwLock::<u32>::default().read(), 0);
}

#[test]
fn debug_says_whether_it_is_locked() {
    let lock = RwLock::new(1);
    let guard = lock.read();
    assert_eq!(format!("{lock:?} {guard:?} {guard}"), "RwLock { value: 1, .. } 1 1");
    drop(guard);
    let guard = lock.write();
    assert_eq!(format!("{lock:?} {guard:?} {guard}"), "RwLock { value: <locked>, .. } 1 1");
}
