//! The exercises: what each chapter has, and the script that checks each of them.
//!
//! An exercise is a folder `exercises/NN-name` with a program that compiles and does not do what it should
//! (`starter.rs`), one that does (`solution.rs`), and three short texts. Both programs are examples of this
//! package, so cargo compiles them.

mod output;
mod server;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::play::Finding;

/// One exercise.
#[derive(Clone, Copy, Debug)]
pub struct Exercise {
    /// Its folder: `04-drain`.
    pub name: &'static str,
    check: fn(&Path) -> Result<(), Finding>,
}

/// All exercises, in the order of the chapters.
pub const ALL: [Exercise; 17] = [
    Exercise { name: "00-predict", check: output::of_a_line },
    Exercise { name: "01-patience", check: server::is_patient_for_a_second },
    Exercise { name: "02-cap", check: server::serves_four_at_a_time },
    Exercise { name: "03-rest", check: server::rests_between_turns },
    Exercise { name: "04-both", check: server::does_all_of_an_event },
    Exercise { name: "05-short-write", check: server::writes_all },
    Exercise { name: "06-echo", check: server::echoes },
    Exercise { name: "07-queue", check: server::reads_on },
    Exercise { name: "08-slow-source", check: server::ticks_slowly },
    Exercise { name: "09-watcher", check: server::drops_a_full_watcher },
    Exercise { name: "10-farewell", check: server::says_bye },
    Exercise { name: "11-thread", check: server::asks_in_a_thread },
    Exercise { name: "12-lines", check: output::in_capitals },
    Exercise { name: "13-longest", check: output::of_the_observer },
    Exercise { name: "14-predict", check: output::of_the_experiment },
    Exercise { name: "15-both", check: output::of_two_at_once },
    Exercise { name: "15-timeout", check: output::within_a_limit },
];

impl Exercise {
    /// Those whose names begin so: `04`, or `04-drain`.
    pub fn find(beginning: &str) -> Vec<Self> {
        ALL.into_iter().filter(|exercise| exercise.name.starts_with(beginning)).collect()
    }

    /// Checks a program: what it should have done, and what it did.
    ///
    /// # Errors
    ///
    /// It does not do what the exercise asks for.
    pub fn check(&self, program: &Path) -> Result<(), Finding> {
        (self.check)(program)
    }

    /// One of its files.
    ///
    /// # Errors
    ///
    /// It cannot be read; the error names it.
    pub fn read(&self, file: &str) -> io::Result<String> {
        let path = self.folder().join(file);
        let text = fs::read_to_string(&path);
        text.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Where its files are.
    pub fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("exercises").join(self.name)
    }

    /// The name of a program of it, as cargo knows it.
    pub fn example(&self, which: &str) -> String {
        format!("{}-{which}", self.name)
    }
}

/// The exercises that the first argument of the program `tool` names. If there are none, it says so.
///
/// # Errors
///
/// The exit status of bad usage.
pub fn asked_for(tool: &str) -> Result<Vec<Exercise>, ExitCode> {
    let beginning = std::env::args().nth(1).unwrap_or_default();
    let found = Exercise::find(&beginning);
    if found.is_empty() {
        eprintln!("no exercise begins with {beginning}; try: cargo run -p guide --bin {tool} 04");
        return Err(ExitCode::from(2));
    }
    Ok(found)
}

/// Prints a text for each exercise that is asked for. A reader that closes the pipe, as `| head` does, has
/// seen enough.
pub fn print(tool: &str, text: impl Fn(&Exercise) -> io::Result<String>) -> ExitCode {
    let exercises = match asked_for(tool) {
        Ok(exercises) => exercises,
        Err(status) => return status,
    };
    let mut out = io::stdout().lock();
    let mut show = |exercise| writeln!(out, "{}", text(exercise)?);
    match exercises.iter().try_for_each(&mut show) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("{tool}: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Compiles examples and programs of this package (`["--example", NAME, "--bin", NAME]`), and returns the
/// folder in which the programs are; the examples are in its folder `examples`.
///
/// # Errors
///
/// cargo cannot be started, or it does not compile them. It has said why, then.
pub fn build(targets: &[&str]) -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folder = built_programs()?;
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "-p", "guide"]);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    if command.args(targets).status()?.success() {
        return Ok(folder);
    }
    Err(io::Error::other("it does not compile"))
}

/// The folder with the programs of this package: `target/debug`.
fn built_programs() -> io::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop(); // a test stands one folder deeper
    }
    Ok(folder)
}
