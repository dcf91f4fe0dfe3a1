//! How the runner gets to see the memory of a program before and after it has parked green threads.

use std::io;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Green threads on their way to where they park.
pub struct Parking {
    count: usize,
    parked: AtomicUsize,
    start: Instant,
    /// From the start until the last of them parked.
    took: OnceLock<Duration>,
}

impl Parking {
    /// Says that the runtime stands, and waits until the runner has looked. The OS thread blocks. Then
    /// `count` are expected.
    #[must_use]
    pub fn begin(count: usize) -> &'static Self {
        println!("ready");
        next_line();
        let (parked, took) = (AtomicUsize::new(0), OnceLock::new());
        Box::leak(Box::new(Self { count, parked, start: Instant::now(), took }))
    }

    /// The caller parks next.
    pub fn park(&self) {
        if self.parked.fetch_add(1, Ordering::Relaxed) + 1 == self.count {
            self.took.get_or_init(|| self.start.elapsed());
        }
    }

    /// Whether all have parked, or are about to.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.took.get().is_some()
    }

    /// Says how many nanoseconds that took, waits until the runner has looked, and ends the process.
    ///
    /// # Panics
    ///
    /// When there are still some missing.
    pub fn end(&self) -> ! {
        println!("{}", self.took.get().expect("all have parked").as_nanos());
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
