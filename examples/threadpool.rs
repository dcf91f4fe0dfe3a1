//! Four jobs that block, on three OS threads: together they take twice as long as one.
//!
//! ```text
//! cargo run --release --example threadpool           # jobs of one second
//! cargo run --release --example threadpool -- 0.1    # of a tenth
//! ```
//!
//! `EVY_THREADPOOL_SIZE` says how many OS threads there are in a program that does not say it itself.

use std::time::{Duration, Instant};

use evy::{join_all, spawn, threadpool, unblock};

const JOBS: u32 = 4;
const THREADS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(1.0), |text| text.parse())?;
    let length = Duration::try_from_secs_f64(seconds)?;

    threadpool::set_size(THREADS);
    let start = Instant::now();
    let jobs = (1..=JOBS).map(|job| {
        spawn(move || {
            unblock(move || block(length));
            println!("job {job} is done after {:.0?}", start.elapsed());
        })
    });
    join_all(jobs);
    println!("{JOBS} jobs of {length:?} on {THREADS} OS threads took {:.0?}", start.elapsed());
    threadpool::shutdown(Duration::from_secs(1))?;
    Ok(())
}

/// What knows nothing of green threads: a library that reads files or asks a database.
#[expect(
    clippy::disallowed_methods,
    reason = "it blocks an OS thread of the pool, and nobody else"
)]
fn block(length: Duration) {
    std::thread::sleep(length);
}
