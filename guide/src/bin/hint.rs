//! Prints the tasks of a chapter, and a hint for each: `cargo run -p guide --bin hint 04`.

use std::process::ExitCode;

use guide::exercises;

fn main() -> ExitCode {
    exercises::print("hint", |exercise| {
        Ok(format!(
            "{}\n\n{}\n{}",
            exercise.name,
            exercise.read("task.md")?,
            exercise.read("hint.md")?
        ))
    })
}
