//! The table of faults names tests and defects that exist, and the defects quote code that exists.

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_test_and_defect_in_the_table_exists() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = read_to_string(package.join("tests/FAULTS.md")).unwrap();
    let table = &table[table.find("\n## ").unwrap()..]; // behind the explanation
    let mut sources = Vec::new();
    files(&package.join("src"), &mut sources);
    files(&package.join("tests"), &mut sources);
    files(&package.join("examples"), &mut sources);
    // The package of the library has no examples that are packages of their own, and so not their tests.
    let has_all = package.join("examples/restart").exists();
    let mut named = 0;
    for (file, name) in table.split('`').filter_map(|piece| piece.split_once("::")) {
        let named_so =
            || sources.iter().filter(|path| path.file_stem().is_some_and(|it| it == file));
        let there =
            named_so().any(|path| read_to_string(path).unwrap().contains(&format!("fn {name}(")));
        let is_elsewhere = !has_all && named_so().next().is_none();
        assert!(there || is_elsewhere, "{file}::{name} does not exist");
        named += 1;
    }
    let defects = read_to_string(package.join("tests/defects.rs")).unwrap();
    for quoted in table.split("defect \"").skip(1) {
        let name = quoted.split('"').next().unwrap();
        assert!(defects.contains(&format!("\"{name}\",")), "there is no defect {name:?}");
        named += 1;
    }
    assert!(named > 50, "only {named} tests and defects were found in the table");
}

/// Else a defect could be made no more, and nobody would hear of it before all are tried.
#[test]
fn every_defect_quotes_code_that_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let defects = read_to_string(package.join("tests/defects.rs")).unwrap();
    let mut quotes = 0;
    for entry in defects.split("        \"src/").skip(1) {
        let (file, rest) = entry.split_once("\",\n        r#\"").expect("a file, and its code");
        let (before, _) = rest.split_once("\"#,").expect("the end of a raw string");
        let source = read_to_string(package.join("src").join(file)).unwrap();
        assert!(source.contains(before), "src/{file} has no longer:\n{before}");
        quotes += 1;
    }
    assert!(quotes > 100, "only {quotes} defects were found");
}

/// Every row says something in each column.
#[test]
fn no_column_of_the_table_is_empty() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/FAULTS.md");
    let table = read_to_string(path).unwrap();
    let mut wanted = 0;
    for row in table.lines().filter(|line| line.starts_with('|')) {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        if columns[0] == "case" {
            wanted = columns.len(); // a table begins
            assert!(columns[2] == "tests", "{row}");
        }
        assert_eq!(columns.len(), wanted, "{row}");
        assert!(columns.iter().all(|column| !column.is_empty()), "{row}");
    }
}
