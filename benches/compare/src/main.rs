//! Compares crocus with the alternatives, over the same workloads.
//!
//! One program in several roles: it drives the comparison; called as `crocus-compare serve SERVER
//! SERVICE` it is any one of the Rust servers; as `crocus-compare load LOAD ADDRESS` it is their
//! clients. The services are in [`service`], the tasks in [`workloads`], the measuring in [`rounds`] and
//! [`counting`], and the results in [`figures`].

mod certificates;
mod counting;
mod figures;
mod load;
mod machine;
mod options;
mod peers;
mod redis_load;
mod report;
mod rounds;
mod run;
mod server;
mod service;
mod session;
mod sys;
mod workloads;

use std::io;
use std::process::ExitCode;

use options::Role;

fn main() -> ExitCode {
    sys::raise_file_limit();
    let role = match options::parse() {
        Ok(role) => role,
        Err(error) => {
            eprintln!("crocus-compare: {error}\ntry --help");
            return ExitCode::from(2);
        }
    };
    match play(role) {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("crocus-compare: {error}");
            let unsupported = error.kind() == io::ErrorKind::Unsupported;
            ExitCode::from(if unsupported { service::NO_SUCH_SERVICE as u8 } else { 1 })
        }
    }
}

/// Whether all went well.
fn play(role: Role) -> io::Result<bool> {
    match role {
        Role::Help => println!("{}", options::HELP),
        Role::Compare(options) => return run::compare(&options),
        Role::Report { file } => report::from_json(&file)?,
        Role::Serve { server, service, count, root } => {
            server::serve(&server, &service, count, root.as_deref())?;
        }
        Role::Load { load, server } => load::serve(&serde_json::from_str(&load)?, server)?,
    }
    Ok(true)
}
