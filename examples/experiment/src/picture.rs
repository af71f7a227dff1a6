//! The picture of the experiment: how many clients each server had served at what time, under each
//! constraint, and the points of all answers.
//!
//! An SVG that needs nothing else: it brings its colours for light and dark, and takes the font of
//! whoever looks at it. Curves are told apart by the words at their ends, by dashes, widths and
//! marks, and not by colour alone.

mod axis;
mod cloud;
mod curve;
mod panel;
mod style;
mod svg;

use crate::figures::Chapter;
use crate::frame::Point;
use curve::Curve;
use panel::Panel;
use svg::{Path, Svg, escape};

/// The picture as the text of an SVG file.
pub(crate) fn draw(chapters: &[Chapter]) -> String {
    let servers = servers(chapters);
    let panels: Vec<_> = chapters.iter().map(|chapter| panel(chapter, &servers)).collect();
    let trials = chapters.iter().flat_map(|chapter| &chapter.trials);
    let answers: Vec<_> = trials.flat_map(|trial| &trial.answers).collect();
    sheet(&servers, &panels, &answers)
}

/// The names of all servers, in the order of their first trial.
fn servers(chapters: &[Chapter]) -> Vec<&'static str> {
    let mut servers = Vec::new();
    for trial in chapters.iter().flat_map(|chapter| &chapter.trials) {
        if !servers.contains(&trial.server.name()) {
            servers.push(trial.server.name());
        }
    }
    servers
}

fn panel<'a>(chapter: &'a Chapter, servers: &[&'static str]) -> Panel<'a> {
    let curves = chapter.trials.iter().map(|trial| {
        let server = trial.server.name();
        Curve {
            server,
            // `servers` has them all.
            style: servers.iter().position(|&name| name == server).unwrap_or_default(),
            asked: trial.asked,
            arrivals: &trial.arrivals,
            broken_off: trial.broken_off,
        }
    });
    Panel {
        name: chapter.constraint.name(),
        about: chapter.constraint.title().to_string(),
        curves: curves.collect(),
    }
}

const MARGIN: f64 = 20.0;
const WIDTH: f64 = 2.0 * (MARGIN + panel::WIDTH) + BETWEEN_COLUMNS;
const BETWEEN_COLUMNS: f64 = 28.0;
const BETWEEN_ROWS: f64 = 26.0;

/// Room for the heading and the legend.
const HEAD: f64 = 114.0;

/// How wide a letter is at most, on average, in the fonts that systems have for their menus.
const LETTER: f64 = 8.0;

const HEADING: &str = "Which server survives what";
const EXPLANATION: &str =
    "Each curve is one server. Its mark is where the last client that was served had its answer.";

fn sheet(servers: &[&str], panels: &[Panel<'_>], answers: &[&[Point; 2]]) -> String {
    // The last place is the cloud's.
    let places: Vec<_> = panels.iter().map(Some).chain([None]).collect();
    let mut body = Svg::default();
    body.moved(MARGIN, 0.0, |svg| draw_head(svg, servers));
    let mut y = HEAD;
    for row in places.chunks(2) {
        let abouts = row.iter().map(|place| match place {
            Some(panel) => panel.about.as_str(),
            None => cloud::ABOUT,
        });
        let lines = abouts.map(panel::lines).max().unwrap_or_default();
        for (column, place) in row.iter().enumerate() {
            let x = MARGIN + column as f64 * (panel::WIDTH + BETWEEN_COLUMNS);
            body.moved(x, y, |svg| match place {
                Some(panel) => panel.draw(svg, lines),
                None => cloud::draw(svg, answers, lines),
            });
        }
        y += panel::height(lines) + BETWEEN_ROWS;
    }
    file(&body.into_text(), y, panels)
}

/// The whole file; how high it is, is known only when its body is drawn.
fn file(body: &str, height: f64, panels: &[Panel<'_>]) -> String {
    let (width, height) = (WIDTH.ceil(), height.ceil());
    let words: Vec<_> = panels.iter().map(Panel::words).collect();
    let (words, style) = (escape(&words.join(" ")), style::sheet());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title words\" \
         viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <title id=\"title\">{HEADING}</title>\n\
         <desc id=\"words\">{words}</desc>\n\
         <style>\n{style}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n\
         {body}</svg>\n"
    )
}

fn draw_head(svg: &mut Svg, servers: &[&str]) {
    svg.text("heading", 0.0, 36.0, HEADING);
    svg.text("muted", 0.0, 58.0, EXPLANATION);
    let sample = 40.0;
    let mut x = 0.0;
    for (index, server) in servers.iter().enumerate() {
        let line = Path::through([(x, 84.0), (x + sample, 84.0)]);
        svg.path(&style::class("line", index), &line);
        style::mark(svg, index, x + sample, 84.0);
        svg.text(&style::class("strong", index), x + sample + 12.0, 88.5, server);
        x += sample + 12.0 + LETTER * server.len() as f64 + 30.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SERVERS: [&str; 5] = ["blocking", "blocking-4096", "threads", "reactor", "python"];

    fn curve(style: usize, asked: usize, arrivals: &[Duration]) -> Curve<'_> {
        Curve { server: SERVERS[style], style, asked, arrivals, broken_off: false }
    }

    fn panel<'a>(curves: Vec<Curve<'a>>) -> Panel<'a> {
        Panel { name: "calm", about: "one after another, \"<1 s\" & more".to_owned(), curves }
    }

    fn micros(times: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        times.into_iter().map(Duration::from_micros).collect()
    }

    fn answers(count: u32) -> Vec<[Point; 2]> {
        let point = |turn: u32| Point { x: f64::from(turn).sin(), y: f64::from(turn).cos() };
        (0..count).map(|index| [point(index), point(index * 7)]).collect()
    }

    /// Draws, and checks what holds for every picture.
    fn sound(panels: &[Panel<'_>], answers: &[[Point; 2]]) -> String {
        let picture = sheet(&SERVERS, panels, &answers.iter().collect::<Vec<_>>());
        let document = roxmltree::Document::parse(&picture).unwrap();
        assert_eq!(document.root_element().attribute("role"), Some("img"));
        let drawn = picture.split_once("</style>").unwrap().1;
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        let size = document.root_element().attribute("viewBox").unwrap();
        let size: Vec<f64> = size.split(' ').map(|number| number.parse().unwrap()).collect();
        for node in document.descendants().filter(|node| node.has_tag_name("path")) {
            // Marks are small, and stand where curves end.
            if !node.attribute("class").unwrap().starts_with("mark") {
                inside(&node, (size[2], size[3]));
            }
        }
        picture
    }

    /// Walks a path, and checks that it stays on the sheet, and a curve in its plot.
    fn inside(node: &roxmltree::Node<'_, '_>, sheet: (f64, f64)) {
        let is_curve = node.attribute("class").unwrap().starts_with("line")
            && node.ancestors().filter_map(|node| node.attribute("transform")).count() > 1;
        let (width, height, above) = if is_curve {
            (panel::PLOT_WIDTH, panel::PLOT_HEIGHT, 0.0)
        } else {
            (sheet.0, sheet.1, panel::LEFT)
        };
        let (mut x, mut y) = (0.0, 0.0);
        for (command, numbers) in steps(node.attribute("d").unwrap()) {
            match (command, &numbers[..]) {
                ('m' | 'l', [right, down]) => (x, y) = (x + right, y + down),
                ('h', [right]) => x += right,
                ('v', [down]) => y += down,
                other => panic!("{other:?}"),
            }
            assert!((-0.05..=width + 0.05).contains(&x), "{x}: {node:?}");
            assert!((-above - 0.05..=height + 0.05).contains(&y), "{y}: {node:?}");
        }
    }

    fn steps(path: &str) -> Vec<(char, Vec<f64>)> {
        let starts: Vec<usize> =
            path.match_indices(char::is_alphabetic).map(|(at, _)| at).chain([path.len()]).collect();
        let step = |ends: &[usize]| {
            let (command, numbers) = path[ends[0]..ends[1]].split_at(1);
            let numbers = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
            (command.chars().next().unwrap(), numbers)
        };
        starts.windows(2).map(step).collect()
    }

    #[test]
    fn the_picture_is_sound_in_an_ordinary_run() {
        let fast = micros((0..10_000).map(|index| index * 40));
        let steps = micros((0..6_000).map(|index| index % 7 + index / 1_500 * 1_000_000));
        let mut steps = steps;
        steps.sort();
        let waves = micros((0..500).map(|index| index / 50 * 200_000));
        let panels = [
            panel((0..4).map(|style| curve(style, 10_000, &fast)).collect()),
            panel(vec![curve(0, 10_000, &steps), curve(1, 10_000, &fast), curve(3, 500, &waves)]),
        ];
        let picture = sound(&panels, &answers(9_000));
        assert!(picture.contains("12,000 of 18,000 points"));
        assert!(picture.contains("blocking 60 %, blocking-4096 400 ms, reactor 1.80 s."));
        assert!(picture.contains("% of 10,000 clients served"));
    }

    #[test]
    fn the_picture_is_sound_at_the_edges() {
        sound(&[], &[]);
        sound(&[panel(vec![])], &answers(1));
        let (at_once, late) = (vec![Duration::ZERO], vec![Duration::from_secs(3_000)]);
        let twice = vec![Duration::ZERO, Duration::from_millis(1)];
        let few = [&[][..], &at_once, &late, &twice];
        for (asked, a, b) in [(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 2, 1), (100, 0, 1), (1, 2, 3)] {
            let broken_off = Curve { broken_off: true, ..curve(1, asked, few[b]) };
            sound(&[panel(vec![curve(0, asked, few[a]), broken_off])], &answers(2));
        }
    }

    #[test]
    fn five_servers_that_all_serve_nobody_are_all_named() {
        let nobody = panel((0..5).map(|style| curve(style, 100, &[])).collect());
        let picture = sound(&[nobody], &[]);
        assert_eq!(picture.matches(">nobody</text>").count(), 5);
        assert!(picture.contains("no points"));
    }

    #[test]
    fn a_whole_experiment_stays_a_small_file() {
        let ramp = micros((0..10_000).map(|index| index * 137));
        let panels: Vec<_> = (0..7)
            .map(|_| panel((0..5).map(|style| curve(style, 10_000, &ramp)).collect()))
            .collect();
        let picture = sound(&panels, &answers(40_000));
        assert!(picture.len() < 200_000, "{}", picture.len());
    }
}
