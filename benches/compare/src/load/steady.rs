//! Work at a pace that is the same for all servers, beside the clients that are measured.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Registry, Token};

use super::{Client, Flood, Group, Place, TIME_LIMIT};

/// The time from one burst of a flood to the next: 250 MiB a second, which takes a server about an eighth of a core
/// where we measured. It is there all the time, and leaves room for the clients.
const BETWEEN_BURSTS: Duration = Duration::from_millis(1);

/// The time from one message of a chat to the next: 20 a second, each to 1,000 members, which takes the limit about a
/// quarter of a core where we measured.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(50);

/// A client with a pace, which is not measured itself.
pub struct Steady {
    client: Box<dyn Client>,
    interval: Duration,
    began: Instant,
    due: Instant,
    /// Whether any of its work has been answered in this run.
    is_answered: bool,
}

impl Steady {
    /// A stream that is sent back.
    ///
    /// # Errors
    ///
    /// If it cannot connect.
    pub fn flood(place: &Place) -> io::Result<Self> {
        Ok(Self::new(Box::new(Flood::in_bursts(place)?), BETWEEN_BURSTS))
    }

    /// A chat.
    ///
    /// # Errors
    ///
    /// If one of its members cannot connect.
    pub fn group(server: SocketAddr, members: usize) -> io::Result<Self> {
        Ok(Self::new(Box::new(Group::new(server, members)?), BETWEEN_MESSAGES))
    }

    fn new(client: Box<dyn Client>, interval: Duration) -> Self {
        let now = Instant::now();
        Self { client, interval, began: now, due: now, is_answered: false }
    }

    /// Begins a run: nothing is owed of the time before.
    pub fn begin(&mut self) {
        let now = Instant::now();
        (self.began, self.due, self.is_answered) = (now, now, false);
    }

    /// Whether the run may end: a server that answers nothing of this work is not measured beside it.
    ///
    /// # Errors
    ///
    /// If there was no answer in time.
    pub fn may_end(&self, now: Instant) -> io::Result<bool> {
        if !self.is_answered && now - self.began > TIME_LIMIT {
            return Err(io::Error::other(format!("beside: no answer for {TIME_LIMIT:?}")));
        }
        Ok(self.is_answered)
    }

    /// Does what is due; its first socket is registered under `token`.
    ///
    /// # Errors
    ///
    /// If one of its connections has failed.
    pub fn go_on(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        while now >= self.due {
            self.due += self.interval;
            self.is_answered |= self.client.begin(registry, token, scratch)?.is_some();
        }
        Ok(())
    }

    /// Reads what has come, and checks it.
    ///
    /// # Errors
    ///
    /// If it is wrong, or a connection has failed.
    pub fn ready(&mut self, socket: usize, scratch: &mut [u8]) -> io::Result<()> {
        self.is_answered |= self.client.ready(socket, scratch)?.is_some();
        Ok(())
    }
}
