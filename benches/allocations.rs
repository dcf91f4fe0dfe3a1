//! Heap allocations per operation, after warm-up: 0 is the goal, and anything else fails.
//!
//! ```text
//! cargo bench --bench allocations
//! ```

#[path = "micro/allocations.rs"]
mod counting;
mod micro;

use counting::{Counting, TIMES, operations};
use micro::report::Table;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let mut table = Table::new(&["operation", "allocations each", "goal"]);
    let counts = operations();
    for (name, count) in &counts {
        let each = *count as f64 / TIMES as f64;
        table.row([(*name).to_owned(), each.to_string(), "0".to_owned()]);
    }
    println!("heap allocations, {TIMES} times each\n\n{table}");
    if counts.iter().all(|(_, count)| *count == 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
