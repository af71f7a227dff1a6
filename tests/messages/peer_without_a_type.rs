//! A closure calls a method of its peer, whose type the compiler does not know yet.
use crocus::{Protocol, Reactor};

struct Echo;

impl Protocol for Echo {}

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.listen("127.0.0.1:0", |peer| peer.ip().map(|_| Echo))?;
    reactor.run()
}
