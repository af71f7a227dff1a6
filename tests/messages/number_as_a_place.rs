//! A port alone is given where a place is wanted.
use crocus::{Protocol, Reactor};

struct Echo;

impl Protocol for Echo {}

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.listen(5000, |_peer| Echo)?;
    reactor.run()
}
