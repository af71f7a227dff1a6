//! A kernel that has nothing more to give, or that forbids: each error comes from its own hand, by strace
//! or by a limit of descriptors, in a process of its own.
#![cfg(target_os = "linux")]

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crocus::{
    Activity, Address, Connect, Connector, Cores, DatagramProtocol, Factory, Protocol, Reactor,
    Readiness, Reason, SocketOptions, ThreadError, Transport,
};
use nix::sys::socket::sockopt::IpBindAddressNoPort;

use crate::child::{Running, patient, run, tool};
use crate::util::Folder;

const MODE: &str = "CROCUS_SCARCE";
const PLACE: &str = "CROCUS_PLACE";

const HOUR: Duration = Duration::from_secs(3600);

// The child.

/// Not a test when it is run as one: the process in which something is scarce.
#[test]
fn child() {
    let Ok(mode) = std::env::var(MODE) else { return };
    let place = std::env::var(PLACE).unwrap();
    log::set_logger(&Say).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    match mode.as_str() {
        "reactor" => twice(|| Reactor::new().map(drop)),
        "connect" => connect(&place),
        "serve" => serve(),
        "drain" => drain(),
        "threads" => without_threads(),
        "speak" => speak(&place),
        "descriptors" => descriptors(Path::new(&place)),
        "lookup" => look_up(&place),
        "local port" => connect_from_local_port(&place),
        listening => {
            let mut reactor = Reactor::new().unwrap();
            twice(|| take(listening, &mut reactor, Path::new(&place)));
        }
    }
    say("done");
}

fn say(line: impl Display) {
    println!("\n> {line}");
}

struct Say;

impl log::Log for Say {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        say(format_args!("{}: {}", record.level(), record.args()));
    }
    fn flush(&self) {}
}

/// Tries something that fails once, and says the errno.
fn twice(mut attempt: impl FnMut() -> io::Result<()>) {
    for _ in 0..2 {
        match attempt() {
            Ok(()) => say("fine"),
            Err(error) => say(format_args!("errno {}", errno(&error))),
        }
    }
}

/// The errno of an error, or of its cause.
fn errno(error: &io::Error) -> i32 {
    let cause = || {
        let cause = error.get_ref()?.source()?.downcast_ref::<io::Error>()?;
        cause.raw_os_error()
    };
    error.raw_os_error().or_else(cause).expect("an error of the system")
}

/// Takes something from the kernel for a reactor: the places where it may be refused at once.
fn take(what: &str, reactor: &mut Reactor, path: &Path) -> io::Result<()> {
    match what {
        "listen_tcp" => reactor.listen("127.0.0.1:0", |_| Echo).map(drop),
        "listen_unix" => {
            let listener = reactor.listen(path, |_| Echo)?;
            reactor.stop_listening(listener); // its path shall be free for the next
            Ok(())
        }
        "listen_udp" => reactor.listen_udp("127.0.0.1:0", Deaf).map(drop),
        "watch" => {
            let (reader, _writer) = io::pipe()?;
            reactor.watch(reader, Readiness::READABLE, |_, _, _| {}).map(drop)
        }
        "on_signal" => reactor.on_signal(12, |_| {}),
        "adopt_listener" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            reactor.listen(listener, |_| Echo).map(drop)
        }
        "cores" => {
            let setup =
                |core: &mut crocus::Core<'_>| core.listen("127.0.0.1:0", |_| Echo).map(drop);
            let cores = Cores::start(2, setup)?;
            cores.handle().stop();
            cores.join()
        }
        _ => unreachable!("no such place: {what}"),
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
        if data.contains(&b'!') {
            transport.reactor().stop();
        }
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        if let Some(error) = reason.io_error() {
            say(format_args!("lost, errno {}", errno(error)));
        }
    }
}

struct Deaf;

impl DatagramProtocol for Deaf {}

/// Serves until a client says so.
fn serve() {
    let mut reactor = Reactor::new().unwrap();
    let listener = reactor.listen("127.0.0.1:0", |_| Echo).unwrap();
    println!("\nlistening on {}", reactor.local_addr(listener).unwrap());
    reactor.run().unwrap();
    say(format_args!("failed accepts {}", reactor.stats().accept_errors));
}

/// Shuts down while a client waits in the queue.
fn drain() {
    let mut reactor = Reactor::new().unwrap();
    let listener = reactor.listen("127.0.0.1:0", |_| Echo).unwrap();
    let addr = reactor.local_addr(listener).unwrap().socket_addr().unwrap();
    let _client = TcpStream::connect(addr).unwrap();
    reactor.shutdown(HOUR);
    reactor.run().unwrap();
    say(format_args!("failed accepts {}", reactor.stats().accept_errors));
}

/// Wants a thread for a name, and one for work.
fn without_threads() {
    let mut reactor = Reactor::new().unwrap();
    reactor.connect("localhost:1", Client { failed: true });
    reactor.call_in_thread(
        || (),
        |_, result| match result {
            Err(ThreadError::NotStarted(error)) => say(format_args!("work: {}", errno(&error))),
            other => say(format_args!("work: {other:?}")),
        },
    );
    reactor.run().unwrap();
}

/// Connects, and tries once more after a failure.
fn connect(place: &str) {
    let mut reactor = Reactor::new().unwrap();
    reactor.connect(Connect::to(place).timeout(HOUR), Client { failed: false });
    reactor.run().unwrap();
}

fn connect_from_local_port(place: &str) {
    let mut reactor = Reactor::new().unwrap();
    let late = SocketOptions::new()
        .hook(|socket| Ok(nix::sys::socket::setsockopt(&socket, IpBindAddressNoPort, &true)?));
    for local in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let place = Connect::to(place).timeout(HOUR).socket(late.clone());
        let to = place.local_addr((local, 0).into());
        reactor.connect(to, Client { failed: true });
    }
    reactor.run().unwrap();
}

struct Client {
    failed: bool,
}

impl Factory for Client {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        say("connected");
        Some(Box::new(Leaves))
    }

    fn connection_failed(&mut self, connector: &mut Connector, reason: &Reason) {
        say(format_args!("errno {}", errno(reason.io_error().unwrap())));
        if !std::mem::replace(&mut self.failed, true) {
            assert!(connector.connect());
        }
    }
}

/// Looks a name up without a descriptor, and once more with some.
fn look_up(place: &str) {
    let mut reactor = Reactor::new().unwrap();
    let held = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    reactor.connect(place, Needy(held));
    reactor.run().unwrap();
}

struct Needy(Vec<File>);

impl Factory for Needy {
    fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
        say("connected");
        Some(Box::new(Leaves))
    }

    fn connection_failed(&mut self, connector: &mut Connector, reason: &Reason) {
        assert!(
            matches!(reason, Reason::Failed { activity: Activity::Resolving, .. }),
            "{reason:?}"
        );
        say("no name");
        assert!(!self.0.is_empty(), "there were descriptors: {reason}");
        self.0.clear();
        assert!(connector.connect());
    }
}

struct Leaves;

impl Protocol for Leaves {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.abort_connection();
    }
}

/// Writes to a peer that is gone.
fn speak(path: &str) {
    let mut reactor = Reactor::new().unwrap();
    let stream = UnixStream::connect(path).unwrap();
    let _end = (&stream).read(&mut [0]).unwrap(); // the peer has closed
    reactor.adopt(stream, Speaker).unwrap();
    reactor.run().unwrap();
}

struct Speaker;

impl Protocol for Speaker {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.write(b"are you there?");
    }

    fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
        say(format_args!("lost, errno {}", reason.io_error().map_or(0, errno)));
    }
}

/// Tries each place with no free descriptor, with one, with two, … until it is enough.
fn descriptors(folder: &Path) {
    let long = folder.join("x".repeat(107 - folder.as_os_str().len() - 1));
    for what in [
        "reactor",
        "listen_tcp",
        "listen_unix",
        "listen_unix after another",
        "listen_unix at a long path",
        "listen_udp",
        "watch",
        "adopt_listener",
        "cores",
        "on_signal",
    ] {
        let mut reactor = Reactor::new().unwrap();
        let path = if what.ends_with("long path") { long.clone() } else { folder.join("socket") };
        if what.ends_with("another") {
            drop(UnixListener::bind(&path).unwrap()); // the file of a server that died
        }
        let before = open_descriptors();
        for free in 0.. {
            let mut held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
            held.truncate(held.len() - free);
            let result = match what {
                "reactor" => Reactor::new().map(drop),
                other => take(other.split(' ').next().unwrap(), &mut reactor, &path),
            };
            drop(held);
            match result {
                Ok(()) => {
                    say(format_args!("{what} needs {free}"));
                    break;
                }
                Err(error) => {
                    assert_eq!(errno(&error), libc::EMFILE, "{what} with {free} free: {error}");
                    assert_eq!(open_descriptors(), before, "{what} with {free} free");
                }
            }
        }
        drop(reactor);
        let left: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [""; 0].map(PathBuf::from), "{what}");
    }
}

fn open_descriptors() -> usize {
    Path::new("/proc/self/fd").read_dir().unwrap().count()
}

// The tests.

fn child_command(program: &mut Command, mode: &str, place: &str) {
    program
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "scarce::child", "--nocapture", "--test-threads=1"])
        .env(MODE, mode)
        .env(PLACE, place);
}

/// The child under a strace that injects errors; `None` without a strace.
struct Injected {
    command: Command,
    trace: PathBuf,
    _folder: Folder,
}

impl Injected {
    fn new(mode: &str, place: &str, inject: &[&str]) -> Option<Self> {
        let mut command = tool("strace")?;
        let folder = Folder::new();
        let trace = folder.join("trace");
        command.args(["-f", "-o"]).arg(&trace);
        for inject in inject {
            command.arg("-e").arg(format!("inject={inject}"));
        }
        child_command(&mut command, mode, place);
        Some(Self { command, trace, _folder: folder })
    }

    /// The lines of the child until it ends, and the trace.
    fn run(mut self) -> (Vec<String>, String) {
        let end = run(&mut self.command);
        assert_eq!(end.code, Some(0), "{end:?}");
        (said(end.text()), std::fs::read_to_string(&self.trace).unwrap())
    }
}

/// The lines of a child, but for its last word, which shows that it went to the end.
fn said(output: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        output.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect();
    assert_eq!(lines.pop().as_deref(), Some("done"), "{output}");
    lines
}

/// Runs a mode in which the first try fails with the injected error, and the second succeeds.
fn fails_once(mode: &str, place: &str, inject: &str, success: &str) {
    let error = inject.split(['=', ':']).nth(2).unwrap();
    let errno = match error {
        "EAGAIN" => libc::EAGAIN,
        "ENOMEM" => libc::ENOMEM,
        "ENOBUFS" => libc::ENOBUFS,
        "ENOSPC" => libc::ENOSPC,
        "EMFILE" => libc::EMFILE,
        "ENFILE" => libc::ENFILE,
        "EACCES" => libc::EACCES,
        "EPERM" => libc::EPERM,
        _ => unreachable!("{error}"),
    };
    let Some(injected) = Injected::new(mode, place, &[inject]) else { return };
    let (said, trace) = injected.run();
    assert!(trace.contains("(INJECTED)"), "{mode}, {inject}: {trace}");
    assert_eq!(said, [format!("errno {errno}"), success.to_owned()], "{mode}, {inject}");
}

/// Without routes or ports to give the kernel says EAGAIN, and no event follows.
#[test]
fn a_connect_that_fails_with_eagain_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    fails_once("connect", &addr, "connect:error=EAGAIN:when=1", "connected");
}

/// A Unix server whose queue is full says EAGAIN; its place may be free a moment later.
#[test]
fn a_unix_server_that_says_eagain_is_tried_again_soon() {
    let folder = Folder::new();
    let _server = UnixListener::bind(folder.path()).unwrap();
    let place = format!("unix:{}", folder.path().display());
    let Some(injected) = Injected::new("connect", &place, &["connect:error=EAGAIN:when=1..3"])
    else {
        return;
    };
    let (said, trace) = injected.run();
    assert_eq!(said, ["connected"]);
    assert_eq!(trace.matches("(INJECTED)").count(), 3, "{trace}");
}

#[test]
fn connecting_without_memory_is_one_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    for inject in [
        "socket:error=ENOMEM:when=1",
        "socket:error=ENOBUFS:when=1",
        "socket:error=EMFILE:when=1",
        "socket:error=ENFILE:when=1",
        "connect:error=ENOBUFS:when=1",
        "connect:error=EPERM:when=1",
        "connect:error=EACCES:when=1",
        "epoll_ctl:error=ENOMEM:when=2", // the first is the waker's
        "epoll_ctl:error=ENOSPC:when=2",
    ] {
        fails_once("connect", &addr, inject, "connected");
    }
}

#[test]
fn a_reactor_that_cannot_be_made_is_an_error() {
    for inject in [
        "epoll_create1:error=EMFILE:when=1",
        "epoll_create1:error=ENOMEM:when=1",
        "eventfd2:error=EMFILE:when=1",
        "eventfd2:error=ENOMEM:when=1",
        "epoll_ctl:error=ENOMEM:when=1",
        "epoll_ctl:error=ENOSPC:when=1",
    ] {
        fails_once("reactor", "", inject, "fine");
    }
}

#[test]
fn listening_without_memory_is_an_error_at_the_call() {
    let folder = Folder::new();
    let path = folder.path();
    for mode in ["listen_tcp", "listen_unix", "listen_udp"] {
        for inject in [
            "socket:error=ENOMEM:when=1",
            "socket:error=ENOBUFS:when=1",
            "socket:error=ENFILE:when=1",
            "bind:error=ENOMEM:when=1",
            "bind:error=EACCES:when=1",
            "listen:error=ENOBUFS:when=1",
            "epoll_ctl:error=ENOMEM:when=2",
            "epoll_ctl:error=ENOSPC:when=2",
        ] {
            if mode != "listen_udp" || !inject.starts_with("listen") {
                fails_once(mode, path.to_str().unwrap(), inject, "fine");
                assert_eq!(folder.names(), [""; 0], "{mode}, {inject}");
            }
        }
    }
}

#[test]
fn watching_adopting_and_signals_without_memory_are_errors_at_the_call() {
    for (mode, inject) in [
        ("watch", "epoll_ctl:error=ENOMEM:when=2"),
        ("watch", "epoll_ctl:error=ENOSPC:when=2"),
        ("adopt_listener", "epoll_ctl:error=ENOMEM:when=2"),
        ("on_signal", "epoll_ctl:error=ENOMEM:when=2"),
        ("on_signal", "socketpair:error=EMFILE:when=1"),
        ("on_signal", "socketpair:error=ENOBUFS:when=1"),
    ] {
        fails_once(mode, "", inject, "fine");
    }
}

/// A server whose log and count of failed accepts are read at its end.
fn served(inject: &str, clients: impl FnOnce(SocketAddr)) -> Option<(Vec<String>, String)> {
    let mut injected = Injected::new("serve", "", &[inject])?;
    let program = Running::start(&mut injected.command);
    let addr = loop {
        if let Some(addr) = program.line().strip_prefix("listening on ") {
            break addr.parse().unwrap();
        }
    };
    clients(addr);
    let end = program.finish();
    assert_eq!(end.code, Some(0), "{end:?}");
    Some((said(end.text()), std::fs::read_to_string(&injected.trace).unwrap()))
}

fn echoes(addr: SocketAddr, text: &[u8]) {
    let mut client = patient(TcpStream::connect(addr).unwrap());
    client.write_all(text).unwrap();
    let mut echo = vec![0; text.len()];
    client.read_exact(&mut echo).unwrap();
    assert_eq!(echo, text);
}

/// Forbidden by a sandbox, or by a firewall one by one: the client is served when that is over, and
/// meanwhile the server rests, and says it once.
#[test]
fn a_server_forbidden_to_accept_rests_and_says_so_once() {
    for error in ["EPERM", "EACCES"] {
        let inject = format!("accept4:error={error}:when=1..200");
        let Some((said, trace)) = served(&inject, |addr| echoes(addr, b"hello!")) else { return };
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("ERROR: listener at 127.0.0.1:"), "{said:?}");
        assert!(said[0].contains("cannot accept: "), "{said:?}");
        assert_eq!(said[1], "failed accepts 200");
        let calls: Vec<bool> = trace
            .lines()
            .filter(|line| line.contains("accept4(") || line.contains("epoll_wait("))
            .map(|line| line.contains("INJECTED"))
            .collect();
        let longest = calls.split(|injected| !injected).map(<[bool]>::len).max();
        assert_eq!(longest, Some(64), "then it sleeps: {trace}");
    }
}

/// The same during a shutdown, which has to come to an end.
#[test]
fn a_shutdown_ends_although_accepting_is_forbidden() {
    for error in ["EPERM", "EACCES"] {
        let inject = format!("accept4:error={error}");
        let Some(injected) = Injected::new("drain", "", &[&inject]) else { return };
        let (said, _) = injected.run();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("is closed, and cannot accept the rest: "), "{said:?}");
        assert_eq!(said[1], "failed accepts 4097", "one more than a queue holds");
    }
}

#[test]
fn a_name_and_work_without_threads_are_one_failure_each() {
    // A single test runs in the main thread.
    let inject = ["clone3:error=EAGAIN", "clone:error=EAGAIN"];
    let Some(injected) = Injected::new("threads", "", &inject) else { return };
    let (mut said, _) = injected.run();
    said.sort();
    assert_eq!(said, [format!("errno {}", libc::EAGAIN), format!("work: {}", libc::EAGAIN)]);
}

/// Without memory a listener waits as it does without descriptors.
#[test]
fn a_server_without_memory_to_accept_rests_and_says_so_once() {
    for error in ["ENOMEM", "ENOBUFS"] {
        let inject = format!("accept4:error={error}:when=1..3");
        let Some((said, _)) = served(&inject, |addr| echoes(addr, b"hello!")) else { return };
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("WARN: listener at 127.0.0.1:"), "{said:?}");
        assert_eq!(said[1], "failed accepts 3");
    }
}

/// The waker and the listener are registered first, then the two clients.
#[test]
fn a_connection_that_cannot_be_registered_ends_alone() {
    for (error, errno) in [("ENOMEM", libc::ENOMEM), ("ENOSPC", libc::ENOSPC)] {
        let inject = format!("epoll_ctl:error={error}:when=3");
        let clients = |addr| {
            let mut unlucky = patient(TcpStream::connect(addr).unwrap());
            let end = unlucky.read(&mut [0]);
            assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
            echoes(addr, b"hello!");
        };
        let Some((said, _)) = served(&inject, clients) else { return };
        assert_eq!(said, [format!("lost, errno {errno}"), "failed accepts 0".to_owned()]);
    }
}

/// A Rust program ignores SIGPIPE, but strace sees a signal all the same: where crocus is embedded in a
/// program of another language, it would end that.
#[test]
fn a_write_to_a_unix_peer_that_has_gone_raises_no_signal() {
    let folder = Folder::new();
    let server = UnixListener::bind(folder.path()).unwrap();
    let place = folder.path();
    let Some(injected) = Injected::new("speak", place.to_str().unwrap(), &[]) else { return };
    let peer = std::thread::spawn(move || drop(server.accept().unwrap()));
    let (said, trace) = injected.run();
    peer.join().unwrap();
    assert_eq!(said, [format!("lost, errno {}", libc::EPIPE)]);
    assert!(trace.contains("EPIPE"), "{trace}");
    assert!(!trace.contains("--- SIGPIPE"), "{trace}");
}

/// With a hook the kernel chooses the port when it knows the peer, so that one port may serve several.
#[test]
fn a_hook_has_the_local_port_chosen_late() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let Some(injected) = Injected::new("local port", &addr, &[]) else { return };
    let (said, trace) = injected.run();
    assert_eq!(said, ["connected", "connected"]);
    let calls: Vec<&str> =
        ["IP_BIND_ADDRESS_NO_PORT, [1]", "bind(", "connect("].into_iter().cycle().take(6).collect();
    let mut rest = trace.as_str();
    for call in calls {
        rest = rest.split_once(call).unwrap_or_else(|| panic!("no {call}: {trace}")).1;
    }
}

/// The system's resolver opens files and sockets.
#[test]
fn a_name_looked_up_without_descriptors_is_one_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("localhost:{}", listener.local_addr().unwrap().port());
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 48 && exec "$0" "$@""#]);
    child_command(&mut command, "lookup", &place);
    let end = run(&mut command);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(said(end.text()), ["no name", "connected"]);
}

/// At each place where a descriptor is taken, with each number of free ones that does not suffice.
#[test]
fn each_place_that_takes_descriptors_fails_cleanly_without_them() {
    let folder = Folder::new();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 48 && exec "$0" "$@""#]);
    child_command(&mut command, "descriptors", folder.to_str().unwrap());
    let end = run(&mut command);
    assert_eq!(end.code, Some(0), "{end:?}");
    let said = said(end.text());
    let expected = [
        "reactor needs 2",
        "listen_tcp needs 1",
        "listen_unix needs 1",
        "listen_unix after another needs 2",
        "listen_unix at a long path needs 2",
        "listen_udp needs 1",
        "watch needs 2",
        "adopt_listener needs 1",
        "cores needs 6",
        "on_signal needs 2",
    ];
    assert_eq!(said, expected);
}
