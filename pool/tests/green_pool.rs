//! `GreenPool`: who gets a slot when, and that none is ever lost.

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GreenPile, GreenPool};
use evy_runtime::{
    Died, GreenThread, current, kill, sleep, spawn, spawn_after_local, spawn_n, timeout, yield_now,
};
use util::{
    Census, Child, Gate, HOUR, Log, OnDrop, Watchdog, is_child, is_slow, panic_of, settle, text,
};

fn counts(pool: &GreenPool) -> (usize, isize, usize) {
    (pool.running(), pool.free(), pool.waiting())
}

/// Fills `pool` with tasks that wait at the gate.
fn fill(pool: &GreenPool) -> Gate {
    let gate = Gate::new();
    while pool.free() > 0 {
        let gate = gate.clone();
        pool.spawn_n(move || gate.pass());
    }
    gate
}

/// A green thread, not of the pool, that spawns into it.
fn spawner<T: 'static>(pool: &GreenPool, f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
    let pool = pool.clone();
    spawn(move || pool.spawn(f).wait().unwrap())
}

/// Semantics A 1.
#[test]
fn ten_tasks_of_a_pool_of_four_give_their_results() {
    let pool = GreenPool::new(4);
    let tasks: Vec<_> = (0..10).map(|n| pool.spawn(move || n)).collect();
    let results: Vec<_> = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
    assert_eq!(results, (0..10).collect::<Vec<_>>());
    assert_eq!(counts(&pool), (0, 4, 0));
}

/// Semantics A 2.
#[test]
fn what_spawn_n_starts_has_run_after_waitall() {
    let (pool, sum) = (GreenPool::new(3), Rc::new(Cell::new(0)));
    for n in 0..10 {
        let sum = Rc::clone(&sum);
        pool.spawn_n(move || sum.set(sum.get() + n));
    }
    pool.waitall();
    assert_eq!(sum.get(), 45);
}

/// Semantics A 3.
#[test]
fn a_spawn_past_the_size_returns_only_when_a_slot_is_free() {
    let (pool, log) = (GreenPool::new(2), Log::new());
    let add = |what: &'static str| {
        let log = log.clone();
        move || log.add(what)
    };
    pool.spawn_n(add("1"));
    assert_eq!(pool.free(), 1);
    pool.spawn_n(add("2"));
    assert_eq!(pool.free(), 0);
    assert_eq!(log.len(), 0);
    pool.spawn_n(add("3"));
    assert_eq!(log.take()[0], "1");
    pool.waitall();
    assert_eq!(log.take(), ["3"]);
    assert_eq!(pool.free(), 2);
}

/// Semantics A 4.
#[test]
fn waiting_counts_the_spawners_in_line() {
    let pool = GreenPool::new(1);
    assert_eq!(counts(&pool), (0, 1, 0));
    let gate = fill(&pool);
    let mut spawners = Vec::new();
    for waiting in 0..3 {
        assert_eq!(counts(&pool), (1, 0, waiting));
        let own = pool.clone();
        spawners.push(spawner(&pool, move || own.running()));
        yield_now();
    }
    gate.open();
    for spawner in spawners {
        assert_eq!(spawner.wait().unwrap(), 1);
    }
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// DESIGN, fairness: first in first out, and nobody barges.
#[test]
fn spawners_get_slots_in_the_order_of_their_calls() {
    let (pool, log) = (GreenPool::new(1), Log::new());
    let gate = fill(&pool);
    for n in 0..5 {
        let log = log.clone();
        drop(spawner(&pool, move || log.add(n.to_string())));
    }
    yield_now();
    gate.open();
    // The first task ends and hands its slot over; this one comes before the slot is used.
    yield_now();
    assert_eq!(counts(&pool), (1, 0, 4));
    pool.spawn({
        let log = log.clone();
        move || log.add("barger")
    })
    .wait()
    .unwrap();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4", "barger"]);
}

/// Semantics A 5; FAULTS row 41.
#[test]
fn fault_41_a_member_of_the_full_pool_spawns_over_the_limit() {
    let pool = GreenPool::new(1);
    let task = pool.spawn({
        let pool = pool.clone();
        move || {
            assert_eq!(counts(&pool), (1, 0, 0));
            let id = current();
            let child = pool.spawn(move || {
                assert_ne!(current(), id, "a stack of its own");
                "child"
            });
            assert_eq!(counts(&pool), (2, -1, 0));
            let ran = Rc::new(Cell::new(false));
            pool.spawn_n({
                let ran = Rc::clone(&ran);
                move || ran.set(true)
            });
            let result = child.wait().unwrap();
            yield_now();
            assert!(ran.get());
            assert_eq!(counts(&pool), (1, 0, 0));
            result
        }
    });
    assert_eq!(task.wait().unwrap(), "child");
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// What runs over the limit keeps others waiting: its slot vanishes when it ends.
#[test]
fn a_task_over_the_limit_hands_its_slot_to_nobody() {
    let (pool, gate) = (GreenPool::new(1), Gate::new());
    let task = pool.spawn({
        let (pool, gate) = (pool.clone(), gate.clone());
        move || {
            pool.spawn(|| ()).wait().unwrap();
            gate.pass();
        }
    });
    let waiter = spawner(&pool, || ());
    settle();
    assert_eq!(counts(&pool), (1, 0, 1));
    gate.open();
    task.wait().unwrap();
    waiter.wait().unwrap();
    assert_eq!(counts(&pool), (0, 1, 0));
}

fn depth() -> usize {
    if is_slow() { 500 } else { 10_000 }
}

/// Semantics A 6, D5: nobody waits for the next one.
#[test]
fn fault_41_tasks_that_spawn_the_next_into_a_pool_of_one_go_as_deep_as_they_like() {
    fn descend(pool: &GreenPool, reached: &Rc<Cell<usize>>) {
        reached.set(reached.get() + 1);
        assert!(pool.running() <= 2);
        if reached.get() < depth() {
            let (own, reached) = (pool.clone(), Rc::clone(reached));
            pool.spawn_n(move || descend(&own, &reached));
        }
    }
    let (pool, reached) = (GreenPool::new(1), Rc::default());
    pool.spawn_n({
        let (pool, reached) = (pool.clone(), Rc::clone(&reached));
        move || descend(&pool, &reached)
    });
    pool.waitall();
    assert_eq!(reached.get(), depth());
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// Semantics A 6, D5: each waits for the next one.
#[test]
fn fault_41_tasks_that_wait_for_the_next_in_a_pool_of_one_go_as_deep_as_they_like() {
    fn descend(pool: &GreenPool, left: usize) -> usize {
        if left == 0 {
            return 0;
        }
        let own = pool.clone();
        pool.spawn(move || descend(&own, left - 1)).wait().unwrap() + 1
    }
    let pool = GreenPool::new(1);
    let own = pool.clone();
    assert_eq!(pool.spawn(move || descend(&own, depth())).wait().unwrap(), depth());
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// Semantics A 7, D5.
#[test]
fn the_panic_of_a_task_over_the_limit_is_in_its_handle() {
    let pool = GreenPool::new(1);
    let task = pool.spawn({
        let pool = pool.clone();
        move || {
            let child = pool.spawn(|| panic!("the child's"));
            let Err(Died::Panicked(payload)) = child.wait() else { panic!("it panics") };
            assert_eq!(counts(&pool), (1, 0, 0));
            text(&*payload)
        }
    });
    assert_eq!(task.wait().unwrap(), "the child's");
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// D6, and a deadlock says what it is.
#[test]
fn a_green_thread_that_a_member_spawned_otherwise_waits_as_any_other() {
    let pool = GreenPool::new(1);
    let task = pool.spawn({
        let pool = pool.clone();
        move || spawner(&pool, || ()).wait().unwrap()
    });
    let text = panic_of(|| pool.waitall());
    assert!(text.contains("waits for a free slot of a GreenPool"), "{text}");
    assert!(text.contains("the last task of a GreenPool"), "{text}");
    task.kill();
    settle();
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// Semantics A 8.
#[test]
fn a_smaller_size_holds_once_enough_have_ended() {
    let pool = GreenPool::new(2);
    let gates = [Gate::new(), Gate::new()];
    for gate in gates.clone() {
        pool.spawn_n(move || gate.pass());
    }
    pool.resize(1);
    let third = spawner(&pool, || "third");
    settle();
    assert_eq!(counts(&pool), (2, -1, 1));
    gates[0].open();
    settle();
    assert_eq!(counts(&pool), (1, 0, 1));
    assert!(!third.is_finished());
    gates[1].open();
    assert_eq!(third.wait().unwrap(), "third");
    assert_eq!(counts(&pool), (0, 1, 0));
    pool.resize(2);
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// Semantics A 9, D2.
#[test]
fn fault_41_new_slots_go_to_the_spawners_in_line() {
    let pool = GreenPool::new(1);
    let gate = fill(&pool);
    let log = Log::new();
    for n in 0..4 {
        let log = log.clone();
        drop(spawner(&pool, move || log.add(n.to_string())));
    }
    yield_now();
    pool.resize(3);
    assert_eq!(counts(&pool), (3, 0, 2));
    settle();
    assert_eq!(log.take(), ["0", "1", "2", "3"]);
    assert_eq!(counts(&pool), (1, 2, 0));
    gate.open();
    pool.waitall();
    assert_eq!(counts(&pool), (0, 3, 0));
}

/// Semantics A 10.
#[test]
fn free_is_negative_after_shrinking_below_what_runs() {
    let pool = GreenPool::new(3);
    let gate = fill(&pool);
    pool.resize(1);
    // Nobody waits, whatever eventlet says here.
    assert_eq!(counts(&pool), (3, -2, 0));
    gate.open();
    pool.waitall();
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// Semantics A 11: upstream's `test_pool_smash`, with a second pool for the tokens.
#[test]
fn a_task_that_gives_up_on_another_pool_leaves_both_intact() {
    let (pool, tokens) = (GreenPool::new(1), GreenPool::new(1));
    let token = fill(&tokens);
    let first = pool.spawn({
        let tokens = tokens.clone();
        move || timeout(Duration::ZERO, || tokens.spawn(|| ()).wait()).is_err()
    });
    assert!(first.wait().unwrap());
    assert_eq!((counts(&pool), counts(&tokens)), ((0, 1, 0), (1, 0, 0)));
    token.open();
    assert_eq!(pool.spawn(|| "resumed").wait().unwrap(), "resumed");
    assert_eq!(tokens.spawn(|| "token").wait().unwrap(), "token");
    assert_eq!((counts(&pool), counts(&tokens)), ((0, 1, 0), (0, 1, 0)));
}

/// Semantics A 12; FAULTS row 41.
#[test]
fn fault_41_tasks_that_panic_give_their_slots_back() {
    let pool = GreenPool::new(2);
    for _ in 0..5 {
        let task = pool.spawn(|| panic!("spawn"));
        pool.spawn_n(|| panic!("spawn_n"));
        assert!(matches!(task.wait(), Err(Died::Panicked(_))));
    }
    pool.waitall();
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// Semantics A 12.
#[test]
fn tasks_that_are_killed_give_their_slots_back() {
    let pool = GreenPool::new(2);
    let task = pool.spawn(|| sleep(HOUR));
    let id = Rc::new(Cell::new(None));
    pool.spawn_n({
        let id = Rc::clone(&id);
        move || {
            id.set(Some(current()));
            sleep(HOUR);
        }
    });
    yield_now();
    assert_eq!(pool.running(), 2);
    task.kill();
    assert_eq!(pool.running(), 1);
    assert!(kill(id.get().unwrap()));
    assert_eq!(counts(&pool), (0, 2, 0));
    assert!(matches!(task.wait(), Err(Died::Killed)));
}

/// Semantics A 12, D7: eventlet loses the slot of `spawn_n` for ever.
#[test]
fn tasks_that_are_killed_before_their_first_run_give_their_slots_back() {
    let (pool, census) = (GreenPool::new(2), Census::new());
    let captured = census.one();
    let task = pool.spawn(move || drop(captured));
    let captured = census.one();
    pool.spawn_n(move || drop(captured));
    assert_eq!(counts(&pool), (2, 0, 0));
    task.kill();
    assert_eq!(counts(&pool), (1, 1, 0));
    pool.kill_all();
    assert_eq!(counts(&pool), (0, 2, 0));
    assert_eq!(census.alive(), 0);
    assert!(matches!(task.wait(), Err(Died::Killed)));
}

/// D7: one that holds on to what it captured while it is dropped holds its slot, too.
#[test]
fn a_slot_is_free_when_the_captures_of_an_unstarted_task_are_gone() {
    let (pool, gate) = (GreenPool::new(1), Gate::new());
    let captured = OnDrop({
        let gate = gate.clone();
        move || gate.pass()
    });
    let task = pool.spawn(move || drop(captured));
    task.kill();
    assert_eq!((gate.held(), pool.running()), (1, 1));
    gate.open();
    pool.waitall();
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// FAULTS row 53.
#[test]
fn fault_53_the_slot_of_a_spawner_killed_after_the_hand_off_goes_to_the_next() {
    let pool = GreenPool::new(1);
    let gate = fill(&pool);
    let first = spawner(&pool, || unreachable!("its spawner is killed"));
    let second = spawner(&pool, || "second");
    yield_now();
    assert_eq!(counts(&pool), (1, 0, 2));
    gate.open();
    yield_now();
    assert_eq!(counts(&pool), (1, 0, 1), "handed over, and not resumed");
    first.kill();
    assert_eq!(counts(&pool), (1, 0, 0), "handed over to the next");
    assert_eq!(second.wait().unwrap(), "second");
    assert_eq!(counts(&pool), (0, 1, 0));
    assert!(matches!(first.wait(), Err(Died::Killed)));
}

/// FAULTS row 53.
#[test]
fn fault_53_the_last_spawner_killed_after_the_hand_off_frees_the_slot() {
    let pool = GreenPool::new(1);
    let gate = fill(&pool);
    let only = spawner(&pool, || unreachable!("its spawner is killed"));
    yield_now();
    gate.open();
    yield_now();
    assert_eq!(counts(&pool), (1, 0, 0));
    only.kill();
    assert_eq!(counts(&pool), (0, 1, 0));
    pool.waitall();
}

/// FAULTS row 53.
#[test]
fn fault_53_spawners_that_leave_the_line_take_nothing() {
    let pool = GreenPool::new(1);
    let gate = fill(&pool);
    assert!(timeout(Duration::ZERO, || pool.spawn(|| unreachable!("cut off"))).is_err());
    let killed = spawner(&pool, || unreachable!("its spawner is killed"));
    let stays = spawner(&pool, || "stays");
    yield_now();
    killed.kill();
    assert_eq!(counts(&pool), (1, 0, 1));
    gate.open();
    assert_eq!(stays.wait().unwrap(), "stays");
    assert_eq!(counts(&pool), (0, 1, 0));
}

/// Semantics A 13.
#[test]
fn waitall_of_an_idle_pool_returns_at_once() {
    let yielded = Rc::new(Cell::new(false));
    spawn_n({
        let yielded = Rc::clone(&yielded);
        move || yielded.set(true)
    });
    GreenPool::new(1).waitall();
    GreenPool::new(0).waitall();
    assert!(!yielded.get());
}

/// Semantics A 14; FAULTS row 41.
#[test]
fn fault_41_waitall_from_a_member_panics() {
    let pool = GreenPool::new(2);
    let task = pool.spawn({
        let pool = pool.clone();
        move || panic_of(|| pool.waitall())
    });
    assert_eq!(
        task.wait().unwrap(),
        "a task of a GreenPool cannot wait for the end of all of them"
    );
    pool.waitall();
}

/// Semantics A 15, D1: eventlet sleeps for ever here.
#[test]
fn fault_41_waitall_waits_for_those_in_line_and_returns() {
    let (pool, log) = (GreenPool::new(1), Log::new());
    let a = fill(&pool);
    let b = Gate::new();
    drop(spawner(&pool, {
        let (b, log) = (b.clone(), log.clone());
        move || {
            b.pass();
            log.add("b");
        }
    }));
    let waiter = spawn({
        let (pool, log) = (pool.clone(), log.clone());
        move || {
            pool.waitall();
            log.add("waitall");
        }
    });
    settle();
    assert_eq!(counts(&pool), (1, 0, 1));
    a.open();
    settle();
    assert_eq!(counts(&pool), (1, 0, 0));
    assert!(!waiter.is_finished());
    b.open();
    waiter.wait().unwrap();
    assert_eq!(log.take(), ["b", "waitall"]);
}

/// D1: all that `waitall` waits for may be a spawner, which goes away.
#[test]
fn waitall_returns_when_the_last_spawner_leaves_the_line() {
    let pool = GreenPool::new(0);
    let spawner = spawner(&pool, || ());
    let waiter = spawn({
        let pool = pool.clone();
        move || pool.waitall()
    });
    settle();
    assert!(!waiter.is_finished());
    spawner.kill();
    waiter.wait().unwrap();
    assert_eq!(counts(&pool), (0, 0, 0));
}

/// Semantics A 16.
#[test]
fn waitall_covers_tasks_that_tasks_spawn() {
    let (pool, ran) = (GreenPool::new(2), Rc::new(Cell::new(0)));
    for _ in 0..3 {
        let (own, ran) = (pool.clone(), Rc::clone(&ran));
        pool.spawn_n(move || {
            for _ in 0..3 {
                yield_now();
                let ran = Rc::clone(&ran);
                own.spawn_n(move || {
                    yield_now();
                    ran.set(ran.get() + 1);
                });
            }
        });
    }
    pool.waitall();
    assert_eq!(ran.get(), 9);
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// Semantics A 17.
#[test]
fn all_who_call_waitall_return() {
    let pool = GreenPool::new(2);
    let gate = fill(&pool);
    let waiters = [(); 2].map(|()| {
        let pool = pool.clone();
        spawn(move || pool.waitall())
    });
    settle();
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    gate.open();
    pool.waitall();
    waiters.into_iter().for_each(|waiter| waiter.wait().unwrap());
}

/// A timeout around `waitall` is no harm to the next one.
#[test]
fn a_waitall_that_is_cut_off_leaves_the_pool_as_it_is() {
    let pool = GreenPool::new(1);
    let gate = fill(&pool);
    assert!(timeout(Duration::ZERO, || pool.waitall()).is_err());
    assert_eq!(counts(&pool), (1, 0, 0));
    gate.open();
    pool.waitall();
}

/// Semantics A 30. (A negative size is no `usize`.)
#[test]
fn fault_41_a_spawn_into_a_pool_of_size_0_waits() {
    let pool = GreenPool::new(0);
    assert!(timeout(Duration::ZERO, || pool.spawn_n(|| unreachable!("cut off"))).is_err());
    let waiter = spawner(&pool, || "ran");
    settle();
    assert_eq!(counts(&pool), (0, 0, 1));
    pool.resize(1);
    assert_eq!(waiter.wait().unwrap(), "ran");
    assert_eq!(GreenPool::new(usize::MAX).free(), isize::MAX);
    assert_eq!(GreenPool::default().free(), 1000);
}

/// Semantics A 31.
#[test]
fn the_panic_of_a_spawn_n_is_printed_once_and_harms_nobody() {
    const NAME: &str = "the_panic_of_a_spawn_n_is_printed_once_and_harms_nobody";
    if is_child(NAME) {
        let pool = GreenPool::new(1);
        pool.spawn_n(|| panic!("see me once"));
        pool.spawn_n(|| eprintln!("the next one"));
        pool.waitall();
        assert_eq!(counts(&pool), (0, 1, 0));
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr.matches("see me once").count(), 1, "{ended:?}");
    assert_eq!(ended.stderr.matches("the next one").count(), 1, "{ended:?}");
}

/// DESIGN section 3: the line of the user that spawns is what reports name.
#[test]
fn reports_name_the_line_that_spawned_a_task() {
    const NAME: &str = "reports_name_the_line_that_spawned_a_task";
    if is_child(NAME) {
        let pool = GreenPool::new(10);
        let pile = GreenPile::with_pool(&pool);
        fn fail() {
            panic!("on purpose");
        }
        let first = line!() + 1;
        drop(pool.spawn(fail));
        pool.spawn_n(fail);
        drop(pool.try_spawn(fail));
        drop(pool.try_spawn_n(fail));
        pile.spawn(fail);
        let map = pool.imap(|_| fail(), 0..1);
        let unordered = pool.imap_unordered(|_| fail(), 0..1);
        eprintln!("lines: {first} {}", line!() - first);
        settle();
        drop((map, unordered));
        return;
    }
    let ended = Child::new(NAME).run();
    let lines = ended.stderr.lines().find_map(|line| line.strip_prefix("lines: "));
    let (first, count) = lines.unwrap().split_once(' ').unwrap();
    let (first, count): (u32, u32) = (first.parse().unwrap(), count.parse().unwrap());
    assert_eq!(count, 7);
    for line in first..first + count {
        let place = format!("spawned at {}:{line}:", file!());
        assert_eq!(ended.stderr.matches(&place).count(), 1, "{place}: {ended:?}");
    }
}

/// Semantics A 32.
#[test]
fn what_a_task_delays_locally_does_not_run_after_its_end() {
    let pool = GreenPool::new(1);
    let ran = Rc::new(Cell::new(false));
    let late = pool.spawn({
        let ran = Rc::clone(&ran);
        move || spawn_after_local(Duration::from_millis(1), move || ran.set(true))
    });
    assert!(matches!(late.wait().unwrap().wait(), Err(Died::Killed)));
    assert!(!ran.get());
}

#[test]
fn kill_all_kills_running_and_unstarted_tasks_in_the_order_of_their_spawns() {
    let (pool, log) = (GreenPool::new(10), Log::new());
    let task = |name: &'static str| {
        let on_drop = log.on_drop(name);
        move || {
            let _on_drop = on_drop;
            sleep(HOUR);
        }
    };
    pool.spawn_n(task("a"));
    pool.spawn_n(task("b"));
    yield_now();
    pool.spawn_n(task("c"));
    pool.kill_all();
    assert_eq!(log.take(), ["a", "b", "c"]);
    assert_eq!(counts(&pool), (0, 10, 0));
}

#[test]
fn kill_all_from_a_member_spares_the_caller() {
    let pool = GreenPool::new(3);
    let others = [(); 2].map(|()| pool.spawn(|| sleep(HOUR)));
    let caller = pool.spawn({
        let pool = pool.clone();
        move || {
            pool.kill_all();
            yield_now();
            pool.running()
        }
    });
    assert_eq!(caller.wait().unwrap(), 1);
    assert!(others.map(GreenThread::wait).iter().all(|end| matches!(end, Err(Died::Killed))));
}

/// Those in line are no tasks yet.
#[test]
fn kill_all_lets_those_in_line_spawn() {
    let pool = GreenPool::new(1);
    let _gate = fill(&pool);
    let waiter = spawner(&pool, || "ran");
    yield_now();
    pool.kill_all();
    assert_eq!(waiter.wait().unwrap(), "ran");
}

#[test]
fn tasks_outlive_the_handles_of_their_pool() {
    let pool = GreenPool::new(1);
    let clone = pool.clone();
    let task = pool.spawn(|| "done");
    assert_eq!(clone.running(), 1);
    drop((pool, clone));
    assert_eq!(task.wait().unwrap(), "done");
}

/// A result's destructor is code of the task, also where nobody wants the result.
#[test]
fn the_result_of_a_spawn_n_is_dropped_by_its_task() {
    let (pool, held) = (GreenPool::new(1), Rc::new(RefCell::new(None)));
    pool.spawn_n({
        let (pool, held) = (pool.clone(), Rc::clone(&held));
        move || {
            let id = current();
            OnDrop(move || *held.borrow_mut() = Some((current() == id, pool.running())))
        }
    });
    pool.waitall();
    assert_eq!(held.take(), Some((true, 1)));
}

/// A destructor that runs while its green thread unwinds may use the pool.
#[test]
fn a_spawn_by_a_destructor_during_an_unwind_takes_a_slot_and_gives_it_back() {
    let _watchdog = Watchdog::new("a spawn during an unwind");
    let (pool, other) = (GreenPool::new(1), GreenPool::new(1));
    let gate = fill(&other);
    let task = pool.spawn({
        let (pool, other) = (pool.clone(), other.clone());
        move || {
            let _last = OnDrop(move || {
                pool.spawn_n(|| ());
                other.spawn_n(|| ());
            });
            panic!("on purpose");
        }
    });
    settle();
    assert_eq!((counts(&pool), counts(&other)), ((1, 0, 0), (1, 0, 1)));
    gate.open();
    assert!(task.wait().is_err());
    pool.waitall();
    other.waitall();
    assert_eq!((counts(&pool), counts(&other)), ((0, 1, 0), (0, 1, 0)));
}
