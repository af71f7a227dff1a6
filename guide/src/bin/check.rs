//! Checks your programs of a chapter: `cargo run -p guide --bin check 04`.

use std::process::ExitCode;

use guide::exercises::{self, Exercise};

fn main() -> ExitCode {
    let exercises = match exercises::asked_for("check") {
        Ok(exercises) => exercises,
        Err(status) => return status,
    };
    let mut passed = true;
    for exercise in exercises {
        passed &= check(&exercise);
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says what came of an exercise, and whether it is done.
fn check(exercise: &Exercise) -> bool {
    let name = exercise.name;
    let example = exercise.example("starter");
    let folder = match exercises::build(&["--example", &example]) {
        Ok(folder) => folder,
        Err(error) => {
            println!("{name}: {error}");
            return false;
        }
    };
    match exercise.check(&folder.join("examples").join(example)) {
        Ok(()) => {
            println!("{name}: done");
            println!("Compare: cargo run -p guide --bin solution {name}");
        }
        Err(finding) => {
            println!("{name}: not yet\n{finding}");
            println!("The program is guide/exercises/{name}/starter.rs");
            println!("A hint: cargo run -p guide --bin hint {name}");
            return false;
        }
    }
    true
}
