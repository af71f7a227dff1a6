//! The reports of a run: its figures as `bench.json`, as tables in `bench.md`, and as a picture
//! in `bench.svg`.
//!
//! Tables and picture are made of the figures alone, so they can be made again from `bench.json`.

mod chart;
mod detail;
#[cfg(test)]
mod sample;
mod table;

use std::path::Path;
use std::{fs, io};

use crate::figures::{ONE_LOOP, Run, TWO, Trial, Workload};

/// The server that is accented.
const CROCUS: &str = "crocus";

/// The server that does no more than it must.
const LIMIT: &str = "limit";

/// Writes `bench.json`, `bench.md` and `bench.svg`.
///
/// # Errors
///
/// If a file cannot be written.
pub fn write(run: &Run, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("bench.json"), serde_json::to_string(run)? + "\n")?;
    write_reports(run, folder)
}

/// Makes `bench.md` and `bench.svg` again, beside the figures in the file.
///
/// # Errors
///
/// If the file cannot be read, or is no `bench.json`, or a report cannot be written.
pub fn from_json(path: &Path) -> io::Result<()> {
    let run = serde_json::from_slice(&fs::read(path)?)?;
    write_reports(&run, path.parent().unwrap_or(Path::new("")))
}

fn write_reports(run: &Run, folder: &Path) -> io::Result<()> {
    fs::write(folder.join("bench.md"), table::markdown(run))?;
    fs::write(folder.join("bench.svg"), chart::svg(run))
}

/// The server that another is compared with in a workload.
fn baseline<'a>(workload: &'a Workload, server: &str) -> Option<&'a Trial> {
    match workload.baseline.as_str() {
        ONE_LOOP => workload.trial(server.strip_suffix(TWO).unwrap_or(server)),
        name => workload.trial(name),
    }
}

/// `2 x AMD EPYC, Linux 6.18.44, rustc 1.95.0, 2026-11-26`
fn circumstances(run: &Run) -> String {
    let machine = &run.machine;
    let parts = [&machine.name, &machine.rustc, &machine.date].map(String::as_str);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Scratch;

    #[test]
    fn a_run_is_read_again_and_makes_the_same_reports() {
        let folder = Scratch::new().unwrap();
        let run = sample::run();
        write(&run, folder.path()).unwrap();
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        let first = (read("bench.md"), read("bench.svg"));
        assert!(first.0.contains("crocus") && first.1.starts_with("<svg"));
        fs::remove_file(folder.path().join("bench.md")).unwrap();
        fs::write(folder.path().join("bench.svg"), "").unwrap();
        from_json(&folder.path().join("bench.json")).unwrap();
        assert!((read("bench.md"), read("bench.svg")) == first, "not the same again");
        let again: Run = serde_json::from_str(&read("bench.json")).unwrap();
        assert!(serde_json::to_string(&again).unwrap() + "\n" == read("bench.json"));
    }

    #[test]
    fn a_file_without_figures_is_an_error() {
        let folder = Scratch::new().unwrap();
        let path = folder.path().join("bench.json");
        assert_eq!(from_json(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "{}").unwrap();
        assert_eq!(from_json(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(!folder.path().join("bench.md").exists());
    }
}
