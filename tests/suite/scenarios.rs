//! The table of scenarios names tests that exist.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::Path;

#[test]
fn every_test_in_the_table_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = read_to_string(folder.join("SCENARIOS.md")).unwrap();
    let mut sources = BTreeMap::new();
    let mut named = 0;
    // Between backticks stand tests of ours, as file::name, and of Twisted's.
    for (file, name) in table.split('`').filter_map(|piece| piece.split_once("::")) {
        if file == "file" {
            continue; // the explanation above the table
        }
        let source = sources.entry(file.to_owned()).or_insert_with(|| {
            let paths = ["suite", "programs", ""].map(|part| folder.join(part).join(file));
            paths
                .iter()
                .filter_map(|path| read_to_string(path.with_extension("rs")).ok())
                .collect::<String>()
        });
        assert!(source.contains(&format!("fn {name}(")), "{file}::{name} does not exist");
        named += 1;
    }
    assert!(named > 200, "only {named} tests were found in the table");
}
