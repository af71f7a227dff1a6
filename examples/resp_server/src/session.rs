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

/// How long a connection that is new when the server stops may still ask: its request may be on the way.
const FIRST_REQUEST: Duration = Duration::from_secs(2);

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
    history: History,
}

/// Whether the client has asked before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History {
    New,
    Asked,
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
            history: History::New,
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

    /// The first requests of a new connection are answered, which closes it: to close it now would lose a request
    /// that its client has sent just before.
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        match self.history {
            History::New => drop(transport.set_timeout(Some(FIRST_REQUEST))),
            History::Asked => transport.default_shutting_down(),
        }
    }

    /// The time for a first request is over. One that was answered closes behind its replies.
    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        if self.history == History::New {
            transport.lose_connection();
        }
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
        let (client, history) = (&mut self.client, &mut self.history);
        let decoded = self.decoder.decode(data, |args| {
            *history = History::Asked;
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
        if self.client.is_leaving || decoded.is_err() || self.was_last(transport) {
            transport.lose_connection();
        }
    }

    /// Whether the server stops, and all that has come is answered.
    fn was_last(&self, transport: &mut Transport<'_>) -> bool {
        let is_answered = self.history == History::Asked && !self.is_held;
        is_answered && transport.reactor().is_stopping()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
    use crocus::testing::{End, Peer, Simulation};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// Of a shutdown; longer than anything that the tests wait for.
    const GRACE: Duration = Duration::from_secs(3600);
    const MAX_BULK: usize = 1 << 20;

    /// A client of a server that stops. It has asked this before.
    fn client_of_the_last_hour(asked: &[u8]) -> (Simulation, Peer) {
        let state = State { server: Server::new(MAX_BULK), alarm: None };
        let shared = Rc::new(RefCell::new(state));
        let client = shared.borrow_mut().server.admit("a client".to_owned());
        let mut simulation = Simulation::new();
        let mut peer = simulation.connect(Session::new(shared, client, MAX_BULK));
        peer.send(asked);
        simulation.settle();
        assert_eq!(peer.received().is_empty(), asked.is_empty());
        simulation.reactor().shutdown(GRACE);
        simulation.settle();
        (simulation, peer)
    }

    #[test]
    fn a_first_request_on_its_way_is_answered_after_the_signal() {
        let (mut simulation, mut peer) = client_of_the_last_hour(b"");
        simulation.advance(FIRST_REQUEST - MS);
        peer.send(b"PI");
        simulation.advance(FIRST_REQUEST - MS);
        assert_eq!(peer.end(), None);
        peer.send(b"NG\r\nPING\r\n");
        simulation.settle();
        assert_eq!(peer.received(), b"+PONG\r\n+PONG\r\n");
        assert_eq!(peer.end(), Some(End::Closed));
    }

    /// It takes the second half of the reply later than a silent client is closed.
    #[test]
    fn a_first_reply_is_whole_however_slowly_it_is_taken() {
        let (mut simulation, mut peer) = client_of_the_last_hour(b"");
        let value = "v".repeat(MAX_BULK);
        let mut requests = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${MAX_BULK}\r\n{value}\r\n");
        requests += "GET k\r\n";
        peer.send_all(&mut simulation, requests.as_bytes()).unwrap();
        let mut reply = peer.receive(MAX_BULK / 2);
        simulation.advance(FIRST_REQUEST * 2);
        loop {
            let more = peer.received();
            if more.is_empty() {
                break;
            }
            reply.extend(more);
            simulation.settle();
        }
        assert!(reply.starts_with(b"+OK\r\n") && reply.ends_with(b"v\r\n"));
        assert_eq!(reply.len(), format!("+OK\r\n${MAX_BULK}\r\n\r\n").len() + MAX_BULK);
        assert_eq!(peer.end(), Some(End::Closed));
    }

    #[test]
    fn a_new_client_that_says_nothing_is_not_waited_for_long() {
        let (mut simulation, mut peer) = client_of_the_last_hour(b"");
        simulation.advance(FIRST_REQUEST);
        assert_eq!((peer.received(), peer.end()), (vec![], Some(End::Closed)));
    }

    #[test]
    fn a_client_that_was_answered_is_closed_at_once() {
        let (_simulation, mut peer) = client_of_the_last_hour(b"PING\r\n");
        assert_eq!(peer.end(), Some(End::Closed));
    }
}
