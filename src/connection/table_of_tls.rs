//! The rows of the table in `connection` that are about TLS, by their numbers, as in `table.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::time::Duration;

use super::script::{Driver, Kind};
use super::{Direction, Engine, Holds, Next, Step, Tell};
use crate::parts::token_bucket::Rate;
use crate::reason::Reason;
use crate::tls::pair::{engines, short_lived_engines};
use crate::tls::{HANDSHAKE_TIMEOUT, Opened};

const CAP: usize = 100_000;
const MS: Duration = Duration::from_millis(1);

/// A connection that is a server, and its client.
struct Both {
    driver: Driver,
    client: Engine,
    /// How much of what the server wrote the client has taken.
    taken: usize,
    /// The plain bytes that the client got, and whether close_notify came.
    got: Vec<u8>,
    notified: bool,
}

impl Both {
    /// With marks above what TLS has to say for itself.
    fn of(mut driver: Driver, client: Engine) -> Self {
        driver.set_marks(10_000, 1000);
        driver.script.wire_mut().window = usize::MAX;
        let taken = driver.script.wire().written.len();
        Self { driver, client, taken, got: Vec::new(), notified: false }
    }

    /// A connection that is announced after its handshake.
    fn preparing() -> Self {
        Self::preparing_with(engines())
    }

    fn preparing_with((server, client): (Engine, Engine)) -> Self {
        let mut driver = Driver::new();
        let step = Step::Handshake(Box::new(server));
        driver.connection.prepare(step, driver.now, &mut driver.common);
        assert_eq!(driver.serve(), Next::Rest);
        Self::of(driver, client)
    }

    /// One that was announced in clear, and starts TLS.
    fn switching() -> Self {
        let mut driver = Driver::open();
        driver.take_events();
        Self::switch(driver)
    }

    fn switch(mut driver: Driver) -> Self {
        let (server, client) = engines();
        assert!(driver.connection.start_tls(server, driver.now, &mut driver.common));
        driver.queued = true;
        Self::of(driver, client)
    }

    fn up() -> Self {
        Self::up_with(engines())
    }

    fn up_with(engines: (Engine, Engine)) -> Self {
        let mut both = Self::preparing_with(engines);
        both.shake_hands();
        both.driver.settle();
        assert_eq!(both.driver.heard(), "Made");
        both
    }

    fn shake_hands(&mut self) {
        for _ in 0..3 {
            self.client_sends();
            self.driver.settle();
            self.client_reads();
        }
        assert!(!self.client.is_handshaking());
    }

    fn client_sends(&mut self) {
        let mut bytes = Vec::new();
        self.client.sealed(&mut |piece| bytes.extend_from_slice(piece));
        self.driver.script.peer_sends(&bytes);
    }

    fn client_reads(&mut self) {
        let bytes = self.driver.script.wire().written[self.taken..].to_vec();
        self.taken += bytes.len();
        let got = &mut self.got;
        let opened = self.client.open(&bytes, &mut |plain| got.extend_from_slice(plain));
        self.notified |= matches!(opened, Ok(Opened::Ended));
    }

    fn client_writes(&mut self, plain: &[u8]) {
        self.client.seal(plain);
        self.client_sends();
    }

    #[track_caller]
    fn assert_gone(&self, text: &str) {
        assert!(self.driver.connection.is_gone(), "it goes on");
        let reason = self.driver.connection.reason().to_string();
        assert!(reason.contains(text), "{reason}");
    }
}

/// With TLS 1.2. The first record is of the handshake.
#[test]
fn row_15_a_write_that_the_keys_do_not_cover_is_no_end_for_the_peer() {
    for last in [1, 15, 16, 1000, 40_000] {
        let mut both = Both::up_with(short_lived_engines(3));
        both.client_reads();
        both.driver.write(b"one", CAP);
        both.driver.settle();
        both.driver.write(b"two", CAP);
        both.driver.settle();
        both.driver.set_marks(100, 25);
        both.driver.write(&vec![7; last], CAP);
        both.driver.settle();
        both.client_reads();
        assert!(both.got == b"onetwo" && !both.notified, "it took a part for all");
        both.assert_gone("used up");
        let heard = both.driver.heard();
        assert_eq!(heard, if last > 100 { "Pause Resume" } else { "" });
    }
}

#[test]
fn row_50_the_protocol_is_made_after_the_handshake_and_hears_all() {
    let mut both = Both::preparing();
    assert!(!both.driver.connection.is_up() && !both.driver.connection.was_announced());
    both.client_sends();
    both.driver.settle();
    both.client_reads();
    both.client_writes(b"early"); // with the last flight of the handshake
    both.driver.take_events();
    assert_eq!(both.driver.serve(), Next::Prepared);
    assert!(!both.driver.connection.was_announced(), "not before it has a protocol");
    both.driver.queued = true;
    both.driver.settle();
    assert_eq!(both.driver.heard(), "Made [early]");
}

#[test]
fn row_51_a_failed_handshake_sends_an_alert_and_fin() {
    let mut both = Both::preparing();
    both.driver.script.peer_sends(b"GET / HTTP/1.1\r\n\r\n");
    both.driver.settle();
    {
        let wire = both.driver.script.wire();
        assert_eq!((wire.written[0], wire.written.len(), wire.fins), (21, 7, 1));
    }
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("in the handshake");
    assert_eq!(both.driver.heard(), "");

    let mut both = Both::preparing();
    both.driver.script.peer_sends(b"GET / HTTP/1.1\r\n\r\n");
    both.driver.settle();
    both.driver.script.peer_resets();
    both.driver.settle();
    both.assert_gone("in the handshake");
}

#[test]
fn row_52_a_handshake_ends_with_the_peer_or_its_time() {
    let mut both = Both::preparing();
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("truncated");

    let mut both = Both::preparing();
    let left = both.driver.connection.deadline().unwrap() - both.driver.now;
    assert_eq!(left, HANDSHAKE_TIMEOUT);
    both.driver.pass(HANDSHAKE_TIMEOUT - MS);
    both.client_sends();
    both.driver.settle();
    both.driver.pass(MS);
    both.driver.settle();
    both.assert_gone("no answer in time");
    assert_eq!(both.driver.heard(), "");
}

#[test]
fn row_53_what_was_put_back_is_the_first_of_tls() {
    let mut driver = Driver::open();
    driver.take_events();
    driver.set_marks(10_000, 1000); // what TLS has to say before counts too
    driver.write(b"in clear", CAP);
    let (server, mut client) = engines();
    assert!(driver.connection.start_tls(server, driver.now, &mut driver.common));
    let mut hello = Vec::new();
    client.sealed(&mut |piece| hello.extend_from_slice(piece));
    assert!(driver.unread(&hello));
    driver.write(b"secret", CAP);
    driver.queued = true;
    driver.settle();
    let written = driver.written();
    assert!(written.starts_with("in clear\u{16}") && !written.contains("secret"));
    let mut both = Both::of(driver, client);
    both.taken = "in clear".len();
    both.client_reads();
    both.client_writes(b"over TLS");
    both.driver.settle();
    both.client_reads();
    assert_eq!((both.driver.heard().as_str(), &both.got[..]), ("[over TLS]", &b"secret"[..]));

    let mut both = Both::switching();
    both.driver.unread(b"MAIL FROM\r\n");
    both.driver.settle();
    let connection = &both.driver.connection;
    assert!(!connection.is_encrypted() && connection.tls().is_none(), "it has failed");
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("in the handshake");
    assert_eq!(both.driver.heard(), "");
}

#[test]
fn a_visit_left_halfway_ends_also_what_has_begun_tls() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"secret");
    driver.take_events();
    driver.begin(Kind::Serve);
    assert_eq!(driver.ask(), Next::Tell(Tell::Data));
    driver.echo(0..6);
    let (server, _) = engines();
    assert!(driver.connection.start_tls(server, driver.now, &mut driver.common));
    _ = driver.connection.begin_visit(); // as the next visit does
    assert_eq!(driver.serve(), Next::Gone);
    assert_eq!(driver.written(), "");
}

#[test]
fn row_53_what_was_echoed_before_leaves_in_clear_and_the_rest_encrypted() {
    let mut driver = Driver::open();
    driver.script.peer_sends(b"clear and secret");
    driver.take_events();
    let (server, client) = engines();
    let mut server = Some(server);
    driver.visit(Kind::Serve, |driver, notice| {
        if driver.is_told(notice, 16) {
            driver.echo(0..5);
            let engine = server.take().unwrap();
            assert!(driver.connection.start_tls(engine, driver.now, &mut driver.common));
            driver.echo(10..16);
        }
    });
    driver.settle();
    assert_eq!(driver.written(), "clear");
    let mut both = Both::of(driver, client);
    both.shake_hands();
    assert_eq!(both.got, b"secret", "encrypted, so it was copied");
}

#[test]
fn row_54_close_notify_is_the_end() {
    let mut both = Both::up();
    both.client.seal(b"last");
    both.client.close();
    both.client_sends();
    both.driver.settle();
    assert_eq!(both.driver.heard(), "[last] Eof");
    both.driver.write(b"answer", CAP);
    both.driver.shut_write();
    both.driver.settle();
    both.client_reads();
    assert!(both.got == b"answer" && both.notified);
    assert!(matches!(both.driver.connection.reason(), Reason::PeerClosed));
}

#[test]
fn row_55_fin_alone_is_no_end() {
    let mut both = Both::up();
    both.client_writes(b"half");
    both.driver.script.peer_ends();
    both.driver.settle();
    assert_eq!(both.driver.heard(), "[half]");
    both.assert_gone("truncated");

    let mut both = Both::up();
    assert!(both.driver.connection.allow_truncation(true));
    both.client_writes(b"whole");
    both.driver.script.peer_ends();
    both.driver.settle();
    assert_eq!(both.driver.heard(), "[whole] Eof");

    let mut both = Both::up();
    assert!(both.driver.connection.allow_truncation(true));
    assert!(both.driver.hand_over());
    both.driver.queued = true;
    both.driver.script.peer_ends();
    both.driver.settle();
    assert_eq!(both.driver.heard(), "Handover Eof", "it is a setting of the connection");

    let mut both = Both::switching();
    assert!(both.driver.connection.allow_truncation(true));
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("truncated");
    assert_eq!(both.driver.heard(), "", "in the handshake there is nothing to be told");
}

#[test]
fn row_56_bytes_that_are_no_tls_end_it_behind_what_came_before() {
    let mut both = Both::up();
    both.client.seal(b"good");
    let mut bytes = Vec::new();
    both.client.sealed(&mut |piece| bytes.extend_from_slice(piece));
    bytes.extend_from_slice(&[23, 3, 3, 0, 20]);
    bytes.extend_from_slice(&[0; 20]);
    both.driver.script.peer_sends(&bytes);
    both.driver.hold(Holds::PROTOCOL);
    both.driver.settle();
    assert_eq!(both.driver.heard(), "");
    both.driver.release(Holds::PROTOCOL);
    both.driver.settle();
    assert_eq!(both.driver.heard(), "[good]");
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("on the open connection");
}

#[test]
fn row_56_whoever_closes_before_the_fault_is_told_does_not_wait() {
    let mut both = Both::up();
    both.client.seal(b"good");
    let mut bytes = Vec::new();
    both.client.sealed(&mut |piece| bytes.extend_from_slice(piece));
    bytes.extend_from_slice(&[23, 3, 3, 0, 20]);
    bytes.extend_from_slice(&[0; 20]);
    both.driver.script.peer_sends(&bytes);
    both.driver.take_events();
    both.driver.visit(Kind::Serve, |driver, tell| {
        assert!(driver.is_told(tell, 4));
        driver.write(b"answer", CAP);
        driver.close();
    });
    both.driver.settle();
    assert_eq!(both.driver.script.wire().fins, 1, "nothing more can leave");
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("on the open connection");
}

#[test]
fn row_56_no_alert_follows_close_notify() {
    let mut both = Both::up();
    both.driver.shut_write();
    both.driver.settle();
    both.client_reads();
    both.client.seal(b"good");
    let mut bytes = Vec::new();
    both.client.sealed(&mut |piece| bytes.extend_from_slice(piece));
    bytes.extend_from_slice(&[23, 3, 3, 0, 20]);
    bytes.extend_from_slice(&[0; 20]);
    both.driver.script.peer_sends(&bytes);
    both.driver.settle();
    assert_eq!(both.driver.heard(), "[good]");
    both.driver.script.peer_ends();
    both.driver.settle();
    both.assert_gone("on the open connection");
    assert!(!both.driver.script.wire().wrote_after_fin);
}

#[test]
fn row_57_a_protocol_that_takes_over_is_made_after_the_handshake() {
    let mut both = Both::switching();
    assert!(both.driver.hand_over());
    both.client_sends();
    both.driver.settle();
    assert_eq!(both.driver.heard(), "");
    both.client_reads();
    both.client_writes(b"hello");
    both.driver.settle();
    assert_eq!(both.driver.heard(), "Handover [hello]");
}

#[test]
fn row_57_silence_in_the_handshake_is_told_to_nobody() {
    let mut both = Both::switching();
    let Driver { connection, common, now, .. } = &mut both.driver;
    connection.set_timeout(Some(MS), *now, common);
    assert!(both.driver.hand_over());
    both.driver.settle();
    both.driver.pass(5 * MS);
    both.driver.settle();
    let deadline = both.driver.connection.deadline().unwrap();
    assert!(deadline > both.driver.now, "it would be visited without end");
    both.shake_hands();
    assert_eq!(both.driver.heard(), "Handover");
}

#[test]
fn row_58_closing_sends_close_notify_then_fin() {
    let mut both = Both::up();
    both.driver.write(b"bye", CAP);
    both.driver.close();
    both.driver.settle();
    both.client_reads();
    assert!(both.got == b"bye" && both.notified);
    let wire = both.driver.script.wire();
    assert!(wire.fins == 1 && wire.fin_goes_along && !wire.wrote_after_fin);
}

#[test]
fn row_59_closing_in_the_handshake_waits_for_it_only_with_bytes_to_send() {
    let mut both = Both::switching();
    both.driver.close();
    both.driver.settle();
    assert_eq!((both.driver.written().as_str(), both.driver.script.wire().fins), ("", 1));

    let mut both = Both::switching();
    both.driver.write(b"bye", CAP);
    both.driver.close();
    both.driver.settle();
    assert_eq!((both.driver.written().as_str(), both.driver.script.wire().fins), ("", 0));
    both.shake_hands();
    assert!(both.got == b"bye" && both.notified);
    assert_eq!(both.driver.script.wire().fins, 1);
}

#[test]
fn row_59_a_rate_holds_in_the_handshake_of_one_that_closes() {
    let mut both = Both::switching();
    let rate = Rate::per_second(1000).burst(50);
    both.driver.set_rate(Direction::Reading, Some(rate));
    both.driver.write(b"bye", CAP);
    both.driver.close();
    both.client_sends();
    both.driver.settle();
    let limit = both.driver.connection.deadline().unwrap() - both.driver.now;
    assert!(limit <= 100 * MS, "it goes on when there is a portion: {limit:?}");
    for _ in 0..100 {
        both.driver.pass(50 * MS);
        both.driver.settle();
        both.client_reads();
        both.client_sends();
    }
    assert!(both.got == b"bye" && both.notified);
}

#[test]
fn marks_count_what_is_encrypted_and_what_is_not() {
    let mut both = Both::up();
    both.client_reads();
    both.driver.set_marks(100, 25);
    both.driver.script.wire_mut().window = 0;
    both.driver.write(&[7; 150], CAP);
    assert_eq!(both.driver.connection.buffered(), 150);
    both.driver.settle();
    assert_eq!(both.driver.heard(), "Pause");
    let waiting = both.driver.connection.buffered();
    assert!((150..=150 + 22).contains(&waiting), "{waiting}");
    both.driver.script.opens(100_000);
    both.driver.settle();
    assert_eq!((both.driver.heard().as_str(), both.driver.connection.buffered()), ("Resume", 0));

    // As many as the mark allows are more once they are encrypted, and whoever asks sees that.
    both.driver.script.wire_mut().window = 0;
    both.driver.write(&[7; 100], CAP);
    both.driver.settle();
    assert!(both.driver.connection.buffered() > 100);
    assert_eq!(both.driver.heard(), "Pause");
}

#[test]
fn what_waits_leaves_in_one_write() {
    let mut both = Both::up();
    both.driver.budgets = (100_000, 100_000);
    both.client_reads();
    let before = both.driver.script.wire().writes;
    for _ in 0..400 {
        both.driver.write(&[7; 100], CAP);
    }
    both.driver.set_marks(100_000, 0);
    both.driver.settle();
    let writes = both.driver.script.wire().writes - before;
    both.client_reads();
    assert_eq!((writes, both.got.len()), (1, 40_000));
    let overhead = both.taken;
    assert!(overhead < 40_000 + 3 * 22 + 3000, "three records, behind the handshake: {overhead}");
}
