//! What a parked green thread costs: resident memory, page tables, mappings.
//!
//! ```text
//! cargo bench --bench memory                # 100,000 and 1,000,000 green threads, a minute
//! cargo bench --bench memory -- 10000
//! ```
//!
//! Guards are up and the kernel's settings are as they are. Counted is what a fresh process grew by
//! from before the first spawn until all were parked. The baseline is one page each: what a stack of
//! its own takes at least.

mod micro;

use evy::{sleep, spawn_n, yield_now};
use evy_runtime::{Reason, WaitList};
use micro::args::Args;
use micro::cpu::Memory;
use micro::report::{Table, thousands};
use std::io;
use std::process::{Command, id};
use std::rc::Rc;
use std::time::{Duration, Instant};

const TURN: Reason = Reason::new(&"its turn");

/// The flags under which this executable parks green threads and prints what that cost.
const MODES: [(&str, &str); 2] = [("--wait-list", "a WaitList"), ("--sleep", "sleep")];

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let mode = MODES.iter().position(|(flag, _)| args.flag(flag));
    let counts = args.list(&[100_000, 1_000_000])?;
    args.end()?;
    if let Some(mode) = mode {
        return park(counts[0], mode == 0);
    }
    let mut table = Table::new(&[
        "green threads",
        "parked in",
        "RSS B each",
        "page tables B each",
        "both, of a page",
        "new mappings",
        "spawn + first run ns",
    ]);
    for count in counts {
        for (flag, name) in MODES {
            let mut cells = vec![thousands(count as f64), name.to_owned()];
            cells.extend(in_a_process_of_its_own(flag, count)?);
            table.row(cells);
        }
    }
    println!("memory of a parked green thread\n\n{table}");
    Ok(())
}

fn in_a_process_of_its_own(flag: &str, count: usize) -> io::Result<Vec<String>> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([flag, &count.to_string()]).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().split('|').map(str::to_owned).collect())
}

/// Parks that many green threads, prints the cells of the table, and ends the process with them.
fn park(count: usize, in_list: bool) -> io::Result<()> {
    yield_now();
    let before = Memory::of(id())?;
    let start = Instant::now();
    let list = Rc::new(WaitList::new());
    for _ in 0..count {
        if in_list {
            let list = Rc::clone(&list);
            spawn_n(move || list.wait(TURN, None, || ()));
        } else {
            spawn_n(|| sleep(Duration::from_secs(3600)));
        }
    }
    yield_now();
    let took = start.elapsed();
    let after = Memory::of(id())?;
    assert!(!in_list || list.len() == count);

    let each = |from: u64, to: u64| (to - from) as f64 / count as f64;
    let resident = each(before.resident, after.resident);
    let page_tables = each(before.page_tables, after.page_tables);
    // SAFETY: sysconf takes no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64;
    println!(
        "{}|{}|**{:.2}**|{}|{:.0}",
        thousands(resident),
        thousands(page_tables),
        (resident + page_tables) / page,
        after.mappings - before.mappings,
        took.as_nanos() as f64 / count as f64
    );
    std::process::exit(0)
}
