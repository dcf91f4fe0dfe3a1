//! How fast connections are opened.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A gate that lets so many through a second, first come first served.
pub(crate) struct Ramp {
    distance: Duration,
    next: Cell<Instant>,
}

impl Ramp {
    pub(crate) fn new(rate: f64) -> Self {
        Self { distance: Duration::from_secs_f64(1.0 / rate), next: Cell::new(Instant::now()) }
    }

    /// Sleeps until it is the caller's turn.
    pub(crate) fn pass(&self) {
        let now = Instant::now();
        let turn = self.next.get().max(now);
        self.next.set(turn + self.distance);
        let wait = turn - now;
        if !wait.is_zero() {
            evy::sleep(wait);
        }
    }
}
