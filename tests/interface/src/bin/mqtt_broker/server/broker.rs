//! The state that all connections share: clients, filters, retained messages.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crocus::{ConnectionId, Reactor};

use super::Limits;
use super::packet::{Connect, Publish, message};
use super::topics::{Filters, is_internal, is_valid, matches};

/// All clients and messages. A client is gone from here as soon as its
/// connection begins to close.
pub(crate) struct Broker {
    pub(crate) limits: Limits,
    clients: HashMap<ConnectionId, Client>,
    connections: HashMap<Rc<str>, ConnectionId>,
    filters: Filters,
    retained: Retained,
    assigned: u64,
}

struct Client {
    name: Rc<str>,
    will: Option<Will>,
    filters: BTreeSet<String>,
    /// How many messages it did not get because it was slow.
    dropped: u64,
}

struct Will {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

/// The result of joining.
pub(crate) struct Joined {
    pub(crate) name: Rc<str>,
    /// The connection of the former client of this name.
    pub(crate) former: Option<ConnectionId>,
}

impl Broker {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut retained = Retained { messages: BTreeMap::new(), bytes: 0, limits };
        retained
            .set("$SYS/broker/version", concat!("crocus ", env!("CARGO_PKG_VERSION")).as_bytes());
        Self {
            limits,
            clients: HashMap::new(),
            connections: HashMap::new(),
            filters: Filters::default(),
            retained,
            assigned: 0,
        }
    }

    /// Adds a client. The caller then removes the former one of its name by [`leave`](Self::leave).
    pub(crate) fn join(&mut self, id: ConnectionId, connect: &Connect<'_>) -> Joined {
        let name = match connect.client {
            "" => self.assign_name(),
            name => name.into(),
        };
        let will = connect.will.as_ref().map(|will| Will {
            topic: will.topic.to_owned(),
            payload: will.payload.to_vec(),
            retain: will.retain,
        });
        let client = Client { name: Rc::clone(&name), will, filters: BTreeSet::new(), dropped: 0 };
        self.clients.insert(id, client);
        Joined { former: self.connections.insert(Rc::clone(&name), id), name }
    }

    fn assign_name(&mut self) -> Rc<str> {
        loop {
            self.assigned += 1;
            let name = format!("assigned-{}", self.assigned);
            if !self.connections.contains_key(name.as_str()) {
                return name.into();
            }
        }
    }

    /// Drops the will of a client, which says goodbye.
    pub(crate) fn forget_will(&mut self, id: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.will = None;
        }
    }

    /// Removes a client, and publishes its will. Without effect if it has left already.
    pub(crate) fn leave(&mut self, reactor: &mut Reactor, id: ConnectionId) {
        let Some(client) = self.clients.remove(&id) else { return };
        for filter in &client.filters {
            self.filters.remove(filter, id);
        }
        if self.connections.get(&client.name) == Some(&id) {
            self.connections.remove(&client.name);
        }
        if client.dropped > 0 {
            log::warn!("{id} {:?} missed {} messages", client.name, client.dropped);
        }
        if let Some(Will { topic, payload, retain }) = client.will {
            let will = Publish { topic: &topic, payload: &payload, retain, qos: 0, id: 0 };
            self.publish(reactor, &will);
        }
    }

    /// Sends a message to its subscribers, and retains it if it says so.
    pub(crate) fn publish(&mut self, reactor: &mut Reactor, publish: &Publish<'_>) {
        let Publish { topic, payload, retain, .. } = *publish;
        if is_internal(topic) {
            return log::debug!("ignored a message to {topic:?}, which is the broker's own");
        }
        if retain {
            self.retained.set(topic, payload);
        }
        let packet = message(topic, payload, false);
        for id in self.filters.subscribers(topic) {
            let Some(mut transport) = reactor.transport(id) else { continue };
            if transport.buffered() <= self.limits.queue {
                transport.write(&packet);
            } else if let Some(client) = self.clients.get_mut(&id) {
                if client.dropped == 0 {
                    log::warn!("{id} {:?} is slow and misses messages", client.name);
                }
                client.dropped += 1;
            }
        }
    }

    /// Subscribes a client. Returns which of the filters are accepted.
    pub(crate) fn subscribe(&mut self, id: ConnectionId, filters: &[&str]) -> Vec<bool> {
        let Some(client) = self.clients.get_mut(&id) else { return vec![false; filters.len()] };
        let mut accept = |filter: &str| {
            if client.filters.contains(filter) {
                return true;
            }
            let accepted = is_valid(filter) && client.filters.len() < self.limits.filters;
            if accepted {
                client.filters.insert(filter.to_owned());
                self.filters.insert(filter, id);
            }
            accepted
        };
        filters.iter().map(|filter| accept(filter)).collect()
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, filters: &[&str]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        for filter in filters {
            if client.filters.remove(*filter) {
                self.filters.remove(filter, id);
            }
        }
    }

    /// The topics of the retained messages that match one of the filters.
    pub(crate) fn retained_topics(&self, filters: &[&str]) -> Vec<Rc<str>> {
        let is_wanted = |topic: &str| filters.iter().any(|filter| matches(filter, topic));
        self.retained.messages.keys().filter(|topic| is_wanted(topic)).cloned().collect()
    }

    /// The retained message of a topic, as a packet.
    pub(crate) fn retained(&self, topic: &str) -> Option<&[u8]> {
        self.retained.messages.get(topic).map(|packet| &**packet)
    }
}

/// The last message of each topic that a client wanted to be retained, as a packet.
struct Retained {
    messages: BTreeMap<Rc<str>, Box<[u8]>>,
    bytes: usize,
    limits: Limits,
}

impl Retained {
    /// Retains a message. One without a payload removes the former one.
    fn set(&mut self, topic: &str, payload: &[u8]) {
        if let Some(former) = self.messages.remove(topic) {
            self.bytes -= topic.len() + former.len();
        }
        if payload.is_empty() {
            return;
        }
        let packet = message(topic, payload, true);
        let bytes = self.bytes + topic.len() + packet.len();
        if bytes > self.limits.retained_bytes || self.messages.len() >= self.limits.retained {
            return log::warn!("too much is retained: {topic:?} is not");
        }
        self.bytes = bytes;
        self.messages.insert(topic.into(), packet.into());
    }
}
