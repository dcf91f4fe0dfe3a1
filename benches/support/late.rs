//! How late who sleeps wakes while others keep the hub busy: servers with a mix of work, and the load.
//!
//! A server has an echo port, a port whose bytes it throws away, green threads or tasks that sleep for
//! seconds, one that works and yields, and a hundred probes that sleep for a millisecond or two and note
//! how late they woke. It runs for a given time and then says how late that was.

mod evy;
mod load;
mod tokio;

use std::fmt;
use std::hint::black_box;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::{Duration, Instant};

pub(crate) use evy::serve as serve_evy;
pub(crate) use load::{echo, flood};
pub(crate) use tokio::serve as serve_tokio;

use super::histogram::Histogram;

/// Those whose lateness is noted.
const PROBES: u64 = 100;

/// How long a piece of work is between two yields.
const WORK: Duration = Duration::from_micros(10);

/// Before anything is noted: everybody is connected.
pub(crate) const WARM_UP: Duration = Duration::from_millis(1500);

/// What a server does beside its probes and its sockets, and how long it is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// How many sleep for long.
    pub(crate) timers: u64,
    /// How many work and yield all the time.
    pub(crate) workers: u64,
    pub(crate) time: Duration,
}

impl Mix {
    pub(crate) fn to_args(self) -> [String; 3] {
        [self.timers, self.workers, self.time.as_millis() as u64].map(|n| n.to_string())
    }

    pub(crate) fn from_args(args: &[String]) -> Option<Self> {
        let [timers, workers, millis] = args else { return None };
        Some(Self {
            timers: timers.parse().ok()?,
            workers: workers.parse().ok()?,
            time: Duration::from_millis(millis.parse().ok()?),
        })
    }
}

/// How late that was: the median, 99 and 99.9 of a hundred, and the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lateness {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) worst: Duration,
}

impl Lateness {
    fn of(histogram: &Histogram) -> io::Result<Self> {
        if histogram.total() < 1000 {
            return Err(io::Error::other(format!("only {} were noted", histogram.total())));
        }
        let [p50, p99, p999, worst] = [0.5, 0.99, 0.999, 1.0].map(|part| histogram.quantile(part));
        Ok(Self { p50, p99, p999, worst })
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p999, worst } = *self;
        let [p50, p99, p999, worst] = [p50, p99, p999, worst].map(|time| time.as_nanos());
        write!(f, "{p50} {p99} {p999} {worst}")
    }
}

impl FromStr for Lateness {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let numbers: Option<Vec<u64>> = line.split_whitespace().map(|n| n.parse().ok()).collect();
        let Some(&[p50, p99, p999, worst]) = numbers.as_deref() else {
            return Err(io::Error::other(format!("{line:?} is no lateness")));
        };
        let [p50, p99, p999, worst] = [p50, p99, p999, worst].map(Duration::from_nanos);
        Ok(Self { p50, p99, p999, worst })
    }
}

/// How long the `n`th of those that sleep for long does so, each time: 5 to 15 s.
fn long_sleep(n: u64) -> Duration {
    Duration::from_millis(5_000 + n * 7_919 % 10_000)
}

/// How long a probe sleeps for the `n`th time: 1 to 2 ms, so that they do not all wake at once.
fn short_sleep(n: u64) -> Duration {
    Duration::from_micros(1_000 + n * 617 % 1_000)
}

fn work() {
    let start = Instant::now();
    while start.elapsed() < WORK {
        black_box(start);
    }
}

/// Tells where to connect: the port of the echo, and the one whose bytes are thrown away.
fn announce(echo: u16, sink: u16) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{echo} {sink}")?;
    out.flush()
}
