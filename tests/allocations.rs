//! What green threads do all day allocates nothing once it is warm.

#[path = "../benches/micro/allocations.rs"]
mod counting;

use counting::{Counting, TIMES, operations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn switches_waits_spawns_and_timers_allocate_nothing_once_warm() {
    for (operation, count) in operations() {
        assert_eq!(count, 0, "{operation}: allocations in {TIMES}");
    }
}
