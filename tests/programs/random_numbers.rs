//! The example programs, from outside: started as a user starts them, against each other, against
//! programs that are not ours, and against peers that misbehave.

/// Brings the unit tests of what the programs share along: cargo runs none in examples.
#[path = "../../examples/shared/mod.rs"]
mod shared;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{Running, Server, TIME_LIMIT, example, python, run, serve_once, tool};
use crocus::{Address, Connector, Factory, Protocol, Reactor, Reason, Transport};
use shared::frame::{self, LEN, RANDOM};
use socket2::{Domain, SockRef, Socket, Type};

const SERVERS: [&str; 2] = ["random_server", "random_server_blocking"];

/// Asks an example client for replies of `server`.
fn client(server: impl ToString, more: &[&str]) -> Command {
    let mut command = example("random_client");
    command.arg(server.to_string()).args(more);
    command
}

/// The coordinates in what a client printed, after checking its words.
fn coordinates(printed: &str) -> Vec<f64> {
    let mut numbers = Vec::new();
    let mut lines = printed.lines();
    while let Some(first) = lines.next() {
        let second = lines.next().expect("points come in pairs");
        for (line, start) in [(first, "First point:  A ( "), (second, "Second point: B ( ")] {
            let pair = line.strip_prefix(start).and_then(|rest| rest.strip_suffix(" )"));
            let (x, y) = pair.and_then(|pair| pair.split_once(',')).expect(line);
            numbers.extend([x, y].map(|number| number.trim().parse::<f64>().unwrap()));
        }
    }
    assert!(numbers.iter().all(|number| (-1.0..1.0).contains(number)), "{numbers:?}");
    numbers
}

/// A server that sends these bytes and closes.
fn serve_bytes(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    serve_once(move |mut stream| stream.write_all(&bytes).unwrap()).0
}

fn await_close(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new()); // a reset is an end too
}

mod with_programs_that_are_not_ours {
    use super::*;

    #[test]
    fn the_python_client_gets_two_points_from_our_servers() {
        for name in SERVERS {
            let server = Server::example(name);
            let Some(mut client) = python("client.py") else { return };
            let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
            let end = run(client.args([host, port]));
            assert_eq!((end.code, &*end.stderr), (Some(0), ""));
            let (length, points) = end.text().split_once('\n').unwrap();
            assert_eq!((length, coordinates(points).len()), ("81", 4));
            server.stop();
        }
    }

    #[test]
    fn our_client_gets_the_points_that_the_python_server_sent() {
        let Some(mut server) = python("server.py") else { return };
        let server = Server::start(&mut server);
        for _ in 0..3 {
            let end = run(&mut client(server.addr, &[]));
            assert_eq!((end.code, &*end.stderr), (Some(0), ""));
            let sent = server.program.line();
            let sent: Vec<f64> = sent.split(' ').map(|number| number.parse().unwrap()).collect();
            assert_eq!(coordinates(end.text()), sent);
        }
    }

    #[test]
    fn netcat_gets_81_bytes() {
        for name in SERVERS {
            let server = Server::example(name);
            let Some(mut nc) = tool("nc") else { return };
            let end = run(nc.args([server.addr.ip().to_string(), server.addr.port().to_string()]));
            assert_eq!(end.stdout.len(), 81);
            frame::decode(&end.stdout).unwrap();
            server.stop();
        }
    }
}

mod the_client {
    use super::*;

    #[test]
    fn prints_two_points_from_either_server() {
        for name in SERVERS {
            let server = Server::example(name);
            let end = run(&mut client(server.addr, &[]));
            assert_eq!((end.code, &*end.stderr), (Some(0), ""));
            assert_eq!(coordinates(end.text()).len(), 4);
            server.stop();
        }
    }

    #[test]
    fn looks_up_a_name() {
        let server = Server::example("random_server");
        let by_name = format!("localhost:{}", server.addr.port());
        let short = format!(":{}", server.addr.port());
        for address in [by_name, short] {
            let end = run(&mut client(address, &["--count", "2"]));
            assert_eq!((end.code, coordinates(end.text()).len()), (Some(0), 8));
        }
    }

    #[test]
    fn asks_many_times_at_once() {
        let server = Server::example("random_server");
        let end = run(&mut client(server.addr, &["--count", "200"]));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        let numbers = coordinates(end.text());
        assert_eq!(numbers.len(), 800);
        let different: HashSet<u64> = numbers.iter().map(|number| number.to_bits()).collect();
        assert!(different.len() > 790, "two in a million runs have one pair alike");
        server.stop();
    }

    #[test]
    fn asks_all_before_the_first_has_answered() {
        const COUNT: usize = 50;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let all: Vec<_> = (0..COUNT).map(|_| listener.accept().unwrap().0).collect();
            for mut stream in all {
                stream.write_all(&frame::encode([1; RANDOM])).unwrap();
            }
        });
        let end = run(&mut client(addr, &["--count", &COUNT.to_string(), "--timeout", "60"]));
        assert_eq!((end.code, coordinates(end.text()).len()), (Some(0), 4 * COUNT));
        server.join().unwrap();
    }

    #[test]
    fn takes_a_reply_that_comes_byte_by_byte() {
        let (addr, _) = serve_once(|mut stream| {
            stream.set_nodelay(true).unwrap();
            for byte in
                frame::encode(*b"\x00\x00\x00\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\xc0")
            {
                stream.write_all(&[byte]).unwrap();
                thread::sleep(Duration::from_millis(1)); // so that pieces arrive as pieces
            }
        });
        let end = run(&mut client(addr, &[]));
        let expected = "First point:  A ( -1, 0.5 )\nSecond point: B ( 0, -0.5 )\n";
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), expected, ""));
    }

    #[test]
    fn complains_of_a_short_reply() {
        for length in [0, 1, 50, LEN - 1] {
            let addr = serve_bytes(&frame::encode([0; RANDOM])[..length]);
            let end = run(&mut client(addr, &[]));
            let came =
                format!("{addr}: the reply is too short: {length} bytes came, 81 were expected");
            assert!(end.complaint(1).contains(&came), "{end:?}");
        }
    }

    #[test]
    fn complains_of_a_long_reply() {
        let addr = serve_bytes([&frame::encode([0; RANDOM])[..], b"!"].concat());
        let end = run(&mut client(addr, &[]));
        let came =
            format!("{addr}: the reply is too long: 82 or more bytes came, 81 were expected");
        assert!(end.complaint(1).contains(&came), "{end:?}");
    }

    #[test]
    fn does_not_read_an_endless_reply() {
        let (addr, _) = serve_once(|mut stream| {
            let reply = [b'x'; 64 * 1024];
            while stream.write_all(&reply).is_ok() {}
        });
        let end = run(&mut client(addr, &["--timeout", "60"]));
        assert!(end.complaint(1).contains("82 or more bytes came, 81 were expected"), "{end:?}");
    }

    #[test]
    fn complains_of_a_wrong_frame_and_shows_it_escaped() {
        let addr = serve_bytes(*b"\x1b]0;owned\x07 HTTP/1.1 400 Bad Request\r\n");
        let end = run(&mut client(addr, &[]));
        let complaint = end.complaint(1);
        assert!(complaint.contains(&format!("{addr}: the reply is wrongly framed")), "{end:?}");
        assert!(complaint.contains(r#"it begins "\x1b]0;owned\x07 HTTP/1.1 400"#), "{end:?}");
        assert!(complaint.contains("bytes came, 81 were expected"), "{end:?}");
    }

    #[test]
    fn complains_of_a_reset() {
        let (addr, _) = serve_once(|mut stream| {
            stream.write_all(&frame::encode([0; RANDOM])[..40]).unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let end = run(&mut client(addr, &[]));
        assert!(end.complaint(1).contains("reset by peer"), "{end:?}");
    }

    #[test]
    fn says_that_nobody_listens() {
        // Bound and not listening: refused, and nobody else can take the port meanwhile.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let end = run(&mut client(addr, &[]));
        let complaint = end.complaint(1);
        assert!(complaint.contains(&format!("cannot reach {addr}: Connection refused")), "{end:?}");
        assert!(complaint.contains("is the server running?"), "{end:?}");
        let end = run(&mut client(addr, &["--count", "100"]));
        assert!(end.complaint(1).contains("99 more were not asked for"), "{end:?}");
    }

    #[test]
    fn a_server_that_says_nothing_may_speak_tls() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let end = run(&mut client(silent.local_addr().unwrap(), &["--timeout", "0.1"]));
        assert!(end.complaint(1).contains("if the server speaks TLS, so does --tls"), "{end:?}");
    }

    #[test]
    fn says_that_a_host_is_unknown() {
        let end = run(&mut client("no-such-host.invalid:1", &["--timeout", "50"]));
        let complaint = end.complaint(1);
        assert!(complaint.contains("cannot reach no-such-host.invalid:1: "), "{end:?}");
        assert!(complaint.contains("is it spelt right?"), "{end:?}");
    }

    #[test]
    #[cfg(target_os = "linux")] // elsewhere a full queue refuses
    fn gives_up_connecting_when_nobody_answers() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        // A client that finds the queue full gets no answer.
        let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(300)).ok();
        let waiting: Vec<TcpStream> = iter::from_fn(connect).take(10).collect();
        assert!(waiting.len() < 10, "the queue is never full");
        let end = run(&mut client(addr, &["--timeout", "0.3"]));
        let expected = format!("cannot reach {addr}: no answer within 300ms");
        assert!(end.complaint(1).contains(&expected), "{end:?}");
    }

    #[test]
    fn gives_up_on_a_server_that_says_too_little() {
        for length in [0, 40, LEN] {
            let (addr, _) = serve_once(move |mut stream| {
                stream.write_all(&frame::encode([0; RANDOM])[..length]).unwrap();
                await_close(stream);
            });
            let end = run(&mut client(addr, &["--timeout", "0.3"]));
            let complaint = end.complaint(1);
            assert!(complaint.contains(&format!("{addr}: ")), "{end:?}");
            assert!(complaint.contains("within 300ms"), "{end:?}");
            assert!(complaint.contains(&format!("{length} bytes came")), "{end:?}");
        }
    }

    #[test]
    fn asks_in_turns_when_it_may_open_few_files() {
        let server = Server::example("random_server");
        let end = run(&mut limited(20, &client(server.addr, &["--count", "50"])));
        assert_eq!((end.code, end.text().lines().count()), (Some(0), 100), "{end:?}");
        server.stop();
    }

    /// The kernel says it, by way of strace.
    #[test]
    fn says_that_a_network_is_unreachable() {
        let Some(mut strace) = tool("strace") else { return };
        let client = client("127.0.0.1:9", &[]);
        strace.args(["-f", "-o", "/dev/null", "-e", "inject=connect:error=ENETUNREACH"]);
        let end = run(strace.arg(client.get_program()).args(client.get_args()));
        let complaint = end.complaint(1);
        assert!(
            complaint.contains("127.0.0.1:9: connecting: Network is unreachable"),
            "{complaint}"
        );
    }

    #[test]
    fn says_that_too_many_files_are_open() {
        let server = Server::example("random_server");
        // Enough for the standard streams and the reactor, and for no connection.
        let end = run(&mut limited(5, &client(server.addr, &["--count", "50"])));
        assert!(end.complaint(1).contains("ulimit -n"), "{end:?}");
        server.stop();
    }

    /// The same command under a limit on open files.
    fn limited(files: u32, command: &Command) -> Command {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"]);
        limited.arg(command.get_program()).args(command.get_args());
        limited
    }

    #[test]
    fn one_bad_reply_among_good_ones_makes_it_fail() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for length in [LEN, 7, LEN] {
                let mut stream = listener.accept().unwrap().0;
                stream.write_all(&frame::encode([9; RANDOM])[..length]).unwrap();
            }
        });
        let end = run(&mut client(addr, &["--count", "3"]));
        assert_eq!((end.code, coordinates(end.text()).len()), (Some(1), 8));
        assert!(end.stderr.contains("7 bytes came, 81 were expected"), "{end:?}");
    }
}

mod the_servers {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_what_to_do() {
        for name in SERVERS {
            let first = Server::example(name);
            let listen = first.addr.to_string();
            let end = run(example(name).args(["--listen", &listen]));
            let complaint = end.complaint(1);
            let cause = format!("{name}: cannot listen at {listen}: Address already in use");
            assert!(complaint.starts_with(&cause), "{end:?}");
            assert!(complaint.contains("--listen 127.0.0.1:0"), "{end:?}");
            first.stop();
        }
    }

    #[test]
    fn a_taken_address_is_told_with_advice() {
        for name in SERVERS {
            // From a block for documentation (RFC 5737): nobody's.
            let end = run(example(name).args(["--listen", "192.0.2.1:5000"]));
            assert!(end.complaint(1).contains("an address of this machine"), "{end:?}");
            let end = run(example(name).args(["--listen", "no-such-host.invalid:0"]));
            assert!(end.complaint(1).contains("no-such-host.invalid:0: "), "{end:?}");
        }
    }

    #[test]
    fn every_form_of_address_will_do() {
        for name in SERVERS {
            for listen in [":0", "localhost:0"] {
                let server = Server::start(example(name).args(["--listen", listen]));
                assert!(server.addr.ip().is_loopback() && server.addr.port() != 0);
                server.stop();
            }
        }
    }

    #[test]
    fn either_signal_stops_them_in_order() {
        for name in SERVERS {
            for signal in ["TERM", "INT"] {
                let server = Server::example(name);
                server.program.signal(signal);
                let end = server.program.finish();
                assert_eq!((end.code, &*end.stderr), (Some(0), "stopping\n"), "{name} {signal}");
            }
        }
    }

    #[test]
    fn a_second_signal_ends_them_at_once() {
        for name in SERVERS {
            let server = Server::example(name);
            // Both wait when it goes on, so it cannot be gone before the second one.
            for signal in ["STOP", "TERM", "INT", "CONT"] {
                server.program.signal(signal);
            }
            assert_eq!(server.program.finish().code, Some(130), "{name}");
        }
    }

    /// A connection that has its reply and stays: the server waits for a peer that has sent
    /// something to close, lest a reset eat the reply.
    fn lingering_client(server: &Server) -> TcpStream {
        server.program.signal("STOP"); // so that the byte is there before the server looks
        let mut stream = TcpStream::connect(server.addr).unwrap();
        stream.write_all(b"x").unwrap();
        server.program.signal("CONT");
        stream.read_exact(&mut [0; LEN]).unwrap();
        stream
    }

    /// The poller must not be taken for a standard stream, nor a message go into a connection.
    #[test]
    fn serve_with_all_standard_streams_closed() {
        for name in SERVERS {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let server = example(name);
            let mut closed = Command::new("sh");
            closed.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(server.get_program());
            let server = Running::start(closed.args(["--listen", &free.to_string()]));
            let begin = Instant::now();
            let mut stream = loop {
                match TcpStream::connect(free) {
                    Ok(stream) => break stream,
                    Err(error) => assert!(begin.elapsed() < TIME_LIMIT, "{name}: {error}"),
                }
                thread::yield_now();
            };
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).unwrap();
            frame::decode(&reply).unwrap();
            server.signal("TERM");
            assert_eq!(server.finish().code, Some(0), "{name}");
        }
    }

    #[test]
    fn the_server_drains_before_it_stops() {
        let server = Server::example("random_server");
        let stream = lingering_client(&server);
        server.program.signal("TERM");
        assert!(server.program.error_line().starts_with("stopping, 1 open"));
        TcpStream::connect(server.addr).unwrap_err();
        drop(stream);
        assert_eq!(server.program.finish().code, Some(0));
    }

    #[test]
    fn a_second_signal_ends_the_drain() {
        let server = Server::example("random_server");
        let _stream = lingering_client(&server);
        server.program.signal("INT");
        assert!(server.program.error_line().starts_with("stopping, 1 open"));
        server.program.signal("INT");
        assert_eq!(server.program.finish().code, Some(130));
    }

    #[test]
    fn rude_clients_harm_nobody() {
        for name in SERVERS {
            let server = Server::start(example(name).args(["--listen", ":0", "--backlog", "64"]));
            for _ in 0..50 {
                let stream = TcpStream::connect(server.addr).unwrap();
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            let mut chatty = TcpStream::connect(server.addr).unwrap();
            chatty.write_all(&[b'?'; 1000]).unwrap();
            let end = run(&mut client(server.addr, &[]));
            assert_eq!((end.code, coordinates(end.text()).len()), (Some(0), 4), "{name}");
        }
    }

    #[test]
    fn the_reactor_writes_its_turns_to_the_log() {
        let server = Server::start(
            example("random_server")
                .args(["--listen", "127.0.0.1:0"])
                .env("RUST_LOG", "crocus=debug"),
        );
        run(&mut client(server.addr, &[]));
        let line = server.program.error_line();
        assert!(line.contains("opened"), "{line}");
    }
}

mod everyone {
    use super::*;

    const PROGRAMS: [&str; 3] = ["random_client", "random_server", "random_server_blocking"];

    #[test]
    fn helps() {
        for name in PROGRAMS {
            for flag in ["--help", "-h"] {
                let end = run(example(name).arg(flag));
                assert_eq!((end.code, &*end.stderr), (Some(0), ""));
                let options: &[&str] = match name {
                    "random_client" => &["localhost:5000", "--count", "--timeout"],
                    _ => &["127.0.0.1:5000", "--listen", "--backlog"],
                };
                let parts = ["Usage: ", name, "Examples:", "Exit status: ", "RUST_LOG"];
                for part in parts.iter().chain(options) {
                    assert!(end.text().contains(part), "{name}: no {part} in {}", end.text());
                }
                assert!(end.text().lines().all(|line| line.len() <= 100), "{name}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong_with_its_arguments() {
        let both: &[&[&str]] = &[&["--no-such"], &["-x"], &["--no\nsuch"]];
        let server: &[&[&str]] = &[
            &["extra"],
            &["--listen"],
            &["--listen", "5000"],
            &["--listen", "localhost"],
            &["--listen", "127.0.0.1:65536"],
            &["--listen", "::1:80"],
            &["--backlog", "-1"],
            &["--backlog", "many"],
        ];
        let client: &[&[&str]] = &[
            &["a:1", "b:2"],
            &["localhost"],
            &["--count", "0"],
            &["--count", "-1"],
            &["--timeout", "0"],
            &["--timeout", "-1"],
            &["--timeout", "NaN"],
            &["--timeout", "soon"],
        ];
        for name in PROGRAMS {
            let own = if name == "random_client" { client } else { server };
            for args in both.iter().chain(own) {
                let end = run(example(name).args(*args));
                let complaint = end.complaint(2);
                assert!(complaint.starts_with(&format!("{name}: ")), "{end:?}");
                assert!(complaint.ends_with(&format!("; {name} --help tells more")), "{end:?}");
            }
        }
    }

    /// A program whose standard output is a pipe that nobody reads any more.
    fn unheard(command: &mut Command) -> Running {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Running::start_with_stdout(command.stdout(writer))
    }

    #[test]
    fn a_closed_standard_output_is_no_panic() {
        let answering = Server::example("random_server");
        for mut command in
            [client(answering.addr, &["--count", "3"]), client(answering.addr, &["--help"])]
        {
            let end = unheard(&mut command).finish();
            assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        }
        for name in SERVERS {
            let command = &mut example(name);
            let server = unheard(command.args(["--listen", ":0"]).env("RUST_LOG", "info"));
            let line = server.error_line();
            let addr = line.rsplit(' ').next().unwrap();
            assert_eq!(run(&mut client(addr, &[])).code, Some(0), "{name}");
            server.signal("TERM");
            assert_eq!(server.finish().code, Some(0), "{name}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told() {
        let answering = Server::example("random_server");
        let mut commands = vec![client(answering.addr, &["--count", "3"])];
        commands.extend(SERVERS.map(example));
        commands[1].args(["--listen", ":0"]);
        commands[2].args(["--listen", ":0"]);
        for command in &mut commands {
            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            let end = Running::start_with_stdout(command.stdout(full)).finish();
            assert!(end.complaint(1).contains("cannot write to standard output"), "{end:?}");
        }
    }
}

mod minimal {
    use super::*;

    const SOURCE: &str = include_str!("../../examples/minimal.rs");

    #[test]
    fn is_what_the_readme_shows() {
        let readme = include_str!("../../README.md");
        let mut blocks = readme.split("\n```").skip(1).step_by(2);
        let shown = blocks.any(|block| {
            let (language, code) = block.split_once('\n').unwrap_or_default();
            language.starts_with("rust") && code.trim_end() == SOURCE.trim_end()
        });
        assert!(shown, "README.md has no rust block that is examples/minimal.rs to the letter");
    }

    #[test]
    fn is_short() {
        let count = SOURCE.lines().count();
        assert!(count < 20, "{count} lines");
    }

    #[test]
    fn is_formatted() {
        let Some(mut rustfmt) = tool("rustfmt") else { return };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/minimal.rs");
        let end = run(rustfmt.args(["--check", "--edition", "2024"]).arg(file));
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "", ""));
    }
}

mod ten_thousand_connections {
    use super::*;

    const CONNECTIONS: usize = 10_000;
    const AT_ONCE: usize = 500;

    #[derive(Default)]
    struct Tally {
        begun: usize,
        ended: usize,
        random: HashSet<[u8; RANDOM]>,
        wrong: Vec<String>,
    }

    /// Asks, and asks again.
    struct Asker {
        tally: Rc<RefCell<Tally>>,
    }

    impl Factory for Asker {
        fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
            Some(Box::new(Reply { tally: Rc::clone(&self.tally), bytes: Vec::new() }))
        }

        fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
            self.tally.borrow_mut().wrong.push(reason.to_string());
            self.connection_lost(connector, reason);
        }

        fn connection_lost(&mut self, connector: &mut Connector<'_>, _reason: &Reason) {
            let mut tally = self.tally.borrow_mut();
            tally.ended += 1;
            if tally.begun < CONNECTIONS {
                tally.begun += 1;
                connector.connect();
            }
        }
    }

    struct Reply {
        tally: Rc<RefCell<Tally>>,
        bytes: Vec<u8>,
    }

    impl Protocol for Reply {
        fn data_received(&mut self, _transport: &mut Transport<'_>, data: &[u8]) {
            self.bytes.extend_from_slice(data);
        }

        fn connection_lost(&mut self, _transport: &mut Transport<'_>, reason: &Reason) {
            let mut tally = self.tally.borrow_mut();
            match frame::decode(&self.bytes) {
                Ok(_) if reason.is_clean() => {
                    let random = self.bytes[34..50].try_into().unwrap();
                    assert!(tally.random.insert(random), "the same random bytes twice");
                }
                Ok(_) => tally.wrong.push(reason.to_string()),
                Err(error) => tally.wrong.push(error.to_string()),
            }
        }
    }

    #[test]
    fn all_get_81_valid_bytes_and_no_two_the_same() {
        let server = Server::example("random_server");
        let tally = Rc::new(RefCell::new(Tally { begun: AT_ONCE, ..Tally::default() }));
        let mut reactor = Reactor::new().unwrap();
        for _ in 0..AT_ONCE {
            reactor.connect(server.addr, Asker { tally: Rc::clone(&tally) });
        }
        let end = Instant::now() + TIME_LIMIT;
        while tally.borrow().ended < CONNECTIONS && Instant::now() < end {
            reactor.turn(Some(TIME_LIMIT)).unwrap();
        }
        let tally = tally.take();
        assert_eq!((tally.ended, tally.wrong), (CONNECTIONS, vec![]));
        assert_eq!(tally.random.len(), CONNECTIONS);
        server.stop();
    }
}
