//! The server under `systemd-socket-activate`, under a parent that does the same, and under a service manager that
//! is this test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![cfg(target_os = "linux")] // systemd is, and so is the abstract namespace

#[path = "../../../tests/programs/child.rs"]
mod child;
#[path = "../../../tests/util/folder.rs"]
#[allow(dead_code, unreachable_pub, reason = "other test programs use all of it")]
mod folder;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use child::{Running, Server, TIME_LIMIT, dial, run, tool};
use folder::Folder;

/// How long nothing is heard of a server whose loop stands: many times the period of its watchdog.
const SILENCE: Duration = Duration::from_millis(300);

/// The limit of the watchdog in these tests, in microseconds.
const WATCHDOG: &str = "20000";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_activated_server"));
    // Without the warnings of slow callbacks: on a busy machine any callback may be one.
    command.env("RUST_LOG", "warn,crocus::reactor::dispatch=error");
    command
}

fn listening() -> Command {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

/// The server as the child of a parent that hands it these sockets.
fn handed(sockets: &[&str]) -> Option<Command> {
    let mut command = tool("python3")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    command.arg(root.join("../../tests/python/hand_over.py"));
    command.args(sockets).args(["--", env!("CARGO_BIN_EXE_activated_server")]);
    Some(command)
}

/// The answer to one request, whole.
fn ask(mut stream: impl Read + Write, target: &str) -> String {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(addr: SocketAddr, target: &str) -> String {
    ask(dial(addr), target)
}

fn assert_serves(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// A service manager: a socket that hears what the service says.
struct Manager(UnixDatagram, String);

impl Manager {
    /// At a path, as systemd's is.
    fn at_path(folder: &Folder) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self(socket, path.to_str().unwrap().to_owned())
    }

    /// With a name in the abstract namespace.
    fn abstract_one() -> Self {
        let name = format!("crocus-{}", std::process::id());
        let addr = UnixAddr::from_abstract_name(&name).unwrap();
        Self(UnixDatagram::bind_addr(&addr).unwrap(), format!("@{name}"))
    }

    /// The next notice.
    fn hear(&self) -> String {
        self.hear_within(TIME_LIMIT).expect("the service says something")
    }

    fn hear_within(&self, limit: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(limit)).unwrap();
        let mut notice = [0; 4096];
        match self.0.recv(&mut notice) {
            Ok(count) => Some(String::from_utf8(notice[..count].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next notice that is not the watchdog's.
    fn hear_news(&self) -> String {
        loop {
            let notice = self.hear();
            if !notice.starts_with("WATCHDOG=1\n") {
                return notice;
            }
        }
    }
}

#[test]
fn systemd_socket_activate_hands_over_its_sockets() {
    let Some(mut activate) = tool("systemd-socket-activate") else { return };
    let folder = Folder::new();
    let path = folder.path();
    let tcp = free_port();
    activate.arg("-l").arg(&path).args(["-l", &tcp.to_string(), "--fdname=web:web"]);
    activate.arg(env!("CARGO_BIN_EXE_activated_server"));
    let server = Running::start(&mut activate);
    for _ in 0..2 {
        assert!(server.error_line().starts_with("Listening on "));
    }
    // It starts the program for the first client, who waits meanwhile.
    assert_serves(&ask(child_stream(&path), "/"));
    assert_eq!(server.line(), format!("listening on unix:{}", path.display()));
    assert_eq!(server.line(), format!("listening on {tcp}"));
    assert_serves(&get(tcp, "/health"));
    server.signal("TERM");
    let end = server.finish();
    assert_eq!(end.code, Some(0), "{end:?}");
}

/// A port that is free now, and below those that Linux gives to clients. systemd takes no port 0.
fn free_port() -> SocketAddr {
    let own = std::process::id() as u16 % 10_000;
    let mut ports = (0..10_000).map(|step| 20_000 + (own + step) % 10_000);
    let free = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    free.unwrap().local_addr().unwrap()
}

fn child_stream(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
    stream
}

#[test]
fn a_parent_that_does_as_systemd_does_is_enough() {
    let Some(mut parent) = handed(&["other=udp", "web=tcp"]) else { return };
    let server = Server::start(&mut parent);
    assert_serves(&get(server.addr, "/"));
    server.program.signal("TERM");
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn sockets_of_another_name_are_an_error_with_a_hint() {
    let Some(mut parent) = handed(&["http=tcp"]) else { return };
    let end = run(&mut parent);
    let complaint = end.complaint(1);
    assert!(
        complaint.contains("no inherited socket is \"web\"; there are \"http\""),
        "{complaint}"
    );
    assert!(complaint.contains("FileDescriptorName="), "{complaint}");
}

/// From the start to the end, with the configuration read again in between.
fn tell_all(manager: &Manager) {
    let folder = Folder::new();
    let page = folder.join("page.txt");
    fs::write(&page, "first").unwrap();
    let mut command = listening();
    command.arg("--page").arg(&page).env("NOTIFY_SOCKET", &manager.1);
    let server = Server::start(&mut command);
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving\n");
    assert!(get(server.addr, "/").ends_with("\r\n\r\nfirst"));

    fs::write(&page, "second").unwrap();
    server.program.signal("HUP");
    let reloading = manager.hear();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(time.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(manager.hear(), "READY=1\nSTATUS=the page was read again\n");
    assert!(get(server.addr, "/").ends_with("\r\n\r\nsecond"));

    fs::remove_file(&page).unwrap();
    server.program.signal("HUP");
    assert!(manager.hear().starts_with("RELOADING=1\n"));
    let kept = manager.hear();
    assert!(kept.starts_with("READY=1\nSTATUS=cannot read the page "), "{kept}");
    assert!(get(server.addr, "/").ends_with("\r\n\r\nsecond"), "the former one stays");

    server.program.signal("TERM");
    let stopping = manager.hear();
    assert!(stopping.starts_with("STOPPING=1\nSTATUS=stopping, "), "{stopping}");
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn the_manager_hears_of_ready_reloading_and_stopping() {
    tell_all(&Manager::at_path(&Folder::new()));
}

#[test]
fn a_manager_in_the_abstract_namespace_hears_the_same() {
    tell_all(&Manager::abstract_one());
}

#[test]
fn a_reload_without_a_page_says_that_there_is_none() {
    let folder = Folder::new();
    let manager = Manager::at_path(&folder);
    let server = Server::start(listening().env("NOTIFY_SOCKET", &manager.1));
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving\n");
    server.program.signal("HUP");
    assert!(manager.hear().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hear(), "READY=1\nSTATUS=no page to read again; --page gives one\n");
    assert_serves(&get(server.addr, "/"));
}

#[test]
fn a_manager_that_is_gone_stops_nobody() {
    let folder = Folder::new();
    let mut command = listening();
    command.env("NOTIFY_SOCKET", folder.join("nobody"));
    let server = Server::start(&mut command);
    assert!(server.program.error_line().contains("cannot tell"));
    assert_serves(&get(server.addr, "/"));
}

#[test]
fn the_watchdog_is_told_while_the_loop_turns_and_not_while_it_stands() {
    let folder = Folder::new();
    let manager = Manager::at_path(&folder);
    let page = folder.join("page.txt");
    fs::write(&page, "x").unwrap();
    let mut command = listening();
    command.arg("--page").arg(&page);
    command.env("NOTIFY_SOCKET", &manager.1).env("WATCHDOG_USEC", WATCHDOG);
    let server = Server::start(&mut command);
    assert_eq!(manager.hear_news(), "READY=1\nSTATUS=serving\n");
    for _ in 0..5 {
        assert_eq!(manager.hear(), "WATCHDOG=1\nSTATUS=0 open, 0 accepted\n");
    }
    // A pipe without a writer blocks whoever opens it.
    fs::remove_file(&page).unwrap();
    assert!(Command::new("mkfifo").arg(&page).status().unwrap().success());
    server.program.signal("HUP");
    assert!(manager.hear_news().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hear_within(SILENCE), None, "the loop stands");
    fs::write(&page, "written").unwrap();
    assert_eq!(manager.hear(), "READY=1\nSTATUS=the page was read again\n");
    assert!(manager.hear().starts_with("WATCHDOG=1\n"));
    server.program.signal("TERM");
    assert!(manager.hear_news().starts_with("STOPPING=1\n"));
}

#[test]
fn without_a_watchdog_or_for_another_process_nothing_is_told() {
    let folder = Folder::new();
    let manager = Manager::at_path(&folder);
    let mut command = listening();
    command
        .env("NOTIFY_SOCKET", &manager.1)
        .env("WATCHDOG_USEC", WATCHDOG)
        .env("WATCHDOG_PID", "1");
    let server = Server::start(&mut command);
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving\n");
    assert_eq!(manager.hear_within(SILENCE), None);
    drop(server);
}

#[test]
fn the_health_check_fails_before_the_server_stops() {
    let mut command = listening();
    let server = Server::start(command.args(["--stop-delay", "3600"]));
    assert!(get(server.addr, "/health").ends_with("\r\n\r\nserving\n"));
    let mut kept = dial(server.addr);
    assert!(one_answer(&mut kept).starts_with("HTTP/1.1 200 OK\r\n"));
    server.program.signal("TERM");
    assert_eq!(server.program.error_line(), "stopping, 1 open");
    let sick = get(server.addr, "/health");
    assert!(sick.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{sick}");
    assert_serves(&get(server.addr, "/"));
    let last = one_answer(&mut kept);
    assert!(
        last.contains("\r\nConnection: close\r\n"),
        "a client goes elsewhere in good time: {last}"
    );
    assert_eq!(kept.read(&mut [0; 1]).unwrap(), 0);
    server.program.signal("TERM");
    assert_eq!(server.program.finish().code, Some(130), "a second signal ends at once");
}

/// Asks on a connection that stays open.
fn one_answer(stream: &mut (impl Read + Write)) -> String {
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    let count = stream.read(&mut answer).unwrap();
    String::from_utf8(answer[..count].to_vec()).unwrap()
}

#[test]
fn a_connection_that_has_not_asked_yet_is_answered_after_the_signal() {
    let server = Server::start(&mut listening());
    let mut new = dial(server.addr);
    let mut idle = dial(server.addr);
    one_answer(&mut idle);
    server.program.signal("TERM");
    assert!(server.program.error_line().starts_with("stopping, "));
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "it was answered, and is closed");
    assert_serves(&ask(&mut new, "/"));
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn requests_in_one_segment_are_all_answered_and_bodies_refused() {
    let server = Server::start(&mut listening());
    let mut stream = dial(server.addr);
    let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\n\
                    DELETE / HTTP/1.1\r\nHost: h\r\n\r\nGET /no HTTP/1.0\r\n\r\n";
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let lines = answers.lines().filter(|line| line.starts_with("HTTP/1.1 "));
    let statuses: Vec<_> = lines.map(|line| &line[9..12]).collect();
    assert_eq!(statuses, ["200", "200", "405", "404"], "{answers}");
    let mut stream = dial(server.addr);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut stream = dial(server.addr);
    stream.write_all(b"rubbish\r\n\r\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
    for head in ["HEAD / HTTP/1.1\r\n\r\n", "\r\nHEAD /\n"] {
        let mut stream = dial(server.addr);
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    server.stop_with_clients();
}

#[test]
fn a_client_that_asks_much_and_reads_nothing_costs_little() {
    /// More than it needs: what waits for one client, its requests of one turn, and the program.
    const ENOUGH: usize = 20_000_000;
    let folder = Folder::new();
    let page = folder.join("page.txt");
    fs::write(&page, "x".repeat(64 * 1024)).unwrap();
    let mut command = listening();
    let server = Server::start(command.arg("--page").arg(&page));
    let mut stream = dial(server.addr);
    stream.set_nonblocking(true).unwrap();
    let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2000);
    // Until the kernel's buffers are full and the server does not read any more.
    let mut sent = 0;
    while let Ok(count) = stream.write(requests.as_bytes()) {
        sent += count;
        assert!(sent < 1 << 28, "it reads without end");
    }
    assert_serves(&get(server.addr, "/health"));
    let peak = server.peak_memory();
    assert!(peak < ENOUGH, "{peak} bytes");
}

#[test]
fn a_page_that_cannot_be_served_is_named() {
    let folder = Folder::new();
    let large = folder.join("large");
    fs::write(&large, vec![b'x'; 64 * 1024 + 1]).unwrap();
    for (path, cause) in [(&large, "larger than 64 KiB"), (&folder.join("none"), "No such file")] {
        let end = run(listening().arg("--page").arg(path));
        let complaint = end.complaint(1);
        assert!(
            complaint.contains(cause)
                && complaint.contains("--page takes a file of at most 64 KiB"),
            "{complaint}"
        );
    }
    let end = run(program().args(["--stop-delay", "x"]));
    assert!(end.complaint(2).contains("--stop-delay takes seconds"), "{end:?}");
}

#[test]
fn the_log_counts_what_was_served() {
    let server = Server::start(listening().env("RUST_LOG", "info"));
    assert_serves(&get(server.addr, "/"));
    server.program.signal("TERM");
    let end = server.program.finish();
    assert!(end.stderr.contains("stopped: 1 accepted, 1 closed, "), "{end:?}");
}

/// The unit files, by the names of systemd.
const UNITS: [&str; 2] = ["activated_server.socket", "activated_server.service"];

/// Where the unit says that the program is.
const INSTALLED: &str = "/usr/local/bin/activated_server";

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_files() {
    let Some(mut analyze) = tool("systemd-analyze") else { return };
    let folder = Folder::new();
    analyze.arg("verify").env("SYSTEMD_LOG_LEVEL", "notice");
    for name in UNITS {
        let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        assert!(unit.contains(INSTALLED) == name.ends_with(".service"), "{name}");
        let here = folder.join(name);
        fs::write(&here, unit.replace(INSTALLED, env!("CARGO_BIN_EXE_activated_server"))).unwrap();
        analyze.arg(here);
    }
    let end = run(&mut analyze);
    assert_eq!((end.code, &*end.stderr), (Some(0), ""), "{end:?}");
}

#[test]
fn the_page_shows_the_unit_files_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/production.md")).unwrap();
    for name in UNITS {
        let unit = fs::read_to_string(root.join(name)).unwrap();
        assert!(
            page.contains(&format!("```ini\n{unit}```\n")),
            "{name} is not as the page shows it"
        );
    }
}
