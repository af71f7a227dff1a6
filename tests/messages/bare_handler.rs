//! A handler of frames that is no protocol.
use crocus::framing::{FrameHandler, Framed, Lines};
use crocus::{Reactor, Transport};

struct Upper;

impl FrameHandler<Lines> for Upper {
    fn frame_received(&mut self, transport: &mut Transport, line: &[u8]) {
        transport.write(&line.to_ascii_uppercase());
    }
}

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.listen("127.0.0.1:0", |_peer| Framed::new(Lines::new(), Upper))?;
    reactor.run()
}
