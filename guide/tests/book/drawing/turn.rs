//! One turn, large: the ring with the names of its phases, what each did, and the calls of your code.

use charts::svg::Svg;

use super::story::{Phase, Story};
use super::{WIDTH, picture, ring, width_of};

const CENTRE: (f64, f64) = (150.0, 196.0);
const RADIUS: f64 = 74.0;
/// Where the lines of the phases begin.
const LINES: f64 = 318.0;
const TOP: f64 = 62.0;
const LINE: f64 = 18.0;

/// Draws the first turn of a story.
///
/// # Panics
///
/// If a line is too long for the figure.
pub(crate) fn draw(story: &Story) -> String {
    let lit: Vec<_> = story.events.iter().filter_map(|event| event.phase).collect();
    let lines: Vec<_> = story.events.iter().map(|event| event.text.as_str()).collect();
    let height = (TOP + 6.0 * 22.0 + lines.len() as f64 * LINE + 6.0).max(330.0);
    picture(height, &story.title, &lines.join("; "), |svg| {
        svg.text("title", 14.0, 24.0, &story.title);
        ring::draw(svg, CENTRE, RADIUS, &lit);
        names(svg);
        phases(svg, story);
    })
}

/// The number of each phase on its segment, and its name beside it.
fn names(svg: &mut Svg) {
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        let (x, y) = ring::at(CENTRE, RADIUS + 14.0, index);
        let class = if index < 3 { "" } else { "end" };
        let (dx, dy) =
            if index % 3 == 1 { (0.0, 4.0) } else { (0.0, if y > CENTRE.1 { 10.0 } else { 0.0 }) };
        svg.text(class, x + dx, y + dy, &format!("{} {}", index + 1, phase.name()));
    }
    svg.text("middle", CENTRE.0, CENTRE.1 - 3.0, "one turn of");
    svg.text("middle", CENTRE.0, CENTRE.1 + 14.0, "the reactor");
}

/// The events of each phase, in order.
fn phases(svg: &mut Svg, story: &Story) {
    let mut y = TOP;
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        svg.rectangle(phase.name(), (LINES - 14.0, y - 10.0), (8.0, 12.0));
        svg.text("", LINES, y, &format!("{} {}", index + 1, phase.name()));
        y += LINE;
        for event in story.events.iter().filter(|event| event.phase == Some(phase)) {
            let yours = event.lane == "your code";
            let x = if yours { LINES + 40.0 } else { LINES + 16.0 };
            assert!(
                x + width_of(&event.text, 11.0, true) <= WIDTH - 8.0,
                "too long: {}",
                event.text
            );
            if event.from.is_some() && yours {
                svg.line("arrow", (LINES + 18.0, y - 4.0), (LINES + 35.0, y - 4.0));
            }
            svg.text("line", x, y, &event.text);
            y += LINE;
        }
        y += 4.0;
    }
}
