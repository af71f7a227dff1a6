//! Every wrong step fails, and fails in the way that its chapter shows.

use crate::{MESSAGE, Play, check_messages, program, start};
use guide::play::{End, Finding, Program};
use std::process::Command;

#[test]
fn a_silent_client_stops_step_01() -> Play {
    let mut server = start("01")?;
    let silent = server.connect()?;
    server.wait_for("#1 | accepted")?;
    let mut client = server.connect()?;
    client.send("2\n")?;
    silent.leave();
    server.wait_for("#2 | accepted")?;
    let lines = server.transcript();
    let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(place("#1 | closed") < place("#2 | accepted"), "{lines:?}");
    check_messages(&client.receive(2 * MESSAGE)?);
    Ok(())
}

/// A program with so little room for stacks that there are threads for a few clients only.
#[cfg(target_os = "linux")]
fn with_few_threads(name: &str) -> Result<Program, Finding> {
    let script = "ulimit -v 80000; exec \"$0\" \"$@\"";
    Program::start_command(Command::new("sh").arg("-c").arg(script).arg(program(name)))
}

#[cfg(target_os = "linux")]
#[test]
fn step_02x_ends_when_there_are_no_more_threads() -> Play {
    let mut server = with_few_threads("02x")?;
    let mut clients = Vec::new();
    while server.count("panicked") == 0 {
        clients.push(server.connect()?);
        server.wait_for_any(&[&format!("#{} | accepted", clients.len())])?;
        // The thread answers, or there is none.
        let sent = clients.last_mut().unwrap().send("1\n");
        sent?;
        server.wait_for_any(&[&format!("#{} | wrote", clients.len()), "panicked"])?;
        assert!(clients.len() < 1000, "no limit is found");
    }
    assert!(!server.wait()?, "the whole server has ended");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_02_serves_the_others_when_there_are_no_more_threads() -> Play {
    let mut server = with_few_threads("02")?;
    let mut clients = Vec::new();
    while server.count("no thread") == 0 {
        clients.push(server.connect()?);
        clients.last_mut().unwrap().send("1\n")?;
        server.wait_for_any(&[&format!("#{} | wrote", clients.len()), "no thread"])?;
        assert!(clients.len() < 1000, "no limit is found");
    }
    let mut first = clients.remove(0);
    first.send("1\n")?;
    check_messages(&first.receive(2 * MESSAGE)?);
    Ok(())
}

#[test]
fn step_03_turns_for_nothing() -> Play {
    let mut server = start("03")?;
    let mut client = server.connect()?;
    server.wait_for("#1 | accepted")?;
    let mut turns = 0;
    while turns < 100_000 {
        client.send("1\n")?;
        client.receive(MESSAGE)?;
        server.wait_for("#1 | wrote")?;
        let line = server.wait_for("turns for nothing")?;
        turns = line.split(' ').nth(3).unwrap().parse().unwrap();
    }
    assert!(server.count("turns for nothing") < 100_000, "most turns did nothing");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_04x_forgets_the_second_of_two_clients() -> Play {
    let mut server = start("04x")?;
    server.stop()?;
    let mut clients = [server.connect()?, server.connect()?];
    server.resume()?;
    server.wait_for("#1 | accepted")?;
    clients[0].send("1\n")?;
    server.wait_for("#1 | wrote 81 bytes")?;
    assert_eq!(server.count("accepted"), 1, "one event, one client");
    let _third = server.connect()?;
    server.wait_for("#2 | accepted")?; // the second one, not the third
    clients[1].send("1\n")?;
    check_messages(&clients[1].receive(MESSAGE)?);
    assert_eq!(server.count("accepted"), 2);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_04_accepts_both_of_two_clients() -> Play {
    let mut server = start("04")?;
    server.stop()?;
    let _clients = [server.connect()?, server.connect()?];
    server.resume()?;
    server.wait_for("#2 | accepted")?;
    assert_eq!(server.count("| turn "), server.count("events: 0") + 1, "in one turn");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_04y_leaves_the_rest_unread() -> Play {
    let mut server = start("04y")?;
    let mut client = server.connect()?;
    server.wait_for("#1 | accepted")?;
    client.send(&"1\n".repeat(3000))?;
    server.wait_for("read 4096 bytes")?;
    check_messages(&client.receive(2048 * MESSAGE)?);
    client.send("1\n")?;
    server.wait_for("read 1906 bytes")?; // the rest comes only with the next event
    assert_eq!(server.count("readable"), 2);
    Ok(())
}

#[test]
fn step_04_drops_what_the_client_does_not_take() -> Play {
    for step in ["03", "04"] {
        let mut server = start(step)?;
        let mut client = server.connect()?;
        client.send("200000\n")?;
        server.wait_for("#1 | failed")?;
        let (count, _end) = client.receive_to_end()?;
        assert!(count < 200_000 * MESSAGE, "{count}");
    }
    Ok(())
}

#[test]
fn step_06x_does_not_compile() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/wrong/06x.rs");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata"]);
    command.args(["--out-dir", env!("CARGO_TARGET_TMPDIR")]).arg(source);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("error[E0499]"), "{errors}");
    assert_eq!(errors.matches("error[").count(), 1, "{errors}");
}

#[test]
fn step_07x_sends_a_watcher_nothing() -> Play {
    let mut server = start("07x")?;
    let mut watcher = server.connect()?;
    watcher.send("watch\n")?;
    server.wait_for("data_received")?;
    let mut client = server.connect()?;
    client.send("1\n")?;
    server.wait_for("#2 | wrote 81 bytes")?;
    client.send("2\n")?;
    server.wait_for("#2 | wrote 162 bytes")?;
    assert_eq!(server.count("#1 | wrote"), 0);
    watcher.send("1\n")?; // an event of its own: now it gets everything
    server.wait_for("#1 | wrote 141 bytes")?;
    let news = "a line was answered\n";
    assert_eq!(watcher.receive(2 * news.len())?, news.repeat(2).as_bytes());
    Ok(())
}

/// A client has sent all it could, and another one a line. Tells what happens until that is read.
#[cfg(target_os = "linux")]
pub(crate) fn a_hog_and_a_quick_client(step: &str) -> Result<Vec<String>, Finding> {
    let mut server = start(step)?;
    let mut hog = server.connect()?;
    server.wait_for("#1 | writable")?;
    let mut quick = server.connect()?;
    server.wait_for("#2 | writable")?;
    server.wait_until_asleep()?;
    server.stop()?;
    hog.send_until_full(&"0\n".repeat(10_000))?;
    quick.send("1\n")?;
    server.resume()?;
    server.wait_for("#2 | read 2 bytes")?;
    Ok(server.transcript())
}

#[cfg(target_os = "linux")]
#[test]
fn step_07a_reads_a_hog_to_its_end_first() -> Play {
    let lines = a_hog_and_a_quick_client("07a")?;
    let reads = lines.iter().filter(|line| line.contains("#1 | read ")).count();
    assert!(reads > 10, "{lines:#?}");
    Ok(())
}

/// Whether the first client's timer closes the second one, which has its slot.
fn the_first_timer_closes_the_second_client(step: &str) -> Result<bool, Finding> {
    let mut server = start(step)?;
    let first = server.connect()?;
    server.wait_for("connection_made")?;
    first.leave();
    server.wait_for("#1 | closed")?;
    let _second = server.connect()?;
    server.wait_for("connection_made")?;
    let fired = server.wait_for_any(&["timer 1 | fires", "timer 2 | fires"])?;
    server.wait_for("#2 | closed")?;
    Ok(fired.0 == 0)
}

#[test]
fn step_08x_closes_a_stranger() -> Play {
    // A machine that stands still for seconds may connect the second client too late.
    for _ in 0..5 {
        if the_first_timer_closes_the_second_client("08x")? {
            return Ok(());
        }
    }
    panic!("the timer of the first client has closed nobody");
}

#[test]
fn step_08a_closes_no_stranger() -> Play {
    assert!(!the_first_timer_closes_the_second_client("08a")?);
    Ok(())
}

#[test]
fn step_08_owes_everything_to_a_client_that_does_not_read() -> Play {
    let mut server = start("08")?;
    let mut client = server.connect()?;
    client.send("200000\n200000\n")?;
    let line = server.wait_for("#1 | wrote")?;
    assert!(crate::right::owed(&line) > 200_000 * MESSAGE, "{line}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_10x_loses_the_last_bytes() -> Play {
    const MANY: usize = 20_000;
    let mut server = start("10x")?;
    let mut client = server.connect()?;
    client.keep_little()?;
    client.send(&format!("{MANY}\nquit\n{}", "thanks\n".repeat(2000)))?;
    server.wait_for("#1 | closed")?;
    server.wait_until_asleep()?;
    let (count, end) = client.receive_to_end()?;
    assert!(count < MANY * MESSAGE && end == End::Reset, "{count} bytes, then {end:?}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_11x_sleeps_on() -> Play {
    use std::io::Write;
    let mut server = start("11x")?;
    let mut terminal = server.stdin().unwrap();
    let mut client = server.connect()?;
    client.send("ask\n")?;
    server.wait_for("data_received")?;
    server.wait_until_asleep()?;
    terminal.write_all(b"hello\n").unwrap();
    server.wait_for("call_from_thread")?;
    let turns = server.count("| turn ");
    let _other = server.connect()?; // it wakes the reactor for a reason of its own
    server.wait_for("a call")?;
    assert!(server.count("| turn ") > turns, "{}", server.last_lines());
    assert_eq!(client.receive(6)?, b"hello\n");
    Ok(())
}
