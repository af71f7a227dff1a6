//! The steps that a connection goes through before it is announced: its PROXY header, the handshake of TLS.
//!
//! They come in the order of the fields. Bytes that one has read and does not need go to the next.

#[cfg(feature = "proxy")]
use std::sync::Arc;
use std::time::Instant;

use crate::address::Address;
#[cfg(feature = "tls")]
use crate::connection::Engine;
#[cfg(feature = "proxy")]
use crate::connection::Header;
use crate::connection::Step;
#[cfg(feature = "proxy")]
use crate::proxy::{Fault, Network, ProxyError};
use crate::reason::Reason;
#[cfg(feature = "tls")]
use crate::tls::Role;

/// The preparations for each connection of a listener or connector; none by default.
#[derive(Clone, Default, Debug)]
pub(crate) struct Preparations {
    /// The proxies whose header is believed.
    #[cfg(feature = "proxy")]
    pub(crate) proxies: Option<Arc<[Network]>>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Role>,
}

impl Preparations {
    /// The first step for a connection of this peer; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The reason why it cannot begin: a proxy that is not trusted, or a config that does not fit.
    #[cfg_attr(
        not(feature = "proxy"),
        expect(unused_variables, reason = "only a header needs the time")
    )]
    pub(crate) fn first(
        &self,
        peer: &Address,
        now: impl FnOnce() -> Instant,
    ) -> Result<Option<Step>, Reason> {
        #[cfg(feature = "proxy")]
        if let Some(proxies) = &self.proxies {
            return if proxies.iter().any(|network| network.contains(peer)) {
                Ok(Some(Step::Header(Box::new(Header::new(peer.clone(), now())))))
            } else {
                let error = ProxyError::new(Fault::Untrusted, peer.clone());
                Err(Reason::Proxy { error: Arc::new(error) })
            };
        }
        self.after_header(peer)
    }

    /// The step that follows when it is known whose the connection is.
    ///
    /// # Errors
    ///
    /// As for [`first`](Self::first).
    #[cfg(feature = "tls")]
    pub(crate) fn after_header(&self, peer: &Address) -> Result<Option<Step>, Reason> {
        let Some(role) = &self.tls else { return Ok(None) };
        let engine = Engine::new(role, peer.clone());
        let step = engine.map(|engine| Some(Step::Handshake(Box::new(engine))));
        step.map_err(|error| Reason::Tls { error: error.into() })
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unnecessary_wraps, reason = "the same interface")]
    #[cfg_attr(not(feature = "proxy"), expect(clippy::unused_self, reason = "the same interface"))]
    pub(crate) fn after_header(&self, _: &Address) -> Result<Option<Step>, Reason> {
        Ok(None)
    }

    /// Whether a header says whose a connection is, and the peer that the kernel tells is a proxy.
    pub(crate) fn begin_with_a_header(&self) -> bool {
        #[cfg(feature = "proxy")]
        return self.proxies.is_some();
        #[cfg(not(feature = "proxy"))]
        false
    }
}
