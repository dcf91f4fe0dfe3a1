//! What is counted while requests run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::{Failure, KINDS};

/// Above any status of HTTP.
const STATUSES: usize = 1000;
/// So many failures are told in full.
const TOLD: usize = 5;
/// The histogram's longest latency; what is longer counts as that.
const LONGEST: Duration = Duration::from_secs(3600);
const SIGNIFICANT_DIGITS: u8 = 3;

/// The counts of all connections together.
pub(crate) struct Tally {
    /// Requests that were sent.
    pub(crate) sent: Cell<u64>,
    /// Requests whose answers came back whole.
    pub(crate) answered: Cell<u64>,
    /// Bytes that came back and were right.
    pub(crate) received: Cell<u64>,
    /// Requests that were sent, and failed.
    pub(crate) lost: Cell<u64>,
    /// Connections that were made.
    pub(crate) opened: Cell<u64>,
    /// Connections that the server closed while nothing was in flight, which is its right.
    pub(crate) closed_idle: Cell<u64>,
    /// Answers of HTTP by their status.
    statuses: Box<[Cell<u64>; STATUSES]>,
    /// By kind, as in [`KINDS`].
    pub(crate) failures: [Cell<u64>; KINDS.len()],
    /// The first failures.
    pub(crate) told: RefCell<Vec<String>>,
    /// When the last answer came.
    pub(crate) last_answer: Cell<Option<Instant>>,
    /// Nanoseconds from the sending of each request, or from when it was due, to its whole answer.
    pub(crate) latencies: RefCell<Histogram<u64>>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let longest = LONGEST.as_nanos() as u64;
        let latencies = Histogram::new_with_bounds(1, longest, SIGNIFICANT_DIGITS);
        Self {
            sent: Cell::new(0),
            answered: Cell::new(0),
            received: Cell::new(0),
            lost: Cell::new(0),
            opened: Cell::new(0),
            closed_idle: Cell::new(0),
            statuses: Box::new([const { Cell::new(0) }; STATUSES]),
            failures: [const { Cell::new(0) }; KINDS.len()],
            told: RefCell::new(Vec::with_capacity(TOLD)),
            last_answer: Cell::new(None),
            latencies: RefCell::new(latencies.expect("these bounds are valid")),
        }
    }

    /// Counts answers that came at `now`, to the first of the requests that were sent, or were due, at
    /// these times.
    pub(crate) fn answers(&self, now: Instant, due: &mut VecDeque<Instant>, answers: usize) {
        add(&self.answered, answers as u64);
        self.last_answer.set(Some(now));
        let mut latencies = self.latencies.borrow_mut();
        for due in (0..answers).map_while(|_| due.pop_front()) {
            let latency = now.saturating_duration_since(due).as_nanos();
            latencies.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        }
    }

    /// Counts an answer of HTTP with this status.
    pub(crate) fn status(&self, status: u16) {
        add(&self.statuses[usize::from(status)], 1);
    }

    /// The statuses that there were, and how many of each.
    pub(crate) fn statuses(&self) -> Vec<(u16, u64)> {
        let counts = (0..).zip(self.statuses.iter().map(Cell::get));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Counts a failure of a connection with so many requests in flight. One of the first: its text.
    pub(crate) fn failure(&self, client: usize, failure: &Failure, lost: usize) -> Option<String> {
        add(&self.failures[failure.kind()], 1);
        add(&self.lost, lost as u64);
        let mut told = self.told.borrow_mut();
        if told.len() == TOLD {
            return None;
        }
        let text = match lost {
            0 => format!("connection {client}: {failure}"),
            1 => format!("connection {client}: {failure}; 1 request lost"),
            _ => format!("connection {client}: {failure}; {lost} requests lost"),
        };
        told.push(text.clone());
        Some(text)
    }

    /// Failures of all kinds.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.iter().map(Cell::get).sum()
    }
}

/// Adds to a count.
pub(crate) fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}
