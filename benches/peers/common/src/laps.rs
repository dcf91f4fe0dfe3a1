//! What green threads do again and again, timed over all of them.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long it may take until everybody has begun.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts the laps of all, whoever does them, so that a scheduler that is not fair is not timed wrongly.
///
/// The first laps warm up, until everybody has begun: tokio's multi_thread runtime, for one, takes some
/// million laps until a hundred thousand tasks have all had a turn. When the time is over, the lap that is
/// done then prints the nanoseconds for one and ends the process, with all that is still running.
pub struct Laps {
    live: u64,
    begun: AtomicU64,
    made: Instant,
    /// Written by one OS thread at a time: all peers run on one here. So it costs no locked instruction.
    done: AtomicU64,
    /// At how many the clock is to be looked at.
    look_at: AtomicU64,
    /// How many lie between two looks at the clock.
    step: u64,
    time: Duration,
    /// When the first laps were over, and how many they were.
    start: OnceLock<(Instant, u64)>,
}

impl Laps {
    /// Laps of `live` who take part, for `seconds`. They live as long as the process does.
    #[must_use]
    pub fn new(live: usize, seconds: f64) -> &'static Self {
        let step = 4_000.max(live as u64);
        Box::leak(Box::new(Self {
            live: live as u64,
            begun: AtomicU64::new(0),
            made: Instant::now(),
            done: AtomicU64::new(0),
            look_at: AtomicU64::new(2 * step),
            step,
            time: Duration::from_secs_f64(seconds),
            start: OnceLock::new(),
        }))
    }

    /// So many take part from now on.
    pub fn begin(&self, count: usize) {
        self.begun.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// One is done.
    #[inline(always)]
    pub fn lap(&self) {
        self.laps(1);
    }

    /// So many are done.
    #[inline(always)]
    pub fn laps(&self, count: u64) {
        let done = self.done.load(Ordering::Relaxed) + count;
        self.done.store(done, Ordering::Relaxed);
        if done >= self.look_at.load(Ordering::Relaxed) {
            self.look(done);
        }
    }

    #[cold]
    fn look(&self, done: u64) {
        self.look_at.store(done + self.step, Ordering::Relaxed);
        let now = Instant::now();
        let begun = self.begun.load(Ordering::Relaxed);
        if begun < self.live {
            if now - self.made > PATIENCE {
                eprintln!("only {begun} of {} have had a turn", self.live);
                process::exit(1);
            }
            return;
        }
        let &(start, first) = self.start.get_or_init(|| (now, done));
        let elapsed = now - start;
        if elapsed >= self.time && done > first {
            println!("{}", elapsed.as_nanos() as f64 / (done - first) as f64);
            process::exit(0);
        }
    }
}
