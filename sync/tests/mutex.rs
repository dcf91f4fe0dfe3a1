//! `Mutex`: who has the lock, and that it is never lost.

mod util;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, join_all, sleep, spawn, timeout, yield_now};
use evy_sync::{Mutex, MutexGuard, TimedOut, WouldBlock};
use util::{
    LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end, settle,
    start, yields,
};

#[test]
fn one_at_a_time_has_the_value() {
    let mutex = Rc::new(Mutex::new(0));
    let workers = [(); 10].map(|()| {
        let mutex = Rc::clone(&mutex);
        spawn(move || {
            for _ in 0..10 {
                let mut value = mutex.lock();
                let before = *value;
                yield_now();
                *value = before + 1;
            }
        })
    });
    join_all(workers);
    assert_eq!(*mutex.lock(), 100);
}

#[test]
fn a_lock_that_nobody_holds_is_had_at_once() {
    let mutex = Mutex::new(1);
    assert!(!yields(|| *mutex.lock() += 1));
    assert_eq!(*mutex.try_lock().unwrap(), 2);
    assert_eq!(*mutex.lock_timeout(Duration::ZERO).unwrap(), 2);
}

/// Row 63.
#[test]
fn lockers_are_served_in_the_order_in_which_they_came() {
    let (mutex, log) = (Rc::new(Mutex::new(())), Log::new());
    let guard = mutex.lock();
    for n in 0..5 {
        let log = log.clone();
        drop(start(&mutex, move |mutex| {
            let _guard = mutex.lock();
            log.add(n.to_string());
            yield_now();
        }));
    }
    drop(guard);
    settle();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4"]);
}

/// D8.
#[test]
fn who_unlocks_and_locks_again_goes_behind_those_who_wait() {
    let (mutex, log) = (Rc::new(Mutex::new(())), Log::new());
    let guard = mutex.lock();
    let waits = start(&mutex, {
        let log = log.clone();
        move |mutex| {
            let _guard = mutex.lock();
            log.add("waits");
        }
    });
    drop(guard);
    assert_eq!(mutex.try_lock().unwrap_err(), WouldBlock, "it is handed over");
    drop(mutex.lock());
    log.add("locks again");
    waits.wait().unwrap();
    assert_eq!(log.take(), ["waits", "locks again"]);
}

#[test]
fn a_lock_that_is_held_times_out() {
    let mutex = Mutex::new(());
    let guard = mutex.lock();
    let begun = Instant::now();
    assert_eq!(mutex.lock_timeout(SOON).unwrap_err(), TimedOut);
    assert!(begun.elapsed() >= SOON);
    assert!(timeout(SOON, || drop(mutex.lock())).is_err());
    drop(guard);
    drop(mutex.lock());
    assert_nothing_is_registered();
}

/// FAULTS 53.
#[test]
fn fault_53_a_lock_handed_to_one_that_is_killed_goes_to_the_next() {
    let mutex = Rc::new(Mutex::new(0));
    let guard = mutex.lock();
    let [waiting, handed, next] = [(); 3].map(|()| start(&mutex, |mutex| *mutex.lock() += 1));
    waiting.kill();
    drop(guard);
    handed.kill();
    next.wait().unwrap();
    assert_eq!(*mutex.try_lock().unwrap(), 1);
    let guard = mutex.lock();
    let last = start(&mutex, |mutex| *mutex.lock() += 1);
    drop(guard);
    last.kill();
    assert_eq!(*mutex.try_lock().unwrap(), 1, "nobody has it");
    for killed in [waiting, handed, last] {
        assert!(matches!(killed.wait(), Err(Died::Killed)));
    }
}

/// FAULTS 53: the deadline and the unlock in one turn.
#[test]
fn fault_53_a_lock_unlocked_in_the_turn_of_the_deadline_is_had() {
    let mutex = Rc::new(Mutex::new(0));
    let guard = mutex.lock();
    let waits = start(&mutex, |mutex| mutex.lock_timeout(PATIENCE).map(|mut value| *value += 1));
    let_patience_end();
    drop(guard);
    assert_eq!(waits.wait().unwrap(), Ok(()));
    assert_eq!(*mutex.lock(), 1);
}

/// FAULTS 2.2: no poisoning, whatever `panicking()` says.
#[test]
fn a_panic_or_a_kill_unlocks_and_poisons_nothing() {
    let mutex = Rc::new(Mutex::new(0));
    let panics = start(&mutex, |mutex| {
        let mut value = mutex.lock();
        *value += 1;
        yield_now();
        panic!("on purpose");
    });
    let killed = start(&mutex, |mutex| {
        let mut value = mutex.lock();
        *value += 1;
        sleep(LONG);
    });
    assert!(panics.wait().is_err());
    yield_now();
    assert_eq!(mutex.try_lock().unwrap_err(), WouldBlock);
    killed.kill();
    assert_eq!(*mutex.lock(), 2);
    // While somebody is suspended in the middle of an unwind, too.
    let gate = Rc::new(Mutex::new(()));
    let guard = gate.lock();
    let unwinds = start(&gate, |gate| {
        let _lock = OnDrop(|| drop(gate.lock()));
        panic!("on purpose");
    });
    assert!(std::thread::panicking());
    *mutex.lock() += 1;
    drop(guard);
    assert!(unwinds.wait().is_err());
    assert!(!std::thread::panicking());
    assert_eq!(*mutex.lock(), 3);
}

#[test]
fn the_value_may_be_unsized_and_is_reached_by_get_mut() {
    let mutex: Rc<Mutex<[u32]>> = Rc::new(Mutex::new([1, 2, 3]));
    mutex.lock().reverse();
    assert_eq!(*mutex.lock(), [3, 2, 1]);
    let mut mutex = Mutex::from(String::from("a"));
    mutex.get_mut().push('b');
    assert_eq!(mutex.into_inner(), "ab");
    assert_eq!(Mutex::<u32>::default().into_inner(), 0);
}

#[test]
fn debug_says_whether_it_is_locked() {
    let mutex = Mutex::new(1);
    assert_eq!(format!("{mutex:?}"), "Mutex { value: 1, .. }");
    let guard = mutex.lock();
    assert_eq!(format!("{mutex:?} {guard:?} {guard}"), "Mutex { value: <locked>, .. } 1 1");
}

/// A destructor of the value is code of users; the lock is had while it runs.
#[test]
fn a_value_that_is_replaced_may_park_in_its_destructor() {
    let mutex = Rc::new(Mutex::new(None));
    let log = Log::new();
    *mutex.lock() = Some(OnDrop({
        let log = log.clone();
        move || {
            yield_now();
            log.add("dropped");
        }
    }));
    let waits = spawn({
        let (mutex, log) = (Rc::clone(&mutex), log.clone());
        move || {
            drop(mutex.lock());
            log.add("locked");
        }
    });
    *mutex.lock() = None;
    waits.wait().unwrap();
    assert_eq!(log.take(), ["dropped", "locked"]);
}

#[test]
fn a_guard_can_be_kept_where_it_is_wanted() {
    let mutex = Mutex::new(1);
    let kept: RefCell<Option<MutexGuard<'_, i32>>> = RefCell::new(Some(mutex.lock()));
    assert!(mutex.try_lock().is_err());
    kept.take();
    assert!(mutex.try_lock().is_ok());
}
