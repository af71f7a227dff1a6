//! Connections whose PROXY header has come: from here on it is known whose they are.

use super::Reactor;
use super::source::Owner;
use crate::ids::ConnectionId;
use crate::observe::Notice;
use crate::parts::arena::Key;

impl Reactor {
    /// If the step of the preparation that is over was the header, notes what it says, and begins the next step.
    /// Returns whether the preparation is over, so that the protocol is to be made.
    #[cold]
    #[inline(never)]
    pub(super) fn identify(&mut self, key: Key) -> bool {
        let id = ConnectionId(key);
        // Only listeners read headers.
        let Some(Owner::Listener(listener)) = self.sources.owner(key) else { return true };
        let Some(session) = self.sources.session(key) else { return false };
        let Some(info) = session.connection.identify() else { return true };
        let peer = info.peer().clone();
        session.peer = peer.clone();
        let (proxy, local) = (info.proxy().clone(), info.is_local());
        session.attached(&mut self.memory.attached).proxy = Some(info);
        self.monitor.note(|| Notice::Identified {
            connection: id,
            peer: peer.clone(),
            proxy,
            local,
        });
        match self.admit_identified(listener, &peer) {
            Ok(None) => return true,
            Ok(Some(step)) => {
                let now = self.memory.common.latest.get();
                let Self { sources, memory, .. } = self;
                if let Some(session) = sources.session(key) {
                    session.connection.prepare(step, now, &mut memory.common);
                }
            }
            Err(reason) => self.turn_away_prepared(listener, key, reason),
        }
        false
    }
}
