//! `ResourcePool`: who gets which resource, when one is made or dropped, and that no slot is ever lost.

mod util;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GetError, GreenPool, Pooled, ResourcePool, ResourcePoolBuilder};
use evy_runtime::{Died, GreenThread, WaitList, sleep, spawn, spawn_n, timeout, yield_now};
use util::{
    Census, Counted, Gate, HOUR, Log, OnDrop, Watchdog, assert_nothing_is_registered, panic_of,
    settle, text, wait_in,
};

type Pool = ResourcePool<Numbered, &'static str>;

/// A resource that knows how many were made before it.
struct Numbered {
    number: usize,
    _alive: Counted,
}

/// Makes [`Numbered`]s, and counts those that are alive.
#[derive(Clone, Default)]
struct Maker {
    made: Rc<Cell<usize>>,
    census: Census,
}

impl Maker {
    fn new() -> Self {
        Self::default()
    }

    fn make(&self) -> Numbered {
        self.made.set(self.made.get() + 1);
        Numbered { number: self.made.get(), _alive: self.census.one() }
    }

    fn pool(&self, max: usize) -> Pool {
        let maker = self.clone();
        ResourcePool::new(max, move || Ok(maker.make()))
    }

    fn builder(&self) -> ResourcePoolBuilder<Numbered, &'static str> {
        let maker = self.clone();
        ResourcePool::builder(move || Ok(maker.make()))
    }

    /// A pool whose `create` waits at the gate.
    fn slow_pool(&self, max: usize) -> (Pool, Gate) {
        let (maker, gate) = (self.clone(), Gate::new());
        let create = {
            let gate = gate.clone();
            move || {
                gate.pass();
                Ok(maker.make())
            }
        };
        (ResourcePool::new(max, create), gate)
    }

    fn alive(&self) -> isize {
        self.census.alive()
    }
}

/// A pool whose `create` does what the test says, and can be told another thing at any time.
#[derive(Clone)]
struct Told {
    pool: Pool,
    maker: Maker,
    how: Rc<Cell<How>>,
    gate: Gate,
}

#[derive(Clone, Copy)]
enum How {
    Make,
    Fail,
    Panic,
    /// Waits at the gate, and then makes one.
    Wait,
    /// Waits at the gate, and then fails.
    WaitAndFail,
}

impl Told {
    fn new(max: usize) -> Self {
        let (maker, how, gate) = (Maker::new(), Rc::new(Cell::new(How::Make)), Gate::new());
        let create = {
            let (maker, how, gate) = (maker.clone(), Rc::clone(&how), gate.clone());
            move || match how.get() {
                How::Make => Ok(maker.make()),
                How::Fail => Err("no route"),
                How::Panic => panic!("on purpose"),
                How::Wait => {
                    gate.pass();
                    Ok(maker.make())
                }
                How::WaitAndFail => {
                    gate.pass();
                    Err("no route")
                }
            }
        };
        Self { pool: ResourcePool::new(max, create), maker, how, gate }
    }
}

/// Size, idle, free, waiting.
fn counts<E>(pool: &ResourcePool<Numbered, E>) -> (usize, usize, isize, usize) {
    (pool.size(), pool.idle(), pool.free(), pool.waiting())
}

fn get(pool: &Pool) -> Pooled<Numbered> {
    pool.get().expect("it can be made")
}

fn get_all<const N: usize>(pool: &Pool) -> [Pooled<Numbered>; N] {
    std::array::from_fn(|_| get(pool))
}

/// A green thread that gets a resource, and returns it as its result.
fn getter(pool: &Pool) -> GreenThread<Result<Pooled<Numbered>, &'static str>> {
    let pool = pool.clone();
    spawn(move || pool.get())
}

/// What a [`getter`] has got.
fn got(getter: GreenThread<Result<Pooled<Numbered>, &'static str>>) -> Pooled<Numbered> {
    getter.wait().expect("it lives").expect("it can be made")
}

/// A green thread that gets a resource and holds it at the gate.
fn holder(pool: &Pool, gate: &Gate) -> GreenThread<()> {
    let (pool, gate) = (pool.clone(), gate.clone());
    spawn(move || {
        let _held = get(&pool);
        gate.pass();
    })
}

/// Semantics C 67: upstream's `test_integers`.
#[test]
fn resources_are_made_as_they_are_needed() {
    let maker = Maker::new();
    let pool = maker.pool(4);
    assert_eq!(counts(&pool), (0, 0, 4, 0));
    let held: [_; 4] = get_all(&pool);
    assert_eq!(held.each_ref().map(|resource| resource.number), [1, 2, 3, 4]);
    assert_eq!(counts(&pool), (4, 0, 0, 0));
    drop(held);
    assert_eq!(counts(&pool), (4, 4, 4, 0));
}

/// Semantics C 67: upstream's `test_free`.
#[test]
fn free_counts_what_can_be_had_without_waiting() {
    let pool = Maker::new().pool(4);
    assert_eq!(pool.free(), 4);
    let resource = get(&pool);
    assert_eq!(pool.free(), 3);
    pool.put(resource);
    assert_eq!(pool.free(), 4);
    assert_eq!(pool.max(), 4);
}

/// Semantics C 67: upstream's `test_exhaustion`.
#[test]
fn what_is_given_back_goes_to_the_one_who_waits() {
    let pool = Maker::new().pool(4);
    let [one, _two, _three, _four] = get_all(&pool);
    let waiter = getter(&pool);
    yield_now();
    assert_eq!(counts(&pool), (4, 0, 0, 1));
    pool.put(one);
    assert_eq!(counts(&pool), (4, 0, 0, 0), "handed over, not idle");
    assert_eq!(got(waiter).number, 1);
}

/// Semantics C 67: upstream's `test_blocks_on_pool`.
#[test]
fn a_get_past_the_maximum_waits() {
    let pool = Maker::new().pool(4);
    let greedy = spawn({
        let pool = pool.clone();
        move || {
            let _held: [_; 4] = get_all(&pool);
            assert_eq!(pool.waiting(), 0);
            drop(pool.get());
            unreachable!("nobody gives anything back");
        }
    });
    assert_eq!(pool.waiting(), 0);
    yield_now();
    assert_eq!(pool.waiting(), 1);
    greedy.kill();
    assert_eq!(counts(&pool), (0, 0, 4, 0));
    assert!(matches!(greedy.wait(), Err(Died::Killed)));
}

/// Semantics C 67: upstream's `test_ordering`.
#[test]
fn resources_come_in_the_order_in_which_they_were_given_back() {
    let pool = Maker::new().pool(4);
    let [one, two] = get_all(&pool);
    drop(two);
    drop(one);
    assert_eq!(get_all(&pool).map(|resource: Pooled<Numbered>| resource.number), [2, 1]);
}

/// Semantics C 67: upstream's `TestOrderAsStack`.
#[test]
fn resources_of_a_lifo_pool_come_in_the_reverse_order() {
    let pool = Maker::new().builder().max(3).lifo().build().unwrap();
    let [one, two] = get_all(&pool);
    drop(one);
    drop(two);
    let [first, second]: [_; 2] = get_all(&pool);
    assert_eq!((first.number, second.number), (2, 1));
    let pool = Maker::new().builder().lifo().fifo().min(2).build().unwrap();
    assert_eq!(get(&pool).number, 1);
}

/// Semantics C 67: upstream's `test_putting_to_queue`.
#[test]
fn a_getter_goes_on_when_another_green_thread_gives_back() {
    let (pool, log) = (Maker::new().pool(2), Log::new());
    for n in 0..3 {
        let resource = get(&pool);
        let (pool, log) = (pool.clone(), log.clone());
        spawn_n(move || {
            pool.put(resource);
            log.add(n.to_string());
        });
    }
    settle();
    assert_eq!(log.take(), ["0", "1", "2"]);
    assert_eq!(counts(&pool), (2, 2, 2, 0));
}

/// Semantics C 67: upstream's `test_resize`.
#[test]
fn what_is_too_much_after_a_resize_is_dropped_when_it_comes_back() {
    let maker = Maker::new();
    let pool = maker.pool(2);
    let [one, two] = get_all(&pool);
    assert_eq!(pool.free(), 0);
    pool.resize(1);
    assert_eq!(pool.free(), -1);
    pool.put(one);
    assert_eq!((counts(&pool), maker.alive()), ((1, 0, 0, 0), 1));
    pool.put(two);
    assert_eq!((counts(&pool), maker.alive()), ((1, 1, 1, 0), 1));
    pool.resize(2);
    assert_eq!(pool.free(), 2);
}

/// Semantics C 67: upstream's `test_create_contention`.
#[test]
fn many_getters_of_a_slow_maker_make_no_more_than_the_maximum() {
    let made = Rc::new(Cell::new(0));
    let pool: ResourcePool<()> = ResourcePool::new(4, {
        let made = Rc::clone(&made);
        move || {
            made.set(made.get() + 1);
            yield_now();
            Ok(())
        }
    });
    let tasks = GreenPool::new(1000);
    for _ in 0..100 {
        let pool = pool.clone();
        tasks.spawn_n(move || pool.get().map(drop));
    }
    tasks.waitall();
    assert_eq!(made.get(), 4);
    assert_eq!((pool.size(), pool.idle(), pool.waiting()), (4, 4, 0));
}

/// Semantics C 67: upstream's `TestIntPool2`.
#[test]
fn the_builder_makes_the_minimum_ahead() {
    let maker = Maker::new();
    let pool = maker.builder().min(3).max(3).build().unwrap();
    assert_eq!((counts(&pool), maker.made.get()), ((3, 3, 3, 0), 3));
    assert_eq!(get(&pool).number, 1);
    assert_eq!(maker.made.get(), 3);
}

#[test]
fn the_minimum_is_never_more_than_the_maximum() {
    let pool = Maker::new().builder().min(9).max(2).build().unwrap();
    assert_eq!(counts(&pool), (2, 2, 2, 0));
}

#[test]
fn a_builder_that_cannot_make_the_minimum_says_why_and_leaves_nothing() {
    let maker = Maker::new();
    let create = {
        let maker = maker.clone();
        move || if maker.alive() < 2 { Ok(maker.make()) } else { Err("no more") }
    };
    let refused = ResourcePool::builder(create).min(3).build();
    assert_eq!(refused.err(), Some("no more"));
    assert_eq!((maker.made.get(), maker.alive()), (2, 0));
}

#[test]
fn fill_makes_what_is_missing_once_more() {
    let maker = Maker::new();
    let pool = maker.builder().min(3).build().unwrap();
    get(&pool).discard();
    let held = get(&pool);
    assert_eq!(counts(&pool), (2, 1, 3, 0));
    pool.fill().unwrap();
    assert_eq!((counts(&pool), maker.made.get()), ((3, 2, 3, 0), 4));
    pool.fill().unwrap();
    assert_eq!((pool.size(), maker.made.get()), (3, 4));
    drop(held);
}

/// It does not try for ever.
#[test]
fn fill_gives_up_where_resources_expire_at_once() {
    let maker = Maker::new();
    let pool = maker.builder().min(2).max_age(Duration::ZERO).build().unwrap();
    assert_eq!((counts(&pool), maker.made.get()), ((0, 0, 4, 0), 2));
}

/// Semantics C 67: upstream's `TestCreateRaises`.
#[test]
fn a_create_that_fails_does_not_count() {
    let Told { pool, how, .. } = Told::new(3);
    how.set(How::Fail);
    for _ in 0..10 {
        assert_eq!(pool.get().err(), Some("no route"));
    }
    how.set(How::Panic);
    assert_eq!(panic_of(|| pool.get()), "on purpose");
    assert_eq!(counts(&pool), (0, 0, 3, 0));
    how.set(How::Make);
    let _held: [_; 3] = get_all(&pool);
}

/// Semantics C 67: upstream's `test_put_with_timed_out_getters`; FAULTS row 53.
#[test]
fn fault_53_a_put_after_getters_timed_out_reaches_the_one_who_stays() {
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    let impatient = [(); 4].map(|()| {
        let pool = pool.clone();
        spawn(move || timeout(Duration::from_millis(1), || drop(pool.get())).is_err())
    });
    yield_now();
    let patient = getter(&pool);
    yield_now();
    assert_eq!(pool.waiting(), 5);
    assert!(impatient.into_iter().all(|getter| getter.wait().unwrap()));
    assert_eq!(pool.waiting(), 1);
    drop(held);
    assert_eq!(got(patient).number, 1);
    assert_eq!(counts(&pool), (1, 1, 1, 0));
}

/// Semantics C 67, D19: in eventlet the second waits for ever.
#[test]
fn a_waiter_makes_its_own_when_anothers_create_fails() {
    let told = Told::new(1);
    let Told { pool, how, gate, .. } = &told;
    how.set(How::WaitAndFail);
    let (first, second) = (getter(pool), getter(pool));
    settle();
    assert_eq!((gate.held(), counts(pool)), (1, (1, 0, 0, 1)));
    how.set(How::Make);
    gate.open();
    assert_eq!(first.wait().unwrap().err(), Some("no route"));
    assert_eq!(got(second).number, 1);
    assert_eq!(counts(pool), (1, 1, 1, 0));
}

/// D19.
#[test]
fn each_waiter_gets_its_own_failure_when_all_creates_fail() {
    let told = Told::new(2);
    let Told { pool, how, gate, .. } = &told;
    how.set(How::WaitAndFail);
    let getters = [(); 10].map(|()| getter(pool));
    settle();
    assert_eq!(counts(pool), (2, 0, 0, 8));
    gate.open();
    for getter in getters {
        assert_eq!(getter.wait().unwrap().err(), Some("no route"));
    }
    assert_eq!(counts(pool), (0, 0, 2, 0));
}

/// D19, for a panic and a kill.
#[test]
fn a_waiter_makes_its_own_when_anothers_create_panics_or_is_killed() {
    let told = Told::new(1);
    let Told { pool, how, gate, .. } = &told;
    how.set(How::Wait);
    let (killed, panics, third) = (getter(pool), getter(pool), getter(pool));
    settle();
    assert_eq!((gate.held(), pool.waiting()), (1, 2));
    how.set(How::Panic);
    killed.kill();
    assert_eq!(counts(pool), (1, 0, 0, 1), "the right to make one is the next one's");
    yield_now();
    how.set(How::Make);
    assert!(matches!(panics.wait(), Err(Died::Panicked(_))));
    assert_eq!(got(third).number, 1);
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    assert_eq!(counts(pool), (1, 1, 1, 0));
}

/// DESIGN, fairness: first in first out, and nobody barges.
#[test]
fn waiters_are_served_in_the_order_of_their_calls() {
    let (pool, log) = (Maker::new().pool(1), Log::new());
    let held = get(&pool);
    for n in 0..5 {
        let (pool, log) = (pool.clone(), log.clone());
        spawn_n(move || {
            let _held = get(&pool);
            log.add(n.to_string());
            yield_now();
        });
    }
    yield_now();
    drop(held);
    assert!(pool.try_get().is_none(), "it is the first waiter's");
    drop(get(&pool));
    log.add("barger");
    assert_eq!(log.take(), ["0", "1", "2", "3", "4", "barger"]);
}

/// FAULTS row 53.
#[test]
fn fault_53_a_resource_handed_to_one_who_is_killed_goes_to_the_next() {
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    let (first, second) = (getter(&pool), getter(&pool));
    yield_now();
    drop(held);
    assert_eq!(counts(&pool), (1, 0, 0, 1), "handed over, and not resumed");
    first.kill();
    assert_eq!(counts(&pool), (1, 0, 0, 0), "handed over to the next");
    assert_eq!(got(second).number, 1);
    assert!(matches!(first.wait(), Err(Died::Killed)));
}

/// FAULTS row 53.
#[test]
fn fault_53_a_resource_handed_to_the_last_in_line_who_is_killed_is_idle() {
    let maker = Maker::new();
    let pool = maker.pool(1);
    let held = get(&pool);
    let only = getter(&pool);
    yield_now();
    drop(held);
    only.kill();
    assert_eq!((counts(&pool), maker.alive()), ((1, 1, 1, 0), 1));
    assert_eq!(get(&pool).number, 1);
}

/// FAULTS row 53, for the right to make one.
#[test]
fn fault_53_a_slot_handed_to_one_who_is_killed_goes_to_the_next_or_is_free() {
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    let (first, second) = (getter(&pool), getter(&pool));
    yield_now();
    held.discard();
    assert_eq!(counts(&pool), (1, 0, 0, 1));
    first.kill();
    assert_eq!(counts(&pool), (1, 0, 0, 0));
    second.kill();
    assert_eq!(counts(&pool), (0, 0, 1, 0));
}

/// FAULTS row 53: of a resource and a slot that were handed over, the slot is given up.
#[test]
fn fault_53_who_goes_on_gets_the_resource_rather_than_the_slot() {
    let maker = Maker::new();
    let pool = maker.pool(2);
    let [one, two] = get_all(&pool);
    let (first, second) = (getter(&pool), getter(&pool));
    yield_now();
    drop(one);
    two.discard();
    assert_eq!(counts(&pool), (2, 0, 0, 0));
    first.kill();
    assert_eq!(counts(&pool), (1, 0, 1, 0));
    assert_eq!(got(second).number, 1);
    assert_eq!(maker.made.get(), 2);
}

/// FAULTS row 53: whoever leaves the line has taken nothing.
#[test]
fn fault_53_getters_that_leave_the_line_take_nothing() {
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    assert!(timeout(Duration::ZERO, || drop(pool.get())).is_err());
    assert!(matches!(pool.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut)));
    let killed = getter(&pool);
    let stays = getter(&pool);
    yield_now();
    killed.kill();
    assert_eq!(counts(&pool), (1, 0, 0, 1));
    drop(held);
    assert_eq!(got(stays).number, 1);
}

/// FAULTS row 53: what was handed over in the meantime is dropped by nobody but the pool.
#[test]
fn fault_53_what_a_killed_one_was_handed_is_dropped_if_it_is_not_wanted_any_more() {
    let maker = Maker::new();
    for unwanted in [Pool::clear as fn(&Pool), |pool| pool.resize(0)] {
        let pool = maker.pool(1);
        let held = get(&pool);
        let only = getter(&pool);
        yield_now();
        drop(held);
        unwanted(&pool);
        only.kill();
        assert_eq!((pool.size(), pool.idle(), maker.alive()), (0, 0, 0));
    }
}

/// FAULTS rows 23 and 53: the deadline comes in the same turn as the resource.
#[test]
fn fault_53_a_resource_handed_over_before_the_deadline_is_seen_counts() {
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    let waiter = spawn({
        let pool = pool.clone();
        move || pool.get_timeout(Duration::from_millis(1)).map(|resource| resource.number)
    });
    yield_now();
    drop(held);
    // It is queued. The deadline passes before it runs.
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(2) {}
    assert_eq!(waiter.wait().unwrap(), Ok(1));
    assert_eq!(counts(&pool), (1, 1, 1, 0));
}

#[test]
fn a_resource_that_is_taken_out_or_discarded_leaves_its_slot_to_the_next() {
    let maker = Maker::new();
    let pool = maker.pool(1);
    let held = get(&pool);
    let (first, second) = (getter(&pool), getter(&pool));
    yield_now();
    let mine = held.detach();
    assert_eq!((mine.number, counts(&pool)), (1, (1, 0, 0, 1)));
    let first = got(first);
    assert_eq!((first.number, maker.alive()), (2, 2));
    first.discard();
    assert_eq!(got(second).number, 3);
    assert_eq!(maker.alive(), 2, "the one that was taken out, and the idle one");
}

#[test]
fn a_resource_is_used_through_its_guard() {
    let pool: ResourcePool<Vec<u32>> = ResourcePool::new(1, || Ok(Vec::new()));
    let mut numbers = pool.get().unwrap();
    numbers.push(1);
    assert_eq!(format!("{numbers:?}"), "Pooled([1])");
    drop(numbers);
    assert_eq!(pool.get().unwrap().len(), 1);
    assert_eq!(format!("{pool:?}"), "ResourcePool { max: 1, size: 1, idle: 1, waiting: 0 }");
    let text: ResourcePool<&str> = ResourcePool::new(1, || Ok("text"));
    assert_eq!(text.get().unwrap().to_string(), "text");
}

/// It goes where its guard goes.
#[test]
fn a_resource_may_be_given_to_another_green_thread() {
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    let other = spawn(move || held.number);
    assert_eq!(pool.idle(), 0);
    assert_eq!(other.wait().unwrap(), 1);
    assert_eq!(pool.idle(), 1);
}

/// The three ways in which a green thread unwinds.
fn unwound_while_holding(pool: &Pool) {
    let gate = Gate::new();
    let killed = holder(pool, &gate);
    let panics = spawn({
        let pool = pool.clone();
        move || {
            let _held = get(&pool);
            panic!("on purpose");
        }
    });
    yield_now();
    killed.kill();
    assert!(panics.wait().is_err());
    let late = timeout(Duration::ZERO, || {
        let _held = get(pool);
        yield_now();
    });
    assert!(late.is_err());
}

/// Nobody knows what it was in the middle of.
#[test]
fn a_resource_dropped_in_an_unwind_is_dropped_for_good() {
    let maker = Maker::new();
    let pool = maker.pool(3);
    unwound_while_holding(&pool);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 3, 0), 0));
    assert_eq!(maker.made.get(), 3);
}

#[test]
fn a_pool_may_keep_what_is_dropped_in_an_unwind() {
    let maker = Maker::new();
    let pool = maker.builder().keep_on_unwind().build().unwrap();
    unwound_while_holding(&pool);
    assert_eq!(counts(&pool), (maker.made.get(), maker.made.get(), 4, 0));
    assert_eq!(maker.alive(), maker.made.get() as isize);
}

#[test]
fn recycle_may_decide_what_is_kept_in_an_unwind() {
    let (maker, decision) = (Maker::new(), Rc::new(Cell::new(false)));
    let pool = maker.builder().keep_on_unwind();
    let pool = pool
        .recycle({
            let decision = Rc::clone(&decision);
            move |_| decision.get()
        })
        .build()
        .unwrap();
    unwound_while_holding(&pool);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 4, 0), 0));
    decision.set(true);
    unwound_while_holding(&pool);
    assert!(pool.idle() > 0);
}

/// A second unwind out of a destructor would abort the process.
#[test]
fn a_recycle_that_panics_in_an_unwind_only_costs_the_resource() {
    let maker = Maker::new();
    let pool = maker.builder().keep_on_unwind().recycle(|_| panic!("on purpose")).build().unwrap();
    unwound_while_holding(&pool);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 4, 0), 0));
}

/// A destructor that has used a connection, and is done with it.
#[test]
fn put_keeps_a_resource_also_in_an_unwind() {
    let pool = Maker::new().pool(1);
    let user = spawn({
        let pool = pool.clone();
        move || {
            let _says_goodbye = OnDrop(move || pool.put(get(&pool)));
            panic!("on purpose");
        }
    });
    assert!(user.wait().is_err());
    assert_eq!(counts(&pool), (1, 1, 1, 0));
}

/// FAULTS 2.2: the other green thread makes `panicking()` true for all. That costs a resource, and nothing
/// else; `put` does not ask.
#[test]
fn fault_06_another_green_thread_suspended_in_an_unwind_costs_a_resource_at_most() {
    let maker = Maker::new();
    let (pool, line) = (maker.pool(2), Rc::new(WaitList::new()));
    let unwinding = spawn({
        let line = Rc::clone(&line);
        move || {
            let _waits = OnDrop(move || wait_in(&line));
            panic!("on purpose");
        }
    });
    yield_now();
    assert_eq!(line.len(), 1);
    let [one, two] = get_all(&pool);
    drop(one);
    pool.put(two);
    assert_eq!((counts(&pool), maker.alive()), ((1, 1, 2, 0), 1));
    line.wake_one();
    assert!(unwinding.wait().is_err());
    drop(get(&pool));
    assert_eq!(counts(&pool), (1, 1, 2, 0));
}

/// A destructor in the middle of an unwind may wait for a resource: nothing is thrown into it, and the
/// deadline ends the wait.
#[test]
fn fault_06_a_get_in_an_unwind_waits_and_times_out_as_ever() {
    let _watchdog = Watchdog::new("a get during an unwind");
    let pool = Maker::new().pool(1);
    let held = get(&pool);
    let results = Rc::new(RefCell::new(Vec::new()));
    let user = spawn({
        let (pool, results) = (pool.clone(), Rc::clone(&results));
        move || {
            let _last = OnDrop(move || {
                let late = pool.get_timeout(Duration::from_millis(1)).map(|held| held.number);
                results.borrow_mut().push(late);
                let got = pool.get_timeout(HOUR);
                results.borrow_mut().push(got.map(|held| held.number));
            });
            panic!("on purpose");
        }
    });
    while results.borrow().is_empty() {
        sleep(Duration::from_millis(1));
    }
    yield_now();
    pool.put(held);
    assert!(user.wait().is_err());
    assert_eq!(results.take(), [Err(GetError::TimedOut), Ok(1)]);
}

#[test]
fn get_timeout_bounds_the_wait_in_line_and_the_create() {
    let maker = Maker::new();
    let (pool, gate) = maker.slow_pool(1);
    assert!(matches!(pool.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut)));
    assert_eq!((counts(&pool), gate.held()), ((0, 0, 1, 0), 0));
    gate.open();
    let held = pool.get_timeout(Duration::from_millis(1)).unwrap();
    assert!(matches!(pool.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut)));
    drop(held);
    assert_eq!(pool.get_timeout(HOUR).unwrap().number, 1);
}

#[test]
fn a_get_that_may_take_no_time_gives_what_needs_no_waiting() {
    let maker = Maker::new();
    let pool = maker.pool(1);
    let held = pool.get_timeout(Duration::ZERO).unwrap();
    assert!(matches!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut)));
    drop(held);
    assert_eq!(pool.get_timeout(Duration::ZERO).unwrap().number, 1);
    let (slow, _gate) = maker.slow_pool(1);
    assert!(matches!(slow.get_timeout(Duration::ZERO), Err(GetError::TimedOut)));
    assert_eq!(counts(&slow), (0, 0, 1, 0));
}

#[test]
fn try_get_takes_an_idle_one_and_makes_none() {
    let maker = Maker::new();
    let pool = maker.pool(2);
    assert!(pool.try_get().is_none());
    assert_eq!(maker.made.get(), 0);
    drop(get(&pool));
    let held = pool.try_get().unwrap();
    assert_eq!((held.number, counts(&pool)), (1, (1, 0, 1, 0)));
    assert!(pool.try_get().is_none());
}

#[test]
fn the_errors_of_get_timeout_say_what_happened() {
    let refused = || io::Result::<u32>::Err(io::ErrorKind::ConnectionRefused.into());
    let pool = ResourcePool::new(1, refused);
    let error = pool.get_timeout(HOUR).unwrap_err();
    assert_eq!(error.to_string(), "cannot make a resource: connection refused");
    assert!(error.source().unwrap().is::<io::Error>());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    let late = GetError::<io::Error>::TimedOut;
    assert_eq!(late.to_string(), "timed out while it waited for a resource");
    assert!(late.source().is_none());
    assert_eq!(io::Error::from(late).kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_resource_that_was_idle_for_too_long_is_not_handed_out() {
    let maker = Maker::new();
    let pool = maker.builder().max_idle(Duration::from_millis(2)).build().unwrap();
    drop(get(&pool));
    sleep(Duration::from_millis(3));
    assert_eq!((pool.idle(), maker.alive()), (1, 1), "nobody has looked");
    assert_eq!(get(&pool).number, 2);
    assert_eq!(maker.alive(), 1);
    sleep(Duration::from_millis(3));
    assert!(pool.try_get().is_none());
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 4, 0), 0));
}

/// A LIFO pool takes from the other end.
#[test]
fn a_put_drops_what_has_been_idle_for_too_long() {
    let maker = Maker::new();
    let pool = maker.builder().lifo().max_idle(Duration::from_millis(20)).build().unwrap();
    let [one, two, three] = get_all(&pool);
    drop((one, two));
    sleep(Duration::from_millis(21));
    drop(three);
    assert_eq!((counts(&pool), maker.alive()), ((1, 1, 4, 0), 1));
}

/// If the machine is so slow that the young one is too old as well, it is dropped, too.
#[test]
fn a_get_drops_what_has_been_idle_for_too_long() {
    let maker = Maker::new();
    for get in [|pool: &Pool| pool.get().ok(), |pool: &Pool| pool.try_get()] {
        let pool = maker.builder().lifo().max_idle(Duration::from_millis(20)).build().unwrap();
        let [one, two] = get_all(&pool);
        drop(one);
        sleep(Duration::from_millis(15));
        drop(two);
        sleep(Duration::from_millis(6));
        let held = get(&pool);
        assert_eq!((pool.idle(), maker.alive()), (0, pool.size() as isize));
        assert!(pool.size() <= 1, "the old one is gone");
        drop(held);
    }
}

/// It lies where a LIFO pool takes from, and one that is younger in front of it.
#[test]
fn a_resource_past_its_age_is_not_handed_out_wherever_it_lies() {
    let pool = Maker::new().builder().lifo().max_age(Duration::from_millis(20)).build().unwrap();
    let old = get(&pool);
    sleep(Duration::from_millis(15));
    let young = get(&pool);
    drop(young);
    drop(old);
    sleep(Duration::from_millis(6));
    assert_ne!(get(&pool).number, 1);
}

#[test]
fn a_resource_that_is_not_too_old_stays() {
    let maker = Maker::new();
    let pool = maker.builder().max_idle(HOUR).max_age(HOUR).build().unwrap();
    drop(get(&pool));
    pool.expire();
    assert_eq!(get(&pool).number, 1);
    assert_eq!(pool.try_get().unwrap().number, 1);
}

#[test]
fn a_resource_that_is_too_old_is_dropped_at_its_return_or_before_it_is_handed_out() {
    let maker = Maker::new();
    let pool = maker.builder().max_age(Duration::from_millis(2)).build().unwrap();
    let held = get(&pool);
    sleep(Duration::from_millis(3));
    drop(held);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 4, 0), 0));
    pool.fill().unwrap();
    let held = get(&pool);
    let waiting = [getter(&pool), getter(&pool), getter(&pool), getter(&pool)];
    yield_now();
    assert_eq!(counts(&pool), (4, 0, 0, 1));
    sleep(Duration::from_millis(3));
    drop(held);
    // The one in line makes a new one in its place.
    let numbers = waiting.map(|getter| got(getter).number);
    assert_eq!(numbers, [3, 4, 5, 6]);
}

#[test]
fn with_no_time_to_be_idle_a_pool_only_bounds_how_many_there_are() {
    let maker = Maker::new();
    let pool = maker.builder().max(1).max_idle(Duration::ZERO).build().unwrap();
    let held = get(&pool);
    let waiter = getter(&pool);
    yield_now();
    drop(held);
    assert_eq!(got(waiter).number, 2);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 1, 0), 0));
}

#[test]
fn expire_looks_at_all_that_is_idle() {
    let maker = Maker::new();
    let pool = maker.builder().max_age(Duration::from_millis(2)).max_idle(HOUR).build().unwrap();
    let old = get(&pool);
    sleep(Duration::from_millis(3));
    let young = get(&pool);
    // The old one lies behind the young one. Nothing is kept beyond its age, so it comes back before.
    drop(young);
    drop(old);
    assert_eq!(pool.idle(), 1);
    sleep(Duration::from_millis(3));
    pool.expire();
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 4, 0), 0));
}

/// A pool that nobody uses has neither a timer nor a green thread, so it hides no deadlock.
#[test]
fn an_idle_pool_costs_nothing() {
    let pool = Maker::new().builder().min(2).max_idle(HOUR).max_age(HOUR).build().unwrap();
    drop(get(&pool));
    assert_eq!(pool.idle(), 2);
    assert_nothing_is_registered();
}

#[test]
fn who_waits_for_what_it_holds_itself_is_told_so() {
    let pool = Maker::new().pool(1);
    let _held = get(&pool);
    let text = panic_of(|| pool.get());
    assert!(text.contains("waits for a resource of a ResourcePool"), "{text}");
    assert_eq!(pool.waiting(), 0);
}

#[test]
fn a_resource_that_fails_validation_is_replaced_by_another_idle_one_or_a_new_one() {
    let (maker, bad) = (Maker::new(), Rc::new(Cell::new(0)));
    let pool = maker
        .builder()
        .validate({
            let bad = Rc::clone(&bad);
            move |resource| resource.number > bad.get()
        })
        .min(3)
        .build()
        .unwrap();
    bad.set(2);
    assert_eq!((get(&pool).number, counts(&pool)), (3, (1, 0, 3, 0)));
    bad.set(3);
    assert_eq!(pool.try_get().map(|resource| resource.number), None);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 4, 0), 0));
    bad.set(9);
    assert_eq!(get(&pool).number, 4, "a new one is not asked");
    assert_eq!(get(&pool).number, 5);
}

/// Also what goes straight from one to the next may be bad.
#[test]
fn what_is_handed_over_is_validated() {
    let maker = Maker::new();
    let pool = maker.builder().max(1).validate(|_| false).build().unwrap();
    let held = get(&pool);
    let waiter = getter(&pool);
    yield_now();
    drop(held);
    assert_eq!(got(waiter).number, 2);
    assert_eq!(counts(&pool), (1, 1, 1, 0));
}

#[test]
fn the_slot_of_one_whose_validation_panics_or_is_killed_is_free() {
    let (maker, gate) = (Maker::new(), Gate::new());
    let pool = maker
        .builder()
        .validate({
            let gate = gate.clone();
            move |_| {
                gate.pass();
                panic!("on purpose");
            }
        })
        .max(1)
        .min(1)
        .build()
        .unwrap();
    let killed = getter(&pool);
    let waiter = getter(&pool);
    yield_now();
    assert_eq!((gate.held(), counts(&pool)), (1, (1, 0, 0, 1)));
    killed.kill();
    assert_eq!(got(waiter).number, 2);
    gate.open();
    assert_eq!(panic_of(|| pool.get()), "on purpose");
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 1, 0), 0));
}

#[test]
fn recycle_runs_at_each_return_and_what_it_refuses_is_dropped() {
    let (maker, log) = (Maker::new(), Log::new());
    let pool = maker
        .builder()
        .recycle({
            let log = log.clone();
            move |resource| {
                log.add(resource.number.to_string());
                resource.number != 2
            }
        })
        .build()
        .unwrap();
    let [one, two] = get_all(&pool);
    drop(one);
    pool.put(two);
    assert_eq!(log.take(), ["1", "2"]);
    assert_eq!((counts(&pool), maker.alive()), ((1, 1, 4, 0), 1));
    get(&pool).discard();
    let gone = get(&pool).detach();
    pool.clear();
    assert_eq!((log.len(), gone.number), (0, 3));
}

/// It may talk to a server; the resource is still in use meanwhile.
#[test]
fn a_recycle_that_parks_holds_the_resource_and_may_be_killed() {
    let (maker, gate) = (Maker::new(), Gate::new());
    let pool = maker
        .builder()
        .max(1)
        .recycle({
            let gate = gate.clone();
            move |_| {
                gate.pass();
                true
            }
        })
        .build()
        .unwrap();
    let user = spawn({
        let pool = pool.clone();
        move || drop(get(&pool))
    });
    let waiter = getter(&pool);
    yield_now();
    assert_eq!((gate.held(), counts(&pool)), (1, (1, 0, 0, 1)));
    user.kill();
    assert_eq!(maker.alive(), 0, "nobody knows how far it came");
    gate.open();
    assert_eq!(got(waiter).number, 2);
    assert_eq!(counts(&pool), (1, 1, 1, 0));
}

/// What it was for a clear that came while it was being recycled.
#[test]
fn a_clear_or_resize_during_recycle_counts() {
    let (maker, gate) = (Maker::new(), Gate::new());
    for unwanted in [Pool::clear as fn(&Pool), |pool| pool.resize(0)] {
        let gate = gate.clone();
        let recycle = {
            let gate = gate.clone();
            move |_: &mut Numbered| {
                gate.pass();
                true
            }
        };
        let pool = maker.builder().max(1).recycle(recycle).build().unwrap();
        let user = spawn({
            let pool = pool.clone();
            move || drop(get(&pool))
        });
        yield_now();
        unwanted(&pool);
        gate.open();
        user.wait().unwrap();
        assert_eq!((pool.size(), pool.idle(), maker.alive()), (0, 0, 0));
    }
}

#[test]
fn a_recycle_that_panics_costs_the_resource_and_says_so() {
    let maker = Maker::new();
    let pool = maker.builder().max(1).recycle(|_| panic!("on purpose")).build().unwrap();
    assert_eq!(panic_of(|| drop(get(&pool))), "on purpose");
    assert_eq!(panic_of(|| pool.put(get(&pool))), "on purpose");
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 1, 0), 0));
}

#[test]
fn clear_drops_what_is_idle_and_later_what_is_in_use() {
    let maker = Maker::new();
    let pool = maker.pool(3);
    let [one, two] = get_all(&pool);
    drop(one);
    pool.clear();
    assert_eq!((counts(&pool), maker.alive()), ((1, 0, 2, 0), 1));
    drop(two);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 3, 0), 0));
    drop(get(&pool));
    assert_eq!(counts(&pool), (1, 1, 3, 0));
}

/// Its create may have talked to the server that went away.
#[test]
fn a_resource_that_was_being_made_during_a_clear_is_not_kept() {
    let maker = Maker::new();
    let (pool, gate) = maker.slow_pool(1);
    let first = getter(&pool);
    yield_now();
    pool.clear();
    gate.open();
    drop(got(first));
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 1, 0), 0));
}

/// Semantics D2, for resources.
#[test]
fn a_larger_size_goes_to_those_in_line_first_come_first() {
    let (pool, log) = (Maker::new().pool(0), Log::new());
    for n in 0..4 {
        let (pool, log) = (pool.clone(), log.clone());
        spawn_n(move || {
            let held = get(&pool);
            log.add(format!("{n} has {}", held.number));
            sleep(HOUR);
        });
    }
    yield_now();
    assert_eq!(counts(&pool), (0, 0, 0, 4));
    pool.resize(3);
    assert_eq!(counts(&pool), (3, 0, 0, 1));
    settle();
    assert_eq!(log.take(), ["0 has 1", "1 has 2", "2 has 3"]);
    pool.resize(5);
    settle();
    assert_eq!(log.take(), ["3 has 4"]);
    assert_eq!(counts(&pool), (4, 0, 1, 0));
    evy_runtime::kill_all();
    assert_eq!(counts(&pool), (0, 0, 5, 0));
}

#[test]
fn a_smaller_size_drops_what_is_idle_first() {
    let maker = Maker::new();
    let pool = maker.pool(4);
    let [one, two, three, four] = get_all(&pool);
    drop((two, three, four));
    pool.resize(2);
    assert_eq!((counts(&pool), maker.alive()), ((2, 1, 1, 0), 2));
    drop(one);
    assert_eq!(counts(&pool), (2, 2, 2, 0));
    pool.resize(0);
    assert_eq!((counts(&pool), maker.alive()), ((0, 0, 0, 0), 0));
}

/// Otherwise those in line would be more than may be.
#[test]
fn what_comes_back_after_a_resize_goes_to_nobody_while_too_many_are_out() {
    let pool = Maker::new().pool(2);
    let [one, two] = get_all(&pool);
    let waiter = getter(&pool);
    yield_now();
    pool.resize(1);
    drop(one);
    assert_eq!(counts(&pool), (1, 0, 0, 1));
    drop(two);
    assert_eq!(got(waiter).number, 2);
}

/// A resource whose destructor does as the test says.
struct Dropped(Rc<dyn Fn()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn pool_of_dropped(max: usize, on_drop: impl Fn() + 'static) -> ResourcePool<Dropped> {
    let on_drop: Rc<dyn Fn()> = Rc::new(on_drop);
    ResourcePool::new(max, move || Ok(Dropped(Rc::clone(&on_drop))))
}

/// No more than the maximum exist: a server may insist on that.
#[test]
fn the_slot_of_a_resource_is_free_when_its_destructor_is_done() {
    let gate = Gate::new();
    let pool = pool_of_dropped(1, {
        let gate = gate.clone();
        move || gate.pass()
    });
    let user = spawn({
        let pool = pool.clone();
        move || pool.get().unwrap().discard()
    });
    let waiter = spawn({
        let pool = pool.clone();
        move || pool.get().map(std::mem::forget).is_ok()
    });
    settle();
    assert_eq!((gate.held(), pool.size(), pool.waiting()), (1, 1, 1));
    gate.open();
    assert!(waiter.wait().unwrap());
    user.wait().unwrap();
}

/// What is too much has no slot any more. Otherwise what comes back meanwhile would seem too much as well.
#[test]
fn a_surplus_resource_that_takes_long_to_go_costs_no_other() {
    let (is_slow, gate) = (Rc::new(Cell::new(true)), Gate::new());
    let pool = pool_of_dropped(4, {
        let (is_slow, gate) = (Rc::clone(&is_slow), gate.clone());
        move || {
            if is_slow.get() {
                gate.pass();
            }
        }
    });
    let [one, two, three, four] = [(); 4].map(|()| pool.get().unwrap());
    drop(one);
    let shrinks = spawn({
        let pool = pool.clone();
        move || pool.resize(2)
    });
    yield_now();
    assert_eq!((gate.held(), pool.size(), pool.idle()), (1, 3, 0), "an idle one");
    let returns = spawn(move || drop(two));
    yield_now();
    assert_eq!((gate.held(), pool.size(), pool.idle()), (2, 2, 0), "one that came back");
    drop((three, four));
    assert_eq!((pool.size(), pool.idle(), pool.free()), (2, 2, 2));
    gate.open();
    shrinks.wait().unwrap();
    returns.wait().unwrap();
    is_slow.set(false);
}

/// FAULTS row 53: one that is killed in a destructor has given its slot back all the same.
#[test]
fn fault_53_a_destructor_that_is_killed_gives_the_slot_back() {
    let gate = Gate::new();
    let pool = pool_of_dropped(2, {
        let gate = gate.clone();
        move || gate.pass()
    });
    drop([pool.get().unwrap(), pool.get().unwrap()]);
    assert_eq!(pool.idle(), 2);
    let clears = spawn({
        let pool = pool.clone();
        move || pool.clear()
    });
    yield_now();
    assert_eq!((gate.held(), pool.size(), pool.idle()), (1, 2, 0));
    // Thrown at the destructor, and again at the next one.
    clears.kill();
    assert!(matches!(clears.wait(), Err(Died::Killed)));
    assert_eq!((gate.held(), pool.size()), (0, 0));
}

#[test]
fn a_destructor_that_panics_keeps_nothing_else_from_being_dropped() {
    let dropped = Rc::new(Cell::new(0));
    let pool = pool_of_dropped(4, {
        let dropped = Rc::clone(&dropped);
        move || {
            dropped.set(dropped.get() + 1);
            panic!("on purpose, number {}", dropped.get());
        }
    });
    drop([(); 4].map(|()| pool.get().unwrap()));
    assert_eq!(panic_of(|| pool.clear()), "on purpose, number 1");
    assert_eq!((dropped.get(), pool.size(), pool.free()), (4, 0, 4));
    drop([(); 3].map(|()| pool.get().unwrap()));
    assert_eq!(panic_of(|| pool.resize(1)), "on purpose, number 5");
    assert_eq!((dropped.get(), pool.size(), pool.idle()), (6, 1, 1));
    assert_eq!(panic_of(|| pool.get().unwrap().discard()), "on purpose, number 7");
    assert_eq!((pool.size(), pool.free()), (0, 1));
}

/// A resource that needs another resource of its pool to go, or to come.
#[test]
fn makers_checks_and_destructors_may_use_the_pool() {
    let _watchdog = Watchdog::new("a pool that is used by its own code");
    type Nested = ResourcePool<Dropped>;
    let (own, depth) = (Rc::new(RefCell::new(None::<Nested>)), Rc::new(Cell::new(0)));
    let get = {
        let (own, depth) = (Rc::clone(&own), Rc::clone(&depth));
        Rc::new(move || {
            let pool = own.borrow().clone();
            if let Some(pool) = pool.filter(|_| depth.get() == 0) {
                depth.set(1);
                pool.expire();
                drop(pool.get().unwrap());
                drop(pool.try_get());
                pool.resize(pool.max());
                depth.set(0);
            }
        })
    };
    let [a, b, c, d] = [(); 4].map(|()| Rc::clone(&get));
    let pool = ResourcePool::builder(move || {
        a();
        let d = Rc::clone(&d);
        io::Result::Ok(Dropped(Rc::new(move || d())))
    })
    .validate(move |_| {
        b();
        true
    })
    .recycle(move |_| {
        c();
        true
    })
    .max(3)
    .build()
    .unwrap();
    *own.borrow_mut() = Some(pool.clone());
    for _ in 0..3 {
        let held = pool.get().unwrap();
        drop(pool.get().unwrap());
        held.discard();
        pool.clear();
    }
    assert_eq!(pool.free(), 3);
    // The circle would keep the pool alive.
    let last = own.take();
    drop((last, pool));
}

#[test]
fn resources_go_with_the_last_handle_or_with_their_users() {
    let maker = Maker::new();
    let pool = maker.pool(3);
    let [one, two, three] = get_all(&pool);
    drop(one);
    let clone = pool.clone();
    drop(pool);
    assert_eq!(maker.alive(), 3);
    drop(clone);
    assert_eq!(maker.alive(), 2);
    drop(two);
    assert_eq!(maker.alive(), 1, "nobody can get it any more");
    assert_eq!(three.number, 3);
    drop(three);
    assert_eq!(maker.alive(), 0);
}

/// A connection pool's `create` fails with whatever the library has.
#[test]
fn a_create_may_fail_with_anything_or_with_nothing() {
    let pool = ResourcePool::new(1, || Ok::<_, std::convert::Infallible>(7));
    let Ok(seven) = pool.get();
    assert_eq!(*seven, 7);
    #[derive(Debug, PartialEq)]
    struct Own;
    let pool = ResourcePool::new(1, || Err::<u32, _>(Own));
    assert_eq!(pool.get().unwrap_err(), Own);
    assert!(matches!(pool.get_timeout(HOUR), Err(GetError::Create(Own))));
}

/// Semantics 1.2, `TokenPool`: resources that are nothing but the right to do something.
#[test]
fn tokens_bound_how_many_do_something() {
    let tokens: ResourcePool<()> = ResourcePool::new(2, || Ok(()));
    let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (tokens, inside, most) = (tokens.clone(), Rc::clone(&inside), Rc::clone(&most));
            spawn(move || {
                let _token = tokens.get().unwrap();
                inside.set(inside.get() + 1);
                most.set(most.get().max(inside.get()));
                yield_now();
                inside.set(inside.get() - 1);
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!((most.get(), tokens.idle()), (2, 2));
}

#[test]
fn the_panic_of_a_create_reaches_its_getter_alone() {
    let told = Told::new(2);
    let Told { pool, how, maker, .. } = &told;
    how.set(How::Panic);
    let unlucky = getter(pool);
    yield_now();
    how.set(How::Make);
    let lucky = getter(pool);
    let Err(Died::Panicked(payload)) = unlucky.wait() else { panic!("it panics") };
    assert_eq!(text(&*payload), "on purpose");
    drop(got(lucky));
    assert_eq!((counts(pool), maker.alive()), ((1, 1, 2, 0), 1));
}
