//! Each listing stands in its file, each new line of a step stands in a listing, and no step is too large.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::text::{Block, Page, chapters, root};

/// The most lines that a reader can take in between two programs that run.
const MOST_ADDED: usize = 90;

/// The line of a listing that stands for lines left out.
const GAP: &str = "// ...";

/// A program: its name, `06a`, and its files.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    files: Vec<PathBuf>,
}

impl Step {
    fn chapter(&self) -> &str {
        &self.name[..2]
    }

    /// The path of each file as a listing names it, and its text.
    fn texts(&self) -> impl Iterator<Item = (String, String)> {
        self.files.iter().map(|file| {
            let path = file.strip_prefix(root()).expect("it stands in the repository");
            (path.display().to_string(), fs::read_to_string(file).expect("a step can be read"))
        })
    }

    /// Its lines without indentation and how often each occurs, without what says nothing.
    fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        for (_, text) in self.texts() {
            for line in text.lines().map(str::trim).filter(|line| says_something(line)) {
                *lines.entry(line.to_owned()).or_default() += 1;
            }
        }
        lines
    }
}

/// Whether a line is more than a lone brace.
fn says_something(line: &str) -> bool {
    !line.chars().all(|letter| "{}()[],; ".contains(letter))
}

/// The steps in the order of the guide; the wrong ones are not among them.
pub(crate) fn steps() -> Vec<Step> {
    let folder = root().join("guide/src/bin");
    let entries = fs::read_dir(&folder).expect("the programs are there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut steps: Vec<_> = paths.filter_map(|path| step(&path)).collect();
    // The chapter's last program may have no letter.
    steps.sort_by_key(|step| (step.name[..2].to_owned(), step.name.len() == 2, step.name.clone()));
    assert!(steps.len() > 2, "the steps are found");
    steps
}

fn step(path: &Path) -> Option<Step> {
    let name = path.file_stem()?.to_str()?.to_owned();
    let (number, letter) = name.split_at_checked(2)?;
    let is_step = number.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(letter, "" | "a" | "b" | "c" | "d");
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries =
            fs::read_dir(path).ok()?.map(|entry| entry.expect("the folder can be read").path());
        files = entries.filter(|file| file.extension().is_some_and(|end| end == "rs")).collect();
        files.sort();
    }
    is_step.then_some(Step { name, files })
}

/// The lines that a step adds to the one before it.
fn added(step: &Step, before: Option<&Step>) -> BTreeMap<String, usize> {
    let before = before.map(Step::lines).unwrap_or_default();
    let more = step.lines().into_iter().filter_map(|(line, count)| {
        let new = count.saturating_sub(before.get(&line).copied().unwrap_or(0));
        (new > 0).then_some((line, new))
    });
    more.collect()
}

/// The path above a block: the last one in the line before it that names a file of the repository.
pub(crate) fn path_above(block: &Block) -> Option<String> {
    let spans: Vec<_> = block.above.split('`').skip(1).step_by(2).collect();
    let paths = spans.into_iter().rev().filter(|span| span.contains('/') && span.ends_with(".rs"));
    paths.map(str::to_owned).next()
}

/// Why a listing does not stand in a text: the first line that is not found where it should be.
fn difference(listing: &str, text: &str) -> Option<String> {
    let lines: Vec<_> = text.lines().collect();
    let mut from = 0;
    for piece in pieces(listing) {
        let found = (from..lines.len()).find(|&at| lines[at..].starts_with(&piece));
        let Some(at) = found else { return Some(first_strange(&piece, &lines, from)) };
        from = at + piece.len();
    }
    None
}

/// A listing without its gaps.
fn pieces(listing: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = listing.lines().collect();
    let pieces = lines.split(|line| line.trim() == GAP).map(|piece| {
        let begin = piece.iter().position(|line| !line.is_empty()).unwrap_or(piece.len());
        let end = piece.iter().rposition(|line| !line.is_empty()).map_or(begin, |at| at + 1);
        piece[begin..end].to_vec()
    });
    pieces.filter(|piece| !piece.is_empty()).collect()
}

fn first_strange(piece: &[&str], lines: &[&str], from: usize) -> String {
    let fits = |at: usize| piece.iter().zip(&lines[at..]).take_while(|(a, b)| a == b).count();
    let best = (from..lines.len()).map(fits).max().unwrap_or(0);
    piece[best.min(piece.len() - 1)].to_owned()
}

/// The listings of a page, each with the path above it.
fn listings(page: &Page) -> Vec<(String, Block)> {
    let blocks = page.blocks().into_iter().filter(|block| block.language == "rust");
    blocks.filter_map(|block| Some((path_above(&block)?, block))).collect()
}

#[test]
fn every_listing_stands_in_its_file() {
    let mut wrong = Vec::new();
    for page in chapters() {
        for (path, block) in listings(&page) {
            let place = format!("{}:{}", page.name, block.line);
            match fs::read_to_string(root().join(&path)) {
                Err(error) => wrong.push(format!("{place}: {path}: {error}")),
                Ok(text) => wrong.extend(
                    difference(&block.text, &text)
                        .map(|line| format!("{place}: not in {path}: {line}")),
                ),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_listing_has_its_path_above_it() {
    for page in chapters() {
        for block in page.blocks().iter().filter(|block| block.language == "rust") {
            assert!(
                path_above(block).is_some(),
                "{}:{} has no path above it",
                page.name,
                block.line
            );
        }
    }
}

#[test]
fn every_new_line_of_a_step_stands_in_a_listing() {
    let pages = chapters();
    let (mut before, mut missing) = (None, Vec::new());
    let steps = steps();
    for step in &steps {
        let page = pages.iter().find(|page| page.name.starts_with(step.chapter()));
        let Some(page) = page else { panic!("step {} has no chapter", step.name) };
        let files: Vec<_> = step.texts().map(|(path, _)| path).collect();
        let shown = listings(page).into_iter().filter(|(path, _)| files.contains(path));
        let shown: String = shown.map(|(_, block)| block.text).collect();
        let shown: Vec<_> = shown.lines().map(str::trim).collect();
        let lines = added(step, before).into_keys().filter(|line| !shown.contains(&line.as_str()));
        missing.extend(lines.map(|line| format!("{}: {line}", step.name)));
        before = Some(step);
    }
    assert!(missing.is_empty(), "in no listing:\n{}", missing.join("\n"));
}

#[test]
fn no_step_adds_more_than_a_reader_can_take_in() {
    let steps = steps();
    for (index, step) in steps.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &steps[index]);
        let count: usize = added(step, before).values().sum();
        println!("{} adds {count} lines", step.name);
        assert!(count <= MOST_ADDED, "{} adds {count} lines", step.name);
    }
}

#[test]
fn a_changed_listing_is_noticed() {
    let text = "fn a() {\n    one();\n    two();\n}\n\nfn b() {}\n";
    assert_eq!(difference("fn a() {\n    // ...\n}\n", text), None);
    assert_eq!(difference("    two();\n}\n\nfn b() {}\n", text), None);
    assert_eq!(difference("    one();\n    three();\n", text), Some("    three();".to_owned()));
    assert_eq!(
        difference("fn b() {}\n// ...\nfn a() {\n", text),
        Some("fn a() {".to_owned()),
        "the order counts"
    );
    assert_eq!(difference("one();\n", text), Some("one();".to_owned()), "the indentation counts");
}
