//! A server of tasks on a thread of its own, and small things that all tests need.

use std::fmt::Debug;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ChildStdin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crocus::futures::{Connection, listen, run_until, spawn, spawn_local, task_count, timeout};
use crocus::testing::{Cut, Simulation};
use crocus::{Handle, Listen, Reactor};

use crate::child::TIME_LIMIT;

/// The outcome of a dialogue, in words.
type Outcome = Result<String, String>;

/// The future of a dialogue.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Outcome>>>;

/// A server. It ends with this value.
pub(crate) struct Host {
    pub(crate) addr: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<usize>>,
    ends: Receiver<Outcome>,
}

impl Host {
    pub(crate) fn start(dialogue: fn(Connection) -> Ending) -> Self {
        Self::start_at(Listen::at("127.0.0.1:0"), dialogue)
    }

    pub(crate) fn start_at(
        place: Listen,
        dialogue: impl Fn(Connection) -> Ending + Send + 'static,
    ) -> Self {
        let (tell_place, told_place) = mpsc::channel();
        let (tell_end, ends) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut reactor = Reactor::builder().slow_callback(None).build().unwrap();
            let handle = reactor.handle();
            let told = move |addr| tell_place.send((addr, handle)).unwrap();
            spawn(&mut reactor, serve(place, dialogue, tell_end, told));
            reactor.run().unwrap();
            task_count(&mut reactor) + reactor.connections().len()
        });
        let (addr, handle) = told_place.recv_timeout(TIME_LIMIT).unwrap();
        Self { addr, handle, thread: Some(thread), ends }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The outcome of the next dialogue that ends.
    pub(crate) fn end(&self) -> Outcome {
        self.ends.recv_timeout(TIME_LIMIT).expect("a dialogue ends")
    }

    /// Returns when the shutdown has begun.
    pub(crate) fn begin_shutdown(&self) {
        self.handle.ask(|reactor| reactor.shutdown(TIME_LIMIT)).wait().unwrap();
    }

    /// Shuts down, and checks that all other dialogues end well and nothing is left. Returns how many there were.
    pub(crate) fn close(mut self) -> usize {
        self.handle.shutdown(TIME_LIMIT);
        let left = self.thread.take().unwrap().join().expect("the server has not panicked");
        assert_eq!(left, 0, "tasks and connections that are left");
        self.ends.iter().map(Outcome::unwrap).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "the server has panicked");
    }
}

/// The same server in a simulation. Where it listens is told when the simulation settles.
pub(crate) fn simulate(
    simulation: &mut Simulation,
    at: &str,
    dialogue: impl Fn(Connection) -> Ending + 'static,
) -> Receiver<Outcome> {
    let (tell_end, ends) = mpsc::channel();
    let place = Listen::at(at);
    spawn(simulation.reactor(), serve(place, dialogue, tell_end, |_| ()));
    simulation.settle();
    ends
}

/// Runs a future on real sockets, and in simulations whose network cuts where it likes.
pub(crate) fn in_each_world<F: Future<Output = ()> + 'static>(future: impl Fn() -> F) {
    let limited = || timeout(TIME_LIMIT, future());
    run_until(&mut Reactor::new().unwrap(), limited()).unwrap().unwrap();
    for seed in 0..5 {
        let mut simulation = Simulation::with_seed(seed);
        simulation.set_cut(Cut::Random(5000));
        simulation.set_latency(Duration::from_millis(20));
        run_until(simulation.reactor(), limited()).unwrap().unwrap();
    }
}

/// Accepts until the listener is closed.
async fn serve(
    place: Listen,
    dialogue: impl Fn(Connection) -> Ending + 'static,
    tell_end: Sender<Outcome>,
    tell_place: impl FnOnce(SocketAddr),
) {
    let mut incoming = listen(place).unwrap();
    tell_place(incoming.local_addr().socket_addr().unwrap());
    while let Some(peer) = incoming.accept().await {
        let (task, tell_end) = (spawn_local(dialogue(peer)), tell_end.clone());
        spawn_local(async move {
            let end = task.await.unwrap_or_else(|error| Err(error.to_string()));
            tell_end.send(end).unwrap_or_default(); // nobody listens to what ends with the server
        });
    }
}

/// The outcome in words.
pub(crate) fn outcome<T: Debug, E: Debug>(result: Result<T, E>) -> Outcome {
    result.map(|value| format!("{value:?}")).map_err(|error| format!("{error:?}"))
}

/// Bytes that show a piece that is missing, doubled or misplaced, since their period is a prime.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> =
        (0..65_521u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut all = period.repeat(len.div_ceil(period.len()));
    all.truncate(len);
    all
}

/// Types in one piece.
pub(crate) fn enter(keyboard: &mut ChildStdin, bytes: &[u8]) {
    keyboard.write_all(bytes).unwrap();
    keyboard.flush().unwrap();
}
