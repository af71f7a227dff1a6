//! The command line that the example programs share: options, output, signals, and error messages
//! of one line that say what to do.
//!
//! Exit status: 0 it did what was asked; 1 something failed; 2 bad usage; 130 a second Ctrl-C.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::{self, ExitCode};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crocus::{Address, ChromeTrace, Core, Factory, Listen, LogObserver, Reactor};
use lexopt::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Where the servers listen unless told otherwise: this machine only, at the article's port.
pub(crate) const LISTEN: &str = "127.0.0.1:5000";

/// How long a server waits for its last connections: as long as the reactor waits for a peer to
/// close too.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The exit status a shell reports for a program that Ctrl-C ended: 128 + the number of SIGINT.
pub(crate) const INTERRUPTED: i32 = 130;

/// Why a program ends before its work is done.
#[derive(Debug)]
pub(crate) enum Exit {
    /// Something failed; the message says what, on what, and what to do now.
    Failed(String),
    /// Something failed, and the message is printed already.
    FailedAsTold,
    /// The user asked for the help text.
    Help(&'static str),
    /// The command line makes no sense.
    Usage(String),
}

impl From<io::Error> for Exit {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<lexopt::Error> for Exit {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs a program with a log on standard error. Prints its error, and returns its exit status.
pub(crate) fn run(name: &str, program: impl FnOnce() -> Result<(), Exit>) -> ExitCode {
    let filter = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(filter).init();
    let mut result = program();
    if let Err(Exit::Help(text)) = result {
        result = print(text).map(drop);
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit::Usage(message)) => {
            say(&format!("{name}: {message}; {name} --help tells more"));
            ExitCode::from(2)
        }
        Err(Exit::Failed(message)) => {
            say(&format!("{name}: {message}"));
            ExitCode::FAILURE
        }
        Err(Exit::FailedAsTold | Exit::Help(_)) => ExitCode::FAILURE,
    }
}

/// Prints to standard output, at once. `false`: the reader has closed the pipe, as `| head` does.
/// This is no error, and `println!` would panic.
pub(crate) fn print(text: &str) -> Result<bool, Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Exit::Failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Prints one line on standard error, with all that is not harmless escaped. If that fails,
/// there is no other place to report it.
pub(crate) fn say(line: &str) {
    let mut safe = String::with_capacity(line.len() + 1);
    for char in line.chars() {
        if is_harmless(char) {
            safe.push(char);
        } else {
            safe.extend(char.escape_default());
        }
    }
    safe.push('\n');
    let _ = io::stderr().write_all(safe.as_bytes());
}

/// Whether a terminal shows a character and does nothing else. Control characters could move its cursor or ring
/// its bell. The others that are left out begin a new line or turn the direction of the text, so that it seems to come from somebody else.
pub(crate) fn is_harmless(char: char) -> bool {
    let separates = matches!(char, '\u{2028}' | '\u{2029}');
    let directs = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !char.is_control() && !separates && !directs
}

/// An address as people type it, `HOST:PORT`, or `:PORT` for the default host.
pub(crate) fn address(text: &str, default_host: &str) -> Result<String, Exit> {
    let wrong = || {
        Exit::Usage(format!(
            "{text:?} is not an address: it takes HOST:PORT, as in 127.0.0.1:5000 or [::1]:5000"
        ))
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if !digits || port.parse::<u16>().is_err() || bare_v6 {
        return Err(wrong());
    }
    let host = if host.is_empty() { default_host } else { host };
    Ok(format!("{host}:{port}"))
}

/// The options of every server.
#[derive(Debug)]
pub(crate) struct ServerOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) backlog: Option<u32>,
}

impl ServerOptions {
    pub(crate) fn from_args(help: &'static str) -> Result<Self, Exit> {
        Self::from_args_and(help, |_, _| Ok(false))
    }

    /// The same, with options of the program's own: `more` gets the name of one, without `--`,
    /// takes its value, and returns whether it knows the option. It is asked before `--trace` is taken.
    pub(crate) fn from_args_and(
        help: &'static str,
        mut more: impl FnMut(&str, &mut lexopt::Parser) -> Result<bool, Exit>,
    ) -> Result<Self, Exit> {
        let mut listen = LISTEN.to_owned();
        let mut backlog = None;
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Short('h') | Long("help") => return Err(Exit::Help(help)),
                Short('l') | Long("listen") => {
                    listen = address(&args.value()?.string()?, "127.0.0.1")?;
                }
                Long("backlog") => backlog = Some(args.value()?.parse_with(backlog_of)?),
                Long(name) => {
                    let name = name.to_owned();
                    if more(&name, &mut args)? {
                        continue;
                    }
                    if name == "trace" {
                        trace_to(args.value()?)?;
                    } else {
                        return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into());
                    }
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Self { listen: resolve(&listen)?, backlog })
    }

    pub(crate) fn place(&self) -> Listen {
        let place = Listen::at(self.listen);
        match self.backlog {
            Some(backlog) => place.backlog(backlog),
            None => place,
        }
    }
}

/// Where a server without connections listens: it has no other option.
pub(crate) fn listen_address(help: &'static str) -> Result<SocketAddr, Exit> {
    let options = ServerOptions::from_args(help)?;
    match options.backlog {
        None => Ok(options.listen),
        Some(_) => Err(Exit::Usage("invalid option '--backlog'".to_owned())),
    }
}

fn backlog_of(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "--backlog takes a number, as in 128")
}

/// Reads a number from 1 up, as the value of an option.
pub(crate) fn from_one<N: FromStr + Default + PartialOrd>(
    option: &str,
) -> impl Fn(&str) -> Result<N, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| *number > N::default());
        number.ok_or_else(|| format!("{option} takes a number from 1 up"))
    }
}

/// Reads a time of more than nothing, as the value of an option.
pub(crate) fn seconds(option: &str) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let time = text.parse().ok().and_then(|time| Duration::try_from_secs_f64(time).ok());
        let time = time.filter(|time| !time.is_zero());
        time.ok_or_else(|| format!("{option} takes seconds, as in 10 or 0.5"))
    }
}

/// How many threads. A number above the limit is probably a typing error.
pub(crate) fn threads_of(text: &str) -> Result<usize, &'static str> {
    const MOST: usize = 1024;
    let threads = text.parse().ok().filter(|&threads| threads <= MOST);
    threads.ok_or("--threads takes a number up to 1024, as in 4, or 0 for one per core")
}

/// The address behind `HOST:PORT`. If HOST is a name, this blocks until it is resolved: no client
/// is being served yet. Of several addresses it takes an IPv4 one, since some clients try no other
/// kind.
pub(crate) fn resolve(listen: &str) -> Result<SocketAddr, Exit> {
    let found: Vec<SocketAddr> = match listen.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(cannot_listen(listen, &error)),
    };
    let first = found.iter().find(|addr| addr.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| Exit::Failed(format!("{listen} has no address")))
}

/// The error for a server that cannot listen at `addr`: the cause, and a hint.
pub(crate) fn cannot_listen(addr: impl Display, error: &io::Error) -> Exit {
    cannot_listen_by("--listen", addr, error)
}

/// The same where another option says at which address.
pub(crate) fn cannot_listen_by(option: &str, addr: impl Display, error: &io::Error) -> Exit {
    // The reactor's errors name the address already; their source is the system's own error.
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let addr = addr.to_string();
    let hint = match error.kind() {
        _ if addr.starts_with("unix:") => {
            "it takes a path that is free, as in unix:web.sock".to_owned()
        }
        io::ErrorKind::AddrInUse => format!(
            "stop the program that has it (ss -lntup names it), or try {option} 127.0.0.1:0"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 are for the administrator, try {option} 127.0.0.1:5000")
        }
        _ => format!("it takes an address of this machine, as in {option} 127.0.0.1:5000"),
    };
    Exit::Failed(format!("cannot listen at {addr}: {cause}; {hint}"))
}

/// Prints where a server listens, as its first line: scripts then know the port, and that the
/// server is ready.
pub(crate) fn announce(addr: impl Display) -> Result<(), Exit> {
    log::info!("listening on {addr}");
    print(&format!("listening on {addr}\n")).map(drop)
}

/// A whole server without options of its own, for a `main`: it serves until it is told to stop.
pub(crate) fn serve(name: &str, help: &'static str, factory: impl Factory + 'static) -> ExitCode {
    run(name, || serve_at(ServerOptions::from_args(help)?.place(), factory))
}

/// The same for a place that is known already.
pub(crate) fn serve_at(place: Listen, factory: impl Factory + 'static) -> Result<(), Exit> {
    serve_on(reactor()?, place, factory)
}

/// The same on a reactor that is made already.
pub(crate) fn serve_on(
    mut reactor: Reactor,
    place: Listen,
    factory: impl Factory + 'static,
) -> Result<(), Exit> {
    drain_on_signals(&mut reactor)?;
    listen(&mut reactor, place, factory)?;
    Ok(reactor.run()?)
}

/// Listens, and prints where.
pub(crate) fn listen(
    reactor: &mut Reactor,
    place: Listen,
    factory: impl Factory + 'static,
) -> Result<Option<Address>, Exit> {
    let asked_for = place.endpoint().map_or_else(String::new, ToString::to_string);
    let listener =
        reactor.listen(place, factory).map_err(|error| cannot_listen(asked_for, &error))?;
    let addr = reactor.local_addr(listener);
    addr.as_ref().map_or(Ok(()), announce)?;
    Ok(addr)
}

/// A reactor that logs its turns where `RUST_LOG` asks for it (`crocus=trace`).
pub(crate) fn reactor() -> Result<Reactor, Exit> {
    let mut reactor = Reactor::new()?;
    observe(&mut reactor);
    Ok(reactor)
}

/// The file of `--trace`, until a reactor takes it. It belongs to the process, as the log does, so that no
/// program has to pass it on.
static TRACE: Mutex<Option<File>> = Mutex::new(None);

/// Takes the value of `--trace`: the next reactor that is observed writes its turns there.
pub(crate) fn trace_to(path: OsString) -> Result<(), Exit> {
    let file = File::create(&path).map_err(|error| {
        let path = path.display();
        Exit::Failed(format!("cannot write to {path}: {error}; --trace takes a file of its own"))
    })?;
    *TRACE.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    Ok(())
}

/// The observers that `RUST_LOG` and `--trace` ask for.
pub(crate) type Observers = (Option<LogObserver>, Option<ChromeTrace<File>>);

/// The observers that log the turns of a reactor where `RUST_LOG` asks for it, and write them to the file of
/// `--trace`. `None`: neither is asked for. Of several reactors the first one writes.
pub(crate) fn observers() -> Option<Observers> {
    let log = log::log_enabled!(target: "crocus::turn", log::Level::Debug).then(LogObserver::new);
    let file = TRACE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let trace = file.map(ChromeTrace::new);
    (log.is_some() || trace.is_some()).then_some((log, trace))
}

/// Has the turns of a reactor logged and written as far as it is asked for.
pub(crate) fn observe(reactor: &mut Reactor) {
    if let Some(observers) = observers() {
        reactor.set_observer(Some(Box::new(observers)));
    }
}

/// On SIGINT or SIGTERM the reactor stops in order. On a second one the program ends at once.
pub(crate) fn drain_on_signals(reactor: &mut Reactor) -> Result<(), Exit> {
    reactor.on_stop(log_counts);
    for signal in [SIGINT, SIGTERM] {
        reactor.on_signal(signal, move |reactor| {
            if reactor.is_stopping() {
                process::exit(INTERRUPTED);
            }
            let open = reactor.connections().len();
            reactor.shutdown(GRACE); // first, so that the port is free once the line is there
            match open {
                0 => say("stopping"),
                open => say(&format!("stopping, {open} open; Ctrl-C again to drop them")),
            }
        })?;
    }
    Ok(())
}

/// The same for several reactors: call it in the setup of each. Each signal reaches all of them.
pub(crate) fn drain_cores_on_signals(core: &mut Core<'_>) -> io::Result<()> {
    let tells = core.index() == 0;
    core.reactor().on_stop(log_counts);
    for signal in [SIGINT, SIGTERM] {
        core.reactor().on_signal(signal, move |reactor| {
            if reactor.is_stopping() {
                process::exit(INTERRUPTED);
            }
            reactor.shutdown(GRACE);
            if tells {
                say("stopping; Ctrl-C again to drop those who are connected");
            }
        })?;
    }
    Ok(())
}

/// Logs what a reactor has done. Connections that are open still are those that a shutdown drops.
pub(crate) fn log_counts(reactor: &mut Reactor) {
    let (stats, open) = (reactor.stats(), reactor.connections().len());
    if stats.turns == 0 {
        return; // it could not listen, and has not begun
    }
    let mut line = format!("stopped: {} accepted, {} closed", stats.accepted, stats.closed);
    let others = [
        (open as u64, "dropped"),
        (stats.turned_away, "turned away"),
        (stats.accept_errors, "errors of accept"),
        (stats.connected, "connected"),
        (stats.failed, "not connected"),
        (stats.datagrams_received, "datagrams received"),
        (stats.datagrams_sent, "datagrams sent"),
        (stats.bytes_read, "bytes read"),
        (stats.bytes_written, "bytes written"),
    ];
    for (count, what) in others.into_iter().filter(|&(count, _)| count > 0) {
        line += &format!(", {count} {what}");
    }
    log::info!("{line}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        for text in ["127.0.0.1:5000", "[::1]:0", "localhost:65535", "a-b.example.org:1"] {
            assert_eq!(address(text, "nowhere").unwrap(), text);
        }
        assert_eq!(address(":5000", "localhost").unwrap(), "localhost:5000");
        for text in ["", ":", "5000", "localhost", "localhost:", "h:65536", "h:+1", "::1:80"] {
            assert!(matches!(address(text, "localhost"), Err(Exit::Usage(_))), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_listened_at_is_told_with_a_hint() {
        for (kind, hint) in [
            (io::ErrorKind::AddrInUse, "ss -lntup"),
            (io::ErrorKind::PermissionDenied, "below 1024"),
            (io::ErrorKind::AddrNotAvailable, "an address of this machine"),
        ] {
            let Exit::Failed(message) = cannot_listen("1.2.3.4:5", &kind.into()) else { panic!() };
            assert!(message.starts_with("cannot listen at 1.2.3.4:5: "), "{message}");
            assert!(message.contains(hint), "{message}");
        }
    }
}
