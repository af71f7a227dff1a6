//! Exercise 12, lines, solved: the protocol keeps what it has of a line.

use crocus::testing::{Cut, Simulation};
use crocus::{Protocol, Transport};

#[derive(Default)]
struct Capitals {
    input: Vec<u8>,
}

impl Protocol for Capitals {
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        self.input.extend(data);
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            transport.write(format!("{}!\n", line.trim().to_uppercase()).as_bytes());
        }
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
