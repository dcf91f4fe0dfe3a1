//! `WaitGroup`: when the wait ends.

mod util;

use std::rc::Rc;

use evy_runtime::{sleep, spawn, timeout};
use evy_sync::{TimedOut, WaitGroup};
use util::{LONG, Log, SOON, assert_nothing_is_registered, settle, yields};

#[test]
fn a_group_of_one_is_not_waited_for() {
    assert!(!yields(|| WaitGroup::new().wait()));
    assert_eq!(WaitGroup::default().wait_timeout(SOON), Ok(()));
}

#[test]
fn the_wait_ends_with_the_last_member() {
    let (group, log) = (WaitGroup::new(), Log::new());
    for n in 1..=3 {
        let (member, log) = (group.clone(), log.clone());
        drop(spawn(move || {
            sleep(n * SOON);
            log.add(n.to_string());
            drop(member);
        }));
    }
    group.wait();
    assert_eq!(log.take(), ["1", "2", "3"]);
}

/// However a member ends.
#[test]
fn a_member_that_panics_or_is_killed_has_gone() {
    let group = WaitGroup::new();
    let member = group.clone();
    let panics = spawn(move || {
        let _member = member;
        panic!("on purpose");
    });
    let member = group.clone();
    let killed = spawn(move || {
        let _member = member;
        sleep(LONG);
    });
    let member = group.clone();
    let unstarted = spawn(move || drop(member));
    unstarted.kill();
    let waits = spawn(move || group.wait());
    settle();
    assert!(!waits.is_finished());
    killed.kill();
    waits.wait().unwrap();
    assert!(panics.wait().is_err());
}

#[test]
fn all_who_wait_go_on_together() {
    let group = WaitGroup::new();
    let [one, other, late, cut_off, last] = [(); 5].map(|()| group.clone());
    drop(group);
    let waits = [one, other].map(|group| spawn(move || group.wait()));
    settle();
    assert_eq!(format!("{last:?}"), "WaitGroup { members: 3, waiting: 2 }");
    assert_eq!(late.wait_timeout(SOON), Err(TimedOut));
    assert!(timeout(SOON, || cut_off.wait()).is_err());
    // Those have left the group all the same, and wait no more.
    assert_eq!(format!("{last:?}"), "WaitGroup { members: 1, waiting: 2 }");
    drop(last);
    waits.into_iter().for_each(|waiter| waiter.wait().unwrap());
    assert_nothing_is_registered();
}

#[test]
fn one_that_is_killed_while_it_waits_harms_nobody() {
    let group = WaitGroup::new();
    let (member, other) = (group.clone(), group.clone());
    let killed = spawn(move || group.wait());
    let waits = spawn(move || other.wait());
    settle();
    killed.kill();
    drop(member);
    waits.wait().unwrap();
}

#[test]
fn members_may_join_while_somebody_waits() {
    let (group, log) = (WaitGroup::new(), Log::new());
    let member = group.clone();
    let grows = Rc::new(log.clone());
    drop(spawn(move || {
        for n in 0..3 {
            let (member, log) = (member.clone(), Rc::clone(&grows));
            drop(spawn(move || {
                sleep(SOON);
                log.add(n.to_string());
                drop(member);
            }));
        }
    }));
    group.wait();
    assert_eq!(log.len(), 3);
}
