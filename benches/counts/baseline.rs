//! What the operations cost when the baseline was written, where that was, and what has become dearer.

use std::fmt::{self, Display, Formatter};

/// A cost may grow by so much of the baseline's before the check fails.
const TOLERANCE: f64 = 0.05;

/// The headers of the two parts of the file.
const MACHINE: &str = "[machine]";
const INSTRUCTIONS: &str = "[instructions]";

/// All that the counts depend on beside our own sources: names and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine(pub(crate) Vec<(String, String)>);

impl Machine {
    /// In what this one differs from that of the baseline.
    fn differences(&self, baseline: &Self) -> Vec<String> {
        let value = |machine: &Self, name: &str| {
            let found = machine.0.iter().find(|(other, _)| other == name);
            found.map_or_else(|| "unknown".to_owned(), |(_, value)| format!("{value:?}"))
        };
        let mut names: Vec<&String> = self.0.iter().map(|(name, _)| name).collect();
        for (name, _) in &baseline.0 {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let differing = names.into_iter().filter(|name| value(self, name) != value(baseline, name));
        let difference = |name: &String| {
            format!("{name} is {} here, {} there", value(self, name), value(baseline, name))
        };
        differing.map(difference).collect()
    }
}

/// Instructions of one operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cost {
    pub(crate) operation: String,
    pub(crate) instructions: f64,
}

/// The committed file: a machine, and what the operations cost on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) machine: Machine,
    pub(crate) costs: Vec<Cost>,
}

impl Baseline {
    /// Reads what `Display` writes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self { machine: Machine(Vec::new()), costs: Vec::new() };
        let mut part = "";
        for line in text.lines().map(str::trim) {
            match line {
                "" => {}
                comment if comment.starts_with('#') => {}
                MACHINE | INSTRUCTIONS => part = line,
                _ => baseline.take(part, line).ok_or_else(|| format!("what is {line:?}?"))?,
            }
        }
        Ok(baseline)
    }

    fn take(&mut self, part: &str, line: &str) -> Option<()> {
        let (name, value) = line.split_once('=')?;
        let (name, value) = (name.trim().to_owned(), value.trim());
        match part {
            MACHINE => self.machine.0.push((name, value.to_owned())),
            INSTRUCTIONS => {
                let instructions: f64 = value.parse().ok()?;
                // A cost of nothing has no percentages.
                let usable = instructions.is_finite() && instructions > 0.0;
                self.costs
                    .push(Cost { operation: name, instructions: usable.then_some(instructions)? });
            }
            _ => return None,
        }
        Some(())
    }

    /// Compares `now`, counted here, with what this says.
    pub(crate) fn compare(&self, here: &Machine, now: &[Cost]) -> Comparison {
        let rows = now.iter().map(|cost| Row {
            operation: cost.operation.clone(),
            before: self.cost_of(&cost.operation),
            now: cost.instructions,
        });
        let counted = |operation: &str| now.iter().any(|cost| cost.operation == operation);
        let operations = self.costs.iter().map(|cost| cost.operation.as_str());
        Comparison {
            rows: rows.collect(),
            uncounted: operations.filter(|name| !counted(name)).map(str::to_owned).collect(),
            differences: here.differences(&self.machine),
        }
    }

    fn cost_of(&self, operation: &str) -> Option<f64> {
        let cost = self.costs.iter().find(|cost| cost.operation == operation);
        cost.map(|cost| cost.instructions)
    }
}

impl Display for Baseline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# What one operation costs, and where: `make bench-check` compares with this,"
        )?;
        writeln!(f, "# `make bench-check ARGS=--bless` writes it.\n")?;
        writeln!(f, "{MACHINE}")?;
        for (name, value) in &self.machine.0 {
            writeln!(f, "{}", format!("{name} = {value}").trim_end())?;
        }
        writeln!(f, "\n{INSTRUCTIONS}")?;
        for Cost { operation, instructions } in &self.costs {
            writeln!(f, "{operation} = {instructions:.1}")?;
        }
        Ok(())
    }
}

/// What was counted beside the baseline.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) rows: Vec<Row>,
    /// Operations of the baseline that were not counted now.
    uncounted: Vec<String>,
    /// Why the baseline is of another machine; empty where it is not.
    differences: Vec<String>,
}

/// One operation, in instructions.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) operation: String,
    /// In the baseline, if it is there.
    pub(crate) before: Option<f64>,
    pub(crate) now: f64,
}

impl Row {
    /// By how much of the baseline's the cost has grown.
    pub(crate) fn growth(&self) -> Option<f64> {
        self.before.map(|before| self.now / before - 1.0)
    }

    /// `what costs 105.1 instructions, 5.1 % more than the 100.0 of the baseline`
    fn sentence(&self, before: f64, growth: f64) -> String {
        let Self { operation, now, .. } = self;
        let (percent, word) = (100.0 * growth.abs(), if growth > 0.0 { "more" } else { "less" });
        format!(
            "{operation} costs {now:.1} instructions, {percent:.1} % {word} than the {before:.1} of the baseline"
        )
    }
}

impl Comparison {
    /// Why the baseline does not count here.
    pub(crate) fn differences(&self) -> &[String] {
        &self.differences
    }

    /// Why the check fails; empty where it passes, and where the baseline is of another machine.
    pub(crate) fn complaints(&self) -> Vec<String> {
        if !self.differences.is_empty() {
            return Vec::new();
        }
        let complaint = |row: &Row| match (row.before, row.growth()) {
            (Some(before), Some(growth)) if growth > TOLERANCE => {
                Some(row.sentence(before, growth))
            }
            (None, _) => Some(format!("{} is not in the baseline", row.operation)),
            _ => None,
        };
        let gone = |name: &String| format!("{name} is in the baseline, and nobody counts it");
        let dearer = self.rows.iter().filter_map(complaint);
        dearer.chain(self.uncounted.iter().map(gone)).collect()
    }

    /// What has become so much cheaper that the baseline ought to know.
    pub(crate) fn improvements(&self) -> Vec<String> {
        if !self.differences.is_empty() {
            return Vec::new();
        }
        let improvement = |row: &Row| match (row.before, row.growth()) {
            (Some(before), Some(growth)) if growth < -TOLERANCE => {
                Some(row.sentence(before, growth))
            }
            _ => None,
        };
        self.rows.iter().filter_map(improvement).collect()
    }
}
