//! async-tungstenite: an echo for Python's `websockets`, and in a simulation.

use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{accept_async, client_async};
use crocus::futures::{Connection, closing, connect, spawn, timeout};
use crocus::testing::{Cut, Simulation};
use futures::{FutureExt, StreamExt, select};

use crate::child::{Running, python, run};
use crate::host::{Ending, Host, enter, outcome, pattern, simulate};

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

fn echo(peer: Connection) -> Ending {
    Box::pin(async { outcome(converse(peer).await) })
}

/// Sends messages back until the peer closes; in a shutdown it says that it is going away. Returns how many there were.
async fn converse(peer: Connection) -> Result<usize, Error> {
    peer.read_in_shutdown();
    let mut socket = timeout(HANDSHAKE_LIMIT, accept_async(peer)).await??;
    let mut closing = pin!(closing().fuse());
    let mut count = 0;
    loop {
        select! {
            message = socket.next() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    count += 1;
                    socket.send(message).await?;
                }
                Some(Ok(_)) => {} // answered by the crate
                Some(Err(error)) => return Err(error),
                None => return Ok(count),
            },
            _hold = closing => {
                let (code, reason) = (CloseCode::Away, "a shutdown".into());
                socket.close(Some(CloseFrame { code, reason })).await?;
            }
        }
    }
}

/// The client in Python that plays a part; `None` if it is not installed.
fn client(part: &str, host: &Host) -> Option<Command> {
    let mut client = python("websockets_client.py")?;
    if run(Command::new("python3").args(["-c", "import websockets"])).code != Some(0) {
        assert!(std::env::var_os("CI").is_none(), "websockets is not installed, and this is CI");
        eprintln!("SKIPPED: Python has no websockets");
        return None;
    }
    client.args([part, &host.addr.port().to_string()]);
    Some(client)
}

#[test]
fn many_clients_get_their_messages_back() {
    let host = Host::start(echo);
    let Some(mut client) = client("load", &host) else { return };
    let end = run(&mut client);
    assert_eq!(
        (end.code, end.text()),
        (Some(0), "10 clients, 400 messages, 10 pongs\n"),
        "{end:?}"
    );
    assert_eq!(host.close(), 10);
}

#[test]
fn a_shutdown_says_that_it_is_going_away() {
    let host = Host::start(echo);
    let Some(mut client) = client("stay", &host) else { return };
    let (client, mut keyboard) = Running::start_talking(&mut client);
    assert_eq!(client.line(), "open");
    host.begin_shutdown();
    enter(&mut keyboard, b"\n");
    assert_eq!(client.line(), "closed: 1001 a shutdown");
    assert_eq!(client.finish().code, Some(0));
    assert_eq!(host.end(), Ok("1".to_owned()));
    host.close();
}

#[test]
fn a_client_that_goes_in_the_middle_is_an_error() {
    let host = Host::start(echo);
    let Some(mut client) = client("go", &host) else { return };
    assert_eq!(run(&mut client).code, Some(0));
    let error = host.end().unwrap_err();
    assert!(
        error.contains("ResetWithoutClosingHandshake") || error.contains("ConnectionReset"),
        "{error}"
    );
    host.close();
}

/// The same server, and a client of the same crate, through a network that cuts where it likes.
#[test]
fn it_runs_in_a_simulation() {
    for seed in 0..20 {
        let mut simulation = Simulation::with_seed(seed);
        simulation.set_cut(Cut::Random(100));
        simulation.set_latency(Duration::from_millis(20));
        let ends = simulate(&mut simulation, "127.0.0.1:80", echo);
        let task = spawn(simulation.reactor(), async {
            let server = connect("127.0.0.1:80").await.unwrap();
            let (mut socket, _) = client_async("ws://localhost/", server).await.unwrap();
            for len in [0, 1, 125, 126, 5000] {
                let message = Message::binary(pattern(len));
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.next().await.unwrap().unwrap(), message);
            }
            socket.close(None).await.unwrap();
            assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
            assert!(socket.next().await.is_none());
        });
        simulation.advance(Duration::from_secs(60));
        task.take().expect("it ends").unwrap();
        assert_eq!(ends.try_recv().unwrap(), Ok("5".to_owned()), "seed {seed}");
    }
}

#[test]
fn the_time_limit_of_a_handshake_is_met_to_the_second() {
    let mut simulation = Simulation::new();
    let ends = simulate(&mut simulation, "127.0.0.1:80", echo);
    let mut peer = simulation.dial("127.0.0.1:80");
    peer.send(b"GET / HTTP/1.1\r\nHo");
    simulation.advance(HANDSHAKE_LIMIT - Duration::from_millis(1));
    assert!(peer.end().is_none() && ends.try_recv().is_err());
    simulation.advance(Duration::from_millis(1));
    assert!(peer.end().is_some());
    assert!(ends.try_recv().unwrap().unwrap_err().contains("TimedOut"));
}
