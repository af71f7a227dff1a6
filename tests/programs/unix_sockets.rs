//! Unix sockets, with programs that are not ours.
#![cfg(unix)]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::child;
use crate::util::{Folder, Log, Recorder, World, outside};

fn converse(program: &str, args: impl Fn(&Path) -> Vec<String>) {
    let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
    let Some(mut command) = child::tool(program) else { return };
    let seen = log.clone();
    let serve = move |_| Recorder::new(&seen, "a").with_data().echoing();
    world.reactor().listen(folder.path(), serve).unwrap();
    command.args(args(&folder.path()));
    let output = outside(&mut world, move || {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"from outside\n").unwrap();
        child.wait_with_output().unwrap()
    });
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"from outside\n"[..]));
    world.until("the loss", |_| log.count("a lost") > 0);
    let lines = ["a made", "a data from outside\\n", "a eof", "a lost PeerClosed"];
    assert_eq!(log.lines(), lines);
}

#[test]
fn netcat() {
    converse("nc", |path| vec!["-N".into(), "-U".into(), path.to_str().unwrap().into()]);
}

#[test]
fn a_python_client() {
    const CLIENT: &str = "\
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while piece := s.recv(4096):
        sys.stdout.buffer.write(piece)
";
    converse("python3", |path| vec!["-c".into(), CLIENT.into(), path.to_str().unwrap().into()]);
}

#[test]
fn our_client_talks_to_a_python_server() {
    const SERVER: &str = "\
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.bind(sys.argv[1])
    s.listen()
    print('ready', flush=True)
    c, _ = s.accept()
    while piece := c.recv(4096):
        c.sendall(piece.upper())
";
    let (folder, mut world, log) = (Folder::new(), World::real(), Log::new());
    let Some(mut command) = child::tool("python3") else { return };
    let server = child::Running::start(command.arg("-c").arg(SERVER).arg(folder.path()));
    assert_eq!(server.line(), "ready");
    let seen = log.clone();
    world.reactor().connect(folder.path(), move |_| {
        Recorder::new(&seen, "c").with_data().on_made(|transport| {
            transport.write(b"hello");
            transport.lose_write_connection();
        })
    });
    world.until("the loss", |_| log.count("c lost") > 0);
    assert_eq!(log.lines()[..2], ["c made", "c data HELLO"]);
    assert_eq!(server.finish().code, Some(0));
}
