//! Random protocols, factories and functions inside the reactor, and the actions that they may take.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::panic_any;
use std::process;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crocus::testing::SimulatedClock;
use crocus::{
    Address, Backoff, Connect, Connector, Factory, Listen, ListenerId, Protocol, Rate, Reactor,
    Reason, Reconnecting, TimerId, Transport,
};

use crate::allowance::Allowance;
use crate::awaited::Tasks;
use crate::chance::{Action, Chance, Profile};
use crate::ledger::{Call, Client, Ledger, Limits, Progress, Server, Timer, expected_bytes};
use crate::secured::{Line, OWN, Secrets, Side};

/// A world stays small: so many ends of connections, listeners, timers.
const MAX_PARTIES: usize = 40;
const MAX_SERVERS: usize = 6;
const MAX_TIMERS: usize = 60;

/// Addresses outside where somebody listens.
pub const OUTSIDE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6000),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 6000),
];

/// The payload of a panic that is meant to happen.
pub struct OnPurpose;

/// A file with these bytes, and without a name.
fn file_of(bytes: &[u8]) -> File {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("crocus-world-{}-{number}", process::id()));
    fs::write(&path, bytes).unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(path).unwrap();
    file
}

/// State that everybody in one world shares.
pub struct Scene {
    pub chance: Chance,
    /// The clock that a working callback winds, so that nothing in here may take the time of the turn for now.
    pub clock: SimulatedClock,
    pub profile: &'static Profile,
    pub ledger: RefCell<Ledger>,
    pub tasks: Tasks,
    /// For worlds that are secured.
    pub secrets: Option<Secrets>,
    /// Addresses and names that a client may connect to.
    pub places: RefCell<Vec<String>>,
    /// How long segments travel now.
    pub latency: Cell<Duration>,
    /// The party whose protocol is being told something.
    telling: Cell<Option<usize>>,
    /// While it is set, no actor starts an action.
    pub quiet: Cell<bool>,
    /// With none left, no actor starts an action, so that the world ends.
    pub actions_left: Cell<usize>,
    pub trace: bool,
    /// All that is noted, in a number, if anybody asks for that.
    pub history: Cell<Option<u64>>,
}

impl Scene {
    pub fn new(
        chance: Chance,
        clock: SimulatedClock,
        profile: &'static Profile,
        limits: Limits,
        secrets: Option<Secrets>,
        trace: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            secrets,
            chance,
            clock,
            profile,
            ledger: RefCell::new(Ledger::new(limits)),
            tasks: Tasks::default(),
            places: RefCell::default(),
            latency: Cell::default(),
            telling: Cell::default(),
            quiet: Cell::new(false),
            actions_left: Cell::new(400),
            trace,
            history: Cell::new(None),
        })
    }

    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(before) = self.history.get() {
            let mut hasher = DefaultHasher::new();
            (before, what()).hash(&mut hasher);
            return self.history.set(Some(hasher.finish()));
        }
        if self.trace {
            eprintln!("{}", what());
        }
    }

    /// After how long an address outside answers somebody who connects; `None` if it may not, or if that is not
    /// all.
    pub fn answers_after(&self, to: &Address) -> Option<Duration> {
        if self.profile.secured {
            return None; // a handshake comes behind it
        }
        let answers = to.socket_addr().is_some_and(|to| OUTSIDE.contains(&to));
        answers.then(|| self.latency.get())
    }

    pub fn has_room(&self) -> bool {
        self.ledger.borrow().parties.len() < MAX_PARTIES
    }

    pub fn new_actor(self: &Rc<Self>, line: Line) -> Actor {
        let who = self.ledger.borrow_mut().new_protocol();
        self.ledger.borrow_mut().parties[who].line = line;
        if matches!(line, Line::Begins(_)) {
            return Actor { scene: Rc::clone(self), who, number: 0 };
        }
        if self.profile.answers > 0 && self.chance.one_in(self.profile.answers) {
            self.ledger.borrow_mut().parties[who].owes = self.chance.size(8000);
        }
        Actor { scene: Rc::clone(self), who, number: 0 }
    }

    pub fn enter(self: &Rc<Self>, callback: &'static str) -> Inside {
        self.ledger.borrow_mut().enter(callback);
        Inside(Rc::clone(self))
    }

    pub fn may_act(&self) -> bool {
        !self.quiet.get() && self.actions_left.get() > 0
    }

    pub fn may_panic(&self) -> bool {
        let every = self.profile.panics;
        every > 0 && self.may_act() && self.chance.one_in(every)
    }

    /// Some actions, as a callback may do them.
    pub fn act(self: &Rc<Self>, reactor: &mut Reactor, me: Option<usize>) {
        let actions = self.chance.weighted(&[(5, 0), (5, 1), (2, 2), (1, 4)]);
        for _ in 0..actions {
            self.action(reactor, me);
        }
    }

    /// One action of `me`'s, or of somebody who is no connection.
    pub fn action(self: &Rc<Self>, reactor: &mut Reactor, me: Option<usize>) {
        if !self.may_act() {
            return;
        }
        self.actions_left.set(self.actions_left.get() - 1);
        let action = self.chance.weighted(self.profile.actions);
        self.note(|| format!("  {me:?} {action:?}"));
        match action {
            Action::Elsewhere => {
                let somebody = self.somebody();
                self.of_connection(reactor, somebody);
            }
            Action::SetReactorTimer => self.set_reactor_timer(reactor),
            Action::Every => self.set_ticker(reactor),
            Action::CancelTimer => self.cancel_timer(reactor),
            Action::ResetTimer => self.reset_timer(reactor),
            Action::Soon => self.call_soon(reactor),
            Action::Connect => self.connect(reactor),
            Action::GiveUp => self.give_up(reactor),
            Action::Listen => self.listen(reactor),
            Action::StopListening | Action::PauseAccepting | Action::ResumeAccepting => {
                self.of_listener(reactor, action);
            }
            Action::Spawn => self.spawn_some(reactor),
            Action::Meddle => self.meddle(),
            Action::Post => self.post(reactor),
            Action::Ask => self.ask(reactor),
            Action::Work => self.clock.advance(self.chance.millis(1, 120)),
            Action::Nest => {
                if self.ledger.borrow().is_inside() {
                    let nested = reactor.turn(None).is_ok() || reactor.run().is_ok();
                    self.ledger.borrow_mut().demand(!nested, || "it nested".to_owned());
                }
            }
            Action::Stop => self.stop(reactor),
            Action::Shutdown => {
                let grace = self.chance.millis(0, 100);
                self.shutdown(reactor, grace);
            }
            _ => self.with_connection(reactor, me, action),
        }
    }

    /// Picks any protocol that was ever made; most ids are stale after a while.
    fn somebody(&self) -> Option<usize> {
        let ledger = self.ledger.borrow();
        let made: Vec<usize> = ledger.ids.values().copied().collect();
        self.chance.pick(&made).copied()
    }

    fn of_connection(self: &Rc<Self>, reactor: &mut Reactor, who: Option<usize>) {
        let action = self.chance.weighted(&[
            (6, Action::Write),
            (1, Action::PauseReading),
            (2, Action::ResumeReading),
            (2, Action::Lose),
            (1, Action::LoseWrite),
            (1, Action::Abort),
            (1, Action::SetTimer),
            (1, Action::SetTimeout),
            (1, Action::Swap),
            (1, Action::SetRate),
        ]);
        let calm = self.profile.name == "calm" && matches!(action, Action::Abort);
        self.with_connection(reactor, who, if calm { Action::Write } else { action });
    }

    /// A command to a connection, which may be gone.
    fn with_connection(self: &Rc<Self>, reactor: &mut Reactor, who: Option<usize>, action: Action) {
        let Some(who) = who else { return };
        let Some(id) = self.ledger.borrow().parties[who].id else { return };
        let gone = self.ledger.borrow().parties[who].lost.is_some();
        let (owes, framed) = {
            let party = &self.ledger.borrow().parties[who];
            (party.owes > 0, party.is_framed())
        };
        let foreign = self.telling.get() != Some(who);
        let swaps = matches!(action, Action::Swap | Action::TakeOver);
        if self.ledger.borrow().parties[who].is_task
            && !matches!(action, Action::Lose | Action::LoseWrite | Action::Abort)
        {
            return; // the rest is its task's
        }
        if owes || (framed && foreign && swaps) {
            return; // nobody meddles with an answer; and a begun frame is known to its protocol only
        }
        let turn = reactor.stats().turns;
        let Some(mut transport) = reactor.transport(id) else { return };
        if gone {
            self.ledger.borrow_mut().object(format!("{who} is lost, but {id} is somebody"));
            return;
        }
        match action {
            Action::Write => {
                self.write(&mut transport, who, self.chance.size(self.profile.max_write));
            }
            Action::PauseReading => {
                transport.pause_reading();
                self.ledger.borrow_mut().parties[who].paused = true;
            }
            Action::ResumeReading => {
                transport.resume_reading();
                self.ledger.borrow_mut().parties[who].paused = false;
            }
            Action::Lose => self.lose(&mut transport, who),
            Action::LoseWrite if self.is_in_clear(who) => {} // TLS could not begin any more
            Action::LoseWrite => {
                transport.lose_write_connection();
                self.ledger.borrow_mut().parties[who].write_closed = true;
            }
            Action::Abort => {
                self.ledger.borrow_mut().parties[who].aborted = true;
                transport.abort_connection();
            }
            Action::SetTimeout => self.set_timeout(&mut transport, who),
            Action::SetTimer => self.set_timer(&mut transport, who, turn),
            Action::Swap => self.swap(&mut transport, who),
            Action::TakeOver => self.take_over(&mut transport, who),
            Action::SetRate => self.set_rate(&mut transport, who),
            Action::AllowTruncation => self.allow_truncation(&mut transport, who),
            Action::SetMarks => {
                let (high, low) = (self.chance.size(1000), self.chance.size(1000));
                transport.set_write_buffer_limits(high, low);
                self.ledger.borrow_mut().parties[who].marks = (high, low.min(high));
            }
            Action::SetCloseTimeout if !transport.is_closing() => {
                let limit = self.chance.millis(1, 300);
                transport.set_close_timeout(limit);
                self.ledger.borrow_mut().parties[who].close_timeout = limit;
            }
            _ => {}
        }
        let closing = transport.is_closing();
        let now = self.clock.now();
        let mut ledger = self.ledger.borrow_mut();
        let ends = matches!(action, Action::Lose | Action::Abort);
        let known = ledger.parties[who].closing.is_some() || ends;
        ledger.demand(closing || !known, || format!("{who} was closed and takes it back"));
        if closing {
            ledger.close(who, now);
        }
    }

    /// Writes as much of an answer as is asked for, and closes behind its end.
    fn answer(&self, transport: &mut Transport, who: usize) {
        while self.ledger.borrow().parties[who].owes > 0 {
            let (high, _) = transport.write_buffer_limits();
            let owed = self.ledger.borrow().parties[who].owes;
            let size = self.chance.size(self.profile.max_write).min(owed);
            if transport.buffered() > high || !self.write(transport, who, size) {
                return;
            }
            self.ledger.borrow_mut().parties[who].owes -= size;
            if size == owed {
                self.lose(transport, who);
            }
        }
    }

    /// Writes so many bytes; returns whether they were taken.
    pub fn write(&self, transport: &mut Transport, who: usize, size: usize) -> bool {
        let size = self.writable(who, size);
        if size == 0 {
            return false;
        }
        let said = self.ledger.borrow().parties[who].sent;
        let data = expected_bytes(who, said, said + size);
        let (before, was_closing) = (transport.buffered(), transport.is_closing());
        let taken = self.hand_in(transport, who, &data);
        let after = transport.buffered();
        let turn = transport.reactor().stats().turns;
        let mut ledger = self.ledger.borrow_mut();
        // TLS may have added bytes of its own to what was left.
        let own = if ledger.parties[who].uses_tls() { OWN } else { 0 };
        let cap = ledger.limits.cap;
        // Bytes written in this turn or the last may not have had a chance to leave.
        let left = before.saturating_sub(ledger.parties[who].fresh.of(turn));
        if taken {
            ledger.parties[who].sent += data.len();
            ledger.parties[who].fresh.add(turn, data.len());
        } else if before > cap {
            ledger.parties[who].overflowed = true;
        } else if !transport.is_closing() && !ledger.parties[who].write_closed {
            // Sending failed, and what came before is still being delivered.
            ledger.parties[who].broken = true;
        }
        let party = &ledger.parties[who];
        let shut = party.closing.is_some() || party.write_closed || party.broken || was_closing;
        let filed = party.filed; // files do not count for the cap
        let fits = left <= cap + own || filed;
        let right = if taken { !shut && fits } else { shut || before > cap };
        ledger.demand(right, || format!("{who} wrote: {taken}, {before} before, {left} left"));
        let bound = cap + own + ledger.parties[who].fresh.of(turn);
        ledger.demand(!taken || filed || after <= bound, || format!("{who} buffers {after} bytes"));
        let wanted = if taken { before + data.len() } else { before };
        ledger.demand(after == wanted, || format!("{who} buffers {after}, not {wanted} bytes"));
        taken
    }

    /// Has bytes sent in one of three ways.
    fn hand_in(&self, transport: &mut Transport, who: usize, data: &[u8]) -> bool {
        match self.chance.below(24) {
            0 => {
                self.ledger.borrow_mut().parties[who].filed = true;
                let (before, behind) = (self.chance.below(3), self.chance.below(3));
                let file = file_of(&[&vec![0; before], data, &vec![0; behind]].concat());
                let before = before as u64;
                transport.send_file(file, before..before + data.len() as u64).unwrap()
            }
            1..=8 => transport.write_owned(data.to_vec()),
            _ => transport.write(data),
        }
    }

    pub fn lose(&self, transport: &mut Transport, who: usize) {
        let mut ledger = self.ledger.borrow_mut();
        ledger.parties[who].asked_to_close = true;
        if !self.chance.one_in(4) {
            drop(ledger);
            return transport.lose_connection();
        }
        ledger.parties[who].closed_because |= !transport.is_closing();
        drop(ledger);
        transport.lose_connection_because(Reason::protocol("enough"));
    }

    fn set_timeout(&self, transport: &mut Transport, who: usize) {
        let limit = (!self.chance.one_in(4)).then(|| self.chance.millis(1, 100));
        let open = !transport.is_closing();
        let before = transport.set_timeout(limit);
        let now = self.clock.now();
        let mut ledger = self.ledger.borrow_mut();
        let known = ledger.parties[who].timeout.map(|(limit, _)| limit);
        ledger.demand(!open || before == known, || {
            format!("the timeout of {who} was {before:?}, not {known:?}")
        });
        ledger.parties[who].timeout = limit.filter(|_| open).map(|limit| (limit, now));
    }

    /// Another protocol takes over, and gets some of what came last once more.
    fn swap(self: &Rc<Self>, transport: &mut Transport, who: usize) {
        let (number, bytes) = self.begin_exchange(who);
        let next = Actor { scene: Rc::clone(self), who, number };
        let open = !transport.is_closing();
        let done = transport.set_protocol(self.dress(next));
        if done {
            transport.unread(&bytes);
        }
        let mut ledger = self.ledger.borrow_mut();
        let possible = open && ledger.parties[who].successor.is_none();
        ledger.demand(done == possible, || format!("{who} handed over: {done}"));
        if done {
            ledger.handed_over(who, number, bytes.len());
        }
    }

    /// The number of a further protocol of `who`, and the bytes that it gets once more.
    pub fn begin_exchange(&self, who: usize) -> (usize, Vec<u8>) {
        let (number, other_side, got) = {
            let mut ledger = self.ledger.borrow_mut();
            let number = ledger.new_successor(who);
            (number, ledger.parties[who].other_side, ledger.parties[who].got)
        };
        let mut most = if other_side.is_some() && self.chance.one_in(2) { got } else { 0 };
        if self.ledger.borrow().parties[who].line == Line::Handshaking {
            most = 0; // it would go to TLS
        }
        let unused = self.chance.below(most + 1);
        let bytes = other_side
            .map(|other_side| expected_bytes(other_side, got - unused, got))
            .unwrap_or_default();
        (number, bytes)
    }

    /// Sets a rate at which one write passes while the world rests.
    fn set_rate(&self, transport: &mut Transport, who: usize) {
        let chosen = (!self.chance.one_in(3))
            .then(|| (self.chance.between(20_000, 200_000), self.chance.size(2000)));
        let rate = chosen
            .map(|(per_second, burst)| Rate::per_second(per_second as u64).burst(burst as u64));
        let reading = self.chance.one_in(2);
        if reading {
            transport.set_read_rate(rate);
        } else {
            transport.set_write_rate(rate);
        }
        let mut ledger = self.ledger.borrow_mut();
        let party = &mut ledger.parties[who];
        party.throttled = true;
        let allowance = if reading { &mut party.may_read } else { &mut party.may_write };
        *allowance = chosen.map(|(per_second, burst)| {
            Allowance::set(allowance.take(), per_second, burst, self.clock.now())
        });
    }

    fn set_timer(&self, transport: &mut Transport, who: usize, turn: u64) {
        if self.ledger.borrow().timers.len() >= MAX_TIMERS {
            return;
        }
        let delay = self.chance.millis(0, 40);
        let id = transport.call_later(delay);
        let alive =
            !transport.is_closing() && self.ledger.borrow().parties[who].successor.is_none();
        let deadline = self.clock.now() + delay;
        let timer = Timer { id, owner: Some(who), deadline, set_in: turn, interval: None, alive };
        self.ledger.borrow_mut().timers.push(timer);
    }

    fn set_reactor_timer(self: &Rc<Self>, reactor: &mut Reactor) {
        if self.ledger.borrow().timers.len() >= MAX_TIMERS {
            return;
        }
        let delay = self.chance.millis(0, 40);
        let (deadline, set_in) = (self.clock.now() + delay, reactor.stats().turns);
        let number = self.ledger.borrow().timers.len();
        let function = Function::new(self, Task::Timer(number));
        let id = reactor.call_later(delay, move |reactor| {
            let scene = Rc::clone(&function.scene);
            let _inside = scene.enter("a timer");
            let (turn, now) = (reactor.stats().turns, reactor.now());
            scene.ledger.borrow_mut().fires(number, turn, now);
            scene.act_or_panic(reactor);
        });
        let timer = Timer { id, owner: None, deadline, set_in, interval: None, alive: true };
        self.ledger.borrow_mut().timers.push(timer);
    }

    fn set_ticker(self: &Rc<Self>, reactor: &mut Reactor) {
        if self.ledger.borrow().timers.len() >= MAX_TIMERS {
            return;
        }
        let interval = self.chance.millis(1, 20);
        let (deadline, set_in) = (self.clock.now() + interval, reactor.stats().turns);
        let number = self.ledger.borrow().timers.len();
        let function = Function::new(self, Task::Timer(number));
        let mut ticks = self.chance.between(1, 5);
        let id = reactor.call_every(interval, move |reactor, tick| {
            let scene = Rc::clone(&function.scene);
            let _inside = scene.enter("a ticker");
            let (turn, now) = (reactor.stats().turns, reactor.now());
            let mut ledger = scene.ledger.borrow_mut();
            ledger.fires(number, turn, now);
            let late = now - ledger.timers[number].deadline;
            let missed = (late.as_nanos() / interval.as_nanos()) as u64;
            ledger.demand(tick.missed == missed, || format!("timer {number} miscounts"));
            ledger.timers[number].deadline += interval * (missed as u32 + 1);
            ledger.timers[number].set_in = turn;
            ticks -= 1;
            let last = ticks == 0;
            if last {
                ledger.timers[number].alive = false;
            }
            drop(ledger);
            if last {
                reactor.cancel_timer(tick.timer);
            }
            scene.act(reactor, None);
        });
        let interval = Some(interval);
        let timer = Timer { id, owner: None, deadline, set_in, interval, alive: true };
        self.ledger.borrow_mut().timers.push(timer);
    }

    /// One of all timers that ever were, and whether it should be pending.
    fn some_timer(&self, reactor: &mut Reactor) -> Option<(usize, bool)> {
        let count = self.ledger.borrow().timers.len();
        if count == 0 || reactor.is_stopping() {
            return None; // while it stops, timers go before those they belong to are told
        }
        let number = self.chance.below(count);
        let (alive, owner) = {
            let ledger = self.ledger.borrow();
            let timer = &ledger.timers[number];
            (timer.alive, timer.owner.and_then(|who| ledger.parties[who].id))
        };
        // A connection can be over and not told yet.
        let open = owner.is_none_or(|id| {
            reactor.transport(id).is_some_and(|transport| !transport.is_closing())
        });
        Some((number, alive && open))
    }

    fn cancel_timer(&self, reactor: &mut Reactor) {
        let Some((number, pending)) = self.some_timer(reactor) else { return };
        let Timer { id, interval, .. } = self.ledger.borrow().timers[number];
        if interval.is_some() {
            return; // a ticker ends by itself
        }
        self.ledger.borrow_mut().timers[number].alive = false;
        let cancelled = reactor.cancel_timer(id);
        self.ledger.borrow_mut().demand(cancelled == pending, || {
            format!("timer {number} was cancelled: {cancelled}, pending: {pending}")
        });
    }

    fn reset_timer(&self, reactor: &mut Reactor) {
        let Some((number, pending)) = self.some_timer(reactor) else { return };
        let Timer { id, interval, .. } = self.ledger.borrow().timers[number];
        if interval.is_some() {
            return;
        }
        let delay = self.chance.millis(0, 40);
        let moved = reactor.reset_timer(id, delay);
        let (now, turn) = (self.clock.now(), reactor.stats().turns);
        let mut ledger = self.ledger.borrow_mut();
        ledger.demand(moved == pending, || {
            format!("timer {number} was moved: {moved}, pending: {pending}")
        });
        if moved {
            ledger.timers[number].deadline = now + delay;
            ledger.timers[number].set_in = turn;
        }
    }

    fn call_soon(self: &Rc<Self>, reactor: &mut Reactor) {
        let number = self.ledger.borrow_mut().new_call();
        let function = Function::new(self, Task::Call(number));
        reactor.call_soon(move |reactor| {
            let scene = Rc::clone(&function.scene);
            let _inside = scene.enter("a call");
            scene.ledger.borrow_mut().call_runs(number);
            scene.act_or_panic(reactor);
        });
    }

    fn act_or_panic(self: &Rc<Self>, reactor: &mut Reactor) {
        self.act(reactor, None);
        if self.may_panic() {
            panic_any(OnPurpose);
        }
    }

    pub fn connect(self: &Rc<Self>, reactor: &mut Reactor) {
        let place = self.chance.pick(&self.places.borrow()).cloned();
        if let Some(place) = place {
            self.connect_to(reactor, place);
        }
    }

    pub fn connect_to(self: &Rc<Self>, reactor: &mut Reactor, to: String) {
        let clients = self.ledger.borrow().clients.len();
        if !self.has_room() || clients >= self.profile.clients {
            return;
        }
        let timeout = self.chance.millis(1, if self.profile.secured { 3000 } else { 400 });
        let mut place =
            Connect::to(to.clone()).timeout(timeout).head_start(self.chance.millis(1, 50));
        let port = to.rsplit(':').next().and_then(|port| port.parse().ok());
        if let Some(secrets) = self.secrets_for(port) {
            let (config, name) = secrets.client(!self.chance.one_in(12));
            place = place.tls(config, Some(name));
        }
        let reconnecting = self.chance.one_in(3);
        let client = Client {
            id: None,
            place: to,
            crowded: false,
            timeout,
            reconnecting,
            progress: Progress::Trying { since: self.clock.now() },
            asked_while_stopping: reactor.is_stopping(),
            asked_in: self.ledger.borrow().turn,
            timed_by: None,
            stands: None,
            cancelled: false,
            unwanted: false,
            dropped: false,
        };
        self.ledger.borrow_mut().clients.push(client);
        let line = self.line(port, Side::Client);
        let caller = OutgoingFactory { scene: Rc::clone(self), client: clients, line };
        let id = if reconnecting {
            let backoff = Backoff::new()
                .initial(self.chance.millis(0, 20))
                .max(self.chance.millis(20, 50))
                .max_attempts(self.chance.between(1, 4) as u32)
                .stable(Duration::from_secs(1000))
                .seed(self.chance.next());
            reactor.connect(place, Reconnecting::new(caller, backoff))
        } else {
            reactor.connect(place, caller)
        };
        let mut ledger = self.ledger.borrow_mut();
        ledger.clients[clients].id = Some(id);
        ledger.look_at_names();
    }

    fn give_up(&self, reactor: &mut Reactor) {
        let count = self.ledger.borrow().clients.len();
        if count == 0 {
            return;
        }
        let client = self.chance.below(count);
        let Some(id) = self.ledger.borrow().clients[client].id else { return };
        if self.chance.one_in(2) {
            let cancelled = reactor.cancel_connect(id);
            self.ledger.borrow_mut().clients[client].cancelled |= cancelled;
            return;
        }
        let connection = reactor.connection_of(id);
        let known = reactor.disconnect(id);
        let mut ledger = self.ledger.borrow_mut();
        if !known {
            return;
        }
        let record = &mut ledger.clients[client];
        record.unwanted = true;
        record.cancelled |= connection.is_none();
        if let Progress::Connected(who) = record.progress {
            drop(ledger);
            self.note_closing(reactor, who);
        }
    }

    /// Records that a command of another party closed this connection, if it did.
    fn note_closing(&self, reactor: &mut Reactor, who: usize) {
        let Some(id) = self.ledger.borrow().parties[who].id else { return };
        if reactor.transport(id).is_none_or(|transport| transport.is_closing()) {
            let mut ledger = self.ledger.borrow_mut();
            ledger.parties[who].asked_to_close = true;
            ledger.parties[who].owes = 0;
            ledger.close(who, self.clock.now());
        }
    }

    pub fn listen(self: &Rc<Self>, reactor: &mut Reactor) {
        let server = self.ledger.borrow().servers.len();
        if server >= MAX_SERVERS {
            return;
        }
        let addr = SocketAddr::from(([127, 0, 0, 1], 5000 + self.chance.below(4) as u16));
        let max = if self.chance.one_in(3) { self.chance.between(1, 3) } else { usize::MAX };
        let backlog = self.chance.between(1, 8);
        let line = self.line(Some(addr.port()), Side::Server);
        self.ledger.borrow_mut().servers.push(Server::new(addr, max, line == Line::Secure));
        let factory = ServerFactory { scene: Rc::clone(self), server, line };
        let mut place = Listen::at(addr).backlog(backlog as u32).max_connections(max);
        if let Some(secrets) = self.secrets_for(Some(addr.port())) {
            place = place.tls(secrets.server());
        }
        self.note_listeners(reactor);
        let listened = reactor.listen(place, factory);
        let mut ledger = self.ledger.borrow_mut();
        let open = |other: &Server| other.addr == addr && other.id.is_some() && !other.closed;
        let taken = ledger.servers.iter().any(open);
        let ends = ledger.shutdown_in.is_some();
        match listened {
            Ok(id) => {
                ledger.demand(!ends, || format!("it listens at {addr} in a shutdown"));
                ledger.demand(!taken, || format!("two listeners at {addr}"));
                ledger.servers[server].id = Some(id);
                self.places.borrow_mut().push(addr.to_string());
            }
            Err(_) => ledger.servers[server].closed = true,
        }
    }

    fn of_listener(&self, reactor: &mut Reactor, action: Action) {
        let count = self.ledger.borrow().servers.len();
        if count == 0 {
            return;
        }
        let server = self.chance.below(count);
        let Some(id) = self.ledger.borrow().servers[server].id else { return };
        let done = match action {
            Action::StopListening => reactor.stop_listening(id),
            Action::PauseAccepting => reactor.pause_accepting(id),
            _ => reactor.resume_accepting(id),
        };
        let mut ledger = self.ledger.borrow_mut();
        let record = &mut ledger.servers[server];
        let closed = record.closed;
        match action {
            Action::StopListening => record.closed = true,
            Action::PauseAccepting => record.paused = true,
            _ => record.paused = false,
        }
        ledger.demand(!(closed && done), || format!("listener {server} is closed, but {action:?}"));
    }

    fn stop(&self, reactor: &mut Reactor) {
        {
            let mut ledger = self.ledger.borrow_mut();
            ledger.stop_asked = true;
            ledger.stop_due = true;
        }
        reactor.stop();
    }

    pub fn shutdown(&self, reactor: &mut Reactor, grace: Duration) {
        self.note_listeners(reactor);
        let mut ledger = self.ledger.borrow_mut();
        ledger.stop_asked = true;
        if !reactor.is_stopping() {
            ledger.begin_shutdown();
        }
        drop(ledger);
        reactor.shutdown(grace);
        self.note_shutdown(reactor);
    }

    /// Enters which connections a shutdown has closed.
    pub fn note_shutdown(&self, reactor: &mut Reactor) {
        let parties = self.ledger.borrow().parties.len();
        for who in 0..parties {
            if self.ledger.borrow().parties[who].is_open() {
                self.note_closing(reactor, who);
            }
        }
        self.note_listeners(reactor);
    }

    /// Ends in order all that keeps `run` from returning. Timers are left to fire.
    pub fn close_everything(&self, reactor: &mut Reactor) {
        let (clients, servers): (Vec<_>, Vec<_>) = {
            let ledger = self.ledger.borrow();
            let clients = ledger.clients.iter().enumerate();
            let clients = clients.filter_map(|(client, record)| Some((client, record.id?)));
            let servers = ledger.servers.iter().filter_map(|server| server.id);
            (clients.collect(), servers.collect())
        };
        for (client, id) in clients {
            if reactor.disconnect(id) {
                let mut ledger = self.ledger.borrow_mut();
                ledger.clients[client].unwanted = true;
                ledger.clients[client].cancelled = true;
            }
        }
        for id in servers {
            reactor.stop_listening(id);
        }
        self.close_sockets(reactor);
        self.close_hosts(reactor);
        for id in reactor.connections() {
            let Some(&who) = self.ledger.borrow().ids.get(&id) else { continue };
            if let Some(mut transport) = reactor.transport(id) {
                self.ledger.borrow_mut().parties[who].owes = 0;
                self.lose(&mut transport, who);
            }
        }
        self.note_shutdown(reactor);
    }

    /// Enters which listeners a stop or shutdown has closed.
    pub fn note_listeners(&self, reactor: &mut Reactor) {
        let mut ledger = self.ledger.borrow_mut();
        for server in &mut ledger.servers {
            let Some(id) = server.id else { continue };
            // Pausing is what tells whether it still listens.
            server.closed |= !reactor.pause_accepting(id);
            if !server.paused {
                reactor.resume_accepting(id);
            }
        }
    }
}

/// Marks that a callback runs.
pub struct Inside(Rc<Scene>);

impl Drop for Inside {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        self.0.ledger.borrow_mut().leave(now);
    }
}

/// Goes with a function given to the reactor, and tells when it was let go.
struct Function {
    scene: Rc<Scene>,
    task: Task,
}

#[derive(Clone, Copy)]
enum Task {
    Timer(usize),
    Call(usize),
}

impl Function {
    fn new(scene: &Rc<Scene>, task: Task) -> Self {
        let mut ledger = scene.ledger.borrow_mut();
        ledger.functions += 1;
        drop(ledger);
        Self { scene: Rc::clone(scene), task }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let mut ledger = self.scene.ledger.borrow_mut();
        ledger.functions -= 1;
        match self.task {
            Task::Timer(timer) => ledger.timer_let_go(timer),
            Task::Call(call) => ledger.call_let_go(call),
        }
    }
}

/// A protocol that acts at random.
pub struct Actor {
    pub scene: Rc<Scene>,
    pub who: usize,
    /// Which of the protocols that this party has one after the other.
    pub number: usize,
}

/// The default of every callback.
struct Plain;

impl Protocol for Plain {}

impl Actor {
    /// Checks a call, lets `then` do what the protocol does by default, and adds some actions.
    fn told(
        &self,
        call: Call,
        transport: &mut Transport,
        then: impl FnOnce(&Rc<Scene>, &mut Transport),
    ) {
        let (scene, who) = (&self.scene, self.who);
        scene.note(|| format!("{who} {call:?}"));
        let _inside = scene.enter("a protocol");
        let now = transport.reactor().now();
        let mut ledger = scene.ledger.borrow_mut();
        ledger.sees_line(who, call, transport.is_encrypted());
        let mine = ledger.parties[who].current == self.number;
        if mine && ledger.parties[who].withheld && transport.is_reading() {
            // When sending has failed nobody waits for it any more, and the rest is delivered.
            ledger.parties[who].withheld = false;
            ledger.parties[who].broken = true;
        }
        ledger.told(who, self.number, call, transport.buffered(), now);
        drop(ledger);
        scene.telling.set(Some(who));
        then(scene, transport);
        scene.act(transport.reactor(), Some(who));
        scene.telling.set(None);
        let now = scene.clock.now();
        if transport.is_closing() {
            scene.ledger.borrow_mut().close(who, now);
        } else if call == Call::Resume {
            scene.ledger.borrow_mut().may_have_finished(who, transport.buffered(), now);
        }
        if scene.may_panic() {
            if call != Call::Lost {
                let mut ledger = scene.ledger.borrow_mut();
                ledger.parties[who].panicked = true;
                ledger.close(who, now);
            }
            panic_any(OnPurpose);
        }
    }

    /// A whole frame came.
    pub fn frame_received(&self, transport: &mut Transport, frame: &[u8]) {
        self.piece_received(transport, frame, None);
    }

    /// Some of the bytes came that are wanted as they come.
    pub fn raw_received(&self, transport: &mut Transport, data: &[u8], raw: u64) {
        self.piece_received(transport, data, Some(raw));
    }

    fn piece_received(&self, transport: &mut Transport, piece: &[u8], raw: Option<u64>) {
        let who = self.who;
        self.told(Call::Data, transport, |scene, transport| {
            let buffered = transport.buffered();
            scene.ledger.borrow_mut().received_frame(who, piece, raw, buffered);
        });
    }

    /// The peer's end came, and before it `part` of a frame.
    pub fn ended(&mut self, transport: &mut Transport, part: &[u8]) {
        self.scene.ledger.borrow_mut().begins_frame(self.who, part);
        self.eof_received(transport);
        self.scene.ledger.borrow_mut().ends_in_frame(self.who);
    }

    /// Whether a protocol does the default, as most do, or for once nothing.
    fn usually(scene: &Scene) -> bool {
        !scene.chance.one_in(4)
    }
}

impl Protocol for Actor {
    fn connection_made(&mut self, transport: &mut Transport) {
        let (who, number) = (self.who, self.number);
        self.told(Call::Made, transport, |scene, transport| {
            let id = transport.id();
            if number > 0 {
                let known = scene.ledger.borrow().parties[who].id;
                return scene.ledger.borrow_mut().demand(known == Some(id), || {
                    format!("{who} has {id} now, and not {known:?}")
                });
            }
            scene.ledger.borrow_mut().made(who, id);
            let local = transport.local_addr().ok().and_then(|local| local.socket_addr());
            let mut ledger = scene.ledger.borrow_mut();
            if let Some(local) = local
                && ledger.parties[who].client.is_some()
            {
                ledger.meet(local, who);
            }
            drop(ledger);
            scene.switch_if_due(transport, who);
            scene.answer(transport, who);
        });
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        let who = self.who;
        self.told(Call::Data, transport, |scene, transport| {
            let turn = transport.reactor().stats().turns;
            let mut ledger = scene.ledger.borrow_mut();
            ledger.demand(!data.is_empty(), || format!("{who} was given no data"));
            ledger.served(who, turn, data.len());
            drop(ledger);
            let (clear, rest) = data.split_at(scene.in_clear(who, data.len()));
            scene.ledger.borrow_mut().received(who, clear);
            if !rest.is_empty() {
                transport.unread(rest);
            }
            scene.switch_if_due(transport, who);
        });
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        let who = self.who;
        self.told(Call::Eof, transport, |scene, transport| {
            scene.ledger.borrow_mut().received_end(who);
            let owed = scene.ledger.borrow().parties[who].owes;
            if owed == 0 && Self::usually(scene) {
                scene.ledger.borrow_mut().parties[who].asked_to_close = true;
                Plain.eof_received(transport);
            }
        });
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        let who = self.who;
        self.told(Call::Pause, transport, |scene, transport| {
            if Self::usually(scene) {
                Plain.pause_writing(transport);
                scene.ledger.borrow_mut().parties[who].withheld = true;
            }
        });
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        let who = self.who;
        self.told(Call::Resume, transport, |scene, transport| {
            if Self::usually(scene) {
                Plain.resume_writing(transport);
                scene.ledger.borrow_mut().parties[who].withheld = false;
            }
            scene.answer(transport, who);
        });
    }

    fn timer_fired(&mut self, transport: &mut Transport, timer: TimerId) {
        let who = self.who;
        self.told(Call::Timer, transport, |scene, transport| {
            let (turn, now) = (transport.reactor().stats().turns, transport.reactor().now());
            let mut ledger = scene.ledger.borrow_mut();
            match ledger.timer_of(timer) {
                Some(number) => {
                    let owner = ledger.timers[number].owner;
                    ledger.demand(owner == Some(who), || format!("{who} was told of {owner:?}"));
                    ledger.fires(number, turn, now);
                }
                None => ledger.object(format!("{who} was told of an unknown timer")),
            }
        });
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        let who = self.who;
        self.told(Call::TimedOut, transport, |scene, transport| {
            scene.ledger.borrow_mut().parties[who].timed_out = true;
            if Self::usually(scene) {
                scene.ledger.borrow_mut().parties[who].asked_to_close = true;
                Plain.timed_out(transport);
            }
        });
    }

    fn shutting_down(&mut self, transport: &mut Transport) {
        let who = self.who;
        self.told(Call::ShuttingDown, transport, |scene, transport| {
            if Self::usually(scene) {
                Plain.shutting_down(transport);
                let now = (!transport.is_closing()).then(|| scene.clock.now());
                let mut ledger = scene.ledger.borrow_mut();
                ledger.parties[who].asked_to_close = true;
                ledger.parties[who].finishing = now;
            }
        });
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        let who = self.who;
        self.told(Call::Lost, transport, |scene, transport| {
            scene.note(|| format!("  {reason:?}"));
            let (buffered, now) = (transport.buffered(), transport.reactor().now());
            scene.ledger.borrow_mut().lost(who, reason, buffered, now);
        });
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let mut ledger = self.scene.ledger.borrow_mut();
        // One that is refused is dropped at once, like a function that is cancelled.
        let refused = ledger.is_inside() && ledger.parties[self.who].current != self.number;
        if !refused {
            ledger.enter("the drop of a protocol");
        }
        ledger.dropped(self.who, self.number);
        if !refused {
            ledger.leave(self.scene.clock.now());
        }
        drop(ledger);
        if !std::thread::panicking() && self.scene.may_panic() {
            panic_any(OnPurpose);
        }
    }
}

/// The factory of a listener.
struct ServerFactory {
    scene: Rc<Scene>,
    server: usize,
    line: Line,
}

impl Factory for ServerFactory {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        let _inside = self.scene.enter("build_protocol");
        let scene = &self.scene;
        scene.note(|| format!("listener {} accepts {peer}", self.server));
        scene.ledger.borrow_mut().accepted(self.server);
        if scene.may_panic() {
            panic_any(OnPurpose);
        }
        if !scene.quiet.get() && scene.chance.one_in(20) {
            return None;
        }
        let actor = scene.new_actor(self.line);
        let mut ledger = scene.ledger.borrow_mut();
        ledger.parties[actor.who].listener = Some(self.server);
        if let Some(addr) = peer.socket_addr() {
            ledger.meet(addr, actor.who);
        }
        drop(ledger);
        Some(scene.dress(actor))
    }

    fn started(&mut self, reactor: &mut Reactor, _: ListenerId) {
        let _inside = self.scene.enter("started");
        let server = self.server;
        let mut ledger = self.scene.ledger.borrow_mut();
        let legal = !std::mem::replace(&mut ledger.servers[server].started, true);
        ledger.demand(legal, || format!("listener {server} started twice"));
        drop(ledger);
        self.scene.act(reactor, None);
    }

    fn stopped(&mut self, reactor: &mut Reactor, listener: ListenerId) {
        let _inside = self.scene.enter("stopped");
        let server = self.server;
        let mut ledger = self.scene.ledger.borrow_mut();
        let twice = std::mem::replace(&mut ledger.servers[server].told_stopped, true);
        ledger.servers[server].closed = true;
        let legal =
            !twice && ledger.servers[server].started && ledger.servers[server].id == Some(listener);
        ledger.demand(legal, || format!("listener {server} stopped at the wrong moment"));
        drop(ledger);
        self.scene.act(reactor, None);
    }
}

impl Drop for ServerFactory {
    fn drop(&mut self) {
        self.scene.ledger.borrow_mut().servers[self.server].dropped = true;
    }
}

/// The factory of an outgoing connection.
struct OutgoingFactory {
    scene: Rc<Scene>,
    client: usize,
    line: Line,
}

impl OutgoingFactory {
    /// After an attempt or a connection: perhaps another.
    fn again(&self, connector: &mut Connector) {
        let scene = &self.scene;
        scene.act(connector.reactor(), None);
        let mut after = Progress::Over;
        if scene.ledger.borrow().clients[self.client].reconnecting {
            after = Progress::Perhaps;
        } else if scene.may_act() && scene.has_room() && scene.chance.one_in(4) {
            let delay = scene.chance.millis(0, 30);
            let stopping = connector.reactor().is_stopping();
            let again = connector.connect_after(delay);
            let since = scene.clock.now() + delay;
            let mut ledger = scene.ledger.borrow_mut();
            let unwanted = ledger.clients[self.client].unwanted;
            ledger.demand(again != (unwanted || stopping), || {
                format!("client {} tries again: {again}", self.client)
            });
            if again {
                after = Progress::Trying { since };
            }
        }
        let mut ledger = scene.ledger.borrow_mut();
        let turn = ledger.turn;
        let client = &mut ledger.clients[self.client];
        (client.progress, client.asked_in, client.timed_by) = (after, turn, None);
        client.crowded = false;
        ledger.look_at_names();
        drop(ledger);
        if scene.may_panic() {
            panic_any(OnPurpose);
        }
    }
}

impl Factory for OutgoingFactory {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        let _inside = self.scene.enter("build_protocol of a client");
        let (scene, client) = (&self.scene, self.client);
        scene.ledger.borrow_mut().building(client);
        if scene.may_panic() {
            panic_any(OnPurpose);
        }
        if scene.chance.one_in(20) {
            return None;
        }
        let actor = scene.new_actor(self.line);
        let mut ledger = scene.ledger.borrow_mut();
        ledger.parties[actor.who].client = Some(client);
        ledger.clients[client].progress = Progress::Built(actor.who);
        drop(ledger);
        Some(scene.dress(actor))
    }

    fn connection_failed(&mut self, connector: &mut Connector, reason: &Reason) {
        let _inside = self.scene.enter("connection_failed");
        self.scene.note(|| format!("client {} failed {reason:?}", self.client));
        let now = connector.reactor().now();
        let latency = self.scene.latency.get();
        self.scene.ledger.borrow_mut().attempt_failed(self.client, reason, latency, now);
        self.again(connector);
    }

    fn connection_lost(&mut self, connector: &mut Connector, reason: &Reason) {
        let _inside = self.scene.enter("connection_lost of a client");
        self.scene.note(|| format!("client {} lost {reason:?}", self.client));
        self.scene.ledger.borrow_mut().owner_told(self.client, reason);
        self.again(connector);
    }
}

impl Drop for OutgoingFactory {
    fn drop(&mut self) {
        self.scene.ledger.borrow_mut().clients[self.client].dropped = true;
    }
}
