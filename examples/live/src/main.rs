//! How to look at a reactor: one that shows itself in a browser. It serves the article's 81 bytes, an echo or a
//! chat at one port, and at a second port of the same reactor a page that draws each turn.
//!
//! ```text
//! cargo run --release -p live            # then open the address that it prints, and, beside it:
//! cargo run --release --example random_client
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `service` | the three protocols |
//! | `feed` | what the page is told: the recorder, and a frame ten times a second |
//! | `turns` | recorded notices as turns, for a frame |
//! | `rows` | connections and timers, for a frame |
//! | `page` | the page's own protocol: HTTP, and a stream of frames |

mod feed;
mod page;
mod rows;
mod service;
#[path = "../../shared/mod.rs"]
mod shared;
mod step;
mod turns;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use crocus::{Reactor, Subject};
use feed::Feed;
use lexopt::ValueExt;
use page::Site;
use service::{Mode, Service};
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
Serves at one port, and shows at another one, in a browser, what its reactor does.

Usage: live [OPTIONS]

Options:
      --echo              sends back what comes, instead of 81 bytes
      --chat              sends each line to all others
  -l, --listen HOST:PORT  where to serve; port 0 chooses a free one [127.0.0.1:5000]
      --page HOST:PORT    where the page is [127.0.0.1:8081]
      --slow MS           each answer blocks for so many milliseconds, to see what that does
      --step              does one turn for each Enter
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells where it serves, the second one where the page is. Ctrl-C or SIGTERM
stops in order, a second one at once. Nothing on the page changes the server.

Examples:
  live                                   then: random_client --count 100
  live --echo --slow 1500                then: nc 127.0.0.1 5000; the page freezes, and says why
  live --chat --step                     then: nc 127.0.0.1 5000, twice

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// Where the page is unless told otherwise.
const PAGE: &str = "127.0.0.1:8081";

struct Options {
    server: ServerOptions,
    page: String,
    mode: Mode,
    slow: Duration,
    steps: bool,
}

fn main() -> ExitCode {
    cli::run("live", serve)
}

fn serve() -> Result<(), Exit> {
    let Options { server, page, mode, slow, steps } = Options::from_args()?;
    let mut reactor = Reactor::builder().slow_callback(None).build()?; // the page tells of them
    let feed = Rc::new(RefCell::new(Feed::new(mode.name(), steps)));
    reactor.set_observer(Some(Box::new((Rc::clone(&feed), cli::observers()))));
    cli::drain_on_signals(&mut reactor)?;
    let service = Service::new(mode, slow, &feed);
    let served = cli::listen(&mut reactor, server.place(), service.factory())?;
    let site = Site::new(&feed);
    let listener = reactor
        .listen(site.place(&page), site.clone().factory())
        .map_err(|error| cli::cannot_listen_by("--page", &page, &error))?;
    let at = reactor.local_addr(listener).map_or_else(String::new, |addr| addr.to_string());
    site.is_at(&at);
    {
        let mut feed = feed.borrow_mut();
        feed.leave_out(Subject::Listener(listener));
        feed.serves_at(served.map_or_else(String::new, |addr| addr.to_string()));
    }
    cli::print(&format!("the page is at http://{at}/\n"))?;
    if steps { step::run(&mut reactor, &feed) } else { Ok(reactor.run()?) }
}

impl Options {
    fn from_args() -> Result<Self, Exit> {
        let (mut page, mut modes) = (PAGE.to_owned(), (false, false));
        let (mut slow, mut steps) = (Duration::ZERO, false);
        let server = ServerOptions::from_args_and(HELP, |name, args| {
            match name {
                "echo" => modes.0 = true,
                "chat" => modes.1 = true,
                "page" => page = cli::address(&args.value()?.string()?, "127.0.0.1")?,
                "slow" => slow = args.value()?.parse_with(milliseconds)?,
                "step" => steps = true,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let mode = match modes {
            (false, false) => Mode::Random,
            (true, false) => Mode::Echo,
            (false, true) => Mode::Chat,
            (true, true) => {
                return Err(Exit::Usage("--echo and --chat exclude each other".to_owned()));
            }
        };
        Ok(Self { server, page, mode, slow, steps })
    }
}

fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().map(Duration::from_millis);
    time.map_err(|_| "--slow takes milliseconds, as in 1500")
}
