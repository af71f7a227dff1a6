//! The cost of operations in system calls, counted by strace.
//!
//! Servers are run as processes of their own: the random server of the examples, and this very test
//! program in the role of an echo server. Each is given two loads, and the difference counts, so
//! that what starting costs does not.
//!
//! A program of its own: strace runs it as the server whose calls are counted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crocus::{DatagramProtocol, DatagramTransport, Handle, Protocol, Reactor, Reason, Transport};

const CHILD: &str = "CROCUS_ECHO_SERVER";

/// How many connections, or messages, the larger load has more than the smaller.
const MORE: usize = 200;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// Not a test when it is run as one: the server that the tests trace.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut reactor = Reactor::new().unwrap();
    let listener = reactor.listen("127.0.0.1:0", |_| Echo).unwrap();
    println!("\nlistening on {}", reactor.local_addr(listener).unwrap());
    reactor.run().unwrap();
}

/// Answers by way of a handle, and lets go of the last hold, as a scheduler does that runs on the loop.
struct Posting(Handle);

impl Protocol for Posting {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        let (id, answer) = (transport.id(), data.to_vec());
        let hold = transport.reactor().hold();
        self.0.call_from_thread(move |reactor| {
            reactor.transport(id).unwrap().write(&answer);
            drop(hold);
        });
    }
}

/// The same for a server whose answers are calls.
#[test]
fn posting_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut reactor = Reactor::new().unwrap();
    let handle = reactor.handle();
    let listener = reactor.listen("127.0.0.1:0", move |_| Posting(handle.clone())).unwrap();
    println!("\nlistening on {}", reactor.local_addr(listener).unwrap());
    reactor.run().unwrap();
}

/// The same for a server whose sessions are tasks.
#[cfg(feature = "futures")]
#[test]
fn task_child() {
    use crocus::futures::{Connection, listen, run_until, spawn_local};
    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    async fn echo(mut peer: Connection) -> io::Result<()> {
        let mut buf = [0; 64];
        loop {
            peer.read_exact(&mut buf).await?;
            peer.write_all(&buf).await?;
        }
    }

    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let serve = async {
        let mut incoming = listen("127.0.0.1:0").unwrap();
        println!("\nlistening on {}", incoming.local_addr());
        while let Some(peer) = incoming.accept().await {
            spawn_local(echo(peer));
        }
    };
    run_until(&mut Reactor::new().unwrap(), serve).unwrap();
}

struct DatagramEcho;

impl DatagramProtocol for DatagramEcho {
    fn datagram_received(
        &mut self,
        transport: &mut DatagramTransport,
        data: &[u8],
        from: SocketAddr,
    ) {
        let _ = transport.send_to(data, from); // it may be made to fail
    }

    fn connection_refused(&mut self, _: &mut DatagramTransport) {
        println!("refused");
    }

    fn resume_writing(&mut self, _: &mut DatagramTransport) {
        println!("room");
    }

    fn error_received(&mut self, _: &mut DatagramTransport, error: &io::Error) {
        println!("error {error}");
    }

    fn stop_protocol(&mut self, _: &mut DatagramTransport, reason: &Reason) {
        println!("stop {reason}");
    }
}

/// The same for datagrams.
#[test]
fn datagram_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut reactor = Reactor::new().unwrap();
    let id = reactor.listen_udp("127.0.0.1:0", DatagramEcho).unwrap();
    println!("\nlistening on {}", reactor.datagram(id).unwrap().local_addr());
    reactor.run().unwrap();
}

fn datagram_server() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "datagram_child", "--nocapture"]).env(CHILD, "1");
    command
}

fn datagram_client(server: &str) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client
}

#[test]
fn a_connection_of_the_random_server_costs_five_calls() {
    if !has_strace() {
        return;
    }
    let server = example("random_server");
    let load = |rounds: usize| {
        let traced =
            Traced::start("connections", Command::new(&server).args(["--listen", "127.0.0.1:0"]));
        for _ in 0..rounds {
            // One after another, so that a turn serves one connection: the dearest case.
            let mut reply = Vec::new();
            TcpStream::connect(&traced.addr).unwrap().read_to_end(&mut reply).unwrap();
            assert_eq!(reply.len(), 81);
        }
        traced.stop()
    };
    let calls = difference(&load(20 + MORE), &load(20));
    let shared = calls["epoll_wait"] + calls["accept4 that found nobody"];
    let own = calls.values().sum::<i64>() - shared;
    println!("{calls:#?}");
    assert_eq!(own, 5 * MORE as i64, "accept4, sendto, shutdown, recvfrom, close");
    // Shared by all whom one turn serves, one at a time or sixty-four at once.
    assert!(shared <= 2 * MORE as i64 + 2, "one sleep and one empty accept per turn");
}

#[test]
fn an_echoed_message_costs_two_calls() {
    echo_costs_two_calls("child");
}

/// Neither the push nor the drop of the hold writes to a descriptor, for the reactor is awake.
#[test]
fn an_answer_by_a_handle_costs_no_more() {
    echo_costs_two_calls("posting_child");
}

/// To wake a task on the loop's thread is no system call, and it is polled in the turn that wakes it.
#[cfg(feature = "futures")]
#[test]
fn an_echo_by_a_task_costs_no_more() {
    echo_costs_two_calls("task_child");
}

fn echo_costs_two_calls(child: &str) {
    if !has_strace() {
        return;
    }
    let load = |messages: usize| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", child, "--nocapture"]).env(CHILD, "1");
        let traced = Traced::start(child, &command);
        let mut client = TcpStream::connect(&traced.addr).unwrap();
        let mut back = [0; 64];
        for message in 0..messages {
            client.write_all(&[message as u8; 64]).unwrap();
            client.read_exact(&mut back).unwrap();
        }
        traced.stop()
    };
    let calls = difference(&load(20 + MORE), &load(20));
    println!("{calls:#?}");
    let own = calls.values().sum::<i64>() - calls["epoll_wait"];
    assert_eq!(own, 2 * MORE as i64, "recvfrom, sendto");
    assert!(calls["epoll_wait"] <= MORE as i64 + 2, "one sleep for each");
}

#[test]
fn an_echoed_datagram_costs_three_calls() {
    if !has_strace() {
        return;
    }
    let load = |messages: usize| {
        let traced = Traced::start("datagrams", &datagram_server());
        let client = datagram_client(&traced.addr);
        for message in 0..messages {
            // It sleeps before each, so that a turn serves one datagram: the dearest case.
            traced.await_sleep();
            client.send(&[message as u8; 64]).unwrap();
            assert_eq!(client.recv(&mut [0; 65]).unwrap(), 64);
        }
        traced.stop()
    };
    let more = 50;
    let calls = difference(&load(5 + more), &load(5));
    println!("{calls:#?}");
    let sleeps = calls["epoll_wait"];
    let own = calls.values().sum::<i64>() - sleeps;
    assert_eq!(own, 3 * more as i64, "recvfrom, sendto, recvfrom that finds nothing");
    // The first sleeps, with what starting has queued, may be taken for that before a datagram.
    let strays = sleeps - more as i64;
    assert!(strays.abs() <= 2, "no turn for room that nobody waits for: {strays}");
}

/// A kernel without room, by strace's hand: the loopback's never lacks any.
#[test]
fn room_for_a_datagram_is_told_by_the_kernel_once() {
    if !has_strace() {
        return;
    }
    let inject = ["-e", "inject=sendto:error=EAGAIN:when=1"];
    let traced = Traced::start_with("room", &inject, &datagram_server());
    let client = datagram_client(&traced.addr);
    client.send(b"lost").unwrap();
    assert_eq!(traced.line(), "room");
    for _ in 0..3 {
        client.send(b"echoed").unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 6);
    }
    let trace = traced.trace();
    assert_eq!(trace.matches("write(1, \"room").count(), 1, "{trace}");
    assert_eq!(trace.matches("EPOLL_CTL_MOD").count(), 2, "asked for, and no longer: {trace}");
}

#[test]
fn errors_of_receiving_do_not_close_the_socket() {
    if !has_strace() {
        return;
    }
    for error in ["EHOSTUNREACH", "ENOMEM", "EIO"] {
        let inject = ["-e", &format!("inject=recvfrom:error={error}:when=1..2")];
        let traced = Traced::start_with(&format!("udp-{error}"), &inject, &datagram_server());
        let client = datagram_client(&traced.addr);
        client.send(b"echoed").unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 6, "it waited meanwhile");
        assert!(traced.line().starts_with("error "));
        assert!(traced.line().starts_with("error "));
        drop(traced.trace());
    }
}

#[test]
fn an_unconnected_socket_is_told_no_refusal() {
    if !has_strace() {
        return;
    }
    let inject = ["-e", "inject=recvfrom:error=ECONNREFUSED:when=1..2"];
    let traced = Traced::start_with("udp-refused", &inject, &datagram_server());
    let client = datagram_client(&traced.addr);
    client.send(b"echoed").unwrap();
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 6);
    let trace = traced.trace();
    assert_eq!(trace.matches("(INJECTED)").count(), 2, "{trace}");
    for told in ["error", "refused"] {
        assert!(!trace.contains(&format!("write(1, \"{told}")), "{trace}");
    }
}

/// Without an end to the errors the loop would spin.
#[test]
fn a_socket_that_gives_nothing_but_errors_is_closed() {
    if !has_strace() {
        return;
    }
    let inject = ["-e", "inject=recvfrom:error=EIO:when=1+"];
    let mut traced = Traced::start_with("udp-broken", &inject, &datagram_server());
    datagram_client(&traced.addr).send(b"hello").unwrap();
    let stop = std::iter::from_fn(|| Some(traced.line())).find(|line| !line.starts_with("error "));
    assert!(stop.unwrap().starts_with("stop receiving datagrams: "));
    assert!(traced.child.wait().unwrap().success(), "nothing is left to run for");
}

#[test]
fn an_idle_server_makes_no_call() {
    if !has_strace() {
        return;
    }
    let server = example("random_server");
    let traced = Traced::start("idle", Command::new(server).args(["--listen", "127.0.0.1:0"]));
    let mut reply = Vec::new();
    TcpStream::connect(&traced.addr).unwrap().read_to_end(&mut reply).unwrap();
    let trace = traced.trace();
    // After the last connection was closed it finds nobody else to accept, and asks for events without
    // a time limit; that is the last thing it does before the signal comes.
    let (before, after) = trace.split_once("--- SIGTERM").unwrap();
    let calls: Vec<&str> = before.lines().collect();
    let closed = calls.iter().rposition(|line| line.contains("close(")).unwrap();
    assert!(calls[closed + 1].contains("accept4("), "{:#?}", &calls[closed..]);
    let idle = calls[closed + 2];
    assert!(idle.contains("epoll_wait(") && idle.contains(", -1"), "{:#?}", &calls[closed..]);
    assert!(idle.contains("EINTR"), "only the signal woke it: {idle}");
    assert!(after.contains("exited with 0"), "{after}");
    // A reset peer must not end the process by SIGPIPE, however that is set where crocus is embedded.
    let sends: Vec<&str> = before.lines().filter(|line| line.contains("sendto(")).collect();
    assert!(!sends.is_empty() && sends.iter().all(|line| line.contains("MSG_NOSIGNAL")));
    // The answer waits for the end of the stream, so that both leave in one segment.
    assert!(sends.iter().all(|line| line.contains("MSG_MORE")), "{sends:#?}");
}

/// Each error that accept4(2) lists, given by the kernel's own hand: twice, to a server at which a
/// client waits. It is served all the same, without another client to wake the listener.
#[test]
fn no_error_of_accept_strands_a_client() {
    if !has_strace() {
        return;
    }
    let skipped = ["ECONNABORTED", "EPERM", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "EOPNOTSUPP"];
    let shortages = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];
    for error in skipped.into_iter().chain(shortages) {
        let inject = format!("inject=accept4:error={error}:when=1..2");
        let mut command = Command::new(example("random_server"));
        command.args(["--listen", "127.0.0.1:0"]);
        let traced = Traced::start_with(error, &["-e", &inject], &command);
        let mut reply = Vec::new();
        TcpStream::connect(&traced.addr).unwrap().read_to_end(&mut reply).unwrap();
        assert_eq!(reply.len(), 81, "{error}");
        let trace = traced.trace();
        assert_eq!(trace.matches("(INJECTED)").count(), 2, "{error}: {trace}");
    }
}

/// Errors of connections that the kernel gives once end that connection, and the server goes on.
#[test]
fn errors_of_reading_and_writing_end_one_connection_only() {
    if !has_strace() {
        return;
    }
    for (call, error) in [("recvfrom", "EIO"), ("sendto", "ENOBUFS"), ("sendto", "EPIPE")] {
        let inject = format!("inject={call}:error={error}:when=1");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env(CHILD, "1");
        let traced = Traced::start_with(&format!("{call}-{error}"), &["-e", &inject], &command);
        let mut unlucky = TcpStream::connect(&traced.addr).unwrap();
        unlucky.write_all(b"hello").unwrap();
        let mut echoed = Vec::new();
        drop(unlucky.read_to_end(&mut echoed));
        assert_eq!(echoed, b"", "{call} failed with {error}");
        let mut next = TcpStream::connect(&traced.addr).unwrap();
        next.write_all(b"hello").unwrap();
        next.read_exact(&mut [0; 5]).unwrap();
        drop(next);
        assert!(traced.trace().contains("(INJECTED)"));
    }
}

/// A server under strace.
struct Traced {
    child: Child,
    lines: RefCell<Lines<BufReader<ChildStdout>>>,
    addr: String,
    file: PathBuf,
}

impl Traced {
    fn start(name: &str, command: &Command) -> Self {
        Self::start_with(name, &[], command)
    }

    fn start_with(name: &str, options: &[&str], command: &Command) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = dir.join(format!("{name}-{}.strace", std::process::id()));
        let mut strace = Command::new("strace");
        strace
            .args(options)
            .args(["-f", "-o"])
            .arg(&file)
            .arg(command.get_program())
            .args(command.get_args());
        for (key, value) in command.get_envs() {
            strace.env(key, value.unwrap());
        }
        let mut child = strace.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line =
            lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("listening on "));
        let addr =
            line.expect("a server says where it listens")["listening on ".len()..].to_owned();
        Self { child, lines: RefCell::new(lines), addr, file }
    }

    /// The next line it prints.
    fn line(&self) -> String {
        self.lines.borrow_mut().next().expect("it says more").unwrap()
    }

    /// Waits until the trace shows that it sleeps.
    fn await_sleep(&self) {
        let begin = std::time::Instant::now();
        loop {
            let trace = std::fs::read_to_string(&self.file).unwrap();
            if last_of_each_thread(&trace).iter().any(|last| {
                // A call that has not returned is written as far as its arguments are known.
                last.contains("epoll_wait(") && !last.contains(") = ")
            }) {
                break;
            }
            let last = trace.lines().last().unwrap_or_default();
            assert!(begin.elapsed().as_secs() < 60, "it does not go to sleep: {last}");
            std::thread::yield_now();
        }
    }

    /// Ends the server, and returns what it did.
    fn trace(mut self) -> String {
        self.await_sleep();
        let pid = first_pid(&std::fs::read_to_string(&self.file).unwrap());
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// Ends the server, and counts its calls by name.
    fn stop(self) -> BTreeMap<String, i64> {
        let mut calls = BTreeMap::new();
        for line in self.trace().lines() {
            // PID CALL(ARGUMENTS) = RESULT, or one cut in two and `resumed` in the second half.
            let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
            let Some((name, _)) = call.split_once('(') else { continue };
            // In debug builds std looks whether a descriptor is open before it closes it; and strace
            // itself makes a sleeping call start again. How often the allocator trims a thread's first
            // memory depends on where that lies, which is random.
            let not_ours = line.contains("F_GETFD") || matches!(name, "restart_syscall" | "munmap");
            if name.starts_with(['<', '-', '+']) || not_ours {
                continue;
            }
            let nobody = name == "accept4" && line.contains("EAGAIN");
            let name = if nobody { "accept4 that found nobody" } else { name };
            *calls.entry(name.to_owned()).or_default() += 1;
        }
        calls
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Killing strace lets the server go on; when it was not ended in order, end it first.
        if let Ok(None) = self.child.try_wait() {
            let pid = first_pid(&std::fs::read_to_string(&self.file).unwrap_or_default());
            drop(Command::new("kill").args(["-KILL", &pid]).status());
            drop(self.child.wait());
        }
        drop(std::fs::remove_file(&self.file));
    }
}

/// The last line of each thread; the thread of a test's harness may wait beside the reactor's.
fn last_of_each_thread(trace: &str) -> Vec<&str> {
    let mut last = BTreeMap::new();
    for line in trace.lines() {
        last.insert(line.split_whitespace().next(), line);
    }
    last.into_values().collect()
}

fn first_pid(trace: &str) -> String {
    trace.split_whitespace().next().unwrap_or("0").to_owned()
}

/// How many calls of each name the first has more than the second.
fn difference(more: &BTreeMap<String, i64>, less: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let names = more.keys().chain(less.keys()).cloned();
    let count = |name: &String| more.get(name).unwrap_or(&0) - less.get(name).unwrap_or(&0);
    names.map(|name| (name.clone(), count(&name))).collect()
}

fn example(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(name)
}

/// Whether there is a strace that may trace. CI installs it and insists.
fn has_strace() -> bool {
    let works =
        Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let works = works.is_ok_and(|status| status.success());
    assert!(works || std::env::var_os("CI").is_none(), "CI needs a working strace");
    if !works {
        eprintln!("skipped: there is no strace that works (apt-get install strace)");
    }
    works
}
