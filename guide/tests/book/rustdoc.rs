//! The pages that rustdoc makes of the guide: their links lead somewhere, offline, and have their figures.
//!
//! One text serves GitHub and rustdoc. Each link is a reference, which its page defines at its end as GitHub
//! needs it. rustdoc reads the generated `figures/definitions.md` before each page, and of two definitions the
//! first one counts. There a chapter is a module, a source file its page, and a figure a `data:` address,
//! for rustdoc copies no pictures.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::figures::{bless_or_compare, blesses, check_figures};
use crate::text::{pages, root};

const DEFINITIONS: &str = "docs/guide/figures/definitions.md";

/// Where rustdoc has what a page links to.
fn target(link: &str) -> Result<String, String> {
    let (path, anchor) = link
        .split_once('#')
        .map_or((link, String::new()), |(path, anchor)| (path, format!("#{anchor}")));
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".md");
    if path == "README.md" {
        return Ok(format!("crate::guide{anchor}"));
    }
    if path == "../../README.md" {
        return Ok("crate".to_owned());
    }
    if let Some(file) = path.strip_prefix("figures/") {
        return picture(&root().join("docs/guide/figures").join(file))
            .map_err(|error| format!("{file}: {error}"));
    }
    if let Some(file) = path.strip_prefix("../../src/") {
        return Ok(format!("../../../src/crocus/{file}.html"));
    }
    if path.starts_with("../how/") {
        return Ok(format!("crate::how::{stem}"));
    }
    if ["../performance.md", "../terms.md", "../testing.md"].contains(&path) {
        return Ok(format!("crate::{stem}"));
    }
    if path.contains('/') {
        return Err(format!("{link} has no page in the documentation"));
    }
    let module =
        stem.split_once('-').map_or_else(|| stem.to_owned(), |(number, _)| format!("ch{number}"));
    Ok(format!("crate::guide::{module}{anchor}"))
}

/// An address that holds the picture itself.
fn picture(file: &Path) -> io::Result<String> {
    if file.extension().is_some_and(|kind| kind == "png") {
        return Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(fs::read(file)?)));
    }
    Ok(data_address(&fs::read_to_string(file)?))
}

/// A drawing as an address that can still be read.
fn data_address(svg: &str) -> String {
    let mut address = "data:image/svg+xml,".to_owned();
    for byte in svg.replace('\n', " ").replace('"', "'").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => address.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'/' | b':' | b';' | b'=' | b',' | b'\'' => {
                address.push(char::from(byte));
            }
            other => address += &format!("%{other:02X}"),
        }
    }
    address
}

fn definitions() -> String {
    let mut labels = BTreeMap::new();
    for page in pages() {
        for link in page.links().into_iter().filter(|link| !link.target.starts_with('h')) {
            if let Some(label) = link.label {
                let target =
                    target(&link.target).unwrap_or_else(|why| panic!("{}: {why}", page.name));
                labels.insert(label.to_lowercase(), target);
            }
        }
    }
    let lines = labels.iter().map(|(label, target)| format!("[{label}]: {target}\n"));
    lines.collect()
}

#[test]
fn the_definitions_for_rustdoc_are_up_to_date() {
    if blesses() {
        check_figures(); // they are in the definitions
    }
    bless_or_compare(&root().join(DEFINITIONS), &definitions());
}

/// Makes the documentation, as `cargo doc` does, and returns its folder.
fn document() -> PathBuf {
    let folder = target_folder();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["doc", "--quiet", "--no-deps", "-p", "crocus", "--target-dir"]).arg(&folder);
    cargo.args(["--features", "futures"]); // chapter 15 leads to its sources
    let output = cargo.current_dir(root()).env("RUSTDOCFLAGS", "-D warnings").output();
    let output = output.expect("cargo is there, for it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("doc")
}

/// The folder in which cargo has built this test.
fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let profile = test.parent().and_then(Path::parent).expect("it stands in target/debug/deps");
    profile.parent().expect("target").to_owned()
}

/// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begin = format!(" {attribute}=\"");
    page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The part of a page that comes from its documentation.
fn body(page: &str) -> &str {
    let begin = page.find("<section id=\"main-content\"").expect("rustdoc has made it");
    &page[begin..]
}

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// Why a link of a page leads nowhere.
fn fault(file: &Path, href: &str) -> Option<String> {
    if href.starts_with("https://") || href.starts_with("javascript:") {
        return None;
    }
    let (path, anchor) = href.split_once('#').unwrap_or((href, ""));
    let folder = file.parent().expect("a page stands in a folder");
    let target = if path.is_empty() { file.to_owned() } else { plain(&folder.join(path)) };
    let Ok(text) = fs::read_to_string(&target) else { return Some("leads to no page".to_owned()) };
    let is_line = target.starts_with(folder.join("src"))
        || anchor.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (!is_line && !values(&text, "id").contains(&anchor))
        .then(|| format!("the page has no #{anchor}"))
}

#[test]
fn the_pages_of_rustdoc_have_their_links_and_figures() {
    let doc = document();
    let (mut wrong, mut figures) = (Vec::new(), 0);
    for page in pages() {
        let module = target(&page.name)
            .expect("a page of the guide")
            .replace("crate::", "")
            .replace("::", "/");
        let file = doc.join("crocus").join(module).join("index.html");
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let body = body(&text);
        let place = &page.name;
        wrong.extend(
            values(body, "href")
                .iter()
                .filter_map(|href| fault(&file, href).map(|why| format!("{place}: {href}: {why}"))),
        );
        let images = values(body, "src");
        wrong.extend(
            images
                .iter()
                .filter(|src| !src.starts_with("data:image/"))
                .map(|src| format!("{place}: a picture from {src}")),
        );
        assert_eq!(images.len(), page.links().iter().filter(|link| link.image).count(), "{place}");
        figures += images.len();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(figures > 0, "the figures are found");
}

#[test]
fn a_target_that_rustdoc_does_not_have_is_noticed() {
    assert_eq!(target("04-poll.md#drain"), Ok("crate::guide::ch04#drain".to_owned()));
    assert_eq!(
        target("../../src/reactor/turn.rs"),
        Ok("../../../src/crocus/reactor/turn.rs.html".to_owned())
    );
    assert!(target("../../guide/src/bin/04.rs").is_err());
    assert_eq!(data_address("<a b=\"c\">"), "data:image/svg+xml,%3Ca%20b='c'%3E");
}
