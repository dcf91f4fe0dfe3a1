//! `Condvar`: who hears what, and that no notification is lost.

mod util;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, sleep, timeout, yield_now};
use evy_sync::{Condvar, Mutex};
use util::{
    LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end, settle,
    start,
};

type Pair = (Mutex<u32>, Condvar);

fn pair() -> Rc<Pair> {
    Rc::default()
}

/// One that waits for a single notification.
fn waiter(pair: &Rc<Pair>) -> GreenThread<()> {
    start(pair, |(mutex, condvar)| drop(condvar.wait(mutex.lock())))
}

fn waiting(pair: &Pair) -> String {
    format!("{:?}", pair.1)
}

#[test]
fn a_wait_unlocks_and_locks_again() {
    let pair = pair();
    let waits = start(&pair, |(mutex, condvar)| {
        let mut value = condvar.wait(mutex.lock());
        *value += 1;
        yield_now();
        *value += 1;
    });
    let guard = pair.0.try_lock().expect("it is unlocked");
    pair.1.notify_one();
    settle();
    assert!(!waits.is_finished(), "it waits for the lock");
    assert_eq!(*guard, 0);
    drop(guard);
    yield_now();
    assert!(pair.0.try_lock().is_err(), "it has the lock");
    waits.wait().unwrap();
    assert_eq!(*pair.0.lock(), 2);
}

#[test]
fn a_notification_that_nobody_waits_for_is_none() {
    let pair = pair();
    pair.1.notify_one();
    pair.1.notify_all();
    let waits = waiter(&pair);
    settle();
    assert!(!waits.is_finished());
    pair.1.notify_one();
    waits.wait().unwrap();
}

/// Row 63.
#[test]
fn notifications_go_to_those_who_wait_in_order() {
    let (pair, log) = (pair(), Log::new());
    for n in 0..4 {
        let log = log.clone();
        drop(start(&pair, move |(mutex, condvar)| {
            let _guard = condvar.wait(mutex.lock());
            log.add(n.to_string());
        }));
    }
    pair.1.notify_one();
    settle();
    assert_eq!(log.take(), ["0"]);
    pair.1.notify_all();
    settle();
    assert_eq!(log.take(), ["1", "2", "3"]);
}

#[test]
fn no_notification_falls_between_the_unlock_and_the_wait() {
    let pair = pair();
    let guard = pair.0.lock();
    let notifies = start(&pair, |(mutex, condvar)| {
        *mutex.lock() = 7;
        condvar.notify_one();
    });
    // To wait unlocks: the other one gets on, and is heard.
    assert_eq!(*pair.1.wait(guard), 7);
    notifies.wait().unwrap();
}

#[test]
fn wait_while_goes_on_when_its_condition_is_false() {
    let (pair, looks) = (pair(), Rc::new(Cell::new(0)));
    let waits = start(&pair, {
        let looks = Rc::clone(&looks);
        move |(mutex, condvar)| {
            let guard = condvar.wait_while(mutex.lock(), |value| {
                looks.set(looks.get() + 1);
                *value < 3
            });
            *guard
        }
    });
    for n in 1..=3 {
        assert_eq!(looks.get(), n, "no wake but by a notification");
        *pair.0.lock() += 1;
        pair.1.notify_one();
        settle();
    }
    assert_eq!((waits.wait().unwrap(), looks.get()), (3, 4));
}

#[test]
fn wait_timeout_says_why_it_ended() {
    let pair = pair();
    let begun = Instant::now();
    let (guard, result) = pair.1.wait_timeout(pair.0.lock(), SOON);
    assert!(result.timed_out() && begun.elapsed() >= SOON);
    assert!(pair.0.try_lock().is_err());
    drop(guard);
    let waits =
        start(&pair, |(mutex, condvar)| condvar.wait_timeout(mutex.lock(), LONG).1.timed_out());
    pair.1.notify_all();
    assert!(!waits.wait().unwrap());
    assert_nothing_is_registered();
}

#[test]
fn a_wait_that_timed_out_waits_for_the_lock_without_bound() {
    let pair = pair();
    let waits = start(&pair, |(mutex, condvar)| {
        let (mut guard, result) = condvar.wait_timeout(mutex.lock(), SOON);
        *guard += 1;
        result.timed_out()
    });
    let guard = pair.0.lock();
    sleep(2 * SOON);
    assert!(!waits.is_finished());
    assert_eq!(waiting(&pair), "Condvar { waiting: 0 }");
    drop(guard);
    assert!(waits.wait().unwrap());
    assert_eq!(*pair.0.lock(), 1);
}

/// FAULTS 53.
#[test]
fn fault_53_the_notification_of_one_that_is_killed_goes_to_the_next() {
    let pair = pair();
    let [waiting, notified, next] = [(); 3].map(|()| waiter(&pair));
    waiting.kill();
    pair.1.notify_one();
    notified.kill();
    next.wait().unwrap();
    let only = waiter(&pair);
    pair.1.notify_one();
    only.kill();
    assert!(pair.0.try_lock().is_ok());
    for killed in [waiting, notified, only] {
        assert!(matches!(killed.wait(), Err(Died::Killed)));
    }
}

/// FAULTS 53: it has heard, and dies while it waits for the lock.
#[test]
fn fault_53_the_notification_of_one_killed_at_the_lock_goes_to_the_next() {
    let pair = pair();
    let [first, cut_off, last] = [
        waiter(&pair),
        start(&pair, |(mutex, condvar)| {
            assert!(timeout(SOON, || drop(condvar.wait(mutex.lock()))).is_err());
        }),
        waiter(&pair),
    ];
    let guard = pair.0.lock();
    pair.1.notify_one();
    settle();
    assert_eq!(waiting(&pair), "Condvar { waiting: 2 }", "the first waits for the lock");
    first.kill();
    assert_eq!(waiting(&pair), "Condvar { waiting: 1 }", "the second has it");
    cut_off.wait().unwrap();
    assert_eq!(waiting(&pair), "Condvar { waiting: 0 }", "the last has it");
    drop(guard);
    last.wait().unwrap();
}

/// A notification for all is for those who waited then.
#[test]
fn a_notification_for_all_is_not_passed_on_to_who_comes_later() {
    let pair = pair();
    let waits = [(); 2].map(|()| waiter(&pair));
    let guard = pair.0.lock();
    pair.1.notify_all();
    settle();
    // Both have heard it, and wait for the lock. Another one comes, with a lock of its own.
    let late = start(&pair, |(_, condvar)| drop(condvar.wait(Mutex::new(()).lock())));
    waits[0].kill();
    settle();
    assert!(!late.is_finished());
    assert_eq!(waiting(&pair), "Condvar { waiting: 1 }");
    drop(guard);
    let [_, other] = waits;
    other.wait().unwrap();
    late.kill();
}

/// FAULTS 53: the deadline and the notification in one turn.
#[test]
fn fault_53_a_notification_in_the_turn_of_the_deadline_is_heard() {
    let pair = pair();
    let waits =
        start(&pair, |(mutex, condvar)| condvar.wait_timeout(mutex.lock(), PATIENCE).1.timed_out());
    let_patience_end();
    pair.1.notify_one();
    assert!(!waits.wait().unwrap());
}

/// A kill leaves the mutex alone: its guard went into the wait.
#[test]
fn one_that_is_killed_in_a_wait_holds_no_lock() {
    let pair = pair();
    let dies = start(&pair, |(mutex, condvar)| {
        let _locks = OnDrop(|| *mutex.lock() += 1);
        drop(condvar.wait(mutex.lock()));
    });
    dies.kill();
    assert_eq!(*pair.0.try_lock().unwrap(), 1);
}

/// The classic: a bounded buffer by hand.
#[test]
fn producers_and_consumers_meet() {
    let shared = Rc::new((Mutex::new(Vec::new()), Condvar::new(), Condvar::new()));
    let producers = [0, 100].map(|base| {
        start(&shared, move |(items, not_full, not_empty)| {
            for n in 0..50 {
                let mut items = not_full.wait_while(items.lock(), |items| items.len() == 2);
                items.push(base + n);
                not_empty.notify_one();
                drop(items);
                if n % 7 == 0 {
                    sleep(Duration::from_micros(1));
                }
            }
        })
    });
    let mut sum = 0;
    for _ in 0..100 {
        let (items, not_full, not_empty) = &*shared;
        let mut items = not_empty.wait_while(items.lock(), |items| items.is_empty());
        sum += items.remove(0);
        not_full.notify_one();
    }
    assert_eq!(sum, 2 * (0..50).sum::<i32>() + 50 * 100);
    producers.into_iter().for_each(|producer| producer.wait().unwrap());
}
