//! The table of the databases, whose rows have two figures each, and what stands below it.

use crate::digits::{factor, three, whole};
use crate::figures::{Figures, Measured};
use crate::report::row;
use crate::{postgres, redis};

/// Beside evy: the headings, and the contenders that may stand there.
const OTHERS: [(&str, &[&str]); 4] = [
    ("a connection each on tokio: rate, CPU", &[postgres::TOKIO, redis::TOKIO]),
    ("one for all: rate, CPU", &[redis::SHARED]),
    ("redis-benchmark: rate, CPU", &[redis::BENCHMARK]),
    ("evy with `EVY_SPIN=0`: rate, CPU", &[postgres::SPINLESS]),
];

/// The workloads, and their two figures.
fn rows() -> impl Iterator<Item = (String, [&'static str; 2])> {
    let queries = postgres::CONNECTIONS.map(|n| (postgres::title(n), postgres::FIGURES));
    queries.into_iter().chain(redis::LOADS.map(|load| (redis::title(load), redis::FIGURES)))
}

/// # Errors
///
/// A workload is missing, or evy failed in it.
pub(crate) fn markdown(figures: &Figures) -> Result<String, String> {
    let headings = ["", "evy: rate", "evy: CPU"].into_iter();
    let headings = headings.chain(OTHERS.iter().map(|(heading, _)| *heading));
    let header: Vec<String> = headings.map(str::to_owned).collect();
    let mut lines = vec![row(&header), format!("|---{}|", "|---:".repeat(header.len() - 1))];
    for (title, names) in rows() {
        lines.push(row(&cells(&title, names, figures.of(&title)?)));
    }
    Ok(lines.join("\n") + "\n")
}

fn cells(title: &str, [rate, cpu]: [&str; 2], measured: &[Measured]) -> Vec<String> {
    let evy = |figure, unit| match measured[0].median(figure) {
        Some(median) => format!("**{}** {unit}", three(median)),
        None => "failed".to_owned(),
    };
    let mut cells = vec![title.replace(": ", " "), evy(rate, rate), evy(cpu, "ns")];
    for (_, names) in OTHERS {
        let other = measured.iter().find(|one| names.contains(&one.name()));
        let factors = |one: &Measured| Some([one.factor(rate)?, one.factor(cpu)?].map(factor));
        cells.push(match other.map(factors) {
            Some(Some(factors)) => factors.join(", "),
            Some(None) => "failed".to_owned(),
            None => String::new(),
        });
    }
    cells
}

/// What many that sleep in the database at once take.
///
/// # Errors
///
/// As [`markdown`].
pub(crate) fn sleepers(figures: &Figures) -> Result<String, String> {
    let measured = figures.of(&postgres::sleep_title())?;
    let milliseconds = |one: Option<&Measured>| match one.and_then(|one| one.median("ms")) {
        Some(median) => format!("{} ms", whole(median)),
        None => "failed".to_owned(),
    };
    let count = postgres::SLEEPERS;
    let evy = milliseconds(measured.first());
    let tokio = milliseconds(measured.iter().find(|one| one.name() == postgres::TOKIO));
    Ok(format!(
        "{count} times `pg_sleep(0.1)` at once, on {count} connections: evy {evy}, tokio-postgres {tokio}.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::workload::{Contender, Workload};

    fn workload(
        title: String,
        figures: &'static [&'static str],
        others: Vec<Contender>,
    ) -> Workload {
        let mut contenders = vec![Contender::new("evy", || Ok(vec![20_000.0, 400.0]))];
        contenders.extend(others);
        let mut workload = Workload { title, figures, contenders };
        workload.run(3);
        workload
    }

    #[test]
    fn each_row_has_evys_two_figures_and_both_factors_of_the_others() {
        let queries = postgres::CONNECTIONS.map(|connections| {
            let others = vec![Contender::new(postgres::TOKIO, || Ok(vec![8_000.0, 500.0]))];
            workload(postgres::title(connections), &postgres::FIGURES, others)
        });
        let requests = redis::LOADS.map(|load| {
            let fails = Contender::new(redis::BENCHMARK, || Err("it is not installed".to_owned()));
            workload(redis::title(load), &redis::FIGURES, vec![fails])
        });
        let mut figures = Figures::default();
        figures.add(&report::json(&queries)).unwrap();
        assert!(markdown(&figures).unwrap_err().contains("Redis GET, connections: 1, "));
        figures.add(&report::json(&requests)).unwrap();
        let table = markdown(&figures).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| PostgreSQL, prepared SELECT 1, connections 1 | **20,000** queries/s | **400** ns \
             | 0.40, 1.25 |  |  |  |"
        );
        assert_eq!(
            lines[4],
            "| Redis GET, connections 1, at a time on each 1 | **20,000** requests/s | **400** ns \
             |  |  | failed |  |"
        );
        assert_eq!(lines.len(), 2 + postgres::CONNECTIONS.len() + redis::LOADS.len());
    }

    #[test]
    fn the_sleepers_are_a_sentence() {
        let contenders = vec![
            Contender::new("evy::patched::postgres", || Ok(vec![123.6])),
            Contender::new(postgres::TOKIO, || Ok(vec![125.4])),
        ];
        let title = postgres::sleep_title();
        let mut workload = Workload { title, figures: &["ms"], contenders };
        workload.run(1);
        let mut figures = Figures::default();
        figures.add(&report::json(&[workload])).unwrap();
        let text = sleepers(&figures).unwrap();
        assert!(text.ends_with("100 connections: evy 124 ms, tokio-postgres 125 ms.\n"), "{text}");
    }
}
