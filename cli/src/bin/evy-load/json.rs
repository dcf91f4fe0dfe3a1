//! The figures of a run as one JSON object.

use std::fmt::{self, Display, Write};

use crate::failure::KINDS;
use crate::report::{QUANTILES, Report};

/// The report, on one line.
pub(crate) fn of(report: &Report) -> String {
    let mut object = Object::new();
    object.add("address", Text(&report.address));
    object.add("connections", report.connections);
    object.add("size", report.size);
    object.add("pipeline", report.pipeline);
    object.add("per_connection", Maybe(report.per_connection));
    object.add("rate", Maybe(report.rate.map(Number)));
    object.add("seconds", Number(report.seconds));
    object.add("cpu_percent", Number(report.cpu_share * 100.0));
    object.add("cpu_us_per_request", Number(report.cpu_of_request * 1e6));
    object.add("interrupted", report.interrupted);
    object.add("sent", report.sent);
    object.add("requests", report.answered);
    object.add("requests_per_second", Number(report.per_second(report.answered)));
    object.add("lost", report.lost);
    object.add("unfinished", report.unfinished);
    object.add("not_sent", report.unsent);
    object.add("bytes_received", report.received);
    object.add("bytes_per_second", Number(report.per_second(report.received)));
    object.add("opened", report.opened);
    object.add("closed_idle", report.closed_idle);
    object.add("errors", errors(report));
    if let Some(statuses) = &report.statuses {
        object.add("statuses", by_status(statuses));
        object.add("not_2xx", report.unsuccessful().map(|(_, count)| count).sum::<u64>());
    }
    object.add("messages", array(report.told.iter().map(|text| Text(text))));
    object.add("latency_us", latency(report));
    object.end()
}

fn errors(report: &Report) -> String {
    let mut errors = Object::new();
    errors.add("total", report.failed());
    for (kind, count) in KINDS.into_iter().zip(report.failures) {
        errors.add(kind, count);
    }
    errors.end()
}

fn by_status(statuses: &[(u16, u64)]) -> String {
    let mut by_status = Object::new();
    for (status, count) in statuses {
        by_status.add(&status.to_string(), count);
    }
    by_status.end()
}

fn latency(report: &Report) -> String {
    let latencies = &report.latencies;
    let mut latency = Object::new();
    latency.add("corrected", report.rate.is_some());
    latency.add("min", microseconds(latencies.min()));
    latency.add("mean", Number(latencies.mean() / 1e3));
    for (quantile, _, name) in QUANTILES {
        latency.add(name, microseconds(latencies.value_at_quantile(quantile)));
    }
    latency.add("max", microseconds(latencies.max()));
    let rows = report.rows().into_iter().map(|(end, count)| {
        let mut row = Object::new();
        row.add("up_to", microseconds(end));
        row.add("count", count);
        row.end()
    });
    latency.add("histogram", array(rows));
    latency.end()
}

fn microseconds(nanoseconds: u64) -> Number {
    Number(nanoseconds as f64 / 1e3)
}

fn array(items: impl Iterator<Item: Display>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    format!("[{}]", items.join(","))
}

/// An object as it is written.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::new())
    }

    /// Adds a member, whose value is JSON already.
    fn add(&mut self, name: &str, value: impl Display) {
        let comma = if self.0.is_empty() { "" } else { "," };
        write!(self.0, "{comma}{}:{value}", Text(name)).expect("a String takes everything");
    }

    fn end(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// A value, or `null`.
struct Maybe<T>(Option<T>);

impl<T: Display> Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A finite number, to a thousandth.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// A string in its quotes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\0'..' ' => write!(f, "\\u{:04x}", character as u32)?,
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_and_members_are_separated() {
        let mut object = Object::new();
        object.add("a \"b\"\\", Text("line\nend\u{e4}"));
        object.add("n", Number(1.0));
        object.add("none", Maybe::<u32>(None));
        object.add("list", array([1, 2].iter()));
        let json = r#"{"a \"b\"\\":"line\u000aendä","n":1.000,"none":null,"list":[1,2]}"#;
        assert_eq!(object.end(), json);
        assert_eq!(Object::new().end(), "{}");
    }
}
