//! Prints the solutions of a chapter, with explanations: `cargo run -p guide --bin solution 04`.

use std::io;

use guide::exercises::Exercise;

fn main() -> io::Result<()> {
    let chapter = std::env::args().nth(1).unwrap_or_default();
    for exercise in Exercise::find(&chapter) {
        println!("{}\n\n{}", exercise.name, exercise.read("task.md")?);
        println!("{}\n{}", exercise.read("solution.rs")?, exercise.read("explanation.md")?);
    }
    Ok(())
}
