//! Jobs on other OS threads: there and back, beside what std has for that, in the same run.
//!
//! ```text
//! cargo bench --bench unblock                     # the whole table, about ten seconds
//! cargo bench --bench unblock -- --rounds 100 --one-core
//! ```
//!
//! Both sides wait for each other, so what is timed is mostly how long the kernel takes to wake a thread.
//! Each side has a core of its own, unless `--one-core` says otherwise.

mod micro;

use evy::{join_all, spawn, unblock};
use evy_runtime::threadpool;
use micro::args::Args;
use micro::cpu;
use micro::operation::time;
use micro::stopwatch::Stopwatch;
use std::hint::black_box;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

/// Jobs that wait at the same time.
const BATCH: u64 = 100;

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 25.0)? as usize;
    let only = args.text("--only");
    let one_core = args.flag("--one-core");
    args.end()?;
    let (here, other) = cpu::cores()?;
    let there = if one_core { here } else { other };
    if one_core {
        cpu::pin(here)?;
    }

    let mut stopwatch = Stopwatch::new(only);
    stopwatch.baseline("mpsc to an OS thread that waits", Box::new(ping_pong(there)?));
    threadpool::set_size(1);
    unblock(|| ());
    unblock(move || cpu::pin(there))?;
    cpu::pin(here)?;
    stopwatch.add("unblock(|| ())", None, || Box::new(|n| time(n, || unblock(|| ()))));
    stopwatch.add("unblock(|| ()) by a green thread", None, || Box::new(by_a_green_thread));

    stopwatch.baseline("std spawn + join", Box::new(os_spawns));
    stopwatch.add("unblock(|| ()), beside a new OS thread", None, || {
        Box::new(|n| time(n, || unblock(|| ())))
    });
    stopwatch.add("unblock(|| ()) by 100 green threads at once", None, || Box::new(batches));

    stopwatch.run(rounds);
    println!("jobs on other OS threads, {rounds} rounds\n\n{}", stopwatch.table());
    std::process::exit(0)
}

/// Two OS threads that send to each other, the other one on core `there`.
fn ping_pong(there: usize) -> io::Result<impl FnMut(u64) -> Duration> {
    let (ping, pings) = mpsc::channel();
    let (pong, pongs) = mpsc::channel();
    std::thread::spawn(move || {
        cpu::pin(there).expect("it is a core of this process");
        pings.iter().try_for_each(|n: u64| pong.send(n))
    });
    Ok(move |n| {
        time(n, || {
            ping.send(1).expect("the other one lives");
            pongs.recv().expect("the other one lives");
        })
    })
}

fn by_a_green_thread(n: u64) -> Duration {
    spawn(move || time(n, || unblock(|| ()))).wait().expect("it does not panic")
}

fn os_spawns(n: u64) -> Duration {
    time(n, || std::thread::spawn(|| black_box(7)).join())
}

fn batches(n: u64) -> Duration {
    let batch = || join_all((0..BATCH).map(|_| spawn(|| unblock(|| black_box(7)))));
    time(n.div_ceil(BATCH), batch).mul_f64(n as f64 / n.next_multiple_of(BATCH) as f64)
}
