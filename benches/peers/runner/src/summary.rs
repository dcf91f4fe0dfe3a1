//! All workloads in one table: what evy takes, and of each peer its figure and its ratio to evy's.

use crate::peer::{PEERS, Peer};
use crate::report::{figure, fraction, is_quantile, raw, row, series, to_base, with_quartiles};
use crate::workload::{Contender, Workload};

/// The table. Where a peer takes part in several ways, its first one counts.
pub(crate) fn markdown(workloads: &[Workload]) -> String {
    let mut header = vec![String::new()];
    header.extend(PEERS.iter().map(|peer| peer.name.to_owned()));
    header.insert(3, "evy / raw".to_owned());
    let mut lines = vec![row(&header), format!("|---{}|", "|---:".repeat(header.len() - 1))];
    for workload in workloads {
        for (index, name) in workload.figures.iter().enumerate() {
            if is_quantile(name) {
                // It stays in the workload's own table.
                continue;
            }
            let mut cells = vec![format!("{}: {name}", workload.title)];
            cells.extend((0..PEERS.len()).map(|peer| cell(workload, peer, index)));
            cells.insert(3, evy_to_raw(workload, index));
            lines.push(row(&cells));
        }
    }
    let legend = "evy: the median (lower quartile–upper quartile). A peer: its median, and × its ratio to \
                  evy in the same round. A dash: the peer has nothing of the kind. Empty: not measured.";
    format!("{}\n\n{legend}\n", lines.join("\n"))
}

fn cell(workload: &Workload, peer: usize, index: usize) -> String {
    let evy = &workload.contenders[0];
    let of_peer = |contender: &&Contender| Peer::place_of(contender.name) == Some(peer);
    let Some(contender) = workload.contenders.iter().find(of_peer) else { return String::new() };
    if std::ptr::eq(contender, evy) {
        return with_quartiles(&series(evy, index), figure);
    }
    let Some([_, median, _]) = series(contender, index).quartiles() else {
        return if contender.is_absent() { "–" } else { "failed" }.to_owned();
    };
    match to_base(contender, evy, index).quartiles() {
        Some([lower, ratio, upper]) => format!(
            "{} × **{}** ({}–{})",
            figure(median),
            fraction(ratio),
            fraction(lower),
            fraction(upper)
        ),
        None => figure(median),
    }
}

fn evy_to_raw(workload: &Workload, index: usize) -> String {
    let ratio = raw(workload).map(|raw| to_base(&workload.contenders[0], raw, index));
    ratio.map_or_else(String::new, |ratio| with_quartiles(&ratio, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_column_with_its_ratio_to_evy() {
        let contenders = vec![
            Contender::new("evy", || Ok(vec![2.0, 9.0])),
            Contender::new("raw, by hand", || Ok(vec![1.0, 9.0])),
            Contender::new("tokio current_thread", || Ok(vec![3.0, 9.0])),
            Contender::new("tokio current_thread, otherwise", || Ok(vec![4.0, 9.0])),
            Contender::absent("may", "nothing of the kind"),
            Contender::new("Go", || Err("it does not run".to_owned())),
        ];
        let mut workload =
            Workload { title: "echo".to_owned(), figures: &["ns", "p50 µs"], contenders };
        workload.run(3);
        let table = markdown(&[workload]);
        let lines: Vec<&str> = table.lines().collect();
        let cells: Vec<&str> = lines[2].split(" | ").collect();
        assert_eq!(cells[0], "| echo: ns");
        assert_eq!(
            cells[1..4],
            ["**2.0** (2.0–2.0)", "1.0 × **0.50** (0.50–0.50)", "**2.00** (2.00–2.00)"]
        );
        assert_eq!(cells[4..9], ["3.0 × **1.50** (1.50–1.50)", "", "–", "", ""]);
        assert_eq!(cells[9], "failed");
        assert_eq!(lines[3], "", "quantiles stay out of it");
    }
}
