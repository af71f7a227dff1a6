//! One turn for each Enter.

use std::cell::RefCell;
use std::io::{self, BufRead};
use std::rc::Rc;
use std::time::Duration;

use crocus::Reactor;

use crate::feed::Feed;
use crate::shared::cli::{self, Exit};

/// Turns in which only the page was served are passed over, but not without end.
const MOST_PASSED_OVER: usize = 100;

/// Does a turn for each line of standard input, and prints what happened in it, until that ends or the
/// reactor has stopped. The page gets its frames in these turns too, so it shows each one an Enter later.
pub(crate) fn run(reactor: &mut Reactor, feed: &Rc<RefCell<Feed>>) -> Result<(), Exit> {
    cli::print("Enter does one turn; Ctrl-D ends\n")?;
    for line in io::stdin().lock().lines() {
        line.map_err(|error| Exit::Failed(format!("cannot read standard input: {error}")))?;
        for _ in 0..MOST_PASSED_OVER {
            Feed::tick(feed, reactor);
            let before = feed.borrow().recorded();
            if reactor.turn(Some(Duration::ZERO))?.stopped {
                return Ok(());
            }
            let turn = feed.borrow().lines_since(before);
            if !turn.is_empty() {
                cli::print(&turn)?;
                break;
            }
        }
    }
    Ok(())
}
