//! The recorder: what it keeps, and what it leaves out.

use std::cell::RefCell;
use std::rc::Rc;

use crate::util::{Log, MS, Recorder as Plain, SECOND};
use crocus::testing::Simulation;
use crocus::{
    Notice, Observer, Phase, Protocol, Reactor, Record, Recorder, Subject, TimerEvent, TimerOwner,
    Transport,
};

const ADDR: &str = "127.0.0.1:80";
const PAGE: &str = "127.0.0.1:8080";

fn watch(reactor: &mut Reactor, capacity: usize) -> Rc<RefCell<Recorder>> {
    let recorder = Rc::new(RefCell::new(Recorder::new(capacity)));
    reactor.set_observer(Some(Box::new(Rc::clone(&recorder))));
    recorder
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.notice.to_string()).collect()
}

fn count(records: &[Record], wanted: impl Fn(&Notice) -> bool) -> usize {
    records.iter().filter(|record| wanted(&record.notice)).count()
}

#[test]
fn the_newest_notices_take_the_place_of_the_oldest() {
    let mut simulation = Simulation::new();
    let at = simulation.reactor().now();
    let mut recorder = Recorder::new(3);
    for turn in 0..10 {
        recorder.notice(at, &Notice::TurnBegin { turn });
        let kept = recorder.since(0);
        let first = (turn + 1).saturating_sub(3);
        let wanted: Vec<String> = (first..=turn).map(|turn| format!("turn {turn}")).collect();
        assert_eq!(lines(&kept), wanted);
        assert!(kept.iter().map(|record| record.number).eq(first..=turn));
        assert_eq!(recorder.count(), turn + 1);
    }
}

#[test]
fn copies_since_a_number_are_those_not_seen_yet() {
    let mut simulation = Simulation::new();
    let recorder = watch(simulation.reactor(), 1000);
    simulation.turn();
    let seen = recorder.borrow().count();
    assert_eq!(recorder.borrow().since(0).len() as u64, seen);
    assert!(recorder.borrow().since(seen).is_empty());
    assert!(recorder.borrow().since(u64::MAX).is_empty());
    simulation.reactor().call_soon(|_| {});
    simulation.turn();
    let more = recorder.borrow().since(seen);
    assert_eq!(more[0].number, seen);
    assert!(lines(&more).contains(&"reactor: a call begins".to_owned()));
    assert_eq!(lines(&recorder.borrow().since(seen + 2)), lines(&more)[2..]);
}

/// The protocol of a page: it sets timers of its own, and answers at each.
struct Page;

impl Protocol for Page {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.set_timeout(Some(SECOND));
        transport.call_later(MS);
    }

    fn timer_fired(&mut self, transport: &mut Transport, _: crocus::TimerId) {
        transport.write(b"frame");
        transport.call_later(MS);
    }
}

/// A server with a page that is left out, and a recorder.
fn with_page() -> (Simulation, Rc<RefCell<Recorder>>) {
    let mut simulation = Simulation::new();
    let recorder = watch(simulation.reactor(), 10_000);
    simulation.turn();
    let page = simulation.reactor().listen(PAGE, |_| Page).unwrap();
    recorder.borrow_mut().leave_out(Subject::Listener(page));
    simulation.reactor().listen(ADDR, |_| Plain::new(&Log::new(), "a").echoing()).unwrap();
    simulation.settle();
    (simulation, recorder)
}

#[test]
fn what_belongs_to_a_listener_is_left_out_with_its_turns() {
    let (mut simulation, recorder) = with_page();
    let before = recorder.borrow().count();
    let mut viewer = simulation.dial(PAGE);
    simulation.advance(20 * MS);
    assert!(viewer.received().len() > 50, "frames came");
    viewer.reset();
    simulation.settle();
    assert_eq!(lines(&recorder.borrow().since(before)), [""; 0]);

    let mut peer = simulation.dial(ADDR);
    peer.send(b"hello");
    simulation.settle();
    assert_eq!(peer.received(), b"hello");
    let seen = recorder.borrow().since(before);
    assert_eq!(count(&seen, |notice| matches!(notice, Notice::Opened { .. })), 1);
}

/// Its number never comes again, so only memory would show it.
#[test]
fn a_connection_left_out_is_forgotten_when_it_is_gone() {
    let (mut simulation, recorder) = with_page();
    let left_out = || format!("{:?}", recorder.borrow());
    let before = left_out();
    let viewer = simulation.dial(PAGE);
    simulation.settle();
    assert_ne!(left_out(), before);
    viewer.reset();
    simulation.settle();
    assert_eq!(left_out(), before);
}

#[test]
fn a_turn_for_both_is_recorded_without_the_page() {
    let (mut simulation, recorder) = with_page();
    let mut viewer = simulation.dial(PAGE);
    let mut peer = simulation.dial(ADDR);
    simulation.settle();
    let before = recorder.borrow().count();
    viewer.send(b"x");
    peer.send(b"y");
    simulation.turn();
    let seen = recorder.borrow().since(before);
    let about: Vec<Subject> = seen.iter().filter_map(|record| record.notice.subject()).collect();
    assert!(!about.is_empty() && about.iter().all(|subject| *subject == about[0]), "{about:?}");
    let phases = count(&seen, |notice| matches!(notice, Notice::PhaseBegin(_)));
    assert_eq!(
        (phases, lines(&seen)[1].as_str()),
        (6, "look without sleeping"),
        "the marks are whole"
    );
    let begun = count(&seen, |notice| matches!(notice, Notice::PhaseBegin(Phase::Sleep { .. })));
    assert_eq!(begun, 1);
}

#[test]
fn an_idle_turn_is_recorded_though_something_is_left_out() {
    let (mut simulation, recorder) = with_page();
    let before = recorder.borrow().count();
    simulation.turn();
    assert!(lines(&recorder.borrow().since(before)).last().unwrap().ends_with("nothing happened"));
}

#[test]
fn a_turn_that_has_begun_is_recorded_to_its_end() {
    let mut simulation = Simulation::new();
    let recorder = watch(simulation.reactor(), 1000);
    let page = simulation.reactor().listen(PAGE, |_| Page).unwrap();
    let shared = Rc::clone(&recorder);
    simulation.reactor().call_soon(move |_| {
        shared.borrow_mut().leave_out(Subject::Listener(page));
    });
    simulation.turn();
    let begun = count(&recorder.borrow().since(0), |n| matches!(n, Notice::TurnBegin { .. }));
    let ended = count(&recorder.borrow().since(0), |n| matches!(n, Notice::TurnEnd(_)));
    assert_eq!((begun, ended), (1, 1));
}

#[test]
fn the_timers_of_others_are_recorded_beside_a_page() {
    let (mut simulation, recorder) = with_page();
    let _viewer = simulation.dial(PAGE);
    simulation.settle();
    let before = recorder.borrow().count();
    simulation.reactor().call_later(5 * MS, |_| {});
    simulation.advance(10 * MS);
    let seen = recorder.borrow().since(before);
    let of = |wanted: fn(&TimerEvent) -> bool| {
        count(&seen, |notice| match notice {
            Notice::Timer { owner, event, .. } => {
                assert_eq!(*owner, TimerOwner::Reactor);
                wanted(event)
            }
            _ => false,
        })
    };
    assert_eq!(of(|event| matches!(event, TimerEvent::Set(_))), 1);
    assert_eq!(of(|event| matches!(event, TimerEvent::Fired(_))), 1);
}

#[test]
#[should_panic(expected = "at least one notice")]
fn a_recorder_of_nothing_is_refused() {
    Recorder::new(0);
}

/// Counts the notices that it is shown.
#[derive(Default)]
struct Shown(usize);

impl Observer for Shown {
    fn notice(&mut self, _: std::time::Instant, _: &Notice) {
        self.0 += 1;
    }
}

#[test]
fn a_notice_reaches_both_through_all_that_passes_it_on() {
    let mut simulation = Simulation::new();
    let [first, second] = [(); 2].map(|()| Rc::new(RefCell::new(Shown::default())));
    let boxed: Box<dyn Observer> = Box::new(Some(Rc::clone(&second)));
    simulation.reactor().set_observer(Some(Box::new((Rc::clone(&first), boxed))));
    simulation.turn();
    let (first, second) = (first.borrow().0, second.borrow().0);
    assert!(first > 5 && first == second, "{first} {second}");
}

/// A recorder that leaves nothing out any more, since the connection that it left out is gone.
#[test]
fn marks_stay_in_order_when_what_was_left_out_is_gone() {
    let mut simulation = Simulation::new();
    let recorder = watch(simulation.reactor(), 10_000);
    let peer = simulation.connect(Plain::new(&Log::new(), "a"));
    simulation.settle();
    let id = simulation.reactor().connections()[0];
    recorder.borrow_mut().leave_out(Subject::Connection(id));
    simulation.settle();
    peer.reset();
    simulation.settle();
    recorder.borrow_mut().leave_out(Subject::Named("nobody"));
    simulation.settle();

    let seen = recorder.borrow().since(0);
    let marks: Vec<String> = seen
        .iter()
        .filter_map(|record| match record.notice {
            Notice::TurnBegin { turn } => Some(format!("{turn} begins")),
            Notice::TurnEnd(report) => Some(format!("{} ends", report.turn)),
            _ => None,
        })
        .collect();
    let before = u64::try_from(marks.len() / 2 - 1).unwrap();
    let turns = (1..=before).chain([before + 2]); // one turn is about the connection alone
    let wanted: Vec<String> =
        turns.flat_map(|turn| ["begins", "ends"].map(|what| format!("{turn} {what}"))).collect();
    assert_eq!(marks, wanted);
}
