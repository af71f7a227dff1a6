//! The common behaviour of all servers, in one table: how they stop, what they log, how they are introduced.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::child::{Server, end_by_a_signal, example};

/// The servers with connections and their options, but those that are packages of their own; `UPSTREAM` stands for a server that says nothing.
const SERVERS: [(&str, &[&str]); 13] = [
    ("chat_server", &[]),
    ("connect_proxy", &[]),
    ("echo_server", &[]),
    ("frame_echo", &[]),
    ("guess", &[]),
    ("periodic", &["--primes", "10", "--folder", "docs"]),
    ("port_forward", &["--to", "UPSTREAM"]),
    ("random_server", &[]),
    ("random_server", &["--threads", "2"]),
    ("random_server_blocking", &[]),
    ("simple_services", &["--service", "chargen"]),
    ("simple_services", &["--service", "discard"]),
    ("smtp_sink", &[]),
];

/// Those that end each connection themselves.
const CLOSES: [&str; 2] = ["random_server", "random_server_blocking"];

fn command(name: &str, args: &[&str], upstream: &TcpListener) -> Command {
    let upstream = upstream.local_addr().unwrap().to_string();
    let mut command = example(name);
    command.args(["--listen", "127.0.0.1:0"]);
    command.args(args.iter().map(|&arg| if arg == "UPSTREAM" { &*upstream } else { arg }));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

#[test]
fn a_signal_ends_every_server_without_waiting_for_a_silent_client() {
    let upstream = &TcpListener::bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        for (name, args) in SERVERS {
            scope.spawn(move || {
                end_by_a_signal(&mut command(name, args, upstream), CLOSES.contains(&name));
            });
        }
    });
}

#[test]
fn a_datagram_server_logs_what_it_did() {
    let mut command = example("udp_echo");
    command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "info");
    let server = Server::start(&mut command);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.addr).unwrap();
    client.send(b"hello").unwrap();
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 5);
    server.program.signal("TERM");
    let end = server.program.finish();
    let (first, rest) = end.stderr.split_once('\n').unwrap();
    assert!(first.ends_with(&format!("listening on {}", server.addr)), "{first}");
    let counts = "stopped: 0 accepted, 0 closed, 1 datagrams received, 1 datagrams sent, \
                  5 bytes read, 5 bytes written\n";
    assert!(rest.ends_with(counts), "{rest}");
}

#[test]
fn a_server_that_cannot_listen_logs_no_counts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let end =
        crate::child::run(example("echo_server").args(["--listen", &at]).env("RUST_LOG", "info"));
    assert!(end.complaint(1).contains("cannot listen"), "{end:?}");
}

/// A row of the README's table of programs.
struct Row {
    name: String,
    file: PathBuf,
    says: String,
    lines: usize,
}

/// The rows of the programs that are here: the package of the library has no examples that are packages of their own.
fn rows_of_the_readme() -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut rows = Vec::new();
    for line in readme.lines().filter_map(|line| line.strip_prefix("| [`")) {
        let Some((name, rest)) = line.split_once("`](examples/") else { continue };
        let (path, rest) = rest.split_once(") | ").unwrap();
        let (says, rest) = rest.split_once(" | ").unwrap();
        let (_, lines) = rest.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let file = root.join("examples").join(path);
        if file.exists() || !path.contains("/src/") {
            let lines = lines.replace(',', "").parse().unwrap();
            rows.push(Row { name: name.to_owned(), file, says: says.to_owned(), lines });
        }
    }
    rows
}

/// The documentation of a program begins with the sentence that the README's table says of it.
#[test]
fn the_readme_says_what_each_program_begins_with() {
    let mut shown = Vec::new();
    for Row { name, file, says, .. } in rows_of_the_readme() {
        let source = fs::read_to_string(file).unwrap();
        let paragraph: Vec<_> =
            source.lines().map_while(|line| line.strip_prefix("//! ")).collect();
        let paragraph = paragraph.join(" ");
        let sentence = paragraph.split_once(". ").map_or(&*paragraph, |(sentence, _)| sentence);
        assert_eq!(says, sentence.trim_end_matches('.'), "{name}");
        shown.push(name);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_program = path.is_file() || path.join("main.rs").is_file();
        assert!(!is_program || shown.iter().any(|shown| shown == name), "{name} is not shown");
    }
}

/// The lines of a program: of its file, or of all files in its folder and below.
fn lines_of(path: &Path) -> usize {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().map(|entry| lines_of(&entry.unwrap().path())).sum();
    }
    let counts = path.extension().is_some_and(|extension| extension == "rs" || extension == "html");
    if counts { fs::read_to_string(path).unwrap().lines().count() } else { 0 }
}

#[test]
fn the_readme_knows_the_lines_to_within_a_tenth() {
    let rows = rows_of_the_readme();
    assert!(rows.len() >= 15, "the rows are found");
    for Row { name, file, lines, .. } in rows {
        let is_a_folder = file.ends_with("main.rs");
        let are = lines_of(if is_a_folder { file.parent().unwrap() } else { &file });
        assert!(lines.abs_diff(are) * 10 <= are, "{name} has {are} lines, not {lines}");
    }
}

/// All source text of the examples.
fn examples(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| match path.extension() {
        None => examples(&path),
        Some(_) => fs::read_to_string(path).unwrap(),
    });
    texts.collect()
}

#[test]
fn each_framing_of_the_library_has_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = examples(&root.join("examples"));
    let library = examples(&root.join("src/extras/framing"));
    let lines = library.lines().filter_map(|line| line.strip_prefix("impl Framing for "));
    let framings: Vec<_> = lines.map(|line| line.trim_end_matches(" {")).collect();
    assert_eq!(framings.len(), 4, "{framings:?}");
    for name in framings {
        assert!(programs.contains(&format!("{name}::")), "no program uses {name}");
    }
}
