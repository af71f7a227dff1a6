//! A header, and TLS behind it: on both sides.

use std::sync::Arc;

use crocus::proxy::Version;
use crocus::testing::Cut;
use crocus::tls::{Fault, Phase};
use crocus::{Address, Connect, Notice, Observer, Reason};

use crate::certificates::{Configs, VERSIONS};
use crate::far::TlsFar;
use crate::hasty;
use crate::header::{CLIENT, address, header, headers_of, place, served};
use crate::util::{Log, MS, Recorder, SECOND, World};

both! {
    fn a_header_and_the_client_hello_in_one_segment(world) {
        for version in VERSIONS {
            for header in headers_of(CLIENT) {
                let configs = Configs::of(&[version]);
                let (log, _, addr) = served(world, place().tls(Arc::clone(&configs.server)));
                let mut far = TlsFar::client(world.dial(addr), &configs.client);
                let hello = far.take_out();
                let mut bare = far.take_far();
                world.send(&mut bare, &[header, hello].concat());
                far.put_far(bare);
                far.shake_hands(world);
                far.write(b"hello");
                world.until("the data", |_| {
                    far.step();
                    log.has("s data hello")
                });
                assert_eq!(log.lines()[..2], [format!("built for {CLIENT}"), "s made".to_owned()]);
                far.notify();
                far.until_ended(world);
                assert!(far.notified);
            }
        }
    }
}

/// The connection ends behind its header.
#[test]
fn a_bug_of_a_server_config_stays_in_its_connection() {
    let (mut world, configs) = (World::real(), hasty::configs());
    let (log, _, addr) = served(&mut world, place().tls(Arc::clone(&configs.server)));
    let hello = |world: &mut World| {
        let mut far = TlsFar::client(world.dial(addr), &configs.client);
        let all = [header(), far.take_out()].concat();
        let mut bare = far.take_far();
        world.send(&mut bare, &all);
        far.put_far(bare);
        far
    };
    let _far = hello(&mut world);
    world.until("the end", |world| world.reactor().stats().closed == 1);
    let stats = world.reactor().stats();
    assert_eq!((log.len(), stats.panics, stats.turned_away), (0, 1, 1));
    let mut far = hello(&mut world);
    far.shake_hands(&mut world);
    world.until("another", |_| log.has("s made"));
}

#[test]
fn header_and_handshake_may_be_cut_at_every_byte() {
    let configs = Configs::new();
    for header in headers_of(CLIENT) {
        // Every cut of the header, and the first bytes of the ClientHello.
        for cut in 1..header.len() + 10 {
            let mut world = World::simulated();
            let (log, _, addr) = served(&mut world, place().tls(Arc::clone(&configs.server)));
            let mut far = TlsFar::client(world.dial(addr), &configs.client);
            let all = [&header[..], &far.take_out()].concat();
            let mut bare = far.take_far();
            world.send(&mut bare, &all[..cut]);
            world.pass(SECOND);
            world.send(&mut bare, &all[cut..]);
            far.put_far(bare);
            far.write(b"hello");
            far.shake_hands(&mut world);
            world.pass(SECOND);
            assert_eq!(log.count("s data hello"), 1, "{cut}");
            assert!(log.has(&format!("of {CLIENT} at 198.51.100.1:80")));
        }
    }
}

#[test]
fn byte_by_byte_through_both() {
    for seed in 0..30 {
        let mut world = World::simulated();
        let World::Simulated(simulation) = &mut world else { unreachable!() };
        simulation.set_cut(if seed == 0 { Cut::Every(1) } else { Cut::Random(seed * 7) });
        let configs = Configs::new();
        let (log, _, addr) = served(&mut world, place().tls(Arc::clone(&configs.server)));
        let client = Log::new();
        let preface = Version::V2.header(&address(CLIENT), &address("198.51.100.1:443"));
        let to = Connect::to(addr).preface(preface).tls(Arc::clone(&configs.client), None);
        let its = client.clone();
        let hello = move |_: Address| {
            Recorder::new(&its, "c").on_made(|transport| {
                transport.write(b"hello");
                transport.lose_connection();
            })
        };
        world.reactor().connect(to, hello);
        world.pass(SECOND);
        let lines = log.take();
        assert_eq!(lines[0], format!("built for {CLIENT}"), "seed {seed}: {lines:?}");
        assert_eq!(lines[2], format!("of {CLIENT} at 198.51.100.1:443"));
        assert_eq!(lines[3..].concat(), "s data hellos eofs lost PeerClosed", "seed {seed}");
    }
}

/// The last reason.
#[derive(Clone, Default)]
struct Last(std::rc::Rc<std::cell::RefCell<Option<Reason>>>);

impl Observer for Last {
    fn notice(&mut self, _: std::time::Instant, notice: &Notice) {
        if let Notice::Gone { reason, .. } = notice {
            *self.0.borrow_mut() = Some(reason.clone());
        }
    }
}

#[test]
fn a_failed_handshake_names_the_client() {
    let mut world = World::simulated();
    let last = Last::default();
    world.reactor().set_observer(Some(Box::new(last.clone())));
    let configs = Configs::new();
    let (log, _, addr) = served(&mut world, place().tls(Arc::clone(&configs.server)));
    let mut far = world.dial(addr);
    far.send(&[&header(), &b"GET / HTTP/1.1\r\n\r\n"[..]].concat());
    let (alert, _) = world.read_to_end(&mut far);
    assert_eq!(alert[0], 21, "an alert");
    far.close_write();
    world.pass(MS);
    let Some(Reason::Tls { error }) = last.0.take() else { panic!("TLS is the reason") };
    assert_eq!(error.peer(), &address(CLIENT));
    assert_eq!(error.phase(), Phase::Handshake);
    assert!(matches!(error.fault(), Fault::Tls(_)));
    assert_eq!(log.len(), 0);
}

#[test]
fn tls_without_a_header_is_no_header() {
    let mut world = World::simulated();
    let last = Last::default();
    world.reactor().set_observer(Some(Box::new(last.clone())));
    let configs = Configs::new();
    let (_, _, addr) = served(&mut world, place().tls(Arc::clone(&configs.server)));
    let mut far = TlsFar::client(world.dial(addr), &configs.client);
    far.until_ended(&mut world);
    let reason = last.0.take().unwrap();
    assert!(reason.to_string().ends_with("there is none"), "{reason}");
}

both! {
    fn a_preface_comes_before_what_the_protocol_writes(world) {
        let mut server = world.listen_outside();
        let to = Connect::to(server.addr()).preface(b"first ");
        let log = Log::new();
        let its = log.clone();
        let client = move |_: Address| {
            Recorder::new(&its, "c").on_made(|transport| {
                transport.write(b"second");
                transport.lose_write_connection();
            })
        };
        world.reactor().connect(to, client);
        let mut far = world.accept(&mut server);
        assert_eq!(world.read_to_end(&mut far), (b"first second".to_vec(), Ok(())));
    }
}

#[test]
fn a_preface_is_sent_again_by_each_attempt() {
    let mut world = World::simulated();
    let mut server = world.listen_outside();
    let to = Connect::to(server.addr()).preface(b"first");
    let log = Log::new();
    for _ in 0..2 {
        let its = log.clone();
        world.reactor().connect(to.clone(), move |_: Address| Recorder::new(&its, "c"));
        world.pass(MS);
        let mut far = server.accept().unwrap();
        assert_eq!(far.receive(100).unwrap(), b"first");
    }
}
