//! How to work without blocking: a timer, a long calculation in slices, and a disk read by a thread.
//!
//! ```text
//! cargo run --release --example periodic
//! nc 127.0.0.1 5000                      # beside it: the echo answers at once, during all jobs
//! ```
//!
//! All of it runs beside a server that echoes. The loop serves no connection while a callback runs. So a
//! timer calls later (`call_every`) and no callback sleeps; a long calculation runs in slices (`call_soon`),
//! and the loop serves connections between two slices; a thread does work that may wait for a disk
//! (`call_in_thread`).

mod shared;

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::{Protocol, Reactor, Reason, Transport};
use lexopt::ValueExt;
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
Echoes, prints a line each second, and meanwhile counts primes and the files of a folder.

Usage: periodic [--listen HOST:PORT] [--backlog N] [--primes N] [--folder PATH] [--trace FILE]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --primes N          count the primes below N [10000000]
      --folder PATH       count the files in there, and in the folders within [.]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

const SECOND: Duration = Duration::from_secs(1);

/// The time of a slice of work: a connection may have to wait this long.
const SLICE: Duration = Duration::from_millis(2);

/// Numbers looked at between two looks at the clock. Some microseconds for the largest.
const BATCH: u64 = 64;

/// Lines that may wait to be printed.
const UNPRINTED: usize = 4;

fn main() -> ExitCode {
    cli::run("periodic", serve)
}

fn serve() -> Result<(), Exit> {
    let (mut primes, mut folder) = (10_000_000, ".".to_owned());
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        match name {
            "primes" => primes = args.value()?.parse_with(number)?,
            "folder" => folder = args.value()?.into_string().map_err(lexopt::Error::from)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let mut reactor = cli::reactor()?;
    let status = Rc::new(Status::default());
    tell_each_second(&mut reactor, Rc::clone(&status));
    let counting = Primes { below: primes, next: 0, found: 0, status: Rc::clone(&status) };
    reactor.call_soon(|reactor| counting.count_on(reactor)); // once the address is printed
    count_files(&mut reactor, folder);
    cli::serve_on(reactor, options.place(), move |_peer| Echo(Rc::clone(&status)))
}

fn number(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "--primes takes a number, as in 10000000")
}

/// The figures in the line of each second.
#[derive(Debug, Default)]
struct Status {
    connections: Cell<usize>,
    bytes: Cell<usize>,
    /// How many numbers were examined for primes.
    looked_at: Cell<u64>,
}

struct Echo(Rc<Status>);

impl Protocol for Echo {
    fn connection_made(&mut self, _transport: &mut Transport<'_>) {
        self.0.connections.set(self.0.connections.get() + 1);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.0.bytes.set(self.0.bytes.get() + data.len());
        transport.write(data);
    }

    fn connection_lost(&mut self, _transport: &mut Transport<'_>, _reason: &Reason) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

/// A timer in place of `loop { …; sleep }`. Its ticks do not drift, even if others run long.
fn tell_each_second(reactor: &mut Reactor, status: Rc<Status>) {
    let mut seconds = 0;
    reactor.call_every(SECOND, move |reactor, tick| {
        seconds += 1 + tick.missed;
        let Status { connections, bytes, looked_at } = &*status;
        tell(
            reactor,
            format!(
                "second {seconds}: {} connections, {} bytes echoed, {} numbers looked at\n",
                connections.get(),
                bytes.get(),
                looked_at.get()
            ),
        );
    });
}

/// Counts primes, a slice at a time.
struct Primes {
    below: u64,
    next: u64,
    found: u64,
    status: Rc<Status>,
}

impl Primes {
    /// Counts for the time of a slice, and has itself called again in the next turn. Between two
    /// slices the loop serves connections, and it does not sleep.
    fn count_on(mut self, reactor: &mut Reactor) {
        let end = Instant::now() + SLICE;
        while self.next < self.below && Instant::now() < end {
            let batch = self.next..self.below.min(self.next + BATCH);
            self.next = batch.end;
            self.found += batch.filter(|&number| is_prime(number)).count() as u64;
        }
        self.status.looked_at.set(self.next);
        if self.next < self.below {
            reactor.call_soon(|reactor| self.count_on(reactor));
        } else {
            tell(reactor, format!("{} primes below {}\n", self.found, self.below));
        }
    }
}

fn is_prime(number: u64) -> bool {
    let divides = |divisor| number.is_multiple_of(divisor);
    number >= 2 && !(2..=number.isqrt()).any(divides)
}

/// A disk may be slow, and a file cannot be watched: a thread reads the folder.
fn count_files(reactor: &mut Reactor, folder: String) {
    let path = folder.clone();
    let count = move || files_in(Path::new(&path));
    reactor.call_in_thread(count, move |reactor, result| {
        let line = match result {
            Ok(Ok(files)) => format!("{files} files in {folder:?}\n"),
            Ok(Err(error)) => format!("cannot count the files in {folder:?}: {error}\n"),
            Err(error) => format!("cannot count the files in {folder:?}: {error}\n"),
        };
        tell(reactor, line);
    });
}

fn files_in(folder: &Path) -> io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link counts as a file, so that a cycle of links does not recurse for ever.
        files += if entry.file_type()?.is_dir() { files_in(&entry.path())? } else { 1 };
    }
    Ok(files)
}

/// Printing may block too, on a slow pipe or a terminal stopped by Ctrl-S, so a thread prints.
/// While its output is not read, lines are left out.
fn tell(reactor: &mut Reactor, line: String) {
    if reactor.pending_work() >= UNPRINTED {
        return;
    }
    reactor.call_in_thread(
        move || cli::print(&line),
        |_reactor, result| {
            if let Ok(Err(Exit::Failed(message))) = result {
                cli::say(&format!("periodic: {message}"));
            }
        },
    );
}
