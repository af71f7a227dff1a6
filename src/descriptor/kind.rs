//! Watched descriptors, as the loop sees them.

use super::WatchId;
use crate::connection::ReadBuffer;
use crate::parts::arena::Key;
use crate::reactor::Reactor;
use crate::reactor::source::Kind;

/// The kind of source that a watched descriptor is.
#[derive(Debug)]
pub(super) struct Watches;

impl Kind for Watches {
    fn serve(&self, reactor: &mut Reactor, key: Key, _: &mut ReadBuffer) {
        reactor.serve_watch(key);
    }

    fn stop(&self, reactor: &mut Reactor, key: Key) {
        reactor.unwatch(WatchId(key));
    }
}
