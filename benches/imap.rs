//! `GreenPool::imap` over items that cost nothing: time per item, and memory that does not grow.
//!
//! ```text
//! cargo bench --bench imap                # 10,000,000 items, half a minute
//! cargo bench --bench imap -- 1000000
//! ```
//!
//! The baseline is one green thread per item, spawned and waited for one at a time. Both are timed by
//! turns, a slice of the items each; one `imap` goes through all of them.

mod micro;

use evy::{GreenPool, spawn};
use micro::args::Args;
use micro::cpu::{self, Memory};
use micro::operation::time;
use micro::report::{Series, Table, thousands};
use std::hint::black_box;
use std::io;
use std::time::Duration;

/// Slices of each; memory is looked at after the first tenth of them and after the last.
const SLICES: usize = 50;

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let items = args.list(&[10_000_000])?[0];
    args.end()?;
    cpu::pin(cpu::cores()?.0)?;

    let slice = (items / SLICES) as u64;
    let each = |took: Duration| took.as_secs_f64() * 1e9 / slice as f64;
    let mut results = GreenPool::default().imap(black_box, 0..slice * SLICES as u64);
    let (mut evy, mut baseline, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for done in 1..=SLICES {
        baseline.push(each(time(slice, || spawn(|| black_box(7)).wait())));
        evy.push(each(time(slice, || results.next())));
        if done == SLICES / 10 || done == SLICES {
            resident.push(Memory::of(std::process::id())?.resident);
        }
    }
    assert!(results.next().is_none(), "an item for each");

    let (evy, baseline): (Series, Series) =
        (evy.into_iter().collect(), baseline.into_iter().collect());
    let mut table = Table::new(&[
        "items",
        "ns an item",
        "goal ns",
        "spawn + wait ns",
        "spawn + wait / imap",
        "RSS KiB after a tenth",
        "RSS KiB at the end",
    ]);
    let quartiles = [0.5, 0.25, 0.75].map(|part| evy.quantile(part));
    table.row([
        thousands(items as f64),
        format!("**{:.0}** ({:.0}–{:.0})", quartiles[0], quartiles[1], quartiles[2]),
        "150".to_owned(),
        format!("{:.1}", baseline.median()),
        Series::ratio(&baseline, &evy).with_quartiles(),
        thousands(resident[0] as f64 / 1024.0),
        thousands(resident[1] as f64 / 1024.0),
    ]);
    println!("imap over items that cost nothing, pool of 1,000\n\n{table}");
    Ok(())
}
