//! Stories from simulated runs of crocus: the same on every machine, and in every run.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crocus::testing::{Cut, Peer, SimulatedClock, Simulation};
use crocus::{Command, Notice, Observer, Phase as Step, Protocol, Transport};

use crate::drawing::story::{Event, Look, Phase, Story};
use crate::step_15c::connection::Bytes;
use crate::step_15c::serve;

/// The record as it grows: notices of the reactor, and between them what the script does.
#[derive(Default)]
struct Record {
    events: Vec<Event>,
    turn: Option<(usize, String)>,
    phase: Option<Phase>,
}

impl Record {
    fn add(&mut self, lane: &str, from: Option<&str>, text: String) {
        self.events.push(Event {
            lane: lane.to_owned(),
            from: from.map(str::to_owned),
            to: None,
            client: None,
            text,
            look: Look::Plain,
            turn: self.turn.clone(),
            phase: self.phase,
        });
    }

    fn by_peer(&mut self, number: usize, text: &str) {
        (self.turn, self.phase) = (None, None);
        self.add(&client(number), None, format!("client {number} {text}"));
    }
}

fn client(number: usize) -> String {
    format!("client {number}")
}

impl Observer for Record {
    fn notice(&mut self, _at: Instant, notice: &Notice) {
        match notice {
            Notice::TurnBegin { turn } => self.turn = Some((*turn as usize, turn.to_string())),
            Notice::PhaseBegin(step) => self.phase = phase(*step),
            Notice::Woke { slept, .. } if *slept > Duration::ZERO => {
                self.add("kernel", None, notice.to_string());
            }
            Notice::Event { .. } => self.add("reactor", None, notice.to_string()),
            Notice::CallbackBegin { subject, callback } => {
                self.add("your code", Some("reactor"), format!("{subject}: {callback}"));
            }
            Notice::CallbackEnd { took, callback, .. } if *took > Duration::ZERO => {
                self.add("your code", None, format!("{callback} took {took:?}"));
            }
            Notice::Command {
                command: Command::Write { .. } | Command::LoseConnection, ..
            } => {
                self.add("your code", None, notice.to_string());
            }
            Notice::Opened { connection, .. } => {
                self.add("reactor", None, format!("connection {connection} opened"));
            }
            Notice::Gone { connection, .. } => {
                self.add("reactor", None, format!("connection {connection} ended"));
            }
            Notice::Received { .. } | Notice::Sent { .. } | Notice::Stage { .. } => {
                self.add("reactor", None, notice.to_string());
            }
            _ => {}
        }
    }
}

fn phase(step: Step) -> Option<Phase> {
    match step {
        Step::Sleep { .. } => Some(Phase::Sleep),
        Step::Latch => Some(Phase::Latch),
        Step::Timers => Some(Phase::Timers),
        Step::Serve => Some(Phase::Serve),
        Step::Calls => Some(Phase::Calls),
        Step::Flush => Some(Phase::Flush),
        _ => None,
    }
}

/// Records what `script` does with a simulation, as a story.
fn record(title: &str, script: impl FnOnce(&mut Stage)) -> Story {
    let record = Rc::new(RefCell::new(Record::default()));
    let mut simulation = Simulation::new();
    simulation.reactor().set_observer(Some(Box::new(Rc::clone(&record))));
    let clock = simulation.clock();
    let listening = simulation.reactor().listen(ADDRESS, move |_peer| Answering::new(&clock));
    listening.expect("the address is free");
    let mut stage = Stage { simulation, record, peers: Vec::new() };
    script(&mut stage);
    let events = stage.record.take().events;
    Story::of(title, events)
}

const ADDRESS: &str = "127.0.0.1:5000";

/// Where step 15c listens.
const TASKS: &str = "127.0.0.1:5001";

/// A simulation, its record, and the peers of the script.
struct Stage {
    simulation: Simulation,
    record: Rc<RefCell<Record>>,
    peers: Vec<Peer>,
}

impl Stage {
    /// Forgets what came before.
    fn begin(&self) {
        self.record.borrow_mut().events.clear();
    }

    fn connect(&mut self) {
        self.connect_to(ADDRESS);
    }

    fn connect_to(&mut self, address: &str) {
        let number = self.peers.len() + 1;
        self.record.borrow_mut().by_peer(number, "connects");
        self.peers.push(self.simulation.dial(address));
        self.simulation.settle();
    }

    /// Forgets all events but those of which `keep` says so.
    fn retain(&self, keep: impl Fn(&Event) -> bool) {
        self.record.borrow_mut().events.retain(keep);
    }

    /// Has a peer send, from 1 on.
    fn send(&mut self, number: usize, text: &str) {
        self.peers[number - 1].send(text.as_bytes());
        self.record.borrow_mut().by_peer(number, &format!("sends {text:?}"));
    }

    /// Gives the events whose text has this part another look.
    fn mark(&self, look: Look, part: &str) {
        let mut record = self.record.borrow_mut();
        let marked = record.events.iter_mut().filter(|event| event.text.contains(part));
        marked.for_each(|event| event.look = look);
    }

    fn receive(&mut self, number: usize) {
        let bytes = self.peers[number - 1].received().len();
        self.record.borrow_mut().by_peer(number, &format!("receives {bytes} bytes"));
    }
}

/// Answers a line with 81 bytes. For `long` it takes a while, and for `call` it asks for a call.
struct Answering {
    line: Vec<u8>,
    clock: SimulatedClock,
}

impl Answering {
    fn new(clock: &SimulatedClock) -> Self {
        Self { line: Vec::new(), clock: clock.clone() }
    }
}

impl Protocol for Answering {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.line.extend_from_slice(data);
        if !self.line.ends_with(b"\n") {
            return;
        }
        let line = std::mem::take(&mut self.line);
        if line == b"long\n" {
            self.clock.advance(Duration::from_millis(1200));
        }
        if line == b"call\n" {
            transport.reactor().call_soon(|_reactor| {});
        }
        transport.write(&[b'.'; 81]);
    }
}

/// Chapter 0: one turn in which each phase has something to do.
pub(crate) fn one_turn() -> Story {
    record("One turn: six phases in their order, and where each calls your code", |stage| {
        let second = Duration::from_secs(1);
        stage.connect();
        stage.connect();
        let second_client = stage.simulation.reactor().connections()[1];
        stage.simulation.set_latency(second);
        stage.peers[0].send(b"call\n");
        stage.simulation.reactor().call_later(second, move |reactor| {
            reactor.transport(second_client).expect("it is open").write(b"news");
        });
        stage.simulation.settle();
        stage.begin();
        stage.simulation.reactor().turn(None).expect("a simulated poll does not fail");
        let turn = stage.record.borrow().events.first().and_then(|event| event.turn.clone());
        stage.retain(|event| event.turn == turn);
    })
}

/// Chapter 12: a line that comes byte by byte is a line all the same.
pub(crate) fn every_byte_alone() -> Story {
    record("The network delivers byte by byte: three calls, one line, one answer", |stage| {
        stage.simulation.set_cut(Cut::Every(1));
        stage.connect();
        stage.begin();
        stage.send(1, "12\n");
        stage.simulation.settle();
        let mut record = stage.record.borrow_mut();
        let end = record.events.iter().position(|event| event.text.contains("write 81"));
        record.events.truncate(end.expect("it answers") + 1);
    })
}

/// Chapter 13: an observer sees which callback took long.
pub(crate) fn longest_callback() -> Story {
    let mut story =
        record("The longest callback takes 1.2 s, and client 2 waits for its end", |stage| {
            stage.connect();
            stage.connect();
            stage.begin();
            stage.send(1, "long\n");
            stage.send(2, "short\n");
            stage.simulation.settle();
            stage.receive(1);
            stage.receive(2);
            stage.mark(Look::Bad, "took");
        });
    story.wait("client 2 sends", "client 2");
    story
}

/// Chapter 14: one client after another, as a blocking server has them too.
pub(crate) fn calm() -> Story {
    record("Calm: one thing to do at a time, and nothing to wait for", |stage| {
        for number in 1..=3 {
            stage.connect();
            stage.send(number, "1\n");
            stage.simulation.settle();
            stage.receive(number);
        }
        stage.retain(is_for_clients);
    })
}

/// Chapter 14: one client says nothing, and another one is served.
pub(crate) fn waiting() -> Story {
    let mut story = record("A silent client waits, and nobody waits for it", |stage| {
        stage.connect();
        for number in 2..=3 {
            stage.connect();
            stage.send(number, "1\n");
            stage.simulation.settle();
            stage.receive(number);
        }
        stage.retain(is_for_clients);
    });
    story.wait("client 1 connects", "client 1");
    story
}

/// Chapter 15: a task is polled when something has come for it, and waits else.
pub(crate) fn one_task() -> Story {
    record("One task: serve wakes it, and the calls phase polls it", |stage| {
        let listening =
            stage.simulation.reactor().listen(TASKS, |_peer| Bytes::new(|it| Box::pin(serve(it))));
        listening.expect("the address is free");
        stage.connect_to(TASKS);
        stage.send(1, "2\n");
        stage.simulation.settle();
        stage.receive(1);
        stage.retain(|event| !event.text.contains("listener") && !event.text.contains("WRITABLE"));
    })
}

/// The actions of clients and those for them; not what the reactor is told meanwhile.
fn is_for_clients(event: &Event) -> bool {
    let does = [" connects", " sends ", " receives ", " opened", " bytes in", " bytes out"];
    does.iter().any(|part| event.text.contains(part))
}
