//! The traits that a user implements: protocols, and the factories that make them.

use std::cell::RefCell;
use std::rc::Rc;

use crate::address::Address;
use crate::connector::Connector;
use crate::ids::ListenerId;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reason::Reason;
use crate::transport::Transport;

/// One connection's state, called back by the reactor.
///
/// The calls come in this order and no other:
///
/// 1. [`connection_made`](Self::connection_made), once;
/// 2. [`data_received`](Self::data_received), [`timer_fired`](Self::timer_fired),
///    [`timed_out`](Self::timed_out), and [`pause_writing`](Self::pause_writing) and
///    [`resume_writing`](Self::resume_writing) in turns, any number of times; among them at most
///    once [`shutting_down`](Self::shutting_down), and at most once
///    [`eof_received`](Self::eof_received), after which no data comes;
/// 3. [`connection_lost`](Self::connection_lost), exactly once and last.
///
/// After `lose_connection` or `abort_connection` only step 3 follows. After
/// [`set_protocol`](Transport::set_protocol) nothing follows: the protocol is dropped, and another
/// begins at step 1. No callback runs inside another one: the loop carries out the commands of a
/// callback after it has returned.
///
/// Every method has a default, so a protocol implements only what it needs. A panic in a callback ends
/// only this connection, with [`Reason::Panicked`].
///
/// Twisted's `IProtocol`; `pause_writing` and `resume_writing` are asyncio's.
///
/// # Examples
///
/// An echo server is one method. Its buffer is bounded without further code: when the peer does not
/// read, the default `pause_writing` stops reading from it.
///
/// ```
/// use crocus::{Protocol, Transport};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait Protocol {
    /// The connection is established.
    fn connection_made(&mut self, transport: &mut Transport<'_>) {}

    /// Bytes arrived: at least one, in portions as the network delivered them.
    ///
    /// `data` is the reactor's own buffer, used again for the next read: copy what you need.
    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {}

    /// The peer will send nothing more; it may still read.
    ///
    /// By default the connection is closed once the outgoing buffer has been sent. Override this to go
    /// on writing to a half-closed connection.
    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        transport.lose_connection();
    }

    /// The outgoing buffer is above the high-water mark: time to stop writing.
    ///
    /// By default this connection is not read until the peer has caught up.
    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        transport.withhold_reading();
    }

    /// The outgoing buffer is down to the low-water mark.
    ///
    /// This follows each `pause_writing` unless the connection ends first.
    ///
    /// By default reading goes on, unless the protocol itself has paused it.
    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        transport.grant_reading();
    }

    /// A timer set by [`Transport::call_later`] fires; never a timer of a former protocol.
    fn timer_fired(&mut self, transport: &mut Transport<'_>, timer: TimerId) {}

    /// Nothing was read or written for as long as [`Transport::set_timeout`] allows.
    ///
    /// By default the connection is closed, with [`Reason::TimedOut`]. The timeout is off
    /// afterwards; an override may set it again, or close later
    /// [because](Transport::lose_connection_because) of it.
    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        transport.lose_connection();
    }

    /// The reactor [shuts down](Reactor::shutdown): finish, and close the connection.
    ///
    /// It comes once, whether reading is paused or not, after the bytes that had arrived (as many as one turn
    /// delivers), and also to a connection that comes up meanwhile. A connection that is closing already is
    /// not told. [`Reactor::is_stopping`] says so before, for instance to a protocol that announces its last
    /// answer.
    ///
    /// By default the connection is closed in order. A protocol in the middle of an answer overrides this:
    /// it finishes the answer and then closes. The reactor waits for it until the grace is over, and then
    /// resets the connection, so that the peer cannot take a part for the whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use crocus::{Protocol, TimerId, Transport};
    ///
    /// /// Sends one line at a time, and closes only behind the last.
    /// struct Report {
    ///     lines: Vec<&'static str>,
    ///     last: bool,
    /// }
    ///
    /// impl Protocol for Report {
    ///     fn timer_fired(&mut self, transport: &mut Transport, _: TimerId) {
    ///         match self.lines.pop() {
    ///             Some(line) => {
    ///                 writeln!(transport, "{line}");
    ///                 transport.call_later(std::time::Duration::from_millis(10));
    ///             }
    ///             None if self.last => transport.lose_connection(),
    ///             None => {}
    ///         }
    ///     }
    ///
    ///     fn shutting_down(&mut self, transport: &mut Transport) {
    ///         self.last = true;
    ///         if self.lines.is_empty() {
    ///             transport.lose_connection();
    ///         }
    ///     }
    /// }
    /// ```
    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        transport.lose_connection();
    }

    /// The connection has ended.
    ///
    /// Commands to `transport` have no effect; its addresses and the reactor can be used.
    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {}
}

impl<P: Protocol + ?Sized> Protocol for Box<P> {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        (**self).connection_made(transport);
    }

    fn data_received(&mut self, transport: &mut Transport<'_>, data: &[u8]) {
        (**self).data_received(transport, data);
    }

    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        (**self).eof_received(transport);
    }

    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        (**self).pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        (**self).resume_writing(transport);
    }

    fn timer_fired(&mut self, transport: &mut Transport<'_>, timer: TimerId) {
        (**self).timer_fired(transport, timer);
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) {
        (**self).timed_out(transport);
    }

    fn shutting_down(&mut self, transport: &mut Transport<'_>) {
        (**self).shutting_down(transport);
    }

    fn connection_lost(&mut self, transport: &mut Transport<'_>, reason: &Reason) {
        (**self).connection_lost(transport, reason);
    }
}

/// Makes a protocol for each connection that a listener accepts, and outlives those protocols.
///
/// A closure from the peer's [`Address`] to a protocol is a factory; it takes the address by value. For
/// state that connections share, capture an `Rc<RefCell<…>>`. Implement the trait to refuse connections,
/// or to be told when the listener starts and stops.
///
/// A panic in [`build_protocol`](Self::build_protocol) closes the connection it was called for; the
/// next one is accepted.
///
/// # Examples
///
/// ```
/// use crocus::{Address, Factory, Protocol};
///
/// # struct Echo;
/// # impl Protocol for Echo {}
/// /// Serves this machine only.
/// struct LocalOnly;
///
/// impl Factory for LocalOnly {
///     fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
///         peer.ip()?.is_loopback().then(|| Box::new(Echo) as _)
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait Factory {
    /// A connection was accepted; `None` refuses it, and it is closed at once.
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>>;

    /// The listener is bound and about to accept.
    ///
    /// The loop calls this before the first `build_protocol`.
    fn started(&mut self, reactor: &mut Reactor, listener: ListenerId) {}

    /// The listener is closed.
    ///
    /// The loop calls this once, if it has called `started`; open connections stay open, and
    /// [`connection_count`](Reactor::connection_count) counts them until the last is gone.
    fn stopped(&mut self, reactor: &mut Reactor) {}
}

impl<F, P> Factory for F
where
    F: FnMut(Address) -> P,
    P: Protocol + 'static,
{
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self(peer)))
    }
}

/// Makes a protocol for an outgoing connection, and is told the outcome of each attempt.
///
/// Each attempt has exactly one outcome: the protocol's `connection_made`, or
/// [`connection_failed`](Self::connection_failed). After the protocol's `connection_lost` comes
/// [`connection_lost`](Self::connection_lost) of this trait, with the same reason. Both may try again by
/// [`Connector::connect`] or [`Connector::connect_after`].
///
/// A closure from the peer's [`Address`] to a protocol is a client factory that logs failures.
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
pub trait ClientFactory {
    /// The connection is established.
    ///
    /// `None` refuses it, which is a failure: [`Reason::Refused`].
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>>;

    /// The attempt failed, and no protocol was made.
    ///
    /// By default the failure is logged.
    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        log::warn!("could not connect to {}: {reason}", connector.endpoint());
    }

    /// The connection has ended, and its protocol has been told.
    fn connection_lost(&mut self, connector: &mut Connector<'_>, reason: &Reason) {}
}

impl<F, P> ClientFactory for F
where
    F: FnMut(Address) -> P,
    P: Protocol + 'static,
{
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self(peer)))
    }
}

/// A factory that several listeners share; each of them starts and stops it.
impl<F: Factory> Factory for Rc<RefCell<F>> {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        self.borrow_mut().build_protocol(peer)
    }

    fn started(&mut self, reactor: &mut Reactor, listener: ListenerId) {
        self.borrow_mut().started(reactor, listener);
    }

    fn stopped(&mut self, reactor: &mut Reactor) {
        self.borrow_mut().stopped(reactor);
    }
}

/// A client factory that several connectors share.
impl<F: ClientFactory> ClientFactory for Rc<RefCell<F>> {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        self.borrow_mut().build_protocol(peer)
    }

    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        self.borrow_mut().connection_failed(connector, reason);
    }

    fn connection_lost(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        self.borrow_mut().connection_lost(connector, reason);
    }
}
