//! Listeners, as the loop sees them.

use crate::connection::ReadBuffer;
use crate::ids::ListenerId;
use crate::parts::arena::Key;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reactor::source::Kind;
use crate::reactor::state::TimerAction;

/// The kind of source that a listener is.
#[derive(Debug)]
pub(super) struct Listeners;

impl Kind for Listeners {
    fn serve(&self, reactor: &mut Reactor, key: Key, buffer: &mut ReadBuffer) {
        reactor.serve_listener(key, buffer);
    }

    fn fire(&self, reactor: &mut Reactor, key: Key, _: TimerId, _: &TimerAction) {
        reactor.accept_again(key);
    }

    fn shut_down(&self, reactor: &mut Reactor, key: Key) {
        reactor.drain_listener(key);
    }

    fn stop(&self, reactor: &mut Reactor, key: Key) {
        reactor.stop_listening(ListenerId(key));
        reactor.listener_stopped(key);
    }
}
