//! The example `port_forward`, in front of programs that are not ours and of peers that misbehave.
#![cfg(target_os = "linux")] // memory and descriptors are counted in /proc

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::child::{Running, Server, TIME_LIMIT, dial, example, patient, run, serve_page, tool};
use crate::util::{Folder, busy_server, full_server, pattern};
use socket2::SockRef;

/// A path in a folder, as it is and as the program takes it.
fn socket(folder: &Folder, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let text = format!("unix:{}", path.display());
    (path, text)
}

fn forward(to: impl ToString) -> Server {
    let args = ["--listen", "127.0.0.1:0", "--to", &to.to_string()];
    Server::start(example("port_forward").args(args))
}

fn upstream() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// A client through a forwarder, and the upstream's end of it.
fn session() -> (Server, TcpStream, TcpStream) {
    let (listener, addr) = upstream();
    let server = forward(addr);
    let client = dial(server.addr);
    let far = patient(listener.accept().unwrap().0);
    (server, client, far)
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Waits for something that other programs do.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + TIME_LIMIT;
    while !done() {
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a count does not change any more. One that pauses only for a while is no harm: what
/// follows holds then too.
fn at_rest(count: &AtomicUsize) -> usize {
    const A_WHILE: Duration = Duration::from_millis(300);
    let (mut last, mut since) = (usize::MAX, Instant::now());
    until("no more to be taken", || {
        let now = count.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        now > 0 && since.elapsed() > A_WHILE
    });
    last
}

/// Gives a program something to read.
fn feed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

mod in_front_of {
    use super::*;

    #[test]
    fn redis() {
        let folder = Folder::new();
        let (path, to) = socket(&folder, "redis.sock");
        let (Some(mut redis), Some(mut cli), Some(mut benchmark)) =
            (tool("redis-server"), tool("redis-cli"), tool("redis-benchmark"))
        else {
            return;
        };
        redis.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&path).current_dir(&*folder);
        let redis = Running::start(&mut redis);
        while !redis.line().contains("eady to accept connections") {}
        let server = forward(to);
        let before = server.descriptors();
        let port = server.addr.port().to_string();
        let end = run(cli.args(["-p", &port, "set", "key", "value"]));
        assert_eq!((end.code, end.text()), (Some(0), "OK\n"));
        let answers = feed(
            tool("redis-cli").unwrap().args(["-p", &port]),
            b"get key\nappend key more\nget key\n",
        );
        assert_eq!(answers, b"value\n9\nvaluemore\n");
        let load = ["-n", "2000", "-c", "20", "-P", "8", "-d", "500", "-t", "set,get,lrange", "-q"];
        let end = run(benchmark.args(["-p", &port]).args(load));
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.text().contains("SET: ") && end.text().contains("GET: "), "{end:?}");
        until("all to be closed", || server.descriptors() == before);
        server.stop();
    }

    #[test]
    fn nginx() {
        let folder = Folder::new();
        let (path, to) = socket(&folder, "nginx.sock");
        let (Some(mut nginx), Some(mut curl)) = (tool("nginx"), tool("curl")) else { return };
        let page = pattern(8 << 20);
        fs::write(folder.join("page"), &page).unwrap();
        let dir = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
            .concat();
        let config = format!(
            "pid {dir}/pid; error_log stderr; daemon off; master_process off; events {{}} \
             http {{ access_log off; {temporary} \
             server {{ listen unix:{}; root {dir}; }} }}",
            path.display()
        );
        fs::write(folder.join("conf"), config).unwrap();
        let conf = folder.join("conf");
        nginx.args(["-e", "stderr", "-p"]).arg(&*folder).arg("-c").arg(conf);
        let nginx = Running::start(&mut nginx);
        until("nginx to listen", || UnixStream::connect(&path).is_ok());
        let server = forward(to);
        let url = format!("http://{}/page", server.addr);
        let end = run(curl.args(["--silent", "--show-error", "--max-time", "60", &url, &url]));
        assert!(end.code == Some(0) && end.stderr.is_empty(), "{}", end.stderr);
        assert!(end.stdout == [&page[..], &page].concat(), "{} bytes", end.stdout.len());
        let url = format!("http://{}/none", server.addr);
        let end = run(tool("curl").unwrap().args(["--silent", "--head", &url]));
        assert!(end.text().starts_with("HTTP/1.1 404 "), "{end:?}");
        drop(nginx);
        server.stop();
    }

    #[test]
    fn netcat_that_closes_its_half_gets_the_answer() {
        let Some(mut nc) = tool("nc") else { return };
        let (listener, addr) = upstream();
        let server = forward(addr);
        let question = pattern(1 << 20);
        let expected = question.clone();
        let far = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            assert!(read_all(&stream) == expected, "all, and its end");
            stream.write_all(&expected).unwrap();
        });
        let port = server.addr.port().to_string();
        let answer = feed(nc.args(["-N", "127.0.0.1", &port]), &question);
        assert!(answer == question, "{} bytes", answer.len());
        far.join().unwrap();
        server.stop();
    }

    #[test]
    fn a_server_that_closes_its_half_still_hears_netcat() {
        let Some(mut nc) = tool("nc") else { return };
        let (listener, addr) = upstream();
        let server = forward(addr);
        let port = server.addr.port().to_string();
        let nc = nc.args(["-N", "127.0.0.1", &port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut nc = nc.spawn().unwrap();
        let mut far = listener.accept().unwrap().0;
        far.write_all(b"greeting").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let mut greeting = [0; 8];
        nc.stdout.take().unwrap().read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"greeting");
        nc.stdin.take().unwrap().write_all(b"and an answer").unwrap();
        assert_eq!(read_all(&far), b"and an answer");
        assert!(nc.wait().unwrap().success(), "it ends when both have said all");
        server.stop();
    }
}

#[test]
fn much_goes_both_ways_at_once_unharmed() {
    const LEN: usize = 16 << 20;
    let (server, client, far) = session();
    // Each side sends the pattern from another byte on.
    let ends = [(client, 0, 1), (far, 1, 0)].map(|(stream, sends, gets)| {
        thread::spawn(move || {
            let mut writer = stream.try_clone().unwrap();
            let writer = thread::spawn(move || {
                writer.write_all(&pattern(LEN + sends)[sends..]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let got = read_all(&stream);
            writer.join().unwrap();
            assert!(got == pattern(LEN + gets)[gets..], "{} bytes", got.len());
        })
    });
    for end in ends {
        end.join().unwrap();
    }
    server.stop();
}

#[test]
fn a_side_that_does_not_read_costs_bounded_memory() {
    const LEN: usize = 64 << 20;
    /// Two buffers of 320 KiB at most, and what an allocator keeps of them.
    const BOUND: usize = 8 << 20;
    for upstream_sends in [false, true] {
        let (server, client, far) = session();
        let before = server.memory();
        let (mut sends, gets) = if upstream_sends { (far, client) } else { (client, far) };
        let taken = AtomicUsize::new(0);
        let all = pattern(LEN);
        thread::scope(|scope| {
            scope.spawn(|| {
                for piece in all.chunks(64 << 10) {
                    sends.write_all(piece).unwrap();
                    taken.fetch_add(piece.len(), Ordering::Relaxed);
                }
                sends.shutdown(Shutdown::Write).unwrap();
            });
            let stuck = at_rest(&taken);
            let grown = server.memory().saturating_sub(before);
            let got = read_all(&gets); // in any case, or the other thread would not end
            assert!(stuck < LEN, "it was taken though nobody read");
            assert!(grown < BOUND, "{grown} bytes more, of {stuck} sent");
            assert!(got == all, "{} bytes", got.len());
        });
        let grown = server.memory().saturating_sub(before);
        assert!(grown < BOUND, "{grown} bytes more after all of it");
        drop((sends, gets));
        server.stop();
    }
}

#[test]
fn nothing_is_read_before_the_upstream_is_connected() {
    const LEN: usize = 32 << 20;
    let folder = Folder::new();
    let (path, to) = socket(&folder, "busy.sock");
    let (busy, waiting) = busy_server(&path);
    let busy = UnixListener::from(busy);
    let server = forward(to);
    let before = server.memory();
    let mut client = TcpStream::connect(server.addr).unwrap();
    let taken = AtomicUsize::new(0);
    let all = pattern(LEN);
    thread::scope(|scope| {
        scope.spawn(|| {
            for piece in all.chunks(64 << 10) {
                client.write_all(piece).unwrap();
                taken.fetch_add(piece.len(), Ordering::Relaxed);
            }
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&client), b"thanks");
        });
        assert!(at_rest(&taken) < LEN, "it was taken though there was nobody");
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 4 << 20, "{grown} bytes more");
        for _ in &waiting {
            drop(busy.accept().unwrap());
        }
        let mut far = busy.accept().unwrap().0;
        assert!(read_all(&far) == all);
        far.write_all(b"thanks").unwrap();
        drop(far);
    });
    server.stop();
}

#[test]
fn a_client_that_leaves_early_leaves_nothing() {
    let folder = Folder::new();
    let (path, to) = socket(&folder, "busy.sock");
    let (busy, waiting) = busy_server(&path);
    let busy = UnixListener::from(busy);
    let server = forward(to);
    let before = server.descriptors();
    let client = TcpStream::connect(server.addr).unwrap();
    until("it to be accepted", || server.descriptors() > before);
    reset(client);
    until("it to be forgotten", || server.descriptors() == before);
    for _ in &waiting {
        drop(busy.accept().unwrap());
    }
    // Nobody comes any more on its behalf.
    busy.set_nonblocking(true).unwrap();
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        assert_eq!(busy.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        thread::sleep(Duration::from_millis(2));
    }
    server.stop();
}

#[test]
fn a_refusing_upstream_closes_the_client_and_is_logged() {
    let (listener, addr) = upstream();
    drop(listener);
    let server = forward(addr);
    for _ in 0..3 {
        let mut client = TcpStream::connect(server.addr).unwrap();
        client.write_all(b"hello").unwrap();
        assert_eq!(read_all(&client), b"");
        let line = server.program.error_line();
        let told = format!(
            "cannot connect {} to {addr}: connecting: Connection refused",
            client.local_addr().unwrap()
        );
        assert!(line.contains("WARN") && line.contains(&told), "{line}");
    }
    server.stop_with_clients();
}

#[test]
fn a_reset_of_one_side_resets_the_other() {
    for upstream_breaks in [false, true] {
        let (server, client, far) = session();
        let (mut breaks, mut other) = if upstream_breaks { (far, client) } else { (client, far) };
        breaks.write_all(b"the first half of").unwrap();
        let mut half = [0; 17];
        other.read_exact(&mut half).unwrap();
        reset(breaks);
        let error = other.read(&mut half).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        server.stop();
    }
}

#[test]
fn many_clients_that_end_in_any_way_leave_nothing() {
    let (server, mut client, mut far) = session();
    let before = server.descriptors();
    let garbage = pattern(100_000);
    // The one upstream of the session is not there any more: these are all refused.
    for round in 0..100 {
        let mut stream = TcpStream::connect(server.addr).unwrap();
        let _ = stream.write(&garbage[round * 1000..][..round * 10]);
        match round % 3 {
            0 => reset(stream),
            1 => drop(stream),
            _ => assert!(stream.shutdown(Shutdown::Write).is_ok()),
        }
    }
    until("all to be gone", || server.descriptors() == before);
    client.write_all(&garbage).unwrap();
    let mut got = vec![0; garbage.len()];
    far.read_exact(&mut got).unwrap();
    assert!(got == garbage);
}

#[test]
fn unix_sockets_on_both_sides() {
    let folder = Folder::new();
    let ((from, listen), (to, target)) = (socket(&folder, "from"), socket(&folder, "to"));
    let upstream = UnixListener::bind(&to).unwrap();
    let program =
        Running::start(example("port_forward").args(["--listen", &listen, "--to", &target]));
    assert_eq!(program.line(), format!("listening on {listen}"));
    let far = thread::spawn(move || {
        let mut stream = upstream.accept().unwrap().0;
        let all = read_all(&stream);
        stream.write_all(&all).unwrap();
    });
    let mut client = UnixStream::connect(&from).unwrap();
    client.write_all(b"there and back").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&client), b"there and back");
    far.join().unwrap();

    let end = run(example("port_forward").args(["--listen", &listen, "--to", "localhost:1"]));
    assert!(end.complaint(1).contains("a server is listening there"), "{end:?}");
    program.signal("TERM");
    let end = program.finish();
    assert_eq!((end.code, from.exists()), (Some(0), false));
}

#[test]
fn a_quiet_session_is_reset_after_a_signal() {
    let (server, mut client, far) = session();
    client.write_all(b"last words").unwrap();
    let mut words = [0; 10];
    (&far).read_exact(&mut words).unwrap();
    server.program.signal("TERM");
    // The forwarder does not know whether these were the last words, and so it does not say so.
    for mut side in [client, far] {
        assert_eq!(side.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(server.program.finish().code, Some(0));
}

/// More than all buffers on the way hold.
const DOWNLOAD: usize = 20 * 1024 * 1024;

/// A session in which the server sends a download, and the client has got the beginning of it.
fn downloading() -> (Server, TcpStream, JoinHandle<bool>) {
    let (server, mut client, mut far) = session();
    let sends = thread::spawn(move || far.write_all(&vec![7; DOWNLOAD]).is_ok());
    client.read_exact(&mut [0; 1000]).unwrap();
    (server, client, sends)
}

#[test]
fn a_download_is_finished_after_a_signal() {
    let (server, client, sends) = downloading();
    server.program.signal("TERM");
    assert_eq!(server.program.error_line(), "stopping, 2 open; Ctrl-C again to drop them");
    assert_eq!(read_all(&client).len() + 1000, DOWNLOAD);
    assert!(sends.join().unwrap());
    drop(client);
    assert_eq!(server.program.finish().code, Some(0));
}

#[test]
fn a_download_left_after_the_grace_ends_with_a_reset() {
    let (server, mut client, sends) = downloading();
    server.program.signal("TERM");
    assert_eq!(server.program.finish().code, Some(0));
    let end = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset, "a part is not the whole");
    assert!(!sends.join().unwrap());
}

/// An upstream that sends back what it gets, to any number of clients.
fn echo_upstream() -> SocketAddr {
    let (listener, addr) = upstream();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = patient(stream.unwrap());
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    addr
}

/// A forwarder that may have so many descriptors.
fn forward_with_few(descriptors: u32, to: impl ToString) -> Server {
    let program = example("port_forward");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
    shell.arg(program.get_program()).args(["--listen", "127.0.0.1:0", "--to", &to.to_string()]);
    Server::start(&mut shell)
}

#[test]
fn clients_wait_for_descriptors_and_are_all_served() {
    let server = forward_with_few(64, echo_upstream());
    let mut clients: Vec<_> = (0..50).map(|_| dial(server.addr)).collect();
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    until("as many as fit", || server.descriptors() >= 55);
    for mut client in clients {
        let mut answer = [0; 5];
        client.read_exact(&mut answer).expect("a client that waits is served");
        assert_eq!(&answer, b"hello");
    }
    server.stop_with_clients();
}

#[test]
fn curl_with_fifty_connections_loses_none_for_lack_of_descriptors() {
    let Some(mut curl) = tool("curl") else { return };
    let server = forward_with_few(64, serve_page(pattern(100_000)));
    let url = format!("http://{}/page?[1-50]", server.addr);
    let end =
        run(curl.args(["--silent", "--show-error", "--max-time", "60", "--parallel"]).args([
            "--parallel-immediate",
            "--parallel-max",
            "50",
            "--header",
            "Connection: close",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{size_download}\\n",
            &url,
        ]));
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.text(), "200 100000\n".repeat(50));
    server.stop_with_clients();
}

/// The client is accepted, and there is no descriptor for the server until the limit is raised.
#[test]
fn a_client_without_a_descriptor_for_its_server_is_connected_later() {
    let args = ["--listen", "127.0.0.1:0", "--to", &echo_upstream().to_string()];
    let server =
        Server::start(example("port_forward").args(args).env("RUST_LOG", "port_forward=debug"));
    assert!(server.program.error_line().contains("listening on "));
    let pid = i32::try_from(server.program.id()).unwrap();
    let (mut soft, mut hard) = (0, 0);
    let files = rlimit::Resource::NOFILE;
    rlimit::prlimit(pid, files, None, Some((&mut soft, &mut hard))).unwrap();
    // The limit is one of numbers: it leaves the lowest free one, and not the next.
    let taken = |number: &u64| fs::exists(format!("/proc/{pid}/fd/{number}")).unwrap();
    let second = (0..).filter(|number| !taken(number)).nth(1).unwrap();
    rlimit::prlimit(pid, files, Some((second, hard)), None).unwrap();
    let mut client = dial(server.addr);
    client.write_all(b"hello").unwrap();
    let line = server.program.error_line();
    assert!(line.contains("trying again"), "{line}");
    rlimit::prlimit(pid, files, Some((soft, hard)), None).unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn connecting_has_a_limit() {
    let (_full, addr) = full_server();
    let to = addr.to_string();
    let args = ["--listen", "127.0.0.1:0", "--to", &to, "--connect-timeout", "0.3"];
    let server = Server::start(example("port_forward").args(args));
    assert_eq!(read_all(dial(server.addr)), b"");
    let line = server.program.error_line();
    assert!(line.contains(&format!("to {addr}: connecting: no answer in time")), "{line}");
    server.stop();
}

#[test]
fn a_session_in_which_nothing_moves_is_reset_if_asked_for() {
    let to = echo_upstream().to_string();
    let args = ["--listen", "127.0.0.1:0", "--to", &to, "--idle-timeout", "0.3"];
    let server = Server::start(example("port_forward").args(args));
    let error = dial(server.addr).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.stop();
}

#[test]
fn bad_usage_is_told() {
    for (args, complaint) in [
        (&[][..], "where to? It takes --to HOST:PORT"),
        (&["--to", "nowhere"], "\"nowhere\" is not an address"),
        (&["--to", "unix:"], "unix: takes a path"),
        (&["--to", "h:1", "more"], "unexpected argument \"more\""),
        (&["--to", "h:1", "--connect-timeout", "0"], "--connect-timeout takes seconds"),
        (&["--to", "h:1", "--idle-timeout", "-1"], "--idle-timeout takes seconds"),
    ] {
        let end = run(example("port_forward").args(args));
        assert!(end.complaint(2).contains(complaint), "{end:?}");
    }
    let end = run(example("port_forward").arg("--help"));
    assert!(end.code == Some(0) && end.text().starts_with("Forwards"), "{end:?}");
}
