//! The line on the terminal while it runs, and the failures above it.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::numbers::{grouped, time};
use crate::tally::Tally;

/// Between two looks at the counts.
const TICK: Duration = Duration::from_millis(200);

/// What is shown on stderr: one line that changes, if it is a terminal.
pub(crate) struct View {
    bar: Option<ProgressBar>,
}

impl View {
    pub(crate) fn new(duration: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let length = duration.as_millis() as u64;
            let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:20} {msg}");
            bar.with_style(style.expect("the template is valid"))
        });
        Self { bar }
    }

    /// Prints a line of its own.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("evy-load: {text}")),
            None => eprintln!("evy-load: {text}"),
        }
    }

    /// Shows how many connections there are, until killed.
    pub(crate) fn opening(&self, tally: &Tally, connections: usize) {
        let Some(bar) = &self.bar else { return };
        loop {
            bar.set_message(format!(
                "opening connections: {} of {connections}",
                tally.opened.get()
            ));
            evy::sleep(TICK);
        }
    }

    /// Shows the rate of the last moment and the latencies so far, until killed.
    pub(crate) fn running(&self, tally: &Tally, start: Instant) {
        let Some(bar) = &self.bar else { return };
        let (mut last, mut answered) = (start, 0);
        loop {
            evy::sleep(TICK);
            let (now, answers) = (Instant::now(), tally.answered.get());
            let rate = (answers - answered) as f64 / (now - last).as_secs_f64();
            (last, answered) = (now, answers);
            bar.set_message(line(tally, rate));
            bar.set_position((now - start).as_millis() as u64);
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(tally: &Tally, rate: f64) -> String {
    let latencies = tally.latencies.borrow();
    let [p50, p99] = [0.5, 0.99].map(|quantile| time(latencies.value_at_quantile(quantile)));
    let errors = tally.failed();
    format!("{}/s  p50 {p50}  p99 {p99}  errors {errors}", grouped(rate as u64))
}
