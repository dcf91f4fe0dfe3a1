//! Wakes from other OS threads, ten times as many as `make test` tries: none may be lost.

#[path = "../runtime/tests/storm/mod.rs"]
mod storm;

use std::time::Instant;

#[test]
#[ignore = "acceptance: 80,000,000 wakes"]
fn fault_21_of_eight_times_ten_million_wakes_none_is_lost() {
    const WAKES: usize = 10_000_000;
    let start = Instant::now();
    let parks = storm::storm(WAKES);
    println!("{} wakes, {parks} parks, {:.1} s", 8 * WAKES, start.elapsed().as_secs_f64());
    assert!(parks <= 8 * WAKES);
}
