//! Lookups of names, which may take time.
//!
//! The reactor gives its lookups to the network instead of to threads.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::network::Network;
use crate::parts::clock::later;
use crate::parts::pool::Job;

#[derive(Default)]
pub(crate) struct SlowNames {
    /// How long the lookup of a name takes, if it takes time.
    times: HashMap<String, Duration>,
    /// Lookups under way, with their ends, in the order in which they began.
    under_way: Vec<(Instant, Job)>,
}

impl SlowNames {
    pub(crate) fn set(&mut self, name: &str, takes: Duration) {
        self.times.insert(name.to_owned(), takes);
    }

    pub(crate) fn is_slow(&self, name: &str) -> bool {
        self.times.get(name).is_some_and(|takes| !takes.is_zero())
    }

    /// Begins a lookup, whose `answer` is called at its end.
    pub(crate) fn begin(&mut self, now: Instant, name: &str, answer: Job) {
        let takes = self.times.get(name).copied().unwrap_or_default();
        self.under_way.push((later(now, takes), answer));
    }

    /// Ends the lookups whose time has come.
    pub(super) fn step(&mut self, now: Instant) {
        for (_, answer) in self.under_way.extract_if(.., |(end, _)| *end <= now) {
            answer();
        }
    }

    pub(super) fn next_event(&self) -> Option<Instant> {
        self.under_way.iter().map(|(end, _)| *end).min()
    }
}

impl fmt::Debug for SlowNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowNames")
            .field("under_way", &self.under_way.len())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// The addresses of a name, as a lookup would answer.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.hosts.get(host) {
            Some(ips) => Ok(ips.iter().map(|ip| SocketAddr::from((*ip, port))).collect()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such host in the simulation")),
        }
    }
}
