//! The timing wheel against a plain model, and fact by fact.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::*;

fn owner(n: usize) -> Owner {
    Owner(NonZeroUsize::new(n).expect("tests number owners from 1"))
}

/// Advances, checks the wheel's inner order, and tells who fired.
fn fired(timers: &mut Timers, now: u64) -> Vec<usize> {
    let mut fired = Vec::new();
    timers.advance(now, &mut |Owner(n)| fired.push(n.get()));
    check(timers);
    fired
}

/// How many blocks hold memory.
fn blocks(timers: &Timers) -> usize {
    timers.nodes.blocks.iter().filter(|block| !block.nodes.is_empty()).count()
}

/// Every timer is in the list its deadline asks for, and all counts and bits are right.
fn check(timers: &Timers) {
    let mut len = 0;
    for (slot, list) in timers.slots.iter().enumerate() {
        let mut last = NIL;
        let mut count = 0;
        for index in timers.nodes.follow(list.first) {
            let node = &timers.nodes[index];
            assert_eq!(timers.slot_of(node.deadline), slot);
            assert_eq!(node.previous, last);
            assert!(node.generation.is_some());
            last = index;
            count += 1;
        }
        assert_eq!((list.last, list.len), (last, count));
        assert_eq!(timers.occupied[slot / SLOTS] >> (slot % SLOTS) & 1 == 1, count > 0);
        len += count as usize;
    }
    assert_eq!(timers.len(), len);
    assert_eq!(timers.nodes.blocks.iter().map(|block| block.live as usize).sum::<usize>(), len);
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_before() {
    for exponent in 0..64 {
        let deadline = 1u64 << exponent;
        let mut timers = Timers::new(0);
        timers.insert(deadline, owner(1));
        assert_eq!(timers.next_deadline(), Some(deadline));
        assert_eq!(fired(&mut timers, deadline - 1), []);
        assert_eq!(timers.next_deadline(), Some(deadline));
        assert_eq!(fired(&mut timers, deadline), [1]);
        assert_eq!(timers.next_deadline(), None);
        assert_eq!(timers.len(), 0);
    }
}

#[test]
fn timers_fire_in_order_of_their_deadlines() {
    let mut timers = Timers::new(1_000);
    for deadline in [70_000, 1_001, 5_000_000_000, 1_064, 70_001, 1_063, 2_000] {
        timers.insert(deadline, owner(deadline as usize));
    }
    let expected = [1_001, 1_063, 1_064, 2_000, 70_000, 70_001, 5_000_000_000];
    assert_eq!(fired(&mut timers, 5_000_000_000), expected);
}

#[test]
fn equal_deadlines_fire_in_order_of_insertion() {
    let mut timers = Timers::new(0);
    for n in 1..=3_000 {
        timers.insert(1 << 40, owner(n));
    }
    assert_eq!(fired(&mut timers, 1 << 41), (1..=3_000).collect::<Vec<_>>());
}

/// The first is inserted far away and comes down level by level; the others are inserted
/// nearer and nearer, each at the level to which the earlier ones have come by then.
#[test]
fn equal_deadlines_keep_their_order_when_inserted_at_different_levels() {
    let deadline = (1 << 63) - 1;
    let mut timers = Timers::new(0);
    let mut slots = Vec::new();
    for n in 1..=62 {
        slots.push(timers.slot_of(deadline) / SLOTS);
        timers.insert(deadline, owner(n));
        assert_eq!(fired(&mut timers, deadline - (1 << (62 - n))), []);
    }
    slots.dedup();
    assert_eq!(slots, (0..LEVELS).rev().collect::<Vec<_>>());
    assert_eq!(fired(&mut timers, deadline), (1..=62).collect::<Vec<_>>());
}

/// As above with a crowd, so that slots are spread from their start and not from the earliest.
#[test]
fn equal_deadlines_keep_their_order_in_a_crowd() {
    let mut timers = Timers::new(7);
    let deadline = |n: usize| 1_000_000 + n as u64 % 5;
    for n in 1..=500 {
        timers.insert(deadline(n), owner(n));
        if n % 10 == 0 {
            assert_eq!(fired(&mut timers, 1_999 * n as u64), []);
        }
    }
    let mut expected: Vec<usize> = (1..=500).collect();
    expected.sort_by_key(|&n| deadline(n));
    assert_eq!(fired(&mut timers, 1_000_010), expected);
}

#[test]
fn a_past_deadline_fires_at_the_next_advance() {
    let mut timers = Timers::new(1_000);
    timers.insert(1_001, owner(1));
    timers.insert(1_000, owner(2));
    timers.insert(10, owner(3));
    timers.insert(0, owner(4));
    timers.insert(10, owner(5));
    assert_eq!(timers.next_deadline(), Some(0));
    assert_eq!(fired(&mut timers, 1_000), [4, 3, 5, 2]);
    assert_eq!(fired(&mut timers, 1_001), [1]);
}

#[test]
fn a_clock_that_goes_back_fires_nothing_early() {
    let mut timers = Timers::new(1_000);
    timers.insert(1_001, owner(1));
    assert_eq!(fired(&mut timers, 5), []);
    assert_eq!(timers.next_deadline(), Some(1_001));
    assert_eq!(fired(&mut timers, 1_001), [1]);
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    let mut timers = Timers::new(0);
    let keys: Vec<_> = (1..=5).map(|n| timers.insert(100, owner(n))).collect();
    for n in [0, 2, 4] {
        assert!(timers.cancel(keys[n]));
        check(&timers);
    }
    assert_eq!(timers.len(), 2);
    assert_eq!(fired(&mut timers, 100), [2, 4]);
}

#[test]
fn a_stale_key_cancels_nothing() {
    let mut timers = Timers::new(0);
    let cancelled = timers.insert(10, owner(1));
    assert!(timers.cancel(cancelled));
    assert!(!timers.cancel(cancelled));
    let fires = timers.insert(10, owner(2));
    assert_eq!(cancelled.index, fires.index);
    assert!(!timers.cancel(cancelled));
    assert_eq!(fired(&mut timers, 10), [2]);
    assert!(!timers.cancel(fires));
    let newest = timers.insert(20, owner(3));
    assert!(!timers.cancel(cancelled) && !timers.cancel(fires));
    assert!(timers.cancel(newest));
}

#[test]
fn a_stale_key_cancels_nothing_after_its_memory_was_freed_and_allocated_anew() {
    let mut timers = Timers::new(0);
    let stale: Vec<_> = (1..=3 * BLOCK_LEN).map(|n| timers.insert(10, owner(n))).collect();
    fired(&mut timers, 10);
    assert_eq!(blocks(&timers), 1);
    assert!(!stale.iter().any(|&key| timers.cancel(key)), "without memory");
    let anew: Vec<_> = (1..=3 * BLOCK_LEN).map(|n| timers.insert(20, owner(n))).collect();
    assert_eq!(timers.nodes.blocks.len(), 3);
    assert!(!stale.iter().any(|&key| timers.cancel(key)), "with new memory");
    assert!(anew.iter().all(|&key| timers.cancel(key)));
    assert_eq!(blocks(&timers), 1);
}

#[test]
fn generations_go_round_and_leave_out_zero() {
    let mut timers = Timers::new(0);
    timers.generation = NonZeroU32::MAX;
    let key = timers.insert(10, owner(1));
    assert_eq!(key.generation, NonZeroU32::MIN);
    assert!(timers.cancel(key));
}

#[test]
fn memory_goes_back_in_blocks() {
    let mut timers = Timers::new(0);
    let keys: Vec<_> = (1..=10 * BLOCK_LEN).map(|n| timers.insert(10, owner(n))).collect();
    assert_eq!(blocks(&timers), 10);
    for (cancelled, &key) in (1..).zip(&keys) {
        assert!(timers.cancel(key));
        // One block is kept as the spare.
        let gone = (cancelled / BLOCK_LEN).saturating_sub(1);
        assert_eq!(blocks(&timers), 10 - gone);
    }
    check(&timers);
}

#[test]
fn a_loop_at_the_edge_of_a_block_allocates_once() {
    let mut timers = Timers::new(0);
    for n in 1..=BLOCK_LEN {
        timers.insert(10, owner(n));
    }
    let mut addresses = Vec::new();
    for _ in 0..10 {
        let key = timers.insert(10, owner(1));
        addresses.push(timers.nodes.blocks[1].nodes.as_ptr());
        assert!(timers.cancel(key));
        assert_eq!(blocks(&timers), 2);
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 1);
}

#[test]
fn cancelled_timers_do_not_pile_up() {
    let mut timers = Timers::new(0);
    for n in 1..=100_000 {
        let key = timers.insert(n * 1_000_000_007, owner(1));
        assert!(timers.cancel(key));
    }
    check(&timers);
    assert_eq!(timers.nodes.blocks.len(), 1);
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other() {
    let mut timers = Timers::new(u64::MAX - 70);
    timers.insert(u64::MAX, owner(1));
    timers.insert(u64::MAX - 1, owner(2));
    assert_eq!(timers.next_deadline(), Some(u64::MAX - 1));
    assert_eq!(fired(&mut timers, u64::MAX - 1), [2]);
    assert_eq!(fired(&mut timers, u64::MAX), [1]);
    timers.insert(u64::MAX, owner(3));
    assert_eq!(fired(&mut timers, u64::MAX), [3]);

    let mut timers = Timers::new(0);
    timers.insert(u64::MAX, owner(1));
    assert_eq!(timers.next_deadline(), Some(u64::MAX));
    assert_eq!(fired(&mut timers, u64::MAX - 1), []);
    assert_eq!(fired(&mut timers, u64::MAX), [1]);
}

#[test]
fn the_next_deadline_follows_inserts_and_cancels() {
    let mut timers = Timers::new(0);
    let late = timers.insert(9_000, owner(1));
    assert_eq!(timers.next_deadline(), Some(9_000));
    let twins = [timers.insert(8_000, owner(2)), timers.insert(8_000, owner(3))];
    assert_eq!(timers.next_deadline(), Some(8_000));
    assert!(timers.cancel(twins[0]));
    assert_eq!(timers.next_deadline(), Some(8_000));
    assert!(timers.cancel(twins[1]));
    assert_eq!(timers.next_deadline(), Some(9_000));
    assert!(timers.cancel(late));
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn a_crowded_slot_wakes_early_and_fires_on_time() {
    let mut timers = Timers::new(0);
    for n in 1..=1_000 {
        timers.insert((1 << 30) + 12_345 + n, owner(n as usize));
    }
    let mut wakes = 0;
    let mut all = Vec::new();
    while let Some(next) = timers.next_deadline() {
        let some = fired(&mut timers, next);
        wakes += usize::from(some.is_empty());
        assert!(some.iter().all(|&n| (1 << 30) + 12_345 + n as u64 == next));
        all.extend(some);
    }
    assert_eq!(all, (1..=1_000).collect::<Vec<_>>());
    assert!((1..=40).contains(&wakes), "{wakes} wakes in vain");
}

#[test]
fn a_panic_of_the_callback_loses_no_other_timer() {
    let mut timers = Timers::new(0);
    for n in 1..=10 {
        timers.insert(100, owner(n));
    }
    timers.insert(50_000, owner(11));
    let mut seen = Vec::new();
    let panics = catch_unwind(AssertUnwindSafe(|| {
        timers.advance(60_000, &mut |Owner(n)| {
            seen.push(n.get());
            assert!(n.get() != 3, "on purpose");
        });
    }));
    assert!(panics.is_err());
    check(&timers);
    seen.extend(fired(&mut timers, 60_000));
    assert_eq!(seen, (1..=11).collect::<Vec<_>>());
}

#[test]
fn sizes_stay_small() {
    assert!(size_of::<Node>() <= 36);
    assert_eq!(size_of::<Option<TimerKey>>(), 8);
}

/// A xorshift generator: the same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Mostly small, at times huge: each length in bits is as likely as the others.
    fn span(&mut self, bits: u64) -> u64 {
        let shift = 64 - self.below(bits + 1);
        self.next().checked_shr(shift as u32).unwrap_or(0)
    }
}

/// A wheel and what it should hold.
struct Pair {
    timers: Timers,
    /// By deadline, then by number of insertion, which is the owner's number too.
    model: BTreeMap<(u64, usize), TimerKey>,
    stale: Vec<TimerKey>,
    inserted: usize,
    now: u64,
}

impl Pair {
    fn insert(&mut self, deadline: u64) {
        self.inserted += 1;
        let key = self.timers.insert(deadline, owner(self.inserted));
        self.model.insert((deadline, self.inserted), key);
    }

    fn cancel(&mut self, from: u64) {
        let Some((&at, &key)) = self.model.range((from, 0)..).next() else { return };
        self.model.remove(&at);
        assert!(self.timers.cancel(key));
        self.stale.push(key);
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        let later = self.model.split_off(&(now, usize::MAX));
        let due = std::mem::replace(&mut self.model, later);
        let expected: Vec<usize> = due.keys().map(|&(_, n)| n).collect();
        assert_eq!(fired(&mut self.timers, now), expected);
        self.stale.extend(due.values());
    }

    fn compare(&self) {
        assert_eq!(self.timers.len(), self.model.len());
        let (next, first) = (self.timers.next_deadline(), self.model.keys().next());
        assert_eq!(next.is_some(), first.is_some());
        let (Some(next), Some(&(first, _))) = (next, first) else { return };
        assert!(next <= first);
        let slot = self.timers.first_slot().expect("a deadline is in some slot");
        if self.timers.slots[slot].len <= SEARCH_MAX {
            assert_eq!(next, first);
        } else {
            assert!(slot == OVERDUE || next > self.timers.elapsed, "a wake that gets nowhere");
        }
    }
}

/// `inserts` in ten steps insert, the others cancel or advance; deadlines and jumps have up
/// to `bits` bits.
fn compare_with_the_model(seed: u64, steps: usize, inserts: u64, bits: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let now = random.span(bits);
    let timers = Timers::new(now);
    let mut pair = Pair { timers, model: BTreeMap::new(), stale: Vec::new(), inserted: 0, now };
    for _ in 0..steps {
        let at = pair.now.saturating_add(random.span(bits));
        match random.below(10) {
            0 if random.below(4) == 0 => pair.insert(pair.now.saturating_sub(random.span(bits))),
            0 => pair.insert(pair.model.keys().next_back().map_or(at, |&(last, _)| last)),
            step if step < inserts => pair.insert(at),
            9 if random.below(20) == 0 => pair.advance(at),
            9 => pair.advance(pair.now.saturating_add(random.span(bits / 2))),
            _ => pair.cancel(at),
        }
        pair.compare();
        if let Some(&key) = pair.stale.get(random.below(1 << 12) as usize) {
            assert!(!pair.timers.cancel(key));
        }
    }
    pair.advance(u64::MAX);
    assert_eq!(pair.timers.len(), 0);
    assert!(blocks(&pair.timers) <= 1);
}

#[test]
fn it_does_what_a_sorted_map_does() {
    for seed in 1..=20 {
        for bits in [4, 8, 14, 30, 45, 58] {
            compare_with_the_model(seed, 1_000, 5, bits);
        }
    }
}

#[test]
fn it_does_what_a_sorted_map_does_in_a_crowd() {
    for seed in 1..=3 {
        for bits in [10, 30, 60] {
            compare_with_the_model(seed, 8_000, 8, bits);
        }
    }
}
