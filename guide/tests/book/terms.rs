//! No term is used before it is explained.
//!
//! The glossary names for each term the chapter that explains it. There the term is strong where it occurs
//! first, and no chapter before that has it in its text. Words are compared as they are written: a term in
//! another form, or one that the glossary does not have, is not found.

use crate::text::{Page, chapters, pages};

const GLOSSARY: &str = "glossary.md";

/// A row of the glossary.
struct Term {
    name: String,
    chapter: usize,
}

fn glossary() -> Page {
    pages().into_iter().find(|page| page.name == GLOSSARY).expect("the glossary is there")
}

/// The rows `| term | meaning | [chapter 4][ch04] |`.
fn terms(page: &Page) -> Vec<Term> {
    let rows =
        page.text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| term "));
    let term = |row: &str| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, .., chapter] = cells[..] else { panic!("a row of the glossary: {row}") };
        let number = chapter
            .rsplit_once("[ch")
            .and_then(|(_, rest)| rest.trim_end_matches(']').parse().ok());
        let chapter = number.unwrap_or_else(|| panic!("{name} links to no chapter"));
        Term { name: name.to_owned(), chapter }
    };
    let terms: Vec<_> = rows.map(term).collect();
    assert!(terms.len() > 20, "the glossary is read");
    terms
}

/// Where a word or several stand in a text, whole, in the singular or with an s.
fn find(text: &str, term: &str) -> Option<usize> {
    let (lower, term) = (text.to_lowercase(), term.to_lowercase());
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let found = lower.match_indices(&term).find(|(at, _)| {
        let after = &lower[at + term.len()..];
        let after = after.strip_prefix('s').unwrap_or(after);
        !lower[..*at].ends_with(is_letter) && !after.starts_with(is_letter)
    });
    found.map(|(at, _)| at)
}

/// The faults in the use of a term in these chapters.
fn fault(term: &Term, chapters: &[Page]) -> Option<String> {
    let explained = chapters.iter().find(|page| page.number() == Some(term.chapter))?;
    let before = chapters.iter().filter(|page| page.number() < Some(term.chapter));
    if let Some(page) = before.into_iter().find(|page| find(&page.prose(), &term.name).is_some()) {
        return Some(format!(
            "{} is used in {}, before chapter {}",
            term.name, page.name, term.chapter
        ));
    }
    let prose = explained.prose();
    let Some(at) = find(&prose, &term.name) else {
        return Some(format!("{} does not occur in {}", term.name, explained.name));
    };
    let strong = prose[..at].ends_with("**");
    (!strong).then(|| format!("{} is not strong where {} has it first", term.name, explained.name))
}

#[test]
fn no_term_is_used_before_it_is_explained() {
    let (terms, chapters) = (terms(&glossary()), chapters());
    let faults: Vec<_> = terms.iter().filter_map(|term| fault(term, &chapters)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_strong_word_of_a_chapter_stands_in_the_glossary() {
    let terms = terms(&glossary());
    for page in chapters() {
        for word in page.prose().split("**").skip(1).step_by(2) {
            let opening = ["Before this chapter", "After it"].contains(&word);
            if opening || word.ends_with(['.', ':', '?']) || word.starts_with("What goes wrong") {
                continue; // the head of a paragraph
            }
            let known = terms.iter().any(|term| find(word, &term.name) == Some(0));
            assert!(known, "{}: {word} is strong, and no term of the glossary", page.name);
        }
    }
}

#[test]
fn a_term_used_too_early_is_noticed() {
    let page = |name: &str, text: &str| Page { name: name.to_owned(), text: text.to_owned() };
    let term = Term { name: "token".to_owned(), chapter: 4 };
    let good = page("04-poll.md", "# Token\n\nA **token** is a number. Two tokens.\n");
    assert_eq!(fault(&term, std::slice::from_ref(&good)), None);
    let early = page("03-spin.md", "It has tokens.\n");
    assert!(fault(&term, &[early, good]).is_some_and(|why| why.contains("before chapter 4")));
    let plain = page("04-poll.md", "A token is a number.\n");
    assert!(fault(&term, &[plain]).is_some_and(|why| why.contains("not strong")));
}
