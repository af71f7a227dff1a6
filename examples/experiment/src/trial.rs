//! One trial: a fresh server, the crowd of a constraint, and the figures.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use crocus::Reactor;
use indicatif::ProgressBar;

use crate::child::{LOOK, Server};
use crate::cli::Exit;
use crate::client::{self, Crowd, Shared};
use crate::constraint::Constraint;
use crate::figures::{Queues, Trial};
use crate::server::Model;

/// Where the trials are run: the reactor of the clients, and the user's wish to stop.
pub(crate) struct Laboratory {
    pub(crate) reactor: Reactor,
    pub(crate) interrupted: Rc<Cell<bool>>,
    pub(crate) seed: Option<u64>,
}

impl Laboratory {
    /// Sends the constraint's clients to a server of this kind.
    pub(crate) fn run(
        &mut self,
        model: Model,
        constraint: &Constraint,
        progress: &ProgressBar,
    ) -> Result<Trial, Exit> {
        let mut server = Server::start(model, constraint, self.seed)?;
        let queues = listen_queues();
        let crowd = Rc::new(RefCell::new(Crowd::new(server.addr, constraint)));
        match constraint.nuisance {
            None => client::start(&crowd, &mut self.reactor),
            Some(nuisance) => client::start_behind(nuisance, &crowd, &mut self.reactor),
        }
        self.wait(&crowd, &mut server, progress)?;
        let usage = server.usage();
        drop(server);
        let broken_off = !crowd.borrow().is_done();
        if !broken_off {
            self.clear()?;
        }
        let queues = queues.zip(listen_queues()).map(|(then, now)| now.since(then));
        let mut crowd = crowd.borrow_mut();
        crowd.latencies.sort_unstable();
        Ok(Trial {
            server: model,
            asked: constraint.asked(),
            counts: crowd.counts,
            arrivals: std::mem::take(&mut crowd.arrivals),
            latencies: std::mem::take(&mut crowd.latencies),
            // If the kernel counted no full queue, the connection was slow for another reason.
            waited: match queues {
                Some(Queues { overflows: 0, .. }) => Vec::new(),
                _ => by_second(&crowd.waits),
            },
            queues,
            quick: crowd.quick,
            trouble: crowd.trouble.take(),
            usage,
            answers: std::mem::take(&mut crowd.answers),
            broken_off,
        })
    }

    /// Waits until every client has had an outcome, or the user wants no more.
    fn wait(
        &mut self,
        crowd: &Shared,
        server: &mut Server,
        progress: &ProgressBar,
    ) -> Result<(), Exit> {
        let before = progress.position();
        while !crowd.borrow().is_done() && !self.interrupted.get() {
            self.reactor.turn(Some(LOOK))?;
            server.look();
            progress.set_position(before + crowd.borrow().counts.total() as u64);
        }
        Ok(())
    }

    /// Ends the connections that are left of a trial, so that the next trial begins with none.
    fn clear(&mut self) -> Result<(), Exit> {
        for id in self.reactor.connections() {
            if let Some(mut transport) = self.reactor.transport(id) {
                transport.abort_connection();
            }
        }
        while !self.reactor.connections().is_empty() {
            self.reactor.turn(Some(LOOK))?;
        }
        Ok(())
    }
}

/// How many clients waited one second, how many two, and so on.
fn by_second(waits: &[Duration]) -> Vec<(u64, usize)> {
    let mut seconds: Vec<u64> = waits.iter().map(Duration::as_secs).collect();
    seconds.sort_unstable();
    seconds.chunk_by(u64::eq).map(|chunk| (chunk[0], chunk.len())).collect()
}

/// Read from /proc/net/netstat of Linux. The counters are the machine's, and there are other
/// programs on it; mostly they do not let their queues overflow.
fn listen_queues() -> Option<Queues> {
    let table = fs::read_to_string("/proc/net/netstat").ok()?;
    let mut rows = table.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (rows.next()?, rows.next()?);
    let count = |name: &str| {
        let mut fields = names.split(' ').zip(values.split(' '));
        fields.find(|&(field, _)| field == name)?.1.parse().ok()
    };
    Some(Queues { overflows: count("ListenOverflows")?, cookies: count("SyncookiesSent")? })
}
