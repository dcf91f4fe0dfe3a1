//! Very many random steps. Whatever the order of spawns, ends, panics, kills, timeouts and resizes:
//! no slot is lost or made, no result is lost, nothing hangs.
//!
//! The steps follow from a seed. `EVY_TEST_SEED` runs another one; a failure prints its own.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::thread::panicking;

use evy_pool::{DagInputs, DagPool, GreenPile, GreenPool, Pooled, ResourcePool};
use evy_runtime::{
    Died, GreenThread, GreenThreadId, current, kill, sleep, spawn, timeout, yield_now,
};
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

/// What all code of a [`Shop`]'s users does now and then, until the test comes to its end.
#[derive(Clone)]
struct Moods {
    random: Random,
    calm: Rc<Cell<bool>>,
}

impl Moods {
    /// Parks, or does not.
    fn dawdle(&self) {
        match self.random.below(8) {
            _ if self.calm.get() => {}
            0 | 1 => yield_now(),
            2 => sleep(self.random.short()),
            _ => {}
        }
    }

    /// Whether all goes well. It may panic instead.
    fn is_good(&self) -> bool {
        self.dawdle();
        match self.random.below(16) {
            _ if self.calm.get() => true,
            0 => panic!("on purpose"),
            1 | 2 => false,
            _ => true,
        }
    }
}

/// A resource whose destructor parks at times, and panics at times.
struct Moody {
    moods: Moods,
    _alive: Counted,
}

impl Drop for Moody {
    fn drop(&mut self) {
        // A panic in the middle of an unwind would end the process, whatever the pool does.
        if !panicking() {
            self.moods.is_good();
        }
    }
}

/// One pool of resources, and all that happens to it.
struct Shop {
    moods: Moods,
    census: Census,
    pool: ResourcePool<Moody, ()>,
}

impl Shop {
    fn new(random: &Random) -> Self {
        let moods = Moods { random: random.clone(), calm: Rc::default() };
        let census = Census::new();
        let [makes, validates, recycles] = [(); 3].map(|()| moods.clone());
        let mut builder = {
            let census = census.clone();
            ResourcePool::builder(move || {
                let is_good = makes.is_good();
                is_good.then(|| Moody { moods: makes.clone(), _alive: census.one() }).ok_or(())
            })
        };
        builder =
            builder.validate(move |_| validates.is_good()).recycle(move |_| recycles.is_good());
        if random.one_in(2) {
            builder = builder.lifo().max_idle(random.short() * 20).max_age(random.short() * 50);
        }
        if random.one_in(2) {
            builder = builder.keep_on_unwind();
        }
        Self { moods, census, pool: builder.build().expect("it makes none ahead") }
    }

    /// A customer, in one of many ways.
    fn serve(self: &Rc<Self>) -> GreenThread<()> {
        let shop = Rc::clone(self);
        spawn(move || {
            let random = &shop.moods.random;
            let got = match random.below(4) {
                0 => shop.pool.get_timeout(random.short()).ok(),
                1 => timeout(random.short(), || shop.pool.get().ok()).ok().flatten(),
                2 => shop.pool.try_get(),
                _ => shop.pool.get().ok(),
            };
            if let Some(resource) = got {
                shop.use_up(resource);
            }
        })
    }

    fn use_up(&self, resource: Pooled<Moody>) {
        let random = &self.moods.random;
        (0..random.below(3)).for_each(|_| self.moods.dawdle());
        match random.below(12) {
            0 => resource.discard(),
            1 => drop(resource.detach()),
            2 => panic!("on purpose"),
            3 => self.pool.put(resource),
            // A second one. Only for a while: others may do the same.
            4 => drop((self.pool.get_timeout(random.short()), resource)),
            5 => drop(timeout(random.short(), || {
                let _resource = resource;
                sleep(random.short());
            })),
            _ => drop(resource),
        }
    }

    fn check(&self, max: usize) {
        let pool = &self.pool;
        assert_eq!(pool.max(), max);
        assert!(pool.idle() <= pool.size());
        assert_eq!(pool.free(), max as isize - (pool.size() - pool.idle()) as isize);
        let is_lost = pool.waiting() > 0 && (pool.idle() > 0 || pool.size() < max);
        assert!(!is_lost, "nobody waits beside a resource or a free slot: {pool:?}");
    }
}

/// FAULTS rows 41 and 53: deadlines and kills at any time, and code of users that does as it likes.
#[test]
fn fault_53_resources_and_slots_are_exact_after_random_kills_and_timeouts() {
    for_each_seed(|random| {
        let shop = Rc::new(Shop::new(&random));
        let mut max = 4;
        let mut customers: Vec<GreenThread<()>> = Vec::new();
        for _ in 0..rounds(1_000_000) / 4 {
            match random.below(16) {
                0..=5 if customers.len() < 40 => customers.push(shop.serve()),
                6 | 7 if !customers.is_empty() => {
                    customers.swap_remove(random.below(customers.len())).kill();
                }
                8 => customers.retain(|customer| !customer.is_finished()),
                9 if random.one_in(8) => {
                    max = random.below(6);
                    // Destructors run here, and panic.
                    let _ = catch_unwind(AssertUnwindSafe(|| shop.pool.resize(max)));
                }
                10 if random.one_in(8) => {
                    let _ = catch_unwind(AssertUnwindSafe(|| shop.pool.clear()));
                }
                11 if random.one_in(8) => {
                    let _ = catch_unwind(AssertUnwindSafe(|| shop.pool.expire()));
                }
                _ => yield_now(),
            }
            shop.check(max);
        }
        shop.moods.calm.set(true);
        shop.pool.resize(5);
        for customer in customers {
            drop(customer.wait());
        }
        settle();
        shop.check(5);
        let pool = &shop.pool;
        assert_eq!((pool.size(), pool.waiting()), (pool.idle(), 0));
        assert_eq!(shop.census.alive(), pool.size() as isize, "resources alive");
        let all: Vec<_> = (0..5).map(|_| pool.get().expect("all is calm")).collect();
        assert_eq!(pool.free(), 0);
        drop(all);
        assert_nothing_is_registered();
        let census = shop.census.clone();
        assert!(Rc::into_inner(shop).is_some(), "nobody holds on to the shop");
        assert_eq!(census.alive(), 0);
    });
}

/// A graph of which each node has the sum of what it depends on, and one more: if nothing happens to it.
struct Sums {
    random: Random,
    dag: DagPool<usize, u64>,
    depends: Vec<Vec<usize>>,
    /// Nodes that panicked or were killed: their failure is their own.
    dead: RefCell<HashSet<usize>>,
    /// Nodes whose result came from elsewhere.
    posted: RefCell<HashMap<usize, u64>>,
    nodes: RefCell<Vec<(usize, GreenThreadId)>>,
}

impl Sums {
    fn new(random: &Random, size: usize) -> Self {
        let some = |n: usize| (0..n).filter(|_| random.one_in(n.div_ceil(3))).collect();
        Self {
            random: random.clone(),
            dag: DagPool::new([]),
            depends: (0..size).map(some).collect(),
            dead: RefCell::default(),
            posted: RefCell::default(),
            nodes: RefCell::default(),
        }
    }

    fn spawn(self: &Rc<Self>, key: usize) {
        let sums = Rc::clone(self);
        let node = move |inputs: DagInputs<usize, u64>| sums.add(inputs);
        self.dag.spawn(key, self.depends[key].clone(), node).expect("each is spawned once");
    }

    fn add(&self, inputs: DagInputs<usize, u64>) -> u64 {
        let (key, random) = (*inputs.key(), &self.random);
        self.nodes.borrow_mut().push((key, current()));
        let mut sum = 1;
        for (_, value) in inputs {
            sum += value;
            random.one_in(4).then(yield_now);
        }
        match random.below(12) {
            0 => {
                self.dead.borrow_mut().insert(key);
                panic!("on purpose");
            }
            1 => sleep(random.short()),
            2 => {
                self.posted.borrow_mut().insert(key, 7);
                self.dag.post(key, 7).expect("it is its own");
                yield_now();
            }
            _ => {}
        }
        sum
    }

    /// Kills a node, by its key or by its id.
    fn kill_one(&self) {
        let nodes = self.nodes.borrow();
        let (key, id) = nodes[self.random.below(nodes.len())];
        drop(nodes);
        if !self.dag.running_keys().contains(&key) || self.dag.get(&key).is_some() {
            return;
        }
        if self.random.one_in(2) {
            assert!(self.dag.kill(&key));
            self.posted.borrow_mut().insert(key, 9);
            self.dag.post(key, 9).expect("its node is forgotten");
        } else {
            self.dead.borrow_mut().insert(key);
            assert!(kill(id));
        }
    }

    /// Whether what became of a node is what had to.
    fn check(&self, key: usize) {
        let (posted, dead) = (self.posted.borrow(), self.dead.borrow());
        match self.dag.get(&key).expect("all have ended") {
            Ok(value) => {
                let sum = |key: &usize| self.dag.get(key).unwrap().unwrap();
                let expected = posted.get(&key).copied();
                let expected =
                    expected.unwrap_or_else(|| 1 + self.depends[key].iter().map(sum).sum::<u64>());
                assert_eq!(value, expected, "of {key}");
            }
            Err(error) => {
                let keys: Vec<_> = error.keys().copied().collect();
                assert_eq!(keys[0], key);
                assert!(keys.windows(2).all(|pair| self.depends[pair[0]].contains(&pair[1])));
                assert!(keys.iter().all(|key| !posted.contains_key(key)));
                assert!(dead.contains(keys.last().unwrap()));
            }
        }
    }
}

/// FAULTS row 53: no result is lost, and no failure is somebody else's.
#[test]
fn fault_53_each_node_has_its_sum_or_a_reason_after_random_kills_and_panics() {
    for_each_seed(|random| {
        for _ in 0..rounds(5_000) / 4 {
            let size = 40;
            let sums = Rc::new(Sums::new(&random, size));
            let mut left: Vec<_> = (0..size).collect();
            let mut waiters = Vec::new();
            while !left.is_empty() {
                match random.below(8) {
                    0 => yield_now(),
                    1 if !sums.nodes.borrow().is_empty() => sums.kill_one(),
                    2 => {
                        let (sums, keys) =
                            (Rc::clone(&sums), [random.below(size), random.below(size)]);
                        waiters.push(spawn(move || {
                            let _ = timeout(sums.random.short(), || sums.dag.wait(keys).map(drop));
                            sums.dag.wait_each(keys).count()
                        }));
                    }
                    _ => sums.spawn(left.swap_remove(random.below(left.len()))),
                }
            }
            for waiter in waiters {
                assert!((1..=2).contains(&waiter.wait().unwrap()));
            }
            drop(sums.dag.waitall());
            assert_eq!((sums.dag.running(), sums.dag.waiting()), (0, 0));
            (0..size).for_each(|key| sums.check(key));
            assert!(Rc::into_inner(sums).is_some(), "nobody holds on to the graph");
        }
        assert_nothing_is_registered();
    });
}
