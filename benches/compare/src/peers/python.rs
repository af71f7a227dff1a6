//! The servers in Python. uvloop and Twisted live in a virtual environment, made on request only.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use super::process::failed;
use super::tools::{ask, package, target};
use super::{Found, Place, Program, Task};

/// asyncio.Runner, by which uvloop is chosen, came with it.
const NEEDED: (u32, u32) = (3, 11);

/// The path of the interpreter (not of pyenv's shell script), and its version.
const ABOUT: &str = "import platform, sys; print(sys.executable, platform.python_version())";

struct Script {
    interpreter: PathBuf,
    name: &'static str,
    flags: &'static [&'static str],
}

/// Finds one of `asyncio`, `uvloop` and `twisted`.
pub(super) fn find(name: &'static str) -> Result<Found, String> {
    let (script, flags): (_, &[_]) = match name {
        "twisted" => ("twisted_server.py", &[]),
        "uvloop" => ("asyncio_server.py", &["--uvloop"]),
        _ => ("asyncio_server.py", &[]),
    };
    let (interpreter, python) = interpreter()?;
    if name == "asyncio" {
        let program = Script { interpreter, name: script, flags };
        return Ok(Found { version: format!("Python {python}"), program: Box::new(program) });
    }
    let interpreter = venv().join("bin/python");
    let version = ask(Command::new(&interpreter)
        .args(["-c", &format!("import {name}; print({name}.__version__)")]))
    .map_err(|_| format!("{name} is not in {}: --python puts it there", venv().display()))?;
    let program = Script { interpreter, name: script, flags };
    Ok(Found { version: format!("{name} {version}, Python {python}"), program: Box::new(program) })
}

/// Makes the virtual environment, if it is not there, and installs uvloop and Twisted in it.
///
/// # Errors
///
/// If there is no Python, or pip cannot install them.
pub fn make_venv() -> io::Result<()> {
    let (interpreter, _) = interpreter().map_err(|error| failed("Python", error))?;
    let dir = venv();
    if !dir.join("bin/pip").exists() {
        ask(Command::new(interpreter).args(["-m", "venv"]).arg(&dir)).map_err(|error| {
            failed("a virtual environment", format!("{error} (Debian: python3-venv)"))
        })?;
    }
    let mut pip = Command::new(dir.join("bin/pip"));
    ask(pip.args(["install", "--quiet", "twisted", "uvloop"]))
        .map_err(|error| failed("Twisted and uvloop", error))?;
    Ok(())
}

fn venv() -> PathBuf {
    target().join("venv")
}

fn interpreter() -> Result<(PathBuf, String), String> {
    let said = ask(Command::new("python3").args(["-c", ABOUT]))?;
    let (path, version) = said.rsplit_once(' ').ok_or_else(|| format!("python3 says {said:?}"))?;
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if (major, minor) < NEEDED {
        return Err(format!("Python {}.{} is needed, this is {version}", NEEDED.0, NEEDED.1));
    }
    Ok((path.into(), version.to_owned()))
}

impl Program for Script {
    fn serves(&self, service: &str) -> bool {
        // Not the others: that Python is slower there says nothing of its reactors.
        ["random", "echo", "bulk", "broadcast"].contains(&service)
    }

    fn arguments(&self, task: &Task, _: &Place) -> io::Result<Vec<OsString>> {
        // -B: writes no __pycache__ among the sources.
        let mut arguments = vec![self.interpreter.clone().into(), "-B".into()];
        arguments.push(package().join("python").join(self.name).into());
        arguments.extend(self.flags.iter().map(OsString::from));
        arguments.push(task.service.clone().into());
        Ok(arguments)
    }
}
