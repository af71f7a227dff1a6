//! A panel of curves over time, with the name and the outcome of each at its end.

pub use crate::curve::Curve;

use crate::axis::Axis;
use crate::sheet::{Canvas, Key, Panel};
use crate::style::LOOKS;
use crate::svg::{Path, Svg, tenth};

/// Room above the plot for the words that name the unit.
const ABOVE: f64 = 26.0;

pub(crate) const PLOT_HEIGHT: f64 = 152.0;

/// Room left of the plot, for the numbers of the vertical axis.
pub(crate) const LEFT: f64 = 30.0;

/// Room right of the plot, for a name as long as `blocking-4096` and a few words.
const RIGHT: f64 = 180.0;

/// From the plot to the names at its right.
const LEADER: f64 = 20.0;

/// How wide a line in the key is.
const SAMPLE: f64 = 40.0;

/// Curves on one axis of time.
#[derive(Clone, Debug)]
pub struct Curves<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its subject.
    pub about: String,
    /// The unit, for example `clients served`; the axis is in per cent of it.
    pub counted: String,
    /// The later ones are drawn over the earlier.
    pub curves: Vec<Curve<'a>>,
}

/// The key of the curves with these names, in the order of their looks.
pub fn key(names: &[&str]) -> Vec<Key> {
    let key = |(look, name): (usize, &&str)| {
        let mut sample = Svg::default();
        sample.path(&class("line", look), &Path::through([(0.0, 8.0), (SAMPLE, 8.0)]));
        mark(&mut sample, look, (SAMPLE, 8.0));
        Key { width: SAMPLE + 3.0, sample, class: class("strong", look), meaning: (*name).into() }
    };
    names.iter().enumerate().map(key).collect()
}

impl Panel for Curves<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> Vec<String> {
        vec![self.about.clone()]
    }

    fn height(&self) -> f64 {
        ABOVE + PLOT_HEIGHT + 38.0 // the axis of time, in two lines
    }

    fn draw(&self, canvas: &mut Canvas<'_>) {
        let plot = Plot {
            width: canvas.scale.width - LEFT - RIGHT,
            line: canvas.scale.line,
            axis: Axis::covering(self.curves.iter().filter_map(Curve::span)),
        };
        canvas.svg.moved(LEFT, ABOVE, |svg| {
            svg.text("muted", -LEFT, -13.0, &format!("% of {}", self.counted));
            plot.draw_axes(svg);
            for curve in &self.curves {
                let bends = curve.bends(&plot.axis).into_iter().map(|bend| plot.place(bend));
                svg.path(&class("line", curve.look), &Path::through(bends));
            }
            // After all curves, so that none runs over a mark.
            for curve in &self.curves {
                mark(svg, curve.look, plot.end_of(curve));
            }
            self.draw_outcomes(svg, &plot, canvas.scale.width - LEFT);
        });
    }

    fn words(&self) -> String {
        let words = |curve: &Curve<'_>| format!("{} {}", curve.name, curve.outcome);
        let outcomes: Vec<_> = self.curves.iter().map(words).collect();
        format!("{}: {}.", self.name, outcomes.join(", "))
    }
}

impl Curves<'_> {
    /// Names and outcomes beside the ends of the curves, the fastest above.
    fn draw_outcomes(&self, svg: &mut Svg, plot: &Plot, right: f64) {
        let mut curves: Vec<_> =
            self.curves.iter().map(|curve| (plot.end_of(curve), curve)).collect();
        curves.sort_by(|((ax, ay), _), ((bx, by), _)| ay.total_cmp(by).then(ax.total_cmp(bx)));
        let wanted: Vec<f64> = curves.iter().map(|((_, y), _)| *y).collect();
        for (((x, y), curve), label) in curves.iter().zip(spread(&wanted, plot.line + 2.0)) {
            let name = plot.width + LEADER;
            let leader = [(*x, *y), (plot.width, *y), (name - 12.0, label), (name - 9.0, label)];
            svg.path(&class("leader", curve.look), &Path::through(leader));
            svg.text(&class("small strong", curve.look), name - 5.0, label + 4.5, curve.name);
            svg.text("small end", right, label + 4.5, &curve.outcome);
        }
    }
}

/// The square that the curves are drawn in.
struct Plot {
    width: f64,
    /// The height of a line of text.
    line: f64,
    axis: Axis,
}

impl Plot {
    fn place(&self, (place, share): (f64, f64)) -> (f64, f64) {
        (place * self.width, (1.0 - share) * PLOT_HEIGHT)
    }

    fn end_of(&self, curve: &Curve<'_>) -> (f64, f64) {
        let place = curve.span().map_or(1.0, |(_, last)| self.axis.place(last));
        self.place((place, curve.height()))
    }

    fn draw_axes(&self, svg: &mut Svg) {
        for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
            let y = PLOT_HEIGHT * (1.0 - percent / 100.0);
            svg.line("grid", (0.0, y), (self.width, y));
            if percent % 50.0 == 0.0 {
                svg.text("muted end", -6.0, y + 4.5, &format!("{percent}"));
            }
        }
        for (place, label) in self.axis.ticks() {
            let x = place * self.width;
            svg.line("grid", (x, 0.0), (x, PLOT_HEIGHT));
            svg.line("frame", (x, PLOT_HEIGHT), (x, PLOT_HEIGHT + 4.0));
            svg.text("muted middle", x, PLOT_HEIGHT + self.line, &label);
        }
        svg.line("frame", (0.0, PLOT_HEIGHT), (self.width, PLOT_HEIGHT));
        let scale = if self.axis.is_logarithmic() { ", log scale" } else { "" };
        let meaning = format!("time since the start{scale}");
        svg.text("muted middle", self.width / 2.0, PLOT_HEIGHT + 2.0 * self.line, &meaning);
    }
}

/// The classes of something that belongs to a curve.
fn class(kind: &str, look: usize) -> String {
    format!("{kind} s{}", look % LOOKS.len())
}

/// The mark at the end of a curve.
fn mark(svg: &mut Svg, look: usize, (x, y): (f64, f64)) {
    let (class, outline) = (class("mark", look), LOOKS[look % LOOKS.len()].mark);
    let (x, y) = (tenth(x), tenth(y));
    svg.raw(&format!("<path class=\"{class}\" transform=\"translate({x} {y})\" d=\"{outline}\"/>"));
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
    use std::time::Duration;

    use super::*;
    use crate::curve::tests::{curve, millis};
    use crate::sheet::{Scale, tests::sound};

    fn panel<'a>(curves: Vec<Curve<'a>>) -> Box<dyn Panel + 'a> {
        let (about, counted) = ("one after another, \"<1 s\" & more".into(), "9 clients".into());
        Box::new(Curves { name: "calm", about, counted, curves })
    }

    /// Walks the curves of a picture, and checks that they stay in their plots.
    fn check_curves(picture: &str) {
        let document = roxmltree::Document::parse(picture).unwrap();
        let width = Scale::LARGE.width - LEFT - RIGHT;
        let is_curve = |node: &roxmltree::Node<'_, '_>| {
            node.attribute("class").is_some_and(|class| class.starts_with("line "))
        };
        for node in document.descendants().filter(is_curve) {
            let path = node.attribute("d").unwrap();
            let (mut x, mut y) = (0.0, 0.0);
            let starts = path.match_indices(char::is_alphabetic).map(|(at, _)| at);
            let starts: Vec<usize> = starts.chain([path.len()]).collect();
            for ends in starts.windows(2) {
                let (command, numbers) = path[ends[0]..ends[1]].split_at(1);
                let numbers: Vec<f64> =
                    numbers.split(' ').map(|number| number.parse().unwrap()).collect();
                match (command, &numbers[..]) {
                    ("m" | "l", [right, down]) => (x, y) = (x + right, y + down),
                    ("h", [right]) => x += right,
                    ("v", [down]) => y += down,
                    other => panic!("{other:?}"),
                }
                assert!((-0.05..=width + 0.05).contains(&x), "{x}: {node:?}");
                assert!((-0.05..=PLOT_HEIGHT + 0.05).contains(&y), "{y}: {node:?}");
            }
        }
    }

    #[test]
    fn curves_stay_in_their_plots() {
        let fast = millis((0..10_000).map(|index| index / 25));
        let waves = millis((0..500).map(|index| index / 50 * 200));
        let (at_once, late) = (vec![Duration::ZERO], vec![Duration::from_secs(3_000)]);
        let mut panels = vec![
            panel((0..5).map(|look| curve(look, 10_000, &fast)).collect()),
            panel(vec![curve(0, 10_000, &waves), curve(1, 10_000, &fast)]),
            panel(vec![]),
            panel((0..5).map(|look| curve(look, 100, &[])).collect()),
        ];
        for (of, times) in [(0, &at_once), (1, &late), (100, &late)] {
            panels.push(panel(vec![curve(0, of, times), curve(7, of, &at_once)]));
        }
        let picture = sound(panels, Scale::LARGE);
        check_curves(&picture);
        assert!(picture.contains("calm: blocking-4096 as expected, blocking-4096 as expected"));
        assert!(picture.len() < 60_000, "{}", picture.len());
    }

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
            let inside = |height: &f64| (0.0..=PLOT_HEIGHT).contains(height);
            assert!(heights.iter().all(inside), "{heights:?}");
        }
        assert_eq!(spread(&[10.0, 90.0], 20.0), [10.0, 90.0]);
    }
}
