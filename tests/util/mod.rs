//! A small vocabulary for tests: a world (real sockets or simulated), far ends, a log, and a
//! protocol that writes down what it is told and objects to any illegal sequence of calls.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "what is public here is for the test programs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(clippy::type_complexity, reason = "callbacks in boxes are what this is about")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crocus::testing::{Peer, PeerListener, Simulation};
use crocus::{
    Address, ClientFactory, ConnectionId, Connector, Factory, ListenOptions, ListenerId, Protocol,
    Reactor, ReactorBuilder, Reason, TimerId, Transport,
};
use log::Level;

/// How long a test on real sockets waits before it says that something never happened. No test
/// depends on how long things take below this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Declares a test that runs on real sockets and in the simulation.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! both {
    ($(#[$meta:meta])* fn $name:ident($world:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($world: &mut World) $body

            #[test]
            fn real() {
                check(&mut World::real());
            }

            #[test]
            fn simulated() {
                check(&mut World::simulated());
            }
        }
    };
}

/// A reactor and what surrounds it.
pub enum World {
    Real(Reactor),
    Simulated(Simulation),
}

impl World {
    /// On real sockets. Slow callbacks are not logged: on a busy machine any may be slow, above all one
    /// that panics with a backtrace, and tests count the lines of the log.
    pub fn real() -> Self {
        Self::Real(Reactor::builder().slow_callback(None).build().unwrap())
    }

    pub fn simulated() -> Self {
        Self::Simulated(Simulation::new())
    }

    /// The same kind of world, with other limits.
    pub fn with_limits(&self, limits: ReactorBuilder) -> Self {
        match self {
            Self::Real(_) => Self::Real(limits.build().unwrap()),
            Self::Simulated(_) => Self::Simulated(Simulation::with_limits(limits, 0)),
        }
    }

    pub fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }

    pub fn reactor(&mut self) -> &mut Reactor {
        match self {
            Self::Real(reactor) => reactor,
            Self::Simulated(simulation) => simulation.reactor(),
        }
    }

    /// Listens on a free port of the loopback address.
    pub fn listen(&mut self, factory: impl Factory + 'static) -> (ListenerId, SocketAddr) {
        let id = self.reactor().listen_tcp("127.0.0.1:0", factory).unwrap();
        let addr = self.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        (id, addr)
    }

    /// Listens with small buffers in the kernel, so that little of what is written fits into them.
    pub fn listen_narrow(&mut self, factory: impl Factory + 'static) -> SocketAddr {
        let options = ListenOptions::new().send_buffer(64 * 1024).receive_buffer(64 * 1024);
        let id = self.reactor().listen_tcp_with("127.0.0.1:0", &options, factory).unwrap();
        self.reactor().local_addr(id).unwrap().socket_addr().unwrap()
    }

    /// More bytes than fit between a narrow listener and a far end that does not read.
    pub fn much(&self) -> Vec<u8> {
        pattern(if self.is_real() { 8 << 20 } else { 1 << 20 })
    }

    /// The only connection there is.
    pub fn only(&mut self) -> Transport<'_> {
        let ids = self.reactor().connections();
        assert_eq!(ids.len(), 1, "one connection");
        self.reactor().transport(ids[0]).unwrap()
    }

    /// Connects from outside.
    pub fn dial(&mut self, addr: SocketAddr) -> Far {
        match self {
            Self::Real(_) => {
                let stream = TcpStream::connect(addr).unwrap();
                stream.set_nonblocking(true).unwrap();
                Far::Real(stream)
            }
            Self::Simulated(simulation) => Far::Simulated(simulation.dial(addr)),
        }
    }

    /// Listens outside, for what the reactor connects to.
    pub fn listen_outside(&mut self) -> FarListener {
        match self {
            Self::Real(_) => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                listener.set_nonblocking(true).unwrap();
                FarListener::Real(listener)
            }
            Self::Simulated(simulation) => {
                FarListener::Simulated(simulation.listen("127.0.0.1:0").unwrap())
            }
        }
    }

    /// An address at which nobody listens.
    pub fn closed_port(&mut self) -> SocketAddr {
        let listener = self.listen_outside();
        listener.addr()
    }

    /// One turn. On real sockets it waits a little if there is nothing to do.
    pub fn turn(&mut self) {
        match self {
            Self::Real(reactor) => drop(reactor.turn(Some(Duration::from_millis(5))).unwrap()),
            Self::Simulated(simulation) => drop(simulation.turn()),
        }
    }

    /// Turns until `done`, letting time pass if need be.
    ///
    /// # Panics
    ///
    /// If that never happens.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        let mut hours = 0;
        while !done(self) {
            self.turn();
            match self {
                Self::Real(_) => assert!(begin.elapsed() < PATIENCE, "never happened: {what}"),
                Self::Simulated(simulation) => {
                    // Real time stands still here; after enough turns let the simulated one pass.
                    hours += 1;
                    if hours % 1000 == 0 {
                        simulation.advance(Duration::from_millis(10));
                    }
                    assert!(hours < 2_000_000, "never happened: {what}");
                }
            }
        }
    }

    /// Lets time pass, turning.
    pub fn pass(&mut self, time: Duration) {
        match self {
            Self::Real(reactor) => {
                let end = Instant::now() + time;
                loop {
                    let rest = end.saturating_duration_since(Instant::now());
                    reactor.turn(Some(rest)).unwrap();
                    if rest.is_zero() {
                        return;
                    }
                }
            }
            Self::Simulated(simulation) => simulation.advance(time),
        }
    }

    /// Some more turns, in which a late second call of anything would show.
    pub fn quiet(&mut self) {
        for _ in 0..5 {
            self.turn();
        }
    }

    /// Exactly `count` bytes from a far end.
    pub fn read(&mut self, far: &mut Far, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        self.until(&format!("{count} bytes to read"), |_| {
            all.extend(far.receive(count - all.len()).unwrap());
            all.len() == count
        });
        all
    }

    /// All that a far end gets, and how it ended: `Ok` in order, `Err` with the error's kind.
    pub fn read_to_end(&mut self, far: &mut Far) -> (Vec<u8>, Result<(), io::ErrorKind>) {
        let mut all = Vec::new();
        let mut end = Ok(());
        self.until("the end of the stream", |_| match far.take_some(&mut all) {
            Ok(over) => over,
            Err(kind) => {
                end = Err(kind);
                true
            }
        });
        (all, end)
    }

    /// Sends everything, turning as the window fills.
    pub fn send(&mut self, far: &mut Far, data: &[u8]) {
        let mut sent = 0;
        self.until("everything to be sent", |_| {
            sent += far.send(&data[sent..]);
            sent == data.len()
        });
    }

    /// The next who connects to a listener outside.
    pub fn accept(&mut self, listener: &mut FarListener) -> Far {
        let mut found = None;
        self.until("somebody to connect", |_| {
            found = listener.accept();
            found.is_some()
        });
        found.unwrap()
    }
}

/// Bytes in which a piece that is missing, doubled or misplaced shows: the period is a prime.
pub fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> =
        (0..65_521u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut all = period.repeat(len.div_ceil(period.len()));
    all.truncate(len);
    all
}

/// The far end of a connection.
pub enum Far {
    Real(TcpStream),
    Simulated(Peer),
}

impl Far {
    /// Sends what fits now; returns how much that was.
    pub fn send(&mut self, data: &[u8]) -> usize {
        match self {
            Self::Real(stream) => stream.write(data).unwrap_or(0),
            Self::Simulated(peer) => peer.send(data),
        }
    }

    /// At most `max` bytes of what is there; empty if nothing is, or at the end.
    pub fn receive(&mut self, max: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Real(stream) => {
                let mut piece = vec![0; max];
                match stream.read(&mut piece) {
                    Ok(count) => piece.truncate(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => piece.clear(),
                    Err(error) => return Err(error),
                }
                Ok(piece)
            }
            Self::Simulated(peer) => Ok(peer.receive(max)),
        }
    }

    /// Takes what is there; `Ok(true)` at the end.
    fn take_some(&mut self, all: &mut Vec<u8>) -> Result<bool, io::ErrorKind> {
        match self {
            Self::Real(stream) => {
                let mut piece = [0; 65536];
                match stream.read(&mut piece) {
                    Ok(0) => Ok(true),
                    Ok(count) => {
                        all.extend_from_slice(&piece[..count]);
                        Ok(false)
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                    Err(error) => Err(error.kind()),
                }
            }
            Self::Simulated(peer) => {
                all.extend(peer.received());
                match peer.end() {
                    None => Ok(false),
                    Some(crocus::testing::End::Closed) => Ok(true),
                    Some(crocus::testing::End::Failed(kind)) => Err(kind),
                }
            }
        }
    }

    pub fn close_write(&mut self) {
        match self {
            // It fails once the connection is over, and then there is nothing to close.
            Self::Real(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Simulated(peer) => peer.close_write(),
        }
    }

    /// Cuts the connection with a reset.
    pub fn reset(self) {
        match self {
            Self::Real(stream) => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            Self::Simulated(peer) => peer.reset(),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(stream) => stream.local_addr().unwrap(),
            Self::Simulated(peer) => peer.addr(),
        }
    }
}

/// A listener outside of the reactor.
pub enum FarListener {
    Real(TcpListener),
    Simulated(PeerListener),
}

impl FarListener {
    pub fn accept(&mut self) -> Option<Far> {
        match self {
            Self::Real(listener) => {
                let (stream, _) = listener.accept().ok()?;
                stream.set_nonblocking(true).unwrap();
                Some(Far::Real(stream))
            }
            Self::Simulated(listener) => listener.accept().map(Far::Simulated),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Real(listener) => listener.local_addr().unwrap(),
            Self::Simulated(listener) => listener.addr(),
        }
    }
}

/// A list of lines, shared by all who write into it. Objects, when the test lets it go, to
/// violations of the contract that a [`Recorder`] saw (a panic inside a callback would only be
/// caught).
#[derive(Default)]
pub struct Log {
    lines: Rc<Lines>,
    /// A clone lives in callbacks, and is dropped where the reactor would catch its objection.
    is_clone: bool,
}

#[derive(Default)]
struct Lines {
    lines: RefCell<Vec<String>>,
    violations: RefCell<Vec<String>>,
    /// Connections whose next protocol is on its way.
    handed_over: RefCell<Vec<ConnectionId>>,
}

impl Clone for Log {
    fn clone(&self) -> Self {
        Self { lines: Rc::clone(&self.lines), is_clone: true }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.is_clone && !std::thread::panicking() {
            let violations = std::mem::take(&mut *self.lines.violations.borrow_mut());
            assert_eq!(violations, [""; 0], "{:#?}", self.lines());
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let violations = self.violations.borrow();
        if !violations.is_empty() && !std::thread::panicking() {
            // After the test, while its reactor is dropped: a panic would be caught, print captured.
            drop(writeln!(io::stderr(), "{violations:#?}\n{:#?}", self.lines.borrow()));
            std::process::exit(101);
        }
    }
}

impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&self, line: impl Into<String>) {
        self.lines.lines.borrow_mut().push(line.into());
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lines.borrow().clone()
    }

    /// All lines since the last take.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lines.borrow_mut())
    }

    pub fn len(&self) -> usize {
        self.lines.lines.borrow().len()
    }

    pub fn has(&self, line: &str) -> bool {
        self.lines.lines.borrow().iter().any(|known| known == line)
    }

    /// How many lines begin like this.
    pub fn count(&self, prefix: &str) -> usize {
        self.lines.lines.borrow().iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// `Transport::set_protocol` and `unread`, so that the recorder which is replaced knows that it is.
    pub fn hand_over(
        &self,
        transport: &mut Transport,
        to: impl Protocol + 'static,
        unused: &[u8],
    ) -> bool {
        let done = transport.set_protocol(to);
        if done {
            assert!(transport.unread(unused));
            self.lines.handed_over.borrow_mut().push(transport.id());
        }
        done
    }

    fn violation(&self, what: String) {
        self.lines.violations.borrow_mut().push(what);
    }

    /// Adds to the last line if it begins like this, so that the cuts of a stream do not show.
    pub fn extend(&self, prefix: &str, data: &[u8]) {
        let text = data.escape_ascii().to_string();
        let mut lines = self.lines.lines.borrow_mut();
        match lines.last_mut() {
            Some(last) if last.starts_with(prefix) => last.push_str(&text),
            _ => lines.push(format!("{prefix}{text}")),
        }
    }
}

/// A reason in short: the variant, and the error's kind if there is one.
pub fn tag(reason: &Reason) -> String {
    match reason {
        Reason::Failed { error, .. } => format!("Failed({:?})", error.kind()),
        Reason::CloseTimedOut { .. } => "CloseTimedOut".to_owned(),
        Reason::Overflow { .. } => "Overflow".to_owned(),
        Reason::Panicked { callback } => format!("Panicked({callback})"),
        other => format!("{other:?}"),
    }
}

type Then = Box<dyn FnMut(&mut Transport)>;
type ThenData = Box<dyn FnMut(&mut Transport, &[u8])>;

/// Writes down what it is told, does what it was set up to do, and checks that the calls come in
/// the order the contract allows.
///
/// Lines: `a made`, `a data …`, `a eof`, `a pause`, `a resume`, `a timer`, `a timed out`,
/// `a lost Closed`, with the name given in place of `a`. `data` is written only if asked for by
/// [`Recorder::with_data`].
///
/// A panic in what it was set up to do is a violation too, for the reactor catches it like any bug:
/// unless it says that it happens `on purpose`.
pub struct Recorder {
    log: Log,
    name: String,
    record_data: bool,
    made: Option<Then>,
    data: Option<ThenData>,
    eof: Option<Then>,
    pause: Option<Then>,
    resume: Option<Then>,
    timer: Option<Box<dyn FnMut(&mut Transport, TimerId)>>,
    timed_out: Option<Then>,
    lost: Option<Box<dyn FnMut(&mut Transport, &Reason)>>,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct State {
    made: bool,
    eof: bool,
    paused: bool,
    /// A command was given after which only the loss may follow.
    closing: bool,
    /// Another protocol takes over, unless the loss comes first.
    replaced: bool,
    id: Option<ConnectionId>,
    lost: bool,
    inside: bool,
}

/// What a panic said.
pub fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

impl Recorder {
    pub fn new(log: &Log, name: &str) -> Self {
        Self {
            log: log.clone(),
            name: name.to_owned(),
            record_data: false,
            made: None,
            data: None,
            eof: None,
            pause: None,
            resume: None,
            timer: None,
            timed_out: None,
            lost: None,
            state: Rc::default(),
        }
    }

    pub fn with_data(mut self) -> Self {
        self.record_data = true;
        self
    }

    pub fn on_made(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.made = Some(Box::new(then));
        self
    }

    pub fn on_data(mut self, then: impl FnMut(&mut Transport, &[u8]) + 'static) -> Self {
        self.data = Some(Box::new(then));
        self
    }

    /// In place of the default, which closes.
    pub fn on_eof(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.eof = Some(Box::new(then));
        self
    }

    /// In place of the default, which pauses reading.
    pub fn on_pause(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.pause = Some(Box::new(then));
        self
    }

    /// In place of the default, which resumes reading.
    pub fn on_resume(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.resume = Some(Box::new(then));
        self
    }

    pub fn on_timer(mut self, then: impl FnMut(&mut Transport, TimerId) + 'static) -> Self {
        self.timer = Some(Box::new(then));
        self
    }

    /// In place of the default, which closes.
    pub fn on_timed_out(mut self, then: impl FnMut(&mut Transport) + 'static) -> Self {
        self.timed_out = Some(Box::new(then));
        self
    }

    pub fn on_lost(mut self, then: impl FnMut(&mut Transport, &Reason) + 'static) -> Self {
        self.lost = Some(Box::new(then));
        self
    }

    /// Checks a call against the contract, writes it down, and does what was set up.
    fn told(
        &mut self,
        what: &str,
        transport: &mut Transport,
        then: impl FnOnce(&mut Self, &mut Transport),
    ) {
        let mut state = self.state.get();
        if state.id.is_none() {
            state.id = Some(transport.id());
            let mut handed_over = self.log.lines.handed_over.borrow_mut();
            handed_over.retain(|known| *known != transport.id());
        }
        state.replaced = self.is_replaced(&state);
        let legal = match what {
            "lost" => state.made,
            _ if state.replaced => false,
            "made" => !state.made,
            "pause" => state.made && !state.paused && !state.closing,
            "resume" => state.made && state.paused && !state.closing,
            "data" | "eof" => state.made && !state.eof && !state.closing,
            _ => state.made && !state.closing,
        };
        if !legal || state.lost || state.inside {
            self.log.violation(format!("{} was told {what} in {state:?}", self.name));
        }
        match what {
            "made" => state.made = true,
            "pause" => state.paused = true,
            "resume" => state.paused = false,
            "eof" => state.eof = true,
            "lost" => state.lost = true,
            _ => {}
        }
        self.state.set(State { inside: true, ..state });
        let result = catch_unwind(AssertUnwindSafe(|| then(self, transport)));
        let closing = transport.is_closing() || result.is_err();
        self.state.set(State { closing, replaced: self.is_replaced(&state), ..state });
        if let Err(payload) = result {
            let message = message(payload.as_ref());
            if !message.contains("on purpose") {
                self.log.violation(format!("{} panicked, told {what}: {message}", self.name));
            }
            resume_unwind(payload);
        }
    }

    fn is_replaced(&self, state: &State) -> bool {
        let handed_over = self.log.lines.handed_over.borrow();
        state.replaced || state.id.is_some_and(|id| handed_over.contains(&id))
    }

    fn line(&self, what: &str) {
        self.log.push(format!("{} {what}", self.name));
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.told("made", transport, |me, transport| {
            me.line("made");
            if let Some(then) = &mut me.made {
                then(transport);
            }
        });
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.told("data", transport, |me, transport| {
            if data.is_empty() {
                me.log.violation(format!("{} was given no data", me.name));
            }
            if me.record_data {
                me.log.extend(&format!("{} data ", me.name), data);
            }
            if let Some(then) = &mut me.data {
                then(transport, data);
            }
        });
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.told("eof", transport, |me, transport| {
            me.line("eof");
            match &mut me.eof {
                Some(then) => then(transport),
                None => transport.lose_connection(),
            }
        });
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.told("pause", transport, |me, transport| {
            me.line("pause");
            match &mut me.pause {
                Some(then) => then(transport),
                None => transport.pause_reading(),
            }
        });
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.told("resume", transport, |me, transport| {
            me.line("resume");
            match &mut me.resume {
                Some(then) => then(transport),
                None => transport.resume_reading(),
            }
        });
    }

    fn timer_fired(&mut self, transport: &mut Transport, timer: TimerId) {
        self.told("timer", transport, |me, transport| {
            me.line("timer");
            if let Some(then) = &mut me.timer {
                then(transport, timer);
            }
        });
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.told("timed out", transport, |me, transport| {
            me.line("timed out");
            match &mut me.timed_out {
                Some(then) => then(transport),
                None => transport.lose_connection(),
            }
        });
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        self.told("lost", transport, |me, transport| {
            me.line(&format!("lost {}", tag(reason)));
            if let Some(then) = &mut me.lost {
                then(transport, reason);
            }
        });
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let state = self.state.get();
        let replaced = self.is_replaced(&state);
        if replaced && !state.lost {
            self.line("replaced");
        }
        if state.made && !state.lost && !replaced && !std::thread::panicking() {
            self.log.violation(format!("{} was dropped without its loss being told", self.name));
        }
    }
}

/// A client factory that writes down what it hears: `a failed …`, `a lost …` (as `a owner lost …`).
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

impl<B: FnMut(Address) -> Option<Box<dyn Protocol>>> ClientFactory for RecordingClient<B> {
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

/// How many descriptors this process has open. Tests that count them run in a process of their own.
#[cfg(target_os = "linux")]
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Ends the test program, with a word, if it is not dropped in time: a `run` that never returns
/// would otherwise say nothing at all.
pub struct Watchdog {
    _bone: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    pub fn new(what: &'static str) -> Self {
        let (bone, taken) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if taken.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("never happened: {what}");
                std::process::exit(101);
            }
        });
        Self { _bone: bone }
    }
}

impl World {
    /// `Reactor::run`, under a watchdog.
    pub fn run(&mut self) -> io::Result<()> {
        let _watchdog = Watchdog::new("run to return");
        self.reactor().run()
    }
}

thread_local! {
    static LEVEL: Cell<Level> = const { Cell::new(Level::Warn) };
    static LOGGED: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// What crocus logged on this thread as warning or error since the last call. The first call begins
/// it.
pub fn logged() -> Vec<String> {
    let lines = logged_up_to(Level::Warn);
    lines.into_iter().map(|(level, line)| format!("{level} {line}")).collect()
}

/// What crocus logged on this thread since the last call; from now on it is what is up to `level`.
/// Tests run beside each other in one process, so each thread has its own level and lines.
pub fn logged_up_to(level: Level) -> Vec<(Level, String)> {
    struct Logger;

    impl log::Log for Logger {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= LEVEL.get() && metadata.target().starts_with("crocus")
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                let line = (record.level(), record.args().to_string());
                LOGGED.with_borrow_mut(|lines| lines.push(line));
            }
        }

        fn flush(&self) {}
    }

    static BEGIN: Once = Once::new();
    BEGIN.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    LEVEL.set(level);
    LOGGED.take()
}

/// A folder of the test's own, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crocus-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("server.sock")
    }

    /// Everything in it, hidden or not.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Does something blocking on a thread, while the world turns.
pub fn outside<T: Send + 'static>(
    world: &mut World,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let thread = std::thread::spawn(work);
    world.until("the other side to be through", |_| thread.is_finished());
    thread.join().unwrap()
}
