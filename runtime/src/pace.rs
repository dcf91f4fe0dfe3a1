//! After how many switches the loop looks at the clock while there is work.
//!
//! A look costs 50–70 ns in effect, so a ring of yields that take 7 ns each can afford one every
//! [`MOST`] switches: under 5 %. Where a green thread works for 10 µs before each yield, that many switches
//! are 2.6 ms, by which everybody who sleeps would wake late. So the pace follows what the switches since
//! the last look took: as many come before the next as fit into [`WITHIN`]. It knows only what was: who has
//! yielded quickly for a while and begins to work for long is looked at after [`MOST`] of his pieces once.

use std::cell::Cell;

/// Switches between two looks at the clock where they are quick.
const MOST: u32 = 256;

/// Nanoseconds between two looks at the clock, as far as the last ones tell. Above what [`MOST`] switches
/// with their I/O calls take an echo server: there a look finds it time to poll in any case.
const WITHIN: u64 = 200_000;

/// What an I/O call counts: it takes as long as that many switches.
const OPERATION: i32 = 8;

/// Counts switches, and I/O calls, until it is time to look at the clock.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How many are left; at 0 or below it is time.
    left: Cell<i32>,
    /// How many there are from one look to the next.
    between: Cell<u32>,
    /// The clock's reading when it was last looked at.
    looked: Cell<u64>,
}

impl Pace {
    pub(crate) fn new(now: u64) -> Self {
        Self { left: Cell::new(MOST as i32), between: Cell::new(MOST), looked: Cell::new(now) }
    }

    /// Counts a switch.
    #[inline(always)]
    pub(crate) fn count_switch(&self) {
        self.left.set(self.left.get() - 1);
    }

    /// Counts an I/O call.
    #[inline(always)]
    pub(crate) fn count_operation(&self) {
        self.left.set(self.left.get() - OPERATION);
    }

    /// Counts as many I/O calls.
    #[inline(always)]
    pub(crate) fn count_operations(&self, calls: u32) {
        // Not further down than there is room for single ones.
        self.left.set((self.left.get() - calls as i32 * OPERATION).max(i32::MIN / 2));
    }

    /// Whether it is time to look at the clock.
    #[inline(always)]
    pub(crate) fn is_time_to_look(&self) -> bool {
        self.left.get() <= 0
    }

    /// It was time to look at the clock, which reads `now`: adapts the pace, and begins to count anew.
    pub(crate) fn adapt(&self, now: u64) {
        let between = self.between.get();
        // More than that where somebody did many I/O calls without a switch.
        let counted = between as i32 - self.left.get();
        let took = now.saturating_sub(self.looked.get());
        self.between.set(next(between, counted.unsigned_abs(), took));
        self.begin(now);
    }

    /// The clock was read for another reason: begins to count anew.
    pub(crate) fn begin(&self, now: u64) {
        self.looked.set(now);
        self.left.set(self.between.get() as i32);
    }
}

/// The number of switches from this look to the next, where it was `between` up to now, and the `counted` ones
/// took so many nanoseconds. One dear look makes it as small as it takes; it comes back by doubling.
fn next(between: u32, counted: u32, took: u64) -> u32 {
    let fitting = u64::from(counted) * WITHIN / took.max(1);
    fitting.clamp(1, u64::from(MOST.min(between * 2))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts switches that take `each` nanoseconds, and returns what the clock reads at each look.
    fn looks(pace: &Pace, each: u64, count: usize) -> Vec<u64> {
        let mut now = pace.looked.get();
        let mut looks = Vec::new();
        while looks.len() < count {
            now += each;
            pace.count_switch();
            if pace.is_time_to_look() {
                pace.adapt(now);
                looks.push(now);
            }
        }
        looks
    }

    /// The longest time between two of `looks`.
    fn longest(looks: &[u64]) -> u64 {
        looks.windows(2).map(|pair| pair[1] - pair[0]).max().expect("there are two")
    }

    #[test]
    fn quick_switches_are_counted_in_full() {
        let pace = Pace::new(0);
        assert_eq!(longest(&looks(&pace, 10, 100)), 10 * u64::from(MOST));
    }

    #[test]
    fn after_one_look_slow_switches_come_between_two_for_no_longer_than_is_allowed() {
        for each in [1_000, 10_000, 199_999] {
            let pace = Pace::new(0);
            assert!(longest(&looks(&pace, each, 100)) <= WITHIN, "{each} ns each");
        }
    }

    #[test]
    fn switches_that_take_longer_than_is_allowed_are_followed_by_a_look_each() {
        let pace = Pace::new(0);
        assert_eq!(longest(&looks(&pace, 5_000_000, 100)), 5_000_000);
    }

    #[test]
    fn the_pace_comes_back_once_switches_are_quick_again() {
        let pace = Pace::new(0);
        looks(&pace, 1_000_000, 10);
        looks(&pace, 10, 9);
        assert_eq!(pace.between.get(), MOST);
    }

    #[test]
    fn many_io_calls_without_a_switch_are_taken_for_as_many_as_they_are() {
        let pace = Pace::new(0);
        for now in (1..100).map(|n| n * 128 * 1_000) {
            (0..128).for_each(|_| pace.count_operation());
            pace.adapt(now);
        }
        // 1,024 took 128 µs: a look every 256 comes often enough.
        assert_eq!(pace.between.get(), MOST);
    }

    #[test]
    fn what_passes_before_it_begins_to_count_anew_is_not_what_switches_took() {
        let pace = Pace::new(0);
        pace.count_switch();
        pace.begin(3_600_000_000_000);
        looks(&pace, 10, 1);
        assert_eq!(pace.between.get(), MOST);
    }

    #[test]
    fn an_io_call_counts_as_several_switches() {
        let pace = Pace::new(0);
        for _ in 1..MOST / OPERATION as u32 {
            pace.count_operation();
        }
        assert!(!pace.is_time_to_look());
        pace.count_operation();
        assert!(pace.is_time_to_look());
    }
}
