//! Draws a plot as SVG, by hand: nothing but text is needed for it.
//!
//! The picture brings its own background, light or dark as the reader's page is, so that it can be read on
//! both. Each contender is a line through the medians with a mark and the quartiles at each point. Lines of
//! one peer have its colour; the second and further ones are dashed.

use std::fmt::Write;

use crate::peer::PEERS;
use crate::report::figure;

/// A whole picture.
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// One contender.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// Its place in [`PEERS`].
    pub(crate) peer: Option<usize>,
    /// How many lines of this peer come before it.
    pub(crate) variant: usize,
    /// From left to right; above each number the quartiles and, between them, the median.
    pub(crate) points: Vec<(f64, [f64; 3])>,
}

#[derive(Clone, Copy)]
pub(crate) struct Axis {
    label: &'static str,
    log: bool,
}

impl Axis {
    pub(crate) const fn log(label: &'static str) -> Self {
        Self { label, log: true }
    }

    /// It begins at 0.
    pub(crate) const fn linear(label: &'static str) -> Self {
        Self { label, log: false }
    }
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;

/// The field between the axes.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 680.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 478.0;

/// From one name of the legend to the next.
const LEGEND_STEP: f64 = 24.0;

/// Colour of a line that belongs to none of the peers.
const OTHER: &str = "#808080";

/// `currentColor` is what the two pages differ in.
const STYLE: &str = "\
.plot { background: #ffffff; color: #24292f; }
@media (prefers-color-scheme: dark) { .plot { background: #0d1117; color: #e6edf3; } }
.plot text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: currentColor; }
.plot .title { font-size: 17px; font-weight: 600; }
.plot .grid { stroke: currentColor; stroke-opacity: 0.14; }
.plot .axis { stroke: currentColor; stroke-opacity: 0.6; fill: none; }
.plot .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
";

/// The picture as text.
pub(crate) fn draw(plot: &Plot) -> String {
    let xs = plot.lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let ys = plot.lines.iter().flat_map(|line| line.points.iter().flat_map(|point| point.1));
    let x = Scale::new(plot.x, xs, LEFT, RIGHT);
    let y = Scale::new(plot.y, ys, BOTTOM, TOP);
    let mut svg = Svg::new(plot);
    svg.x_axis(&x);
    svg.y_axis(&y);
    for line in &plot.lines {
        svg.line(line, &x, &y);
    }
    svg.legend(plot);
    svg.end()
}

/// From numbers to places in the picture.
struct Scale {
    axis: Axis,
    /// The numbers at both ends; of a logarithmic axis their logarithms.
    from: f64,
    to: f64,
    /// Where the ends are.
    start: f64,
    end: f64,
}

impl Scale {
    fn new(axis: Axis, numbers: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let numbers = numbers.filter(|&number| !axis.log || number > 0.0);
        let numbers = numbers.map(|number| if axis.log { number.log10() } else { number });
        let (low, high) = numbers
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                (low.min(number), high.max(number))
            });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let low = if axis.log { low } else { 0.0 };
        let margin = ((high - low) * 0.04).max(0.05);
        let from = if axis.log { low - margin } else { 0.0 };
        Self { axis, from, to: high + margin, start, end }
    }

    /// `None` for what a logarithm cannot show.
    fn place(&self, number: f64) -> Option<f64> {
        let number = match self.axis.log {
            true if number <= 0.0 => return None,
            true => number.log10(),
            false => number,
        };
        Some(self.start + (number - self.from) / (self.to - self.from) * (self.end - self.start))
    }

    /// Where the axis has a mark, and whether its number is written there.
    fn ticks(&self) -> Vec<(f64, bool)> {
        if self.axis.log { self.log_ticks() } else { self.linear_ticks() }
    }

    /// 1, 2 and 5 of each power of ten.
    fn log_ticks(&self) -> Vec<(f64, bool)> {
        let few = self.to - self.from < 2.5;
        let powers = self.from.floor() as i32..=self.to.ceil() as i32;
        let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(power)));
        let inside = ticks.filter(|tick| (self.from..=self.to).contains(&tick.log10()));
        inside.map(|tick| (tick, few || is_power_of_ten(tick))).collect()
    }

    /// About five, each 1, 2 or 5 of a power of ten.
    fn linear_ticks(&self) -> Vec<(f64, bool)> {
        let power = 10_f64.powf((self.to / 5.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
        let step = steps.into_iter().find(|step| self.to / step <= 6.0).unwrap_or(power);
        let count = (self.to / step).floor() as usize;
        (0..=count).map(|n| (n as f64 * step, true)).collect()
    }
}

fn is_power_of_ten(number: f64) -> bool {
    let power = number.log10();
    (power - power.round()).abs() < 1e-9
}

/// `1,000`, and decimals only where there are some.
fn tick_label(number: f64) -> String {
    if number < 1_000.0 && number.fract().abs() > 1e-9 {
        let digits = (-number.log10().floor()).max(1.0) as usize;
        return format!("{number:.digits$}");
    }
    figure(number).trim_end_matches(".0").to_owned()
}

struct Svg(String);

impl Svg {
    fn new(plot: &Plot) -> Self {
        let mut svg = Self(String::new());
        let title = escape(plot.title);
        svg.add(&format!(
            "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        ));
        svg.add(&format!("<style>\n{STYLE}</style>"));
        svg.text(LEFT, 30.0, "start", "class=\"title\"", plot.title);
        svg
    }

    fn add(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, more: &str, text: &str) {
        let text = escape(text);
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{text}</text>"
        ));
    }

    fn path(&mut self, class: &str, more: &str, path: &str) {
        self.add(&format!("<path class=\"{class}\" {more} d=\"{path}\"/>"));
    }

    fn x_axis(&mut self, scale: &Scale) {
        for (tick, written) in scale.ticks() {
            let Some(x) = scale.place(tick) else { continue };
            self.path("grid", "", &format!("M{x:.1} {TOP}V{BOTTOM}"));
            if written {
                self.text(x, BOTTOM + 19.0, "middle", "", &tick_label(tick));
            }
        }
        self.path("axis", "", &format!("M{LEFT} {BOTTOM}H{RIGHT}"));
        self.text((LEFT + RIGHT) / 2.0, BOTTOM + 44.0, "middle", "", scale.axis.label);
    }

    fn y_axis(&mut self, scale: &Scale) {
        for (tick, written) in scale.ticks() {
            let Some(y) = scale.place(tick) else { continue };
            self.path("grid", "", &format!("M{LEFT} {y:.1}H{RIGHT}"));
            if written {
                self.text(LEFT - 8.0, y + 4.5, "end", "", &tick_label(tick));
            }
        }
        self.path("axis", "", &format!("M{LEFT} {TOP}V{BOTTOM}"));
        let (x, y) = (18.0, (TOP + BOTTOM) / 2.0);
        let turned = format!("transform=\"rotate(-90 {x} {y})\"");
        self.text(x, y, "middle", &turned, scale.axis.label);
    }

    /// The quartiles, the line and the marks.
    fn line(&mut self, line: &Line, x: &Scale, y: &Scale) {
        let colour = colour(line);
        let mut path = String::new();
        let mut marks = Vec::new();
        for (number, [lower, median, upper]) in &line.points {
            let (Some(x), Some(middle)) = (x.place(*number), y.place(*median)) else { continue };
            let command = if path.is_empty() { 'M' } else { 'L' };
            // A String takes all that is written to it.
            let _ = write!(path, "{command}{x:.1} {middle:.1}");
            if let (Some(lower), Some(upper)) = (y.place(*lower), y.place(*upper)) {
                let more = format!("stroke=\"{colour}\" stroke-opacity=\"0.6\"");
                self.path("line", &more, &format!("M{x:.1} {lower:.1}V{upper:.1}"));
            }
            marks.push((x, middle));
        }
        self.path("line", &format!("stroke=\"{colour}\"{}", dashes(line)), &path);
        for (x, y) in marks {
            self.mark(line, x, y);
        }
    }

    /// A dot, or a ring for the second and further lines of a peer.
    fn mark(&mut self, line: &Line, x: f64, y: f64) {
        let colour = colour(line);
        let fill = if line.variant == 0 { colour } else { "none" };
        self.add(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" fill=\"{fill}\" stroke=\"{colour}\" \
             stroke-width=\"1.6\"/>"
        ));
    }

    fn legend(&mut self, plot: &Plot) {
        let (left, right) = (RIGHT + 18.0, RIGHT + 48.0);
        for (place, line) in plot.lines.iter().enumerate() {
            let y = TOP + 8.0 + place as f64 * LEGEND_STEP;
            let stroke = format!("stroke=\"{}\"{}", colour(line), dashes(line));
            self.path("line", &stroke, &format!("M{left} {y}H{right}"));
            self.mark(line, (left + right) / 2.0, y);
            self.text(right + 8.0, y + 4.5, "start", "", line.name);
        }
    }

    fn end(mut self) -> String {
        self.add("</svg>");
        self.0
    }
}

fn colour(line: &Line) -> &'static str {
    line.peer.map_or(OTHER, |peer| PEERS[peer].colour)
}

fn dashes(line: &Line) -> &'static str {
    if line.variant == 0 { "" } else { " stroke-dasharray=\"6 4\"" }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(lines: Vec<Line>) -> Plot {
        let (x, y) = (Axis::log("live & <well>"), Axis::log("ns"));
        Plot { title: "a \"title\"", x, y, lines }
    }

    fn line(name: &'static str, variant: usize, points: &[(f64, f64)]) -> Line {
        let points = points.iter().map(|&(x, y)| (x, [y * 0.9, y, y * 1.1])).collect();
        Line { name, peer: Some(0), variant, points }
    }

    #[test]
    fn a_picture_is_well_formed_and_names_every_line_and_axis() {
        let lines = vec![
            line("evy <&>", 0, &[(1.0, 6.0), (1_000.0, 9.0)]),
            line("evy, other", 1, &[(1.0, 600.0), (1_000.0, 0.0)]),
            Line { name: "nobody's", peer: None, variant: 0, points: vec![] },
        ];
        let text = draw(&plot(lines));
        let document = roxmltree::Document::parse(&text).unwrap();
        let texts: Vec<&str> = document
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
            .filter_map(|node| node.text())
            .collect();
        for name in ["a \"title\"", "live & <well>", "ns", "evy <&>", "evy, other", "nobody's"] {
            assert!(texts.contains(&name), "{name} in {texts:?}");
        }
        assert!(texts.contains(&"1,000") && texts.contains(&"10"));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn a_picture_of_one_point_has_a_scale_too() {
        let text = draw(&plot(vec![line("evy", 0, &[(5.0, 5.0)])]));
        roxmltree::Document::parse(&text).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn a_logarithmic_scale_has_its_ends_inside_and_equal_steps_for_equal_factors() {
        let scale = Scale::new(Axis::log(""), [1.0, 19_000.0].into_iter(), 0.0, 100.0);
        let place = |number| scale.place(number).unwrap();
        assert!(place(1.0) > 0.0 && place(19_000.0) < 100.0);
        let (first, second) = (place(10.0) - place(1.0), place(100.0) - place(10.0));
        assert!((first - second).abs() < 1e-9);
        assert_eq!(scale.place(0.0), None);
        let written: Vec<f64> =
            scale.ticks().into_iter().filter(|tick| tick.1).map(|tick| tick.0).collect();
        assert_eq!(written, [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
    }

    #[test]
    fn a_linear_scale_begins_at_0() {
        let scale = Scale::new(Axis::linear(""), [1.0, 4.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.place(0.0), Some(0.0));
        let ticks: Vec<f64> = scale.ticks().into_iter().map(|tick| tick.0).collect();
        assert_eq!(ticks, [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn labels_have_no_more_digits_than_they_need() {
        let labels = [0.05, 0.5, 1.0, 2_000.0, 1_000_000.0].map(tick_label);
        assert_eq!(labels, ["0.05", "0.5", "1", "2,000", "1,000,000"]);
    }
}
