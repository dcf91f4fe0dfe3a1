//! The figures of a run as people read them.

use std::fmt;

use crate::numbers::{counted, grouped, time};
use crate::report::{QUANTILES, Report};

/// The widest bar of the histogram.
const BAR: f64 = 40.0;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_setting(f)?;
        self.write_rates(f)?;
        self.write_troubles(f)?;
        if self.latencies.is_empty() {
            return Ok(());
        }
        self.write_latencies(f)?;
        writeln!(f)?;
        self.write_histogram(f)
    }
}

impl Report {
    /// What was asked of whom, and for how long.
    fn write_setting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = if self.interrupted { ", interrupted" } else { "" };
        writeln!(
            f,
            "{}: {}, {}, pipeline {}, {:.2} s{ended}",
            self.address,
            counted(self.connections as u64, "connection"),
            self.request,
            self.pipeline,
            self.seconds,
        )
    }

    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = grouped(self.per_second(self.answered) as u64);
        writeln!(f, "  requests     {:>14}  {rate:>12}/s", grouped(self.answered))?;
        let mebibytes = self.received as f64 / f64::from(1 << 20);
        let throughput = self.per_second(self.received) / f64::from(1 << 20);
        let way = if self.statuses.is_some() { "received" } else { "each way" };
        writeln!(f, "  MiB {way} {mebibytes:>14.1}  {throughput:>12.1}/s")?;
        write!(f, "  connections  {:>14}", grouped(self.opened))?;
        // Otherwise nearly all were made before the start.
        if self.per_connection.is_some() {
            write!(f, "  {:>12}/s", grouped(self.per_second(self.opened) as u64))?;
        }
        writeln!(f)?;
        let share = self.cpu_share * 100.0;
        let of_request = time((self.cpu_of_request * 1e9) as u64);
        writeln!(f, "  own CPU      {share:>13.1}%  {of_request:>12}/request")
    }

    /// The statuses and the errors, and whatever else there was that should not have been.
    fn write_troubles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (status, count) in self.statuses.iter().flatten() {
            writeln!(f, "  status {status}   {:>14}", grouped(*count))?;
        }
        writeln!(f, "  errors       {:>14}", grouped(self.failed()))?;
        let idle = "connections that the server closed between requests";
        let unsent = "requests that the rate asked for: the server is too slow";
        let further = [
            ("closed idle", self.closed_idle, idle),
            ("unfinished", self.unfinished as u64, "requests in flight at the interrupt"),
            ("not sent", self.unsent, unsent),
        ];
        for (name, count, meaning) in further.into_iter().filter(|(_, count, _)| *count > 0) {
            writeln!(f, "  {name:<12} {:>14}  {meaning}", grouped(count))?;
        }
        Ok(())
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = if self.rate.is_some() { "when its request was due" } else { "its request" };
        writeln!(f, "\nlatency of an answer, from {from}")?;
        writeln!(f, "  {:>8} {:>10}", "min", time(self.latencies.min()))?;
        writeln!(f, "  {:>8} {:>10}", "mean", time(self.latencies.mean() as u64))?;
        for (quantile, name, _) in QUANTILES {
            writeln!(f, "  {name:>8} {:>10}", time(self.latencies.value_at_quantile(quantile)))?;
        }
        writeln!(f, "  {:>8} {:>10}", "max", time(self.latencies.max()))
    }

    fn write_histogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
        for (end, count) in rows {
            let share = count as f64 / self.latencies.len() as f64 * 100.0;
            let bar = "#".repeat((count as f64 / most as f64 * BAR).ceil() as usize);
            let row = format!("  up to {:>8} {share:>6.2}% {bar}", time(end));
            writeln!(f, "{}", row.trim_end())?;
        }
        Ok(())
    }
}
