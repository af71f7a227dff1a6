//! The article's server, whole. Try it: `nc 127.0.0.1 5000`
use crocus::{Protocol, Reactor, Transport};

struct RandomBytes;

impl Protocol for RandomBytes {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.write(b"You requested some random bytes:\n\n");
        transport.write(&rand::random::<[u8; 16]>());
        transport.write(b"  \n\nYou want fries with that?\n\n");
        transport.lose_connection();
    }
}

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.listen("127.0.0.1:5000", |_peer| RandomBytes)?;
    reactor.run()
}
