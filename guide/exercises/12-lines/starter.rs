//! Exercise 12, lines: this protocol answers each line in capital letters, if the line comes in one piece.
//!
//! The network below delivers byte by byte. Repair the protocol, and leave `main` as it is.

use crocus::testing::{Cut, Simulation};
use crocus::{Protocol, Transport};

#[derive(Default)]
struct Capitals {}

impl Protocol for Capitals {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        let line = String::from_utf8_lossy(data);
        transport.write(format!("{}!\n", line.trim().to_uppercase()).as_bytes());
    }
}

fn main() {
    let mut simulation = Simulation::new();
    simulation.set_cut(Cut::Every(1));
    let mut peer = simulation.connect(Capitals::default());
    peer.send(b"hello\nworld\n");
    simulation.settle();
    print!("{}", String::from_utf8_lossy(&peer.received()));
}
