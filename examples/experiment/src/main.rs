//! The experiment: which server copes with which load. It takes half a minute, and draws a picture.
//!
//! ```text
//! cargo run --release -p experiment
//! cargo run --release -p experiment -- --only stampede --clients 2000
//! ```
//!
//! For each of seven constraints and each of four servers it starts the server as a process of its
//! own, has the same clients ask it, and counts their outcomes. The servers are in `server/`,
//! the constraints in `constraint.rs`; the clients, in `client.rs`, are protocols on one reactor.

mod answer;
mod child;
mod client;
mod constraint;
mod figures;
#[path = "../../shared/first_line.rs"]
mod first_line;
mod json;
mod options;
mod picture;
mod report;
mod server;
#[path = "../../shared/mod.rs"]
mod shared;
mod trial;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::time::Duration;

use charts::number::grouped;
use crocus::Reactor;
use indicatif::{ProgressBar, ProgressStyle};
use shared::cli::{self, Exit};
use shared::frame;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use constraint::{Constraint, Kind};
use figures::Chapter;
use options::Options;
use server::Model;
use trial::Laboratory;

/// Files of this process that are not connections: the standard streams, the poller, the pipes to a
/// server, and the nuisance.
const OTHER_FILES: u64 = 32;

fn main() -> ExitCode {
    cli::run("experiment", || {
        let mut args = lexopt::Parser::from_env();
        match args.clone().value() {
            Ok(role) if role == "serve" => {
                args.value()?;
                server::serve(&mut args)
            }
            _ => experiment(Options::from_args(&mut args)?),
        }
    })
}

fn experiment(mut options: Options) -> Result<(), Exit> {
    let models = models(&options)?;
    let files = make_room(&mut options)?;
    let constraints: Vec<_> = options.kinds().map(|kind| Constraint::new(kind, &options)).collect();
    let usual: Duration = options.kinds().map(Kind::usual).sum();
    cli::say(&format!(
        "Constraints: {}; servers: {}; time: about {}. At most {} files may be open.",
        constraints.len(),
        models.len(),
        about(usual),
        grouped(files),
    ));
    let mut laboratory = Laboratory {
        reactor: cli::reactor()?,
        interrupted: Rc::new(Cell::new(false)),
        seed: options.seed,
    };
    heed_signals(&mut laboratory)?;
    let mut chapters = Vec::new();
    for constraint in constraints {
        if !laboratory.interrupted.get() {
            chapters.push(chapter(&mut laboratory, constraint, &models)?);
        }
    }
    publish(&chapters, &options, files)?;
    if laboratory.interrupted.get() {
        process::exit(cli::INTERRUPTED);
    }
    Ok(())
}

/// The servers to try.
fn models(options: &Options) -> Result<Vec<Model>, Exit> {
    if options.python {
        let found = process::Command::new("python3").arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            let hint = "install it, or leave --python out";
            return Err(Exit::Failed(format!("there is no python3; {hint}")));
        }
    }
    let wanted = |model: &Model| *model != Model::Python || options.python;
    Ok(Model::ALL.into_iter().filter(wanted).collect())
}

/// Gets the descriptors for the clients, or has fewer clients. Returns the limit.
fn make_room(options: &mut Options) -> Result<u64, Exit> {
    let wanted = options.clients as u64 + OTHER_FILES;
    let files = rlimit::increase_nofile_limit(wanted)?;
    scale_down(options, files.saturating_sub(OTHER_FILES), "may have open files for");
    // Each connection to one address needs a port of its own.
    if let Some(ports) = local_ports() {
        scale_down(options, ports, "has local ports for");
    }
    Ok(files)
}

fn scale_down(options: &mut Options, room: u64, what: &str) {
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    if room < options.clients {
        cli::say(&format!(
            "this process {what} {} clients only, not {}",
            grouped(room),
            grouped(options.clients)
        ));
        options.clients = room;
    }
}

/// How many ports Linux gives to clients; see ip(7).
fn local_ports() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    last.checked_sub(first)
}

/// A time that is only approximate.
fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..80 => format!("{} s", seconds.max(1)),
        seconds => format!("{:.1} minutes", seconds as f64 / 60.0),
    }
}

/// The first signal ends the experiment in order, a second one at once. The servers end in any
/// case, since their standard input ends.
fn heed_signals(laboratory: &mut Laboratory) -> Result<(), Exit> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let interrupted = Rc::clone(&laboratory.interrupted);
        laboratory.reactor.on_signal(signal, move |_: &mut Reactor| {
            if interrupted.replace(true) {
                process::exit(cli::INTERRUPTED);
            }
        })?;
    }
    Ok(())
}

/// Tries each server under one constraint.
fn chapter(
    laboratory: &mut Laboratory,
    constraint: Constraint,
    models: &[Model],
) -> Result<Chapter, Exit> {
    let steps = (constraint.asked() * models.len()) as u64;
    let progress = ProgressBar::new(steps).with_style(style()).with_prefix(constraint.name());
    let mut trials = Vec::new();
    for &model in models {
        if laboratory.interrupted.get() {
            break;
        }
        progress.set_message(model.name());
        trials.push(laboratory.run(model, &constraint, &progress)?);
    }
    progress.set_message("");
    progress.abandon(); // leaves the line as it is
    Ok(Chapter { constraint, trials })
}

/// A line of progress; indicatif draws none where there is no terminal.
fn style() -> ProgressStyle {
    let line = "{prefix:16} {bar:40} {human_pos}/{human_len} {msg}";
    ProgressStyle::with_template(line).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Prints the table, or the JSON, and writes the files.
fn publish(chapters: &[Chapter], options: &Options, files: u64) -> Result<(), Exit> {
    let document = json::document(chapters, options, files);
    if options.json {
        cli::print(&format!("{document:#}\n"))?;
    } else {
        for chapter in chapters {
            cli::print(&report::chapter(chapter))?;
        }
    }
    let cannot = |path: &Path, error| {
        Exit::Failed(format!("cannot write {}: {error}; try --out DIR", path.display()))
    };
    fs::create_dir_all(&options.out).map_err(|error| cannot(&options.out, error))?;
    let mut paths = Vec::new();
    for (name, content) in
        [("experiment.svg", picture::draw(chapters)), ("experiment.json", document.to_string())]
    {
        let path = options.out.join(name);
        fs::write(&path, content).map_err(|error| cannot(&path, error))?;
        paths.push(path.display().to_string());
    }
    if options.json {
        // Standard output is for the figures.
        paths.iter().for_each(|path| cli::say(path));
        return Ok(());
    }
    cli::print(&format!("\n{}\n", paths.join("\n"))).map(drop)
}
