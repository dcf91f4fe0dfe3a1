//! What was seen of one server in one row of a table, slice by slice, and the columns of two side by side.

use super::load::Report;
use super::report::{Series, thousands};
use std::time::Duration;

/// All slices of one server in one row.
#[derive(Default)]
pub(crate) struct Slices(pub(crate) Vec<Report>);

impl Slices {
    fn series(&self, figure: impl Fn(&Report) -> f64) -> Series {
        self.0.iter().map(figure).collect()
    }

    fn rate(&self) -> Series {
        self.series(|r| r.requests as f64 / r.elapsed.as_secs_f64())
    }

    fn cpu(&self) -> Series {
        self.series(|r| r.server_cpu.as_nanos() as f64 / r.requests as f64)
    }

    fn median_micros(&self, latency: impl Fn(&Report) -> Duration) -> f64 {
        self.series(|r| latency(r).as_secs_f64() * 1e6).median()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.0.iter().map(|r| r.errors).sum()
    }
}

/// The columns behind those that name the row: rates and their ratio, CPU and its ratio, p50, p99, errors.
/// Both ratios are above 1 where `evy` is the better one.
pub(crate) fn columns(base: &Slices, evy: &Slices) -> Vec<String> {
    let (base_cpu, evy_cpu) = (base.cpu(), evy.cpu());
    vec![
        thousands(base.rate().median()),
        thousands(evy.rate().median()),
        Series::ratio(&evy.rate(), &base.rate()).with_quartiles(),
        thousands(base_cpu.median()),
        thousands(evy_cpu.median()),
        Series::ratio(&base_cpu, &evy_cpu).with_quartiles(),
        format!("{:.0}, {:.0}", base.median_micros(|r| r.p50), evy.median_micros(|r| r.p50)),
        format!("{:.0}, {:.0}", base.median_micros(|r| r.p99), evy.median_micros(|r| r.p99)),
        (base.errors() + evy.errors()).to_string(),
    ]
}
