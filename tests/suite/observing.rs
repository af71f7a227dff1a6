//! Observers, counters, and what is logged.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use log::Level;

use crate::util::{Log, Recorder, World, logged_up_to};
use crocus::testing::Simulation;
use crocus::{
    Callback, Command, ListenerId, LogObserver, Notice, Observer, Origin, Outcome, Phase, Protocol,
    Reactor, Stage, Subject, TimerEvent, TimerOwner, Transport,
};

const SECOND: Duration = Duration::from_secs(1);

/// Keeps all notices.
#[derive(Default)]
struct Notices(Vec<(Instant, Notice)>);

impl Observer for Notices {
    fn notice(&mut self, at: Instant, notice: &Notice) {
        self.0.push((at, notice.clone()));
    }
}

/// Notices that the test shares.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Notices>>);

impl Shared {
    fn watch(reactor: &mut Reactor) -> Self {
        let shared = Self::default();
        reactor.set_observer(Some(Box::new(Rc::clone(&shared.0))));
        shared
    }

    fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.0.borrow_mut().0).into_iter().map(|(_, notice)| notice).collect()
    }

    /// All that was told, without the kinds of readiness.
    fn lines(&self) -> Vec<String> {
        let line = |notice: &Notice| match notice {
            Notice::Event { subject: Some(subject), .. } => format!("{subject}: an event"),
            notice => notice.to_string(),
        };
        self.take().iter().map(line).collect()
    }

    fn count(&self, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.0.borrow().0.iter().filter(|(_, notice)| wanted(notice)).count()
    }

    /// The stages of the only connection, in order.
    fn stages(&self) -> Vec<Stage> {
        let stage = |(_, notice): &(Instant, Notice)| match notice {
            Notice::Stage { stage, .. } => Some(*stage),
            _ => None,
        };
        self.0.borrow().0.iter().filter_map(stage).collect()
    }

    /// How often timers of this kind were set, moved, fired and cancelled.
    fn timers(&self, kind: impl Fn(TimerOwner) -> bool) -> [usize; 4] {
        let mut counts = [0; 4];
        for (_, notice) in &self.0.borrow().0 {
            let Notice::Timer { owner, event, .. } = notice else { continue };
            if kind(*owner) {
                counts[match event {
                    TimerEvent::Set(_) => 0,
                    TimerEvent::Moved(_) => 1,
                    TimerEvent::Fired(_) => 2,
                    TimerEvent::Cancelled => 3,
                    other => panic!("{other:?}"),
                }] += 1;
            }
        }
        counts
    }
}

fn quiet() -> Recorder {
    Recorder::new(&Log::new(), "a")
}

const ADDR: &str = "127.0.0.1:80";

#[test]
fn an_observer_sees_a_connection_in_order_of_the_phases() {
    let mut simulation = Simulation::new();
    let reactor = simulation.reactor();
    let seen = Shared::watch(reactor);
    reactor.listen(ADDR, |_| quiet().echoing()).unwrap();
    simulation.settle();
    assert_eq!(
        seen.lines()[..2],
        [
            "listener #0.1: listen at 127.0.0.1:80".to_owned(),
            "listener #0.1: into the run queue".to_owned()
        ]
    );

    let mut peer = simulation.dial(ADDR);
    simulation.turn();
    let lines = seen.lines();
    let wanted = [
        "look without sleeping",
        "woke after 0ns with 1 events",
        "latch",
        "listener #0.1: an event",
        "listener #0.1: into the run queue",
        "timers",
        "serve",
        "listener #0.1: build_protocol begins",
        "listener #0.1: build_protocol took 0ns",
        "connection #1.2 with 127.0.0.1:32768 opened, accepted by listener #0.1",
        "connection #1.2: connection_made begins",
        "connection #1.2: connection_made took 0ns",
        "calls",
        "flush",
    ];
    assert_eq!(lines[1..lines.len() - 1], wanted);
    assert!(lines[lines.len() - 1].ends_with("1 events, 1 served"), "{lines:#?}");

    peer.send(b"hello");
    simulation.turn();
    let lines = seen.lines();
    let wanted = [
        "latch",
        "connection #1.2: an event",
        "connection #1.2: into the run queue",
        "timers",
        "serve",
        "connection #1.2: 5 bytes in",
        "connection #1.2: data_received begins",
        "connection #1.2: write 5 bytes",
        "connection #1.2: data_received took 0ns",
        "connection #1.2: 5 bytes out, 0 waiting",
        "calls",
        "flush",
    ];
    assert_eq!(lines[3..lines.len() - 1], wanted);

    peer.close_write();
    simulation.settle();
    assert_eq!(peer.received(), b"hello");
    let lines = seen.lines();
    let wanted = [
        "connection #1.2: FIN received",
        "connection #1.2: eof_received begins",
        "connection #1.2: close",
        "connection #1.2: closing",
        "connection #1.2: eof_received took 0ns",
        "connection #1.2: connection_lost begins",
        "connection #1.2: connection_lost took 0ns",
        "connection #1.2: a drop begins",
        "connection #1.2: a drop took 0ns",
        "connection #1.2 with 127.0.0.1:32768 ended: closed by the peer",
    ];
    let at = lines.iter().position(|line| line == wanted[0]).unwrap();
    assert_eq!(lines[at..at + wanted.len()], wanted);
}

both! {
    /// Twisted has no such observer.
    fn commands_are_told_inside_their_callback_with_their_giver(world) {
        let (_, mut far) = world.dialled("a", |a| {
            a.on_data(|transport, data| {
                transport.pause_reading();
                transport.write(data);
                let id = transport.id();
                transport.reactor().call_soon(move |reactor| {
                    let mut transport = reactor.transport(id).unwrap();
                    transport.resume_reading();
                    transport.write(b"!");
                    transport.lose_connection();
                });
            })
        });
        let seen = Shared::watch(world.reactor());
        world.send(&mut far, b"hello");
        assert_eq!(world.read_to_end(&mut far).0, b"hello!");
        far.close_write();
        world.until("the end", |_| seen.count(|n| matches!(n, Notice::Gone { .. })) == 1);
        let mut inside = None;
        let mut given = Vec::new();
        for notice in seen.take() {
            match notice {
                Notice::CallbackBegin { subject, callback } => inside = Some((subject, callback)),
                Notice::CallbackEnd { .. } => inside = None,
                Notice::Command { by, to: Subject::Connection(_), command } => {
                    let (subject, callback) = inside.unwrap();
                    assert_eq!(by, Some(subject));
                    given.push((callback, command));
                }
                _ => {}
            }
        }
        let by_data = |command| (Callback::DataReceived, command);
        let by_call = |command| (Callback::Call, command);
        assert_eq!(
            given,
            [
                by_data(Command::PauseReading),
                by_data(Command::Write { bytes: 5 }),
                by_call(Command::ResumeReading),
                by_call(Command::Write { bytes: 1 }),
                by_call(Command::LoseConnection),
            ]
        );
    }
}

both! {
    /// Neither from within a callback nor from a command outside of a turn, so nobody's borrow is met.
    fn no_observer_is_called_inside_of_callbacks_or_commands(world) {
        let seen = Shared::watch(world.reactor());
        let inner = seen.clone();
        let (_, addr) = world.listen(move |_| {
            let inner = inner.clone();
            quiet().on_data(move |transport, data| {
                let mut notices = inner.0.borrow_mut(); // to the end of the callback
                notices.0.clear();
                transport.write(data);
                transport.call_later(SECOND);
                let cancelled = transport.reactor().call_later(SECOND, |_| {});
                transport.reactor().cancel_timer(cancelled); // which drops its closure: a callback
                transport.set_protocol(quiet());
                transport.lose_connection();
                assert!(notices.0.is_empty());
            })
        });
        let borrowed = seen.0.borrow_mut();
        let timer = world.reactor().call_later(SECOND, |_| {});
        world.reactor().cancel_timer(timer);
        drop(borrowed);
        let mut far = world.dial(addr);
        world.send(&mut far, b"hello");
        assert_eq!(world.read_to_end(&mut far).0, b"hello");
        let notices = seen.take();
        let end = |notice: &Notice| {
            matches!(notice, Notice::CallbackEnd { callback: Callback::DataReceived, .. })
        };
        let at = notices.iter().position(end).unwrap();
        let before = notices[..at].iter().filter(|notice| matches!(notice, Notice::Command { .. }));
        assert_eq!(before.count(), 3, "write, set_protocol, lose_connection: {notices:#?}");
        let drops = |notice: &&Notice| {
            matches!(notice, Notice::CallbackBegin { callback: Callback::Drop, .. })
        };
        assert!(notices[..at].iter().filter(drops).count() >= 1);
    }
}

/// Hears nothing of the connections of one listener, as a recorder of a server does with those of its page.
struct Without {
    listener: ListenerId,
    theirs: Vec<Subject>,
    kept: Vec<Notice>,
}

impl Observer for Without {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if let Notice::Opened { origin: Origin::Accepted(listener), connection, .. } = notice
            && *listener == self.listener
        {
            self.theirs.push(Subject::Connection(*connection));
        }
        if !notice.subject().is_some_and(|subject| self.theirs.contains(&subject)) {
            self.kept.push(notice.clone());
        }
    }
}

both! {
    fn an_observer_can_leave_out_the_connections_of_a_listener(world) {
        let (listener, page) = world.listen(|_| quiet().echoing());
        let (_, addr) = world.listen(|_| quiet().on_data(|transport, _| transport.abort_connection()));
        let theirs = vec![Subject::Listener(listener)];
        let without = Rc::new(RefCell::new(Without { listener, theirs, kept: Vec::new() }));
        world.reactor().set_observer(Some(Box::new(Rc::clone(&without))));
        let mut far = world.dial(page);
        world.send(&mut far, b"hello");
        assert_eq!(world.read(&mut far, 5), b"hello");
        let mut other = world.dial(addr);
        world.send(&mut other, b"x");
        world.until("the abort", |world| world.reactor().stats().closed == 1);
        far.close_write();
        world.until("the end", |world| world.reactor().stats().closed == 2);
        let kept = &without.borrow().kept;
        let about = |notice: &&Notice| matches!(notice.subject(), Some(Subject::Connection(_)));
        assert!(kept.iter().filter(about).count() > 5, "{kept:#?}");
        let of = |notice: &Notice| matches!(notice, Notice::Opened { .. });
        assert_eq!(kept.iter().filter(|notice| of(notice)).count(), 1);
        assert!(!kept.iter().any(|notice| matches!(notice, Notice::Sent { .. })), "{kept:#?}");
    }
}

both! {
    fn the_stages_of_a_connection_are_told_in_order(world) {
        let seen = Shared::watch(world.reactor());
        let (_, mut far) = world.dialled("a", |a| {
            let log = a.log();
            a.on_data(move |transport, _| {
                let next = Recorder::new(&log, "b").on_data(|transport, data| {
                    transport.write(data);
                    transport.lose_connection();
                });
                assert!(log.hand_over(transport, next, b""));
            })
        });
        world.send(&mut far, b"one");
        world.until("the exchange", |_| seen.stages() == [Stage::HandedOver]);
        world.send(&mut far, b"two");
        assert_eq!(world.read_to_end(&mut far).0, b"two");
        let lingering = [Stage::HandedOver, Stage::Closing, Stage::FinSent, Stage::Lingering];
        world.until("lingering", |_| seen.stages() == lingering);
        far.close_write();
        world.until("the end", |world| world.reactor().stats().closed == 1);
        assert_eq!(seen.stages()[4..], [Stage::FinReceived]);
    }
}

both! {
    fn a_half_close_of_each_side_is_told(world) {
        let seen = Shared::watch(world.reactor());
        let (log, mut far) = world.dialled("a", |a| {
            a.on_made(|transport| transport.lose_write_connection()).on_eof(|_| {})
        });
        world.until("our FIN", |_| seen.stages() == [Stage::FinSent]);
        far.close_write();
        world.until("the loss", |_| log.has("a lost Closed"));
        assert_eq!(seen.stages(), [Stage::FinSent, Stage::FinReceived]);
    }
}

// Timers.

#[test]
fn a_timer_that_dies_with_its_owner_is_told_to_be_cancelled() {
    let mut simulation = Simulation::new();
    let seen = Shared::watch(simulation.reactor());
    let of_connection = |owner| matches!(owner, TimerOwner::Connection(_));
    let deadline = |owner| matches!(owner, TimerOwner::Deadline(_));

    // With the end of its connection, with a handover, and with a close.
    let ended = simulation.connect(quiet().on_made(|transport| {
        transport.call_later(SECOND);
    }));
    let log = Log::new();
    let lines = log.clone();
    let _handed = simulation.connect(Recorder::new(&log, "b").on_made(move |transport| {
        transport.call_later(SECOND);
        assert!(lines.hand_over(transport, Recorder::new(&lines, "c"), b""));
    }));
    let mut closed = simulation.connect(quiet().on_data(|transport, _| {
        transport.set_timeout(Some(SECOND));
        transport.call_later(SECOND);
        transport.lose_connection();
        transport.call_later(SECOND); // has no effect
    }));
    closed.send(b"x");
    simulation.settle();
    assert_eq!(seen.timers(of_connection), [4, 0, 0, 3]);
    ended.reset();
    simulation.settle();
    assert_eq!(seen.timers(of_connection), [4, 0, 0, 4]);
    let [set, _, fired, cancelled] = seen.timers(deadline);
    assert_eq!((set - fired - cancelled), 1, "that of the connection that lingers");

    // With a stop, and with the reactor.
    simulation.reactor().call_later(SECOND, |_| {});
    simulation.reactor().stop();
    simulation.turn();
    assert_eq!(seen.timers(|owner| owner == TimerOwner::Reactor), [1, 0, 0, 1]);
    let [set, _, fired, cancelled] = seen.timers(|_| true);
    assert_eq!(set, fired + cancelled);
    simulation.reactor().call_later(SECOND, |_| {});
    drop(simulation);
    assert_eq!(seen.timers(|owner| owner == TimerOwner::Reactor), [2, 0, 0, 2]);
    let last = seen.take().pop();
    assert!(matches!(last, Some(Notice::CallbackEnd { callback: Callback::Drop, .. })), "{last:?}");
}

#[test]
fn a_tick_fires_and_is_set_again() {
    let mut simulation = Simulation::new();
    let seen = Shared::watch(simulation.reactor());
    let mut left = 3;
    simulation.reactor().call_every(SECOND, move |reactor, tick| {
        left -= 1;
        if left == 0 {
            reactor.cancel_timer(tick.timer);
        }
    });
    simulation.advance(SECOND * 2);
    assert_eq!(seen.timers(|owner| owner == TimerOwner::Reactor), [3, 0, 2, 0]);
    simulation.advance(SECOND * 5);
    assert_eq!(seen.timers(|_| true), [3, 0, 3, 0], "the last one has fired, and is not set again");

    let timer = simulation.reactor().call_later(SECOND, |_| {});
    simulation.reactor().reset_timer(timer, SECOND * 3);
    simulation.reactor().cancel_timer(timer);
    assert!(!simulation.reactor().cancel_timer(timer));
    simulation.turn();
    assert_eq!(seen.timers(|_| true), [4, 1, 3, 1]);
}

#[test]
fn the_timers_of_the_reactor_itself_have_owners() {
    let mut simulation = Simulation::new();
    let seen = Shared::watch(simulation.reactor());
    let addr: SocketAddr = ADDR.parse().unwrap();
    simulation.reactor().listen(addr, |_| quiet()).unwrap();
    simulation.settle();
    simulation.fail_accept(addr, io::Error::from_raw_os_error(libc::EMFILE));
    let silent = SocketAddr::from(([10, 0, 0, 9], 80));
    simulation.set_blackhole(silent);
    simulation.set_host("several.example", &[silent.ip(), addr.ip()]);
    simulation.reactor().connect("several.example:80", |_| quiet());
    simulation.advance(SECOND);
    assert_eq!(seen.timers(|owner| matches!(owner, TimerOwner::Accept(_))), [1, 0, 1, 0]);
    assert_eq!(seen.timers(|owner| matches!(owner, TimerOwner::HeadStart(_))), [1, 0, 1, 0]);
    assert_eq!(seen.timers(|owner| matches!(owner, TimerOwner::ConnectTimeout(_))), [1, 0, 0, 1]);
    simulation.reactor().shutdown(SECOND);
    simulation.reactor().shutdown(SECOND * 2);
    simulation.settle();
    assert_eq!(seen.timers(|owner| owner == TimerOwner::Shutdown)[..2], [1, 1]);
    let last = simulation.reactor().run();
    last.unwrap();
    let [set, _, fired, cancelled] = seen.timers(|_| true);
    assert_eq!(set, fired + cancelled);
}

// Attempts.

#[test]
fn attempts_are_told_with_their_address_and_outcome() {
    let mut simulation = Simulation::new();
    let seen = Shared::watch(simulation.reactor());
    let (refusing, silent, there) = (
        SocketAddr::from(([10, 0, 0, 7], 80)),
        SocketAddr::from(([10, 0, 0, 8], 80)),
        SocketAddr::from(([10, 0, 0, 9], 80)),
    );
    simulation.set_blackhole(silent);
    let mut far = simulation.listen(there).unwrap();
    simulation.set_host("several.example", &[refusing.ip(), silent.ip(), there.ip()]);
    simulation.reactor().connect("several.example:80", |_| quiet());
    simulation.advance(SECOND);
    let _peer = far.accept().unwrap();
    let told = seen.take();
    let attempts = told.iter().filter_map(|notice| match notice {
        Notice::AttemptBegin { to, .. } => Some((to.socket_addr(), "begins")),
        Notice::AttemptEnd { to, outcome, .. } => Some((
            to.socket_addr(),
            match outcome {
                Outcome::Connected(_) => "connected",
                Outcome::Failed(_) => "failed",
                Outcome::GivenUp => "given up",
                _ => "something else",
            },
        )),
        _ => None,
    });
    assert_eq!(
        attempts.collect::<Vec<_>>(),
        [
            (Some(refusing), "begins"),
            (Some(refusing), "failed"),
            (Some(silent), "begins"),
            (Some(there), "begins"),
            (Some(there), "connected"),
            (Some(silent), "given up"),
        ]
    );
    let origin = told.iter().find_map(|notice| match notice {
        Notice::Opened { origin, connection, .. } => Some((*origin, *connection)),
        _ => None,
    });
    let won = told.iter().find_map(|notice| match notice {
        Notice::AttemptEnd { outcome: Outcome::Connected(connection), connector, .. } => {
            Some((Origin::Connected(*connector), *connection))
        }
        _ => None,
    });
    assert!(origin.is_some() && origin == won, "{origin:?}, {won:?}");

    simulation.reactor().connect(refusing, |_| quiet());
    simulation.settle();
    assert_eq!(seen.count(|notice| matches!(notice, Notice::ConnectFailed { .. })), 1);
}

// The rest.

#[test]
fn pressure_budgets_and_bytes_that_wait_are_told() {
    let limits = Reactor::builder().read_buffer(100).read_budget(300);
    let mut simulation = Simulation::with_limits(limits, 0);
    let seen = Shared::watch(simulation.reactor());
    simulation.set_window(1000);
    let mut peer = simulation.connect(quiet().on_made(|transport| {
        transport.set_write_buffer_limits(500, 100);
        transport.write(&[7; 1600]);
    }));
    simulation.settle();
    let sent = |wanted: (usize, usize)| move |notice: &Notice| matches!(notice, Notice::Sent { bytes, waiting, .. } if (*bytes, *waiting) == wanted);
    let pressure = |wanted: (bool, usize)| move |notice: &Notice| matches!(notice, Notice::Pressure { high, waiting, .. } if (*high, *waiting) == wanted);
    assert_eq!(seen.count(pressure((true, 1600))), 1);
    assert_eq!(seen.count(sent((1000, 600))), 1);
    assert_eq!(peer.received().len(), 1000);
    simulation.settle();
    assert_eq!(seen.count(sent((600, 0))), 1);
    assert_eq!(seen.count(pressure((false, 0))), 1);
    let spent = |notice: &Notice| matches!(notice, Notice::Queued { spent: true, .. });
    assert_eq!(seen.count(spent), 0);
    peer.send(&[1; 1000]);
    simulation.settle();
    assert_eq!(seen.count(spent), 3, "after 300, 600 and 900 bytes");
}

#[test]
fn refusals_and_panics_are_told() {
    let mut simulation = Simulation::new();
    let seen = Shared::watch(simulation.reactor());
    let addr: SocketAddr = ADDR.parse().unwrap();
    simulation.reactor().listen(addr, |_| quiet()).unwrap();
    simulation.fail_accept(addr, io::ErrorKind::ConnectionAborted.into());
    simulation.settle();
    let failed = |notice: &Notice| {
        matches!(notice, Notice::CannotAccept { error, .. }
            if error.kind() == io::ErrorKind::ConnectionAborted)
    };
    assert_eq!(seen.count(failed), 1);

    let mut world = World::real();
    let seen = Shared::watch(world.reactor());
    let (log, mut far) = world.dialled("a", |a| a.on_data(|_, _| panic!("a bug,\non purpose")));
    world.send(&mut far, b"x");
    world.until("the loss", |_| log.has("a lost Panicked(data_received)"));
    let panicked = seen.take().into_iter().find_map(|notice| match notice {
        Notice::Panicked { callback, message, .. } => Some((callback, message)),
        _ => None,
    });
    let (callback, message) = panicked.unwrap();
    assert_eq!((callback, &*message), (Callback::DataReceived, "a bug,\\non purpose"));
}

#[test]
fn wakes_by_other_threads_are_told() {
    let mut reactor = Reactor::new().unwrap();
    let seen = Shared::watch(&mut reactor);
    reactor.handle().call_from_thread(|_| {});
    reactor.run().unwrap();
    assert!(seen.count(|notice| matches!(notice, Notice::Woken)) >= 1);
    assert!(reactor.stats().wakes >= 1);
}

#[test]
fn pairs_options_and_boxes_are_observers() {
    let mut simulation = Simulation::new();
    let (one, other) = (Shared::default(), Shared::default());
    let boxed: Box<dyn Observer> = Box::new(Rc::clone(&other.0));
    let pair = (Rc::clone(&one.0), (Some(boxed), None::<Notices>));
    simulation.reactor().set_observer(Some(Box::new(pair)));
    simulation.turn();
    let lines = one.lines();
    assert_eq!(lines.len(), 9, "a turn, its six phases, the waking, the end: {lines:#?}");
    assert_eq!(lines, other.lines());
}

#[test]
fn an_observer_set_inside_a_turn_hears_from_the_next_one() {
    let mut simulation = Simulation::new();
    let seen = Shared::default();
    let late = Rc::clone(&seen.0);
    simulation.reactor().call_soon(move |reactor| {
        reactor.set_observer(Some(Box::new(late)));
        reactor.call_later(SECOND, |_| {});
    });
    simulation.turn();
    assert_eq!(seen.lines().len(), 0);
    simulation.turn();
    let notices = seen.take();
    assert!(matches!(notices[0], Notice::Timer { event: TimerEvent::Set(_), .. }), "{notices:#?}");
    assert!(matches!(notices[1], Notice::TurnBegin { .. }), "no end without a beginning");
    let former = simulation.reactor().set_observer(None);
    assert!(former.is_some());
    simulation.turn();
    assert_eq!(seen.lines().len(), 0);
}

#[test]
fn a_simulated_callback_can_take_time() {
    let mut simulation = Simulation::new();
    let seen = Shared::watch(simulation.reactor());
    let clock = simulation.clock();
    let begin = clock.now();
    let mut peer = simulation.connect(quiet().on_data(move |transport, data| {
        let before = transport.reactor().now();
        clock.advance(SECOND * 2);
        assert_eq!(transport.reactor().now(), before, "a turn keeps its time");
        transport.write(data);
    }));
    simulation.reactor().call_later(SECOND, |_| {});
    peer.send(b"hello");
    simulation.settle();
    assert_eq!(simulation.elapsed(), SECOND * 2);
    let notices = std::mem::take(&mut seen.0.borrow_mut().0);
    let took = notices.iter().find_map(|(at, notice)| match notice {
        Notice::CallbackEnd { callback: Callback::DataReceived, took, .. } => Some((*at, *took)),
        _ => None,
    });
    assert_eq!(took, Some((begin + SECOND * 2, SECOND * 2)));
    let late = notices.iter().find_map(|(_, notice)| match notice {
        Notice::Timer { event: TimerEvent::Fired(late), .. } => Some(*late),
        _ => None,
    });
    assert_eq!(late, Some(SECOND), "the next turn sees it");
    assert_eq!(simulation.reactor().stats().slow_callbacks, 1);
    let sleep = |(_, notice): &(Instant, Notice)| {
        matches!(notice, Notice::PhaseBegin(Phase::Sleep { timeout: Some(Duration::ZERO) }))
    };
    assert!(notices.iter().any(sleep));
}

#[test]
fn a_notice_has_the_time_at_which_it_happened() {
    let mut simulation = Simulation::new();
    let clock = simulation.clock();
    let mut peer = simulation.connect(quiet().on_data(move |transport, data| {
        clock.advance(SECOND);
        transport.write(data);
        clock.advance(SECOND);
    }));
    simulation.settle();
    let seen = Shared::watch(simulation.reactor());
    let begin = simulation.clock().now();
    peer.send(b"hello");
    simulation.turn();
    let notices = std::mem::take(&mut seen.0.borrow_mut().0);
    let times = notices.iter().filter_map(|(at, notice)| {
        let name = match notice {
            Notice::Received { .. } => "received",
            Notice::CallbackBegin { .. } => "begin",
            Notice::Command { .. } => "command",
            Notice::CallbackEnd { .. } => "end",
            Notice::Sent { .. } => "sent",
            _ => return None,
        };
        Some((name, (*at - begin).as_secs()))
    });
    let wanted = [("received", 0), ("begin", 0), ("command", 1), ("end", 2), ("sent", 2)];
    assert_eq!(times.collect::<Vec<_>>(), wanted);
}

/// To read the clock costs more than all else that is done for a notice.
#[test]
fn a_notice_that_follows_at_once_has_the_same_time() {
    let mut world = World::real();
    let (_log, mut far) = world.served("a", |a| a.echoing());
    world.quiet();
    let seen = Shared::watch(world.reactor());
    world.send(&mut far, b"hello");
    assert_eq!(world.read(&mut far, 5), b"hello");
    let mut kinds = [0; 4];
    for pair in seen.0.borrow().0.windows(2) {
        let ((before, one), (at, next)) = (&pair[0], &pair[1]);
        let kind = match (one, next) {
            (_, Notice::Event { .. } | Notice::Queued { .. }) => 0,
            // A visit without a notice may have taken time.
            (Notice::PhaseBegin(Phase::Serve | Phase::Flush), _) => continue,
            (Notice::TurnBegin { .. } | Notice::PhaseBegin(_), Notice::PhaseBegin(_)) => 1,
            (Notice::Received { .. }, Notice::CallbackBegin { .. }) => 2,
            (Notice::CallbackEnd { .. }, Notice::Sent { .. }) => 3,
            _ => continue,
        };
        assert_eq!(before, at, "{one} and {next}");
        kinds[kind] += 1;
    }
    assert!(kinds.iter().all(|&count| count > 0), "{kinds:?}");
}

#[test]
fn the_counters_agree_with_what_happened() {
    let mut world = World::real();
    let log = Log::new();
    let (_, addr) = world.listen(|_| Recorder::new(&Log::new(), "a").echoing());
    for _ in 0..3 {
        let mut far = world.dial(addr);
        world.send(&mut far, b"0123456789");
        assert_eq!(world.read(&mut far, 10), b"0123456789");
        far.close_write();
        assert_eq!(world.read_to_end(&mut far), (Vec::new(), Ok(())));
    }
    let client_log = log.clone();
    world.reactor().connect(addr, move |_| {
        Recorder::new(&client_log, "c").on_made(|transport| transport.lose_connection())
    });
    world.until("the client's loss", |_| log.count("c lost") == 1);
    world.until("the server's loss", |world| world.reactor().stats().closed == 5);
    let stats = world.reactor().stats();
    assert_eq!((stats.accepted, stats.connected, stats.closed), (4, 1, 5));
    assert_eq!((stats.bytes_read, stats.bytes_written), (30, 30));
    assert_eq!((stats.turned_away, stats.accept_errors), (0, 0));
    assert_eq!((stats.failed, stats.panics), (0, 0));
    assert!(stats.callbacks >= 4 * 3 && stats.turns > 0 && stats.events > 0);
}

#[test]
fn a_report_tells_what_a_turn_did() {
    let mut simulation = Simulation::new();
    assert!(simulation.turn().is_idle());
    simulation.reactor().call_soon(|_| {});
    simulation.reactor().call_later(Duration::ZERO, |_| {});
    let report = simulation.turn();
    assert_eq!((report.timers, report.calls, report.served), (1, 1, 0));
    assert!(!report.is_idle());
    simulation.reactor().call_later(Duration::from_secs(5), |_| {});
    let report = simulation.reactor().turn(None).unwrap();
    assert_eq!((report.slept, report.timers), (Duration::from_secs(5), 1));
}

struct Slow(Duration);

impl Protocol for Slow {
    fn connection_made(&mut self, transport: &mut Transport) {
        let end = Instant::now() + self.0;
        while Instant::now() < end {}
        transport.lose_connection();
    }
}

#[test]
fn a_slow_callback_is_logged_with_its_name_and_peer() {
    logged_up_to(Level::Trace);
    let limits = || Reactor::builder().slow_callback(Some(Duration::from_millis(20)));
    let mut world = World::real().with_limits(limits());
    let (_, addr) = world.listen(|_| Slow(Duration::from_millis(30)));
    let mut far = world.dial(addr);
    assert!(world.read_to_end(&mut far).1.is_ok());
    let lines = logged_up_to(Level::Trace);
    let line = lines.iter().find(|(_, line)| line.contains("nothing else was served"));
    let (level, line) = line.expect("a warning");
    assert_eq!(*level, Level::Warn);
    assert!(line.contains("connection_made") && line.contains(&far.addr().to_string()), "{line}");
    assert!(world.reactor().stats().slow_callbacks >= 1);

    let mut world = World::real().with_limits(Reactor::builder().slow_callback(None));
    let (_, addr) = world.listen(|_| Slow(Duration::from_millis(110)));
    let mut far = world.dial(addr);
    assert!(world.read_to_end(&mut far).1.is_ok());
    assert!(logged_up_to(Level::Trace).is_empty(), "not asked for");
}

struct SlowThenCancels(Duration);

impl Protocol for SlowThenCancels {
    fn connection_made(&mut self, transport: &mut Transport) {
        let timer = transport.reactor().call_later(Duration::from_secs(60), |_| {});
        let end = Instant::now() + self.0;
        while Instant::now() < end {}
        transport.reactor().cancel_timer(timer);
        transport.lose_connection();
    }
}

#[test]
fn each_slow_callback_of_a_late_turn_is_counted() {
    for watched in [false, true] {
        let mut simulation = Simulation::new();
        let _seen = watched.then(|| Shared::watch(simulation.reactor()));
        simulation.turn();
        for took in [150, 10, 150, 90, 20, 101, 100] {
            let clock = simulation.clock();
            simulation.reactor().call_soon(move |reactor| {
                clock.advance(Duration::from_millis(took));
                // To drop the timer's function is a callback within this one. It ends as late, and is not slow.
                let timer = reactor.call_later(SECOND * 60, |_| {});
                reactor.cancel_timer(timer);
            });
        }
        simulation.turn();
        assert_eq!(simulation.reactor().stats().slow_callbacks, 3, "watched: {watched}");
    }
}

#[test]
fn the_time_between_two_turns_is_no_callback_s() {
    let mut simulation = Simulation::new();
    simulation.reactor().call_soon(|_| {});
    let timer = simulation.reactor().call_later(SECOND * 60, |_| {});
    simulation.turn();
    simulation.clock().advance(SECOND);
    simulation.reactor().cancel_timer(timer); // drops its function
    assert_eq!(simulation.reactor().stats().slow_callbacks, 0);
}

#[test]
fn a_report_counts_each_source_that_was_served() {
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut peers = ["a", "b", "c"].map(|name| simulation.connect(Recorder::new(&log, name)));
    simulation.settle();
    for peer in &mut peers {
        peer.send(b"x");
    }
    let served: usize = (0..9).map(|_| simulation.turn().served).max().unwrap();
    assert_eq!(served, 3);
}

#[test]
fn nobody_else_is_blamed_for_a_slow_callback() {
    logged_up_to(Level::Trace);
    // So long that no other callback takes it, on a busy machine either.
    let limits = Reactor::builder().slow_callback(Some(Duration::from_millis(100)));
    let mut world = World::real().with_limits(limits);
    let (_, addr) = world.listen(|_| SlowThenCancels(Duration::from_millis(110)));
    let idle = world.reactor().call_later(Duration::from_secs(60), |_| {});
    let end = Instant::now() + Duration::from_millis(110);
    while Instant::now() < end {} // what passes outside of callbacks is nobody's fault
    world.reactor().cancel_timer(idle);
    let mut far = world.dial(addr);
    assert!(world.read_to_end(&mut far).1.is_ok());
    let lines = logged_up_to(Level::Trace);
    let slow: Vec<_> = lines.iter().filter(|(_, line)| line.contains("nothing else")).collect();
    assert!(!slow.is_empty());
    assert!(slow.iter().all(|(_, line)| line.starts_with("connection_made")), "{slow:?}");
}

#[test]
fn a_panic_is_logged_with_its_callback_and_peer() {
    logged_up_to(Level::Trace);
    let mut world = World::real();
    let (log, mut far) = world.dialled("a", |a| {
        a.on_data(|_, data| panic!("a bug, on purpose: {}", String::from_utf8_lossy(data)))
    });
    world.send(&mut far, b"x\nERROR \x1b[31m\"forged\"");
    world.until("the loss", |_| log.has("a lost Panicked(data_received)"));
    let lines = logged_up_to(Level::Trace);
    let error = lines.iter().find(|(level, _)| *level == Level::Error);
    let (_, line) = error.expect("an error is logged");
    let quoted = r#"a bug, on purpose: x\nERROR \u{1b}[31m"forged""#;
    for wanted in ["data_received", &far.addr().to_string(), quoted] {
        assert!(line.contains(wanted), "{line}");
    }
    assert_eq!(line.lines().count(), 1, "what the peer sent makes no line of its own");
}

#[test]
fn the_logging_observer_prints_each_notice_as_a_line() {
    logged_up_to(Level::Trace);
    let mut world = World::real();
    let seen = Shared::default();
    let pair = (LogObserver::new(), Rc::clone(&seen.0));
    world.reactor().set_observer(Some(Box::new(pair)));
    let (_log, mut far) =
        world.dialled("a", |a| a.on_made(|transport| transport.lose_connection()));
    assert!(world.read_to_end(&mut far).1.is_ok());
    let lines = logged_up_to(Level::Trace);
    let logged: Vec<&String> = lines.iter().map(|(_, line)| line).collect();
    let told: Vec<String> = seen.take().iter().map(Notice::to_string).collect();
    assert_eq!(logged, told.iter().collect::<Vec<_>>());
    let peer = far.addr().to_string();
    let about = |what: &str| {
        let found = |(level, line): &(Level, String)| {
            *level == Level::Debug && line.contains(&peer) && line.contains(what)
        };
        lines.iter().any(found)
    };
    assert!(about("opened, accepted by listener") && about("ended: closed"), "{lines:#?}");
    assert!(lines.iter().any(|(level, line)| *level == Level::Trace && line.contains("sleep")));
}
