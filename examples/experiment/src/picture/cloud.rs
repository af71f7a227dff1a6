//! The points of all answers, in the square they come from.

use super::panel::{self, LEFT, LINE, PLOT_HEIGHT};
use super::svg::{Path, Svg, tenth};
use crate::figures::grouped;
use crate::frame::Point;

/// More points than these would run together, and make the file large.
const MOST_POINTS: usize = 12_000;

/// How far the square reaches up into the room that other panels need above the plot.
const RISE: f64 = 23.0;

/// The side of the square, which has one line of text less below it than the plots.
const SIDE: f64 = RISE + PLOT_HEIGHT + LINE;

/// The steps of the grid that points are rounded to, on each side of the square. They are smaller
/// than a dot, so that nobody sees them, and whole numbers, so that the file is short.
const STEPS: f64 = 400.0;

pub(super) const ABOUT: &str = "the two points of each answer, in the square [-1, 1]²";

/// Draws the cloud as a panel whose description has room for so many lines.
pub(super) fn draw(svg: &mut Svg, answers: &[&[Point; 2]], lines: usize) {
    let chosen = choose(answers);
    panel::heading(svg, "answers", ABOUT);
    svg.moved(LEFT, panel::plot_top(lines) - RISE, |svg| {
        draw_square(svg);
        svg.raw(format_args!("<g transform=\"scale({})\">", SIDE / STEPS));
        svg.path("dots second", &dots(chosen.iter().map(|points| points[1])));
        svg.path("dots first", &dots(chosen.iter().map(|points| points[0])));
        svg.raw(format_args!("</g>"));
        svg.moved(SIDE + LEFT, SIDE / 2.0, |svg| draw_key(svg, chosen.len(), answers.len()));
    });
}

/// At most [`MOST_POINTS`], taken evenly from first to last.
fn choose<'a>(answers: &[&'a [Point; 2]]) -> Vec<&'a [Point; 2]> {
    let count = answers.len().min(MOST_POINTS / 2);
    (0..count).map(|index| answers[index * answers.len() / count]).collect()
}

/// Dots in rows, so that the way from one to the next is short to write.
fn dots(points: impl Iterator<Item = Point>) -> Path {
    let step = |coordinate: f64| ((coordinate.clamp(-1.0, 1.0) + 1.0) / 2.0 * STEPS) as u32;
    // The vertical axis points up, and that of SVG down.
    let mut places: Vec<(u32, u32)> = points.map(|point| (step(-point.y), step(point.x))).collect();
    places.sort_unstable();
    places.dedup();
    let mut path = Path::default();
    for (row, column) in places {
        path.dot(column.into(), row.into());
    }
    path
}

fn draw_square(svg: &mut Svg) {
    for (place, label) in [(0.0, "-1"), (0.5, "0"), (1.0, "1")] {
        let (x, y) = (place * SIDE, (1.0 - place) * SIDE);
        svg.text("muted middle", x, SIDE + LINE, label);
        svg.text("muted end", -6.0, y + 4.5, label);
        svg.line("grid", (x, 0.0), (x, SIDE));
        svg.line("grid", (0.0, y), (SIDE, y));
    }
    let side = tenth(SIDE);
    svg.raw(format_args!("<rect class=\"frame\" width=\"{side}\" height=\"{side}\"/>"));
}

/// Which dots are which, and how many there are.
fn draw_key(svg: &mut Svg, chosen: usize, all: usize) {
    if all == 0 {
        svg.text("muted", 0.0, 0.0, "no points");
        return;
    }
    for (y, class, text) in
        [(-1.5 * LINE, "first", "first point"), (-0.5 * LINE, "second", "second point")]
    {
        let mut dot = Path::default();
        dot.dot(3.0, y - 4.5);
        svg.path(&format!("dots key {class}"), &dot);
        svg.text("", 14.0, y, text);
    }
    // Two points in each answer.
    let (shown, all) = (grouped(2 * chosen), grouped(2 * all));
    let count =
        if shown == all { format!("{all} points") } else { format!("{shown} of {all} points") };
    svg.text("muted", 0.0, LINE, &count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spiral(count: u32) -> Vec<[Point; 2]> {
        let point = |turn: f64| Point { x: turn.cos() * turn % 1.0, y: turn.sin() };
        (0..count).map(|index| [point(f64::from(index)), point(f64::from(index) + 0.5)]).collect()
    }

    #[test]
    fn few_answers_are_all_chosen_and_of_many_an_even_part() {
        for count in [0, 1, 6_000, 6_001, 38_056] {
            let answers = spiral(count);
            let answers: Vec<_> = answers.iter().collect();
            let chosen = choose(&answers);
            assert_eq!(chosen.len(), answers.len().min(6_000));
            assert!(answers.is_empty() || std::ptr::eq(chosen[0], answers[0]));
        }
    }

    #[test]
    fn corners_are_inside_and_up_is_up() {
        let corner = |x, y| Point { x, y };
        let path = dots([corner(-1.0, 1.0), corner(1.0, 1.0), corner(-1.0, -1.0)].into_iter());
        let mut expected = Path::default();
        for (x, y) in [(0.0, 0.0), (STEPS, 0.0), (0.0, STEPS)] {
            expected.dot(x, y);
        }
        assert_eq!(format!("{path:?}"), format!("{expected:?}"));
    }

    #[test]
    fn what_is_no_coordinate_does_no_harm() {
        let wild = [f64::NAN, f64::INFINITY, -7.0].map(|value| Point { x: value, y: value });
        let path = format!("{:?}", dots(wild.into_iter()));
        assert!(!path.contains("NaN") && !path.contains("inf"), "{path}");
    }
}
