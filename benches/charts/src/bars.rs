//! A panel of bars: figures as ratios to one that is drawn as a line.

use crate::number::figure;
use crate::sheet::{Canvas, Key, Panel};
use crate::svg::{Path, Svg};

/// Room left of the plot for a name as long as `redis-server`, and right of it for a number.
const NAMES: f64 = 78.0;
const NUMBERS: f64 = 37.0;

/// Where the axis ends. A longer bar is cut, so that the others can be told apart.
pub const END: f64 = 3.0;

/// From bar to bar.
const PITCH: f64 = 14.0;
const THICKNESS: f64 = 9.0;

/// Half as high as the mark at the ends of a whisker.
const TIP: f64 = 2.0;

/// How wide a sample in the key is.
const SAMPLE: f64 = 24.0;

/// One ratio.
#[derive(Clone, Debug)]
pub struct Bar<'a> {
    /// The text on its left.
    pub name: &'a str,
    /// Its length.
    pub ratio: f64,
    /// The ratios at the ends of its whisker.
    pub spread: (f64, f64),
    /// It is the one in colour.
    pub is_own: bool,
    /// Its number is followed by a dagger.
    pub is_marked: bool,
}

/// Bars below each other.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its subject, and the meaning of the line.
    pub about: Vec<String>,
    /// From above.
    pub bars: Vec<Bar<'a>>,
}

/// The key of all panels of bars, with words for the own bar and for the line.
pub fn key(own: &str, line: &str) -> Vec<Key> {
    let bar = |svg: &mut Svg, class: &str| svg.rectangle(class, (0.0, 2.0), (SAMPLE, THICKNESS));
    let key = |meaning: &str, draw: &dyn Fn(&mut Svg)| {
        let mut sample = Svg::default();
        draw(&mut sample);
        Key { width: SAMPLE, sample, class: "muted".into(), meaning: meaning.into() }
    };
    let middle = SAMPLE / 2.0;
    vec![
        key(own, &|svg| bar(svg, "bar own")),
        key("others", &|svg| bar(svg, "bar")),
        key(line, &|svg| svg.line("one", (middle, 0.0), (middle, 13.0))),
        key("middle half of the rounds", &|svg| draw_whisker(svg, (1.0, SAMPLE - 1.0), 6.5)),
        key("longer than the axis", &|svg| {
            bar(svg, "bar");
            draw_break(svg, SAMPLE, 2.0);
        }),
    ]
}

impl Panel for Bars<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> Vec<String> {
        self.about.clone()
    }

    fn height(&self) -> f64 {
        self.bars.len().max(1) as f64 * PITCH + 16.0 // the numbers of the axis
    }

    fn draw(&self, canvas: &mut Canvas<'_>) {
        let plot = Plot { width: canvas.scale.width - NAMES - NUMBERS };
        if self.bars.is_empty() {
            canvas.svg.text("muted", 0.0, PITCH, "not measured");
            return;
        }
        canvas.svg.moved(NAMES, 0.0, |svg| {
            let bottom = self.bars.len() as f64 * PITCH;
            plot.draw_axis(svg, bottom);
            for (index, bar) in self.bars.iter().enumerate() {
                svg.moved(0.0, index as f64 * PITCH, |svg| plot.draw_bar(svg, bar));
            }
            // Over the bars: they are held against it.
            svg.line("one", (plot.place(1.0), -3.0), (plot.place(1.0), bottom));
            for (index, bar) in self.bars.iter().enumerate() {
                svg.moved(0.0, index as f64 * PITCH, |svg| plot.draw_number(svg, bar));
            }
        });
    }

    fn words(&self) -> String {
        let words = |bar: &Bar<'_>| format!("{} {}", bar.name, bar.number());
        let bars: Vec<_> = self.bars.iter().map(words).collect();
        format!("{}: {}.", self.name, bars.join(", "))
    }
}

impl Bar<'_> {
    fn is_cut(&self) -> bool {
        self.ratio > END
    }

    fn number(&self) -> String {
        format!("{}{}", figure(self.ratio), if self.is_marked { "†" } else { "" })
    }

    fn class(&self, class: &str) -> String {
        if self.is_own { format!("{class} own") } else { class.to_owned() }
    }
}

/// Where the bars are drawn.
struct Plot {
    width: f64,
}

impl Plot {
    /// Where a ratio lies on the axis.
    fn place(&self, ratio: f64) -> f64 {
        ratio.clamp(0.0, END) / END * self.width
    }

    fn draw_axis(&self, svg: &mut Svg, bottom: f64) {
        for ratio in [0.0, 1.0, 2.0, END] {
            let x = self.place(ratio);
            let class = if ratio == 0.0 { "frame" } else { "grid" };
            svg.line(class, (x, 0.0), (x, bottom));
            svg.text("muted middle", x, bottom + 12.0, &format!("{ratio}"));
        }
    }

    fn draw_bar(&self, svg: &mut Svg, bar: &Bar<'_>) {
        let above = (PITCH - THICKNESS) / 2.0;
        svg.text(&bar.class("end"), -6.0, PITCH / 2.0 + 4.0, bar.name);
        let length = self.place(bar.ratio);
        svg.rectangle(&bar.class("bar"), (0.0, above), (length, THICKNESS));
        if bar.is_cut() {
            draw_break(svg, length, above);
        } else {
            let (lower, upper) = bar.spread;
            draw_whisker(svg, (self.place(lower), self.place(upper)), PITCH / 2.0);
        }
    }

    /// Behind the bar, its whisker and the line.
    fn draw_number(&self, svg: &mut Svg, bar: &Bar<'_>) {
        let end = if bar.is_cut() { END } else { bar.ratio.max(bar.spread.1).max(1.0) };
        let (x, y) = (self.place(end) + 5.0, PITCH / 2.0 + 4.0);
        svg.text(&bar.class("number"), x, y, &bar.number());
    }
}

fn draw_whisker(svg: &mut Svg, (lower, upper): (f64, f64), y: f64) {
    let mut path = Path::through([(lower, y), (upper, y)]);
    for x in [lower, upper] {
        path.add([(x, y - TIP), (x, y + TIP)]);
    }
    svg.path("whisker", &path);
}

/// Two cuts through a bar of this length, near its end.
fn draw_break(svg: &mut Svg, length: f64, above: f64) {
    let mut path = Path::default();
    for x in [length - 15.0, length - 10.0] {
        path.add([(x - 2.5, above + THICKNESS + 1.0), (x + 2.5, above - 1.0)]);
    }
    svg.path("break", &path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::{Scale, tests::sound};

    fn bar(name: &str, ratio: f64) -> Bar<'_> {
        let spread = (ratio * 0.9, ratio * 1.1);
        Bar { name, ratio, spread, is_own: name == "crocus", is_marked: ratio > 200.0 }
    }

    /// The lengths and numbers of all bars of a picture.
    fn bars(picture: &str) -> Vec<(f64, String)> {
        let document = roxmltree::Document::parse(picture).unwrap();
        let of = |kind: &'static str| {
            let class = move |node: &roxmltree::Node<'_, '_>| {
                node.attribute("class").is_some_and(|class| class.starts_with(kind))
            };
            document.descendants().filter(class)
        };
        let numbers = of("number").map(|node| node.text().unwrap().to_owned());
        of("bar")
            .map(|node| node.attribute("width").unwrap().parse().unwrap())
            .zip(numbers)
            .collect()
    }

    #[test]
    fn bars_are_as_long_as_their_ratios_and_cut_at_the_end_of_the_axis() {
        let ratios = [("crocus", 1.0), ("mio", 2.0), ("tokio", 0.5), ("twisted", 217.0)];
        let panel = Bars {
            name: "bulk",
            about: vec!["1 = limit: 3 us".into()],
            bars: ratios.iter().map(|&(name, ratio)| bar(name, ratio)).collect(),
        };
        let picture = sound(vec![Box::new(panel)], Scale::SMALL);
        let unit = (Scale::SMALL.width - NAMES - NUMBERS) / END;
        let expected = [(1.0, "1.00"), (2.0, "2.00"), (0.5, "0.50"), (END, "217†")];
        for ((length, number), (ratio, text)) in bars(&picture).into_iter().zip(expected) {
            assert_eq!(number, text);
            assert!((length - ratio * unit).abs() <= 0.051, "{number}: {length}");
        }
        let count = |class: &str| picture.matches(&format!("class=\"{class}\"")).count();
        assert_eq!((count("break"), count("whisker"), count("bar own")), (1, 3, 1));
        assert!(picture.contains("bulk: crocus 1.00, mio 2.00, tokio 0.50, twisted 217†."));
    }

    #[test]
    fn a_panel_without_bars_says_so() {
        let panel = Bars { name: "bulk", about: Vec::new(), bars: Vec::new() };
        assert!(sound(vec![Box::new(panel)], Scale::SMALL).contains("not measured"));
    }
}
