//! Each relative link of the guide leads to a file and to an anchor that exist, as GitHub shows them.
//!
//! `rustdoc.rs` looks at the same links in the pages that rustdoc makes.

use std::collections::BTreeMap;
use std::fs;

use crate::text::{Link, Page, pages, root};

/// Why a link leads nowhere.
fn fault(page: &Page, link: &Link) -> Option<String> {
    if link.target.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
    if path.is_empty() {
        return missing_anchor(page, anchor);
    }
    if link.label.is_none() {
        return Some("is no reference, so rustdoc cannot have another target for it".to_owned());
    }
    let file = root().join("docs/guide").join(path);
    if !file.exists() {
        return Some("leads to no file".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(file).expect("a file with an anchor is text");
    missing_anchor(&Page { name: path.to_owned(), text }, anchor)
}

fn missing_anchor(page: &Page, anchor: &str) -> Option<String> {
    let anchors = page.anchors();
    (!anchors.iter().any(|other| other == anchor))
        .then(|| format!("{} has no #{anchor}", page.name))
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        for link in page.links() {
            wrong.extend(
                fault(&page, &link).map(|why| format!("{}: {}: {why}", page.name, link.target)),
            );
        }
        wrong.extend(
            page.broken().iter().map(|label| format!("{}: no link is called {label}", page.name)),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_label_means_the_same_on_every_page() {
    let mut targets: BTreeMap<String, (String, String)> = BTreeMap::new();
    for page in pages() {
        for link in page.links() {
            let Some(label) = &link.label else { continue };
            let (target, other) = targets
                .entry(label.to_lowercase())
                .or_insert_with(|| (link.target.clone(), page.name.clone()));
            assert_eq!(*target, link.target, "[{label}] in {other} and in {}", page.name);
        }
    }
    assert!(targets.len() > 5, "the labels are found");
}

/// Each `path` that is the text of a link, and the label behind it.
fn named_paths(page: &Page) -> Vec<(&str, &str)> {
    let links = page.text.split("[`").skip(1).filter_map(|rest| {
        let (path, rest) = rest.split_once("`][")?;
        Some((path, rest.split_once(']')?.0))
    });
    links.filter(|(path, _)| path.contains('/') && !path.contains('\n')).collect()
}

/// The links of a page that show one path and lead to another.
fn misnamed(page: &Page) -> Vec<String> {
    let links = page.links();
    let target = |label: &str| {
        let link = links.iter().find(|link| link.label.as_deref() == Some(label));
        link.map_or("", |link| &link.target)
    };
    let named = named_paths(page).into_iter();
    named
        .filter(|(path, label)| !target(label).ends_with(path))
        .map(|(path, _)| path.to_owned())
        .collect()
}

#[test]
fn a_link_leads_to_the_file_that_it_names() {
    let mut count = 0;
    for page in pages() {
        count += named_paths(&page).len();
        assert!(misnamed(&page).is_empty(), "{}: {:?}", page.name, misnamed(&page));
    }
    assert!(count > 30, "the links are found");
    let text = "[`src/a.rs`][b.rs]\n\n[b.rs]: ../../src/b.rs\n";
    let page = Page { name: "page.md".to_owned(), text: text.to_owned() };
    assert_eq!(misnamed(&page), ["src/a.rs"]);
}

#[test]
fn a_link_to_nothing_is_noticed() {
    let text = "# A page\n\n[a](#a-page) [b](#b) [c](00.md) [d][d] [e][e]\n\n[d]: no-such.md\n";
    let page = Page { name: "page.md".to_owned(), text: text.to_owned() };
    let faults: Vec<_> = page.links().iter().map(|link| fault(&page, link)).collect();
    let told = |index: usize| faults[index].clone().unwrap_or_default();
    assert_eq!(faults[0], None);
    assert!(
        told(1).contains("no #b") && told(2).contains("reference") && told(3).contains("no file")
    );
    assert_eq!(page.broken(), ["e"]);
}
