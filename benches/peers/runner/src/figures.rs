//! What runs have measured, read back from their JSON.

use std::collections::HashMap;

use serde_json::Value;

/// By the titles of the workloads.
#[derive(Default)]
pub(crate) struct Figures(HashMap<String, Vec<Measured>>);

impl Figures {
    /// Adds what [`crate::report::json`] made, in place of what is here of the same workloads.
    pub(crate) fn add(&mut self, json: &Value) -> Result<(), String> {
        let tables = json["tables"].as_array().ok_or("it has no tables")?;
        for table in tables {
            let title = table["workload"].as_str().ok_or("a table has no workload")?;
            let contenders = table["contenders"].as_array().ok_or(format!("{title}: nobody"))?;
            let measured = contenders.iter().map(|contender| Measured(contender.clone()));
            self.0.insert(title.to_owned(), measured.collect());
        }
        Ok(())
    }

    pub(crate) fn has(&self, title: &str) -> bool {
        self.0.contains_key(title)
    }

    /// Who took part in a workload, evy first.
    ///
    /// # Errors
    ///
    /// The workload was not measured, or evy failed in all its rounds: so there is nothing to compare.
    pub(crate) fn of(&self, title: &str) -> Result<&[Measured], String> {
        let measured = self.0.get(title).filter(|measured| !measured.is_empty());
        let measured = measured.ok_or_else(|| format!("\"{title}\" is missing"))?;
        if !measured[0].has_figures() {
            return Err(format!("evy has no figures of \"{title}\""));
        }
        Ok(measured)
    }
}

/// A contender of a workload, as JSON has it.
pub(crate) struct Measured(Value);

impl Measured {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// Whether it has nothing that does this work.
    pub(crate) fn is_absent(&self) -> bool {
        self.0["absent"] == true
    }

    fn has_figures(&self) -> bool {
        let figures = self.0["figures"].as_object();
        figures.is_some_and(|all| all.values().any(|one| one["value"]["median"].is_number()))
    }

    pub(crate) fn median(&self, figure: &str) -> Option<f64> {
        self.value(figure, "median")
    }

    /// The lower quartile, the median and the upper quartile.
    pub(crate) fn quartiles(&self, figure: &str) -> Option<[f64; 3]> {
        let value = |name| self.value(figure, name);
        Some([value("lower_quartile")?, value("median")?, value("upper_quartile")?])
    }

    /// The median of its quotients by evy in the same round.
    pub(crate) fn factor(&self, figure: &str) -> Option<f64> {
        self.0["figures"][figure]["ratio"]["median"].as_f64()
    }

    fn value(&self, figure: &str, name: &str) -> Option<f64> {
        self.0["figures"][figure]["value"][name].as_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::workload::{Contender, Workload};
    use serde_json::json;

    fn run(title: &str, evy: Result<f64, &'static str>) -> Value {
        let contenders = vec![
            Contender::new("evy", move || Ok(vec![evy.map_err(str::to_owned)?])),
            Contender::new("Go", || Ok(vec![3.0])),
            Contender::absent("raw", "no tasks"),
        ];
        let mut workload = Workload { title: title.to_owned(), figures: &["ns"], contenders };
        workload.run(3);
        report::json(&[workload])
    }

    #[test]
    fn what_a_run_wrote_is_read_back() {
        let mut figures = Figures::default();
        figures.add(&run("a", Ok(2.0))).unwrap();
        let [evy, go, raw] = figures.of("a").unwrap() else { panic!("there are three") };
        assert_eq!((evy.name(), evy.quartiles("ns")), ("evy", Some([2.0; 3])));
        assert_eq!(
            (go.median("ns"), go.factor("ns"), go.factor("B")),
            (Some(3.0), Some(1.5), None)
        );
        assert!(raw.is_absent() && !go.is_absent());
    }

    #[test]
    fn a_later_run_replaces_the_workloads_that_it_has_and_leaves_the_others() {
        let mut figures = Figures::default();
        for json in [run("a", Ok(2.0)), run("b", Ok(4.0)), run("a", Ok(8.0))] {
            figures.add(&json).unwrap();
        }
        let evy = |title| figures.of(title).unwrap()[0].median("ns");
        assert_eq!((evy("a"), evy("b")), (Some(8.0), Some(4.0)));
    }

    #[test]
    fn what_is_missing_what_evy_failed_in_and_what_is_no_run_are_errors() {
        let mut figures = Figures::default();
        figures.add(&run("a", Err("it does not run"))).unwrap();
        assert_eq!(figures.of("a").err().unwrap(), "evy has no figures of \"a\"");
        assert_eq!(figures.of("b").err().unwrap(), "\"b\" is missing");
        assert!(figures.add(&json!({})).is_err());
    }
}
