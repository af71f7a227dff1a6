//! The tools of a simulation: sending all; and segments that cross on their way.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::util::{Log, Recorder};
use crocus::Rate;
use crocus::testing::{Cut, Simulation};

const SECOND: Duration = Duration::from_secs(1);

fn quiet() -> Recorder {
    Recorder::new(&Log::new(), "a")
}

#[test]
fn all_is_sent_through_a_small_window_and_small_cuts() {
    let data: Vec<u8> = (0..20_000).map(|n| (n % 251) as u8).collect();
    for cut in [Cut::Whole, Cut::Every(7)] {
        let mut simulation = Simulation::new();
        simulation.set_window(1000);
        simulation.set_latency(Duration::from_millis(3));
        simulation.set_cut(cut);
        let log = Log::new();
        let got = Rc::new(RefCell::new(Vec::<u8>::new()));
        let sink = got.clone();
        let protocol =
            Recorder::new(&log, "a").on_data(move |_, data| sink.borrow_mut().extend(data));
        let mut peer = simulation.connect(protocol);
        peer.send_all(&mut simulation, &data).unwrap();
        simulation.advance(SECOND);
        assert!(*got.borrow() == data, "{cut:?}");
    }
}

#[test]
fn sending_all_waits_for_a_rate() {
    let mut simulation = Simulation::new();
    simulation.set_window(1000);
    let mut peer = simulation.connect(quiet().on_made(|transport| {
        transport.set_read_rate(Some(Rate::per_second(1000)));
    }));
    peer.send_all(&mut simulation, &[0; 5000]).unwrap();
    let elapsed = simulation.elapsed();
    assert!(elapsed > SECOND && elapsed < SECOND * 10, "{elapsed:?}");
}

#[test]
fn sending_all_says_why_it_cannot() {
    let mut simulation = Simulation::new();
    let mut paused = simulation.connect(quiet().on_made(|transport| transport.pause_reading()));
    simulation.settle();
    let error = paused.send_all(&mut simulation, &[0; 200_000]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let text = error.to_string();
    assert!(text.starts_with("sent ") && text.contains(" of 200000 bytes"), "{text}");
    assert!(text.contains("does not read on"), "{text}");

    // Though a timer would go on for ever.
    simulation.reactor().call_every(SECOND, |_, _| {});
    let before = simulation.elapsed();
    let error = paused.send_all(&mut simulation, b"more").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(simulation.elapsed() - before <= SECOND * 61);

    let mut aborting = simulation.connect(quiet().on_data(|transport, _| {
        transport.abort_connection();
    }));
    let error = aborting.send_all(&mut simulation, &[0; 200_000]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(error.to_string().contains("has failed"), "{error}");
}

#[test]
fn a_reset_that_crosses_our_end_is_told() {
    let ms = Duration::from_millis;
    let mut simulation = Simulation::new();
    let log = Log::new();
    let mut peer =
        simulation.connect(Recorder::new(&log, "a").on_made(|transport| transport.pause_reading()));
    simulation.settle();
    simulation.set_latency(ms(20));
    peer.close_write();
    simulation.advance(ms(15));
    let id = simulation.reactor().connections()[0];
    simulation.reactor().transport(id).unwrap().lose_write_connection();
    simulation.advance(ms(10)); // our end is on its way, theirs has come
    peer.reset();
    simulation.advance(ms(15)); // it meets nobody
    assert_eq!(log.count("a lost"), 0);
    simulation.advance(ms(10));
    assert_eq!(log.take().last().unwrap(), "a lost Failed(ConnectionReset)");
}
