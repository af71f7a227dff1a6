//! Behaviour of all steps, and of those from some chapter on.

use crate::{MESSAGE, Play, check_messages, start};
use guide::play::End;

/// The last program of each chapter, and those on the way there.
const STEPS: [&str; 18] = [
    "01", "02", "03", "04", "05", "06a", "06", "07a", "07b", "07", "08a", "08", "09", "10", "11",
    "02x", "04x", "08x",
];

/// The steps from this one on.
fn from(first: &str) -> impl Iterator<Item = &'static str> {
    STEPS.into_iter().take(15).skip_while(move |&step| step != first)
}

#[test]
fn every_step_answers_its_lines() -> Play {
    for step in STEPS {
        println!("{step}");
        let mut server = start(step)?;
        let mut client = server.connect()?;
        client.send("2\n")?;
        check_messages(&client.receive(2 * MESSAGE)?);
        client.send("1\n3\n")?;
        check_messages(&client.receive(4 * MESSAGE)?);
        client.send("1")?;
        client.send("0\n")?;
        check_messages(&client.receive(10 * MESSAGE)?);
        client.send("not a number\n0\n-1\n1\n")?;
        check_messages(&client.receive(MESSAGE)?);
        client.end()?;
        assert_eq!(client.receive_to_end()?, (0, End::Closed), "{step}");
        server.wait_for("#1 | closed")?;
    }
    Ok(())
}

#[test]
fn a_silent_client_stops_nobody_from_step_02_on() -> Play {
    for step in from("02") {
        println!("{step}");
        let mut server = start(step)?;
        let silent = server.connect()?;
        server.wait_for("#1 | accepted")?;
        let mut client = server.connect()?;
        client.send("2\n")?;
        check_messages(&client.receive(2 * MESSAGE)?);
        drop(silent);
    }
    Ok(())
}

/// Steps 08a and 08 are not among them: there a client that is answered for long counts as silent.
#[test]
fn a_slow_reader_gets_everything_from_step_05_on() -> Play {
    let steps = ["01", "02"].into_iter().chain(from("05"));
    for step in steps.filter(|step| !step.starts_with("08")) {
        println!("{step}");
        let many = if matches!(step, "05" | "11") { 200_000 } else { 20_000 };
        let mut server = start(step)?;
        let mut client = server.connect()?;
        client.send(&format!("{many}\n"))?;
        client.end()?;
        check_messages(&client.receive(many * MESSAGE)?);
        assert_eq!(client.receive_to_end()?, (0, End::Closed), "{step}");
    }
    Ok(())
}

#[test]
fn a_watcher_is_told_from_step_07a_on() -> Play {
    for step in from("07a") {
        println!("{step}");
        let mut server = start(step)?;
        let mut watcher = server.connect()?;
        watcher.send("watch\n")?;
        server.wait_for("data_received")?;
        let mut client = server.connect()?;
        client.send("2\n")?;
        check_messages(&client.receive(2 * MESSAGE)?);
        let news = if matches!(step, "07a" | "07b") {
            "a line was answered\n"
        } else {
            "lines answered in this turn: 1\n"
        };
        assert_eq!(watcher.receive(news.len())?, news.as_bytes(), "{step}");
        client.leave();
        server.wait_for("#2 | closed")?;
        let mut other = server.connect()?;
        other.send("1\n1\n")?; // the watcher is told of those who come later, too
        check_messages(&other.receive(2 * MESSAGE)?);
        assert_eq!(watcher.receive(14)?, news.as_bytes()[..14], "{step}");
    }
    Ok(())
}

#[test]
fn two_lines_of_a_turn_are_told_together_from_step_07_on() -> Play {
    for step in from("07") {
        println!("{step}");
        let mut server = start(step)?;
        let mut watcher = server.connect()?;
        watcher.send("watch\n")?;
        server.wait_for("data_received")?;
        let mut client = server.connect()?;
        client.send("1\n1\n")?;
        let news = "lines answered in this turn: 2\n";
        assert_eq!(watcher.receive(news.len())?, news.as_bytes(), "{step}");
    }
    Ok(())
}

#[test]
fn a_watcher_that_has_left_is_forgotten() -> Play {
    for step in from("07a") {
        println!("{step}");
        let mut server = start(step)?;
        let mut watcher = server.connect()?;
        watcher.send("watch\n")?;
        server.wait_for("data_received")?;
        watcher.leave();
        server.wait_for("#1 | closed")?;
        let mut tenant = server.connect()?; // of the same slot
        server.wait_for("#2 | accepted")?;
        let mut client = server.connect()?;
        client.send("1\n")?;
        check_messages(&client.receive(MESSAGE)?);
        tenant.send("2\n")?;
        check_messages(&tenant.receive(2 * MESSAGE)?); // and no news before
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn each_client_is_read_once_in_a_turn_from_step_07b_on() -> Play {
    for step in from("07b") {
        println!("{step}");
        let lines = crate::wrong::a_hog_and_a_quick_client(step)?;
        let latched = lines.iter().position(|line| line.contains("#2 | readable")).unwrap();
        let reads = lines[latched..].iter().filter(|line| line.contains("#1 | read "));
        assert!(reads.count() <= 1, "{step}: {lines:#?}");
    }
    Ok(())
}

#[test]
fn a_silent_client_is_closed_from_step_08a_on() -> Play {
    let mut servers = Vec::new(); // all of them wait at the same time
    for step in from("08a") {
        let mut server = start(step)?;
        let client = server.connect()?;
        servers.push((step, server, client));
    }
    for (step, mut server, mut client) in servers {
        assert_eq!(client.receive_to_end()?, (0, End::Closed), "{step}");
        drop(client);
        server.wait_for("timer 1 | fires")?;
        server.wait_for("#1 | closed")?;
    }
    Ok(())
}

#[test]
fn a_client_that_does_not_read_is_owed_little_from_step_09_on() -> Play {
    for step in from("09") {
        println!("{step}");
        let mut server = start(step)?;
        let mut client = server.connect()?;
        client.send("200000\n")?;
        let line = loop {
            let line = server.wait_for(" wait")?;
            if !line.contains(" 0 wait") {
                break line; // the kernel takes no more
            }
        };
        assert!(owed(&line) <= 65_536 + MESSAGE, "{line}");
    }
    Ok(())
}

/// The bytes that wait, as a line of the log says.
pub(crate) fn owed(line: &str) -> usize {
    line.rsplit_once(", ").unwrap().1.strip_suffix(" wait").unwrap().parse().unwrap()
}

#[test]
fn a_line_without_end_closes_the_connection_from_step_09_on() -> Play {
    for step in from("09") {
        println!("{step}");
        let mut server = start(step)?;
        let mut client = server.connect()?;
        client.send(&"1".repeat(1001))?;
        server.wait_for(if step == "09" { "#1 | closed" } else { "#1 | sent FIN" })?;
        assert_eq!(client.receive_to_end()?, (0, End::Closed), "{step}");
    }
    Ok(())
}

#[test]
fn nothing_is_lost_at_the_end_from_step_10_on() -> Play {
    const MANY: usize = 20_000;
    for step in from("10") {
        println!("{step}");
        let mut server = start(step)?;
        let mut client = server.connect()?;
        let more = "1000000000000\n".repeat(1000); // nobody makes these
        client.send(&format!("{MANY}\nquit\n{more}"))?;
        check_messages(&client.receive(MANY * MESSAGE)?);
        server.wait_for("#1 | sent FIN")?;
        client.end()?;
        assert_eq!(client.receive_to_end()?, (0, End::Closed), "{step}");
        server.wait_for("#1 | closed")?;
    }
    Ok(())
}

#[test]
fn a_peer_that_does_not_close_is_dropped_from_step_10_on() -> Play {
    let mut servers = Vec::new();
    for step in from("10") {
        let mut server = start(step)?;
        let mut client = server.connect()?;
        client.send("quit\n")?;
        assert_eq!(client.receive_to_end()?, (0, End::Closed), "{step}");
        server.wait_for("#1 | sent FIN")?;
        servers.push((server, client));
    }
    for (mut server, _client) in servers {
        server.wait_for("#1 | closed: its time is up")?;
    }
    Ok(())
}

#[test]
fn a_question_is_answered_at_the_server_in_step_11() -> Play {
    use std::io::Write;
    let mut server = start("11")?;
    let mut terminal = server.stdin().unwrap();
    let mut client = server.connect()?;
    client.send("ask\n")?;
    server.wait_for("data_received")?;
    let mut other = server.connect()?;
    other.send("1\n")?;
    check_messages(&other.receive(MESSAGE)?); // while the thread waits
    terminal.write_all(b"hello\n").unwrap();
    assert_eq!(client.receive(6)?, b"hello\n");
    server.wait_for("latch | waker | readable")?;
    Ok(())
}

#[test]
fn a_question_has_an_answer_when_nobody_is_at_the_server() -> Play {
    for step in ["11", "12"] {
        println!("{step}");
        let mut server = start(step)?;
        drop(server.stdin());
        let mut client = server.connect()?;
        client.send("ask\n")?;
        assert_eq!(client.receive(16)?, b"nobody is there\n", "{step}");
    }
    Ok(())
}
