//! Deliberate defects, each of which the random worlds must find.
//!
//! Only on request, since it builds crocus once for each defect:
//!
//! ```text
//! RUSTFLAGS="--cfg crocus_defects" cargo test --test defects -- --nocapture
//! ```
//!
//! Some more were tried that the worlds cannot find, because the simulated network, or their short
//! messages, never do what they are about: bytes sent straight that are kept too (`flow_control.rs` has a
//! test of it), readiness that comes with the connection (`connecting.rs`, on real sockets), bytes that
//! came before an answer which closes at once (`transports.rs`, the rude clients), and a stop that tells
//! within the command, which ends the test program at once.
#![cfg(crocus_defects)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// How many worlds of each kind may pass before a defect counts as not found.
const WORLDS: &str = "3000";

/// Name, file, and what stands there in place of what.
const DEFECTS: &[(&str, &str, &str, &str)] = &[
    (
        "no re-queue after a spent read budget",
        "src/reactor/serving.rs",
        r#"if goes_on || connection.can_resume() {"#,
        r#"if connection.can_resume() {"#,
    ),
    (
        "skip the generation check (get)",
        "src/arena.rs",
        r#"(tenant.generation == key.generation).then_some(&tenant.value)"#,
        r#"Some(&tenant.value)"#,
    ),
    (
        "skip the generation check (get_mut)",
        "src/arena.rs",
        r#"(tenant.generation == key.generation).then_some(&mut tenant.value)"#,
        r#"Some(&mut tenant.value)"#,
    ),
    (
        "deliver data after lose_connection",
        "src/reactor/serving.rs",
        r#"let delivered = connection.takes_reads();"#,
        r#"let delivered = connection.made;"#,
    ),
    (
        "deliver EOF after lose_connection",
        "src/reactor/serving.rs",
        r#"if self.connection_mut(key).is_some_and(|found| found.takes_reads()) {
            self.call_protocol(key, Callback::EofReceived"#,
        r#"if self.connection_mut(key).is_some() {
            self.call_protocol(key, Callback::EofReceived"#,
    ),
    (
        "forget a paused connection at stop",
        "src/reactor/stopping.rs",
        r#"        self.conclude(key);"#,
        r#"        if !self.connection_mut(key).is_some_and(|found| found.reading_paused) { self.conclude(key); }"#,
    ),
    (
        "call connection_lost twice",
        "src/reactor/flushing.rs",
        r#"        if made {
            self.call_protocol("#,
        r#"        for _ in 0..usize::from(made) * 2 {
            self.call_protocol("#,
    ),
    (
        "close without flushing",
        "src/reactor/flushing.rs",
        r#"Stage::Closing if flushed =>"#,
        r#"Stage::Closing =>"#,
    ),
    (
        "lose resume_writing",
        "src/reactor/flushing.rs",
        r#"connection.outgoing.len() <= connection.marks.low"#,
        r#"connection.outgoing.len() < connection.marks.low"#,
    ),
    (
        "resume_writing never told",
        "src/reactor/flushing.rs",
        r#"        if paused {
            self.tell_relief(key);
        }"#,
        r#""#,
    ),
    (
        "who was served is not flushed",
        "src/reactor/flushing.rs",
        r#"        self.flush_connection(key, straight);"#,
        r#"        let _ = straight;"#,
    ),
    (
        "fire a cancelled timer of the batch",
        "src/timers.rs",
        r#"        let timer = self.timers.remove(id.0)?;
        self.sweep();
        Some(timer.alarm)"#,
        r#"        if self.timers.get(id.0)?.state == State::Due { return Some(None); }
        let timer = self.timers.remove(id.0)?;
        self.sweep();
        Some(timer.alarm)"#,
    ),
    (
        "equal deadlines in reverse order",
        "src/timers.rs",
        r#"        self.made += 1;
        let state"#,
        r#"        self.made = self.made.wrapping_sub(1);
        let state"#,
    ),
    (
        "a timer reset in its own batch fires at once",
        "src/timers.rs",
        r#"            if timer.state != State::Due {
                continue;
            }"#,
        r#"            if timer.state == State::Firing {
                continue;
            }"#,
    ),
    (
        "forget the end that came while paused",
        "src/reactor/serving.rs",
        r#"        if connection.can_read() {
            // No event"#,
        r#"        if connection.can_read() && !connection.read_closed {
            // No event"#,
    ),
    (
        "forget the accept re-queue after the budget",
        "src/reactor/accepting.rs",
        r#"listener.acceptor.is_none() || listener.can_accept())"#,
        r#"listener.acceptor.is_none())"#,
    ),
    (
        "forget to accept again after EMFILE",
        "src/reactor/accepting.rs",
        r#"            self.timers.cancel(timer);
            self.queue(key);
        }
        self.starved"#,
        r#"            self.timers.cancel(timer);
        }
        self.starved"#,
    ),
    (
        "forget to accept when below max_connections",
        "src/reactor/accepting.rs",
        r#"        if was_full && listener.can_accept() {
            self.queue(key);
        }
    }"#,
        r#"        let _ = was_full && listener.can_accept();
    }"#,
    ),
    (
        "drop the sender's last byte",
        "src/write_buffer.rs",
        r#"self.bytes.extend_from_slice(data);"#,
        r#"self.bytes.extend_from_slice(&data[..data.len() - usize::from(data.len() > 100)]);"#,
    ),
    (
        "two outcomes of a timed-out attempt",
        "src/reactor/connecting.rs",
        r#"        self.give_up(key, Reason::ConnectTimedOut);"#,
        r#"        self.notify(key, Callback::ConnectionFailed, |factory, connector| factory.connection_failed(connector, &Reason::ConnectTimedOut));
        self.give_up(key, Reason::ConnectTimedOut);"#,
    ),
    (
        "a timed-out attempt goes on",
        "src/reactor/connecting.rs",
        r#"        self.give_up(key, Reason::ConnectTimedOut);"#,
        r#"        let _ = key;"#,
    ),
    (
        "attempts that lost the race are kept",
        "src/reactor/connecting.rs",
        r#"if Some(attempt) != except && self.sources.remove(attempt).is_some() {"#,
        r#"if Some(attempt) != except && except.is_none() && self.sources.remove(attempt).is_some() {"#,
    ),
    (
        "the owner is not told the loss",
        "src/reactor/flushing.rs",
        r#"self.connection_of_connector_lost(connector, &reason)"#,
        r#"{ let _ = connector; }"#,
    ),
    (
        "no cap on the outgoing buffer",
        "src/reactor/serving.rs",
        r#"if waiting > limits.write_buffer_cap {"#,
        r#"if waiting > 10 * limits.write_buffer_cap {"#,
    ),
    (
        "no close timeout",
        "src/reactor/flushing.rs",
        r#"        let timer = self.timers.insert(at_the_latest, Alarm::Close(key));"#,
        r#"        let timer = self.timers.insert(later(at_the_latest, std::time::Duration::from_secs(9999)), Alarm::Close(key));"#,
    ),
    (
        "close at once, without lingering",
        "src/reactor/flushing.rs",
        r#"        if connection.eof {
            return self.conclude(key); // closing sends FIN"#,
        r#"        if connection.eof || !answered_at_once {
            return self.conclude(key); // closing sends FIN"#,
    ),
    (
        "a hang-up behind a pause goes unnoticed",
        "src/reactor/serving.rs",
        r#"        } else if connection.hangup {
            self.look_for_error(key);
        }"#,
        r#"        }"#,
    ),
    (
        "both halves shut and it goes on",
        "src/reactor/flushing.rs",
        r#"            connection.end_was_told() && connection.stage == Stage::Open && connection.finish()"#,
        r#"            connection.end_was_told() && connection.stage == Stage::Gone && connection.finish()"#,
    ),
    (
        "timers of a closed connection stay",
        "src/reactor/serving.rs",
        r#"        for timer in alarms.timers.into_iter().chain(idle).chain(closing) {"#,
        r#"        for timer in idle.into_iter().chain(closing) {"#,
    ),
    (
        "idle timeout ignores activity",
        "src/connection.rs",
        r#"            idle.last_activity = now;"#,
        r#"            let _ = (idle, now);"#,
    ),
    (
        "calls in reverse order",
        "src/reactor/timing.rs",
        r#"self.calls.push_back(Box::new(function));"#,
        r#"self.calls.push_front(Box::new(function));"#,
    ),
    (
        "reads beyond the budget",
        "src/reactor/serving.rs",
        r#"return Some(self.read_once(key, &mut scratch[..room]));"#,
        r#"return Some(self.read_once(key, &mut scratch[..room]).min(1));"#,
    ),
    (
        "a stop forgets attempts",
        "src/reactor/stopping.rs",
        r#"                self.stop_trying(key);
                self.serve_connector(key);"#,
        r#"                self.stop_trying(key);
                self.sources.remove(key);"#,
    ),
    (
        "the next protocol is not told the end",
        "src/reactor/swapping.rs",
        r#"        rare.handover.eof = connection.eof;
"#,
        r#""#,
    ),
    (
        "what was not given yet goes before what is passed on",
        "src/reactor/swapping.rs",
        r#"        handover.unused.extend(later);"#,
        r#"        let passed_on = mem::replace(&mut handover.unused, later);
        handover.unused.extend(passed_on);"#,
    ),
    (
        "who takes over stays paused for its predecessor",
        "src/reactor/swapping.rs",
        r#"        connection.reading_withheld = false;"#,
        r#""#,
    ),
    (
        "who waits for a bucket waits for ever",
        "src/reactor/throttling.rs",
        r#"            Direction::Writing => self.touch(key),"#,
        r#"            Direction::Writing => {}"#,
    ),
];

#[test]
fn the_worlds_find_each_defect() {
    let copy = Copy::new();
    let mut missed = Vec::new();
    for &(name, file, before, after) in DEFECTS {
        let source =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(source.contains(before), "{name}: {file} has changed");
        copy.write(file, &source.replacen(before, after, 1));
        match copy.first_failure() {
            Some(failure) => println!("{name}: {failure}"),
            None => missed.push(name),
        }
        copy.write(file, &source);
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The package, where it may be damaged.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("defects"));
        for part in ["Cargo.toml", "README.md", "src", "examples", "tests"] {
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

    /// What the worlds say of the code as it stands: the first one that fails. One that hangs is ended.
    fn first_failure(&self) -> Option<String> {
        let run = Command::new("timeout")
            .args(["120", env!("CARGO"), "test", "--test", "worlds"])
            .current_dir(&self.0)
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("RUST_BACKTRACE", "0")
            .env("CROCUS_WORLDS", WORLDS)
            .output()
            .unwrap();
        let said = [run.stdout, run.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("Running tests/worlds.rs"), "it does not come to that: {said}");
        if run.status.code() == Some(124) {
            return Some("the worlds come to no end".to_owned());
        }
        let failures = said.lines().filter(|line| line.contains(" world "));
        let number = |line: &&str| -> u64 {
            line.split(" world ")
                .nth(1)
                .and_then(|rest| rest.split(':').next()?.parse().ok())
                .unwrap_or(0)
        };
        failures.min_by_key(number).map(str::to_owned)
    }
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
