//! Kill: where it lands, what has happened when it returns, and what it leaves behind.

mod util;

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{
    Died, GreenThread, Killed, current, kill, kill_all, sleep, spawn, spawn_after,
    spawn_after_local, spawn_n, timeout, unblock, wait_readable, yield_now,
};
use util::{
    Census, Child, HOUR, Log, OnDrop, SOMETHING, Watchdog, assert_nothing_is_registered, is_child,
    line, wait_in,
};

fn is_killed<T>(result: &Result<T, Died>) -> bool {
    matches!(result, Err(Died::Killed))
}

/// Semantics B 35.
#[test]
fn an_unstarted_one_never_runs_and_its_captures_are_dropped() {
    let log = Log::new();
    let target = spawn({
        let (captured, log) = (log.on_drop("captured"), log.clone());
        move || {
            let _captured = captured;
            log.add("ran");
        }
    });
    target.on_exit({
        let log = log.clone();
        move |outcome| log.add(format!("{outcome:?}"))
    });
    target.kill();
    assert_eq!(log.take(), ["captured", "Err(Killed)"]);
    assert!(target.is_finished());
    target.kill();
    assert!(is_killed(&target.wait()));
    assert_eq!(log.take(), [""; 0]);
}

/// Semantics B 35; FAULTS row 28: destructors of users run on a green thread, so they may park.
#[test]
fn captures_of_an_unstarted_one_are_dropped_on_its_own_stack_and_may_park() {
    let log = Log::new();
    let (gate, line) = line();
    let target = spawn({
        let log = log.clone();
        let captured = OnDrop(move || {
            log.add(format!("{}", current()));
            wait_in(&line);
            log.add("gone");
        });
        move || drop(captured)
    });
    let id = target.id();
    target.kill();
    assert_eq!(log.take(), [id.to_string()]);
    assert!(!target.is_finished());
    assert!(gate.wake_one());
    assert!(is_killed(&target.wait()));
    assert_eq!(log.take(), ["gone"]);
}

/// Semantics B 35; FAULTS row 7: kill before start, boxed and inline closures alike.
#[test]
fn fault_07_captures_of_every_size_are_dropped_exactly_once() {
    fn check<const N: usize>() {
        let census = Census::new();
        let target = spawn({
            let (counted, padding) = (census.one(), [7u8; N]);
            move || {
                let _padding = padding;
                drop(counted);
            }
        });
        target.kill();
        assert_eq!(census.alive(), 0);
        assert!(is_killed(&target.wait()));
    }
    check::<0>();
    check::<100>();
    check::<180>();
    check::<200>();
    check::<2_000>();
    check::<100_000>();
}

/// FAULTS rows 5 and 7.
#[test]
fn fault_07_a_panic_while_an_unstarted_closure_is_dropped_is_contained() {
    let captured = OnDrop(|| panic!("in a capture's destructor"));
    let target = spawn(move || drop(captured));
    target.kill();
    assert!(target.is_finished());
    assert!(target.wait().is_err());
    assert_eq!(spawn(|| 1).wait().unwrap(), 1);
}

/// Semantics B 37.
#[test]
fn the_destructors_of_a_sleeper_have_run_when_kill_returns() {
    let log = Log::new();
    let target = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("dropped");
            sleep(HOUR);
            log.add("went on");
        }
    });
    yield_now();
    target.kill();
    assert_eq!(log.take(), ["dropped"]);
    assert!(is_killed(&target.wait()));
    assert_nothing_is_registered();
}

/// Semantics B 37.
#[test]
fn one_killed_in_a_wait_list_stands_in_it_no_more() {
    let (gate, line) = line();
    let waiters: Vec<_> = (0..3)
        .map(|n| {
            let line = Rc::clone(&line);
            spawn(move || {
                line.wait(SOMETHING, Some(HOUR), || panic!("it was handed nothing")).unwrap();
                n
            })
        })
        .collect();
    yield_now();
    assert_eq!(gate.len(), 3);
    waiters[1].kill();
    assert_eq!(gate.len(), 2);
    gate.wake_all();
    let results: Vec<_> = waiters.into_iter().map(|waiter| waiter.wait().ok()).collect();
    assert_eq!(results, [Some(0), None, Some(2)]);
    assert_nothing_is_registered();
}

/// Semantics B 37: first, last and only ones are taken out of the line alike.
#[test]
fn the_line_stays_whole_wherever_one_is_killed() {
    for killed in 0..4 {
        let (gate, line) = line();
        let order = Rc::new(RefCell::new(Vec::new()));
        let waiters: Vec<_> = (0..4)
            .map(|n| {
                let (line, order) = (Rc::clone(&line), Rc::clone(&order));
                spawn(move || {
                    wait_in(&line);
                    order.borrow_mut().push(n);
                })
            })
            .collect();
        yield_now();
        waiters[killed].kill();
        gate.wake_all();
        assert!(gate.is_empty());
        evy_runtime::join_all(waiters);
        assert_eq!(order.take(), (0..4).filter(|n| *n != killed).collect::<Vec<_>>());
    }
}

/// Semantics B 37.
#[test]
fn one_killed_in_wait_leaves_the_other_alone() {
    let (gate, line) = line();
    let log = Log::new();
    let joined = spawn({
        let log = log.clone();
        move || {
            wait_in(&line);
            log.add("ran to its end");
            log.on_drop("result")
        }
    });
    let id = joined.id();
    let joiner = spawn(move || joined.wait().map(drop));
    yield_now();
    joiner.kill();
    assert!(is_killed(&joiner.wait()));
    assert!(gate.wake_one());
    yield_now();
    // Detached with its handle: nobody wants the result.
    assert_eq!(log.take(), ["ran to its end", "result"]);
    assert!(!kill(id));
}

/// Semantics B 37.
#[test]
fn one_killed_in_wait_readable_leaves_the_descriptor_to_others() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let waits = |fd: Rc<UnixStream>| spawn(move || wait_readable(&*fd, None).is_ok());
    let (killed, stays) = (waits(Rc::clone(&ours)), waits(Rc::clone(&ours)));
    yield_now();
    killed.kill();
    assert!(is_killed(&killed.wait()));
    std::io::Write::write_all(&mut theirs, b"x").unwrap();
    assert!(stays.wait().unwrap());
    std::io::Read::read_exact(&mut &*ours, &mut [0]).unwrap();

    let last = waits(Rc::clone(&ours));
    yield_now();
    last.kill();
    assert_nothing_is_registered();
    assert!(is_killed(&last.wait()));
}

/// Semantics B 37.
#[test]
fn one_killed_in_unblock_leaves_the_job_to_itself() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let (begun, is_begun) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel();
    let target = spawn(move || {
        unblock(move || {
            begun.send(()).unwrap();
            let _ = receiver.recv();
            done.send(()).unwrap();
        });
    });
    yield_now();
    is_begun.recv().unwrap();
    target.kill();
    assert!(target.is_finished());
    assert_nothing_is_registered();
    drop(sender);
    is_done.recv().unwrap();
    assert!(is_killed(&target.wait()));
}

/// FAULTS row 7: a stale entry in the ready queue would run a recycled stack.
#[test]
fn fault_07_a_queued_one_is_taken_out_of_the_ready_queue() {
    let census = Census::new();
    let turns: Rc<Vec<Cell<u32>>> = Rc::new((0..300).map(|_| Cell::new(0)).collect());
    let yielder = |n: usize| {
        let (counted, turns) = (census.one(), Rc::clone(&turns));
        spawn(move || {
            let _counted = counted;
            loop {
                turns[n].set(turns[n].get() + 1);
                yield_now();
            }
        })
    };
    let mut threads: Vec<GreenThread<()>> = (0..100).map(yielder).collect();
    // Half of them have begun and are queued again, the other half are queued for the first time.
    yield_now();
    threads.extend((100..200).map(yielder));
    for n in (0..200).step_by(2) {
        threads[n].kill();
        assert!(threads[n].is_finished());
    }
    // These get the stacks of the killed ones.
    threads.extend((200..300).map(yielder));
    let before: Vec<u32> = turns.iter().map(Cell::get).collect();
    for _ in 0..5 {
        yield_now();
    }
    for n in 0..300 {
        let expected = if n < 200 && n % 2 == 0 { 0 } else { 5 };
        assert_eq!(turns[n].get() - before[n], expected, "turns of {n}");
    }
    kill_all();
    assert_eq!(census.alive(), 0);
    assert_nothing_is_registered();
}

/// FAULTS row 7: the killer goes behind the target, and all others keep their order.
#[test]
fn the_target_runs_next_and_nobody_else_does() {
    let log = Log::new();
    let other = |name: &'static str| {
        let log = log.clone();
        spawn_n(move || log.add(name));
    };
    let target = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("target");
            sleep(HOUR);
        }
    });
    yield_now();
    other("first");
    other("second");
    target.kill();
    log.add("killer");
    yield_now();
    assert_eq!(log.take(), ["target", "killer", "first", "second"]);
}

/// Semantics B 40.
#[test]
fn one_that_kills_itself_unwinds_there() {
    let log = Log::new();
    let target = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("dropped");
            kill(current());
            log.add("went on");
        }
    });
    assert!(is_killed(&target.wait()));
    assert_eq!(log.take(), ["dropped"]);
}

/// Semantics B 40.
#[test]
fn to_kill_a_dead_one_does_nothing() {
    let target = spawn(|| 7);
    let id = target.id();
    yield_now();
    target.kill();
    assert!(!kill(id));
    assert!(!target.cancel());
    assert_eq!(target.wait().unwrap(), 7);
    assert!(!kill(id));
}

/// FAULTS row 7. The id of one that has ended does not name who has its block and stack now.
#[test]
fn fault_07_an_old_id_does_not_name_the_next_one_in_the_same_place() {
    let old = spawn(|| ());
    let id = old.id();
    old.wait().unwrap();
    let (gate, line) = line();
    let next = spawn(move || wait_in(&line));
    yield_now();
    assert_ne!(next.id(), id);
    assert!(!kill(id));
    gate.wake_one();
    next.wait().unwrap();
}

#[test]
fn the_own_stack_of_the_os_thread_cannot_be_killed() {
    let main = current();
    assert!(!kill(main));
    assert!(!spawn(move || kill(main)).wait().unwrap());
}

/// Semantics B 38.
#[test]
fn one_that_catches_its_kill_goes_on_and_its_value_counts() {
    let log = Log::new();
    let (gate, line) = line();
    let target = spawn({
        let log = log.clone();
        move || {
            let caught = catch_unwind(|| sleep(HOUR)).unwrap_err();
            log.add(format!("{:?}", caught.downcast_ref::<Killed>().unwrap()));
            // Thrown again at the next park, so one that means it has to catch that as well.
            for _ in 0..8 {
                assert!(catch_unwind(AssertUnwindSafe(|| wait_in(&line))).is_err());
            }
            wait_in(&line);
            7
        }
    });
    yield_now();
    target.kill();
    assert_eq!(log.take(), ["Killed"]);
    assert!(!target.is_finished());
    assert!(gate.wake_one());
    assert_eq!(target.wait().unwrap(), 7);
}

/// Semantics B 38: one that never parks again is not asked twice.
#[test]
fn a_caught_kill_is_nothing_to_one_that_only_returns() {
    let target = spawn(|| {
        let _ = catch_unwind(|| sleep(HOUR));
        "mine"
    });
    yield_now();
    target.kill();
    assert_eq!(target.wait().unwrap(), "mine");
}

/// FAULTS row 7, case f2 of 2.2: never a hang.
#[test]
fn fault_07_one_that_swallows_it_for_ever_is_asked_nine_times_and_then_reported() {
    const NAME: &str =
        "fault_07_one_that_swallows_it_for_ever_is_asked_nine_times_and_then_reported";
    if is_child(NAME) {
        let swallowed = Rc::new(Cell::new(0));
        let (gate, line) = line();
        let target = evy_runtime::Builder::new()
            .name("glutton")
            .spawn({
                let swallowed = Rc::clone(&swallowed);
                move || {
                    while catch_unwind(AssertUnwindSafe(|| wait_in(&line))).is_err() {
                        swallowed.set(swallowed.get() + 1);
                    }
                }
            })
            .unwrap();
        yield_now();
        target.kill();
        assert_eq!(swallowed.get(), 9);
        assert_eq!(gate.len(), 1);
        // A new kill is a new order.
        target.kill();
        assert_eq!(swallowed.get(), 18);
        gate.wake_one();
        return target.wait().unwrap();
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
    let report = "'glutton', spawned at runtime/tests/kill.rs";
    assert_eq!(ended.stderr.matches(report).count(), 2, "{ended:?}");
    assert_eq!(ended.stderr.matches("has caught its kill 9 times").count(), 2, "{ended:?}");
}

/// Also yields are places where a kill is thrown again.
#[test]
fn a_swallowed_kill_is_thrown_again_at_a_yield() {
    let target = spawn(|| {
        let _ = catch_unwind(|| sleep(HOUR));
        yield_now();
        unreachable!("thrown again");
    });
    yield_now();
    target.kill();
    assert!(is_killed(&target.wait()));
}

/// FAULTS row 7: kill during kill.
#[test]
fn fault_07_a_destructor_that_kills_in_turn_makes_a_chain() {
    let log = Log::new();
    let c = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("c");
            sleep(HOUR);
        }
    });
    let c = Rc::new(c);
    let b = spawn({
        let (log, c) = (log.clone(), Rc::clone(&c));
        move || {
            let _guard = OnDrop(|| {
                log.add("b kills c");
                c.kill();
                log.add("b");
            });
            sleep(HOUR);
        }
    });
    yield_now();
    let a = spawn({
        let log = log.clone();
        move || {
            b.kill();
            log.add("a");
            b
        }
    });
    let b = a.wait().unwrap();
    // From a destructor during unwinding it only schedules; c is gone before a goes on.
    assert_eq!(log.take(), ["b kills c", "b", "c", "a"]);
    assert!(is_killed(&b.wait()));
    assert!(c.is_finished());
}

/// FAULTS row 7: kill during kill, of a hundred in a row and each an unstarted one.
#[test]
fn fault_07_a_long_chain_of_captures_that_kill_ends() {
    let census = Census::new();
    let mut next: Option<GreenThread<()>> = None;
    for _ in 0..100 {
        let (counted, previous) = (census.one(), next.take());
        let captured = OnDrop(move || {
            if let Some(previous) = &previous {
                previous.kill();
            }
            let _ = &counted;
        });
        next = Some(spawn(move || drop(captured)));
    }
    next.unwrap().kill();
    assert_eq!(census.alive(), 0);
    assert_nothing_is_registered();
}

/// FAULTS row 7: kill during kill.
#[test]
fn fault_07_a_target_can_kill_its_killer() {
    let log = Log::new();
    let killer: Rc<RefCell<Option<GreenThread<()>>>> = Rc::default();
    let target = spawn({
        let (log, killer) = (log.clone(), Rc::clone(&killer));
        move || {
            let _guard = OnDrop(|| {
                killer.borrow().as_ref().unwrap().kill();
                log.add("target");
            });
            sleep(HOUR);
        }
    });
    let target = Rc::new(target);
    yield_now();
    *killer.borrow_mut() = Some(spawn({
        let (log, target) = (log.clone(), Rc::clone(&target));
        move || {
            let _guard = log.on_drop("killer");
            target.kill();
            log.add("killer went on");
        }
    }));
    yield_now();
    assert_eq!(log.take(), ["target", "killer"]);
    assert!(target.is_finished());
    let killer = killer.take().unwrap();
    assert!(is_killed(&killer.wait()));
    assert_nothing_is_registered();
}

/// FAULTS row 7: a target that does not unwind, but kills its killer while it goes on.
#[test]
fn fault_07_two_that_kill_each_other_both_end() {
    let log = Log::new();
    let ids: Rc<RefCell<Vec<_>>> = Rc::default();
    let pair: Vec<_> = (0..2)
        .map(|n| {
            let (log, ids) = (log.clone(), Rc::clone(&ids));
            spawn(move || {
                let _guard = log.on_drop("gone");
                yield_now();
                let other = ids.borrow()[1 - n];
                assert!(kill(other));
                log.add("went on");
            })
        })
        .collect();
    ids.borrow_mut().extend(pair.iter().map(GreenThread::id));
    let ends: Vec<_> = pair.into_iter().map(|thread| thread.wait().is_ok()).collect();
    assert_eq!(ends, [true, false]);
    assert_eq!(log.take(), ["gone", "went on", "gone"]);
}

/// DESIGN 3, kill: from a destructor during unwinding `kill` only schedules.
#[test]
fn from_a_destructor_of_one_that_panics_kill_only_schedules() {
    let log = Log::new();
    let target = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("target");
            sleep(HOUR);
        }
    });
    yield_now();
    let panics = spawn({
        let log = log.clone();
        move || {
            let _guard = OnDrop(|| {
                target.kill();
                log.add("scheduled");
                assert!(!target.is_finished());
            });
            panic!("on purpose");
        }
    });
    assert!(panics.wait().is_err());
    yield_now();
    assert_eq!(log.take(), ["scheduled", "target"]);
    assert_nothing_is_registered();
}

/// FAULTS row 6, cases d, e and k: a second unwind would abort the process.
#[test]
fn fault_06_one_that_parks_in_a_destructor_while_it_is_killed_is_not_thrown_at_again() {
    let log = Log::new();
    let (gate, line) = line();
    let target = spawn({
        let log = log.clone();
        move || {
            let _outer = log.on_drop("outer");
            let _inner = OnDrop(|| {
                log.add("parks");
                wait_in(&line);
                log.add("goes on");
            });
            sleep(HOUR);
        }
    });
    yield_now();
    target.kill();
    assert_eq!(log.take(), ["parks"]);
    for _ in 0..3 {
        target.kill();
        assert!(!target.is_finished());
    }
    assert_eq!(gate.len(), 1);
    assert_eq!(log.take(), [""; 0]);
    gate.wake_one();
    assert!(is_killed(&target.wait()));
    assert_eq!(log.take(), ["goes on", "outer"]);
    assert!(!std::thread::panicking());
}

/// Semantics B 41, and 36.
#[test]
fn cancel_ends_only_what_has_not_started() {
    let unstarted = spawn(|| unreachable!("cancelled"));
    assert!(unstarted.cancel());
    assert!(!unstarted.cancel());
    assert!(is_killed::<()>(&unstarted.wait()));
    let started = spawn(|| {
        yield_now();
        1
    });
    yield_now();
    assert!(!started.cancel());
    assert_eq!(started.wait().unwrap(), 1);
}

/// Semantics B 42.
#[test]
fn spawn_after_starts_not_before_its_time() {
    let start = Instant::now();
    let late = spawn_after(Duration::from_millis(3), move || start.elapsed());
    assert!(!late.is_finished());
    assert!(late.wait().unwrap() >= Duration::from_millis(3));
    let at_once = spawn_after(Duration::ZERO, || 1);
    assert_eq!(at_once.wait().unwrap(), 1);
}

/// Semantics B 42.
#[test]
fn spawn_after_can_be_cancelled_or_killed_until_its_time() {
    let census = Census::new();
    for end in [GreenThread::cancel, |thread: &GreenThread<()>| {
        thread.kill();
        true
    }] {
        for delay in [HOUR, Duration::MAX] {
            let counted = census.one();
            let never = spawn_after(delay, move || drop(counted));
            yield_now();
            assert!(end(&never));
            assert_eq!(census.alive(), 0);
            assert_nothing_is_registered();
            assert!(is_killed(&never.wait()));
        }
    }
}

/// A deadline that has passed is not cancelled a second time, in the name of another's.
#[test]
fn to_kill_one_that_spawn_after_has_started_leaves_other_deadlines_alone() {
    let _watchdog = Watchdog::new("the deadline of another was cancelled");
    let started = spawn_after(Duration::from_micros(10), || sleep(HOUR));
    sleep(Duration::from_millis(1));
    let sleepers: Vec<_> = (0..50).map(|_| spawn(|| sleep(Duration::from_millis(2)))).collect();
    yield_now();
    started.kill();
    assert!(is_killed(&started.wait()));
    assert!(evy_runtime::join_all(sleepers).iter().all(Result::is_ok));
    assert_nothing_is_registered();
}

/// Semantics B 43.
#[test]
fn spawn_after_local_dies_with_its_spawner_and_spawn_after_does_not() {
    let census = Census::new();
    let parent = spawn({
        let counted = census.one();
        move || {
            let local = spawn_after_local(Duration::from_millis(1), move || drop(counted));
            (local, spawn_after(Duration::from_millis(1), || "ran"))
        }
    });
    let (local, free) = parent.wait().unwrap();
    assert!(is_killed(&local.wait()));
    assert_eq!(census.alive(), 0);
    assert_eq!(free.wait().unwrap(), "ran");
    // The spawner lives: another green thread, and the OS thread's own stack.
    let parent = spawn(|| spawn_after_local(Duration::from_millis(1), || "ran").wait().unwrap());
    assert_eq!(parent.wait().unwrap(), "ran");
    assert_eq!(spawn_after_local(Duration::ZERO, || "ran").wait().unwrap(), "ran");
}

/// Semantics B 43: the place of the spawner belongs to another by then.
#[test]
fn spawn_after_local_does_not_take_a_stranger_for_its_spawner() {
    let parent = spawn(|| spawn_after_local(Duration::from_millis(1), || "ran"));
    let local = parent.wait().unwrap();
    let strangers: Vec<_> = (0..300).map(|_| spawn(|| sleep(HOUR))).collect();
    assert!(is_killed(&local.wait()));
    kill_all();
    assert!(strangers.iter().all(GreenThread::is_finished));
}

/// Semantics B 36.
#[test]
fn kill_all_spares_the_caller_alone() {
    let census = Census::new();
    let sleeper = || {
        let counted = census.one();
        spawn(move || {
            let _counted = counted;
            sleep(HOUR);
        })
    };
    let parked: Vec<_> = (0..10).map(|_| sleeper()).collect();
    yield_now();
    let unstarted: Vec<_> = (0..10).map(|_| sleeper()).collect();
    let caller = spawn(move || {
        kill_all();
        assert!(parked.iter().chain(&unstarted).all(GreenThread::is_finished));
        yield_now();
        "spared"
    });
    assert_eq!(caller.wait().unwrap(), "spared");
    assert_eq!(census.alive(), 0);
    let more: Vec<_> = (0..10).map(|_| sleeper()).collect();
    kill_all();
    assert!(more.iter().all(GreenThread::is_finished));
    assert_eq!(census.alive(), 0);
    assert_nothing_is_registered();
}

/// FAULTS row 53: the item is never lost.
#[test]
fn fault_53_what_a_waiter_was_handed_is_passed_on_when_it_is_killed_first() {
    let (gate, line) = line();
    let passed_on = Rc::new(Cell::new(0));
    let waiter = || {
        let (line, passed_on) = (Rc::clone(&line), Rc::clone(&passed_on));
        spawn(move || {
            line.wait(SOMETHING, None, || {
                passed_on.set(passed_on.get() + 1);
                assert!(line.wake_one());
            })
        })
    };
    let (first, second, third) = (waiter(), waiter(), waiter());
    yield_now();
    assert!(gate.wake_one());
    first.kill();
    assert_eq!(passed_on.get(), 1);
    // The second has it now, and is killed as well.
    second.kill();
    assert_eq!(passed_on.get(), 2);
    assert!(gate.is_empty());
    assert!(third.wait().unwrap().is_ok());
    assert_eq!(passed_on.get(), 2);
    assert!(is_killed(&first.wait()) && is_killed(&second.wait()));
}

/// FAULTS rows 23 and 53: being handed wins over a deadline of the same turn, a kill over both.
#[test]
fn fault_53_a_hand_off_a_deadline_and_a_kill_in_one_turn_have_one_outcome() {
    for is_killed_too in [false, true] {
        for deadline_first in [false, true] {
            let (gate, line) = line();
            let passed_on = Rc::new(Cell::new(0));
            let due = Duration::from_millis(2);
            let waiter = spawn({
                let passed_on = Rc::clone(&passed_on);
                move || {
                    // Not before this does the deadline count.
                    line.wait(SOMETHING, Some(due), || passed_on.set(passed_on.get() + 1))
                }
            });
            yield_now();
            if deadline_first {
                // This green thread has a deadline just before that of the waiter, and is resumed
                // in the turn that finds both due.
                let hands_over = spawn({
                    let gate = Rc::clone(&gate);
                    move || {
                        sleep(due / 2);
                        let start = Instant::now();
                        while start.elapsed() < due {}
                        // Lets the hub find the waiter's deadline before the hand-off: 300 switches
                        // make it look at the clock.
                        for _ in 0..300 {
                            spawn_n(|| ());
                        }
                        spawn(move || gate.wake_one())
                    }
                });
                hands_over.wait().unwrap().wait().unwrap();
            } else {
                assert!(gate.wake_one());
                let start = Instant::now();
                while start.elapsed() < due {}
            }
            if is_killed_too {
                let was_finished = waiter.is_finished();
                waiter.kill();
                if !was_finished {
                    assert_eq!(passed_on.get(), 1);
                    assert!(is_killed(&waiter.wait()));
                }
            } else {
                let result = waiter.wait().unwrap();
                assert_eq!(passed_on.get(), 0);
                assert!(deadline_first || result.is_ok());
                assert!(gate.is_empty());
            }
            assert_nothing_is_registered();
        }
    }
}

/// A kill that waits for its target passes through like at any other park.
#[test]
fn one_that_is_killed_while_it_kills_unwinds() {
    let (gate, line) = line();
    let log = Log::new();
    let slow = spawn(move || {
        let _guard = OnDrop(|| wait_in(&line));
        sleep(HOUR);
    });
    yield_now();
    let killer = spawn({
        let log = log.clone();
        move || {
            slow.kill();
            log.add("went on");
            slow
        }
    });
    // It goes on, because its target is suspended again.
    let slow = killer.wait().unwrap();
    assert_eq!(log.take(), ["went on"]);
    gate.wake_one();
    assert!(is_killed(&slow.wait()));
}

/// DESIGN 3, kill: a queued one keeps nothing of its wake. The wait does not return.
#[test]
fn a_kill_overrides_the_wake_that_a_queued_one_has() {
    let log = Log::new();
    let target = spawn({
        let log = log.clone();
        move || {
            let _ = timeout(HOUR, || sleep(Duration::from_micros(100)));
            log.add("went on");
        }
    });
    yield_now();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1) {}
    let killer = spawn(move || {
        target.kill();
        target
    });
    let killed = killer.wait().unwrap().wait();
    let went_on = log.take();
    assert!(is_killed(&killed) == went_on.is_empty());
    assert_nothing_is_registered();
}

/// The order goes on through user code that catches and throws it again.
#[test]
fn a_kill_that_is_caught_and_resumed_is_a_kill() {
    let target = spawn(|| {
        let caught = catch_unwind(|| sleep(HOUR)).unwrap_err();
        assert!(caught.is::<Killed>());
        resume_unwind(caught);
    });
    yield_now();
    target.kill();
    assert!(is_killed::<()>(&target.wait()));
}

/// FAULTS row 7: a kill is no reason to lose what others handed out meanwhile.
#[test]
fn fault_07_kills_at_every_kind_of_park_leave_the_hub_usable() {
    let census = Census::new();
    for round in 0..20 {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let ours = Rc::new(ours);
        let (gate, line) = line();
        let guarded = |f: Box<dyn FnOnce()>| {
            let counted = census.one();
            spawn(move || {
                let _counted = counted;
                f();
            })
        };
        let fd = Rc::clone(&ours);
        let inner = spawn(|| sleep(HOUR));
        let threads = [
            guarded(Box::new(|| sleep(HOUR))),
            guarded(Box::new(|| sleep(Duration::MAX))),
            guarded(Box::new(move || wait_in(&line))),
            guarded(Box::new(move || wait_readable(&*fd, Some(Instant::now() + HOUR)).unwrap())),
            guarded(Box::new(|| inner.wait().unwrap())),
            guarded(Box::new(|| timeout(HOUR, || sleep(HOUR)).unwrap())),
            guarded(Box::new(yield_now)),
        ];
        if round % 2 == 0 {
            yield_now();
        }
        for n in 0..threads.len() {
            threads[(n + round) % threads.len()].kill();
        }
        kill_all();
        assert_eq!(census.alive(), 0);
        assert!(gate.is_empty());
        assert_nothing_is_registered();
    }
}
