//! The program, with netcat, socat and Python as its peers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

const LIMIT: Duration = Duration::from_secs(60);

/// Ends a process at the end of its test, however that comes.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guard {
    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Waits for its end by a thread that reads its output to the end; the guard is the limit.
    fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        let (sender, ended) = mpsc::channel();
        let mut output = self.0.stdout.take().expect("the output is a pipe");
        thread::spawn(move || sender.send(output.read_to_end(&mut Vec::new())));
        ended.recv_timeout(deadline - Instant::now()).expect("an end in time").unwrap();
        self.0.wait().unwrap()
    }
}

/// Lines of a process, each in time.
struct LinesOf(mpsc::Receiver<String>);

impl LinesOf {
    fn new(source: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    fn next(&self) -> String {
        self.0.recv_timeout(LIMIT).expect("a line in time")
    }

    fn until(&self, what: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(what) {
                return line;
            }
        }
    }
}

/// A running agent and the folder of its socket.
struct Running {
    process: Guard,
    statsd: String,
    path: String,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    fn new(test: &str, options: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("agent-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("control").to_str().unwrap().to_owned();
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.args(["--statsd", "127.0.0.1:0", "--control", &path]).args(options);
        let mut process = Guard::spawn(command.stdout(Stdio::piped()));
        // Two lines, byte by byte, so that the rest stays in the pipe.
        let mut lines = String::new();
        let output = process.0.stdout.as_mut().unwrap();
        while lines.matches('\n').count() < 2 {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            lines.push(char::from(byte[0]));
        }
        let mut places = lines.lines().map(|line| line.strip_prefix("listening on ").unwrap());
        let statsd = places.next().unwrap().to_owned();
        assert_eq!(places.next().unwrap(), format!("unix:{path}"));
        Self { process, statsd, path, folder }
    }

    /// Has a client send commands and returns the answers.
    fn ask(&self, client: &str, commands: &str) -> String {
        let mut command = Command::new(client);
        match client {
            "nc" => command.args(["-N", "-U", &self.path]),
            _ => command.args(["-t30", "-", &format!("UNIX-CONNECT:{}", self.path)]),
        };
        let output = feed(&mut command, commands.as_bytes());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks until the answer contains `what`: a datagram takes its time.
    fn ask_until(&self, client: &str, what: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = self.ask(client, "status\n");
            if answer.contains(what) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what:?} is not in {answer}");
        }
    }

    fn terminate(&self) {
        let pid = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    fn end(mut self) {
        let gone = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        let process = std::mem::replace(&mut self.process, Guard(gone));
        let status = process.wait();
        assert_eq!(status.code(), Some(0));
        assert!(!PathBuf::from(&self.path).exists(), "the socket is removed");
    }
}

fn feed(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Whether the clients are installed; says so if not.
fn are_here(clients: &[&str]) -> bool {
    clients.iter().all(|client| {
        let mut command = Command::new(client);
        let here = command.arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !here {
            println!("skipped: {client} is not installed");
        }
        here
    })
}

#[test]
fn netcat_and_socat_send_datagrams_and_commands() {
    if !are_here(&["nc", "socat"]) {
        return;
    }
    let agent = Running::new("clients", &[]);
    let (host, port) = agent.statsd.split_once(':').unwrap();
    let mut nc = Command::new("nc");
    feed(nc.args(["-u", "-w1", host, port]), b"visits:2|c|@0.5\nroom:21.5|g\n");
    let mut socat = Command::new("socat");
    feed(socat.args(["-u", "-", &format!("UDP-SENDTO:{}", agent.statsd)]), b"nonsense");
    agent.ask_until("socat", "counter visits 4\ngauge room 21.5\n");
    agent.ask_until("nc", "malformed=1 ");
    agent.ask_until("nc", "load ");
    let answers = agent.ask("nc", "reset\ninterval 60\npoll nobody\n");
    assert_eq!(answers, "ok\nok\nerror: no such target: nobody\n");
    assert_eq!(agent.ask("socat", "quit\n"), "ok\n");
    agent.end();
}

const HEALTH: &str = r#"
import http.server
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(b"well\n" * 1000)
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Health)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn a_server_in_python_is_polled_and_socat_collects() {
    if !are_here(&["python3", "nc", "socat"]) {
        return;
    }
    let mut python = Command::new("python3");
    let mut python = Guard::spawn(python.args(["-c", HEALTH]).stdout(Stdio::piped()));
    let port = LinesOf::new(python.0.stdout.take().unwrap()).next();
    let mut socat = Command::new("socat");
    socat.args(["-dd", "-u", "TCP-LISTEN:0,bind=127.0.0.1", "-"]);
    let mut socat = Guard::spawn(socat.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let log = LinesOf::new(socat.0.stderr.take().unwrap());
    let collector = log.until("listening on").rsplit(' ').next().unwrap().to_owned();
    let target = format!("127.0.0.1:{port}");
    let options = ["--poll", &target, "--collector", &collector, "--interval", "200"];
    let agent = Running::new("python", &options);
    let answer = agent.ask("nc", &format!("poll {target}\n"));
    assert!(answer.contains(" status=200\nok\n"), "{answer}");
    let reports = LinesOf::new(socat.0.stdout.take().unwrap());
    assert_eq!(reports.until("report "), "report 1");
    assert!(reports.until("target ").contains(&target));
    reports.until("status=200");
    let answer = agent.ask("nc", "interval 3600000\nreset\n");
    assert_eq!(answer, "ok\nok\n");
    let (host, port) = agent.statsd.split_once(':').unwrap();
    feed(Command::new("nc").args(["-u", "-w1", host, port]), b"last:1|c");
    agent.ask_until("nc", "counter last 1");
    agent.terminate();
    reports.until("counter last 1"); // in the last report: the next one is an hour away
    reports.until("end");
    agent.end();
}

#[test]
fn a_target_that_does_not_answer_and_no_collector() {
    if !are_here(&["nc", "socat"]) {
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let agent = Running::new(
        "silent",
        &["--poll", &target, "--poll", &closed, "--timeout", "300", "--collector", &closed],
    );
    let answer = agent.ask("socat", &format!("poll {target}\npoll {closed}\n"));
    assert!(answer.contains("error=no answer in time\nok\n"), "{answer}");
    assert!(answer.contains("Connection refused"), "{answer}");
    // A client waits for a poll when the signal comes, and gets its answer.
    let mut waiting = Command::new("nc");
    waiting.args(["-N", "-U", &agent.path]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut waiting = Guard::spawn(&mut waiting);
    let mut input = waiting.0.stdin.take().unwrap();
    input.write_all(format!("reset\npoll {target}\n").as_bytes()).unwrap();
    let answers = LinesOf::new(waiting.0.stdout.take().unwrap());
    assert_eq!(answers.next(), "ok"); // so the poll has begun too: it came in the same piece
    agent.ask("nc", "status\n"); // turns later it is connected, and no attempt that a shutdown would give up
    agent.terminate();
    answers.until("error=no answer in time");
    assert_eq!(answers.next(), "ok");
    agent.end();
}

#[test]
fn mistakes_of_the_user_are_told() {
    let run = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        let output = command.args(options).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&["--statsd", "127.0.0.1:0"]);
    assert_eq!((code, error.as_str()), (Some(2), "agent: --control is missing\n"));
    let (code, error) = run(&["--statsd", "127.0.0.1:0", "--control", "/no/folder/x"]);
    assert!(code == Some(1) && error.contains("/no/folder/x"), "{error}");
    let (code, error) = run(&["--statsd", "nonsense", "--control", "x"]);
    assert!(code == Some(1) && error.contains("nonsense"), "{error}");
    let (code, error) = run(&["--interval", "1"]);
    assert!(code == Some(2) && error.contains("50..="), "{error}");
}
