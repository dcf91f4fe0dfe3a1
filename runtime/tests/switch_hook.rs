//! Switch hooks: called around every suspension, whoever is suspended and why.

mod util;

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{
    Died, GreenThreadId, HandOver, Reason, SwitchHook, add_switch_hook, sleep, spawn, spawn_n,
    timeout, unblock, yield_now,
};
use util::{HOUR, OnDrop, line, panic_of, wait_in};

thread_local! {
    static NOW: Cell<&'static str> = const { Cell::new("nobody") };
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps `NOW` with its green thread.
const KEEP: SwitchHook = |switch| {
    let saved = NOW.replace("nobody");
    switch();
    NOW.set(saved);
};

fn be(name: &'static str) {
    assert_eq!(NOW.replace(name), "nobody", "what one had is no other's");
}

#[test]
fn what_a_hook_keeps_is_there_after_every_kind_of_park() {
    add_switch_hook(KEEP);
    be("main");
    let (gate, parked) = line();
    let threads = ["a", "b"].map(|name| {
        let parked = Rc::clone(&parked);
        spawn(move || {
            be(name);
            for _ in 0..3 {
                yield_now();
                assert_eq!(NOW.get(), name);
            }
            sleep(Duration::from_millis(1));
            assert_eq!(NOW.get(), name);
            unblock(|| assert_eq!(NOW.get(), "nobody"));
            assert_eq!(NOW.get(), name);
            assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
            assert_eq!(NOW.get(), name);
            wait_in(&parked);
            assert_eq!(NOW.get(), name);
            NOW.set("nobody");
        })
    });
    while gate.len() < 2 {
        yield_now();
        assert_eq!(NOW.get(), "main");
    }
    gate.wake_all();
    for thread in threads {
        thread.wait().unwrap();
    }
    assert_eq!(NOW.get(), "main");
}

#[test]
fn a_killer_keeps_its_own_while_the_target_unwinds_with_its_own() {
    add_switch_hook(KEEP);
    be("killer");
    let target = spawn(|| {
        be("target");
        let _says = OnDrop(|| {
            assert_eq!(NOW.get(), "target");
            NOW.set("nobody");
        });
        sleep(HOUR);
    });
    yield_now();
    target.kill();
    assert_eq!(NOW.get(), "killer");
    assert!(matches!(target.wait(), Err(Died::Killed)));
}

#[test]
fn hooks_nest_in_the_order_in_which_they_were_added_and_count_once() {
    const OUTER: SwitchHook = |switch| {
        LOG.with_borrow_mut(|log| log.push("outer out".into()));
        switch();
        LOG.with_borrow_mut(|log| log.push("outer in".into()));
    };
    const INNER: SwitchHook = |switch| {
        LOG.with_borrow_mut(|log| log.push("inner out".into()));
        switch();
        LOG.with_borrow_mut(|log| log.push("inner in".into()));
    };
    for hook in [OUTER, INNER, OUTER] {
        add_switch_hook(hook);
    }
    spawn_n(|| LOG.with_borrow_mut(|log| log.push("another one".into())));
    yield_now();
    assert_eq!(LOG.take(), ["outer out", "inner out", "another one", "inner in", "outer in"]);
}

#[test]
fn one_that_forgets_the_switch_or_makes_it_twice_suspends_once() {
    add_switch_hook(|_switch| ());
    add_switch_hook(|switch| {
        switch();
        switch();
    });
    let ran = Rc::new(Cell::new(0));
    spawn_n({
        let ran = Rc::clone(&ran);
        move || {
            for _ in 0..2 {
                ran.set(ran.get() + 1);
                yield_now();
            }
        }
    });
    yield_now();
    assert_eq!(ran.get(), 1);
}

#[test]
fn one_that_parks_is_told_so() {
    add_switch_hook(|switch| {
        thread_local!(static FIRST: Cell<bool> = const { Cell::new(true) });
        if FIRST.replace(false) {
            yield_now();
        }
        switch();
    });
    assert_eq!(panic_of(yield_now), "a switch hook cannot park");
    yield_now();
}

/// A kill looked at its target before the killer's hooks ran. One that woke the target then left it in the
/// ready queue twice: once for the kill, and once more when its stack was somebody else's already.
#[test]
fn a_hook_may_wake_whom_a_kill_is_about_to_end() {
    const ITEM: Reason = Reason::new(&"an item");
    thread_local!(static LINE: HandOver<u32> = const { HandOver::new() });
    thread_local!(static IS_KILL: Cell<bool> = const { Cell::new(false) });

    add_switch_hook(|switch| {
        if IS_KILL.take() {
            LINE.with(|line| line.hand(1)).unwrap();
        }
        switch();
    });
    let passed_on = Rc::new(Cell::new(0));
    let target = spawn({
        let passed_on = Rc::clone(&passed_on);
        move || LINE.with(|line| line.receive(ITEM, None, |item| passed_on.set(item)))
    });
    yield_now();
    IS_KILL.set(true);
    target.kill();
    assert!(matches!(target.wait(), Err(Died::Killed)));
    assert_eq!(passed_on.get(), 1);
    // Nobody is ready now; whoever ran here would be the one that has ended.
    yield_now();
}

/// It may not kill, which would park; but whom it tried to kill is still there.
#[test]
fn whom_a_hook_fails_to_kill_lives_on() {
    thread_local!(static TARGET: Cell<Option<GreenThreadId>> = const { Cell::new(None) });

    add_switch_hook(|switch| {
        if let Some(target) = TARGET.take() {
            let killed = catch_unwind(|| evy_runtime::kill(target));
            assert!(killed.is_err());
        }
        switch();
    });
    let target = spawn(|| (0..3).for_each(|_| yield_now()));
    TARGET.set(Some(target.id()));
    yield_now();
    assert!(matches!(target.wait(), Err(Died::Killed) | Ok(())));
}
