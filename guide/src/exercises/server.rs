//! Exercises whose program is a server: a script plays its clients.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::play::{Finding, Program};

type Checked = Result<(), Finding>;

/// The bytes of a message.
const MESSAGE: usize = 81;

/// How long a check waits for what should come within a second. Only a starter lets it wait.
const A_WHILE: Duration = Duration::from_secs(10);

/// 01: a silent client does not block the server for ever.
pub(super) fn is_patient_for_a_second(program: &Path) -> Checked {
    let mut server = Program::start(program)?;
    let mut silent = server.connect()?;
    silent.send("1\n")?;
    silent.receive(MESSAGE)?;
    let mut client = server.connect()?;
    client.send("2\n")?;
    server.set_patience(A_WHILE);
    server.wait_for("#2 | accepted")?;
    client.receive(2 * MESSAGE)?;
    drop(silent);
    Ok(())
}

/// 02: four clients are served at a time.
pub(super) fn serves_four_at_a_time(program: &Path) -> Checked {
    let mut server = Program::start(program)?;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect()?;
        client.send("1\n")?;
        client.receive(MESSAGE)?;
        clients.push(client);
    }
    for number in 5..8 {
        let mut client = server.connect()?;
        client.send("1\n")?;
        let (read, waits) = (format!("#{number} | read"), format!("#{number} | waits"));
        let (which, line) = server.wait_for_any(&[&read, &waits])?;
        if which == 0 {
            let expected = format!("main | #{number} | waits, while four others are connected");
            return Err(Finding::new(expected, line));
        }
        clients.remove(0).leave();
        server.wait_for(&read)?;
        client.receive(MESSAGE)?;
        clients.push(client);
    }
    Ok(())
}

/// 03: there is at most one turn in a millisecond, beside those in which something is done.
pub(super) fn rests_between_turns(program: &Path) -> Checked {
    const LONG: Duration = Duration::from_millis(300);
    let mut server = Program::start(program)?;
    let mut client = server.connect()?;
    let mut turns = || -> Result<u128, Finding> {
        client.send("1\n")?;
        client.receive(MESSAGE)?;
        server.wait_for("#1 | wrote")?;
        let line = server.wait_for(" | turn ")?;
        let turn = line.split(' ').nth(3).and_then(|number| number.parse().ok());
        turn.ok_or_else(|| Finding::new("the number of a turn", line))
    };
    turns()?;
    let (begun, first) = (Instant::now(), turns()?);
    let (mut asked, mut last) = (0, first);
    while begun.elapsed() < LONG {
        last = turns()?;
        asked += 1;
    }
    let (elapsed, turned) = (begun.elapsed().as_millis(), last - first);
    // A line that is asked for takes a turn or two in which something is done.
    if turned <= elapsed + 2 * asked + 2 {
        return Ok(());
    }
    let expected = format!("at most {elapsed} turns for nothing in {elapsed} ms");
    let seen = format!("{turned} turns, in which {asked} lines were answered");
    Err(Finding::new(expected, seen))
}

/// Sends more than is read at once, and looks whether the rest is read before another client's line.
fn reads_the_rest(server: &mut Program, line: &str, answers: usize) -> Checked {
    let mut hasty = server.connect()?;
    let mut other = server.connect()?;
    server.wait_for("#2 | accepted")?;
    hasty.send(&line.repeat(6000 / line.len()))?;
    server.wait_for("#1 | read 4096 bytes")?;
    hasty.receive(answers)?;
    other.send("1\n")?;
    other.receive(MESSAGE)?;
    server.wait_for("#2 | wrote")?;
    match server.count("#1 | read 1904 bytes") {
        0 => Err(Finding::new(
            "the 6000 bytes of a client are read: 4096, then 1904",
            format!(
                "4096 are read, and then another client's line:\n          {}",
                server.last_lines()
            ),
        )),
        _ => Ok(()),
    }
}

/// 04: an event tells of several clients, and of many bytes.
pub(super) fn does_all_of_an_event(program: &Path) -> Checked {
    accepts_both(program)?;
    // Long lines: the answers to short ones would fill what is shown of the log.
    let line = format!("{:0999}\n", 1);
    reads_the_rest(&mut Program::start(program)?, &line, 4096 / line.len() * MESSAGE)
}

#[cfg(not(target_os = "linux"))]
fn accepts_both(_program: &Path) -> Checked {
    Ok(()) // the script stops the program, which it can do on Linux only
}

#[cfg(target_os = "linux")]
fn accepts_both(program: &Path) -> Checked {
    let mut server = Program::start(program)?;
    server.stop()?;
    let mut first = server.connect()?;
    let _second = server.connect()?;
    server.resume()?;
    first.send("1\n")?;
    first.receive(MESSAGE)?;
    server.wait_for("#1 | wrote")?;
    if server.count("#2 | accepted") == 1 {
        return Ok(());
    }
    let expected = "two clients that connect at the same time are both accepted";
    Err(Finding::new(
        expected,
        format!("the second one is not:\n          {}", server.last_lines()),
    ))
}

/// 05: a large answer arrives whole.
pub(super) fn writes_all(program: &Path) -> Checked {
    const MANY: usize = 200_000;
    let mut server = Program::start(program)?;
    let mut client = server.connect()?;
    client.send(&format!("{MANY}\n"))?;
    client.end()?;
    server.wait_for("#1 | wrote")?; // a client that reads meanwhile could make room for all in one write
    let (count, end) = client.receive_to_end()?;
    if count == MANY * MESSAGE {
        return Ok(());
    }
    let expected = format!("{} bytes for the line {MANY}", MANY * MESSAGE);
    Err(Finding::new(expected, format!("{count} bytes, then {end:?}")))
}

/// 06: what is sent comes back.
pub(super) fn echoes(program: &Path) -> Checked {
    const SENT: &str = "a line\nand a half"; // an echo does not wait for its end
    let expected = format!("{SENT:?} comes back, and then the end");
    let mut server = Program::start(program)?;
    let mut client = server.connect()?;
    client.send(SENT)?;
    server.wait_for("data_received")?;
    client.end()?;
    let received = client.receive(SENT.len());
    let bytes = received.map_err(|finding| Finding::new(&expected, finding.saw))?;
    let (more, _end) = client.receive_to_end()?;
    if bytes == SENT.as_bytes() && more == 0 {
        return Ok(());
    }
    let saw = format!("{:?} and {more} bytes", String::from_utf8_lossy(&bytes));
    Err(Finding::new(expected, saw))
}

/// 07: a client that sends much at once is read to its end.
pub(super) fn reads_on(program: &Path) -> Checked {
    reads_the_rest(&mut Program::start(program)?, "0\n", 0)
}

/// 08: ten ticks, each by a timer.
pub(super) fn ticks_slowly(program: &Path) -> Checked {
    let mut server = Program::start(program)?;
    let leaving = server.connect()?;
    server.wait_for("#1 | ")?;
    leaving.leave();
    let begun = Instant::now();
    let mut client = server.connect()?;
    client.receive(50)?;
    let elapsed = begun.elapsed();
    for _ in 0..10 {
        let line = server.wait_for("#2 | wrote ")?;
        if !line.contains("wrote 5 bytes") {
            return Err(Finding::new("ten times: #2 | wrote 5 bytes", line));
        }
    }
    if elapsed < Duration::from_millis(1000) {
        let saw = format!("{} ms", elapsed.as_millis());
        return Err(Finding::new("ten ticks take a second", saw));
    }
    client.end()?;
    let (more, _end) = client.receive_to_end()?;
    if more > 0 {
        let expected = "ten ticks, and none of those that were for a client that has left";
        return Err(Finding::new(expected, format!("{more} bytes more")));
    }
    match server.count("timers | ") {
        0..10 => Err(Finding::new("a timer fires before each tick", server.last_lines())),
        _ => Ok(()),
    }
}

/// 09: a watcher that reads gets its copies, and one that does not read is dropped.
pub(super) fn drops_a_full_watcher(program: &Path) -> Checked {
    const MANY: usize = 100_000;
    let mut server = Program::start(program)?;
    let mut watcher = server.connect()?;
    #[cfg(target_os = "linux")]
    watcher.keep_little()?;
    watcher.send("watch\n")?;
    server.wait_for("#1 | data_received")?;
    let mut client = server.connect()?;
    client.send("1\n")?;
    client.receive(MESSAGE)?;
    let copy = watcher.receive(MESSAGE);
    copy.map_err(|finding| Finding::new("a watcher that reads gets its copy", finding.saw))?;
    client.send(&format!("{MANY}\n"))?;
    client.receive(MANY * MESSAGE)?;
    client.send("1\n")?;
    client.receive(MESSAGE)?;
    client.leave();
    server.wait_for("#2 | closed")?;
    match server.count("#1 | closed") {
        0 => Err(Finding::new(
            "reactor | #1 | closed, for it has read nothing of 8.1 MB",
            "it is connected still, and the server keeps the bytes for it",
        )),
        _ => Ok(()),
    }
}

/// 10: the last words arrive.
pub(super) fn says_bye(program: &Path) -> Checked {
    let mut server = Program::start(program)?;
    let mut client = server.connect()?;
    client.send("3\nquit\n1\n")?;
    client.receive(3 * MESSAGE)?;
    let received = client.receive(4);
    let expected = "\"bye\\n\" behind the three messages";
    let bytes = received.map_err(|finding| Finding::new(expected, finding.saw))?;
    client.end()?;
    let (more, _end) = client.receive_to_end()?;
    if bytes == b"bye\n" && more == 0 {
        return Ok(());
    }
    let saw = format!("{:?} and {more} bytes", String::from_utf8_lossy(&bytes));
    Err(Finding::new(format!("{expected}, and then the end"), saw))
}

/// 11: nobody else waits for the keyboard.
pub(super) fn asks_in_a_thread(program: &Path) -> Checked {
    let mut server = Program::start(program)?;
    let keyboard = server.stdin();
    let mut asking = server.connect()?;
    asking.send("ask\n")?;
    server.wait_for("#1 | data_received")?;
    let mut other = server.connect()?;
    other.send("1\n")?;
    server.set_patience(A_WHILE);
    server.wait_for("#2 | wrote")?;
    other.receive(MESSAGE)?;
    let typed = keyboard.map(|mut keyboard| keyboard.write_all(b"hello\n"));
    typed.transpose().map_err(|error| Finding::new("somebody types", error))?;
    asking.receive(6).map(drop)
}
