//! The examples that wait for more than sockets: `telnet`, `periodic`, and `random_server` on several
//! cores; against programs that are not ours.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::iter;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self};
use std::time::Duration;

use crate::child::{Running, Server, TIME_LIMIT, example, python, run, serve_once, tool};
use crate::util::{Folder, pattern};
use socket2::SockRef;

fn telnet(server: impl ToString) -> Command {
    let mut command = example("telnet");
    command.arg(server.to_string());
    command
}

/// Reads to the end of what it is told, then says so much back.
fn upside_down(mut stream: TcpStream) -> usize {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all.reverse();
    stream.write_all(&all).unwrap();
    all.len()
}

mod the_telnet {
    use super::*;

    #[test]
    fn talks_while_both_sides_are_open() {
        let (addr, server) = serve_once(|mut stream| {
            stream.write_all(b"who is there?\n").unwrap();
            let mut line = [0; 6];
            stream.read_exact(&mut line).unwrap();
            stream.write_all(&line.map(|byte| byte.to_ascii_uppercase())).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            rest
        });
        let (program, mut keyboard) = Running::start_talking(&mut telnet(addr));
        assert_eq!(program.line(), "who is there?");
        keyboard.write_all(b"crocus").unwrap();
        keyboard.write_all(b"\nbye\n").unwrap();
        drop(keyboard); // Ctrl-D
        let end = program.finish();
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "CROCUS", ""));
        assert_eq!(server.join().unwrap(), b"\nbye\n");
    }

    #[test]
    fn the_whole_answer_comes_after_the_input_ended() {
        let input = pattern(3 << 20);
        let folder = Folder::new();
        let file = folder.join("input");
        fs::write(&file, &input).unwrap();
        let mut answer = input.clone();
        answer.reverse();
        // From a file, and from a pipe.
        let from_file = || Stdio::from(File::open(&file).unwrap());
        for piped in [false, true] {
            let (addr, server) = serve_once(upside_down);
            let output = if piped {
                let mut cat =
                    Command::new("cat").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
                let stdin = Stdio::from(cat.stdout.take().unwrap());
                let output = telnet(addr).stdin(stdin).output().unwrap();
                assert!(cat.wait().unwrap().success());
                output
            } else {
                telnet(addr).stdin(from_file()).output().unwrap()
            };
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
            assert!(output.stdout == answer, "{} bytes came", output.stdout.len());
            assert_eq!(server.join().unwrap(), input.len());
        }
    }

    #[test]
    fn without_an_input_it_prints_what_comes() {
        let (addr, server) = serve_once(upside_down);
        let end = run(&mut telnet(addr)); // standard input is /dev/null
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "", ""));
        assert_eq!(server.join().unwrap(), 0);
    }

    #[test]
    fn a_server_that_closes_first_ends_it() {
        let (addr, _) = serve_once(|mut stream| stream.write_all(b"no.\n").unwrap());
        let (program, keyboard) = Running::start_talking(&mut telnet(addr));
        let end = program.finish();
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "no.\n", ""));
        drop(keyboard);
    }

    #[test]
    fn on_a_terminal_ctrl_d_closes_our_half() {
        let Some(mut socat) = tool("socat") else { return };
        let (addr, server) = serve_once(upside_down);
        let program = telnet(addr).get_program().to_str().unwrap().to_owned();
        // The program gets a terminal of its own, on which socat types what we write.
        let addr = addr.to_string().replace(':', "\\:");
        let terminal = format!("EXEC:{program} {addr},pty,setsid,ctty,echo=0");
        let (program, mut keyboard) =
            Running::start_talking(socat.args(["-t", "60", "STDIO", &terminal]));
        keyboard.write_all(b"abc\n\x04").unwrap();
        // The answer begins with the line feed, and has none at its end.
        assert_eq!(program.line(), "");
        assert_eq!(server.join().unwrap(), 4, "Ctrl-D is not sent, it ends");
        drop(keyboard);
        let end = program.finish();
        assert_eq!((end.code, end.text()), (Some(0), "cba"), "{end:?}");
    }

    #[test]
    fn a_background_job_warns_of_nothing() {
        let Some(mut shell) = python("background.py") else { return };
        let (addr, server) = serve_once(|mut stream| {
            let mut line = [0; 6];
            stream.read_exact(&mut line).unwrap();
            stream.write_all(b"thanks\n").unwrap();
            line
        });
        let end = run(shell.arg(example("telnet").get_program()).arg(addr.to_string()));
        // The terminal shows what was typed, what was answered, and no line of a log.
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "hello\nthanks\n", ""));
        assert_eq!(&server.join().unwrap(), b"hello\n");
    }

    #[test]
    fn talks_to_netcat_and_socat() {
        let Some(mut nc) = tool("nc") else { return };
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (ip, port) = (free.ip().to_string(), free.port().to_string());
        let (mut server, mut said) =
            Running::start_talking(nc.args(["-l", "-N", "-v", &ip, &port]));
        assert!(server.error_line().starts_with("Listening"));
        said.write_all(b"from netcat\n").unwrap();
        drop(said);
        let end = run(telnet(free).stdin(Stdio::null()));
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "from netcat\n", ""));
        assert_eq!(server.finish().code, Some(0));

        let Some(mut socat) = tool("socat") else { return };
        let listen = "TCP-LISTEN:0,bind=127.0.0.1";
        server = Running::start(socat.args(["-d", "-d", listen, "SYSTEM:tr a-z A-Z"]));
        let addr = loop {
            let line = server.error_line();
            if let Some((_, addr)) = line.split_once("listening on AF=2 ") {
                break addr.to_owned();
            }
        };
        let (program, mut keyboard) = Running::start_talking(&mut telnet(addr));
        keyboard.write_all(b"shout\n").unwrap();
        drop(keyboard);
        let end = program.finish();
        assert_eq!((end.code, end.text(), &*end.stderr), (Some(0), "SHOUT\n", ""));
        assert_eq!(server.finish().code, Some(0));
    }

    /// Both directions, one after the other: it holds as much as it says, and nothing is lost.
    #[test]
    fn neither_side_runs_ahead_of_the_other() {
        const MUCH: usize = 64 << 20;
        // More than buffers of the kernel and of ours hold, on the way to a server that does not read.
        let (read_on, wait) = mpsc::channel::<()>();
        let (addr, server) = serve_once(move |mut stream| {
            wait.recv().unwrap();
            io::copy(&mut stream, &mut io::sink()).unwrap()
        });
        let (program, mut keyboard) = Running::start_talking(&mut telnet(addr));
        let (fed, feed) = mpsc::channel();
        let typist = thread::spawn(move || {
            let piece = pattern(1 << 16);
            for sent in 1..=MUCH / piece.len() {
                keyboard.write_all(&piece).unwrap();
                fed.send(sent * piece.len()).unwrap();
            }
        });
        let mut taken = 0;
        while let Ok(sent) = feed.recv_timeout(Duration::from_secs(1)) {
            taken = sent; // a slow machine makes this check weaker, and never fail
        }
        assert!(taken < MUCH / 2, "{taken} bytes were taken for a server that does not read");
        read_on.send(()).unwrap();
        typist.join().unwrap();
        assert_eq!(program.finish().code, Some(0));
        assert_eq!(server.join().unwrap(), MUCH as u64);
    }

    #[test]
    fn a_reader_that_stops_pauses_the_server() {
        const MUCH: usize = 64 << 20;
        let (fed, feed) = mpsc::channel();
        let (addr, server) = serve_once(move |mut stream| {
            let piece = pattern(1 << 16);
            for sent in 1..=MUCH / piece.len() {
                stream.write_all(&piece).unwrap();
                fed.send(sent * piece.len()).unwrap();
            }
        });
        let mut child = telnet(addr).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut taken = 0;
        while let Ok(sent) = feed.recv_timeout(Duration::from_secs(1)) {
            taken = sent;
        }
        assert!(taken < MUCH / 2, "{taken} bytes were taken for nobody");
        let came = io::copy(&mut child.stdout.take().unwrap(), &mut io::sink()).unwrap();
        assert_eq!((child.wait().unwrap().code(), came), (Some(0), MUCH as u64));
        server.join().unwrap();
    }

    #[test]
    fn standard_output_that_nobody_reads_ends_it_quietly() {
        let (addr, server) = serve_once(|mut stream| {
            let piece = pattern(1 << 16);
            while stream.write_all(&piece).is_ok() {}
        });
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let program = Running::start_with_stdout(telnet(addr).stdout(writer));
        let end = program.finish();
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        server.join().unwrap();
    }

    #[test]
    fn standard_output_that_is_full_is_an_error() {
        let (addr, _) = serve_once(|mut stream| stream.write_all(b"hello").unwrap());
        let full = File::options().write(true).open("/dev/full").unwrap();
        let end = Running::start_with_stdout(telnet(addr).stdout(full)).finish();
        assert!(
            end.complaint(1).contains("telnet: cannot write to standard output: No space"),
            "{end:?}"
        );
    }

    #[test]
    fn standard_input_that_cannot_be_read_is_an_error() {
        let (addr, server) = serve_once(upside_down);
        let folder = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        let output = telnet(addr).stdin(folder).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said.starts_with("telnet: cannot read standard input: "), "{said}");
        assert_eq!(said.lines().count(), 1);
        server.join().unwrap();
    }

    #[test]
    fn a_reset_is_an_error() {
        let (addr, _) = serve_once(|mut stream| {
            stream.read_exact(&mut [0; 2]).unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let (program, mut keyboard) = Running::start_talking(&mut telnet(addr));
        keyboard.write_all(b"x\n").unwrap();
        let end = program.finish();
        let complaint = end.complaint(1);
        assert!(complaint.contains(&format!("the connection with {addr} failed")), "{end:?}");
        assert!(complaint.contains("reset"), "{end:?}");
        drop(keyboard);
    }

    #[test]
    fn says_who_cannot_be_reached_and_what_it_takes() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        drop(taken);
        let end = run(&mut telnet(addr));
        let said = format!("telnet: cannot reach {addr}: Connection refused");
        assert!(end.complaint(1).starts_with(&said), "{end:?}");
        assert!(end.stderr.contains("is the server running?"));
        let end = run(&mut telnet("no-such-host.invalid:1"));
        assert!(end.complaint(1).contains("is it spelt right?"), "{end:?}");
        for (args, said) in [
            (&[][..], "it takes the server's address"),
            (&["nonsense"], "\"nonsense\" is not an address"),
            (&["a:1", "b:2"], "unexpected argument \"b:2\""),
            (&["--fast"], "invalid option '--fast'"),
        ] {
            let end = run(example("telnet").args(args));
            assert!(end.complaint(2).contains(said), "{end:?}");
        }
        let end = run(example("telnet").arg("--help"));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        assert!(end.text().contains("Usage: telnet HOST:PORT"));
    }
}

mod the_periodic {
    use super::*;

    fn start(more: &[&str]) -> Server {
        Server::start(example("periodic").args(["--listen", "127.0.0.1:0"]).args(more))
    }

    /// Asks the echo once; returns whether it is one.
    fn echoes(addr: SocketAddr) -> bool {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        io::read_to_string(stream).unwrap() == "hello"
    }

    #[test]
    fn echoes_and_tells_while_it_counts() {
        // More primes than there is time for: the line of the seconds and the echo come meanwhile.
        let endless = u64::MAX.to_string();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shared");
        let server = start(&["--primes", &endless, "--folder", folder]);
        let mut stream = TcpStream::connect(server.addr).unwrap(); // stays
        stream.write_all(b"stay").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        for _ in 0..10 {
            assert!(echoes(server.addr));
        }
        let files = fs::read_dir(folder).unwrap().count();
        assert_eq!(server.program.line(), format!("{files} files in {folder:?}"));
        let mut looked_at = 0;
        for second in 1..=3 {
            let line = server.program.line();
            let mut words = line.split(' ');
            // A machine that is busy may leave a tick out.
            assert_eq!(words.next(), Some("second"), "{line}");
            let number = words.next().unwrap().trim_end_matches(':').parse::<u32>().unwrap();
            assert!(number >= second, "{line}");
            assert!(line.contains(": 1 connections, 54 bytes echoed, "), "{line}");
            let now = line.rsplit(' ').nth(3).unwrap().parse::<u64>().unwrap();
            assert!(now > looked_at, "{line}");
            looked_at = now;
        }
        drop(stream);
        server.program.signal("TERM");
        let end = server.program.finish();
        assert_eq!((end.code, end.stderr.lines().count()), (Some(0), 1), "{end:?}");
    }

    #[test]
    fn counts_right_and_rests_then() {
        let server = start(&["--primes", "100000", "--folder", "/no/such/folder"]);
        let lines = iter::repeat_with(|| server.program.line());
        let mut lines: Vec<_> = lines.filter(|line| !line.starts_with("second")).take(2).collect();
        lines.sort_unstable();
        assert_eq!(lines[0], "9592 primes below 100000");
        let failed = "cannot count the files in \"/no/such/folder\": No such file or directory";
        assert!(lines[1].starts_with(failed), "{lines:?}");
        assert!(echoes(server.addr));
        server.program.signal("TERM");
        assert_eq!(server.program.finish().code, Some(0));
    }

    #[test]
    fn answers_netcat_and_survives_what_it_does_not_expect() {
        let server = start(&["--primes", "0", "--folder", "/no/such/folder"]);
        let Some(mut nc) = tool("nc") else { return };
        let (ip, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
        let (program, mut keyboard) = Running::start_talking(nc.args(["-N", &ip, &port]));
        keyboard.write_all(b"hello\n").unwrap();
        assert_eq!(program.line(), "hello");
        drop(keyboard);
        assert_eq!(program.finish().code, Some(0));
        // Somebody who sends without end and reads nothing, and somebody who is cut off.
        let mut rude = TcpStream::connect(server.addr).unwrap();
        rude.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let piece = vec![0; 1 << 20];
        let taken = (0..64).take_while(|_| rude.write_all(&piece).is_ok()).count();
        assert!(taken < 64, "the echo is bounded");
        let gone = TcpStream::connect(server.addr).unwrap();
        SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
        drop(gone);
        assert!(echoes(server.addr));
        drop(rude);
        server.program.signal("TERM");
        assert_eq!(server.program.finish().code, Some(0));
    }

    #[test]
    fn bad_usage_is_one_line() {
        for (args, said) in [
            (["--primes", "many"], "--primes takes a number"),
            (["--sixty", "x"], "invalid option '--sixty'"),
        ] {
            let end = run(example("periodic").args(args));
            assert!(end.complaint(2).contains(said), "{end:?}");
        }
    }
}

mod the_server_on_several_cores {
    use super::*;

    fn start(threads: &str) -> Server {
        let args = ["--listen", "127.0.0.1:0", "--threads", threads];
        Server::start(example("random_server").args(args))
    }

    #[test]
    fn serves_in_as_many_threads_and_stops_in_order() {
        for threads in ["1", "3", "0"] {
            let server = start(threads);
            for _ in 0..50 {
                let mut reply = Vec::new();
                TcpStream::connect(server.addr).unwrap().read_to_end(&mut reply).unwrap();
                assert_eq!(reply.len(), 81);
            }
            let addr = server.addr;
            server.program.signal("TERM");
            let end = server.program.finish();
            assert_eq!((end.code, end.text(), end.stderr.lines().count()), (Some(0), "", 1));
            TcpListener::bind(addr).unwrap();
        }
    }

    #[test]
    fn an_address_in_use_is_one_line() {
        let server = start("2");
        let addr = server.addr.to_string();
        let end = run(example("random_server").args(["--listen", &addr, "--threads", "2"]));
        let complaint = end.complaint(1);
        assert!(complaint.contains(&format!("cannot listen at {addr}: Address")), "{end:?}");
        assert!(complaint.contains("ss -lntup"), "{end:?}");
        let end = run(example("random_server").args(["--threads", "many"]));
        assert!(end.complaint(2).contains("--threads takes a number"), "{end:?}");
        server.program.signal("INT");
        assert_eq!(server.program.finish().code, Some(0));
    }
}
