//! The traits that a user implements: protocols, and the factories that make them.

use std::any::Any;

use crate::address::Address;
use crate::connector::Connector;
use crate::ids::ListenerId;
use crate::parts::timers::TimerId;
use crate::reactor::Reactor;
use crate::reason::Reason;
#[cfg(feature = "tls")]
use crate::tls::TlsInfo;
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
/// A protocol owns what it has (it is [`Any`]), so that other code can reach it by its type; see
/// [`Reactor::with_protocol`].
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
///
/// This one says a last word, whichever way its peer leaves it:
///
/// ```
/// # use std::time::Duration;
/// # use crocus::testing::Simulation;
/// # use crocus::{Protocol, Reason, Transport};
/// struct Polite;
///
/// impl Protocol for Polite {
///     fn connection_made(&mut self, transport: &mut Transport) {
///         transport.set_timeout(Some(Duration::from_secs(10)));
///     }
///
///     fn eof_received(&mut self, transport: &mut Transport) {
///         transport.write(b"bye"); // the peer may still read
///         transport.lose_connection();
///     }
///
///     fn timed_out(&mut self, transport: &mut Transport) {
///         transport.write(b"too slow");
///         transport.lose_connection_because(Reason::TimedOut);
///     }
///
///     fn connection_lost(&mut self, _: &mut Transport, reason: &Reason) {
///         println!("over: {reason}");
///     }
/// }
///
/// # let mut simulation = Simulation::new();
/// let (mut leaving, mut silent) = (simulation.connect(Polite), simulation.connect(Polite));
/// leaving.close_write();
/// simulation.advance(Duration::from_secs(10));
/// assert_eq!((leaving.received(), silent.received()), (b"bye".to_vec(), b"too slow".to_vec()));
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol",
    label = "not a protocol",
    note = "every method of a protocol has a default: begin with `impl Protocol for … {{}}`",
    note = "a handler of frames is a protocol too, and `Framed::new(framing, handler)` serves it"
)]
pub trait Protocol: Any {
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

    /// The outgoing buffer is above the high-water mark: time to stop writing. See the example of
    /// [`Transport::default_pause_writing`].
    ///
    /// By default this connection is not read until the peer has caught up.
    fn pause_writing(&mut self, transport: &mut Transport<'_>) {
        transport.default_pause_writing();
    }

    /// The outgoing buffer is down to the low-water mark. See the example of
    /// [`Transport::set_write_buffer_limits`].
    ///
    /// This follows each `pause_writing` unless the connection ends first.
    ///
    /// By default reading goes on, unless the protocol itself has paused it.
    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        transport.default_resume_writing();
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
    /// By default the connection is closed in order; if the protocol was told to
    /// [pause](Self::pause_writing), not before it is told to resume and adds nothing. Any other one in the
    /// middle of an answer overrides this: it finishes, and then closes. The reactor waits for it until the
    /// grace is over, and then resets the connection: the peer cannot take a part for the whole.
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
        transport.default_shutting_down();
    }

    /// The connection has ended; after an orderly close some seconds later, when the peer has closed too or the
    /// [linger time](crate::ReactorBuilder::linger) is over.
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

/// Makes a protocol for each connection of a listener or connector, and outlives those protocols.
///
/// A closure from the peer's [`Address`] to a protocol is a factory, and so is one to an `Option` of a
/// protocol, which refuses the peer by `None`. For state that connections share, capture an
/// `Rc<RefCell<…>>`. Implement the trait to be told when a listener starts and stops, and how attempts to
/// connect go. One factory in an `Rc<RefCell<…>>` may serve several listeners and connectors.
///
/// Each attempt to connect has exactly one outcome: the protocol's `connection_made`, or
/// [`connection_failed`](Self::connection_failed). After the protocol's `connection_lost` comes that of this
/// trait, with the same reason. Both may try again by [`Connector::connect`] or
/// [`Connector::connect_after`].
///
/// A panic in [`build_protocol`](Self::build_protocol) closes the connection it was called for.
///
/// Twisted's `IProtocolFactory`, and its `ClientFactory`.
///
/// # Examples
///
/// ```
/// use crocus::{Address, Factory, Protocol, Reactor};
///
/// # struct Echo;
/// # impl Protocol for Echo {}
/// /// Serves a number of connections.
/// struct Few(usize);
///
/// impl Factory for Few {
///     fn build_protocol(&mut self, _peer: Address) -> Option<Box<dyn Protocol>> {
///         self.0 = self.0.checked_sub(1)?;
///         Some(Box::new(Echo))
///     }
/// }
///
/// let mut reactor = Reactor::new()?;
/// reactor.listen("127.0.0.1:0", Few(3))?;
/// // Serves this machine only:
/// reactor.listen("127.0.0.1:0", |peer: Address| peer.ip()?.is_loopback().then_some(Echo))?;
/// # std::io::Result::Ok(())
/// ```
#[expect(unused_variables, reason = "the names in the defaults document the arguments")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a factory",
    label = "not a factory",
    note = "a factory is a closure that makes a protocol for each peer, as in `|_peer| Echo`",
    note = "it returns a type that implements `Protocol`, or an `Option` of one",
    note = "one that looks at its peer has to name its type: `|peer: Address| …`",
    note = "any other type can implement `Factory`"
)]
pub trait Factory {
    /// A connection was accepted, or is established.
    ///
    /// `None` refuses it, and it is closed at once. For a connector this is a failure:
    /// [`Reason::Refused`].
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>>;

    /// A TLS connection is established: the handshake is over, and tells what the two sides have agreed on.
    ///
    /// This is called in place of [`build_protocol`](Self::build_protocol), which the default calls. Override it
    /// to choose the protocol by ALPN, or by the name that the client has asked for (SNI).
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Http1;
    /// # impl Protocol for Http1 {}
    /// # struct Http2;
    /// # impl Protocol for Http2 {}
    /// use crocus::tls::TlsInfo;
    /// use crocus::{Address, Factory, Protocol};
    ///
    /// struct Web;
    ///
    /// impl Factory for Web {
    ///     fn build_protocol(&mut self, _: Address) -> Option<Box<dyn Protocol>> {
    ///         Some(Box::new(Http1))
    ///     }
    ///
    ///     fn build_tls_protocol(
    ///         &mut self,
    ///         peer: Address,
    ///         tls: &TlsInfo,
    ///     ) -> Option<Box<dyn Protocol>> {
    ///         match tls.alpn_protocol() {
    ///             Some(b"h2") => Some(Box::new(Http2)),
    ///             _ => self.build_protocol(peer),
    ///         }
    ///     }
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    fn build_tls_protocol(&mut self, peer: Address, tls: &TlsInfo) -> Option<Box<dyn Protocol>> {
        self.build_protocol(peer)
    }

    /// The listener is bound and about to accept. See the example of [`Reactor::connection_count`].
    ///
    /// The loop calls this before the first `build_protocol`.
    fn started(&mut self, reactor: &mut Reactor, listener: ListenerId) {}

    /// The listener is closed.
    ///
    /// The loop calls this once, if it has called `started`; open connections stay open, and
    /// [`connection_count`](Reactor::connection_count) counts them until the last is gone.
    fn stopped(&mut self, reactor: &mut Reactor, listener: ListenerId) {}

    /// The attempt to connect failed, and no protocol was made. See the example of [`Connector`].
    ///
    /// By default the failure is logged.
    fn connection_failed(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        log::warn!("could not connect to {}: {reason}", connector.endpoint());
    }

    /// A connection of a connector has ended, and its protocol has been told; see [`Connector::lasted`].
    fn connection_lost(&mut self, connector: &mut Connector<'_>, reason: &Reason) {}

    /// [`Reconnecting`](crate::Reconnecting) has made as many attempts as it
    /// [may](crate::Backoff::max_attempts), and makes no more.
    ///
    /// This follows the `connection_failed` or `connection_lost` of the last one, with its reason; here, too,
    /// one may try again.
    ///
    /// By default it is logged.
    fn gave_up(&mut self, connector: &mut Connector<'_>, reason: &Reason) {
        log::warn!("giving up on {}: {reason}", connector.endpoint());
    }
}
