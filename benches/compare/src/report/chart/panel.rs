//! One workload: a bar for each server, as long as its CPU time beside the baseline's.

use super::super::units::{figure, time};
use super::super::{CROCUS, LIMIT, baseline};
use super::svg::Svg;
use crate::figures::{Trial, Workload};

pub(super) const WIDTH: f64 = 268.0;

/// Room left of the plot for a name as long as `redis-server`, and right of it for a number.
const NAMES: f64 = 78.0;
const NUMBERS: f64 = 37.0;

pub(super) const PLOT: f64 = WIDTH - NAMES - NUMBERS;

/// Where the axis ends: what costs more is clipped, so that the others can be told apart.
pub(super) const END: f64 = 3.0;

/// From bar to bar.
const PITCH: f64 = 14.0;
pub(super) const THICKNESS: f64 = 9.0;

/// The height of a line of text, and where the first stands.
pub(super) const LINE: f64 = 14.5;
const BASELINE: f64 = 12.0;

/// Room below the plot, for the numbers of the axis.
const BELOW: f64 = 16.0;

/// How many letters of the title fit on a line in a wide font.
const LETTERS: usize = 46;

/// Half as high as the mark at the ends of a whisker.
const TIP: f64 = 2.0;

#[derive(Clone, Debug)]
pub(super) struct Panel<'a> {
    workload: &'a Workload,
    bars: Vec<Bar<'a>>,
}

#[derive(Clone, Debug)]
struct Bar<'a> {
    server: &'a str,
    ratio: f64,
    spread: (f64, f64),
    is_marked: bool,
}

impl<'a> Panel<'a> {
    /// The bars of those of the servers that have figures, in this order.
    pub(super) fn new(workload: &'a Workload, servers: &[&'a str]) -> Self {
        let bars = servers.iter().filter_map(|server| bar(workload, server)).collect();
        Self { workload, bars }
    }

    pub(super) fn is_marked(&self) -> bool {
        self.bars.iter().any(|bar| bar.is_marked)
    }

    /// How many lines stand above the plot.
    pub(super) fn lines(&self) -> usize {
        1 + self.about().len()
    }

    pub(super) fn bars(&self) -> usize {
        self.bars.len()
    }

    /// The ratios in words, for those who do not see the picture.
    pub(super) fn words(&self) -> String {
        let words = |bar: &Bar<'_>| format!("{} {}", bar.server, bar.label());
        let bars: Vec<_> = self.bars.iter().map(words).collect();
        format!("{}: {}.", self.workload.name, bars.join(", "))
    }

    /// Draws the panel; above its plot is room for so many lines.
    pub(super) fn draw(&self, svg: &mut Svg, lines: usize) {
        svg.text("name", 0.0, BASELINE, &self.workload.name);
        for (index, line) in self.about().iter().enumerate() {
            svg.text("muted", 0.0, BASELINE + LINE * (index + 1) as f64, line);
        }
        svg.moved(NAMES, top(lines), |svg| {
            if self.bars.is_empty() {
                svg.text("muted", -NAMES, PITCH, "not measured");
                return;
            }
            let bottom = self.bars.len() as f64 * PITCH;
            draw_axis(svg, bottom);
            for (index, bar) in self.bars.iter().enumerate() {
                svg.moved(0.0, index as f64 * PITCH, |svg| bar.draw(svg));
            }
            // Over the bars: it is what they are held against.
            svg.lines("limit", &[[(place(1.0), -3.0), (place(1.0), bottom)]]);
            for (index, bar) in self.bars.iter().enumerate() {
                svg.moved(0.0, index as f64 * PITCH, |svg| bar.draw_number(svg));
            }
        });
    }

    /// The title, and what the line stands for.
    fn about(&self) -> Vec<String> {
        let mut lines = wrap(&self.workload.title, LETTERS);
        if let Some(cost) = baseline(self.workload).and_then(Trial::cpu) {
            let Workload { baseline, operation, .. } = self.workload;
            lines.push(format!("1 = {baseline}: {} per {operation}", time(cost)));
        }
        lines
    }
}

/// None for the limit where it is the baseline: it is the line.
fn bar<'a>(workload: &'a Workload, server: &'a str) -> Option<Bar<'a>> {
    if server == LIMIT && workload.baseline == LIMIT {
        return None;
    }
    let (own, baseline) = (workload.trial(server)?, baseline(workload)?);
    Some(Bar {
        server,
        ratio: own.ratio(baseline)?,
        spread: own.ratio_spread(baseline)?,
        is_marked: own.is_marked(),
    })
}

impl Bar<'_> {
    fn is_clipped(&self) -> bool {
        self.ratio > END
    }

    fn label(&self) -> String {
        format!("{}{}", figure(self.ratio), if self.is_marked { "†" } else { "" })
    }

    /// The class of what belongs to the bar.
    fn class(&self, class: &str) -> String {
        if self.server == CROCUS { format!("{class} own") } else { class.to_owned() }
    }

    fn draw(&self, svg: &mut Svg) {
        let above = (PITCH - THICKNESS) / 2.0;
        svg.text(self.class("end").as_str(), -6.0, PITCH / 2.0 + 4.0, self.server);
        let size = (place(self.ratio), THICKNESS);
        svg.rectangle(&self.class("bar"), (0.0, above), size);
        if self.is_clipped() {
            draw_break(svg, size.0, above);
        } else {
            draw_whisker(svg, (place(self.spread.0), place(self.spread.1)), PITCH / 2.0);
        }
    }

    /// Behind the bar, its whisker and the line.
    fn draw_number(&self, svg: &mut Svg) {
        let end = if self.is_clipped() { END } else { self.ratio.max(self.spread.1).max(1.0) };
        svg.text(&self.class("number"), place(end) + 5.0, PITCH / 2.0 + 4.0, &self.label());
    }
}

pub(super) fn draw_whisker(svg: &mut Svg, (lower, upper): (f64, f64), y: f64) {
    let tip = |x: f64| [(x, y - TIP), (x, y + TIP)];
    svg.lines("whisker", &[[(lower, y), (upper, y)], tip(lower), tip(upper)]);
}

/// Two cuts through a bar of this length, near its end.
pub(super) fn draw_break(svg: &mut Svg, length: f64, above: f64) {
    let cut = |x: f64| [(x - 2.5, above + THICKNESS + 1.0), (x + 2.5, above - 1.0)];
    svg.lines("break", &[cut(length - 15.0), cut(length - 10.0)]);
}

fn draw_axis(svg: &mut Svg, bottom: f64) {
    for ratio in [0.0, 1.0, 2.0, END] {
        let x = place(ratio);
        let class = if ratio == 0.0 { "frame" } else { "grid" };
        svg.lines(class, &[[(x, 0.0), (x, bottom)]]);
        svg.text("muted middle", x, bottom + BELOW - 4.0, &format!("{ratio}"));
    }
}

/// Where a ratio lies on the axis.
fn place(ratio: f64) -> f64 {
    ratio.clamp(0.0, END) / END * PLOT
}

/// Where the plot begins below so many lines.
fn top(lines: usize) -> f64 {
    BASELINE + LINE * (lines - 1) as f64 + 9.0
}

/// How high a panel with so many lines and bars is.
pub(super) fn height(lines: usize, bars: usize) -> f64 {
    top(lines) + bars as f64 * PITCH + BELOW
}

/// The text in lines of at most so many letters.
pub(super) fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_wrapped_between_words() {
        assert!(wrap(" ", 9).is_empty());
        let lines = wrap(&"echo of 64 bytes, ".repeat(5), LETTERS);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= LETTERS), "{lines:?}");
    }

    #[test]
    fn the_axis_begins_at_zero_and_clips() {
        assert_eq!([0.0, END, 100.0].map(place), [0.0, PLOT, PLOT]);
        assert!((place(2.0) - 2.0 * place(1.0)).abs() < 1e-9);
    }
}
