// What the Redis clients of all peers do alike: arguments, and the measurement. Each includes this file.

use std::time::{Duration, Instant};
use std::{env, fs};

/// `PORT CONNECTIONS BATCH SECONDS`.
#[derive(Clone, Copy)]
pub(crate) struct Arguments {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    /// How many GETs go out before their answers are waited for.
    pub(crate) batch: usize,
    pub(crate) seconds: f64,
}

impl Arguments {
    pub(crate) fn from_env() -> Self {
        let arguments: Vec<_> = env::args().skip(1).collect();
        let number = |index: usize| arguments[index].parse().expect("a number");
        Self {
            port: arguments[0].parse().expect("a port"),
            connections: number(1),
            batch: number(2),
            seconds: arguments[3].parse().expect("seconds"),
        }
    }
}

pub(crate) struct Measurement {
    start: Instant,
    cpu: Duration,
    pub(crate) end: Instant,
}

impl Measurement {
    pub(crate) fn start(seconds: f64) -> Self {
        let start = Instant::now();
        Self { start, cpu: cpu(), end: start + Duration::from_secs_f64(seconds) }
    }

    /// Requests a second, and nanoseconds of this process's CPU for each.
    pub(crate) fn print(self, requests: usize) {
        let rate = requests as f64 / self.start.elapsed().as_secs_f64();
        let cost = (cpu() - self.cpu).as_nanos() as f64 / requests as f64;
        println!("{rate} {cost}");
    }
}

/// What the threads of this process have used so far.
fn cpu() -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("Linux");
    let nanos = threads.flatten().map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanos.sum())
}
