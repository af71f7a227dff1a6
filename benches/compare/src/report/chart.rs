//! `bench.svg`: what each workload costs each server, beside the least that it can cost.
//!
//! An SVG that needs nothing else: it brings its colours for light and dark, and takes the font of
//! whoever looks at it. Servers are told apart by their names, and stand in one order everywhere;
//! crocus is the only one with a colour.

mod panel;
mod style;
mod svg;

use super::circumstances;
use crate::figures::Run;
use panel::Panel;
use svg::{Svg, escape};

const WIDTH: f64 = 880.0;
const COLUMNS: usize = 3;
const MARGIN: f64 = 20.0;
const BETWEEN_COLUMNS: f64 = (WIDTH - 2.0 * MARGIN - COLUMNS as f64 * panel::WIDTH) / 2.0;
const BETWEEN_ROWS: f64 = 20.0;

/// How many letters fit on a line of the sheet in a wide font.
const LETTERS: usize = 138;

const HEADING: &str = "What an operation costs";

/// The picture as the text of an SVG file.
pub fn svg(run: &Run) -> String {
    let servers: Vec<&str> = run.servers.iter().map(|server| server.name.as_str()).collect();
    let panels: Vec<_> =
        run.workloads.iter().map(|workload| Panel::new(workload, &servers)).collect();
    let mut body = Svg::default();
    let is_marked = panels.iter().any(Panel::is_marked);
    let mut y = 0.0;
    body.moved(MARGIN, 0.0, |svg| y = draw_head(svg, run, is_marked) + BETWEEN_ROWS);
    for row in panels.chunks(COLUMNS) {
        let lines = row.iter().map(Panel::lines).max().unwrap_or_default();
        let bars = row.iter().map(Panel::bars).max().unwrap_or_default();
        for (column, panel) in row.iter().enumerate() {
            let x = MARGIN + column as f64 * (panel::WIDTH + BETWEEN_COLUMNS);
            body.moved(x, y, |svg| panel.draw(svg, lines));
        }
        y += panel::height(lines, bars.max(1)) + BETWEEN_ROWS;
    }
    file(&body.into_text(), y, &panels)
}

/// The whole file; how high it is, is known only when its body is drawn.
fn file(body: &str, height: f64, panels: &[Panel<'_>]) -> String {
    let height = height.ceil();
    let words: Vec<_> = panels.iter().map(Panel::words).collect();
    let (words, style) = (escape(&words.join(" ")), style::sheet());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title words\" \
         viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <title id=\"title\">{HEADING}</title>\n\
         <desc id=\"words\">{words}</desc>\n\
         <style>\n{style}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n\
         {body}</svg>\n"
    )
}

/// Draws title, method and key; tells how high they are.
fn draw_head(svg: &mut Svg, run: &Run, is_marked: bool) -> f64 {
    svg.text("heading", 0.0, 36.0, HEADING);
    let meaning = "CPU time of the server for one operation, as a ratio to the limit's, which does \
                   no more than it must. Shorter is better.";
    svg.text("about", 0.0, 58.0, meaning);
    let mut lines = panel::wrap(&format!("{}.", circumstances(run)), LETTERS);
    lines.push(format!(
        "Medians of {} rounds; in each round all servers were run one after the other, {} s each.",
        run.rounds, run.seconds
    ));
    let mut y = 60.0;
    for line in &lines {
        y += panel::LINE + 1.0;
        svg.text("muted", 0.0, y, line);
    }
    y += 14.0;
    svg.moved(0.0, y, draw_key);
    y += panel::LINE;
    if is_marked {
        y += panel::LINE;
        let meaning = "† some rounds are marked: failures, a busy machine, or late; see bench.md";
        svg.text("muted", 0.0, y, meaning);
    }
    y
}

/// A sample, and what it stands for.
type Sample = (fn(&mut Svg), &'static str);

const KEY: [Sample; 5] = [
    (|svg| svg.rectangle("bar own", (0.0, 2.0), (SAMPLE, panel::THICKNESS)), "crocus"),
    (|svg| svg.rectangle("bar", (0.0, 2.0), (SAMPLE, panel::THICKNESS)), "others"),
    (
        |svg| svg.lines("limit", &[[(SAMPLE / 2.0, 0.0), (SAMPLE / 2.0, 13.0)]]),
        "the limit, or who stands in for it",
    ),
    (|svg| panel::draw_whisker(svg, (1.0, SAMPLE - 1.0), 6.5), "middle half of the rounds"),
    (
        |svg| {
            svg.rectangle("bar", (0.0, 2.0), (SAMPLE, panel::THICKNESS));
            panel::draw_break(svg, SAMPLE, 2.0);
        },
        "longer than the axis",
    ),
];

const SAMPLE: f64 = 24.0;

/// How wide a letter of the key is at most, on average, in the fonts that systems have for menus.
const LETTER: f64 = 5.5;

/// What bars, lines and marks stand for.
fn draw_key(svg: &mut Svg) {
    let mut x = 0.0;
    for (sample, meaning) in KEY {
        svg.moved(x, 0.0, sample);
        svg.text("muted", x + SAMPLE + 5.0, 10.5, meaning);
        x += SAMPLE + 5.0 + LETTER * meaning.len() as f64 + 18.0;
    }
}

#[cfg(test)]
mod tests;
