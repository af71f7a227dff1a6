//! Each exercise works in both directions: its starter compiles and fails, its solution passes.

use std::fs;
use std::process::Command;
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

/// The lines of a program, without its comments and the path of its reactor.
fn code(path: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("guide").join(path)).expect("a program can be read");
    let lines = text.lines().map(str::trim);
    let code = lines.filter(|line| !line.starts_with("//") && !line.starts_with("#[path"));
    code.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn solutions_that_are_a_step_have_its_code() {
    for (solution, step) in [
        ("exercises/04-both/solution.rs", "src/bin/04.rs"),
        ("exercises/05-short-write/solution.rs", "src/bin/05.rs"),
        ("exercises/07-queue/solution.rs", "src/bin/07/main.rs"),
        ("exercises/11-thread/solution.rs", "src/bin/11/main.rs"),
    ] {
        assert_eq!(code(solution), code(step), "{solution}");
    }
}

#[test]
fn the_reactor_of_07_queue_lacks_one_line_of_chapter_7() {
    let mut right = code("src/bin/07/reactor.rs");
    let wrong = code("exercises/07-queue/reactor.rs");
    let missing = right.iter().zip(&wrong).position(|(a, b)| a != b).expect("they differ");
    assert_eq!(right.remove(missing), "self.to_serve.push(slot);");
    assert_eq!(right, wrong);
}

/// The output of a program of the guide, of both streams, and its exit status.
fn printed(program: &str, args: &[&str]) -> (String, Option<i32>) {
    let folder = exercises::build(&["--bin", program]).expect("it compiles");
    let output = Command::new(folder.join(program)).args(args).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("it prints text"), output.status.code())
}

#[test]
fn a_chapter_without_exercises_is_told_by_each_tool() {
    for program in ["check", "hint", "solution"] {
        let (said, status) = printed(program, &["99"]);
        let again = format!("try: cargo run -p guide --bin {program} 04\n");
        assert!(said.ends_with(&again) && status == Some(2), "{program}: {said}");
    }
}

#[test]
fn a_reader_of_a_solution_may_stop_at_any_time() {
    let folder = exercises::build(&["--bin", "solution"]).expect("it compiles");
    let (reader, writer) = std::io::pipe().expect("a pipe is made");
    drop(reader);
    let mut program = Command::new(folder.join("solution"));
    let output = program.arg("04").stdout(writer).output().expect("it starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
