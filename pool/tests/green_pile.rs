//! `GreenPile`: results in the order of the spawns, none lost and none twice.

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GreenPile, GreenPool};
use evy_runtime::{current, kill, sleep, spawn, timeout, yield_now};
use util::{Census, Gate, HOUR, payload_of, says_killed, settle, text};

/// Semantics A 25.
#[test]
fn results_come_in_the_order_of_the_spawns() {
    let pile = GreenPile::new(4);
    for n in 0..10 {
        pile.spawn(move || {
            // The later, the sooner done.
            (n..10).for_each(|_| yield_now());
            n
        });
    }
    assert!(pile.eq(0..10));
}

/// Semantics A 26.
#[test]
fn a_spawn_that_is_cut_off_is_not_counted() {
    let pile = GreenPile::new(4);
    for n in 0..4 {
        pile.spawn(move || n);
    }
    // The pool is full, so this would wait.
    assert!(timeout(Duration::ZERO, || pile.spawn(|| unreachable!("cut off"))).is_err());
    for n in 4..10 {
        pile.spawn(move || n);
    }
    assert!(pile.eq(0..10));
}

/// Semantics A 26: whoever waits for that spawn is told.
#[test]
fn an_iteration_that_waits_for_a_spawn_ends_when_that_is_cut_off() {
    let pile = Rc::new(GreenPile::<()>::new(0));
    let spawner = spawn({
        let pile = Rc::clone(&pile);
        move || pile.spawn(|| ())
    });
    yield_now();
    let reader = spawn({
        let pile = Rc::clone(&pile);
        move || (&*pile).next()
    });
    settle();
    assert!(!reader.is_finished());
    spawner.kill();
    assert_eq!(reader.wait().unwrap(), None);
}

fn two_piles_on_one_pool(first: usize) {
    let pool = GreenPool::new(2);
    let piles = [(); 2].map(|()| Rc::new(GreenPile::with_pool(&pool)));
    for (index, pile) in piles.iter().enumerate() {
        let pile = Rc::clone(pile);
        drop(spawn(move || {
            for n in 0..10 {
                pile.spawn(move || index * 100 + n);
            }
        }));
    }
    yield_now();
    for index in [first, 1 - first] {
        let results: Vec<_> = (&*piles[index]).collect();
        assert_eq!(results, (0..10).map(|n| index * 100 + n).collect::<Vec<_>>());
    }
    assert_eq!((pool.running(), pool.free(), pool.waiting()), (0, 2, 0));
}

/// Semantics A 27.
#[test]
fn two_piles_on_one_pool_each_give_their_own() {
    two_piles_on_one_pool(0);
    two_piles_on_one_pool(1);
}

/// Semantics A 28, D17: Evy waits for ever here.
#[test]
fn an_empty_pile_ends_at_once() {
    assert_eq!(GreenPile::<()>::new(1).count(), 0);
    assert_eq!(GreenPile::<()>::new(0).count(), 0);
}

/// Semantics A 28.
#[test]
fn a_panic_comes_in_its_place_and_the_rest_after_it() {
    let mut pile = GreenPile::new(3);
    for n in 0..5 {
        pile.spawn(move || if n % 2 == 1 { panic!("number {n}") } else { n });
    }
    assert_eq!(pile.next(), Some(0));
    assert_eq!(text(&*payload_of(|| pile.next())), "number 1");
    assert_eq!(pile.next(), Some(2));
    assert_eq!(text(&*payload_of(|| pile.next())), "number 3");
    assert_eq!(pile.next(), Some(4));
    assert_eq!(pile.next(), None);
}

/// Semantics A 28.
#[test]
fn a_pile_can_be_used_again_after_its_end() {
    let pile = GreenPile::new(2);
    for round in 0..3 {
        (0..5).for_each(|n| pile.spawn(move || round * 10 + n));
        assert!((&pile).eq((0..5).map(|n| round * 10 + n)));
        assert_eq!((&pile).next(), None);
    }
}

/// DESIGN section 4: before its first run or later.
#[test]
fn a_killed_task_panics_with_died_killed_in_its_place() {
    let pool = GreenPool::new(3);
    let mut pile = GreenPile::with_pool(&pool);
    let parked = Rc::new(Cell::new(None));
    pile.spawn({
        let parked = Rc::clone(&parked);
        move || {
            parked.set(Some(current()));
            sleep(HOUR);
        }
    });
    yield_now();
    pile.spawn(|| unreachable!("killed before its first run"));
    pool.kill_all();
    pile.spawn(|| ());
    assert!(!kill(parked.get().unwrap()));
    assert!(says_killed(&*payload_of(|| pile.next())));
    assert!(says_killed(&*payload_of(|| pile.next())));
    assert_eq!(pile.next(), Some(()));
    assert_eq!(pile.next(), None);
}

#[test]
fn a_next_that_is_cut_off_loses_nothing() {
    let (mut pile, gate) = (GreenPile::new(2), Gate::new());
    for n in 0..2 {
        let gate = gate.clone();
        pile.spawn(move || {
            gate.pass();
            n
        });
    }
    for _ in 0..3 {
        assert!(timeout(Duration::ZERO, || pile.next()).is_err());
    }
    gate.open();
    assert!(pile.eq(0..2));
}

/// Whoever comes first gets the first result; one that is killed in its turn loses none.
#[test]
fn several_may_iterate_over_one_pile() {
    let (pile, gate) = (Rc::new(GreenPile::new(4)), Gate::new());
    for n in 0..4 {
        let gate = gate.clone();
        pile.spawn(move || {
            gate.pass();
            n
        });
    }
    let got = Rc::new(RefCell::new(Vec::new()));
    let readers: Vec<_> = (0..5)
        .map(|reader| {
            let (pile, got) = (Rc::clone(&pile), Rc::clone(&got));
            spawn(move || {
                let result = (&*pile).next();
                got.borrow_mut().push((reader, result));
            })
        })
        .collect();
    settle();
    // The first has its turn, the third stands in line.
    readers[0].kill();
    readers[2].kill();
    gate.open();
    settle();
    assert_eq!(got.take(), [(1, Some(0)), (3, Some(1)), (4, Some(2))]);
    assert_eq!((&*pile).next(), Some(3));
    assert_eq!((&*pile).next(), None);
}

/// FAULTS row 53.
#[test]
fn fault_53_the_turn_of_one_killed_after_the_hand_off_goes_to_the_next() {
    let (pile, gate) = (Rc::new(GreenPile::new(2)), Gate::new());
    pile.spawn({
        let gate = gate.clone();
        move || {
            gate.pass();
            0
        }
    });
    pile.spawn(|| 1);
    let [first, killed, last] = [(); 3].map(|()| {
        let pile = Rc::clone(&pile);
        spawn(move || (&*pile).next())
    });
    settle();
    gate.open();
    // The task ends; then the first one takes its result and hands its turn over.
    yield_now();
    yield_now();
    assert!(first.is_finished() && !killed.is_finished() && !last.is_finished());
    killed.kill();
    assert_eq!(first.wait().unwrap(), Some(0));
    assert_eq!(last.wait().unwrap(), Some(1));
    assert_eq!((&*pile).next(), None);
}

#[test]
fn the_tasks_of_a_dropped_pile_go_on() {
    let (pool, census) = (GreenPool::new(2), Census::new());
    let (pile, gate, ran) = (GreenPile::with_pool(&pool), Gate::new(), Rc::new(Cell::new(0)));
    for _ in 0..2 {
        let (gate, ran, result) = (gate.clone(), Rc::clone(&ran), census.one());
        pile.spawn(move || {
            gate.pass();
            ran.set(ran.get() + 1);
            result
        });
    }
    settle();
    drop(pile);
    assert_eq!(pool.running(), 2);
    gate.open();
    pool.waitall();
    assert_eq!(ran.get(), 2);
    assert_eq!(census.alive(), 0);
}

/// A member of the full pool may use a pile on it: the dispatch pattern.
#[test]
fn fault_41_a_member_of_the_full_pool_may_have_a_pile_on_it() {
    let pool = GreenPool::new(1);
    let task = pool.spawn({
        let pool = pool.clone();
        move || {
            let pile = GreenPile::with_pool(&pool);
            (0..3).for_each(|n| pile.spawn(move || n));
            pile.collect::<Vec<_>>()
        }
    });
    assert_eq!(task.wait().unwrap(), [0, 1, 2]);
    assert_eq!((pool.running(), pool.free()), (0, 1));
}
