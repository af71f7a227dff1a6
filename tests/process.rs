//! The process around a reactor: what is inherited, and what interrupts it.
//!
//! A program of its own: it stops itself, and a child lists its descriptors.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod util;

use std::cell::Cell;
use std::env;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crocus::Reactor;
use util::{Folder, Log, Recorder, World};

#[test]
fn a_program_that_is_started_inherits_no_descriptor() {
    let before = inherited();
    let mut world = World::real();
    let log = Log::new();
    let (seen, made) = (log.clone(), log.clone());
    let (_, addr) = world.listen(move |_| Recorder::new(&seen, "a"));
    world.reactor().connect(addr, move |_| Recorder::new(&made, "c"));
    world.until("both ends", |_| log.has("a made") && log.has("c made"));
    assert_eq!(inherited(), before, "the poller, the waker, the listener, two connections");
}

/// The descriptors that a program started now has, as the system lists them.
fn inherited() -> String {
    let list = Command::new("sh").args(["-c", "ls /proc/$$/fd"]).output().unwrap();
    String::from_utf8(list.stdout).unwrap()
}

#[test]
fn a_reactor_that_is_stopped_and_continued_goes_on() {
    let mut reactor = Reactor::new().unwrap();
    let fired = Rc::new(Cell::new(false));
    let fire = Rc::clone(&fired);
    let pid = std::process::id();
    // SIGCONT interrupts the wait (signal(7) lists epoll_wait), and must not be an error.
    let script = format!("kill -STOP {pid}; kill -CONT {pid}");
    let mut child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    reactor.call_later(Duration::from_millis(50), move |_| fire.set(true));
    reactor.run().unwrap();
    assert!(fired.get());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_socket_file_is_removed_after_a_change_of_folder() {
    let (folder, before) = (Folder::new(), env::current_dir().unwrap());
    env::set_current_dir(&*folder).unwrap();
    let mut world = World::real();
    let log = Log::new();
    let listening = world.reactor().listen("unix:here", move |_| Recorder::new(&log, "a"));
    env::set_current_dir(before).unwrap();
    listening.unwrap();
    assert!(folder.names().contains(&"here".to_owned()));
    drop(world);
    assert!(!folder.names().contains(&"here".to_owned()));
}
