//! Sends the figures to the collector, and drops them rather than keep what it does not read.

use std::rc::Rc;
use std::time::Duration;

use crocus::{Backoff, ConnectorId, Protocol, Reactor, Reconnecting, Transport};

use super::{Shared, finish};

/// A report is dropped while more than this waits for the collector.
const MAX_WAITING: usize = 256 * 1024;
/// A collector that takes nothing for so long is given up, and connected to again.
const STALLED: Duration = Duration::from_secs(60);
/// How long the last report may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects, again and again.
pub(crate) fn connect(reactor: &mut Reactor, agent: &Shared, place: String) -> ConnectorId {
    let shared = Rc::clone(agent);
    let factory = move |_peer| Collector { agent: Rc::clone(&shared) };
    let backoff = Backoff::new().initial(Duration::from_millis(500)).max(Duration::from_secs(30));
    reactor.connect(place, Reconnecting::new(factory, backoff))
}

/// Sends a report, or counts it as dropped.
pub(crate) fn report(agent: &Shared, reactor: &mut Reactor) {
    let now = reactor.now();
    let connector = agent.borrow().collector;
    let Some(mut transport) = transport(reactor, connector) else {
        agent.borrow_mut().figures.reports_dropped += u64::from(connector.is_some());
        return;
    };
    let figures = &mut agent.borrow_mut().figures;
    if transport.buffered() > MAX_WAITING {
        figures.reports_dropped += 1;
        if now.saturating_duration_since(transport.idle_since()) > STALLED {
            log::warn!("the collector {} does not read", transport.peer_addr());
            transport.abort_connection();
        }
        return;
    }
    figures.reports += 1;
    write!(transport, "report {}\n{figures}end\n", figures.reports);
}

/// Sends a report and closes. The connection is closing afterwards, so this happens once.
pub(crate) fn report_last(agent: &Shared, reactor: &mut Reactor) {
    let connector = agent.borrow().collector;
    match transport(reactor, connector) {
        Some(transport) if transport.is_closing() => return,
        Some(_) => report(agent, reactor),
        None => return,
    }
    if let Some(mut transport) = transport(reactor, connector) {
        transport.lose_connection();
    }
}

fn transport(reactor: &mut Reactor, connector: Option<ConnectorId>) -> Option<Transport<'_>> {
    let connection = reactor.connection_of(connector?)?;
    reactor.transport(connection)
}

/// The connection to the collector. It ignores what the collector sends.
struct Collector {
    agent: Shared,
}

impl Protocol for Collector {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.set_close_timeout(CLOSE_TIMEOUT);
        log::info!("connected to the collector {}", transport.peer_addr());
    }

    /// The connection stays open until the last report has been written.
    fn shutting_down(&mut self, transport: &mut Transport) {
        finish(&self.agent, transport.reactor());
    }
}
