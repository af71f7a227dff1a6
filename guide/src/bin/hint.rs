//! Prints the tasks of a chapter, and a hint for each: `cargo run -p guide --bin hint 04`.

use std::io;

use guide::exercises::Exercise;

fn main() -> io::Result<()> {
    let chapter = std::env::args().nth(1).unwrap_or_default();
    for exercise in Exercise::find(&chapter) {
        println!(
            "{}\n\n{}\n{}",
            exercise.name,
            exercise.read("task.md")?,
            exercise.read("hint.md")?
        );
    }
    Ok(())
}
