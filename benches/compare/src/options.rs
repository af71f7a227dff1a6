//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::*;

pub const HELP: &str = "\
Measures crocus beside what a user would pick instead, and beside the limit.

Usage: cargo run --release -- [OPTIONS]
       cargo run --release -- peers           who is there; starts each for each of its services
       cargo run --release -- report FILE     tables and picture again from a bench.json

  --only TEXT,..     workloads whose name contains one of these (default: all)
  --servers NAME,..  these and the limit (default: all that are there)
  --rounds N         rounds that count (default 9)
  --seconds S        how long a closed loop lasts (default 0.4)
  --python           first make a virtual environment with uvloop and Twisted
  --no-counts        without strace and callgrind
  --smoke            one short round of each workload, small, at the Rust servers: is every byte right?
  --out FOLDER       for bench.json, bench.md and bench.svg (default target/compare)

Servers run on core 0 and clients on core 1; nothing else should run meanwhile. All of it takes most
of an hour.";

/// What the program is to be.
pub enum Role {
    Help,
    Compare(Options),
    List,
    Report { file: PathBuf },
    Serve { server: String, service: String, count: u64 },
    Load { load: String, server: SocketAddr },
}

/// How to compare.
pub struct Options {
    pub only: Vec<String>,
    pub servers: Vec<String>,
    pub rounds: usize,
    pub seconds: f64,
    pub python: bool,
    pub counts: bool,
    pub smoke: bool,
    pub out: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            servers: Vec::new(),
            rounds: 9,
            seconds: 0.4,
            python: false,
            counts: true,
            smoke: false,
            out: PathBuf::from("target/compare"),
        }
    }
}

/// Reads the program's arguments.
///
/// # Errors
///
/// What is wrong with them, for the user.
pub fn parse() -> Result<Role, lexopt::Error> {
    let mut args = lexopt::Parser::from_env();
    let mut options = Options::default();
    let mut role = None;
    while let Some(arg) = args.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(Role::Help),
            Long("only") => options.only = list(args.value()?)?,
            Long("servers") => options.servers = list(args.value()?)?,
            Long("rounds") => options.rounds = args.value()?.parse()?,
            Long("seconds") => options.seconds = args.value()?.parse()?,
            Long("python") => options.python = true,
            Long("no-counts") => options.counts = false,
            Long("smoke") => options.smoke = true,
            Long("out") => options.out = args.value()?.into(),
            Value(name) if role.is_none() => role = Some(named(&name.string()?, &mut args)?),
            _ => return Err(arg.unexpected()),
        }
    }
    if options.rounds == 0 || !(0.001..=60.0).contains(&options.seconds) {
        return Err("--rounds takes 1 or more, --seconds 0.001 to 60".into());
    }
    Ok(role.unwrap_or(Role::Compare(options)))
}

fn named(name: &str, args: &mut lexopt::Parser) -> Result<Role, lexopt::Error> {
    Ok(match name {
        "peers" => Role::List,
        "report" => Role::Report { file: args.value()?.into() },
        "load" => Role::Load { load: args.value()?.string()?, server: args.value()?.parse()? },
        "serve" => {
            let (server, service) = (args.value()?.string()?, args.value()?.string()?);
            let count = args.optional_value().or_else(|| args.value().ok());
            let count = count.map_or(Ok(0), |count| count.parse())?;
            Role::Serve { server, service, count }
        }
        _ => return Err(format!("there is no {name}").into()),
    })
}

fn list(value: std::ffi::OsString) -> Result<Vec<String>, lexopt::Error> {
    Ok(value.string()?.split(',').map(str::to_owned).collect())
}
