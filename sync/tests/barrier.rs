//! `Barrier`: who passes when.

mod util;

use std::rc::Rc;

use evy_runtime::{Died, join_all, timeout, yield_now};
use evy_sync::Barrier;
use util::{Log, SOON, assert_nothing_is_registered, settle, start, yields};

#[test]
fn nobody_passes_before_all_are_here() {
    let (barrier, log) = (Rc::new(Barrier::new(3)), Log::new());
    let waits = [1, 2, 3].map(|n| {
        let log = log.clone();
        start(&barrier, move |barrier| {
            log.add(format!("{n} comes"));
            let leads = barrier.wait().is_leader();
            log.add(format!("{n} goes"));
            leads
        })
    });
    let leads: Vec<_> = join_all(waits).into_iter().map(Result::unwrap).collect();
    assert_eq!(leads, [false, false, true], "the last one leads");
    assert_eq!(log.take(), ["1 comes", "2 comes", "3 comes", "3 goes", "1 goes", "2 goes"]);
}

#[test]
fn it_serves_again_and_again() {
    let (barrier, log) = (Rc::new(Barrier::new(2)), Log::new());
    let waits = [(); 2].map(|()| {
        let log = log.clone();
        start(&barrier, move |barrier| {
            for round in 0..10 {
                log.add(round.to_string());
                barrier.wait();
            }
        })
    });
    join_all(waits);
    let expected: Vec<_> =
        (0..10).flat_map(|round| [round.to_string(), round.to_string()]).collect();
    assert_eq!(log.take(), expected);
}

#[test]
fn a_barrier_for_one_or_none_holds_nobody_up() {
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        assert!(!yields(|| assert!(barrier.wait().is_leader())));
    }
}

#[test]
fn one_that_leaves_does_not_count() {
    let barrier = Rc::new(Barrier::new(3));
    let wait = || start(&barrier, |barrier| barrier.wait().is_leader());
    let killed = wait();
    assert!(timeout(SOON, || barrier.wait()).is_err());
    killed.kill();
    let stays = wait();
    let other = wait();
    settle();
    assert!(!stays.is_finished() && !other.is_finished(), "one more has to come");
    assert!(barrier.wait().is_leader());
    assert!(!stays.wait().unwrap() && !other.wait().unwrap());
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    assert_nothing_is_registered();
}

#[test]
fn all_pass_although_one_is_killed_before_it_goes_on() {
    let barrier = Rc::new(Barrier::new(3));
    let waits = [(); 2].map(|()| start(&barrier, |barrier| barrier.wait().is_leader()));
    assert!(barrier.wait().is_leader());
    waits[0].kill();
    yield_now();
    assert!(waits[1].is_finished());
    assert_eq!(format!("{barrier:?}"), "Barrier { size: 3, waiting: 0 }");
}
