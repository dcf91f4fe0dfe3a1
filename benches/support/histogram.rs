//! Latencies in fixed memory, to within 3 %: 32 steps for each power of two of nanoseconds.

use std::time::Duration;

/// Steps per power of two, as a power of two.
const STEP_BITS: u32 = 5;

/// How often each latency was seen.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; bucket(u64::MAX) + 1], total: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.counts[bucket(latency.as_nanos() as u64)] += 1;
        self.total += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The latency that `fraction` of all did not exceed; zero when there were none.
    pub(crate) fn quantile(&self, fraction: f64) -> Duration {
        let rank = (self.total as f64 * fraction).ceil() as u64;
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen >= rank.max(1)
        };
        Duration::from_nanos(self.counts.iter().position(reached).map_or(0, lower_bound))
    }
}

/// Values below two rounds of steps have buckets of their own; above, the leading bits decide.
fn bucket(nanos: u64) -> usize {
    let shift = nanos.max(1).ilog2().saturating_sub(STEP_BITS);
    ((u64::from(shift) << STEP_BITS) + (nanos >> shift)) as usize
}

/// The least value of a bucket.
fn lower_bound(bucket: usize) -> u64 {
    let shift = (bucket as u64 >> STEP_BITS).saturating_sub(1);
    (bucket as u64 - (shift << STEP_BITS)) << shift
}
