//! The picture of the experiment: how many clients each server had served at what time, under each
//! constraint, and the points of all answers.

use charts::cloud::Cloud;
use charts::curves::{self, Curve, Curves};
use charts::number::{duration, grouped};
use charts::sheet::{Panel, Scale, Sheet};

use crate::figures::{Chapter, Trial};
use crate::frame::Point;

/// The picture as the text of an SVG file.
pub(crate) fn draw(chapters: &[Chapter]) -> String {
    let servers = servers(chapters);
    let mut panels: Vec<Box<dyn Panel + '_>> = Vec::new();
    for chapter in chapters {
        panels.push(Box::new(panel(chapter, &servers)));
    }
    panels.push(Box::new(cloud(chapters)));
    let about = "Each curve is one server. Its mark is where the last client that was served had its \
                 answer.";
    let sheet = Sheet {
        heading: "Which server survives what",
        about: vec![about.to_owned()],
        key: curves::key(&servers),
        panels,
        scale: Scale::LARGE,
    };
    sheet.svg()
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

fn panel<'a>(chapter: &'a Chapter, servers: &[&'static str]) -> Curves<'a> {
    let Chapter { constraint, trials } = chapter;
    let curves = trials.iter().map(|trial| {
        let name = trial.server.name();
        // `servers` has them all.
        let look = servers.iter().position(|&known| known == name).unwrap_or_default();
        Curve { name, look, times: &trial.arrivals, of: trial.asked, outcome: outcome(trial) }
    });
    Curves {
        name: constraint.name(),
        about: constraint.title(),
        counted: format!("{} clients served", grouped(constraint.asked())),
        curves: curves.collect(),
    }
}

/// The result in two or three words: the time of the last client if all were served, and how many were
/// if not.
fn outcome(trial: &Trial) -> String {
    let (served, asked) = (trial.counts.served, trial.asked);
    let missing = asked.saturating_sub(served);
    match trial.last() {
        None if trial.broken_off => "broken off".to_owned(),
        None => "nobody".to_owned(),
        Some(_) if trial.broken_off => format!("{} so far", grouped(served)),
        Some(last) if missing == 0 => duration(last),
        // Rounded, these would read like none and all.
        Some(_) if served * 100 < asked => format!("only {}", grouped(served)),
        Some(_) if missing * 100 < asked => format!("all but {}", grouped(missing)),
        Some(_) => format!("{:.0} %", served as f64 / asked as f64 * 100.0),
    }
}

fn cloud(chapters: &[Chapter]) -> Cloud<'static> {
    let trials = chapters.iter().flat_map(|chapter| &chapter.trials);
    let answers: Vec<&[Point; 2]> = trials.flat_map(|trial| &trial.answers).collect();
    let points =
        |index: usize| answers.iter().map(move |points| (points[index].x, points[index].y));
    Cloud {
        name: "answers",
        about: "the two points of each answer, in the square [-1, 1]²",
        sets: [("first point", points(0).collect()), ("second point", points(1).collect())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{of, trial};
    use crate::{constraint::Kind, server::Model};

    #[test]
    fn the_outcome_never_rounds_to_all_or_to_none() {
        let outcome = |asked, served| outcome(&trial(Model::Reactor, asked, served, 1.0));
        assert_eq!(outcome(10_000, 10_000), "10.0 s");
        assert_eq!(outcome(10_000, 9_999), "all but 1");
        assert_eq!(outcome(10_000, 6_012), "60 %");
        assert_eq!(outcome(10_000, 12), "only 12");
        assert_eq!(outcome(1, 0), "nobody");
        let mut broken_off = trial(Model::Reactor, 10_000, 1_234, 1.0);
        broken_off.broken_off = true;
        assert_eq!(super::outcome(&broken_off), "1,234 so far");
    }

    #[test]
    fn a_whole_experiment_stays_a_small_file() {
        let mut trials: Vec<_> =
            Model::ALL.map(|model| trial(model, 10_000, 10_000, 0.137)).to_vec();
        trials[0].answers =
            (0..40_000).map(f64::from).map(|turn| [turn, turn * 7.0].map(point)).collect();
        let chapters: Vec<_> = (0..7).map(|_| of(Kind::Calm, trials.clone())).collect();
        let picture = draw(&chapters);
        assert!(picture.len() < 200_000, "{}", picture.len());
        assert!(picture.contains("% of 1,000 clients served"));
        assert!(picture.contains("calm: blocking 1.37 s, blocking-4096 1.37 s, threads 1.37 s"));
    }

    fn point(turn: f64) -> Point {
        Point { x: turn.sin(), y: turn.cos() }
    }
}
