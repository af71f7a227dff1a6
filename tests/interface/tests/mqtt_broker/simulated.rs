//! The broker in a simulation, packet by packet.

use std::time::Duration;

use crocus::testing::{Cut, End, Peer, Simulation};

use super::packets::{connect, connect_with_will, field, packet, publish, retain, subscribe};
use super::server::{self, Limits};

const BROKER: &str = "127.0.0.1:1883";
const CONNACK: &[u8] = b"\x20\x02\0\0";

fn simulation(limits: Limits) -> Simulation {
    let mut simulation = Simulation::new();
    server::listen(simulation.reactor(), BROKER, limits).expect("the address is free");
    simulation
}

/// A client that is connected.
fn client(simulation: &mut Simulation, name: &str) -> Peer {
    let mut peer = simulation.dial(BROKER);
    assert_eq!(exchange(simulation, &mut peer, &connect(name, 0)), CONNACK);
    peer
}

/// A client that is connected and subscribes to one filter.
fn subscriber(simulation: &mut Simulation, filter: &str) -> Peer {
    let mut peer = client(simulation, "");
    let answer = exchange(simulation, &mut peer, &subscribe(filter));
    assert_eq!(answer, b"\x90\x03\0\x01\0", "{filter}");
    peer
}

fn exchange(simulation: &mut Simulation, peer: &mut Peer, bytes: &[u8]) -> Vec<u8> {
    peer.send_all(simulation, bytes).expect("the broker reads");
    simulation.settle();
    peer.received()
}

#[test]
fn a_message_goes_to_its_subscribers_byte_by_byte() {
    let mut simulation = simulation(Limits::default());
    simulation.set_cut(Cut::Every(1));
    let mut alice = subscriber(&mut simulation, "home/+/light");
    let mut bob = subscriber(&mut simulation, "garden/#");
    // Carol hears herself, and once though two of her filters match.
    let mut carol = subscriber(&mut simulation, "home/#");
    exchange(&mut simulation, &mut carol, &subscribe("home/+/light"));
    let message = publish("home/hall/light", "on");
    assert_eq!(exchange(&mut simulation, &mut carol, &message), message);
    assert_eq!(alice.received(), message);
    assert_eq!(bob.received(), b"");
    let end = packet(0xa2, &[&[0, 7], &field("home/+/light")]);
    assert_eq!(exchange(&mut simulation, &mut alice, &end), b"\xb0\x02\0\x07");
    exchange(&mut simulation, &mut carol, &message);
    assert_eq!(alice.received(), b"");
}

#[test]
fn filters_match_by_the_rules() {
    for (filter, topic, is_match) in [
        ("a/b", "a/b", true),
        ("a/b", "a/b/", false),
        ("a/b", "A/b", false),
        ("+", "a", true),
        ("+", "/a", false),
        ("/+", "/a", true),
        ("+/+", "/a", true),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("a/+/c", "a/b/c", true),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("#", "a/b", true),
    ] {
        let mut simulation = simulation(Limits::default());
        let mut early = subscriber(&mut simulation, filter);
        let mut publisher = client(&mut simulation, "publisher");
        exchange(&mut simulation, &mut publisher, &retain(topic, "x"));
        assert_eq!(!early.received().is_empty(), is_match, "{filter} {topic}");
        let mut late = client(&mut simulation, "late");
        let got = exchange(&mut simulation, &mut late, &subscribe(filter));
        assert_eq!(got.len() > 5, is_match, "{filter} {topic} retained");
    }
}

#[test]
fn a_wildcard_at_the_front_does_not_match_the_broker_s_own_topics() {
    for (filter, is_match) in [
        ("#", false),
        ("+/broker/version", false),
        ("$SYS/#", true),
        ("$SYS/broker/+", true),
        ("$SYS/broker/version", true),
    ] {
        let mut simulation = simulation(Limits::default());
        let mut peer = client(&mut simulation, "a");
        let got = exchange(&mut simulation, &mut peer, &subscribe(filter));
        assert_eq!(got.len() > 5, is_match, "{filter}");
        let forged = publish("$SYS/broker/version", "mine");
        assert_eq!(exchange(&mut simulation, &mut peer, &forged), b"");
    }
}

#[test]
fn bad_filters_are_refused_and_the_connection_goes_on() {
    let mut simulation = simulation(Limits { filters: 2, ..Limits::default() });
    let mut peer = client(&mut simulation, "a");
    for filter in ["", "a#", "#/a", "a/b+", "+a/b", &"/".repeat(32), &"x".repeat(2000)] {
        let answer = exchange(&mut simulation, &mut peer, &subscribe(filter));
        assert_eq!(answer, b"\x90\x03\0\x01\x80", "{filter}");
    }
    let many = ["a", "b", "c", "a"].map(|filter| [field(filter), vec![2]].concat()).concat();
    let answer = exchange(&mut simulation, &mut peer, &packet(0x82, &[&[0, 9], &many]));
    assert_eq!(answer, b"\x90\x06\0\x09\0\0\x80\0", "two filters and no more");
    assert_eq!(exchange(&mut simulation, &mut peer, b"\xc0\0"), b"\xd0\0");
}

#[test]
fn the_last_message_is_retained_until_an_empty_one() {
    let mut simulation = simulation(Limits::default());
    let mut live = subscriber(&mut simulation, "t");
    let mut publisher = client(&mut simulation, "p");
    exchange(&mut simulation, &mut publisher, &[retain("t", "1"), retain("t", "2")].concat());
    assert_eq!(live.received(), [publish("t", "1"), publish("t", "2")].concat());
    let mut late = client(&mut simulation, "l");
    let got = exchange(&mut simulation, &mut late, &subscribe("t"));
    assert_eq!(got, [b"\x90\x03\0\x01\0", retain("t", "2").as_slice()].concat());
    exchange(&mut simulation, &mut publisher, &retain("t", ""));
    assert_eq!(live.received(), publish("t", ""));
    assert_eq!(late.received(), publish("t", ""));
    assert_eq!(exchange(&mut simulation, &mut late, &subscribe("t")), b"\x90\x03\0\x01\0");
}

#[test]
fn what_is_retained_is_bounded() {
    let limits = Limits { retained: 3, retained_bytes: 2000, ..Limits::default() };
    let mut simulation = simulation(limits); // one is the broker's own
    let mut publisher = client(&mut simulation, "p");
    for (topic, length) in [("a", 1000), ("b", 1000), ("b", 500), ("c", 1), ("a", 1)] {
        exchange(&mut simulation, &mut publisher, &retain(topic, vec![b'x'; length]));
    }
    let mut late = client(&mut simulation, "l");
    let got = exchange(&mut simulation, &mut late, &subscribe("#"));
    assert_eq!(got[5..], [retain("a", "x"), retain("b", vec![b'x'; 500])].concat());
}

#[test]
fn a_late_subscriber_gets_all_that_is_retained_at_its_own_pace() {
    let mut simulation = simulation(Limits::default());
    let mut publisher = client(&mut simulation, "p");
    let messages: Vec<_> =
        (100..200).map(|at| retain(&format!("t/{at}"), vec![b'x'; 10_000])).collect();
    exchange(&mut simulation, &mut publisher, &messages.concat());
    let mut late = client(&mut simulation, "l");
    late.send(&[subscribe("t/+"), b"\xc0\0".to_vec()].concat());
    simulation.settle();
    let mut got = late.receive(5);
    loop {
        let some = late.receive(7000);
        if some.is_empty() {
            break;
        }
        got.extend(some);
        simulation.settle();
    }
    assert_eq!(got[..5], *b"\x90\x03\0\x01\0");
    assert!(got[5..] == [messages.concat(), b"\xd0\0".to_vec()].concat());
}

#[test]
fn a_message_of_qos_1_is_acknowledged_and_one_of_qos_2_refused() {
    let mut simulation = simulation(Limits::default());
    let mut alice = subscriber(&mut simulation, "t");
    let mut bob = client(&mut simulation, "bob");
    let once = packet(0x32, &[&field("t"), &[1, 2], b"hello"]);
    assert_eq!(exchange(&mut simulation, &mut bob, &once), b"\x40\x02\x01\x02");
    assert_eq!(alice.received(), publish("t", "hello"));
    let twice = packet(0x34, &[&field("t"), &[1, 2], b"hello"]);
    assert_eq!(exchange(&mut simulation, &mut bob, &twice), b"");
    assert_eq!(bob.end(), Some(End::Closed));
    assert_eq!(alice.received(), b"");
}

#[test]
fn silence_of_one_and_a_half_keep_alives_ends_a_connection() {
    let mut simulation = simulation(Limits::default());
    let mut silent = client(&mut simulation, "its keep-alive is 0");
    let mut listener = simulation.dial(BROKER);
    let hello = [connect("listener", 10), subscribe("#")].concat();
    exchange(&mut simulation, &mut listener, &hello);
    simulation.advance(Duration::from_secs(14));
    exchange(&mut simulation, &mut listener, b"\xc0\0");
    simulation.advance(Duration::from_secs(14));
    assert_eq!(listener.end(), None, "the ping counted");
    // The messages it gets do not count.
    let mut other = client(&mut simulation, "other");
    exchange(&mut simulation, &mut other, &publish("t", "x"));
    assert_eq!(listener.received(), publish("t", "x"));
    simulation.advance(Duration::from_secs(1));
    assert_eq!(listener.end(), Some(End::Closed));
    assert_eq!(silent.end(), None);
}

#[test]
fn a_client_has_ten_seconds_for_connect() {
    let mut simulation = simulation(Limits::default());
    let mut silent = simulation.dial(BROKER);
    let mut slow = simulation.dial(BROKER);
    for byte in connect("slow", 10).iter().take(10) {
        slow.send(&[*byte]);
        simulation.advance(Duration::from_secs(1));
    }
    assert_eq!(silent.end(), Some(End::Closed));
    assert_eq!(slow.end(), Some(End::Closed));
}

#[test]
fn the_will_is_published_unless_the_client_disconnects() {
    let mut simulation = simulation(Limits::default());
    let mut alice = subscriber(&mut simulation, "wills/+");
    let will = connect_with_will("bob", "wills/bob", "gone");
    let published = publish("wills/bob", "gone");
    for (last, expected) in
        [(b"\xe0\0".as_slice(), b"".as_slice()), (b"\xff", &published), (b"", &published)]
    {
        let mut bob = simulation.dial(BROKER);
        exchange(&mut simulation, &mut bob, &will);
        exchange(&mut simulation, &mut bob, last);
        if last.is_empty() {
            bob.reset();
            simulation.settle();
        }
        assert_eq!(alice.received(), expected, "after {last:?}");
    }
    // A client that is taken over leaves its will too.
    let mut first = simulation.dial(BROKER);
    exchange(&mut simulation, &mut first, &will);
    let mut second = client(&mut simulation, "bob");
    assert_eq!(alice.received(), published);
    assert_eq!(first.end(), Some(End::Closed));
    assert_eq!(exchange(&mut simulation, &mut second, b"\xc0\0"), b"\xd0\0");
}

#[test]
fn a_client_that_is_taken_over_gets_nothing_more() {
    let mut simulation = simulation(Limits::default());
    let mut first = client(&mut simulation, "bob");
    exchange(&mut simulation, &mut first, &subscribe("t"));
    let mut second = client(&mut simulation, "bob");
    assert_eq!(exchange(&mut simulation, &mut second, &publish("t", "x")), b"", "a clean session");
    assert_eq!(first.received(), b"");
    assert_eq!(first.end(), Some(End::Closed));
}

#[test]
fn refused_clients_learn_why() {
    let mut simulation = simulation(Limits::default());
    let unclean = packet(0x10, &[&field("MQTT"), &[4, 0, 0, 0], &field("")]);
    let version_3 = packet(0x10, &[&field("MQIsdp"), &[3, 2, 0, 0], &field("a")]);
    let version_5 = packet(0x10, &[&field("MQTT"), &[5, 2, 0, 0, 0], &field("a")]);
    for (hello, code) in
        [(unclean, 2), (connect(&"x".repeat(300), 0), 2), (version_3, 1), (version_5, 1)]
    {
        let mut peer = simulation.dial(BROKER);
        assert_eq!(exchange(&mut simulation, &mut peer, &hello), [0x20, 2, 0, code]);
        assert_eq!(peer.end(), Some(End::Closed));
    }
}

#[test]
fn malformed_packets_end_their_connection_only() {
    let mut simulation = simulation(Limits { packet: 1000, ..Limits::default() });
    let mut good = subscriber(&mut simulation, "#");
    let two = [connect("b", 0), connect("b", 0)].concat();
    let bad: &[(&[u8], bool)] = &[
        (b"\0\0", true),
        (b"\xf0\0", true),
        (b"\x20\x02\0\0", true), // a server's
        (b"\xc0\x01x", true),
        (b"\xc1\0", true),
        (b"\x80\x05\0\x01\0\x01a", true), // SUBSCRIBE with flags 0
        (b"\x82\x02\0\x01", true),        // without a filter
        (b"\x82\x06\0\0\0\x01a\0", true), // with identifier 0
        (b"\x82\x06\0\x01\0\x01a\x03", true), // with QoS 3
        (b"\x82\x05\0\x01\0\x01a", true), // without a QoS
        (b"\x36\x05\0\x01t\0\x01", true), // PUBLISH with QoS 3
        (b"\x30\x03\0\x01#", true),       // to a wildcard
        (b"\x30\x02\0\0", true),          // to no topic
        (b"\x30\x03\0\x02t", true),       // with a topic that is cut
        (b"\x30\x03\0\x01\xff", true),    // not UTF-8
        (b"\x30\x03\0\x01\0", true),      // NUL
        (b"\x40\x02\0\x01", true),        // PUBACK without a cause
        (b"\x30\xe9\x07", true),          // 1,001 bytes are announced
        (b"\x30\xff\xff\xff\xff\x01", true), // five bytes of length
        (b"\x30\x80\x80\x80\x80", true),  // the same, of zeros
        (&two, false),                    // a second CONNECT
        (b"\xc0\0", false),               // no CONNECT
        (b"GET / HTTP/1.1\r\n\r\n", false),
    ];
    for (bytes, is_connected) in bad {
        let mut peer = simulation.dial(BROKER);
        if *is_connected {
            exchange(&mut simulation, &mut peer, &connect("bad", 0));
        }
        exchange(&mut simulation, &mut peer, bytes);
        assert_eq!(peer.end(), Some(End::Closed), "{bytes:?}");
    }
    let ping = exchange(&mut simulation, &mut good, b"\xc0\0");
    assert_eq!(ping, b"\xd0\0", "the others go on, and got nothing");
}

#[test]
fn a_slow_subscriber_misses_messages_and_delays_nobody() {
    let limits = Limits { queue: 100_000, ..Limits::default() };
    let mut simulation = simulation(limits);
    let mut slow = simulation.dial(BROKER);
    exchange(&mut simulation, &mut slow, &[connect("slow", 10), subscribe("t")].concat());
    let mut quick = subscriber(&mut simulation, "t");
    let mut publisher = client(&mut simulation, "p");
    let message = publish("t", vec![b'x'; 10_000]);
    for _ in 0..100 {
        let answer = exchange(&mut simulation, &mut publisher, &message);
        assert_eq!(answer, b"");
        assert!(quick.received() == message);
    }
    for id in simulation.reactor().connections() {
        let transport = simulation.reactor().transport(id).expect("all are open");
        assert!(transport.buffered() <= limits.queue + message.len());
    }
    // It reads a little now and then; its pings wait in its own connection.
    slow.send(b"\xc0\0");
    for _ in 0..6 {
        simulation.advance(Duration::from_secs(9));
        assert_eq!(slow.receive(25_000).len(), 25_000);
    }
    simulation.settle();
    assert!(slow.receive(100_000).ends_with(b"\xd0\0"), "the ping is answered in the end");
    simulation.advance(Duration::from_secs(15));
    assert_eq!(slow.end(), Some(End::Closed));
}

#[test]
fn a_shutdown_closes_the_clients() {
    let mut simulation = simulation(Limits::default());
    let mut peer = client(&mut simulation, "a");
    simulation.reactor().drain_on_signals(Duration::from_secs(5)).unwrap();
    assert!(simulation.signal(15));
    simulation.reactor().run().unwrap();
    assert_eq!(peer.end(), Some(End::Closed));
}

/// Numbers that look random, the same for each seed (a linear congruential generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

/// The answers to these bytes, and the end, when the network cuts them so.
fn answers(bytes: &[u8], cut: Cut) -> (Vec<u8>, Option<End>) {
    let mut simulation = simulation(Limits { packet: 1000, ..Limits::default() });
    let mut good = client(&mut simulation, "good");
    simulation.set_cut(cut);
    let mut bad = simulation.dial(BROKER);
    let _ = bad.send_all(&mut simulation, bytes); // it may be closed before
    simulation.settle();
    assert_eq!(exchange(&mut simulation, &mut good, b"\xc0\0"), b"\xd0\0", "{bytes:?}");
    (bad.received(), bad.end())
}

#[test]
fn faulty_bytes_have_the_same_answers_however_they_are_cut() {
    let script = [
        connect_with_will("bad", "w", "x"),
        subscribe("a/+"),
        retain("a/b", "hello"),
        packet(0x32, &[&field("a/c"), &[0, 9], b"there"]),
        packet(0xa2, &[&[0, 7], &field("a/+")]),
        b"\xc0\0\xe0\0".to_vec(),
    ]
    .concat();
    for seed in 0..500 {
        let (mut numbers, mut bytes) = (Numbers(seed), script.clone());
        for _ in 0..=numbers.below(2) {
            let at = numbers.below(bytes.len());
            bytes[at] ^= 1 << numbers.below(8);
        }
        assert_eq!(answers(&bytes, Cut::Whole), answers(&bytes, Cut::Every(1)), "seed {seed}");
    }
}
