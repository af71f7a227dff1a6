//! One dialogue over TLS between two ends of crocus, through a relay that cuts the stream, ends it or resets it at
//! every byte, in both directions.

use std::sync::Arc;
use std::time::Duration;

use crocus::testing::{End, Peer, Simulation};
use crocus::tls::rustls::SupportedProtocolVersion;
use crocus::tls::rustls::client::Resumption;
use crocus::tls::rustls::pki_types::ServerName;
use crocus::tls::rustls::version::{TLS12, TLS13};
use crocus::{Connect, Listen, Reason};

use crate::certificates::Configs;
use crate::handshakes::fault;
use crate::util::{Log, Recorder, RecordingClient, SECOND, tag};

const SERVER: &str = "127.0.0.1:443";

/// Where the client believes the server to be.
const RELAY: &str = "192.0.2.1:443";

const QUESTION: &[u8] = b"a question, and then half-closed";
const ANSWER: &[u8] = b"the answer, in two records";

/// Longer than any timeout of a connection.
const LONG: Duration = Duration::from_secs(60);

/// The directions, by the side that sends.
const CLIENT: usize = 0;
const SERVER_SIDE: usize = 1;

/// The fate of one direction behind so many of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// All that has come is worked on, then the rest comes.
    GoesOn,
    /// FIN, and the rest is lost.
    Ends,
    Resets,
    /// The rest comes byte by byte.
    Crawls,
}

#[derive(Clone, Copy, Debug)]
struct Fate {
    direction: usize,
    at: usize,
    then: Then,
}

/// Between the client and the server.
struct Relay {
    simulation: Simulation,
    /// The ends that speak with the client and with the server, until they are reset.
    sides: [Option<Peer>; 2],
    /// The bytes on their way, by direction, and how many have passed.
    held: [Vec<u8>; 2],
    passed: [usize; 2],
    over: [bool; 2],
    fate: Fate,
    /// Whether the fate has come.
    met: bool,
    logs: [Log; 2],
    /// All that the receiver had been told when so many bytes had passed.
    told: Vec<Vec<String>>,
}

/// The outcome of a dialogue: the lines of the client and of the server, and how many bytes have passed.
struct Outcome {
    lines: [Vec<String>; 2],
    passed: [usize; 2],
    /// All that the receiver of the direction had been told after each byte.
    told: Vec<Vec<String>>,
}

fn end(reason: &Reason) -> String {
    if matches!(reason, Reason::Tls { .. }) { fault(reason) } else { tag(reason) }
}

impl Relay {
    fn new(configs: &Configs, fate: Fate) -> Self {
        let mut simulation = Simulation::new();
        let logs = [Log::new(), Log::new()];
        let log = logs[SERVER_SIDE].clone();
        let place = Listen::at(SERVER).tls(Arc::clone(&configs.server));
        let factory = move |_| {
            let its = log.clone();
            Recorder::new(&log, "s")
                .with_data()
                .on_eof(|transport| {
                    transport.write(&ANSWER[..12]);
                    transport.call_later(SECOND);
                })
                .on_timer(|transport, _| {
                    transport.write(&ANSWER[12..]);
                    transport.lose_connection();
                })
                .on_lost(move |_, reason| its.push(end(reason)))
        };
        simulation.reactor().listen(place, factory).unwrap();
        let mut listener = simulation.listen(RELAY).unwrap();
        let log = logs[CLIENT].clone();
        let its = log.clone();
        let client = RecordingClient::new(&logs[CLIENT], "c", move |_| {
            let its = log.clone();
            let client = Recorder::new(&log, "c")
                .with_data()
                .on_made(|transport| {
                    transport.write(QUESTION);
                    transport.lose_write_connection();
                })
                .on_lost(move |_, reason| its.push(end(reason)));
            Some(Box::new(client))
        });
        let client = client.on_failed(move |_, reason| its.push(end(reason)));
        let name = ServerName::try_from("localhost").unwrap();
        let place = Connect::to(RELAY).tls(Arc::clone(&configs.client), Some(name)).timeout(LONG);
        simulation.reactor().connect(place, client);
        simulation.settle();
        let near = listener.accept().unwrap();
        let sides = [Some(near), Some(simulation.dial(SERVER))];
        Self {
            simulation,
            sides,
            held: [Vec::new(), Vec::new()],
            passed: [0, 0],
            over: [false, false],
            fate,
            met: false,
            logs,
            told: Vec::new(),
        }
    }

    /// Carries bytes until nothing more comes.
    fn run(mut self) -> Outcome {
        let mut still = 0;
        while still < 2 {
            self.simulation.settle();
            self.meet_fate();
            let moves = [CLIENT, SERVER_SIDE].map(|direction| self.carry(direction));
            let moves = moves.contains(&true);
            still = if moves { 0 } else { still + 1 };
            if !moves {
                self.simulation.advance(LONG);
            }
        }
        assert!(self.simulation.reactor().connections().is_empty(), "{:?}", self.fate);
        Outcome { lines: self.logs.each_ref().map(Log::take), passed: self.passed, told: self.told }
    }

    /// Does to the direction whatever is due behind the bytes that have passed.
    fn meet_fate(&mut self) {
        let Fate { direction, at, then } = self.fate;
        if then == Then::Crawls {
            self.told.resize(self.passed[direction] + 1, Vec::new());
            self.told[self.passed[direction]] = self.logs[1 - direction].lines();
        }
        if self.passed[direction] < at || std::mem::replace(&mut self.met, true) {
            return;
        }
        match then {
            Then::GoesOn | Then::Crawls => {}
            Then::Ends => {
                self.over[direction] = true;
                self.finish(direction);
            }
            Then::Resets => self.cut(),
        }
        self.simulation.settle();
    }

    /// Carries what one side has sent, as far as it may pass. Returns whether anything has happened.
    fn carry(&mut self, from: usize) -> bool {
        let Some(side) = &mut self.sides[from] else { return false };
        self.held[from].extend(side.received());
        let end = side.end();
        let may = match self.fate {
            Fate { direction, .. } if direction != from => usize::MAX,
            Fate { then: Then::Crawls, .. } => 1,
            Fate { at, .. } if !self.met => at - self.passed[from],
            _ => usize::MAX,
        };
        let count = self.held[from].len().min(may);
        let piece: Vec<u8> = self.held[from].drain(..count).collect();
        if self.over[from] {
            return false; // lost
        }
        if let Some(other) = &mut self.sides[1 - from] {
            assert_eq!(other.send(&piece), count, "there is room");
        }
        self.passed[from] += count;
        let all = self.held[from].is_empty();
        match end {
            Some(End::Failed(_)) => {
                self.cut();
                true
            }
            Some(End::Closed) if all && count == 0 => {
                self.over[from] = true;
                self.finish(from);
                true
            }
            _ => count > 0,
        }
    }

    /// FIN to the receiver of a direction.
    fn finish(&mut self, direction: usize) {
        if let Some(side) = &mut self.sides[1 - direction] {
            side.close_write();
        }
    }

    /// Resets both.
    fn cut(&mut self) {
        for side in &mut self.sides {
            if let Some(side) = side.take() {
                side.reset();
            }
        }
    }
}

/// Each dialogue is for itself: one that resumed the session of another would be shorter.
fn configs(version: &'static SupportedProtocolVersion) -> Configs {
    let mut configs = Configs::of(&[version]);
    let mut client = (*configs.client).clone();
    client.resumption = Resumption::disabled();
    configs.client = client.into();
    configs
}

/// Each direction with the number of its bytes, and what its receiver is told, byte by byte.
fn directions(configs: &Configs) -> Vec<(usize, Outcome)> {
    let each = [CLIENT, SERVER_SIDE].into_iter().map(|direction| {
        let fate = Fate { direction, at: 0, then: Then::Crawls };
        (direction, Relay::new(configs, fate).run())
    });
    each.collect()
}

/// Tries each byte, and checks each outcome with what the receiver had been told before.
fn at_every_byte(then: Then, check: impl Fn(Fate, &Outcome, &Outcome)) {
    for (version, step) in [(&TLS13, 1), (&TLS12, 7)] {
        let configs = configs(version);
        for (direction, whole) in directions(&configs) {
            let all = whole.passed[direction];
            assert!(all > 300, "{all} bytes are not all");
            assert_eq!(whole.lines, usual(), "{version:?}");
            for at in (0..=all).step_by(step).chain([all]) {
                let fate = Fate { direction, at, then };
                check(fate, &whole, &Relay::new(&configs, fate).run());
            }
        }
    }
}

/// The lines of both if nothing happens.
fn usual() -> [Vec<String>; 2] {
    let client: &[&str] = &[
        "c made",
        "c data the answer, in two records",
        "c eof",
        "c lost Closed",
        "Closed",
        "c owner lost Closed",
    ];
    let server: &[&str] = &[
        "s made",
        "s data a question, and then half-closed",
        "s eof",
        "s timer",
        "s lost PeerClosed",
        "PeerClosed",
    ];
    [client, server].map(|lines| lines.iter().map(|line| (*line).to_owned()).collect())
}

/// Checks the receiver of a stream that ended as `how` before it was all: no more is told, and no end.
fn check_receiver(fate: Fate, whole: &Outcome, cut: &Outcome, how: &str) {
    let receiver = 1 - fate.direction;
    let told = &whole.told[fate.at];
    let lines = &cut.lines[receiver];
    assert_eq!(lines[..told.len()], told[..], "{fate:?}");
    let rest = &lines[told.len()..];
    let name = if receiver == CLIENT { "c" } else { "s" };
    match (told.is_empty(), receiver) {
        (true, SERVER_SIDE) => assert!(rest.is_empty(), "{fate:?}: {lines:?}"),
        (true, _) => assert_eq!(rest.last().unwrap(), &format!("Handshake {how}"), "{fate:?}"),
        (false, _) => {
            let ends = rest.iter().any(|line| line.ends_with(how));
            assert!(ends && !rest.contains(&format!("{name} eof")), "{fate:?}: {lines:?}");
        }
    }
}

/// Checks the sender, whose bytes were lost: it is told what it was told anyway, up to some point, and one end.
fn check_sender(fate: Fate, whole: &Outcome, cut: &Outcome) {
    let (lines, usual) = (&cut.lines[fate.direction], &whole.lines[fate.direction]);
    let is_end = |line: &&String| line.contains(" lost ") || line.contains(" failed ");
    let same = lines.iter().zip(usual).take_while(|(line, usual)| line == usual).count();
    let ends = lines[same..].iter().position(|line| is_end(&line)).unwrap_or(0);
    assert_eq!(ends, 0, "{fate:?}: {lines:?}, and not {usual:?}");
}

#[test]
fn a_dialogue_that_is_cut_at_any_byte_goes_on() {
    at_every_byte(Then::GoesOn, |fate, whole, cut| {
        assert_eq!(cut.lines, whole.lines, "{fate:?}");
    });
}

#[test]
fn a_dialogue_that_ends_at_any_byte_has_no_end_before_its_last() {
    at_every_byte(Then::Ends, |fate, whole, cut| {
        if fate.at == whole.passed[fate.direction] {
            assert_eq!(cut.lines, whole.lines, "{fate:?}");
            return;
        }
        check_receiver(fate, whole, cut, "Truncated");
        check_sender(fate, whole, cut);
    });
}

#[test]
fn a_dialogue_that_is_reset_at_any_byte_has_failed() {
    at_every_byte(Then::Resets, |fate, whole, cut| {
        let over = whole.told[fate.at].iter().any(|line| line.contains(" lost "));
        if !over {
            check_reset(fate, whole, cut);
        }
        check_sender(fate, whole, cut);
    });
}

/// Both hear of the reset what came before it, and no end of the stream that had not come.
fn check_reset(fate: Fate, whole: &Outcome, cut: &Outcome) {
    let receiver = 1 - fate.direction;
    let (told, lines) = (&whole.told[fate.at], &cut.lines[receiver]);
    assert_eq!(lines[..told.len()], told[..], "{fate:?}");
    let rest = &lines[told.len()..];
    if told.is_empty() && receiver == SERVER_SIDE {
        return assert!(rest.is_empty(), "{fate:?}: {lines:?}");
    }
    let fails = rest.iter().any(|line| line.contains("Failed(ConnectionReset)"));
    let goes_on = rest.iter().any(|line| line.contains(" data ") || line.ends_with(" eof"));
    assert!(fails && !goes_on, "{fate:?}: {lines:?}");
}
