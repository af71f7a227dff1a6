//! The end of a listener.

use std::io;
use std::sync::Arc;

use super::AcceptError;
use crate::address::Address;
use crate::callback::Callback;
use crate::ids::ListenerId;
use crate::observe::{Command, Subject};
use crate::parts::arena::Key;
use crate::protocol::Factory;
use crate::reactor::Reactor;
use crate::reactor::source::Source;

/// How many connections a shutdown takes out of one queue: as many as Linux lets wait
/// (`net.core.somaxconn`). There is an end to it also while more come.
const MOST_TAKEN: usize = 4096;

/// # Listening no more
impl Reactor {
    /// Stops listening at once: when this returns the port is free, and no connection is accepted any
    /// more.
    ///
    /// The loop calls the factory's `stopped`. Open connections stay open, and are still
    /// [counted](Self::connection_count); the kernel resets those in its queue. (A
    /// [shutdown](Self::shutdown) takes these first.) Returns `false` if the listener was stopped already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io::ErrorKind;
    /// # use crocus::testing::{End, Simulation};
    /// # use crocus::Protocol;
    /// # struct Idle;
    /// # impl Protocol for Idle {}
    /// # let mut simulation = Simulation::new();
    /// let listener = simulation.reactor().listen("127.0.0.1:80", |_peer| Idle)?;
    /// let mut served = simulation.dial("127.0.0.1:80");
    /// simulation.settle();
    ///
    /// assert!(simulation.reactor().stop_listening(listener));
    /// let mut late = simulation.dial("127.0.0.1:80");
    /// simulation.settle();
    /// assert_eq!(late.end(), Some(End::Failed(ErrorKind::ConnectionRefused)));
    /// assert_eq!(served.end(), None, "it stays open");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stop_listening(&mut self, id: ListenerId) -> bool {
        let Some(listener) = self.listener_mut(id.0) else { return false };
        let Some(mut acceptor) = listener.acceptor.take() else { return false };
        let retry = listener.retry.take();
        acceptor.deregister(self.poller.registry());
        drop(acceptor);
        self.monitor.command(Subject::Listener(id), || Command::StopListening);
        if let Some(timer) = retry {
            self.timers.call_off(timer, &mut self.monitor);
        }
        self.descriptor_freed();
        self.queue(id.0);
        true
    }

    /// Closes a listener for a shutdown. The connections in its queue are taken now, so that its port is free
    /// at once, and admitted by the loop.
    pub(crate) fn drain_listener(&mut self, key: Key) {
        let mut skipped = 0;
        while let Some(listener) = self.listener_mut(key)
            && !listener.paused
            && listener.taken.len() < MOST_TAKEN
            && let Some(acceptor) = &listener.acceptor
        {
            match acceptor.accept() {
                Ok(accepted) => listener.taken.push_back(accepted),
                Err(error) => match AcceptError::of(&error) {
                    AcceptError::Empty => break,
                    // Without an end if this process may not accept at all.
                    AcceptError::Skip if skipped < MOST_TAKEN => {
                        skipped += 1;
                        self.accept_failed(key, &Arc::new(error));
                    }
                    AcceptError::Skip | AcceptError::Shortage | AcceptError::Unknown => {
                        self.give_up_queue(key, &Arc::new(error));
                        break;
                    }
                },
            }
        }
        self.stop_listening(ListenerId(key));
    }

    fn give_up_queue(&mut self, key: Key, error: &Arc<io::Error>) {
        self.accept_failed(key, error);
        if let Some(listener) = self.listener_mut(key) {
            let local = &listener.local;
            log::warn!("listener at {local} is closed, and cannot accept the rest: {error}");
        }
    }

    /// Gives the last notice to a stopped listener's factory, and drops it. The listener stays as long as it
    /// has connections.
    pub(crate) fn listener_stopped(&mut self, key: Key) {
        let Some(listener) = self.listener_mut(key) else { return };
        let untold = !std::mem::replace(&mut listener.over, true);
        let told = listener.started;
        while let Some((stream, _)) = listener.taken.pop_front() {
            stream.reset_on_close(); // a close in order would look like an answer
        }
        if untold && told {
            self.tell_factory(key, Callback::Stopped, Factory::stopped);
        }
        let factory = self.sources.get_mut(key).and_then(Source::factory).and_then(Option::take);
        self.let_go(Subject::Listener(ListenerId(key)), factory);
        if self.listener_mut(key).is_some_and(|listener| listener.is_left_behind()) {
            self.forget_listener(key);
        }
    }

    /// Drops what is left of a listener: its config of TLS is the user's.
    fn forget_listener(&mut self, key: Key) {
        if let Some(slot) = self.sources.remove(key) {
            self.let_go_of_source(Subject::Listener(ListenerId(key)), slot.source);
        }
    }

    /// Tells a factory of its listener.
    #[inline(never)] // one copy serves both notices
    pub(super) fn tell_factory(
        &mut self,
        key: Key,
        callback: Callback,
        tell: fn(&mut (dyn Factory + 'static), &mut Self, ListenerId),
    ) {
        self.seat(key, callback, Source::factory, |factory, reactor| {
            tell(factory.as_mut(), reactor, ListenerId(key));
        });
    }

    /// A connection that it accepted is gone. `identified`: a PROXY header had named its peer.
    pub(crate) fn accepted_connection_gone(&mut self, key: Key, peer: &Address, identified: bool) {
        let Some(listener) = self.listener_mut(key) else { return };
        let was_full = listener.is_full();
        listener.went(peer, identified);
        if listener.is_left_behind() {
            self.forget_listener(key);
        } else if was_full && listener.can_accept() {
            self.queue(key);
        }
    }

    /// The preparation of a connection is over, or it has ended before.
    pub(crate) fn listener_prepared(&mut self, key: Key) {
        let Some(listener) = self.listener_mut(key) else { return };
        listener.preparing = listener.preparing.saturating_sub(1);
        if listener.is_finished() && !listener.over {
            self.queue(key);
        }
    }
}
