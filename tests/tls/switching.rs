//! STARTTLS: what comes in clear, and what does not.

use std::sync::Arc;

use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::testing::Cut;
use crocus::tls::HANDSHAKE_TIMEOUT;
use crocus::tls::rustls::ServerConfig;
use crocus::tls::rustls::pki_types::ServerName;
use crocus::{Connect, Protocol, Reason, TimerId, Transport};

use crate::certificates::Configs;
use crate::far::TlsFar;
use crate::handshakes::fault;
use crate::util::{Far, Log, MS, Recorder, SECOND, World};

/// A server of lines, which writes down each with how it came.
struct Lined {
    log: Log,
    tls: Arc<ServerConfig>,
    /// Begins TLS in a timer, and not in the line's own callback.
    late: bool,
}

impl Protocol for Lined {
    fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
        assert!(transport.start_tls(Arc::clone(&self.tls)));
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        self.log.push(format!("lost {}", fault(reason)));
    }
}

impl FrameHandler<Lines> for Lined {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        assert!(!transport.is_handshaking(), "nothing is delivered meanwhile");
        let how = if transport.tls().is_some() { "secure" } else { "clear" };
        self.log.push(format!("{how} {}", String::from_utf8_lossy(line)));
        match line {
            b"STARTTLS" => {
                transport.write(b"220 go\r\n");
                if self.late {
                    transport.call_later(MS);
                } else {
                    assert!(transport.start_tls(Arc::clone(&self.tls)));
                    assert!(transport.tls().is_none() && !transport.is_reading());
                    assert!(transport.is_handshaking());
                    assert!(!transport.start_tls(Arc::clone(&self.tls)), "once");
                }
            }
            _ => drop(transport.write(b"250 ok\r\n")),
        }
    }
}

fn lined(world: &mut World, configs: &Configs, late: bool) -> (Log, Far) {
    let log = Log::new();
    let (its, tls) = (log.clone(), Arc::clone(&configs.server));
    let factory = move |_| {
        let handler = Lined { log: its.clone(), tls: Arc::clone(&tls), late };
        Framed::new(Lines::new(), handler)
    };
    let (_, addr) = world.listen(factory);
    (log, world.dial(addr))
}

both! {
    fn the_answer_leaves_in_clear_and_the_rest_encrypted(world) {
        let configs = Configs::new();
        let (log, mut far) = lined(world, &configs, false);
        world.send(&mut far, b"EHLO\r\nSTARTTLS\r\n");
        let answer = world.read(&mut far, 16);
        assert_eq!(answer, b"250 ok\r\n220 go\r\n");
        let mut far = TlsFar::client(far, &configs.client);
        far.write(b"EHLO\r\n");
        far.until_got(world, 8);
        assert_eq!(far.got, b"250 ok\r\n");
        assert_eq!(log.take(), ["clear EHLO", "clear STARTTLS", "secure EHLO"]);
        far.notify();
        far.send();
        world.until("the loss", |_| log.has("lost PeerClosed"));
    }
}

both! {
    fn a_hello_in_the_segment_of_the_command_is_not_lost(world) {
        let configs = Configs::new();
        let (log, raw) = lined(world, &configs, false);
        let mut far = TlsFar::client(raw, &configs.client);
        let hello = far.take_out();
        far.write_raw(b"STARTTLS\r\n");
        far.write_raw(&hello);
        far.send();
        let answer = answer_in_clear(world, &mut far);
        assert_eq!(answer, b"220 go\r\n");
        far.write(b"QUIT\r\n");
        far.until_got(world, 8);
        assert_eq!(log.take(), ["clear STARTTLS", "secure QUIT"]);
    }
}

/// Reads a line as it is, before the far end takes what follows for TLS.
fn answer_in_clear(world: &mut World, far: &mut TlsFar) -> Vec<u8> {
    let mut raw = far.take_far();
    let answer = world.read(&mut raw, 8);
    far.put_far(raw);
    answer
}

#[test]
fn what_was_injected_behind_the_command_is_never_taken_for_secure() {
    for injected in [&b"MAIL FROM:<a>\r\n"[..], b"MAIL FR", b"\r\n", b"\x16\x03\x01"] {
        let configs = Configs::new();
        let mut world = World::simulated();
        let (log, mut raw) = lined(&mut world, &configs, false);
        let command = [b"STARTTLS\r\n", injected].concat();
        world.send(&mut raw, &command);
        world.pass(MS);
        assert_eq!(world.read(&mut raw, 8), b"220 go\r\n");
        let mut far = TlsFar::client(raw, &configs.client);
        far.write(b"OM:<b>\r\n");
        far.send();
        world.pass(HANDSHAKE_TIMEOUT + 6 * SECOND);
        let lines = log.take();
        assert_eq!(lines[0], "clear STARTTLS");
        assert!(lines[1].starts_with("lost Handshake"), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }
}

#[test]
fn a_part_of_a_line_from_before_a_late_switch_is_none_of_it() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let (log, mut raw) = lined(&mut world, &configs, true);
    world.send(&mut raw, b"STARTTLS\r\nMAIL FR");
    world.pass(10 * MS);
    assert_eq!(world.read(&mut raw, 8), b"220 go\r\n");
    let mut far = TlsFar::client(raw, &configs.client);
    far.write(b"OM:<b>\r\n");
    far.send();
    world.pass(HANDSHAKE_TIMEOUT + 6 * SECOND);
    let lines = log.take();
    assert!(lines[1].starts_with("lost Handshake Tls("), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_part_of_a_line_is_no_beginning_for_what_comes_encrypted() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let (log, mut raw) = lined(&mut world, &configs, false);
    world.send(&mut raw, b"MAIL FR");
    world.pass(MS);
    assert!(world.only().start_tls(Arc::clone(&configs.server)), "by somebody else");
    let mut far = TlsFar::client(raw, &configs.client);
    far.write(b"OM:<b>\r\n");
    far.until_ended(&mut world);
    far.close_write();
    world.pass(MS);
    let lines = log.take();
    assert!(
        lines.len() == 1 && lines[0].contains("a part of a frame came before TLS"),
        "{lines:?}"
    );
}

#[test]
fn what_is_put_back_in_the_handshake_is_no_data() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let config = Arc::clone(&configs.server);
    let (log, mut raw) = world.served("a", |a| {
        a.with_data().on_data(move |transport, _| {
            transport.start_tls(Arc::clone(&config));
        })
    });
    world.send(&mut raw, b"go");
    world.pass(MS);
    assert!(world.only().unread(b"injected"));
    let mut far = TlsFar::client(raw, &configs.client);
    far.write(b"hello");
    far.until_ended(&mut world);
    world.pass(10 * SECOND);
    let lines = log.take();
    assert_eq!((lines.len(), &lines[1][..]), (3, "a data go"), "{lines:?}");
}

#[test]
fn a_peer_that_cuts_the_switch_anywhere_gets_the_same() {
    let configs = Configs::new();
    for cut in 1..60 {
        let mut world = World::simulated();
        if let World::Simulated(simulation) = &mut world {
            simulation.set_cut(Cut::Every(cut));
        }
        let (log, raw) = lined(&mut world, &configs, false);
        let mut far = TlsFar::client(raw, &configs.client);
        let hello = far.take_out();
        far.write_raw(b"STARTTLS\r\n");
        far.write_raw(&hello);
        far.send();
        assert_eq!(answer_in_clear(&mut world, &mut far), b"220 go\r\n");
        far.write(b"QUIT\r\n");
        far.until_got(&mut world, 8);
        assert_eq!(log.take(), ["clear STARTTLS", "secure QUIT"], "{cut}");
    }
}

both! {
    fn a_client_can_switch_too(world) {
        let configs = Configs::new();
        let log = Log::new();
        let (_, addr) = {
            let (its, tls) = (log.clone(), Arc::clone(&configs.server));
            world.listen(move |_| {
                Framed::new(Lines::new(), Lined { log: its.clone(), tls: Arc::clone(&tls), late: false })
            })
        };
        let (its, config) = (log.clone(), Arc::clone(&configs.client));
        world.reactor().connect(addr, move |_| {
            let config = Arc::clone(&config);
            Recorder::new(&its, "c")
                .with_data()
                .on_made(|transport| {
            transport.write(b"STARTTLS\r\n");
        })
                .on_data(move |transport, data| {
                    if data == b"220 go\r\n" {
                        let name = ServerName::try_from("localhost").unwrap();
                        assert!(transport.start_tls((Arc::clone(&config), name)));
                        transport.write(b"EHLO\r\n"); // waits for the handshake
                        assert!(transport.tls().is_none());
                    } else {
                        assert_eq!(transport.tls().unwrap().server_name(), Some("localhost"));
                        transport.lose_connection();
                    }
                })
        });
        world.until("the end", |_| log.has("lost PeerClosed") && log.has("c lost Closed"));
        let lines = log.take();
        assert!(lines.contains(&"secure EHLO".to_owned()), "{lines:?}");
    }
}

#[test]
fn a_switch_and_a_close_finish_the_handshake_for_what_waits() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let config = Arc::clone(&configs.server);
    let (log, mut raw) = world.served("a", |a| {
        a.on_data(move |transport, _| {
            transport.write(b"in clear");
            transport.start_tls(Arc::clone(&config));
            transport.write(b"last words");
            transport.lose_connection();
        })
    });
    world.send(&mut raw, b"go");
    assert_eq!(world.read(&mut raw, 8), b"in clear");
    let mut far = TlsFar::client(raw, &configs.client);
    far.until_ended(&mut world);
    assert_eq!(far.got, b"last words");
    assert!(far.notified);
    far.close_write();
    world.pass(MS);
    assert_eq!(log.take(), ["a made", "a lost Closed"]);
}

#[test]
fn a_protocol_that_takes_over_is_made_after_the_handshake() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let config = Arc::clone(&configs.server);
    let (log, mut raw) = world.served("a", |a| {
        let log = a.log();
        a.on_data(move |transport, _| {
            transport.start_tls(Arc::clone(&config));
            let next = Recorder::new(&log, "b").with_data().on_made(|transport| {
                assert!(transport.tls().is_some());
            });
            log.hand_over(transport, next, b"");
        })
    });
    world.send(&mut raw, b"go");
    world.pass(SECOND);
    assert_eq!(log.count("b made"), 0);
    let mut far = TlsFar::client(raw, &configs.client);
    far.write(b"hello");
    far.shake_hands(&mut world);
    world.pass(MS);
    assert_eq!(log.take(), ["a made", "a replaced", "b made", "b data hello"]);
}

#[test]
fn a_handshake_in_the_middle_has_its_time_and_reads_through_a_pause() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let config = Arc::clone(&configs.server);
    let (log, mut raw) = world.served("a", |a| {
        a.with_data().on_data(move |transport, _| {
            if transport.tls().is_none() {
                transport.start_tls(Arc::clone(&config));
                transport.pause_reading();
            }
        })
    });
    world.send(&mut raw, b"go");
    world.pass(MS);
    let mut far = TlsFar::client(raw, &configs.client);
    far.write(b"hello");
    far.shake_hands(&mut world);
    world.pass(SECOND);
    assert_eq!(log.take(), ["a made", "a data go"]);
    world.only().resume_reading();
    world.pass(MS);
    assert_eq!(log.take(), ["a data hello"]);

    let config = Arc::clone(&configs.server);
    let (log, mut raw) = world.served("b", |b| {
        b.on_data(move |transport, _| {
            transport.start_tls(Arc::clone(&config));
        })
        .on_lost(|_, reason| assert_eq!(fault(reason), "Handshake TimedOut"))
    });
    world.send(&mut raw, b"go");
    world.pass(HANDSHAKE_TIMEOUT + MS);
    assert_eq!(log.count("b lost"), 1);
}

#[test]
fn tls_does_not_begin_twice_nor_at_the_end() {
    let configs = Configs::new();
    let mut world = World::simulated();
    let config = Arc::clone(&configs.server);
    let (_log, mut far) = world.served("a", |a| {
        a.on_eof(move |transport| {
            assert!(!transport.start_tls(Arc::clone(&config)), "nothing can come");
            transport.lose_connection();
            assert!(!transport.start_tls(Arc::clone(&config)));
            assert!(!transport.allow_truncation(true));
        })
    });
    far.close_write();
    world.pass(MS);
    assert_eq!(world.reactor().stats().closed, 1);
    let log = Log::new();
    let to = Connect::to("127.0.0.1:9").tls(Arc::clone(&configs.client), None);
    let its = log.clone();
    world.reactor().connect(to, move |_| Recorder::new(&its, "c"));
    world.pass(MS);
    assert_eq!(world.reactor().stats().failed, 1, "nobody listens there");
}
