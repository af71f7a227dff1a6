//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::cli::Exit;
use crate::constraint::Kind;
use crate::frame;

pub(crate) const HELP: &str = "\
Finds out which server survives what: blocking, threads and the reactor under seven constraints.

Usage: experiment [OPTIONS]

Constraints (--only NAME, which may be repeated):
  calm              1,000 clients one after another
  stampede          --clients at once
  slow-source       100 at once, and the random bytes take --delay to come
  silent-client     100 must ask for their bytes; one before them says nothing
  stalled-reader    100 get --size MiB each; one before them does not read
  few-descriptors   500 stay for --stay each; the server may open --descriptors files
  dribble           200 send their question a byte each --gap, and one comes that is quick

Servers:
  blocking          the article's: accept, answer, close, in turn; listen(1)
  blocking-4096     the same with a backlog of 4096
  threads           one thread for each connection
  reactor           crocus
  python            the article's in Python, with --python

Options:
      --only NAME        this constraint only
      --clients N        how many clients the stampede has, and the others at most [10000]
      --delay MS         [20]
      --size MIB         [8]
      --stay MS          [200]
      --descriptors N    [64]
      --gap MS           [50]
      --patience S       how long a client waits [1 to 4, by the constraint]
      --python           the Python server too
      --seed N           the same random bytes in each run
      --json             print the figures as JSON, not as a table
      --out DIR          where experiment.svg and experiment.json go [target]
  -h, --help             this text

Ctrl-C ends it and shows what is known so far.

Examples:
  experiment                                 all of it, half a minute
  experiment --only stampede --clients 2000  a small stampede
  experiment --python --out /tmp             the article's own server too

Exit status: 0 done, 1 something failed, 2 bad usage, 130 broken off
Environment: RUST_LOG  what the servers log on standard error [nothing]
";

/// The article's number.
const CLIENTS: usize = 10_000;

/// More are not possible: each needs a port, and there are 65,536.
const CLIENTS_MAX: usize = 60_000;

/// The longest time that an option may set.
const MINUTES: f64 = 600.0;

/// The options of the user.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) only: Vec<Kind>,
    pub(crate) clients: usize,
    pub(crate) delay: Duration,
    /// In bytes.
    pub(crate) size: usize,
    pub(crate) stay: Duration,
    pub(crate) descriptors: u64,
    pub(crate) gap: Duration,
    pub(crate) patience: Option<Duration>,
    pub(crate) python: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) json: bool,
    pub(crate) out: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            clients: CLIENTS,
            delay: Duration::from_millis(20),
            size: 8 << 20,
            stay: Duration::from_millis(200),
            descriptors: 64,
            gap: Duration::from_millis(50),
            patience: None,
            python: false,
            seed: None,
            json: false,
            out: PathBuf::from("target"),
        }
    }
}

impl Options {
    pub(crate) fn from_args(args: &mut lexopt::Parser) -> Result<Self, Exit> {
        let mut options = Self::default();
        while let Some(arg) = args.next()? {
            match arg {
                Short('h') | Long("help") => return Err(Exit::Help(HELP)),
                Long("only") => options.only.push(args.value()?.parse_with(kind)?),
                Long("clients") => options.clients = args.value()?.parse_with(clients)?,
                Long("delay") => {
                    options.delay = args.value()?.parse_with(milliseconds("--delay"))?;
                }
                Long("size") => options.size = args.value()?.parse_with(mebibytes)?,
                Long("stay") => options.stay = args.value()?.parse_with(milliseconds("--stay"))?,
                Long("descriptors") => {
                    options.descriptors = args.value()?.parse_with(descriptors)?;
                }
                Long("gap") => options.gap = args.value()?.parse_with(milliseconds("--gap"))?,
                Long("patience") => options.patience = Some(args.value()?.parse_with(seconds)?),
                Long("python") => options.python = true,
                Long("seed") => options.seed = Some(args.value()?.parse_with(seed)?),
                Long("json") => options.json = true,
                Long("out") => options.out = args.value()?.into(),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    /// The constraints that are wanted, in their order.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| self.only.is_empty() || self.only.contains(kind))
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(", ");
        format!("--only takes one of {names}")
    })
}

fn clients(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=CLIENTS_MAX).contains(count));
    count.ok_or_else(|| format!("--clients takes a number from 1 to {CLIENTS_MAX}"))
}

/// A server with less than this cannot start: it needs some files for itself.
const DESCRIPTORS_MIN: u64 = 16;

fn descriptors(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|&count| count >= DESCRIPTORS_MIN);
    count.ok_or_else(|| format!("--descriptors takes a number from {DESCRIPTORS_MIN} up"))
}

fn seed(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "--seed takes a whole number, as in 7")
}

fn milliseconds(option: &str) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let value: Option<f64> = text.parse().ok().filter(|ms| (0.0..=MINUTES * 1e3).contains(ms));
        let value = value.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        value.ok_or_else(|| format!("{option} takes milliseconds, as in 20"))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: Option<f64> = text.parse().ok().filter(|s| *s > 0.0 && *s <= MINUTES);
    let value = value.and_then(|s| Duration::try_from_secs_f64(s).ok());
    value.ok_or_else(|| "--patience takes seconds, as in 10 or 0.5".to_owned())
}

/// The longest long answer, in MiB.
const SIZE_MAX: f64 = 1024.0;

fn mebibytes(text: &str) -> Result<usize, String> {
    let value: Option<f64> = text.parse().ok().filter(|size| *size > 0.0 && *size <= SIZE_MAX);
    let bytes = value.map(|size| (size * f64::from(1 << 20)) as usize);
    bytes.map(|bytes| bytes.max(frame::LEN)).ok_or_else(|| "--size takes MiB, as in 8".to_owned())
}
