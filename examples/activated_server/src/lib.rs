//! The program `activated_server`, as a function: the experiment with restarts runs it in processes of its own.

#[path = "../../shared/mod.rs"]
mod shared;

mod manager;
mod service;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::time::Duration;

use crocus::{Inherited, Listen, Reactor, SocketOptions};
use lexopt::ValueExt;
use manager::Manager;
use sd_notify::NotifyState;
use service::{Http, Page, Site};
use shared::cli::{self, Exit, ServerOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

const HELP: &str = "\
Serves one page by HTTP at /, and the answer to a proxy's health check at /health.

Usage: activated_server [--page FILE] [--stop-delay SECONDS] [--reuse-port]
                        [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
      --page FILE         the page, up to 64 KiB; SIGHUP reads it again
                          [a line with the number of the process]
      --stop-delay SECONDS
                          how long to go on after a signal to stop: meanwhile /health answers 503, and
                          each other answer ends its connection [0]
      --reuse-port        let other processes of this user listen at the same port
  -l, --listen HOST:PORT  where to listen if no socket of the name \"web\" is handed over; port 0
                          chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first lines of output tell the addresses. Ctrl-C or SIGTERM stops in order: after the delay, answers
are finished, for at most 5 s. A second one stops at once.

Examples:
  activated_server                      then, beside it: curl -i http://127.0.0.1:5000/health
  systemd-socket-activate -l 5000 --fdname=web activated_server

Exit status: 0 stopped as asked, 1 cannot listen or read FILE, 2 bad usage, 130 stopped by a second
             Ctrl-C
Environment: LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES  sockets that were handed over
             NOTIFY_SOCKET, WATCHDOG_USEC  where and how often to tell that it is well
             RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The name of the sockets to serve, as `FileDescriptorName=` in the unit file gives it.
const SOCKET: &str = "web";

/// The longest delay, in seconds: an hour. More is probably a typing error.
const LONGEST_DELAY: f64 = 3600.0;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    cli::run("activated_server", serve)
}

/// The server, as its callbacks see it.
struct Server {
    site: Rc<RefCell<Site>>,
    manager: Manager,
    page: Option<PathBuf>,
    stop_delay: Duration,
}

fn serve() -> Result<(), Exit> {
    // First of all, before there can be a thread: see `Inherited`.
    let handed_over = Inherited::names().iter().filter(|name| *name == SOCKET).count();
    let (mut page, mut stop_delay, mut reuse_port) = (None, Duration::ZERO, false);
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        match name {
            "page" => page = Some(PathBuf::from(args.value()?)),
            "stop-delay" => stop_delay = args.value()?.parse_with(delay_of)?,
            "reuse-port" => reuse_port = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let site = Rc::new(RefCell::new(Site::new(load(page.as_ref())?)));
    let server = Rc::new(Server { site, manager: Manager::from_env(), page, stop_delay });
    let mut reactor = cli::reactor()?;
    server.heed_signals(&mut reactor)?;
    for place in places(handed_over, &options, reuse_port)? {
        let site = Rc::clone(&server.site);
        cli::listen(&mut reactor, place, move |_peer| Http::new(&site))?;
    }
    server.manager.watch(&mut reactor);
    server.manager.tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    Ok(reactor.run()?)
}

/// Where to listen: at all sockets of the name, or where the options say.
fn places(
    handed_over: usize,
    options: &ServerOptions,
    reuse_port: bool,
) -> Result<Vec<Listen>, Exit> {
    if handed_over > 0 {
        let taken = (0..handed_over).map(|_| Listen::inherited(SOCKET)).collect::<Result<_, _>>();
        return taken.map_err(|error| Exit::Failed(error.to_string()));
    }
    if let Err(error) = Listen::inherited(SOCKET)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        let hint = "FileDescriptorName= in the socket's unit names it";
        return Err(Exit::Failed(format!("{error}; {hint}")));
    }
    let place = options.place().socket(SocketOptions::new().reuse_port(reuse_port));
    Ok(vec![place])
}

fn delay_of(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=LONGEST_DELAY).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("--stop-delay takes seconds, as in 5 or 0.5")
}

fn load(file: Option<&PathBuf>) -> Result<Page, Exit> {
    let Some(file) = file else { return Ok(Page::of_this_process()) };
    Page::read(file).map_err(|error| {
        let file = file.display();
        Exit::Failed(format!(
            "cannot read the page {file}: {error}; --page takes a file of at most 64 KiB"
        ))
    })
}

impl Server {
    fn heed_signals(self: &Rc<Self>, reactor: &mut Reactor) -> Result<(), Exit> {
        reactor.on_stop(cli::log_counts);
        for signal in [SIGINT, SIGTERM] {
            let server = Rc::clone(self);
            reactor.on_signal(signal, move |reactor| server.leave(reactor))?;
        }
        let server = Rc::clone(self);
        reactor.on_signal(SIGHUP, move |_| server.reload())?;
        Ok(())
    }

    /// Begins to stop: tells the proxy by the health check, then ends in order.
    fn leave(&self, reactor: &mut Reactor) {
        if self.site.borrow_mut().leave() {
            process::exit(cli::INTERRUPTED);
        }
        let open = reactor.connections().len();
        let status = format!("stopping, {open} open");
        self.manager.tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
        if self.stop_delay.is_zero() {
            reactor.shutdown(cli::GRACE);
        } else {
            reactor.call_later(self.stop_delay, |reactor| reactor.shutdown(cli::GRACE));
        }
        cli::say(&status);
    }

    /// Reads the page again. While it does, the loop stands: were it to take long, the watchdog would notice.
    fn reload(&self) {
        self.manager.tell_reloading();
        let status = match load(self.page.as_ref()) {
            Ok(_) if self.page.is_none() => "no page to read again; --page gives one".to_owned(),
            Ok(page) => {
                self.site.borrow_mut().page = page;
                "the page was read again".to_owned()
            }
            Err(Exit::Failed(message)) => format!("{message}; the former one stays"),
            Err(_) => return,
        };
        cli::say(&status);
        self.manager.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }
}
