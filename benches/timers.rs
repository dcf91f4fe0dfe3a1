//! Deadlines, with a million of them pending: evy's timing wheel beside std's collections.
//!
//! ```text
//! cargo bench --bench timers                    # 1,000,000
//! cargo bench --bench timers -- 10000 --rounds 50 --only oldest
//! ```
//!
//! A `BTreeMap` by deadline and number can do all that the hub needs. A `BinaryHeap` cannot cancel, so
//! it only takes part where the oldest deadline goes.

mod micro;

use evy_hub::{Hub, Owner, TimerKey};
use micro::args::Args;
use micro::cpu::{self, Memory};
use micro::operation::{Operation, time};
use micro::stopwatch::Stopwatch;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

/// From "now" to a new deadline, where all have the same timeout: 60 s.
const TIMEOUT: u64 = 60_000_000_000;

/// From one new deadline to the next: a connection each microsecond.
const STEP: u64 = 1_000;

const OWNER: Owner = Owner(NonZeroUsize::MIN);

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 25.0)? as usize;
    let only = args.text("--only");
    let live = args.list(&[1_000_000])?[0];
    args.end()?;
    cpu::pin(cpu::cores()?.0)?;

    let before = Memory::of(std::process::id())?.resident;
    let wheel = RefCell::new(Deadlines::new(Wheel::new()?, live));
    let after = Memory::of(std::process::id())?.resident;
    let tree = RefCell::new(Deadlines::new(Tree::default(), live));
    let heap = RefCell::new(heap(live));

    let mut stopwatch = Stopwatch::new(only);
    stopwatch.baseline("BTreeMap", at_once(&tree));
    stopwatch.add("set and cancel it at once", Some(40.0), || at_once(&wheel));
    stopwatch.baseline("BTreeMap", oldest_first(&tree));
    stopwatch.add("cancel the oldest and set one", Some(40.0), || oldest_first(&wheel));
    stopwatch.baseline("BinaryHeap", pop_and_push(&heap));
    stopwatch.add("cancel the oldest and set one", Some(40.0), || oldest_first(&wheel));
    stopwatch.baseline("BTreeMap", random_victim(&tree));
    stopwatch.add("cancel any and set one", Some(150.0), || random_victim(&wheel));
    stopwatch.run(rounds);
    println!("{live} live deadlines, {rounds} rounds\n\n{}", stopwatch.table());
    drop(stopwatch);

    wheel.borrow_mut().cancel_all();
    let empty = Memory::of(std::process::id())?.resident;
    drop(wheel);
    let gone = Memory::of(std::process::id())?.resident;
    let each = |from: u64, to: u64| (from as f64 - to as f64) / live as f64;
    println!(
        "{:.1} bytes a deadline with its key; cancelling all gives back all but {:.1} of them",
        each(after, before),
        each(empty, gone)
    );
    Ok(())
}

/// A collection of deadlines.
trait Queue {
    type Key: Copy;
    fn set(&mut self, deadline: u64) -> Self::Key;
    fn cancel(&mut self, key: Self::Key) -> bool;
}

struct Wheel(Hub);

impl Wheel {
    fn new() -> io::Result<Self> {
        Hub::new().map(Self)
    }
}

impl Queue for Wheel {
    type Key = TimerKey;

    #[inline(always)]
    fn set(&mut self, deadline: u64) -> TimerKey {
        self.0.add_deadline(deadline, OWNER)
    }

    #[inline(always)]
    fn cancel(&mut self, key: TimerKey) -> bool {
        self.0.cancel_deadline(key)
    }
}

#[derive(Default)]
struct Tree {
    deadlines: BTreeMap<(u64, u64), Owner>,
    inserted: u64,
}

impl Queue for Tree {
    type Key = (u64, u64);

    #[inline(always)]
    fn set(&mut self, deadline: u64) -> (u64, u64) {
        self.inserted += 1;
        let key = (deadline, self.inserted);
        self.deadlines.insert(key, OWNER);
        key
    }

    #[inline(always)]
    fn cancel(&mut self, key: (u64, u64)) -> bool {
        self.deadlines.remove(&key).is_some()
    }
}

/// A queue full of deadlines, and the keys to them, oldest first.
struct Deadlines<Q: Queue> {
    queue: Q,
    keys: VecDeque<Q::Key>,
    next: u64,
    random: u64,
}

impl<Q: Queue> Deadlines<Q> {
    fn new(queue: Q, live: usize) -> Self {
        let random = 0x9e37_79b9_7f4a_7c15;
        let mut new = Self { queue, keys: VecDeque::new(), next: TIMEOUT, random };
        for _ in 0..live {
            let key = new.set();
            new.keys.push_back(key);
        }
        new
    }

    #[inline(always)]
    fn set(&mut self) -> Q::Key {
        self.next += STEP;
        self.queue.set(self.next)
    }

    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random as usize % below
    }

    fn cancel_all(&mut self) {
        while let Some(key) = self.keys.pop_front() {
            self.queue.cancel(key);
        }
    }
}

fn at_once<'a, Q: Queue>(deadlines: &'a RefCell<Deadlines<Q>>) -> Operation<'a> {
    Box::new(move |n| {
        let mut deadlines = deadlines.borrow_mut();
        time(n, || {
            let key = deadlines.set();
            black_box(deadlines.queue.cancel(black_box(key)));
        })
    })
}

fn oldest_first<'a, Q: Queue>(deadlines: &'a RefCell<Deadlines<Q>>) -> Operation<'a> {
    Box::new(move |n| {
        let mut deadlines = deadlines.borrow_mut();
        time(n, || {
            let oldest = deadlines.keys.pop_front().expect("as many are set as cancelled");
            assert!(deadlines.queue.cancel(oldest));
            let key = deadlines.set();
            deadlines.keys.push_back(key);
        })
    })
}

fn random_victim<'a, Q: Queue>(deadlines: &'a RefCell<Deadlines<Q>>) -> Operation<'a> {
    Box::new(move |n| {
        let mut deadlines = deadlines.borrow_mut();
        time(n, || {
            let len = deadlines.keys.len();
            let victim = deadlines.random(len);
            let key = deadlines.keys[victim];
            assert!(deadlines.queue.cancel(key));
            deadlines.keys[victim] = deadlines.set();
        })
    })
}

fn heap(live: usize) -> BinaryHeap<Reverse<u64>> {
    (1..=live as u64).map(|n| Reverse(TIMEOUT + n * STEP)).collect()
}

fn pop_and_push<'a>(heap: &'a RefCell<BinaryHeap<Reverse<u64>>>) -> Operation<'a> {
    Box::new(move |n| -> Duration {
        let mut heap = heap.borrow_mut();
        time(n, || {
            let Reverse(oldest) = heap.pop().expect("as many are set as taken out");
            heap.push(Reverse(oldest + TIMEOUT));
        })
    })
}
