//! The state that the two halves of a tunnel share, and the rules that need both.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{TunnelEnd, TunnelHandler, TunnelSide};
use crate::{Address, Callback, ConnectionId, ConnectorId, Handle, Reactor, Reason, Transport};

/// How often a side that waits for the other half looks whether it is still to come.
///
/// The other connection may be lost before its half has taken over, and then nobody is told. This is rare, so
/// it may be slow.
const LOOK: Duration = Duration::from_secs(1);

/// How soon, at the earliest, somebody looks again at a side that is waited for, however short the limit is.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a side may take nothing of what came from one that is lost, before it is reset: as long as an
/// orderly close waits.
const LAST_BYTES: Duration = Duration::from_secs(30);

/// A tunnel. No method calls back, so no borrow meets another.
pub(super) type Shared = Rc<RefCell<Pair>>;

pub(super) struct Pair {
    handler: Box<dyn TunnelHandler>,
    idle: Option<Duration>,
    quiet: Duration,
    stage: Stage,
    /// The reactor shuts down: the tunnel goes on until it is quiet.
    draining: bool,
    near: End,
    far: End,
    first: TunnelSide,
    /// For a half that is dropped, which is told nothing.
    reactor: Option<Handle>,
}

/// Where a tunnel is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// A half has not taken over yet; the far one may be being connected.
    Waiting(Option<ConnectorId>),
    Open,
    /// Nothing had come through it when the reactor shut down, and both sides are closed in order.
    Closing,
    /// One side is lost before it had finished. The other is reset when it has what came from there.
    Resetting,
    /// It was idle, or quiet in a shutdown, and both sides are reset.
    GivenUp,
    /// The far side could not be connected. Nothing more is told.
    Failed,
}

/// The state of one side.
#[derive(Default)]
struct End {
    state: State,
    /// Bytes that came from here.
    bytes: u64,
    /// It has sent all, and this was passed on.
    finished: bool,
    /// Too much waits for it.
    pressed: bool,
    /// The address of its peer.
    addr: Option<Address>,
    /// Its half was dropped: if the connection goes on, it is another protocol's.
    gone: Arc<AtomicBool>,
}

#[derive(Default)]
enum State {
    /// Its half has not taken over.
    #[default]
    Expected,
    Up(ConnectionId),
    /// Lost, or never connected.
    Lost(Reason),
    /// Its half was dropped without a call.
    Dropped,
}

impl Pair {
    pub(super) fn new(
        handler: Box<dyn TunnelHandler>,
        idle: Option<Duration>,
        quiet: Duration,
    ) -> Shared {
        Rc::new(RefCell::new(Self {
            handler,
            idle,
            quiet,
            stage: Stage::Waiting(None),
            draining: false,
            near: End::default(),
            far: End::default(),
            first: TunnelSide::Near,
            reactor: None,
        }))
    }

    /// The far side is being connected.
    pub(super) fn connecting(&mut self, connector: ConnectorId) {
        self.stage = Stage::Waiting(Some(connector));
    }

    /// A half has taken over. With the second of them the tunnel opens.
    pub(super) fn made(&mut self, side: TunnelSide, transport: &mut Transport<'_>) {
        self.end(side).state = State::Up(transport.id());
        self.end(side).addr = Some(transport.peer_addr().clone());
        self.reactor = Some(transport.reactor().handle());
        match &self.end(side.other()).state {
            State::Up(other) => {
                let other = *other;
                self.open(side, transport, other);
            }
            State::Lost(reason) if side == TunnelSide::Near => {
                let reason = reason.clone();
                self.tell_failure(transport, &reason);
            }
            State::Lost(_) | State::Dropped => transport.abort_connection(),
            State::Expected => {
                transport.pause_reading();
                transport.set_timeout(self.limit());
            }
        }
    }

    /// A half was dropped: its end was told already, or it has never taken over, or another protocol has taken over from it.
    pub(super) fn dropped(&mut self, side: TunnelSide) {
        let failed = self.stage == Stage::Failed;
        self.end(side).gone.store(true, Ordering::Relaxed);
        match &mut self.end(side).state {
            state @ State::Expected => *state = State::Dropped,
            State::Up(_) if !failed => self.replaced(side),
            State::Up(_) | State::Lost(_) | State::Dropped => {}
        }
    }

    /// The connection of a side is another protocol's: as if it were lost.
    fn replaced(&mut self, side: TunnelSide) {
        self.note_end(side, &Reason::Aborted);
        let (finished, stage) = (self.end(side).finished, self.stage);
        let other = match self.end(side.other()) {
            End { state: State::Up(id), gone, .. } => Some((*id, Arc::clone(gone))),
            _ => None,
        };
        if stage == Stage::Open && !finished {
            self.stage = Stage::Resetting;
        }
        let Some(reactor) = &self.reactor else { return };
        reactor.call_from_thread(move |reactor| {
            if let Stage::Waiting(Some(connector)) = stage {
                reactor.cancel_connect(connector);
            }
            // A program that takes a tunnel apart has given the other to a protocol, too, or does so next.
            let other = other
                .filter(|(_, gone)| !gone.load(Ordering::Relaxed))
                .and_then(|(id, _)| reactor.transport(id))
                .filter(|other| !other.is_handing_over());
            match other {
                Some(mut other) if stage == Stage::Open && finished => other.lose_connection(),
                Some(mut other) if stage == Stage::Open => reset_behind_the_last_byte(&mut other),
                Some(mut other) if matches!(stage, Stage::Waiting(_)) => other.abort_connection(),
                _ => {}
            }
        });
    }

    pub(super) fn pass(&mut self, side: TunnelSide, transport: &mut Transport<'_>, data: &[u8]) {
        self.handler.passing(side, data);
        self.end(side).bytes += data.len() as u64;
        self.on_other(side, transport, |other| {
            other.write(data);
        });
    }

    pub(super) fn finish(&mut self, side: TunnelSide, transport: &mut Transport<'_>) {
        self.end(side).finished = true;
        self.on_other(side, transport, |other| other.lose_write_connection());
    }

    pub(super) fn press(&mut self, side: TunnelSide, transport: &mut Transport<'_>, on: bool) {
        self.end(side).pressed = on;
        match (self.stage, on) {
            (Stage::Waiting(_), _) => {} // the other side is paused until it opens
            (Stage::Resetting, true) => {}
            (Stage::Resetting, false) => transport.abort_connection(), // it has all there was
            (_, true) => self.on_other(side, transport, |other| other.pause_reading()),
            (_, false) => self.on_other(side, transport, |other| other.resume_reading()),
        }
    }

    /// A tunnel through which nothing has come is in the middle of nothing.
    pub(super) fn shut_down(&mut self, side: TunnelSide, transport: &mut Transport<'_>) {
        // When both were told, both have delivered what had come.
        let both = std::mem::replace(&mut self.draining, true);
        if both && self.stage == Stage::Open && self.near.bytes + self.far.bytes == 0 {
            return self.give_up(side, transport);
        }
        if self.stage != Stage::Resetting {
            transport.set_timeout(self.limit());
        }
    }

    /// One side was silent for as long as it may. The traffic of the other counts, too.
    pub(super) fn silent(&mut self, side: TunnelSide, transport: &mut Transport<'_>) {
        let waiting = matches!(self.stage, Stage::Waiting(_));
        let alone = waiting && matches!(self.end(side.other()).state, State::Dropped);
        if alone || self.stage == Stage::Resetting {
            return transport.abort_connection();
        }
        let Some(limit) = self.limit() else { return };
        let (mut since, mut unsent) = (transport.idle_since(), transport.buffered());
        self.on_other(side, transport, |other| {
            since = since.max(other.idle_since());
            unsent += other.buffered();
        });
        let silent = transport.reactor().now().saturating_duration_since(since);
        if waiting || (self.draining && unsent > 0) {
            transport.set_timeout(Some(limit.max(AGAIN)));
        } else if let Some(rest) = limit.checked_sub(silent).filter(|rest| !rest.is_zero()) {
            transport.set_timeout(Some(rest));
        } else {
            self.give_up(side, transport);
        }
    }

    pub(super) fn lost(
        &mut self,
        side: TunnelSide,
        transport: &mut Transport<'_>,
        reason: &Reason,
    ) {
        self.note_end(side, reason);
        let finished = self.end(side).finished;
        match self.stage {
            Stage::Waiting(connector) => {
                // If it is too late to cancel, the far half finds the near one lost.
                if let Some(connector) = connector {
                    transport.reactor().cancel_connect(connector);
                }
                self.on_other(side, transport, |other| other.abort_connection());
            }
            Stage::Open if self.near.finished && self.far.finished && reason.is_clean() => {}
            Stage::Open if finished => {
                self.on_other(side, transport, |other| other.lose_connection());
            }
            Stage::Open => {
                self.stage = Stage::Resetting;
                self.on_other(side, transport, reset_behind_the_last_byte);
            }
            Stage::Closing | Stage::Resetting | Stage::GivenUp | Stage::Failed => {}
        }
        self.tell_end(transport.reactor());
    }

    /// The far side could not be connected. If the near half has not taken over, it is told when it has.
    pub(super) fn failed(&mut self, reactor: &mut Reactor, reason: &Reason) {
        if let State::Up(near) = self.near.state
            && let Some(mut near) = reactor.transport(near)
        {
            return self.tell_failure(&mut near, reason);
        }
        self.note_end(TunnelSide::Far, reason);
        self.tell_end(reactor);
    }

    /// Has the near side answered. If that panics, it ends the near connection: the callback is mostly one of the
    /// connector's, and the reactor would leave a connection that nobody closes.
    fn tell_failure(&mut self, near: &mut Transport<'_>, reason: &Reason) {
        self.stage = Stage::Failed;
        near.resume_reading(); // the handler may hand it over
        let handler = &mut self.handler;
        if let Err(panic) =
            catch_unwind(AssertUnwindSafe(|| handler.connection_failed(near, reason)))
        {
            let callback = Callback::ConnectionFailed;
            near.abort_connection_because(Reason::Panicked { callback });
            resume_unwind(panic);
        }
        // This fails if it is closing or handed over already.
        if near.set_protocol(Nobody) {
            near.lose_connection();
        }
    }

    fn open(&mut self, side: TunnelSide, transport: &mut Transport<'_>, other: ConnectionId) {
        self.stage = Stage::Open;
        let this = transport.id();
        let (near, far) = if side == TunnelSide::Near { (this, other) } else { (other, this) };
        let (limit, pressed) = (self.limit(), [self.near.pressed, self.far.pressed]);
        let reactor = transport.reactor();
        if let Some(mut near) = reactor.transport(near) {
            self.handler.joined(&mut near, far);
        }
        for (id, other_is_pressed) in [(near, pressed[1]), (far, pressed[0])] {
            if let Some(mut transport) = reactor.transport(id) {
                transport.set_timeout(limit);
                if other_is_pressed {
                    transport.pause_reading();
                } else {
                    transport.resume_reading();
                }
            }
        }
    }

    /// Ends a tunnel in which nothing moves. If something has come through it, nobody here knows whether that was
    /// all: so it ends by a reset, and a part cannot look like the whole.
    fn give_up(&mut self, side: TunnelSide, transport: &mut Transport<'_>) {
        let reason = if self.draining { Reason::Stopped } else { Reason::TimedOut };
        let in_order = self.draining && self.near.bytes + self.far.bytes == 0;
        self.stage = if in_order { Stage::Closing } else { Stage::GivenUp };
        let end = |transport: &mut Transport<'_>| match in_order {
            true => transport.lose_connection_because(Reason::Closed), // and not a timeout
            false => transport.abort_connection_because(reason.clone()),
        };
        self.on_other(side, transport, end);
        end(transport);
    }

    /// How long a side may be silent before somebody looks.
    fn limit(&self) -> Option<Duration> {
        match self.stage {
            Stage::Waiting(Some(_)) => None, // its attempt has an outcome in any case
            Stage::Waiting(None) => Some(LOOK),
            _ if self.draining => Some(self.quiet),
            _ => self.idle,
        }
    }

    fn note_end(&mut self, side: TunnelSide, reason: &Reason) {
        if !matches!(self.end(side.other()).state, State::Lost(_)) {
            self.first = side;
        }
        self.end(side).state = State::Lost(reason.clone());
    }

    fn tell_end(&mut self, reactor: &mut Reactor) {
        if self.stage == Stage::Failed {
            return;
        }
        let (State::Lost(near), State::Lost(far)) = (&self.near.state, &self.far.state) else {
            return;
        };
        let (near, far) = (near.clone(), far.clone());
        let end = TunnelEnd {
            near,
            far,
            near_addr: self.near.addr.clone(),
            far_addr: self.far.addr.clone(),
            first: self.first,
            near_to_far: self.near.bytes,
            far_to_near: self.far.bytes,
        };
        self.handler.ended(reactor, &end);
    }

    fn end(&mut self, side: TunnelSide) -> &mut End {
        match side {
            TunnelSide::Near => &mut self.near,
            TunnelSide::Far => &mut self.far,
        }
    }

    /// Does something to the other connection, if it is up.
    fn on_other(
        &mut self,
        side: TunnelSide,
        transport: &mut Transport<'_>,
        action: impl FnOnce(&mut Transport<'_>),
    ) {
        if let State::Up(id) = self.end(side.other()).state
            && let Some(mut other) = transport.reactor().transport(id)
        {
            action(&mut other);
        }
    }
}

/// Has a side sent what waits for it, and reset then. (The kernel may drop what it has taken and not sent.)
fn reset_behind_the_last_byte(transport: &mut Transport<'_>) {
    if transport.buffered() == 0 {
        return transport.abort_connection();
    }
    transport.pause_reading();
    transport.set_write_buffer_limits(0, 0); // `resume_writing` comes when nothing waits any more
    transport.set_timeout(Some(LAST_BYTES));
}

/// The protocol of a connection that is closed at once, and so is never told.
struct Nobody;

impl crate::Protocol for Nobody {}
