//! The servers in C, built when they are looked for: that takes less than a second.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use super::tools::{ask, package, target};
use super::{Found, Place, Program, SERVICES, Task};

/// Debian's names of the headers.
const PACKAGES: [(&str, &str); 2] = [("libuv", "libuv1-dev"), ("libevent", "libevent-dev")];

struct Compiled(PathBuf);

/// Builds the server of that name, `libuv` or `libevent`.
pub(super) fn find(name: &'static str) -> Result<Found, String> {
    let version = pkg_config(&["--modversion"], name)?;
    let mut libraries = vec![name];
    if name == "libevent" {
        libraries.push("libevent_pthreads"); // its locks are a library of their own
    }
    for library in &libraries {
        pkg_config(&["--exists"], library).map_err(|_| not_installed(name))?;
    }
    let mut flags = Vec::new();
    for library in libraries {
        let said = pkg_config(&["--cflags", "--libs"], library)?;
        flags.extend(said.split_whitespace().map(str::to_owned));
    }
    let program = build(name, &flags)?;
    Ok(Found { version: format!("{name} {version}, C"), program: Box::new(Compiled(program)) })
}

fn pkg_config(what: &[&str], library: &str) -> Result<String, String> {
    ask(Command::new("pkg-config").args(what).arg(library)).map_err(|error| {
        // Its own message takes five lines, and advises to set a variable.
        if error.starts_with("not installed") { error } else { not_installed(library) }
    })
}

fn not_installed(library: &str) -> String {
    let package = PACKAGES.iter().find(|(name, _)| *name == library);
    format!("not installed: {}", package.map_or(library, |(_, package)| package))
}

fn build(name: &str, flags: &[String]) -> Result<PathBuf, String> {
    let dir = target().join("c");
    fs::create_dir_all(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
    let program = dir.join(name);
    let source = package().join("c").join(name).with_extension("c");
    ask(compiler(&source, &program).args(flags))?;
    Ok(program)
}

fn compiler(source: &Path, program: &Path) -> Command {
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wall", "-Wextra", "-pthread", "-o"]).arg(program).arg(source);
    command
}

impl Program for Compiled {
    fn serves(&self, service: &str) -> bool {
        // Not `flood`: their buffers are of one size.
        SERVICES.contains(&service) && service != "flood"
    }

    fn arguments(&self, task: &Task, _: &Place) -> io::Result<Vec<OsString>> {
        let Self(program) = self;
        Ok(vec![program.into(), task.service.clone().into(), task.count.to_string().into()])
    }
}
