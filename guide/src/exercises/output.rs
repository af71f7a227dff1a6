//! Exercises whose program prints something, which is compared line by line.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::build;
use crate::play::{Finding, Program};

type Checked = Result<(), Finding>;

/// The output of a program.
fn output(program: &Path) -> Result<String, Finding> {
    let output = Command::new(program).output();
    let output = output.map_err(|error| Finding::new("the program runs", error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Compares line by line; the first one that differs is the finding.
fn compare(program: &Path, expected: &str) -> Checked {
    let saw = output(program)?;
    let (mut expected, mut saw) = (expected.lines(), saw.lines());
    for number in 1.. {
        match (expected.next(), saw.next()) {
            (None, None) => break,
            (expected, saw) if expected == saw => {}
            (expected, saw) => {
                let line = |line: Option<&str>| {
                    line.map_or_else(|| "the end".to_owned(), |line| format!("{line:?}"))
                };
                return Err(Finding::new(format!("line {number}: {}", line(expected)), line(saw)));
            }
        }
    }
    Ok(())
}

/// The reader has predicted what step 11 logs for a line.
pub(super) fn of_a_line(program: &Path) -> Checked {
    let folder =
        build(&["--bin", "11"]).map_err(|error| Finding::new("step 11 compiles", error))?;
    let mut server = Program::start(&folder.join("11"))?;
    let mut client = server.connect()?;
    server.wait_for("#1 | writable")?;
    client.send("1\n")?;
    server.wait_for("#1 | wrote")?;
    let lines = server.transcript();
    let asked = lines.iter().rposition(|line| line.starts_with("peer | ")).map_or(0, |at| at + 1);
    // Your code has lines of its own, which are not asked for.
    let lines = lines[asked..].iter().filter(|line| !line.starts_with("code | "));
    let lines: Vec<_> = lines.map(String::as_str).collect();
    compare(program, &lines.join("\n"))
}

pub(super) fn in_capitals(program: &Path) -> Checked {
    compare(program, "HELLO!\nWORLD!\n")
}

pub(super) fn of_the_observer(program: &Path) -> Checked {
    compare(program, "data_received took 1.2s\n")
}

/// Two futures are ready after two and three seconds, and so both are after three.
pub(super) fn of_two_at_once(program: &Path) -> Checked {
    let said = [(2, "second is ready"), (3, "first is ready"), (3, "both are ready")];
    compare(program, &by_the_second(6, &said))
}

/// A future is in time within five seconds.
pub(super) fn within_a_limit(program: &Path) -> Checked {
    let said = [(1, "quick: in time"), (5, "just: in time"), (5, "slow: too late")];
    compare(program, &by_the_second(10, &said))
}

/// The output of a program that counts seconds, and says something in some of them.
fn by_the_second(seconds: usize, said: &[(usize, &str)]) -> String {
    let mut output = String::new();
    for second in 1..=seconds {
        output += &format!("second {second}\n");
        let now = said.iter().filter(|(when, _)| *when == second);
        now.for_each(|(_, what)| output += &format!("{what}\n"));
    }
    output
}

/// The reader has predicted which servers serve everybody. The run in the documentation says it.
pub(super) fn of_the_experiment(program: &Path) -> Checked {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/experiment.md");
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Finding::new("docs/experiment.md is there", error))?;
    let mut lines: Vec<String> = Vec::new();
    for line in text.split("```").nth(3).unwrap_or_default().lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [server, served, "of", all, ..] if served == all => {
                let constraint =
                    lines.last_mut().ok_or_else(|| Finding::new("a constraint", server))?;
                let comma = if constraint.ends_with(':') { " " } else { ", " };
                *constraint += &format!("{comma}{server}");
            }
            [name, ..] if name.ends_with(':') && !line.starts_with(' ') => {
                lines.push(name.to_owned());
            }
            _ => {}
        }
    }
    compare(program, &lines.join("\n"))
}
