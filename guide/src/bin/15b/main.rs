//! Step 15b: tasks, which the reactor polls.

pub(crate) mod sleep;
pub(crate) mod tasks;

use std::io;
use std::time::Duration;

use crocus::Reactor;
use sleep::sleep;
use tasks::spawn;

fn main() -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    spawn(&mut reactor, Box::pin(tick("quick", Duration::from_millis(200))));
    spawn(&mut reactor, Box::pin(tick("slow", Duration::from_millis(300))));
    reactor.run()
}

async fn tick(name: &str, pause: Duration) -> io::Result<()> {
    for tick in 1..=2 {
        sleep(pause).await;
        println!("{name}: {tick}");
    }
    Ok(())
}
