//! nginx: `random` by its stream module, with TLS too, and files by HTTP.
//!
//! One process, and Debian's configuration, except for settings that would end or disturb a
//! measurement: keep-alive without a limit of requests, and no access log. `multi_accept`
//! stays off, as it is by default: on, it costs more, here too. There is no variable with random
//! bytes for streams, so its 16 random bytes are always the same.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::ask;
use super::{Found, Place, Program, Task};
use crate::certificates::{CERTIFICATE, KEY};
use crate::service::BACKLOG;

/// Users other than root do not have /usr/sbin in their PATH in Debian.
const PLACES: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

const RANDOM: &str =
    r"You requested some random bytes:\n\n0123456789abcdef  \n\nYou want fries with that?\n\n";

struct Nginx {
    program: &'static str,
    stream: Stream,
    sendfile: bool,
}

/// Its support for services that are not HTTP.
enum Stream {
    None,
    BuiltIn,
    Module(PathBuf),
}

/// Finds nginx, to be run with or without sendfile(2).
pub(super) fn find(sendfile: bool) -> Result<Found, String> {
    let mut reason = String::new();
    for program in PLACES {
        match ask(Command::new(program).arg("-V")) {
            Ok(said) => return Ok(found(program, &said, sendfile)),
            Err(error) => reason = error,
        }
    }
    Err(if reason.starts_with("not installed") { "not installed: nginx".into() } else { reason })
}

fn found(program: &'static str, said: &str, sendfile: bool) -> Found {
    let version = said.lines().next().and_then(|line| line.split_once('/')).map_or("", |it| it.1);
    let stream = Stream::find(said);
    let how = if sendfile { "" } else { "sendfile off, " };
    Found {
        version: format!("nginx {version}, {how}C"),
        program: Box::new(Nginx { program, stream, sendfile }),
    }
}

impl Stream {
    /// Reads it from the build options that nginx prints.
    fn find(said: &str) -> Self {
        let mut words = said.split_whitespace();
        if words.clone().any(|word| word == "--with-stream") {
            return Self::BuiltIn;
        }
        let dir = words.find_map(|word| word.strip_prefix("--modules-path="));
        let module = dir.map(|dir| Path::new(dir).join("ngx_stream_module.so"));
        module.filter(|module| module.exists()).map_or(Self::None, Self::Module)
    }
}

impl Program for Nginx {
    fn serves(&self, service: &str) -> bool {
        service == "http" || ["random", "tls-random"].contains(&service) && self.sendfile
    }

    fn picks_its_port(&self) -> bool {
        false
    }

    fn arguments(&self, task: &Task, place: &Place) -> io::Result<Vec<OsString>> {
        let config = match task.service.as_str() {
            "http" => self.http(task, place)?,
            "tls-random" => self.stream(place, &over_tls(task)?)?,
            _ => self.stream(place, "")?,
        };
        let path = place.dir.join("nginx.conf");
        fs::write(&path, config)
            .map_err(|error| io::Error::other(format!("write {}: {error}", path.display())))?;
        Ok(vec![self.program.into(), "-p".into(), place.dir.into(), "-c".into(), path.into()])
    }
}

impl Nginx {
    fn stream(&self, place: &Place, tls: &str) -> io::Result<String> {
        let load = match &self.stream {
            Stream::Module(path) => format!("load_module {};\n", quoted(path)?),
            Stream::BuiltIn => String::new(),
            Stream::None => return Err(io::Error::other("not installed: libnginx-mod-stream")),
        };
        let addr = place.addr;
        let ssl = if tls.is_empty() { "" } else { " ssl" };
        Ok(format!(
            r#"{load}{}
stream {{
    server {{
        listen {addr}{ssl} backlog={BACKLOG};{tls}
        return "{RANDOM}";
    }}
}}
"#,
            common(place)?
        ))
    }

    fn http(&self, task: &Task, place: &Place) -> io::Result<String> {
        let root = task.root.as_deref().ok_or_else(|| io::Error::other("no directory is given"))?;
        let root = fs::canonicalize(root)
            .map_err(|error| io::Error::other(format!("{}: {error}", root.display())))?;
        let (root, addr) = (quoted(&root)?, place.addr);
        let sendfile = if self.sendfile { "on" } else { "off" };
        Ok(format!(
            r#"{}
http {{
    access_log off;
    sendfile {sendfile};
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {addr} backlog={BACKLOG};
        root {root};
    }}
}}
"#,
            common(place)?
        ))
    }
}

/// Tickets instead of a cache, as the Rust servers have them.
fn over_tls(task: &Task) -> io::Result<String> {
    let folder = task.root.as_deref().ok_or_else(|| io::Error::other("no directory is given"))?;
    let (certificate, key) = (quoted(&folder.join(CERTIFICATE))?, quoted(&folder.join(KEY))?);
    Ok(format!(
        "
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_session_cache off;
        ssl_session_tickets on;"
    ))
}

/// One process that does not go into the background, and writes to its own directory only.
fn common(place: &Place) -> io::Result<String> {
    Ok(format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {};
error_log stderr warn;
events {{
    worker_connections 20000;
}}",
        quoted(&place.dir.join("nginx.pid"))?
    ))
}

/// A path as a word of the configuration, which has no way to say a dollar sign.
fn quoted(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(['"', '\\', '$']) => Ok(format!("\"{text}\"")),
        _ => Err(io::Error::other(format!("nginx takes no such path: {}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_dollar_sign_is_refused() {
        assert_eq!(quoted(Path::new("/a dir/x")).unwrap(), "\"/a dir/x\"");
        assert!(quoted(Path::new("/$x")).is_err());
        assert!(quoted(Path::new("/x\"; daemon on; \"")).is_err());
    }

    #[test]
    fn the_stream_module_is_found_by_how_nginx_was_built() {
        let built = |words: &str| Stream::find(&format!("configure arguments: {words}"));
        assert!(matches!(built("--with-stream --with-debug"), Stream::BuiltIn));
        assert!(matches!(built("--with-stream_ssl_module"), Stream::None));
        let nowhere = "--modules-path=/nowhere --with-stream=dynamic";
        assert!(matches!(built(nowhere), Stream::None));
    }
}
