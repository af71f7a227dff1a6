//! The reactor of step 11 and crocus do the same under one script.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::{MESSAGE, Play, program, start};
use guide::play::{End, Finding, Peer, Program};

/// The view that clients have of a server that may do all that the script asks for.
fn seen_by_clients(step: &str) -> Result<Vec<String>, Finding> {
    let mut server = start(step)?;
    let mut seen = Vec::new();

    let mut watcher = server.connect()?;
    let mut silent = server.connect()?;
    watcher.send("1\nwatch\n")?; // two lines in one piece
    seen.push(format!("{} bytes", watcher.receive(MESSAGE)?.len()));

    let mut cut = server.connect()?;
    cut.send("1")?;
    let mut other = server.connect()?;
    other.send("2\n")?;
    seen.push(format!("{} bytes", other.receive(2 * MESSAGE)?.len()));
    cut.send("0\n")?; // the line was 10
    seen.push(format!("{} bytes", cut.receive(10 * MESSAGE)?.len()));
    for _ in 0..2 {
        seen.push(String::from_utf8_lossy(&watcher.receive(31)?).into_owned());
    }

    other.send("nonsense\n\n3\nquit\n1\n")?;
    seen.push(format!("{:?}", other.receive_to_end()?));
    cut.end()?;
    seen.push(format!("{:?}", cut.receive_to_end()?));

    let mut endless = server.connect()?;
    endless.send(&"1".repeat(1001))?;
    seen.push(format!("{:?}", endless.receive_to_end()?));

    let mut slow = server.connect()?;
    slow.send("200000\nquit\n")?;
    seen.push(format!("{:?}", slow.receive_to_end()?));

    seen.push(format!("{:?}", silent.receive_to_end()?)); // after five seconds
    Ok(seen)
}

#[test]
fn crocus_does_what_step_11_does() -> Play {
    let other = thread::spawn(|| seen_by_clients("12"));
    let seen = seen_by_clients("11")?;
    assert_eq!(seen.len(), 10);
    assert!(seen[5].contains(&format!("({}, {:?})", 3 * MESSAGE, End::Closed)), "{seen:?}");
    assert_eq!(seen, other.join().unwrap()?);
    Ok(())
}

/// How long a callback blocks, so that no other takes as long, on a busy machine either.
const LONG: Duration = Duration::from_millis(200);

#[test]
fn a_callback_that_blocks_is_named_in_step_13() -> Play {
    use std::io::Write;
    let mut server = start("13")?;
    let mut terminal = server.stdin().unwrap();
    let mut blocking = server.connect()?;
    blocking.send("1\n")?;
    blocking.receive(MESSAGE)?;
    blocking.send("block\n")?;
    let mut waiting = server.connect()?;
    waiting.send("1\n")?;
    #[cfg(target_os = "linux")]
    server.wait_until_asleep()?; // the callback has begun
    thread::sleep(LONG);
    terminal.write_all(b"hello\n").unwrap();
    assert_eq!(blocking.receive(6)?, b"hello\n");
    waiting.receive(MESSAGE)?;
    server.wait_for("the longest so far: data_received of connection")?;
    Ok(())
}

#[test]
fn step_13x_has_always_something_to_tell() -> Play {
    let mut server = start("13x")?;
    let mut watcher = server.connect()?;
    watcher.send("watch\n")?;
    let text = watcher.receive(100_000)?; // and no client has said anything since
    let text = String::from_utf8_lossy(&text);
    assert!(text.matches("a timer begins").count() > 10, "{text}");
    Ok(())
}

/// A step that may open twenty files, and thirty clients that have connected.
#[cfg(target_os = "linux")]
fn thirty_clients_and_twenty_files(step: &str) -> Result<(Program, Vec<Peer>), Finding> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 20; exec \"$0\" \"$1\""]).arg(program(step));
    let mut server = Program::start_command(&mut shell)?;
    let clients = (0..30).map(|_| server.connect()).collect::<Result<_, _>>()?;
    Ok((server, clients))
}

#[cfg(target_os = "linux")]
#[test]
fn step_11_is_deaf_after_it_had_no_descriptor() -> Play {
    let (mut server, mut clients) = thirty_clients_and_twenty_files("11")?;
    server.wait_for("Too many open files")?;
    server.wait_until_asleep()?;
    clients.drain(..15).for_each(Peer::leave);
    server.wait_for("#1 | connection_lost")?;
    server.wait_for("events: 0")?; // the timers of those that it has
    server.wait_until_asleep()?;
    assert!(server.count("accepted") < 20);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn step_12_serves_all_that_waited_for_a_descriptor() -> Play {
    let (_server, mut clients) = thirty_clients_and_twenty_files("12")?;
    for client in &mut clients {
        client.send("1\nquit\n")?;
        assert_eq!(client.receive_to_end()?, (MESSAGE, End::Closed));
    }
    Ok(())
}
