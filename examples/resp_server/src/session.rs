//! One connection: requests in, replies out, and how the one waits for the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use crocus::{Protocol, Reactor, Reason, TimerId, Transport};

use crate::client::Client;
use crate::commands;
use crate::resp::decoder::Decoder;
use crate::server::{Server, millis_since_1970};
use crate::store::Millis;

/// While more bytes of replies than this wait, requests wait too: as many as one read brings.
const HIGH_WATER: usize = 64 * 1024;

/// Requests go on at this many bytes: a quarter, so that the kernel has data to send meanwhile.
const LOW_WATER: usize = HIGH_WATER / 4;

/// How much of a big value is copied for the kernel at once.
const PORTION: usize = 64 * 1024;

/// How many expired keys are removed in one turn. A million may expire together; at about a
/// microsecond each they would keep the clients waiting for a second.
const EXPIRED_AT_ONCE: usize = 1000;

/// The longest wait for the next expiry, in milliseconds. If the clock is set forward, keys that have
/// expired are still in memory for so long.
const LONGEST_ALARM: u64 = 60_000;

/// How long a peer that sent no valid request may take nothing of what it is still sent. Redis closes
/// at once, and so may reset the connection before its error has arrived.
const REFUSED_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The state that all connections share.
pub(crate) type Shared = Rc<RefCell<State>>;

pub(crate) struct State {
    pub(crate) server: Server,
    /// The timer that removes expired keys, and the expiry it is for: the next one, or one before.
    pub(crate) alarm: Option<(TimerId, Millis)>,
}

/// One client's connection.
pub(crate) struct Session {
    shared: Shared,
    client: Client,
    decoder: Decoder,
    /// Replies with big values, which are sent in portions. Only while it is held.
    unsent: VecDeque<Bytes>,
    /// Requests are kept, since too many replies wait to be sent: `resume_writing` will come.
    is_held: bool,
    /// The client has closed its half: no more bytes come.
    is_last: bool,
}

impl Session {
    pub(crate) fn new(shared: Shared, client: Client, max_bulk: usize) -> Self {
        Self {
            shared,
            client,
            decoder: Decoder::new(max_bulk),
            unsent: VecDeque::new(),
            is_held: false,
            is_last: false,
        }
    }
}

impl Protocol for Session {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER);
        transport.allow_truncation(true); // a request tells its end itself
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        if self.is_held {
            self.decoder.keep(data);
        } else {
            self.answer(transport, data);
        }
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.is_last = true;
        self.go_on(transport);
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        transport.pause_reading();
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.send(transport);
        if self.is_held && self.unsent.is_empty() {
            self.answer(transport, &[]);
        }
        self.go_on(transport);
    }

    fn connection_lost(&mut self, _transport: &mut Transport<'_>, reason: &Reason) {
        if let Reason::Tls { error } = reason {
            log::info!("{error}"); // it names the peer
        }
        self.shared.borrow_mut().server.part_from(&mut self.client);
    }
}

impl Session {
    /// Answers the complete requests, until too much waits to be sent.
    fn answer(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let room = HIGH_WATER.saturating_sub(transport.buffered());
        let mut state = self.shared.borrow_mut();
        let State { server, alarm } = &mut *state;
        server.replies.clear(); // a panic would have left some
        server.replies.version = self.client.version;
        server.now = millis_since_1970();
        let client = &mut self.client;
        let decoded = self.decoder.decode(data, |args| {
            commands::execute(server, client, args);
            let goes_on = !client.is_leaving && server.replies.len() <= room;
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        self.is_held = decoded.is_ok_and(|flow| flow.is_break()) && !self.client.is_leaving;
        if let Err(error) = decoded {
            log::info!("{}: {error}", transport.peer_addr());
            server.replies.error(format!("ERR Protocol error: {error}").as_bytes());
            transport.set_close_timeout(REFUSED_CLOSE_TIMEOUT);
        }
        match server.replies.bytes() {
            Some(bytes) => {
                transport.write(bytes);
            }
            None => self.unsent = server.replies.take_pieces(),
        }
        server.replies.clear();
        let next = server.store.next_deadline();
        let is_sooner = next.is_some_and(|end| alarm.is_none_or(|(_, due)| end < due));
        drop(state);
        if is_sooner {
            set_alarm(&self.shared, transport.reactor());
        }
        self.send(transport);
        debug_assert!(self.is_held || self.unsent.is_empty(), "what fits is sent");
        if self.client.is_leaving || decoded.is_err() {
            transport.lose_connection();
        }
    }

    /// Sends portions of big values, as long as no more than the high-water mark waits.
    fn send(&mut self, transport: &mut Transport<'_>) {
        while let Some(piece) = self.unsent.front_mut()
            && transport.buffered() <= HIGH_WATER
        {
            let portion = piece.split_to(piece.len().min(PORTION));
            if piece.is_empty() {
                self.unsent.pop_front();
            }
            transport.write(&portion);
        }
    }

    /// Unless requests are kept, reads on; closes instead if the client has closed its half.
    fn go_on(&self, transport: &mut Transport<'_>) {
        if self.is_held {
            return;
        }
        if self.is_last {
            transport.lose_connection();
        } else {
            transport.resume_reading();
        }
    }
}

/// Sets the timer that removes keys when they expire.
fn set_alarm(shared: &Shared, reactor: &mut Reactor) {
    let State { server, alarm } = &mut *shared.borrow_mut();
    let Some(end) = server.store.next_deadline() else { return };
    if let Some((timer, _)) = alarm.take() {
        reactor.cancel_timer(timer);
    }
    let delay = u64::try_from(end - server.now).unwrap_or(0).min(LONGEST_ALARM);
    let state = Rc::clone(shared);
    let expire = move |reactor: &mut Reactor| expire(&state, reactor);
    *alarm = Some((reactor.call_later(Duration::from_millis(delay), expire), end));
}

/// Removes expired keys; if there are too many, the rest in the next turn.
fn expire(shared: &Shared, reactor: &mut Reactor) {
    {
        let State { server, alarm } = &mut *shared.borrow_mut();
        *alarm = None;
        server.now = millis_since_1970();
        let now = server.now;
        server.store.expire(now, EXPIRED_AT_ONCE);
    }
    set_alarm(shared, reactor);
}
