//! A play: a program of the guide, its log, and the peers that a script lets connect.
//!
//! A script does one thing, waits for the line of the log that this causes, and then does the next. So
//! the order of events is always the same, on a fast machine and on a slow one. The script's steps and the
//! program's log are one transcript.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Display};
#[cfg(target_os = "linux")]
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

/// After this time nothing will come any more. Only a play that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many lines of the log an error shows.
const SHOWN: usize = 12;

/// An expectation of a script, and the thing that came instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// The thing that should have happened.
    pub expected: String,
    /// The thing that did happen.
    pub saw: String,
}

impl Finding {
    /// A finding of these two.
    pub fn new(expected: impl Display, saw: impl Display) -> Self {
        Self { expected: expected.to_string(), saw: saw.to_string() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected: {}\nsaw:      {}", self.expected, self.saw)
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl Error for Finding {}

/// A program that listens, while it runs. It is ended when the value is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    addr: SocketAddr,
    log: Receiver<String>,
    transcript: Rc<RefCell<Vec<String>>>,
    peers: usize,
    patience: Duration,
}

impl Program {
    /// Starts a program at a free port, and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not start, or does not say where it listens.
    pub fn start(path: &Path) -> Result<Self, Finding> {
        Self::start_command(&mut Command::new(path))
    }

    /// The same, for a command that runs such a program. The address becomes its last argument.
    ///
    /// # Errors
    ///
    /// As those of [`start`](Self::start).
    pub fn start_command(command: &mut Command) -> Result<Self, Finding> {
        let failed = |saw: String| Finding::new(format!("{command:?} starts"), saw);
        let pipes = (Stdio::piped(), Stdio::piped(), Stdio::piped());
        let mut started = Command::new(command.get_program());
        started.args(command.get_args()).arg("127.0.0.1:0");
        started.stdin(pipes.0).stdout(pipes.1).stderr(pipes.2);
        let mut child = started.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("it has no output".to_owned()));
        };
        let log = lines_of(stderr);
        let first = lines_of(stdout).recv_timeout(PATIENCE);
        let addr = first.ok().and_then(|line| line.strip_prefix("listening on ")?.parse().ok());
        let transcript = Rc::default();
        match addr {
            Some(addr) => Ok(Self { child, addr, log, transcript, peers: 0, patience: PATIENCE }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Finding::new("the line: listening on ADDRESS", "none, on standard output"))
            }
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The lines so far, of the log and of the peers.
    pub fn transcript(&self) -> Vec<String> {
        self.transcript.borrow().clone()
    }

    /// How long it is waited for a line, from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Reads the log until a line that contains this text, and returns that line.
    ///
    /// # Errors
    ///
    /// The log ends before, or nothing more comes.
    pub fn wait_for(&mut self, text: &str) -> Result<String, Finding> {
        self.wait_for_any(&[text]).map(|(_, line)| line)
    }

    /// Reads the log until a line that contains one of these texts: which one, and the line.
    ///
    /// # Errors
    ///
    /// The log ends before, or nothing more comes.
    pub fn wait_for_any(&mut self, texts: &[&str]) -> Result<(usize, String), Finding> {
        loop {
            match self.log.recv_timeout(self.patience) {
                Ok(line) => {
                    let found = texts.iter().position(|text| line.contains(text));
                    self.note(line.clone());
                    if let Some(index) = found {
                        return Ok((index, line));
                    }
                }
                Err(end) => return Err(self.nothing(&texts.join("\" or \""), end)),
            }
        }
    }

    fn nothing(&self, text: &str, end: RecvTimeoutError) -> Finding {
        let expected = format!("a line of the log with \"{text}\"");
        let end = match end {
            RecvTimeoutError::Timeout => "then nothing more",
            RecvTimeoutError::Disconnected => "then the program ended",
        };
        Finding::new(expected, format!("{}\n          {end}", self.last_lines()))
    }

    /// The last lines of the transcript, for an error.
    pub fn last_lines(&self) -> String {
        let transcript = self.transcript.borrow();
        let first = transcript.len().saturating_sub(SHOWN);
        transcript[first..].join("\n          ")
    }

    /// How many lines so far contain this text.
    pub fn count(&self, text: &str) -> usize {
        self.transcript.borrow().iter().filter(|line| line.contains(text)).count()
    }

    fn note(&self, line: String) {
        self.transcript.borrow_mut().push(line);
    }

    /// A client connects.
    ///
    /// # Errors
    ///
    /// It cannot.
    pub fn connect(&mut self) -> Result<Peer, Finding> {
        self.peers += 1;
        let number = self.peers;
        let failed = |error| Finding::new(format!("client {number} connects"), error);
        let stream = TcpStream::connect(self.addr).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        self.note(format!("peer | #{number} | connects"));
        Ok(Peer { number, stream, transcript: Rc::clone(&self.transcript) })
    }

    /// The standard input of the program.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits until the program has ended by itself: whether it succeeded.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn wait(&mut self) -> Result<bool, Finding> {
        let ended = self.child.wait();
        ended.map(|status| status.success()).map_err(|error| Finding::new("it ends", error))
    }

    /// The process of the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program sleeps. Before that it might still meet what the script does next in the
    /// turn that it is in.
    ///
    /// # Errors
    ///
    /// It runs on and on.
    #[cfg(target_os = "linux")]
    pub fn wait_until_asleep(&self) -> Result<(), Finding> {
        let path = format!("/proc/{}/stat", self.child.id());
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let stat = fs::read_to_string(&path);
            let stat = stat.map_err(|error| Finding::new("the program runs", error))?;
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')) {
                return Ok(());
            }
            thread::yield_now();
        }
        Err(Finding::new("the program waits", "it runs on and on"))
    }

    /// Stops the program, as Ctrl-Z does, until [`resume`](Self::resume). It has stopped when this
    /// returns.
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg(target_os = "linux")]
    pub fn stop(&self) -> Result<(), Finding> {
        use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
        let pid = Pid::from_child(&self.child);
        let stopped = kill_process(pid, Signal::STOP)
            .and_then(|()| waitpid(Some(pid), WaitOptions::UNTRACED));
        self.note("peer | - | stops the server".to_owned());
        stopped.map(drop).map_err(|error| Finding::new("the program stops", error))
    }

    /// Lets a stopped program go on.
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg(target_os = "linux")]
    pub fn resume(&self) -> Result<(), Finding> {
        use rustix::process::{Pid, Signal, kill_process};
        self.note("peer | - | lets the server go on".to_owned());
        let resumed = kill_process(Pid::from_child(&self.child), Signal::CONT);
        resumed.map_err(|error| Finding::new("the program goes on", error))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, as they come.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody may be left who reads them; but the pipe must not become full.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// How a connection ended, as its client saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The server has ended its side in order.
    Closed,
    /// The connection was reset: bytes may be lost.
    Reset,
}

/// A client.
#[derive(Debug)]
pub struct Peer {
    number: usize,
    stream: TcpStream,
    transcript: Rc<RefCell<Vec<String>>>,
}

impl Peer {
    /// Sends a text.
    ///
    /// # Errors
    ///
    /// The connection is broken, or the server takes no more.
    pub fn send(&mut self, text: &str) -> Result<(), Finding> {
        let short = text.len() <= 20;
        let shown = if short { format!("{text:?}") } else { format!("{} bytes", text.len()) };
        self.note(format!("sends {shown}"));
        let sent = self.stream.write_all(text.as_bytes());
        sent.map_err(|error| Finding::new(format!("client {} sends {shown}", self.number), error))
    }

    /// Sends this again and again, until the server takes no more: how many bytes it took.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn send_until_full(&mut self, text: &str) -> Result<usize, Finding> {
        let failed = |error| Finding::new("the client sends until the server is full", error);
        self.stream.set_nonblocking(true).map_err(failed)?;
        let mut sent = 0;
        loop {
            match self.stream.write(text.as_bytes()) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed(error)),
            }
        }
        self.stream.set_nonblocking(false).map_err(failed)?;
        self.note("sends as much as it can".to_owned());
        Ok(sent)
    }

    /// Receives so many bytes.
    ///
    /// # Errors
    ///
    /// Fewer come.
    pub fn receive(&mut self, count: usize) -> Result<Vec<u8>, Finding> {
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            match self.stream.read(&mut bytes[have..]) {
                Ok(0) => return Err(self.too_few(count, have, "then the end")),
                Ok(more) => have += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.too_few(count, have, &format!("then: {error}"))),
            }
        }
        self.note(format!("receives {count} bytes"));
        Ok(bytes)
    }

    fn too_few(&self, count: usize, have: usize, end: &str) -> Finding {
        let expected = format!("client {} receives {count} bytes", self.number);
        Finding::new(expected, format!("{have} bytes, {end}"))
    }

    /// Receives all that comes: how many bytes, and how the connection ended.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub fn receive_to_end(&mut self) -> Result<(usize, End), Finding> {
        let (mut all, mut buffer) = (0, [0; 65536]);
        let end = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break End::Closed,
                Ok(count) => all += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => {
                    let expected = format!("the connection of client {} ends", self.number);
                    return Err(Finding::new(expected, format!("{all} bytes, then: {error}")));
                }
            }
        };
        let told = if end == End::Closed { "the end" } else { "a reset" };
        self.note(format!("receives {all} bytes, then {told}"));
        Ok((all, end))
    }

    /// Lets the kernel keep little of what this client does not read.
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg(target_os = "linux")]
    pub fn keep_little(&self) -> Result<(), Finding> {
        const LITTLE: usize = 64 * 1024;
        let kept = rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, LITTLE);
        kept.map_err(|error| Finding::new("the kernel keeps little", error))
    }

    /// Sends nothing more. It may still receive.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn end(&mut self) -> Result<(), Finding> {
        self.note("sends no more".to_owned());
        let ended = self.stream.shutdown(Shutdown::Write);
        ended.map_err(|error| Finding::new(format!("client {} ends", self.number), error))
    }

    /// Goes away.
    pub fn leave(self) {
        self.note("leaves".to_owned());
    }

    fn note(&self, event: String) {
        self.transcript.borrow_mut().push(format!("peer | #{} | {event}", self.number));
    }
}
