//! What a run has found out.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::KINDS;
use crate::http::is_success;
use crate::numbers::{counted, grouped};
use crate::options::Options;
use crate::run::Run;

/// The quantiles of the table, with their names there and in JSON.
pub(crate) const QUANTILES: [(f64, &str, &str); 6] = [
    (0.5, "50%", "p50"),
    (0.75, "75%", "p75"),
    (0.9, "90%", "p90"),
    (0.99, "99%", "p99"),
    (0.999, "99.9%", "p99_9"),
    (0.9999, "99.99%", "p99_99"),
];
/// The upper end of the histogram's first row; each next one is twice that.
const FIRST_ROW: Duration = Duration::from_micros(1);

/// Requests that were due so shortly before the stop may be unsent without anybody's fault.
const SLACK: Duration = Duration::from_millis(10);

/// What was seen between the start of a run and its stop.
pub(crate) struct Span {
    pub(crate) begin: Instant,
    pub(crate) stop: Instant,
    /// The time that this process was on a CPU.
    pub(crate) cpu: Duration,
    /// Answers that came by the stop.
    pub(crate) answered: u64,
}

/// What a run has found out.
pub(crate) struct Report {
    pub(crate) address: String,
    pub(crate) connections: usize,
    /// Of a request, without its head.
    pub(crate) size: usize,
    /// What was asked for, for people.
    pub(crate) request: String,
    pub(crate) pipeline: usize,
    pub(crate) per_connection: Option<usize>,
    pub(crate) rate: Option<f64>,
    /// From the start to the stop, or to the last answer if that came later.
    pub(crate) seconds: f64,
    /// The part of a CPU that the load generator itself has used: near 1, it is what limits the rate.
    pub(crate) cpu_share: f64,
    /// Seconds of CPU that it has used for each request.
    pub(crate) cpu_of_request: f64,
    /// Ended by a signal.
    pub(crate) interrupted: bool,
    /// Requests that were sent.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Requests that were sent, and failed.
    pub(crate) lost: u64,
    /// Requests in flight when it was interrupted.
    pub(crate) unfinished: usize,
    /// Requests that the rate had asked for, and that were not sent.
    pub(crate) unsent: u64,
    /// Bytes that came back and were right.
    pub(crate) received: u64,
    pub(crate) opened: u64,
    pub(crate) closed_idle: u64,
    /// By HTTP: the statuses of answers, and how many there were of each.
    pub(crate) statuses: Option<Vec<(u16, u64)>>,
    /// By kind, as in [`KINDS`].
    pub(crate) failures: [u64; KINDS.len()],
    /// The first failures.
    pub(crate) told: Vec<String>,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        run: &Run,
        span: &Span,
        interrupted: bool,
        unfinished: usize,
    ) -> Self {
        let (tally, &Span { begin, stop, cpu, .. }) = (&run.tally, span);
        let end = tally.last_answer.get().map_or(stop, |last| last.max(stop));
        let asked_for = run.pace.get().map_or(0, |pace| pace.due_by(stop - SLACK));
        Self {
            address: options.shown_address().to_string(),
            connections: options.connections,
            size: options.size(),
            request: options.request(),
            pipeline: options.pipeline,
            per_connection: options.per_connection,
            rate: options.rate,
            seconds: (end - begin).as_secs_f64(),
            cpu_share: cpu.as_secs_f64() / (stop - begin).as_secs_f64(),
            cpu_of_request: cpu.as_secs_f64() / span.answered.max(1) as f64,
            interrupted,
            sent: tally.sent.get(),
            answered: tally.answered.get(),
            lost: tally.lost.get(),
            unfinished,
            unsent: asked_for.saturating_sub(tally.sent.get()),
            received: tally.received.get(),
            opened: tally.opened.get(),
            closed_idle: tally.closed_idle.get(),
            statuses: options.is_http().then(|| tally.statuses()),
            failures: std::array::from_fn(|kind| tally.failures[kind].get()),
            told: tally.told.borrow().clone(),
            latencies: tally.latencies.borrow().clone(),
        }
    }

    /// Failures of all kinds.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// The kinds of failures that there were.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.failures).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn per_second(&self, count: u64) -> f64 {
        if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 }
    }

    /// What has gone wrong, in a line; `None` if nothing has.
    pub(crate) fn verdict(&self) -> Option<String> {
        let verdicts: Vec<_> = [self.verdict_of_failures(), self.verdict_of_statuses()]
            .into_iter()
            .flatten()
            .collect();
        (!verdicts.is_empty()).then(|| verdicts.join("; "))
    }

    fn verdict_of_failures(&self) -> Option<String> {
        if self.failed() == 0 {
            return None;
        }
        let kinds: Vec<_> =
            self.failures().map(|(kind, count)| format!("{} {kind}", grouped(count))).collect();
        let errors = counted(self.failed(), "error");
        let requests = counted(self.lost, "request");
        Some(format!("{errors} ({}); {requests} lost", kinds.join(", ")))
    }

    fn verdict_of_statuses(&self) -> Option<String> {
        let unsuccessful: Vec<_> = self.unsuccessful().collect();
        if unsuccessful.is_empty() {
            return None;
        }
        let all = counted(unsuccessful.iter().map(|(_, count)| count).sum(), "answer");
        let each: Vec<_> = unsuccessful
            .into_iter()
            .map(|(status, count)| format!("{} of {status}", grouped(count)))
            .collect();
        Some(format!("{all} with another status than 2xx ({})", each.join(", ")))
    }

    /// By HTTP, the statuses that are no success.
    pub(crate) fn unsuccessful(&self) -> impl Iterator<Item = (u16, u64)> {
        let all = self.statuses.iter().flatten().copied();
        all.filter(|(status, _)| !is_success(*status))
    }

    /// Rows of the histogram: the upper end in nanoseconds, and how many latencies there were up to it
    /// and above the row before. From the first row with any to the last.
    pub(crate) fn rows(&self) -> Vec<(u64, u64)> {
        let first = FIRST_ROW.as_nanos() as u64;
        let mut rows: Vec<_> = self
            .latencies
            .iter_log(first, 2.0)
            .map(|row| (row.value_iterated_to() + 1, row.count_since_last_iteration()))
            .skip_while(|(_, count)| *count == 0)
            .collect();
        while rows.last().is_some_and(|(_, count)| *count == 0) {
            rows.pop();
        }
        rows
    }
}
