//! Connections that are prepared before they have a protocol: by the handshake of TLS.

use super::Reactor;
use super::source::Owner;
use crate::callback::Callback;
use crate::ids::{ConnectionId, ListenerId};
use crate::observe::Notice;
use crate::parts::arena::Key;
use crate::protocol::Protocol;
use crate::reason::Reason;

impl Reactor {
    /// The preparation of a connection is over: has its owner make a protocol. `None`: it has refused, and the
    /// connection closes.
    #[cold]
    #[inline(never)]
    pub(super) fn build(&mut self, key: Key) -> Option<Box<dyn Protocol>> {
        let id = ConnectionId(key);
        let owner = self.sources.owner(key)?;
        let (Owner::Listener(factory) | Owner::Connector(factory)) = owner else { return None };
        let session = self.session(id)?;
        let peer = session.peer.clone();
        #[cfg(feature = "tls")]
        let tls = session.connection.tls();
        let built = self.call_factory(factory, Callback::BuildProtocol, |factory, _| {
            #[cfg(feature = "tls")]
            if let Some(tls) = tls {
                return factory.build_tls_protocol(peer, &tls);
            }
            factory.build_protocol(peer)
        });
        let refusal = match built {
            Some(Some(protocol)) => {
                match owner {
                    Owner::Listener(listener) => self.listener_prepared(listener),
                    Owner::Connector(connector) => self.is_connected(connector, key),
                    Owner::None => {}
                }
                return Some(protocol);
            }
            Some(None) => Reason::Refused,
            None => Reason::Panicked { callback: Callback::BuildProtocol },
        };
        match owner {
            Owner::Listener(listener) => {
                self.note_turned_away(listener, key);
                self.lose_connection(id, Some(refusal));
            }
            _ => self.abort(id, refusal), // and the connector hears it at once
        }
        None
    }

    fn note_turned_away(&mut self, listener: Key, key: Key) {
        self.monitor.stats.turned_away += 1;
        let Self { sources, monitor, .. } = self;
        if let Some(session) = sources.session(key) {
            let peer = &session.peer;
            monitor
                .note(|| Notice::TurnedAway { listener: ListenerId(listener), peer: peer.clone() });
        }
    }
}
