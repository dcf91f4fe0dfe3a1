//! What the line of `--stats` says, and how it is measured.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evy::ServerCounters;

/// How long the timer runs whose delay is measured.
const TICK: Duration = Duration::from_millis(10);

/// What one core counts. Only its own hub writes it, so that no two cores pull at one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
    /// How late timers were since the last line.
    delays: Mutex<Vec<Duration>>,
}

impl Tally {
    pub(crate) fn echoed(&self, bytes: usize) {
        self.asked();
        self.sent(bytes);
    }

    /// A request has come, and its answer is sent apart.
    pub(crate) fn asked(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Measures for ever how late the hub comes back to a green thread whose timer has run out: the time
    /// that a turn of everybody else takes.
    pub(crate) fn measure_delays(&self) {
        loop {
            let due = Instant::now() + TICK;
            evy::sleep(TICK);
            lock(&self.delays).push(due.elapsed());
        }
    }
}

/// The tallies and counters of all cores.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    cores: Mutex<Vec<(Arc<Tally>, Vec<ServerCounters>)>>,
}

impl Stats {
    pub(crate) fn add(&self, tally: Arc<Tally>, servers: Vec<ServerCounters>) {
        lock(&self.cores).push((tally, servers));
    }

    /// Writes a line each `period`, for ever.
    pub(crate) fn report(&self, period: Duration) {
        let (mut before, mut since) = (Totals::default(), Instant::now());
        loop {
            evy::sleep(period);
            let (totals, now) = (self.totals(), Instant::now());
            // A closed standard error is no reason to serve nobody.
            let _ = writeln!(io::stderr(), "{}", totals.line(&before, now - since));
            (before, since) = (totals, now);
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (tally, servers) in &*lock(&self.cores) {
            totals.requests += tally.requests.load(Relaxed);
            totals.bytes += tally.bytes.load(Relaxed);
            totals.delays.append(&mut lock(&tally.delays));
            totals.clients += servers.iter().map(ServerCounters::clients).sum::<usize>();
            totals.accepted += servers.iter().map(ServerCounters::accepted).sum::<u64>();
        }
        totals.delays.sort_unstable();
        totals
    }
}

#[derive(Debug, Default)]
struct Totals {
    clients: usize,
    accepted: u64,
    requests: u64,
    bytes: u64,
    /// Sorted.
    delays: Vec<Duration>,
}

impl Totals {
    fn line(&self, before: &Self, time: Duration) -> String {
        let requests = (self.requests - before.requests) as f64 / time.as_secs_f64();
        let mebibytes =
            (self.bytes - before.bytes) as f64 / time.as_secs_f64() / f64::from(1 << 20);
        let turn = self.p99().map_or_else(|| "-".to_owned(), |p99| format!("{:.2}", millis(p99)));
        format!(
            "stats: {} clients, {} accepted, {requests:.0} requests/s, {mebibytes:.2} MiB/s, \
             turn p99 {turn} ms",
            self.clients, self.accepted
        )
    }

    /// What 99 of 100 delays are not longer than.
    fn p99(&self) -> Option<Duration> {
        let last = (self.delays.len() * 99).div_ceil(100).checked_sub(1)?;
        Some(self.delays[last])
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
