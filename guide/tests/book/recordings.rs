//! The scripts whose transcripts are in `guide/transcripts`, each with the program that it plays with.
//!
//! Each does one thing, waits for the line that this causes, and goes on. So a fresh run gives the same lines.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;

use guide::play::{Finding, Program};

use crate::figures::bless_or_compare;
use crate::text::root;
use crate::transcripts::REPEATED;

/// The lines that a script has made, or its finding.
type Played = Result<(), Finding>;

/// The name of a program and its transcript, and the script.
type Recording = (&'static str, fn(&mut Program) -> Played);

const RECORDINGS: [Recording; 11] = [
    ("01", one_waits_for_the_other),
    ("02", one_waits_for_the_other_no_more),
    ("03", nothing_happens),
    ("04x", two_come_at_once),
    ("05", a_large_answer),
    ("06", one_question),
    ("07", one_watches),
    ("08", one_is_silent),
    ("09", a_reader_that_does_not_read),
    ("10", an_end),
    ("11", somebody_types),
];

/// The bytes of `lines answered in this turn: 1`, or what step 07 says in its place.
const NEWS: usize = 31;

/// A program of the guide, as cargo has built it for this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let folder = test.parent().and_then(Path::parent).expect("it stands in target/debug/deps");
    folder.join(name)
}

/// Waits for a line of the log, and then until the program waits for the next event. Before that it might
/// still meet what the script does next in the same turn.
fn quiet(server: &mut Program, line: &str) -> Played {
    if !line.is_empty() {
        server.wait_for(line)?;
    }
    server.wait_until_asleep()
}

/// Chapter 1: the second client is served when the first one has left.
fn one_waits_for_the_other(server: &mut Program) -> Played {
    let first = server.connect()?;
    quiet(server, "#1 | accepted")?;
    let mut second = server.connect()?;
    second.send("1\n")?;
    first.leave();
    quiet(server, "#1 | closed")?;
    quiet(server, "#2 | wrote")?;
    second.receive(81).map(drop)
}

/// Chapter 2: the same clients, and each has a thread.
fn one_waits_for_the_other_no_more(server: &mut Program) -> Played {
    let first = server.connect()?;
    quiet(server, "#1 | accepted")?;
    let mut second = server.connect()?;
    quiet(server, "#2 | accepted")?;
    second.send("1\n")?;
    quiet(server, "#2 | wrote")?;
    second.receive(81)?;
    first.leave();
    quiet(server, "#1 | closed")
}

/// Chapter 3: the loop turns, and turns.
fn nothing_happens(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    server.wait_for("#1 | accepted")?;
    server.wait_for("for nothing")?;
    first.send("1\n")?;
    server.wait_for("#1 | wrote")?;
    first.receive(81).map(drop)
}

/// Chapter 4: two events become one, and one client is forgotten.
fn two_come_at_once(server: &mut Program) -> Played {
    server.stop()?;
    let mut first = server.connect()?;
    let mut second = server.connect()?;
    server.resume()?;
    quiet(server, "#1 | accepted")?;
    second.send("1\n")?;
    first.send("1\n")?;
    quiet(server, "#1 | wrote")?;
    first.receive(81).map(drop)
}

/// Chapter 5: bytes wait for a slow reader, and nobody else does.
fn a_large_answer(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    quiet(server, "#1 | writable")?;
    first.send("200000\n")?;
    quiet(server, "#1 | wrote")?;
    let mut second = server.connect()?;
    quiet(server, "#2 | writable")?;
    second.send("1\n")?;
    quiet(server, "#2 | wrote")?;
    second.receive(81).map(drop)
}

/// Chapter 6: the call of your code.
fn one_question(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    quiet(server, "#1 | writable")?;
    first.send("2\n")?;
    quiet(server, "#1 | wrote")?;
    first.receive(162)?;
    first.leave();
    quiet(server, "#1 | closed")
}

/// Chapter 7: a callback of one client writes to another one.
fn one_watches(server: &mut Program) -> Played {
    let mut watcher = server.connect()?;
    quiet(server, "#1 | writable")?;
    watcher.send("watch\n")?;
    quiet(server, "#1 | data_received")?;
    quiet(server, "events: 0")?;
    let mut second = server.connect()?;
    quiet(server, "#2 | writable")?;
    second.send("1\n")?;
    quiet(server, "#1 | wrote")?;
    second.receive(81)?;
    watcher.receive(NEWS).map(drop)
}

/// Chapter 8: a timer is set, and fires.
fn one_is_silent(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    quiet(server, "#1 | writable")?;
    quiet(server, "timer 1 | fires")?;
    quiet(server, "#1 | connection_lost")?;
    first.receive_to_end().map(drop)
}

/// Chapter 9: no more messages are made for a client that does not read, until it reads.
fn a_reader_that_does_not_read(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    quiet(server, "#1 | writable")?;
    first.send("200000\n")?;
    // The kernel's buffers take many portions. This waits for one that is not taken whole.
    while server.wait_for("#1 | wrote")?.ends_with(" 0 wait") {}
    quiet(server, "")?;
    first.receive(16_200_000 / 2)?;
    quiet(server, "#1 | writable")?;
    quiet(server, "#1 | wrote")?;
    quiet(server, "#1 | resume_writing")
}

/// Chapter 10: an end in order.
fn an_end(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    quiet(server, "#1 | writable")?;
    first.send("2\nquit\n")?;
    quiet(server, "#1 | sent FIN")?;
    quiet(server, "#1 | writable")?;
    first.receive_to_end()?;
    first.leave();
    quiet(server, "#1 | connection_lost")
}

/// Chapter 11: a thread has something for the reactor.
fn somebody_types(server: &mut Program) -> Played {
    let mut first = server.connect()?;
    quiet(server, "#1 | writable")?;
    first.send("ask\n")?;
    quiet(server, "#1 | data_received")?;
    quiet(server, "events: 0")?;
    let keyboard = server.stdin();
    let typed = keyboard.map(|mut keyboard| keyboard.write_all(b"hello\n"));
    typed.transpose().map_err(|error| Finding::new("somebody types", error))?;
    quiet(server, "#1 | wrote")?;
    first.receive(6).map(drop)
}

/// The lines without what differs from run to run: numbers that the kernel chooses, how often a turn repeats
/// the one before, and turns in which nothing but a signal has woken the program.
fn settled(lines: &[String]) -> Vec<String> {
    let lines = &without_further_portions(lines);
    let (mut settled, mut last, mut counted): (Vec<_>, Vec<String>, _) =
        (Vec::new(), Vec::new(), 0);
    for turn in turns(lines) {
        let body: Vec<_> = turn.iter().map(|line| plain(line, "[..]")).collect();
        if body
            .first()
            .is_some_and(|line| line.starts_with("kernel | ") && line.ends_with(" events: 0"))
        {
            continue;
        }
        if body == last {
            if settled.last().is_some_and(|line| line != REPEATED) {
                settled.push(REPEATED.to_owned());
            }
            continue;
        }
        counted += usize::from(body[0].contains(" | turn "));
        let is_counted =
            !settled.iter().any(|line| line == REPEATED) && !body[0].ends_with("for nothing");
        let number = if is_counted { counted.to_string() } else { "[..]".to_owned() };
        settled.extend(turn.iter().map(|line| plain(line, &number)));
        last = body;
    }
    settled
}

/// The lines without those that say once more that the kernel does not take all: how much room it finds for
/// a client that does not read, and in how many portions, is its own affair.
fn without_further_portions(lines: &[String]) -> Vec<String> {
    let mut kept: Vec<Vec<String>> = Vec::new();
    let mut full = Vec::new();
    for turn in turns(lines) {
        let mut left_out = false;
        let mut left: Vec<String> = Vec::new();
        for line in turn {
            let (place, event) = line.rsplit_once(" | ").unwrap_or((line, ""));
            if line.starts_with("peer | ") && event.starts_with("receives") {
                full.clear();
            }
            let is_full = event.starts_with("wrote ")
                && !event.ends_with(", 0 wait")
                && event.ends_with(" wait");
            if is_full && full.contains(&place.to_owned()) {
                left_out = true;
                continue;
            }
            if is_full {
                full.push(place.to_owned());
            }
            left.push(line.clone());
        }
        let only_events =
            left.iter().all(|line| line.contains(" | turn ") || line.ends_with("writable"));
        if !(left_out && only_events) {
            kept.push(left);
        }
    }
    kept.concat()
}

/// The lines by turn; those before the first turn stand in its place.
fn turns(lines: &[String]) -> Vec<&[String]> {
    let begins = |line: &String| line.contains(" | turn ");
    let starts = lines.iter().enumerate().filter(|(_, line)| begins(line)).map(|(index, _)| index);
    let starts: Vec<_> = std::iter::once(0).chain(starts).collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &lines[start..end])
        .filter(|turn| !turn.is_empty())
        .collect()
}

/// A line with this number of its turn, and without large numbers.
fn plain(line: &str, turn: &str) -> String {
    let depends_on_buffers =
        line.ends_with("for nothing") || line.ends_with(" wait") && !line.ends_with(" 0 wait");
    let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let digits = words[index].trim_end_matches(',').to_owned();
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            if words[index - 1] == "turn" {
                words[index] = turn.to_owned();
            } else if digits.len() > 3 || depends_on_buffers {
                words[index] = words[index].replace(&digits, "[..]");
            }
        }
    }
    words.join(" ")
}

/// Plays all scripts, once.
pub(crate) fn check_transcripts() {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| {
        thread::scope(|scope| {
            RECORDINGS.iter().for_each(|recording| drop(scope.spawn(|| check(recording))));
        });
    });
}

fn check((name, script): &Recording) {
    let mut server = Program::start(&program(name)).expect("it starts");
    let result = script(&mut server);
    let lines = settled(&server.transcript());
    result.unwrap_or_else(|finding| panic!("{name}: {finding}\n{}", lines.join("\n")));
    let path = root().join("guide/transcripts").join(name).with_extension("txt");
    bless_or_compare(&path, &(lines.join("\n") + "\n"));
}

#[test]
fn fresh_runs_give_the_committed_transcripts() {
    check_transcripts();
}
