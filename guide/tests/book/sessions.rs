//! The terminal sessions of the chapters run, and print what the chapters say.
//!
//! In a block `console`, a line `NAME$ COMMAND` is typed into the terminal of that name, and the lines below it
//! are its output. Commands run in the order in which they stand, each to its end. A `server$` keeps running,
//! and so does a command that ends in `&`: the next command waits for the first line of its output, and the
//! others are looked at when the session ends. A session begins with each `server$`.
//!
//! `NAME$ ...` shows what the program in that terminal has printed meanwhile. `[..]` stands for anything in a line, and a line `...` for any lines. `^C` ends the program. Programs of
//! the guide listen at a free port, which the session calls 5000.
//!
//! A block `text` is a session if it runs a program of `SHORT`, which a reader need not type.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::recordings::program;
use crate::text::{Block, Page, pages, root};

/// Longer than any program here takes on a busy machine: a session that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The port in the text; a session has another one.
const PORT: &str = "5000";

/// The other programs that a session may run. The test is left out for pages that need a program
/// which is missing. `sleep` is a program that does not read.
const TOOLS: [&str; 6] = ["printf", "nc", "wc", "head", "curl", "sleep"];

/// Programs that end by themselves, and read nothing.
const SHORT: [&str; 2] = ["15x", "15y"];

/// Whether a block is played.
fn is_session(block: &Block) -> bool {
    let runs =
        |name: &&str| block.text.starts_with(&format!("server$ cargo run -p guide --bin {name}\n"));
    block.language == "console" || block.language == "text" && SHORT.iter().any(runs)
}

/// A command with the output that the text shows.
#[derive(Debug)]
struct Typed {
    terminal: String,
    command: String,
    output: Vec<String>,
}

impl Typed {
    fn stays(&self) -> bool {
        self.terminal.starts_with("server") || self.command.ends_with('&')
    }
}

/// The commands of a page, by session.
fn sessions(page: &Page) -> Vec<Vec<Typed>> {
    let mut sessions: Vec<Vec<Typed>> = vec![Vec::new()];
    let mut current = 0;
    for block in page.blocks().iter().filter(|block| is_session(block)) {
        for line in block.text.lines() {
            if line.starts_with("server$ ") && line != "server$ ..." {
                sessions.push(Vec::new());
            }
            let session = sessions.last_mut().expect("never empty");
            let place = || format!("{}:{}: {line}", page.name, block.line);
            if let Some((terminal, "...")) = prompt(line) {
                let at = session.iter().rposition(|typed| typed.terminal == terminal);
                current = at.unwrap_or_else(|| panic!("{}: nothing runs there", place()));
                session[current].output.push("...".to_owned());
            } else if let Some((terminal, command)) = prompt(line) {
                let (terminal, command) = (terminal.to_owned(), command.to_owned());
                current = session.len();
                session.push(Typed { terminal, command, output: Vec::new() });
            } else {
                let typed = session.get_mut(current);
                let typed = typed.unwrap_or_else(|| panic!("{}: output of nothing", place()));
                typed.output.push(line.to_owned());
            }
        }
    }
    sessions.retain(|session| !session.is_empty());
    sessions
}

/// `NAME$ COMMAND`; the name may be empty.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (name, command) = line.split_once("$ ")?;
    let plain = name
        .chars()
        .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == ' ');
    plain.then_some((name, command))
}

/// A program that runs, and the lines that it has printed.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Starts a command in a group of its own, so that all of a pipeline can be ended.
    fn start(command: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec 2>&1; {command}")).current_dir(root()).process_group(0);
        let mut child =
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh is there");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            let pieces = output.split(b'\n').map_while(Result::ok);
            pieces.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).into_owned())));
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The line at this place; `None` if the program has ended before, or prints no more.
    fn line(&mut self, index: usize) -> Option<&str> {
        while self.seen.len() <= index {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return None,
            }
        }
        Some(&self.seen[index])
    }

    fn end(&mut self) {
        // It fails only if all of the group have ended already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A session as it is played.
#[derive(Default)]
struct Play {
    /// The free port in the place of 5000.
    port: Option<String>,
    staying: Vec<(usize, Running)>,
}

/// Plays a session; why it differs from the text.
fn play(session: &[Typed]) -> Result<(), String> {
    let mut play = Play::default();
    for (index, typed) in session.iter().enumerate() {
        let mut running = Running::start(&shell(typed, play.port.as_deref()));
        if typed.stays() {
            play.learn_port(&mut running);
            if let Some(line) = typed.output.first() {
                compare(std::slice::from_ref(line), &mut running, play.port.as_deref(), false)?;
            }
            play.staying.push((index, running));
        } else {
            compare(&typed.output, &mut running, play.port.as_deref(), true)?;
        }
    }
    for (index, mut running) in play.staying {
        let output: Vec<_> =
            session[index].output.iter().filter(|line| *line != "^C").cloned().collect();
        compare(&output, &mut running, play.port.as_deref(), false)?;
    }
    Ok(())
}

impl Play {
    fn learn_port(&mut self, running: &mut Running) {
        if self.port.is_none()
            && let Some(line) = running.line(0)
        {
            let port = line.strip_prefix("listening on ").and_then(|addr| addr.rsplit_once(':'));
            self.port = port.map(|(_, port)| port.to_owned());
        }
    }
}

/// The line that the shell runs for a command in the text.
fn shell(typed: &Typed, port: Option<&str>) -> String {
    let command = typed.command.trim_end_matches(" &");
    let Some(rest) = command.strip_prefix("cargo run -p guide --bin ") else {
        let port = port.unwrap_or(PORT);
        return swap(command, PORT, port);
    };
    let mut words = rest.split(' ');
    let name = words.next().unwrap_or_default();
    let mut line = format!("exec '{}'", program(name).display());
    words.for_each(|word| line += &format!(" {}", swap(word, PORT, port.unwrap_or("0"))));
    if name.starts_with(|first: char| first.is_ascii_digit()) && !rest.contains(PORT) {
        line += &format!(" 127.0.0.1:{}", port.unwrap_or("0"));
    }
    line
}

/// Replaces a number where it stands alone.
fn swap(text: &str, from: &str, to: &str) -> String {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let mut swapped = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let alone = !before.ends_with(is_digit) && !after.starts_with(is_digit);
        swapped += before;
        swapped += if alone { to } else { from };
        rest = after;
    }
    swapped + rest
}

/// Compares the output of a program with the text, to its end if it is `whole`.
fn compare(
    text: &[String],
    running: &mut Running,
    port: Option<&str>,
    whole: bool,
) -> Result<(), String> {
    let mut at = 0;
    let mut skips = false;
    for expected in text {
        if expected == "..." {
            skips = true;
            continue;
        }
        loop {
            let Some(line) = running.line(at) else {
                return Err(format!(
                    "in the text: {expected}\nthe program did not print it, but {:#?}",
                    running.seen
                ));
            };
            at += 1;
            let line = port.map_or_else(|| line.to_owned(), |port| swap(line, port, PORT));
            if fits(expected, &line) {
                break;
            }
            if !skips {
                return Err(format!("in the text: {expected}\nthe program: {line}"));
            }
        }
        skips = false;
    }
    match running.line_if(whole && !skips, at) {
        Some(line) => Err(format!("the text ends, and the program goes on: {line}")),
        None => Ok(()),
    }
}

impl Running {
    fn line_if(&mut self, wanted: bool, index: usize) -> Option<&str> {
        if wanted { self.line(index) } else { None }
    }
}

/// Whether a line is what the text says.
fn fits(text: &str, line: &str) -> bool {
    let mut pieces = text.trim_end().split("[..]");
    let Some(mut rest) = line.trim_end().strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let pieces: Vec<_> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// The tools that a session calls and that are not there.
fn missing_tools(session: &[Typed]) -> Vec<&str> {
    let commands =
        session.iter().filter(|typed| !typed.command.starts_with("cargo run -p guide --bin "));
    let words = commands.flat_map(|typed| {
        let parts = typed.command.split('|').map(|part| part.trim_start_matches([' ', '(']));
        parts.filter_map(|part| part.split_whitespace().next())
    });
    let is_there = |tool: &str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .stdout(Stdio::null())
            .status();
        found.is_ok_and(|status| status.success())
    };
    let unknown =
        words.inspect(|word| assert!(TOOLS.contains(word), "a session may not run {word}"));
    unknown.filter(|word| !is_there(word)).collect()
}

#[test]
fn every_session_prints_what_the_text_says() {
    let all: Vec<_> = pages()
        .iter()
        .flat_map(|page| {
            let name = page.name.clone();
            sessions(page)
                .into_iter()
                .map(move |session| (name.clone(), session))
                .collect::<Vec<_>>()
        })
        .collect();
    let (mut played, mut wrong) = (0, Vec::new());
    thread::scope(|scope| {
        let mut running = Vec::new();
        for (name, session) in &all {
            let missing = missing_tools(session);
            if missing.is_empty() {
                running.push((name, session, scope.spawn(|| play(session))));
            } else {
                println!("{name}: a session is left out without {missing:?}");
            }
        }
        for (name, session, result) in running {
            played += 1;
            let why = result.join().expect("a play does not panic").err();
            wrong.extend(why.map(|why| format!("{name}: {}:\n{why}", session[0].command)));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(played > 0, "the sessions are found");
}

#[test]
fn a_session_that_differs_is_noticed() {
    let typed = |command: &str, output: &[&str]| {
        let output = output.iter().map(|line| (*line).to_owned()).collect();
        Typed { terminal: "client".to_owned(), command: command.to_owned(), output }
    };
    let told = |typed: Typed| play(&[typed]).err().unwrap_or_default();
    assert_eq!(told(typed("printf 'a\\nb 17 c\\n'", &["a", "b [..] c"])), "");
    assert_eq!(told(typed("printf 'a\\nb\\nc\\nd\\n'", &["a", "...", "d"])), "");
    assert!(told(typed("printf 'a\\nb\\n'", &["a", "c"])).contains("the program: b"));
    assert!(told(typed("printf 'a\\n'", &["a", "b"])).contains("did not print it"));
    assert!(told(typed("printf 'a\\nb\\n'", &["a"])).contains("goes on: b"));
    assert_eq!(swap("127.0.0.1:5000 and 50001", "5000", "77"), "127.0.0.1:77 and 50001");
}
