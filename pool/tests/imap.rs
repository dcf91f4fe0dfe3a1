//! `imap`: lazy, bounded, in order, and neither stopped nor stuck by what fails.

mod util;

use std::cell::{Cell, RefCell};
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GreenPool, Imap};
use evy_runtime::{current, sleep, spawn, timeout, yield_now};
use util::{
    Census, Gate, HOUR, Log, OnDrop, Random, Watchdog, assert_nothing_is_registered, is_slow,
    payload_of, rounds, says_killed, settle, text,
};

/// An iterator that counts what was taken from it.
fn counted<I: Iterator>(items: I) -> (impl Iterator<Item = I::Item>, Rc<Cell<usize>>) {
    let pulled = Rc::new(Cell::new(0));
    let count = Rc::clone(&pulled);
    (items.inspect(move |_| count.set(count.get() + 1)), pulled)
}

/// What each `next` gives, to the end: a result, or the text of a panic.
fn outcomes<T>(mut map: Imap<T>) -> Vec<Result<T, String>> {
    let mut outcomes = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| map.next())) {
            Ok(None) => return outcomes,
            Ok(Some(value)) => outcomes.push(Ok(value)),
            Err(payload) => outcomes.push(Err(text(&*payload))),
        }
    }
}

fn counts(pool: &GreenPool) -> (usize, isize, usize) {
    (pool.running(), pool.free(), pool.waiting())
}

/// Semantics A 18.
#[test]
fn results_keep_the_order_of_the_items_however_long_each_takes() {
    let random = Random::new(18);
    for size in [1, 2, 7, 100] {
        let random = random.clone();
        let work = move |n| {
            (0..random.below(20)).for_each(|_| yield_now());
            n
        };
        assert!(GreenPool::new(size).imap(work, 0..50).eq(0..50));
    }
}

/// Semantics A 19.
#[test]
fn a_map_over_nothing_ends_at_once() {
    let pool = GreenPool::new(2);
    assert_eq!(pool.imap(|n: u32| n, []).next(), None);
    assert_eq!(pool.imap_unordered(|n: u32| n, []).next(), None);
    assert_eq!(GreenPool::new(0).imap(|n: u32| n, []).next(), None);
}

/// Semantics A 19 and 24: `zip` is what several iterables are in Rust, tuples what `starmap` takes.
#[test]
fn several_iterables_are_zipped_and_the_shortest_ends_the_map() {
    let pool = GreenPool::new(4);
    assert!(pool.imap(|pair| pair, (0..5).zip(10..13)).eq([(0, 10), (1, 11), (2, 12)]));
    let sums = pool.imap(|(a, b)| a + b, [(1, 2), (3, 4)]);
    assert!(sums.eq([3, 7]));
}

/// Semantics A 20.
#[test]
fn a_task_that_panics_does_so_in_its_place_and_the_rest_follow() {
    let work = |n| if n == 1 || n == 7 { panic!("item {n}") } else { n };
    let expected: Vec<_> =
        (0..10).map(|n| if n == 1 || n == 7 { Err(format!("item {n}")) } else { Ok(n) }).collect();
    let pool = GreenPool::new(4);
    assert_eq!(outcomes(pool.imap(work, 0..10)), expected);
    let mut unordered = outcomes(pool.imap_unordered(work, 0..10));
    unordered.sort_by_key(|outcome| match outcome {
        Ok(n) => *n,
        Err(text) => text["item ".len()..].parse().unwrap(),
    });
    assert_eq!(unordered, expected);
    assert_eq!(counts(&pool), (0, 4, 0));
}

/// The payload is the task's own, not a copy of its text.
#[test]
fn a_panic_comes_with_its_own_payload() {
    #[derive(Debug, PartialEq)]
    struct Payload(u32);
    let mut map = GreenPool::new(1).imap(|n| std::panic::panic_any(Payload(n)), [7]);
    let payload = payload_of(|| map.next());
    assert_eq!(payload.downcast_ref(), Some(&Payload(7)));
    assert_eq!(map.next(), None::<()>);
}

/// DESIGN section 4: before its first run or later.
#[test]
fn a_killed_task_panics_with_died_killed_and_the_rest_follow() {
    for unordered in [false, true] {
        let (pool, gate) = (GreenPool::new(2), Gate::new());
        let work = {
            let gate = gate.clone();
            move |n| {
                gate.pass();
                n
            }
        };
        let mut map =
            if unordered { pool.imap_unordered(work, 0..4) } else { pool.imap(work, 0..4) };
        // 0 and 1 are parked at the gate; when they are killed, 2 and 3 get their slots.
        settle();
        pool.kill_all();
        gate.open();
        assert!(says_killed(&*payload_of(|| map.next())));
        assert!(says_killed(&*payload_of(|| map.next())));
        assert!(map.eq([2, 3]));
        assert_eq!(counts(&pool), (0, 2, 0));

        let mut map = pool.imap(|n| n, 0..3);
        // The feeder runs, 0 and 1 have not.
        yield_now();
        assert_eq!(pool.running(), 2);
        pool.kill_all();
        assert!(says_killed(&*payload_of(|| map.next())));
        assert!(says_killed(&*payload_of(|| map.next())));
        assert_eq!(map.next(), Some(2));
        assert_eq!(map.next(), None);
    }
}

/// Semantics A 21, FAULTS row 41: with eventlet's measured bound.
#[test]
fn fault_41_at_most_size_plus_one_items_are_taken_ahead() {
    for size in [1, 2, 4, 10] {
        let (endless, pulled) = counted(0..);
        let pool = GreenPool::new(size);
        let mut map = pool.imap(|n: usize| n, endless);
        assert_eq!(pulled.get(), 0, "the feeder has not run");
        for taken in 0..30 {
            settle();
            assert_eq!(pulled.get(), taken + size + 1);
            assert_eq!(map.next(), Some(taken));
        }
        let (endless, pulled) = counted(0..);
        let mut map = pool.imap_unordered(|n: usize| n, endless);
        for taken in 0..30 {
            settle();
            assert_eq!(pulled.get(), taken + size + 1);
            assert!(map.next().is_some());
        }
    }
}

/// Semantics A 21: the bound is the same for tasks that never end, and one item waits for a slot.
#[test]
fn fault_41_at_most_size_plus_one_items_are_taken_ahead_of_slow_tasks() {
    let (endless, pulled) = counted(0..);
    let (pool, gate) = (GreenPool::new(3), Gate::new());
    let mut map = pool.imap(
        {
            let gate = gate.clone();
            move |n: usize| {
                gate.pass();
                n
            }
        },
        endless,
    );
    settle();
    assert_eq!(pulled.get(), 4);
    assert_eq!(counts(&pool), (3, 0, 1));
    gate.open();
    assert_eq!(map.next(), Some(0));
    settle();
    assert_eq!(pulled.get(), 5);
}

/// Semantics A 21: nothing is left, wherever the feeder and the tasks are.
#[test]
fn fault_41_dropping_a_map_stops_and_frees_all_of_it() {
    for unordered in [false, true] {
        for state in 0..6 {
            let (pool, census) = (GreenPool::new(2), Census::new());
            let of_source = census.one();
            let of_f = census.one();
            let items = census.clone();
            let source = (0..).map(move |n| {
                let _ = &of_source;
                if state == 2 && n == 1 {
                    sleep(HOUR);
                }
                (n, items.one())
            });
            let work = move |(n, item)| {
                let _ = &of_f;
                match state {
                    3 => sleep(HOUR),
                    4 if n == 1 => sleep(HOUR),
                    _ => {}
                }
                item
            };
            let mut map =
                if unordered { pool.imap_unordered(work, source) } else { pool.imap(work, source) };
            match state {
                // Nothing has run.
                0 => {}
                // The feeder waits for a slot, the tasks have not run.
                1 => yield_now(),
                // Everybody is where he parks.
                2..=4 => settle(),
                _ => drop(map.next()),
            }
            drop(map);
            assert_eq!(census.alive(), 0, "state {state}");
            assert_eq!(counts(&pool), (0, 2, 0), "state {state}");
            assert_nothing_is_registered();
        }
    }
}

/// The drop of a map kills one after the other; one that is killed meanwhile kills the rest as well.
#[test]
fn a_map_whose_owner_is_killed_is_freed() {
    let (pool, census, log) = (GreenPool::new(2), Census::new(), Log::new());
    let owner = spawn({
        let (pool, census, log) = (pool.clone(), census.clone(), log.clone());
        move || {
            let work = move |item| {
                let _on_drop = log.on_drop("task");
                sleep(HOUR);
                item
            };
            pool.imap(work, iter::repeat_with(move || census.one())).count()
        }
    });
    settle();
    assert_eq!(census.alive(), 3);
    owner.kill();
    settle();
    assert_eq!(census.alive(), 0);
    assert_eq!(log.take(), ["task", "task"]);
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// The tasks do not wait for a feeder that takes its time to end.
#[test]
fn dropping_a_map_kills_its_tasks_while_the_feeder_still_ends() {
    let (pool, log, gate) = (GreenPool::new(2), Log::new(), Gate::new());
    let slow_end = OnDrop({
        let gate = gate.clone();
        move || gate.pass()
    });
    let source = iter::repeat_with(move || {
        let _ = &slow_end;
    });
    let work = {
        let log = log.clone();
        move |()| {
            let _on_drop = log.on_drop("killed");
            sleep(HOUR);
        }
    };
    let map = pool.imap(work, source);
    settle();
    drop(map);
    assert_eq!(gate.held(), 1, "the feeder has not ended");
    assert_eq!(log.take(), ["killed", "killed"]);
    gate.open();
    settle();
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// A source that catches the feeder's kill and goes on feeds nobody.
#[test]
fn a_source_that_swallows_the_kill_of_its_feeder_gets_nowhere() {
    let (pool, census, log) = (GreenPool::new(2), Census::new(), Log::new());
    let (items, work) = (census.clone(), log.clone());
    let gate = Gate::new();
    let source = iter::repeat_with({
        let gate = gate.clone();
        move || {
            // A kill that is caught so often is given up.
            while catch_unwind(AssertUnwindSafe(|| gate.pass())).is_err() {}
            items.one()
        }
    });
    let map = pool.imap(move |_| work.add("fed"), source);
    settle();
    drop(map);
    assert_eq!(gate.held(), 1, "the feeder lives on");
    gate.open();
    settle();
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(census.alive(), 0);
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// A task that owns its own map may drop it, and lives on.
#[test]
fn a_task_that_drops_its_own_map_is_spared() {
    let (pool, log) = (GreenPool::new(2), Log::new());
    let own: Rc<RefCell<Option<Imap<()>>>> = Rc::default();
    let map = pool.imap(
        {
            let (own, log) = (Rc::clone(&own), log.clone());
            move |n| {
                if n == 1 {
                    drop(own.take());
                    yield_now();
                    log.add("on");
                } else {
                    let _on_drop = log.on_drop("killed");
                    sleep(HOUR);
                }
            }
        },
        0..,
    );
    own.replace(Some(map));
    settle();
    assert_eq!(log.take(), ["killed", "on"]);
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// Semantics A 22, D4: eventlet hangs here.
#[test]
fn fault_41_a_source_that_panics_ends_the_map_with_its_panic() {
    let source = || (0..5).map(|n| if n == 3 { panic!("the source") } else { n });
    let pool = GreenPool::new(2);
    let end = || Err("the source".to_owned());
    assert_eq!(outcomes(pool.imap(|n| n, source())), [Ok(0), Ok(1), Ok(2), end()]);
    assert_eq!(outcomes(pool.imap_unordered(|n| n, source())), [Ok(0), Ok(1), Ok(2), end()]);
    let mut map = pool.imap(|n| n, source());
    assert!(map.by_ref().take(3).eq(0..3));
    assert_eq!(text(&*payload_of(|| map.next())), "the source");
    assert_eq!(map.next(), None);
    assert_eq!(map.next(), None);
    assert_eq!(counts(&pool), (0, 2, 0));
}

/// What the caller's own stack does before the feeder begins, panics there.
#[test]
fn a_panic_of_into_iter_is_the_callers() {
    struct Bad;
    impl IntoIterator for Bad {
        type Item = u32;
        type IntoIter = iter::Empty<u32>;
        fn into_iter(self) -> iter::Empty<u32> {
            panic!("into_iter")
        }
    }
    let pool = GreenPool::new(1);
    assert_eq!(text(&*payload_of(|| pool.imap(|n| n, Bad))), "into_iter");
}

/// Not the map's own kill, but somebody's: it must not look like the end of the items.
#[test]
fn a_feeder_that_is_killed_ends_the_map_with_died_killed() {
    let feeder = Rc::new(Cell::new(None));
    let source = {
        let feeder = Rc::clone(&feeder);
        (0..3).inspect(move |n| {
            feeder.set(Some(current()));
            if *n == 2 {
                sleep(HOUR);
            }
        })
    };
    let mut map = GreenPool::new(4).imap(|n| n, source);
    assert_eq!((map.next(), map.next()), (Some(0), Some(1)));
    settle();
    assert!(evy_runtime::kill(feeder.get().unwrap()));
    assert!(says_killed(&*payload_of(|| map.next())));
    assert_eq!(map.next(), None);
}

/// Semantics A 23.
#[test]
fn a_source_that_sleeps_before_its_end_still_ends_the_map() {
    let source = (0..3).chain(iter::from_fn(|| {
        sleep(Duration::from_millis(1));
        None
    }));
    let pool = GreenPool::new(10);
    assert!(pool.imap(|n| n, source.clone()).eq(0..3));
    assert!(pool.imap_unordered(|n| n, source).eq(0..3));
}

/// D3: eventlet's map has a pool of its own, so that nobody sees its tasks.
#[test]
fn the_tasks_of_a_map_take_slots_of_the_pool() {
    let (pool, gate) = (GreenPool::new(3), Gate::new());
    let work = {
        let gate = gate.clone();
        move |n| {
            gate.pass();
            n
        }
    };
    let map = pool.imap(work, 0..2);
    settle();
    assert_eq!(counts(&pool), (2, 1, 0));
    let waiter = spawn({
        let pool = pool.clone();
        move || pool.waitall()
    });
    settle();
    assert!(!waiter.is_finished());
    gate.open();
    waiter.wait().unwrap();
    assert!(map.eq(0..2));
}

/// The feeder stands in line like any spawner.
#[test]
fn a_map_waits_for_slots_that_others_have() {
    let (pool, gate) = (GreenPool::new(1), Gate::new());
    pool.spawn_n({
        let gate = gate.clone();
        move || gate.pass()
    });
    let mut map = pool.imap(|n| n, 0..3);
    settle();
    assert_eq!(counts(&pool), (1, 0, 1));
    assert!(timeout(Duration::ZERO, || map.next()).is_err());
    gate.open();
    assert!(map.eq(0..3));
}

/// D3; FAULTS row 41.
#[test]
fn fault_41_a_member_of_the_full_pool_may_map_over_it() {
    for size in [1, 3] {
        let pool = GreenPool::new(size);
        let tasks: Vec<_> = (0..size)
            .map(|_| {
                let own = pool.clone();
                pool.spawn(move || {
                    yield_now();
                    let nested = own.clone();
                    let twice = move |n: usize| nested.imap(|n| n * 2, [n]).sum::<usize>();
                    own.imap(twice, 0..10).collect::<Vec<_>>()
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.wait().unwrap(), (0..20).step_by(2).collect::<Vec<_>>());
        }
        assert_eq!(counts(&pool), (0, size as isize, 0));
    }
}

#[test]
fn a_next_that_is_cut_off_loses_nothing() {
    for unordered in [false, true] {
        let (pool, gate) = (GreenPool::new(2), Gate::new());
        let work = {
            let gate = gate.clone();
            move |n| {
                gate.pass();
                n
            }
        };
        let mut map =
            if unordered { pool.imap_unordered(work, 0..5) } else { pool.imap(work, 0..5) };
        for _ in 0..3 {
            // At first there is no task, then one that does not end.
            assert!(timeout(Duration::ZERO, || map.next()).is_err());
            settle();
        }
        gate.open();
        assert!(map.eq(0..5));
    }
}

#[test]
fn results_without_order_come_as_they_are_done() {
    let pool = GreenPool::new(3);
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let work = {
        let gates = gates.clone();
        move |n: usize| {
            gates[n].pass();
            n
        }
    };
    let mut map = pool.imap_unordered(work, 0..3);
    for n in [1, 2, 0] {
        settle();
        gates[n].open();
        assert_eq!(map.next(), Some(n));
    }
    assert_eq!(map.next(), None);
}

/// With a resize in the middle nothing hangs, and nothing is lost.
#[test]
fn a_resize_in_the_middle_of_a_map_changes_only_how_many_run() {
    let _watchdog = Watchdog::new("a map over a pool that is resized");
    for unordered in [false, true] {
        let pool = GreenPool::new(0);
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let work = {
            let (inside, most) = (Rc::clone(&inside), Rc::clone(&most));
            move |n| {
                inside.set(inside.get() + 1);
                most.set(most.get().max(inside.get()));
                let _outside = OnDrop(|| inside.set(inside.get() - 1));
                yield_now();
                n
            }
        };
        let mut map =
            if unordered { pool.imap_unordered(work, 0..60) } else { pool.imap(work, 0..60) };
        assert!(timeout(Duration::ZERO, || map.next()).is_err());
        settle();
        assert_eq!(counts(&pool), (0, 0, 1));
        let mut results = Vec::new();
        for size in [1, 5, 2, 20, 1, 3] {
            pool.resize(size);
            settle();
            most.set(0);
            results.extend(map.by_ref().take(10));
            assert!(most.get() <= size, "{} of {size}", most.get());
        }
        assert_eq!(map.next(), None);
        results.sort_unstable();
        assert!(results.into_iter().eq(0..60));
    }
}

/// FAULTS row 41 (†): many items, little memory. The bench looks at ten million.
#[test]
fn fault_41_a_million_items_need_no_memory() {
    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
    let items = rounds(1_000_000);
    let mut map = GreenPool::new(100).imap(|n: usize| Box::new([n; 32]), 0..items);
    let taken = map.by_ref().take(items / 10).count();
    let before = resident_kib();
    assert_eq!(taken + map.count(), items);
    // Other tests of this program run at the same time.
    assert!(
        is_slow() || resident_kib() < before + 64 * 1024,
        "{before} KiB, {} now",
        resident_kib()
    );
}

/// `Imap` is lent out by `by_ref`, ends once, and stays ended.
#[test]
fn a_map_stays_ended() {
    let mut map = GreenPool::new(1).imap(|n| n, 0..1);
    assert_eq!(map.next(), Some(0));
    for _ in 0..3 {
        assert_eq!(map.next(), None);
    }
}
