//! Prints the solutions of a chapter, with explanations: `cargo run -p guide --bin solution 04`.

use std::process::ExitCode;

use guide::exercises;

fn main() -> ExitCode {
    exercises::print("solution", |exercise| {
        Ok(format!(
            "{}\n\n{}\n{}\n{}",
            exercise.name,
            exercise.read("task.md")?,
            exercise.read("solution.rs")?,
            exercise.read("explanation.md")?
        ))
    })
}
