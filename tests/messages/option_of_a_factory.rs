//! An option of a factory is given.
use crocus::{Protocol, Reactor};

struct Echo;

impl Protocol for Echo {}

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.listen("127.0.0.1:0", Some(Echo))?;
    reactor.run()
}
