//! How a server restarts without a loss: seven ways to do it, under load, and the number of requests that each loses.
//!
//! ```text
//! cargo run --release -p restart
//! cargo run --release -p restart -- --only handed --seconds 10 --restarts 20
//! ```
//!
//! For each way it starts `activated_server` in processes of its own, HAProxy too where it takes part, sends 1,000
//! requests a second, restarts the servers again and again, and counts the answers. HAProxy's configuration is the
//! one of `docs/production.md`, word for word but for its addresses. Read the modules in this order: `way` knows
//! the seven ways; `load` asks and counts; `process` and `proxy` start what runs; `wrk` is another client.

#[path = "../../shared/first_line.rs"]
mod first_line;
mod load;
mod process;
mod proxy;
#[path = "../../shared/mod.rs"]
mod shared;
mod tally;
mod way;
mod wrk;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lexopt::prelude::*;
use load::Plan;
use shared::cli::{self, Exit};
use tally::Tally;
use way::{Site, Way};

const HELP: &str = "\
Restarts servers under load in several ways, and counts the requests that each way loses.

Usage: restart [--only WAY]... [--rate N] [--seconds S] [--restarts N] [--keep-alive]
               [--away S] [--stop-delay S] [--wrk]

Options:
      --only WAY      one of the ways below; several times for several [all of them]
      --rate N        requests a second [1000]
      --seconds S     how long each way is under load, at least [30]
      --restarts N    how often the servers are restarted meanwhile [10]
      --keep-alive    ask on connections that stay open [each request on a connection of its own]
      --away S        how long it takes from the end of a server to the start of its successor, where
                      that one starts after it [0]
      --stop-delay S  how long servers go on that were told to stop [0, and 2 for proxy-told]
      --wrk           ask with the program wrk instead, on 100 connections that stay open
  -h, --help          this text

Ways:
  alone        the server stops, then its successor starts
  kept         the same, but the socket stays open in the parent, as with a socket unit of systemd
  handed       the parent keeps the socket, and the successor starts before the server stops
  shared       the successor starts first, at the same port by SO_REUSEPORT
  proxy-plain  two servers behind HAProxy, which checks them and has no other options
  proxy        two servers behind HAProxy as docs/production.md configures it
  proxy-told   the same without retries: the servers say by their health check that they will stop

Exit status: 0 done, 1 something could not be started, 2 bad usage
";

/// The options.
#[derive(Clone, Debug)]
struct Options {
    ways: Vec<Way>,
    rate: u32,
    seconds: u32,
    restarts: u32,
    keep_alive: bool,
    stop_delay: Option<Duration>,
    away: u32,
    wrk: bool,
}

fn main() -> ExitCode {
    if process::is_server() {
        return activated_server::main();
    }
    cli::run("restart", || experiment(&Options::from_args()?))
}

fn experiment(options: &Options) -> Result<(), Exit> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    cli::print(&Tally::heading())?;
    for &way in &options.ways {
        let tally = trial(way, options)?;
        cli::print(&tally.row(way.name()))?;
    }
    Ok(())
}

/// Sets the servers up, and restarts them while they are under load.
fn trial(way: Way, options: &Options) -> Result<Tally, Exit> {
    let away = Duration::from_secs(options.away.into());
    let site = Site::set_up(way, options.stop_delay, away)?;
    let plan = Plan {
        server: site.addr,
        rate: options.rate,
        seconds: options.seconds,
        keep_alive: options.keep_alive,
    };
    let restarter = Restarter::start(site, options);
    let tally = match options.wrk {
        true => wrk::run(&plan),
        false => load::run(plan, &restarter.over),
    };
    restarter.ended.store(true, Ordering::Release);
    let (restarts, site) = restarter.join()?;
    drop(site); // with its processes
    Ok(Tally { restarts, ..tally? })
}

/// Restarts servers beside the load, in a thread of its own.
struct Restarter {
    thread: JoinHandle<Result<(u32, Site), Exit>>,
    /// Whether all restarts are over.
    over: Arc<AtomicBool>,
    /// Whether the load has ended.
    ended: Arc<AtomicBool>,
}

impl Restarter {
    fn start(mut site: Site, options: &Options) -> Self {
        let restarts = options.restarts;
        let pause = Duration::from_secs(options.seconds.into()) / (restarts + 1);
        let (over, ended) = (Arc::default(), Arc::default());
        let (tell, load_ended): (Arc<AtomicBool>, Arc<AtomicBool>) =
            (Arc::clone(&over), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let mut done = Ok(0);
            for _ in 0..restarts {
                thread::sleep(pause);
                if done.is_err() || load_ended.load(Ordering::Acquire) {
                    break;
                }
                done = done.and_then(|count| site.restart().map(|()| count + 1));
            }
            thread::sleep(pause); // the last ones have work too
            tell.store(true, Ordering::Release);
            done.map(|count| (count, site))
        });
        Self { thread, over, ended }
    }

    fn join(self) -> Result<(u32, Site), Exit> {
        let panicked = |_| Err(Exit::Failed("the restarts panicked".to_owned()));
        self.thread.join().unwrap_or_else(panicked)
    }
}

impl Options {
    fn from_args() -> Result<Self, Exit> {
        let mut options = Self {
            ways: Vec::new(),
            rate: 1000,
            seconds: 30,
            restarts: 10,
            keep_alive: false,
            stop_delay: None,
            away: 0,
            wrk: false,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Short('h') | Long("help") => return Err(Exit::Help(HELP)),
                Long("only") => options.ways.push(args.value()?.parse_with(Way::named)?),
                Long("rate") => options.rate = args.value()?.parse_with(count("--rate", 1))?,
                Long("seconds") => {
                    options.seconds = args.value()?.parse_with(count("--seconds", 1))?;
                }
                Long("restarts") => {
                    options.restarts = args.value()?.parse_with(count("--restarts", 1))?;
                }
                Long("away") => options.away = args.value()?.parse_with(count("--away", 0))?,
                Long("stop-delay") => options.stop_delay = Some(args.value()?.parse_with(delay)?),
                Long("keep-alive") => options.keep_alive = true,
                Long("wrk") => options.wrk = true,
                other => return Err(other.unexpected().into()),
            }
        }
        if options.ways.is_empty() {
            options.ways = Way::ALL.to_vec();
        }
        Ok(options)
    }
}

/// Reads a number. One above the limit is probably a typing error.
fn count(option: &str, least: u32) -> impl Fn(&str) -> Result<u32, String> {
    const MOST: u32 = 100_000;
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=MOST).contains(number));
        number.ok_or_else(|| format!("{option} takes a number from {least} to {MOST}"))
    }
}

/// Reads a time in seconds. The servers say which ones they take.
fn delay(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|time| Duration::try_from_secs_f64(time).ok());
    seconds.ok_or("--stop-delay takes seconds, as in 2 or 0.5")
}
