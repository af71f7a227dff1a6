//! The steps that a connection goes through before it is announced: the handshake of TLS.
//!
//! Preparations come in the order of the fields. What one has read and does not need goes to the next.

use crate::address::Address;
use crate::connection::Engine;
use crate::reason::Reason;
#[cfg(feature = "tls")]
use crate::tls::Role;

/// The preparations for each connection of a listener or connector; none by default.
#[derive(Clone, Default, Debug)]
pub(crate) struct Preparations {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Role>,
}

impl Preparations {
    /// Begins them for a connection; `None` if there are none.
    ///
    /// # Errors
    ///
    /// The reason why they cannot begin, mostly a config that does not fit.
    #[cfg(feature = "tls")]
    pub(crate) fn begin(&self, peer: &Address) -> Result<Option<Engine>, Reason> {
        let Some(role) = &self.tls else { return Ok(None) };
        let engine = Engine::new(role, peer.clone());
        engine.map(Some).map_err(|error| Reason::Tls { error: error.into() })
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unnecessary_wraps, reason = "the same interface")]
    pub(crate) fn begin(&self, _: &Address) -> Result<Option<Engine>, Reason> {
        Ok(None)
    }
}
