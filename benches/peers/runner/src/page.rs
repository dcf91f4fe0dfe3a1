//! Writes the figures of runs into the pages that show them, and their plots beside these.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::block::Block;
use crate::figures::Figures;
use crate::{markers, output, plots, tables};

const COSTS: &str = "docs/what_it_costs.md";
const README: &str = "README.md";
const PLOTS: &str = "docs/plots";

/// Takes what runs have left: their folders, or their JSON with the plots beside it. A later one's workloads
/// replace an earlier one's. Standard error says what stays as it is, for want of a workload.
///
/// # Errors
///
/// A file cannot be read or written, a run has too few rounds, or a marker is missing: then no page has been
/// changed, unless it is the second one that cannot be written.
pub(crate) fn write(runs: &[PathBuf]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let figures = read(runs)?;
    let mut pages = Vec::new();
    for (page, blocks) in pages_and_blocks() {
        let path = root.join(page);
        let text = filled(&text_of(&path)?, &blocks, &figures)
            .map_err(|error| format!("{page}: {error}"))?;
        for left in &text.left {
            eprintln!("{page}: {left}");
        }
        pages.push((path, text.page));
    }
    for (path, page) in pages {
        fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    copy_plots(runs, &root.join(PLOTS))
}

fn pages_and_blocks() -> [(&'static str, Vec<Block>); 2] {
    [(COSTS, tables::of_page()), (README, tables::of_readme())]
}

/// The file with the figures.
fn json_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.join(output::JSON) } else { run.to_owned() }
}

fn read(runs: &[PathBuf]) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for file in runs.iter().map(|run| json_of(run)) {
        let json = serde_json::from_str(&text_of(&file)?).map_err(|error| error.to_string());
        let added = json.and_then(|json| is_of_enough_rounds(&json).map(|()| json));
        let added = added.and_then(|json| figures.add(&json));
        added.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(figures)
}

/// The pages say that a figure is the median of five rounds.
fn is_of_enough_rounds(json: &Value) -> Result<(), String> {
    let tables = json["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let quick =
        tables.iter().find(|table| table["rounds"].as_u64().is_none_or(|rounds| rounds < 5));
    quick.map_or(Ok(()), |table| Err(format!("{} has fewer than five rounds", table["workload"])))
}

fn text_of(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A page with new figures.
struct Filled {
    page: String,
    /// Which blocks stay as they were, and why.
    left: Vec<String>,
}

fn filled(page: &str, blocks: &[Block], figures: &Figures) -> Result<Filled, String> {
    let known = |name: &&str| blocks.iter().any(|block| block.name == *name);
    if let Some(name) = markers::names(page)?.into_iter().find(|name| !known(name)) {
        return Err(format!("what are the figures {name:?}?"));
    }
    let mut filled = Filled { page: page.to_owned(), left: Vec::new() };
    for block in blocks {
        match block.text(figures) {
            Ok(text) => filled.page = markers::replace(&filled.page, block.name, &text)?,
            Err(why) => filled.left.push(format!("{} stays as it is: {why}", block.name)),
        }
    }
    Ok(filled)
}

/// Of each plot the last one: a run of other workloads may have left an older one where it is.
fn copy_plots(runs: &[PathBuf], to: &Path) -> Result<(), String> {
    for plot in plots::all(false) {
        let mut from = None;
        for run in runs {
            let figures = read(std::slice::from_ref(run))?;
            let file = json_of(run).with_file_name(plot.file());
            if file.exists() && plot.titles().any(|title| figures.has(title)) {
                from = Some(file);
            }
        }
        match from {
            Some(from) => copy(&from, &to.join(plot.file()))?,
            None => eprintln!("{PLOTS}: {} stays as it is: there is no new one", plot.file()),
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::built;
    use crate::report;
    use crate::tasks;
    use crate::workload::{Contender, Workload};

    const PAGE: &str =
        "a\n\n<!-- figures: x -->\n<!-- end -->\n\n<!-- figures: y -->\nold\n<!-- end -->\n\nb\n";

    fn blocks() -> [Block; 2] {
        let missing = |_: &Figures| Err("\"w\" is missing".to_owned());
        [Block::new("x", |_| Ok("new\n".to_owned())), Block::new("y", missing)]
    }

    #[test]
    fn what_was_measured_is_replaced_and_the_rest_stays_and_is_told() {
        let filled = filled(PAGE, &blocks(), &Figures::default()).unwrap();
        assert_eq!(filled.page, PAGE.replace("x -->\n", "x -->\n\nnew\n\n"));
        assert_eq!(filled.left, ["y stays as it is: \"w\" is missing"]);
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let once = filled(PAGE, &blocks(), &Figures::default()).unwrap().page;
        assert_eq!(filled(&once, &blocks(), &Figures::default()).unwrap().page, once);
    }

    #[test]
    fn a_marker_that_nobody_knows_is_an_error_that_names_it() {
        let error = filled(PAGE, &blocks()[..1], &Figures::default()).err().unwrap();
        assert_eq!(error, "what are the figures \"y\"?");
    }

    #[test]
    fn the_pages_have_the_markers_of_all_blocks_and_the_plots_of_all_runs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        for (page, blocks) in pages_and_blocks() {
            let text = text_of(&root.join(page)).unwrap();
            let names: Vec<_> = blocks.iter().map(|block| block.name).collect();
            assert_eq!(markers::names(&text).unwrap(), names, "{page}");
        }
        for plot in plots::all(false) {
            assert!(root.join(PLOTS).join(plot.file()).exists(), "{}", plot.file());
        }
    }

    #[test]
    fn a_run_of_fewer_rounds_than_the_pages_say_is_refused_by_the_name_of_its_workload() {
        let run =
            |rounds: u64| serde_json::json!({"tables": [{"workload": "w", "rounds": rounds}]});
        assert_eq!(is_of_enough_rounds(&run(5)), Ok(()));
        let error = is_of_enough_rounds(&run(1)).unwrap_err();
        assert!(error.contains("\"w\" has fewer than five rounds"), "{error}");
    }

    #[test]
    fn a_plot_is_taken_from_the_last_run_that_measured_it() {
        let folder = built().join(format!("test-page-{}", std::process::id()));
        let run = |name: &str, title: String| {
            let contenders = vec![Contender::new("evy", || Ok(vec![7.0]))];
            let mut workload = Workload { title, figures: &["ns"], contenders };
            workload.run(5);
            let folder = folder.join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("yield.svg"), name).unwrap();
            fs::write(folder.join(output::JSON), report::json(&[workload]).to_string()).unwrap();
            folder
        };
        let runs = [
            run("first", tasks::yield_title(2)),
            run("second", tasks::yield_title(2)).join(output::JSON),
            run("of something else", "another".to_owned()),
        ];
        let to = folder.join("plots");
        fs::create_dir_all(&to).unwrap();
        copy_plots(&runs, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("yield.svg")).unwrap(), "second");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
