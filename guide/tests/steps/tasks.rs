//! The steps of chapter 15: futures, tasks, and a connection that a task reads and writes.

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::tungstenite::{self, Message};
use crocus::Ended;
use crocus::testing::{Cut, End as Ending, Simulation};
use guide::play::{End, Finding};

use crate::step_15b::sleep::sleep;
use crate::step_15b::tasks::spawn;
use crate::step_15c::connection::Bytes;
use crate::{MESSAGE, Play, check_messages, program, start, step_15b, step_15c};

/// The output of a step that ends by itself.
fn run(step: &str) -> Output {
    Command::new(program(step)).env("RUST_BACKTRACE", "0").output().unwrap()
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

/// The tasks of step 15b that a simulated reactor still has. There must have been one.
fn ticking(simulation: &mut Simulation) -> usize {
    simulation.reactor().state::<step_15b::tasks::Tasks>().unwrap().waiting.len()
}

/// The same for step 15c.
fn waiting(simulation: &mut Simulation) -> usize {
    simulation.reactor().state::<step_15c::tasks::Tasks>().unwrap().waiting.len()
}

/// Has a line written down after each of two pauses.
fn tick(simulation: &mut Simulation, lines: &Rc<RefCell<Vec<String>>>, name: &str, millis: u64) {
    let (lines, name, pause) = (Rc::clone(lines), name.to_owned(), Duration::from_millis(millis));
    let task = async move {
        for tick in 1..=2 {
            sleep(pause).await;
            lines.borrow_mut().push(format!("{name}: {tick}"));
        }
        Ok(())
    };
    spawn(simulation.reactor(), Box::pin(task));
}

#[test]
fn step_15a_polls_twice() {
    assert_eq!(lines(&run("15a").stdout), ["not yet", "now"]);
}

#[test]
fn step_15b_ends_when_its_tasks_have_ended() {
    let output = lines(&run("15b").stdout);
    assert_eq!(output.len(), 4);
    for name in ["quick", "slow"] {
        let ticks: Vec<_> = output.iter().filter(|line| line.starts_with(name)).collect();
        assert_eq!(ticks, [&format!("{name}: 1"), &format!("{name}: 2")]);
    }
}

#[test]
fn tasks_of_step_15b_take_turns_in_the_simulation() {
    let (mut simulation, lines) = (Simulation::new(), Rc::default());
    tick(&mut simulation, &lines, "quick", 200);
    tick(&mut simulation, &lines, "slow", 300);
    simulation.advance(Duration::from_millis(599));
    assert_eq!(*lines.borrow(), ["quick: 1", "slow: 1", "quick: 2"]);
    assert_eq!(ticking(&mut simulation), 1);
    simulation.advance(Duration::from_millis(1));
    assert_eq!(lines.borrow().last().unwrap(), "slow: 2");
    assert_eq!(ticking(&mut simulation), 0);
}

/// The second exercise of the chapter.
#[test]
fn of_two_sleeps_that_end_together_the_older_wakes_first() {
    let (mut simulation, lines) = (Simulation::new(), Rc::default());
    tick(&mut simulation, &lines, "quick", 200);
    tick(&mut simulation, &lines, "slow", 400);
    simulation.advance(Duration::from_millis(400));
    assert_eq!(*lines.borrow(), ["quick: 1", "slow: 1", "quick: 2"]);
}

#[test]
fn step_15x_ends_with_a_task_that_nobody_wakes() {
    let output = run("15x");
    assert_eq!(lines(&output.stdout), ["tasks that wait: 1"]);
    assert_eq!(
        lines(&output.stderr),
        ["reactor | task 1 | woken", "code | task 1 | Pending"],
        "it is polled once"
    );
}

#[test]
fn a_reactor_whose_tasks_are_lost_has_nothing_left() {
    let mut simulation = Simulation::new();
    spawn(simulation.reactor(), Box::pin(std::future::pending::<io::Result<()>>()));
    simulation.reactor().run().unwrap();
    assert_eq!(simulation.reactor().ended(), Some(Ended::NothingLeft));
    assert_eq!(ticking(&mut simulation), 1);
}

#[cfg(unix)]
#[test]
fn step_15y_is_aborted_when_its_thread_ends() {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    let output = run("15y");
    assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
    assert_eq!(lines(&output.stdout), ["the thread ends, and two tasks wait"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("cannot access a Thread Local Storage value"), "{errors}");
    assert!(errors.contains("fatal runtime error: thread local panicked on drop"), "{errors}");
}

/// A simulation in which step 15c serves one peer.
fn serving() -> (Simulation, crocus::testing::Peer) {
    let mut simulation = Simulation::new();
    let peer = simulation.connect(Bytes::new(|it| Box::pin(step_15c::serve(it))));
    (simulation, peer)
}

#[test]
fn step_15c_answers_a_line_however_it_is_cut() {
    for cut in 1..=5 {
        let (mut simulation, mut peer) = serving();
        simulation.set_cut(Cut::Every(cut));
        peer.send(b"12\n1\nnonsense\n\n2\n");
        simulation.settle();
        let received = peer.received();
        assert_eq!(received.len(), 15 * MESSAGE, "pieces of {cut}");
        check_messages(&received);
    }
}

#[test]
fn step_15c_closes_a_silent_client_and_ends_its_task() {
    let (mut simulation, mut peer) = serving();
    simulation.advance(Duration::from_secs(5));
    assert_eq!(peer.end(), Some(Ending::Closed));
    peer.close_write();
    simulation.settle();
    assert_eq!(waiting(&mut simulation), 0);
}

#[test]
fn step_15c_makes_no_more_messages_than_its_client_takes() {
    let (mut simulation, mut peer) = serving();
    peer.send(b"20000\n");
    peer.close_write();
    simulation.settle();
    let ids = simulation.reactor().connections();
    let waits = simulation.reactor().transport(ids[0]).unwrap().buffered();
    assert!(waits <= 65_536 + MESSAGE, "{waits}");
    let mut count = 0;
    for _ in 0..1000 {
        count += peer.received().len(); // so there is room for more
        simulation.settle();
    }
    assert_eq!((count, peer.end()), (20_000 * MESSAGE, Some(Ending::Closed)));
    assert_eq!(waiting(&mut simulation), 0);
}

#[test]
fn a_task_of_step_15c_that_does_not_read_stops_its_client() {
    let mut simulation = Simulation::new();
    let mut peer = simulation.connect(Bytes::new(|connection| {
        Box::pin(async move {
            let _connection = connection;
            std::future::pending().await
        })
    }));
    for _ in 0..16 {
        peer.send(&[b'1'; 1 << 16]); // as much as the network takes
        simulation.settle();
    }
    let ids = simulation.reactor().connections();
    let read = simulation.reactor().transport(ids[0]).unwrap().bytes_read();
    assert!((1..1 << 18).contains(&read), "{read}");
}

#[test]
fn a_reset_ends_the_task_of_step_15c() {
    let (mut simulation, mut peer) = serving();
    peer.send(b"1\n");
    simulation.settle();
    assert_eq!(waiting(&mut simulation), 1);
    peer.reset();
    simulation.settle();
    assert_eq!(waiting(&mut simulation), 0);
    assert!(simulation.reactor().connections().is_empty());
}

#[test]
fn a_reactor_is_dropped_with_the_tasks_that_it_has() {
    let (mut simulation, peer) = serving();
    simulation.settle();
    assert_eq!(waiting(&mut simulation), 1);
    drop((simulation, peer));
}

/// The view that clients have of a server, without those who watch.
fn seen_by_clients(step: &str) -> Result<Vec<String>, Finding> {
    let mut server = start(step)?;
    let mut seen = Vec::new();
    let mut cut = server.connect()?;
    cut.send("1")?;
    let mut other = server.connect()?;
    other.send("2\n")?;
    seen.push(format!("{} bytes", other.receive(2 * MESSAGE)?.len()));
    cut.send("0\n")?;
    seen.push(format!("{} bytes", cut.receive(10 * MESSAGE)?.len()));
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
    let mut silent = server.connect()?;
    seen.push(format!("{:?}", silent.receive_to_end()?)); // after five seconds
    Ok(seen)
}

#[test]
fn step_15c_does_what_step_12_does() -> Play {
    let other = std::thread::spawn(|| seen_by_clients("12"));
    let seen = seen_by_clients("15c")?;
    assert_eq!(seen.len(), 7);
    assert!(seen[5].contains(&format!("({}, {:?})", 200_000 * MESSAGE, End::Closed)), "{seen:?}");
    assert_eq!(seen, other.join().unwrap()?);
    Ok(())
}

#[test]
fn step_15_speaks_websocket_with_a_client_that_blocks() -> Play {
    let server = start("15")?;
    let stream = TcpStream::connect(server.addr()).unwrap();
    let url = format!("ws://{}/", server.addr());
    let (mut client, _answer) = tungstenite::client(url, stream).unwrap();
    for lines in [1, 3] {
        client.send(Message::text(lines.to_string())).unwrap();
        for _ in 0..lines {
            let Message::Binary(message) = client.read().unwrap() else { panic!("binary") };
            assert_eq!(message.len(), MESSAGE);
            check_messages(&message);
        }
    }
    client.send(Message::text("20000")).unwrap();
    for _ in 0..20_000 {
        assert_eq!(client.read().unwrap().len(), MESSAGE);
    }
    client.close(None).unwrap();
    assert!(client.read().unwrap().is_close());
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
    Ok(())
}
