//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use lexopt::prelude::*;

pub const HELP: &str = "\
Measures crocus beside what a user would pick instead, and beside the limit.

Usage: cargo run --release -- [OPTIONS]
       cargo run --release -- report FILE     tables and picture again from a bench.json

  --only TEXT,..     workloads whose name contains one of these (default: all)
  --servers NAME,..  these and the limit (default: all that are there)
  --rounds N         rounds that count (default 9)
  --seconds S        how long a closed loop lasts (default 0.4)
  --python           first make a virtual environment with uvloop and Twisted
  --no-counts        without strace and callgrind
  --smoke            one short round of each workload, small, without Python: is every byte right?
  --out FOLDER       for bench.json, bench.md and bench.svg (default target/compare, or target/smoke)

Servers run on core 0 and clients on core 1; nothing else should run meanwhile. All of it takes most
of an hour.";

/// The part that the program is to play.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    Help,
    Compare(Options),
    Report { file: PathBuf },
    Serve { server: String, service: String, count: u64, root: Option<PathBuf> },
    Load { load: String, server: SocketAddr },
}

/// How to compare.
#[derive(Clone, Debug, PartialEq)]
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

/// How long a loop lasts in a smoke test: every client gets some answers.
const SMOKE_SECONDS: f64 = 0.01;

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
/// If they make no sense; the error is for the user.
pub fn parse() -> Result<Role, lexopt::Error> {
    read(lexopt::Parser::from_env())
}

fn read(mut args: lexopt::Parser) -> Result<Role, lexopt::Error> {
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
            Long("smoke") => options.be_quick(),
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

impl Options {
    /// Later options may still override it.
    fn be_quick(&mut self) {
        (self.smoke, self.counts) = (true, false);
        (self.rounds, self.seconds) = (1, SMOKE_SECONDS);
        self.out = "target/smoke".into();
    }
}

fn named(name: &str, args: &mut lexopt::Parser) -> Result<Role, lexopt::Error> {
    Ok(match name {
        "report" => Role::Report { file: args.value()?.into() },
        "load" => Role::Load { load: args.value()?.string()?, server: args.value()?.parse()? },
        "serve" => {
            let (server, service) = (args.value()?.string()?, args.value()?.string()?);
            let count = args.optional_value().or_else(|| args.value().ok());
            let count = count.map_or(Ok(0), |count| count.parse())?;
            let root = args.value().ok().map(PathBuf::from);
            Role::Serve { server, service, count, root }
        }
        _ => return Err(format!("there is no {name}").into()),
    })
}

fn list(value: std::ffi::OsString) -> Result<Vec<String>, lexopt::Error> {
    Ok(value.string()?.split(',').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Role, String> {
        read(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
    }

    fn options(args: &[&str]) -> Options {
        match parse(args) {
            Ok(Role::Compare(options)) => options,
            other => panic!("{args:?} are {other:?}"),
        }
    }

    #[test]
    fn without_a_word_everything_is_compared() {
        assert_eq!(options(&[]), Options::default());
    }

    #[test]
    fn options_say_what_and_how() {
        let args = ["--only", "echo,bulk", "--servers=mio", "--rounds", "3", "--seconds", "0.1"];
        let options = options(&[&args[..], &["--python", "--no-counts", "--out", "x"]].concat());
        assert_eq!((options.only, options.servers), (words(&["echo", "bulk"]), words(&["mio"])));
        assert_eq!((options.rounds, options.seconds), (3, 0.1));
        assert!(options.python && !options.counts && !options.smoke);
        assert_eq!(options.out, PathBuf::from("x"));
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_smoke_test_is_quick_and_leaves_the_reports_of_others_alone() {
        let quick = options(&["--smoke"]);
        assert!(quick.smoke && !quick.counts && quick.rounds == 1 && quick.seconds < 0.1);
        assert_ne!(quick.out, Options::default().out);
        assert_eq!(options(&["--smoke", "--seconds", "1"]).seconds, 1.0);
    }

    #[test]
    fn roles_are_read_with_what_they_need() {
        assert_eq!(parse(&["--rounds", "1", "--help"]), Ok(Role::Help));
        assert_eq!(parse(&["report", "a.json"]), Ok(Role::Report { file: "a.json".into() }));
        let serve = |count| {
            let (server, service) = ("mio".into(), "calls".into());
            Role::Serve { server, service, count, root: None }
        };
        assert_eq!(parse(&["serve", "mio", "calls", "1000"]), Ok(serve(1000)));
        assert_eq!(parse(&["serve", "mio", "calls"]), Ok(serve(0)));
        let secured = Role::Serve {
            server: "tokio".into(),
            service: "tls-echo".into(),
            count: 0,
            root: Some("a folder".into()),
        };
        assert_eq!(parse(&["serve", "tokio", "tls-echo", "0", "a folder"]), Ok(secured));
        let server = SocketAddr::from(([127, 0, 0, 1], 80));
        let load = "\"Download\"".to_owned();
        assert_eq!(parse(&["load", &load, "127.0.0.1:80"]), Ok(Role::Load { load, server }));
    }

    #[test]
    fn bad_usage_is_refused() {
        for args in [
            &["--rounds", "0"][..],
            &["--rounds", "many"],
            &["--seconds", "NaN"],
            &["--seconds", "61"],
            &["--fast"],
            &["servers"],
            &["peers"],
            &["serve", "mio"],
            &["report"],
            &["load", "x", "localhost"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
