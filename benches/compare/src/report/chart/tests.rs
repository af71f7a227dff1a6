//! The picture of made-up runs.

use roxmltree::{Document, Node};

use super::super::sample;
use super::*;
use crate::figures::Mark;

/// The panel of that workload, or its bars.
fn panel<'a>(document: &'a Document<'a>, workload: &str) -> Node<'a, 'a> {
    let mut nodes = document.descendants();
    let name = nodes.find(|node| class(node) == "name" && node.text() == Some(workload));
    name.unwrap().parent().unwrap()
}

fn class<'a>(node: &Node<'a, '_>) -> &'a str {
    node.attribute("class").unwrap_or("")
}

fn number(node: &Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

/// The names, lengths and numbers of a panel's bars.
fn bars<'a>(panel: &Node<'a, 'a>) -> Vec<(&'a str, f64, &'a str)> {
    let texts = |kind: &'static str| {
        let nodes = panel.descendants().filter(move |node| class(node).starts_with(kind));
        nodes.filter_map(|node| node.text())
    };
    let bars = panel.descendants().filter(|node| class(node).starts_with("bar"));
    let lengths = bars.map(|bar| number(&bar, "width"));
    let all = texts("end").zip(lengths).zip(texts("number"));
    all.map(|((name, length), number)| (name, length, number)).collect()
}

/// Where a node's `x` and `y` are on the sheet.
fn on_sheet(node: &Node<'_, '_>) -> (f64, f64) {
    let mut place = (number(node, "x"), number(node, "y"));
    for group in node.ancestors().filter_map(|node| node.attribute("transform")) {
        let moved = group.trim_start_matches("translate(").trim_end_matches(')');
        let (x, y) = moved.split_once(' ').unwrap();
        place.0 += x.parse::<f64>().unwrap();
        place.1 += y.parse::<f64>().unwrap();
    }
    place
}

/// Draws, and checks what holds for every picture.
fn sound(run: &Run) -> String {
    let picture = svg(run);
    let document = Document::parse(&picture).unwrap();
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    let drawn = picture.split_once("</style>").unwrap().1;
    assert!(!drawn.contains("NaN") && !drawn.contains("inf\""), "{drawn}");
    let sheet = (number(&root, "width"), number(&root, "height"));
    for node in document.descendants().filter(|node| node.has_attribute("x")) {
        let (x, y) = on_sheet(&node);
        assert!((0.0..=sheet.0).contains(&x) && (0.0..=sheet.1).contains(&y), "{x} {y}: {node:?}");
    }
    picture
}

#[test]
fn a_whole_run_is_a_sound_picture() {
    let run = sample::run();
    let picture = sound(&run);
    let document = Document::parse(&picture).unwrap();
    for workload in &run.workloads {
        assert!(!bars(&panel(&document, &workload.name)).is_empty(), "{}", workload.name);
    }
    assert!(picture.contains("2 x AMD EPYC &lt;Milan&gt; &amp; more"));
    assert!(picture.contains("† some rounds are marked"));
    assert!(picture.len() < 300_000, "{}", picture.len());
}

#[test]
fn servers_stand_in_one_order_without_those_that_are_left_out() {
    let picture = svg(&sample::run());
    let document = Document::parse(&picture).unwrap();
    let names = |workload| -> Vec<&str> {
        bars(&panel(&document, workload)).iter().map(|&(name, ..)| name).collect()
    };
    let all = ["crocus", "mio", "tokio", "calloop", "blocking", "threads", "libuv", "libevent"];
    assert_eq!(names("random-1")[..8], all);
    assert_eq!(names("echo-64-1")[3..5], ["calloop", "threads"]);
    assert_eq!(names("http-small"), ["crocus", "tokio", "libuv", "asyncio", "nginx"]);
}

#[test]
fn bars_are_as_long_as_their_ratios() {
    let mut run = sample::run();
    let costs = [("limit", 1_000.0), ("crocus", 1_000.0), ("mio", 2_000.0), ("tokio", 500.0)];
    for (server, cost) in costs {
        sample::trial_mut(&mut run, "bulk", server).rounds = sample::rounds(&[cost; 3]);
    }
    let picture = sound(&run);
    let document = Document::parse(&picture).unwrap();
    let bars = bars(&panel(&document, "bulk"));
    let unit = panel::PLOT / panel::END;
    for (bar, (name, length, text)) in bars.iter().zip([
        ("crocus", unit, "1.00"),
        ("mio", 2.0 * unit, "2.00"),
        ("tokio", 0.5 * unit, "0.50"),
    ]) {
        assert_eq!((bar.0, bar.2), (name, text));
        assert!((bar.1 - length).abs() <= 0.051, "{bar:?}");
    }
}

#[test]
fn what_is_longer_than_the_axis_is_cut_and_has_its_number() {
    let mut run = sample::run();
    run.workloads.retain(|workload| workload.name == "bulk");
    for (server, cost) in [("limit", 1_000.0), ("mio", 3_000.0), ("tokio", 217_000.0)] {
        sample::trial_mut(&mut run, "bulk", server).rounds = sample::rounds(&[cost; 3]);
    }
    run.workloads[0]
        .trials
        .retain(|trial| ["limit", "mio", "tokio"].contains(&trial.server.as_str()));
    sample::trial_mut(&mut run, "bulk", "tokio").rounds[0].marks = vec![Mark::Behind];
    let picture = sound(&run);
    let document = Document::parse(&picture).unwrap();
    let panel = panel(&document, "bulk");
    assert_eq!(bars(&panel), [("mio", panel::PLOT, "3.00"), ("tokio", panel::PLOT, "217†")]);
    let of = |kind| panel.descendants().filter(|node| class(node) == kind).count();
    assert_eq!((of("break"), of("whisker")), (1, 1));
}

#[test]
fn the_picture_is_sound_at_the_edges() {
    let empty = || Run { workloads: Vec::new(), ..sample::run() };
    sound(&empty());
    let mut run = sample::run();
    run.workloads.truncate(4);
    for trial in &mut run.workloads[0].trials {
        trial.rounds.clear();
    }
    sample::trial_mut(&mut run, "random-64", "limit").rounds = sample::rounds(&[0.0]);
    sample::trial_mut(&mut run, "random-512", "crocus").rounds = sample::rounds(&[f64::NAN; 7]);
    run.workloads[3].trials.clear();
    let picture = sound(&run);
    assert_eq!(picture.matches("not measured").count(), 3);
    assert!(picture.contains("<desc"));
}
