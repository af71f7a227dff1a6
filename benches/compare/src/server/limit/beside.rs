//! `echo`, beside other work of the same loop.

use std::time::Duration;

use libc::c_int;

use super::super::ticking::Ticking;
use super::calls::{FOR_EVER, Fd};
use super::{Broadcast, Echo, Service};

/// Beside a chat of the first connections.
pub struct BesideBroadcast {
    members: usize,
    chat: Broadcast,
    echo: Echo,
    /// By descriptor.
    is_member: Vec<bool>,
}

impl BesideBroadcast {
    pub fn new(members: u64) -> Self {
        let (chat, echo) = (Broadcast::default(), Echo::default());
        Self { members: members as usize, chat, echo, is_member: Vec::new() }
    }
}

impl Service for BesideBroadcast {
    fn made(&mut self, fd: Fd) {
        let is_member = self.chat.all.len() < self.members;
        if is_member {
            self.chat.made(fd);
        }
        let known = self.is_member.len().max(fd as usize + 1);
        self.is_member.resize(known, false);
        self.is_member[fd as usize] = is_member;
    }

    fn ready(&mut self, fd: Fd, events: u32, buffer: &mut [u8]) -> bool {
        if self.is_member[fd as usize] {
            self.chat.ready(fd, events, buffer)
        } else {
            self.echo.ready(fd, events, buffer)
        }
    }

    fn lost(&mut self, fd: Fd) {
        self.chat.lost(fd);
        self.echo.lost(fd);
    }
}

/// Beside timers.
pub struct BesideTimers {
    timers: Ticking,
    echo: Echo,
}

impl BesideTimers {
    pub fn new(count: u64) -> Self {
        Self { timers: Ticking::new(count), echo: Echo::default() }
    }
}

impl Service for BesideTimers {
    fn ready(&mut self, fd: Fd, events: u32, buffer: &mut [u8]) -> bool {
        self.echo.ready(fd, events, buffer)
    }

    fn lost(&mut self, fd: Fd) {
        self.echo.lost(fd);
    }

    fn before_waiting(&mut self) -> c_int {
        self.timers.fire().map_or(FOR_EVER, in_milliseconds)
    }
}

/// Rounded up: a loop that wakes early turns for nothing.
fn in_milliseconds(wait: Duration) -> c_int {
    wait.as_nanos().div_ceil(1_000_000) as c_int
}
