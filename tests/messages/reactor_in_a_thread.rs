//! A reactor is sent to another thread.
use crocus::Reactor;

fn main() -> std::io::Result<()> {
    let mut reactor = Reactor::new()?;
    std::thread::spawn(move || reactor.run());
    Ok(())
}
