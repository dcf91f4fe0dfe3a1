//! I/O calls that are made past a `GreenFd`, and how many of them a green thread may do before it gives way.

use std::cell::Cell;
use std::rc::Rc;

use evy_runtime::io::{count, count_bytes};
use evy_runtime::{spawn, yield_now};

/// How many turns another green thread has while this one does a thousand times what `call` does.
fn turns_beside(call: impl Fn()) -> usize {
    let turns = Rc::new(Cell::new(0));
    let other = spawn({
        let turns = Rc::clone(&turns);
        move || {
            loop {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    (0..1000).for_each(|_| call());
    other.kill();
    turns.get()
}

#[test]
fn a_loop_of_calls_gives_way_every_128() {
    assert_eq!(turns_beside(count), 1000 / 129);
}

#[test]
fn a_loop_of_large_calls_gives_way_after_as_much_work_as_one_of_small_ones() {
    let turns = turns_beside(|| {
        count();
        count_bytes(64 << 10);
    });
    assert_eq!(turns, 1000 / 26, "each counts as five");
    assert_eq!(turns_beside(|| count_bytes(64 << 10)), 0, "the call that comes next gives way");
}
