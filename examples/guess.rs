//! How a dialogue is one function: a game of guessing, by `async` and `await`.
//!
//! ```text
//! cargo run --release --example guess
//! nc 127.0.0.1 5000                                               # beside it
//! ```
//!
//! With callbacks the place in a dialogue is a field: a name is awaited, or a guess, or the answer whether to play
//! again. Here it is the line at which the function waits. A task takes the connection over from its protocol.

mod shared;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crocus::futures::{Connection, spawn, timeout};
use crocus::{Protocol, Transport};
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use shared::cli;

const HELP: &str = "\
Thinks of a number from 1 to 100, and each client guesses it.

Usage: guess [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.
A player who says nothing for a minute loses.

Example:
  guess          then, beside it: nc 127.0.0.1 5000

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// How long a player may think.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest line of a player, in bytes; a longer one is cut.
const LONGEST: u64 = 80;

/// Makes a task of its connection.
struct Player;

impl Protocol for Player {
    fn connection_made(&mut self, transport: &mut Transport) {
        let secret = transport.reactor().random() % 100 + 1;
        if let Some(peer) = Connection::take_over(transport) {
            spawn(transport.reactor(), async move {
                let name = peer.peer_addr().clone();
                if let Err(error) = play(peer, secret).await {
                    log::info!("{name} has left: {error}");
                }
            });
        }
    }
}

/// The whole dialogue.
async fn play(mut peer: Connection, secret: u64) -> io::Result<()> {
    let name = ask(&mut peer, "Your name?\n").await?;
    let mut question = format!("{name}, I think of a number from 1 to 100. Which?\n");
    for guesses in 1.. {
        let guess: u64 = ask(&mut peer, &question).await?.parse().unwrap_or(0);
        question = match guess {
            0 | 101.. => "That is no number from 1 to 100.\n".to_owned(),
            guess if guess < secret => format!("More than {guess}.\n"),
            guess if guess > secret => format!("Less than {guess}.\n"),
            _ => {
                let praise = format!("{secret} it is, {name}, after {guesses} guesses.\n");
                return peer.write_all(praise.as_bytes()).await;
            }
        };
    }
    Ok(())
}

/// One question and its answer. A player who reads no questions has no time to answer either.
async fn ask(peer: &mut Connection, question: &str) -> io::Result<String> {
    let mut line = Vec::new();
    let answer = async {
        peer.write_all(question.as_bytes()).await?;
        peer.take(LONGEST).read_until(b'\n', &mut line).await
    };
    timeout(PATIENCE, answer).await??;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

fn main() -> ExitCode {
    cli::serve("guess", HELP, |_peer| Player)
}

#[cfg(test)]
mod tests {
    use crocus::testing::{End, Simulation};

    use super::*;

    #[test]
    fn a_player_who_halves_the_rest_wins_within_seven_guesses() {
        let mut simulation = Simulation::with_seed(17);
        let mut player = simulation.connect(Player);
        player.send(b"Ada\n");
        let (mut low, mut high, mut said) = (1, 100, String::new());
        for guesses in 0..9 {
            simulation.settle();
            said = String::from_utf8(player.received()).unwrap();
            let middle = (low + high) / 2;
            if guesses > 0 {
                let less = said.starts_with("Less");
                (low, high) = if less { (low, middle - 1) } else { (middle + 1, high) };
            }
            player.send(format!("{}\n", (low + high) / 2).as_bytes());
            if said.contains("guesses.") {
                break;
            }
        }
        let count = said.rsplit_once("after ").and_then(|(_, rest)| rest.split_once(' '));
        assert!(count.unwrap().0.parse::<u32>().unwrap() <= 7, "{said}");
        assert_eq!(player.end(), Some(End::Closed));
    }

    #[test]
    fn a_guess_outside_of_the_range_is_told_so() {
        let mut simulation = Simulation::new();
        let mut player = simulation.connect(Player);
        player.send(b"Ada\n");
        simulation.settle();
        player.received();
        for guess in ["0", "101", "-1", "many", ""] {
            player.send(format!("{guess}\n").as_bytes());
            simulation.settle();
            let said = String::from_utf8(player.received()).unwrap();
            assert_eq!(said, "That is no number from 1 to 100.\n", "{guess}");
        }
    }

    /// The answers that it does not read hold up the next question.
    #[test]
    fn a_player_who_reads_nothing_does_not_stay() {
        let mut simulation = Simulation::new();
        simulation.set_window(100);
        let mut player = simulation.connect(Player);
        for _ in 0..4000 {
            player.send(b"?\n");
            simulation.settle();
        }
        assert_eq!(simulation.reactor().connections().len(), 1);
        simulation.advance(PATIENCE + Duration::from_secs(60)); // longer than a close waits
        assert_eq!(simulation.reactor().connections().len(), 0);
    }

    #[test]
    fn a_player_who_says_nothing_for_a_minute_loses() {
        let mut simulation = Simulation::new();
        let mut player = simulation.connect(Player);
        simulation.advance(PATIENCE - Duration::from_secs(1));
        assert_eq!((player.received(), player.end()), (b"Your name?\n".to_vec(), None));
        simulation.advance(Duration::from_secs(1));
        assert_eq!(player.end(), Some(End::Closed));
    }
}
