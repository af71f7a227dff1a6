//! Filters of topics: their rules, and a tree that finds the subscribers of a topic.

use std::collections::{HashMap, HashSet};

use crocus::ConnectionId;

/// How many levels a filter may have. It bounds the depth of the tree.
const MAX_LEVELS: usize = 32;

/// How many bytes a filter may have.
const MAX_LENGTH: usize = 1024;

/// Whether `filter` keeps the rules of MQTT and the limits of this broker.
pub(crate) fn is_valid(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').take(MAX_LEVELS + 1).collect();
    let is_level = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at + 1 == levels.len(),
        level => !level.contains(['+', '#']),
    };
    !filter.is_empty()
        && filter.len() <= MAX_LENGTH
        && levels.len() <= MAX_LEVELS
        && levels.iter().enumerate().all(is_level)
}

/// Whether `topic` is one of the broker's own, which a wildcard at the front does not match.
pub(crate) fn is_internal(topic: &str) -> bool {
    topic.starts_with('$')
}

/// Whether a valid `filter` matches `topic`.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if is_internal(topic) && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true, // it matches its parent too
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// All filters, as a tree of their levels.
#[derive(Default)]
pub(crate) struct Filters {
    children: HashMap<Box<str>, Self>,
    subscribers: HashSet<ConnectionId>,
}

impl Filters {
    pub(crate) fn insert(&mut self, filter: &str, subscriber: ConnectionId) {
        let mut node = self;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        node.subscribers.insert(subscriber);
    }

    pub(crate) fn remove(&mut self, filter: &str, subscriber: ConnectionId) {
        let (level, rest) = split(filter);
        if let Some(child) = self.children.get_mut(level) {
            match rest {
                Some(rest) => child.remove(rest, subscriber),
                None => _ = child.subscribers.remove(&subscriber),
            }
            if child.children.is_empty() && child.subscribers.is_empty() {
                self.children.remove(level);
            }
        }
    }

    /// The subscribers of `topic`, each once, however many of its filters match.
    pub(crate) fn subscribers(&self, topic: &str) -> HashSet<ConnectionId> {
        let mut found = HashSet::new();
        self.collect(Some(topic), !is_internal(topic), &mut found);
        found
    }

    /// Collects the subscribers below this node; `topic` is what is left of the name.
    fn collect(&self, topic: Option<&str>, wild: bool, found: &mut HashSet<ConnectionId>) {
        if wild && let Some(all) = self.children.get("#") {
            found.extend(&all.subscribers);
        }
        let Some(topic) = topic else {
            found.extend(&self.subscribers);
            return;
        };
        let (level, rest) = split(topic);
        if let Some(child) = self.children.get(level) {
            child.collect(rest, true, found);
        }
        if wild && let Some(child) = self.children.get("+") {
            child.collect(rest, true, found);
        }
    }
}

/// The first level, and the others behind its slash.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (name, None),
    }
}
