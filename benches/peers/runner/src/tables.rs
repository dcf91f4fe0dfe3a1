//! Which tables, and which sentences of figures, the pages have.
//!
//! Those of other benchmarks (`make bench-scale`, `late`, callgrind's) are written by hand.

use crate::block::Block;
use crate::digits::{factor, whole};
use crate::figures::Figures;
use crate::table::{Column, Row, Table, Who};
use crate::{cores, databases, echo, http, memory, tasks};

const RATE: &str = "requests/s";
const CPU: &str = "server CPU ns/request";
const NANOS: &str = "ns";
const BYTES: &str = "RSS + page tables, B each";

/// Of fewer than this a program's own memory is too large a part.
const PARKED_MIN: usize = 100;

/// More connections than this stay out of README.md.
const CONNECTIONS_MAX: usize = 10_000;

/// Of `docs/what_it_costs.md`.
pub(crate) fn of_page() -> Vec<Block> {
    let [few, more] = echo::LARGE.1;
    let small = || echo::connections(false).iter().map(|&n| (n, echo::small_title(n)));
    let large = [few, more].map(|n| (n, echo::title(n, echo::LARGE.0)));
    let yields = tasks::live(false).iter().map(|&n| (n, tasks::yield_title(n)));
    let spawns = tasks::spawned(false).iter().map(|&n| (n, tasks::spawn_title(n)));
    let channels = tasks::pairs(false).iter().map(|&n| (2 * n, tasks::channel_title(n)));
    let parked = memory::counts(false).iter().filter(|&&count| count >= PARKED_MIN);
    let parked = parked.map(|&n| (n, memory::title(n)));
    let cores = cores::counts().into_iter().map(|n| (n, cores::title(n)));
    vec![
        Block::table("echo-cpu", echoes(numbered(small(), CPU))),
        Block::table("echo-rate", echoes(numbered(small(), RATE))),
        Block::table("echo-4k", echoes(numbered(large, CPU))),
        Block::table("http", hellos()),
        Block::table("yield", of("alive", numbered(yields, NANOS))),
        Block::table("spawn", of("at once", numbered(spawns, NANOS))),
        Block::table("channel", of("alive", numbered(channels, NANOS))),
        Block::table("timer", of("pending", timers())),
        Block::table("parked", of("parked", numbered(parked, BYTES))),
        Block::table("idle", of("", vec![idle("RSS + page tables", None)])),
        Block::table("cores", of("cores", numbered(cores, RATE))),
        Block::new("databases", databases::markdown),
        Block::new("pg-sleep", databases::sleepers),
    ]
}

/// Of `README.md`.
pub(crate) fn of_readme() -> Vec<Block> {
    vec![Block::table("peers", of("", summary())), Block::new("own-loop", own_loop)]
}

fn of(corner: &'static str, rows: Vec<Row>) -> Table {
    Table { corner, columns: Column::peers(), rows }
}

/// Rows that differ in a number.
fn numbered(titles: impl IntoIterator<Item = (usize, String)>, figure: &'static str) -> Vec<Row> {
    let row = |(number, title)| Row { label: whole(number as f64), title, figure, unit: None };
    titles.into_iter().map(row).collect()
}

/// With a column for the loop that a service writes.
fn echoes(rows: Vec<Row>) -> Table {
    let mut table = of("connections", rows);
    let own_loop = Column { heading: "evy, read/write", who: Who::Contender(echo::OWN_LOOP) };
    table.columns.insert(1, own_loop);
    table
}

fn hellos() -> Table {
    let mut table =
        of("connections", numbered(http::CONNECTIONS.map(|n| (n, http::title(n))), CPU));
    for column in &mut table.columns {
        column.heading = match column.heading {
            "tokio" => "hyper on tokio",
            "may" => "may_minihttp",
            heading => heading,
        };
    }
    table
}

fn timers() -> Vec<Row> {
    let row = |oldest, live| {
        let which = if oldest { "the oldest" } else { "at once" };
        Row {
            label: format!("{which}, {}", whole(live as f64)),
            title: tasks::timer_title(live, oldest),
            figure: NANOS,
            unit: None,
        }
    };
    let cases = [false, true].into_iter();
    cases
        .flat_map(|oldest| tasks::timers(false).iter().map(move |&live| row(oldest, live)))
        .collect()
}

fn idle(label: &str, unit: Option<&'static str>) -> Row {
    Row { label: label.to_owned(), title: echo::idle_title(echo::IDLE), figure: BYTES, unit }
}

/// The connections of README.md's echoes.
fn connections() -> impl Iterator<Item = usize> {
    echo::connections(false).iter().copied().filter(|&n| n <= CONNECTIONS_MAX)
}

/// Some of all workloads.
fn summary() -> Vec<Row> {
    let nanos = |label: String, title, figure| Row { label, title, figure, unit: Some("ns") };
    let request = |what: &str, n: usize, title| {
        let plural = if n == 1 { "" } else { "s" };
        let label = format!("{what}, {} connection{plural}: CPU a request", whole(n as f64));
        nanos(label, title, CPU)
    };
    let hello = "HTTP hello (tokio: hyper, may: may_minihttp)";
    let mut rows: Vec<Row> =
        connections().map(|n| request("echo", n, echo::small_title(n))).collect();
    rows.extend(http::CONNECTIONS.map(|n| request(hello, n, http::title(n))));
    rows.push(idle("an idle echo connection: memory", Some("B")));
    rows.push(Row {
        label: "a parked green thread or task, of 1,000,000: memory".to_owned(),
        title: memory::title(1_000_000),
        figure: BYTES,
        unit: Some("B"),
    });
    for live in [2, 1_000, 100_000] {
        let label = format!("yield, {} alive", whole(live as f64));
        rows.push(nanos(label, tasks::yield_title(live), NANOS));
    }
    rows.push(nanos("spawn + wait".to_owned(), tasks::spawn_title(1), NANOS));
    rows.push(nanos("channels, there and back".to_owned(), tasks::channel_title(1), NANOS));
    let timer = "set and cancel a timer, 1,000,000 pending".to_owned();
    rows.push(nanos(timer, tasks::timer_title(1_000_000, false), NANOS));
    rows
}

/// What a column for it would say, which would be empty but for the echoes.
fn own_loop(figures: &Figures) -> Result<String, String> {
    let (mut factors, mut counts) = (Vec::new(), Vec::new());
    for connections in connections() {
        let title = echo::small_title(connections);
        let own = figures.of(&title)?.iter().find(|one| one.name() == echo::OWN_LOOP);
        let own = own.and_then(|own| own.factor(CPU));
        factors.push(factor(own.ok_or_else(|| format!("\"{title}\" has no {}", echo::OWN_LOOP))?));
        counts.push(whole(connections as f64));
    }
    Ok(format!(
        "evy's echo is `evy::io::copy`, which the hub does by itself. The loop of `read` and `write_all` that each\n\
         service writes takes {} times its CPU with {} connections.\n",
        listed(&factors),
        listed(&counts)
    ))
}

/// `1, 2 and 3`.
fn listed(texts: &[String]) -> String {
    match texts {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => texts.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::workload::{Contender, Workload};

    /// All that has no database, as the runner has it, with figures that are made up.
    fn figures() -> Figures {
        let real = (echo::workloads(1.0, false).chain(echo::large_workloads(1.0)))
            .chain([echo::idle_workload(false)])
            .chain(http::workloads(1.0))
            .chain(tasks::yields(1.0, false).chain(tasks::spawns(1.0, false)))
            .chain(tasks::channels(1.0, false).chain(tasks::timer_workloads(1.0, false)))
            .chain(memory::workloads(false).chain(cores::workloads(1.0)));
        let made_up = real.map(|mut workload| {
            for one in workload.contenders.iter_mut().filter(|one| !one.is_absent()) {
                let evy = if one.name == echo::OWN_LOOP { 1.1 } else { 1.0 };
                *one = Contender::new(one.name, move || Ok(vec![evy; 4]));
            }
            workload.run(1);
            workload
        });
        let mut figures = Figures::default();
        figures.add(&report::json(&made_up.collect::<Vec<Workload>>())).unwrap();
        figures
    }

    #[test]
    fn every_row_is_a_workload_with_that_figure() {
        let figures = figures();
        for block in of_page().into_iter().chain(of_readme()) {
            if ["databases", "pg-sleep"].contains(&block.name) {
                continue;
            }
            let text = block.text(&figures).unwrap();
            assert!(!text.contains("failed"), "{}: {text}", block.name);
        }
    }

    #[test]
    fn the_headings_are_those_who_have_something_of_the_kind() {
        let figures = figures();
        let heading = |name: &str| {
            let blocks = of_page().into_iter().chain(of_readme());
            let block = blocks.into_iter().find(|block| block.name == name).unwrap();
            block.text(&figures).unwrap().lines().next().unwrap().to_owned()
        };
        let all = "raw | tokio | tokio mt | may | smol | monoio | Go | gevent | eventlet |";
        assert_eq!(heading("echo-cpu"), format!("| connections | evy | evy, read/write | {all}"));
        assert_eq!(heading("echo-4k"), heading("echo-rate"));
        assert_eq!(heading("idle"), format!("|  | evy | {all}"));
        assert_eq!(heading("peers"), heading("idle"));
        assert_eq!(heading("http"), "| connections | evy | hyper on tokio | may_minihttp | Go |");
        assert_eq!(
            heading("timer"),
            "| pending | evy | tokio | tokio mt | smol | monoio | Go | gevent | eventlet |"
        );
        assert_eq!(heading("cores"), "| cores | evy | raw | tokio mt | may | Go |");
    }

    #[test]
    fn the_loop_of_a_service_is_a_sentence_in_the_readme() {
        let text = own_loop(&figures()).unwrap();
        let end = "takes 1.10, 1.10, 1.10, 1.10 and 1.10 times its CPU with 1, 4, 100, 1,000 and 10,000 connections.\n";
        assert!(text.ends_with(end), "{text}");
    }
}
