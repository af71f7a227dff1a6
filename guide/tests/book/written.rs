//! The form of each chapter: how long it is, what it has, and whether the places that it names exist.

use std::fs;

use crate::text::{Page, chapters, pages, root};

/// Words that a reader of a foreign language reads in a minute, of a text that is new to them.
const WORDS_A_MINUTE: usize = 180;

/// Lines of code that a reader takes in in a minute.
const LINES_A_MINUTE: usize = 40;

/// Seconds for a command and its output, or for a figure.
const STOP: usize = 45;

/// Longer than this is no chapter for an evening's break.
const MOST_MINUTES: usize = 15;

const CHAPTERS: usize = 16;

fn words(page: &Page) -> usize {
    page.prose().split_whitespace().count()
}

fn lines(page: &Page) -> usize {
    let blocks = page.blocks().into_iter().filter(|block| block.language == "rust");
    blocks.map(|block| block.text.lines().filter(|line| !line.trim().is_empty()).count()).sum()
}

/// Commands to type, and figures to look at.
fn stops(page: &Page) -> usize {
    let sessions = page.blocks().into_iter().filter(|block| block.language == "console");
    let commands: usize = sessions
        .map(|block| block.text.matches("$ cargo").count() + block.text.matches("$ printf").count())
        .sum();
    commands + page.links().iter().filter(|link| link.image).count()
}

/// How long it takes, without the exercises.
fn minutes(page: &Page) -> usize {
    let seconds =
        words(page) * 60 / WORDS_A_MINUTE + lines(page) * 60 / LINES_A_MINUTE + stops(page) * STOP;
    seconds.div_ceil(60)
}

#[test]
fn there_are_sixteen_chapters_and_the_index_has_them() {
    let (pages, chapters) = (pages(), chapters());
    assert_eq!(chapters.len(), CHAPTERS);
    let index = pages.iter().find(|page| page.name == "README.md").expect("the index");
    for (number, page) in chapters.iter().enumerate() {
        assert_eq!(page.number(), Some(number));
        assert!(
            index.links().iter().any(|link| link.target == page.name),
            "the index has no {}",
            page.name
        );
    }
}

#[test]
fn no_chapter_takes_too_long_to_read() {
    for page in chapters() {
        let minutes = minutes(&page);
        println!(
            "{}: {} words, {} lines, {minutes} minutes",
            page.name,
            words(&page),
            lines(&page)
        );
        assert!(minutes <= MOST_MINUTES, "{} takes {minutes} minutes", page.name);
    }
}

#[test]
fn every_chapter_has_its_parts() {
    for page in chapters() {
        let name = &page.name;
        let first = page.headings().into_iter().next().expect("a chapter has a heading");
        let number = page.number().expect("a chapter");
        assert!(
            first.starts_with(&format!("{number}. ")) && first.ends_with('?'),
            "{name}: {first}"
        );
        assert!(page.links().iter().any(|link| link.image), "{name} has no figure");
        let exercises =
            page.section("Exercises").unwrap_or_else(|| panic!("{name} has no exercises"));
        let count = exercises.matches("\n### ").count();
        assert!((2..=4).contains(&count), "{name} has {count} exercises");
        assert!(page.section("In crocus").is_some(), "{name} does not say where crocus has it");
        assert!(page.text.contains("> **What goes wrong"), "{name} has no box that goes wrong");
    }
}

/// The sentences of a page that begin like a question and are none.
fn false_questions(page: &Page) -> Vec<String> {
    let prose = page.prose().replace("**", "");
    let headings = page.headings().join("\n");
    let lines = prose.lines().chain(headings.lines());
    // A sentence ends with one of these and a blank, or with its paragraph.
    let marked = lines.map(|line| {
        [". ", "? ", "! "]
            .iter()
            .fold(line.to_owned(), |line, end| line.replace(end, &format!("{}\n", end.trim_end())))
    });
    let text = marked.collect::<Vec<_>>().join("\n");
    let sentences = text.lines();
    let asks = |sentence: &str| sentence.trim_end().ends_with('?');
    let begins = |sentence: &str| {
        let word = sentence.split(' ').next().unwrap_or_default();
        ["Who", "What", "That"].contains(&word) && !sentence.starts_with("What goes wrong")
    };
    sentences
        .map(str::trim)
        .filter(|sentence| begins(sentence) && !asks(sentence))
        .map(str::to_owned)
        .collect()
}

#[test]
fn only_questions_begin_with_who_what_and_that() {
    for page in pages() {
        let found = false_questions(&page);
        assert!(found.is_empty(), "{}: {found:#?}", page.name);
    }
}

/// The places in a section: lines that name a file of the source, and the names beside it.
fn places(section: &str) -> Vec<(String, Vec<String>)> {
    let mut places = Vec::new();
    for line in section.lines() {
        let mut spans: Vec<_> = line.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        if let Some(at) = spans.iter().position(|span| span.starts_with("src/")) {
            let file = spans.remove(at);
            places.push((file, spans));
        }
    }
    places
}

/// Whether a file declares a name: a function, a type, a field or a variant.
fn declares(text: &str, name: &str) -> bool {
    const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "const", "type", "mod"];
    let name = name.trim_end_matches("()").rsplit("::").next().unwrap_or(name);
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        let split = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let words: Vec<_> = split.filter(|word| !word.is_empty()).collect();
        let declared = words.windows(2).any(|pair| KINDS.contains(&pair[0]) && pair[1] == name);
        let member = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let rest = member.strip_prefix(name);
        declared
            || rest.is_some_and(|rest| rest.starts_with([',', '(', ':']) || rest.starts_with(" {"))
    })
}

#[test]
fn the_places_in_crocus_exist() {
    let mut count = 0;
    for page in chapters() {
        let section = page.section("In crocus").unwrap_or_default();
        let places = places(section);
        assert!(!places.is_empty(), "{} names no file of crocus", page.name);
        for (file, names) in places {
            let text = fs::read_to_string(root().join(&file));
            let text = text.unwrap_or_else(|error| panic!("{}: {file}: {error}", page.name));
            for name in names {
                assert!(declares(&text, &name), "{}: {file} has no {name}", page.name);
                count += 1;
            }
        }
    }
    assert!(count > CHAPTERS, "the names are found");
}

#[test]
fn a_place_that_is_gone_is_noticed() {
    let text =
        "impl A {\n    pub(crate) fn turn(&mut self) {}\n}\nenum B {\n    Open,\n}\n// fn other\n";
    assert!(declares(text, "A::turn") && declares(text, "Open") && declares(text, "turn()"));
    assert!(!declares(text, "turns") && !declares(text, "tur"));
    let line = "* [`src/a.rs`][a]: `turn`, `latch`";
    assert_eq!(
        places(line),
        [("src/a.rs".to_owned(), vec!["turn".to_owned(), "latch".to_owned()])]
    );
}
