//! `OnceCell` and `Lazy`: whose function makes the value.

mod util;

use std::cell::Cell;
use std::rc::Rc;

use evy_runtime::{Died, join_all, sleep, spawn, timeout, yield_now};
use evy_sync::{Lazy, OnceCell};
use util::{
    Census, LONG, OnDrop, SOON, assert_nothing_is_registered, panic_of, settle, start, yields,
};

type Cells = Rc<OnceCell<u32>>;

#[test]
fn one_function_runs_and_all_get_its_value() {
    let (cell, runs) = (Cells::default(), Rc::new(Cell::new(0)));
    let all = [1, 2, 3].map(|n| {
        let runs = Rc::clone(&runs);
        start(&cell, move |cell| {
            *cell.get_or_init(|| {
                runs.set(runs.get() + 1);
                sleep(SOON);
                n
            })
        })
    });
    assert_eq!(cell.get(), None, "it is being made");
    let values: Vec<_> = join_all(all).into_iter().map(Result::unwrap).collect();
    assert_eq!((values, runs.get(), cell.get()), (vec![1; 3], 1, Some(&1)));
    assert!(!yields(|| cell.get_or_init(|| unreachable!())));
}

#[test]
fn after_a_panic_the_first_who_waits_makes_the_value() {
    let cell = Cells::default();
    let panics = start(&cell, |cell| {
        cell.get_or_init(|| {
            yield_now();
            panic!("on purpose")
        });
    });
    let next = start(&cell, |cell| *cell.get_or_init(|| 2));
    let last = start(&cell, |cell| *cell.get_or_init(|| 3));
    assert!(panics.wait().is_err());
    assert_eq!((next.wait().unwrap(), last.wait().unwrap()), (2, 2));
}

#[test]
fn after_an_error_the_first_who_waits_makes_the_value() {
    let cell = Cells::default();
    let fails = start(&cell, |cell| {
        let failed = cell.get_or_try_init(|| {
            sleep(SOON);
            Err("failed")
        });
        // Its turn is over: now it waits like the others.
        (failed.copied(), *cell.get_or_init(|| 1))
    });
    let next = start(&cell, |cell| {
        *cell.get_or_init(|| {
            yield_now();
            2
        })
    });
    assert_eq!(fails.wait().unwrap(), (Err("failed"), 2));
    assert_eq!(next.wait().unwrap(), 2);
}

/// FAULTS 53.
#[test]
fn fault_53_a_kill_at_any_point_passes_the_turn_on() {
    let cell = Cells::default();
    let makes = start(&cell, |cell| {
        *cell.get_or_init(|| {
            sleep(LONG);
            1
        })
    });
    let [waiting, handed, next] =
        [2, 3, 4].map(|n| start(&cell, move |cell| *cell.get_or_init(|| n)));
    waiting.kill();
    makes.kill();
    // The turn is handed to the second, which has not gone on.
    handed.kill();
    assert_eq!(next.wait().unwrap(), 4);
    for killed in [makes, waiting, handed] {
        assert!(matches!(killed.wait(), Err(Died::Killed)));
    }
    // Nobody waits: the turn is free again.
    let cell = Cells::default();
    let makes = start(&cell, |cell| {
        *cell.get_or_init(|| {
            sleep(LONG);
            1
        })
    });
    let handed = start(&cell, |cell| *cell.get_or_init(|| 2));
    makes.kill();
    handed.kill();
    assert!(!yields(|| assert_eq!(cell.get_or_init(|| 3), &3)));
}

#[test]
fn one_that_is_killed_when_the_value_is_there_harms_nobody() {
    let cell = Cells::default();
    let makes = start(&cell, |cell| {
        *cell.get_or_init(|| {
            yield_now();
            1
        })
    });
    let waits = [2, 3].map(|n| start(&cell, move |cell| *cell.get_or_init(|| n)));
    assert_eq!(makes.wait().unwrap(), 1);
    waits[0].kill();
    let [_, other] = waits;
    assert_eq!(other.wait().unwrap(), 1);
    assert_eq!(cell.get(), Some(&1));
}

#[test]
fn a_timeout_that_cuts_the_function_off_poisons_nothing() {
    let cell = Cells::default();
    let cut_off = timeout(SOON, || {
        cell.get_or_init(|| {
            sleep(LONG);
            1
        })
    });
    assert!(cut_off.is_err());
    assert_eq!(cell.get_or_init(|| 2), &2);
    assert_nothing_is_registered();
}

#[test]
fn set_waits_for_the_function_that_runs() {
    let cell = Cells::default();
    let makes = start(&cell, |cell| {
        *cell.get_or_init(|| {
            sleep(SOON);
            1
        })
    });
    assert_eq!(cell.set(2), Err(2));
    assert_eq!(makes.wait().unwrap(), 1);
    let cell = Cells::default();
    let fails = start(&cell, |cell| {
        cell.get_or_try_init(|| {
            sleep(SOON);
            Err(())
        })
        .copied()
    });
    assert_eq!(cell.set(2), Ok(()));
    assert_eq!(fails.wait().unwrap(), Err(()));
    assert_eq!(cell.get(), Some(&2));
}

#[test]
fn a_function_that_asks_for_its_own_value_panics() {
    let cell = Cells::default();
    let text = panic_of(|| *cell.get_or_init(|| *cell.get_or_init(|| 1)));
    assert!(text.contains("asks for it"), "{text}");
    assert_eq!(cell.get_or_init(|| 2), &2);
    let cell = OnceCell::new();
    assert!(panic_of(|| *cell.get_or_init(|| cell.set(1).map_or(2, |()| 3))).contains("asks"));
}

#[test]
fn the_turn_can_be_waited_for_in_an_unwind() {
    let cell = Cells::default();
    let makes = start(&cell, |cell| {
        *cell.get_or_init(|| {
            sleep(SOON);
            1
        })
    });
    let seen = Rc::new(Cell::new(0));
    let dies = start(&cell, {
        let seen = Rc::clone(&seen);
        move |cell| {
            let _get = OnDrop(|| seen.set(*cell.get_or_init(|| 2)));
            panic!("on purpose");
        }
    });
    assert_eq!(makes.wait().unwrap(), 1);
    assert!(dies.wait().is_err());
    assert_eq!(seen.get(), 1);
}

#[test]
fn it_has_what_a_std_cell_has() {
    let mut cell = OnceCell::from(String::from("a"));
    cell.get_mut().unwrap().push('b');
    assert_eq!(
        format!("{cell:?} {:?}", OnceCell::<u32>::new()),
        "OnceCell(\"ab\") OnceCell(<uninit>)"
    );
    assert_eq!(cell.clone(), cell);
    assert_ne!(OnceCell::new(), cell);
    assert_eq!(cell.take().as_deref(), Some("ab"));
    assert_eq!(cell.set("c".into()), Ok(()));
    assert_eq!(cell.into_inner().as_deref(), Some("c"));
    assert_eq!(OnceCell::<u32>::default().into_inner(), None);
}

#[test]
fn each_value_is_dropped_exactly_once() {
    let census = Census::new();
    let cell = OnceCell::new();
    cell.set(census.one()).ok().unwrap();
    drop(cell.set(census.one()));
    assert_eq!(census.alive(), 1);
    drop(cell);
    assert_eq!(census.alive(), 0);
}

#[test]
fn a_lazy_value_is_made_once_whoever_asks() {
    let runs = Rc::new(Cell::new(0));
    let lazy = Rc::new(Lazy::new({
        let runs = Rc::clone(&runs);
        move || {
            runs.set(runs.get() + 1);
            sleep(SOON);
            "value"
        }
    }));
    assert_eq!(format!("{lazy:?}"), "Lazy(<uninit>)");
    let all = [(); 3].map(|()| {
        let lazy = Rc::clone(&lazy);
        spawn(move || **lazy)
    });
    assert!(join_all(all).into_iter().all(|value| value.unwrap() == "value"));
    assert_eq!((runs.get(), Lazy::force(&lazy)), (1, &"value"));
    assert_eq!(format!("{lazy:?}"), "Lazy(\"value\")");
}

/// std's would be poisoned.
#[test]
fn a_lazy_value_is_tried_again_after_a_panic_a_kill_or_a_timeout() {
    let runs = Cell::new(0);
    let lazy = Rc::new(Lazy::new(move || {
        runs.set(runs.get() + 1);
        match runs.get() {
            1 => panic!("on purpose"),
            2 | 3 => sleep(LONG),
            _ => {}
        }
        runs.get()
    }));
    assert_eq!(panic_of(|| **lazy), "on purpose");
    let killed = spawn({
        let lazy = Rc::clone(&lazy);
        move || **lazy
    });
    settle();
    killed.kill();
    assert!(timeout(SOON, || **lazy).is_err());
    assert_eq!(**lazy, 4);
    assert_eq!(*Lazy::<u32>::default(), 0);
}
