//! Values that are factories: closures, boxes, and factories that are shared.

use std::cell::RefCell;
use std::rc::Rc;

use crate::address::Address;
use crate::connector::Connector;
use crate::ids::ListenerId;
use crate::protocol::{Factory, Protocol};
use crate::reactor::Reactor;
use crate::reason::Reason;
#[cfg(feature = "tls")]
use crate::tls::TlsInfo;

/// The answer of a closure that is a [`Factory`]: a protocol, or an `Option` of one.
///
/// # Examples
///
/// ```
/// # use crocus::{IntoProtocol, Protocol};
/// # struct Echo;
/// # impl Protocol for Echo {}
/// assert!(Echo.into_protocol().is_some());
/// assert!(None::<Echo>.into_protocol().is_none(), "the peer is refused");
/// ```
pub trait IntoProtocol {
    /// The protocol; `None` refuses the peer.
    fn into_protocol(self) -> Option<Box<dyn Protocol>>;
}

impl<P: Protocol + 'static> IntoProtocol for P {
    fn into_protocol(self) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self))
    }
}

impl<P: Protocol + 'static> IntoProtocol for Option<P> {
    fn into_protocol(self) -> Option<Box<dyn Protocol>> {
        self.and_then(P::into_protocol)
    }
}

// So the compiler says what a factory is, and not which trait a closure lacks.
#[diagnostic::do_not_recommend]
impl<F, P> Factory for F
where
    F: FnMut(Address) -> P,
    P: IntoProtocol,
{
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        self(peer).into_protocol()
    }
}

macro_rules! forward {
    ($self:ident => $factory:expr) => {
        fn build_protocol(&mut $self, peer: Address) -> Option<Box<dyn Protocol>> {
            $factory.build_protocol(peer)
        }

        #[cfg(feature = "tls")]
        fn build_tls_protocol(
            &mut $self,
            peer: Address,
            tls: &TlsInfo,
        ) -> Option<Box<dyn Protocol>> {
            $factory.build_tls_protocol(peer, tls)
        }

        fn started(&mut $self, reactor: &mut Reactor, listener: ListenerId) {
            $factory.started(reactor, listener);
        }

        fn stopped(&mut $self, reactor: &mut Reactor, listener: ListenerId) {
            $factory.stopped(reactor, listener);
        }

        fn connection_failed(&mut $self, connector: &mut Connector<'_>, reason: &Reason) {
            $factory.connection_failed(connector, reason);
        }

        fn connection_lost(&mut $self, connector: &mut Connector<'_>, reason: &Reason) {
            $factory.connection_lost(connector, reason);
        }

        fn gave_up(&mut $self, connector: &mut Connector<'_>, reason: &Reason) {
            $factory.gave_up(connector, reason);
        }
    };
}

/// A factory that several listeners and connectors share; each of them starts and stops it.
impl<F: Factory + ?Sized> Factory for Rc<RefCell<F>> {
    forward!(self => self.borrow_mut());
}

impl Factory for Box<dyn Factory> {
    forward!(self => (**self));
}
