//! The tables, as Markdown and as JSON: of each figure its median with the quartiles, and the same of its
//! ratio to the first contender in the same round.

use std::fs;

use serde_json::{Value, json};

use crate::series::Series;
use crate::workload::{Contender, Workload};

/// One table.
pub(crate) fn markdown(workload: &Workload) -> String {
    let base = &workload.contenders[0];
    let mut header = vec![workload.title.clone()];
    for figure in workload.figures {
        header.extend([(*figure).to_owned(), format!("/ {}", base.name)]);
    }
    let mut lines = vec![row(&header), format!("|---{}|", "|---:".repeat(header.len() - 1))];
    for contender in &workload.contenders {
        let mut cells = vec![label(contender)];
        for index in 0..workload.figures.len() {
            let (value, ratio) = (series(contender, index), to_base(contender, base, index));
            cells.extend([with_quartiles(&value, figure), with_quartiles(&ratio, fraction)]);
        }
        lines.push(row(&cells));
    }
    format!("{}\n\n{}\n", lines.join("\n"), circumstances(workload))
}

/// All tables.
pub(crate) fn json(workloads: &[Workload]) -> Value {
    let table = |workload: &Workload| {
        let rows = workload.contenders.iter().map(|contender| json_row(workload, contender));
        json!({
            "workload": workload.title,
            "rounds": workload.contenders[0].rounds.len(),
            "contenders": rows.collect::<Value>(),
        })
    };
    json!({ "load_average": load_average(), "tables": workloads.iter().map(table).collect::<Value>() })
}

fn json_row(workload: &Workload, contender: &Contender) -> Value {
    let base = &workload.contenders[0];
    let figure = |(index, name): (usize, &&str)| {
        let (value, ratio) = (series(contender, index), to_base(contender, base, index));
        let figure = json!({ "value": json_series(&value), "ratio": json_series(&ratio) });
        ((*name).to_owned(), figure)
    };
    let figures: serde_json::Map<_, _> = workload.figures.iter().enumerate().map(figure).collect();
    json!({
        "name": contender.name,
        "failed_rounds": contender.failures(),
        "error": contender.error,
        "figures": figures,
    })
}

fn json_series(series: &Series) -> Value {
    let [lower, median, upper] = [0.25, 0.5, 0.75].map(|part| series.quantile(part));
    json!({ "median": median, "lower_quartile": lower, "upper_quartile": upper })
}

/// The name, and what has gone wrong.
fn label(contender: &Contender) -> String {
    let Some(error) = &contender.error else { return contender.name.to_owned() };
    let error = error.replace('|', "\\|").replace('\n', "; ");
    if !contender.has_figures() {
        return format!("{} ({error})", contender.name);
    }
    let (failures, rounds) = (contender.failures(), contender.rounds.len());
    format!("{} (failed in {failures} of {rounds} rounds: {error})", contender.name)
}

fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// How often, and what else the machine did.
fn circumstances(workload: &Workload) -> String {
    let rounds = workload.contenders[0].rounds.len();
    format!("Rounds: {rounds}; load average of the machine: {}.", load_average())
}

/// Of the last 1, 5 and 15 minutes.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn column(contender: &Contender, index: usize) -> impl Iterator<Item = Option<&f64>> {
    contender.rounds.iter().map(move |round| round.as_ref().and_then(|figures| figures.get(index)))
}

fn series(contender: &Contender, index: usize) -> Series {
    column(contender, index).flatten().copied().collect()
}

fn to_base(contender: &Contender, base: &Contender, index: usize) -> Series {
    Series::ratio(column(contender, index), column(base, index))
}

/// `median (lower quartile–upper quartile)`.
fn with_quartiles(series: &Series, write: impl Fn(f64) -> String) -> String {
    let text = |part| series.quantile(part).map(&write);
    match (text(0.5), text(0.25), text(0.75)) {
        (Some(median), Some(lower), Some(upper)) => format!("**{median}** ({lower}–{upper})"),
        _ => "–".to_owned(),
    }
}

/// `1234567.8` as `1,234,568`, and what is below a thousand with one decimal.
fn figure(number: f64) -> String {
    if number < 1_000.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn fraction(number: f64) -> String {
    format!("{number:.2}")
}
