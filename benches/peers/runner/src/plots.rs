//! Which plots there are, and where their points come from.

use crate::peer::Peer;
use crate::report::series;
use crate::svg::{Axis, Line, Plot};
use crate::workload::Workload;
use crate::{cores, echo, memory, tasks};

/// A plot of one figure of several workloads, which differ in a number.
pub(crate) struct PlotOf {
    name: &'static str,
    title: &'static str,
    x: Axis,
    y: Axis,
    /// The number, and the title of the workload that has it.
    points: Vec<(usize, String)>,
    /// The place of the figure.
    figure: usize,
}

/// All that a run can draw.
pub(crate) fn all(quick: bool) -> Vec<PlotOf> {
    let of = |sizes: &[usize], title: fn(usize) -> String| {
        sizes.iter().map(|&size| (size, title(size))).collect()
    };
    let live = Axis::log("live green threads, tasks or goroutines");
    let nanos = Axis::log("ns (lower is better)");
    let pairs = tasks::pairs(quick).iter().map(|&n| (2 * n, tasks::channel_title(n))).collect();
    vec![
        PlotOf {
            name: "echo",
            title: "CPU of the server for an echo of 64 B",
            x: Axis::log("connections"),
            y: Axis::log("ns of CPU a request (lower is better)"),
            points: of(echo::connections(quick), echo::small_title),
            figure: 1,
        },
        PlotOf {
            name: "echo-rate",
            title: "echoes of 64 B by a server on one core",
            x: Axis::log("connections"),
            y: Axis::log("requests a second (higher is better)"),
            points: of(echo::connections(quick), echo::small_title),
            figure: 0,
        },
        PlotOf {
            name: "memory",
            title: "memory of a parked green thread, task or goroutine, with page tables",
            x: Axis::log("parked"),
            y: Axis::log("bytes each (lower is better)"),
            points: of(memory::counts(quick), memory::title),
            figure: 0,
        },
        PlotOf {
            name: "spawn",
            title: "spawn, run, end and wait",
            x: Axis::log("spawned at once"),
            y: nanos,
            points: of(tasks::spawned(quick), tasks::spawn_title),
            figure: 0,
        },
        PlotOf {
            name: "yield",
            title: "yield to the next one",
            x: live,
            y: nanos,
            points: of(tasks::live(quick), tasks::yield_title),
            figure: 0,
        },
        PlotOf {
            name: "channel",
            title: "round trip of two over two channels",
            x: live,
            y: nanos,
            points: pairs,
            figure: 0,
        },
        PlotOf {
            name: "timer",
            title: "cancel the oldest timer and set one",
            x: Axis::log("live timers"),
            y: nanos,
            points: of(tasks::timers(quick), |live| tasks::timer_title(live, true)),
            figure: 0,
        },
        PlotOf {
            name: "cores",
            title: "echo whose handler computes for half a millisecond",
            x: Axis::linear("cores"),
            y: Axis::linear("requests a second (higher is better)"),
            points: of(&cores::counts(), cores::title),
            figure: 0,
        },
    ]
}

impl PlotOf {
    pub(crate) fn file(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// The workloads that it is of.
    pub(crate) fn titles(&self) -> impl Iterator<Item = &str> {
        self.points.iter().map(|(_, title)| title.as_str())
    }

    /// What is to be drawn; `None` where none of it has been measured.
    pub(crate) fn draw(&self, workloads: &[Workload]) -> Option<Plot> {
        let mut lines: Vec<Line> = Vec::new();
        for (x, title) in &self.points {
            let workload = workloads.iter().find(|workload| workload.title == *title);
            for contender in workload.into_iter().flat_map(|workload| &workload.contenders) {
                let Some(y) = series(contender, self.figure).quartiles() else { continue };
                let place = lines.iter().position(|line| line.name == contender.name);
                let place = place.unwrap_or_else(|| {
                    let peer = Peer::place_of(contender.name);
                    let variant = lines.iter().filter(|line| line.peer == peer).count();
                    lines.push(Line { name: contender.name, peer, variant, points: Vec::new() });
                    lines.len() - 1
                });
                lines[place].points.push((*x as f64, y));
            }
        }
        let (title, x, y) = (self.title, self.x, self.y);
        (!lines.is_empty()).then_some(Plot { title, x, y, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Contender;

    fn workload(live: usize, contenders: Vec<Contender>) -> Workload {
        let mut workload =
            Workload { title: tasks::yield_title(live), figures: &["ns"], contenders };
        workload.run(3);
        workload
    }

    #[test]
    fn every_contender_with_figures_has_a_line_of_its_points() {
        let two = workload(
            2,
            vec![
                Contender::new("evy", || Ok(vec![7.0])),
                Contender::new("evy, otherwise", || Ok(vec![8.0])),
                Contender::absent("raw", "no tasks"),
                Contender::new("smol", || Err("it does not run".to_owned())),
            ],
        );
        let many = workload(1_000, vec![Contender::new("evy", || Ok(vec![9.0]))]);
        let plots = all(true);
        let plot = plots.iter().find(|plot| plot.name == "yield").unwrap();
        let drawn = plot.draw(&[two, many]).unwrap();
        let names: Vec<_> = drawn.lines.iter().map(|line| (line.name, line.variant)).collect();
        assert_eq!(names, [("evy", 0), ("evy, otherwise", 1)]);
        assert_eq!(drawn.lines[0].points, [(2.0, [7.0; 3]), (1_000.0, [9.0; 3])]);
        assert!(plot.draw(&[]).is_none());
    }

    #[test]
    fn every_point_has_a_workload() {
        for quick in [false, true] {
            let mut titles: Vec<String> = echo::workloads(1.0, quick).map(|w| w.title).collect();
            titles.extend(memory::workloads(quick).map(|w| w.title));
            titles.extend(tasks::spawns(1.0, quick).map(|w| w.title));
            titles.extend(tasks::yields(1.0, quick).map(|w| w.title));
            titles.extend(tasks::channels(1.0, quick).map(|w| w.title));
            titles.extend(tasks::timer_workloads(1.0, quick).map(|w| w.title));
            titles.extend(cores::workloads(1.0).map(|w| w.title));
            for plot in all(quick) {
                assert!(!plot.points.is_empty());
                for (_, title) in &plot.points {
                    assert!(titles.contains(title), "{}: {title}", plot.name);
                }
            }
        }
    }
}
