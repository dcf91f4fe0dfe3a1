//! A table of a page: evy's figures, and the others as factors of them.

use crate::digits::{factor, three};
use crate::figures::{Figures, Measured};
use crate::peer::{PEERS, Peer};
use crate::report::row;

pub(crate) struct Table {
    /// Above the rows' labels.
    pub(crate) corner: &'static str,
    /// Those who have nothing of the kind in any row are left out.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

/// One figure of one workload.
pub(crate) struct Row {
    pub(crate) label: String,
    /// Of the workload.
    pub(crate) title: String,
    pub(crate) figure: &'static str,
    /// Stands behind evy's figure, in place of the quartiles.
    pub(crate) unit: Option<&'static str>,
}

pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) who: Who,
}

/// Whose figures.
pub(crate) enum Who {
    /// Those of a place in [`PEERS`]; where it takes part in several ways, its first one.
    Peer(usize),
    /// Of just this name.
    Contender(&'static str),
}

impl Column {
    /// One for each of [`PEERS`].
    pub(crate) fn peers() -> Vec<Self> {
        let column =
            |(place, peer): (usize, &Peer)| Self { heading: peer.short, who: Who::Peer(place) };
        PEERS.iter().enumerate().map(column).collect()
    }

    fn find<'a>(&self, measured: &'a [Measured]) -> Option<&'a Measured> {
        let is_it = |one: &&Measured| match self.who {
            Who::Peer(place) => Peer::place_of(one.name()) == Some(place),
            Who::Contender(name) => one.name() == name,
        };
        measured.iter().find(is_it).filter(|one| !one.is_absent())
    }
}

impl Table {
    /// # Errors
    ///
    /// A workload is missing, or evy failed in it.
    pub(crate) fn markdown(&self, figures: &Figures) -> Result<String, String> {
        let measured: Vec<_> =
            self.rows.iter().map(|row| figures.of(&row.title)).collect::<Result<_, _>>()?;
        let takes_part = |column: &&Column| measured.iter().any(|all| column.find(all).is_some());
        let columns: Vec<&Column> = self.columns.iter().filter(takes_part).collect();
        let mut header = vec![self.corner.to_owned()];
        header.extend(columns.iter().map(|column| column.heading.to_owned()));
        let mut lines = vec![row(&header), self.ruler(columns.len())];
        for (of, measured) in self.rows.iter().zip(measured) {
            let mut cells = vec![of.label.clone()];
            cells.extend(columns.iter().map(|column| of.cell(column, measured)));
            lines.push(row(&cells));
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Labels are numbers, and phrases where the rows have units.
    fn ruler(&self, columns: usize) -> String {
        let phrases = self.rows.iter().any(|row| row.unit.is_some());
        format!("|{}{}|", if phrases { "---" } else { "---:" }, "|---:".repeat(columns))
    }
}

impl Row {
    fn cell(&self, column: &Column, measured: &[Measured]) -> String {
        let Some(one) = column.find(measured) else { return "–".to_owned() };
        if std::ptr::eq(one, &measured[0]) {
            return self.evy(one);
        }
        one.factor(self.figure).map_or_else(|| "failed".to_owned(), factor)
    }

    fn evy(&self, evy: &Measured) -> String {
        let Some(quartiles) = evy.quartiles(self.figure) else { return "failed".to_owned() };
        let [lower, median, upper] = quartiles.map(three);
        match self.unit {
            Some(unit) => format!("**{median}** {unit}"),
            None => format!("**{median}** ({lower}–{upper})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::workload::{Contender, Workload};

    fn figures() -> Figures {
        let workload = |title: &str, smol: Contender| {
            let contenders = vec![
                Contender::new("evy", || Ok(vec![2_000.0])),
                Contender::new("evy, otherwise", || Ok(vec![2_100.0])),
                Contender::absent("raw", "no tasks"),
                Contender::new("tokio current_thread", || Ok(vec![3_000.0])),
                Contender::new("tokio current_thread, tuned", || Ok(vec![1.0])),
                Contender::absent("may", "nothing of the kind"),
                smol,
            ];
            let mut workload = Workload { title: title.to_owned(), figures: &["ns"], contenders };
            workload.run(3);
            workload
        };
        let failed = Contender::new("smol", || Err("it does not run".to_owned()));
        let workloads =
            [workload("a", failed), workload("b", Contender::absent("smol", "no threads"))];
        let mut figures = Figures::default();
        figures.add(&report::json(&workloads)).unwrap();
        figures
    }

    fn row(title: &str, unit: Option<&'static str>) -> Row {
        Row { label: format!("of {title}"), title: title.to_owned(), figure: "ns", unit }
    }

    fn table(rows: Vec<Row>) -> Table {
        Table { corner: "alive", columns: Column::peers(), rows }
    }

    #[test]
    fn evy_has_its_quartiles_and_the_others_a_factor_a_failure_or_a_dash() {
        let table = table(vec![row("a", None), row("b", None)]).markdown(&figures()).unwrap();
        let expected = "\
            | alive | evy | tokio | smol |\n\
            |---:|---:|---:|---:|\n\
            | of a | **2,000** (2,000–2,000) | 1.50 | failed |\n\
            | of b | **2,000** (2,000–2,000) | 1.50 | – |\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_unit_takes_the_place_of_the_quartiles() {
        let table = table(vec![row("b", Some("ns"))]).markdown(&figures()).unwrap();
        assert!(table.ends_with("|---|---:|---:|\n| of b | **2,000** ns | 1.50 |\n"), "{table}");
    }

    #[test]
    fn a_contender_may_have_a_column_of_its_own_and_a_factor_of_evy() {
        let mut table = table(vec![row("b", None)]);
        let otherwise = Who::Contender("evy, otherwise");
        table.columns.insert(1, Column { heading: "otherwise", who: otherwise });
        let table = table.markdown(&figures()).unwrap();
        assert!(table.starts_with("| alive | evy | otherwise | tokio |\n"), "{table}");
        assert!(table.ends_with("(2,000–2,000) | 1.05 | 1.50 |\n"), "{table}");
    }

    #[test]
    fn a_table_whose_workload_is_missing_is_none() {
        let error = table(vec![row("a", None), row("c", None)]).markdown(&figures()).unwrap_err();
        assert_eq!(error, "\"c\" is missing");
    }
}
