//! Very many random steps: FAULTS rows 7 and 53, R13. Whatever the order of spawns, kills, timeouts,
//! wakes and yields, each value is dropped exactly once, no item is lost, and nothing hangs.
//!
//! The steps follow from a seed. `EVY_TEST_SEED` runs another one; a failure prints its own.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{
    Died, GreenThread, WaitList, kill, kill_all, sleep, spawn, spawn_after, spawn_n, timeout,
    unblock, yield_now,
};
use util::{Census, Counted, OnDrop, SOMETHING, Watchdog, assert_nothing_is_registered};

/// xorshift64*: good enough, and the same everywhere.
#[derive(Clone)]
struct Random(Rc<Cell<u64>>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed | 1)))
    }

    fn below(&self, limit: usize) -> usize {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn short(&self) -> Duration {
        Duration::from_nanos(self.below(50_000) as u64)
    }
}

fn seeds() -> Vec<u64> {
    let given = std::env::var("EVY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.map_or_else(|| vec![1, 42, 0xdead_beef, 20_260_101], |seed| vec![seed])
}

/// Runs `test` with each seed, and names the one that fails.
fn for_each_seed(test: fn(Random)) {
    let _watchdog = Watchdog::new("random steps");
    static QUIET: std::sync::Once = std::sync::Once::new();
    // Thousands of panics on purpose need not be printed. evy's hook goes behind this one, and
    // stays: it has to see who panics.
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let text = info.payload().downcast_ref::<&str>();
            if text.is_none_or(|text| !text.starts_with("on purpose")) {
                eprintln!("{info}");
            }
        }));
        yield_now();
    });
    for seed in seeds() {
        let result = catch_unwind(AssertUnwindSafe(|| test(Random::new(seed))));
        if let Err(payload) = result {
            eprintln!("with EVY_TEST_SEED={seed}");
            std::panic::resume_unwind(payload);
        }
    }
}

/// A queue, as crates above make one: direct hand-off, first in first out, nothing lost.
struct Queue {
    items: RefCell<VecDeque<Counted>>,
    /// Getters to whom an item was promised that is still in `items`.
    getters: WaitList,
    promised: Cell<usize>,
    /// Items that getters took.
    taken: Cell<usize>,
}

impl Queue {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            items: RefCell::default(),
            getters: WaitList::new(),
            promised: Cell::new(0),
            taken: Cell::new(0),
        })
    }

    fn put(&self, item: Counted) {
        self.items.borrow_mut().push_back(item);
        self.offer();
    }

    /// Promises what nobody was promised to the first getter.
    fn offer(&self) {
        if self.items.borrow().len() > self.promised.get() && self.getters.wake_one() {
            self.promised.set(self.promised.get() + 1);
        }
    }

    fn get(&self, patience: Option<Duration>) -> Option<Counted> {
        if self.items.borrow().len() == self.promised.get() {
            let not_taken = || {
                self.promised.set(self.promised.get() - 1);
                self.offer();
            };
            self.getters.wait(SOMETHING, patience, not_taken).ok()?;
            self.promised.set(self.promised.get() - 1);
        }
        let item = self.items.borrow_mut().pop_front();
        self.taken.set(self.taken.get() + 1);
        Some(item.expect("it was promised, or is nobody's"))
    }
}

/// What everybody in one run shares.
struct World {
    random: Random,
    census: Census,
    queue: Rc<Queue>,
    gate: Rc<WaitList>,
    threads: RefCell<Vec<GreenThread<Counted>>>,
}

impl World {
    /// A random green thread's random life. Each step may be where a kill or timeout lands.
    fn live(self: &Rc<Self>, depth: usize) {
        let random = &self.random;
        let _local = self.census.one();
        let in_drop = random.below(8);
        let _guard = OnDrop(|| match in_drop {
            0 => yield_now(),
            1 => drop(self.gate.wake_one()),
            2 => self.queue.put(self.census.one()),
            3 => self.kill_somebody(),
            4 => self.spawn_one(depth + 1),
            // Suspends, also in the middle of an unwind.
            5 => drop(spawn(|| ()).wait()),
            6 => drop(self.gate.wait(SOMETHING, Some(random.short()), || {
                self.gate.wake_one();
            })),
            _ => {}
        });
        for _ in 0..random.below(6) {
            self.step(depth);
        }
    }

    fn step(self: &Rc<Self>, depth: usize) {
        let random = &self.random;
        match random.below(14) {
            0 | 1 => yield_now(),
            2 => sleep(random.short()),
            3 => drop(self.queue.get(Some(random.short()))),
            4 => drop(self.queue.get(None)),
            5 => self.queue.put(self.census.one()),
            6 => drop(self.gate.wait(SOMETHING, random.one_in(2).then(|| random.short()), || {
                self.gate.wake_one();
            })),
            7 => drop(self.gate.wake_one()),
            8 if depth < 4 => {
                let _ = timeout(random.short(), || self.live(depth + 1));
            }
            9 if depth < 4 => self.spawn_one(depth + 1),
            10 => self.kill_somebody(),
            11 if random.one_in(4) => {
                let caught = catch_unwind(AssertUnwindSafe(|| self.live(depth + 1)));
                drop(caught);
            }
            12 if random.one_in(8) => panic!("on purpose"),
            13 if depth < 4 => {
                let child = spawn({
                    let world = Rc::clone(self);
                    move || world.live(depth + 1)
                });
                if random.one_in(2) {
                    drop(child.wait());
                }
            }
            _ => {}
        }
    }

    fn spawn_one(self: &Rc<Self>, depth: usize) {
        if depth > 6 {
            return;
        }
        let (captured, result) = (self.census.one(), self.census.one());
        let world = Rc::clone(self);
        let body = move || {
            let _captured = captured;
            world.live(depth);
            result
        };
        let thread = match self.random.below(6) {
            0 => return spawn_n(body),
            1 => spawn_after(self.random.short(), body),
            _ => spawn(body),
        };
        if self.random.one_in(4) {
            let (hook, world) = (self.census.one(), Rc::clone(self));
            thread.on_exit(move |_| {
                let _hook = hook;
                if world.random.one_in(4) {
                    yield_now();
                }
            });
        }
        self.threads.borrow_mut().push(thread);
    }

    fn kill_somebody(&self) {
        let id = {
            let threads = self.threads.borrow();
            if threads.is_empty() {
                return;
            }
            threads[self.random.below(threads.len())].id()
        };
        kill(id);
    }

    /// Takes a random handle, and does with it what can be done with one.
    fn use_a_handle(&self) {
        let thread = {
            let mut threads = self.threads.borrow_mut();
            if threads.is_empty() {
                return;
            }
            let at = self.random.below(threads.len());
            threads.swap_remove(at)
        };
        match self.random.below(4) {
            0 => drop(thread),
            1 => {
                thread.cancel();
            }
            2 => thread.kill(),
            _ if thread.is_finished() => match thread.wait() {
                Ok(_) | Err(Died::Killed) => {}
                Err(Died::Panicked(payload)) => {
                    let text = payload.downcast_ref::<&str>().copied();
                    assert_eq!(text, Some("on purpose"));
                }
                Err(_) => unreachable!("there is no other way to die"),
            },
            _ => {}
        }
    }
}

/// FAULTS row 7, R13.
#[test]
fn fault_07_random_kills_and_timeouts_drop_everything_exactly_once() {
    for_each_seed(|random| {
        let world = Rc::new(World {
            random: random.clone(),
            census: Census::new(),
            queue: Queue::new(),
            gate: Rc::default(),
            threads: RefCell::default(),
        });
        for _ in 0..util::rounds(1_000_000) / 4 {
            match random.below(8) {
                0 | 1 if world.threads.borrow().len() < 200 => world.spawn_one(0),
                2 => world.kill_somebody(),
                3 | 4 => world.use_a_handle(),
                5 => world.queue.put(world.census.one()),
                6 => drop(world.gate.wake_one()),
                _ => yield_now(),
            }
            assert!(world.census.alive() >= 0);
        }
        // Everybody ends, whatever is swallowed: what is spawned by destructors is killed in turn.
        for _ in 0..100 {
            kill_all();
            world.gate.wake_all();
            yield_now();
            sleep(Duration::from_micros(10));
        }
        kill_all();
        assert!(world.gate.is_empty());
        assert!(world.queue.getters.is_empty());
        assert_eq!(world.queue.promised.get(), 0);
        for thread in world.threads.take() {
            assert!(thread.is_finished());
            drop(thread);
        }
        world.queue.items.take();
        assert_eq!(world.census.alive(), 0, "values alive");
        assert!(!std::thread::panicking());
        assert_nothing_is_registered();
        let world = Rc::into_inner(world);
        assert!(world.is_some(), "nobody holds on to the shared world");
    });
}

/// FAULTS row 53: a queue's model. What was put is taken or still there; nobody waits beside an item.
#[test]
fn fault_53_no_item_is_lost_to_getters_that_are_killed_or_time_out() {
    for_each_seed(|random| {
        let (queue, census) = (Queue::new(), Census::new());
        let mut getters: Vec<GreenThread<()>> = Vec::new();
        let mut put = 0;
        for _ in 0..util::rounds(1_000_000) / 4 {
            match random.below(6) {
                0 | 1 if getters.len() < 50 => {
                    let (queue, random) = (Rc::clone(&queue), random.clone());
                    getters.push(spawn(move || match random.below(3) {
                        0 => drop(queue.get(None)),
                        1 => drop(queue.get(Some(random.short()))),
                        _ => drop(timeout(random.short(), || queue.get(None))),
                    }));
                }
                2 => {
                    queue.put(census.one());
                    put += 1;
                }
                3 if !getters.is_empty() => {
                    getters.swap_remove(random.below(getters.len())).kill();
                }
                4 => getters.retain(|getter| !getter.is_finished()),
                _ => yield_now(),
            }
            let items = queue.items.borrow().len();
            assert_eq!(put, queue.taken.get() + items);
            assert!(queue.getters.is_empty() || items == queue.promised.get());
        }
        for getter in getters {
            getter.kill();
        }
        assert!(queue.getters.is_empty());
        assert_eq!(queue.promised.get(), 0);
        assert_eq!(put, queue.taken.get() + queue.items.borrow().len());
        drop(queue);
        assert_eq!(census.alive(), 0);
        assert_nothing_is_registered();
    });
}

/// FAULTS row 53: a semaphore's model: permits are neither lost nor made.
#[test]
fn fault_53_no_permit_leaks() {
    struct Semaphore {
        permits: Cell<usize>,
        line: WaitList,
    }

    impl Semaphore {
        fn acquire(&self, patience: Option<Duration>) -> bool {
            if self.permits.get() == 0 || !self.line.is_empty() {
                return self.line.wait(SOMETHING, patience, || self.release()).is_ok();
            }
            self.permits.set(self.permits.get() - 1);
            true
        }

        fn release(&self) {
            if !self.line.wake_one() {
                self.permits.set(self.permits.get() + 1);
            }
        }
    }

    struct Held<'a>(&'a Semaphore);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.release();
        }
    }

    for_each_seed(|random| {
        let semaphore = Rc::new(Semaphore { permits: Cell::new(3), line: WaitList::new() });
        let inside = Rc::new(Cell::new(0));
        let mut users: Vec<GreenThread<()>> = Vec::new();
        for _ in 0..util::rounds(1_000_000) / 8 {
            if users.len() < 30 && random.one_in(2) {
                let (semaphore, random) = (Rc::clone(&semaphore), random.clone());
                let inside = Rc::clone(&inside);
                users.push(spawn(move || {
                    if !semaphore.acquire(random.one_in(2).then(|| random.short())) {
                        return;
                    }
                    let _held = Held(&semaphore);
                    inside.set(inside.get() + 1);
                    let _inside = OnDrop(|| inside.set(inside.get() - 1));
                    assert!(inside.get() <= 3);
                    for _ in 0..random.below(4) {
                        yield_now();
                    }
                    sleep(random.short() / 10);
                }));
            } else if !users.is_empty() {
                let at = random.below(users.len());
                if users[at].is_finished() {
                    users.swap_remove(at).wait().unwrap();
                } else if random.one_in(2) {
                    users.swap_remove(at).kill();
                }
            }
            if random.one_in(3) {
                yield_now();
            }
        }
        drop(users);
        kill_all();
        assert!(semaphore.line.is_empty());
        assert_eq!(semaphore.permits.get(), 3);
        assert_eq!(inside.get(), 0);
        assert_nothing_is_registered();
    });
}

/// FAULTS row 7, with jobs on other OS threads, which end whenever they end.
#[test]
fn fault_07_random_kills_of_those_who_wait_for_jobs() {
    for_each_seed(|random| {
        let census = Census::new();
        let mut threads: Vec<GreenThread<()>> = Vec::new();
        for _ in 0..util::rounds(100_000) / 4 {
            if threads.len() < 40 && random.one_in(2) {
                let (counted, n) = (census.one(), random.below(100));
                threads.push(spawn(move || {
                    let _counted = counted;
                    let result = unblock(move || {
                        for _ in 0..n {
                            std::hint::spin_loop();
                        }
                        n
                    });
                    assert_eq!(result, n);
                }));
            } else if !threads.is_empty() {
                let thread = threads.swap_remove(random.below(threads.len()));
                match random.below(3) {
                    0 => thread.wait().unwrap(),
                    1 => thread.kill(),
                    _ => drop(timeout(random.short(), || thread.wait())),
                }
            }
        }
        drop(threads);
        kill_all();
        assert_eq!(census.alive(), 0);
        assert_nothing_is_registered();
    });
}
