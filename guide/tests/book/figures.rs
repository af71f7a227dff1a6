//! The figures of the guide are drawn from recorded runs, and stand in `docs/guide/figures` as they are drawn.
//!
//! `BLESS=1` writes them anew. Look at them then.

use std::fs;
use std::path::Path;
use std::sync::Once;

use crate::drawing::{WIDTH, lanes, turn, width_of};
use crate::simulated;
use crate::text::{chapters, root};
use crate::transcripts::{self, Cut};

/// A data address of this size does not make a page slow.
const LARGEST: usize = 16 * 1024;

/// The photographs, which are made by hand: of `examples/live`, 1000 pixels wide, in 16 colours.
const PHOTOGRAPHS: [&str; 1] = ["13-blocked.png"];

/// A photograph of this size does neither.
const LARGEST_PHOTOGRAPH: u64 = 32 * 1024;

/// The figures of chapters 1 to 11: which lines of which run.
const CUTS: [(&str, Cut); 11] = [
    (
        "01-one-waits",
        Cut {
            waits: &[("#1 | accepted", "the server"), ("#2 | sends", "client 2")],
            ..Cut::of(
                "01",
                "Client 1 says nothing: the server waits for it, and client 2 for both",
                1,
                10,
            )
        },
    ),
    (
        "02-threads",
        Cut {
            waits: &[("#1 | accepted", "thread 1")],
            ..Cut::of("02", "A thread for each client: only thread 1 waits for client 1", 1, 10)
        },
    ),
    (
        "03-turns-for-nothing",
        Cut {
            bad: &["for nothing"],
            ..Cut::of("03", "The server never waits, and turns for nothing", 1, 7)
        },
    ),
    (
        "04-one-event",
        Cut {
            waits: &[("stops the server", "the server"), ("#2 | sends", "client 2")],
            bad: &["turn 1 | events: 1"],
            ..Cut::of("04x", "Two clients, one event: the second one is never accepted", 1, 13)
        },
    ),
    (
        "05-bytes-owed",
        Cut {
            waits: &[("bytes, [..] wait", "client 1")],
            ..Cut::of("05", "Bytes wait for client 1, and client 2 is served", 6, 16)
        },
    ),
    (
        "06-above-and-below",
        Cut::of("06", "The reactor reads and writes, and your code answers", 1, 16),
    ),
    (
        "07-phases",
        Cut::of("07", "What client 2 asks for is told to client 1, in the same turn", 13, 16),
    ),
    (
        "08-timer",
        Cut {
            waits: &[("#1 | connects", "client 1")],
            ..Cut::of("08", "A timer is set when client 1 connects, and fires", 1, 13)
        },
    ),
    (
        "09-marks",
        Cut {
            waits: &[("bytes, [..] wait", "client 1")],
            ..Cut::of("09", "Messages are made as long as client 1 takes them", 8, 19)
        },
    ),
    ("10-the-end", Cut::of("10", "Open, closing, lingering, gone", 8, 16)),
    (
        "11-a-thread",
        Cut {
            waits: &[("#1 | data_received", "thread")],
            ..Cut::of("11", "A thread waits for the keyboard, and wakes the reactor", 8, 12)
        },
    ),
];

/// Each figure by the name of its file.
fn figures() -> Vec<(String, String)> {
    let mut figures = vec![("00-one-turn".to_owned(), turn::draw(&simulated::one_turn()))];
    figures.extend(
        CUTS.iter().map(|(name, cut)| ((*name).to_owned(), lanes::draw(&transcripts::story(cut)))),
    );
    let simulated = [
        ("12-every-byte-alone", simulated::every_byte_alone()),
        ("13-longest-callback", simulated::longest_callback()),
        ("14-calm", simulated::calm()),
        ("14-waiting", simulated::waiting()),
        ("15-one-task", simulated::one_task()),
    ];
    figures.extend(simulated.map(|(name, story)| (name.to_owned(), lanes::draw(&story))));
    figures
}

/// Compares a generated file with the one that is committed, or writes it.
///
/// # Panics
///
/// If they differ.
pub(crate) fn bless_or_compare(path: &Path, text: &str) {
    let name = path.strip_prefix(root()).unwrap_or(path).display();
    if blesses() {
        fs::create_dir_all(path.parent().expect("a file stands in a folder"))
            .expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let equal = committed.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
    let line = |text: &str| {
        text.lines().nth(equal).unwrap_or("the end").chars().take(80).collect::<String>()
    };
    let (old, new) = (line(&committed), line(text));
    let number = equal + 1;
    assert!(
        committed == text,
        "{name}:{number}: {old}\nthe run: {new}\nLook at it, and then: BLESS=1"
    );
}

/// Whether generated files are written, and not compared.
pub(crate) fn blesses() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares the figures with their runs. When all is written anew, the runs are recorded first.
pub(crate) fn check_figures() {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| {
        #[cfg(target_os = "linux")]
        if blesses() {
            crate::recordings::check_transcripts();
        }
        for (name, svg) in figures() {
            bless_or_compare(&root().join(format!("docs/guide/figures/{name}.svg")), &svg);
        }
    });
}

#[test]
fn the_figures_show_their_runs() {
    check_figures();
}

#[test]
fn every_figure_stands_in_a_chapter_and_none_is_left_over() {
    let mut used: Vec<_> = chapters()
        .iter()
        .flat_map(|page| page.links().into_iter().filter(|link| link.image).map(|link| link.target))
        .collect();
    used.sort();
    used.dedup();
    let mut known: Vec<_> =
        figures().iter().map(|(name, _)| format!("figures/{name}.svg")).collect();
    known.extend(PHOTOGRAPHS.map(|name| format!("figures/{name}")));
    known.sort();
    assert_eq!(used, known);
    let files = fs::read_dir(root().join("docs/guide/figures")).expect("the figures are there");
    let pictures = files.filter(|file| {
        let name = file.as_ref().expect("the folder can be read").file_name();
        !name.to_string_lossy().ends_with(".md")
    });
    assert_eq!(pictures.count(), known.len());
}

#[test]
fn photographs_are_small() {
    for name in PHOTOGRAPHS {
        let file = fs::metadata(root().join("docs/guide/figures").join(name)).expect("it is there");
        assert!(file.len() <= LARGEST_PHOTOGRAPH, "{name} has {} bytes", file.len());
    }
}

#[test]
fn texts_stay_inside_of_their_figure() {
    for (name, svg) in figures() {
        assert!(svg.len() <= LARGEST, "{name} has {} bytes", svg.len());
        let document =
            roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        for text in document.descendants().filter(|node| node.has_tag_name("text")) {
            let number = |attribute: &str| {
                text.attribute(attribute).and_then(|value| value.parse::<f64>().ok())
            };
            let (x, class) =
                (number("x").expect("a place"), text.attribute("class").unwrap_or_default());
            let content = text.text().unwrap_or_default();
            let size = if class == "title" { 15.0 } else { 13.0 };
            let size = if class == "line" { 11.0 } else { size };
            let width = width_of(content, size, class == "line");
            let (left, right) = match class {
                class if class.ends_with("middle") || class == "number" => {
                    (x - width / 2.0, x + width / 2.0)
                }
                "end" => (x - width, x),
                _ => (x, x + width),
            };
            assert!(left >= 0.0 && right <= WIDTH, "{name}: {content} needs {left} to {right}");
        }
    }
}
