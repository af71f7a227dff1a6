//! Deliberate defects, each of which the random worlds or the tests of the connection must find. Those that
//! a world could miss are named by the row of the connection's table that they break.
//!
//! Only on request, since it builds crocus once for each defect:
//!
//! ```text
//! cargo test --test defects -- --ignored --nocapture
//! ```
//!
//! Some more were tried that the worlds cannot find, because the simulated network, or their short
//! messages, never do what they are about: readiness that comes with the connection
//! (`suite/connecting.rs`, on real sockets), bytes that came before an answer which closes at once
//! (`suite/transports.rs`, the clients that send), and a stop that tells within the command, which ends
//! the test program at once.
//!
//! `CROCUS_DEFECT=timeout` tries only those whose names have that word. Whether each defect still has its place in the
//! source is tested always.
//!
//! A program of its own, so that other tests do not wait for its builds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How many worlds of each kind may pass before a defect counts as not found.
const WORLDS: &str = "3000";

/// How many are tried first.
const FIRST_WORLDS: &str = "300";

/// The same for defects of TLS. Of the worlds that speak it there are fewer.
const FIRST_WORLDS_OF_TLS: &str = "1500";

/// The same for defects of tasks.
const FIRST_WORLDS_OF_TASKS: &str = "1500";

/// After so many seconds a run counts as hanging: many times what one takes, since it may share its machine
/// with others.
const LONGEST_RUN: &str = "600";

/// Name, file, the original text, and the defect.
type Defect = (&'static str, &'static str, &'static str, &'static str);

const DEFECTS: &[Defect] = &[
    (
        "what is echoed is not copied before the next read",
        "src/connection/lent.rs",
        r#"        self.copy_lent(buffer, common);
        buffer.bytes_mut()"#,
        r#"        buffer.bytes_mut()"#,
    ),
    (
        "what is echoed is not copied at the end of a visit",
        "src/connection/mod.rs",
        r#"    ) -> Next {
        self.copy_lent(buffer, common);"#,
        r#"    ) -> Next {"#,
    ),
    (
        "what is copied loses its place",
        "src/parts/outgoing.rs",
        r#"        let mut aside = copied.split_off(ahead, &mut spares.vectors);"#,
        r#"        let mut aside = copied.split_off(copied.len(), &mut spares.vectors);"#,
    ),
    (
        "row 66: read on after Resume, in a visit that has sent",
        "src/connection/mod.rs",
        r#"                (io.put_off, io.read, io.write) = (io.read, 0, Some(0));"#,
        r#"                io.write = Some(0);"#,
    ),
    (
        "row 67: a shutdown is told after Resume, before what has come",
        "src/connection/mod.rs",
        r#"                if io.put_off > 0 && self.may_deliver() {"#,
        r#"                if io.put_off > 0 && self.may_deliver() && !io.serves {"#,
    ),
    (
        "row 65: lent bytes of a connection that hands over are not copied",
        "src/connection/mod.rs",
        r#"        self.copy_lent(buffer, common);
        Next::Yield"#,
        r#"        Next::Yield"#,
    ),
    (
        "a plain flush of a connection with a rate",
        "src/connection/extras.rs",
        r#"            && self.writing.is_none()"#,
        r#""#,
    ),
    (
        "a plain flush of a connection that has put bytes back",
        "src/connection/extras.rs",
        r#"            && self.kept.is_empty()
            && self.reading"#,
        r#"            && self.reading"#,
    ),
    (
        "a plain flush in a shutdown",
        "src/connection/plain.rs",
        r#"            && !common.shutting_down"#,
        r#"            && (common.cap > 0 || !common.shutting_down)"#,
    ),
    (
        "a write that the kernel took nothing of is tried again in its visit",
        "src/connection/plain.rs",
        r#"            io.write = Some(0); // it was this visit's write"#,
        r#"            io.sent += 0;"#,
    ),
    (
        "silence is known by the turn",
        "src/connection/timing.rs",
        r#"        moved.map_or(by_turn, |moved| moved.max(by_turn))"#,
        r#"        moved.map_or(by_turn, |_| by_turn)"#,
    ),
    (
        "a timeout counts from the last bytes, though it was set later",
        "src/connection/extras.rs",
        r#"moved.map_or(since, |moved| moved.max(since))"#,
        r#"moved.unwrap_or(since)"#,
    ),
    (
        "a plain flush above the high mark",
        "src/connection/plain.rs",
        r#" && all <= self.marks.high())"#,
        r#")"#,
    ),
    (
        "a plain flush that has sent a part is over",
        "src/connection/plain.rs",
        r#"            self.above_cap = false;
        }
        Next::Again"#,
        r#"            self.above_cap = false;
            return Next::Rest;
        }
        Next::Again"#,
    ),
    (
        "a plain step of a connection whose peer's end is to be told",
        "src/connection/plain.rs",
        r#"            && (self.input, self.output) == (Input::Open, Output::Open)
            && self.pressure == Pressure::Low"#,
        r#"            && self.output == Output::Open
            && self.pressure == Pressure::Low"#,
    ),
    (
        "a plain flush stays in its queue",
        "src/reactor/flushing.rs",
        r#"            Some(Next::Rest) => waits.leave(Queue::Flush),"#,
        r#"            Some(Next::Rest) => {}"#,
    ),
    (
        "bytes of any number of read buffers are kept",
        "src/connection/read_buffer.rs",
        r#"        (is_part && self.may_be_kept()).then(|| {"#,
        r#"        is_part.then(|| {"#,
    ),
    (
        "as many pieces leave in a visit as one call takes",
        "src/connection/pieces.rs",
        r#"        while *sent < most && !queue.is_empty()"#,
        r#"        while *sent == 0 && !queue.is_empty()"#,
    ),
    (
        "no re-queue after a spent read budget",
        "src/connection/mod.rs",
        r#"                return self.deliver(io, common, buffer);
            }
            more = true; // but not in this visit"#,
        r#"                return self.deliver(io, common, buffer);
            }"#,
    ),
    (
        "deliver data after lose_connection",
        "src/connection/ending.rs",
        r#"            return self.fail_tls(failure, common);
        }
        let mut more = false;
        if self.may_discard() {
            if io.read > 0 {
                return self.discard(io, common, buffer);"#,
        r#"            return self.fail_tls(failure, common);
        }
        let mut more = false;
        if self.may_discard() {
            if io.read > 0 {
                return self.deliver(io, common, buffer);"#,
    ),
    (
        "deliver EOF after lose_connection",
        "src/connection/ending.rs",
        r#"        if self.input != Input::Open {
            return self.finish(); // closing sends FIN
        }"#,
        r#"        if self.input == Input::Ended {
            self.input = Input::Told;
            return Next::Tell(crate::connection::Tell::Eof);
        }
        if self.input != Input::Open {
            return self.finish(); // closing sends FIN
        }"#,
    ),
    (
        "forget a paused connection at stop",
        "src/reactor/stopping.rs",
        r#"                self.visit(key, Queue::Run, &mut buffer);"#,
        r#"                if self.session(ConnectionId(key)).is_some_and(|session| session.connection.is_reading()) {
                    self.visit(key, Queue::Run, &mut buffer);
                }"#,
    ),
    (
        "call connection_lost twice",
        "src/reactor/visit.rs",
        r#"                protocol.connection_lost(&mut Transport::new(reactor, id), reason);"#,
        r#"                protocol.connection_lost(&mut Transport::new(reactor, id), reason);
                protocol.connection_lost(&mut Transport::new(reactor, id), reason);"#,
    ),
    (
        "close without flushing",
        "src/connection/ending.rs",
        r#"            if !self.is_unfinished() {
                return self.all_sent(io, common);
            }"#,
        r#"            if !self.outgoing.is_empty() {
                self.outgoing.clear(&mut common.spares);
            }
            if !self.is_unfinished() {
                return self.all_sent(io, common);
            }"#,
    ),
    (
        "lose resume_writing",
        "src/connection/output.rs",
        r#"self.buffered() <= self.marks.low()"#,
        r#"self.buffered() < self.marks.low()"#,
    ),
    (
        "resume_writing never told",
        "src/connection/output.rs",
        r#"self.pressure == Pressure::High && self.buffered() <="#,
        r#"self.pressure == Pressure::Low && self.buffered() + 1 <="#,
    ),
    (
        "a visit does not send",
        "src/connection/output.rs",
        r#"        let Some(budget @ 1..) = io.write else { return Ok(true) };"#,
        r#"        let Some(budget @ 1..) = io.write else { return Ok(true) };
        if io.read > 0 { return Ok(false); }"#,
    ),
    (
        "forget the end that came while paused",
        "src/connection/commands.rs",
        r#"        self.held.remove(hold);
        self.is_open() && self.may_deliver()"#,
        r#"        self.held.remove(hold);
        self.is_open() && self.may_deliver() && !self.ready.contains(crate::system::poller::Readiness::READ_CLOSED)"#,
    ),
    (
        "the owner is not told the loss",
        "src/reactor/visit.rs",
        r#"kind.connection_gone(self, connector, announced, &reason);"#,
        r#"if !announced { kind.connection_gone(self, connector, announced, &reason); }"#,
    ),
    (
        "no cap on the outgoing buffer",
        "src/connection/output.rs",
        r#"self.in_memory() > common.cap;"#,
        r#"self.buffered() > 10 * common.cap;"#,
    ),
    (
        "no close timeout",
        "src/connection/timing.rs",
        r#"close_by.get_or_insert_with(|| later(now, timeout))"#,
        r#"close_by.get_or_insert_with(|| later(now, timeout + Duration::from_secs(9999)))"#,
    ),
    (
        "the default closes in the middle of an answer (row 45)",
        "src/connection/commands.rs",
        r#"if !self.hears() || !self.may_write_more() {"#,
        r#"if true {"#,
    ),
    (
        "a protocol that has written all is waited for (row 46)",
        "src/connection/commands.rs",
        r#"!self.may_write_more() && self.close(None)"#,
        r#"false && self.close(None)"#,
    ),
    (
        "one that lingers is stopped like an open one (row 48)",
        "src/connection/ending.rs",
        r#"        if matches!(self.life, Life::Ending(End::Lingering, _)) && !sends {
            self.finish();
            return true;
        }
        let ends"#,
        r#"        let _ = sends;
        let ends"#,
    ),
    (
        "events that are still to come are not waited for (row 49)",
        "src/connection/timing.rs",
        r#"if common.more_events && self.is_open()"#,
        r#"if false && self.is_open()"#,
    ),
    (
        "a rate that is set again fills its bucket",
        "src/parts/token_bucket.rs",
        r#"let kept = self.rate.bytes_in(self.level).min(rate.burst);
        if rate != self.rate {"#,
        r#"let kept = rate.burst;
        if true {"#,
    ),
    (
        "close at once, without lingering",
        "src/connection/ending.rs",
        r#"        if self.input != Input::Open {
            return self.finish(); // closing sends FIN"#,
        r#"        if self.input != Input::Open || !io.fresh {
            return self.finish(); // closing sends FIN"#,
    ),
    (
        "a hang-up behind a pause goes unnoticed",
        "src/connection/mod.rs",
        r#"            && let Some(error) = self.judge_hangup(again)"#,
        r#"            && !self.held.intersects(Holds::PROTOCOL)
            && let Some(error) = self.judge_hangup(again)"#,
    ),
    (
        "row 18: the error of a hang-up waits for no bytes that were put back",
        "src/connection/input.rs",
        r#"        if !(again && self.takes_in_what_was_kept()) {"#,
        r#"        if !(again && self.takes_in_what_was_kept() && false) {"#,
    ),
    (
        "both halves shut and it goes on",
        "src/connection/output.rs",
        r#"self.input == Input::Told && self.output == Output::FinSent"#,
        r#"self.input == Input::Told && self.output == Output::FinSent && self.was_announced() && false"#,
    ),
    (
        "timers of a closed connection stay",
        "src/reactor/session.rs",
        r#"            for timer in attached.timers.drain() {
                timers.call_off(timer, monitor);
            }"#,
        r#"            let _ = attached;"#,
    ),
    (
        "idle timeout ignores activity",
        "src/connection/extras.rs",
        r#"moved.map_or(since, |moved| moved.max(since))"#,
        r#"moved.map_or(since, |_| since)"#,
    ),
    (
        "reads beyond the budget",
        "src/connection/input.rs",
        r#"fn note_read(&mut self, count: usize, io: &mut Io, common: &mut Common) {
        io.read -= count;"#,
        r#"fn note_read(&mut self, count: usize, io: &mut Io, common: &mut Common) {
        io.read -= 1;"#,
    ),
    (
        "the next protocol is not told the end",
        "src/connection/input.rs",
        r#"            *self = Self::Ended;"#,
        r#"            let _ = &self;"#,
    ),
    (
        "what was not given yet goes before what is put back",
        "src/parts/write_buffer.rs",
        r#"        if ahead >= self.len() {
            return self.push(data, spares);"#,
        r#"        if ahead <= self.len() {
            return self.push(data, spares);"#,
    ),
    (
        "the next protocol stays paused for its predecessor",
        "src/connection/commands.rs",
        r#"        self.held.remove(Holds::PRESSURE); // that of the former protocol
"#,
        r#""#,
    ),
    (
        "a bucket that is full again releases nobody",
        "src/connection/timing.rs",
        r#"                self.held.remove(direction.hold());
            }
        }
    }"#,
        r#"            }
        }
    }"#,
    ),
    (
        "row 6: bytes put back come behind newer ones",
        "src/connection/input.rs",
        r#"        if self.kept() > 0 && !self.is_handshaking() {"#,
        r#"        if self.kept() > 0 && !self.ready.contains(Readiness::READABLE) {"#,
    ),
    (
        "row 8: FIN of both sides, and nobody ends it",
        "src/connection/mod.rs",
        r#"        if self.both_halves_are_shut() {
            return self.finish();
        }"#,
        r#""#,
    ),
    (
        "row 9: pressure is told after sending only",
        "src/connection/output.rs",
        r#"        self.pressure == Pressure::Low
"#,
        r#"        self.pressure == Pressure::Low
            && !self.ready.contains(Readiness::WRITABLE)
"#,
    ),
    (
        "row 15: what came before a failed write is lost",
        "src/connection/output.rs",
        r#"        if self.held.intersects(Holds::PROTOCOL) || self.is_told_the_end() {"#,
        r#"        if !self.held.intersects(Holds::PROTOCOL) || self.is_told_the_end() {"#,
    ),
    (
        "row 17: paused behind a failed write, it stays",
        "src/connection/commands.rs",
        r#"            // The protocol wants no more input, and nothing can be written.
            self.finish();
            return true;"#,
        r#"            return false;"#,
    ),
    (
        "row 20: a rate is not paid",
        "src/connection/extras.rs",
        r#"            throttle.bucket.take(count as u64);"#,
        r#"            let _ = (throttle, count);"#,
    ),
    (
        "row 21: the former protocol hears on",
        "src/connection/commands.rs",
        r#"        self.life = Life::HandingOver;
        self.pressure"#,
        r#"        self.pressure"#,
    ),
    (
        "row 25: nothing is read once it closes",
        "src/connection/input.rs",
        r#"            && self.ready.contains(Readiness::READABLE)
            && self.discarded() < MOST_DISCARDED
    }

    /// Reads once and discards"#,
        r#"            && self.ready.contains(Readiness::READ_CLOSED)
            && self.discarded() < MOST_DISCARDED
    }

    /// Reads once and discards"#,
    ),
    (
        "row 29: a close timeout set while closing is ignored",
        "src/connection/timing.rs",
        r#"            extras.close_by = Some(later(now, limit));"#,
        r#"            let _ = now;"#,
    ),
    (
        "row 32: lingering has no end",
        "src/connection/timing.rs",
        r#"            Life::Ending(End::Lingering, _) => due(extras.linger_end()),
"#,
        r#""#,
    ),
    (
        "row 40: a timeout is told without a look at the stream",
        "src/connection/timing.rs",
        r#"        if !io.asked {"#,
        r#"        if !io.asked && io.write.is_none() {"#,
    ),
    (
        "row 41: the close timeout counts from its beginning",
        "src/connection/extras.rs",
        r#"        if self.close_by.is_some() {"#,
        r#"        if self.close_by.is_some() && self.discarded > 1 << 30 {"#,
    ),
    (
        "row 42: input that is not read is silence",
        "src/connection/input.rs",
        r#"            extras.stirred = true;"#,
        r#"            extras.stirred = false;"#,
    ),
    (
        "row 43: a peer that never stops is read for ever",
        "src/connection/input.rs",
        r#"self.discarded() < MOST_DISCARDED"#,
        r#"self.discarded() < MOST_DISCARDED << 30"#,
    ),
    (
        "row 12: what was written since the last attempt counts",
        "src/connection/output.rs",
        r#"        let takes = self.takes_more();
        if takes && !data.is_empty() {"#,
        r#"        let takes = self.takes_more() && self.in_memory() <= common.cap;
        if takes && !data.is_empty() {"#,
    ),
    (
        "skip the generation check (get)",
        "src/parts/arena.rs",
        r#"(tenant.generation == key.generation).then_some(&tenant.value)"#,
        r#"Some(&tenant.value)"#,
    ),
    (
        "skip the generation check (get_mut)",
        "src/parts/arena.rs",
        r#"(tenant.generation == key.generation).then_some(&mut tenant.value)"#,
        r#"Some(&mut tenant.value)"#,
    ),
    (
        "fire a cancelled timer of the batch",
        "src/parts/timers.rs",
        r#"        let timer = self.timers.remove(id.0)?;
        if self.heap"#,
        r#"        if self.timers.get(id.0)?.place == Place::DUE { return Some(None); }
        let timer = self.timers.remove(id.0)?;
        if self.heap"#,
    ),
    (
        "equal deadlines in reverse order",
        "src/parts/timers.rs",
        r#"(order, deadline) = (self.made, "#,
        r#"(order, deadline) = (u32::MAX - self.made, "#,
    ),
    (
        "a timer reset in its own batch fires at once",
        "src/parts/timers.rs",
        r#"if timer.place != Place::DUE || "#,
        r#"if timer.place == Place::FIRING || "#,
    ),
    (
        "forget the accept re-queue after the budget",
        "src/listener/accepting.rs",
        r#"listener.is_finished() || listener.can_accept())"#,
        r#"listener.is_finished())"#,
    ),
    (
        "forget to accept again after EMFILE",
        "src/listener/accepting.rs",
        r#"            self.timers.call_off(timer, &mut self.monitor);
            self.queue(key);
        }
        self.queues.without_descriptor"#,
        r#"            self.timers.call_off(timer, &mut self.monitor);
        }
        self.queues.without_descriptor"#,
    ),
    (
        "forget to accept when below max_connections",
        "src/listener/stopping.rs",
        r#"        } else if was_full && listener.can_accept() {
            self.queue(key);
        }
"#,
        r#"        }
        let _ = was_full;
"#,
    ),
    (
        "drop the sender's last byte",
        "src/parts/write_buffer.rs",
        r#"filled.bytes.extend_from_slice(data);"#,
        r#"filled.bytes.extend_from_slice(&data[..data.len() - usize::from(data.len() > 100)]);"#,
    ),
    (
        "two outcomes of a timed-out attempt",
        "src/connector/timing.rs",
        r#"            return self.give_up(key, Reason::ConnectTimedOut);"#,
        r#"            self.queue(key);
            let reason = Reason::ConnectTimedOut;
            self.notify(key, crate::callback::Callback::ConnectionFailed, |factory, connector| factory.connection_failed(connector, &reason));
            return self.give_up(key, Reason::ConnectTimedOut);"#,
    ),
    (
        "a timed-out attempt goes on",
        "src/connector/timing.rs",
        r#"            return self.give_up(key, Reason::ConnectTimedOut);"#,
        r#"            return;"#,
    ),
    (
        "attempts that lost the race are kept",
        "src/connector/ending.rs",
        r#"if Some(attempt) != except
                && let"#,
        r#"if Some(attempt) != except
                && except.is_none()
                && let"#,
    ),
    (
        "calls in reverse order",
        "src/reactor/state.rs",
        r#"self.queue.push_back(Queued::Own(call));"#,
        r#"self.queue.push_front(Queued::Own(call));"#,
    ),
    (
        "calls of other threads ordered by their types",
        "src/parts/call_queue.rs",
        r#"        match self.runs.back_mut() {
            Some(run) if"#,
        r#"        match self.runs.iter_mut().find(|run| run.kind == kind) {
            Some(run) if"#,
    ),
    (
        "calls of other threads that the budget left are forgotten",
        "src/reactor/state.rs",
        r#"            self.len += calls.len();
            self.queue.push_front(Queued::OfOthers(calls));"#,
        r#"            drop(calls);"#,
    ),
    (
        "a stop forgets attempts",
        "src/connector/kind.rs",
        r#"            reactor.stop_trying(key);
            reactor.serve_connector(key);"#,
        r#"            reactor.stop_trying(key);
            reactor.sources.remove(key);"#,
    ),
    (
        "row 14: a close over silence says nothing of it",
        "src/connection/commands.rs",
        r#"self.is_telling_timeout().then_some(Reason::TimedOut)"#,
        r#"self.is_telling_timeout().then_some(Reason::Closed)"#,
    ),
    (
        "row 18: nobody looks for the error of a hang-up",
        "src/connection/input.rs",
        r#"            Ok(error) => error,
            Err(error) => Some(error),"#,
        r#"            Ok(_) => None,
            Err(error) => Some(error),"#,
    ),
    (
        "row 22: what was put back is lost in a hand-over",
        "src/connection/mod.rs",
        r#"            self.input.begin_again();"#,
        r#"            self.input.begin_again();
            if let Some(extras) = &mut self.extras { extras.kept.clear(&mut common.spares.vectors); }"#,
    ),
    (
        "row 28: closed at once whatever the length",
        "src/connection/output.rs",
        r#"io.sent <= SMALLEST_FLIGHT && self"#,
        r#"self"#,
    ),
    (
        "row 30: bytes do not prolong lingering",
        "src/connection/input.rs",
        r#"                    self.linger_on(common);"#,
        r#"                    let _ = &common;"#,
    ),
    (
        "shutting_down told twice",
        "src/connection/commands.rs",
        r#"            Life::New | Life::Open | Life::HandingOver => {
                self.ready |= Readiness::READABLE;"#,
        r#"            Life::New | Life::Open | Life::HandingOver => {
                self.told = Told::Made;
                self.ready |= Readiness::READABLE;"#,
    ),
    (
        "a held connection is not told of the shutdown",
        "src/connection/mod.rs",
        r#"        if common.shutting_down && self.told != Told::OfShutdown {"#,
        r#"        let held = self.held.intersects(Holds::PROTOCOL);
        if common.shutting_down && self.told != Told::OfShutdown && !held {"#,
    ),
    (
        "a connection that comes up in a shutdown is not told",
        "src/connection/preparing.rs",
        r#"            self.ready |= Readiness::READABLE; // as in `shut_down`"#,
        r#"            self.told = Told::OfShutdown;"#,
    ),
    (
        "a protocol that takes over is not told of the shutdown",
        "src/connection/mod.rs",
        r#"            self.told = Told::Made;
            self.held"#,
        r#"            self.held"#,
    ),
    (
        "row 35: the shutdown is told before what has come",
        "src/connection/commands.rs",
        r#"            Life::New | Life::Open | Life::HandingOver => {
                self.ready |= Readiness::READABLE;"#,
        r#"            Life::New | Life::Open | Life::HandingOver => {"#,
    ),
    (
        "row 36: one that was read in its first visit does not linger",
        "src/connection/ending.rs",
        r#"io.fresh && self.traffic.is_unread()"#,
        r#"io.fresh"#,
    ),
    (
        "row 39: a shutdown does not shorten the wait",
        "src/connection/commands.rs",
        r#"                self.shorten_linger(now, common);
"#,
        "",
    ),
    (
        "those left after the grace are closed in order",
        "src/connection/ending.rs",
        r#"        if ends && resets && !matches!(self.output, Output::FinSent) {"#,
        r#"        if ends && resets && matches!(self.output, Output::Reset) {"#,
    ),
    (
        "lose_connection_because forgets the reason",
        "src/connection/commands.rs",
        r#"        let reason = because.or_else(timed_out)"#,
        r#"        let reason = because.and(None).or_else(timed_out)"#,
    ),
    (
        "a stopped listener forgets its connections",
        "src/listener/state.rs",
        r#"        self.over && self.connections == 0"#,
        r#"        self.over"#,
    ),
    (
        "a shutdown listens on",
        "src/reactor/stopping.rs",
        r#"        if self.memory.common.shutting_down || self.ending == Ending::TearingDown {"#,
        r#"        if self.ending == Ending::TearingDown {"#,
    ),
    (
        "a delay counts from the beginning of the turn",
        "src/reactor/state.rs",
        r#"        later(self.clock.now(), delay)
    }"#,
        r#"        later(if self.in_turn { self.now } else { self.clock.now() }, delay)
    }"#,
    ),
    (
        "a timeout counts from the beginning of the turn",
        "src/reactor/commands.rs",
        r#"let now = self.time.clock.now(); // as late as possible: it counts from here"#,
        r#"let now = self.now();"#,
    ),
    (
        "a rate earns by turns and not by the clock",
        "src/connection/timing.rs",
        r#"throttle.bucket.available(common.latest.get())"#,
        r#"throttle.bucket.available(common.now)"#,
    ),
    (
        "an attempt that stands is given up at its timeout",
        "src/connector/timing.rs",
        r#"        if !self.has_stood_up(key) {
            return self.give_up"#,
        r#"        if !self.has_stood_up(key) || true {
            return self.give_up"#,
    ),
    (
        "a steady reader is not asked at the close timeout",
        "src/connection/timing.rs",
        r#"            self.ready |= Readiness::WRITABLE; // else a write"#,
        r#"            // else a write"#,
    ),
    (
        "a lookup that nobody waits for takes the place of others",
        "src/connector/names.rs",
        r#"self.begun - self.abandoned >= LOOKUPS_AT_ONCE"#,
        r#"self.begun >= LOOKUPS_AT_ONCE"#,
    ),
    (
        "a name that nobody waits for any more is looked up",
        "src/connector/names.rs",
        r#"            self.names.remove(host);
            self.waiting.retain(|name| **name != *host);"#,
        r#"            let _ = host;"#,
    ),
    (
        "so few names are looked up at once that slow ones delay others",
        "src/connector/names.rs",
        r#"const LOOKUPS_AT_ONCE: usize = 32;"#,
        r#"const LOOKUPS_AT_ONCE: usize = 8;"#,
    ),
    (
        "a datagram socket is told of a shutdown before what has come",
        "src/datagram/serving.rs",
        r#"if let Some(turns @ 1..) = state.turns_before_told"#,
        r#"if let Some(turns @ 1000..) = state.turns_before_told"#,
    ),
    (
        "datagrams beyond the budget wait for an event",
        "src/datagram/serving.rs",
        r#"        // No event will report again the datagrams that are there already.
        self.queue_again(key);"#,
        r#""#,
    ),
    (
        "a sender of datagrams is not told of room",
        "src/datagram/state.rs",
        r#"        self.room |= self.blocked && readiness.contains(Readiness::WRITABLE);"#,
        r#""#,
    ),
    (
        "a connected datagram socket hears others",
        "src/datagram/state.rs",
        r#"                if self.peer.is_some_and(|peer| !is_same(peer, from)) {"#,
        r#"                if self.peer.is_some_and(|peer| !is_same(peer, from)) && self.blocked {"#,
    ),
    (
        "a begun frame is lost in a hand-over",
        "src/extras/framing/adaptor.rs",
        r#"            transport.unread_behind(put_back, self.buffer.unused());"#,
        r#"            let _ = put_back;"#,
    ),
    (
        "a begun frame comes before what its handler has put back",
        "src/extras/framing/adaptor.rs",
        r#"            transport.unread_behind(put_back, self.buffer.unused());"#,
        r#"            transport.unread_behind(put_back.min(0), self.buffer.unused());"#,
    ),
    (
        "frames come although the output is above the mark",
        "src/extras/framing/adaptor.rs",
        r#"(told || transport.buffered() <= high)"#,
        r#"(told || transport.buffered() <= high + 1_000_000)"#,
    ),
    (
        "a frame that waits is found twice",
        "src/extras/framing/buffer.rs",
        r#"            true => *used += count,"#,
        r#"            true => *used += count.min(count.saturating_sub(1).max(1)),"#,
    ),
    (
        "a hang-up that was none stays (row 19)",
        "src/connection/input.rs",
        r#"self.ready.remove(Readiness::READABLE | Readiness::HANGUP);"#,
        r#"self.ready.remove(Readiness::READABLE);"#,
    ),
    (
        "a failure that is known is no reason (row 32)",
        "src/connection/ending.rs",
        r#"        if let Some(error) = self.take_hangup_error() {
            return self.fail(error);
        }
"#,
        r#""#,
    ),
    (
        "bytes that are shared overtake those that are copied",
        "src/parts/outgoing.rs",
        r#"            let behind = self.copied.len() - pieces.before_last;"#,
        r#"            let behind = 0;"#,
    ),
    (
        "row 63: a file that is too short breaks the output only",
        "src/connection/pieces.rs",
        r#"            Err(error) => return Err(self.end_by_file(error)),"#,
        r#"            Err(error) => return Err(error),"#,
    ),
];

/// The same for TLS, which its own tests must find.
const DEFECTS_OF_TLS: &[Defect] = &[
    (
        "deliver what came in clear before the switch",
        "src/connection/filter.rs",
        r#"        self.early.extend_from_slice(kept.unsent());
        kept.clear(&mut spares.vectors);"#,
        r#"        if !kept.is_empty() {
            let _ = spares;
            return false;
        }"#,
    ),
    (
        "lose the ClientHello",
        "src/connection/filter.rs",
        r#"        self.early.extend_from_slice(kept.unsent());
"#,
        "",
    ),
    (
        "hide a failure of TLS behind a reset",
        "src/connection/ending.rs",
        r#"            Life::Ending(_, failure @ Reason::Tls { .. }) => failure.clone(),
"#,
        "",
    ),
    (
        "forget close_notify",
        "src/connection/filter.rs",
        r#"            self.engine.close();
"#,
        "",
    ),
    (
        "take truncation for the end",
        "src/connection/filter.rs",
        r#"        let fine = self.truncation_allowed && !self.is_handshaking();"#,
        r#"        let fine = !self.is_handshaking();"#,
    ),
    (
        "send the answer from before the switch encrypted",
        "src/connection/securing.rs",
        r#"        let clear = mem::take(&mut self.outgoing);"#,
        r#"        let clear = crate::parts::outgoing::Outgoing::default();"#,
    ),
    (
        "row 53: what is echoed after the switch leaves in clear",
        "src/connection/lent.rs",
        r#"            && self.filter().is_none()"#,
        r#"            && self.is_open()"#,
    ),
    (
        "announce before the handshake is over",
        "src/connection/preparing.rs",
        r#"            _ if self.is_handshaking() => self.shake_hands(io, common, buffer),"#,
        r#"            _ if self.traffic.read == 0 => self.shake_hands(io, common, buffer),"#,
    ),
    (
        "wait for a handshake without end",
        "src/connection/filter.rs",
        r#"        self.is_handshaking().then_some(self.by)"#,
        r#"        (self.is_handshaking() && self.truncation_allowed).then_some(self.by)"#,
    ),
    (
        "a pause of the protocol holds the handshake up",
        "src/connection/input.rs",
        r#"            Input::Open if self.is_handshaking() => self.may_prepare(),
"#,
        "",
    ),
    (
        "close without the handshake that bytes wait for",
        "src/connection/securing.rs",
        r#"        self.is_handshaking() && self.is_unfinished()"#,
        r#"        self.is_handshaking() && self.kept() > 0"#,
    ),
    (
        "a failure overtakes what came before it",
        "src/connection/securing.rs",
        r#"            Opened::Failed(reason) if told == 0 && kept.is_empty() => {"#,
        r#"            Opened::Failed(reason) if told == 0 || kept.is_empty() => {"#,
    ),
    (
        "drop what comes with the last flight of the handshake",
        "src/connection/securing.rs",
        r#"        let keeps = self.is_open();"#,
        r#"        let keeps = self.hears();"#,
    ),
    (
        "what a small buffer does not hold is lost",
        "src/connection/securing.rs",
        r#"            if keeps && here < plain.len() {"#,
        r#"            if keeps && here == 0 {"#,
    ),
    (
        "the marks forget what is encrypted",
        "src/connection/securing.rs",
        r#"        self.outgoing.len() + self.filter().map_or(0, |filter| filter.wire().len())"#,
        r#"        self.outgoing.len()"#,
    ),
    (
        "the cap counts what is encrypted of a file",
        "src/connection/filter.rs",
        r#"        all - self.filed.min(all)"#,
        r#"        all"#,
    ),
    (
        "records that are not full",
        "src/connection/filter.rs",
        r#"        let mut left = plain.len().min(room);"#,
        r#"        let mut left = plain.len().min(room).min(100);"#,
    ),
    (
        "a timer fires after TLS has failed",
        "src/reactor/timing.rs",
        r#"                if self.session(ConnectionId(key)).is_some_and(|it| it.connection.hears()) {"#,
        r#"                if self.session(ConnectionId(key)).is_some() {"#,
    ),
    (
        "a stopped listener forgets its handshakes",
        "src/listener/state.rs",
        r#"self.taken.is_empty() && self.preparing == 0"#,
        r#"self.taken.is_empty()"#,
    ),
    (
        "a failed handshake is taken for a lost connection",
        "src/connector/kind.rs",
        r#"        if announced {"#,
        r#"        if true || announced {"#,
    ),
    (
        "a framed protocol keeps a part of a line over the switch",
        "src/connection/commands.rs",
        r#"        self.hears() && !held && !self.is_handshaking()"#,
        r#"        self.hears() && !held"#,
    ),
    (
        "an answer from after the switch leaves in clear",
        "src/connection/filter.rs",
        r#"        if self.state != State::Up {
            return Ok(());
        }"#,
        r#"        if self.state != State::Up {
            self.wire.push(plain.unsent().unwrap_or_default(), spares);
            plain.clear(spares);
            return Ok(());
        }"#,
    ),
    (
        "close_notify is no end",
        "src/connection/filter.rs",
        r#"            Ok(Read::Ended) => Opened::Ended,"#,
        r#"            Ok(Read::Ended) => Opened::More,"#,
    ),
    (
        "a handshake may be truncated too",
        "src/connection/filter.rs",
        r#"self.truncation_allowed && !self.is_handshaking();"#,
        r#"self.truncation_allowed;"#,
    ),
    (
        "a handshake that has failed counts as encrypted",
        "src/connection/filter.rs",
        r#"        !self.engine.is_handshaking()"#,
        r#"        self.state != State::Handshaking"#,
    ),
    (
        "an assertion of rustls counts as a panic of the config",
        "src/tls/engine.rs",
        r#"        if cfg!(debug_assertions) && self.closed {"#,
        r#"        if false {"#,
    ),
    (
        "the peer takes the end of the keys for the end",
        "src/connection/filter.rs",
        r#"            Some(&ALERT) => used_up = true,"#,
        r#"            Some(&ALERT) if false => used_up = true,"#,
    ),
    (
        "a shutdown waits for silent handshakes",
        "src/connection/filter.rs",
        r#"        self.by = self.by.min(later(now, within));"#,
        r#"        let _ = (now, within);"#,
    ),
    (
        "pressure that encryption adds is not told",
        "src/connection/output.rs",
        r#"            && (self.has_plain() || !self.is_handshaking())"#,
        r#"            && self.has_plain()"#,
    ),
    (
        "new keys with each read, whether the peer takes them or not",
        "src/tls/engine.rs",
        r#"            self.drain(plain);
            if"#,
        r#"            self.drain(plain);
            drop(self.connection.refresh_traffic_keys());
            if"#,
    ),
    (
        "silence is waited for while a handshake holds up the next protocol",
        "src/connection/timing.rs",
        r#"            Life::New | Life::Open => extras.idle_deadline(),"#,
        r#"            Life::New | Life::Open | Life::HandingOver => extras.idle_deadline(),"#,
    ),
    (
        "another address is tried while the first shakes hands",
        "src/connector/preparing.rs",
        r#"        self.drop_head_start(connector);
        if let Some(connector) = self.connector_mut(connector) {
            connector.attempts.clear();
            connector.candidates.clear(); // this address has won, whatever becomes of its preparation
"#,
        r#"        if let Some(connector) = self.connector_mut(connector) {
            connector.attempts.clear();
"#,
    ),
];

/// The same for the PROXY protocol. Rows of the table or tests of `tests/proxy` must find them.
const DEFECTS_OF_PROXY: &[Defect] = &[
    (
        "the bytes behind a header are lost",
        "src/connection/preparing.rs",
        r#"                    extras.kept.push(&behind, &mut common.spares.vectors);"#,
        r#"                    let _ = extras;"#,
    ),
    (
        "a header is believed whoever sends it",
        "src/reactor/preparations.rs",
        r#"            return if proxies.iter().any(|network| network.contains(peer)) {"#,
        r#"            return if proxies.iter().all(|network| network.contains(peer) || true) {"#,
    ),
    (
        "a limit per peer counts by the proxy in spite of its header",
        "src/listener/accepting.rs",
        r#"        let stays = listener.identified(peer);"#,
        r#"        let stays = listener.identified(&listener.local.clone());"#,
    ),
    (
        "a header has no deadline",
        "src/connection/preparing.rs",
        r#"            Life::Preparing(Preparation::Header(header)) => Some(header.deadline()),"#,
        r#"            Life::Preparing(Preparation::Header(_)) => None,"#,
    ),
    (
        "a header that waits in the stream is late",
        "src/connection/timing.rs",
        r#"        if !io.asked {
            // A flush"#,
        r#"        if !io.asked && !prepares_for_too_long {
            // A flush"#,
    ),
    (
        "a shutdown waits for a header as long as ever",
        "src/connection/preparing.rs",
        r#"            header.hurry(now, within);"#,
        r#"            let _ = header;"#,
    ),
    (
        "a wrong checksum of a header is no matter",
        "src/proxy/header.rs",
        r#"            if crc32c(&blank) != u32::from_be_bytes(told) {"#,
        r#"            if crc32c(&blank) == !u32::from_be_bytes(told) {"#,
    ),
    (
        "a header of the proxy's own must make sense",
        "src/proxy/header.rs",
        r#"    if command == LOCAL && checked != Err(Fault::Checksum) {"#,
        r#"    if command == LOCAL && checked.is_ok() {"#,
    ),
    (
        "a header may have any length",
        "src/proxy/header.rs",
        r#"    if len > LONGEST_HEADER {"#,
        r#"    if len > usize::from(u16::MAX) + FIXED {"#,
    ),
    (
        "a line of a header may have any length",
        "src/proxy/header.rs",
        r#"    let begin = &bytes[..bytes.len().min(LONGEST_LINE)];"#,
        r#"    let begin = bytes;"#,
    ),
    (
        "any number of connections may wait for their header",
        "src/listener/state.rs",
        r#"        if self.unidentified >= crate::proxy::MOST_UNIDENTIFIED {"#,
        r#"        if self.unidentified == usize::MAX {"#,
    ),
    (
        "a connection that ends in its header stays counted",
        "src/listener/state.rs",
        r#"        if self.preparations.begin_with_a_header() && !identified {
            self.unidentified = self.unidentified.saturating_sub(1);"#,
        r#"        if self.preparations.begin_with_a_header() && !identified {"#,
    ),
    (
        "a listener does not go on when a header has come",
        "src/listener/accepting.rs",
        r#"        if has_room {
            self.queue(key);
        }"#,
        r#"        let _ = has_room;"#,
    ),
    (
        "TLS behind a header is taken for data",
        "src/listener/accepting.rs",
        r#"        let begun = try_to_begin(|| listener.preparations.after_header(peer));"#,
        r#"        let begun = try_to_begin(|| listener.preparations.after_header(peer).map(|_| None));"#,
    ),
    (
        "a wrong header is closed in order",
        "src/connection/preparing.rs",
        r#"                self.abort(reason); // nothing was said yet that a reset could take away"#,
        r#"                self.end(reason);"#,
    ),
    (
        "the peer stays the proxy after its header",
        "src/reactor/identifying.rs",
        r#"        session.peer = peer.clone();"#,
        r#""#,
    ),
    (
        "a preface, as a header is one, is lost before TLS",
        "src/connection/securing.rs",
        r#"        let clear = mem::take(&mut self.outgoing);"#,
        r#"        self.outgoing.clear(&mut common.spares);
        let clear = mem::take(&mut self.outgoing);"#,
    ),
];

/// The same for calls, what they write and keep, and panics. Tests of their queue, of threads, silence, shared bytes,
/// tunnels and panics must find them.
const DEFECTS_OF_CALLS: &[Defect] = &[
    (
        "a tunnel that is taken apart resets the connection of an heir",
        "src/extras/tunnel/pair.rs",
        r#"                .filter(|(_, gone)| !gone.load(Ordering::Relaxed))
"#,
        "",
    ),
    (
        "a tunnel that is taken apart resets a connection before its heir is there",
        "src/extras/tunnel/pair.rs",
        r#"
                .filter(|other| !other.is_handing_over());"#,
        r#";"#,
    ),
    (
        "progress counts from the beginning of the callback",
        "src/reactor/dispatch.rs",
        r#"self.memory.common.latest.callback = Some(ended);"#,
        r#"self.memory.common.latest.callback = Some(began);"#,
    ),
    (
        "bytes that were told count as lent after their callback",
        "src/reactor/visit.rs",
        r#"                self.memory.common.loan.end();
"#,
        "",
    ),
    (
        "bytes that a replaced reactor told count as lent when it is back",
        "src/reactor/state.rs",
        r#"        self.common.loan.end(); //"#,
        r#"        //"#,
    ),
    (
        "a connection whose reactor was replaced stays for ever",
        "src/reactor/flushing.rs",
        r#"            self.abort(ConnectionId(key), Reason::Aborted);"#,
        r#"            drop((key, Reason::Aborted));"#,
    ),
    (
        "a repeated call whose reactor was replaced fires for ever",
        "src/reactor/flushing.rs",
        r#"            self.timers.cancel(lost.timer);"#,
        r#"            let _ = lost.timer;"#,
    ),
    (
        "progress counts from the beginning of a callback that is watched",
        "src/reactor/dispatch.rs",
        r#"callback = last.and(Some(ended));"#,
        r#"callback = last;"#,
    ),
    (
        "a panic of a drop within a connection is told to nobody",
        "src/parts/panics.rs",
        r#"            self.0.push(payload);"#,
        r#"            std::mem::forget(payload);"#,
    ),
    (
        "owners of bytes are dropped together",
        "src/parts/outgoing.rs",
        r#"            while let Some(piece) = pieces.queue.pop_front() {
                spares.panics.let_go(piece);
            }"#,
        r#"            pieces.queue.clear();"#,
    ),
    (
        "the reason of a close is dropped by the one that takes its place",
        "src/connection/commands.rs",
        r#"        if closes && kept.is_some() {"#,
        r#"        if false && closes && kept.is_some() {"#,
    ),
    (
        "a connection that is not there any more is counted as closed",
        "src/reactor/visit.rs",
        r#"        if !self.free(key, owner == Owner::None) {
            return;"#,
        r#"        if !self.free(key, owner == Owner::None) {"#,
    ),
    (
        "calls of other threads wait until few others do",
        "src/reactor/state.rs",
        r#"        if self.shared.is_filled() {"#,
        r#"        if self.len < wanted && self.shared.is_filled() {"#,
    ),
    (
        "a queue of calls keeps the memory of its closures",
        "src/parts/call_queue.rs",
        r#"            functions.give_memory_back();"#,
        r#"            let _ = functions;"#,
    ),
];

/// The same for the recorder, the trace and the counters. Tests of the suite must find them.
const DEFECTS_OF_RECORDS: &[Defect] = &[
    (
        "the time between two turns is that of a callback",
        "src/reactor/turn.rs",
        r#"        self.memory.common.latest.callback = None;
"#,
        "",
    ),
    (
        "a report counts all sources that were served as one",
        "src/reactor/turn.rs",
        r#"report.served += queue.len();"#,
        r#"report.served += 1;"#,
    ),
    (
        "a slow callback behind another of its turn is not judged",
        "src/reactor/dispatch.rs",
        r#"            self.time.slow_after = later(ended, limit);"#,
        r#"            self.time.slow_after = later(ended, limit * 9);"#,
    ),
    (
        "a slow callback is not judged behind one within it",
        "src/reactor/dispatch.rs",
        r#"                None => self.judge_time(subject, callback, running.began, ended),"#,
        r#"                None => self.judge_outermost(subject, callback, running.began, ended),"#,
    ),
    (
        "a command has the time of the notice before it",
        "src/observe/watcher.rs",
        r#"        self.read_clock_unless(None, Since::Work);
        match self.depth {"#,
        r#"        match self.depth {"#,
    ),
    (
        "the clock is read for bytes that leave right after a callback",
        "src/observe/watcher.rs",
        r#"        self.read_clock_unless(Some(Since::Callback), Since::Work);"#,
        r#"        self.read_clock_unless(None, Since::Work);"#,
    ),
    (
        "the clock is read for each phase",
        "src/reactor/turn.rs",
        r#"        self.monitor.mark(|| Notice::PhaseBegin(phase));"#,
        r#"        self.monitor.note(|| Notice::PhaseBegin(phase));"#,
    ),
    (
        "the newest notice is dropped when the recorder is full",
        "src/observe/recorder.rs",
        r#"            Some(place) => *place = (at, notice.clone()),"#,
        r#"            Some(_) => {}"#,
    ),
    (
        "a full recorder counts no more",
        "src/observe/recorder.rs",
        r#"        self.count += 1;
        match self.ring.get_mut(self.next) {"#,
        r#"        self.count += u64::from(self.ring.len() < self.capacity);
        match self.ring.get_mut(self.next) {"#,
    ),
    (
        "connections of what is left out are recorded",
        "src/observe/recorder.rs",
        r#"                    self.left_out.insert(Subject::Connection(*connection));"#,
        r#""#,
    ),
    (
        "turns of what is left out are recorded",
        "src/observe/recorder.rs",
        r#"        } else if ends {
            self.marks.clear();"#,
        r#"        } else if ends {
            let mut marks = std::mem::take(&mut self.marks);
            marks.drain(..).for_each(|(at, notice)| self.push(at, &notice));"#,
    ),
    (
        "a connection that is gone stays left out",
        "src/observe/recorder.rs",
        r#"                self.left_out.remove(&Subject::Connection(*connection))"#,
        r#"                self.left_out.contains(&Subject::Connection(*connection))"#,
    ),
    (
        "a phase of the trace has no end",
        "src/observe/trace/mod.rs",
        r#"    fn begin_phase(&mut self, phase: Phase, at: u64) {
        self.end(PHASE, at);"#,
        r#"    fn begin_phase(&mut self, phase: Phase, at: u64) {"#,
    ),
    (
        "a callback ends after its phase in the trace",
        "src/observe/trace/mod.rs",
        r#"            Notice::CallbackEnd { .. } => self.end(CALLBACK, at),"#,
        r#"            Notice::CallbackEnd { .. } => self.end(PHASE, at),"#,
    ),
    (
        "a trace has no limit",
        "src/observe/trace/mod.rs",
        r#"        if self.events.written > self.limit {"#,
        r#"        if self.events.written == u64::MAX {"#,
    ),
    (
        "a trace does not say what it dropped",
        "src/observe/trace/mod.rs",
        r#"            Progress::Full { dropped } => return *dropped += 1,"#,
        r#"            Progress::Full { .. } => return,"#,
    ),
    (
        "a trace is written at its end only",
        "src/observe/trace/mod.rs",
        r#"        self.lives.count(&mut self.events, self.ready as u64, at);
        self.events.flush();"#,
        r#"        self.lives.count(&mut self.events, self.ready as u64, at);"#,
    ),
    (
        "a name breaks the trace",
        "src/observe/trace/events.rs",
        r#"                '"' | '\\' => write!(self.0, "\\{char}")?,"#,
        r#"                '"' | '\\' => write!(self.0, "{char}")?,"#,
    ),
    (
        "the trace goes on after an error of its writer",
        "src/observe/trace/events.rs",
        r#"            self.error = Some(error);"#,
        r#"            let _ = error;"#,
    ),
    (
        "connections that are open at the end of a trace have no end",
        "src/observe/trace/mod.rs",
        r#"        self.lives.end_all(&mut self.events, at);"#,
        r#""#,
    ),
    (
        "a recorder that leaves nothing out any more loses the marks of that turn",
        "src/observe/recorder.rs",
        r#"        if self.sifts {"#,
        r#"        if !self.left_out.is_empty() {"#,
    ),
    (
        "a trace keeps the attempts that have failed",
        "src/observe/trace/lives.rs",
        r#"                self.connectors.remove(connector);
"#,
        r#""#,
    ),
    (
        "bytes that a closing connection refuses wait in a trace",
        "src/observe/trace/lives.rs",
        r#".filter(|life| life.stage == OPEN)"#,
        r#""#,
    ),
    (
        "bytes that wait are counted twice in the trace",
        "src/observe/trace/lives.rs",
        r#"            self.buffered = self.buffered - life.waiting + waiting;"#,
        r#"            self.buffered += waiting;"#,
    ),
    (
        "an arrow of the trace begins nowhere",
        "src/observe/trace/lives.rs",
        r#"        events.add(Kind::ArrowBegin(Row::Reactor, id), name, &name, from, &[]);
"#,
        r#"        let _ = from;
"#,
    ),
];

/// The same for tasks. Worlds with tasks, or the tests of tasks, must find them.
const DEFECTS_OF_TASKS: &[Defect] = &[
    (
        "a task that takes over is not told of room to write",
        "src/extras/futures/guest.rs",
        r#"                link.room.note(|()| ()); // during the exchange nobody was told of room"#,
        r#""#,
    ),
    (
        "a peer that floods a task is read on",
        "src/extras/futures/guest.rs",
        r#"            input.paused = true;
            transport.pause_reading();"#,
        r#"            let _ = transport;"#,
    ),
    (
        "a future that is dropped undoes nothing",
        "src/extras/futures/shared.rs",
        r#"        self.executor.command(move |reactor| undo(reactor, id));"#,
        r#"        let _ = (id, undo);"#,
    ),
    (
        "a sleep until a moment counts from now",
        "src/extras/futures/time.rs",
        r#"                End::At(moment) => reactor.call_at(moment, wake),"#,
        r#"                End::At(moment) => {
                    let delay = moment.saturating_duration_since(reactor.now());
                    reactor.call_later(delay, wake)
                }"#,
    ),
    (
        "a stop leaves the tasks",
        "src/extras/futures/executor.rs",
        r#"        reactor.lend(|| self.clear());"#,
        r#""#,
    ),
    (
        "a task is woken only once",
        "src/extras/futures/executor.rs",
        r#"        ticket.begin_poll();
"#,
        r#""#,
    ),
    (
        "a ticket of a task that is over wakes the next tenant",
        "src/extras/futures/executor.rs",
        r#"        tasks.get_mut(self.key).filter(|task| Arc::ptr_eq(&task.ticket, self))"#,
        r#"        tasks.get_mut(self.key)"#,
    ),
    (
        "an aborted task stays until something else wakes it",
        "src/extras/futures/ticket.rs",
        r#"        self.aborted.store(true, Ordering::Release);
        self.wake_by_ref();"#,
        r#"        self.aborted.store(true, Ordering::Release);"#,
    ),
    (
        "a panic of a task goes to the loop although somebody has its handle",
        "src/extras/futures/outcome.rs",
        r#"if Rc::strong_count(&place) > 1 => {"#,
        r#"if Rc::strong_count(&place) > 99 => {"#,
    ),
    (
        "a future that panicked is dropped when the panic is over",
        "src/extras/futures/outcome.rs",
        r#"        let Poll::Ready(output) = self.as_mut().poll(cx) else { return Some(self) };"#,
        r#"        let poll = std::panic::AssertUnwindSafe(|| self.as_mut().poll(cx));
        let output = match std::panic::catch_unwind(poll) {
            Ok(Poll::Ready(output)) => output,
            Ok(Poll::Pending) => return Some(self),
            Err(panic) => {
                drop(self);
                std::panic::resume_unwind(panic)
            }
        };"#,
    ),
    (
        "the output of a task is there before its future is dropped",
        "src/extras/futures/outcome.rs",
        r#"        drop(self); // before anybody sees its output; if this panics, the output goes with it
"#,
        r#""#,
    ),
    (
        "a panic of the waker of the one who waits for a task leaves the task there",
        "src/extras/futures/executor.rs",
        r#"        let ended = catch_unwind(AssertUnwindSafe(|| outcome.end(aborted, polled.err())));"#,
        r#"        let ended = Ok::<_, Box<dyn Any + Send>>(outcome.end(aborted, polled.err()));"#,
    ),
    (
        "a writer is not woken when there is room",
        "src/extras/futures/guest.rs",
        r#"        self.tell(transport, |link, _| link.room.note(|()| ()));
"#,
        r#""#,
    ),
    (
        "a task does not lift the pause of reading",
        "src/extras/futures/guest.rs",
        r#"                self.resume_reading();
"#,
        r#""#,
    ),
    (
        "a reader is not told of a shutdown",
        "src/extras/futures/guest.rs",
        r#"        self.tell(transport, |link, _| link.input.note(|input| input.closing = true));"#,
        r#"        let _ = transport;"#,
    ),
    (
        "the end of a connection loses its errno",
        "src/extras/futures/guest.rs",
        r#"                return Poll::Ready(Err(reason.into()));"#,
        r#"                return Poll::Ready(Err(io::Error::from(reason).kind().into()));"#,
    ),
    (
        "a timer outlives the sleep that was dropped",
        "src/extras/futures/time.rs",
        r#"undo: |reactor, id| _ = reactor.cancel_timer(id) }"#,
        r#"undo: |_, _| {} }"#,
    ),
    (
        "a sleep is over early",
        "src/extras/futures/time.rs",
        r#"                    && moment <= reactor.now()
"#,
        r#"                    && moment <= reactor.now() + Duration::from_millis(5)
"#,
    ),
    (
        "a connection is left open by the task that drops it",
        "src/extras/futures/connection.rs",
        r#"        false => transport.lose_connection(),
"#,
        r#"        false => drop(transport),
"#,
    ),
    (
        "a task that panics closes its connection in order",
        "src/extras/futures/connection.rs",
        r#"        true => transport.abort_connection(),
"#,
        r#"        true => transport.lose_connection(),
"#,
    ),
    (
        "a task closes a connection that another protocol has taken",
        "src/extras/futures/connection.rs",
        r#"            _ if self.is_given || link.is_over() =>"#,
        r#"            _ if self.is_given =>"#,
    ),
    (
        "a task closes a connection that is being taken from it",
        "src/extras/futures/connection.rs",
        r#"if !IS_EXPECTED && transport.is_handing_over() {"#,
        r#"if IS_EXPECTED && transport.is_handing_over() {"#,
    ),
    (
        "what a task has just taken over cannot be given away",
        "src/extras/futures/guest.rs",
        r#"        if !self.expected.get() {
"#,
        r#"        if true {
"#,
    ),
    (
        "a half-close of a task closes both halves",
        "src/extras/futures/halves.rs",
        r#"|transport| transport.lose_write_connection()"#,
        r#"|transport| transport.lose_connection()"#,
    ),
    (
        "a listener that was never served does not tell its task of its end",
        "src/extras/futures/making.rs",
        r#"        self.queue.note(|queue| queue.ended = true);"#,
        r#""#,
    ),
    (
        "a datagram socket that was never served does not tell its task of its end",
        "src/extras/futures/datagrams.rs",
        r#"        self.end(&Reason::Closed);"#,
        r#""#,
    ),
    (
        "an attempt goes on when its future is dropped",
        "src/extras/futures/making.rs",
        r#"undo: |reactor, id| _ = reactor.cancel_connect(id) }"#,
        r#"undo: |_, _| {} }"#,
    ),
    (
        "a connection is kept that was made when its attempt was dropped",
        "src/extras/futures/making.rs",
        r#"            let link = Link::new(&executor);
            let id"#,
        r#"            let link = Link::new(&executor);
            std::mem::forget(Rc::clone(&outcome));
            let id"#,
    ),
    (
        "bytes that were lent are lost if the task does not look at them",
        "src/extras/futures/guest.rs",
        r#"                self.keep(input, data, transport);
            }
        });"#,
        r#"                let _ = (data, transport);
            }
        });"#,
    ),
    (
        "a protocol that takes over misses what the task was lent and has not looked at",
        "src/extras/futures/guest.rs",
        r#"                input.bytes.extend_from_slice(&lent);
"#,
        r#"                drop(lent);
"#,
    ),
    (
        "a task reads what came before TLS as if it were encrypted",
        "src/extras/futures/connection.rs",
        r#"                self.put_back(transport);
                self.reader.forget();
"#,
        r#""#,
    ),
    (
        "a task that has read all waits for ever for TLS, if its peer was paused",
        "src/extras/futures/connection.rs",
        r#"        if paused {
            transport.resume_reading();
        }
"#,
        r#"        let _ = paused;
"#,
    ),
    (
        "what a task was lent counts as lent after the callback",
        "src/extras/futures/guest.rs",
        r#"        self.lent_at.set((0, 0));
"#,
        r#""#,
    ),
    (
        "an echo that has written more than there was room for is not read again",
        "src/extras/futures/guest.rs",
        r#"        transport.default_resume_writing();
"#,
        r#""#,
    ),
    (
        "a task that was claimed is lost in a panic",
        "src/extras/futures/ticket.rs",
        r#"                if let Some(Some(claimed)) = CLAIMED.replace(self.0.take()) {
                    claimed.queue();
                }"#,
        r#"                drop(CLAIMED.replace(self.0.take()));"#,
    ),
    (
        "a panic of one task ends the connection in whose callback it is polled",
        "src/extras/futures/executor.rs",
        r#"reactor.call_soon(|_| drop(panic));"#,
        r#"drop(panic);"#,
    ),
    (
        "a callback polls a task of another reactor",
        "src/extras/futures/ticket.rs",
        r#"        if Arc::ptr_eq(&claimed.inbox, inbox) {"#,
        r#"        if !Arc::ptr_eq(&claimed.inbox, inbox) || true {"#,
    ),
    (
        "a session that is spawned under another name is polled without it",
        "src/extras/futures/executor.rs",
        r#"            Spawned::Wanted(name) if name == ticket.name => {"#,
        r#"            Spawned::Wanted(_) => {"#,
    ),
    (
        "a listener outlives the stream of its connections",
        "src/extras/futures/making.rs",
        r#"undo: |reactor, id| _ = reactor.stop_listening(id) }"#,
        r#"undo: |_, _| {} }"#,
    ),
    (
        "a datagram is kept for its task although it does not fit",
        "src/extras/futures/datagrams.rs",
        r#"if waiting + data.len() + OVERHEAD <= MOST_WAITING {"#,
        r#"if waiting < MOST_WAITING {"#,
    ),
];

/// A table of defects that are looked for in one way.
type Table = (&'static [Defect], fn(&Copy) -> Option<String>);

const TABLES: [Table; 6] = [
    (DEFECTS, Copy::first_failure),
    (DEFECTS_OF_TLS, Copy::first_failure_of_tls),
    (DEFECTS_OF_PROXY, Copy::first_failure_of_proxy),
    (DEFECTS_OF_CALLS, Copy::first_failure_of_calls),
    (DEFECTS_OF_RECORDS, Copy::first_failure_of_records),
    (DEFECTS_OF_TASKS, Copy::first_failure_of_tasks),
];

#[test]
fn each_defect_changes_one_place_of_the_source() {
    for &(name, file, before, after) in TABLES.iter().flat_map(|(defects, _)| *defects) {
        assert_eq!(source(file).matches(before).count(), 1, "{name}: {file} has changed");
        assert_ne!(before, after, "{name}");
    }
}

#[test]
#[ignore = "it builds crocus once for each defect"]
fn each_defect_is_found() {
    let missed: Vec<_> = TABLES.iter().flat_map(|table| find(*table)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// Makes each defect, and returns those that are not found.
fn find((defects, first_failure): Table) -> Vec<&'static str> {
    let copy = Copy::new();
    let mut missed = Vec::new();
    let wanted = std::env::var("CROCUS_DEFECT").unwrap_or_default();
    for &(name, file, before, after) in defects.iter().filter(|it| it.0.contains(&wanted)) {
        let source = source(file);
        copy.write(file, &source.replacen(before, after, 1));
        match first_failure(&copy) {
            Some(failure) => println!("{name}: {failure}"),
            None => {
                println!("{name}: NOT FOUND");
                missed.push(name);
            }
        }
        copy.write(file, &source);
    }
    missed
}

fn source(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The package, where it may be damaged.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("defects"));
        for part in ["src", "tests", "examples", "benches", "docs", "guide"] {
            // A file that has moved since the last run would be there twice.
            drop(std::fs::remove_dir_all(copy.0.join(part)));
        }
        for part in ["Cargo.toml", "README.md", "docs", "src", "examples", "guide", "tests"] {
            copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), &copy.0.join(part));
        }
        // Cargo wants what the manifest names; the comparison is a workspace of its own, and large.
        let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        for entry in std::fs::read_dir(benches).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("compare") {
                copy_tree(&path, &copy.0.join("benches").join(path.file_name().unwrap()));
            }
        }
        copy
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.join(file), text).unwrap();
    }

    /// Runs worlds and the connection's tests on the code as it is, and returns the first that fails. Most
    /// defects show in few worlds, which take the least time to build.
    fn first_failure(&self) -> Option<String> {
        self.first_world(FIRST_WORLDS)
            .or_else(|| self.first_test())
            .or_else(|| self.first_world(WORLDS))
    }

    fn first_world(&self, worlds: &str) -> Option<String> {
        let said = self.run(&["--test", "worlds"], &[], worlds)?;
        let number = |line: &str| -> Option<u64> {
            line.split(" world ").nth(1)?.split(':').next()?.parse().ok()
        };
        let failures = said.lines().filter_map(|line| Some((number(line)?, line)));
        let first = failures.min().map(|(_, line)| line);
        first.or_else(|| said.lines().last()).map(str::to_owned)
    }

    fn first_test(&self) -> Option<String> {
        let said = self.run(&["--lib"], &["connection::"], WORLDS)?;
        said.lines().find(|line| line.ends_with("FAILED")).map(str::to_owned)
    }

    /// The same with the worlds that speak TLS, and with the tests of TLS that need no other program.
    fn first_failure_of_tls(&self) -> Option<String> {
        self.first_secured_world().or_else(|| self.first_test_of_tls())
    }

    fn first_secured_world(&self) -> Option<String> {
        let said = self.run(&["--test", "worlds"], &["secured"], FIRST_WORLDS_OF_TLS)?;
        let found = said.lines().find(|line| line.contains(" world "));
        found.or_else(|| said.lines().last()).map(str::to_owned)
    }

    fn first_test_of_tls(&self) -> Option<String> {
        let tests = ["--no-fail-fast", "--lib", "--test", "tls"];
        let names = [
            "connection::table_of_tls",
            "closing::",
            "cuts::",
            "handshakes::",
            "moving::",
            "switching::",
        ];
        self.first_of(&tests, &names)
    }

    /// The same with the tests of the PROXY protocol that need no other program.
    fn first_failure_of_proxy(&self) -> Option<String> {
        let tests = ["--no-fail-fast", "--lib", "--test", "proxy"];
        let names = [
            "connection::table_of_headers",
            "proxy::header",
            "announcing::",
            "limits::",
            "refusing::",
            "under_tls::",
        ];
        self.first_of(&tests, &names)
    }

    /// The same with the tests of calls and of panics.
    fn first_failure_of_calls(&self) -> Option<String> {
        let tests = ["--no-fail-fast", "--lib", "--test", "suite"];
        let names = ["call_queue::", "panics::", "sharing::", "silence::", "threads::", "tunnel::"];
        self.first_of(&tests, &names)
    }

    /// The same with the tests of observers.
    fn first_failure_of_records(&self) -> Option<String> {
        let tests = ["--no-fail-fast", "--lib", "--test", "suite"];
        self.first_of(&tests, &["observe::", "observing::", "recording::", "tracing::"])
    }

    /// The same with worlds that have tasks, and with the tests of tasks.
    fn first_failure_of_tasks(&self) -> Option<String> {
        let worlds = self.run(&["--test", "worlds"], &["awaited"], FIRST_WORLDS_OF_TASKS);
        let found = worlds.map(|said| {
            let found = said.lines().find(|line| line.contains(" world "));
            found.or_else(|| said.lines().last()).unwrap_or_default().to_owned()
        });
        let tests = ["--no-fail-fast", "--test", "futures", "--test", "cancelling"];
        found.or_else(|| self.first_of(&tests, &[]))
    }

    fn first_of(&self, tests: &[&str], names: &[&str]) -> Option<String> {
        let said = self.run(tests, names, FIRST_WORLDS)?;
        let failed = said.lines().find(|line| line.ends_with("FAILED"));
        failed.or_else(|| said.lines().last()).map(str::to_owned)
    }

    /// The output of tests that fail. A run that hangs is ended.
    fn run(&self, tests: &[&str], names: &[&str], worlds: &str) -> Option<String> {
        let cargo = [&[env!("CARGO"), "test", "-p", "crocus"], tests].concat();
        let built = self.output(&[cargo.as_slice(), &["--no-run"]].concat(), worlds);
        if !built.status.success() {
            println!("it does not build: {}", text(&built));
            return None;
        }
        let limited = ["timeout", LONGEST_RUN];
        let ran = self.output(&[&limited, cargo.as_slice(), &["--"], names].concat(), worlds);
        let hangs = ran.status.code() == Some(124);
        let failed = (!ran.status.success()).then(|| text(&ran));
        if hangs { Some("it comes to no end".to_owned()) } else { failed }
    }

    fn output(&self, command: &[&str], worlds: &str) -> Output {
        Command::new(command[0])
            .args(&command[1..])
            .current_dir(&self.0)
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUST_BACKTRACE", "0")
            .env("CROCUS_WORLDS", worlds)
            .output()
            .unwrap()
    }
}

fn text(output: &Output) -> String {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

fn copy_tree(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
        return;
    }
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy_tree(&from.join(&name), &to.join(&name));
    }
}
