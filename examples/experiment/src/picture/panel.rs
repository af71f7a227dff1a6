//! One constraint: the curves of all servers, and at the end of each its name and what came out.

use super::axis::Axis;
use super::curve::Curve;
use super::style;
use super::svg::{Path, Svg};
use crate::figures::grouped;

pub(super) const WIDTH: f64 = 428.0;

/// The height of a line of text.
pub(super) const LINE: f64 = 17.0;

/// Where the first line of text stands.
const BASELINE: f64 = 14.0;

/// Room between the heading and the plot, for what the vertical axis means.
const ABOVE: f64 = 35.0;

/// Room below the plot, for the axis of time.
const BELOW: f64 = 38.0;

pub(super) const PLOT_HEIGHT: f64 = 152.0;

/// Room left of the plot, for the numbers of the vertical axis.
pub(super) const LEFT: f64 = 30.0;

/// Room right of the plot, for a name as long as `blocking-4096` and a few words.
const RIGHT: f64 = 184.0;

pub(super) const PLOT_WIDTH: f64 = WIDTH - LEFT - RIGHT;

/// From the plot to the names at its right.
const LEADER: f64 = 20.0;

/// How many letters of the description fit on a line in a wide font.
const LETTERS: usize = 62;

#[derive(Clone, Debug)]
pub(super) struct Panel<'a> {
    pub(super) name: &'a str,
    pub(super) about: String,
    pub(super) curves: Vec<Curve<'a>>,
}

impl Panel<'_> {
    /// Draws the panel; its description has room for so many lines.
    pub(super) fn draw(&self, svg: &mut Svg, lines: usize) {
        heading(svg, self.name, &self.about);
        svg.moved(LEFT, plot_top(lines), |svg| {
            let axis = Axis::covering(self.curves.iter().filter_map(Curve::span));
            svg.text("muted", -LEFT, -13.0, &self.what_is_counted());
            draw_shares(svg);
            draw_time(svg, &axis);
            for curve in &self.curves {
                draw_curve(svg, curve, &axis);
            }
            // After all curves, so that none runs over a mark.
            for curve in &self.curves {
                let (x, y) = end_of(curve, &axis);
                style::mark(svg, curve.style, x, y);
            }
            self.draw_outcomes(svg, &axis);
        });
    }

    /// The outcomes in words, for those who do not see the picture.
    pub(super) fn words(&self) -> String {
        let words = |curve: &Curve<'_>| format!("{} {}", curve.server, curve.outcome());
        let outcomes: Vec<_> = self.curves.iter().map(words).collect();
        format!("{}: {}.", self.name, outcomes.join(", "))
    }

    fn what_is_counted(&self) -> String {
        let mut asked = self.curves.iter().map(|curve| curve.asked);
        match asked.next() {
            Some(1) if asked.all(|other| other == 1) => "% of 1 client served".to_owned(),
            Some(first) if asked.all(|other| other == first) => {
                format!("% of {} clients served", grouped(first))
            }
            _ => "% of the clients served".to_owned(),
        }
    }

    /// Names and outcomes beside the ends of the curves, the fastest above.
    fn draw_outcomes(&self, svg: &mut Svg, axis: &Axis) {
        let mut curves: Vec<_> =
            self.curves.iter().map(|curve| (end_of(curve, axis), curve)).collect();
        curves.sort_by(|((ax, ay), _), ((bx, by), _)| ay.total_cmp(by).then(ax.total_cmp(bx)));
        let wanted: Vec<f64> = curves.iter().map(|((_, y), _)| *y).collect();
        for (((x, y), curve), label) in curves.iter().zip(spread(&wanted, LINE + 2.0)) {
            let name = PLOT_WIDTH + LEADER;
            let leader = [(*x, *y), (PLOT_WIDTH, *y), (name - 12.0, label), (name - 9.0, label)];
            svg.path(&style::class("leader", curve.style), &Path::through(leader));
            let class = style::class("small strong", curve.style);
            svg.text(&class, name - 5.0, label + 4.5, curve.server);
            svg.text("small end", WIDTH - LEFT, label + 4.5, &curve.outcome());
        }
    }
}

/// How high a panel is whose description has so many lines.
pub(super) fn height(lines: usize) -> f64 {
    plot_top(lines) + PLOT_HEIGHT + BELOW
}

pub(super) fn plot_top(lines: usize) -> f64 {
    BASELINE + lines as f64 * LINE + ABOVE
}

/// How many lines a description takes.
pub(super) fn lines(about: &str) -> usize {
    wrap(about).len()
}

/// The name of a panel and its description.
pub(super) fn heading(svg: &mut Svg, name: &str, about: &str) {
    svg.text("name", 0.0, BASELINE, name);
    for (index, line) in wrap(about).iter().enumerate() {
        svg.text("muted", 0.0, BASELINE + LINE * (index + 1) as f64, line);
    }
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LETTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn draw_shares(svg: &mut Svg) {
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = PLOT_HEIGHT * (1.0 - percent / 100.0);
        svg.line("grid", (0.0, y), (PLOT_WIDTH, y));
        if percent % 50.0 == 0.0 {
            svg.text("muted end", -6.0, y + 4.5, &format!("{percent}"));
        }
    }
}

fn draw_time(svg: &mut Svg, axis: &Axis) {
    for (place, label) in axis.ticks() {
        let x = place * PLOT_WIDTH;
        svg.line("grid", (x, 0.0), (x, PLOT_HEIGHT));
        svg.line("frame", (x, PLOT_HEIGHT), (x, PLOT_HEIGHT + 4.0));
        svg.text("muted middle", x, PLOT_HEIGHT + LINE, &label);
    }
    svg.line("frame", (0.0, PLOT_HEIGHT), (PLOT_WIDTH, PLOT_HEIGHT));
    let scale = if axis.is_logarithmic() { ", log scale" } else { "" };
    let meaning = format!("time since the start{scale}");
    svg.text("muted middle", PLOT_WIDTH / 2.0, PLOT_HEIGHT + 2.0 * LINE, &meaning);
}

fn draw_curve(svg: &mut Svg, curve: &Curve<'_>, axis: &Axis) {
    let bends = curve.bends(axis).into_iter().map(on_plot);
    svg.path(&style::class("line", curve.style), &Path::through(bends));
}

fn end_of(curve: &Curve<'_>, axis: &Axis) -> (f64, f64) {
    let place = curve.span().map_or(1.0, |(_, last)| axis.place(last));
    on_plot((place, curve.served()))
}

fn on_plot((place, share): (f64, f64)) -> (f64, f64) {
    (place * PLOT_WIDTH, (1.0 - share) * PLOT_HEIGHT)
}

/// Heights from the top of the plot to its bottom, near those wanted and at least `gap` apart.
fn spread(wanted: &[f64], gap: f64) -> Vec<f64> {
    let mut lowest = f64::NEG_INFINITY;
    let mut heights: Vec<f64> = Vec::with_capacity(wanted.len());
    for &height in wanted {
        lowest = height.max(lowest + gap);
        heights.push(lowest);
    }
    let mut highest = PLOT_HEIGHT;
    for height in heights.iter_mut().rev() {
        *height = height.min(highest);
        highest = *height - gap;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_and_stay_beside_the_plot() {
        let wanted = [
            vec![0.0; 5],
            vec![PLOT_HEIGHT; 5],
            vec![0.0, 1.0, 75.0, 76.0, PLOT_HEIGHT],
            vec![PLOT_HEIGHT / 2.0],
            vec![],
        ];
        for wanted in wanted {
            let heights = spread(&wanted, 20.0);
            assert_eq!(heights.len(), wanted.len());
            assert!(heights.is_sorted_by(|a, b| b - a >= 20.0), "{heights:?}");
            assert!(
                heights.iter().all(|height| (0.0..=PLOT_HEIGHT).contains(height)),
                "{heights:?}"
            );
        }
        assert_eq!(spread(&[10.0, 90.0], 20.0), [10.0, 90.0]);
    }

    #[test]
    fn a_description_is_wrapped_between_words() {
        assert!(wrap("").is_empty());
        assert_eq!(wrap("one client says nothing"), ["one client says nothing"]);
        let long = "the server reads a line first; ".repeat(4);
        let lines = wrap(&long);
        assert!(lines.iter().all(|line| line.len() <= LETTERS), "{lines:?}");
        assert_eq!(lines.join(" "), long.trim_end());
        assert_eq!(wrap(&"x".repeat(2 * LETTERS)).len(), 1);
    }
}
