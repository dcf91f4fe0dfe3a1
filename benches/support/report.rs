//! Figures from repeated rounds, and the tables that they are printed in.

use std::fmt::{self, Display, Formatter};

/// One figure, measured in several rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The quotients of two series, round by round: what a slow moment of the machine did to both
    /// cancels out.
    pub(crate) fn ratio(over: &Self, under: &Self) -> Self {
        over.0.iter().zip(&under.0).map(|(over, under)| over / under).collect()
    }

    /// The middle one; NaN when there is none.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that `fraction` of the rounds lie below, interpolated; NaN when there is none.
    pub(crate) fn quantile(&self, fraction: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let place = last as f64 * fraction;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// `median (min–max)`, for ratios of few rounds.
    pub(crate) fn with_range(&self) -> String {
        format!("**{:.2}** ({:.2}–{:.2})", self.median(), self.min(), self.max())
    }

    /// `median (lower quartile–upper quartile)`, for ratios of many rounds.
    pub(crate) fn with_quartiles(&self) -> String {
        let (lower, upper) = (self.quantile(0.25), self.quantile(0.75));
        format!("**{:.2}** ({lower:.2}–{upper:.2})", self.median())
    }

    /// The distance between the extremes in percent of the median.
    pub(crate) fn spread_percent(&self) -> f64 {
        100.0 * (self.max() - self.min()) / self.median()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(rounds: I) -> Self {
        Self(rounds.into_iter().collect())
    }
}

/// A Markdown table; `Display` aligns its columns.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:>width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                let line: String =
                    widths.iter().map(|w| format!("|{}:", "-".repeat(w + 1))).collect();
                writeln!(f, "{line}|")?;
            }
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
