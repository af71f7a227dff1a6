//! A whole figure: the turns as rings, the lanes with numbered events, and the lines of the run below.

use charts::svg::{Svg, tenth};

use super::story::{Look, Phase, Story, Turn};
use super::{WIDTH, picture, ring, width_of};

/// The left edge of the first event, behind the names of the lanes.
const LEFT: f64 = 118.0;
const MARGIN: f64 = 14.0;
const LANE: f64 = 38.0;
const RADIUS: f64 = 19.0;
const DOT: f64 = 9.0;
const LINE: f64 = 17.0;

/// Between two events at least; a figure with more events is not readable.
const SMALLEST_STEP: f64 = 19.0;

/// Draws a story.
///
/// # Panics
///
/// If it does not fit: too many events, or a line that is too long.
pub(crate) fn draw(story: &Story) -> String {
    let sheet = Sheet::of(story);
    let lines: Vec<_> = story.events.iter().map(|event| event.text.as_str()).collect();
    picture(sheet.height(), &story.title, &lines.join("; "), |svg| {
        svg.text("title", MARGIN, 24.0, &story.title);
        sheet.bands(svg);
        sheet.lanes(svg);
        sheet.waits(svg);
        sheet.arrows(svg);
        sheet.dots(svg);
        sheet.legend(svg);
        sheet.key(svg);
    })
}

/// The story with its measures.
struct Sheet<'a> {
    story: &'a Story,
    turns: Vec<Turn>,
    step: f64,
    /// The first lane's height on the sheet.
    top: f64,
    columns: usize,
}

impl<'a> Sheet<'a> {
    fn of(story: &'a Story) -> Self {
        let count = story.events.len();
        let step = ((WIDTH - MARGIN - LEFT) / count as f64).min(60.0);
        assert!(step >= SMALLEST_STEP, "{}: {count} events are too many for a figure", story.title);
        let turns = story.turns();
        let top = if turns.is_empty() { 56.0 } else { 108.0 };
        let widest =
            story.events.iter().map(|event| width_of(&event.text, 11.0, true)).fold(0.0, f64::max);
        let columns = if widest + 30.0 <= (WIDTH - 2.0 * MARGIN) / 2.0 { 2 } else { 1 };
        let room = (WIDTH - 2.0 * MARGIN) / columns as f64 - 26.0;
        assert!(widest <= room, "{}: a line is too long for the figure", story.title);
        Self { story, turns, step, top, columns }
    }

    fn rows(&self) -> usize {
        self.story.events.len().div_ceil(self.columns)
    }

    fn below_lanes(&self) -> f64 {
        self.top + self.story.lanes.len() as f64 * LANE
    }

    fn height(&self) -> f64 {
        let key = if self.turns.is_empty() { 0.0 } else { LINE + 6.0 };
        self.below_lanes() + 10.0 + self.rows() as f64 * LINE + key + 8.0
    }

    fn x(&self, index: usize) -> f64 {
        LEFT + (index as f64 + 0.5) * self.step
    }

    fn y(&self, lane: &str) -> f64 {
        let index = self.story.lanes.iter().position(|name| name == lane);
        let index = index.unwrap_or_else(|| panic!("{}: no lane {lane}", self.story.title));
        self.top + (index as f64 + 0.5) * LANE
    }

    /// A ring for each turn, and a band below each second one.
    fn bands(&self, svg: &mut Svg) {
        for (index, turn) in self.turns.iter().enumerate() {
            let (left, right) =
                (self.x(turn.first) - self.step / 2.0, self.x(turn.last) + self.step / 2.0);
            if index % 2 == 0 {
                svg.rectangle("band", (left, 40.0), (right - left, self.below_lanes() - 40.0));
            }
            let middle = (left + right) / 2.0;
            let radius = RADIUS.min((right - left) / 2.0 - 1.0);
            ring::draw(svg, (middle, 66.0), radius, &turn.phases);
            svg.text("small middle", middle, 102.0, &turn.number);
        }
        if !self.turns.is_empty() {
            svg.text("small", MARGIN, 70.0, "the turns");
        }
    }

    fn lanes(&self, svg: &mut Svg) {
        for lane in &self.story.lanes {
            let y = self.y(lane);
            assert!(width_of(lane, 13.0, false) <= LEFT - MARGIN, "the name {lane} is too long");
            svg.text("", MARGIN, y + 4.0, lane);
            svg.line("lane", (LEFT, y), (WIDTH - MARGIN, y));
        }
    }

    /// A bar from each wait to the next event of its lane, or to the edge.
    fn waits(&self, svg: &mut Svg) {
        for (index, lane) in &self.story.waits {
            let later = self.story.events.iter().enumerate().skip(index + 1);
            let next = later.filter(|(_, event)| event.lane == *lane).map(|(at, _)| self.x(at));
            let (left, right) =
                (self.x(*index), next.min_by(f64::total_cmp).unwrap_or(WIDTH - MARGIN));
            svg.rectangle("wait", (left, self.y(lane) - 5.0), (right - left, 10.0));
        }
    }

    fn arrows(&self, svg: &mut Svg) {
        for (index, event) in self.story.events.iter().enumerate() {
            let (x, here) = (self.x(index), self.y(&event.lane));
            if let Some(from) = &event.from {
                let from = self.y(from);
                svg.line("arrow", (x, from), (x, here - (DOT + 1.0).copysign(here - from)));
            }
            if let Some(to) = &event.to {
                svg.line("arrow", (x, here), (x, self.y(to)));
            }
        }
    }

    fn dots(&self, svg: &mut Svg) {
        for (index, event) in self.story.events.iter().enumerate() {
            let (x, y) = (tenth(self.x(index)), tenth(self.y(&event.lane)));
            let class = if event.look == Look::Bad { "bad" } else { "dot" };
            svg.raw(&format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{DOT}\"/>"));
            svg.text("number", x, y + 4.0, &(index + 1).to_string());
        }
    }

    /// The lines of the run, each with its number.
    fn legend(&self, svg: &mut Svg) {
        let column = (WIDTH - 2.0 * MARGIN) / self.columns as f64;
        for (index, event) in self.story.events.iter().enumerate() {
            let x = MARGIN + (index / self.rows()) as f64 * column;
            let y = self.below_lanes() + 22.0 + (index % self.rows()) as f64 * LINE;
            svg.text("number", x + 9.0, y, &(index + 1).to_string());
            svg.text("line", x + 24.0, y, &event.text);
        }
    }

    /// The phases, as they stand on the ring.
    fn key(&self, svg: &mut Svg) {
        if self.turns.is_empty() {
            return;
        }
        let y = self.height() - 12.0;
        svg.text("small", MARGIN, y, "a ring, from its top:");
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            let x = 168.0 + index as f64 * 86.0;
            svg.rectangle(phase.name(), (x, y - 10.0), (10.0, 10.0));
            svg.text("small", x + 15.0, y, phase.name());
        }
    }
}
