//! A header comes before everything: who sees the client, and what becomes of the bytes behind it.

use crocus::proxy::{HEADER_TIMEOUT, Network, Version};
use crocus::testing::{Cut, Simulation};
use crocus::{Address, Listen};

use crate::header::{CLIENT, Heard, Seeing, address, header, headers_of, place, served};
use crate::util::{Log, MS, SECOND, World, pattern};

both! {
    fn the_factory_the_protocol_and_notices_see_the_client(world) {
        for header in headers_of(CLIENT) {
            let heard = Heard::at(world);
            let (log, _, addr) = served(world, place());
            let mut far = world.dial(addr);
            world.send(&mut far, &header);
            world.until("it to be made", |_| log.has("s made"));
            assert_eq!(log.take(), [
                format!("built for {CLIENT}"),
                "s made".to_owned(),
                format!("of {CLIENT} at 198.51.100.1:80"),
            ]);
            far.close_write();
            world.until("the end", |_| log.has("s lost PeerClosed"));
            world.until("the last notice", |_| heard.has(&format!("gone {CLIENT} PeerClosed")));
            assert_eq!(heard.take(), [
                "opened here".to_owned(),
                format!("identified {CLIENT}"),
                format!("gone {CLIENT} PeerClosed"),
            ]);
        }
    }
}

both! {
    fn bytes_and_fin_in_the_segment_of_the_header_are_delivered(world) {
        for header in headers_of("[2001:db8::7]:4711") {
            let (log, _, addr) = served(world, place());
            let mut far = world.dial(addr);
            world.send(&mut far, &[&header, &b"hello"[..]].concat());
            far.close_write();
            world.until("the end", |_| log.has("s lost PeerClosed"));
            let lines = log.take();
            assert_eq!(lines[0], "built for [2001:db8::7]:4711");
            assert_eq!(lines[3..], ["s data hello", "s eof", "s lost PeerClosed"]);
        }
    }
}

both! {
    fn a_proxy_that_connects_for_itself_is_the_peer(world) {
        for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let heard = Heard::at(world);
            let (log, _, addr) = served(world, place());
            let mut far = world.dial(addr);
            world.send(&mut far, header);
            world.until("it to be made", |_| log.has("s made"));
            assert_eq!(log.take(), ["built for the proxy", "s made", "of the proxy"]);
            assert!(heard.has("identified here"));
            far.reset();
            world.until("the end", |_| log.len() > 0);
        }
    }
}

#[test]
fn a_header_may_be_cut_at_every_byte() {
    for header in headers_of(CLIENT) {
        let all = [&header, &b"hello"[..]].concat();
        for cut in 1..all.len() {
            for every in [1, 1000] {
                let mut world = World::simulated();
                let World::Simulated(simulation) = &mut world else { unreachable!() };
                simulation.set_cut(Cut::Every(every));
                let (log, _, addr) = served(&mut world, place());
                let mut far = world.dial(addr);
                world.send(&mut far, &all[..cut]);
                world.pass(SECOND);
                assert_eq!(log.has("s made"), cut >= header.len(), "{cut}");
                world.send(&mut far, &all[cut..]);
                world.pass(SECOND);
                assert_eq!(log.lines().last().unwrap(), "s data hello", "{cut}");
                assert_eq!(log.count("of 203.0.113.7:4711"), 1);
            }
        }
    }
}

/// Numbers from a seed.
fn draw(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % below
}

#[test]
fn random_cuts_lose_nothing() {
    for seed in 0..400 {
        let mut number = seed;
        let mut simulation = Simulation::with_seed(seed);
        simulation.set_cut(Cut::Random(1 + draw(&mut number, 300)));
        simulation.set_window(1 + draw(&mut number, 3000));
        simulation.set_latency(MS * draw(&mut number, 3) as u32);
        let mut world = World::Simulated(simulation);
        let (log, _, addr) = served(&mut world, place());
        let unix = Address::Unix("/run/front.sock".into());
        let clients = [address(CLIENT), address("[2001:db8::7]:1"), unix.clone()];
        let client = &clients[draw(&mut number, 3)];
        let version = [Version::V1, Version::V2][draw(&mut number, 2)];
        let to = if client == &unix { &unix } else { &clients[draw(&mut number, 2)] };
        let data = pattern(draw(&mut number, 9000));
        let all = [version.header(client, to), data.clone()].concat();
        let mut far = world.dial(addr);
        let mut sent = 0;
        while sent < all.len() {
            let some = 1 + draw(&mut number, all.len() - sent);
            sent += far.send(&all[sent..sent + some]);
            for _ in 0..draw(&mut number, 4) {
                world.turn();
            }
            if draw(&mut number, 4) == 0 {
                world.pass(3 * MS);
            }
        }
        far.close_write();
        world.pass(SECOND);
        let lines = log.lines();
        let expected = match (version, client) {
            (Version::V1, Address::Unix(_)) => "of the proxy".to_owned(),
            _ => format!("of {} at ", told(client, to)),
        };
        assert!(lines[2].starts_with(&expected), "seed {seed}: {} for {expected}", lines[2]);
        assert_eq!(world.reactor().stats().bytes_read, all.len() as u64, "seed {seed}");
        let expected = [format!("s data {}", data.escape_ascii())];
        assert_eq!(
            lines[3..lines.len() - 2],
            expected[..usize::from(!data.is_empty())],
            "seed {seed}"
        );
        assert_eq!(lines[lines.len() - 2..], ["s eof", "s lost PeerClosed"], "seed {seed}");
    }
}

/// The client as it is named beside a destination, of the other family perhaps.
fn told(client: &Address, to: &Address) -> String {
    match (client.socket_addr(), to.socket_addr()) {
        (Some(client), Some(to)) if client.is_ipv4() && to.is_ipv6() => {
            format!("[::ffff:{}]:{}", client.ip(), client.port())
        }
        _ => client.to_string(),
    }
}

#[test]
fn a_protocol_that_pauses_at_once_gets_what_came_with_the_header_later() {
    let mut world = World::simulated();
    let log = Log::new();
    let seeing = Seeing(log.clone());
    let factory =
        move |_: Address| seeing.recorder().on_made(|transport| transport.pause_reading());
    let id = world.reactor().listen(place(), factory).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    let mut far = world.dial(addr);
    world.send(&mut far, &[&header(), &b"hello"[..]].concat());
    far.close_write();
    world.pass(SECOND);
    assert_eq!(log.take(), ["s made"]);
    world.only().resume_reading();
    world.pass(SECOND);
    assert_eq!(log.take(), ["s data hello", "s eof", "s lost PeerClosed"]);
}

#[test]
fn unix_listeners_read_headers_too() {
    let mut world = World::simulated();
    let log = Log::new();
    let place = Listen::at("unix:/run/web.sock").proxy_protocol([Network::unix()]);
    world.reactor().listen(place, Seeing(log.clone())).unwrap();
    let World::Simulated(simulation) = &mut world else { unreachable!() };
    let unix = |path: &str| Address::Unix(path.into());
    for (client, destination) in [
        (address(CLIENT), address("198.51.100.1:80")),
        (unix("/home/someone"), unix("/run/front.sock")),
    ] {
        let mut far = simulation.dial("unix:/run/web.sock");
        far.send(&Version::V2.header(&client, &destination));
        simulation.settle();
        let told = format!("of {client} at {destination}");
        assert_eq!(log.take(), [format!("built for {client}"), "s made".to_owned(), told]);
        drop(far);
        simulation.settle();
        log.take();
    }
}

#[test]
fn a_stopped_listener_still_makes_protocols_for_its_headers() {
    for stop in [false, true] {
        let mut world = World::simulated();
        let (log, id, addr) = served(&mut world, place());
        let mut far = world.dial(addr);
        let header = header();
        world.send(&mut far, &header[..20]);
        world.pass(SECOND);
        match stop {
            true => drop(world.reactor().stop_listening(id)),
            false => world.reactor().shutdown(20 * SECOND),
        }
        world.pass(MS);
        world.send(&mut far, &[&header[20..], b"late"].concat());
        world.pass(MS);
        let lines = log.take();
        assert_eq!(lines[..2], [format!("built for {CLIENT}"), "s made".to_owned()]);
        assert_eq!(lines[3], "s data late", "{lines:?}");
        far.close_write();
        world.pass(MS);
        let lost = log.take().pop().unwrap();
        // The shutdown was told, and this side closes first.
        assert_eq!(lost, if stop { "s lost PeerClosed" } else { "s lost Closed" });
    }
}

#[test]
fn a_silent_proxy_does_not_hold_up_a_shutdown() {
    let mut world = World::simulated();
    let (log, _, addr) = served(&mut world, place());
    let mut far = world.dial(addr);
    world.pass(MS);
    world.reactor().shutdown(20 * SECOND);
    world.pass(HEADER_TIMEOUT / 2);
    assert_eq!((log.len(), world.reactor().stats().closed), (0, 1));
    assert!(world.reactor().ended().is_some(), "it has ended");
    assert!(world.read_to_end(&mut far).0.is_empty());
}

both! {
    fn a_stop_ends_what_waits_for_its_header_untold(world) {
        let heard = Heard::at(world);
        let (log, _, addr) = served(world, place());
        let mut far = world.dial(addr);
        world.send(&mut far, &header()[..10]);
        world.until("it to be accepted", |_| heard.has("opened here"));
        world.reactor().stop();
        world.turn();
        assert_eq!((log.len(), world.reactor().stats().closed), (0, 1));
        assert_eq!(heard.take(), ["opened here", "gone here Stopped"]);
    }
}
