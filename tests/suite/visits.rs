//! The steps that a visit does once, and the effects of a command.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::testing::Simulation;
use crocus::{Protocol, Reactor, Reason, TimerId, Transport};

const MS: Duration = Duration::from_millis(1);

type Told = Rc<RefCell<Vec<String>>>;

/// Writes down what it is told, and does something in it.
struct Reacting<F> {
    told: Told,
    react: F,
}

impl<F: FnMut(&mut Transport, &str)> Reacting<F> {
    fn told(&mut self, transport: &mut Transport, what: &str) {
        self.told.borrow_mut().push(what.to_owned());
        (self.react)(transport, what);
    }
}

impl<F: FnMut(&mut Transport, &str) + 'static> Protocol for Reacting<F> {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.told(transport, "made");
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.told(transport, &format!("data {}", data.escape_ascii()));
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.told(transport, "pause");
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.told(transport, "resume");
    }

    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        self.told(transport, "timer");
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.told(transport, "timed out");
    }

    fn connection_lost(&mut self, transport: &mut Transport, reason: &Reason) {
        self.told(transport, &format!("lost {reason:?}"));
    }
}

fn reacting(react: impl FnMut(&mut Transport, &str) + 'static) -> (Told, impl Protocol + 'static) {
    let told = Told::default();
    (Rc::clone(&told), Reacting { told, react })
}

fn count(told: &Told, what: &str) -> usize {
    told.borrow().iter().filter(|line| *line == what).count()
}

#[test]
fn a_timeout_of_no_time_is_told_once_a_turn() {
    let (told, protocol) = reacting(|transport, what| {
        if what == "made" || what == "timed out" {
            transport.set_timeout(Some(Duration::ZERO));
        }
    });
    let mut simulation = Simulation::new();
    let peer = simulation.connect(protocol);
    for turn in 1..=5 {
        simulation.turn();
        assert!(count(&told, "timed out") <= turn);
    }
    assert!(count(&told, "timed out") >= 3);
    drop(peer);
}

#[test]
fn marks_that_swing_pause_and_resume_once_a_turn() {
    let (told, protocol) = reacting(|transport, what| match what {
        "made" => {
            transport.set_write_buffer_limits(10, 10);
            transport.write(&[7; 1 << 20]);
        }
        "pause" => transport.set_write_buffer_limits(8 << 20, 8 << 20),
        "resume" => transport.set_write_buffer_limits(10, 10),
        _ => {}
    });
    let mut simulation = Simulation::new();
    let peer = simulation.connect(protocol);
    for turn in 1..=5 {
        simulation.turn();
        assert!(count(&told, "pause") <= turn && count(&told, "resume") <= turn);
    }
    drop(peer);
}

#[test]
fn no_timer_fires_after_a_write_too_many() {
    let (told, protocol) = reacting(|transport, what| match what {
        "made" => {
            transport.call_later(MS);
            transport.call_later(MS);
            assert!(transport.write(&[0; 60_000]) && transport.write(&[0; 8_000]));
        }
        "timer" => assert!(!transport.write(&[0; 2000])),
        _ => {}
    });
    let limits = Reactor::builder().write_buffer_cap(1000);
    let mut simulation = Simulation::with_limits(limits, 0);
    let peer = simulation.connect(protocol);
    simulation.settle();
    simulation.advance(2 * MS);
    assert_eq!(
        *told.borrow(),
        ["made", "pause", "resume", "timer", "lost Overflow { unsent: 2464 }"]
    );
    drop(peer);
}

#[test]
fn a_closed_connection_leaves_no_idle_timer() {
    let (_, protocol) = reacting(|transport, what| {
        if what == "made" {
            transport.set_timeout(Some(50 * MS));
            transport.write(&[7; 1 << 20]);
            transport.lose_connection();
        }
    });
    let limits = Reactor::builder().close_timeout(Duration::from_secs(9));
    let mut simulation = Simulation::with_limits(limits, 0);
    let peer = simulation.connect(protocol);
    simulation.settle();
    simulation.turn(); // forgets the timer that was cancelled
    let now = simulation.reactor().now();
    let next = simulation.reactor().next_deadline().unwrap();
    assert_eq!(next - now, Duration::from_secs(9));
    drop(peer);
}

/// Bytes that a frame handler puts back come before the frames behind them.
struct PutsBack(Option<Told>);

impl Protocol for PutsBack {}

impl FrameHandler<Lines> for PutsBack {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        let Some(told) = self.0.take() else { return };
        let (_, next) = (told.clone(), Reacting { told, react: |_: &mut Transport, _: &str| {} });
        assert!(transport.set_protocol(next));
        assert!(transport.unread(&[line, b"\r\n"].concat()));
    }
}

#[test]
fn a_frame_put_back_goes_before_those_behind_it() {
    let told = Told::default();
    let mut simulation = Simulation::new();
    let mut peer = simulation.connect(Framed::new(Lines::new(), PutsBack(Some(Rc::clone(&told)))));
    peer.send(b"A\r\nB\r\nC");
    simulation.settle();
    assert_eq!(*told.borrow(), ["made", r"data A\r\nB\r\nC"]);
}

#[test]
fn marks_that_change_nothing_cost_no_turn() {
    let (_, protocol) = reacting(|_, _| {});
    let mut simulation = Simulation::new();
    let peer = simulation.connect(protocol);
    simulation.settle();
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().set_write_buffer_limits(5, 1);
    assert_eq!(simulation.reactor().next_deadline(), None);
    drop(peer);
}
