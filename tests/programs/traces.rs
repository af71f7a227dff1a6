//! The servers with `--trace`: each writes a whole trace, and a file that cannot be written is told.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};

use crate::child::{Running, Server, dial, example};
use crate::util::{Folder, sums_of_trace};

/// Sends something, and reads something.
fn talk(addr: SocketAddr) {
    let mut client = dial(addr);
    client.write_all(b"hello\n").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
}

fn started(name: &str, trace: &std::path::Path) -> Server {
    let listen = ["--listen", "127.0.0.1:0", "--trace"];
    Server::start(example(name).args(listen).arg(trace))
}

#[test]
fn each_server_writes_a_trace_with_its_sums() {
    let folder = Folder::new();
    for name in ["echo_server", "random_server", "chat_server", "simple_services", "frame_echo"] {
        let path = folder.join(name);
        let server = started(name, &path);
        talk(server.addr);
        server.stop_with_clients();
        let sums = sums_of_trace(&fs::read(path).unwrap()).unwrap();
        let ends = (sums.accepted, sums.closed);
        assert!(ends == (1, 1) && sums.bytes_written >= 5, "{name}: {sums:?}");
    }
}

#[test]
fn a_forwarder_traces_both_of_its_connections() {
    let folder = Folder::new();
    let path = folder.join("trace");
    let behind = Server::example("echo_server");
    let to = ["--listen", "127.0.0.1:0", "--to", &behind.addr.to_string()];
    let server = Server::start(example("port_forward").args(to).arg("--trace").arg(&path));
    talk(server.addr);
    server.stop_with_clients();
    behind.stop_with_clients();
    let sums = sums_of_trace(&fs::read(path).unwrap()).unwrap();
    assert_eq!((sums.accepted, sums.connected, sums.closed), (1, 1, 2));
}

#[test]
fn datagrams_are_traced() {
    let folder = Folder::new();
    let path = folder.join("trace");
    let server = started("udp_echo", &path);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", server.addr).unwrap();
    assert_eq!(client.recv(&mut [0; 6]).unwrap(), 5);
    server.stop();
    let sums = sums_of_trace(&fs::read(path).unwrap()).unwrap();
    assert_eq!((sums.datagrams_received, sums.datagrams_sent, sums.bytes_read), (1, 1, 5));
}

#[test]
fn a_trace_that_cannot_be_written_is_told() {
    let folder = Folder::new();
    let inside = folder.join("nothing/trace");
    let end = Running::start(example("echo_server").arg("--trace").arg(&inside)).finish();
    let complaint = end.complaint(1);
    assert!(complaint.starts_with("echo_server: cannot write to /"), "{complaint}");
    let end = Running::start(example("random_server_blocking").arg("--trace").arg("x")).finish();
    let complaint = end.complaint(2);
    assert!(complaint.contains("--trace': it has no reactor"), "{complaint}");
}
