//! Several hubs in one process.

mod util;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::cores::{self, Core};
use evy_runtime::{Died, current, sleep, spawn, spawn_n, timeout, yield_now};
use util::{HOUR, Watchdog, panic_of};

#[test]
fn each_core_has_an_os_thread_and_a_hub_of_its_own_and_the_results_are_in_order() {
    let ids = Mutex::new(HashSet::new());
    let results = cores::run(4, |core| {
        ids.lock().unwrap().insert(std::thread::current().id());
        (core.index(), spawn(current).wait().unwrap())
    });
    assert_eq!(ids.into_inner().unwrap().len(), 4);
    assert_eq!(results.iter().map(|result| result.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(results.iter().map(|result| result.1).collect::<HashSet<_>>().len(), 4);
}

#[test]
fn none_stands_for_as_many_as_the_system_has() {
    let expected = std::thread::available_parallelism().unwrap().get();
    assert_eq!(cores::run(0, |core| core.count()), vec![expected; expected]);
}

#[test]
fn the_closure_borrows_from_the_caller() {
    let sum = AtomicUsize::new(0);
    cores::run(3, |core| sum.fetch_add(core.index() + 1, Ordering::Relaxed));
    assert_eq!(sum.into_inner(), 6);
}

/// SEMANTICS E 97.
#[test]
fn the_callers_green_threads_run_meanwhile() {
    let steps = std::rc::Rc::new(std::cell::Cell::new(0));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    spawn_n({
        let (steps, stop) = (std::rc::Rc::clone(&steps), std::sync::Arc::clone(&stop));
        move || {
            for _ in 0..100 {
                steps.set(steps.get() + 1);
                yield_now();
            }
            stop.store(true, Ordering::SeqCst);
        }
    });
    cores::run(2, |_core| {
        while !stop.load(Ordering::SeqCst) {
            sleep(Duration::from_micros(100));
        }
    });
    assert_eq!(steps.get(), 100);
}

#[test]
fn every_core_can_reach_every_other_from_the_start() {
    let _watchdog = Watchdog::new("cores that call each other");
    let done = AtomicUsize::new(0);
    let sums = cores::run(3, |core| {
        let index = core.index();
        let answers: Vec<_> =
            core.remotes().iter().map(|remote| remote.spawn(move || index)).collect();
        let sum: usize = answers.into_iter().map(|answer| answer.wait().unwrap()).sum();
        // One that ends earlier answers nobody.
        done.fetch_add(1, Ordering::SeqCst);
        while done.load(Ordering::SeqCst) < 3 {
            sleep(Duration::from_micros(100));
        }
        sum
    });
    assert_eq!(sums, [0, 3, 6]);
}

/// FAULTS row 51.
#[test]
fn fault_51_a_core_that_panics_is_passed_on_when_the_others_have_ended() {
    let ended = AtomicUsize::new(0);
    let text = panic_of(|| {
        cores::run(3, |core| {
            assert_ne!(core.index(), 1, "the core in the middle");
            sleep(Duration::from_millis(5));
            ended.fetch_add(1, Ordering::SeqCst);
        })
    });
    assert!(text.contains("the core in the middle"), "{text}");
    assert_eq!(ended.into_inner(), 2);
}

/// FAULTS row 51: a listener that one of them holds must be closed with the core.
#[test]
fn fault_51_green_threads_that_a_core_leaves_behind_are_killed() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Listener;
    impl Drop for Listener {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let serve = |core: Core| {
        let listener = Listener;
        spawn_n(move || {
            let _listener = listener;
            sleep(HOUR);
        });
        yield_now();
        assert_ne!(core.index(), 0, "this one panics");
    };
    assert!(catch_unwind(AssertUnwindSafe(|| cores::run(2, serve))).is_err());
    assert_eq!(DROPPED.load(Ordering::SeqCst), 2);
}

#[test]
fn what_is_sent_to_a_core_that_has_ended_is_lost_and_says_so() {
    let lost = cores::run(2, |core| {
        if core.index() == 0 {
            return true;
        }
        while !core.remotes()[0].has_ended() {
            sleep(Duration::from_micros(100));
        }
        matches!(core.remotes()[0].spawn(|| ()).wait(), Err(Died::HubEnded))
    });
    assert_eq!(lost, [true, true]);
}

/// What the closure borrows must stay until the cores have ended.
#[test]
fn a_kill_and_a_timeout_of_the_caller_wait_for_the_cores() {
    let caller = spawn(|| {
        let borrowed = AtomicUsize::new(0);
        cores::run(2, |_core| {
            sleep(Duration::from_millis(10));
            borrowed.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(borrowed.into_inner(), 2);
        sleep(HOUR); // here the kill is thrown
    });
    yield_now();
    caller.kill();
    assert!(!caller.is_finished());
    assert!(matches!(caller.wait(), Err(Died::Killed)));

    let late = timeout(Duration::from_millis(1), || {
        cores::run(1, |_core| sleep(Duration::from_millis(10)));
        "the result counts"
    });
    assert_eq!(late, Ok("the result counts"));
}

#[test]
fn cores_nest() {
    let inner = cores::run(2, |outer| cores::run(2, move |inner| (outer.index(), inner.index())));
    assert_eq!(inner, [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]);
}
