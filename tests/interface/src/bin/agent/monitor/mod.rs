//! The agent without its command line, so that tests can run it in a simulation.

mod collector;
mod control;
mod figures;
mod load;
mod poll;
mod statsd;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crocus::{Address, ConnectorId, Reactor, TimerId};

use figures::Figures;
#[allow(unused_imports, reason = "a simulation has no threads")]
pub(crate) use load::watch_load;

/// The intervals that are allowed, in milliseconds.
pub(crate) const INTERVALS: RangeInclusive<u64> = 50..=86_400_000;
/// How many targets there may be.
pub(crate) const MAX_TARGETS: usize = 100;

/// The wishes of the user.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub statsd: String,
    pub control: PathBuf,
    pub targets: Vec<String>,
    pub collector: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            statsd: "127.0.0.1:0".to_owned(),
            control: PathBuf::new(),
            targets: Vec::new(),
            collector: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
        }
    }
}

impl Settings {
    /// How long a shutdown may take: a poll may still run to its end, and then the last report leaves.
    pub(crate) fn grace(&self) -> Duration {
        self.timeout + Duration::from_secs(5)
    }
}

/// The addresses at which the agent can be reached.
#[derive(Debug)]
pub(crate) struct Places {
    pub statsd: SocketAddr,
    pub control: Address,
}

/// The state that all parts share.
#[derive(Debug)]
pub(crate) struct Agent {
    figures: Figures,
    settings: Settings,
    ticker: Option<TimerId>,
    collector: Option<ConnectorId>,
    /// The statsd socket is open, so the figures may still grow.
    is_counting: bool,
}

pub(crate) type Shared = Rc<RefCell<Agent>>;

/// The same for the calls of other threads, which cannot capture it.
#[derive(Debug)]
struct OnLoop(Shared);

/// Sets everything up. The reactor does the rest.
pub(crate) fn start(reactor: &mut Reactor, settings: Settings) -> io::Result<Places> {
    let interval = settings.interval;
    let agent = Rc::new(RefCell::new(Agent {
        figures: Figures::new(&settings.targets),
        settings: settings.clone(),
        ticker: None,
        collector: None,
        is_counting: true,
    }));
    reactor.set_state(OnLoop(Rc::clone(&agent)));
    let statsd = statsd::listen(reactor, &agent, &settings.statsd)?;
    let control = control::listen(reactor, &agent, settings.control)?;
    if let Some(place) = settings.collector {
        let connector = collector::connect(reactor, &agent, place);
        agent.borrow_mut().collector = Some(connector);
    }
    let shared = Rc::clone(&agent);
    let ticker = reactor.call_every(interval, move |reactor, _tick| tick(&shared, reactor));
    agent.borrow_mut().ticker = Some(ticker);
    let shared = Rc::clone(&agent);
    reactor.call_soon(move |reactor| poll::start_all(&shared, reactor));
    Ok(Places { statsd, control })
}

/// The work of each interval.
fn tick(agent: &Shared, reactor: &mut Reactor) {
    if !reactor.is_stopping() {
        collector::report(agent, reactor);
        poll::start_all(agent, reactor);
    }
}

/// Sends the last report, if this is a shutdown and nothing can change the figures any more.
///
/// Every part calls this when it has come to its end.
fn finish(agent: &Shared, reactor: &mut Reactor) {
    let is_done = {
        let agent = agent.borrow();
        !agent.is_counting && !agent.figures.is_polling()
    };
    if is_done && reactor.is_stopping() {
        collector::report_last(agent, reactor);
    }
}
