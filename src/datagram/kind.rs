//! Datagram sockets, as the loop sees them.

use crate::connection::ReadBuffer;
use crate::parts::arena::Key;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reactor::source::Kind;
use crate::reactor::state::TimerAction;
use crate::reason::Reason;

/// The kind of source that a datagram socket is.
#[derive(Debug)]
pub(super) struct DatagramSockets;

impl Kind for DatagramSockets {
    fn serve(&self, reactor: &mut Reactor, key: Key, _: &mut ReadBuffer) {
        reactor.serve_datagrams(key);
    }

    fn fire(&self, reactor: &mut Reactor, key: Key, timer: TimerId, _: &TimerAction) {
        reactor.forget_timer(key);
        reactor.datagram_timer_fired(key, timer);
    }

    fn shut_down(&self, reactor: &mut Reactor, key: Key) {
        reactor.shut_down_datagrams(key);
    }

    fn stop(&self, reactor: &mut Reactor, key: Key) {
        reactor.stop_datagram(key, Reason::Stopped);
        reactor.datagrams_stopped(key);
    }
}
