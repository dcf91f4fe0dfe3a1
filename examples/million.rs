//! A million green threads, all parked at once, each on a guarded stack of its own.
//!
//! ```text
//! cargo run --release --example million             # 1,000,000: needs 5 GB of memory
//! cargo run --release --example million -- 100000
//! ```
//!
//! Kernel settings are as they come: the guards cost no mappings (Linux 6.13 or later), and only the
//! pages that are touched cost memory.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;

    let before = Memory::now()?;
    let start = Instant::now();
    let running = Rc::new(Cell::new(0));
    for _ in 0..count {
        let running = Rc::clone(&running);
        evy::spawn_n(move || {
            running.set(running.get() + 1);
            evy::sleep(Duration::MAX);
        });
    }
    println!("{count} green threads spawned in {:.2?}", start.elapsed());

    evy::yield_now();
    assert_eq!(running.get(), count);
    println!("all of them parked after {:.2?}", start.elapsed());

    let after = Memory::now()?;
    let each = |from: u64, to: u64| to.saturating_sub(from) / count.max(1);
    println!("resident memory: {} bytes each", each(before.resident, after.resident));
    println!("page tables: {} bytes each", each(before.page_tables, after.page_tables));
    println!("mappings of the process: {} (before: {})", after.mappings, before.mappings);
    println!("mappings allowed: {}", read("/proc/sys/vm/max_map_count")?.trim());

    let start = Instant::now();
    evy::kill_all();
    println!("all killed, one by one, in {:.2?}", start.elapsed());
    Ok(())
}

/// What the kernel says of this process, in bytes.
struct Memory {
    resident: u64,
    page_tables: u64,
    mappings: usize,
}

impl Memory {
    fn now() -> Result<Self, Box<dyn std::error::Error>> {
        let status = read("/proc/self/status")?;
        Ok(Self {
            resident: kibibytes(&status, "VmRSS:")? * 1024,
            page_tables: kibibytes(&status, "VmPTE:")? * 1024,
            mappings: read("/proc/self/maps")?.lines().count(),
        })
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error} (this is for Linux)"))
}

/// The number in a line such as `VmRSS:    1234 kB`.
fn kibibytes(status: &str, name: &str) -> Result<u64, String> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("no {name} in /proc/self/status"))
}
