//! Limits count by the client that a header names, and something bounds those without a header.

use crocus::Rate;
use crocus::proxy::{HEADER_TIMEOUT, MOST_UNIDENTIFIED};
use crocus::testing::{Cut, Simulation};

use crate::header::{CLIENT, Heard, header, headers_of, place, served};
use crate::util::{Far, MS, SECOND, World};

both! {
    fn a_limit_per_peer_counts_by_the_client_and_not_by_the_proxy(world) {
        let heard = Heard::at(world);
        let (log, id, addr) = served(world, place().max_connections_per_peer(2));
        let mut open = Vec::new();
        for client in ["203.0.113.7:1", "203.0.113.7:2", "203.0.113.8:3", "203.0.113.9:4"] {
            let mut far = world.dial(addr);
            world.send(&mut far, &headers_of(client)[1]);
            world.until("it to be built", |_| log.has(&format!("built for {client}")));
            open.push(far);
        }
        let mut third = world.dial(addr);
        world.send(&mut third, &headers_of("203.0.113.7:5")[0]);
        world.until("the refusal", |_| heard.has("gone 203.0.113.7:5 PeerLimit"));
        assert!(heard.has("turned 203.0.113.7:5 away PeerLimit"));
        assert!(!log.has("built for 203.0.113.7:5"));
        world.until("it to be forgotten", |world| world.reactor().connection_count(id) == Some(4));
        assert_eq!(world.reactor().stats().turned_away, 1);

        open.remove(0).reset();
        world.until("the loss", |world| world.reactor().connection_count(id) == Some(3));
        let mut again = world.dial(addr);
        world.send(&mut again, &headers_of("203.0.113.7:6")[0]);
        world.until("it to be built", |_| log.has("built for 203.0.113.7:6"));
    }
}

#[test]
fn connections_that_end_in_their_header_count_for_no_peer() {
    let mut world = World::simulated();
    let (log, id, addr) = served(&mut world, place().max_connections_per_peer(1));
    for round in 0..10 {
        let mut far = world.dial(addr);
        far.send(&header()[..round]);
        far.close_write();
        world.pass(MS);
        let mut local = world.dial(addr);
        local.send(b"PROXY UNKNOWN\r\n");
        world.pass(MS);
        drop(local);
        world.pass(SECOND);
    }
    assert_eq!(log.count("built for the proxy"), 10, "as many as came");
    assert_eq!(world.reactor().connection_count(id), Some(0));
}

#[test]
fn at_most_so_many_wait_for_their_header() {
    let mut world = World::simulated();
    let (log, id, addr) = served(&mut world, place());
    let mut silent: Vec<Far> = (0..MOST_UNIDENTIFIED + 20).map(|_| world.dial(addr)).collect();
    world.pass(MS);
    assert_eq!(world.reactor().stats().accepted, MOST_UNIDENTIFIED as u64);
    // The limit is for those without a header.
    silent[0].send(&header());
    world.pass(MS);
    assert_eq!(world.reactor().stats().accepted, MOST_UNIDENTIFIED as u64 + 1);
    silent.remove(1).reset();
    world.pass(MS);
    assert_eq!(world.reactor().stats().accepted, MOST_UNIDENTIFIED as u64 + 2);
    world.pass(HEADER_TIMEOUT);
    assert_eq!(world.reactor().stats().accepted, MOST_UNIDENTIFIED as u64 + 20);
    world.pass(HEADER_TIMEOUT);
    assert_eq!(world.reactor().connection_count(id), Some(1));
    assert_eq!(log.count("s made"), 1);
}

#[test]
fn connections_in_their_header_count_for_the_limit_of_all() {
    let mut world = World::simulated();
    let (log, _, addr) = served(&mut world, place().max_connections(2));
    let mut silent = [world.dial(addr), world.dial(addr)];
    let mut third = world.dial(addr);
    third.send(&header());
    world.pass(SECOND);
    assert_eq!((world.reactor().stats().accepted, log.len()), (2, 0));
    silent[0].close_write();
    world.pass(SECOND);
    assert!(log.has(&format!("built for {CLIENT}")));
}

#[test]
fn a_read_rate_holds_for_the_header_too() {
    let mut simulation = Simulation::new();
    simulation.set_cut(Cut::Whole);
    let mut world = World::Simulated(simulation);
    let place = place().read_rate(Rate::per_second(100).burst(20));
    let (log, _, addr) = served(&mut world, place);
    let mut far = world.dial(addr);
    far.send(&[header(), vec![b'x'; 100]].concat());
    world.pass(100 * MS);
    assert!(!log.has("s made"), "46 bytes take longer");
    assert!(world.reactor().stats().bytes_read <= 31);
    world.pass(2 * SECOND);
    assert_eq!(world.reactor().stats().bytes_read, 145);
    assert!(log.has("s made"));
}
