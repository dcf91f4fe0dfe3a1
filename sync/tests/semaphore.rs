//! `Semaphore`, `BoundedSemaphore` and `CappedSemaphore`: SEMANTICS 3 C, rows 63 to 66.

mod util;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, join_all, sleep, spawn, timeout, yield_now};
use evy_sync::{
    BoundedSemaphore, CappedSemaphore, Semaphore, TimedOut, TooManyReleases, WouldBlock,
};
use util::{
    LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end, panic_of,
    settle, start, yields,
};

/// One that acquires a permit and keeps it away.
fn acquirer(semaphore: &Rc<Semaphore>) -> GreenThread<()> {
    start(semaphore, |semaphore| semaphore.acquire().forget())
}

/// Row 66.
#[test]
fn a_permit_that_is_not_there_is_not_acquired() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire().unwrap();
    assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock);
    assert!(semaphore.locked());
    let begun = Instant::now();
    assert_eq!(semaphore.acquire_timeout(SOON).unwrap_err(), TimedOut);
    assert!(begun.elapsed() >= SOON);
    assert!(timeout(SOON, || drop(semaphore.acquire())).is_err());
    assert_eq!(semaphore.balance(), 0);
    drop(permit);
    assert!(!semaphore.locked());
    drop(semaphore.acquire_timeout(Duration::ZERO).unwrap());
    assert!(!yields(|| drop(semaphore.acquire())));
    assert_nothing_is_registered();
}

#[test]
fn a_forgotten_permit_comes_back_by_release() {
    let semaphore = Rc::new(Semaphore::default());
    semaphore.acquire().forget();
    assert_eq!(semaphore.balance(), 0);
    let waits = acquirer(&semaphore);
    assert_eq!(semaphore.balance(), -1);
    semaphore.release();
    assert_eq!(semaphore.balance(), 0);
    waits.wait().unwrap();
    (0..3).for_each(|_| semaphore.release());
    assert_eq!(semaphore.balance(), 3);
    let full = Semaphore::new(usize::MAX);
    assert!(panic_of(|| full.release()).contains("so many permits"));
    assert_eq!(full.balance(), isize::MAX);
}

/// Row 63.
#[test]
fn acquirers_are_served_in_the_order_in_which_they_came() {
    let (semaphore, log) = (Rc::new(Semaphore::new(0)), Log::new());
    for n in 0..5 {
        let log = log.clone();
        drop(start(&semaphore, move |semaphore| {
            let _permit = semaphore.acquire();
            log.add(n.to_string());
        }));
    }
    semaphore.release();
    settle();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4"]);
    assert_eq!(semaphore.balance(), 1);
}

/// Row 64.
#[test]
fn a_releaser_that_acquires_at_once_goes_behind_those_who_wait() {
    let (semaphore, log) = (Rc::new(Semaphore::new(1)), Log::new());
    let permit = semaphore.acquire();
    let waits = [1, 2].map(|n| {
        let log = log.clone();
        start(&semaphore, move |semaphore| {
            let _permit = semaphore.acquire();
            log.add(n.to_string());
        })
    });
    drop(permit);
    assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock, "it is handed over");
    drop(semaphore.acquire());
    log.add("the releaser");
    join_all(waits);
    assert_eq!(log.take(), ["1", "2", "the releaser"]);
}

/// Row 64: upstream's `test_semaphore_contention`, in turns in place of time.
#[test]
fn two_workers_that_contend_get_as_many_turns() {
    let (semaphore, stop) = (Rc::new(Semaphore::new(1)), Rc::new(Cell::new(false)));
    let worker = |yields: u32| {
        let (semaphore, stop) = (Rc::clone(&semaphore), Rc::clone(&stop));
        spawn(move || {
            let mut turns = 0;
            while !stop.get() {
                let _permit = semaphore.acquire();
                turns += 1;
                (0..yields).for_each(|_| yield_now());
            }
            turns
        })
    };
    for yields in [1, 3] {
        let workers = [worker(1), worker(yields)];
        (0..1000).for_each(|_| yield_now());
        stop.set(true);
        let turns: Vec<i32> = join_all(workers).into_iter().map(Result::unwrap).collect();
        stop.set(false);
        assert!(turns[0] > 100, "{turns:?}");
        assert!((turns[0] - turns[1]).abs() * 10 <= turns[0], "{turns:?}");
    }
}

/// Row 66, FAULTS 53.
#[test]
fn fault_53_a_killed_acquirer_costs_no_permit() {
    let semaphore = Rc::new(Semaphore::new(0));
    let [waiting, handed, next] = [(); 3].map(|()| acquirer(&semaphore));
    waiting.kill();
    assert_eq!(semaphore.balance(), -2);
    semaphore.release();
    assert_eq!(semaphore.balance(), -1);
    handed.kill();
    assert_eq!(semaphore.balance(), 0, "handed on");
    next.wait().unwrap();
    let last = acquirer(&semaphore);
    semaphore.release();
    last.kill();
    assert_eq!(semaphore.balance(), 1, "nobody else wants it");
    for killed in [waiting, handed, last] {
        assert!(matches!(killed.wait(), Err(Died::Killed)));
    }
}

/// FAULTS 53.
#[test]
fn fault_53_the_permit_of_one_killed_while_it_has_it_comes_back() {
    let semaphore = Rc::new(Semaphore::new(1));
    let holds = start(&semaphore, |semaphore| {
        let _permit = semaphore.acquire();
        sleep(LONG);
    });
    assert!(semaphore.locked());
    holds.kill();
    assert_eq!(semaphore.balance(), 1);
}

/// FAULTS 53: the deadline and the release in one turn.
#[test]
fn fault_53_a_permit_released_in_the_turn_of_the_deadline_is_acquired() {
    let semaphore = Rc::new(Semaphore::new(0));
    let waits = start(&semaphore, |semaphore| semaphore.acquire_timeout(PATIENCE).is_ok());
    let_patience_end();
    assert_eq!(semaphore.balance(), -1);
    semaphore.release();
    assert!(waits.wait().unwrap());
    assert_eq!(semaphore.balance(), 1);
}

/// FAULTS 2.2: a lock suspends also in an unwind.
#[test]
fn acquire_waits_while_it_unwinds() {
    let semaphore = Rc::new(Semaphore::new(0));
    let dies = start(&semaphore, |semaphore| {
        let _acquire = OnDrop(|| semaphore.acquire().forget());
        panic!("on purpose");
    });
    assert!(!dies.is_finished());
    semaphore.release();
    assert!(dies.wait().is_err());
    assert_eq!(semaphore.balance(), 0);
}

#[test]
fn a_bounded_semaphore_refuses_what_was_not_acquired() {
    let semaphore = BoundedSemaphore::new(2);
    assert_eq!(semaphore.release(), Err(TooManyReleases));
    let permits = [semaphore.acquire(), semaphore.try_acquire().unwrap()];
    assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock);
    assert_eq!(semaphore.acquire_timeout(SOON).unwrap_err(), TimedOut);
    drop(permits);
    assert_eq!(semaphore.balance(), 2);
    assert_eq!(semaphore.release(), Err(TooManyReleases));
    semaphore.acquire().forget();
    assert_eq!(semaphore.release(), Ok(()));
    // A permit that was given back twice does not make one more.
    let permit = semaphore.acquire();
    assert_eq!(semaphore.release(), Ok(()));
    drop(permit);
    assert_eq!(semaphore.balance(), 2);
    assert!(!semaphore.locked());
    assert_eq!(BoundedSemaphore::default().balance(), 1);
}

#[test]
fn a_bounded_semaphore_hands_permits_over() {
    let semaphore = Rc::new(BoundedSemaphore::new(1));
    let permit = semaphore.acquire();
    let [killed, waits] =
        [(); 2].map(|()| start(&semaphore, |semaphore| semaphore.acquire().forget()));
    assert_eq!(semaphore.balance(), -2);
    drop(permit);
    assert!(semaphore.locked());
    killed.kill();
    waits.wait().unwrap();
    assert_eq!(semaphore.release(), Ok(()));
    assert_eq!(semaphore.release(), Err(TooManyReleases));
}

/// Row 65: upstream's `test_bounded`.
#[test]
fn a_capped_semaphore_holds_releasers_up_at_its_limit() {
    let semaphore = Rc::new(CappedSemaphore::new(2, 3));
    semaphore.acquire();
    semaphore.acquire();
    assert_eq!(semaphore.balance(), -3);
    let releases = spawn({
        let semaphore = Rc::clone(&semaphore);
        move || semaphore.release()
    });
    semaphore.acquire();
    assert_eq!(semaphore.balance(), -3);
    (0..3).for_each(|_| semaphore.release());
    assert_eq!(semaphore.balance(), 3);
    let acquires = spawn({
        let semaphore = Rc::clone(&semaphore);
        move || semaphore.acquire()
    });
    semaphore.release();
    assert_eq!(semaphore.balance(), 3);
    releases.wait().unwrap();
    acquires.wait().unwrap();
}

/// Row 65: upstream's `test_bounded_with_zero_limit`.
#[test]
fn a_capped_semaphore_with_limit_0_is_a_rendezvous() {
    let semaphore = Rc::new(CappedSemaphore::new(0, 0));
    assert!(semaphore.locked() && semaphore.bounded());
    let acquires = start(&semaphore, CappedSemaphore::acquire);
    assert_eq!(semaphore.balance(), -1);
    semaphore.release();
    acquires.wait().unwrap();
    let releases = start(&semaphore, CappedSemaphore::release);
    assert_eq!((semaphore.balance(), releases.is_finished()), (1, false));
    semaphore.acquire();
    releases.wait().unwrap();
    assert_eq!(semaphore.balance(), 0);
    assert_eq!(semaphore.try_acquire(), Err(WouldBlock));
    assert_eq!(semaphore.try_release(), Err(WouldBlock));
    assert_eq!(semaphore.acquire_timeout(SOON), Err(TimedOut));
    assert_eq!(semaphore.release_timeout(SOON), Err(TimedOut));
    assert!(timeout(SOON, || semaphore.release()).is_err());
    assert_eq!(semaphore.balance(), 0);
    assert_nothing_is_registered();
}

/// Row 63.
#[test]
fn both_sides_of_a_capped_semaphore_are_served_in_order() {
    let (semaphore, log) = (Rc::new(CappedSemaphore::new(1, 1)), Log::new());
    for n in 0..3 {
        let log = log.clone();
        drop(start(&semaphore, move |semaphore| {
            semaphore.release();
            log.add(n.to_string());
        }));
    }
    (0..3).for_each(|_| semaphore.acquire());
    assert!(semaphore.bounded());
    settle();
    assert_eq!(log.take(), ["0", "1", "2"]);
    semaphore.acquire();
    for n in 0..3 {
        let log = log.clone();
        drop(start(&semaphore, move |semaphore| {
            semaphore.acquire();
            log.add(n.to_string());
        }));
    }
    (0..3).for_each(|_| semaphore.try_release().unwrap());
    settle();
    assert_eq!(log.take(), ["0", "1", "2"]);
}

/// FAULTS 53.
#[test]
fn fault_53_kills_cost_a_capped_semaphore_no_permit_and_make_none() {
    for limit in [0, 1, 3] {
        let semaphore = Rc::new(CappedSemaphore::new(0, limit));
        let [killed, handed, next] = [(); 3].map(|()| start(&semaphore, CappedSemaphore::acquire));
        killed.kill();
        semaphore.try_release().unwrap();
        handed.kill();
        next.wait().unwrap();
        let last = start(&semaphore, CappedSemaphore::acquire);
        semaphore.try_release().unwrap();
        last.kill();
        // It is there, whatever the limit.
        assert!(!semaphore.locked());
        let fills = spawn({
            let semaphore = Rc::clone(&semaphore);
            move || (1..limit).for_each(|_| semaphore.release())
        });
        fills.wait().unwrap();
        let [gone, stays] = [(); 2].map(|()| start(&semaphore, CappedSemaphore::release));
        gone.kill();
        (0..limit.max(1)).for_each(|_| semaphore.try_acquire().unwrap());
        assert!(semaphore.try_acquire().is_ok(), "that of the releaser that stays");
        stays.wait().unwrap();
        assert_eq!(semaphore.try_acquire(), Err(WouldBlock));
    }
}

#[test]
fn a_capped_semaphore_cannot_begin_beyond_its_limit() {
    assert!(panic_of(|| CappedSemaphore::new(2, 1)).contains("more permits than its limit"));
}
