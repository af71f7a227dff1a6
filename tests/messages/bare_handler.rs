//! A handler of frames is given where a protocol is wanted.
use crocus::Reactor;

struct Upper;

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.listen("127.0.0.1:0", |_peer| Upper)?;
    reactor.run()
}
