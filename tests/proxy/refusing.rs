//! Connections that come to no protocol: of nobody's proxy, without a header, with a wrong one, too late.

use std::cell::RefCell;
use std::io::ErrorKind as Kind;
use std::rc::Rc;
use std::time::Instant;

use crocus::proxy::{Fault, HEADER_TIMEOUT, Network};
use crocus::{Address, Listen, Notice, Observer, Reason, Who};

use crate::header::{Heard, header, place, served};
use crate::util::{Log, MS, Recorder, SECOND, World, logged_up_to};

/// From elsewhere.
fn strange() -> Network {
    "10.0.0.0/8".parse().unwrap()
}

both! {
    fn a_header_from_a_proxy_that_is_not_trusted_is_not_believed(world) {
        for trusted in [&[][..], &[strange()], &[strange(), Network::unix()]] {
            let heard = Heard::at(world);
            let before = world.reactor().stats();
            let listen = Listen::at("127.0.0.1:0").proxy_protocol(trusted.iter().copied());
            let (log, id, addr) = served(world, listen);
            let mut far = world.dial(addr);
            far.send(&header());
            world.until("the refusal", |_| heard.has("turned here away Untrusted"));
            assert!(world.read_to_end(&mut far).0.is_empty());
            assert_eq!((heard.take().len(), log.len()), (1, 0));
            let after = world.reactor().stats();
            assert_eq!(after.turned_away - before.turned_away, 1);
            assert_eq!(after.bytes_read, before.bytes_read, "no byte of it was read");
            assert_eq!(world.reactor().connection_count(id), Some(0));
        }
    }
}

#[test]
fn a_unix_socket_is_trusted_only_if_that_is_said() {
    let mut world = World::simulated();
    let log = Log::new();
    let listen = Listen::at("unix:/run/web.sock").proxy_protocol([strange()]);
    let its = log.clone();
    world.reactor().listen(listen, move |_: Address| Recorder::new(&its, "s")).unwrap();
    let World::Simulated(simulation) = &mut world else { unreachable!() };
    simulation.dial("unix:/run/web.sock").send(&header());
    simulation.settle();
    assert_eq!((log.len(), world.reactor().stats().turned_away), (0, 1));
}

both! {
    fn what_is_no_header_is_reset_and_the_reason_told(world) {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], Fault::Missing),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Fault::Malformed),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", Fault::TooLong),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x07\x03\0\x04abcd", Fault::Checksum),
        ] {
            let heard = Heard::at(world);
            let (log, _, addr) = served(world, place());
            let mut far = world.dial(addr);
            world.send(&mut far, bytes);
            let (answer, end) = world.read_to_end(&mut far);
            assert_eq!((answer.len(), end.is_err()), (0, true), "a reset");
            world.until("the last notice", |_| heard.has(&format!("gone here {expected:?}")));
            assert_eq!((log.len(), heard.take().len()), (0, 2));
        }
    }
}

both! {
    fn an_end_before_the_header_is_whole_is_told(world) {
        let heard = Heard::at(world);
        for sent in [0, 10] {
            let (log, _, addr) = served(world, place());
            let mut far = world.dial(addr);
            world.send(&mut far, &header()[..sent]);
            far.close_write();
            world.until("the last notice", |_| heard.has("gone here Truncated"));
            assert_eq!((log.len(), heard.take().len()), (0, 2));
        }
    }
}

#[test]
fn a_header_has_five_seconds() {
    for sent in [0, 1, header().len() - 1] {
        let mut world = World::simulated();
        let heard = Heard::at(&mut world);
        let (log, id, addr) = served(&mut world, place());
        let mut far = world.dial(addr);
        for byte in &header()[..sent] {
            world.send(&mut far, &[*byte]);
            world.pass(MS); // and a byte now and then is not enough
        }
        world.pass(HEADER_TIMEOUT - MS * (sent as u32 + 1));
        assert_eq!(world.reactor().connection_count(id), Some(1));
        world.pass(MS);
        assert_eq!(world.reactor().connection_count(id), Some(0));
        assert_eq!((log.len(), heard.take()[1..].concat()), (0, "gone here TimedOut".to_owned()));
    }
}

#[test]
fn the_log_names_the_proxy_and_the_fault() {
    logged_up_to(log::Level::Info);
    let mut world = World::simulated();
    let (_, _, addr) = served(&mut world, place());
    let mut far = world.dial(addr);
    let proxy = far.addr();
    far.send(b"HELO\r\n");
    world.pass(SECOND);
    let (_, _, addr) = served(&mut world, Listen::at("127.0.0.1:0").proxy_protocol([strange()]));
    drop(world.dial(addr));
    world.pass(SECOND);
    let lines = logged_up_to(log::Level::Info);
    let has = |text: &str| lines.iter().any(|(_, line)| line.contains(text));
    let once =
        format!("a connection has come to no protocol: PROXY header of {proxy}: there is none");
    assert!(has(&once), "{lines:?}");
    assert!(has(": not from a trusted proxy") && has("cannot serve 127.0.0.1:"), "{lines:?}");
}

/// The reasons of all that ends or is turned away.
#[derive(Clone, Default)]
struct Reasons(Rc<RefCell<Vec<Reason>>>);

impl Observer for Reasons {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        if let Notice::Gone { reason, .. } | Notice::TurnedAway { reason, .. } = notice {
            self.0.borrow_mut().push(reason.clone());
        }
    }
}

#[test]
fn reasons_say_who_is_to_blame() {
    let mut world = World::simulated();
    let reasons = Reasons::default();
    world.reactor().set_observer(Some(Box::new(reasons.clone())));
    let (_, _, addr) = served(&mut world, place());
    let mut far = world.dial(addr);
    far.send(b"HELO\r\n");
    let _silent = world.dial(addr);
    world.pass(HEADER_TIMEOUT);
    let (_, _, addr) = served(&mut world, Listen::at("127.0.0.1:0").proxy_protocol([strange()]));
    let _untrusted = world.dial(addr);
    world.pass(MS);
    let reasons = reasons.0.take();
    let blamed: Vec<_> = reasons.iter().map(Reason::who).collect();
    assert_eq!(blamed, [Who::Peer, Who::Reactor, Who::Reactor]);
    let kinds: Vec<_> = reasons.iter().map(|reason| std::io::Error::from(reason).kind()).collect();
    assert_eq!(kinds, [Kind::InvalidData, Kind::TimedOut, Kind::PermissionDenied]);
    assert!(reasons.iter().all(|reason| !reason.is_clean()));
}

#[test]
fn a_factory_may_refuse_the_client() {
    let mut world = World::simulated();
    let heard = Heard::at(&mut world);
    let id = world.reactor().listen(place(), |_: Address| None::<Recorder>).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut far = world.dial(addr);
    far.send(&[&header(), &b"hello"[..]].concat());
    world.pass(SECOND);
    let heard = heard.take();
    assert_eq!(
        heard[2..],
        ["turned 203.0.113.7:4711 away Refused", "gone 203.0.113.7:4711 Refused"]
    );
    assert_eq!(world.reactor().connection_count(id), Some(0));
    assert_eq!(world.reactor().stats().turned_away, 1);
}
