//! The state that all connections share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client::Client;
use crate::commands::Limits;
use crate::resp::max_request;
use crate::resp::reply::Replies;
use crate::store::{Millis, Store};

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Store,
    /// Replies to the requests being served. The caller of `execute` sends them.
    pub(crate) replies: Replies,
    /// The time of this turn.
    pub(crate) now: Millis,
    pub(crate) limits: Limits,
    pub(crate) status: Status,
}

/// The numbers that INFO reports.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) started: Millis,
    pub(crate) port: u16,
    /// Connections that are open, and all since the start.
    pub(crate) clients: u64,
    pub(crate) connections: u64,
    /// Commands executed, unknown ones included.
    pub(crate) commands: u64,
}

impl Server {
    pub(crate) fn new(max_bulk: usize) -> Self {
        let now = millis_since_1970();
        Self {
            store: Store::default(),
            replies: Replies::default(),
            now,
            limits: Limits { value: max_bulk, reply: max_request(max_bulk) },
            status: Status { started: now, port: 0, clients: 0, connections: 0, commands: 0 },
        }
    }

    pub(crate) fn admit(&mut self, address: String) -> Client {
        self.status.clients += 1;
        self.status.connections += 1;
        Client::new(self.status.connections, address, millis_since_1970())
    }

    pub(crate) fn part_from(&mut self, client: &mut Client) {
        client.unwatch(&mut self.store);
        self.status.clients -= 1;
    }
}

/// The time since 1970, by a clock that can be set.
pub(crate) fn time_since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// It overflows in 292 million years.
pub(crate) fn millis_since_1970() -> Millis {
    time_since_1970().as_millis() as Millis
}
