//! A factory of clients that writes down what it hears.

use crocus::{Address, Connector, Factory, Protocol, Reason};

use super::{Log, tag};

/// A factory of clients that writes down what it hears: `a failed …`, `a lost …` (as `a owner lost …`).
pub struct RecordingClient<B> {
    pub log: Log,
    pub name: String,
    pub build: B,
    pub on_failed: Option<Box<dyn FnMut(&mut Connector, &Reason)>>,
    pub on_lost: Option<Box<dyn FnMut(&mut Connector, &Reason)>>,
}

impl<B: FnMut(Address) -> Option<Box<dyn Protocol>>> RecordingClient<B> {
    pub fn new(log: &Log, name: &str, build: B) -> Self {
        let (log, name) = (log.clone(), name.to_owned());
        Self { log, name, build, on_failed: None, on_lost: None }
    }

    pub fn on_failed(mut self, then: impl FnMut(&mut Connector, &Reason) + 'static) -> Self {
        self.on_failed = Some(Box::new(then));
        self
    }

    pub fn on_lost(mut self, then: impl FnMut(&mut Connector, &Reason) + 'static) -> Self {
        self.on_lost = Some(Box::new(then));
        self
    }
}

impl<B: FnMut(Address) -> Option<Box<dyn Protocol>>> Factory for RecordingClient<B> {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        (self.build)(peer)
    }

    fn connection_failed(&mut self, connector: &mut Connector, reason: &Reason) {
        self.log.push(format!("{} failed {}", self.name, tag(reason)));
        if let Some(then) = &mut self.on_failed {
            then(connector, reason);
        }
    }

    fn connection_lost(&mut self, connector: &mut Connector, reason: &Reason) {
        self.log.push(format!("{} owner lost {}", self.name, tag(reason)));
        if let Some(then) = &mut self.on_lost {
            then(connector, reason);
        }
    }
}
