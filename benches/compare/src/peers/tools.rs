//! Other programs, called once for their output.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package of the comparison, where the sources of the peers are.
pub(super) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder for programs that are built for the comparison, but not by cargo.
pub(super) fn target() -> PathBuf {
    package().join("target")
}

/// Runs a program; returns its stdout and stderr, trimmed.
///
/// # Errors
///
/// `not installed: PROGRAM`, or the call and its output.
pub(super) fn ask(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("not installed: {}", command.get_program().display()),
        _ => format!("{command:?}: {error}"),
    })?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if !output.status.success() {
        return Err(format!("{command:?}: {}: {said}", output.status));
    }
    Ok(said)
}
