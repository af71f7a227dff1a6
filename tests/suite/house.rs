//! What the tree promises: who knows whom, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Longer than the guide of 300 lines, and no longer than a reader takes in one go.
const LONGEST_FILE: usize = 400;

const LONGEST_FUNCTION: usize = 50;

/// Files that hold nothing but tests.
const TESTS: [&str; 3] = ["script.rs", "sequences.rs", "table.rs"];

fn files_in(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has files");
    found
}

/// The code of a file, without its tests and comments.
fn code(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// The paths in `crate` that a file names, up to the second part: `parts::arena`.
fn named(text: &str) -> Vec<String> {
    let code = code(text).join("\n");
    let paths = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        rest[..end.unwrap_or(rest.len())].trim_end_matches(':').to_owned()
    });
    paths.filter(|path| !path.is_empty()).collect()
}

#[test]
fn extras_use_only_the_public_interface() {
    // `crate::{A, B}` has an empty path here and names what the root exports.
    for (file, text) in files_in("extras") {
        for path in named(&text) {
            let first = path.split("::").next().unwrap();
            let public = first.starts_with(char::is_uppercase) || first == "framing";
            assert!(public, "{} uses crate::{path}", file.display());
        }
        assert!(!text.contains("use super::super"), "{}", file.display());
    }
}

#[test]
fn lower_floors_do_not_know_the_reactor() {
    for (folder, allowed) in [
        ("parts", &["parts"][..]),
        ("system", &["parts", "system", "simulation", "address"]),
        ("connection", &["parts", "system", "connection", "reason"]),
    ] {
        for (file, text) in files_in(folder) {
            for path in named(&text) {
                // The documentation links of `parts` name public items; those are no imports.
                let first = path.split("::").next().unwrap();
                assert!(allowed.contains(&first), "{} uses crate::{path}", file.display());
            }
        }
    }
}

#[test]
fn files_and_functions_stay_short() {
    for (file, text) in files_in("") {
        if TESTS.iter().any(|test| file.ends_with(test)) {
            continue;
        }
        let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", file.display());
        let mut begun = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = !line.trim_start().starts_with("//");
            if code && begun.is_none() && line.contains("fn ") && line.trim_end().ends_with('{') {
                begun = Some((number, indent));
            }
            if let Some((first, outer)) = begun
                && line.trim_end() == format!("{}}}", " ".repeat(outer))
            {
                let length = number - first;
                assert!(length <= LONGEST_FUNCTION, "{}:{first}: {length} lines", file.display());
                begun = None;
            }
        }
    }
}
