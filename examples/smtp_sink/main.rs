//! How a connection changes its framing: SMTP's lines of commands, then a message up to its dot.
//!
//! ```text
//! cargo run --release --example smtp_sink -- --folder /tmp
//! swaks --server 127.0.0.1:5000 --to anna@example.org            # beside it, or any mail program
//! ```
//!
//! It is for tests of programs that send mail ([RFC 5321]): it takes every message and delivers none. Each phase
//! of the connection is a protocol with its own framing, and one hands over to the other. Bytes that have come
//! already go along, so clients need not wait for each answer (PIPELINING).
//!
//! With a certificate it offers STARTTLS ([RFC 3207]). Nothing that was said in clear counts behind that command,
//! and bytes that have come along with it are no commands: they are the first of TLS, or else an attack, which ends
//! the connection.
//!
//! [RFC 3207]: https://www.rfc-editor.org/rfc/rfc3207
//! [RFC 5321]: https://www.rfc-editor.org/rfc/rfc5321

#[path = "../shared/secure.rs"]
mod secure;
#[path = "../shared/mod.rs"]
mod shared;

mod dot_stuffed;
mod save;

use std::cell::Cell;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crocus::framing::{FrameError, FrameHandler, Framed, Lines};
use crocus::tls::TlsInfo;
use crocus::tls::rustls::ServerConfig;
use crocus::{ConnectionId, Protocol, Reactor, Reason, Transport};
use dot_stuffed::DotStuffed;
use lexopt::ValueExt;
use save::Envelope;
use secure::TlsOptions;
use shared::cli::{self, Exit, ServerOptions};

const HELP: &str = "\
Takes every mail that it is sent by SMTP, prints it or saves it, and delivers none.

Usage: smtp_sink [--folder DIR] [--max-size BYTES] [--cert FILE --key FILE | --self-signed]
                 [--listen HOST:PORT] [--backlog N] [--trace FILE]

Options:
      --folder DIR        save each message there as a file NUMBER.eml, instead of printing it
      --max-size BYTES    the longest message [10485760]
      --cert FILE --key FILE  offer STARTTLS with these, in PEM; SIGHUP reads them again
      --self-signed       the same with a certificate made for this run, to try things with
  -l, --listen HOST:PORT  where to listen; port 0 chooses a free one [127.0.0.1:5000]
      --backlog N         how many may wait to be accepted [4096, or what the kernel allows]
      --trace FILE        writes each turn to FILE, for the viewer at ui.perfetto.dev
  -h, --help              this text

The first line of output tells the address. Ctrl-C or SIGTERM stops in order, a second one at once.
Where a message is printed, control characters are escaped; a file has the bytes as they came. In front
of a message stand its sender and recipients, and how it was encrypted, if it was.

Examples:
  smtp_sink                     then: swaks --server 127.0.0.1:5000 --to anna@example.org
  smtp_sink --folder /tmp       then: curl smtp://127.0.0.1:5000 --mail-rcpt a@b -T letter.txt
  smtp_sink --self-signed       then: swaks --tls --server 127.0.0.1:5000 --to anna@example.org

Exit status: 0 stopped as asked, 1 cannot listen or read FILE, 2 bad usage, 130 a second Ctrl-C
Environment: RUST_LOG  what to log on standard error: error, warn (default), info, debug, trace
";

/// The longest command, in bytes. RFC 5321 asks for 512 and leaves room for extensions.
const LONGEST_LINE: usize = 2048;

/// The longest message unless set otherwise, in bytes: Postfix' default.
const LONGEST_MESSAGE: usize = 10_485_760;

/// The most recipients of a message: the number that RFC 5321 asks for at least.
const MOST_RECIPIENTS: usize = 100;

/// How long a client may be silent: the time that RFC 5321 asks for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where messages go, and how long they may be. All connections share it.
struct Sink {
    folder: Option<PathBuf>,
    max_size: usize,
    /// For STARTTLS. `None`: it is not offered.
    tls: Option<Arc<ServerConfig>>,
    /// How many messages came.
    count: Cell<u64>,
}

/// The phase of commands, one in each line.
struct Commands {
    sink: Rc<Sink>,
    /// The reply that begins this phase: the greeting, or what became of a message.
    opening: String,
    envelope: Envelope,
}

impl Commands {
    fn phase(sink: Rc<Sink>, opening: String) -> Framed<Lines, Self> {
        let commands = Self { sink, opening, envelope: Envelope::default() };
        Framed::new(Lines::new().max_length(LONGEST_LINE), commands)
    }

    /// Begins TLS, and forgets what was said in clear.
    fn start_tls(
        &mut self,
        transport: &mut Transport<'_>,
        argument: &str,
    ) -> Result<(), &'static str> {
        if transport.is_encrypted() {
            return Err("503 it is encrypted already");
        }
        let config = self.sink.tls.as_ref().ok_or("454 there is no certificate here")?;
        if !argument.is_empty() {
            return Err("501 it takes no argument");
        }
        self.envelope = Envelope::default();
        transport.write(b"220 go ahead\r\n"); // the last in clear
        if !transport.start_tls(Arc::clone(config)) {
            transport.lose_connection(); // no command in clear comes after that answer
        }
        Ok(())
    }

    /// Carries out a command that leaves the phase as it is; returns the reply.
    fn command(
        &mut self,
        verb: &str,
        argument: &str,
        is_encrypted: bool,
    ) -> Result<String, &'static str> {
        match verb {
            "HELO" | "EHLO" if argument.is_empty() => return Err("501 your name is missing"),
            "HELO" | "EHLO" | "RSET" => self.envelope = Envelope::default(),
            "NOOP" => {}
            "MAIL" => self.begin(argument)?,
            "RCPT" => self.add_recipient(argument)?,
            "VRFY" => return Err("252 every mailbox is taken, and none is known"),
            _ => return Err("500 no such command here"),
        }
        Ok(match verb {
            "HELO" => "250 localhost".to_owned(),
            "EHLO" => {
                let size = self.sink.max_size;
                let offers_tls = self.sink.tls.is_some() && !is_encrypted;
                let tls = if offers_tls { "250-STARTTLS\r\n" } else { "" };
                format!("250-localhost\r\n250-8BITMIME\r\n250-PIPELINING\r\n{tls}250 SIZE {size}")
            }
            _ => "250 OK".to_owned(),
        })
    }

    fn begin(&mut self, argument: &str) -> Result<(), &'static str> {
        let (from, parameters) =
            path_behind("FROM:", argument).ok_or("501 it takes FROM:<PATH>")?;
        if self.envelope.from.is_some() {
            return Err("503 one sender was named already");
        }
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match &*name.to_ascii_uppercase() {
                "BODY" => {}
                "SIZE" => {
                    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                        return Err("501 SIZE takes a number");
                    }
                    // One that does not fit into a number is longer than any message.
                    if value.parse().map_or(true, |size: usize| size > self.sink.max_size) {
                        return Err("552 the message is too long");
                    }
                }
                _ => return Err("555 no such parameter here"),
            }
        }
        self.envelope.from = Some(from.to_owned());
        Ok(())
    }

    fn add_recipient(&mut self, argument: &str) -> Result<(), &'static str> {
        let (to, parameters) = path_behind("TO:", argument).ok_or("501 it takes TO:<PATH>")?;
        if self.envelope.from.is_none() {
            return Err("503 MAIL comes first");
        }
        if to.is_empty() {
            return Err("501 a recipient has a name");
        }
        if !parameters.is_empty() {
            return Err("555 no such parameter here");
        }
        if self.envelope.to.len() == MOST_RECIPIENTS {
            return Err("452 too many recipients");
        }
        self.envelope.to.push(to.to_owned());
        Ok(())
    }
}

impl Protocol for Commands {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.set_timeout(Some(PATIENCE));
        write!(transport, "{}\r\n", self.opening);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        log_end(transport, reason);
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        part(transport, "421 too long a silence");
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        part(transport, "421 shutting down");
    }
}

/// Logs the end of a connection, a failure of TLS above all.
fn log_end(transport: &Transport<'_>, reason: &Reason) {
    match reason {
        Reason::Tls { error } => log::info!("{error}"), // it names the peer
        _ => log::debug!("{}: {reason}", transport.peer_addr()),
    }
}

/// The version of TLS and the suite.
fn described(tls: &TlsInfo) -> Option<String> {
    Some(format!("{:?}, {:?}", tls.version()?, tls.cipher_suite()?.suite()))
}

/// Sends a last reply, and closes.
fn part(transport: &mut Transport<'_>, reply: &str) {
    write!(transport, "{reply}\r\n");
    transport.lose_connection();
}

impl FrameHandler<Lines> for Commands {
    fn frame_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match &*verb.to_ascii_uppercase() {
            "QUIT" => part(transport, "221 good-bye"),
            "DATA" if self.envelope.to.is_empty() => {
                transport.write(b"503 RCPT comes first\r\n");
            }
            "DATA" => {
                let envelope = Some(mem::take(&mut self.envelope));
                let message = Message { sink: Rc::clone(&self.sink), envelope };
                transport.set_protocol(Framed::new(DotStuffed::new(self.sink.max_size), message));
            }
            "STARTTLS" => {
                if let Err(refusal) = self.start_tls(transport, argument.trim()) {
                    write!(transport, "{refusal}\r\n");
                }
            }
            verb => {
                let is_encrypted = transport.is_encrypted();
                let reply = self.command(verb, argument.trim(), is_encrypted);
                write!(transport, "{}\r\n", reply.as_deref().unwrap_or_else(|error| error));
            }
        }
    }

    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        transport.write(b"500 the line is too long\r\n");
        transport.lose_connection_because(Reason::protocol(error));
    }
}

/// Takes `FROM:<path> parameters` apart. A path is printed, so it has no control characters. Only one in quotes
/// has angle brackets of its own.
fn path_behind<'a>(word: &str, argument: &'a str) -> Option<(&'a str, &'a str)> {
    let (found, rest) = argument.split_at_checked(word.len())?;
    let (path, parameters) = rest.trim_start().strip_prefix('<')?.rsplit_once('>')?;
    let is_path =
        path.chars().all(cli::is_harmless) && (path.starts_with('"') || !path.contains(['<', '>']));
    (found.eq_ignore_ascii_case(word) && is_path).then_some((path, parameters))
}

/// The phase of a message.
struct Message {
    sink: Rc<Sink>,
    /// `None` while the message is being saved.
    envelope: Option<Envelope>,
}

impl Protocol for Message {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        transport.write(b"354 end with a dot in a line of its own\r\n");
    }

    /// A message that is being saved gets its answer first.
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        if self.envelope.is_some() {
            part(transport, "421 shutting down");
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        log_end(transport, reason);
    }
}

impl FrameHandler<DotStuffed> for Message {
    /// A thread saves the message, for a disk may be slow. Nothing is read until it is done.
    fn frame_received(&mut self, transport: &mut Transport<'_>, message: Vec<u8>) {
        transport.pause_reading();
        let (id, peer, sink) = (transport.id(), transport.peer_addr(), Rc::clone(&self.sink));
        let envelope = self.envelope.take().unwrap_or_default();
        let tls = transport.tls().as_ref().and_then(described);
        let envelope = Envelope { tls, ..envelope };
        let Envelope { from, to, tls } = &envelope;
        let (from, how) =
            (from.as_deref().unwrap_or_default(), tls.as_deref().unwrap_or("in clear"));
        log::info!("{peer}: {} bytes from {from:?} to {to:?}, {how}", message.len());
        let number = sink.count.get() + 1;
        sink.count.set(number);
        let folder = sink.folder.clone();
        let save = move || match folder {
            Some(folder) => save::to_folder(&folder, number, &envelope, &message),
            None => save::to_output(number, &envelope, &message),
        };
        transport.reactor().call_in_thread(save, move |reactor, saved| {
            answer(reactor, id, sink, saved.unwrap_or_else(|error| Err(io::Error::other(error))));
        });
    }

    fn frame_failed(&mut self, transport: &mut Transport<'_>, error: FrameError) {
        transport.write(b"552 the message is too long\r\n");
        transport.lose_connection_because(Reason::protocol(error));
    }
}

/// Tells a client what became of its message, and goes back to the phase of commands.
fn answer(reactor: &mut Reactor, id: ConnectionId, sink: Rc<Sink>, saved: io::Result<u64>) {
    let reply = match saved {
        Ok(number) => {
            sink.count.set(sink.count.get().max(number)); // or each message would pass all files of former runs
            "250 OK".to_owned()
        }
        Err(error) => {
            log::warn!("cannot save a message: {error}");
            "451 it cannot be saved".to_owned()
        }
    };
    let is_stopping = reactor.is_stopping();
    let Some(mut transport) = reactor.transport(id) else { return };
    transport.resume_reading();
    if is_stopping {
        part(&mut transport, &format!("{reply}\r\n421 shutting down"));
    } else {
        transport.set_protocol(Commands::phase(sink, reply));
    }
}

fn main() -> ExitCode {
    cli::run("smtp_sink", serve)
}

fn serve() -> Result<(), Exit> {
    let (mut folder, mut max_size, mut tls) = (None, LONGEST_MESSAGE, TlsOptions::default());
    let options = ServerOptions::from_args_and(HELP, |name, args| {
        match name {
            "folder" => folder = Some(PathBuf::from(args.value()?)),
            "max-size" => max_size = args.value()?.parse_with(cli::from_one("--max-size"))?,
            _ => return tls.take(name, args),
        }
        Ok(true)
    })?;
    if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
        let folder = folder.display();
        return Err(Exit::Failed(format!("{folder} is no folder; --folder takes one that exists")));
    }
    let mut reactor = cli::reactor()?;
    let tls = tls.server()?;
    if let Some(tls) = &tls {
        tls.reload_on_hangup(&mut reactor)?;
    }
    let tls = tls.map(|tls| tls.config);
    let sink = Rc::new(Sink { folder, max_size, tls, count: Cell::new(0) });
    cli::serve_on(reactor, options.place(), move |_peer| {
        Commands::phase(Rc::clone(&sink), "220 localhost takes every message".to_owned())
    })
}
