//! One world: the simulation, the peers outside, what happens to them, and the state at rest.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;
use std::{io, iter};

use crocus::testing::{Cut, End, PeerListener, Simulation};
use crocus::{ChromeTrace, Reactor};

use crate::actors::{OUTSIDE, OnPurpose, Scene};
use crate::awaited::{self, Waits};
use crate::chance::{Chance, Profile, Step};
use crate::datagrams::Outside;
use crate::far::FarEnd;
use crate::ledger::{Limits, Progress, expected_bytes};
use crate::names;
use crate::secured::{BEGINS_IN_CLEAR, Line, RECORD, Secrets, Side, Switch};
use crate::trace::Shared;
use crate::watcher::Watcher;

const MAX_LATENCY: usize = 20;

/// The most milliseconds that the lookup of a name takes, unless it never ends.
const MAX_LOOKUP: usize = 2000;

/// A piece of rest: longer than it takes to send something there and back.
const REST: Duration = Duration::from_millis(50);

/// The number of turns that may pass before a reader with bytes waiting is given some.
const MAX_IDLE_TURNS: usize = 4;

/// Addresses that accept, never answer, or refuse, as texts for `connect`.
const BLACKHOLE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 9);
/// The name that has several addresses, and is looked up slowly at times.
const SEVERAL: &str = "several.example";
const OTHERS: [&str; 6] = [
    "127.0.0.1:1",
    "10.0.0.1:9",
    "nowhere.example:80",
    "several.example:6000",
    "several.example:5000",
    "not an address",
];

/// One world of so many is traced: reading the JSON takes longer than the world.
const TRACED: u64 = 10;

/// The far end of a connection, in the hands of the test.
struct Far {
    peer: Option<FarEnd>,
    who: usize,
    /// Whether it ever reads.
    reads: bool,
    /// How it reads if it does so steadily, whatever else happens: so many bytes, every so often.
    pace: Option<Pace>,
    /// When the last bytes it sent have arrived.
    arrived: Duration,
    /// The address that it dialled, if it did.
    dialled: Option<SocketAddr>,
}

/// A slow and steady reader's.
struct Pace {
    bytes: usize,
    every: Duration,
    next: Duration,
}

pub struct World {
    sim: Simulation,
    scene: Rc<Scene>,
    watcher: Rc<RefCell<Watcher>>,
    /// A trace of everything.
    file: Option<Shared>,
    fars: Vec<Far>,
    outside: Vec<PeerListener>,
    post: Outside,
    latency: Duration,
    /// Errors of accept that were set up. Each lets a listener rest for 100 ms.
    accept_errors: usize,
}

/// Runs a whole world. `Err` says what broke the contract.
pub fn live(seed: u64, profile: &'static Profile, trace: bool) -> Result<(), String> {
    World::new(seed, profile, trace).live()
}

/// All that happens in a world, in a number.
pub fn history(seed: u64, profile: &'static Profile) -> Option<u64> {
    let world = World::new(seed, profile, false);
    let scene = Rc::clone(&world.scene);
    scene.history.set(Some(seed));
    world.live().ok()?;
    scene.history.get()
}

impl World {
    fn new(seed: u64, profile: &'static Profile, trace: bool) -> Self {
        let chance = Chance::new(seed);
        let high = chance.size(600);
        let limits = Limits {
            read_budget: chance.size(2000),
            accept_budget: chance.between(1, 3),
            marks: (high, chance.below(high + 1)),
            cap: chance.between(600, 6000),
            datagram_budget: chance.between(1, 8),
            close_timeout: chance.millis(5, 400),
            linger: chance.millis(1, 200),
        };
        let builder = Reactor::builder()
            .read_buffer(chance.size(1000))
            .read_budget(limits.read_budget)
            .write_budget(chance.size(1000))
            .accept_budget(limits.accept_budget)
            .datagram_budget(limits.datagram_budget)
            .write_buffer_limits(limits.marks.0, limits.marks.1)
            .write_buffer_cap(limits.cap)
            .close_timeout(limits.close_timeout)
            .linger(limits.linger);
        let mut sim = Simulation::with_limits(builder, seed);
        let secrets = profile.secured.then(|| Secrets::new(seed));
        let scene = Scene::new(chance, sim.clock(), profile, limits, secrets, trace);
        let watcher = Watcher::new(&scene);
        let file = seed.is_multiple_of(TRACED).then(Shared::default);
        let observers = (Rc::clone(&watcher), file.clone().map(ChromeTrace::new));
        sim.reactor().set_observer(Some(Box::new(observers)));
        sim.set_blackhole(BLACKHOLE);
        let several = [BLACKHOLE.ip(), IpAddr::from([10, 0, 0, 2]), IpAddr::from([127, 0, 0, 1])];
        sim.set_host(SEVERAL, &several);
        let (fars, latency) = (Vec::new(), Duration::ZERO);
        let (outside, post, accept_errors) = (Vec::new(), Outside::default(), 0);
        let mut world =
            Self { sim, scene, watcher, file, fars, outside, post, latency, accept_errors };
        world.set_up();
        world
    }

    fn live(mut self) -> Result<(), String> {
        for _ in 0..self.scene.chance.between(5, self.scene.profile.length) {
            self.step();
            self.pump();
            self.outcome()?;
        }
        self.end()
    }

    fn set_up(&mut self) {
        for addr in OUTSIDE {
            self.outside.push(self.sim.listen(addr).unwrap());
        }
        let outside = OUTSIDE.iter().chain(&OUTSIDE).map(ToString::to_string);
        let places = outside.chain(OTHERS.map(str::to_owned));
        self.scene.places.borrow_mut().extend(places);
        for _ in 0..self.scene.chance.between(1, 3) {
            self.scene.listen(self.sim.reactor());
        }
        if self.scene.profile.name == "posted" {
            self.post.open(&mut self.sim, &self.scene);
        }
        if self.scene.is_awaited() {
            for _ in 0..self.scene.chance.between(1, 2) {
                self.scene.host(self.sim.reactor());
            }
        }
        if self.scene.profile.name == "named" {
            names::set_up(&mut self.sim, &self.scene);
        }
        if !self.scene.chance.one_in(3) {
            self.change_network();
        }
    }

    fn outcome(&self) -> Result<(), String> {
        let ledger = self.scene.ledger.borrow();
        if ledger.objections.is_empty() {
            return Ok(());
        }
        self.scene.quiet.set(true); // for the drop of this world, which is not looked at
        Err(ledger.objections.join("\n"))
    }

    fn object(&self, what: String) {
        self.scene.ledger.borrow_mut().object(what);
    }

    /// Does something in which callbacks may panic on purpose; `None` if one did.
    fn catch_expected_panics<R>(&mut self, what: impl FnOnce(&mut Simulation) -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| what(&mut self.sim))) {
            Ok(value) => Some(value),
            Err(payload) if payload.is::<OnPurpose>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn settle(&mut self) {
        while self.catch_expected_panics(Simulation::settle).is_none() {}
    }

    fn advance(&mut self, by: Duration) {
        let end = self.sim.elapsed() + by;
        while let Some(next) = self.next_steady_read().filter(|next| *next <= end) {
            self.advance_to(next);
            self.read_steadily();
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, end: Duration) {
        while self
            .catch_expected_panics(|sim| sim.advance(end.saturating_sub(sim.elapsed())))
            .is_none()
        {}
    }

    fn next_steady_read(&self) -> Option<Duration> {
        let steady = self.fars.iter().filter(|far| far.peer.is_some());
        steady.filter_map(|far| Some(far.pace.as_ref()?.next)).min()
    }

    /// Has the steady readers read whose time has come.
    fn read_steadily(&mut self) {
        let now = self.sim.elapsed();
        for far in 0..self.fars.len() {
            let Some(pace) = self.fars[far].pace.as_mut().filter(|pace| pace.next <= now) else {
                continue;
            };
            pace.next = now + pace.every;
            let bytes = pace.bytes;
            self.take(far, bytes);
        }
    }

    fn step(&mut self) {
        let step = self.scene.chance.weighted(self.scene.profile.steps);
        let elapsed = self.sim.elapsed();
        self.scene.note(|| format!("{elapsed:?} {step:?}"));
        match step {
            Step::Turn => self.turns(),
            Step::Settle => self.settle(),
            Step::Advance => {
                let by = self.scene.chance.millis(0, 60);
                self.advance(by);
            }
            Step::Inside => self.inside(),
            Step::Dial => self.dial(),
            Step::Storm => iter::repeat_n((), 6).for_each(|()| self.dial()),
            Step::Join => self.join(),
            Step::Pair => self.pair(),
            Step::Send => self.with_far(Self::send),
            Step::Read => self.with_far(Self::read),
            Step::CloseWrite => self.with_far(Self::close_write),
            Step::Reset => self.with_far(|world, far| world.let_go(far, true)),
            Step::Drop => self.with_far(|world, far| world.let_go(far, false)),
            Step::Accept => self.accept(),
            Step::ChangeNetwork => self.change_network(),
            Step::FailAccept => self.fail_accept(),
            Step::Rest => self.rest(),
            Step::Run => self.run(),
            Step::Freeze => self.freeze(),
            Step::Post => self.post.act(&self.scene),
            Step::Spoil => self.with_far(Self::spoil),
            Step::Rekey => self.with_far(|world, far| {
                if let Some(peer) = &mut world.fars[far].peer {
                    peer.rekey();
                }
                world.enter(far, &[]);
            }),
        }
    }

    /// The process is stopped. Its peers are not: what they send and take is there when it goes on.
    fn freeze(&mut self) {
        for _ in 0..self.scene.chance.between(1, 4) {
            self.scene.clock.advance(self.scene.chance.millis(0, 100));
            self.read_steadily();
            match self.scene.chance.below(3) {
                0 => self.with_far(Self::send),
                1 => self.with_far(Self::read),
                _ => {}
            }
        }
    }

    fn turns(&mut self) {
        for _ in 0..self.scene.chance.between(1, 6) {
            self.count_turns_unserved();
            self.catch_expected_panics(Simulation::turn);
        }
    }

    /// A reader with bytes waiting must get some within a few turns, whatever the others do.
    fn count_turns_unserved(&self) {
        let mut ledger = self.scene.ledger.borrow_mut();
        for far in &self.fars {
            let peer = &ledger.parties[far.who];
            let sent = if self.scene.profile.secured { peer.whole } else { peer.sent };
            let Some(other_side) = ledger.parties[far.who].other_side else { continue };
            let arrived = far.peer.is_some() && far.arrived <= self.sim.elapsed();
            let party = &mut ledger.parties[other_side];
            let known = matches!(party.line, Line::Clear | Line::Secure);
            let free = party.reads() && !party.throttled && known;
            let waits = arrived && party.is_open() && free && !party.is_task && party.lacks(sent);
            party.turns_unserved = if waits { party.turns_unserved + 1 } else { 0 };
            let starves = party.turns_unserved > MAX_IDLE_TURNS;
            ledger.demand(!starves, || {
                format!("{other_side} was given nothing for {MAX_IDLE_TURNS} turns")
            });
        }
    }

    /// An action outside of any callback, for no connection or for some connection.
    fn inside(&mut self) {
        let made: Vec<usize> = self.scene.ledger.borrow().ids.values().copied().collect();
        let who = self.scene.chance.pick(&made).copied();
        self.scene.action(self.sim.reactor(), who);
    }

    fn add_far(&mut self, mut peer: FarEnd, who: usize, dialled: Option<SocketAddr>) {
        let chance = &self.scene.chance;
        peer.silent = self.scene.profile.secured && chance.one_in(10);
        let reads = !chance.one_in(5);
        let now = self.sim.elapsed();
        let steady = reads && self.scene.profile.name == "wild" && chance.one_in(2);
        let pace = steady.then(|| Pace {
            bytes: chance.size(200),
            every: chance.millis(1, 40),
            next: now,
        });
        let arrived = now + self.latency;
        self.fars.push(Far { peer: Some(peer), who, reads, pace, arrived, dialled });
    }

    fn dial(&mut self) {
        let mut servers: Vec<SocketAddr> =
            self.scene.ledger.borrow().servers.iter().map(|server| server.addr).collect();
        servers.extend(self.scene.tasks.hosts.borrow().iter().map(|host| host.addr));
        let Some(&addr) = self.scene.chance.pick(&servers).filter(|_| self.scene.has_room()) else {
            return;
        };
        let peer = self.sim.dial(addr);
        let who = self.scene.ledger.borrow_mut().new_peer();
        self.scene.ledger.borrow_mut().meet(peer.addr(), who);
        let peer = match &self.scene.secrets {
            None => FarEnd::clear(peer),
            Some(secrets) if addr.port() == BEGINS_IN_CLEAR => {
                let rustls = secrets.connection(Side::Client);
                FarEnd::begins(peer, Side::Client, Switch::of(who), rustls)
            }
            Some(secrets) => FarEnd::secure(peer, secrets.connection(Side::Client)),
        };
        self.add_far(peer, who, Some(addr));
    }

    fn join(&mut self) {
        if !self.scene.has_room() {
            return;
        }
        let is_client = self.scene.profile.secured && self.scene.chance.one_in(2);
        let (its, far_side) = match is_client {
            true => (Side::Client, Side::Server),
            false => (Side::Server, Side::Client),
        };
        let actor = self.scene.new_actor(self.scene.line(Some(BEGINS_IN_CLEAR), its));
        let who = self.scene.ledger.borrow_mut().new_peer();
        self.scene.ledger.borrow_mut().pair_up(who, actor.who);
        let switch = Switch::of(if is_client { actor.who } else { who });
        let peer = self.sim.connect(self.scene.dress(actor));
        let peer = match &self.scene.secrets {
            None => FarEnd::clear(peer),
            Some(secrets) => FarEnd::begins(peer, far_side, switch, secrets.connection(far_side)),
        };
        self.add_far(peer, who, None);
    }

    fn pair(&mut self) {
        if self.scene.has_room() {
            let actor = |side| self.scene.new_actor(self.scene.line(Some(BEGINS_IN_CLEAR), side));
            let (one, other) = (actor(Side::Client), actor(Side::Server));
            self.scene.ledger.borrow_mut().pair_up(one.who, other.who);
            self.sim.pair(self.scene.dress(one), self.scene.dress(other));
        }
    }

    fn accept(&mut self) {
        for at in 0..self.outside.len() {
            while let Some(peer) = self.outside[at].accept() {
                let who = self.scene.ledger.borrow_mut().new_peer();
                let peer = match &self.scene.secrets {
                    None => FarEnd::clear(peer),
                    Some(secrets) => FarEnd::secure(peer, secrets.connection(Side::Server)),
                };
                self.add_far(peer, who, None);
            }
        }
    }

    fn with_far(&mut self, then: impl FnOnce(&mut Self, usize)) {
        let held: Vec<usize> =
            (0..self.fars.len()).filter(|&far| self.fars[far].peer.is_some()).collect();
        if let Some(&far) = self.scene.chance.pick(&held) {
            then(self, far);
        }
    }

    fn send(&mut self, at: usize) {
        let far = &mut self.fars[at];
        let Some(peer) = &mut far.peer else { return };
        let mut ledger = self.scene.ledger.borrow_mut();
        let said = ledger.parties[far.who].sent;
        let size = self.scene.chance.size(self.scene.profile.max_write);
        let taken = peer.send(&expected_bytes(far.who, said, said + size));
        ledger.parties[far.who].sent += taken;
        if self.scene.profile.secured {
            drop(ledger);
            return self.enter(at, &[]);
        }
        ledger.parties[far.who].written += taken;
        let arrives = self.scene.clock.now() + self.latency;
        ledger.parties[far.who].arrived = ledger.parties[far.who].arrived.max(Some(arrives));
        far.arrived = far.arrived.max(self.sim.elapsed() + self.latency);
    }

    fn read(&mut self, far: usize) {
        if self.fars[far].reads && self.fars[far].pace.is_none() {
            let all = self.scene.chance.one_in(2);
            let max = if all { usize::MAX } else { self.scene.chance.size(500) };
            self.take(far, max);
        }
    }

    /// Takes what has arrived at a far end.
    fn take(&mut self, at: usize, max: usize) {
        let far = &mut self.fars[at];
        let Some(peer) = &mut far.peer else { return };
        let data = peer.receive(max);
        if self.scene.profile.secured {
            return self.enter(at, &data);
        }
        let mut ledger = self.scene.ledger.borrow_mut();
        ledger.received(far.who, &data);
        ledger.parties[far.who].read += data.len();
        if let Some(other_side) = ledger.parties[far.who].other_side.filter(|_| !data.is_empty()) {
            ledger.look_for_room(other_side, self.scene.clock.now());
        }
        if peer.end() == Some(End::Closed) && !ledger.parties[far.who].eof {
            ledger.received_end(far.who);
        }
    }

    fn close_write(&mut self, at: usize) {
        let far = &mut self.fars[at];
        let connected = self.scene.ledger.borrow().parties[far.who].other_side.is_some();
        if let Some(peer) = &mut far.peer
            && connected
        {
            let polite = !self.scene.profile.secured || !self.scene.chance.one_in(3);
            peer.close_write(polite);
            far.arrived = far.arrived.max(self.sim.elapsed() + self.latency);
            self.scene.ledger.borrow_mut().parties[far.who].write_closed = true;
            self.enter(at, &[]);
        }
    }

    /// A far end sends what is no TLS.
    fn spoil(&mut self, at: usize) {
        let far = &mut self.fars[at];
        if far.peer.as_mut().is_some_and(FarEnd::spoil) {
            self.scene.ledger.borrow_mut().parties[far.who].spoiled = true;
        }
        self.enter(at, &[]);
    }

    /// Far ends go on with their handshakes, and with what waits for room.
    fn pump(&mut self) {
        if !self.scene.profile.secured {
            return;
        }
        for at in 0..self.fars.len() {
            let far = &mut self.fars[at];
            let Some(peer) = &mut far.peer else { continue };
            let owes = peer.owes();
            if owes > 0 {
                let mut ledger = self.scene.ledger.borrow_mut();
                let said = ledger.parties[far.who].sent;
                let taken = peer.send(&expected_bytes(far.who, said, said + owes));
                ledger.parties[far.who].sent += taken;
            }
            let came = peer.pump();
            self.enter(at, &came);
        }
    }

    /// Enters the bytes that a far end got, and what it has sent, which are of TLS.
    fn enter(&mut self, at: usize, got: &[u8]) {
        let far = &mut self.fars[at];
        let Some(peer) = &mut far.peer else { return };
        let mut ledger = self.scene.ledger.borrow_mut();
        ledger.received(far.who, got);
        let party = &mut ledger.parties[far.who];
        party.whole = peer.whole();
        party.notified = party.write_closed && peer.says_its_end();
        let (sends, takes) = (peer.sent > party.written, peer.got > party.read);
        (party.written, party.read) = (peer.sent, peer.got);
        if sends {
            party.arrived = party.arrived.max(Some(self.scene.clock.now() + self.latency));
            far.arrived = far.arrived.max(self.sim.elapsed() + self.latency);
        }
        if let Some(other_side) = party.other_side.filter(|_| takes) {
            ledger.look_for_room(other_side, self.scene.clock.now());
        }
        let party = &ledger.parties[far.who];
        // One that has sent no TLS hears an alert at the end.
        if peer.end() == Some(End::Closed) && !party.eof && !party.spoiled {
            match peer.is_truncated() {
                true => ledger.received_truncation(far.who),
                false => ledger.received_end(far.who),
            }
        }
    }

    fn let_go(&mut self, far: usize, reset: bool) {
        let far = &mut self.fars[far];
        let Some(mut peer) = far.peer.take() else { return };
        let mut ledger = self.scene.ledger.borrow_mut();
        ledger.parties[far.who].gone = true;
        if reset {
            // With both ends sent and received there is no connection left that could be reset.
            peer.receive(usize::MAX);
            let over = ledger.parties[far.who].write_closed && peer.end() == Some(End::Closed);
            ledger.parties[far.who].was_reset = !over;
        }
        drop(ledger);
        if reset { peer.reset() } else { drop(peer) }
    }

    fn change_network(&mut self) {
        let chance = &self.scene.chance;
        let size = chance.size(400);
        let cut = *chance.pick(&[Cut::Whole, Cut::Every(size), Cut::Random(size)]).unwrap();
        let still = chance.one_in(2);
        self.latency = if still { Duration::ZERO } else { chance.millis(0, MAX_LATENCY) };
        self.scene.latency.set(self.latency);
        self.sim.set_cut(cut);
        self.sim.set_latency(self.latency);
        let least = if self.scene.profile.secured { 200 } else { 16 };
        let window = if self.scene.profile.name == "posted" && chance.one_in(2) {
            1 << 20
        } else {
            least + chance.size(3000)
        };
        self.sim.set_window(window);
        let mut ledger = self.scene.ledger.borrow_mut();
        if window < ledger.window {
            ledger.post.be_unsure();
        }
        ledger.window = window;
        if self.scene.profile.name == "posted" {
            let percent = || if chance.one_in(2) { 0 } else { chance.below(50) as u8 };
            let (loss, duplication, reordering) = (percent(), percent(), percent());
            self.sim.set_datagram_loss(loss);
            self.sim.set_datagram_duplication(duplication);
            self.sim.set_datagram_reordering(reordering);
            ledger.post.set_network(self.latency, [loss, duplication, reordering]);
        }
        let writers = 0..ledger.parties.len();
        writers.for_each(|who| ledger.look_for_room(who, self.scene.clock.now()));
        drop(ledger);
        // A name takes no time to look up, some time, or longer than anybody waits.
        let some = chance.millis(1, MAX_LOOKUP);
        let takes = *chance.pick(&[Duration::ZERO, some, Duration::MAX]).unwrap();
        self.sim.set_lookup_time(SEVERAL, takes);
    }

    fn fail_accept(&mut self) {
        let servers: Vec<SocketAddr> =
            self.scene.ledger.borrow().servers.iter().map(|server| server.addr).collect();
        if let Some(&addr) = self.scene.chance.pick(&servers) {
            let emfile = io::Error::from_raw_os_error(24);
            let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
            let error = if self.scene.chance.one_in(2) { emfile } else { aborted };
            self.sim.fail_accept(addr, error);
            self.accept_errors += 1;
        }
    }

    /// `run` until a timer stops it.
    fn run(&mut self) {
        let mut waits = Rc::new(());
        loop {
            if Rc::strong_count(&waits) == 1 {
                waits = Rc::default();
                let (scene, held) = (Rc::clone(&self.scene), Rc::clone(&waits));
                let delay = self.scene.chance.millis(0, 50);
                self.sim.reactor().call_later(delay, move |reactor| {
                    let _held = held;
                    let mut ledger = scene.ledger.borrow_mut();
                    (ledger.stop_asked, ledger.stop_due) = (true, true);
                    reactor.stop();
                });
            }
            match self.catch_expected_panics(|sim| sim.reactor().run()) {
                None => {}
                Some(Ok(())) => return,
                Some(Err(error)) => return self.object(format!("run: {error}")),
            }
        }
    }

    /// Lets everything come to rest while nobody does anything new, and looks at what there is.
    fn rest(&mut self) {
        self.scene.quiet.set(true);
        self.calm_down();
        self.check_rest();
        self.scene.quiet.set(false);
    }

    fn calm_down(&mut self) {
        let mut rests = 0;
        while rests < 5 + 2 * self.accept_errors {
            self.scene.note(|| "rest".to_owned());
            let before = self.count_events();
            self.advance(REST);
            self.drain();
            rests = if self.count_events() == before { rests + 1 } else { 0 };
        }
        self.settle();
    }

    /// Counts what happens while nobody acts: bytes that move or arrive, connections that end. A long frame
    /// on a slow line arrives long after its first bytes have moved.
    fn count_events(&mut self) -> u64 {
        let stats = self.sim.reactor().stats();
        let moved = stats.bytes_read + stats.bytes_written;
        let ledger = self.scene.ledger.borrow();
        let told = ledger.parties.iter().map(|party| party.got + usize::from(party.dropped));
        moved + told.sum::<usize>() as u64
    }

    /// Each far end that reads takes what has arrived.
    fn drain(&mut self) {
        self.post.read(&self.scene);
        self.pump();
        for far in 0..self.fars.len() {
            if self.fars[far].reads && self.fars[far].pace.is_none() {
                self.take(far, usize::MAX);
            }
        }
    }

    fn check_rest(&mut self) {
        self.scene.note_listeners(self.sim.reactor());
        let parties = self.scene.ledger.borrow().parties.len();
        for who in 0..parties {
            let (live, is_task) = {
                let party = &self.scene.ledger.borrow().parties[who];
                (party.is_live(), party.is_task)
            };
            match (live, is_task) {
                (false, _) => {}
                (true, false) => self.check_connection(who),
                (true, true) => self.check_task(who),
            }
        }
        self.scene.ledger.borrow_mut().check_waits();
        self.check_hosts();
        self.check_connections();
        self.check_timers();
        self.check_clients();
        self.check_listeners();
        let now = self.sim.reactor().now();
        self.scene.ledger.borrow_mut().check_post(now);
    }

    fn check_connection(&mut self, who: usize) {
        let now = self.sim.reactor().now();
        let mut ledger = self.scene.ledger.borrow_mut();
        let Some(id) = ledger.parties[who].id else { return };
        let Some(transport) = self.sim.reactor().transport(id) else {
            return ledger.object(format!("{who} is gone and was not told"));
        };
        let buffered = transport.buffered();
        let encrypted = transport.is_encrypted();
        if ledger.parties[who].line == Line::Handshaking {
            if !encrypted {
                return; // nothing is told before it is over
            }
            ledger.parties[who].line = Line::Secure;
        }
        let party = &ledger.parties[who];
        let reading = party.reads();
        let closing = party.closing.is_some();
        let same =
            transport.is_closing() == closing && transport.is_reading() == (reading && !closing);
        let timed_by = party.timed_by.max(party.took);
        let overdue = closing && timed_by.is_some_and(|since| since + party.close_timeout <= now);
        let half_shut = party.write_closed && buffered == 0;
        let over = !closing && half_shut && party.eof;
        let pressed =
            if party.writing_paused { buffered > party.marks.1 } else { buffered <= party.marks.0 };
        let timeout_missed = !closing
            && party.finishing.is_none()
            && party.timeout.is_some_and(|(limit, since)| {
                since.max(party.stirred.unwrap_or(since)) + limit <= now
            });
        ledger.demand(same, || format!("{who} is closing or reading, and does not know"));
        ledger.demand(!overdue, || format!("{who} was to be closed in time"));
        ledger.demand(!over, || format!("{who} is shut on both sides and goes on"));
        ledger.demand(closing || pressed, || format!("{who} was not told of {buffered} bytes"));
        ledger.demand(!timeout_missed, || format!("{who} did not time out"));
        let other_side = ledger.parties[who].other_side;
        drop(ledger);
        if let Some(other_side) = other_side
            && !closing
        {
            match self.scene.profile.secured {
                true => self.check_secure_stream(who, other_side, buffered),
                false => self.check_stream(who, other_side, buffered),
            }
        }
    }

    /// The same for the connection of a task, which waits for nothing that is there.
    fn check_task(&mut self, who: usize) {
        let Some(id) = self.scene.ledger.borrow().parties[who].id else { return };
        let transport = self.sim.reactor().transport(id);
        let state = transport.map(|transport| (transport.is_closing(), transport.buffered()));
        let mut ledger = self.scene.ledger.borrow_mut();
        let Some((closes, buffered)) = state else {
            return ledger.object(format!("{who} is gone, and nobody saw it"));
        };
        let party = &ledger.parties[who];
        let (closing, waits, low) = (party.closing.is_some(), party.waits, party.marks.1);
        let other_side = party.other_side;
        let given = party.awaits_successor || party.heir.is_some();
        let in_vain = match waits {
            Waits::Elsewhere => false,
            Waits::ForBytes => ledger.shutdown_in.is_some(),
            Waits::ForRoom => buffered <= low,
        };
        ledger.demand(closes == closing, || format!("{who} is closing: {closes}, not {closing}"));
        ledger
            .demand(closing || !given, || format!("no protocol took over from the task of {who}"));
        ledger.demand(closing || !in_vain, || {
            format!("the task of {who} waits {waits:?} for ever, with {buffered} bytes to be sent")
        });
        drop(ledger);
        if let Some(other_side) = other_side.filter(|_| !closing) {
            self.check_stream(who, other_side, buffered);
        }
    }

    /// Nobody waits at a task that accepts.
    fn check_hosts(&mut self) {
        let open: Vec<SocketAddr> = {
            let hosts = self.scene.tasks.hosts.borrow();
            hosts.iter().filter(|host| host.listens && host.accepts).map(|host| host.addr).collect()
        };
        let ledger = self.scene.ledger.borrow();
        let waits = |far: &&Far| {
            let party = &ledger.parties[far.who];
            let there = far.peer.is_some() && far.dialled.is_some_and(|at| open.contains(&at));
            there && party.other_side.is_none() && !party.eof
        };
        let waiting: Vec<usize> = self.fars.iter().filter(waits).map(|far| far.who).collect();
        drop(ledger);
        for who in waiting {
            if !self.was_refused(who) {
                self.object(format!("{who} waits at a task that accepts"));
            }
        }
    }

    /// Checks that all that arrived was delivered, and that all that was written has left if it can.
    fn check_stream(&mut self, who: usize, other_side: usize, buffered: usize) {
        let other_id = self.scene.ledger.borrow().parties[other_side].id;
        let other = other_id.and_then(|id| self.sim.reactor().transport(id));
        let withheld = other.map_or(0, |other| other.buffered());
        let far = self.fars.iter().find(|far| far.who == other_side);
        let drained = far.is_some_and(|far| far.reads && far.peer.is_some());
        let mut ledger = self.scene.ledger.borrow_mut();
        let (party, reader) = (&ledger.parties[who], &ledger.parties[other_side]);
        let (reading, sent, got) = (party.reads(), party.sent, reader.got + reader.in_hand());
        let frame = party.frames.get(&party.current).copied().unwrap_or(1);
        let whole = party.in_hand() >= frame;
        let reads = drained || (reader.is_open() && reader.reads() && !party.eof);
        let alive = !reader.gone && reader.lost.is_none();
        let undelivered = reading
            && alive
            && !party.eof
            && (party.got + party.in_hand() + withheld != reader.sent || whole);
        let ended = if reader.is_protocol {
            reader.lost.is_some() || (reader.write_closed && withheld == 0)
        } else {
            reader.write_closed || reader.gone
        };
        let end_missed = reading && ended && !party.eof;
        let cut = reader.was_reset;
        ledger.demand(!undelivered, || format!("{who} was not given all that {other_side} sent"));
        ledger.demand(!end_missed, || format!("{who} was not told the end of {other_side}"));
        ledger.demand(!cut, || format!("{who} was not told the reset by {other_side}"));
        let stuck = reads && alive && (buffered > 0 || got != sent);
        ledger.demand(!stuck, || {
            format!(
                "{other_side} reads and got {got} of {sent} bytes; {buffered} are kept by {who}"
            )
        });
    }

    /// The same over TLS, where bytes can be told in whole records only.
    fn check_secure_stream(&mut self, who: usize, other_side: usize, buffered: usize) {
        let other_id = self.scene.ledger.borrow().parties[other_side].id;
        let other = other_id.and_then(|id| self.sim.reactor().transport(id));
        let withheld = other.map_or(0, |other| other.buffered());
        let far = self.fars.iter().find(|far| far.who == other_side);
        let peer = far.and_then(|far| far.peer.as_ref());
        let drained = far.is_some_and(|far| far.reads) && peer.is_some_and(FarEnd::hears);
        let waiting = peer.map_or(0, FarEnd::waiting);
        let mut ledger = self.scene.ledger.borrow_mut();
        let (party, reader) = (&ledger.parties[who], &ledger.parties[other_side]);
        if party.line != Line::Secure || (reader.is_protocol && reader.line != Line::Secure) {
            return;
        }
        let reading = party.reads() && !party.eof;
        let alive = !reader.gone && reader.lost.is_none();
        let undelivered = match reader.is_protocol {
            true if withheld == 0 => party.lacks(reader.sent),
            true => party.got + withheld + RECORD < reader.sent,
            false => party.lacks(reader.whole),
        };
        let ended = if reader.is_protocol {
            reader.lost.is_some() || (reader.write_closed && withheld == 0)
        } else {
            (reader.write_closed && waiting == 0) || reader.gone
        };
        let (spoiled, cut) = (reader.spoiled && waiting == 0, reader.was_reset);
        let (got, sent) = (reader.got, party.sent);
        let reads = drained || (reader.is_open() && reader.reads() && !reader.eof);
        let stuck = reads && alive && (buffered > 0 || reader.lacks(sent));
        ledger.demand(!(reading && alive && undelivered), || {
            format!("{who} was not given all that {other_side} sent")
        });
        ledger
            .demand(!(reading && ended), || format!("{who} was not told the end of {other_side}"));
        ledger.demand(!(reading && spoiled), || format!("{who} took what {other_side} spoiled"));
        ledger.demand(!cut, || format!("{who} was not told the reset by {other_side}"));
        ledger.demand(!stuck, || {
            format!(
                "{other_side} reads and got {got} of {sent} bytes; {buffered} are kept by {who}"
            )
        });
    }

    fn check_connections(&mut self) {
        let mut there = self.sim.reactor().connections();
        there.sort();
        let ledger = self.scene.ledger.borrow();
        let live = |(id, who): (&_, &usize)| ledger.parties[*who].is_live().then_some(*id);
        let known: Vec<_> = ledger.ids.iter().filter_map(live).collect();
        let unmade = ledger.parties.iter().filter(|party| party.is_protocol && !party.dropped);
        let unmade = unmade.filter(|party| !party.made).count();
        drop(ledger);
        if there != known || unmade > 0 {
            self.object(format!("{there:?} are there, {known:?} should be, {unmade} unmade"));
        }
    }

    fn check_timers(&mut self) {
        let now = self.sim.reactor().now();
        let mut ledger = self.scene.ledger.borrow_mut();
        for number in 0..ledger.timers.len() {
            let timer = &ledger.timers[number];
            let wanted = timer.alive.then_some(timer.deadline);
            let known = self.sim.reactor().timer_deadline(timer.id);
            let right = known == wanted && wanted.is_none_or(|deadline| deadline > now);
            ledger.demand(right, || format!("timer {number}: {known:?}, not {wanted:?}"));
        }
        let waiting = ledger.calls_waiting.len();
        ledger.demand(waiting == 0, || format!("{waiting} calls were not called"));
    }

    fn check_clients(&mut self) {
        let now = self.sim.reactor().now();
        let mut ledger = self.scene.ledger.borrow_mut();
        for client in 0..ledger.clients.len() {
            let record = &ledger.clients[client];
            let Some(id) = record.id else { continue };
            let led_to = self.sim.reactor().connection_of(id);
            let right = match record.progress {
                Progress::Connected(who) => led_to == ledger.parties[who].id,
                Progress::Trying { .. } => {
                    let over = |since| since + record.timeout <= now;
                    !record.timed_by.is_some_and(over) && led_to.is_none()
                }
                Progress::Perhaps | Progress::Over => led_to.is_none(),
                Progress::Built(_) | Progress::Refused => false,
            };
            let progress = record.progress;
            ledger.demand(right, || format!("client {client} is {progress:?}, with {led_to:?}"));
        }
    }

    fn check_listeners(&mut self) {
        let count = self.scene.ledger.borrow().servers.len();
        for number in 0..count {
            let ledger = self.scene.ledger.borrow();
            let server = &ledger.servers[number];
            let Some(id) = server.id else { continue };
            let closed = server.closed;
            let there =
                |party: &&crate::ledger::Party| party.listener == Some(number) && !party.dropped;
            let open = match server.secure {
                true => ledger.taken.values().filter(|(other, _)| *other == number).count(),
                false => ledger.parties.iter().filter(there).count(),
            };
            let taken = &ledger.ever_taken;
            let accepts = !closed && !server.paused && open < server.max;
            let waits = |far: &&Far| {
                far.peer.is_some()
                    && far.dialled == Some(server.addr)
                    && ledger.parties[far.who].other_side.is_none()
                    && !ledger.parties[far.who].eof
                    && far.peer.as_ref().is_some_and(|peer| !taken.contains(&peer.addr()))
            };
            let waiting: Vec<usize> = self.fars.iter().filter(waits).map(|far| far.who).collect();
            drop(ledger);
            let counted = self.sim.reactor().connection_count(id);
            if counted != (!closed || open > 0).then_some(open) {
                self.object(format!("listener {number} counts {counted:?}, not {open}"));
            }
            let stranded = waiting.iter().filter(|who| !self.was_refused(**who)).count();
            if accepts && stranded > 0 {
                self.object(format!("{stranded} wait at listener {number}"));
            }
        }
    }

    /// Whether a far end knows that it was not accepted.
    fn was_refused(&mut self, who: usize) -> bool {
        let far = self.fars.iter_mut().find(|far| far.who == who);
        far.and_then(|far| far.peer.as_mut()).is_none_or(|peer| peer.end().is_some())
    }

    /// Ends the world in one of several ways, and closes the books.
    fn end(mut self) -> Result<(), String> {
        self.rest();
        self.watcher.borrow().compare(self.sim.reactor().stats());
        self.outcome()?;
        match self.scene.chance.below(4) {
            0 => self.stop_twice(),
            1 => self.shut_down(),
            2 => self.leave(),
            _ => return self.drop_reactor(false),
        }
        self.check_nothing_left();
        self.outcome()?;
        self.have_all_read();
        self.calm_down();
        self.fars.clear();
        self.drop_reactor(true)
    }

    /// From here on each far end reads, and answers in a handshake.
    fn have_all_read(&mut self) {
        for far in &mut self.fars {
            far.reads = true;
            if let Some(peer) = &mut far.peer {
                peer.silent = false;
            }
        }
    }

    /// Stops twice, since the last callbacks of the first stop may have set up something new.
    fn stop_twice(&mut self) {
        for quiet in [false, true] {
            self.scene.quiet.set(quiet);
            let mut ledger = self.scene.ledger.borrow_mut();
            (ledger.stop_asked, ledger.stop_due) = (true, true);
            drop(ledger);
            self.sim.reactor().stop();
            self.catch_expected_panics(Simulation::turn);
        }
    }

    fn shut_down(&mut self) {
        self.scene.quiet.set(true);
        let begun = self.sim.elapsed();
        let grace = self.scene.chance.millis(0, 300);
        self.scene.shutdown(self.sim.reactor(), grace);
        match self.catch_expected_panics(|sim| sim.reactor().run()) {
            Some(Ok(())) => {}
            other => self.object(format!("run while shutting down: {other:?}")),
        }
        let took = self.sim.elapsed() - begun;
        if took > grace {
            self.object(format!("the shutdown took {took:?}, not {grace:?}"));
        }
    }

    /// Closes everything; then `run` has nothing to wait for.
    fn leave(&mut self) {
        self.scene.quiet.set(true);
        self.have_all_read();
        self.scene.close_everything(self.sim.reactor());
        self.outside.clear();
        match self.catch_expected_panics(|sim| sim.reactor().run()) {
            Some(Ok(())) => {}
            other => self.object(format!("run when all have left: {other:?}")),
        }
    }

    fn check_nothing_left(&mut self) {
        awaited::check_none_left(&self.scene, self.sim.reactor());
        let turns = self.sim.reactor().stats().turns;
        let begun = self.sim.elapsed();
        let ran = self.catch_expected_panics(|sim| sim.reactor().run());
        let waited = self.sim.elapsed() - begun;
        let reactor = self.sim.reactor();
        let idle = matches!(ran, Some(Ok(()))) && reactor.stats().turns <= turns;
        let empty = reactor.connections().is_empty();
        if !idle || !empty || !waited.is_zero() {
            self.object(format!("left over: {ran:?}, {empty}, {waited:?}"));
        }
    }

    /// Drops the reactor, with whatever there is in it.
    fn drop_reactor(self, drained: bool) -> Result<(), String> {
        let Self { sim, scene, watcher, file, fars, outside, post, .. } = self;
        scene.quiet.set(true);
        scene.ledger.borrow_mut().stop_asked = true;
        drop(sim);
        drop((fars, outside, post));
        watcher.borrow().balance();
        if let Some(file) = file {
            watcher.borrow().compare_trace(&file.bytes());
        }
        let mut ledger = scene.ledger.borrow_mut();
        ledger.balance(drained);
        if ledger.objections.is_empty() { Ok(()) } else { Err(ledger.objections.join("\n")) }
    }
}
