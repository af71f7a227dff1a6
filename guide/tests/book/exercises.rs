//! Each exercise works in both directions: its starter compiles and fails, its solution passes.

use std::fs;
use std::thread;

use guide::exercises::{self, ALL};

use crate::text::{chapters, root};

const FILES: [&str; 5] = ["task.md", "starter.rs", "solution.rs", "hint.md", "explanation.md"];

#[test]
fn starters_fail_and_solutions_pass() {
    let folder = exercises::build(&["--examples"]).expect("all of them compile").join("examples");
    thread::scope(|scope| {
        for exercise in ALL {
            let folder = &folder;
            scope.spawn(move || {
                let solved = exercise.check(&folder.join(exercise.example("solution")));
                assert!(solved.is_ok(), "the solution of {}: {solved:?}", exercise.name);
            });
            scope.spawn(move || {
                let begun = exercise.check(&folder.join(exercise.example("starter")));
                let finding = begun.expect_err(&format!("the starter of {} passes", exercise.name));
                println!("{}:\n{finding}", exercise.name);
            });
        }
    });
}

#[test]
fn every_exercise_is_complete_and_its_chapter_has_it() {
    let mut folders = fs::read_dir(root().join("guide/exercises"))
        .expect("the exercises are there")
        .map(|entry| entry.expect("the folder can be read").file_name().into_string())
        .collect::<Result<Vec<_>, _>>()
        .expect("plain names");
    folders.sort();
    assert_eq!(folders, ALL.map(|exercise| exercise.name));
    let chapters = chapters();
    for exercise in ALL {
        for file in FILES {
            let text = exercise.read(file).unwrap_or_else(|error| panic!("{error}"));
            assert!(!text.trim().is_empty(), "{}: {file} is empty", exercise.name);
        }
        let page = chapters.iter().find(|page| page.name.starts_with(&exercise.name[..2]));
        let place = format!("guide/exercises/{}/starter.rs", exercise.name);
        assert!(page.is_some_and(|page| page.text.contains(&place)), "no chapter names {place}");
    }
}
