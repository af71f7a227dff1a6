//! How to cut a stream into messages: one handler for lines, netstrings, length prefixes and fixed sizes.
//!
//! ```text
//! cargo run --release --example frame_echo -- --framing netstrings
//! printf '5:hello,2:ab,' | nc -N 127.0.0.1 5000                  # beside it
//! ```
//!
//! TCP keeps no boundaries of messages: what is written at once may arrive in pieces, and the other way round. A
//! framing finds the messages in the bytes, and encodes the answers. The handler sees only whole messages, and
//! is the same for all framings.

mod shared;

use std::process::ExitCode;

use crocus::framing::{
    Encoded, FixedSize, FrameError, FrameHandler, Framed, Framing, LengthPrefixed, Lines,
    Netstrings,
};
use crocus::{Protocol, Reason, Transport};
use lexopt::ValueExt;
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
Sends each message back, in the same framing.

Usage: frame_echo [--framing NAME] [--max-length BYTES] [--listen HOST:PORT] [--backlog N]
                  [--trace FILE]

Options:
      --framing NAME      lines, netstrings, prefixed or fixed [lines]
      --max-length BYTES  the longest message; of fixed, the length of each [1024]
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The framings: lines end in LF or CRLF, netstrings are 5:hello, and prefixed have their length before them,
in four bytes, the highest first.
The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.
Bytes that break the framing end the connection, after the answers to all messages before them.

Examples:
  frame_echo                          then, beside it: nc 127.0.0.1 5000
  frame_echo --framing netstrings     then: printf '5:hello,2:ab,' | nc -N 127.0.0.1 5000

Exit status: 0 stopped as asked, 1 cannot listen, 2 bad usage, 130 stopped by a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The longest message unless set otherwise, in bytes.
const MAX_LENGTH: usize = 1024;

/// The framing that was chosen.
#[derive(Clone)]
enum Frames {
    Lines(Lines),
    Netstrings(Netstrings),
    Prefixed(LengthPrefixed),
    Fixed(FixedSize),
}

impl Frames {
    fn named(name: &str, length: usize) -> Option<Self> {
        Some(match name {
            "lines" => Self::Lines(Lines::new().max_length(length)),
            "netstrings" => Self::Netstrings(Netstrings::new().max_length(length)),
            "prefixed" => Self::Prefixed(LengthPrefixed::u32().max_length(length)),
            "fixed" => Self::Fixed(FixedSize::new(length)),
            _ => return None,
        })
    }

    fn encode<'a>(&'a self, message: &'a [u8]) -> Result<Encoded<'a>, FrameError> {
        match self {
            Self::Lines(lines) => lines.encode(message),
            Self::Netstrings(netstrings) => netstrings.encode(message),
            Self::Prefixed(prefixed) => prefixed.encode(message),
            Self::Fixed(fixed) => fixed.encode(message),
        }
    }
}

/// The next message, and how many bytes it took.
type Found<'a> = Result<Option<(&'a [u8], usize)>, FrameError>;

impl Framing for Frames {
    type Frame<'a> = &'a [u8];

    fn find<'a>(&mut self, bytes: &'a [u8], seen: usize) -> Found<'a> {
        match self {
            Self::Lines(lines) => lines.find(bytes, seen),
            Self::Netstrings(netstrings) => netstrings.find(bytes, seen),
            Self::Prefixed(prefixed) => prefixed.find(bytes, seen),
            Self::Fixed(fixed) => fixed.find(bytes, seen),
        }
    }
}

/// Sends messages back. It has the framing too, to encode them.
struct Echo(Frames);

impl Protocol for Echo {}

impl FrameHandler<Frames> for Echo {
    fn frame_received(&mut self, transport: &mut Transport<'_>, message: &[u8]) {
        match self.0.encode(message) {
            Ok(encoded) => drop(encoded.write_to(transport)),
            Err(error) => self.frame_failed(transport, error),
        }
    }

    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        log::info!("{}: {error}", transport.peer_addr());
        transport.lose_connection_because(Reason::protocol(error));
    }
}

fn main() -> ExitCode {
    cli::run("frame_echo", serve)
}

fn serve() -> Result<(), Exit> {
    let (mut name, mut length) = ("lines".to_owned(), MAX_LENGTH);
    let options = ServerOptions::from_args_and(HELP, |option, args| {
        match option {
            "framing" => name = args.value()?.string()?,
            "max-length" => length = args.value()?.parse_with(cli::from_one("--max-length"))?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let frames = Frames::named(&name, length).ok_or_else(|| {
        Exit::Usage("--framing takes lines, netstrings, prefixed or fixed".to_owned())
    })?;
    cli::serve_at(options.place(), move |_peer| Framed::new(frames.clone(), Echo(frames.clone())))
}
