//! Descriptors of the user's: pipes, terminals, files, and a reactor inside a reactor.
#![cfg(target_os = "linux")]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::util::{HOUR, Log, MS, Recorder, World, logged};
use crocus::testing::Simulation;
use crocus::{
    Notice, Observer, Protocol, Reactor, Readiness, Ready, Reason, Subject, Transport, WatchId,
};

/// Reads at most `most` bytes per call into `log`, and ends the watch at the end.
fn reading<S: Read>(log: &Log, most: usize) -> impl FnMut(&mut Reactor, &mut S, Ready) + use<S> {
    let log = log.clone();
    move |reactor, source, ready| {
        let mut piece = vec![0; most];
        match source.read(&mut piece).unwrap() {
            0 => {
                log.push("end");
                assert!(reactor.unwatch(ready.watch));
            }
            count => log.push(String::from_utf8(piece[..count].to_vec()).unwrap()),
        }
    }
}

fn watched_pipe(world: &mut World, log: &Log, most: usize) -> (WatchId, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let id = world.reactor().watch(reader, Readiness::READABLE, reading(log, most)).unwrap();
    (id, writer)
}

/// Turns as long as something happens.
fn settle(world: &mut World) {
    while !world.reactor().turn(Some(Duration::ZERO)).unwrap().is_idle() {}
}

/// asyncio's `test_add_reader`, and what its level-triggered selectors promise.
#[test]
fn unread_bytes_are_told_again_once_each_turn() {
    let (mut world, log) = (World::real(), Log::new());
    let (_, mut writer) = watched_pipe(&mut world, &log, 1);
    settle(&mut world);
    assert_eq!(log.take(), [""; 0]);
    writer.write_all(b"abc").unwrap();
    for expected in ["a", "b", "c"] {
        world.until("the next byte", |_| log.len() > 0);
        assert_eq!(log.take(), [expected], "one call a turn, one byte a call");
    }
    settle(&mut world);
    assert_eq!(log.take(), [""; 0], "a call now would have waited for ever: the pipe blocks");
    writer.write_all(b"d").unwrap();
    drop(writer);
    world.run().unwrap(); // returns, since the watch is ended
    assert_eq!(log.take(), ["d", "end"]);
}

/// An endless source has one call per turn, so timers, calls and connections have theirs.
#[test]
fn a_descriptor_that_is_always_ready_starves_nobody() {
    let (mut world, log) = (World::real(), Log::new());
    let zero = File::open("/dev/zero").unwrap();
    // epoll takes no /dev/zero; a socket with unread bytes is as endless.
    let refused = world.reactor().watch(zero, Readiness::READABLE, |_, _, _| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"never read").unwrap();
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    world
        .reactor()
        .watch(ours, Readiness::READABLE, move |_, _, _| count.set(count.get() + 1))
        .unwrap();
    let seen = log.clone();
    let (_, addr) = world.listen(move |_| Recorder::new(&seen, "a").with_data());
    let mut far = world.dial(addr);
    far.send(b"hello");
    world.until("the data", |_| log.has("a data hello"));
    let fired = Rc::new(Cell::new(false));
    let fire = fired.clone();
    world.reactor().call_later(5 * MS, move |_| fire.set(true));
    world.until("the timer", |_| fired.get());
    let turns = world.reactor().stats().turns;
    let before = calls.get();
    for _ in 0..10 {
        world.turn();
    }
    let turns = world.reactor().stats().turns - turns;
    assert_eq!(calls.get() - before, turns);
    drop(far);
}

#[test]
fn a_pipe_is_told_only_while_it_has_room() {
    let mut world = World::real();
    let (mut reader, writer) = io::pipe().unwrap();
    let written = Rc::new(Cell::new(0));
    let count = written.clone();
    let id = world
        .reactor()
        .watch(writer, Readiness::WRITABLE, move |_, pipe, ready| {
            assert_eq!(ready.readiness, Readiness::WRITABLE);
            // PIPE_BUF: does not wait, though the pipe is in blocking mode.
            count.set(count.get() + pipe.write(&[7; 4096]).unwrap());
        })
        .unwrap();
    settle(&mut world);
    let full = written.get();
    assert!(full >= 4096, "{full}");
    reader.read_exact(&mut vec![0; full]).unwrap();
    settle(&mut world);
    assert_eq!(written.get(), 2 * full);
    assert!(world.reactor().unwatch(id));
    assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), full as u64, "then comes the end");
}

#[test]
fn hang_up_is_told_whatever_the_interest() {
    let mut world = World::real();
    let (reader, writer) = io::pipe().unwrap();
    let told = Rc::new(Cell::new(Readiness::default()));
    let tell = told.clone();
    let end = move |reactor: &mut Reactor, _: &mut PipeWriter, ready: Ready| {
        if ready.readiness.contains(Readiness::HANGUP) {
            tell.set(ready.readiness);
            reactor.unwatch(ready.watch);
        }
    };
    world.reactor().watch(writer, Readiness::WRITABLE, end).unwrap();
    settle_some(&mut world);
    drop(reader);
    world.run().unwrap();
    assert!(told.get().contains(Readiness::HANGUP | Readiness::WRITABLE), "{:?}", told.get());
    assert!(!told.get().contains(Readiness::READABLE), "nobody asked");
}

/// Some turns, where they would never come to rest.
fn settle_some(world: &mut World) {
    for _ in 0..5 {
        world.turn();
    }
}

#[test]
fn interest_can_be_taken_away_and_given_back() {
    let (mut world, log) = (World::real(), Log::new());
    let (id, mut writer) = watched_pipe(&mut world, &log, 100);
    assert!(world.reactor().set_interest(id, Readiness::default()));
    settle(&mut world);
    writer.write_all(b"one").unwrap();
    settle(&mut world);
    assert_eq!(log.take(), [""; 0], "paused");
    assert!(world.reactor().set_interest(id, Readiness::READABLE));
    settle(&mut world);
    assert_eq!(log.take(), ["one"], "what came meanwhile is told");
    // Paused between the event and the serving, by a timer in between.
    writer.write_all(b"two").unwrap();
    world.reactor().call_later(Duration::ZERO, move |reactor| {
        assert!(reactor.set_interest(id, Readiness::default()));
    });
    settle(&mut world);
    assert_eq!(log.take(), [""; 0]);
    world.reactor().unwatch(id);

    let (reader, mut writer) = io::pipe().unwrap();
    let seen = log.clone();
    let once = move |reactor: &mut Reactor, pipe: &mut PipeReader, ready: Ready| {
        let mut byte = [0];
        pipe.read_exact(&mut byte).unwrap();
        seen.push(char::from(byte[0]));
        assert!(reactor.set_interest(ready.watch, Readiness::default()));
    };
    let id = world.reactor().watch(reader, Readiness::READABLE, once).unwrap();
    writer.write_all(b"xyz").unwrap();
    for expected in ["x", "y", "z"] {
        settle(&mut world);
        assert_eq!(log.take(), [expected], "it pauses itself");
        assert!(world.reactor().set_interest(id, Readiness::READABLE));
    }
    drop(writer);
    assert!(world.reactor().unwatch(id));
    assert!(!world.reactor().set_interest(id, Readiness::READABLE));
    world.run().unwrap();
}

/// asyncio's `test_remove_reader`; a stale name is harmless.
#[test]
fn unwatch_drops_the_source_and_says_so_once() {
    let mut world = World::real();
    let (reader, mut writer) = io::pipe().unwrap();
    let reader = Rc::new(reader);
    let kept = reader.clone();
    let id = world.reactor().watch(reader, Readiness::READABLE, |_, _, _| panic!("told")).unwrap();
    writer.write_all(b"x").unwrap();
    assert!(world.reactor().unwatch(id));
    assert!(!world.reactor().unwatch(id));
    assert_eq!(Rc::strong_count(&kept), 1);
    world.run().unwrap();
    // The descriptor is open still, and was forgotten: it can be watched again.
    let log = Log::new();
    let seen = log.clone();
    let again = move |reactor: &mut Reactor, pipe: &mut Rc<PipeReader>, ready: Ready| {
        let mut pipe = &**pipe;
        pipe.read_exact(&mut [0]).unwrap();
        seen.push("again");
        assert!(reactor.unwatch(ready.watch));
        assert!(!reactor.unwatch(ready.watch));
    };
    let second = world.reactor().watch(kept, Readiness::READABLE, again).unwrap();
    assert_ne!(id, second);
    assert!(!world.reactor().unwatch(id), "the name of the first");
    world.run().unwrap();
    assert_eq!(log.take(), ["again"]);
    assert!(writer.write_all(b"x").is_err(), "nobody has the reading end");
}

/// The number was given to another file: owning the descriptor must protect the new one.
#[test]
fn an_unwatched_ready_descriptor_and_its_successor_hear_nothing() {
    let (mut world, log) = (World::real(), Log::new());
    let ids = Rc::new(RefCell::new(Vec::new()));
    let mut writers = Vec::new();
    for name in ["first", "second"] {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        writers.push(writer);
        let (seen, others) = (log.clone(), ids.clone());
        let function = move |reactor: &mut Reactor, _: &mut PipeReader, _: Ready| {
            seen.push(name);
            for id in others.take() {
                assert!(reactor.unwatch(id));
            }
            let (reader, writer) = io::pipe().unwrap(); // the numbers of those just closed
            let seen = seen.clone();
            reactor.watch(reader, Readiness::READABLE, move |_, _, _| seen.push("new")).unwrap();
            std::mem::forget(writer); // not to hang up
        };
        let id = world.reactor().watch(reader, Readiness::READABLE, function).unwrap();
        ids.borrow_mut().push(id);
    }
    settle(&mut world);
    assert_eq!(log.len(), 1, "whoever came first ended both: {:?}", log.lines());
    assert!(!log.has("new"));
}

#[test]
fn a_source_replaced_in_its_call_ends_the_watch() {
    let mut world = World::real();
    logged();
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let replace = |_: &mut Reactor, pipe: &mut PipeReader, _: Ready| {
        let (other, writer) = io::pipe().unwrap();
        std::mem::forget(writer);
        *pipe = other;
    };
    world.reactor().watch(reader, Readiness::READABLE, replace).unwrap();
    world.run().unwrap();
    let lines = logged();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("cannot be waited for"), "{lines:?}");
}

#[test]
fn a_panic_ends_that_watch_and_nobody_else() {
    let (mut world, log) = (World::real(), Log::new());
    logged();
    let (_, mut good) = watched_pipe(&mut world, &log, 100);
    let (reader, mut writer) = io::pipe().unwrap();
    world.reactor().watch(reader, Readiness::READABLE, |_, _, _| panic!("on purpose")).unwrap();
    writer.write_all(b"x").unwrap();
    world.until("the panic", |world| world.reactor().stats().panics == 1);
    assert!(writer.write_all(b"x").is_err(), "its source is dropped");
    good.write_all(b"good").unwrap();
    drop(good);
    world.run().unwrap();
    assert_eq!(log.take(), ["good", "end"]);
    let lines = logged();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("the function of watch #") && lines[0].contains("on purpose"),
        "{lines:?}"
    );
}

#[test]
fn files_folders_and_null_devices_are_refused_with_advice() {
    let mut world = World::real();
    for path in ["Cargo.toml", "src", "/dev/null"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let file = Rc::new(File::open(path).unwrap());
        let kept = file.clone();
        let error = world.reactor().watch(file, Readiness::READABLE, |_, _, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("call_in_thread"), "{error}");
        assert_eq!(Rc::strong_count(&kept), 1);
    }
    world.run().unwrap();
}

/// It is called each time the descriptor is waited for, and is the user's.
#[test]
fn a_source_whose_as_fd_panics_ends_its_watch_and_nobody_else() {
    struct Fragile(PipeReader, Rc<Cell<bool>>);
    impl AsFd for Fragile {
        fn as_fd(&self) -> BorrowedFd<'_> {
            assert!(!self.1.get(), "on purpose");
            self.0.as_fd()
        }
    }
    let mut world = World::real();
    let (reader, mut writer) = io::pipe().unwrap();
    let broken = Rc::<Cell<bool>>::default();
    let breaks = Rc::clone(&broken);
    let function = move |_: &mut Reactor, _: &mut Fragile, _| breaks.set(true);
    let source = Fragile(reader, broken);
    let watch = world.reactor().watch(source, Readiness::READABLE, function).unwrap();
    writer.write_all(b"x").unwrap();
    world.until("the end of the watch", |_| writer.write_all(b"x").is_err());
    assert!(!world.reactor().unwatch(watch));
}

#[test]
fn watching_a_descriptor_twice_is_an_error() {
    let (mut world, log) = (World::real(), Log::new());
    let (reader, mut writer) = io::pipe().unwrap();
    let reader = Rc::new(reader);
    let twin = reader.clone();
    let seen = log.clone();
    let read = move |reactor: &mut Reactor, _: &mut Rc<PipeReader>, ready: Ready| {
        seen.push("told");
        reactor.unwatch(ready.watch);
    };
    world.reactor().watch(reader, Readiness::READABLE, read).unwrap();
    let error = world.reactor().watch(twin, Readiness::READABLE, |_, _, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    writer.write_all(b"x").unwrap();
    world.run().unwrap();
    assert_eq!(log.take(), ["told"]);
}

/// crocus's own: the poller would take a second watch if one of the two has no interest.
#[test]
fn watching_a_descriptor_twice_is_an_error_without_interest_too() {
    for (first, second) in [
        (Readiness::READABLE, Readiness::default()),
        (Readiness::default(), Readiness::READABLE),
        (Readiness::default(), Readiness::default()),
    ] {
        let (mut world, log) = (World::real(), Log::new());
        let (reader, mut writer) = io::pipe().unwrap();
        let reader = Rc::new(reader);
        let seen = log.clone();
        let tell = move |reactor: &mut Reactor, _: &mut Rc<PipeReader>, ready: Ready| {
            seen.push("told");
            reactor.unwatch(ready.watch);
        };
        let id = world.reactor().watch(Rc::clone(&reader), first, tell).unwrap();
        let error = world.reactor().watch(Rc::clone(&reader), second, |_, _, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        // The refusal has not deafened the first, in whose place another may come later.
        assert!(world.reactor().set_interest(id, Readiness::READABLE));
        writer.write_all(b"x").unwrap();
        world.until("the first", |_| log.has("told"));
        world.reactor().watch(reader, second, |_, _, _| {}).unwrap();
    }
}

/// crocus's own: the descriptor is free when `unwatch` returns, also within its own function.
#[test]
fn a_function_may_put_another_watch_in_its_place() {
    let (mut world, log) = (World::real(), Log::new());
    let (reader, mut writer) = io::pipe().unwrap();
    let seen = log.clone();
    let function = move |reactor: &mut Reactor, pipe: &mut Rc<PipeReader>, ready: Ready| {
        seen.push("first");
        reactor.unwatch(ready.watch);
        reactor.watch(Rc::clone(pipe), Readiness::READABLE, reading_shared(&seen)).unwrap();
    };
    world.reactor().watch(Rc::new(reader), Readiness::READABLE, function).unwrap();
    writer.write_all(b"x").unwrap();
    drop(writer);
    world.run().unwrap();
    assert_eq!(log.take(), ["first", "x", "end"]);
}

fn reading_shared(log: &Log) -> impl FnMut(&mut Reactor, &mut Rc<PipeReader>, Ready) + use<> {
    let log = log.clone();
    move |reactor, pipe, ready| {
        let mut byte = [0];
        if (&**pipe).read(&mut byte).unwrap() == 0 {
            log.push("end");
            reactor.unwatch(ready.watch);
        } else {
            log.push(byte.escape_ascii().to_string());
        }
    }
}

#[test]
fn a_simulated_reactor_refuses() {
    let (reader, _writer) = io::pipe().unwrap();
    let mut simulation = Simulation::new();
    let refused = simulation.reactor().watch(reader, Readiness::READABLE, |_, _, _| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    simulation.reactor().run().unwrap();
}

#[test]
fn a_watch_keeps_run_going_and_a_stop_ends_it() {
    let (mut world, log) = (World::real(), Log::new());
    let (id, mut writer) = watched_pipe(&mut world, &log, 100);
    let fired = Rc::new(Cell::new(false));
    let fire = fired.clone();
    world.reactor().call_later(10 * MS, move |reactor| {
        fire.set(true);
        reactor.stop();
    });
    world.run().unwrap();
    assert!(fired.get(), "run did not return before");
    assert!(!world.reactor().unwatch(id));
    assert!(writer.write_all(b"x").is_err(), "nobody has the reading end");
    world.run().unwrap();
}

/// Watches a pipe in its last notice.
struct Late(Log);

impl Protocol for Late {
    fn connection_lost(&mut self, transport: &mut Transport, _: &Reason) {
        let (reader, _writer) = io::pipe().unwrap();
        let watched = transport.reactor().watch(reader, Readiness::READABLE, |_, _, _| {});
        self.0.push(watched.map_or_else(|error| error.kind().to_string(), |id| id.to_string()));
    }
}

#[test]
fn no_watch_begins_in_the_last_notices_of_a_stop() {
    let (mut world, log) = (World::real(), Log::new());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    world.reactor().adopt(ours, Late(log.clone())).unwrap();
    world.reactor().stop();
    world.run().unwrap();
    assert_eq!(log.take(), [ErrorKind::ConnectionAborted.to_string()]);
    assert!(!world.reactor().has_work(), "nothing is left of the former run");
}

#[test]
fn a_shutdown_serves_watches_but_does_not_wait() {
    let mut world = World::real();
    let (log, far) = world.served("a", |a| a);
    log.take();
    let (_, mut writer) = watched_pipe(&mut world, &log, 100);
    world.reactor().shutdown(HOUR);
    writer.write_all(b"still here").unwrap();
    world.until("the bytes", |_| log.has("still here"));
    drop(far);
    world.run().unwrap();
    assert_eq!(log.take(), ["still here", "a lost Closed"]);
    assert!(writer.write_all(b"x").is_err());
}

#[test]
fn dropping_the_reactor_drops_the_sources() {
    let log = Log::new();
    let mut inner = World::real();
    let (_, mut writer) = watched_pipe(&mut inner, &log, 100);
    drop(inner);
    assert!(writer.write_all(b"x").is_err());
}

/// Counts what was latched for watches.
struct Events(Rc<Cell<usize>>);

impl Observer for Events {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if matches!(notice, Notice::Event { subject: Some(Subject::Watch(_)), .. }) {
            self.0.set(self.0.get() + 1);
        }
    }
}

#[test]
fn a_reactor_can_be_watched_by_another() {
    let log = Log::new();
    let mut inner = World::real();
    let seen = log.clone();
    let (_, addr) = inner.listen(move |_| Recorder::new(&seen, "inner").with_data());
    let mut far = inner.dial(addr);
    let World::Real(inner) = inner else { unreachable!() };
    let mut outer = World::real();
    let events = Rc::new(Cell::new(0));
    outer.reactor().set_observer(Some(Box::new(Events(events.clone()))));
    let id = outer
        .reactor()
        .watch(inner, Readiness::READABLE, |_, inner, _| {
            inner.turn(Some(Duration::ZERO)).unwrap();
        })
        .unwrap();
    far.send(b"hello");
    outer.until("the data", |_| log.has("inner data hello"));
    settle(&mut outer);
    let told = events.get();
    settle_some(&mut outer);
    assert_eq!(events.get(), told, "it sleeps when the inner one has nothing to do");
    assert!(told < 20, "{told} events");
    assert!(outer.reactor().unwatch(id));
    assert!(log.has("inner lost Stopped"), "{:?}", log.lines());
}

#[test]
fn reading_a_terminal_neither_blocks_nor_changes_its_mode() {
    // A pseudo-terminal without a shell: `script` would do, but /dev/ptmx takes unsafe code to
    // unlock. A socket in blocking mode shows the same.
    let (mut world, log) = (World::real(), Log::new());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let source: OwnedFd = ours.into();
    let mode = source.as_fd().try_clone_to_owned().unwrap();
    let file = File::from(source);
    world.reactor().watch(file, Readiness::READABLE, reading(&log, 2)).unwrap();
    theirs.write_all(b"abcde").unwrap();
    world.until("all", |_| log.len() == 3);
    settle(&mut world);
    assert_eq!(log.take(), ["ab", "cd", "e"]);
    let flags = std::fs::read_to_string("/proc/self/fdinfo/".to_owned() + &number(&mode)).unwrap();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
    assert_eq!(flags & 0o4000, 0, "O_NONBLOCK");
}

fn number(fd: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    fd.as_raw_fd().to_string()
}
