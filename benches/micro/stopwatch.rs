//! Times operations of a few nanoseconds, each beside its baseline.
//!
//! Every round times each operation once, a few milliseconds long, and its baseline right before it.
//! A ratio is the median of the rounds' ratios: whatever slows the machine for longer than two samples
//! cancels out.

use super::bare;
use super::operation::Operation;
use super::report::{Series, Table};
use std::time::Duration;

/// How long a sample is to last.
const SAMPLE: Duration = Duration::from_millis(4);

/// What corosensei's bare switch there and back took where the goals of DESIGN section 7 were set.
const REFERENCE_PAIR: f64 = 2.2;

/// One line of the table.
struct Row<'a> {
    name: String,
    /// Nanoseconds that DESIGN section 7 asks for, on its machine.
    goal: Option<f64>,
    operation: Sampler<'a>,
    /// The place of its baseline.
    baseline: usize,
    nanos: Vec<f64>,
    baseline_nanos: Vec<f64>,
}

/// An operation, and how often it is done for a sample.
struct Sampler<'a> {
    operation: Operation<'a>,
    times: u64,
}

impl<'a> Sampler<'a> {
    /// Finds out how often the operation fits into a sample, once it is warm.
    fn new(mut operation: Operation<'a>) -> Self {
        let mut times = 1;
        loop {
            operation(times);
            let took = operation(times);
            if took >= SAMPLE / 4 {
                let scale = SAMPLE.as_secs_f64() / took.as_secs_f64();
                return Self { operation, times: (times as f64 * scale).ceil() as u64 };
            }
            times *= 2;
        }
    }

    /// Nanoseconds for one.
    fn sample(&mut self) -> f64 {
        (self.operation)(self.times).as_secs_f64() * 1e9 / self.times as f64
    }
}

/// The operations of one bench.
pub(crate) struct Stopwatch<'a> {
    only: String,
    /// With what they are compared; the first is the bare switch.
    baselines: Vec<(&'static str, Sampler<'a>)>,
    rows: Vec<Row<'a>>,
    pair_nanos: Vec<f64>,
}

impl<'a> Stopwatch<'a> {
    /// Measures the operations whose names contain `only`.
    pub(crate) fn new(only: String) -> Self {
        let pair: Operation<'a> = Box::new(bare::switch_there_and_back());
        let baselines = vec![("bare switch pair", Sampler::new(pair))];
        Self { only, baselines, rows: Vec::new(), pair_nanos: Vec::new() }
    }

    /// With what the operations added after this are compared.
    pub(crate) fn baseline(&mut self, name: &'static str, operation: Operation<'a>) {
        self.baselines.push((name, Sampler::new(operation)));
    }

    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        goal: Option<f64>,
        operation: impl FnOnce() -> Operation<'a>,
    ) {
        let name = name.into();
        if !name.contains(&self.only) {
            return;
        }
        self.rows.push(Row {
            name,
            goal,
            operation: Sampler::new(operation()),
            baseline: self.baselines.len() - 1,
            nanos: Vec::new(),
            baseline_nanos: Vec::new(),
        });
    }

    /// Times everything `rounds` times.
    pub(crate) fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for row in &mut self.rows {
                let pair = self.baselines[0].1.sample();
                self.pair_nanos.push(pair);
                let baseline =
                    if row.baseline == 0 { pair } else { self.baselines[row.baseline].1.sample() };
                row.baseline_nanos.push(baseline);
                row.nanos.push(row.operation.sample());
            }
        }
    }

    /// The figures. `scaled` is what the operation would take if the bare switch took 2.2 ns, as where
    /// the goals were set.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            "operation",
            "ns",
            "scaled ns",
            "goal ns",
            "baseline",
            "its ns",
            "baseline / evy",
        ]);
        let pair = series(&self.pair_nanos).median();
        for row in &self.rows {
            let (nanos, baseline) = (series(&row.nanos), series(&row.baseline_nanos));
            let goal = row.goal.map_or_else(|| "–".to_owned(), |goal| format!("{goal:.0}"));
            table.row([
                row.name.clone(),
                with_quartiles(&nanos),
                format!("{:.1}", nanos.median() * REFERENCE_PAIR / pair),
                goal,
                self.baselines[row.baseline].0.to_owned(),
                format!("{:.1}", baseline.median()),
                with_quartiles(&Series::ratio(&baseline, &nanos)),
            ]);
        }
        table
    }
}

/// `median (lower quartile–upper quartile)`, with three digits or more.
fn with_quartiles(figures: &Series) -> String {
    let [lower, median, upper] = [0.25, 0.5, 0.75].map(|part| figures.quantile(part));
    let digits = (2 - median.log10().floor() as i32).clamp(0, 4) as usize;
    format!("**{median:.digits$}** ({lower:.digits$}–{upper:.digits$})")
}

fn series(nanos: &[f64]) -> Series {
    nanos.iter().copied().collect()
}
