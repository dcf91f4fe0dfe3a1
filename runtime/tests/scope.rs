//! Scopes and nurseries: who borrows is waited for, whatever happens.

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{
    Builder, Died, WaitList, current, kill_all, nursery, scope, sleep, spawn, timeout, yield_now,
};
use util::{
    Census, Child, HOUR, Log, OnDrop, Watchdog, assert_nothing_is_registered, is_child, line,
    panic_of, wait_in,
};

/// SEMANTICS B; FAULTS S7.
#[test]
fn children_write_through_what_they_borrow_and_are_joined() {
    let mut numbers = vec![1, 2, 3];
    let sum = Cell::new(0);
    scope(|s| {
        for number in &mut numbers {
            let sum = &sum;
            s.spawn(move || {
                yield_now();
                *number *= 2;
                sum.set(sum.get() + *number);
            });
        }
        assert_eq!(sum.get(), 0);
    });
    assert_eq!((numbers, sum.get()), (vec![2, 4, 6], 12));
}

#[test]
fn the_result_of_a_child_may_borrow_too() {
    let text = String::from("evy in rust");
    let words = scope(|s| {
        let words: Vec<_> = text.split(' ').map(|word| s.spawn(move || word)).collect();
        words.into_iter().map(|word| word.wait().unwrap()).collect::<Vec<&str>>()
    });
    assert_eq!(words, ["evy", "in", "rust"]);
}

#[test]
fn a_child_can_spawn_further_children_that_are_joined_too() {
    let count = Cell::new(0);
    scope(|s| {
        let count = &count;
        s.spawn(move || {
            for _ in 0..3 {
                s.spawn(move || {
                    sleep(Duration::from_millis(1));
                    count.set(count.get() + 1);
                });
            }
        });
    });
    assert_eq!(count.get(), 3);
}

#[test]
fn scopes_nest() {
    let (outer, inner) = (Cell::new(0), Cell::new(0));
    scope(|a| {
        a.spawn(|| {
            scope(|b| {
                for _ in 0..10 {
                    b.spawn(|| inner.set(inner.get() + 1));
                }
            });
            outer.set(inner.get());
        });
    });
    assert_eq!(outer.get(), 10);
}

#[test]
fn a_named_child_with_a_stack_of_its_own_size_can_be_had() {
    scope(|s| {
        let child = Builder::new().name("child").stack_size(1 << 20).spawn_scoped(s, current);
        let child = child.unwrap();
        let id = child.id();
        assert_eq!(child.wait().unwrap(), id);
        assert!(Builder::new().stack_size(usize::MAX).spawn_scoped(s, || ()).is_err());
    });
}

#[test]
fn a_panic_that_nobody_saw_goes_on_in_the_scope_when_all_have_ended() {
    let ended = Cell::new(false);
    let text = panic_of(|| {
        scope(|s| {
            s.spawn(|| panic!("in a child"));
            s.spawn(|| {
                sleep(Duration::from_millis(2));
                ended.set(true);
            });
        })
    });
    assert_eq!(text, "in a child");
    assert!(ended.get());
}

#[test]
fn a_panic_that_was_waited_for_is_over() {
    let value = scope(|s| {
        let died = s.spawn(|| panic!("seen")).wait().unwrap_err();
        assert_eq!(died.to_string(), "green thread panicked: seen");
        7
    });
    assert_eq!(value, 7);
}

#[test]
fn the_panic_of_the_closure_comes_before_that_of_a_child() {
    let joined = Cell::new(false);
    let text = panic_of(|| {
        scope(|s| {
            s.spawn(|| {
                yield_now();
                joined.set(true);
                panic!("in a child");
            });
            panic!("in the closure");
        })
    });
    assert_eq!(text, "in the closure");
    assert!(joined.get());
}

/// A kill of the child is no panic: the scope goes on.
#[test]
fn a_child_that_is_killed_is_waited_for_and_that_is_all() {
    let census = Census::new();
    scope(|s| {
        let (started, unstarted) = (census.one(), census.one());
        let parked = s.spawn(move || {
            let _counted = started;
            sleep(HOUR);
        });
        yield_now();
        let fresh = s.spawn(move || drop(unstarted));
        parked.kill();
        fresh.kill();
        assert!(parked.is_finished() && fresh.is_finished());
        assert!(matches!(parked.wait(), Err(Died::Killed)));
        assert!(matches!(fresh.wait(), Err(Died::Killed)));
    });
    assert_eq!(census.alive(), 0);
    assert_nothing_is_registered();
}

/// FAULTS S7: the kill waits until nobody borrows any more.
#[test]
fn fault_07_who_is_killed_in_a_scope_joins_its_children_first() {
    let log = Log::new();
    let (gate, parked) = line();
    let owner = spawn({
        let log = log.clone();
        move || {
            let borrowed = log.on_drop("what they borrow is gone");
            scope(|s| {
                s.spawn(|| {
                    wait_in(&parked);
                    let _still_there = &borrowed;
                    log.add("the child has ended");
                });
                sleep(HOUR);
            });
            log.add("not reached");
        }
    });
    yield_now();
    yield_now();
    owner.kill();
    assert!(!owner.is_finished());
    assert_eq!(log.take(), Vec::<String>::new());
    assert!(gate.wake_one());
    assert!(matches!(owner.wait(), Err(Died::Killed)));
    assert_eq!(log.take(), ["the child has ended", "what they borrow is gone"]);
    assert_nothing_is_registered();
}

#[test]
fn fault_07_a_kill_that_comes_during_the_join_waits_for_its_end() {
    let (gate, parked) = line();
    let owner = spawn(move || {
        let borrowed = Cell::new(0);
        scope(|s| {
            s.spawn(|| {
                wait_in(&parked);
                borrowed.set(1);
            });
        });
        assert_eq!(borrowed.get(), 1);
        sleep(HOUR); // here the kill is thrown
    });
    yield_now();
    yield_now();
    owner.kill();
    assert!(!owner.is_finished());
    assert!(gate.wake_one());
    assert!(matches!(owner.wait(), Err(Died::Killed)));
}

#[test]
fn a_timeout_around_a_scope_waits_for_the_children() {
    let ended = Cell::new(false);
    let late = timeout(Duration::from_millis(1), || {
        scope(|s| {
            s.spawn(|| {
                sleep(Duration::from_millis(10));
                ended.set(true);
            });
            sleep(HOUR);
        });
    });
    assert!(late.is_err());
    assert!(ended.get());
    // One that falls due during the join leaves the scope's result as it is.
    let in_time = timeout(Duration::from_millis(1), || {
        scope(|s| {
            s.spawn(|| sleep(Duration::from_millis(10)));
            "a result"
        })
    });
    assert_eq!(in_time, Ok("a result"));
    assert_nothing_is_registered();
}

#[test]
fn kill_all_of_a_scope_kills_the_children_that_live_and_spares_the_caller() {
    let log = Log::new();
    scope(|s| {
        for name in ["first", "second"] {
            let on_drop = log.on_drop(name);
            s.spawn(move || {
                let _on_drop = on_drop;
                sleep(HOUR);
            });
        }
        let log = &log;
        s.spawn(move || {
            yield_now();
            s.kill_all();
            log.add("the caller goes on");
        });
    });
    assert_eq!(log.take(), ["first", "second", "the caller goes on"]);
}

#[test]
fn a_scope_in_a_destructor_of_an_unwind_works() {
    let ran = Rc::new(Cell::new(false));
    let killed = spawn({
        let ran = Rc::clone(&ran);
        move || {
            let _scope = OnDrop(|| {
                scope(|s| {
                    s.spawn(|| ran.set(true));
                });
            });
            sleep(HOUR);
        }
    });
    yield_now();
    killed.kill();
    assert!(killed.wait().is_err());
    assert!(ran.get());
}

#[test]
fn many_children_come_and_go() {
    let sum = Cell::new(0);
    scope(|s| {
        for n in 0..util::rounds(100_000) {
            let sum = &sum;
            s.spawn(move || sum.set(sum.get() + n));
            if n % 100 == 0 {
                yield_now();
            }
        }
    });
    let n = util::rounds(100_000);
    assert_eq!(sum.get(), n * (n - 1) / 2);
}

#[test]
fn a_nursery_that_goes_well_is_a_scope() {
    let count = Cell::new(0);
    let value = nursery(|n| {
        for _ in 0..3 {
            n.spawn(|| count.set(count.get() + 1));
        }
        "done"
    });
    assert_eq!((value, count.get()), ("done", 3));
}

#[test]
fn a_panic_in_a_nursery_kills_the_siblings_and_ends_the_closure() {
    let log = Log::new();
    let text = panic_of(|| {
        nursery(|n| {
            let _closure = log.on_drop("closure");
            let siblings = [log.on_drop("started"), log.on_drop("unstarted")];
            let [started, unstarted] = siblings;
            n.spawn(move || {
                let _started = started;
                sleep(HOUR);
            });
            n.spawn(|| panic!("one of them"));
            n.spawn(move || drop(unstarted));
            sleep(HOUR);
            log.add("not reached");
        })
    });
    assert_eq!(text, "one of them");
    let mut ended = log.take();
    ended.sort();
    assert_eq!(ended, ["closure", "started", "unstarted"]);
    assert_nothing_is_registered();
}

/// Also where somebody waits for the one that fails: he is told, and then killed.
#[test]
fn a_panic_in_a_nursery_is_the_nurserys_whoever_waits_for_the_child() {
    let told = RefCell::new(String::new());
    let text = panic_of(|| {
        nursery(|n| {
            let fails = n.spawn(|| panic!("told"));
            let died = fails.wait().unwrap_err();
            *told.borrow_mut() = died.to_string();
        })
    });
    assert_eq!(text, "told");
    assert!(["", "green thread panicked: told"].contains(&&**told.borrow()));
}

#[test]
fn two_that_fail_at_once_end_a_nursery_once_with_the_first() {
    let _watchdog = Watchdog::new("a nursery in which all fail");
    let text = panic_of(|| {
        nursery(|n| {
            for number in 0..10 {
                n.spawn(move || {
                    let _second = OnDrop(|| assert!(std::thread::panicking()));
                    if number > 4 {
                        panic!("number {number}");
                    }
                    // These fail while they are killed.
                    let caught = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                    assert!(caught.is_ok(), "killed by another one");
                });
            }
        })
    });
    assert_eq!(text, "number 5");
    assert_nothing_is_registered();
}

#[test]
fn a_nursery_whose_closure_panics_kills_its_children() {
    let census = Census::new();
    let text = panic_of(|| {
        nursery(|n| {
            let counted = census.one();
            n.spawn(move || {
                let _counted = counted;
                sleep(HOUR);
            });
            yield_now();
            panic!("in the closure");
        })
    });
    assert_eq!((text.as_str(), census.alive()), ("in the closure", 0));
}

#[test]
fn who_is_killed_in_a_nursery_takes_its_children_along() {
    let census = Census::new();
    let owner = spawn({
        let counted = census.one();
        move || {
            nursery(|n| {
                n.spawn(|| {
                    let _counted = counted;
                    sleep(HOUR);
                });
                sleep(HOUR);
            });
        }
    });
    yield_now();
    owner.kill();
    assert!(owner.is_finished());
    assert_eq!(census.alive(), 0);
    assert!(matches!(owner.wait(), Err(Died::Killed)));
}

#[test]
fn a_timeout_inside_a_nursery_and_its_end_do_not_mix() {
    let text = panic_of(|| {
        nursery(|n| {
            n.spawn(|| panic!("ends it all"));
            // The nursery ends this, not the timeout.
            let result = timeout(HOUR, || sleep(HOUR));
            unreachable!("{result:?}")
        })
    });
    assert_eq!(text, "ends it all");
    let value = nursery(|n| {
        n.spawn(|| sleep(Duration::from_millis(5)));
        timeout(Duration::from_millis(1), || sleep(HOUR)).is_err()
    });
    assert!(value);
}

/// The children borrow: the report must not unwind past them.
#[test]
fn fault_30_a_deadlock_in_a_join_kills_the_children_and_is_reported() {
    let _watchdog = Watchdog::new("a deadlock in a scope");
    let census = Census::new();
    let never = WaitList::new();
    let text = panic_of(|| {
        scope(|s| {
            let counted = census.one();
            let never = &never;
            s.spawn(move || {
                let _counted = counted;
                wait_in(never);
            });
        })
    });
    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(text.contains("waits for the children of its scope"), "{text}");
    assert_eq!(census.alive(), 0);
    assert!(never.is_empty());
}

/// Nothing is left then but to end the process.
#[test]
fn fault_30_children_that_survive_their_kill_in_a_deadlock_abort_the_process() {
    let name = "fault_30_children_that_survive_their_kill_in_a_deadlock_abort_the_process";
    if is_child(name) {
        let never = WaitList::new();
        scope(|s| {
            s.spawn(|| {
                loop {
                    let _ = catch_unwind(AssertUnwindSafe(|| wait_in(&never)));
                }
            });
        });
        unreachable!("the scope is never left");
    }
    let ended = Child::new(name).run();
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("deadlock in a scope"), "{}", ended.stderr);
}

#[test]
fn kill_all_ends_the_children_of_a_scope_too() {
    let owner = spawn(|| {
        scope(|s| {
            s.spawn(|| sleep(HOUR));
            s.spawn(|| sleep(HOUR));
        });
    });
    yield_now();
    kill_all();
    // The kill of the owner has waited for the children, and there was no park after that.
    assert!(owner.wait().is_ok());
}
