//! Very many random steps. Whatever the order of spawns, ends, panics, kills, timeouts and resizes:
//! no slot is lost or made, no result is lost, nothing hangs.
//!
//! The steps follow from a seed. `EVY_TEST_SEED` runs another one; a failure prints its own.

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

use evy_pool::{GreenPile, GreenPool};
use evy_runtime::{Died, GreenThread, sleep, spawn, timeout, yield_now};
use util::{
    Census, Counted, OnDrop, Random, assert_nothing_is_registered, for_each_seed, rounds, settle,
};

/// What [`pressure`] panics with.
struct OnPurpose<T>(T);

/// What a task of upstream's stress test does: it takes a random time, and fails at random.
fn pressure<T: Send + 'static>(random: &Random, token: T) -> T {
    (0..random.below(4)).for_each(|_| yield_now());
    match random.below(8) {
        0 => panic_any(OnPurpose(token)),
        1 => sleep(random.short()),
        _ => {}
    }
    token
}

/// The next token of `tokens`, also where it comes as a panic.
fn next_token<T: 'static>(mut tokens: impl Iterator<Item = T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| tokens.next())).unwrap_or_else(|payload| {
        let OnPurpose(token) = *payload.downcast().expect("it fails on purpose only");
        Some(token)
    })
}

/// Semantics A 29: upstream's `test_ordering_5` and `_50`.
fn a_pile_keeps_the_order_of_each_spawner(random: &Random, concurrency: usize) {
    let tokens = rounds(10_000);
    let pile = Rc::new(GreenPile::new(concurrency));
    for spawner in 0..3 {
        let (pile, random) = (Rc::clone(&pile), random.clone());
        drop(spawn(move || {
            for n in 0..tokens {
                let random = random.clone();
                pile.spawn(move || pressure(&random, (spawner, n)));
            }
        }));
    }
    yield_now();
    let mut next = [0; 3];
    while let Some((spawner, n)) = next_token(&*pile) {
        assert_eq!(n, next[spawner], "of {spawner}");
        next[spawner] += 1;
    }
    assert_eq!(next, [tokens; 3]);
}

#[test]
fn piles_keep_the_order_of_each_spawner() {
    for_each_seed(|random| {
        for concurrency in [1, 5, 50] {
            a_pile_keeps_the_order_of_each_spawner(&random, concurrency);
        }
    });
}

/// Semantics A 29: upstream's `test_imap_50` and `_500`.
#[test]
fn maps_keep_the_order_of_their_items() {
    for_each_seed(|random| {
        for concurrency in [1, 50, 500] {
            let items = rounds(10_000);
            let random = random.clone();
            let mut map = GreenPool::new(concurrency).imap(move |n| pressure(&random, n), 0..items);
            for n in 0..items {
                assert_eq!(next_token(&mut map), Some(n));
            }
            assert_eq!(map.next(), None);
        }
    });
}

/// Semantics A 29: upstream takes a pool of pools.
#[test]
fn pools_whose_tasks_use_pools_all_come_to_rest() {
    for_each_seed(|random| {
        let pools: Rc<Vec<_>> = Rc::new((0..4).map(|n| GreenPool::new(n * 3 + 1)).collect());
        let outer = GreenPool::new(20);
        for _ in 0..rounds(20_000) {
            let (pools, random) = (Rc::clone(&pools), random.clone());
            outer.spawn_n(move || {
                let pool = &pools[random.below(pools.len())];
                let inner = random.clone();
                match random.below(3) {
                    0 => pool.spawn_n(move || inner.one_in(2).then(yield_now)),
                    1 => drop(pool.spawn(yield_now).wait()),
                    _ => drop(timeout(random.short(), || {
                        pool.imap(move |n| pressure(&inner, n), 0..5).map(drop).count()
                    })),
                }
            });
        }
        outer.waitall();
        for (n, pool) in pools.iter().enumerate() {
            pool.waitall();
            assert_eq!((pool.running(), pool.waiting()), (0, 0));
            assert_eq!(pool.free(), n as isize * 3 + 1);
        }
        assert_eq!((outer.running(), outer.free()), (0, 20));
    });
}

/// One pool, and all that happens to it.
struct World {
    random: Random,
    census: Census,
    pool: GreenPool,
    size: Cell<usize>,
    /// Tasks that have begun and not ended.
    inside: Cell<usize>,
    tasks: RefCell<Vec<GreenThread<Counted>>>,
}

impl World {
    fn task(self: &Rc<Self>, depth: usize) -> impl FnOnce() -> Counted + use<> {
        let (captured, world) = (self.census.one(), Rc::clone(self));
        move || {
            world.inside.set(world.inside.get() + 1);
            let inside = OnDrop(|| world.inside.set(world.inside.get() - 1));
            assert!(world.inside.get() <= world.pool.running(), "each has a slot");
            for _ in 0..world.random.below(4) {
                world.step_of_a_task(depth);
            }
            drop(inside);
            captured
        }
    }

    fn step_of_a_task(self: &Rc<Self>, depth: usize) {
        let random = &self.random;
        match random.below(10) {
            0 | 1 => yield_now(),
            2 => sleep(random.short()),
            3 if random.one_in(4) => panic!("on purpose"),
            4 if depth < 3 => drop(self.pool.spawn(self.task(depth + 1)).wait()),
            5 if depth < 3 => self.pool.spawn_n(self.task(depth + 1)),
            6 if depth < 3 => {
                let _ = timeout(random.short(), || self.spawn_from_outside(depth + 1).wait());
            }
            7 if depth < 2 => drop(timeout(random.short(), || self.map(depth + 1))),
            8 if random.one_in(8) => self.pool.kill_all(),
            _ => {}
        }
    }

    /// A green thread that is no member spawns, and may be cut off while it waits for a slot.
    fn spawn_from_outside(self: &Rc<Self>, depth: usize) -> GreenThread<()> {
        let world = Rc::clone(self);
        spawn(move || match world.random.below(4) {
            0 => drop(timeout(world.random.short(), || world.pool.spawn(world.task(depth)))),
            1 => world.pool.spawn_n(world.task(depth)),
            2 => {
                let task = world.pool.spawn(world.task(depth));
                world.tasks.borrow_mut().push(task);
            }
            _ => drop(world.pool.spawn(world.task(depth)).wait()),
        })
    }

    /// Maps over the pool, takes some of the results, and drops the rest.
    fn map(self: &Rc<Self>, depth: usize) {
        let (world, items) = (Rc::clone(self), self.census.clone());
        let work = move |item: Counted| {
            world.random.one_in(3).then(|| world.step_of_a_task(depth));
            item
        };
        let source = (0..self.random.below(8)).map(move |_| items.one());
        let mut map = if self.random.one_in(2) {
            self.pool.imap(work, source)
        } else {
            self.pool.imap_unordered(work, source)
        };
        for _ in 0..self.random.below(10) {
            match catch_unwind(AssertUnwindSafe(|| map.next())) {
                Ok(result) => drop(result),
                Err(payload) if payload.is::<&str>() || payload.is::<Died>() => {}
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    }

    fn resize(&self) {
        self.size.set(self.random.below(6));
        self.pool.resize(self.size.get());
    }

    fn check(&self) {
        let free = self.size.get() as isize - self.pool.running() as isize;
        assert_eq!(self.pool.free(), free);
        assert!(self.inside.get() <= self.pool.running());
        assert!(self.pool.waiting() == 0 || free <= 0, "nobody waits beside a free slot");
        assert!(self.census.alive() >= 0);
    }
}

/// FAULTS rows 41 and 53.
#[test]
fn fault_53_slots_are_exact_after_random_kills_and_timeouts() {
    for_each_seed(|random| {
        let world = Rc::new(World {
            random: random.clone(),
            census: Census::new(),
            pool: GreenPool::new(3),
            size: Cell::new(3),
            inside: Cell::default(),
            tasks: RefCell::default(),
        });
        let mut others: Vec<GreenThread<()>> = Vec::new();
        for _ in 0..rounds(1_000_000) / 8 {
            match random.below(10) {
                0..=3 if others.len() < 40 => others.push(world.spawn_from_outside(0)),
                4 if others.len() < 40 => {
                    let world = Rc::clone(&world);
                    others.push(spawn(move || world.map(0)));
                }
                5 if !others.is_empty() => {
                    others.swap_remove(random.below(others.len())).kill();
                }
                6 if !world.tasks.borrow().is_empty() => {
                    let at = random.below(world.tasks.borrow().len());
                    let task = world.tasks.borrow_mut().swap_remove(at);
                    random.one_in(2).then(|| task.kill());
                }
                7 if random.one_in(10) => world.resize(),
                8 => others.retain(|other| !other.is_finished()),
                _ => yield_now(),
            }
            world.check();
        }
        // Everybody who waits for a slot gets one now.
        world.size.set(5);
        world.pool.resize(5);
        world.pool.waitall();
        for other in others {
            drop(other.wait());
        }
        world.pool.waitall();
        settle();
        world.check();
        assert_eq!((world.pool.running(), world.pool.free(), world.pool.waiting()), (0, 5, 0));
        assert_eq!(world.inside.get(), 0);
        world.tasks.take();
        assert_eq!(world.census.alive(), 0, "values alive");
        assert_nothing_is_registered();
        assert!(Rc::into_inner(world).is_some(), "nobody holds on to the shared world");
    });
}
