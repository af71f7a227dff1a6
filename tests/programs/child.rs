//! Programs as child processes: started, listened to, and killed by the test that started them.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long to wait before saying that something never happened. Nothing takes that long.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The command of an example program, built if need be.
pub(crate) fn example(name: &str) -> Command {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(build_examples);
    let mut command = Command::new(dir.join(name).with_extension(std::env::consts::EXE_EXTENSION));
    // Without the warnings of slow callbacks: on a busy machine any callback may be one.
    command.env("RUST_LOG", "warn,crocus::reactor::dispatch=error");
    command
}

/// `cargo test` has built the examples, `cargo test --test programs` has not, or an older version of
/// them: so this asks cargo again, for the profile and folder of the test that is running.
fn build_examples() -> PathBuf {
    let test = std::env::current_exe().unwrap(); // TARGET/PROFILE/deps/programs-HASH
    let profile_dir = test.ancestors().nth(2).unwrap();
    let profile = match profile_dir.file_name().and_then(OsStr::to_str).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--examples", "--all-features", "--profile", profile]);
    cargo.arg("--target-dir").arg(profile_dir.parent().unwrap());
    // Cargo says to its tests what it is testing. If that went on to this cargo, it would compile `ring` anew, which
    // asks for it, and the next cargo once more: minutes, with all that stands on it.
    for (name, _) in std::env::vars_os() {
        let said = name.to_str().unwrap_or_default();
        if said.starts_with("CARGO_PKG_") || said.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success(), "the examples do not compile");
    profile_dir.join("examples")
}

/// The command of a Python program in `tests/python`, if there is a Python.
pub(crate) fn python(script: &str) -> Option<Command> {
    let mut command = tool("python3")?;
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script));
    Some(command)
}

/// The command of a program that is not ours. Without it a test is skipped; in CI it fails, so that
/// nobody takes a skipped test for a passed one.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join(name).is_file()) {
        return Some(Command::new(name));
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is not installed, and this is CI");
    eprintln!("SKIPPED: {name} is not installed");
    None
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    Running::start(command).finish()
}

/// The same for a program that may take longer than others.
pub(crate) fn run_for(command: &mut Command, limit: Duration) -> Finished {
    Running::start(command).finish_within(limit)
}

/// A program that runs. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

impl Running {
    /// Starts a program with nothing to read; its output is read from the beginning, so that it never
    /// waits for us.
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped());
        Self::start_with_stdout(command)
    }

    /// Starts a program that reads what the test writes.
    pub(crate) fn start_talking(command: &mut Command) -> (Self, ChildStdin) {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        (Self::of(child), stdin)
    }

    /// The same, with the standard output that `command` says.
    pub(crate) fn start_with_stdout(command: &mut Command) -> Self {
        Self::of(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn of(mut child: Child) -> Self {
        let stdout = child.stdout.take().map_or_else(|| mpsc::channel().1, lines_of);
        let stderr = child.stderr.take().map_or_else(|| mpsc::channel().1, lines_of);
        Self { child, stdout, stderr }
    }

    /// The next line of its standard output.
    pub(crate) fn line(&self) -> String {
        next_line(&self.stdout)
    }

    /// The next line of its standard error.
    pub(crate) fn error_line(&self) -> String {
        next_line(&self.stderr)
    }

    /// How much memory it ever had, in KiB, where the system tells.
    pub(crate) fn peak_memory(&self) -> Option<usize> {
        self.status("VmHWM:")
    }

    /// A number of KiB from its state in `/proc`, if there is one.
    fn status(&self, field: &str) -> Option<usize> {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `INT`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own kill: a program of that name is not installed everywhere.
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.finish_within(TIME_LIMIT)
    }

    fn finish_within(mut self, limit: Duration) -> Finished {
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end: {:?}", self.child);
            thread::sleep(Duration::from_millis(2));
        };
        // Nobody writes any more, so both come to an end.
        let stdout = self.stdout.iter().flatten().collect();
        let stderr = self.stderr.iter().flatten().collect();
        Finished { code: status.code(), stdout, stderr: String::from_utf8(stderr).unwrap() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while source.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next_line(lines: &Receiver<Vec<u8>>) -> String {
    let line = lines.recv_timeout(TIME_LIMIT).expect("the program says nothing more");
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// The exit code and the output of a program that has ended.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        write!(f, "status {code:?}, output \"{}\", errors {stderr:?}", stdout.escape_ascii())
    }
}

impl Finished {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The one line of its standard error, after checking that it failed like this and said nothing
    /// else.
    pub(crate) fn complaint(&self, code: i32) -> &str {
        assert_eq!((self.code, self.text()), (Some(code), ""), "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap();
        assert!(!line.chars().any(char::is_control), "one line, and nothing that is not text");
        line
    }
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) program: Running,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts an example server at a free port.
    pub(crate) fn example(name: &str) -> Self {
        Self::start(example(name).args(["--listen", "127.0.0.1:0"]))
    }

    /// Starts a server that says as its first line where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = Running::start(command);
        let line = program.line();
        let addr = line.strip_prefix("listening on ").expect(&line).parse().unwrap();
        Self { program, addr }
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.program.peak_memory().unwrap() * 1024
    }

    /// The memory that it has, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.program.status("VmRSS:").unwrap() * 1024
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.program.id())).unwrap().count()
    }

    /// Has it stopped by SIGTERM, and checks that it ends in order.
    pub(crate) fn stop(self) {
        self.program.signal("TERM");
        let end = self.program.finish();
        assert_eq!(
            (end.code, end.text(), &*but_slowness(&end.stderr)),
            (Some(0), "", "stopping\n")
        );
    }

    /// The same for a server that may not know yet that its last clients are gone: then it says more.
    pub(crate) fn stop_with_clients(self) {
        self.program.signal("TERM");
        let end = self.program.finish();
        assert_eq!((end.code, end.text()), (Some(0), ""), "{end:?}");
        let stderr = but_slowness(&end.stderr);
        assert!(stderr.starts_with("stopping") && stderr.lines().count() == 1, "{end:?}");
    }
}

/// The log of a program without warnings of slow callbacks: on a busy machine any callback may be slow.
fn but_slowness(stderr: &str) -> String {
    let slow = |line: &&str| line.ends_with("; nothing else was served meanwhile\n");
    stderr.split_inclusive('\n').filter(|line| !slow(line)).collect()
}

/// Starts a server, connects a client that says nothing, and stops the server by SIGTERM. Checks that it waits
/// for nobody, and what it logs where `RUST_LOG` asks for `info`. `closes`: it ends each connection itself.
///
/// Connections that are left when the grace is over are dropped, and counted as such. So this depends on no
/// clock.
pub(crate) fn end_by_a_signal(command: &mut Command, closes: bool) {
    let server = Server::start(command.env("RUST_LOG", "info"));
    let first = server.program.error_line();
    assert!(first.ends_with(&format!("listening on {}", server.addr)), "{command:?}: {first}");
    let mut client = dial(server.addr);
    if closes {
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    server.program.signal("TERM");
    let end = server.program.finish();
    drop(client);
    let log = &end.stderr;
    assert_eq!((end.code, counted(log, "accepted")), (Some(0), 1), "{command:?}: {log}");
    let ended = 1 + counted(log, "connected");
    assert_eq!((counted(log, "closed"), counted(log, "dropped")), (ended, 0), "{command:?}: {log}");
}

/// The numbers before a word in all lines of the log that count, added up.
fn counted(log: &str, word: &str) -> u64 {
    let lines = log.lines().filter_map(|line| line.split_once("stopped: "));
    let counts = lines.flat_map(|(_, counts)| counts.split(", "));
    counts.filter_map(|count| count.strip_suffix(word)?.trim_end().parse::<u64>().ok()).sum()
}

/// Connects; reading and writing wait, but not for ever.
pub(crate) fn dial(addr: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(addr).unwrap())
}

/// Makes reading and writing wait, but not for ever.
pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
    stream.set_write_timeout(Some(TIME_LIMIT)).unwrap();
    stream
}

/// A server that does to its only client whatever `answer` does.
pub(crate) fn serve_once<T: Send + 'static>(
    answer: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (addr, thread::spawn(move || answer(listener.accept().unwrap().0)))
}

/// A web server with one page, for as long as the test runs.
pub(crate) fn serve_page(page: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let page = Arc::new(page);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, page) = (patient(stream.unwrap()), Arc::clone(&page));
            thread::spawn(move || answer_requests(&stream, &page));
        }
    });
    addr
}

/// Answers each head, which an empty line ends, until the client goes or has asked for the end.
fn answer_requests(mut stream: &TcpStream, page: &[u8]) {
    let mut option = "Connection: keep-alive".to_owned();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.starts_with("Connection: ") {
            option = line;
            continue;
        }
        if !line.is_empty() {
            continue;
        }
        let head = format!("HTTP/1.1 200 OK\r\n{option}\r\nContent-Length: {}\r\n\r\n", page.len());
        let answered = stream.write_all(&[head.as_bytes(), page].concat());
        if answered.is_err() || option == "Connection: close" {
            return;
        }
    }
}
