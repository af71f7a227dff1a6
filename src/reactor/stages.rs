//! The stages of a connection before it is announced, which a listener or a connector asks for.
//!
//! They come in the order of the fields. What a stage has read and does not need goes to the next.

use crate::address::Address;
use crate::connection::Engine;
use crate::reason::Reason;
#[cfg(feature = "tls")]
use crate::tls::Role;

/// The stages of each connection of a listener or connector; none by default.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stages {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Role>,
}

impl Stages {
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
