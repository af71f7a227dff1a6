//! The ends of a connection over TLS: close_notify, half-closed connections, and ends that nobody announced.

use std::sync::Arc;

use crocus::tls::rustls::{AlertDescription, Error};
use crocus::tls::{Fault, Phase};
use crocus::{Listen, Reason, Transport};

use crate::certificates::Configs;
use crate::far::TlsFar;
use crate::handshakes::fault;
use crate::util::{Log, MS, Recorder, SECOND, World, pattern};

/// A connection that the reactor serves, with the handshake over, and the far end.
pub(crate) fn served(
    world: &mut World,
    configs: &Configs,
    set_up: impl FnOnce(Recorder) -> Recorder,
) -> (Log, TlsFar) {
    let log = Log::new();
    let recorder = set_up(Recorder::new(&log, "a"));
    let mut one = Some(recorder);
    let place = Listen::at("127.0.0.1:0").tls(Arc::clone(&configs.server));
    let id = world.reactor().listen(place, move |_| one.take()).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut far = TlsFar::client(world.dial(addr), &configs.client);
    far.shake_hands(world);
    world.until("it to be made", |_| log.has("a made"));
    (log, far)
}

fn closing(transport: &mut Transport) {
    transport.lose_connection();
}

both! {
    fn a_close_sends_all_then_close_notify_then_fin(world) {
        let data = pattern(300_000);
        let all = data.clone();
        let (log, mut far) = served(world, &Configs::new(), |a| {
            a.on_pause(|_| {}).on_made(move |transport| {
                transport.write(&all);
                transport.lose_connection();
                assert!(!transport.write(b"more"));
            })
        });
        far.until_ended(world);
        assert!(far.got == data, "{} bytes", far.got.len());
        assert!(far.notified && far.ended == Some(Ok(())));
        far.close_write(); // without a close_notify, for which nobody waits
        world.until("the loss", |_| log.has("a lost Closed"));
        assert_eq!(log.count("a eof"), 0);
    }
}

both! {
    fn an_end_that_is_not_announced_is_no_end(world) {
        let (log, mut far) = served(world, &Configs::new(), |a| {
            a.with_data().on_lost(|_, reason| {
                let Reason::Tls { error } = reason else { panic!("{reason:?}") };
                assert_eq!((error.phase(), error.fault()), (Phase::Open, &Fault::Truncated));
            })
        });
        far.write(b"half a mess");
        far.close_write();
        world.until("the loss", |_| log.count("a lost") == 1);
        assert_eq!(log.lines()[..2], ["a made", "a data half a mess"]);
        assert_eq!((log.len(), log.count("a eof")), (3, 0));
    }
}

both! {
    fn a_protocol_whose_framing_tells_the_end_may_take_it(world) {
        let (log, mut far) = served(world, &Configs::new(), |a| {
            a.with_data().on_made(|transport| assert!(transport.allow_truncation(true)))
        });
        far.write(b"all");
        far.close_write();
        world.until("the loss", |_| log.count("a lost") == 1);
        assert_eq!(log.take(), ["a made", "a data all", "a eof", "a lost PeerClosed"]);
    }
}

both! {
    fn after_the_peers_close_notify_a_protocol_can_write_on(world) {
        let data = pattern(200_000);
        let all = data.clone();
        let (log, mut far) = served(world, &Configs::new(), |a| {
            a.with_data().on_pause(|_| {}).on_eof(move |transport| {
                transport.write(&all);
                transport.lose_connection();
            })
        });
        far.write(b"question");
        far.notify();
        far.until_ended(world);
        assert!(far.got == data && far.notified);
        far.close_write();
        world.until("the loss", |_| log.has("a lost PeerClosed"));
        assert_eq!(log.lines()[..3], ["a made", "a data question", "a eof"]);
    }
}

both! {
    fn after_its_own_close_notify_a_protocol_can_read_on(world) {
        let (log, mut far) = served(world, &Configs::new(), |a| {
            a.with_data().on_made(|transport| {
                transport.write(b"question");
                transport.lose_write_connection();
                assert!(!transport.write(b"more") && !transport.is_closing());
            })
        });
        far.until_ended(world);
        assert!(far.got == b"question" && far.notified && far.ended == Some(Ok(())));
        for text in [&b"a long "[..], b"answer"] {
            far.write(text);
            far.send();
            world.quiet();
        }
        world.until("the answer", |_| log.has("a data a long answer"));
        assert_eq!(log.count("a lost"), 0);
        far.notify();
        far.send();
        world.until("the end", |_| log.count("a lost") == 1);
        assert_eq!(log.lines()[2], "a eof");
    }
}

#[test]
fn what_comes_behind_a_close_notify_is_ignored() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| a.with_data().on_eof(|_| {}));
    far.write(b"last");
    far.notify();
    far.write_raw(b"\x17\x03\x03\x00\x05hello");
    far.send();
    world.pass(SECOND);
    assert_eq!(log.take(), ["a made", "a data last", "a eof"]);
    far.write_raw(&[0; 1000]);
    far.close_write();
    world.pass(SECOND);
    assert_eq!(log.len(), 0, "it may still write");
    world.only().lose_connection();
    world.pass(SECOND);
    assert_eq!(log.take(), ["a lost PeerClosed"]);
}

#[test]
fn a_record_that_was_changed_ends_it_with_an_alert() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.with_data().on_lost(|_, reason| assert_eq!(fault(reason), "Open Tls(DecryptError)"))
    });
    far.write(b"good");
    let mut good = far.take_out();
    far.write(b"bad");
    let mut bad = far.take_out();
    *bad.last_mut().unwrap() ^= 1;
    good.append(&mut bad);
    far.write_raw(&good); // in one segment: what came before is told before
    far.until_ended(&mut world);
    assert_eq!(far.error, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
    far.close_write();
    world.pass(MS);
    assert_eq!(log.lines()[..2], ["a made", "a data good"]);
    assert_eq!((log.count("a lost"), log.len()), (1, 3));
}

#[test]
fn no_timer_fires_after_tls_has_failed() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.on_made(|transport| {
            transport.call_later(SECOND);
        })
    });
    far.write_raw(b"garbage, and more of it");
    far.send();
    world.pass(2 * SECOND); // it lingers
    assert_eq!(log.take(), ["a made"]);
    world.pass(10 * SECOND);
    assert_eq!(log.count("a lost"), 1);
}

#[test]
fn a_failure_waits_for_what_came_before_it() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.with_data().on_made(|transport| transport.pause_reading())
    });
    far.write(b"good");
    far.write_raw(&[0; 64]);
    far.send();
    world.pass(SECOND);
    assert_eq!(log.take(), ["a made"]);
    world.only().resume_reading();
    world.pass(SECOND);
    assert_eq!(log.take(), ["a data good"]);
}

#[test]
fn a_peer_that_never_takes_the_rest_is_cut_off() {
    let mut world = World::simulated();
    let (log, far) = served(&mut world, &Configs::new(), |a| {
        a.on_pause(|_| {}).on_made(|transport| {
            transport.write(&pattern(1_000_000));
            closing(transport);
        })
    });
    world.pass(31 * SECOND);
    assert_eq!(log.count("a lost CloseTimedOut"), 1);
    drop(far);
}

#[test]
fn an_abort_sends_no_close_notify() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.on_data(|transport, _| transport.abort_connection())
    });
    far.write(b"x");
    far.until_ended(&mut world);
    assert!(!far.notified && far.ended.unwrap().is_err());
    assert_eq!(log.take(), ["a made", "a lost Aborted"]);
}

#[test]
fn a_shutdown_is_told_over_tls_and_closes_with_close_notify() {
    let mut world = World::simulated();
    let (log, mut far) = served(&mut world, &Configs::new(), |a| {
        a.on_shutting_down(|transport| {
            transport.write(b"bye");
            closing(transport);
        })
    });
    world.reactor().shutdown(SECOND);
    far.until_ended(&mut world);
    assert!(far.notified && far.got == b"bye");
    far.close_write();
    world.pass(MS);
    assert_eq!(log.take(), ["a made", "a shutting down", "a lost Closed"]);
}
