//! The commands of TLS.

use super::Reactor;
use super::queues::Queue;
use crate::connection::Engine;
use crate::ids::ConnectionId;
use crate::observe::Command;
use crate::reason::Reason;
use crate::tls::Role;

impl Reactor {
    pub(crate) fn start_tls(&mut self, id: ConnectionId, role: &Role) -> bool {
        let Some(peer) = self.session(id).map(|session| session.peer.clone()) else { return false };
        let engine = match Engine::new(role, peer) {
            Ok(engine) => engine,
            Err(error) => {
                self.lose_connection(id, Some(Reason::Tls { error: error.into() }));
                return false;
            }
        };
        let now = self.memory.common.latest.get();
        self.command(id, Queue::Run, Command::StartTls, |connection, common| {
            connection.start_tls(engine, now, common)
        })
    }

    pub(crate) fn allow_truncation(&mut self, id: ConnectionId, allowed: bool) -> bool {
        let mut begun = false;
        self.command(id, Queue::Flush, None, |connection, _| {
            begun = connection.allow_truncation(allowed);
            false
        });
        begun
    }
}
