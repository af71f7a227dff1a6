//! The Rust servers: this program, called to serve; and crocus's examples, which cargo builds.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use super::tools::package;
use super::{Found, Place, Program, SERVICES, Task};
use crate::figures::TWO;
use crate::server::{LOOP_SERVERS, SERVERS, TLS_SERVERS};
use crate::service::{BACKLOG, ON_CORES, OVER_TLS};

/// crocus's programs by the service they have: packages of its workspace.
const EXAMPLES: [(&str, &str); 2] = [("http", "http_server"), ("resp", "resp_server")];

struct Own {
    name: &'static str,
}

struct Crocus {
    /// By name; or why there are none.
    examples: Result<HashMap<String, PathBuf>, String>,
}

/// Finds a server of this program; crocus's examples are built for a release, or as for tests.
pub(super) fn find(name: &'static str, tests: bool) -> Result<Found, String> {
    let program: Box<dyn Program> = match name {
        "crocus" => Box::new(Crocus { examples: build_examples(tests) }),
        _ => Box::new(Own { name }),
    };
    Ok(Found { version: version(name), program })
}

/// As cargo resolved it; one that is no package, as the limit, is only Rust.
fn version(name: &str) -> String {
    let lock = fs::read_to_string(package().join("Cargo.lock")).unwrap_or_default();
    let package = name.strip_suffix(TWO).unwrap_or(name);
    let start = format!("name = \"{package}\"\nversion = \"");
    let found = lock.split_once(&start).and_then(|(_, rest)| rest.split_once('"'));
    found.map_or_else(|| "Rust".to_owned(), |(version, _)| format!("{package} {version}, Rust"))
}

/// Has cargo build them, and say where they are, wherever its target directory is.
fn build_examples(tests: bool) -> Result<HashMap<String, PathBuf>, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    command.args(if tests { &[][..] } else { &["--release"] });
    command.args(EXAMPLES.iter().flat_map(|(_, name)| ["-p", name]));
    command.arg("--manifest-path").arg(package().join("../../Cargo.toml"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().filter_map(executable).collect())
}

/// Name and path of an executable that cargo tells of in a line.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}

/// `serve NAME SERVICE COUNT` of this program; over TLS with the folder of the certificate.
fn serve(name: &str, task: &Task) -> io::Result<Vec<OsString>> {
    let words = ["serve", name, &task.service, &task.count.to_string()].map(OsString::from);
    let root = task.root.clone().filter(|_| task.service.starts_with(OVER_TLS));
    let root = root.map(OsString::from);
    Ok([env::current_exe()?.into()].into_iter().chain(words).chain(root).collect())
}

/// Whether a server of this program has a service of the contract, as far as is known before it starts.
fn has(name: &str, service: &str) -> bool {
    if service.starts_with(OVER_TLS) {
        return TLS_SERVERS.iter().any(|(known, _)| *known == name);
    }
    if service.starts_with(ON_CORES) {
        return LOOP_SERVERS.iter().any(|(known, _)| *known == name);
    }
    SERVICES.contains(&service) && SERVERS.iter().any(|(known, _)| *known == name)
}

impl Program for Own {
    fn serves(&self, service: &str) -> bool {
        has(self.name, service)
    }

    fn arguments(&self, task: &Task, _: &Place) -> io::Result<Vec<OsString>> {
        serve(self.name, task)
    }
}

impl Program for Crocus {
    fn serves(&self, service: &str) -> bool {
        has("crocus", service) || EXAMPLES.iter().any(|(known, _)| *known == service)
    }

    fn arguments(&self, task: &Task, _: &Place) -> io::Result<Vec<OsString>> {
        let Some((_, name)) = EXAMPLES.iter().find(|(service, _)| *service == task.service) else {
            return serve("crocus", task);
        };
        let examples =
            self.examples.as_ref().map_err(|reason| io::Error::other(reason.as_str()))?;
        let path = examples.get(*name).ok_or_else(|| {
            io::Error::other(format!("cargo built {name}, but does not say where it is"))
        })?;
        let mut arguments = listening(path);
        if let (Some(root), "http") = (&task.root, task.service.as_str()) {
            arguments.extend(["--root".into(), root.into()]);
        }
        Ok(arguments)
    }
}

fn listening(program: &Path) -> Vec<OsString> {
    let backlog = BACKLOG.to_string();
    let options = ["--listen", "127.0.0.1:0", "--backlog", &backlog].map(OsString::from);
    [program.into()].into_iter().chain(options).collect()
}
