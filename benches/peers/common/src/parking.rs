//! How the runner gets to see the memory of a program before and after it has parked green threads.

use std::io;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Green threads on their way to where they park.
pub struct Parking {
    parked: AtomicUsize,
    start: Instant,
}

impl Parking {
    /// Says that the runtime stands, and waits until the runner has looked. The OS thread blocks.
    #[must_use]
    pub fn begin() -> &'static Self {
        println!("ready");
        next_line();
        Box::leak(Box::new(Self { parked: AtomicUsize::new(0), start: Instant::now() }))
    }

    /// The caller parks next.
    pub fn park(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether `count` have parked, or are about to.
    #[must_use]
    pub fn is_full(&self, count: usize) -> bool {
        self.parked.load(Ordering::Relaxed) == count
    }

    /// Says how many nanoseconds that took, waits until the runner has looked, and ends the process.
    pub fn end(&self) -> ! {
        println!("{}", self.start.elapsed().as_nanos());
        next_line();
        process::exit(0)
    }
}

/// The runner writes a line when it has looked.
fn next_line() {
    let mut line = String::new();
    // Where the runner has gone, this process goes as well.
    if io::stdin().read_line(&mut line).is_err() {
        process::exit(1);
    }
}
