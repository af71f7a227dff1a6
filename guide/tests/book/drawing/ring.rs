//! One turn as a ring of six segments, clockwise from the top: sleep, latch, timers, serve, calls, flush.

use std::f64::consts::TAU;

use charts::svg::{Svg, tenth};

use super::story::Phase;

/// Between two segments, in parts of the circle.
const GAP: f64 = 0.012;

/// The thickness of the ring, in parts of its radius.
const THICKNESS: f64 = 0.38;

/// Draws a ring in which these phases are lit.
pub(crate) fn draw(svg: &mut Svg, centre: (f64, f64), radius: f64, lit: &[Phase]) {
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        let class = if lit.contains(&phase) { phase.name() } else { "off" };
        segment(svg, class, centre, radius, index);
    }
}

/// The point at the middle of a segment, at this distance from the centre.
pub(crate) fn at(centre: (f64, f64), distance: f64, index: usize) -> (f64, f64) {
    point(centre, distance, (index as f64 + 0.5) / 6.0)
}

fn segment(svg: &mut Svg, class: &str, centre: (f64, f64), radius: f64, index: usize) {
    let inner = radius * (1.0 - THICKNESS);
    let (begin, end) = (index as f64 / 6.0 + GAP, (index + 1) as f64 / 6.0 - GAP);
    let [a, b] = [begin, end].map(|turn| point(centre, radius, turn));
    let [c, d] = [end, begin].map(|turn| point(centre, inner, turn));
    svg.raw(&format!(
        "<path class=\"{class}\" d=\"M{} {}A{r} {r} 0 0 1 {} {}L{} {}A{i} {i} 0 0 0 {} {}z\"/>",
        tenth(a.0),
        tenth(a.1),
        tenth(b.0),
        tenth(b.1),
        tenth(c.0),
        tenth(c.1),
        tenth(d.0),
        tenth(d.1),
        r = tenth(radius),
        i = tenth(inner),
    ));
}

/// A point on a circle; 0 is at the top, and 1 is there again.
fn point(centre: (f64, f64), radius: f64, turn: f64) -> (f64, f64) {
    let angle = turn * TAU;
    (centre.0 + radius * angle.sin(), centre.1 - radius * angle.cos())
}
