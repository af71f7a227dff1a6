//! Looking names up: asks, threads and answers. The rules are in [`names`](super::names).

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::address::{Address, Place};
use crate::connector::names::{Asker, Lookups};
use crate::connector::state::{Progress, interleave};
use crate::observe::Subject;
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::dispatch::{discard, message};
use crate::reason::{Activity, Reason};
use crate::system::resolver::Resolver;

impl Reactor {
    /// Has a name looked up for an attempt. The answer comes by [`resolved`](Self::resolved).
    pub(super) fn resolve(&mut self, key: Key, round: u64, host: &str, port: u16) {
        if let Some(simulated) = self.simulated()
            && !simulated.is_slow(host)
        {
            let found = simulated.resolve(host, port);
            let found = found.map_err(|error| Reason::failed(Activity::Resolving, error));
            return self.resolved(key, round, found);
        }
        let asker = Asker { connector: key, round, port };
        if self.threads.lookups.is_none() {
            let lookups = Lookups::new(self.limits.resolver.clone());
            self.threads.lookups = Some((Box::new(lookups), Self::take_answers));
        }
        let Some(lookups) = self.lookups() else { return };
        match lookups.agenda.ask(host, asker) {
            Ok(()) => self.begin_lookups(),
            Err(error) => self.give_up(key, Reason::failed(Activity::Resolving, error)),
        }
    }

    fn lookups(&mut self) -> Option<&mut Lookups> {
        self.threads.lookups.as_mut()?.0.downcast_mut()
    }

    /// An attempt does not wait for its name any more.
    ///
    /// This begins no other lookup: many attempts may time out together, and those that wait for a thread
    /// may be the next. [`serve_connector`](Self::serve_connector) does so.
    pub(super) fn forget_lookup(&mut self, key: Key) {
        let Some(connector) = self.connector_mut(key) else { return };
        if matches!(connector.progress, Progress::Resolving)
            && let Place::Name(host, _) = connector.connect.to.place()
        {
            let host = host.clone();
            if let Some(lookups) = self.lookups() {
                lookups.agenda.forget(&host, key);
            }
        }
    }

    /// Takes the answers that have come.
    fn take_answers(&mut self) {
        while let Some(lookups) = self.lookups()
            && let Ok((host, found)) = lookups.answers.1.try_recv()
        {
            let found = found.map_err(|error| Reason::failed(Activity::Resolving, error));
            self.answer(&host, &found);
            self.let_go_of_rest(Subject::Reactor, found); // an error of the user's resolver, maybe
        }
        self.begin_lookups();
    }

    /// Begins the lookups for which there is a thread. A reactor that stops gives its attempts up, one by
    /// one, so it begins none.
    pub(super) fn begin_lookups(&mut self) {
        if self.is_stopping() {
            return;
        }
        while let Some(lookups) = self.lookups()
            && let Some(host) = lookups.agenda.begin()
        {
            let (name, answers) = (Arc::clone(&host), lookups.answers.0.clone());
            let shared = Arc::clone(&self.calls.shared);
            let tell = move |found| {
                // Neither is needed if the reactor is gone.
                let _ = answers.send((name, found));
                shared.push(None, Self::take_answers);
            };
            if let Some(simulated) = self.simulated() {
                let found = simulated.resolve(&host, 0);
                simulated.begin_lookup(&host, Box::new(move || tell(found)));
                continue;
            }
            let Some(Lookups { resolver, pool, .. }) = self.lookups() else { return };
            let (resolver, name) = (resolver.clone(), Arc::clone(&host));
            let lookup = move || tell(look_up(&resolver, &name));
            if let Err((error, _)) = pool.submit(Box::new(lookup)) {
                self.answer(&host, &Err(Reason::failed(Activity::Resolving, error)));
            }
        }
    }

    fn answer(&mut self, host: &str, found: &Result<Vec<SocketAddr>, Reason>) {
        let Some(lookups) = self.lookups() else { return };
        for Asker { connector, round, port } in lookups.agenda.finish(host) {
            let mut found = found.clone();
            if let Ok(addresses) = &mut found {
                addresses.iter_mut().for_each(|addr| addr.set_port(port));
            }
            self.resolved(connector, round, found);
        }
    }

    /// Takes the result of a lookup. May run inside a call, so it only records the result.
    pub(super) fn resolved(
        &mut self,
        key: Key,
        round: u64,
        found: Result<Vec<SocketAddr>, Reason>,
    ) {
        let Some(connector) = self.connector_mut(key) else { return };
        if connector.round != round || !matches!(connector.progress, Progress::Resolving) {
            return; // cancelled, or timed out
        }
        match found {
            Ok(addresses) => {
                let addresses = interleave(addresses).into_iter().map(Address::Tcp);
                self.candidates(key, addresses.collect());
            }
            Err(reason) => self.give_up(key, reason),
        }
    }
}

/// Calls the resolver, whose panic is an error like any other.
fn look_up(resolver: &Resolver, host: &str) -> io::Result<Vec<SocketAddr>> {
    catch_unwind(AssertUnwindSafe(|| resolver.look_up(host))).unwrap_or_else(|payload| {
        let error = format!("the resolver panicked: {}", message(payload.as_ref()));
        discard(payload);
        Err(io::Error::other(error))
    })
}
