//! The tables, as Markdown and as JSON: of each figure its median with the quartiles, and the same of its
//! ratio to the first contender, which is evy, and to hand-written epoll in the same round.

use std::fs;

use serde_json::{Value, json};

use crate::series::Series;
use crate::workload::{Contender, Workload};

/// One table.
pub(crate) fn markdown(workload: &Workload) -> String {
    let bases: Vec<_> =
        [Some(&workload.contenders[0]), raw(workload)].into_iter().flatten().collect();
    // How long some had to wait is compared with evy alone.
    let bases_of = |figure: &str| bases.iter().take(if is_quantile(figure) { 1 } else { 2 });
    let mut header = vec![workload.title.clone()];
    for figure in workload.figures {
        header.push((*figure).to_owned());
        header.extend(bases_of(figure).map(|base| format!("/ {}", short(base.name))));
    }
    let mut lines = vec![row(&header), format!("|---{}|", "|---:".repeat(header.len() - 1))];
    for contender in &workload.contenders {
        let mut cells = vec![label(contender)];
        for (index, name) in workload.figures.iter().enumerate() {
            cells.push(with_quartiles(&series(contender, index), figure));
            let ratios = bases_of(name).map(|base| to_base(contender, base, index));
            cells.extend(ratios.map(|ratio| with_quartiles(&ratio, fraction)));
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
        let to_raw = raw(workload).map(|raw| json_series(&to_base(contender, raw, index)));
        let figure = json!({
            "value": json_series(&value),
            "ratio": json_series(&ratio),
            "ratio_to_raw": to_raw,
        });
        ((*name).to_owned(), figure)
    };
    let figures: serde_json::Map<_, _> = workload.figures.iter().enumerate().map(figure).collect();
    json!({
        "name": contender.name,
        "note": contender.note.get().filter(|note| !note.is_empty()),
        "absent": contender.is_absent(),
        "failed_rounds": if contender.is_absent() { 0 } else { contender.failures() },
        "error": contender.error,
        "figures": figures,
    })
}

fn json_series(series: &Series) -> Value {
    let [lower, median, upper] = [0.25, 0.5, 0.75].map(|part| series.quantile(part));
    json!({ "median": median, "lower_quartile": lower, "upper_quartile": upper })
}

/// Hand-written epoll, where it takes part and has figures.
pub(crate) fn raw(workload: &Workload) -> Option<&Contender> {
    let is_raw = |contender: &&Contender| contender.name.starts_with("raw");
    workload.contenders.iter().find(is_raw).filter(|raw| raw.has_figures())
}

/// The name, what it says about itself, and what has gone wrong.
fn label(contender: &Contender) -> String {
    let mut label = contender.name.to_owned();
    if let Some(note) = contender.note.get().filter(|note| !note.is_empty()) {
        label += &format!(" ({note})");
    }
    let rounds = contender.rounds.len();
    if contender.is_cut_short() && contender.error.is_none() {
        label += &format!(" (slow: {} of {rounds} rounds)", rounds - contender.failures());
    }
    let Some(error) = &contender.error else { return label };
    let error = error.replace('|', "\\|").replace('\n', "; ");
    if !contender.has_figures() {
        return format!("{label} ({error})");
    }
    let failures = contender.failures();
    format!("{label} (failed in {failures} of {rounds} rounds: {error})")
}

/// `raw` of `raw, edge-triggered epoll`.
fn short(name: &str) -> &str {
    name.split([',', ' ']).next().unwrap_or(name)
}

/// Whether a figure is a time within which some of all answers came.
pub(crate) fn is_quantile(figure: &str) -> bool {
    figure.starts_with("p50") || figure.starts_with("p99")
}

pub(crate) fn row(cells: &[String]) -> String {
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

/// One figure of a contender.
pub(crate) fn series(contender: &Contender, index: usize) -> Series {
    column(contender, index).flatten().copied().collect()
}

/// The same as a ratio to another's in the same round.
pub(crate) fn to_base(contender: &Contender, base: &Contender, index: usize) -> Series {
    Series::ratio(column(contender, index), column(base, index))
}

/// `median (lower quartile–upper quartile)`.
pub(crate) fn with_quartiles(series: &Series, write: impl Fn(f64) -> String) -> String {
    match series.quartiles().map(|quartiles| quartiles.map(&write)) {
        Some([lower, median, upper]) => format!("**{median}** ({lower}–{upper})"),
        None => "–".to_owned(),
    }
}

/// `1234567.8` as `1,234,568`, and what is below a thousand with one decimal.
pub(crate) fn figure(number: f64) -> String {
    if number.abs() < 1_000.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{:.0}", number.abs());
    let mut text = if number < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio, without decimals where it is large.
pub(crate) fn fraction(number: f64) -> String {
    if number.abs() < 100.0 {
        return format!("{number:.2}");
    }
    figure(number.round()).trim_end_matches(".0").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        let contenders = vec![
            Contender::new("evy", || Ok(vec![2.0])),
            Contender::new("raw, by hand", || Ok(vec![1.0])),
            Contender::new("smol", || Err("a | b\nc".to_owned())),
            Contender::absent("may", "nothing of the kind"),
        ];
        let mut workload = Workload { title: "a title".to_owned(), figures: &["ns"], contenders };
        workload.run(3);
        workload
    }

    #[test]
    fn a_table_has_the_ratio_to_evy_and_to_raw_and_says_what_failed() {
        let table = markdown(&workload());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "| a title | ns | / evy | / raw |");
        assert!(lines[2].starts_with("| evy | **2.0** (2.0–2.0) | **1.00** "));
        assert!(lines[2].ends_with("**2.00** (2.00–2.00) |"));
        assert_eq!(lines[4], "| smol (a \\| b; c) | – | – | – |");
        assert_eq!(lines[5], "| may (nothing of the kind) | – | – | – |");
    }

    #[test]
    fn json_has_the_same() {
        let json = json(&[workload()]);
        let row = |place: usize| &json["tables"][0]["contenders"][place];
        assert_eq!(row(0)["figures"]["ns"]["ratio_to_raw"]["median"], 2.0);
        assert_eq!(row(1)["figures"]["ns"]["ratio"]["upper_quartile"], 0.5);
        assert_eq!((&row(2)["failed_rounds"], &row(2)["absent"]), (&json!(3), &json!(false)));
        assert_eq!((&row(3)["failed_rounds"], &row(3)["absent"]), (&json!(0), &json!(true)));
    }

    #[test]
    fn numbers_have_commas_between_thousands() {
        assert_eq!(figure(999.94), "999.9");
        assert_eq!(figure(1_000.4), "1,000");
        assert_eq!(figure(1_234_567.8), "1,234,568");
        assert_eq!(figure(-1_234.0), "-1,234");
        assert_eq!([1.234, 167.2, 1_234.5].map(fraction), ["1.23", "167", "1,235"]);
    }
}
