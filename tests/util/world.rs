//! A reactor and what surrounds it: real sockets or a simulation.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crocus::testing::Simulation;
use crocus::{
    Address, Factory, Listen, ListenerId, Reactor, ReactorBuilder, SocketOptions, Transport,
};

use super::{Far, FarListener, Log, Recorder, TIME_LIMIT, Watchdog, pattern};

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
        let id = self.reactor().listen("127.0.0.1:0", factory).unwrap();
        let addr = self.reactor().local_addr(id).unwrap().socket_addr().unwrap();
        (id, addr)
    }

    /// Listens with small buffers in the kernel, so that little of what is written fits into them.
    pub fn listen_narrow(&mut self, factory: impl Factory + 'static) -> SocketAddr {
        let place = Listen::at("127.0.0.1:0")
            .socket(SocketOptions::new().send_buffer(64 * 1024).receive_buffer(64 * 1024));
        let id = self.reactor().listen(place, factory).unwrap();
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

    /// A connection that the reactor serves: listens, connects, and waits for `connection_made` of a
    /// recorder of that name, as `set_up` makes it. Returns the log and the far end.
    pub fn served(&mut self, name: &str, set_up: impl FnOnce(Recorder) -> Recorder) -> (Log, Far) {
        let (log, far) = self.dialled(name, set_up);
        self.until("it to be made", |_| log.has(&format!("{name} made")));
        (log, far)
    }

    /// The same, if little of what is written fits into the kernel's buffers.
    pub fn served_narrow(
        &mut self,
        name: &str,
        set_up: impl FnOnce(Recorder) -> Recorder,
    ) -> (Log, Far) {
        let (log, far) = self.dialled_narrow(name, set_up);
        self.until("it to be made", |_| log.has(&format!("{name} made")));
        (log, far)
    }

    /// The same as `served` for a test that acts before the reactor turns.
    pub fn dialled(&mut self, name: &str, set_up: impl FnOnce(Recorder) -> Recorder) -> (Log, Far) {
        let log = Log::new();
        let (_, addr) = self.listen(one_recorder(&log, name, set_up));
        (log, self.dial(addr))
    }

    /// The same as `served_narrow` for a test that acts before the reactor turns.
    pub fn dialled_narrow(
        &mut self,
        name: &str,
        set_up: impl FnOnce(Recorder) -> Recorder,
    ) -> (Log, Far) {
        let log = Log::new();
        let addr = self.listen_narrow(one_recorder(&log, name, set_up));
        (log, self.dial(addr))
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
        let mut turns = 0;
        while !done(self) {
            self.turn();
            match self {
                Self::Real(_) => assert!(begin.elapsed() < TIME_LIMIT, "never happened: {what}"),
                Self::Simulated(simulation) => {
                    // Real time stands still here; after enough turns let the simulated one pass.
                    turns += 1;
                    if turns % 1000 == 0 {
                        simulation.advance(Duration::from_millis(10));
                    }
                    assert!(turns < 2_000_000, "never happened: {what}");
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

    /// Some more turns, so that a late second call of anything shows.
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

    /// The next connection to a listener outside.
    pub fn accept(&mut self, listener: &mut FarListener) -> Far {
        let mut found = None;
        self.until("somebody to connect", |_| {
            found = listener.accept();
            found.is_some()
        });
        found.unwrap()
    }

    /// `Reactor::run`, under a watchdog.
    pub fn run(&mut self) -> io::Result<()> {
        let _watchdog = Watchdog::new("run to return");
        self.reactor().run()
    }
}

/// A factory for the only connection of a test.
fn one_recorder(
    log: &Log,
    name: &str,
    set_up: impl FnOnce(Recorder) -> Recorder,
) -> impl Factory + 'static {
    let mut only = Some(set_up(Recorder::new(log, name)));
    move |_: Address| only.take().expect("one connection")
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
