//! A panel of points: a square, and two sets of points in it.

use crate::curves::{LEFT, PLOT_HEIGHT};
use crate::number::grouped;
use crate::sheet::{Canvas, Panel};
use crate::svg::{Path, Svg, tenth};

/// More points than these would run together, and make the file large.
const MOST: usize = 6_000;

/// The side of the square: as high as the plot of a panel of curves, with the words above it and the
/// second line of text below it.
const SIDE: f64 = 20.0 + PLOT_HEIGHT + 17.0;

/// The steps of the grid that points are rounded to, on each side of the square. They are smaller
/// than a dot, so that they do not show, and whole numbers, so that the file is short.
const STEPS: f64 = 400.0;

/// Points of the square [-1, 1]².
#[derive(Clone, Debug)]
pub struct Cloud<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its subject.
    pub about: &'a str,
    /// The names of the sets, and their points.
    pub sets: [(&'a str, Vec<(f64, f64)>); 2],
}

impl Panel for Cloud<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> Vec<String> {
        vec![self.about.to_owned()]
    }

    fn height(&self) -> f64 {
        SIDE + 22.0
    }

    fn draw(&self, canvas: &mut Canvas<'_>) {
        let [first, second] = self.sets.each_ref().map(|(_, points)| choose(points));
        let line = canvas.scale.line;
        canvas.svg.moved(LEFT, 5.0, |svg| {
            draw_square(svg, line);
            svg.group(&format!("scale({})", SIDE / STEPS), |svg| {
                svg.path("dots second", &dots(&second));
                svg.path("dots first", &dots(&first));
            });
            let shown = first.len() + second.len();
            svg.moved(SIDE + LEFT, SIDE / 2.0, |svg| self.draw_key(svg, shown, line));
        });
    }

    fn words(&self) -> String {
        format!("{}: {}.", self.name, self.about)
    }
}

impl Cloud<'_> {
    /// Which dots are which, and how many there are.
    fn draw_key(&self, svg: &mut Svg, shown: usize, line: f64) {
        let all: usize = self.sets.iter().map(|(_, points)| points.len()).sum();
        if all == 0 {
            svg.text("muted", 0.0, 0.0, "no points");
            return;
        }
        for ((name, _), (y, class)) in
            self.sets.iter().zip([(-1.5 * line, "first"), (-0.5 * line, "second")])
        {
            let mut dot = Path::default();
            dot.dot(3.0, y - 4.5);
            svg.path(&format!("dots key {class}"), &dot);
            svg.text("", 14.0, y, name);
        }
        let [shown, all] = [shown, all].map(grouped);
        let count =
            if shown == all { format!("{all} points") } else { format!("{shown} of {all} points") };
        svg.text("muted", 0.0, line, &count);
    }
}

/// At most [`MOST`], taken evenly from first to last.
fn choose(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let count = points.len().min(MOST);
    (0..count).map(|index| points[index * points.len() / count]).collect()
}

/// Dots in rows, so that the way from one to the next is short to write.
fn dots(points: &[(f64, f64)]) -> Path {
    let step = |coordinate: f64| ((coordinate.clamp(-1.0, 1.0) + 1.0) / 2.0 * STEPS) as u32;
    // The vertical axis points up, and that of SVG down.
    let mut places: Vec<(u32, u32)> = points.iter().map(|&(x, y)| (step(-y), step(x))).collect();
    places.sort_unstable();
    places.dedup();
    let mut path = Path::default();
    for (row, column) in places {
        path.dot(column.into(), row.into());
    }
    path
}

fn draw_square(svg: &mut Svg, line: f64) {
    for (place, label) in [(0.0, "-1"), (0.5, "0"), (1.0, "1")] {
        let (x, y) = (place * SIDE, (1.0 - place) * SIDE);
        svg.text("muted middle", x, SIDE + line, label);
        svg.text("muted end", -6.0, y + 4.5, label);
        svg.line("grid", (x, 0.0), (x, SIDE));
        svg.line("grid", (0.0, y), (SIDE, y));
    }
    let side = tenth(SIDE);
    svg.raw(&format!("<rect class=\"frame\" width=\"{side}\" height=\"{side}\"/>"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::{Scale, tests::sound};

    fn spiral(count: u32) -> Vec<(f64, f64)> {
        (0..count).map(f64::from).map(|turn| (turn.cos() * turn % 1.0, turn.sin())).collect()
    }

    #[test]
    fn of_many_points_an_even_part_is_shown() {
        for (count, said) in
            [(0, "no points"), (1, ">2 points"), (19_028, "12,000 of 38,056 points")]
        {
            let sets = [("one", spiral(count)), ("other", spiral(count))];
            let panel = Cloud { name: "points", about: "all of them", sets };
            assert!(sound(vec![Box::new(panel)], Scale::LARGE).contains(said), "{said}");
        }
        let points = spiral(6_001);
        assert_eq!((choose(&points).len(), choose(&points)[0]), (6_000, points[0]));
    }

    #[test]
    fn corners_are_inside_and_up_is_up() {
        let path = dots(&[(-1.0, 1.0), (1.0, 1.0), (-1.0, -1.0)]);
        let mut expected = Path::default();
        for (x, y) in [(0.0, 0.0), (STEPS, 0.0), (0.0, STEPS)] {
            expected.dot(x, y);
        }
        assert_eq!(format!("{path:?}"), format!("{expected:?}"));
    }

    #[test]
    fn a_number_that_is_no_coordinate_does_no_harm() {
        let wild = [f64::NAN, f64::INFINITY, -7.0].map(|value| (value, value));
        let path = format!("{:?}", dots(&wild));
        assert!(!path.contains("NaN") && !path.contains("inf"), "{path}");
    }
}
