//! The files that a run leaves behind: `peers.md`, `peers.json` and the plots.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::plots::PlotOf;
use crate::program::built;
use crate::report;
use crate::summary;
use crate::svg;
use crate::workload::Workload;

/// All figures.
pub(crate) const JSON: &str = "peers.json";

pub(crate) struct Output {
    folder: PathBuf,
}

impl Output {
    /// Makes the folder.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes all that has been measured so far.
    pub(crate) fn write(&self, workloads: &[Workload], plots: &[PlotOf]) -> io::Result<()> {
        let mut page = format!("# evy beside its peers\n\n{}\n", machine());
        page += &format!("## In one table\n\n{}\n", summary::markdown(workloads));
        let mut images = String::new();
        for plot in plots {
            let file = plot.file();
            let Some(plot) = plot.draw(workloads) else { continue };
            fs::write(self.folder.join(&file), svg::draw(&plot))?;
            images += &format!("![{}]({file})\n\n", plot.title);
        }
        if !images.is_empty() {
            page += &format!("## Plots\n\n{images}");
        }
        page += "## Each by itself\n\n";
        page += "The median with the quartiles, and the same of the ratio in the same round.\n\n";
        for workload in workloads {
            page += &format!("{}\n", report::markdown(workload));
        }
        fs::write(self.folder.join("peers.md"), page)?;
        fs::write(self.folder.join(JSON), format!("{:#}\n", report::json(workloads)))
    }
}

/// What this ran on, and which versions of the peers.
fn machine() -> String {
    let mut lines = Vec::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    lines.push(format!("{}, cores: {cores}", cpu.map_or("unknown CPU", |(_, name)| name)));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    lines.push(format!("Linux {}", kernel.trim()));
    for of in ["rust", "go", "gevent", "eventlet"] {
        let version = fs::read_to_string(built().join(format!("version-{of}.txt")));
        lines.extend(version.ok().map(|version| version.trim().to_owned()));
    }
    let lock = fs::read_to_string(built().join("../Cargo.lock")).unwrap_or_default();
    let crates = ["tokio", "hyper", "may", "may_minihttp", "smol", "monoio"];
    let versions =
        crates.iter().filter_map(|name| Some(format!("{name} {}", locked(&lock, name)?)));
    lines.push(versions.collect::<Vec<_>>().join(", "));
    lines.iter().map(|line| format!("* {line}\n")).collect()
}

/// The version of a crate in `Cargo.lock`.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots;
    use crate::tasks;
    use crate::workload::Contender;

    #[test]
    fn the_version_is_that_of_the_crate_with_just_this_name() {
        let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7.1\"\n\n\
                    [[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n";
        assert_eq!(locked(lock, "tokio"), Some("1.54.1"));
        assert_eq!(locked(lock, "toki"), None);
    }

    #[test]
    fn a_run_leaves_the_page_the_figures_and_the_plots_that_it_has_figures_for() {
        let folder = built().join(format!("test-output-{}", std::process::id()));
        let contenders = vec![Contender::new("evy", || Ok(vec![7.0]))];
        let mut workload = Workload { title: tasks::yield_title(2), figures: &["ns"], contenders };
        workload.run(1);
        let output = Output::new(&folder).unwrap();
        output.write(&[workload], &plots::all(true)).unwrap();
        let page = fs::read_to_string(folder.join("peers.md")).unwrap();
        assert!(page.contains("yield, live: 2") && page.contains("(yield.svg)"));
        let svgs = fs::read_dir(&folder).unwrap().filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "svg")
        });
        assert_eq!(svgs.count(), 1);
        let json = fs::read_to_string(folder.join(JSON)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["tables"][0]["contenders"][0]["figures"]["ns"]["value"]["median"], 7.0);
        fs::remove_dir_all(folder).unwrap();
    }
}
