//! The PROXY header of a connection.

use super::Transport;
use crate::proxy::ProxyInfo;

/// # PROXY protocol
impl Transport<'_> {
    /// The content of the PROXY header: the address of the proxy, and what else it has said.
    ///
    /// [`peer_addr`](Self::peer_addr) is the client then. `None` if the connection does not come from a listener with
    /// [`proxy_protocol`](crate::Listen::proxy_protocol). See the example of [`ProxyInfo`].
    ///
    /// Needs the feature `proxy`.
    pub fn proxy(&self) -> Option<&ProxyInfo> {
        self.reactor.session(self.id)?.attached.as_ref()?.proxy.as_deref()
    }
}
