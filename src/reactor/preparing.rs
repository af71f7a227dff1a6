//! Connections that are prepared before they have a protocol: by a PROXY header, by the handshake of TLS.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::Reactor;
use super::source::{Owner, Source};
use crate::address::Address;
use crate::callback::Callback;
use crate::connection::{HAS_STEPS, Step};
use crate::ids::{ConnectionId, ConnectorId, ListenerId};
use crate::observe::{Notice, Subject};
use crate::parts::arena::Key;
use crate::protocol::Protocol;
use crate::reason::Reason;

/// The beginning of a preparation: the first step if there is one, or a panic.
type Begun = thread::Result<Result<Option<Step>, Reason>>;

/// Begins a preparation. A config of TLS may be asked then, and its code may panic.
pub(crate) fn try_to_begin(begin: impl FnOnce() -> Result<Option<Step>, Reason>) -> Begun {
    if HAS_STEPS { catch_unwind(AssertUnwindSafe(begin)) } else { Ok(begin()) }
}

impl Reactor {
    /// Notes the panic of a beginning, which then has failed.
    pub(crate) fn begun(&mut self, subject: Subject, begun: Begun) -> Result<Option<Step>, Reason> {
        begun.unwrap_or_else(|payload| {
            self.note_panic(subject, Callback::TlsConfig, payload);
            Err(Reason::config_panicked())
        })
    }

    /// The first step of the preparation of an outgoing connection. A client of TLS asks the store of its config for a
    /// session here, and a store is the user's code.
    pub(crate) fn first_step(
        &mut self,
        connector: Key,
        peer: &Address,
    ) -> Option<Result<Option<Step>, Reason>> {
        let Self { sources, memory, .. } = self;
        let Source::Connector(found) = sources.get(connector)? else { return None };
        let first = || found.connect.preparations.first(peer, || memory.common.latest.get());
        let begun = try_to_begin(first);
        Some(self.begun(Subject::Connector(ConnectorId(connector)), begun))
    }

    /// A step of a connection's preparation is over: begins the next one, or has its owner make a protocol. `None`:
    /// there is none yet, or the connection is refused and closes.
    pub(super) fn prepared(&mut self, key: Key) -> Option<Box<dyn Protocol>> {
        #[cfg(feature = "proxy")]
        if !self.identify(key) {
            return None;
        }
        if HAS_STEPS { self.build(key) } else { None }
    }

    #[cold]
    #[inline(never)]
    fn build(&mut self, key: Key) -> Option<Box<dyn Protocol>> {
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
                    Owner::Connector(connector) => {
                        if let Some(kind) = self.kind(connector) {
                            kind.connection_prepared(self, connector, key);
                        }
                    }
                    Owner::None => {}
                }
                return Some(protocol);
            }
            Some(None) => Reason::Refused,
            None => Reason::Panicked { callback: Callback::BuildProtocol },
        };
        match owner {
            Owner::Listener(listener) => self.turn_away_prepared(listener, key, refusal),
            _ => self.abort(id, refusal), // and the connector hears it at once
        }
        None
    }

    /// An accepted connection has ended before it had a protocol.
    pub(super) fn ended_unprepared(&mut self, listener: Key, peer: &Address, reason: &Reason) {
        let names_the_peer = match reason {
            #[cfg(feature = "tls")]
            Reason::Tls { .. } => true,
            #[cfg(feature = "proxy")]
            Reason::Proxy { .. } => true,
            _ => false,
        };
        if names_the_peer {
            log::info!("a connection has come to no protocol: {reason}");
        } else {
            log::info!("a connection of {peer} has come to no protocol: {reason}");
        }
        self.listener_prepared(listener);
    }

    /// Closes an accepted connection that has no protocol yet.
    pub(super) fn turn_away_prepared(&mut self, listener: Key, key: Key, reason: Reason) {
        self.monitor.stats.turned_away += 1;
        let Self { sources, monitor, .. } = self;
        if let Some(session) = sources.session(key) {
            let (listener, peer) = (ListenerId(listener), &session.peer);
            monitor.note(|| {
                let (peer, reason) = (peer.clone(), reason.clone());
                Notice::TurnedAway { listener, peer, reason }
            });
        }
        self.lose_connection(ConnectionId(key), Some(reason));
    }
}
