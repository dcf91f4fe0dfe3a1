//! When requests are due, with `--rate`.

use std::time::{Duration, Instant};

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

/// A timetable: requests are due at even distances, and the connections take turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    start: Instant,
    connections: usize,
    /// A second, of all connections.
    rate: f64,
}

impl Pace {
    pub(crate) fn new(start: Instant, connections: usize, rate: f64) -> Self {
        Self { start, connections, rate }
    }

    /// When a connection's `request`th request is to be sent, whatever became of those before.
    pub(crate) fn due(&self, connection: usize, request: u64) -> Instant {
        let turn = request as f64 * self.connections as f64 + connection as f64;
        self.start + Duration::try_from_secs_f64(turn / self.rate).unwrap_or(FOR_EVER)
    }

    /// How many requests are due by then.
    pub(crate) fn due_by(&self, time: Instant) -> u64 {
        (time.saturating_duration_since(self.start).as_secs_f64() * self.rate) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_even_distances() {
        let start = Instant::now();
        let pace = Pace::new(start, 4, 1000.0);
        let mut due: Vec<_> =
            (0..4).flat_map(|connection| (0..25).map(move |n| pace.due(connection, n))).collect();
        due.sort();
        for (n, due) in due.into_iter().enumerate() {
            assert_eq!((due - start).as_micros().abs_diff(n as u128 * 1000) / 2, 0);
        }
        assert_eq!(pace.due_by(start + Duration::from_secs(2)), 2000);
    }
}
