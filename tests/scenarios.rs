//! The table of scenarios names tests that exist.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn every_test_in_the_table_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = std::fs::read_to_string(folder.join("SCENARIOS.md")).unwrap();
    let mut sources = BTreeMap::new();
    let mut named = 0;
    // Between backticks stand tests of ours, as file::name, and of Twisted's.
    for (file, name) in table.split('`').filter_map(|piece| piece.split_once("::")) {
        if file == "file" {
            continue; // the explanation above the table
        }
        let source = sources
            .entry(file.to_owned())
            .or_insert_with(|| std::fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap());
        assert!(source.contains(&format!("fn {name}(")), "{file}::{name} does not exist");
        named += 1;
    }
    assert!(named > 200, "only {named} tests were found in the table");
}
