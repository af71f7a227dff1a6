//! `echo_server`, `simple_services` and `chat_server` from outside: with netcat and socat, and with
//! peers that misbehave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ChildStdin;

use crate::child::{Running, Server, dial, example, run, tool};

fn service(name: &str) -> Server {
    let listen = ["--listen", "127.0.0.1:0", "--service", name];
    Server::start(example("simple_services").args(listen))
}

/// A program that is not ours, connected to the server, and its standard input.
fn netcat(addr: SocketAddr) -> Option<(Running, ChildStdin)> {
    let mut nc = tool("nc")?;
    nc.args(["-N", &addr.ip().to_string(), &addr.port().to_string()]);
    Some(Running::start_talking(&mut nc))
}

mod echo {
    use super::*;

    #[test]
    fn netcat_and_socat_get_their_lines_back() {
        let server = Server::example("echo_server");
        let Some((nc, mut keyboard)) = netcat(server.addr) else { return };
        let Some(mut socat) = tool("socat") else { return };
        let addr = format!("TCP4:{}", server.addr);
        let (socat, mut other) = Running::start_talking(socat.args(["STDIO", &addr]));
        for line in ["hello", "Größe", &"x".repeat(10_000)] {
            writeln!(keyboard, "{line}").unwrap();
            writeln!(other, "{line}!").unwrap();
            assert_eq!(nc.line(), line);
            assert_eq!(socat.line(), format!("{line}!"));
        }
        drop((keyboard, other));
        assert_eq!((nc.finish().code, socat.finish().code), (Some(0), Some(0)));
        server.stop_with_clients();
    }

    #[test]
    fn bytes_before_the_end_come_back_whole() {
        let server = Server::example("echo_server");
        let mut stream = dial(server.addr);
        let data: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let mut sender = stream.try_clone().unwrap();
        let (back, sent) = (&mut Vec::new(), data.clone());
        let writer = std::thread::spawn(move || {
            sender.write_all(&sent).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        stream.read_to_end(back).unwrap();
        writer.join().unwrap();
        assert!(*back == data, "{} bytes came of {}", back.len(), data.len());
        server.stop_with_clients();
    }

    /// More than this it never needs: the buffers of one connection, and the program.
    const ENOUGH_KIB: usize = 40_000;

    #[test]
    fn a_peer_that_never_reads_costs_little() {
        let server = Server::example("echo_server");
        let mut stream = dial(server.addr);
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        // Until the kernel's buffers on both sides are full and the server does not read any more.
        while let Ok(count) = stream.write(&[7; 64 * 1024]) {
            sent += count;
            assert!(sent < 1 << 30, "it reads without end");
        }
        let mut beside = dial(server.addr);
        beside.write_all(b"ping").unwrap();
        let mut back = [0; 4];
        beside.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"ping", "nobody else notices");
        if let Some(peak) = server.program.peak_memory() {
            assert!(peak < ENOUGH_KIB, "{peak} KiB");
        }
        drop((stream, beside));
        server.stop_with_clients();
    }
}

mod frames {
    use super::*;

    /// Has netcat send these bytes, and returns what comes back.
    fn netcat_gets(args: &[&str], sent: &[u8]) -> Option<Vec<u8>> {
        let listen = ["--listen", "127.0.0.1:0"];
        let server = Server::start(example("frame_echo").args(listen).args(args));
        let (nc, mut keyboard) = netcat(server.addr)?;
        keyboard.write_all(sent).unwrap();
        drop(keyboard);
        let end = nc.finish();
        assert_eq!(end.code, Some(0), "{end:?}");
        server.stop_with_clients();
        Some(end.stdout)
    }

    #[test]
    fn each_framing_sends_whole_messages_back_to_netcat() {
        for (args, sent, back) in [
            (&[][..], &b"one\r\ntwo\nhalf"[..], &b"one\r\ntwo\r\n"[..]),
            (&["--framing", "netstrings"], b"5:a\nb,c,0:,3:abc,4:ab", b"5:a\nb,c,0:,3:abc,"),
            (
                &["--framing", "prefixed"],
                b"\0\0\0\x02ab\0\0\0\0\0\0\0\x05a",
                b"\0\0\0\x02ab\0\0\0\0",
            ),
            (&["--framing", "fixed", "--max-length", "4"], b"abcdefghij", b"abcdefgh"),
        ] {
            let Some(got) = netcat_gets(args, sent) else { return };
            assert_eq!(got, back, "{args:?}: {}", got.escape_ascii());
        }
    }

    #[test]
    fn messages_before_a_fault_are_answered() {
        for (args, sent, back) in [
            (["--framing", "lines"], &b"a\nmore than five\nb\n"[..], &b"a\r\n"[..]),
            (["--framing", "netstrings"], b"1:a,6:abcdef,1:b,", b"1:a,"),
            (["--framing", "netstrings"], b"1:a,x:b,", b"1:a,"),
            (["--framing", "prefixed"], b"\0\0\0\x01a\0\0\0\x06abcdef", b"\0\0\0\x01a"),
        ] {
            let args = [&args[..], &["--max-length", "5"]].concat();
            let Some(got) = netcat_gets(&args, sent) else { return };
            assert_eq!(got, back, "{args:?}: {}", got.escape_ascii());
        }
    }

    #[test]
    fn a_framing_that_is_not_there_is_named() {
        let end = run(example("frame_echo").args(["--framing", "words"]));
        assert!(end.complaint(2).contains("lines, netstrings, prefixed or fixed"), "{end:?}");
        let end = run(example("frame_echo").args(["--max-length", "0"]));
        assert!(end.complaint(2).contains("--max-length"), "{end:?}");
    }
}

mod services {
    use super::*;

    #[test]
    fn discard_reads_all_and_says_nothing() {
        let server = service("discard");
        let Some((nc, mut keyboard)) = netcat(server.addr) else { return };
        for _ in 0..1000 {
            writeln!(keyboard, "{}", "x".repeat(1000)).unwrap();
        }
        drop(keyboard);
        let end = nc.finish();
        assert_eq!((end.code, end.text()), (Some(0), ""));
        server.stop_with_clients();
    }

    #[test]
    fn chargen_writes_what_the_rfc_shows() {
        let server = service("chargen");
        let mut lines = BufReader::new(dial(server.addr)).split(b'\n');
        let printable: Vec<u8> = (b' '..=b'~').collect();
        for start in 0..2_000 {
            let line = lines.next().unwrap().unwrap();
            let expected = printable.iter().cycle().skip(start % 95).take(72).chain(b"\r");
            assert!(line.iter().eq(expected), "line {start}: {}", line.escape_ascii());
        }
        drop(lines);
        server.stop_with_clients();
    }

    #[test]
    fn chargen_serves_silent_clients_and_waits_for_slow_ones() {
        let server = service("chargen");
        let stalled = dial(server.addr);
        let mut silent = dial(server.addr);
        silent.shutdown(Shutdown::Write).unwrap();
        let mut much = vec![0; 8 << 20];
        silent.read_exact(&mut much).unwrap();
        if let Some(peak) = server.program.peak_memory() {
            assert!(peak < 40_000, "{peak} KiB: what is not read is not written");
        }
        drop((stalled, silent));
        server.stop_with_clients();
    }

    #[test]
    fn a_service_that_is_not_there_is_named() {
        let end = run(example("simple_services").args(["--service", "qotd"]));
        assert!(end.complaint(2).contains("--service takes discard or chargen"), "{end:?}");
    }
}

mod chat {
    use super::*;

    /// A client of the chat.
    struct Guest {
        lines: BufReader<TcpStream>,
    }

    impl Guest {
        /// Enters the chat and is welcomed.
        fn join(addr: SocketAddr, name: &str) -> Self {
            let mut guest = Self { lines: BufReader::new(dial(addr)) };
            guest.say(name);
            let welcome = guest.hear();
            assert!(welcome.starts_with(&format!("name? * welcome, {name}; here: ")), "{welcome}");
            guest
        }

        fn say(&mut self, line: &str) {
            self.send(format!("{line}\n").as_bytes());
        }

        fn send(&mut self, data: &[u8]) {
            self.lines.get_mut().write_all(data).unwrap();
        }

        fn hear(&mut self) -> String {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        }

        /// Returns what it hears until the server hangs up.
        fn hear_the_end(mut self) -> String {
            let mut rest = Vec::new();
            self.lines.read_to_end(&mut rest).unwrap();
            String::from_utf8(rest).unwrap()
        }
    }

    #[test]
    fn everybody_else_gets_the_line_with_its_sender() {
        let server = Server::example("chat_server");
        let mut anna = Guest::join(server.addr, "anna");
        let mut bert = Guest::join(server.addr, "bert");
        assert_eq!(anna.hear(), "* bert is here");
        let Some((nc, mut keyboard)) = netcat(server.addr) else { return };
        writeln!(keyboard, "cleo").unwrap();
        assert_eq!(nc.line(), "name? * welcome, cleo; here: anna, bert");
        assert_eq!((anna.hear(), bert.hear()), ("* cleo is here".into(), "* cleo is here".into()));

        writeln!(keyboard, "hello, Größe").unwrap();
        assert_eq!(anna.hear(), "cleo: hello, Größe");
        assert_eq!(bert.hear(), "cleo: hello, Größe");
        anna.say("and \x1b[31mred\x07\r"); // nobody else's terminal is painted
        assert_eq!(bert.hear(), "anna: and [31mred");
        assert_eq!(nc.line(), "anna: and [31mred");
        bert.say("/who");
        assert_eq!(bert.hear(), "* here: anna, bert, cleo");

        drop(keyboard);
        assert_eq!(nc.finish().code, Some(0));
        assert_eq!(anna.hear(), "* cleo has left");
        anna.say("/quit");
        assert_eq!(anna.hear_the_end(), "");
        assert_eq!(
            (bert.hear(), bert.hear()),
            ("* cleo has left".into(), "* anna has left".into())
        );
        // A name is free as soon as its owner has left, also if he keeps his connection.
        let mut anna = Guest::join(server.addr, "anna");
        assert_eq!(bert.hear(), "* anna is here");
        bert.say("a\u{202e}b\u{2028}c\u{2067}d\u{200f}e"); // no text that turns round, no line of another
        assert_eq!(anna.hear(), "bert: abcde");
        anna.say("/quit");
        assert_eq!(bert.hear(), "* anna has left");
        let again = Guest::join(server.addr, "anna");
        drop((anna, again));
        drop(bert);
        server.stop_with_clients();
    }

    #[test]
    fn a_name_is_one_s_own_and_a_word() {
        let server = Server::example("chat_server");
        let anna = Guest::join(server.addr, "anna");
        let mut other = Guest { lines: BufReader::new(dial(server.addr)) };
        for (name, objection) in [
            ("anna", "that name is taken"),
            ("", "a name has 1 to 20"),
            ("two words", "a name has 1 to 20"),
            (&*"x".repeat(21), "a name has 1 to 20"),
            ("\x1b[31m", "a name has 1 to 20"),
        ] {
            other.say(name);
            let answer = other.hear();
            assert!(answer.starts_with(&format!("name? ! {objection}")), "{name:?}: {answer}");
        }
        other.say("  bert  ");
        assert_eq!(other.hear(), "name? * welcome, bert; here: anna");
        drop((anna, other));
        server.stop_with_clients();
    }

    #[test]
    fn a_client_that_breaks_the_rules_is_closed_alone() {
        let server = Server::example("chat_server");
        let mut anna = Guest::join(server.addr, "anna");
        let long = "x".repeat(4096);
        for (fault, complaint) in [
            ([long.as_bytes(), b"x\n"].concat(), "! that line is too long; good-bye\n"),
            (vec![b'x'; 1 << 20], "! that line is too long; good-bye\n"),
            (b"\xff\xfe\n".to_vec(), "! that is not UTF-8; good-bye\n"),
        ] {
            let mut mallory = Guest::join(server.addr, "mallory");
            assert_eq!(anna.hear(), "* mallory is here");
            mallory.send(&fault);
            assert_eq!(mallory.hear_the_end(), complaint);
            assert_eq!(anna.hear(), "* mallory has left");
        }
        // The longest line, byte by byte.
        let mut bert = Guest::join(server.addr, "bert");
        assert_eq!(anna.hear(), "* bert is here");
        for byte in format!("{long}\r\n").as_bytes() {
            bert.send(&[*byte]);
        }
        assert_eq!(anna.hear(), format!("bert: {long}"));
        // The last line need not have an end.
        bert.send(b"half a li");
        drop(bert);
        assert_eq!(anna.hear(), "bert: half a li");
        assert_eq!(anna.hear(), "* bert has left");
        drop(anna);
        server.stop_with_clients();
    }

    #[test]
    fn the_last_line_of_netcat_needs_no_end() {
        let server = Server::example("chat_server");
        let mut anna = Guest::join(server.addr, "anna");
        let Some((nc, mut keyboard)) = netcat(server.addr) else { return };
        keyboard.write_all("bert\nhalf a\u{202e}\u{2028} li".as_bytes()).unwrap();
        drop(keyboard);
        for heard in ["* bert is here", "bert: half a li", "* bert has left"] {
            assert_eq!(anna.hear(), heard);
        }
        assert_eq!(nc.finish().text(), "name? * welcome, bert; here: anna\n");
        drop(anna);
        server.stop_with_clients();
    }

    #[test]
    fn a_reader_that_stops_is_dropped_and_delays_nobody() {
        let server = Server::example("chat_server");
        let sleeper = Guest::join(server.addr, "sleeper");
        let mut anna = Guest::join(server.addr, "anna");
        let mut bert = Guest::join(server.addr, "bert");
        assert_eq!(anna.hear(), "* bert is here");
        let line = "x".repeat(4000);
        let mut said = 0;
        let dropped = loop {
            anna.say(&line);
            said += 1;
            assert!(said < 20_000, "80 MB were said, and the sleeper is still there");
            let heard = bert.hear();
            if heard != format!("anna: {line}") {
                break heard;
            }
        };
        assert_eq!(dropped, "* sleeper has left");
        if let Some(peak) = server.program.peak_memory() {
            assert!(peak < 40_000, "{peak} KiB");
        }
        drop((sleeper, anna, bert));
        server.stop_with_clients();
    }
}
